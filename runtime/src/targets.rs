//! Where files may be written: below the output folder, and over nothing but files of ours.
//!
//! In: the name that a program gives its weights, the output folder, the files that the program reads. Out: the paths of
//! weights and checkpoint, or why nothing may be written there. It is asked before a run begins, so that no hour of
//! training ends in a refusal, and no program, whoever wrote it, destroys a file that it was not given.
//!
//! Invariant: an existing file is replaced only if [`weights::is_ours`] says so and the program does not read it.

use crate::atomic;
use crate::claims;
use crate::error::{DataError, codes, reason, show_path};
use crate::weights;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The extension of checkpoints.
const CHECKPOINT: &str = "ckpt";
/// A name to suggest where a program gives none.
const NAME: &str = "model";

/// The files that a run writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Its weights.
    pub weights: PathBuf,
    /// Its checkpoint: the weights' name with `.ckpt`.
    pub checkpoint: PathBuf,
}

impl Targets {
    /// The targets of a name, relative to the output folder, by its spelling alone. A refusal's first help is the name to
    /// write instead, quoted.
    pub fn named(file: &str) -> Result<Targets, DataError> {
        let refuse = |why: &str| {
            let shown = if file.is_empty() { "\"\"" } else { file };
            let err = DataError::new(codes::PATH, shown, why).help(format!("`\"{}\"`", mend(file)));
            Err(err.note("weights go below the output folder, which `--out DIR` chooses"))
        };
        let mut weights = PathBuf::new();
        for c in Path::new(file).components() {
            match c {
                Component::Normal(part) => weights.push(part),
                Component::CurDir => {}
                Component::ParentDir => return refuse("`..` is not allowed in the name of a file to save"),
                Component::RootDir | Component::Prefix(_) => {
                    return refuse("an absolute path is not allowed as the name of a file to save");
                }
            }
        }
        let Some(name) = weights.file_name().and_then(|n| n.to_str()) else {
            return refuse("this is not the name of a file to save");
        };
        if file.contains('\0') || file.ends_with(std::path::is_separator) || file.ends_with("/.") {
            return refuse("this is not the name of a file to save");
        }
        if Path::new(name).extension().is_some_and(|e| e.eq_ignore_ascii_case(CHECKPOINT)) {
            return refuse("names in `.ckpt` are those of checkpoints, which a run writes beside its weights");
        }
        if atomic::is_temporary(name) {
            return refuse("this is a name of temporary files, which are removed");
        }
        Ok(Targets { checkpoint: weights.with_extension(CHECKPOINT), weights })
    }

    /// The same below a folder.
    pub fn below(&self, out: &Path) -> Targets {
        Targets { weights: out.join(&self.weights), checkpoint: out.join(&self.checkpoint) }
    }

    /// Whether two runs would write the same file.
    pub fn collide(&self, other: &Targets) -> bool {
        let both = |t: &Targets| [t.weights.clone(), t.checkpoint.clone()];
        both(self).iter().any(|path| both(other).contains(path))
    }

    /// Holds the targets against what is there: the output folder, and the files that the program reads.
    pub fn check(&self, out: &Path, read: &[PathBuf]) -> Result<(), DataError> {
        let out = if out.as_os_str().is_empty() { Path::new(".") } else { out };
        let taken = |t: &Targets| [&t.weights, &t.checkpoint].iter().find_map(|path| free(out, path, read).err());
        let Some(mut e) = taken(self) else { return Ok(()) };
        // Names that do not get in the way of anything, the nearest first.
        let stem = self.weights.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let numbered = (2..100).map(|n| format!("{stem}_{n}"));
        let near = std::iter::once(stem.clone()).chain(numbered).map(|s| mend(&format!("{s}.safetensors")));
        let mut near = near.filter(|name| Targets::named(name).is_ok_and(|t| taken(&t).is_none()));
        if let Some(name) = near.next() {
            e.help.insert(0, format!("`\"{name}\"`"));
        }
        Err(e)
    }
}

/// Whether a file may be created, or replaced.
fn free(out: &Path, target: &Path, read: &[PathBuf]) -> Result<(), DataError> {
    let path = out.join(target);
    let shown = path.to_string_lossy();
    let refuse = |why: &str| DataError::new(codes::SAVE, &shown, why);
    let failed = |e: &io::Error| refuse(&format!("cannot save: {}", reason(e)));
    let elsewhere = "`--out DIR` chooses another output folder";
    let root = match fs::canonicalize(out) {
        Ok(root) => root,
        // Nothing is there yet: the folder will be made.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(&e)),
    };
    // The deepest folder on the way that is there; `out` is.
    let mut folder = path.parent().unwrap_or(out);
    while folder != out && fs::symlink_metadata(folder).is_err() {
        folder = folder.parent().unwrap_or(out);
    }
    let real = fs::canonicalize(folder).map_err(|e| failed(&e))?;
    let outside = || refuse(&format!("a symbolic link leads out of {}", show_path(out))).help(elsewhere);
    if !real.starts_with(&root) {
        return Err(outside());
    }
    if !real.is_dir() {
        return Err(refuse(&format!("cannot save: {} is a file, not a folder", show_path(folder))).help(elsewhere));
    }
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(&e)),
        Ok(_) => {}
    }
    let Ok(real) = fs::canonicalize(&path) else {
        return Err(refuse("this is a symbolic link to nothing").help(elsewhere));
    };
    if !real.starts_with(&root) {
        return Err(outside());
    }
    if real.is_dir() {
        return Err(refuse("cannot save: this is a folder").help(elsewhere));
    }
    if !real.is_file() {
        return Err(refuse("cannot save: this is not a regular file").help(elsewhere));
    }
    if read.iter().any(|r| claims::same(r, &real)) {
        return Err(refuse("the program reads this file, so it is not replaced").help(elsewhere));
    }
    if !weights::is_ours(&real).map_err(|e| failed(&e))? {
        let err = refuse("there is another file, which is not replaced: nnc did not write it");
        return Err(err.help(elsewhere).help(format!("or move {} away", show_path(&path))));
    }
    Ok(())
}

/// What a refused name may have meant.
fn mend(file: &str) -> String {
    let mut parts = Path::new(file).components().filter_map(|c| match c {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    let last = parts.next_back().unwrap_or(NAME.into());
    let mut name: String = last.chars().filter(|c| !c.is_control() && !"\"\\".contains(*c)).collect();
    if name.is_empty() || atomic::is_temporary(&name) {
        name = NAME.to_owned();
    }
    Path::new(&name).with_extension("safetensors").to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(e: &DataError) -> String {
        e.help[0].trim_matches(['`', '"']).to_owned()
    }

    #[test]
    fn a_refused_name_comes_with_one_that_is_taken() {
        let bad = [
            ("", "model.safetensors"),
            (".", "model.safetensors"),
            ("./", "model.safetensors"),
            ("..", "model.safetensors"),
            ("../w.safetensors", "w.safetensors"),
            ("a/../../w", "w.safetensors"),
            ("/tmp/w.safetensors", "w.safetensors"),
            ("runs/", "runs.safetensors"),
            ("runs/.", "runs.safetensors"),
            ("w.ckpt", "w.safetensors"),
            ("w.CKPT", "w.safetensors"),
            ("a\0b", "ab.safetensors"),
            (".w.12-0.tmp", "model.safetensors"),
            ("/", "model.safetensors"),
        ];
        for (name, instead) in bad {
            let e = Targets::named(name).unwrap_err();
            assert_eq!((e.code, suggestion(&e).as_str()), (codes::PATH, instead), "{name:?}");
            assert!(Targets::named(instead).is_ok());
        }
    }

    #[test]
    fn names_and_their_checkpoints() {
        for (name, weights, checkpoint) in [
            ("w.safetensors", "w.safetensors", "w.ckpt"),
            ("./a/w", "a/w", "a/w.ckpt"),
            (".hidden", ".hidden", ".hidden.ckpt"),
        ] {
            let t = Targets::named(name).unwrap();
            assert_eq!((t.weights, t.checkpoint), (weights.into(), checkpoint.into()));
        }
        let t = |name| Targets::named(name).unwrap();
        assert!(t("w").collide(&t("./w")) && t("w.a").collide(&t("w.b")) && !t("w").collide(&t("v")));
    }

    /// The refusal of a target in a folder, or nothing.
    fn refused(out: &Path, name: &str, read: &[PathBuf]) -> Option<String> {
        let targets = Targets::named(name).unwrap();
        targets.check(out, read).err().map(|e| {
            assert_eq!(e.code, codes::SAVE);
            Targets::named(&suggestion(&e)).unwrap().check(out, read).unwrap();
            e.message
        })
    }

    fn ours(path: &Path) {
        weights::save(path, &[], &[(weights::MARK.0, weights::MARK.1.to_owned())]).unwrap();
    }

    #[test]
    fn only_files_of_ours_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("folder/w.ckpt")).unwrap();
        fs::write(at("d.csv"), "1,2\n").unwrap();
        fs::write(at("empty"), "").unwrap();
        fs::write(at("c.ckpt"), "a checkpoint of someone else").unwrap();
        weights::save(&at("pt.safetensors"), &[], &[("format", "pt".into())]).unwrap();
        ours(&at("w.safetensors"));
        crate::checkpoint::save(&at("w.ckpt"), &Default::default(), &[], &[]).unwrap();
        let says = |name: &str, read: &[PathBuf]| refused(dir.path(), name, read).unwrap_or_default();
        assert_eq!(says("w.safetensors", &[]), "");
        assert_eq!(says("new/deep/w", &[]), "");
        assert!(says("w.safetensors", &[at("w.safetensors")]).contains("the program reads this file"));
        for foreign in ["d.csv", "empty", "c.safetensors", "pt.safetensors"] {
            assert!(says(foreign, &[]).contains("nnc did not write it"), "{foreign}");
        }
        assert!(says("folder", &[]).contains("this is a folder"));
        assert!(says("folder/w", &[]).contains("w.ckpt: cannot save: this is a folder"));
        assert!(says("d.csv/w", &[]).contains("is a file, not a folder"));
        // What was cut short behind its header is still ours.
        let zero = weights::TensorRef { name: "w", dtype: crate::dtype::DType::F32, shape: &[2], bytes: &[0; 8] };
        let whole = weights::encode(&[zero], &[(weights::MARK.0, "1".into())]);
        for (cut, is_ours) in [(3, true), (8, true), (8 + 40, false), (whole.len() - 4, false)] {
            fs::write(at("w.safetensors"), &whole[..whole.len() - cut]).unwrap();
            assert_eq!(says("w.safetensors", &[]).is_empty(), is_ours, "without its last {cut} bytes");
        }
        // A folder that is not there yet holds nothing to lose.
        assert_eq!(refused(&at("absent"), "d.csv", &[]), None);
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_out() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let at = |name: &str| out.join(name);
        fs::create_dir_all(at("inside")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        ours(&dir.path().join("other/w"));
        ours(&at("w"));
        symlink("../other", at("folder")).unwrap();
        symlink("../other/w", at("file")).unwrap();
        symlink("../other/absent", at("dangling")).unwrap();
        symlink("inside", at("near")).unwrap();
        symlink("w", at("again")).unwrap();
        symlink("/dev/null", at("device")).unwrap();
        for (name, says) in [
            ("folder/w", "leads out of"),
            ("folder/new", "leads out of"),
            ("folder/new/w", "leads out of"),
            ("file", "leads out of"),
            ("dangling", "link to nothing"),
            ("device", "leads out of"),
        ] {
            let why = refused(&out, name, &[]).unwrap_or_default();
            assert!(why.contains(says), "{name}: {why}");
        }
        for name in ["near/w", "again", "w"] {
            assert_eq!(refused(&out, name, &[]), None, "{name}");
        }
        // The output folder may itself be reached through a link.
        symlink("out", dir.path().join("link")).unwrap();
        assert_eq!(refused(&dir.path().join("link"), "w", &[]), None);
        // A file is the same file under another name.
        assert!(refused(&out, "again", &[at("w")]).is_some_and(|why| why.contains("the program reads")));
    }
}
