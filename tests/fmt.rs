//! `nnc fmt` and the commands that need syntax alone, on the real binary: what they print, write and leave alone.

mod common;

use common::{command, file, folder, nnc, root};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

const ROUGH: &str = "# Why.\nmodel M=seq{Linear[2,3],relu}   # trailing\n\n\n\nlet lr=1e-3\n";
const SMOOTH: &str = "# Why.\nmodel M = seq { Linear[2, 3], relu }   # trailing\n\nlet lr = 1e-3\n";

fn with(text: &str) -> tempfile::TempDir {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), text).expect("written");
    dir
}

fn read(dir: &Path) -> String {
    fs::read_to_string(dir.join("p.nn")).expect("readable")
}

#[test]
fn formatting_prints_and_leaves_the_file() {
    let dir = with(ROUGH);
    assert_eq!(nnc(dir.path(), &["fmt", "p.nn"]).ok().out, SMOOTH);
    let event = nnc(dir.path(), &["fmt", "--json", "p.nn"]).ok().one("fmt");
    assert_eq!((&event["text"], &event["changed"]), (&SMOOTH.into(), &true.into()));
    assert_eq!(read(dir.path()), ROUGH);
    assert_eq!(nnc(with("").path(), &["fmt", "p.nn"]).ok().out, "");
}

#[test]
fn writing_replaces_the_file_and_keeps_its_permissions() {
    let dir = with(ROUGH);
    let path = dir.path().join("p.nn");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    }
    let ran = nnc(dir.path(), &["fmt", "--write", "p.nn"]).ok();
    assert_eq!((ran.out.as_str(), read(dir.path()).as_str()), ("formatted p.nn\n", SMOOTH));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    }
    let before = fs::metadata(&path).and_then(|m| m.modified()).expect("a time");
    assert_eq!(nnc(dir.path(), &["fmt", "--write", "p.nn"]).ok().out, "");
    assert_eq!(
        fs::metadata(&path).and_then(|m| m.modified()).expect("a time"),
        before,
        "a formatted file is not touched"
    );
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1, "nothing else is left in the folder");
}

#[test]
fn checking_names_each_file_and_its_first_difference() {
    let dir = with(ROUGH);
    fs::write(dir.path().join("good.nn"), SMOOTH).expect("written");
    fs::write(dir.path().join("end.nn"), "let a = 1").expect("written");
    let ran = nnc(dir.path(), &["fmt", "--check", "p.nn", "good.nn", "end.nn"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let want = "p.nn:2: not formatted\n  -model M=seq{Linear[2,3],relu}   # trailing\n  \
        +model M = seq { Linear[2, 3], relu }   # trailing\nend.nn:2: not formatted\n  +\n";
    assert_eq!(ran.out, want);
    assert_eq!(read(dir.path()), ROUGH);
    assert_eq!(nnc(dir.path(), &["fmt", "--check", "good.nn"]).ok().out, "");
    assert_eq!(nnc(dir.path(), &["fmt", "--check", "--write", "good.nn"]).code, 2);
}

#[test]
fn standard_input_is_formatted() {
    let dir = folder();
    let run = |args: &[&str]| {
        let mut child = command(dir.path(), args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nnc");
        child.stdin.take().expect("a pipe").write_all(ROUGH.as_bytes()).expect("written");
        let out = child.wait_with_output().expect("an end");
        (out.status.code(), String::from_utf8(out.stdout).expect("text"))
    };
    assert_eq!(run(&["fmt", "-"]), (Some(0), SMOOTH.to_owned()));
    assert_eq!(run(&["fmt", "--check", "-"]).0, Some(1));
    assert_eq!(nnc(dir.path(), &["fmt", "--write", "-"]).code, 2);
}

#[test]
fn a_file_that_does_not_parse_is_left_and_the_others_are_formatted() {
    let dir = with(ROUGH);
    fs::write(dir.path().join("bad.nn"), "model M = = 3\n").expect("written");
    let ran = nnc(dir.path(), &["fmt", "--json", "--write", "bad.nn", "p.nn", "absent.nn"]);
    // The gravest trouble decides: a file that cannot be read.
    assert!(ran.code == 3 && ran.all("diagnostic").len() == 2, "{}: {}", ran.code, ran.err);
    assert_eq!(read(dir.path()), SMOOTH);
    assert_eq!(fs::read_to_string(dir.path().join("bad.nn")).expect("readable"), "model M = = 3\n");
    assert_eq!(nnc(dir.path(), &["fmt", "absent.nn"]).code, 3);
}

#[test]
fn the_tree_needs_no_data() {
    let dir = folder();
    let program = file("examples/mnist_mlp.nn");
    let ran = nnc(dir.path(), &["ir", &program, "--stage", "ast"]).ok();
    assert!(ran.out.contains("data Mnist {") && ran.err.is_empty(), "{}", ran.err);
    fs::write(dir.path().join("p.nn"), "use \"absent.nn\" as m\nlet x = 1\n").expect("written");
    assert!(nnc(dir.path(), &["ir", "p.nn", "--stage", "ast"]).ok().out.starts_with("use \"absent.nn\" as m"));
}

#[test]
fn stages_are_events_with_json() {
    let dir = folder();
    let program = root().join("tests/stages/xor.nn").to_string_lossy().into_owned();
    for stage in ["ast", "typed", "kernel"] {
        let text = nnc(dir.path(), &["ir", &program, "--stage", stage]).ok().out;
        let ran = nnc(dir.path(), &["ir", &program, "--stage", stage, "--json"]).ok();
        let event = ran.one("ir");
        assert_eq!((&event["stage"], &event["entry"]), (&stage.into(), &"train".into()));
        assert_eq!(event["text"].as_str(), Some(text.trim_end()));
        assert_eq!((ran.events().len(), ran.err.as_str()), (1, ""));
    }
    let args = ["ir", &program, "--stage", "opt", "--json", "--print-after", "simplify", "--time-passes"];
    let ran = nnc(dir.path(), &args).ok();
    let texts = ran.all("ir");
    assert!(texts.len() > 1 && texts[0]["after"] == "simplify" && texts.last().is_some_and(|t| t["after"].is_null()));
    assert!(ran.one("passes")["rows"].as_array().is_some_and(|r| r.iter().all(|p| p["ms"].is_number())));
}
