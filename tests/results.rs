//! What predictions say, on the real binary: every result of a model under its name, rows counted one way, in text, JSON
//! lines, tables and arrays.

mod common;

use common::{Ran, folder, nnc};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Three results: scores of classes, a number, and a excess of the whole batch, which is nothing to say of a row.
const PROGRAM: &str = "
data D {
  source = csv(\"d.csv\")
  test   = tail(source, 0.25)
  x: f32[2] = stack(a, b)
  y: idx<3> = kind
  t: f32    = size
}
model M {
  head = Linear[2, 3]
  tail = Linear[2, 1]
  fn forward(x: [B, 2]) -> ([B, 3], [B], []) = (head(x), tail(x)[:, 0], mean(x))
}
train m: M on D {
  batch = 4;  epochs = 1
  let (scores, length, excess) = m(x)
  loss      = cross_entropy(scores, y) + mse(length, t) + 0.0 * excess
  optimizer = Adam(lr: 0.001)
  save      = last(\"w.safetensors\")
}
";

fn trained(program: &str) -> tempfile::TempDir {
    let dir = folder();
    let rows: String = (0..16).map(|i| format!("{},{},{},{}\n", i % 5, i % 4, i % 3, i % 7)).collect();
    fs::write(dir.path().join("d.csv"), format!("a,b,kind,size\n{rows}")).expect("written");
    fs::write(dir.path().join("p.nn"), program).expect("written");
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    dir
}

fn predict(dir: &Path, more: &[&str]) -> Ran {
    nnc(dir, &[&["predict", "p.nn"], more].concat())
}

fn numbers(v: &Value) -> Vec<f32> {
    v.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

/// The values of an array of an archive whose members are stored: `f4` or `i8`.
fn array(archive: &[u8], name: &str) -> (String, Vec<f64>) {
    let file = format!("{name}.npy");
    let at = archive.windows(file.len() + 1).position(|w| w.starts_with(file.as_bytes()) && w[file.len()] == 0x93);
    let start = at.unwrap_or_else(|| panic!("no array `{name}`")) + file.len();
    let head = u16::from_le_bytes([archive[start + 8], archive[start + 9]]) as usize;
    let text = String::from_utf8_lossy(&archive[start + 10..start + 10 + head]).into_owned();
    let shape = text.split("'shape': (").nth(1).and_then(|t| t.split(')').next()).expect("a shape");
    let n: usize = shape.split(',').filter_map(|d| d.trim().parse::<usize>().ok()).product();
    let bytes = &archive[start + 10 + head..];
    let values = match text.contains("'<i8'") {
        true => (0..n).map(|i| i64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("8")) as f64).collect(),
        false => {
            (0..n).map(|i| f64::from(f32::from_le_bytes(bytes[4 * i..4 * i + 4].try_into().expect("4")))).collect()
        }
    };
    (text, values)
}

#[test]
fn every_result_is_shown_under_its_name() {
    let dir = trained(PROGRAM);
    let at = dir.path();
    let all = predict(at, &["--json"]).ok().all("predict");
    assert_eq!(all.len(), 4);
    for (i, p) in all.iter().enumerate() {
        assert_eq!((&p["index"], &p["row"]), (&(12 + i).into(), &(13 + i).into()), "rows count from 1");
        let results: Vec<&String> = p["outputs"].as_object().expect("results").keys().collect();
        assert_eq!(results, ["length", "scores"]);
        assert!(numbers(&p["outputs"]["scores"]).len() == 3 && numbers(&p["outputs"]["length"]).len() == 1, "{p}");
        assert!(p["class"].is_u64() && p["output"].is_null(), "{p}");
    }
    let text = predict(at, &[]).ok();
    assert!(text.err.contains("1 result of the model is not of rows"), "{}", text.err);
    let heads: Vec<&str> = text.out.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(heads, ["row", "class", "probability", "scores_0", "scores_1", "scores_2", "length"]);
    assert!(text.out.lines().nth(1).expect("a row").starts_with("   13  "), "{}", text.out);
    predict(at, &["--output", "o.csv"]).ok();
    let table = fs::read_to_string(at.join("o.csv")).expect("a table");
    let mut lines = table.lines().map(|l| l.split(',').collect::<Vec<_>>());
    assert_eq!(lines.next().expect("a head"), heads);
    for (cells, p) in lines.zip(&all) {
        let value = |i: usize| cells[i].parse::<f32>().expect("a number");
        assert_eq!(cells[0], p["row"].to_string());
        assert_eq!([value(3), value(4), value(5)], numbers(&p["outputs"]["scores"])[..]);
        assert_eq!([value(6)], numbers(&p["outputs"]["length"])[..]);
    }
    // One array cannot hold them; an archive can, and is read again.
    let one = predict(at, &["--output", "o.npy"]);
    assert!(
        one.code == 2 && one.err.contains("2 results (scores, length)") && !at.join("o.npy").exists(),
        "{}",
        one.err
    );
    predict(at, &["--output", "o.npz"]).ok();
    let archive = fs::read(at.join("o.npz")).expect("an archive");
    let of = |name: &str| all.iter().flat_map(|p| numbers(&p["outputs"][name])).map(f64::from).collect::<Vec<_>>();
    let (head, scores) = array(&archive, "scores");
    assert!(head.contains("(4, 3,)") && scores == of("scores"), "{head}");
    assert_eq!(array(&archive, "length").1, of("length"));
    assert_eq!(array(&archive, "row").1, [13.0, 14.0, 15.0, 16.0]);
    assert_eq!(
        array(&archive, "class").1,
        all.iter().map(|p| p["class"].as_f64().expect("a class")).collect::<Vec<_>>()
    );
    let again = "data D { source = npz(\"o.npz\")\n x: f32[3] = scores\n y: f32 = length }
        train m: Linear[3, 1] on D { batch = 4; epochs = 1; loss = mse(m(x)[:, 0], y); optimizer = Sgd(lr: 0.1) }\n";
    fs::write(at.join("q.nn"), again).expect("written");
    nnc(at, &["train", "q.nn", "-q"]).ok();
}

#[test]
fn results_without_names_are_numbered_and_a_single_one_is_the_output() {
    let unnamed = PROGRAM
        .replace("  let (scores, length, excess) = m(x)\n", "")
        .replace("cross_entropy(scores, y) + mse(length, t) + 0.0 * excess", "whole(m(x), t)")
        .replace("model M {", "fn whole(r: ([B, 3], [B], []), t: [B]) -> [] = mse(r.1, t) + mean(r.0 ** 2)\nmodel M {");
    let dir = trained(&unnamed);
    let head = predict(dir.path(), &["--limit", "1"]).ok().out;
    let heads: Vec<&str> = head.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(heads, ["row", "output1_0", "output1_1", "output1_2", "output2"]);
    let single = "data D { source = csv(\"d.csv\")\n x: f32[2] = stack(a, b)\n y: f32 = size }
        train m: Linear[2, 2] on D { batch = 4; epochs = 1; loss = mse(m(x)[:, 0], y); optimizer = Adam(lr: 0.001)
        save = last(\"w.safetensors\") }\n";
    let dir = trained(single);
    let head = predict(dir.path(), &["--limit", "1"]).ok().out;
    assert!(head.starts_with("  row    output_0    output_1\n    1  "), "{head}");
    let event = predict(dir.path(), &["--json", "--limit", "1"]).ok().one("predict");
    assert!(numbers(&event["output"]).len() == 2 && event["outputs"].is_null(), "{event}");
}

#[test]
fn the_learning_rate_has_one_key_and_the_digits_that_were_written() {
    let dir = trained(PROGRAM);
    let ran = nnc(dir.path(), &["train", "p.nn", "--json", "--log", "l.jsonl"]).ok();
    let event = ran.one("epoch");
    let log: Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join("l.jsonl")).expect("a log")).expect("JSON");
    for row in [&event, &log] {
        assert_eq!(row["lr"].to_string(), "0.001", "{row}");
    }
    let keys = |v: &Value| v.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&event), keys(&log));
}
