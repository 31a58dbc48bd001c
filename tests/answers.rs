//! What predictions are made of and what they come to, on the real binary: lines of a table that are rows or names, numbers
//! of every element type to the last digit, rows and metrics that are no numbers.

mod common;

use common::{Ran, command, folder, nnc};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

fn piped(dir: &Path, text: &str) -> Ran {
    let mut c = command(dir, &["predict", "--json", "p.nn", "--input", "-"]);
    let c = c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = c.spawn().expect("nnc starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let run = child.wait_with_output().expect("nnc ends");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    Ran { code: run.status.code().unwrap_or(-1), out: text(&run.stdout), err: text(&run.stderr) }
}

fn program(source: &str) -> String {
    format!(
        "data D {{ source = csv(\"d.csv\"{source}); x: f32[2] = x; y: f32 = y }}
train m: Linear[2, 1] on D {{ batch = 2; epochs = 1; loss = mse(m(x)[:, 0], y); optimizer = Sgd(lr: 0.1); save = last(\"w.safetensors\") }}
"
    )
}

/// Line 1 with a bad cell in it is a row, for training and for prediction alike: E0412 with the line and the cell.
#[test]
fn a_first_row_with_a_bad_cell_is_no_line_of_names() {
    let dir = folder();
    let at = dir.path();
    let rows = "0,1,2\n3,4,5\n";
    fs::write(at.join("d.csv"), rows).expect("written");
    fs::write(at.join("p.nn"), program(", columns: { x: 2, y: 1 }")).expect("written");
    nnc(at, &["train", "p.nn", "-q"]).ok();
    for first in ["NA,2,3", "nan,2,3", "2,inf,3", "1.O,2,3", "2,word,3", "-,2,3", "NA,NA,NA", "nan,nan,nan", "2,,3"] {
        let text = format!("{first}\n{rows}");
        let ran = piped(at, &text);
        assert!(ran.code == 3 && ran.all("predict").is_empty(), "{first}: {} {}", ran.code, ran.out);
        assert!(ran.err.contains("error[E0412]") && ran.err.contains("line 1, cell "), "{first}: {}", ran.err);
        fs::write(at.join("d.csv"), text).expect("written");
        let ran = nnc(at, &["train", "p.nn", "-q"]);
        assert!(ran.code == 3 && ran.err.contains("line 1, cell "), "{first}: {}", ran.err);
    }
    fs::write(at.join("d.csv"), rows).expect("written");
    // The same of files with the inputs alone.
    assert_eq!(piped(at, "NA,2\n3,4\n").code, 3);
    // Names: words and nothing else, or the program's own. Rows are counted from the first that is one.
    for names in ["a,b,c", "x1,x2,target", "x_0,x_1,2", "Na,K,Cl", "label,1x1,1x2"] {
        let ran = piped(at, &format!("{names}\n{rows}")).ok();
        let rows: Vec<u64> = ran.all("predict").iter().filter_map(|e| e["row"].as_u64()).collect();
        assert_eq!(rows, [1, 2], "{names}");
    }
    // A cell that the prediction does not read may be anything.
    assert_eq!(piped(at, &format!("7,8,word\n{rows}")).ok().all("predict").len(), 3);
}

/// Of lines that the program's file has before its rows, one that is words is passed over as in training, one that is a row
/// with a bad cell is not.
#[test]
fn a_bad_row_is_none_of_the_lines_to_skip() {
    let dir = folder();
    let at = dir.path();
    fs::write(at.join("d.csv"), "2,3,setosa\n0,1,2\n3,4,5\n").expect("written");
    fs::write(at.join("p.nn"), program(", skip: 1, columns: { x: 2, y: 1 }")).expect("written");
    nnc(at, &["train", "p.nn", "-q"]).ok();
    for (text, rows) in [("0,1,2\n3,4,5\n", 2), ("2,setosa,virginica\n0,1,2\n3,4,5\n", 2), ("a,b,c\n3,4,5\n", 1)] {
        assert_eq!(piped(at, text).ok().all("predict").len(), rows, "{text}");
    }
    for first in ["NA,2,3", "1.O,2,3", "nan,2,3"] {
        let ran = piped(at, &format!("{first}\n0,1,2\n3,4,5\n"));
        assert!(ran.code == 3 && ran.err.contains("line 1, cell 1 "), "{first}: {}", ran.err);
    }
}

/// Integers leave as integers, with every digit.
#[test]
fn integers_keep_their_digits_and_their_type() {
    let dir = folder();
    let at = dir.path();
    let ints = [16_777_217i32, -16_777_219, i32::MAX, i32::MIN];
    let cells: String = ints.iter().map(|i| format!("{i},1\n")).collect();
    fs::write(at.join("d.csv"), format!("n,x\n{cells}")).expect("written");
    let text = "data D { source = csv(\"d.csv\"); n: i32 = n; x: f32[1] = stack(x) }
model M {
  fc = Linear[1, 1]
  fn forward(x: [B, 1], n: i32[B]) -> ([B, 1], i32[B], bool[B]) = (fc(x), n, n > 0)
}
train m: M on D {
  batch = 4; epochs = 1
  let (z, n, positive) = m(x, n)
  loss = mean(z**2); optimizer = Sgd(lr: 0.1); save = last(\"w.safetensors\")
}
";
    fs::write(at.join("p.nn"), text).expect("written");
    nnc(at, &["train", "p.nn", "-q"]).ok();
    nnc(at, &["predict", "p.nn", "--output", "o.csv"]).ok();
    let table = fs::read_to_string(at.join("o.csv")).expect("a table");
    let mut lines = table.lines().map(|l| l.split(',').collect::<Vec<_>>());
    let head = lines.next().expect("names");
    let column = |name: &str| head.iter().position(|h| *h == name).unwrap_or_else(|| panic!("no `{name}` in {head:?}"));
    let (n, positive) = (column("n"), column("positive"));
    for (line, i) in lines.zip(ints) {
        assert_eq!((line[n], line[positive]), (&*i.to_string(), if i > 0 { "1" } else { "0" }), "{table}");
    }
    let events = nnc(at, &["predict", "p.nn", "--json"]).ok().all("predict");
    for (e, i) in events.iter().zip(ints) {
        assert_eq!(e["outputs"]["n"], serde_json::json!([i]));
    }
    assert!(nnc(at, &["predict", "p.nn"]).ok().out.contains("-16777219"));
    nnc(at, &["predict", "p.nn", "--output", "o.npz"]).ok();
    let archive = fs::read(at.join("o.npz")).expect("an archive");
    let member = |name: &str, descr: &str, bytes: &[u8]| {
        let file = format!("{name}.npy");
        let start =
            archive.windows(file.len() + 1).position(|w| w.starts_with(file.as_bytes()) && w[file.len()] == 0x93);
        let start = start.unwrap_or_else(|| panic!("no array `{name}`")) + file.len();
        let head = 10 + usize::from(u16::from_le_bytes([archive[start + 8], archive[start + 9]]));
        let text = String::from_utf8_lossy(&archive[start + 10..start + head]).into_owned();
        assert!(text.contains(&format!("'descr': '{descr}'")), "{name}: {text}");
        assert_eq!(&archive[start + head..start + head + bytes.len()], bytes, "{name}");
    };
    member("n", "<i4", &ints.map(i32::to_le_bytes).concat());
    member("positive", "|b1", &ints.map(|i| u8::from(i > 0)));
    // They can be read again.
    fs::write(at.join("q.nn"), text.replace("d.csv", "o.csv").replace("stack(x)", "stack(z)")).expect("written");
    nnc(at, &["predict", "q.nn"]).ok();
}

/// Compiled code gives the bits of the definition at zeros and infinities, in either float.
#[test]
fn absolute_values_of_zeros_are_positive_and_infinities_add_up() {
    let dir = folder();
    let at = dir.path();
    for (dtype, wide) in [("f32", false), ("f64", true)] {
        let text = format!(
            "data D {{ source = npz(\"x.npz\"); x: {dtype} = x }}
model M {{
  param w: {dtype}[] = 1
  fn forward(x: {dtype}[B]) -> ({dtype}[B], {dtype}[B]) = (abs(x), logsumexp(stack(x, 0 * ones[B], axis: 1), 1))
  fn fit(x: {dtype}[B]) -> {dtype}[B] = w * x
}}
train m: M on D {{
  batch = 4; epochs = 1
  let (a, l) = m(x)
  loss = mean(m.fit(stop(where(abs(x) < 2, x, 0)))**2) + 0 * mean(where(a < 2, a, 0)) + 0 * mean(where(l < 2, l, 0))
  optimizer = Sgd(lr: 0.1); save = last(\"w.safetensors\")
}}
"
        );
        fs::write(at.join("p.nn"), text).expect("written");
        let data = [-0.0f64, 0.0, f64::INFINITY, f64::NEG_INFINITY];
        let bytes: Vec<u8> = match wide {
            true => data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            false => data.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        };
        let array = common::npy(if wide { "<f8" } else { "<f4" }, data.len(), &bytes);
        fs::write(at.join("x.npz"), common::npz(&[("x", array)])).expect("written");
        nnc(at, &["train", "p.nn", "-q"]).ok();
        nnc(at, &["predict", "p.nn", "--output", "o.csv", "--force"]).ok();
        let table = fs::read_to_string(at.join("o.csv")).expect("a table");
        let cells: Vec<Vec<&str>> = table.lines().skip(1).map(|l| l.split(',').skip(1).collect()).collect();
        let column = |k: usize| cells.iter().map(|c| c[k].parse::<f64>().expect("a number")).collect::<Vec<_>>();
        assert_eq!(
            column(0).iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            [0.0, 0.0, f64::INFINITY, f64::INFINITY].map(f64::to_bits),
            "{table}"
        );
        let two = std::f64::consts::LN_2;
        let near = |a: f64, b: f64| a == b || (a - b).abs() < 1e-6;
        assert!(column(1).iter().zip([two, two, f64::INFINITY, 0.0]).all(|(a, b)| near(*a, b)), "{table}");
    }
}

/// A row of NaN has no class; its number is told, and the exit code is that of numerics.
#[test]
fn rows_of_nan_have_no_class_and_are_named() {
    let dir = folder();
    let at = dir.path();
    let text = "data D { source = npy(\"x.npy\"); x: f32[2] = stack(column, -column) }
train m: Linear[2, 3] on D {
  batch = 2; epochs = 1; loss = cross_entropy(m(x), (x[:, 0] * 0) as idx<3>); optimizer = Sgd(lr: 0.1); save = last(\"w.safetensors\")
}
";
    let text = text.replace("stack(column, -column)", "stack(x, -x)").replace("npy(\"x.npy\")", "npz(\"x.npz\")");
    let data = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(at.join("x.npz"), common::npz(&[("x", common::npy("<f4", values.len(), &bytes))])).expect("written");
    };
    fs::write(at.join("p.nn"), text).expect("written");
    data(&[1.0, 2.0, 3.0, 4.0]);
    nnc(at, &["train", "p.nn", "-q"]).ok();
    nnc(at, &["predict", "p.nn", "--input", "x.npz"]).ok();
    data(&[1.0, f32::NAN, 3.0, f32::NAN]);
    let said = |ran: &Ran| {
        assert!(ran.code == 5 && ran.err.contains("error[E0419]"), "{} {}", ran.code, ran.err);
        assert!(ran.err.contains("rows 2, 4 are NaN"), "{}", ran.err);
    };
    let ran = nnc(at, &["predict", "p.nn", "--input", "x.npz", "--json"]);
    assert_eq!(ran.code, 5, "{}", ran.out);
    let rows = ran.all("predict");
    assert_eq!(rows.iter().map(|r| r["class"].is_null()).collect::<Vec<_>>(), [false, true, false, true]);
    said(&nnc(at, &["predict", "p.nn", "--input", "x.npz"]));
    said(&nnc(at, &["predict", "p.nn", "--input", "x.npz", "--output", "o.csv"]));
    let table = fs::read_to_string(at.join("o.csv")).expect("a table");
    assert!(table.lines().nth(2).is_some_and(|l| l.starts_with("2,,NaN")), "{table}");
}

/// A metric that never was a number finds no best epoch and no end: it is named, and nothing after it runs.
#[test]
fn a_metric_that_is_always_nan_is_no_measure() {
    let dir = folder();
    let text = |what: &str| {
        format!(
            "data D {{ source = rows(32); test = tail(source, 0.5); x: f32[2] ~ normal() }}
train m: Linear[2, 1] on D {{
  batch = 8; epochs = 2; loss = mean(m(x)**2); optimizer = Sgd(lr: 0.01)
  metrics = {{ a: mean(log(0 * m(x) - 1)), b: mean(m(x)) }}
  {what}
}}
"
        )
    };
    for (what, saved) in [
        ("save = best(\"w.safetensors\", on: test.a, mode: max)", true),
        ("stop = patience(3, on: test.a, mode: max)", false),
    ] {
        fs::write(dir.path().join("p.nn"), text(what)).expect("written");
        let ran = nnc(dir.path(), &["train", "p.nn"]);
        assert!(ran.code == 5 && ran.err.contains("error[E0419]"), "{what}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains("`test.a` was NaN after every epoch"), "{}", ran.err);
        assert_eq!(ran.err.contains("w.safetensors holds the weights of the last epoch"), saved, "{}", ran.err);
        assert!(ran.out.contains("done: 2 epochs"), "{}", ran.out);
        fs::write(dir.path().join("p.nn"), text(&what.replace("test.a", "test.b"))).expect("written");
        nnc(dir.path(), &["train", "p.nn"]).ok();
    }
}
