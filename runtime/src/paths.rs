//! Where data files may be: below the program's folder, then below each data folder, and nowhere else.
//!
//! In: the path a `.nn` file wrote. Out: a regular file inside one of the folders, or an error that says where was
//! looked and what is there. Absolute paths, `..` and symbolic links that lead out of the folder are refused: a program
//! from someone else can read only what it was given.

use crate::error::{DataError, codes, nearest, printable, show_path};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The folders that data files are looked up in, in order.
#[derive(Clone, Debug, Default)]
pub struct DataPaths {
    roots: Vec<PathBuf>,
}

impl DataPaths {
    /// The program's folder first, then the folders of `--data` and `NN_DATA`.
    pub fn new(program: impl Into<PathBuf>, data: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut roots: Vec<PathBuf> = vec![];
        for root in std::iter::once(program.into()).chain(data) {
            let root = if root.as_os_str().is_empty() { PathBuf::from(".") } else { root };
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
        DataPaths { roots }
    }

    /// The folders of an `NN_DATA` value, in the platform's path list syntax.
    pub fn from_env(value: &std::ffi::OsStr) -> Vec<PathBuf> {
        std::env::split_paths(value).filter(|p| !p.as_os_str().is_empty()).collect()
    }

    /// The folders in order.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The regular file of a relative path.
    pub fn resolve(&self, file: &str) -> Result<PathBuf, DataError> {
        let relative = check_relative(file)?;
        for root in &self.roots {
            let path = root.join(relative);
            match fs::metadata(&path) {
                Ok(meta) => return contained(file, root, &path, &meta),
                Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => {}
                Err(e) => return Err(DataError::io(file, "open", &e)),
            }
        }
        Err(self.not_found(file, relative))
    }

    fn not_found(&self, file: &str, relative: &Path) -> DataError {
        let looked: Vec<String> = self.roots.iter().map(|r| show_path(r)).collect();
        let mut err =
            DataError::new(codes::NOT_FOUND, file, "no such file").note(format!("looked in {}", looked.join(", ")));
        let wanted = relative.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        for root in &self.roots {
            let folder = relative.parent().map_or_else(|| root.clone(), |p| root.join(p));
            let there = files_in(&folder);
            let same = there
                .iter()
                .map(String::as_str)
                .find(|t| t.strip_suffix(".gz") == Some(wanted.as_str()) || wanted.strip_suffix(".gz") == Some(*t));
            if let Some(near) = same.or_else(|| nearest(&wanted, there.iter().map(String::as_str))) {
                let near = relative.with_file_name(near);
                err = err.help(format!("there is `{}` in {}", show_path(&near), show_path(root)));
                break;
            }
        }
        err.help("`--data DIR` or NN_DATA adds a folder to look in")
    }
}

/// The path if it is relative, downward and not empty.
fn check_relative(file: &str) -> Result<&Path, DataError> {
    let refuse = |why: &str| {
        Err(DataError::new(codes::PATH, file, why)
            .help("name the file below the program's folder or a data folder, and pass that folder with `--data DIR`"))
    };
    if file.is_empty() || file.contains('\0') {
        return refuse("this is not a file name");
    }
    let path = Path::new(file);
    for c in path.components() {
        match c {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => return refuse("`..` is not allowed in a data path"),
            Component::RootDir | Component::Prefix(_) => return refuse("an absolute path is not allowed here"),
        }
    }
    Ok(path)
}

fn contained(file: &str, root: &Path, path: &Path, meta: &fs::Metadata) -> Result<PathBuf, DataError> {
    let real_root = fs::canonicalize(root).map_err(|e| DataError::io(file, "open its folder", &e))?;
    let real = fs::canonicalize(path).map_err(|e| DataError::io(file, "open", &e))?;
    if !real.starts_with(&real_root) {
        return Err(DataError::new(
            codes::PATH,
            file,
            format_args!("a symbolic link leads out of {}", show_path(root)),
        )
        .help("copy the file into the data folder, or pass its own folder with `--data DIR`"));
    }
    if !meta.is_file() {
        let what = if meta.is_dir() { "this is a folder, not a file" } else { "this is not a regular file" };
        return Err(DataError::new(codes::PATH, file, what));
    }
    Ok(real)
}

/// Names of the files in a folder, sorted; a bounded number, for suggestions.
fn files_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let mut names: Vec<String> =
        entries.take(2000).flatten().filter_map(|e| e.file_name().into_string().ok()).map(|n| printable(&n)).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mnist")).unwrap();
        fs::create_dir(dir.path().join("prog")).unwrap();
        fs::write(dir.path().join("mnist/train-images.gz"), b"x").unwrap();
        fs::write(dir.path().join("secret"), b"x").unwrap();
        dir
    }

    #[test]
    fn finds_in_order() {
        let dir = folder();
        let paths = DataPaths::new(dir.path().join("prog"), [dir.path().to_owned()]);
        assert!(paths.resolve("mnist/train-images.gz").unwrap().ends_with("mnist/train-images.gz"));
        assert!(paths.resolve("./mnist/train-images.gz").is_ok());
    }

    #[test]
    fn refused_paths() {
        let dir = folder();
        let paths = DataPaths::new(dir.path().join("prog"), []);
        for (bad, code) in [
            ("../secret", codes::PATH),
            ("/etc/passwd", codes::PATH),
            ("a/../../secret", codes::PATH),
            ("", codes::PATH),
            ("a\0b", codes::PATH),
            (".", codes::PATH),
            ("secret", codes::NOT_FOUND),
        ] {
            assert_eq!(paths.resolve(bad).unwrap_err().code, code, "{bad:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_out() {
        let dir = folder();
        let prog = dir.path().join("prog");
        std::os::unix::fs::symlink("../secret", prog.join("out")).unwrap();
        fs::write(prog.join("real"), b"x").unwrap();
        std::os::unix::fs::symlink("real", prog.join("inside")).unwrap();
        let paths = DataPaths::new(&prog, []);
        let e = paths.resolve("out").unwrap_err();
        assert_eq!(e.code, codes::PATH);
        assert!(e.message.contains("symbolic link leads out"), "{e}");
        assert!(paths.resolve("inside").is_ok());
    }

    #[test]
    fn says_what_is_there() {
        let dir = folder();
        let paths = DataPaths::new(dir.path(), []);
        let e = paths.resolve("mnist/train-imges.gz").unwrap_err();
        assert!(e.help[0].contains("`mnist/train-images.gz`"), "{e}");
        let e = paths.resolve("mnist/train-images").unwrap_err();
        assert!(e.help[0].contains("`mnist/train-images.gz`"), "{e}");
        assert!(e.notes[0].contains("looked in"), "{e}");
    }
}
