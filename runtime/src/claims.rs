//! Files that the command line names to be written, a log or predictions, held against all that a command touches.
//!
//! In: a path, the files that the program reads, the other files that the command writes. Out: nothing, or why nothing may
//! be written there. Two paths are compared as files, not as spellings: through `.`, `..`, symbolic and hard links, and for
//! files that are not there yet.

use crate::error::{DataError, codes, reason, show_path};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Most links that are followed from one name to the next.
const MOST_LINKS: usize = 40;

/// A file that is written, and what it holds for people: `the weights`.
#[derive(Clone, Debug)]
pub struct Claim {
    /// What it holds.
    pub what: &'static str,
    /// Where it goes.
    pub path: PathBuf,
}

/// May a file be written beside all this? Whether one that is there may be replaced is another question. `option` is how
/// the command line names it.
pub fn check(option: &str, path: &Path, read: &[PathBuf], written: &[Claim]) -> Result<(), DataError> {
    let refuse = |why: &str| {
        let e = DataError::new(codes::SAVE, &path.to_string_lossy(), why);
        e.help(format!("choose another name for `{option}`"))
    };
    if let Some(at) = read.iter().find(|r| same(r, path)) {
        let e = refuse("the program reads this file, so it is not written to");
        return Err(if at.file_name() == path.file_name() {
            e
        } else {
            e.note(format!("it is read as {}", show_path(at)))
        });
    }
    if let Some(claim) = written.iter().find(|c| same(&c.path, path)) {
        let e = refuse(&format!("{} of the run go to the same file", claim.what));
        return Err(if claim.path.file_name() == path.file_name() {
            e
        } else {
            e.note(format!("they go to {}", show_path(&claim.path)))
        });
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::read_dir(folder) {
        Ok(_) => Ok(()),
        Err(e) => Err(refuse(&format!("cannot write into {}: {}", show_path(folder), reason(&e)))),
    }
}

/// Are two paths the same file, or would they be?
pub fn same(a: &Path, b: &Path) -> bool {
    place(a) == place(b) || identity(a).is_some_and(|a| identity(b) == Some(a))
}

/// Device and number of a file that is there: hard links share them.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Where a file is or would be made: links are followed as far as there are any.
fn place(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if let Ok(real) = fs::canonicalize(&path) {
            return real;
        }
        // A link to nothing is the file that it would make.
        match fs::read_link(&path) {
            Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
            Err(_) => break,
        }
    }
    // The deepest folder that is there, and what follows it by its spelling.
    let mut rest = vec![];
    let mut folder = path.as_path();
    let real = loop {
        let there = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Ok(real) = fs::canonicalize(there) {
            break real;
        }
        let mut parts = folder.components();
        rest.extend(parts.next_back());
        folder = parts.as_path();
    };
    rest.into_iter().rev().fold(real, |mut real, part| {
        match part {
            Component::Normal(name) => real.push(name),
            Component::ParentDir => drop(real.pop()),
            _ => {}
        }
        real
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_by_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("a")).unwrap();
        fs::write(at("a/f"), "1").unwrap();
        fs::write(at("g"), "1").unwrap();
        for (one, other, expected) in [
            ("a/f", "a/./f", true),
            ("a/f", "a/../a/f", true),
            ("a/f", "g", false),
            ("a/f", "a/new", false),
            ("a/new", "./a/new", true),
            ("a/new", "a/../a/new", true),
            ("b/c/new", "b/./c/../c/new", true),
            ("b/new", "a/new", false),
        ] {
            assert_eq!(same(&at(one), &at(other)), expected, "{one} {other}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("f", at("a/link")).unwrap();
            std::os::unix::fs::symlink("../new", at("a/dangling")).unwrap();
            std::os::unix::fs::symlink("round", at("round")).unwrap();
            fs::hard_link(at("a/f"), at("hard")).unwrap();
            assert!(same(&at("a/link"), &at("a/f")) && same(&at("hard"), &at("a/link")));
            assert!(same(&at("a/dangling"), &at("new")) && !same(&at("a/dangling"), &at("a/f")));
            assert!(!same(&at("round"), &at("new")));
        }
    }

    #[test]
    fn what_is_read_or_written_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("d.csv"), "1").unwrap();
        let written = [Claim { what: "the weights", path: at("w.csv") }];
        let says = |name: &str| match check("--log", &at(name), &[at("d.csv")], &written) {
            Ok(()) => String::new(),
            Err(e) => format!("{} {}", e.code, e.message),
        };
        assert!(says("./d.csv").contains("E0417") && says("d.csv").contains("the program reads this file"));
        assert!(says("w.csv").contains("the weights of the run go to the same file"));
        assert!(says("no/l.csv").contains("cannot write into"));
        assert_eq!(says("l.csv"), "");
    }
}
