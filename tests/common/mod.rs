//! What tests of the real binary share: starting `nnc` and reading its events.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a finished command left.
pub struct Ran {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// The command must have succeeded.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "standard error:\n{}", self.err);
        self
    }

    /// Standard output as JSON lines; a line that is none is an error.
    pub fn events(&self) -> Vec<Value> {
        let parse = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("no JSON ({e}): {l}"));
        self.out.lines().map(parse).collect()
    }

    /// The events of a kind.
    pub fn all(&self, event: &str) -> Vec<Value> {
        self.events().into_iter().filter(|v| v["event"] == event).collect()
    }

    /// The only event of a kind.
    pub fn one(&self, event: &str) -> Value {
        let all = self.all(event);
        assert_eq!(all.len(), 1, "`{event}` events in:\n{}", self.out);
        all[0].clone()
    }
}

/// `nnc` in a folder, without the user's environment.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_nnc"));
    c.current_dir(dir).env_remove("NN_DATA").env_remove("NO_COLOR").args(args);
    c
}

/// Runs `nnc` in a folder.
pub fn nnc(dir: &Path, args: &[&str]) -> Ran {
    let run = command(dir, args).output().expect("nnc starts");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let ran = Ran { code: run.status.code().unwrap_or(-1), out: text(&run.stdout), err: text(&run.stderr) };
    assert!(!ran.err.contains("panicked"), "a panic reached the user:\n{}", ran.err);
    ran
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the repository as an argument.
pub fn file(path: &str) -> String {
    root().join(path).to_string_lossy().into_owned()
}

/// A temporary folder.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Writes the four files of MNIST with a few made-up images below `dir/mnist`.
pub fn tiny_mnist(dir: &Path, train: u32, test: u32) {
    let dir = dir.join("mnist");
    std::fs::create_dir_all(&dir).expect("a folder");
    for (name, n) in [("train", train), ("t10k", test)] {
        let label = |i: u32| (i * 7 % 10) as u8;
        // Each class lights its own band of rows, so that there is something to learn.
        let pixel = |i: u32, p: u32| if p / 28 / 3 == u32::from(label(i)) { 200 } else { (p * 31 + i * 17) as u8 % 50 };
        let images: Vec<u8> = (0..n).flat_map(|i| (0..784).map(move |p| pixel(i, p))).collect();
        let labels: Vec<u8> = (0..n).map(label).collect();
        gz_idx(&dir.join(format!("{name}-images-idx3-ubyte.gz")), &[n, 28, 28], &images);
        gz_idx(&dir.join(format!("{name}-labels-idx1-ubyte.gz")), &[n], &labels);
    }
}

fn gz_idx(path: &Path, dims: &[u32], data: &[u8]) {
    use std::io::Write;
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes.extend(data);
    let file = std::fs::File::create(path).expect("a file");
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(&bytes).and_then(|()| gz.finish().map(drop)).expect("written");
}

/// An `.npy` file of a vector.
pub fn npy(descr: &str, rows: usize, bytes: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows},), }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(bytes);
    out
}

/// An archive of stored files.
pub fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (vec![], vec![]);
    for (name, bytes) in arrays {
        let name = format!("{name}.npy");
        let at = out.len() as u32;
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let size = (bytes.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend([size, size].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    let n = (arrays.len() as u16).to_le_bytes();
    out.extend([n, n].concat());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}
