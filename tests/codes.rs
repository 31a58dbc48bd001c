//! The table of codes: every example has its code and no other, every fix has none, every code of the sources a row, and
//! `docs/ERRORS.md` is what the table says. `NN_BLESS=1` rewrites the page.

mod common;

use common::{Ran, folder, nnc, root};
use nn_compiler::codes::{self, Case, Code};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Runs a case in a folder of its own.
fn run(case: &Case) -> Ran {
    let dir = folder();
    fs::write(dir.path().join("model.nn"), case.program.trim_start()).expect("written");
    for (name, bytes) in case.files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }
    let mut args = case.args.to_vec();
    args.push("--json");
    nnc(dir.path(), &args)
}

/// The codes that a run reported.
fn reported(ran: &Ran) -> BTreeSet<String> {
    ran.all("diagnostic").iter().map(|d| d["code"].as_str().unwrap_or("none").to_owned()).collect()
}

fn wrong(c: &Code) -> Vec<String> {
    let mut out = vec![];
    let ran = run(&c.example);
    let found = reported(&ran);
    if found.iter().map(String::as_str).ne([c.code]) || ran.code != i32::from(c.exit) {
        out.push(format!("{}: the example has {found:?} and exit code {}\n{}", c.code, ran.code, ran.err));
    }
    let ran = run(&c.fixed);
    let found = reported(&ran);
    if !found.is_empty() || ran.code != 0 {
        out.push(format!("{}: the fix has {found:?} and exit code {}\n{}", c.code, ran.code, ran.err));
    }
    out
}

#[test]
fn examples_have_their_code_and_fixes_none() {
    let wrong: Vec<String> = codes::all().flat_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Codes in a source file, as string literals.
fn codes_in(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|s| s.len() == 5 && s.starts_with(['E', 'W']) && s[1..].bytes().all(|b| b.is_ascii_digit()))
}

fn sources(dir: &Path, out: &mut String) {
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("codes") {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            *out += &fs::read_to_string(&path).expect("text");
        }
    }
}

#[test]
fn every_code_of_the_sources_has_a_row_and_every_row_is_used() {
    let mut text = String::new();
    sources(&root().join("compiler/src"), &mut text);
    sources(&root().join("runtime/src"), &mut text);
    let used: BTreeSet<&str> = codes_in(&text).collect();
    let rows: BTreeSet<&str> = codes::all().map(|c| c.code).collect();
    assert!(used.len() > 50, "{used:?}");
    assert_eq!(used, rows);
    assert_eq!(rows.len(), codes::all().count(), "a code has two rows");
}

#[test]
fn the_page_is_what_the_table_says() {
    let path = root().join("docs/ERRORS.md");
    let page = codes::page();
    if std::env::var_os("NN_BLESS").is_some() {
        fs::write(&path, &page).expect("written");
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), page, "NN_BLESS=1 writes docs/ERRORS.md");
}

#[test]
fn explain_shows_lists_and_suggests() {
    let dir = folder();
    let ran = nnc(dir.path(), &["explain", "e0101"]).ok();
    assert!(ran.out.starts_with("E0101: layers do not fit\n") && ran.out.contains("Linear[_, 2]"), "{}", ran.out);
    let all = nnc(dir.path(), &["explain"]).ok().out;
    assert!(codes::all().all(|c| all.contains(&format!("{}  {}\n", c.code, c.title))), "{all}");
    for (code, near) in [("W0101", "E0101"), ("E0122", "E0119"), ("E0999", "E0902"), ("112", "E0112")] {
        let ran = nnc(dir.path(), &["explain", code]);
        assert!(ran.code == 2 && ran.err.contains(near), "{code}: {} {}", ran.code, ran.err);
    }
    assert_eq!(nnc(dir.path(), &["explain", "nonsense"]).code, 2);
    assert_eq!(nnc(dir.path(), &["explain", "--json", "E0005"]).ok().one("explain")["exit"], 1);
}

/// The pointer to `explain` stands once, for people alone.
#[test]
fn errors_point_to_their_explanation_once() {
    let dir = folder();
    fs::write(dir.path().join("p.nn"), "const a = b\nconst c = d\n").expect("written");
    fs::write(dir.path().join("q.nn"), "const a = b\n").expect("written");
    let ran = nnc(dir.path(), &["check", "p.nn"]);
    assert_eq!(ran.err.matches("nnc explain E0100").count(), 1, "{}", ran.err);
    assert_eq!(nnc(dir.path(), &["fmt", "absent.nn", "absent.nn"]).err.matches("nnc explain E0403").count(), 1);
    let ran = nnc(dir.path(), &["check", "--json", "p.nn"]);
    assert!(!ran.out.contains("nnc explain") && !ran.err.contains("nnc explain"), "{}", ran.err);
}
