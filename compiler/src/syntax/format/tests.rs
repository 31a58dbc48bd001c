//! Tests of the formatter: what it must keep, on whole programs and on their layouts mutated, and how it lays out.

use super::{Failure, Text, format};
use crate::source::FileId;
use crate::syntax::tests::{Rng, fixtures, parsed, shape};
use std::path::PathBuf;

fn formatted(name: &str, text: &str) -> String {
    match format(FileId(0), text) {
        Ok(out) => out,
        Err(Failure::Program(errors)) => panic!("{name}: {errors:#?}\n{text}"),
        Err(Failure::Bug) => panic!("{name} would change:\n{text}"),
    }
}

/// The formatted text, after checking that it says the same and that formatting again changes nothing.
fn kept(name: &str, text: &str) -> String {
    let out = formatted(name, text);
    let (before, after) = (Text::new(FileId(0), text), Text::new(FileId(0), &out));
    let spelled = |t: &Text| t.spelled().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(spelled(&before), spelled(&after), "{name}:\n{out}");
    let (tree, again) = (parsed(text), parsed(&out));
    assert!(again.1.is_empty(), "{name}: {:#?}\n{out}", again.1);
    assert_eq!(shape(&tree.0), shape(&again.0), "{name}:\n{out}");
    assert_eq!(formatted(name, &out), out, "{name}: the second time changes something");
    assert!(out.lines().all(|l| l.trim_end() == l), "{name}: blanks at the end of a line");
    assert!(!out.contains("\n\n\n") && !out.starts_with('\n') && !out.ends_with("\n\n"), "{name}: empty lines\n{out}");
    out
}

/// Comments, literals and the tree are the same, and a second time changes nothing.
#[test]
fn programs_keep_what_they_say() {
    for (name, text) in fixtures() {
        kept(&name, &text);
    }
}

/// The repository's own programs are laid out as the formatter lays them out.
#[test]
fn own_programs_are_formatted() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut wrong = vec![];
    for dir in ["stdlib", "examples", "benches/workloads", "tests/data/syntax", "tests/stages", "tests/traces"] {
        for entry in std::fs::read_dir(root.join(dir)).expect(dir) {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|e| e != "nn") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let out = formatted(&path.display().to_string(), &text);
            if out != text && std::env::var_os("NN_BLESS").is_some() {
                std::fs::write(&path, out).expect("written");
            } else if let Some((old, new)) = text.lines().zip(out.lines()).find(|(a, b)| a != b) {
                wrong.push(format!("{}:\n-{old}\n+{new}", path.display()));
            } else if out != text {
                wrong.push(format!("{}: lines are missing or too many", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "run `nnc fmt --write` or this test with NN_BLESS=1:\n{}", wrong.join("\n"));
}

/// Puts a program's blanks, line breaks and comments anywhere, as far as it still parses.
#[test]
fn mutated_layouts_keep_what_they_say() {
    let programs = fixtures();
    let mut rng = Rng(11);
    let mut tried = 0;
    const FILLS: [&str; 14] = [
        "  ",
        "    ",
        "\t",
        "\n",
        "\n\n\n",
        " # note\n",
        "\n# own line\n",
        "\n    # deep\n",
        "\r\n",
        " \n  ",
        "       ",
        "\n         ",
        "   # far\n",
        "\n\n  ## doc\n",
    ];
    for round in 0..500 {
        let (name, text) = &programs[rng.next() as usize % programs.len()];
        let items: Vec<&str> = text.split("\n\n").collect();
        let item = items[rng.next() as usize % items.len()];
        let toks = Text::new(FileId(0), item);
        let spans: Vec<(usize, usize)> = toks.toks.iter().map(|t| (t.start, t.end)).collect();
        let mut mutant = String::new();
        let mut at = 0;
        let often = 3 + rng.next() % 20;
        for (start, end) in spans {
            let gap = &item[at..start];
            if rng.next().is_multiple_of(often) && !mutant.is_empty() && !item[..at].ends_with('\n') {
                // A comment must stay one: what follows it starts a line.
                if gap.contains('\n') {
                    mutant += "\n";
                }
                mutant += FILLS[rng.next() as usize % FILLS.len()];
            } else {
                mutant += gap;
            }
            mutant += &item[start..end];
            at = end;
        }
        if parsed(&mutant).1.is_empty() {
            kept(&format!("{name} round {round}"), &mutant);
            tried += 1;
        }
    }
    assert!(tried > 150, "only {tried} layouts parsed");
}

/// Text and what it becomes; `None` if it stays as it is.
fn becomes(text: &str, want: Option<&str>) {
    let out = kept(text, text);
    assert_eq!(out, want.unwrap_or(text), "\n{out}");
}

/// The body of a header belongs to the line where the header begins, wherever its conditions end.
#[test]
fn conditions_go_over_lines() {
    let head = "fn f(x: [N], a: float,\n     b: float) -> [N] where a >= 0,";
    let body = " {\n  let y = x * a\n  y + b\n}\n";
    becomes(&format!("{head} b >= 0{body}"), None);
    becomes(&format!("{head}\n                            b >= 0{body}"), None);
    becomes(&format!("{head}\n  b >= 0{body}"), None);
    becomes(&format!("{head}\n b >= 0{body}"), Some(&format!("{head}\n  b >= 0{body}")));
    let line = "optimizer O(lr: schedule = 1e-3)\nwhere lr(1.0) >= 0,\n      lr(1.0) < 1 {\n  state m: [..S] = 0\n}\n";
    becomes(line, None);
    becomes("fn g(x: [N]) -> [N]\nwhere N > 1,\n      N < 9 = if N > 2 {\n  x\n} else {\n  2 * x\n}\n", None);
}

#[test]
fn comments_stay_where_they_are() {
    becomes(
        "# at the start\n\n## A doc.\nfn f(\n  # before a parameter\n  x: [N], # after one\n  # before a bracket\n) -> [N] = x # after\n\nlet l = [\n  1, # one\n\n  # two\n  2,\n  # last\n]\n\nlet r = {\n  a: 1 # a\n  # before a brace\n}\n\nmodel M {\n  # first\n  fc = Linear[1, 2]\n\n  # last\n}\n\n# at the end\n",
        Some(
            "# at the start\n\n## A doc.\nfn f(\n  # before a parameter\n  x: [N],  # after one\n  # before a bracket\n) -> [N] = x  # after\n\nlet l = [\n  1,  # one\n\n  # two\n  2,\n  # last\n]\n\nlet r = {\n  a: 1  # a\n  # before a brace\n}\n\nmodel M {\n  # first\n  fc = Linear[1, 2]\n\n  # last\n}\n\n# at the end\n",
        ),
    );
    // A comment that goes on below one after code stays below it; a block of them keeps one column.
    becomes(
        "let a=1   # one,\n          # and more\nlet bc=2  # two\n",
        Some("let a = 1   # one,\n            # and more\nlet bc = 2  # two\n"),
    );
    becomes("let a = f(b)          # far\nlet c = 1\nlet d = 2             # far too\n", None);
    becomes("\u{feff}## A doc.\r\nlet a = 1\r\n", Some("## A doc.\nlet a = 1\n"));
    becomes("#! /usr/bin/env nnc\n#\n#not a doc   \n", Some("#! /usr/bin/env nnc\n#\n#not a doc\n"));
}

#[test]
fn literals_keep_their_spelling() {
    becomes("let a = [1e-3, 1_000, 1.50, 1E+10, \"a \\u{e9} # b\", 0.1e2, 007]\n", None);
    becomes("let a=0 ..5\nlet t=x .0 .1.weight\n", Some("let a = 0 .. 5\nlet t = x.0.1.weight\n"));
}

#[test]
fn blanks_are_standard() {
    becomes(
        "model M[ In,Out=4*In ]( act=relu,p :float ) where In%2==0{\n param w:[Out,In]~normal( 0.1 )\n}\n",
        Some(
            "model M[In, Out = 4*In](act = relu, p: float) where In%2 == 0 {\n  param w: [Out, In] ~ normal(0.1)\n}\n",
        ),
    );
    becomes(
        "let a=-x**2+y*-1-f( x:2 )[1 :,: ,new,..S , t+:4]|>relu\n",
        Some("let a = -x**2 + y*-1 - f(x: 2)[1:, :, new, ..S, t +: 4] |> relu\n"),
    );
    becomes("let y:idx< V >[B,T]=x as idx<V>\n", Some("let y: idx<V>[B, T] = x as idx<V>\n"));
    becomes("let y: idx<V>=x\n", Some("let y: idx<V> = x\n"));
    becomes("let f=|x,( a,b )|if(not x){a}else{ }\n", Some("let f = |x, (a, b)| if (not x) { a } else {}\n"));
    becomes("use \"a.nn\" . { A,B }\nuse std.nn.Linear as l\n", Some("use \"a.nn\".{A, B}\nuse std.nn.Linear as l\n"));
    becomes("@name( \"x\" )let a=b< -1\n", Some("@name(\"x\") let a = b < -1\n"));
    becomes("let s[b,h<N,..]=sum[ d ]( x[b,d]*y[b,d] )\n", Some("let s[b, h < N, ..] = sum[d](x[b, d]*y[b, d])\n"));
    becomes(
        "let r=rearrange( x,b t ( n h )->n b ..,n:3 )\n",
        Some("let r = rearrange(x, b t (n h) -> n b .., n: 3)\n"),
    );
    becomes(
        "where(a,b,c)\nlet g: fn( f32,[N] )->bool = h\n",
        Some("where(a, b, c)\nlet g: fn(f32, [N]) -> bool = h\n"),
    );
}

#[test]
fn lines_are_the_authors() {
    becomes("model M = seq { Linear[2, 3], relu }\n", None);
    becomes("model M = seq {\n  Linear[2, 3], relu\n  Linear[3, 1]\n}\n", None);
    becomes("let x = f(\n  a,\n  b,\n)\n", None);
    becomes("let x = f(a,\n          b)\n", None);
    becomes("let x = f(a,\n     b,\n c)\n", Some("let x = f(a,\n  b,\n  c)\n"));
    becomes("let x = f(g({\na: 1\n}))\n", Some("let x = f(g({\n  a: 1\n}))\n"));
    becomes("let x = a\n|> f\n      |> g\n", Some("let x = a\n  |> f\n  |> g\n"));
    becomes("let x = a +\n        b\nlet y =\n  c\n", None);
    becomes(
        "fn f(x: [N]) -> [N]\n  where N > 2, N < 5 {\n    x\n  }\n",
        Some("fn f(x: [N]) -> [N]\nwhere N > 2, N < 5 {\n  x\n}\n"),
    );
    becomes("let x = if c { a }\n        else { b }\n", None);
    becomes("if c {\na\n}\nelse {\nb\n}\n", Some("if c {\n  a\n}\nelse {\n  b\n}\n"));
    becomes("@remat\nlet x = 1\n\n\n\nlet y = 2\n\n", Some("@remat\nlet x = 1\n\nlet y = 2\n"));
    becomes("data D {\n\n  x: f32 = y\n\n}\n", Some("data D {\n  x: f32 = y\n}\n"));
    becomes("", None);
}

#[test]
fn tables_stay_aligned() {
    // Two lines show that it is meant: shorter ones join, longer ones stay out.
    becomes(
        "train m: M on D {\n  loss = a\n  metrics   = c\n  optimizer = b\n  optimizer m.h.* = d\n  clip= 1.0\n}\n",
        Some(
            "train m: M on D {\n  loss      = a\n  metrics   = c\n  optimizer = b\n  optimizer m.h.* = d\n  clip      = 1.0\n}\n",
        ),
    );
    becomes(
        "train m: M on D {\n  loss      = a\n  metrics = b\n}\n",
        Some("train m: M on D {\n  loss = a\n  metrics = b\n}\n"),
    );
    becomes("data D {\n  x: f32[2] = x\n  y: f32    = y\n}\n", None);
    becomes("model M {\n  param centers:   [K, In] ~ normal()\n  param log_gamma: [K] = 0\n}\n", None);
    becomes(
        "model M {\n  param w  :[K]\n  param log:[K]\n}\n",
        Some("model M {\n  param w:   [K]\n  param log: [K]\n}\n"),
    );
    becomes("let a = f(x:    1,\n          long: 2)\n", None);
    becomes("let m = [\n  [  1.0, -20.5],\n  [-10.0,  3.25],\n]\n", None);
    becomes("let m = [\n    1,  20, 300,\n  400,   5,   6,\n]\n", None);
    becomes("let m = [\n  1,   20, 300,\n  400, 5,  6,\n]\n", None);
    becomes("let l = [1, 2,   3, 4]\n", Some("let l = [1, 2,  3, 4]\n"));
    becomes("model M {\n  ln_1 = A;  attn = B\n  ln_2 = A;  mlp  = C\n}\n", None);
    becomes("let a = f(\"x\",   \"y\")\nlet b = f(\"xyz\", \"y\")\n", None);
}

/// A column is given up where it would be mostly padding, so that text grows by a factor at most.
#[test]
fn padding_is_bounded() {
    let long = "n".repeat(5000);
    let text = format!("let a{} = 1\nlet {long} = 2\n{}", " ".repeat(4999), "let b = 1\n".repeat(1000));
    assert!(kept("padding", &text).len() < text.len());
}
