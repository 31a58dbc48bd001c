//! The table of exit codes, on the real binary: every command with every kind of trouble that it can meet.

mod common;

use common::{folder, nnc};
use std::fs;
use std::path::Path;

const GOOD: &str = "
data D {
  source = csv(\"d.csv\")
  x: f32[1] = stack(a)
  y: f32 = b
}
train m: Linear[1, 1] on D {
  batch = 2;  epochs = 2
  loss = mse(m(x)[:, 0], y)
  optimizer = Sgd(lr: 0.01)
  save = last(\"w.safetensors\")
}
test \"sums\" { assert 1 + 1 == 2 }
";

/// Every command that takes a program, and whether it is elaborated, and trained weights are read.
const COMMANDS: &[(&[&str], bool, bool)] = &[
    (&["check"], true, false),
    (&["train"], true, false),
    (&["eval"], true, true),
    (&["predict"], true, true),
    (&["test"], true, false),
    (&["bench", "--steps", "1"], true, false),
    (&["summary"], true, false),
    (&["ir", "--stage", "graph"], true, false),
    (&["ir", "--stage", "kernel"], true, false),
    (&["ir", "--stage", "ast"], false, false),
    (&["fmt"], false, false),
];

/// The exit code of a command on a program, the same with and without `--json`.
fn code(dir: &Path, command: &[&str], more: &[&str]) -> i32 {
    let plain = nnc(dir, &[command, more].concat());
    let json = nnc(dir, &[command, more, &["--json"]].concat());
    assert_eq!(plain.code, json.code, "{command:?} {more:?}: {}{}", plain.err, json.err);
    if json.code != 0 {
        let wrong = |e: &serde_json::Value| e["event"] == "diagnostic" && e["severity"] == "error";
        let failed = |e: &serde_json::Value| wrong(e) || e["event"] == "test" && e["ok"] == false;
        assert!(json.events().iter().any(failed), "{command:?} {more:?} says nothing in JSON: {}", json.out);
    }
    plain.code
}

#[test]
fn every_command_ends_with_the_code_of_its_trouble() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("d.csv"), "a,b\n1,2\n2,3\n3,4\n4,5\n").expect("written");
    fs::write(at("good.nn"), GOOD).expect("written");
    nnc(dir.path(), &["train", "good.nn", "-q"]).ok();
    let nested = format!("const a = {}1{}\n{GOOD}", "(".repeat(41), ")".repeat(41));
    let huge = format!("const a = zeros[32768, 32768]\n{GOOD}");
    let later = format!("fn f(x: [B]) -> [B] = sort(x)\n{GOOD}");
    let unknown = format!("fn g(x: [B]) -> [B] = rellu(x)\n{GOOD}");
    // Name, program, and the codes of commands that parse and of commands that elaborate.
    for (name, program, parsed, elaborated) in [
        ("good", GOOD.to_owned(), 0, 0),
        ("syntax", format!("const a = = 1\n{GOOD}"), 1, 1),
        ("nested", nested, 4, 4),
        ("huge", huge, 0, 4),
        ("later", later.clone(), 0, 4),
        ("unknown", unknown.clone(), 0, 1),
        ("limit and wrong", format!("{later}{}", unknown.replace(GOOD, "")), 0, 1),
        ("no data", GOOD.replace("d.csv", "absent.csv"), 0, 3),
        ("bad data", GOOD.replace("d.csv", "good.nn"), 0, 3),
    ] {
        fs::write(at("p.nn"), &program).expect("written");
        for (command, elaborates, _) in COMMANDS {
            let expected = if *elaborates { elaborated } else { parsed };
            assert_eq!(code(dir.path(), command, &["p.nn"]), expected, "{command:?}, {name}");
        }
    }
    for (command, ..) in COMMANDS {
        assert_eq!(code(dir.path(), command, &["absent.nn"]), 3, "{command:?} of no file");
        assert_eq!(code(dir.path(), command, &["good.nn", "--what"]), 2, "{command:?} with no such option");
        assert_eq!(code(dir.path(), command, &[]), i32::from(*command != ["test"]) * 2, "{command:?} of nothing");
    }
    assert_eq!(code(dir.path(), &["nothing"], &[]), 2);
    assert_eq!(code(dir.path(), &["explain"], &["E9999"]), 2);
    for (command, ..) in COMMANDS.iter().filter(|c| c.2) {
        fs::write(at("v.safetensors"), "no weights").expect("written");
        for file in ["absent.safetensors", "v.safetensors"] {
            assert_eq!(code(dir.path(), command, &["good.nn", "--weights", file]), 3, "{command:?} {file}");
        }
    }
    assert_eq!(code(dir.path(), &["train"], &["good.nn", "--lr", "1e30"]), 5);
    assert_eq!(code(dir.path(), &["train"], &["good.nn", "--resume", "--out", "absent"]), 3);
}

#[test]
fn tests_that_a_limit_stops_are_no_failed_tests() {
    let dir = folder();
    let limit = "test \"a\" {\n  let x = zeros[32768, 32768]\n  assert sum(x) == 0\n}\n";
    let missing = "test \"b\" { assert sum(sort(ones[3])) == 3.0 }\n";
    let passes = "test \"c\" { assert 1 + 1 == 2 }\n";
    let fails = "test \"d\" { assert 1 + 1 == 3 }\n";
    let wrong = "test \"e\" { assert rellu(1.0) == 1.0 }\n";
    for (parts, expected) in [
        (&[passes][..], 0),
        (&[limit], 4),
        (&[missing], 4),
        (&[passes, limit, missing], 4),
        (&[fails], 1),
        (&[wrong], 1),
        (&[fails, limit], 1),
        (&[missing, wrong], 1),
    ] {
        fs::write(dir.path().join("t.nn"), parts.concat()).expect("written");
        assert_eq!(code(dir.path(), &["test"], &["t.nn"]), expected, "{}", parts.concat());
    }
    fs::write(dir.path().join("a.nn"), limit).expect("written");
    fs::write(dir.path().join("b.nn"), fails).expect("written");
    for files in [["a.nn", "b.nn"], ["b.nn", "a.nn"]] {
        assert_eq!(code(dir.path(), &["test"], &files), 1);
    }
}
