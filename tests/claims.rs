//! Files that the command line names, on the real binary: a log or predictions replace nothing that the program reads or
//! saves, under whatever name; and best weights belong to the run that goes on with them.

mod common;

use common::{Ran, folder, nnc};
use std::fs;
use std::path::Path;

const PROGRAM: &str = r#"
use "lib.nn".{ rate }
data D {
  source = csv("d.csv")
  test   = split(source, 0.25, seed: 1)
  x: f32[2] = stack(row, output)
  y: f32    = epoch
}
model M = seq { Linear[2, 4], tanh, Linear[4, 1] }
train m: M on D {
  batch = 4;  epochs = 4
  loss      = mse(m(x)[:, 0], y)
  optimizer = Sgd(lr: rate)
  save      = last("w.csv")
}
"#;

/// A program whose data look like predictions and a log of nnc, with its weights.
fn project() -> tempfile::TempDir {
    let dir = folder();
    let rows: String = (0..16).map(|i| format!("{i},{},{}\n", i * 3 % 7, i % 2)).collect();
    fs::write(dir.path().join("d.csv"), format!("row,output,epoch\n{rows}")).expect("written");
    fs::write(dir.path().join("lib.nn"), "const rate = 0.001\n").expect("written");
    fs::write(dir.path().join("p.nn"), PROGRAM).expect("written");
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    dir
}

fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 3, "standard error:\n{}", ran.err);
    for word in ["error[E0417]"].iter().chain(words) {
        assert!(ran.err.contains(word), "`{word}` in:\n{}", ran.err);
    }
    assert!(
        !ran.out.contains("epoch") && !ran.err.contains("compiled"),
        "it is told before anything runs: {}",
        ran.err
    );
}

/// All files with their bytes.
fn snapshot(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entry = |e: fs::DirEntry| (e.file_name(), fs::read(e.path()).unwrap_or_default());
    let mut all: Vec<_> = fs::read_dir(dir).expect("a folder").flatten().map(entry).collect();
    all.sort();
    all
}

/// Other names of a file: by `.`, and by links where there are such.
fn names(dir: &Path, name: &str) -> Vec<String> {
    let end = name.rsplit_once('.').map_or("csv", |(_, end)| end);
    let mut all = vec![name.to_owned(), format!("./{name}"), format!("runs/../{name}")];
    fs::create_dir_all(dir.join("runs")).expect("a folder");
    #[cfg(unix)]
    if dir.join(name).exists() {
        let (soft, hard) = (format!("soft_{name}.{end}"), format!("hard_{name}.{end}"));
        std::os::unix::fs::symlink(name, dir.join(&soft)).expect("a link");
        fs::hard_link(dir.join(name), dir.join(&hard)).expect("a link");
        all.extend([soft, hard]);
    }
    all
}

#[test]
fn predictions_replace_no_file_that_is_read_or_saved_whatever_it_is_called() {
    let dir = project();
    let at = dir.path();
    fs::write(at.join("new.csv"), "row,output\n1,2\n").expect("written");
    fs::copy(at.join("w.csv"), at.join("other.csv")).expect("a copy");
    for (file, says) in [
        ("d.csv", "the program reads this file"),
        ("new.csv", "the program reads this file"),
        ("other.csv", "the program reads this file"),
        ("w.csv", "the weights of the run go to the same file"),
    ] {
        for name in names(at, file) {
            let before = snapshot(at);
            for force in [&[][..], &["--force"]] {
                let args = ["predict", "p.nn", "--input", "new.csv", "--weights", "other.csv", "--output", &name];
                refused(&nnc(at, &[&args, force].concat()), &[says, &name]);
            }
            assert!(snapshot(at) == before, "{name}");
        }
    }
    // By its first line it could be ours: only `--force` says so.
    fs::write(at.join("mine.csv"), "row,output\n1,9\n").expect("written");
    for name in ["mine.csv", "mine.npy"] {
        fs::copy(at.join("mine.csv"), at.join(name)).ok();
        let before = snapshot(at);
        refused(
            &nnc(at, &["predict", "p.nn", "--output", name]),
            &["there is a file already", "`--force` replaces it"],
        );
        assert!(snapshot(at) == before, "{name}");
        let args = ["predict", "p.nn", "-q", "--output", name, "--force"];
        nnc(at, &args).ok();
        let first = fs::read(at.join(name)).expect("predictions");
        nnc(at, &args).ok();
        assert_eq!(first, fs::read(at.join(name)).expect("predictions"), "a command runs again");
        assert!(first != before.iter().find(|f| f.0 == *name).expect("it was there").1);
    }
    fs::create_dir(at.join("folder.csv")).expect("a folder");
    refused(&nnc(at, &["predict", "p.nn", "--output", "folder.csv", "--force"]), &["no regular file"]);
    refused(&nnc(at, &["predict", "p.nn", "--output", "no/o.csv"]), &["cannot write into no"]);
    assert_eq!(nnc(at, &["predict", "p.nn", "--force"]).code, 2, "there is nothing to replace");
}

#[test]
fn a_log_is_no_file_that_is_read_and_none_that_is_saved() {
    let dir = project();
    let at = dir.path();
    // Data that look like a log to the last letter.
    fs::write(at.join("d.csv"), "epoch,step,seconds,row,output\n1,2,3,4,5\n2,3,4,5,6\n3,4,5,6,7\n4,5,6,7,8\n")
        .expect("written");
    for name in names(at, "d.csv") {
        let before = snapshot(at);
        refused(&nnc(at, &["train", "p.nn", "--log", &name]), &["the program reads this file", &name]);
        assert!(snapshot(at) == before, "{name}");
    }
    let program = |save: &str| fs::write(at.join("q.nn"), PROGRAM.replace("w.csv", save)).expect("written");
    for (save, out, log) in [
        ("l.csv", ".", "l.csv"),
        ("l.csv", ".", "./l.csv"),
        ("l.csv", "new/out", "new/out/l.csv"),
        ("out/l.csv", "new", "new/./out/../out/l.csv"),
        ("l.jsonl", "runs", "runs/../runs/l.jsonl"),
    ] {
        program(save);
        let before = snapshot(at);
        refused(
            &nnc(at, &["train", "q.nn", "--out", out, "--log", log]),
            &["the weights of the run go to the same file"],
        );
        assert!(snapshot(at) == before, "{log}");
    }
    program("l.csv");
    nnc(at, &["train", "q.nn", "-q", "--log", "l2.csv"]).ok();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("l9.csv", at.join("l3.csv")).expect("a link");
        program("l9.csv");
        refused(&nnc(at, &["train", "q.nn", "--log", "l3.csv"]), &["the weights of the run go", "they go to"]);
    }
}

#[test]
fn best_weights_of_another_run_are_not_taken_for_those_of_this_one() {
    let dir = project();
    let at = dir.path();
    let best = PROGRAM.replace("last(\"w.csv\")", "best(\"b.safetensors\", on: test.loss)");
    fs::write(at.join("q.nn"), &best).expect("written");
    let train = |more: &[&str]| nnc(at, &[&["train", "q.nn", "--json"], more].concat());
    let weights = || fs::read(at.join("b.safetensors")).expect("weights");
    train(&[]).ok();
    let own = weights();
    // The same run of more epochs, elsewhere: its weights are later ones of this run, and good to go on with.
    let whole = train(&["--set", "train.epochs=8", "--out", "whole"]).ok().one("done");
    let last = fs::read(at.join("whole/b.safetensors")).expect("weights");
    assert!(last != own, "later epochs are better");
    train(&["--seed", "7", "--out", "other"]).ok();
    let other = fs::read(at.join("other/b.safetensors")).expect("weights");
    // A file of ours that says nothing of its run; a changed number.
    let nameless = own.windows(7).position(|w| w == b"nnc.run").expect("a name");
    let mut unnamed = own.clone();
    unnamed[nameless] = b'N';
    unnamed[own.len() - 1] ^= 1;
    let mut changed = own.clone();
    changed[own.len() - 1] ^= 1;
    for (bytes, says) in [
        (&other, "they are of another run"),
        (&unnamed, "they are of another run"),
        (&changed, "they are of epoch 4 of this run"),
    ] {
        fs::write(at.join("b.safetensors"), bytes).expect("written");
        let ran = train(&["--set", "train.epochs=8", "--resume"]);
        for word in ["error[E0418]", "b.safetensors", "not the weights of epoch 4", says, "without `--resume`"] {
            assert!(ran.code == 3 && ran.err.contains(word), "{word}: {}", ran.err);
        }
        assert!(ran.all("epoch").is_empty() && weights() == *bytes, "nothing is trained or replaced");
    }
    for bytes in [&own, &last] {
        fs::write(at.join("b.safetensors"), bytes).expect("written");
        let checkpoint = fs::read(at.join("b.ckpt")).expect("a checkpoint");
        let done = train(&["--set", "train.epochs=8", "--resume"]).ok().one("done");
        assert_eq!((&done["test"], &done["train"]), (&whole["test"], &whole["train"]));
        assert!(weights() == last);
        fs::write(at.join("b.ckpt"), checkpoint).expect("written");
    }
}
