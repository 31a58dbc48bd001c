//! Standard output and exit codes on the real binary: what did not arrive is an error, and a code stands for its kind of
//! trouble; and options that bound what is evaluated or timed.

mod common;

use common::{command, folder, nnc, npy, npz};
use serde_json::Value;
use std::fs;
use std::process::Stdio;

const PROGRAM: &str = r#"
data D {
  source = csv("d.csv", columns: { f: 2, label: 1 })
  test   = split(source, 0.5, seed: 1)
  x: f32[2] = f
  y: idx<3> = label
}
train m: Linear[2, 3] on D {
  batch = 4;  epochs = 2
  loss      = cross_entropy(m(x), y)
  metrics   = { acc: accuracy(m(x), y) }
  optimizer = Adam(lr: 1e-2)
  save      = last("w.safetensors")
}
"#;

fn label(i: u32) -> u32 {
    i * 7 % 3
}

/// A trained program in a folder.
fn project() -> tempfile::TempDir {
    let dir = folder();
    let rows: String = (0..24).map(|i| format!("{}.5,{},{}\n", i % 5, i % 4, label(i))).collect();
    fs::write(dir.path().join("d.csv"), rows).expect("written");
    fs::write(dir.path().join("p.nn"), PROGRAM).expect("written");
    nnc(dir.path(), &["train", "p.nn"]).ok();
    dir
}

/// Every command that writes to standard output.
const COMMANDS: &[&[&str]] = &[
    &["--help"],
    &["train", "--help"],
    &["--version"],
    &["check", "p.nn"],
    &["check", "p.nn", "--json"],
    &["fmt", "p.nn"],
    &["ir", "p.nn", "--stage", "kernel"],
    &["ir", "p.nn", "--stage", "typed", "--json"],
    &["summary", "p.nn"],
    &["test", "--filter", "relu"],
    &["eval", "p.nn"],
    &["predict", "p.nn"],
    &["predict", "p.nn", "--json"],
    &["train", "p.nn", "--json", "--out", "again"],
    &["bench", "p.nn", "--steps", "1", "--json"],
];

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let dir = project();
    for args in COMMANDS {
        let mut c = command(dir.path(), args);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let ran = c.stdout(full).stderr(Stdio::piped()).output().expect("nnc starts");
        let err = String::from_utf8_lossy(&ran.stderr);
        // `check` of some versions has nothing to say on standard output when all is well.
        let silent = nnc(dir.path(), args).ok().out.is_empty();
        assert_eq!(ran.status.code(), Some(if silent { 0 } else { 3 }), "{args:?}: {err}");
        assert!(silent || err.contains("standard output: cannot write: No space left"), "{args:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    assert!(dir.path().join("again/w.safetensors").exists(), "training is worth more than its events");
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_gone_ends_the_command_quietly() {
    let dir = project();
    for args in COMMANDS {
        if nnc(dir.path(), args).ok().out.is_empty() {
            continue;
        }
        // The reader goes before the writer starts: nothing can be written in between.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child = command(dir.path(), args).stdout(writer).stderr(Stdio::piped()).spawn().expect("nnc starts");
        let ran = child.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(141), "{args:?}: {err}");
        assert!(!err.contains("error") && !err.contains("panicked"), "{args:?}: {err}");
    }
}

#[test]
fn an_exit_code_stands_for_its_kind_of_trouble() {
    let dir = folder();
    let check = |program: &str| {
        fs::write(dir.path().join("p.nn"), program).expect("written");
        nnc(dir.path(), &["check", "p.nn", "--json"])
    };
    let nested = format!("const a = {}1{}", "(".repeat(41), ")".repeat(41));
    let huge = "const a = zeros[32768, 32768]";
    let later = "fn f(x: [B]) -> [B] = sort(x)";
    let unknown = "fn g(x: [B]) -> [B] = rellu(x)";
    let missing = "data D {\n  source = csv(\"d.csv\")\n  x: f32 = a\n}\ntrain m: Linear[1, 1] on D {\n  batch = 1;  epochs = 1\n  \
                   loss = mse(m(x), x)\n  optimizer = Sgd(lr: 0.1)\n}\n";
    for (program, codes, exit) in [
        (nested.as_str(), &["E0002"][..], 4),
        (huge, &["E0902"], 4),
        (later, &["E0901"], 4),
        (unknown, &["E0100"], 1),
        (missing, &["E0403"], 3),
        (&format!("{later}\n{unknown}"), &["E0901", "E0100"], 1),
    ] {
        let ran = check(program);
        let found: Vec<Value> = ran.all("diagnostic").into_iter().filter(|d| d["severity"] == "error").collect();
        assert!(codes.iter().all(|c| found.iter().any(|d| d["code"] == *c)), "{program}: {found:?}");
        assert_eq!(ran.code, exit, "{program}: {}", ran.err);
    }
    fs::write(dir.path().join("p.nn"), &nested).expect("written");
    assert_eq!(nnc(dir.path(), &["fmt", "p.nn"]).code, 4);
}

#[test]
fn steps_entries_and_limits_of_commands() {
    let dir = project();
    let usage = |args: &[&str]| {
        let ran = nnc(dir.path(), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
    };
    usage(&["bench", "p.nn", "--steps", "0"]);
    usage(&["bench", "p.nn", "--entry", "init"]);
    usage(&["eval", "p.nn", "--limit", "0"]);
    usage(&["predict", "p.nn", "--limit", "0"]);
    for entry in ["train", "eval"] {
        let b = nnc(dir.path(), &["bench", "p.nn", "--json", "--steps", "2", "--entry", entry, "--profile"]).ok();
        assert_eq!(b.one("bench")["steps"], 2, "{entry}");
    }
    // A limit takes the first rows: their share of right answers, counted by hand.
    let outputs = nnc(dir.path(), &["predict", "p.nn", "--json"]).ok().all("predict");
    assert_eq!(outputs.len(), 12);
    let right = |p: &Value| {
        let out: Vec<f64> = p["output"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
        let best = (0..3).fold(0, |best, i| if out[i] > out[best] { i } else { best });
        best as u32 == label(p["index"].as_u64().expect("a row") as u32)
    };
    for n in [1, 5, 11, 12, 99] {
        let eval = nnc(dir.path(), &["eval", "p.nn", "--json", "--limit", &n.to_string()]).ok().one("eval");
        let rows = n.min(12);
        let share = outputs[..rows].iter().filter(|p| right(p)).count() as f64 / rows as f64;
        assert_eq!((&eval["rows"], &eval["values"]["acc"]), (&rows.into(), &share.into()));
    }
    for split in ["train", "test"] {
        let eval = nnc(dir.path(), &["eval", "p.nn", "--json", "--split", split, "--limit", "7"]).ok().one("eval");
        assert_eq!((&eval["split"], &eval["rows"]), (&split.into(), &7.into()));
    }
}

#[test]
fn arrays_that_nobody_reads_are_not_looked_at() {
    let dir = folder();
    let program = "data D {\n  source = npz(\"d.npz\")\n  x: f32 = x\n  ids: f32 = id as f32\n}\nmodel M {\n  param w: [1] = 0\n  \
                   fn forward(x: [B]) -> [B] = w[0] * x\n}\ntrain m: M on D {\n  batch = 2;  epochs = 1\n  \
                   loss = mse(m(x), x)\n  optimizer = Sgd(lr: 0.1)\n}\n";
    let floats: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let longs: Vec<u8> = [1i64, 1 << 40, -3].iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(dir.path().join("d.npz"), npz(&[("x", npy("<f4", 3, &floats)), ("id", npy("<i8", 3, &longs))]))
        .expect("written");
    fs::write(dir.path().join("p.nn"), program.replace("  ids: f32 = id as f32\n", "")).expect("written");
    nnc(dir.path(), &["train", "p.nn"]).ok();
    fs::write(dir.path().join("p.nn"), program).expect("written");
    let ran = nnc(dir.path(), &["train", "p.nn"]);
    assert!(ran.code == 3 && ran.err.contains("row 2 has the value 1099511627776"), "{}: {}", ran.code, ran.err);
}

#[test]
fn integers_are_told_as_they_are_spelled() {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), PROGRAM).expect("written");
    for (label, shown) in [("99999999999", "99999999999"), ("16777217", "16777217"), ("-7", "-7"), ("2.5", "2.5")] {
        let rows = format!("1,2,0\n3,4,1\n5,6,{label}\n7,8,1\n");
        fs::write(dir.path().join("d.csv"), rows).expect("written");
        let ran = nnc(dir.path(), &["train", "p.nn"]);
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.contains(&format!("has value {shown}, outside idx<3>")), "{}", ran.err);
        assert!(!ran.err.contains("99999997952") && ran.err.contains("row 3"), "{}", ran.err);
    }
}

#[test]
fn a_binary_file_is_no_table() {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), PROGRAM).expect("written");
    let archive = npz(&[("x", npy("<f4", 1, &[0; 4]))]);
    for (bytes, says) in [
        (&archive[..], "`npz(..)`"),
        (&npy("<f4", 1, &[0; 4])[..], "`npy(..)`"),
        (&[7, 0, 1, 255, 13, 9][..], "binary file"),
        (&[0xfe, 0xff, 0x31, 0x2c, 0x32][..], "line 1"),
        (b"1,2,0\r3,4", "line 1"),
    ] {
        fs::write(dir.path().join("d.csv"), bytes).expect("written");
        let ran = nnc(dir.path(), &["check", "p.nn"]);
        assert!(ran.code == 3 && ran.err.contains(says), "{says}: {}", ran.err);
        assert!(!ran.err.contains("line 0"), "{}", ran.err);
    }
}
