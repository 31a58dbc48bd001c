//! Options that commands cannot follow, causes that are none, edits that are tried: what is told fits what was asked.

mod common;

use common::{folder, nnc};
use std::fs;
use std::path::Path;

const PROGRAM: &str = "data D { source = rows(16); x: f32[2] ~ normal() }
train m: Linear[2, 1] on D { batch = 8; epochs = 2; loss = mean(m(x)**2); optimizer = Sgd(lr: 0.01); save = last(\"w.safetensors\") }
";

fn write(dir: &Path, text: &str) {
    fs::write(dir.join("p.nn"), text).expect("written");
}

/// Nothing is set where nothing is evaluated.
#[test]
fn what_cannot_be_set_is_not_passed_over() {
    let dir = folder();
    write(dir.path(), PROGRAM);
    let commands: &[&[&str]] = &[
        &["test"],
        &["fmt", "p.nn"],
        &["ir", "p.nn", "--stage", "ast"],
        &["explain", "E0211"],
        &["check", "p.nn"],
        &["test", "p.nn"],
        &["ir", "p.nn", "--stage", "typed"],
        &["train", "p.nn"],
    ];
    for args in commands {
        let ran = nnc(dir.path(), &[args, &["--set", "nosuch=1"][..]].concat());
        assert!(ran.code == 1 && ran.err.contains("error[E0211]"), "{args:?}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains("`nosuch`"), "{args:?}: {}", ran.err);
    }
    let ran = nnc(dir.path(), &["fmt", "p.nn", "--lr", "0.1"]);
    assert!(ran.code == 1 && ran.err.contains("error[E0211]"), "{} {}", ran.code, ran.err);
}

/// A change of the length alone is accepted, so it is no cause beside another.
#[test]
fn a_refused_resumption_names_what_refuses_it() {
    let dir = folder();
    write(dir.path(), PROGRAM);
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    let ran = nnc(dir.path(), &["train", "p.nn", "--resume", "--set", "train.epochs=4", "--lr", "0.02"]);
    assert!(ran.code == 3 && ran.err.contains("error[E0418]"), "{} {}", ran.code, ran.err);
    assert!(ran.err.contains("`train.optimizer.lr`") && !ran.err.contains("`epochs`"), "{}", ran.err);
    nnc(dir.path(), &["train", "p.nn", "-q", "--resume", "--set", "train.epochs=4"]).ok();
}

/// The edits that `test` shows of a test are those that `check` shows.
#[test]
fn edits_of_tests_are_tried_by_test_as_by_check() {
    let dir = folder();
    // The nearest name does not fit the type, which the edit mends as well.
    let text = "test \"a\" {\n  let count: f32[1, 2] = [[1.0, 2.0]]\n  let y: f32[3] = coumt\n  assert all(y > 0)\n}\n";
    write(dir.path(), text);
    let edits = |ran: common::Ran| {
        assert_ne!(ran.code, 0);
        let help = |e: serde_json::Value| (e["code"].clone(), e["help"].clone());
        ran.all("diagnostic").into_iter().map(help).collect::<Vec<_>>()
    };
    let (test, check) =
        (edits(nnc(dir.path(), &["test", "p.nn", "--json"])), edits(nnc(dir.path(), &["check", "p.nn", "--json"])));
    assert!(format!("{check:?}").contains("f32[1, 2] = count"), "{check:?}");
    assert_eq!(test, check);
}
