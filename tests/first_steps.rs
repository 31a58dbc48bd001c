//! The first steps of somebody new, on the real binary: commands that are proposed work as they stand, and what another
//! tool would take is answered with what is written here.

mod common;

use common::{folder, nnc};
use std::fs;

const PROGRAM: &str = "data D {
  source = csv(\"d.csv\")
  test = split(source, 0.25, seed: 1)
  x: f32[2] = stack(a, b)
  y: f32 = c
}
model M[H = 4] = seq { Linear[2, H], tanh, Linear[H, 1], |x| x[:, 0] }
train m: M on D {
  batch = 4;  epochs = 2
  loss = mse(m(x), y)
  optimizer = Sgd(lr: 0.01)
}
";

/// A program that saves nothing, and its data.
fn project() -> tempfile::TempDir {
    let dir = folder();
    let rows: String = (0..16).map(|i| format!("{i},{},{}\n", i * 3 % 7, i % 2)).collect();
    fs::write(dir.path().join("d.csv"), format!("a,b,c\n{rows}")).expect("written");
    fs::write(dir.path().join("p.nn"), PROGRAM).expect("written");
    dir
}

#[test]
fn what_new_proposes_works_where_it_says() {
    let dir = folder();
    let made = nnc(dir.path(), &["new", "wine"]).ok();
    assert!(made.out.contains("try: cd wine, then nnc train wine.nn and nnc eval wine.nn"), "{}", made.out);
    let inside = dir.path().join("wine");
    nnc(&inside, &["train", "wine.nn", "-q", "--set", "train.epochs=1"]).ok();
    nnc(&inside, &["eval", "wine.nn"]).ok();
    nnc(&inside, &["predict", "wine.nn", "--limit", "5"]).ok();
    // From outside: the weights lie beside the program.
    for command in ["eval", "predict"] {
        let ran = nnc(dir.path(), &[command, "wine/wine.nn"]);
        assert_eq!(ran.code, 3);
        assert!(ran.err.contains("error[E0403]") && ran.err.contains("`--out wine`"), "{}", ran.err);
        nnc(dir.path(), &[command, "wine/wine.nn", "--out", "wine"]).ok();
    }
}

#[test]
fn a_program_without_save_says_so() {
    let dir = project();
    let ran = nnc(dir.path(), &["train", "p.nn"]).ok();
    assert!(
        ran.err.contains("weights are not kept") && ran.err.contains("save = last(\"m.safetensors\")"),
        "{}",
        ran.err
    );
    assert!(!nnc(dir.path(), &["train", "p.nn", "-q"]).ok().err.contains("not kept"));
    let ran = nnc(dir.path(), &["eval", "p.nn"]);
    assert!(ran.code == 3 && ran.err.contains("add `save = last(\"m.safetensors\")`"), "{}", ran.err);
}

#[test]
fn options_of_other_tools_are_answered_with_ours() {
    let dir = project();
    for (args, tip) in [
        (&["--epochs", "3"][..], "--set train.epochs=3"),
        (&["--batch=8"], "--set train.batch=8"),
        (&["--batch-size", "8"], "--set train.batch=8"),
        (&["--learning_rate", "1e-3"], "--lr 1e-3"),
        (&["--device", "cpu"], "--target cpu"),
    ] {
        let ran = nnc(dir.path(), &[&["train", "p.nn"], args].concat());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(tip) && !ran.err.contains("as a value"), "{args:?}: {}", ran.err);
    }
    let ran = nnc(dir.path(), &["train", "p.nn", "--nonsense"]);
    assert!(ran.code == 2 && !ran.err.contains("as a value"), "{}", ran.err);
    let help = nnc(dir.path(), &["help", "train"]).ok().out;
    assert_eq!(help, nnc(dir.path(), &["train", "--help"]).ok().out);
    assert!(nnc(dir.path(), &["help"]).ok().out.contains("Commands:"));
    let stages = nnc(dir.path(), &["ir", "p.nn"]);
    assert!(stages.code == 2 && stages.err.contains("kernel") && stages.err.contains("ast"), "{}", stages.err);
}

#[test]
fn nothing_that_was_checked_is_not_called_ok() {
    let dir = project();
    let own = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
    own("empty.nn", "");
    let ran = nnc(dir.path(), &["check", "empty.nn"]).ok();
    assert!(ran.out.contains("nothing was put together"), "{}", ran.out);
    own("data.nn", "data D { source = csv(\"d.csv\"); x: f32 = undefined(a) }\n");
    let ran = nnc(dir.path(), &["check", "data.nn"]);
    assert!(ran.code == 1 && ran.err.contains("`undefined`"), "{}", ran.err);
    let ran = nnc(dir.path(), &["test", "p.nn"]).ok();
    assert!(ran.err.contains("p.nn: there is no `test` item"), "{}", ran.err);
    let checked = nnc(dir.path(), &["check", "--json", "p.nn"]).ok().one("check");
    assert_eq!(checked["units"][0]["params"], 17, "{checked}");
}

#[test]
fn asserts_show_both_sides() {
    let dir = folder();
    let text = "test \"a\" { assert sum([1.0, 2.0]) == 7.0 }\n\
                test \"b\" { let x: [2] = [1, 2]; assert all(x == [1.0, 3.0]) }\n\
                test \"c\" { let x: [2] = [1, 2]; assert max(x) < 1.5 }\n";
    fs::write(dir.path().join("t.nn"), text).expect("written");
    let ran = nnc(dir.path(), &["test", "t.nn"]);
    assert_eq!(ran.code, 1);
    for seen in ["1:19: 3 and 7", "2 and 3 differ by 1 at [1]; 1 of 2 elements", ": 2 and 1.5"] {
        assert!(ran.out.contains(seen), "`{seen}` in:\n{}", ran.out);
    }
}

#[test]
fn columns_are_matched_by_their_names() {
    let dir = project();
    let program = PROGRAM.replace("  optimizer", "  save = last(\"m.safetensors\")\n  optimizer");
    fs::write(dir.path().join("p.nn"), program).expect("written");
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    fs::write(dir.path().join("new.csv"), "a,c\n1,2\n").expect("written");
    let ran = nnc(dir.path(), &["predict", "p.nn", "--input", "new.csv"]);
    assert!(ran.code == 3 && ran.err.contains("`b` is missing") && !ran.err.contains("Then call it so"), "{}", ran.err);
    fs::write(dir.path().join("new.csv"), "a,bb\n1,2\n").expect("written");
    let ran = nnc(dir.path(), &["predict", "p.nn", "--input", "new.csv"]);
    assert!(ran.err.contains("is `bb` the column `b`"), "{}", ran.err);
    let ran = nnc(dir.path(), &["predict", "p.nn", "--output", "-"]);
    assert!(ran.code == 2 && ran.err.contains("standard output"), "{}", ran.err);
}
