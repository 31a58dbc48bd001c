//! Programs of `test` items, run by the graph interpreter: std's own examples, and the rules of tensor semantics.
//!
//! In: `rules.nn` and `numpy_cases.nn`, whose assertions must hold, and a table of wrong programs. Out: every assertion that fails, every
//! finding that differs from the table.

use crate::diag::{Diagnostic, edited};
use crate::graph::interp::{self, Feeds};
use crate::report;
use crate::sema::precision;
use crate::sema::suite::{self, TestUnit};
use crate::sema::units::Program;
use nn_runtime::dtype::DType;

fn tests_of(p: &Program, file: usize) -> Vec<TestUnit> {
    suite::tests(p, file)
}

/// Runs every `test` of a file; what went wrong as text.
fn run(p: &Program, file: usize) -> String {
    let mut out = String::new();
    for t in tests_of(p, file) {
        let g = match t.graph {
            Ok(g) => g,
            Err(d) => {
                out += &format!("test {:?}\n{}", t.name, report::render(&d, &p.sources, false));
                continue;
            }
        };
        assert!(g.outputs.len() >= t.checks.len());
        match interp::run(&g, &Feeds::default()) {
            Ok(values) => {
                for (v, c) in values.iter().zip(&t.checks) {
                    if v.data != [1.0] {
                        out += &format!("test {:?}: {} does not hold\n", t.name, p.sources.text(c.span));
                    }
                }
            }
            Err(e) => out += &format!("test {:?}: {e}\n", t.name),
        }
    }
    out
}

fn load(text: &str) -> Program {
    let (p, diags) = Program::load("test.nn", text, &|path, _| Err(format!("no file {path}")));
    assert!(diags.is_empty(), "{}", report::render(&diags, &p.sources, false));
    p
}

#[test]
fn std_examples_hold() {
    let p = load("");
    let bad: String = (0..p.std_files).map(|f| run(&p, f)).collect();
    assert!(bad.is_empty(), "{bad}");
}

/// Every item of std says what it is and has an example of its name.
#[test]
fn std_items_are_documented() {
    use crate::syntax::ast::ItemKind;
    let p = load("");
    let items: Vec<_> = p.ast.files[..p.std_files].iter().flat_map(|f| &f.items).collect();
    let tests: Vec<&str> =
        items.iter().filter_map(|i| if let ItemKind::Test(t) = &i.kind { Some(&*t.name) } else { None }).collect();
    for item in &items {
        let name = match &item.kind {
            ItemKind::Fn(f) => &f.name.text,
            ItemKind::Model(m) | ItemKind::Optimizer(m) | ItemKind::Metric(m) => &m.name.text,
            _ => continue,
        };
        assert!(item.doc.as_ref().is_some_and(|d| d.len() > 20), "`{name}` has no `##` text");
        let shown = name.strip_suffix("_at").unwrap_or(name);
        assert!(tests.contains(&shown), "`{name}` has no example");
    }
    assert!(items.len() > 60, "{} items", items.len());
}

/// What holds in f32 holds in f64.
fn in_both_floats(text: &str) {
    for items in ["", precision::ITEMS] {
        let p = load(&format!("{text}\n{items}"));
        let bad = run(&p, p.main());
        assert!(bad.is_empty(), "{items}{bad}");
    }
}

#[test]
fn rules_hold() {
    in_both_floats(include_str!("tests/rules.nn"));
}

/// Some thousand results of NumPy.
#[test]
fn numpy_agrees() {
    in_both_floats(include_str!("tests/numpy_cases.nn"));
}

#[test]
fn comprehensions_hold() {
    in_both_floats(include_str!("tests/comprehensions.nn"));
}

/// What the bounds of values prove is not checked again; everything else is, once for each value.
#[test]
fn entries_into_classes() {
    let table: &[(&str, usize)] = &[
        ("iota[5] as idx<5>", 0),
        ("(ints([3, -9]) % 4) as idx<4>", 0),
        ("(ints([3, -9]) % 4 + 1) as idx<5>", 0),
        ("(ints([3, -9]) % 4 * 2) as idx<7>", 0),
        ("(ints([3, -9]) % 4) as f32 as idx<4>", 0),
        ("argmax(floats([[1.0, 2.0]])) as idx<2>", 0),
        ("clamp(ints([3, -9]), 0, 3) as idx<4>", 0),
        ("max(ints([3, -9]) % 3, axis: 0) as idx<3>", 0),
        ("where(ints([3, -9]) > 0, 1, 2) as idx<3>", 0),
        ("cat(iota[2], iota[3]) as idx<3>", 0),
        ("iota[4][ints([7, -1])] as idx<4>", 0),
        ("(floats([1.0]) > 0) as idx<2>", 0),
        ("pad(iota[2], (1, 1)) as idx<2>", 0),
        ("(iota[9] // 3) as idx<3>", 0),
        ("pad(iota[2], (0, 1), value: 2) as idx<3>", 0),
        ("ints([1, 2]) as idx<4>", 1),
        ("(ints([3, -9]) % 4) as idx<3>", 1),
        ("(ints([3, -9]) % -4) as idx<4>", 1),
        ("where(ints([3, -9]) < 9, ints([3, 9]) + 1, ints([3, 9])) as idx<4>", 1),
        ("floats([1.0]) as idx<4>", 1),
        ("cat(ints([1]) as idx<3>, ints([1]) as idx<3>)", 1),
        ("cat(ints([1]) as idx<3>, ints([2]) as idx<3>)", 2),
    ];
    for (e, checks) in table {
        let p = load(&format!(
            "fn ints(x: i32[..S]) -> i32[..S] = stop(x) + i32s(x)\nfn i32s(x: i32[..S]) -> i32[..S] = (x as f32 * 0) as i32\n\
             fn floats(x: [..S]) -> [..S] = x + exp(x)\ntest \"t\" {{ let y = {e}\n assert all(y >= 0) }}"
        ));
        let t = tests_of(&p, p.main()).remove(0);
        if let Err(d) = &t.graph {
            panic!("{e}: {}", report::render(d, &p.sources, false));
        }
        assert_eq!(t.checks.len() - 1, *checks, "{e}");
    }
}

/// The graph of the one test of a program.
fn graph(body: &str) -> crate::graph::graph::Graph {
    let p = load(&format!("test \"t\" {{\n{body}\n}}"));
    match tests_of(&p, p.main()).remove(0).graph {
        Ok(g) => g,
        Err(d) => panic!("{}", report::render(&d, &p.sources, false)),
    }
}

#[test]
fn products_become_contractions() {
    use crate::graph::ops::Op;
    let head = "let x = randn[3, 4](seed: 1)\nlet w = randn[5, 4](seed: 2)\nlet u = randn[3, 4, 5](seed: 3)\n";
    for (line, dots) in [
        ("let y[b, o] = sum[i](x[b, i] * w[o, i])", 1),
        ("let y[b, o] = sum[i](x[b, i] * w[o, i]) + x[b, 0]", 1),
        ("let y[o, b] = sum[i](w[o, i] * x[b, i] * 2.0)", 1),
        ("let y[b] = sum[i, o](u[b, i, o] * x[b, i])", 0),
        ("let y[b, o] = sum[i](u[b, i, o] * x[b, i])", 1),
        ("let y[b, o] = mean[i](x[b, i] * w[o, i])", 1),
        ("let y[b] = sum[i](x[b, i] * x[b, i])", 0),
        ("let y[b, o] = sum[i]((x[b, i] - w[o, i])**2)", 0),
        ("let y[b, i] = x[b, i] * w[0, i]", 0),
        ("let y = x @ w.T", 1),
    ] {
        let g = graph(&format!("{head}{line}\nassert close(sum(y), sum(y))"));
        let n = g.nodes.iter().filter(|n| matches!(n.op, Op::Dot(_))).count();
        assert_eq!(n, dots, "{line}");
        // A contraction reads transposed operands in place.
        let permutes = g.nodes.iter().filter(|n| matches!(n.op, Op::Permute(_))).count();
        assert!(dots == 0 || permutes <= 1, "{line}: {permutes} transposes");
    }
}

#[test]
fn draws_differ_and_stay_in_range() {
    let g = graph(
        "let a: [40, 50] ~ normal()\nlet b: [40, 50] ~ normal()\nlet u: [2000] ~ uniform(2.0)\n\
         let k: bool[2000] ~ bernoulli(0.25)\nlet r: idx<7>[2000] ~ randint()\nlet t: [2000] ~ trunc_normal(0.5)\n\
         let w: [64, 30] ~ kaiming_uniform(sqrt(5.0))\nlet c: idx<2>[2000] ~ categorical(log([0.75, 0.25]))\n\
         assert close(mean(a), 0, 0.1) and close(norm(a)**2 / 2000, 1, 0.15) and close(mean(a * b), 0, 0.1)\n\
         assert max(u) < 2 and min(u) >= -2 and close(mean(u), 0, 0.15) and close(mean(u**2), 4 / 3.0, 0.15)\n\
         assert close(mean(k), 0.25, 0.05)\nassert min(r) == 0 and max(r) == 6 and close(mean(r), 3, 0.2)\n\
         assert max(t) <= 1 and min(t) >= -1 and close(norm(t) / sqrt(2000), 0.5 * 0.8796, 0.03)\n\
         assert max(abs(w)) <= 1 / sqrt(30) and max(w) > 0.9 / sqrt(30)\nassert close(mean(c), 0.25, 0.05)",
    );
    let out = interp::run(&g, &Feeds::default()).expect("runs");
    let bad: Vec<usize> = (0..out.len()).filter(|&i| out[i].ty.dtype == DType::Bool && out[i].data != [1.0]).collect();
    assert!(bad.is_empty(), "assertions {bad:?} of {}", out.len());
}

/// Wrong lines, the code of the finding, and a part of its text.
const WRONG: &[(&str, &str, &str)] = &[
    ("ones[4, 1] - ones[4]", "E0102", "on [4]: `ones[4][:, new]`"),
    ("ones[4, 3] + ones[4]", "E0103", "3 is added to 4"),
    ("one(ones[4]) - ones[4]", "E0102", "ambiguous broadcast: [4, 1] with [4] would silently become [4, 4]"),
    ("ones[3] + ones[4]", "E0103", "3 is added to 4"),
    ("ones[2, 3] @ ones[4, 5]", "E0103", "`@` contracts 3 with 4"),
    ("ones[2, 3] @ ones[5, 3]", "E0103", "`ones[5, 3].T`"),
    ("ones[3] @ 2.0", "E0117", "use `*`"),
    ("iota[3] + 0.5", "E0202", "i32 and 0.5 do not mix"),
    ("iota[3] * ones[3]", "E0202", "i32 and f32 do not mix"),
    ("arange(4) / 2", "E0202", "round down with `//`"),
    ("not ones[3]", "E0202", "`not` needs bools"),
    ("where(ones[3], 1, 2)", "E0202", "`where` needs bools"),
    ("sum(ones[2, 3], 2)", "E0109", "[2, 3] has no axis 2"),
    ("sum(ones[2, 3], [0, 0])", "E0109", "named twice"),
    ("reshape(ones[2, 6], [5, 2])", "E0110", "reshape changes the number of elements: [2, 6] has 12, [5, 2] has 10"),
    ("reshape(ones[2, 6], [_, _])", "E0106", "two `_`"),
    ("reshape(ones[2, 6], [5, _])", "E0110", "a multiple of 5"),
    ("ones[4][4]", "E0116", "index 4 is outside of the axis 4"),
    ("ones[4][1:6]", "E0116", "slice 1:6 is outside of the axis 4"),
    ("ones[4][::0]", "E0116", "step"),
    ("ones[4][0, 0]", "E0117", "2 indices into [4]"),
    ("ones[4][ones[4] > 0]", "E0202", "mask cannot select"),
    ("ones[3][iota[5]]", "E0111", "index space mismatch: idx<5> into an axis of size 3"),
    ("pick(ones[2, 3], iota[3])", "E0103", "one index for each row"),
    ("cat(ones[2, 3], ones[3, 3])", "E0108", "sizes differ: 2 vs 3"),
    ("stack(ones[2], ones[3])", "E0108", "[2] vs [3]"),
    ("split(ones[7], 2)", "E0104", "7 / 2"),
    ("split(ones[7], [3, 3])", "E0108", "do not add up"),
    ("ones[3].T", "E0117", "at least two axes"),
    ("ones[3].shape", "E0100", "no field `shape`"),
    ("pad(ones[3], (1, -1))", "E0209", "must not be negative"),
    ("relu(ones[3], slope: 2)", "E0208", ""),
    ("sum(ones[3], 0, keepdim: true)", "E0208", "no argument `keepdim`"),
    ("zeros[100000, 100000]", "E0902", "too large"),
    ("rearrange(ones[2, 7], b (n h) -> b n h, n: 3)", "E0104", "does not split"),
    ("rearrange(ones[2, 6], b (n h) -> b n h)", "E0106", "cannot infer both"),
    ("rearrange(ones[2, 6], b c -> b)", "E0119", "`c` does not stand on the right"),
];

/// Applies every suggested edit to a program: what is still wrong then.
fn unmended(text: &str, found: &[Diagnostic]) -> String {
    let mut bad = String::new();
    for h in found.iter().flat_map(|d| &d.help).filter(|h| !h.edits.is_empty()) {
        let text = edited(text, &h.edits);
        let p = load(&text);
        if let Err(left) = tests_of(&p, p.main()).remove(0).graph {
            bad += &format!("{} leaves\n{text}\n{}\n", h.message, report::render(&left, &p.sources, false));
        }
    }
    bad
}

#[test]
fn wrong_programs_are_told() {
    let mut bad = String::new();
    for (line, code, part) in WRONG {
        let text = format!(
            "fn one(x: [B]) -> [B, 1] = x[:, new]\ntest \"t\" {{\n  let y = {line}\n  assert close(sum(y), 0)\n}}"
        );
        let p = load(&text);
        let found = match tests_of(&p, p.main()).remove(0).graph {
            Ok(_) => vec![],
            Err(d) => d,
        };
        let shown = report::render(&found, &p.sources, false);
        if !found.iter().any(|d| d.code == *code) || !shown.contains(part) {
            bad += &format!("{line}: expected {code} {part:?}\n{shown}\n");
        }
        bad += &unmended(&text, &found);
    }
    assert!(bad.is_empty(), "{bad}");
}

/// Wrong comprehensions over `x: [3, 4]`, `w: [5, 4]` and `v: [6]`.
const WRONG_COMPREHENSIONS: &[(&str, &str, &str)] = &[
    ("let y[b, o] = sum[i](x[b, i] * v[i]) + w[o, 0]", "E0113", "index `i` ranges over two sizes: 4 and 6"),
    ("let y[b, j] = x[b, 0]", "E0106", "the range of index `j` is not known"),
    ("let y[b] = x[b]", "E0117", "1 index into"),
    ("let y[b] = x[b, 0] + v", "E0117", "must be one element"),
    ("let y[b, i] = softmax(x[b, i])", "E0117", "`softmax` is not elementwise"),
    ("let y[i, b] = x[b, i < 2]", "E0106", "`i < N`"),
    ("let y[i < 4] = v[i + 3]", "E0107", "reaches 6"),
    ("let y[i] = sum[u < 7](v[i + u])", "E0107", "window does not fit"),
    ("let y[b, b] = x[b, 0]", "E0208", "bound twice"),
    ("let y[b] = x[b, 4]", "E0107", "reaches 4"),
    ("let y[b, ..] = x[b, 0]", "", ""),
];

#[test]
fn wrong_comprehensions_are_told() {
    let mut bad = String::new();
    for (line, code, part) in WRONG_COMPREHENSIONS {
        let head = "let x = randn[3, 4](seed: 1)\nlet w = randn[5, 4](seed: 2)\nlet v = randn[6](seed: 3)\n";
        let text = format!("test \"t\" {{\n{head}{line}\nassert close(sum(y), 0)\n}}");
        let p = load(&text);
        let found = match tests_of(&p, p.main()).remove(0).graph {
            Ok(_) => vec![],
            Err(d) => d,
        };
        let shown = report::render(&found, &p.sources, false);
        let as_expected = if code.is_empty() { found.is_empty() } else { found.iter().any(|d| d.code == *code) };
        if !as_expected || !shown.contains(part) {
            bad += &format!("{line}: expected {code} {part:?}\n{shown}\n");
        }
        bad += &unmended(&text, &found);
    }
    assert!(bad.is_empty(), "{bad}");
}

/// Every builtin on operands of every dtype and of odd shapes: a value or a finding, never a panic; and what elaborates
/// also runs.
#[test]
fn no_call_panics() {
    let operands = [
        "ones[2, 3]",
        "zeros[0]",
        "zeros[2, 0]",
        "ones[1]",
        "iota[4]",
        "(ones[3] > 0)",
        "(ones[2, 3] as u8)",
        "(ones[3] as f64)",
        "(ones[3] as i64)",
        "(ones[3] as i8)",
        "fill[2](3)",
        "2",
        "-1",
        "0.5",
        "true",
        "[1.0, 2.0]",
        "[2, 0]",
        "[]",
        "sum(ones[3])",
        "ones[1, 1, 1, 1, 1, 1, 1, 2]",
        "inf",
        "99999999999",
        "(ones[2, 3], 1)",
        "\"s\"",
        "mean(ones[3])",
    ];
    let heads: Vec<String> = crate::sema::builtins::names()
        .flat_map(|n| match n {
            "one_hot" | "segment_sum" | "scatter_add" | "fill" | "full" | "linspace" => vec![format!("{n}[3]")],
            "randn" => vec!["randn[2]".into()],
            _ => vec![n.to_owned()],
        })
        .collect();
    let mut bodies: Vec<String> = vec![];
    for (i, a) in operands.iter().enumerate() {
        for h in &heads {
            bodies.push(format!("{h}({a})"));
            bodies.push(format!("{h}({a}, {})", operands[(i * 7 + h.len()) % operands.len()]));
            if (i + h.len()) % 2 == 0 {
                bodies.push(format!("{h}({a}, axis: {})", [0, -1, 1, 7][i % 4]));
                continue;
            }
            bodies.push(format!(
                "{h}({a}, {}, {})",
                operands[(i + h.len()) % operands.len()],
                ["1", "ones[3]", "[2, 0]"][i % 3]
            ));
        }
        for (j, b) in operands.iter().enumerate() {
            // Every operator meets every kind of operand on each side, if not every pair of them.
            for op in ["+", "/", "//", "%", "**", "@", "==", "and"].iter().skip((i + j) % 4).step_by(4) {
                bodies.push(format!("{a} {op} {b}"));
            }
            if (i + j) % 3 > 0 {
                continue;
            }
            bodies.push(format!("where({b}, {a}, 1)"));
            bodies.push(format!("({a})[{b}]"));
            bodies.push(format!("({a})[{b} +: 1]"));
            bodies.push(format!("({a})[.., {b}:, new]"));
        }
        bodies.push(format!("-{a}"));
        bodies.push(format!("not {a}"));
        for d in ["bool", "i8", "u32", "f64", "idx<3>"] {
            bodies.push(format!("({a}) as {d}"));
        }
    }
    let text: String = bodies.iter().enumerate().map(|(i, b)| format!("test \"{i}\" {{ let y = {b} }}\n")).collect();
    let (p, diags) = Program::load("test.nn", &text, &|path, _| Err(format!("no file {path}")));
    assert!(diags.is_empty(), "{}", report::render(&diags[..1], &p.sources, false));
    let units = tests_of(&p, p.main());
    assert_eq!(units.len(), bodies.len());
    let fine = units.iter().filter(|u| u.graph.is_ok()).count();
    assert!(fine > bodies.len() / 10, "only {fine} of {} elaborate", bodies.len());
}
