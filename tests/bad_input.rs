//! Bad input on the real binary: each case must end with its documented exit code and a message that names the problem,
//! lose nothing, and never panic.
//!
//! A case is a row: files to write, arguments, exit code, texts that standard error must contain.

use assert_cmd::Command;
use std::fs;
use std::io::Write;
use std::path::Path;

/// A model over a CSV, complete but for what a case breaks.
const CSV_PROGRAM: &str = r#"
data D {
  source = csv("d.csv", columns: { f: 2, label: 1 })
  x: f32[2] = f
  y: idx<3> = label
}
train m: Linear[2, 3] on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  save      = last("w.safetensors")
}
"#;

/// A model over IDX files.
const IDX_PROGRAM: &str = r#"
data D {
  source = idx("i.idx", "l.idx")
  x: f32[4] = reshape(image, [4]) as f32 / 255
  y: idx<3> = label
}
train m: Linear[4, 3] on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Sgd(lr: 0.1)
}
"#;

/// A model over an npz archive.
const NPZ_PROGRAM: &str = r#"
data D {
  source = npz("d.npz")
  x: f32[2] = x
  y: idx<3> = y
}
train m: Linear[2, 3] on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Sgd(lr: 0.1)
}
"#;

/// Runs `nnc` in a folder.
fn nnc(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_nnc"))
        .current_dir(dir)
        .env_remove("NN_DATA")
        .args(args)
        .timeout(std::time::Duration::from_secs(60))
        .output()
        .expect("nnc starts");
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}

/// One case: writes files, runs, compares.
fn case(files: &[(&str, &[u8])], args: &[&str], code: i32, says: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).expect("a written file");
    }
    let (got, _, err) = nnc(dir.path(), args);
    assert!(!err.contains("panicked"), "a panic reached the user:\n{err}");
    assert_eq!(got, code, "exit code; standard error:\n{err}");
    for text in says {
        assert!(err.contains(text), "standard error lacks `{text}`:\n{err}");
    }
}

/// `nnc check` on a program without files.
fn check(program: &str, code: i32, says: &[&str]) {
    case(&[("p.nn", program.as_bytes())], &["check", "p.nn"], code, says);
}

fn idx_file(magic: [u8; 4], dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut out = magic.to_vec();
    dims.iter().for_each(|d| out.extend(d.to_be_bytes()));
    out.extend(data);
    out
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    e.write_all(bytes).expect("written to memory");
    e.finish().expect("finished in memory")
}

fn images() -> Vec<u8> {
    idx_file([0, 0, 8, 3], &[3, 2, 2], &[0; 12])
}

fn labels() -> Vec<u8> {
    idx_file([0, 0, 8, 1], &[3], &[0, 1, 2])
}

#[test]
fn good_input_first() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("p.nn"), CSV_PROGRAM).expect("written");
    fs::write(dir.path().join("d.csv"), "1,2,0\n3,4,1\n5,6,2\n").expect("written");
    let (code, out, err) = nnc(dir.path(), &["train", "p.nn", "--json"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().any(|l| l.contains("\"event\":\"done\"")), "{out}");
    assert!(dir.path().join("w.safetensors").exists());
}

#[test]
fn unknown_name_has_a_suggestion() {
    check("fn f(x: [B]) -> [B] = rellu(x)\nconst y = f(ones[3])", 1, &["rellu", "relu"]);
}

#[test]
fn missing_program() {
    case(&[], &["check", "absent.nn"], 3, &["absent.nn"]);
}

#[test]
fn missing_data_file() {
    case(&[("p.nn", CSV_PROGRAM.as_bytes())], &["check", "p.nn"], 3, &["d.csv"]);
}

#[test]
fn path_outside_the_folders() {
    let p = CSV_PROGRAM.replace("\"d.csv\"", "\"../d.csv\"");
    case(&[("p.nn", p.as_bytes())], &["check", "p.nn"], 3, &["../d.csv"]);
    let p = CSV_PROGRAM.replace("\"d.csv\"", "\"/etc/passwd\"");
    case(&[("p.nn", p.as_bytes())], &["check", "p.nn"], 3, &["/etc/passwd"]);
}

#[test]
fn idx_wrong_magic() {
    let bad = idx_file([1, 2, 3, 4], &[3, 2, 2], &[0; 12]);
    case(&[("p.nn", IDX_PROGRAM.as_bytes()), ("i.idx", &bad), ("l.idx", &labels())], &["train", "p.nn"], 3, &["i.idx"]);
}

#[test]
fn idx_truncated() {
    let bad = &images()[..20];
    case(&[("p.nn", IDX_PROGRAM.as_bytes()), ("i.idx", bad), ("l.idx", &labels())], &["train", "p.nn"], 3, &["i.idx"]);
}

#[test]
fn idx_dims_overflow() {
    let bad = idx_file([0, 0, 8, 3], &[u32::MAX, u32::MAX, u32::MAX], &[0; 12]);
    case(&[("p.nn", IDX_PROGRAM.as_bytes()), ("i.idx", &bad), ("l.idx", &labels())], &["train", "p.nn"], 3, &["i.idx"]);
}

#[test]
fn idx_dims_exceed_the_file() {
    let bad = idx_file([0, 0, 8, 3], &[3_000_000, 2, 2], &[0; 12]);
    case(&[("p.nn", IDX_PROGRAM.as_bytes()), ("i.idx", &bad), ("l.idx", &labels())], &["train", "p.nn"], 3, &["i.idx"]);
}

#[test]
fn gz_truncated() {
    let whole = gz(&images());
    let bad = &whole[..whole.len() - 6];
    case(&[("p.nn", IDX_PROGRAM.as_bytes()), ("i.idx", bad), ("l.idx", &labels())], &["train", "p.nn"], 3, &["i.idx"]);
}

#[test]
fn npz_is_no_archive() {
    case(&[("p.nn", NPZ_PROGRAM.as_bytes()), ("d.npz", b"PK\x03\x04 no archive")], &["train", "p.nn"], 3, &["d.npz"]);
}

#[test]
fn csv_ragged_row() {
    let files: &[(&str, &[u8])] = &[("p.nn", CSV_PROGRAM.as_bytes()), ("d.csv", b"1,2,0\n3,4\n5,6,2\n")];
    case(files, &["train", "p.nn"], 3, &["d.csv", "2"]);
}

#[test]
fn csv_cell_is_no_number() {
    let files: &[(&str, &[u8])] = &[("p.nn", CSV_PROGRAM.as_bytes()), ("d.csv", b"1,2,0\n3,four,1\n5,6,2\n")];
    case(files, &["train", "p.nn"], 3, &["d.csv", "four", "2"]);
}

#[test]
fn csv_label_out_of_range() {
    let files: &[(&str, &[u8])] = &[("p.nn", CSV_PROGRAM.as_bytes()), ("d.csv", b"1,2,0\n3,4,7\n5,6,2\n")];
    case(files, &["train", "p.nn"], 3, &["d.csv", "7", "idx<3>", "E0402"]);
}

#[test]
fn zero_length_data() {
    case(&[("p.nn", CSV_PROGRAM.as_bytes()), ("d.csv", b"")], &["train", "p.nn"], 3, &["d.csv"]);
    let empty = idx_file([0, 0, 8, 3], &[0, 2, 2], &[]);
    let none = idx_file([0, 0, 8, 1], &[0], &[]);
    case(&[("p.nn", IDX_PROGRAM.as_bytes()), ("i.idx", &empty), ("l.idx", &none)], &["train", "p.nn"], 3, &["i.idx"]);
}

/// A safetensors file with one tensor of zeros.
fn weights(name: &str, shape: &[usize]) -> Vec<u8> {
    let n: usize = shape.iter().product::<usize>() * 4;
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[0,{n}]}}}}"#);
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(vec![0; n]);
    out
}

#[test]
fn weights_of_the_wrong_shape_or_name() {
    let p = CSV_PROGRAM.replace("batch = 2", "load m = \"in.safetensors\";  batch = 2");
    let csv: &[u8] = b"1,2,0\n3,4,1\n";
    let shape = weights("weight", &[3, 5]);
    case(
        &[("p.nn", p.as_bytes()), ("d.csv", csv), ("in.safetensors", &shape)],
        &["train", "p.nn"],
        3,
        &["E0401", "weight"],
    );
    let name = weights("wieght", &[3, 2]);
    case(
        &[("p.nn", p.as_bytes()), ("d.csv", csv), ("in.safetensors", &name)],
        &["train", "p.nn"],
        3,
        &["E0401", "wieght"],
    );
    case(
        &[("p.nn", p.as_bytes()), ("d.csv", csv), ("in.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff{}")],
        &["train", "p.nn"],
        3,
        &["in.safetensors"],
    );
}

#[test]
fn output_folder_is_a_file() {
    let files: &[(&str, &[u8])] = &[("p.nn", CSV_PROGRAM.as_bytes()), ("d.csv", b"1,2,0\n3,4,1\n"), ("out", b"a file")];
    case(files, &["train", "p.nn", "--out", "out"], 3, &["out"]);
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_keeps_the_old_weights() {
    // /dev/full refuses every write; a folder on it cannot exist, so the weights' temporary file is made to point there.
    // The writer must not follow a planted link either: both show as a clean error with the old file intact.
    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("p.nn"), CSV_PROGRAM).expect("written");
    fs::write(dir.path().join("d.csv"), "1,2,0\n3,4,1\n").expect("written");
    assert_eq!(nnc(dir.path(), &["train", "p.nn"]).0, 0);
    let old = fs::read(dir.path().join("w.safetensors")).expect("weights");
    let (code, _, err) = {
        let script = format!("ulimit -f 0; exec {} train p.nn", env!("CARGO_BIN_EXE_nnc"));
        let out = Command::new("sh")
            .current_dir(dir.path())
            .args(["-c", &format!("trap '' XFSZ; {script}")])
            .output()
            .expect("sh starts");
        (out.status.code().unwrap_or(-1), (), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("w.safetensors"), "{err}");
    assert_eq!(fs::read(dir.path().join("w.safetensors")).expect("still there"), old);
}

#[test]
fn non_finite_loss_names_the_step_and_the_op() {
    let p = "data D {\n  train = table(x: [[1.0], [0.0]], y: [1.0, 2.0])\n  x: f32[1] = x\n  y: f32 = y\n}\n\
             model M {\n  param w: [1] = 0\n  fn forward(x: [B, 1]) -> [B] = log(x @ w)\n}\n\
             train m: M on D {\n  batch = 2;  epochs = 3\n  loss = mse(m(x), y)\n  optimizer = Sgd(lr: 0.1)\n}\n";
    case(&[("p.nn", p.as_bytes())], &["train", "p.nn"], 5, &["step 1"]);
    case(&[("p.nn", p.as_bytes())], &["train", "p.nn", "--check-finite"], 5, &["step 1", "log"]);
}

#[test]
fn set_of_an_unknown_name() {
    let files: &[(&str, &[u8])] = &[("p.nn", CSV_PROGRAM.as_bytes()), ("d.csv", b"1,2,0\n3,4,1\n")];
    case(files, &["train", "p.nn", "--set", "train.bach=8"], 1, &["train.bach", "batch"]);
    case(files, &["train", "p.nn", "--set", "nonsense"], 2, &["nonsense"]);
}

#[test]
fn ten_kilobytes_of_brackets() {
    check(&"[".repeat(10_000), 4, &["E0002"]);
}

#[test]
fn nested_parentheses() {
    let p = format!("const a = {}1{}", "(".repeat(41), ")".repeat(41));
    check(&p, 4, &["E0002"]);
}

#[test]
fn a_tensor_of_4_gib() {
    check("const a = zeros[65536, 65536]", 4, &["65536"]);
    check("const a = zeros[32768, 32768]", 4, &["E0902", "32768"]);
    // Each tensor is within the limit of elements, but all together need more memory than there is.
    let wide = "Linear[1048576, 1000], Linear[1000, 1048576]";
    let layers = format!("Linear[2, 1048576], {}, Linear[1048576, 3]", [wide; 4].join(", "));
    let p = CSV_PROGRAM.replace("Linear[2, 3]", &format!("seq {{ {layers} }}"));
    let files: &[(&str, &[u8])] = &[("p.nn", p.as_bytes()), ("d.csv", b"1,2,0\n3,4,1\n")];
    case(files, &["train", "p.nn"], 4, &["memory"]);
}

#[test]
fn invalid_utf8() {
    case(&[("p.nn", b"const a = 1\nconst b = \"\xff\xfe\"\n")], &["check", "p.nn"], 1, &["E0003", "p.nn"]);
}
