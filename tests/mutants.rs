//! Tests of the tests: every other test against every planted bug of `mutants/table.rs`.
//!
//! `cargo test --features mutants --test mutants [-- NAME..]` builds all test binaries once, makes sure that they pass, and
//! runs them with `NN_MUTANT` set to each bug (or the named ones) in turn until a test fails. Tests that killed the bug
//! before, and those of its own class, go first; binaries follow by the time they take. A run that takes far longer than
//! without the bug counts as killed too. `NN_BLESS=1` writes the result to `docs/RELIABILITY.md`. It fails if fewer than
//! 95 of 100 bugs are killed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

#[path = "mutants/table.rs"]
mod table;
use table::{MUTANTS, Mutant};

/// Where a class's own tests are: binary and filters. What they miss, the others may find.
const FIRST: &[(&str, &str, &[&str])] = &[
    ("layout", "nn_compiler", &["syntax::"]),
    ("parse", "nn_compiler", &["syntax::"]),
    ("sema", "nn_compiler", &["sema::"]),
    ("sema", "spec", &[]),
    ("draw", "nn_compiler", &["sema::"]),
    ("draw", "by_hand", &[]),
    ("grad", "nn_compiler", &["grad::"]),
    ("op", "nn_compiler", &["graph::"]),
    ("share", "by_hand", &[]),
    ("share", "nn_compiler", &["graph::", "sema::"]),
    ("opt", "nn_compiler", &["opt::"]),
    ("fold", "nn_compiler", &["opt::"]),
    ("fuse", "nn_compiler", &["fuse::", "sched::"]),
    ("cost", "nn_compiler", &["sched::"]),
    ("sched", "nn_compiler", &["sched::"]),
    ("sched", "differential", &[]),
    ("verify", "nn_compiler", &["kernel::"]),
    ("cranelift", "nn_compiler", &["codegen::"]),
    ("x64", "nn_compiler", &["codegen::"]),
    ("gemm", "nn_runtime", &["gemm::"]),
    ("philox", "nn_runtime", &["philox"]),
    ("exec", "nn_runtime", &["exec::"]),
    ("data", "nn_runtime", &["data::"]),
    ("data", "data_files", &[]),
    ("data", "nn_runtime", &["train::"]),
    ("weights", "weight_files", &[]),
    ("checkpoint", "nn_runtime", &["train::", "checkpoint::"]),
    ("train", "nn_runtime", &["train::"]),
    ("train", "by_hand", &[]),
    ("update", "by_hand", &[]),
    ("std", "by_hand", &[]),
    ("std", "nn_compiler", &["sema::"]),
];

/// A test binary.
struct Binary {
    name: String,
    path: PathBuf,
    /// Where `cargo test` runs it.
    folder: PathBuf,
    takes: Duration,
}

/// How a run of a binary ended.
enum End {
    Passed,
    /// The first test that failed.
    Failed(String),
    TooLong,
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let mut binaries = build(root);
    for b in &mut binaries {
        let start = Instant::now();
        match run(b, &[], None, Duration::from_secs(1200)) {
            End::Passed => b.takes = start.elapsed(),
            End::Failed(test) => fail(&format!("without any bug, {} fails: {test}", b.name)),
            End::TooLong => fail(&format!("{} takes too long", b.name)),
        }
        println!("{:>7.1} s  {}", b.takes.as_secs_f64(), b.name);
    }
    binaries.sort_by_key(|b| b.takes);
    let known = known(root);
    let mut killers: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for m in MUTANTS.iter().filter(|m| wanted.is_empty() || wanted.iter().any(|w| w == m.name)) {
        let start = Instant::now();
        let killer = killer(m, &binaries, known.get(m.name).map(String::as_str));
        let shown = killer.as_deref().unwrap_or("SURVIVES");
        println!("{:>7.1} s  {:<24} {shown}", start.elapsed().as_secs_f64(), m.name);
        killers.insert(m.name, killer);
    }
    let (all, killed) = (killers.len(), killers.values().flatten().count());
    println!("{killed} of {all} killed");
    if wanted.is_empty() && std::env::var_os("NN_BLESS").is_some() {
        bless(root, &killers);
    }
    if killed * 100 < all * 95 {
        fail("fewer than 95 of 100 are killed");
    }
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}

/// All test binaries but this one.
fn build(root: &Path) -> Vec<Binary> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["test", "--workspace", "--lib", "--bins", "--tests", "--features", "mutants"]);
    command.args(["--no-run", "--message-format", "json"]).stderr(Stdio::inherit());
    let Ok(out) = command.output() else { fail("cargo does not run") };
    let mut found = vec![];
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let (path, name) = (text(&message["executable"]), text(&message["target"]["name"]));
        if path.is_empty() || message["profile"]["test"] != true || name == "mutants" {
            continue;
        }
        let manifest = PathBuf::from(text(&message["manifest_path"]));
        let folder = manifest.parent().unwrap_or(root).to_owned();
        found.push(Binary { name, path: path.into(), folder, takes: Duration::ZERO });
    }
    if !out.status.success() || found.is_empty() {
        fail("the tests do not build");
    }
    found
}

/// The first test that fails with a bug: `binary::test`.
fn killer(m: &Mutant, binaries: &[Binary], known: Option<&str>) -> Option<String> {
    let attempt = |b: &Binary, filters: &[&str]| {
        let limit = b.takes * 5 + Duration::from_secs(60);
        match run(b, filters, Some(m.name), limit) {
            End::Passed => None,
            End::Failed(test) => Some(format!("{}::{test}", b.name)),
            End::TooLong => Some(format!("{} (takes too long)", b.name)),
        }
    };
    if let Some((name, test)) = known.and_then(|k| k.split_once("::"))
        && let Some(b) = binaries.iter().find(|b| b.name == name)
        && let Some(found) = attempt(b, &["--exact", test])
    {
        return Some(found);
    }
    let class = m.name.split('.').next().unwrap_or_default();
    for (_, name, filters) in FIRST.iter().filter(|f| f.0 == class) {
        if let Some(found) = binaries.iter().find(|b| b.name == *name).and_then(|b| attempt(b, filters)) {
            return Some(found);
        }
    }
    binaries.iter().find_map(|b| attempt(b, &[]))
}

/// Runs a binary up to its first failure.
fn run(b: &Binary, arguments: &[&str], bug: Option<&str>, limit: Duration) -> End {
    let mut command = Command::new(&b.path);
    command.args(arguments).current_dir(&b.folder).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env_remove("NN_BLESS").env_remove("NN_MUTANT").env("INSTA_UPDATE", "no").env("RUST_BACKTRACE", "0");
    if let Some(bug) = bug {
        command.env("NN_MUTANT", bug);
    }
    let Ok(mut child) = command.spawn() else { fail(&format!("{} does not start", b.path.display())) };
    let (send, lines) = channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
    }
    let end = Instant::now() + limit;
    loop {
        let verdict = match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => match line.strip_prefix("test ").and_then(|l| l.strip_suffix("FAILED")) {
                Some(test) => End::Failed(test.trim_end_matches([' ', '.']).to_owned()),
                None => continue,
            },
            Err(RecvTimeoutError::Timeout) => End::TooLong,
            // Output ends with the process.
            Err(RecvTimeoutError::Disconnected) => {
                return match child.wait() {
                    Ok(status) if status.success() => End::Passed,
                    _ => End::Failed("(the process died)".into()),
                };
            }
        };
        let _ = child.kill();
        let _ = child.wait();
        return verdict;
    }
}

fn page(root: &Path) -> PathBuf {
    root.join("docs/RELIABILITY.md")
}

/// What killed each bug when the page was written.
fn known(root: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(page(root)).unwrap_or_default();
    let cells = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(|c| c.trim().trim_matches('`')).collect();
        (cells.len() == 6).then(|| (cells[1].to_owned(), cells[4].to_owned()))
    };
    text.lines().filter_map(cells).collect()
}

/// Writes the table of the page, between its two marks.
fn bless(root: &Path, killers: &BTreeMap<&str, Option<String>>) {
    let (from, to) = ("<!-- mutants -->\n", "<!-- end -->");
    let text = std::fs::read_to_string(page(root)).unwrap_or_default();
    let (Some(a), Some(b)) = (text.find(from), text.find(to)) else { fail("docs/RELIABILITY.md has lost its marks") };
    let killed = killers.values().flatten().count();
    let mut table = format!("{killed} of {} killed.\n\n", killers.len());
    table += "| bug | where | what breaks | killed by |\n|---|---|---|---|\n";
    for m in MUTANTS {
        let by = match killers.get(m.name).cloned().flatten() {
            Some(test) => format!("`{test}`"),
            None => "survives".to_owned(),
        };
        let (file, breaks) = (m.file.replace("/src/", "/"), m.breaks.replace('|', "\\|"));
        table += &format!("| `{}` | `{file}` | {breaks} | {by} |\n", m.name);
    }
    let new = format!("{}{from}{table}{}", &text[..a], &text[b..]);
    if std::fs::write(page(root), new).is_err() {
        fail("docs/RELIABILITY.md cannot be written");
    }
}
