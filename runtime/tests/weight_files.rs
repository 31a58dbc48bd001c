//! Weight files: they round-trip, other readers take them, and what does not fit is named.

use nn_runtime::dtype::DType;
use nn_runtime::error::codes;
use nn_runtime::weights::{SafeTensors, TensorRef, Wanted, encode, read, save};

fn f32s(v: &[f32]) -> Vec<u8> {
    v.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn tensor<'a>(name: &'a str, shape: &'a [u64], bytes: &'a [u8]) -> TensorRef<'a> {
    TensorRef { name, dtype: DType::F32, shape, bytes }
}

#[test]
fn round_trip_through_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.safetensors");
    let (w, b) = (f32s(&[1.0, -2.0, 3.5, f32::MIN_POSITIVE, 0.0, -0.0]), f32s(&[7.0]));
    let tensors = [tensor("fc.weight", &[2, 3], &w), tensor("b", &[], &b), tensor("none", &[0, 4], &[])];
    save(&path, &tensors, &[("format", "pt".into())]).unwrap();
    let file = read(&path).unwrap();
    assert_eq!(file.metadata["format"], "pt");
    let wanted = [
        Wanted { name: "b", dtype: DType::F32, shape: &[] },
        Wanted { name: "fc.weight", dtype: DType::F32, shape: &[2, 3] },
        Wanted { name: "none", dtype: DType::F32, shape: &[0, 4] },
    ];
    assert_eq!(file.fit("m", &wanted).unwrap(), [b.clone(), w.clone(), vec![]]);
    // Same tensors, same bytes.
    assert_eq!(std::fs::read(&path).unwrap(), encode(&tensors, &[("format", "pt".into())]));
    // The reference implementation reads the same.
    let bytes = std::fs::read(&path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let t = theirs.tensor("fc.weight").unwrap();
    assert_eq!((t.shape(), t.data(), t.dtype()), (&[2, 3][..], &w[..], safetensors::Dtype::F32));
}

#[test]
fn files_of_the_reference_implementation() {
    use safetensors::tensor::{Dtype, TensorView, serialize};
    let (a, b) = ([0, 0x3c, 0, 0xc0], 2.5f64.to_le_bytes());
    let views = [
        ("half", TensorView::new(Dtype::F16, vec![2], &a).unwrap()),
        ("double", TensorView::new(Dtype::F64, vec![1], &b).unwrap()),
    ];
    let file = SafeTensors::parse("t", serialize(views, None).unwrap()).unwrap();
    let wanted = [
        Wanted { name: "half", dtype: DType::F32, shape: &[2] },
        Wanted { name: "double", dtype: DType::F32, shape: &[1] },
    ];
    assert_eq!(file.fit("m", &wanted).unwrap(), [f32s(&[1.0, -2.0]), f32s(&[2.5])]);
}

#[test]
fn what_does_not_fit_is_named() {
    let z = [0; 96];
    let tensors = [
        tensor("h.0.c_attn.weight", &[2, 6], &z[..48]),
        tensor("final_norm.bias", &[3], &z[..12]),
        tensor("h.0.attn.mask", &[2, 2], &z[..16]),
        tensor("head.weight", &[4], &z[..16]),
    ];
    let file = SafeTensors::parse("gpt2.safetensors", encode(&tensors, &[])).unwrap();
    let wanted = [
        Wanted { name: "h.0.c_attn.weight", dtype: DType::F32, shape: &[6, 2] },
        Wanted { name: "ln_f.bias", dtype: DType::F32, shape: &[3] },
        Wanted { name: "head.weight", dtype: DType::F32, shape: &[5] },
        Wanted { name: "head.scale", dtype: DType::F32, shape: &[1] },
    ];
    let e = file.fit("m", &wanted).unwrap_err();
    assert_eq!(e.code, codes::WEIGHTS_MISFIT);
    let expected = "\
[E0401]: gpt2.safetensors: it does not fit `m` (6 differences, the model has 4 tensors)
  note: transposed  h.0.c_attn.weight  file [2, 6]  model [6, 2]
  note: missing     ln_f.bias [3]; the file has `final_norm.bias` of that shape
  note: wrong shape head.weight  file [4]  model [5]
  note: missing     head.scale [1]
  note: unexpected  final_norm.bias [3]
  note: unexpected  h.0.attn.mask [2, 2]
  help: rename: [(\"final_norm.bias\", \"ln_f.bias\")]
  help: transpose: [\"h.0.c_attn.weight\"]
  help: ignore: [\"h.0.attn.mask\"]";
    assert_eq!(e.to_string(), expected);
}

/// A header and bytes after it, as a file.
fn raw(header: &str, data: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.resize(out.len() + data, 0);
    out
}

#[test]
fn every_bad_file_gives_its_error() {
    let t = |shape: &str, from: u64, to: u64| {
        format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
    };
    let one = |name: &str, shape: &str, from, to| format!("{{\"{name}\":{}}}", t(shape, from, to));
    let huge = u64::MAX;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "it has 0 bytes"),
        ("seven bytes", vec![0; 7], "it has 7 bytes"),
        ("header of all bits", [0xff; 8].to_vec(), "its header claims"),
        ("header beyond the file", raw("{}", 0)[..9].to_vec(), "its header claims 2 bytes"),
        ("not json", raw("hello", 0), "expected"),
        ("not a table", raw("[]", 0), "table of tensors"),
        ("not utf-8", [&2u64.to_le_bytes()[..], &[0xff, 0xff]].concat(), "not a whole"),
        ("deep json", raw(&format!("{{\"a\":{}", "[".repeat(10_000)), 0), "not a whole"),
        ("name twice", raw(&format!("{{\"a\":{},\"a\":{}}}", t("[1]", 0, 4), t("[1]", 4, 8)), 8), "stands twice"),
        (
            "unknown field",
            raw("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4),
            "unknown field",
        ),
        ("negative size", raw("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4), "not a whole"),
        ("offsets of all bits", raw(&one("a", "[1]", huge, huge), 4), "beyond the file"),
        ("end before begin", raw(&one("a", "[1]", 4, 0), 4), "ends before it begins"),
        ("sizes overflow", raw(&one("a", "[4294967296,4294967296,4294967296]", 0, 4), 4), "in 4 bytes"),
        ("shape and bytes differ", raw(&one("a", "[2]", 0, 4), 4), "in 4 bytes"),
        ("beyond the file", raw(&one("a", "[2]", 0, 8), 4), "the file has"),
        ("bytes left over", raw(&one("a", "[1]", 0, 4), 5), "the file has"),
        ("hole", raw(&format!("{{\"a\":{},\"b\":{}}}", t("[1]", 0, 4), t("[1]", 8, 12)), 12), "hole"),
        ("overlap", raw(&format!("{{\"a\":{},\"b\":{}}}", t("[2]", 0, 8), t("[1]", 4, 8)), 8), "overlaps"),
        ("huge shape, no bytes", raw(&one("a", "[0,18446744073709551615,18446744073709551615]", 0, 0), 0), ""),
    ];
    for (name, bytes, says) in cases {
        match SafeTensors::parse("w", bytes) {
            Ok(f) => assert_eq!((name, f.tensors.len()), ("huge shape, no bytes", 1)),
            Err(e) => {
                assert_eq!(e.code, codes::WEIGHTS, "{name}: {e}");
                assert!(e.to_string().contains(says), "{name}: {e}");
            }
        }
    }
}

#[test]
fn a_missing_file_and_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(&dir.path().join("none")).unwrap_err().code, codes::NOT_FOUND);
    assert_eq!(read(dir.path()).unwrap_err().code, codes::PATH);
}

/// A process that saves without pause is killed at arbitrary instants: what is there is always a whole file.
#[cfg(unix)]
#[test]
fn killed_while_saving() {
    const LOOP: &str = "NN_TEST_SAVE_LOOP";
    if let Some(path) = std::env::var_os(LOOP) {
        // The child. It ends by itself if its parent does not live to kill it.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        for i in 0.. {
            let values = f32s(&vec![i as f32; 1 << 16]);
            save(path.as_ref(), &[tensor("w", &[1 << 16], &values)], &[]).unwrap();
            if std::time::Instant::now() > end {
                return;
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    save(&path, &[tensor("w", &[1 << 16], &f32s(&vec![-1.0; 1 << 16]))], &[]).unwrap();
    let mut changed = 0;
    for kill in 0..12u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["killed_while_saving", "--exact"])
            .env(LOOP, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // On a busy machine the first child may take long to come to its first save.
        let old = std::fs::read(&path).unwrap();
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while kill == 0 && std::fs::read(&path).unwrap() == old && std::time::Instant::now() < patience {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        std::thread::sleep(std::time::Duration::from_micros(10_000 + 3_700 * kill));
        child.kill().unwrap();
        child.wait().unwrap();
        let file = read(&path).unwrap();
        let values = file.fit("m", &[Wanted { name: "w", dtype: DType::F32, shape: &[1 << 16] }]).unwrap().remove(0);
        // All values come from one save.
        assert!(values.chunks_exact(4).all(|v| v == &values[..4]));
        changed += u64::from(values[..4] != (-1f32).to_le_bytes());
    }
    assert!(changed > 0, "no child came to save anything");
}
