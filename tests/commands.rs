//! Commands on the real binary as people use them: new projects, overrides, new rows, logs, and how it all looks.

mod common;

use common::{Ran, command, file, folder, nnc, root};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A classifier of two numbers, with a schedule and a column that is named in the file.
const NAMED: &str = "
data D {
  source = csv(\"d.csv\")
  test   = split(source, 0.25, seed: 1)
  x: f32[2] = stack(a, b) / 4
  y: idx<2> = kind
}
model M[In] = seq { Linear[In, 8], relu, Linear[8, 2] }
train m: M[2] on D {
  batch = 8;  epochs = 3
  loss      = cross_entropy(m(x), y)
  metrics   = { acc: accuracy(m(x), y) }
  optimizer = Adam(lr: cosine(0.25, warmup: 3))
  save      = last(\"m.safetensors\")
}
";

/// The class is which of `a` and `b` is larger.
fn rows(n: usize) -> Vec<[f64; 2]> {
    (0..n).map(|i| [(i * 7 % 16) as f64 / 2.0, (i * 5 % 16) as f64 / 2.0]).collect()
}

fn named(dir: &Path) {
    let line = |r: &[f64; 2]| format!("{},{},{}\n", r[0], u8::from(r[0] > r[1]), r[1]);
    let text: String = rows(48).iter().map(line).collect();
    fs::write(dir.join("d.csv"), format!("a,kind,b\n{text}")).expect("written");
    fs::write(dir.join("p.nn"), NAMED).expect("written");
}

fn trained() -> tempfile::TempDir {
    let dir = folder();
    named(dir.path());
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    dir
}

/// Runs `nnc` with text on standard input.
fn piped(dir: &Path, args: &[&str], text: &str) -> Ran {
    let mut child = command(dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nnc starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let run = child.wait_with_output().expect("it ends");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    Ran { code: run.status.code().unwrap_or(-1), out: text(&run.stdout), err: text(&run.stderr) }
}

fn close(a: &Value, b: f64) -> bool {
    a.as_f64().is_some_and(|a| (a - b).abs() <= 1e-6 * b.abs().max(1e-30))
}

#[test]
fn a_new_project_of_every_template_checks_trains_and_predicts() {
    let dir = folder();
    let listed = nnc(dir.path(), &["new", "--help"]).ok().out;
    for (template, metric, least) in [("mlp", "acc", 0.9), ("tabular", "acc", 0.8), ("regression", "mae", -0.2)] {
        assert!(listed.contains(&format!("- {template}:")), "{listed}");
        let made = nnc(dir.path(), &["new", template, "--template", template]).ok();
        assert!(made.out.contains(&format!("cd {template}, then nnc train {template}.nn")), "{}", made.out);
        let program = format!("{template}/{template}.nn");
        let checked = nnc(dir.path(), &["check", &program]).ok();
        assert!(checked.err.is_empty(), "a template has no warnings:\n{}", checked.err);
        let done = nnc(dir.path(), &["train", "--json", &program, "--out", template]).ok().one("done");
        let value = done["test"][metric].as_f64().expect("a number");
        assert!(if least < 0.0 { value < -least } else { value > least }, "{template}: {done}");
        let rows = nnc(dir.path(), &["predict", "--json", &program, "--out", template, "--limit", "3"]).ok();
        assert_eq!(rows.all("predict").len(), 3);
        assert!(fs::read_to_string(dir.path().join(template).join("README.md")).expect("a page").contains(template));
        let again = nnc(dir.path(), &["new", template]);
        assert!(again.code == 3 && again.err.contains("error[E0417]") && again.err.contains("there already"));
    }
    let odd = nnc(dir.path(), &["new", "a b"]);
    assert!(odd.code == 2 && odd.err.contains("a name of letters"), "{}", odd.err);
    assert!(nnc(dir.path(), &["new", "x", "--template", "tabla"]).err.contains("tabular"), "a suggestion");
}

#[test]
fn the_learning_rate_is_shown_and_follows_overrides() {
    let dir = folder();
    named(dir.path());
    let lr = |args: &[&str]| -> Vec<Value> {
        let all = [&["train", "--json", "p.nn"], args].concat();
        nnc(dir.path(), &all).ok().all("epoch").iter().map(|e| e["lr"].clone()).collect()
    };
    // 36 rows in batches of 8 are 5 steps an epoch, 15 in all; the rate falls along half a cosine after 3.
    let cosine = |peak: f64, t: f64| peak * 0.5 * (1.0 + (std::f64::consts::PI * (t - 3.0) / 12.0).cos());
    for (args, peak) in [(&[][..], 0.25), (&["--set", "train.optimizer.lr.peak=0.5"], 0.5)] {
        let got = lr(args);
        assert!(close(&got[0], cosine(peak, 5.0)) && close(&got[1], cosine(peak, 10.0)), "{args:?}: {got:?}");
    }
    for args in [&["--lr", "0.125"][..], &["--set", "train.optimizer.lr=0.125"], &["--set", "lr=0.125"]] {
        assert!(lr(args).iter().all(|x| close(x, 0.125)), "{args:?}");
    }
    let ran = nnc(dir.path(), &["train", "p.nn", "--set", "train.epochs=1", "--lr", "0.125"]).ok();
    assert!(ran.out.contains("      lr") && ran.out.contains("   0.125"), "{}", ran.out);
    let wrong = nnc(dir.path(), &["train", "p.nn", "--set", "train.optimizer.pl=1"]);
    let says =
        ["error[E0211]", "train.optimizer.pl", "did you mean", "train.optimizer.lr.peak", "train.optimizer.betas"];
    assert!(wrong.code == 1 && says.iter().all(|s| wrong.err.contains(s)), "{}", wrong.err);
}

#[test]
fn logs_grow_by_rows_and_resume_without_repeats() {
    for (name, lines) in [("log.csv", 1), ("log.jsonl", 0)] {
        let dir = folder();
        named(dir.path());
        let log = dir.path().join(name);
        let rows = || fs::read_to_string(&log).expect("a log").lines().map(str::to_owned).collect::<Vec<_>>();
        nnc(dir.path(), &["train", "p.nn", "-q", "--lr", "0.125", "--log", name]).ok();
        let first = rows();
        assert_eq!(first.len(), 3 + lines, "{first:?}");
        if name == "log.csv" {
            assert_eq!(first[0], "epoch,step,seconds,lr,train_loss,test_loss,test_acc");
            assert!(first[1].starts_with("1,5,") && first[1].split(',').count() == 7, "{}", first[1]);
        } else {
            let row: Value = serde_json::from_str(&first[2]).expect("JSON");
            assert!(row["epoch"] == 3 && row["test"]["acc"].is_number(), "{row}");
        }
        // A row too many, of an epoch that is trained again, and one that was cut off.
        let mut f = fs::OpenOptions::new().append(true).open(&log).expect("a log");
        let extra = match name {
            "log.csv" => "4,15,1,1,1,1,1\n5,2",
            _ => "{\"event\":\"epoch\",\"epoch\":4,\"step\":15}\n{\"ev",
        };
        f.write_all(extra.as_bytes()).expect("written");
        nnc(
            dir.path(),
            &["train", "p.nn", "-q", "--lr", "0.125", "--log", name, "--resume", "--set", "train.epochs=5"],
        )
        .ok();
        let all = rows();
        assert_eq!((all.len(), &all[..first.len()]), (5 + lines, &first[..]), "{all:?}");
        nnc(dir.path(), &["train", "p.nn", "-q", "--lr", "0.125", "--log", name]).ok();
        assert_eq!(rows().len(), 3 + lines, "a new run begins a new log");
    }
    let dir = folder();
    named(dir.path());
    let before = fs::read(dir.path().join("d.csv")).expect("data");
    let ran = nnc(dir.path(), &["train", "p.nn", "--log", "d.csv"]);
    assert!(ran.code == 3 && ran.err.contains("error[E0417]") && ran.err.contains("the program reads"), "{}", ran.err);
    fs::write(dir.path().join("other.csv"), "a,b\n1,2\n").expect("written");
    let ran = nnc(dir.path(), &["train", "p.nn", "--log", "other.csv"]);
    assert!(ran.code == 3 && ran.err.contains("error[E0417]") && ran.err.contains("no log of nnc"), "{}", ran.err);
    assert_eq!(fs::read(dir.path().join("d.csv")).expect("data"), before);
    assert_eq!(nnc(dir.path(), &["train", "p.nn", "--log", "log.txt"]).code, 2);
}

#[test]
fn new_rows_from_every_format_get_the_answers_of_the_program() {
    let dir = trained();
    let at = dir.path();
    let old = nnc(at, &["predict", "--json", "p.nn", "--split", "train"]).ok().all("predict");
    let data = rows(48);
    // Columns in another order, labels left out, a column of words that nothing needs.
    let csv: String = old
        .iter()
        .map(|p| &data[p["index"].as_u64().expect("a row") as usize])
        .map(|r| format!("{},word,{}\n", r[1], r[0]))
        .collect();
    let csv = format!("b,note,a\n{csv}");
    fs::write(at.join("new.csv"), &csv).expect("written");
    let same = |ran: Ran| {
        let new = ran.ok().all("predict");
        assert_eq!(new.len(), old.len());
        for (i, (new, old)) in new.iter().zip(&old).enumerate() {
            assert_eq!(new["index"], i);
            assert_eq!(
                (&new["output"], &new["class"], &new["probability"]),
                (&old["output"], &old["class"], &old["probability"])
            );
        }
    };
    same(nnc(at, &["predict", "--json", "p.nn", "--input", "new.csv"]));
    same(piped(at, &["predict", "--json", "p.nn", "--input", "-"], &csv));
    // Class and probability are those of the softmax of the outputs.
    for p in &old {
        let z: Vec<f64> =
            p["output"].as_array().expect("outputs").iter().map(|x| x.as_f64().expect("a number")).collect();
        let e: Vec<f64> = z.iter().map(|x| (x - z[0].max(z[1])).exp()).collect();
        let best = usize::from(z[1] > z[0]);
        assert!(
            p["class"] == best && (p["probability"].as_f64().expect("p") - e[best] / (e[0] + e[1])).abs() < 1e-6,
            "{p}"
        );
    }
    // One row, many rows; whole numbers, which the training table had not.
    let one = piped(at, &["predict", "p.nn", "--input", "-"], "a,b\n7,0\n").ok();
    assert!(
        one.out.starts_with("  row  class  probability\n    1      1  ") && one.out.lines().count() == 2,
        "{}",
        one.out
    );
    let many: String = (0..1000).map(|_| "7,0\n").collect();
    let many = piped(at, &["predict", "--json", "p.nn", "--input", "-"], &format!("a,b\n{many}")).ok().all("predict");
    assert!(many.len() == 1000 && many.iter().all(|p| p["output"] == many[0]["output"]));
}

#[test]
fn predictions_go_to_files_and_replace_nothing_else() {
    let dir = trained();
    let at = dir.path();
    let old = nnc(at, &["predict", "--json", "p.nn"]).ok().all("predict");
    let ran = nnc(at, &["predict", "p.nn", "--output", "out.csv"]).ok();
    assert!(ran.out.is_empty() && ran.err.contains("12 predictions in out.csv"), "{}{}", ran.out, ran.err);
    let text = fs::read_to_string(at.join("out.csv")).expect("a table");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("row,class,probability,output_0,output_1", 13));
    let cells: Vec<&str> = lines[1].split(',').collect();
    let whole = |i: usize| cells[i].parse::<u64>().ok();
    assert_eq!((whole(0), whole(1)), (old[0]["row"].as_u64(), old[0]["class"].as_u64()), "{}", lines[1]);
    nnc(at, &["predict", "p.nn", "--output", "out.csv", "--limit", "1", "--force"]).ok();
    assert_eq!(fs::read_to_string(at.join("out.csv")).expect("a table").lines().count(), 2, "it is replaced");
    for (name, code) in [("d.csv", 3), ("p.nn", 3), ("x.txt", 2)] {
        let ran = nnc(at, &["predict", "p.nn", "--output", name]);
        assert_eq!(ran.code, code, "{name}: {}", ran.err);
    }
    assert!(fs::read_to_string(at.join("d.csv")).expect("data").starts_with("a,kind,b\n"));
    // An array of predictions is one of rows again, here of a program that takes it whole.
    nnc(at, &["predict", "p.nn", "--output", "out.npy"]).ok();
    let bytes = fs::read(at.join("out.npy")).expect("an array");
    let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00") && header.contains("'shape': (12, 2,)"), "{header}");
    assert_eq!(bytes.len(), 128 + 12 * 2 * 4);
    assert_eq!(nnc(at, &["predict", "p.nn", "--output", "out.npy"]).code, 3);
    let by_place = "data E { source = csv(\"e.csv\", columns: { z: 2, t: 1 })\n x: f32[2] = z\n y: f32 = t }
        model N = seq { Linear[2, 1] }
        train n: N on E { batch = 2; epochs = 1; loss = mse(n(x)[:, 0], y); optimizer = Sgd(); save = last(\"n.safetensors\") }\n";
    fs::write(at.join("q.nn"), by_place).expect("written");
    fs::write(at.join("e.csv"), "1,2,3\n4,5,6\n").expect("written");
    nnc(at, &["train", "q.nn", "-q"]).ok();
    let plain = nnc(at, &["predict", "q.nn", "--input", "out.npy"]).ok();
    assert!(plain.out.starts_with("  row      output\n") && plain.out.lines().count() == 13, "{}", plain.out);
    let count = |text: &str| piped(at, &["predict", "--json", "q.nn", "--input", "-"], text);
    for text in ["1,2\n", "1,2,3\n", "z0,z1\n1,2\n", "1,2"] {
        assert_eq!(count(text).ok().all("predict").len(), 1, "{text:?}");
    }
    assert!(count("1\n").err.contains("expected 2 (z: i32[2])"));
}

#[test]
fn wrong_new_rows_are_told_by_code_and_place() {
    let dir = trained();
    for (text, says) in [
        ("", &["E0413", "no rows"][..]),
        ("a,b\n", &["E0413", "no rows"]),
        ("1,2\n", &["E0415", "nothing names the columns", "a,b"]),
        ("a,c\n1,2\n", &["E0415", "column `b` is missing", "a, c"]),
        ("c,d\n1,2\n", &["E0415", "columns `a`, `b` are missing"]),
        ("a,b\n1,2\n1\n", &["E0411", "line 3 has 1 cell, the first one has 2"]),
        ("a,b\n1,2\n3,x\n", &["E0412", "line 3, cell 2 (column `b`) is not a number: `x`"]),
        ("a,b\n1,\n", &["E0412", "line 2, cell 2", "is empty"]),
        ("a,b,a\n1,2,3\n", &["E0415", "two columns are named `a`"]),
    ] {
        let ran = piped(dir.path(), &["predict", "p.nn", "--input", "-"], text);
        assert!(ran.code == 3 && ran.out.is_empty(), "{text:?}: {}", ran.err);
        for s in says {
            assert!(ran.err.contains(s), "{text:?}: {s}\n{}", ran.err);
        }
    }
    let ran = piped(dir.path(), &["predict", "--json", "p.nn", "--input", "-"], "a,b\n1,2\n3,x\n");
    let place = serde_json::json!({ "file": "standard input", "row": 3, "column": "b" });
    assert_eq!(ran.one("diagnostic")["place"], place);
    // Class numbers that the inputs are made of are held against their number, in columns and in what fields make of them.
    let ids = "data E { source = csv(\"e.csv\")\n w: idx<4> = word\n v: idx<3> = (other - 1) as idx<3>\n y: idx<2> = kind }
        model N { a = Embedding[4, 3]; b = Embedding[3, 3]; c = Linear[3, 2]
          fn forward(w: idx<4>[B], v: idx<3>[B]) -> [B, 2] = c(a(w) + b(v)) }
        train n: N on E { batch = 2; epochs = 1; loss = cross_entropy(n(w, v), y); optimizer = Sgd(); save = last(\"n.safetensors\") }\n";
    fs::write(dir.path().join("q.nn"), ids).expect("written");
    fs::write(dir.path().join("e.csv"), "word,other,kind\n0,1,1\n3,3,0\n").expect("written");
    nnc(dir.path(), &["train", "q.nn", "-q"]).ok();
    let said = |rows: &str| piped(dir.path(), &["predict", "q.nn", "--input", "-"], &format!("word,other\n{rows}"));
    assert_eq!(said("0,1\n3,2\n").ok().out.lines().count(), 3);
    for (rows, names) in [("0,1\n4,1\n", "`word`"), ("0,1\n0,4\n", "field `v`"), ("0,1\n0.5,1\n", "word")] {
        let ran = said(rows);
        assert!(ran.code == 3 && ran.err.contains(names) && ran.err.contains("standard input"), "{rows}: {}", ran.err);
    }
    let ran = nnc(dir.path(), &["predict", "p.nn", "--input", "absent.csv"]);
    assert!(ran.code == 3 && ran.err.contains("E0403"), "{}", ran.err);
    assert_eq!(nnc(dir.path(), &["predict", "p.nn", "--input", "d.csv", "--split", "test"]).code, 2);
}

#[test]
fn nothing_but_the_answer_on_standard_output() {
    let dir = trained();
    let eval = nnc(dir.path(), &["eval", "p.nn"]).ok();
    assert!(eval.out.starts_with("test (12 rows): loss ") && eval.out.lines().count() == 1, "{}", eval.out);
    assert!(eval.err.contains("compiled in"), "{}", eval.err);
    let predict = nnc(dir.path(), &["predict", "p.nn", "--limit", "2"]).ok();
    assert!(predict.out.lines().count() == 3 && predict.err.contains("compiled in"), "{}", predict.out);
    // Quiet: errors and results, nothing else.
    let quiet = nnc(dir.path(), &["eval", "-q", "p.nn"]).ok();
    assert!(quiet.out == eval.out && quiet.err.is_empty(), "{}{}", quiet.out, quiet.err);
    let quiet = nnc(dir.path(), &["train", "-q", "p.nn"]).ok();
    assert!(quiet.out.starts_with("done: 3 epochs, 15 steps in ") && quiet.out.lines().count() == 1, "{}", quiet.out);
    assert!(quiet.err.is_empty(), "{}", quiet.err);
    for args in [&["summary", "-q", "p.nn"][..], &["bench", "-q", "p.nn", "--steps", "2"], &["test", "-q"]] {
        let ran = nnc(dir.path(), args).ok();
        assert!(!ran.out.is_empty() && ran.err.is_empty(), "{args:?}: {}{}", ran.out, ran.err);
    }
    assert_eq!(nnc(dir.path(), &["check", "-q", "p.nn"]).ok().out, "");
    let wrong = nnc(dir.path(), &["check", "-q", "p.nn", "--set", "m.In=3"]);
    assert!(wrong.code == 1 && wrong.err.starts_with("error[E01"), "{}", wrong.err);
}

#[test]
fn every_error_begins_alike() {
    let dir = trained();
    for args in [
        &["check", "absent.nn"][..],
        &["check", "p.nn", "--set", "x=1"],
        &["train", "p.nn", "--epochs", "3"],
        &["trian", "p.nn"],
        &["eval", "p.nn", "--split", "val"],
        &["eval", "p.nn", "--weights", "absent"],
        &["predict", "p.nn", "--input", "absent"],
        &["train", "p.nn", "--target", "cuda"],
        &["bench", "p.nn", "--entry", "init"],
        &["new", "p.nn"],
    ] {
        let ran = nnc(dir.path(), args);
        let first = ran.err.lines().find(|l| !l.starts_with("compiled")).unwrap_or_default();
        let coded = first.strip_prefix("error[E").is_some_and(|r| r.get(4..7) == Some("]: "));
        assert!(ran.code != 0 && (coded || first.starts_with("error: ")), "{args:?}: {}", ran.err);
    }
}

#[test]
fn colors_and_frames_follow_the_environment() {
    let dir = trained();
    let run = |vars: &[(&str, &str)]| {
        let mut c = command(dir.path(), &["check", "p.nn", "--set", "m.In=3"]);
        for name in ["NO_COLOR", "CLICOLOR_FORCE", "TERM"] {
            c.env_remove(name);
        }
        let out = c.envs(vars.iter().copied()).output().expect("nnc starts");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let (plain, forced) = (run(&[("TERM", "xterm")]), run(&[("CLICOLOR_FORCE", "1")]));
    assert!(!plain.contains('\x1b') && plain.contains('╭'), "{plain}");
    assert!(forced.contains("\x1b["), "{forced}");
    assert!(!run(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\x1b'));
    assert!(!run(&[("CLICOLOR_FORCE", "0")]).contains('\x1b'));
    let dumb = run(&[("TERM", "dumb")]);
    assert!(dumb.is_ascii() && dumb.contains("p.nn:8:28"), "{dumb}");
}

#[test]
fn summary_says_what_each_layer_gives_and_costs() {
    let dir = trained();
    let s = nnc(dir.path(), &["summary", "--json", "p.nn"]).ok().one("summary");
    let layer = |path: &str| {
        s["layers"].as_array().expect("layers").iter().find(|l| l["path"] == path).cloned().unwrap_or_default()
    };
    let first = layer("0");
    assert_eq!(
        (&first["kind"], &first["output"], &first["params"]),
        (&"Linear".into(), &serde_json::json!([8, 8]), &24.into())
    );
    // 8 rows: two operations a weight, one a bias.
    assert_eq!(first["flops"], 8 * (2 * 2 * 8 + 8));
    assert_eq!((&layer("1")["kind"], &layer("1")["params"]), (&"relu".into(), &0.into()));
    assert_eq!(layer("2")["output"], serde_json::json!([8, 2]));
    let total: u64 =
        s["layers"].as_array().expect("layers").iter().map(|l| l["params"].as_u64().expect("a count")).sum();
    assert_eq!(s["params"], total);
    let text = nnc(dir.path(), &["summary", "p.nn"]).ok().out;
    assert!(text.starts_with("m: M on D, a batch of 8 rows\n") && text.contains("total"), "{text}");
    let lines: Vec<&str> = text.lines().skip(2).take_while(|l| !l.is_empty()).collect();
    assert!(lines.iter().all(|l| l.chars().count() == lines[0].chars().count()), "aligned:\n{text}");
}

#[test]
fn completions_for_every_shell() {
    let dir = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = nnc(dir.path(), &["completions", shell]).ok().out;
        assert!(["predict", "template", "check-finite"].iter().all(|w| script.contains(w)), "{shell}");
    }
}

#[test]
fn a_watched_program_is_checked_again_when_it_is_saved() {
    let dir = folder();
    named(dir.path());
    let out = dir.path().join("out.txt");
    let mut child = command(dir.path(), &["check", "--watch", "p.nn"])
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("nnc starts");
    let wait = |n: usize| {
        let began = Instant::now();
        while fs::read_to_string(&out).expect("output").matches("checked in").count() < n {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", fs::read_to_string(&out).expect("output"));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(1);
    fs::write(dir.path().join("p.nn"), format!("{NAMED}\n# changed\n")).expect("written");
    wait(2);
    fs::remove_file(dir.path().join("p.nn")).expect("removed");
    wait(3);
    named(dir.path());
    wait(4);
    // Ctrl-C ends it cleanly.
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts");
    assert!(sent.success() && child.wait().expect("ended").success());
    let text = fs::read_to_string(&out).expect("output");
    assert_eq!(text.matches("m: ok, 42 parameters in 4 tensors").count(), 3, "{text}");
}

#[test]
fn the_page_names_every_command() {
    let page = fs::read_to_string(root().join("README.md")).expect("a page");
    let dir = folder();
    let help = nnc(dir.path(), &["--help"]).ok().out;
    let commands = help.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    for line in commands.filter(|l| !l.starts_with("    ")) {
        let name = line.split_whitespace().next().expect("a name");
        assert!(page.contains(&format!("`nnc {name}")), "`nnc {name}` in README.md");
    }
    assert!(fs::metadata(file("README.md")).is_ok());
}

#[test]
fn a_data_folder_that_is_none_is_told() {
    let dir = folder();
    named(dir.path());
    std::fs::write(dir.path().join("file"), "").expect("written");
    for (given, says) in [("nope", "there is no such folder"), ("file", "this is no folder")] {
        let ran = nnc(dir.path(), &["check", "p.nn", "--data", given]);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(says) && ran.err.contains("--data"), "{}", ran.err);
    }
}
