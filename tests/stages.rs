//! What `nnc ir` shows at each stage, as snapshots in `tests/snapshots`: a network of nine weights, a loop, and the MNIST
//! example.
//!
//! `INSTA_UPDATE=always` accepts a change; look at the difference first, since people read these texts.

mod common;

use common::{file, folder, nnc, root, tiny_mnist};

/// Stages that do not depend on the machine.
const STAGES: [&str; 7] = ["ast", "typed", "graph", "grad", "opt", "fused", "kernel"];

fn ir(program: &str, data: Option<&str>, stage: &str, more: &[&str]) -> String {
    let dir = folder();
    let program = file(program);
    let mut args = vec!["ir", &program, "--stage", stage];
    data.iter().for_each(|d| args.extend(["--data", d]));
    args.extend(more);
    nnc(dir.path(), &args).ok().out
}

fn snapshot(name: String, text: &str) {
    let mut s = insta::Settings::new();
    s.set_snapshot_path(root().join("tests/snapshots"));
    s.set_prepend_module_to_snapshot(false);
    s.set_omit_expression(true);
    s.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn xor_at_every_stage() {
    for stage in STAGES {
        snapshot(format!("xor_{stage}"), &ir("tests/stages/xor.nn", None, stage, &[]));
    }
    snapshot("xor_kernel_init".into(), &ir("tests/stages/xor.nn", None, "kernel", &["--entry", "init"]));
}

#[test]
fn mnist_mlp_at_every_stage() {
    let dir = folder();
    // One whole batch of 64 and a partial one: the stages show the whole one.
    tiny_mnist(dir.path(), 70, 20);
    let data = dir.path().to_string_lossy();
    for stage in STAGES {
        snapshot(format!("mnist_mlp_{stage}"), &ir("examples/mnist_mlp.nn", Some(&data), stage, &[]));
    }
}

#[test]
fn a_recurrent_layer_stays_a_loop() {
    for stage in ["grad", "opt", "fused", "kernel"] {
        snapshot(format!("recurrent_{stage}"), &ir("tests/stages/recurrent.nn", None, stage, &[]));
    }
}

/// The part of a `clif` or `asm` text that belongs to one kernel.
fn of_kernel<'a>(text: &'a str, name: &str) -> &'a str {
    let head = format!("; @{name}\n");
    let start = text.find(&head).unwrap_or_else(|| panic!("no `{name}` in:\n{text}"));
    let rest = &text[start + head.len()..];
    &text[start..rest.find("\n; @").map_or(text.len(), |n| start + head.len() + n)]
}

#[test]
fn generated_code_of_a_kernel() {
    let clif = ir("tests/stages/xor.nn", None, "clif", &[]);
    snapshot("xor_clif_update".into(), of_kernel(&clif, "update"));
    // Machine code depends on the processor; what it is made of does not.
    let asm = ir("tests/stages/xor.nn", None, "asm", &[]);
    let heads = |text: &str| text.lines().filter(|l| l.starts_with("; @")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(heads(&clif), heads(&asm), "the same kernels at both stages");
    let update = of_kernel(&asm, "update");
    assert!(update.lines().any(|l| l.trim().starts_with("ret")), "{update}");
    if cfg!(target_arch = "x86_64") {
        assert!(update.contains("%xmm") && update.contains("mulps"), "not in vectors:\n{update}");
    }
}

#[test]
fn every_printed_graph_and_kernel_program_parses_back() {
    for stage in ["graph", "grad", "opt"] {
        let text = ir("tests/stages/xor.nn", None, stage, &[]);
        let parsed = nn_compiler::graph::parse::parse(&text).unwrap_or_else(|e| panic!("{stage}: {e:?}\n{text}"));
        assert_eq!(nn_compiler::graph::print::to_text(&parsed).trim_end(), text.trim_end(), "{stage}");
    }
    for entry in ["train", "eval", "init"] {
        let text = ir("tests/stages/xor.nn", None, "kernel", &["--entry", entry]);
        let parsed = nn_compiler::kernel::parse::program(&text).unwrap_or_else(|e| panic!("{entry}: {e:?}\n{text}"));
        assert_eq!(nn_compiler::kernel::print::program(&parsed).trim_end(), text.trim_end(), "{entry}");
    }
}

#[test]
fn passes_can_be_watched() {
    let text = ir("tests/stages/xor.nn", None, "opt", &["--print-after", "all", "--time-passes"]);
    assert!(text.contains("// after "), "{text}");
    assert!(text.lines().any(|l| l.starts_with("pass") && l.contains("rewrites")), "{text}");
    let dir = folder();
    let program = file("tests/stages/xor.nn");
    let ran = nnc(dir.path(), &["ir", &program, "--stage", "opt", "--print-after", "nonsense"]);
    assert!(ran.code == 2 && ran.err.contains("nonsense"), "{}", ran.err);
}
