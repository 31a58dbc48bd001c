//! Every block of code in `docs/LANGUAGE.md` is a test.
//!
//! In: the reference. A block `nn` is a program, `nn test` the body of a `test`; codes after it, such as `nn E0102`, are
//! the errors expected. Examples of sources and settings are put into a program. Out: one test a block and example: the
//! program has those findings and no others, and its tests hold. It stands with the workspace because findings come from every phase of the compiler.

#[path = "common/made_up.rs"]
mod made_up;

use libtest_mimic::{Arguments, Failed, Trial};
use nn_compiler::graph::interp;
use nn_compiler::report;
use nn_compiler::sema::units::{Options, Program};
use nn_compiler::sema::{settings, sources, suite, train};
use std::collections::BTreeSet;
use std::path::Path;

fn main() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LANGUAGE.md");
    let text = std::fs::read_to_string(path).expect("docs/LANGUAGE.md");
    let mut trials: Vec<Trial> = blocks(&text)
        .into_iter()
        .map(|b| Trial::test(format!("line {} {}", b.line, b.info), move || b.run()))
        .collect();
    trials.extend(examples().into_iter().map(|(name, text)| Trial::test(name, move || check(&text, &BTreeSet::new()))));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

struct Block {
    line: usize,
    info: String,
    code: String,
}

/// The fenced blocks. A fence that opens nothing known is a block that fails, so that none is left out.
fn blocks(text: &str) -> Vec<Block> {
    let mut out: Vec<Block> = vec![];
    let mut open = false;
    for (i, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(info) if !open => {
                out.push(Block { line: i + 1, info: info.trim().into(), code: String::new() });
                open = true;
            }
            Some(_) => open = false,
            None if open => {
                if let Some(b) = out.last_mut() {
                    b.code += line;
                    b.code.push('\n');
                }
            }
            None => {}
        }
    }
    out
}

impl Block {
    fn run(&self) -> Result<(), Failed> {
        let words: Vec<&str> = self.info.split_whitespace().collect();
        let Some((&"nn", words)) = words.split_first() else {
            return Err(format!("`{}` is no kind of block", self.info).into());
        };
        let body = words.contains(&"test");
        let expected: BTreeSet<String> = words.iter().filter(|w| **w != "test").map(|w| (*w).to_owned()).collect();
        let text = if body { format!("test \"block\" {{\n{}}}\n", self.code) } else { self.code.clone() };
        check(&text, &expected)
    }
}

/// Does a program have those findings and no others, and do its tests hold?
fn check(text: &str, expected: &BTreeSet<String>) -> Result<(), Failed> {
    let (p, mut found) = Program::load("block.nn", text, &|path, _| Err(format!("no file `{path}`")));
    let mut lost = String::new();
    if !report::any_error(&found) {
        let o = Options { seed: None, header: &made_up::header };
        found.extend(train::check(&p, &o).1);
        for t in suite::tests(&p, p.main()) {
            match t.graph {
                Err(d) => found.extend(d),
                Ok(g) => {
                    let values = interp::run(&g, &Default::default())?;
                    for (v, c) in values.iter().zip(&t.checks) {
                        if v.data != [1.0] {
                            lost += &format!("`{}` does not hold\n", p.sources.text(c.span));
                        }
                    }
                }
            }
        }
    }
    let codes: BTreeSet<String> = found.iter().map(|d| d.code.to_owned()).collect();
    if codes != *expected {
        let shown = report::render(&found, &p.sources, false);
        return Err(format!("expected {expected:?}, found {codes:?}\n{shown}").into());
    }
    if lost.is_empty() { Ok(()) } else { Err(lost.into()) }
}

/// The examples of sources, parts and settings, each in a program of its own. (Those of builtins and std are assertions,
/// which the compiler's own tests run.)
fn examples() -> Vec<(String, String)> {
    let csv = "csv(\"d.csv\", columns: { x: 8, label: 1 })";
    let on = |parts: &str, settings: &str| {
        format!(
            "data D {{ {parts};  x: f32[8] ~ normal();  y: idx<4> ~ randint() }}\n\
             model M = seq {{ Linear[8, 16], relu, fc: Linear[16, 4] }}\n\
             train m: M on D {{\n{settings}\n}}\n"
        )
    };
    let usual = [
        ("batch", "batch = 32"),
        ("epochs", "epochs = 1"),
        ("loss", "loss = cross_entropy(m(x), y)"),
        ("optimizer", "optimizer = Adam()"),
        ("metrics", "metrics = { acc: accuracy(m(x), y) }"),
    ];
    let with = |name: &str, example: &str| {
        let others = usual.iter().filter(|(n, _)| *n != name && !(name == "steps" && *n == "epochs"));
        let mut lines: Vec<&str> = others.map(|(_, l)| *l).collect();
        lines.push(example);
        lines.join("\n")
    };
    let plain = with("", "");
    let mut out = vec![];
    for s in sources::SOURCES {
        let part = if s.example.contains("(train") { "val" } else { "train" };
        let above = if part == "val" { format!("train = {csv};  ") } else { String::new() };
        out.push((format!("source {}", s.sig.name), on(&format!("{above}{part} = {}", s.example), &plain)));
    }
    for p in sources::PARTS {
        let above = if matches!(p.name, "val" | "test") { format!("train = {csv};  ") } else { String::new() };
        let example = p.example.replace("(source", "(train");
        out.push((format!("part {}", p.name), on(&format!("{above}{example}"), &plain)));
    }
    let parts = format!("train = {csv};  val = split(train, 0.1)");
    for s in settings::SETTINGS {
        out.push((format!("setting {}", s.name), on(&parts, &with(s.name, s.example))));
    }
    for c in settings::CHOICES {
        let line = format!("{} = {}", c.setting, c.example);
        out.push((format!("value {}", c.sig.name), on(&parts, &with(c.setting, &line))));
    }
    out
}
