//! The command line on the real binary: events, exit codes, help, and numbers that can be worked out by hand.

mod common;

use common::{Ran, file, folder, nnc, root, tiny_mnist};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;

const COMMANDS: [&str; 12] =
    ["new", "check", "train", "eval", "predict", "ir", "bench", "summary", "test", "fmt", "explain", "completions"];

/// An object must have exactly these fields, each of its type.
fn fields(v: &Value, want: &[(&str, fn(&Value) -> bool)]) {
    let have: Vec<&String> = v.as_object().expect("an object").keys().filter(|k| *k != "event").collect();
    for (name, is) in want {
        assert!(v.get(name).is_some_and(is), "field `{name}` of {v}");
    }
    assert_eq!(have.len(), want.len(), "fields {have:?}");
}

fn number(v: &Value) -> bool {
    v.is_number()
}

fn text(v: &Value) -> bool {
    v.is_string()
}

fn count(v: &Value) -> bool {
    v.is_u64()
}

/// Numbers by name.
fn metrics(v: &Value) -> bool {
    v.as_object().is_some_and(|o| o.values().all(Value::is_number))
}

fn list(v: &Value) -> bool {
    v.is_array()
}

/// The digits example, trained for two epochs into a folder.
fn digits(dir: &Path) -> Ran {
    let out = dir.to_string_lossy();
    nnc(dir, &["train", "--json", &file("examples/digits.nn"), "--set", "train.epochs=2", "--out", &out]).ok()
}

#[test]
fn events_of_a_training_run() {
    let dir = folder();
    let ran = digits(dir.path());
    let compile = ran.one("compile");
    fields(
        &compile,
        &[
            ("ms", number),
            ("kernels", count),
            ("params", count),
            ("flops_per_step", count),
            ("arena_bytes", count),
            ("target", text),
        ],
    );
    assert_eq!(compile["params"], 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
    let epochs = ran.all("epoch");
    assert_eq!(epochs.len(), 2);
    for (i, e) in epochs.iter().enumerate() {
        fields(
            e,
            &[
                ("epoch", count),
                ("step", count),
                ("seconds", number),
                ("lr", number),
                ("train", metrics),
                ("val", metrics),
                ("test", metrics),
            ],
        );
        assert_eq!(e["epoch"], i + 1);
    }
    let done = ran.one("done");
    fields(
        &done,
        &[
            ("epochs", count),
            ("steps", count),
            ("seconds", number),
            ("train", metrics),
            ("val", metrics),
            ("test", metrics),
            ("weights", text),
            ("interrupted", Value::is_boolean),
        ],
    );
    assert_eq!((&done["test"], &done["steps"]), (&epochs[1]["test"], &epochs[1]["step"]));
    assert!(done["weights"].as_str().is_some_and(|w| Path::new(w).exists()));
    // `events` has parsed every line of standard output; what people read went to standard error.
    for word in ["compiled in", "epoch", "test acc", "done: 2 epochs"] {
        assert!(ran.err.contains(word), "`{word}` in:\n{}", ran.err);
    }
    assert_eq!(ran.events().len(), 4);
}

#[test]
fn text_for_people_goes_to_standard_output_without_json() {
    let dir = folder();
    let program = file("examples/perceptron.nn");
    let ran = nnc(dir.path(), &["train", &program]).ok();
    assert!(ran.out.contains("epoch") && ran.out.contains("done: 20 epochs, 80 steps"), "{}", ran.out);
    assert!(!ran.out.contains('{'), "{}", ran.out);
    let quiet = nnc(dir.path(), &["train", "-q", &program]).ok();
    assert!(quiet.out.starts_with("done: 20 epochs, 80 steps") && quiet.err.is_empty(), "{}{}", quiet.out, quiet.err);
}

#[test]
fn evaluation_repeats_the_numbers_of_training_and_predictions_agree_with_them() {
    let dir = folder();
    let done = digits(dir.path()).one("done");
    let program = file("examples/digits.nn");
    let eval = nnc(dir.path(), &["eval", "--json", &program]).ok().one("eval");
    fields(&eval, &[("split", text), ("rows", count), ("values", metrics)]);
    assert_eq!(eval["values"], done["test"], "to the last bit");
    let train = nnc(dir.path(), &["eval", "--json", &program, "--split", "train"]).ok().one("eval");
    let rows = [&eval, &train].map(|v| v["rows"].as_u64().expect("a count"));
    assert_eq!(rows[0] + rows[1], 1797);
    let none = nnc(dir.path(), &["eval", &program, "--split", "val"]);
    assert!(none.code == 2 && none.err.contains("no split `val`; there is: train, test"), "{}", none.err);

    let labels = digit_labels();
    let predicted = nnc(dir.path(), &["predict", "--json", &program]).ok().all("predict");
    assert_eq!(predicted.len() as u64, rows[0]);
    let mut right = 0;
    for p in &predicted {
        fields(p, &[("index", count), ("row", count), ("output", list), ("class", count), ("probability", number)]);
        let output: Vec<f64> =
            p["output"].as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect();
        assert_eq!(output.len(), 10);
        let best = (0..10).fold(0, |best, i| if output[i] > output[best] { i } else { best });
        right += usize::from(labels[p["index"].as_u64().expect("a row") as usize] == best);
    }
    assert_eq!(eval["values"]["acc"], right as f64 / predicted.len() as f64);
    let few = nnc(dir.path(), &["predict", "--json", &program, "--limit", "5"]).ok().all("predict");
    assert_eq!(few[..], predicted[..5]);
}

/// The last column of the bundled digits.
fn digit_labels() -> Vec<usize> {
    let file = fs::File::open(root().join("examples/data/digits.csv.gz")).expect("bundled data");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("text");
    text.lines().map(|l| l.rsplit(',').next().and_then(|c| c.trim().parse().ok()).expect("a label")).collect()
}

#[test]
fn events_of_a_benchmark() {
    let dir = folder();
    let program = file("benches/workloads/mlp.nn");
    let b = nnc(dir.path(), &["bench", "--json", &program, "--steps", "3", "--threads", "1"]).ok().one("bench");
    let want: [(&str, fn(&Value) -> bool); 13] = [
        ("workload", text),
        ("target", text),
        ("threads", count),
        ("median_ms", number),
        ("min_ms", number),
        ("first_ms", number),
        ("compile_ms", number),
        ("flops_per_step", count),
        ("gflops", number),
        ("peak_gflops", number),
        ("arena_bytes", count),
        ("steps", count),
        ("event", text),
    ];
    fields(&b, &want[..12]);
    assert_eq!((&b["workload"], &b["threads"], &b["steps"]), (&"mlp".into(), &1.into(), &3.into()));
    let x = |name: &str| b[name].as_f64().expect("a number");
    assert!(0.0 < x("min_ms") && x("min_ms") <= x("median_ms") && x("gflops") <= x("peak_gflops") * 1.5, "{b}");
    let rate = x("flops_per_step") / (x("median_ms") * 1e6);
    assert!((x("gflops") / rate - 1.0).abs() < 1e-9, "{b}");
}

#[test]
fn summary_agrees_with_a_calculation_by_hand() {
    let dir = folder();
    tiny_mnist(dir.path(), 64, 10);
    let data = dir.path().to_string_lossy();
    let ran = nnc(dir.path(), &["summary", "--json", &file("examples/mnist_mlp.nn"), "--data", &data]).ok();
    let s = ran.one("summary");
    assert_eq!(s["params"], 235_146);
    let layers: Vec<(&str, u64)> = s["layers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|l| (l["path"].as_str().expect("a path"), l["params"].as_u64().expect("a count")))
        .filter(|(_, params)| *params > 0)
        .collect();
    assert_eq!(layers, [("0", 784 * 256 + 256), ("3", 256 * 128 + 128), ("6", 128 * 10 + 10)]);
    // Every tensor starts on a cache line of 64 bytes.
    let tensors: [u64; 6] = [784 * 256, 256, 256 * 128, 128, 128 * 10, 10];
    let bytes: u64 = tensors.iter().map(|n| (n * 4).next_multiple_of(64)).sum();
    assert_eq!(s["param_bytes"], bytes);
    assert_eq!(s["state_bytes"], 2 * bytes, "Adam keeps two numbers a parameter");
    // Two FLOPs a multiply and add: forward, gradients of weights, and of inputs except the first layer's.
    let (all, first) = (784 * 256 + 256 * 128 + 128 * 10, 784 * 256);
    let contractions = 2 * 64 * (2 * all + (all - first));
    let train = s["entries"].as_array().expect("a list").iter().find(|e| e["name"] == "train").expect("an entry");
    let flops = train["flops"].as_u64().expect("a count");
    assert!(flops >= contractions && flops < contractions + contractions / 10, "{flops} against {contractions}");
    assert!(ran.err.contains("235,146"), "{}", ran.err);
}

#[test]
fn help_has_an_example_for_every_command() {
    let dir = folder();
    let all = nnc(dir.path(), &["--help"]).ok().out;
    assert!(all.contains("Example"), "{all}");
    for command in COMMANDS {
        assert!(all.lines().any(|l| l.trim_start().starts_with(command)), "`{command}` in:\n{all}");
        let help = nnc(dir.path(), &[command, "--help"]).ok().out;
        let example = help.split("Example:").nth(1).unwrap_or_else(|| panic!("{command}:\n{help}"));
        assert!(example.trim_start().starts_with(&format!("nnc {command} ")), "{help}");
    }
    let listed = all.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    assert_eq!(listed.filter(|l| !l.starts_with("    ")).count(), COMMANDS.len(), "{all}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let dir = folder();
    let program = file("examples/perceptron.nn");
    let cases: [&[&str]; 8] = [
        &[],
        &["tarin", &program],
        &["train"],
        &["train", &program, "--epochs", "3"],
        &["train", &program, "--threads", "0"],
        &["train", &program, "--set", "train.epochs"],
        &["ir", &program],
        &["ir", &program, "--stage", "nonsense"],
    ];
    for args in cases {
        let ran = nnc(dir.path(), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}");
    }
    assert!(nnc(dir.path(), &["tarin"]).err.contains("train"), "a suggestion");
    let no_train = dir.path().join("m.nn");
    fs::write(&no_train, "model M = seq { Linear[2, 3] }\n").expect("written");
    let ran = nnc(dir.path(), &["train", "m.nn"]);
    assert!(ran.code == 2 && ran.err.contains("no `train` item"), "{}: {}", ran.code, ran.err);
    let ran = nnc(dir.path(), &["train", &program, "--target", "cuda"]);
    assert!(ran.code == 4 && ran.err.contains("cpu"), "{}", ran.err);
}

#[test]
fn findings_as_events() {
    let dir = folder();
    let program = "fn f(x: [B, 4]) -> [B] = rellu(x)\nmodel M = seq { Linear[4, 5] }\n";
    fs::write(dir.path().join("p.nn"), program).expect("written");
    let ran = nnc(dir.path(), &["check", "--json", "p.nn"]);
    assert_eq!(ran.code, 1);
    let d = &ran.all("diagnostic")[0];
    fields(
        d,
        &[
            ("severity", text),
            ("code", text),
            ("message", text),
            ("spans", list),
            ("notes", list),
            ("help", list),
            ("fixes", list),
        ],
    );
    let edit = &d["fixes"][0]["edits"][0];
    assert_eq!((&edit["line"], &edit["col"], &edit["end_col"]), (&1.into(), &26.into(), &31.into()));
    assert_eq!(edit["text"], "relu");
    let span = &d["spans"][0];
    fields(
        span,
        &[("file", text), ("line", count), ("col", count), ("end_line", count), ("end_col", count), ("label", text)],
    );
    assert_eq!((&span["line"], &span["col"], &span["end_col"]), (&1.into(), &26.into(), &31.into()));
    assert!(d["message"].as_str().is_some_and(|m| m.contains("rellu")), "{d}");
    assert!(ran.err.contains("[E0100]") && ran.err.contains("1 error"), "{}", ran.err);
}

#[test]
fn a_second_train_item_is_not_passed_over_in_silence() {
    let dir = folder();
    let program = fs::read_to_string(root().join("examples/perceptron.nn")).expect("an example");
    let again = program.split("train p").nth(1).expect("a train item");
    fs::write(
        dir.path().join("p.nn"),
        format!("{program}\ntrain q{}", again.replace("p(x)", "q(x)").replace("last(\"p", "last(\"q")),
    )
    .expect("written");
    let ran = nnc(dir.path(), &["train", "p.nn"]).ok();
    assert!(ran.err.contains("only the first `train` item, `p`, is used; not `q`"), "{}", ran.err);
}

/// Examples in a folder of their own, beside their data.
fn examples() -> tempfile::TempDir {
    let dir = folder();
    fs::create_dir(dir.path().join("data")).expect("a folder");
    for from in ["examples", "examples/data"] {
        for entry in fs::read_dir(root().join(from)).expect("a folder").flatten().filter(|e| e.path().is_file()) {
            let to = dir.path().join(from.trim_start_matches("examples").trim_start_matches('/'));
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
    tiny_mnist(dir.path(), 20, 10);
    dir
}

fn programs(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a folder")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| n.ends_with(".nn"))
        .collect();
    names.sort();
    names
}

#[test]
fn every_example_checks_and_so_does_its_formatted_text() {
    let dir = examples();
    let names = programs(dir.path());
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let ran = nnc(dir.path(), &["check", &name]).ok();
        assert!(ran.out.contains("ok") && ran.err.is_empty(), "{name}: {} {}", ran.out, ran.err);
        let formatted = nnc(dir.path(), &["fmt", &name]).ok().out;
        fs::write(dir.path().join(&name), &formatted).expect("written");
        assert_eq!(nnc(dir.path(), &["check", &name]).ok().out, ran.out, "{name}");
        assert_eq!(nnc(dir.path(), &["fmt", &name]).ok().out, formatted, "{name}: the second time changes nothing");
    }
}

#[test]
fn the_standard_library_formats_and_its_tests_pass() {
    let dir = folder();
    let ran = nnc(dir.path(), &["test", "--json"]).ok();
    let tests = ran.all("test");
    assert!(tests.len() > 20 && tests.iter().all(|t| t["ok"] == true), "{}", ran.err);
    assert!(ran.err.contains(&format!("{} passed, 0 failed", tests.len())), "{}", ran.err);
    for name in programs(&root().join("stdlib")) {
        let formatted = nnc(dir.path(), &["fmt", &file(&format!("stdlib/{name}"))]).ok().out;
        fs::write(dir.path().join(&name), &formatted).expect("written");
        assert_eq!(nnc(dir.path(), &["fmt", &name]).ok().out, formatted, "{name}");
    }
}

#[test]
fn failing_tests_of_a_file_are_exit_code_1() {
    let dir = folder();
    let program =
        "test \"sums\" {\n  assert sum([1.0, 2.0]) == 3.0\n}\n\ntest \"wrong\" {\n  assert sum([1.0, 2.0]) == 4.0\n}\n";
    fs::write(dir.path().join("t.nn"), program).expect("written");
    let ran = nnc(dir.path(), &["test", "t.nn"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    for part in ["ok      sums", "FAILED  wrong", "t.nn:6:10", "1 passed, 1 failed"] {
        assert!(ran.out.contains(part), "`{part}` in:\n{}", ran.out);
    }
    nnc(dir.path(), &["test", "t.nn", "--filter", "sum"]).ok();
}

#[test]
fn data_folders_of_the_environment_count_too() {
    let dir = folder();
    tiny_mnist(dir.path(), 20, 10);
    let program = file("examples/mnist_mlp.nn");
    let elsewhere = folder();
    assert_eq!(nnc(elsewhere.path(), &["check", &program]).code, 3);
    let run = common::command(elsewhere.path(), &["check", &program]).env("NN_DATA", dir.path()).output();
    assert!(run.expect("nnc starts").status.success());
}
