//! The shape of the source tree, held by tests: import order, headers, file sizes, leftovers.

use std::fs;
use std::path::{Path, PathBuf};

/// Every `.rs` file below a folder, sorted.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut todo = vec![dir.to_owned()];
    while let Some(d) = todo.pop() {
        for entry in fs::read_dir(&d).expect("a readable source folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Top-level modules in the order of the `pub mod` lines of a crate's `lib.rs`.
fn modules(src: &Path) -> Vec<String> {
    let text = fs::read_to_string(src.join("lib.rs")).expect("lib.rs");
    text.lines()
        .filter_map(|l| l.strip_prefix("pub mod ").or(l.strip_prefix("mod ")))
        .map(|l| l.trim_end_matches(';').to_owned())
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A module imports only modules above it in `lib.rs`: the folder list is the pipeline.
#[test]
fn modules_import_only_upward() {
    let mut wrong = vec![];
    for krate in ["compiler", "runtime"] {
        let src = root().join(krate).join("src");
        let order = modules(&src);
        let place = |name: &str| order.iter().position(|m| m == name);
        for file in rust_files(&src) {
            let inside = file.strip_prefix(&src).expect("below src");
            let own = inside.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned();
            let Some(mine) = place(&own) else { continue };
            let text = fs::read_to_string(&file).expect("readable");
            for (n, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or("");
                for part in code.split("crate::").skip(1) {
                    let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if place(&name).is_some_and(|theirs| theirs > mine) {
                        wrong.push(format!(
                            "{}:{}: `{own}` imports `{name}`, which comes later",
                            file.display(),
                            n + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every module says what goes in, what comes out and why it stands where it does.
#[test]
fn every_file_has_a_header() {
    let mut wrong = vec![];
    for dir in ["compiler/src", "runtime/src", "tests", "benches"] {
        for file in rust_files(&root().join(dir)) {
            let text = fs::read_to_string(&file).expect("readable");
            if !text.starts_with("//!") {
                wrong.push(file.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "no //! header:\n{}", wrong.join("\n"));
}

/// A file is one thing; past this length it is two.
#[test]
fn files_are_short() {
    let mut wrong = vec![];
    for dir in ["compiler/src", "runtime/src"] {
        for file in rust_files(&root().join(dir)) {
            let n = fs::read_to_string(&file).expect("readable").lines().count();
            if n > 1000 {
                wrong.push(format!("{}: {n} lines", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
}

/// Nothing half done is left in the code.
#[test]
fn no_leftovers() {
    let marks =
        ["todo!(", "unimplemented!(", "dbg!(", concat!("#[", "ignore"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut wrong = vec![];
    for dir in ["compiler/src", "runtime/src"] {
        for file in rust_files(&root().join(dir)) {
            let text = fs::read_to_string(&file).expect("readable");
            for (n, line) in text.lines().enumerate() {
                if marks.iter().any(|m| line.contains(m)) {
                    wrong.push(format!("{}:{}: {}", file.display(), n + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[allow(dead_code)]
#[path = "mutants/table.rs"]
mod table;

/// Every planted bug stands in the table, and every row is planted.
#[test]
fn planted_bugs_are_those_of_the_table() {
    let mut planted = vec![];
    for dir in ["compiler/src", "runtime/src"] {
        for file in rust_files(&root().join(dir)) {
            let text = fs::read_to_string(&file).expect("readable");
            let code = text.lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
            let at = file.strip_prefix(root()).expect("below the root").display().to_string();
            let names = code.split("mutant!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            let mut names: Vec<(String, String)> = names.map(|n| (n.to_owned(), at.clone())).collect();
            names.sort();
            names.dedup();
            planted.extend(names);
        }
    }
    planted.sort();
    let mut rows: Vec<(String, String)> =
        table::MUTANTS.iter().map(|m| (m.name.to_owned(), m.file.to_owned())).collect();
    rows.sort();
    assert_eq!(planted, rows);
}
