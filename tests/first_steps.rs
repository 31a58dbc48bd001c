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

#[test]
fn values_that_the_data_lack_are_told_of_the_data() {
    let dir = project();
    let own = |text: &str| fs::write(dir.path().join("p.nn"), text).expect("written");
    for flag in [&["train", "p.nn"][..], &["train", "p.nn", "--check-finite"]] {
        own(&PROGRAM.replace("= stack(a, b)", "= stack(a, log(b - 3))"));
        let ran = nnc(dir.path(), flag);
        assert_eq!(ran.code, 5, "{}", ran.err);
        assert!(ran.err.contains("field `x` is NaN in row") && ran.err.contains("by `log`"), "{}", ran.err);
        assert!(ran.err.contains("p.nn:4:") && !ran.err.contains("smaller learning rate"), "{}", ran.err);
        // Divergence is still told of the rate.
        own(&PROGRAM.replace("lr: 0.01", "lr: 1e30").replace("epochs = 2", "epochs = 20"));
        let ran = nnc(dir.path(), flag);
        assert_eq!(ran.code, 5, "{}", ran.err);
        assert!(ran.err.contains("smaller learning rate") && !ran.err.contains("field `"), "{}", ran.err);
    }
}

#[test]
fn a_run_that_cannot_go_on_says_what_has_changed() {
    let dir = project();
    let saved = PROGRAM.replace("  optimizer", "  save = last(\"m.safetensors\")\n  optimizer");
    let own = |text: &str| fs::write(dir.path().join("p.nn"), text).expect("written");
    own(&saved);
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    let refused = |args: &[&str], words: &[&str]| {
        let ran = nnc(dir.path(), &[&["train", "p.nn", "--resume"], args].concat());
        assert!(ran.code == 3 && ran.err.contains("error[E0418]"), "{}", ran.err);
        for word in words {
            assert!(ran.err.contains(word), "`{word}` in:\n{}", ran.err);
        }
    };
    refused(&["--lr", "0.02"], &["`train.optimizer.lr` was not given and is `0.02`"]);
    refused(&["--set", "H=5"], &["`H` was not given and is `5`"]);
    refused(&["--set", "train.precision=f64"], &["`precision` was not given and is `f64`"]);
    own(&saved.replace("lr: 0.01", "lr: 0.02"));
    refused(&[], &["`optimizer` was `Sgd(lr: 0.01)` and is `Sgd(lr: 0.02)`"]);
    own(&saved.replace("tanh", "relu"));
    refused(&[], &["the program has changed since: its model, data, loss"]);
    own(&saved);
    nnc(dir.path(), &["train", "p.nn", "-q", "--resume", "--set", "train.epochs=3"]).ok();
    // A schedule over the whole run.
    own(&saved.replace("lr: 0.01", "lr: cosine(0.01)"));
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    refused(&["--set", "train.epochs=4"], &["`epochs` was `2` and is `4`", "cannot be made longer"]);
    // Weights of other sizes.
    nnc(dir.path(), &["train", "p.nn", "-q", "--set", "H=5"]).ok();
    let ran = nnc(dir.path(), &["eval", "p.nn"]);
    assert!(ran.code == 3 && ran.err.contains("error[E0401]") && ran.err.contains("the same `--set`"), "{}", ran.err);
}

#[test]
fn rows_for_drawn_data_are_matched_by_their_names() {
    let dir = folder();
    let program = "data D { source = rows(64); x: f32[2] ~ normal(); y: f32 = x[0] - x[1] }
model M = seq { Linear[2, 1], |x| x[:, 0] }
train m: M on D { batch = 8; epochs = 40; loss = mse(m(x), y); optimizer = Sgd(lr: 0.1); save = last(\"m.safetensors\") }
";
    fs::write(dir.path().join("p.nn"), program).expect("written");
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    let predict = |text: &str| {
        fs::write(dir.path().join("new.csv"), text).expect("written");
        nnc(dir.path(), &["predict", "--json", "p.nn", "--input", "new.csv"])
    };
    for text in ["5,1\n", "left,right\n5,1\n", "x_0,x_1\n5,1\n", "x_1,other,x_0\n1,9,5\n"] {
        let output = predict(text).ok().one("predict")["output"][0].as_f64().expect("a number");
        assert!((output - 4.0).abs() < 0.2, "{text}: {output}");
    }
    for text in ["x,y\n1,2\n", "a,x\n1,2\n"] {
        let ran = predict(text);
        assert!(ran.code == 3 && ran.err.contains("one cell is called `x`, which is x: f32[2]"), "{}", ran.err);
    }
}

#[test]
fn messages_quote_the_option_that_was_written() {
    let dir = project();
    for value in ["abc", "-1"] {
        let ran = nnc(dir.path(), &["train", "p.nn", "--lr", value]);
        assert!(ran.code == 1 && ran.err.contains(&format!("nnc .. --lr {value}")), "{}", ran.err);
        assert!(!ran.err.contains("--set"), "{}", ran.err);
    }
}
