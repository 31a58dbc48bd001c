//! Tests of the front end: whole programs, hostile text and mutated programs.

use super::ast::*;
use super::parse;
use crate::diag::Diagnostic;
use crate::source::FileId;
use std::path::PathBuf;

fn fixtures() -> Vec<(String, String)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/syntax");
    let mut all: Vec<_> = std::fs::read_dir(&dir)
        .expect("fixtures")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "nn"))
        .map(|p| {
            (p.file_name().expect("name").to_string_lossy().into_owned(), std::fs::read_to_string(&p).expect("text"))
        })
        .collect();
    all.sort();
    assert!(all.len() >= 16, "fixtures are missing");
    all
}

fn parsed(source: &str) -> (Ast, Vec<Diagnostic>) {
    let mut ast = Ast::default();
    let errors = parse(&mut ast, FileId(0), source);
    (ast, errors)
}

#[test]
fn the_programs_of_the_language_design_parse() {
    for (name, text) in fixtures() {
        let (ast, errors) = parsed(&text);
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        assert!(!ast.files[0].items.is_empty(), "{name}");
    }
}
