//! Writing a file so that a crash, a full disk or a kill leaves the old file or the new one, never neither.
//!
//! In: a path and its whole new contents. Out: the file, replaced in one step: a temporary file in the same folder,
//! fsync, rename, fsync of the folder. Nothing is removed before the rename. The disk stands behind [`Disk`], so tests
//! can fail every single call.

use crate::error::{DataError, codes, reason, show_path};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Temporary files of a killed writer are removed after this time.
const STALE: Duration = Duration::from_secs(3600);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The calls that a save makes, in order.
pub trait Disk {
    /// Creates a new file for writing.
    fn create(&mut self, path: &Path) -> io::Result<File>;
    /// Writes a part of the contents.
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Waits until the contents are on the medium.
    fn sync(&mut self, file: &File) -> io::Result<()>;
    /// Puts the new file in the place of the old one.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the name is on the medium.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
    /// Removes the temporary file after a failure.
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// The real disk.
#[derive(Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Replaces a file by the parts written one after another.
pub fn save(path: &Path, parts: &[&[u8]]) -> Result<(), DataError> {
    save_to(&mut RealDisk, path, parts)
}

/// [`save`] on a given disk.
pub fn save_to(disk: &mut dyn Disk, path: &Path, parts: &[&[u8]]) -> Result<(), DataError> {
    // A link keeps pointing where it pointed: its target is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.is_dir() {
        return Err(DataError::new(codes::SAVE, &path.to_string_lossy(), "cannot save: this is a folder"));
    }
    let folder = folder_of(&target);
    let Some(name) = target.file_name().and_then(|n| n.to_str()) else {
        return Err(DataError::new(codes::SAVE, &path.to_string_lossy(), "cannot save: this is not a file name"));
    };
    remove_stale(&folder, name);
    let tmp = folder.join(temp_name(name));
    let mut file = disk.create(&tmp).map_err(|e| failed(path, &e))?;
    let mut write = || -> io::Result<()> {
        for part in parts {
            disk.write(&mut file, part)?;
        }
        disk.sync(&file)?;
        disk.rename(&tmp, &target)
    };
    if let Err(e) = write() {
        let _ = disk.remove(&tmp);
        return Err(failed(path, &e));
    }
    disk.sync_folder(&folder).map_err(|e| failed(path, &e))
}

/// Makes sure, before a long run, that a file can be saved at its end: creates missing folders and tries a write.
pub fn check_writable(path: &Path) -> Result<(), DataError> {
    if path.is_dir() {
        return Err(DataError::new(codes::SAVE, &path.to_string_lossy(), "cannot save: this is a folder"));
    }
    let folder = folder_of(path);
    fs::create_dir_all(&folder).map_err(|e| failed(path, &e))?;
    // Under the name that a save will take, which must not be too long either.
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let probe = folder.join(temp_name(&name));
    let mut file = RealDisk.create(&probe).map_err(|e| failed(path, &e))?;
    let result = file.write_all(b"x");
    let _ = fs::remove_file(&probe);
    result.map_err(|e| failed(path, &e))
}

/// Whether a file name is one that [`save`] gives to a file under way: old ones are removed.
pub fn is_temporary(name: &str) -> bool {
    let middle = name.strip_prefix('.').and_then(|n| n.strip_suffix(".tmp")).and_then(|n| n.rsplit_once('.'));
    middle.is_some_and(|(_, number)| is_number(number))
}

fn is_number(middle: &str) -> bool {
    !middle.is_empty() && middle.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn temp_name(name: &str) -> String {
    format!(".{name}.{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes what a writer that was killed long ago left behind.
fn remove_stale(folder: &Path, name: &str) {
    let start = format!(".{name}.");
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let ours = file.to_str().is_some_and(|f| {
            let middle = f.strip_prefix(&start).and_then(|f| f.strip_suffix(".tmp"));
            middle.is_some_and(is_number)
        });
        let old = || entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if ours && old().is_some_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn failed(path: &Path, e: &io::Error) -> DataError {
    let mut err = DataError::new(codes::SAVE, &path.to_string_lossy(), format_args!("cannot save: {}", reason(e)));
    if path.exists() {
        err = err.note("the old file is unchanged");
    }
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            err.help("free some space, or save elsewhere with `--out DIR`")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            err.help(format!("{} is not writable; save elsewhere with `--out DIR`", show_path(&folder_of(path))))
        }
        io::ErrorKind::NotFound => err.help(format!("there is no folder {}", show_path(&folder_of(path)))),
        _ => err.help("save elsewhere with `--out DIR`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails one call; after a kill every later call fails too, as for a process that is gone.
    struct Faulty {
        calls: usize,
        fail_at: usize,
        kind: io::ErrorKind,
        kill: bool,
        short: bool,
    }

    impl Faulty {
        fn call(&mut self) -> io::Result<()> {
            self.calls += 1;
            let fails = if self.kill { self.calls >= self.fail_at } else { self.calls == self.fail_at };
            if fails { Err(self.kind.into()) } else { Ok(()) }
        }
    }

    impl Disk for Faulty {
        fn create(&mut self, path: &Path) -> io::Result<File> {
            self.call()?;
            RealDisk.create(path)
        }
        fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            match self.call() {
                Err(e) if self.short => file.write_all(&bytes[..bytes.len() / 2]).and(Err(e)),
                Err(e) => Err(e),
                Ok(()) => file.write_all(bytes),
            }
        }
        fn sync(&mut self, file: &File) -> io::Result<()> {
            self.call()?;
            RealDisk.sync(file)
        }
        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.call()?;
            RealDisk.rename(from, to)
        }
        fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
            self.call()?;
            RealDisk.sync_folder(folder)
        }
        fn remove(&mut self, path: &Path) -> io::Result<()> {
            self.call()?;
            RealDisk.remove(path)
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn every_failing_call_leaves_the_old_file_or_the_new_one() {
        // create, two writes, sync, rename, sync of the folder.
        const CALLS: usize = 6;
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other, io::ErrorKind::PermissionDenied] {
            for fail_at in 1..=CALLS {
                for (kill, short) in [(false, false), (false, true), (true, false), (true, true)] {
                    let dir = tempfile::tempdir().unwrap();
                    let path = dir.path().join("w");
                    save(&path, &[b"old"]).unwrap();
                    let mut disk = Faulty { calls: 0, fail_at, kind, kill, short };
                    let e = save_to(&mut disk, &path, &[b"new", b"er"]).unwrap_err();
                    assert_eq!(e.code, codes::SAVE);
                    let now = fs::read(&path).unwrap();
                    let renamed = fail_at == CALLS;
                    assert_eq!(now, if renamed { &b"newer"[..] } else { b"old" }, "call {fail_at}");
                    if !kill {
                        assert_eq!(names(dir.path()), ["w"], "call {fail_at} left something behind");
                    }
                    // The next save is not hindered by what is left.
                    save(&path, &[b"next"]).unwrap();
                    assert_eq!(fs::read(&path).unwrap(), b"next");
                }
            }
            let dir = tempfile::tempdir().unwrap();
            let mut disk = Faulty { calls: 0, fail_at: CALLS + 1, kind, kill: true, short: false };
            save_to(&mut disk, &dir.path().join("w"), &[b"new", b"er"]).unwrap();
            assert_eq!(disk.calls, CALLS);
        }
    }

    #[test]
    fn messages_say_what_to_do() {
        let e = failed(Path::new("/x/w"), &io::ErrorKind::StorageFull.into());
        assert!(e.help[0].contains("free some space"), "{e}");
        let dir = tempfile::tempdir().unwrap();
        let e = save(&dir.path().join("no/w"), &[b"x"]).unwrap_err();
        assert!(e.help[0].contains("there is no folder"), "{e}");
        assert!(save(dir.path(), &[b"x"]).unwrap_err().message.contains("this is a folder"));
    }

    /// `/dev/full` is a device whose every write fails with ENOSPC.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_really_full_disk() {
        struct Full;
        impl Disk for Full {
            fn create(&mut self, path: &Path) -> io::Result<File> {
                RealDisk.create(path)
            }
            fn write(&mut self, _: &mut File, bytes: &[u8]) -> io::Result<()> {
                OpenOptions::new().write(true).open("/dev/full")?.write_all(bytes)
            }
            fn sync(&mut self, file: &File) -> io::Result<()> {
                RealDisk.sync(file)
            }
            fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
                RealDisk.rename(from, to)
            }
            fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
                RealDisk.sync_folder(folder)
            }
            fn remove(&mut self, path: &Path) -> io::Result<()> {
                RealDisk.remove(path)
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w");
        save(&path, &[b"old"]).unwrap();
        let e = save_to(&mut Full, &path, &[b"new"]).unwrap_err();
        assert!(e.message.to_lowercase().contains("no space left"), "{e}");
        assert_eq!(e.notes, ["the old file is unchanged"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["w"]);
    }

    #[test]
    fn a_name_too_long_for_its_temporary_file_is_found_before_the_run() {
        let dir = tempfile::tempdir().unwrap();
        // The name itself is one that the file system takes.
        let path = dir.path().join("w".repeat(250));
        fs::write(&path, b"").unwrap();
        assert_eq!(check_writable(&path).unwrap_err().code, codes::SAVE);
        assert!(is_temporary(&temp_name("w.safetensors")) && !is_temporary("w.tmp") && !is_temporary(".w.1-x.tmp"));
    }

    #[test]
    fn check_writable_makes_folders() {
        let dir = tempfile::tempdir().unwrap();
        check_writable(&dir.path().join("a/b/w")).unwrap();
        assert!(names(&dir.path().join("a/b")).is_empty());
        fs::write(dir.path().join("file"), b"x").unwrap();
        assert_eq!(check_writable(&dir.path().join("file/w")).unwrap_err().code, codes::SAVE);
    }
}
