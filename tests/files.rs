//! What a run leaves on disk, on the real binary: nothing is replaced that is not ours, weights are whole, and an end of
//! whatever kind loses nothing.

mod common;

use common::{Ran, folder, nnc};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Batch norm, whose running statistics are state, on a table of 40 rows.
const PROGRAM: &str = r#"
data D {
  source = csv("d.csv", columns: { f: 4, label: 1 })
  test   = split(source, 0.25, seed: 1)
  x: f32[4] = f
  y: idx<3> = label
}
train m: seq { Linear[4, 8], BatchNorm[8], relu, Linear[8, 3] } on D {
  batch = 5;  epochs = 3
  loss      = cross_entropy(m(x), y)
  metrics   = { acc: accuracy(m(x), y) }
  optimizer = Adam(lr: 1e-2)
  save      = last("w.safetensors")
}
"#;

/// Rows that differ by class in every column.
fn table() -> String {
    let cell = |i: u32, c: u32| f64::from((i * 7 + c * 5) % 11) / 11.0 + f64::from(i % 3 * (c + 1)) * 0.3;
    let row = |i: u32| (0..4).map(|c| format!("{:.3},", cell(i, c))).collect::<String>() + &(i % 3).to_string();
    (0..40).map(|i| row(i) + "\n").collect()
}

/// A folder with a program and its data.
fn project(program: &str) -> tempfile::TempDir {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), program).expect("written");
    fs::write(dir.path().join("d.csv"), table()).expect("written");
    dir
}

fn says(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "standard error:\n{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "`{word}` in:\n{}", ran.err);
    }
}

/// A safetensors file: name, dtype, shape, bytes.
fn safetensors(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let mut at = 0;
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let from = at;
            at += bytes.len();
            format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{from},{at}]}}"#)
        })
        .collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    tensors.iter().for_each(|t| out.extend(&t.3));
    out
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Every file below a folder with its bytes.
fn snapshot(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut out = vec![];
    let mut todo = vec![dir.to_owned()];
    while let Some(d) = todo.pop() {
        for entry in fs::read_dir(d).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() { todo.push(path) } else { out.push((path.clone(), fs::read(path).expect("a file"))) }
        }
    }
    out.sort();
    out
}

#[test]
fn a_target_replaces_nothing_that_is_read_or_not_ours() {
    let program = PROGRAM.replace("batch = 5", "load m = \"in.safetensors\";  batch = 5");
    let dir = project(&format!("use \"lib.nn\".{{ two }}\n{}", program.replace("lr: 1e-2", "lr: 1e-2 * two")));
    let at = |name: &str| dir.path().join(name);
    fs::write(at("lib.nn"), "const two = 2.0\n").expect("written");
    // Weights of ours, loaded by the program; the same without our mark.
    let made = project(PROGRAM);
    nnc(made.path(), &["train", "p.nn"]).ok();
    fs::copy(made.path().join("w.safetensors"), at("in.safetensors")).expect("a copy");
    fs::write(at("theirs.safetensors"), safetensors(&[("w", "F32", &[1], f32s(&[1.0]))])).expect("written");
    fs::write(at("notes.txt"), "mine\n").expect("written");
    fs::write(at("c.ckpt"), "mine\n").expect("written");
    fs::create_dir(at("folder")).expect("a folder");
    let text = fs::read_to_string(at("p.nn")).expect("a program");
    let before = snapshot(dir.path());
    let reads = "the program reads this file";
    let foreign = "nnc did not write it";
    for (target, why) in [
        ("d.csv", reads),
        ("lib.nn", reads),
        ("in.safetensors", reads),
        ("./folder/../p.nn", "`..` is not allowed"),
        ("p.nn", reads),
        ("theirs.safetensors", foreign),
        ("notes.txt", foreign),
        ("c.safetensors", foreign),
        ("folder", "this is a folder"),
        ("notes.txt/w", "is a file, not a folder"),
        ("/tmp/w.safetensors", "an absolute path"),
        ("../w.safetensors", "`..` is not allowed"),
        ("", "not the name of a file"),
        (".", "not the name of a file"),
        ("w.ckpt", "those of checkpoints"),
    ] {
        fs::write(at("p.nn"), text.replace("last(\"w.safetensors\")", &format!("last(\"{target}\")")))
            .expect("written");
        for command in ["train", "check"] {
            let ran = nnc(dir.path(), &[command, "p.nn"]);
            says(&ran, 3, &[why, "p.nn:14:20"]);
            assert!(!ran.out.contains("epoch"), "it trained before it refused: {}", ran.out);
        }
        // The edit that the help names mends it.
        let err = nnc(dir.path(), &["train", "p.nn"]).err;
        let edit =
            err.split("`\"").nth(1).and_then(|s| s.split('"').next()).unwrap_or_else(|| panic!("an edit in {err}"));
        fs::write(at("p.nn"), text.replace("last(\"w.safetensors\")", &format!("last(\"{edit}\")"))).expect("written");
        nnc(dir.path(), &["check", "p.nn"]).ok();
    }
    fs::write(at("p.nn"), &text).expect("written");
    assert!(snapshot(dir.path()) == before, "a file has changed");
    // With a folder of its own every name is free; a second run replaces the files of the first.
    for _ in 0..2 {
        nnc(dir.path(), &["train", "p.nn", "--out", "out"]).ok();
    }
    assert!(at("out/w.safetensors").exists() && at("out/w.ckpt").exists());
    fs::remove_dir_all(at("out")).expect("removed");
    // Evaluation makes no folder.
    nnc(dir.path(), &["eval", "p.nn", "--out", "out", "--weights", "in.safetensors"]).ok();
    assert!(snapshot(dir.path()) == before && !at("out").exists());
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_output_folder_is_not_followed() {
    let dir = project(&PROGRAM.replace("w.safetensors", "far/w.safetensors"));
    let far = folder();
    fs::create_dir(dir.path().join("out")).expect("a folder");
    std::os::unix::fs::symlink(far.path(), dir.path().join("out/far")).expect("a link");
    says(&nnc(dir.path(), &["train", "p.nn", "--out", "out"]), 3, &["leads out of out", "p.nn"]);
    assert_eq!(fs::read_dir(far.path()).expect("a folder").count(), 0);
}

#[test]
fn saved_weights_evaluate_to_the_last_bit_as_training_ended() {
    let best = PROGRAM.replace("last(\"w.safetensors\")", "best(\"w.safetensors\", on: test.loss)");
    let val = best.replace("  x: f32", "  val = split(source, 0.2, seed: 2)\n  x: f32").replace("on: test", "on: val");
    for (program, more) in [(PROGRAM, ""), (&best, ""), (&val, ""), (PROGRAM, "0.5"), (&val, "0.5")] {
        // A learning rate at which later epochs are worse than the best.
        let program = if more.is_empty() { program.to_owned() } else { program.replace("1e-2", more) };
        let dir = project(&program);
        let done = nnc(dir.path(), &["train", "p.nn", "--json", "--set", "train.epochs=6"]).ok().one("done");
        let eval = nnc(dir.path(), &["eval", "p.nn", "--json"]).ok().one("eval");
        assert_eq!(eval["values"], done["test"], "{program}");
        assert_eq!(done["interrupted"], false);
        // Weights that are loaded and not trained are the same again; `momentum: 0.0` keeps the statistics.
        let still = program
            .replace("batch = 5", "load m = \"w.safetensors\";  batch = 5")
            .replace("BatchNorm[8]", "BatchNorm[8](momentum: 0.0)")
            .replace("Adam(lr: 1e-2)", "Sgd(lr: 0.0)")
            .replace("Adam(lr: 0.5)", "Sgd(lr: 0.0)");
        fs::write(dir.path().join("q.nn"), still).expect("written");
        let again = nnc(dir.path(), &["train", "q.nn", "--json", "--out", "q"]).ok().one("done");
        assert_eq!(again["test"], done["test"], "{program}");
        let outputs = |args: &[&str]| nnc(dir.path(), args).ok().all("predict");
        let first = outputs(&["predict", "p.nn", "--json"]);
        assert_eq!(first, outputs(&["predict", "q.nn", "--json", "--out", "q"]));
        assert_eq!(first.len(), 10);
    }
}

/// The state dict of `nn.BatchNorm1d(2)`, with the counter that PyTorch keeps beside the statistics.
#[test]
fn a_state_dict_of_pytorch_loads_with_its_statistics_and_its_counter() {
    let program = "data D {\n  train = table(x: [[1.0, 2.0], [5.0, -7.0]])\n  x: f32[2] = x\n}\n\
                   train m: seq { bn: BatchNorm[2] } on D {\n  batch = 2;  epochs = 1\n  loss = mse(m(x), x)\n  \
                   optimizer = Sgd(lr: 0.1)\n}\n";
    let dir = folder();
    fs::write(dir.path().join("p.nn"), program).expect("written");
    let pair = |name, a, b| (name, "F32", &[2][..], f32s(&[a, b]));
    let mut tensors = vec![
        pair("bn.weight", 1.5, 1.0),
        pair("bn.bias", 0.0, -1.0),
        pair("bn.running_mean", 1.0, -2.0),
        pair("bn.running_var", 4.0, 25.0),
        ("bn.num_batches_tracked", "I64", &[][..], 7i64.to_le_bytes().to_vec()),
    ];
    let write = |t: &[(&str, &str, &[usize], Vec<u8>)]| {
        fs::write(dir.path().join("t.safetensors"), safetensors(t)).expect("written");
    };
    write(&tensors);
    let ran = nnc(dir.path(), &["predict", "p.nn", "--json", "--weights", "t.safetensors"]).ok();
    let want = |x: f64, mean: f64, var: f64, weight: f64, bias: f64| (x - mean) / (var + 1e-5).sqrt() * weight + bias;
    for (row, x) in ran.all("predict").iter().zip([[1.0, 2.0], [5.0, -7.0]]) {
        let got = row["output"].as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number"));
        let want = [want(x[0], 1.0, 4.0, 1.5, 0.0), want(x[1], -2.0, 25.0, 1.0, -1.0)];
        // Five roundings of f32, of values up to 3.
        got.zip(want).for_each(|(got, want)| assert!((got - want).abs() < 5.0 * 3.0 / 16_777_216.0, "{got}, {want}"));
    }
    // Anything else that the model does not have is told, and so is a statistic that is missing.
    tensors[4] = ("bn.num_batches_tracked", "I64", &[1], 7i64.to_le_bytes().to_vec());
    write(&tensors);
    let eval = ["eval", "p.nn", "--weights", "t.safetensors"];
    says(&nnc(dir.path(), &eval), 3, &["E0401", "unexpected  bn.num_batches_tracked"]);
    write(&tensors[..3]);
    says(&nnc(dir.path(), &eval), 3, &["E0401", "missing     bn.running_var"]);
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let dir = project(PROGRAM);
    nnc(dir.path(), &["train", "p.nn"]).ok();
    let good = fs::read(dir.path().join("w.safetensors")).expect("weights");
    let header = String::from_utf8_lossy(&good[8..]).into_owned();
    let load = PROGRAM.replace("batch = 5", "load m = \"bad.safetensors\";  batch = 5");
    fs::write(dir.path().join("q.nn"), load).expect("written");
    for tensor in ["3.weight", "1.running_var", "1.running_mean"] {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let from = header.split(&format!("\"{tensor}\":")).nth(1).and_then(|h| h.split("offsets\":[").nth(1));
            let from: usize = from.and_then(|h| h.split(',').next()).and_then(|n| n.parse().ok()).expect("an offset");
            let start = 8 + u64::from_le_bytes(good[..8].try_into().expect("8 bytes")) as usize + from;
            let mut bad = good.clone();
            bad[start + 4..start + 8].copy_from_slice(&value.to_le_bytes());
            fs::write(dir.path().join("bad.safetensors"), bad).expect("written");
            for args in [
                &["eval", "p.nn", "--weights", "bad.safetensors"][..],
                &["predict", "p.nn", "--weights", "bad.safetensors"],
                &["train", "q.nn", "--out", "q"],
            ] {
                let ran = nnc(dir.path(), args);
                says(&ran, 5, &["bad.safetensors", &format!("`{tensor}` holds {value}")]);
                assert!(!ran.out.contains("loss"), "{}", ran.out);
            }
        }
    }
}

#[test]
fn divergence_leaves_good_weights_and_tells_what_to_do() {
    for save in ["last(\"w.safetensors\")", "best(\"w.safetensors\", on: test.loss)"] {
        let dir = project(&PROGRAM.replace("last(\"w.safetensors\")", save));
        let good = nnc(dir.path(), &["train", "p.nn", "--json"]).ok().one("done");
        let before = snapshot(dir.path());
        let wild =
            fs::read_to_string(dir.path().join("p.nn")).expect("a program").replace("Adam(lr: 1e-2)", "Sgd(lr: 1e30)");
        fs::write(dir.path().join("q.nn"), wild).expect("written");
        let ran = nnc(dir.path(), &["train", "q.nn", "--json"]);
        let words = [
            "at step",
            "w.safetensors is as it was before this run",
            "the learning rate at step",
            "lr = 1e30",
            "--check-finite",
        ];
        says(&ran, 5, &words);
        let found = ran.one("diagnostic");
        assert_eq!((&found["code"], &found["spans"][0]["file"]), (&"E0501".into(), &"q.nn".into()));
        assert!(ran.all("done").is_empty());
        fs::remove_file(dir.path().join("q.nn")).expect("removed");
        assert!(snapshot(dir.path()) == before, "a file has changed");
        assert_eq!(nnc(dir.path(), &["eval", "p.nn", "--json"]).ok().one("eval")["values"], good["test"]);
    }
}

/// A long run, ended by a signal after some epochs; its output, and what it then is.
#[cfg(unix)]
fn end_by(dir: &Path, signal: &str) -> (Ran, Vec<Value>) {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;
    let args = ["train", "p.nn", "--json", "--set", "train.epochs=20000"];
    let mut child =
        common::command(dir, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nnc starts");
    let err = child.stderr.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        BufReader::new(err).read_to_string(&mut text).map(|_| text)
    });
    let mut out = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    while out.matches("\"event\":\"epoch\"").count() < 3 {
        out.push_str(&(lines.next().expect("more epochs").expect("text") + "\n"));
    }
    let kill = std::process::Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(kill.expect("kill starts").success());
    lines.for_each(|l| out.push_str(&(l.expect("text") + "\n")));
    let code = child.wait().expect("it ends").code().unwrap_or(-1);
    let ran = Ran { code, out, err: reader.join().expect("no panic").expect("text") };
    let epochs = ran.all("epoch");
    (ran, epochs)
}

/// Until there is something to save, a signal ends the process as it would any other, and leaves no file.
#[cfg(unix)]
#[test]
fn a_signal_while_the_program_compiles_ends_it_at_once() {
    use std::os::unix::process::ExitStatusExt;
    let layers = "  Linear[8, 8], LayerNorm[8], gelu\n".repeat(400);
    let text = format!(
        "data D {{\n  source = rows(64)\n  x: f32[8] ~ normal()\n}}\nmodel M = seq {{\n{layers}}}\ntrain m: M on D {{\n  \
         batch = 32;  epochs = 1\n  loss = mse(m(x), x)\n  optimizer = Sgd(lr: 0.1)\n  save = last(\"w.safetensors\")\n}}\n"
    );
    let dir = project(&text);
    let mut child = common::command(dir.path(), &["train", "p.nn", "-q", "--out", "out"]).spawn().expect("nnc starts");
    std::thread::sleep(std::time::Duration::from_millis(150));
    // Not INT, which shells make their background jobs ignore.
    let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(kill.expect("kill starts").success());
    assert_eq!(child.wait().expect("it ends").signal(), Some(15));
    assert!(!dir.path().join("out/w.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn every_polite_signal_saves_and_the_end_reports_no_stale_numbers() {
    for signal in ["INT", "TERM", "HUP"] {
        let dir = project(PROGRAM);
        let (ran, epochs) = end_by(dir.path(), signal);
        says(&ran, 130, &["--resume"]);
        let (interrupted, done) = (ran.one("interrupted"), ran.one("done"));
        assert_eq!(done["interrupted"], true, "{signal}");
        let last = epochs.last().expect("an epoch");
        let whole = interrupted["step"] == last["step"];
        assert!(if whole { done["test"] == last["test"] } else { done["test"] == serde_json::json!({}) }, "{done}");
        // What is saved is the step where it ended: going on from there ends as if nothing had happened.
        let to = (epochs.len() + 2).to_string();
        let epochs = format!("train.epochs={to}");
        let resumed = nnc(dir.path(), &["train", "p.nn", "--json", "--set", &epochs, "--resume"]).ok().one("done");
        let weights = fs::read(dir.path().join("w.safetensors")).expect("weights");
        let whole = nnc(dir.path(), &["train", "p.nn", "--json", "--set", &epochs, "--out", "whole"]).ok().one("done");
        assert!(weights == fs::read(dir.path().join("whole/w.safetensors")).expect("weights"), "{signal}");
        assert_eq!((&resumed["test"], &resumed["train"]), (&whole["test"], &whole["train"]));
    }
}
