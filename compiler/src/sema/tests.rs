//! Programs elaborated to graphs.

use super::suite;
use super::train::{Kind, check};
use super::units::{Options, Program, TrainUnit};
use crate::diag::Diagnostic;
use crate::graph::graph::SlotKind;
use crate::graph::interp;
use crate::graph::tensor::Tensor;
use nn_runtime::data::{ColumnSpec, Header, SourceSpec};
use nn_runtime::dtype::DType;
use nn_runtime::error::DataError;

/// Headers of made-up files, by the kind of source.
fn header(spec: &SourceSpec) -> Result<Header, DataError> {
    let column = |name: &str, dtype, shape: &[u64]| ColumnSpec { name: name.into(), dtype, shape: shape.to_vec() };
    Ok(match spec {
        SourceSpec::Idx { .. } => Header {
            rows: 60_000,
            columns: vec![column("image", DType::U8, &[28, 28]), column("label", DType::U8, &[])],
            ..Header::default()
        },
        SourceSpec::Csv { columns: Some(c), .. } => Header {
            rows: 1000,
            columns: c
                .iter()
                .map(|(n, w)| column(n, DType::I32, if *w == 1 { &[] } else { std::slice::from_ref(w) }))
                .collect(),
            ..Header::default()
        },
        SourceSpec::Table { columns } => Header {
            rows: columns[0].shape[0],
            columns: columns.iter().map(|c| column(&c.name, c.dtype, &c.shape[1..])).collect(),
            ..Header::default()
        },
        _ => Header { rows: 100, ..Header::default() },
    })
}

fn options() -> Options<'static> {
    Options { seed: None, header: &header }
}

fn load(text: &str) -> Program {
    let (p, diags) = Program::load("test.nn", text, &|path, _| Err(format!("no file {path}")));
    assert!(diags.is_empty(), "{diags:#?}");
    p
}

fn show(p: &Program, diags: &[Diagnostic]) -> String {
    crate::report::render(diags, &p.sources, false)
}

fn unit(p: &Program) -> TrainUnit {
    let (units, diags) = check(p, &options());
    assert!(diags.is_empty(), "{}", show(p, &diags));
    units.into_iter().next().expect("a unit")
}

#[test]
fn examples_elaborate() {
    for name in ["mnist_mlp", "digits", "perceptron", "rbfn", "tabular"] {
        let path = format!("{}/../examples/{name}.nn", env!("CARGO_MANIFEST_DIR"));
        let p = load(&std::fs::read_to_string(path).unwrap());
        let u = unit(&p);
        for kind in [Kind::Train, Kind::Eval, Kind::Init, Kind::Result, Kind::Reset] {
            let g = u.graph(&p, kind, 7).unwrap_or_else(|d| panic!("{name} {kind:?}\n{}", show(&p, &d)));
            let stored: Vec<_> = g.slots.iter().filter(|s| s.kind == SlotKind::Param).map(|s| &s.name).collect();
            let all: Vec<_> = u.params.iter().map(|s| &s.name).collect();
            if matches!(kind, Kind::Train | Kind::Eval | Kind::Init) {
                assert_eq!(stored, all, "{name} {kind:?}");
            }
            for o in &g.outputs {
                if let Some(slot) = o.assign {
                    assert_eq!(g.ty(o.value), &g.slots[slot as usize].ty, "{name} {kind:?} {}", o.name);
                }
            }
        }
    }
}

/// Every checked example of std holds, by the graph interpreter.
#[test]
fn std_tests_hold() {
    std_tests(&load(""), DType::F32);
}

/// In a program of f64 every float of std is f64, and its examples hold as well.
#[test]
fn std_tests_hold_in_f64() {
    let p = load(super::precision::ITEMS);
    std_tests(&p, DType::F64);
}

fn std_tests(p: &Program, float: DType) {
    let mut bad = String::new();
    let mut count = 0;
    for file in 0..p.std_files {
        for t in suite::tests(p, file) {
            count += 1;
            let g = match &t.graph {
                Ok(g) => g,
                Err(d) => {
                    bad += &format!("test {:?}\n{}\n", t.name, show(p, d));
                    continue;
                }
            };
            for n in g.nodes.iter().filter(|n| n.ty.dtype.is_float() && n.ty.dtype != float) {
                bad += &format!("test {:?}: {:?} is {}\n", t.name, n.op, n.ty.dtype);
            }
            let feeds = interp::Feeds::default();
            let roots: Vec<_> = g.outputs.iter().map(|o| o.value).collect();
            let values = interp::run_values(g, &feeds, &roots).unwrap_or_else(|e| panic!("{}: {e}", t.name));
            for (v, c) in values.iter().zip(&t.checks) {
                if v.data != [1.0] {
                    bad += &format!(
                        "test {:?}: {}: `{}` is false\n",
                        t.name,
                        p.sources.locate(c.span),
                        p.sources.text(c.span)
                    );
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad}");
    assert!(count > 20, "{count} tests in std");
}

const SMALL: &str = "
data D {
  train = table(x: [[1, 2], [3, 4], [5, 6]], y: [1, 0, 1])
  x: f32[2] = x / 2
  y: idx<2> = y
}
const scale = 0.5
dim H = 3
model M[In, F = 4](p = 0.1, layers = 1) {
  a = Linear[In, H];  b = Linear[H, F] * 1;  c = Linear[F, 2]
  blocks = [Linear[F, F] for i in 0..layers]
  fn forward(x: [B, In]) -> [B, 2] = c(blocks(b(a(x * scale))))
}
train m: M[2] on D {
  batch = 2;  epochs = 4;  seed = 5
  loss = cross_entropy(m(x), y)
  optimizer = Sgd(lr: 0.1)
}
";

fn with(sets: &[(&str, &str)]) -> (Option<TrainUnit>, String) {
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let mut p = load(SMALL);
    let wrong = p.set(&sets);
    if !wrong.is_empty() {
        return (None, show(&p, &wrong));
    }
    let (units, diags) = check(&p, &options());
    (units.into_iter().next(), show(&p, &diags))
}

#[test]
fn overrides() {
    let sizes = |u: &TrainUnit| u.params.iter().map(|p| p.ty.numel()).sum::<u64>();
    let (plain, said) = with(&[]);
    let plain = plain.unwrap_or_else(|| panic!("{said}"));
    assert_eq!((plain.steps, plain.seed, sizes(&plain)), (8, 5, 9 + 16 + 20 + 10));
    for (sets, steps, seed, size) in [
        (&[("H", "5")][..], 8, 5, 15 + 24 + 20 + 10),
        (&[("F", "1")], 8, 5, 9 + 4 + 2 + 4),
        (&[("m.layers", "2")], 8, 5, 9 + 16 + 40 + 10),
        (&[("m.In", "2"), ("train.batch", "3")], 4, 5, 55),
        (&[("train.steps", "3"), ("train.seed", "9")], 3, 9, 55),
        (&[("train.optimizer.lr", "0.5"), ("scale", "1.0")], 8, 5, 55),
    ] {
        let (u, said) = with(sets);
        let u = u.unwrap_or_else(|| panic!("{sets:?}\n{said}"));
        assert_eq!((u.steps, u.seed, sizes(&u)), (steps, seed, size), "{sets:?}");
    }
    for (set, part) in [
        (("train.bach", "3"), "did you mean `train.batch`?"),
        (("scal", "3"), "did you mean `scale`?"),
        (("H", "wide"), "unknown name `wide`"),
        (("train.batch", "0"), "at least 1"),
        (("m.In", "3"), "these layers do not fit"),
    ] {
        let (_, said) = with(&[set]);
        assert!(said.contains(part), "{set:?}\n{said}");
    }
}

/// The loss of a batch by the interpreter against the formula, and one step of plain gradient descent.
#[test]
fn numbers() {
    let p = load(
        "data D {\n  train = table(x: [[1, 2], [3, 4]], y: [1, 0])\n  x: f32[2] = x / 2\n  y: f32 = y\n}\n\
         model M {\n  param w: [2] = 1\n  fn forward(x: [B, 2]) -> [B] = x @ w\n}\n\
         train m: M on D {\n  batch = 2;  epochs = 1\n  loss = mse(m(x), y)\n  optimizer = Sgd(lr: 0.1)\n}\n",
    );
    let u = unit(&p);
    let g = u.graph(&p, Kind::Train, 2).unwrap_or_else(|d| panic!("{}", show(&p, &d)));
    let data = |name: &str| -> Vec<f64> {
        match name {
            "w" => vec![1.0, 1.0],
            "x" => vec![1.0, 2.0, 3.0, 4.0],
            "y" => vec![1.0, 0.0],
            _ => vec![1.0],
        }
    };
    let slots = g.slots.iter().map(|s| Tensor::new(s.ty.clone(), data(&s.name))).collect();
    let out = interp::run(&g, &interp::Feeds { slots, seed: 0, step: 1 }).unwrap();
    let get = |name: &str| {
        let i = g.outputs.iter().position(|o| &*o.name == name).unwrap_or_else(|| panic!("no {name}"));
        out[i].data.to_vec()
    };
    // Predictions 1.5 and 3.5 for 1 and 0: squared errors 0.25 and 12.25.
    assert_eq!(get("loss.num")[0] / get("loss.den")[0], 6.25);
    // d/dw = mean(2 * error * x) = [0.5 * 0.5 + 3.5 * 1.5, 0.5 * 1 + 3.5 * 2] = [5.5, 7.5]
    let w = get("w");
    assert!((w[0] - 0.45).abs() < 1e-7 && (w[1] - 0.25).abs() < 1e-7, "{w:?}");
}

/// Draws of a `rows` source are uniform, and another seed draws other data.
#[test]
fn rows_draw_their_data() {
    let path = format!("{}/../examples/rbfn.nn", env!("CARGO_MANIFEST_DIR"));
    let p = load(&std::fs::read_to_string(path).unwrap());
    let g = unit(&p).graph(&p, Kind::Fields, 1800).unwrap();
    assert!(g.slots.is_empty(), "drawn fields read nothing");
    let draw = |seed| interp::run(&g, &interp::Feeds { slots: vec![], seed, step: 0 }).unwrap()[0].data.to_vec();
    let all = draw(3);
    assert_eq!(all, draw(3));
    assert_ne!(all, draw(4));
    let mean = all.iter().sum::<f64>() / 1800.0;
    let square = all.iter().map(|x| x * x).sum::<f64>() / 1800.0;
    assert!(all.iter().all(|x| (-3.0..3.0).contains(x)));
    // Standard errors: 1.73 / sqrt(1800) = 0.041 of the mean, 2.68 / sqrt(1800) = 0.063 of the mean square 3.
    assert!(mean.abs() < 0.16 && (square - 3.0).abs() < 0.25, "{mean} {square}");
    // Neighboring rows do not follow each other: a correlation of 1800 pairs has standard error 0.024.
    let lag = all.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / 1799.0 / square;
    assert!(lag.abs() < 0.1, "{lag}");
}

/// Files used by files: names, everything, an alias, what is missing, a circle.
#[test]
fn files() {
    let read = |path: &str, _: &str| -> Result<(String, String), String> {
        let text = match path {
            "a.nn" => "use \"b.nn\" as b\nmodel A = seq { b.Half, Linear[2, W] }\ndim W = b.W\n",
            "b.nn" => {
                "dim W = 3\nmodel Half {\n  fn forward(x: [..S]) -> [..S] = half(x)\n}\nfn half(x: [..S]) -> [..S] = x / 2\n"
            }
            "round.nn" => "use \"round.nn\"\n",
            _ => return Err(format!("no file `{path}`")),
        };
        Ok((path.to_owned(), text.to_owned()))
    };
    let tail = "
data D {
  train = table(x: [[1, 2], [3, 4]], y: [1, 0])
  x: f32[2] = x
  y: idx<3> = y
}
train m: A on D {
  batch = 2;  epochs = 1
  loss = cross_entropy(m(x), y)
  optimizer = Sgd(lr: 0.1)
}
";
    let go = |head: &str| {
        let (p, mut diags) = Program::load("main.nn", &format!("{head}\n{tail}"), &read);
        if !crate::report::any_error(&diags) {
            diags = check(&p, &options()).1;
        }
        show(&p, &diags)
    };
    assert_eq!(go("use \"a.nn\".{A}"), "");
    assert_eq!(go("use \"a.nn\""), "");
    assert_eq!(go("use \"a.nn\" as a\nmodel A = seq { a.A }"), "");
    for (head, part) in [
        ("use \"a.nn\".{AA}", "`a.nn` has no `AA`"),
        ("use \"a.nn\" as a\nmodel A = seq { a.AB }", "has no `AB`"),
        ("use \"c.nn\"", "no file `c.nn`"),
        ("use \"round.nn\"", "`round.nn` is used by itself"),
        ("use std.vision.ResNet", "std has no `ResNet`"),
    ] {
        let said = go(head);
        assert!(said.contains(part), "{head}\n{said}");
    }
}

/// One graph as data: sizes solved from the file, exported, and no batch axis.
#[test]
fn sizes_from_the_header() {
    let p = load(
        "
data G {
  source = npz(\"g.npz\")
  x: f32[N, F] = x
  src: idx<N>[E] = edges[0]
  y: idx<4>[N] = y
}
model M[F, C] {
  fc = Linear[F, C]
  fn forward(x: [N, F], src: idx<N>[E]) -> [N, C] = fc(x) + mean(x[src])
}
train m: M[G.F, 4] on G {
  batch = full;  steps = 5
  loss = cross_entropy(m(x, src), y)
  optimizer = Sgd(lr: 0.1)
}
",
    );
    let header = |_: &SourceSpec| {
        let column = |name: &str, dtype, shape: &[u64]| ColumnSpec { name: name.into(), dtype, shape: shape.to_vec() };
        let columns = vec![
            column("x", DType::F32, &[20, 7]),
            column("edges", DType::I32, &[2, 50]),
            column("y", DType::I32, &[20]),
        ];
        Ok(Header { rows: 1, columns, unread: vec![] })
    };
    let o = Options { seed: None, header: &header };
    let (units, diags) = check(&p, &o);
    assert!(diags.is_empty(), "{}", show(&p, &diags));
    let u = &units[0];
    assert_eq!(u.params[0].ty.shape.as_slice(), [4, 7]);
    assert_eq!(u.predict.as_ref().map(|t| t.shape.to_vec()), Some(vec![20, 4]));
    assert!(u.typed.contains("src: idx<N>[E]"), "{}", u.typed);
}

/// Two models, parameters by path, some of them frozen, one optimizer each.
#[test]
fn owners_of_parameters() {
    let p = load(
        "
data D {
  train = table(x: [[1, 2], [3, 4]])
  x: f32[2] = x
}
train g: Linear[2, 2], d: Residual(seq { a: Linear[2, 2], relu, b: Linear[_, 2] }) on D {
  batch = 2;  epochs = 1
  loss = mean(d(g(x))**2)
  optimizer g = Adam(lr: 0.1)
  optimizer d = Sgd(lr: 0.1, momentum: 0.9)
  freeze = [d.a, g.bias]
}
",
    );
    let u = unit(&p);
    let names = |x: &[super::units::StoredInfo]| x.iter().map(|p| p.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&u.params), ["g.weight", "g.bias", "d.a.weight", "d.a.bias", "d.b.weight", "d.b.bias"]);
    assert_eq!(
        names(&u.states),
        ["optimizer.g.weight.m", "optimizer.g.weight.v", "optimizer.d.b.weight.m", "optimizer.d.b.bias.m"]
    );
    let trainable: Vec<bool> = u.params.iter().map(|p| p.trainable).collect();
    assert_eq!(trainable, [true, false, false, false, true, true]);
    let g = u.graph(&p, Kind::Train, 2).unwrap_or_else(|d| panic!("{}", show(&p, &d)));
    let assigned: Vec<String> = g.outputs.iter().filter(|o| o.assign.is_some()).map(|o| o.name.to_string()).collect();
    let params: Vec<&String> = assigned.iter().filter(|n| !n.starts_with("optimizer.")).collect();
    assert_eq!(params, ["g.weight", "d.b.weight", "d.b.bias"]);
}

/// Programs with slips in them end in diagnostics, never in a panic; what passes has graphs.
///
/// `NN_MUTATIONS=n` tries more of them, spread over every file.
#[test]
fn mutated_programs_are_told_about() {
    let budget: usize = std::env::var("NN_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let root = format!("{}/..", env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![SMALL.to_owned()];
    for dir in ["examples", "tests/spec/sema"] {
        let mut files: Vec<_> =
            std::fs::read_dir(format!("{root}/{dir}")).unwrap().flatten().map(|e| e.path()).collect();
        files.sort();
        let nn = files.iter().filter(|p| p.extension().is_some_and(|e| e == "nn"));
        texts.extend(nn.map(|p| std::fs::read_to_string(p).unwrap()));
    }
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % n.max(1)
    };
    for _ in 0..budget {
        let text = &texts[random(texts.len())];
        let text = mutate(text, &mut random);
        let seen = std::panic::catch_unwind(|| {
            let (p, diags) = Program::load("test.nn", &text, &|path, _| Err(format!("no file {path}")));
            if crate::report::any_error(&diags) {
                return;
            }
            let (units, diags) = check(&p, &options());
            if crate::report::any_error(&diags) {
                assert!(!show(&p, &diags).is_empty());
                return;
            }
            for u in units {
                for kind in [Kind::Train, Kind::Eval, Kind::Init, Kind::Result, Kind::Reset] {
                    u.graph(&p, kind, 1).ok();
                }
            }
        });
        assert!(seen.is_ok(), "this program panics:\n{text}");
    }
}

/// One or two words of a program changed, dropped, doubled or swapped.
fn mutate(text: &str, random: &mut dyn FnMut(usize) -> usize) -> String {
    let mut words: Vec<String> = vec![];
    for c in text.lines().filter(|l| !l.starts_with('#')).flat_map(|l| l.chars().chain(['\n'])) {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        match words.last_mut() {
            Some(w) if word(c) && w.chars().all(word) => w.push(c),
            _ => words.push(c.to_string()),
        }
    }
    const NEW: &[&str] = &[
        "0",
        "1",
        "-1",
        "2.5",
        "7",
        "100000",
        "4000000000",
        "9223372036854775807",
        "_",
        "x",
        "y",
        "m",
        "B",
        "D",
        "M",
        "N",
        "relu",
        "softmax",
        "Linear",
        "true",
        "\"s\"",
        "inf",
        "[1, 2]",
        "(1, 2)",
        "x[0]",
        "x.T",
        "x[:, new]",
        "sum(x)",
        "mean(x)",
        "argmax(x)",
        "|z| z",
        "seq { relu }",
        "training",
        "1 - 1",
        "ones[3]",
        "idx<3>",
        "f64",
    ];
    for _ in 0..1 + random(2) {
        let at = random(words.len());
        match random(4) {
            0 => words[at] = NEW[random(NEW.len())].to_owned(),
            1 => words[at] = String::new(),
            2 => {
                let w = words[at].clone();
                words.insert(at, w);
            }
            _ => {
                let other = random(words.len());
                words.swap(at, other);
            }
        }
    }
    words.concat()
}

/// A model that returns a tuple predicts all its tensors, however the loss takes it apart.
#[test]
fn all_of_a_tuple_is_the_prediction() {
    for loss in ["loss = cross_entropy(m(x).0, y)", "let (a, _) = m(x)\n  loss = cross_entropy(a, y)"] {
        let p = load(&format!(
            "data D {{\n  source = csv(\"d.csv\", columns: {{ v: 8, k: 1 }})\n  x: f32[8] = v / 16\n  y: idx<4> = k\n}}\n\
             model M {{\n  fc = Linear[8, 4]\n  fn forward(x: [B, 8]) -> ([B, 4], [B, 8]) = (fc(x), x)\n}}\n\
             train m: M on D {{\n  batch = 20;  epochs = 1\n  {loss}\n  optimizer = Adam(lr: 0.1)\n}}\n"
        ));
        let u = unit(&p);
        assert_eq!(u.predict.as_ref().map(|t| t.shape.to_vec()), Some(vec![20, 4]), "{loss}");
        let g = u.graph(&p, Kind::Predict, 20).unwrap_or_else(|d| panic!("{}", show(&p, &d)));
        let results = g.outputs.iter().filter(|o| o.name.starts_with("predict."));
        assert_eq!(results.map(|o| g.ty(o.value).shape[1]).collect::<Vec<_>>(), [4, 8], "{loss}");
    }
}

/// A mistake made often is neither said nor searched for without end.
#[test]
fn findings_are_capped() {
    let (_, diags) = check(&load(&"const a = 1\n".repeat(3000)), &options());
    assert_eq!(diags.len(), 51);
    assert!(diags[50].message.starts_with("too many errors"), "{}", diags[50].message);
}
