//! `nnc check --watch`: the program is checked again whenever one of its files is saved.
//!
//! In: the check of a program. Out: its findings on a cleared screen, with the time, until Ctrl-C. Files are looked at a
//! few times a second: that works on every file system, costs nothing to speak of, and needs no service of the system.

use super::args::CheckArgs;
use super::ui::{Ui, seconds};
use crate::driver::Failure;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks at the files.
const PAUSE: Duration = Duration::from_millis(150);

/// What tells one state of a file from another; nothing for a file that is not there.
type Mark = Option<(SystemTime, u64)>;

/// Checks until `stop` is set.
pub fn watch(args: &CheckArgs, ui: &Ui, stop: &AtomicBool) -> Result<(), Failure> {
    while !stop.load(Ordering::Relaxed) {
        if std::io::stdout().is_terminal() && !ui.json && !ui.look.ascii {
            ui.text("\x1b[2J\x1b[3J\x1b[H\x1b[A");
        }
        let began = Instant::now();
        // Marks from before the check: a change during it is one to check again.
        let before = marks([args.file.clone()]);
        let (files, checked) = super::check::once(args, ui);
        let mut seen = marks(files);
        seen.extend(before);
        if let Err(failure) = checked {
            super::fail(ui, failure);
        }
        ui.say(&ui.dim(&format!(
            "{} UTC, checked in {}; Ctrl-C ends",
            clock(),
            seconds(began.elapsed().as_secs_f64())
        )));
        while !stop.load(Ordering::Relaxed) && marks(seen.keys().cloned()) == seen {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

fn marks(files: impl IntoIterator<Item = PathBuf>) -> BTreeMap<PathBuf, Mark> {
    let mark = |p: &PathBuf| std::fs::metadata(p).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
    files.into_iter().map(|p| (p.clone(), mark(&p))).collect()
}

/// The time of day.
fn clock() -> String {
    let s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) % 86400;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
