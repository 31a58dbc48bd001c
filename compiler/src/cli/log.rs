//! `--log`: a row for every epoch, in a CSV file or as JSON lines.
//!
//! In: the rows of a run. Out: a file that grows by one whole line at a time. A run that is resumed goes on with the file
//! of the one before, without the rows of epochs that it trains again. Only a log is ever replaced or written to.

use super::progress::{object, rate};
use crate::driver::Failure;
use nn_runtime::atomic;
use nn_runtime::error::{DataError, codes, reason};
use nn_runtime::train::EpochRow;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How the first columns of a log are called: by this it is known as one.
const FIRST: &str = "epoch,step,seconds";
/// Most bytes of a log that are read back.
const MOST: u64 = 1 << 28;

/// A log of epochs.
pub struct Log {
    path: PathBuf,
    json: bool,
    resume: bool,
    file: Option<File>,
    header: bool,
}

impl Log {
    /// Looks at what is there, before training begins. The path is none that the run reads or writes otherwise.
    pub fn open(path: &Path, resume: bool) -> Result<Log, Failure> {
        let kind = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let json = match kind.as_deref() {
            Some("csv") => false,
            Some("jsonl") => true,
            _ => return Err(Failure::Usage(format!("`--log {}`: a log is a .csv or a .jsonl file", path.display()))),
        };
        let log = Log { path: path.to_owned(), json, resume, file: None, header: false };
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(log.failed(&e).into()),
            Ok(meta) if !meta.is_file() => return Err(log.foreign("this is no regular file").into()),
            Ok(meta) if meta.len() > MOST => return Err(log.foreign("this is no log of nnc").into()),
            Ok(_) => {
                let text = fs::read(path).map_err(|e| log.failed(&e))?;
                if !log.is_ours(&text) {
                    return Err(log.foreign("this is no log of nnc").into());
                }
            }
        }
        Ok(log)
    }

    /// An empty file holds nothing to lose.
    fn is_ours(&self, text: &[u8]) -> bool {
        let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        match self.json {
            _ if text.is_empty() => true,
            false => *first == *FIRST || first.starts_with(&format!("{FIRST},")),
            true => serde_json::from_str::<Value>(&first).is_ok_and(|v| v["event"] == "epoch" && v["step"].is_u64()),
        }
    }

    /// The run begins, after so many epochs that an earlier one reported. An epoch whose steps were all done but not its
    /// evaluation is reported again.
    pub fn begin(&mut self, reported: u64) -> Result<(), Failure> {
        let old = if self.resume { fs::read_to_string(&self.path).unwrap_or_default() } else { String::new() };
        let mut kept = String::new();
        // A line without an end was cut off.
        for (i, line) in old.split_inclusive('\n').filter(|l| l.ends_with('\n')).enumerate() {
            let epoch: Option<u64> = match self.json {
                true => serde_json::from_str::<Value>(line).ok().and_then(|v| v["epoch"].as_u64()),
                false if i == 0 => Some(0),
                false => line.split(',').next().and_then(|s| s.parse().ok()),
            };
            if epoch.is_some_and(|e| e <= reported) {
                kept.push_str(line);
            }
        }
        atomic::save(&self.path, &[kept.as_bytes()])?;
        self.header = !kept.is_empty();
        self.file = Some(OpenOptions::new().append(true).open(&self.path).map_err(|e| self.failed(&e))?);
        Ok(())
    }

    /// An epoch is done.
    pub fn row(&mut self, row: &EpochRow, rates: &[(String, f64)]) -> Result<(), Failure> {
        let parts = [("train", &row.train), ("val", &row.val), ("test", &row.test)];
        let mut text = String::new();
        if self.json {
            let event = json!({
                "event": "epoch", "epoch": row.epoch, "step": row.step, "seconds": row.seconds, "lr": rate(rates),
                "train": object(&row.train), "val": object(&row.val), "test": object(&row.test),
            });
            text.push_str(&format!("{event}\n"));
        } else {
            let values = || parts.iter().flat_map(|(part, v)| v.iter().map(move |(n, x)| (format!("{part}_{n}"), *x)));
            if !self.header {
                text.push_str(FIRST);
                rates.iter().map(|(n, _)| n.replace([' ', ','], "_")).for_each(|n| text.push_str(&format!(",{n}")));
                values().for_each(|(n, _)| text.push_str(&format!(",{n}")));
                text.push('\n');
                self.header = true;
            }
            text.push_str(&format!("{},{},{:.6}", row.epoch, row.step, row.seconds));
            rates.iter().for_each(|(_, x)| text.push_str(&format!(",{}", plain(&format!("{:?}", *x as f32)))));
            values().for_each(|(_, x)| text.push_str(&format!(",{}", plain(&format!("{x:?}")))));
            text.push('\n');
        }
        // One write for one line: who reads along never sees half of one.
        let wrote = self.file.as_mut().map_or(Ok(()), |f| f.write_all(text.as_bytes()));
        wrote.map_err(|e| self.failed(&e).into())
    }

    fn failed(&self, e: &std::io::Error) -> DataError {
        let what = format_args!("cannot write the log: {}", reason(e));
        DataError::new(codes::SAVE, &self.path.to_string_lossy(), what).help("log to another file with --log")
    }

    fn foreign(&self, why: &str) -> DataError {
        DataError::new(codes::SAVE, &self.path.to_string_lossy(), format_args!("{why}, and it is not replaced"))
            .help("log to another file with --log")
    }
}

/// The shortest text of a number, an integer without `.0`.
fn plain(text: &str) -> &str {
    text.strip_suffix(".0").unwrap_or(text)
}
