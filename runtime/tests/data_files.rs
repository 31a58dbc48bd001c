//! Data files as users have them: good ones decode to known values, bad ones give one clear error each, and mutated
//! ones never panic.

use nn_runtime::checkpoint::{Checkpoint, TrainState};
use nn_runtime::data::input::Input;
use nn_runtime::data::split::{Dataset, Loading, RowSet, SplitFrom, SplitSpec};
use nn_runtime::data::{Column, SourceSpec, TableColumn, open, open_with};
use nn_runtime::dtype::DType;
use nn_runtime::error::{DataError, codes};
use nn_runtime::paths::DataPaths;
use nn_runtime::philox;
use nn_runtime::weights::{SafeTensors, TensorRef, Wanted, encode};
use std::io::Write;
use std::path::PathBuf;

// Building files.

fn gz(bytes: &[u8]) -> Vec<u8> {
    gz_at(bytes, flate2::Compression::fast())
}

fn gz_at(bytes: &[u8], level: flate2::Compression) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(vec![], level);
    e.write_all(bytes).unwrap();
    e.finish().unwrap()
}

fn idx(kind: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, kind, dims.len() as u8];
    out.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    out.extend(values);
    out
}

fn npy_header(text: &str, values: &[u8]) -> Vec<u8> {
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((text.len() as u16).to_le_bytes());
    out.extend(text.as_bytes());
    out.extend(values);
    out
}

fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    npy_header(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"), values)
}

struct Member<'a> {
    name: &'a str,
    bytes: Vec<u8>,
    deflate: bool,
}

fn member(name: &str, bytes: Vec<u8>) -> Member<'_> {
    Member { name, bytes, deflate: true }
}

fn zip(members: &[Member<'_>]) -> Vec<u8> {
    let (mut out, mut dir) = (vec![], vec![]);
    for m in members {
        let mut crc = flate2::Crc::new();
        crc.update(&m.bytes);
        let packed = if m.deflate {
            let mut e = flate2::write::DeflateEncoder::new(vec![], flate2::Compression::fast());
            e.write_all(&m.bytes).unwrap();
            e.finish().unwrap()
        } else {
            m.bytes.clone()
        };
        let mut common = vec![20, 0, 0, 0, if m.deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((m.bytes.len() as u32).to_le_bytes());
        common.extend((m.name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        let at = out.len() as u32;
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(m.name.as_bytes());
        out.extend(packed);
        dir.extend(b"PK\x01\x02\x14\x00");
        dir.extend(&common);
        dir.extend([0; 10]);
        dir.extend(at.to_le_bytes());
        dir.extend(m.name.as_bytes());
    }
    let at = out.len() as u32;
    out.extend(&dir);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((dir.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// Replaces bytes at a place counted from the first occurrence of a marker.
fn patch(mut file: Vec<u8>, marker: &[u8], offset: usize, with: &[u8]) -> Vec<u8> {
    let at = file.windows(marker.len()).position(|w| w == marker).unwrap() + offset;
    file[at..at + with.len()].copy_from_slice(with);
    file
}

// Reading them.

fn spec(name: &str) -> SourceSpec {
    let file = name.to_owned();
    match name.trim_end_matches(".gz").rsplit('.').next() {
        Some("npy") => SourceSpec::Npy { file },
        Some("npz") => SourceSpec::Npz { file },
        Some("csv") => SourceSpec::Csv { file, skip: 0, columns: None },
        _ => SourceSpec::Idx { files: vec![file] },
    }
}

fn load_spec(spec: &SourceSpec, files: &[(&str, Vec<u8>)]) -> Result<Vec<Column>, DataError> {
    let mut input = |name: &str| {
        let bytes = files.iter().find(|(n, _)| *n == name).map(|(_, b)| b.clone()).unwrap_or_default();
        Ok(Input::from_bytes(name, bytes))
    };
    let opened = open_with(spec, &mut input)?;
    let header = opened.header().clone();
    let columns = opened.decode()?;
    // What was promised is what came.
    assert_eq!(columns.len(), header.columns.len());
    for (c, h) in columns.iter().zip(&header.columns) {
        assert_eq!(&c.spec(), h);
        assert_eq!(c.rows, header.rows);
        assert_eq!(c.bytes.len() as u64, header.rows * h.row_bytes());
    }
    Ok(columns)
}

fn load(name: &str, bytes: Vec<u8>) -> Result<Vec<Column>, DataError> {
    load_spec(&spec(name), &[(name, bytes)])
}

fn csv_spec(groups: &[(&str, u64)], skip: u64) -> SourceSpec {
    let columns = Some(groups.iter().map(|(n, w)| (n.to_string(), *w)).collect());
    SourceSpec::Csv { file: "t.csv".into(), skip, columns }
}

// Good files.

#[test]
fn idx_files() {
    let images = idx(8, &[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let labels = idx(8, &[2], &[3, 4]);
    for pack in [|b: &[u8]| b.to_vec(), gz] {
        let spec = SourceSpec::Idx { files: vec!["a".into(), "b".into()] };
        let columns = load_spec(&spec, &[("a", pack(&images)), ("b", pack(&labels))]).unwrap();
        assert_eq!(format!("{columns:?}"), "[image: u8[2, 3] x 2, label: u8[] x 2]");
        assert_eq!(columns[0].row(1), [7, 8, 9, 10, 11, 12]);
        assert_eq!(columns[1].values(), [3.0, 4.0]);
        let mut batch = [0; 12];
        columns[0].gather(&[1, 0], &mut batch);
        assert_eq!(batch, [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]);
    }
    for (kind, bytes, value) in [
        (9, vec![0xff], -1.0),
        (0x0b, vec![0xff, 0xfe], -2.0),
        (0x0c, vec![0, 0, 1, 0], 256.0),
        (0x0d, 1.5f32.to_be_bytes().to_vec(), 1.5),
        (0x0e, 2.5f64.to_be_bytes().to_vec(), 2.5),
    ] {
        assert_eq!(load("a", idx(kind, &[1], &bytes)).unwrap()[0].values(), [value]);
    }
    let two = SourceSpec::Idx { files: vec!["a".into(), "a".into()] };
    let columns = load_spec(&two, &[("a", labels)]).unwrap();
    assert_eq!(columns[1].name, "label2");
}

#[test]
fn npy_files() {
    let f = |descr, shape, bytes: &[u8]| load("a.npy", npy(descr, shape, bytes)).unwrap().remove(0);
    let c = f("<f4", "(2, 2)", &[1f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
    assert_eq!((format!("{c:?}"), c.values()), ("array: f32[2] x 2".into(), vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(f("<i8", "(1,)", &(-5i64).to_le_bytes()).values(), [-5.0]);
    assert_eq!(f(">i4", "(1,)", &7i32.to_be_bytes()).values(), [7.0]);
    assert_eq!(f("|b1", "(2,)", &[0, 1]).dtype, DType::Bool);
    let turned = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 2), }";
    let turned = load("a.npy", npy_header(turned, &[0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11])).unwrap();
    assert!(turned[0].bytes.iter().copied().eq(0..12));
    assert_eq!(f("<f2", "(1,)", &[0, 0x3c]).values(), [1.0]);
    let packed = gz(&npy("|u1", "(3,)", &[1, 2, 3]));
    assert_eq!(load("a.npy.gz", packed).unwrap()[0].values(), [1.0, 2.0, 3.0]);
}

#[test]
fn npz_files() {
    let x = npy("|u1", "(2, 3)", &[1, 2, 3, 4, 5, 6]);
    let y = npy("<i8", "(2,)", &[5i64, 6].map(i64::to_le_bytes).concat());
    for deflate in [false, true] {
        let members = [
            Member { name: "x.npy", bytes: x.clone(), deflate },
            Member { name: "y.npy", bytes: y.clone(), deflate },
            Member { name: "readme.txt", bytes: b"hello".to_vec(), deflate },
        ];
        let columns = load("a.npz", zip(&members)).unwrap();
        assert_eq!(format!("{columns:?}"), "[x: u8[3] x 2, y: i32[] x 2]");
        assert_eq!(columns[1].values(), [5.0, 6.0]);
    }
    // Arrays of different lengths are one example.
    let edges = npy("<i4", "(3, 1)", &[0; 12]);
    let columns = load("a.npz", zip(&[member("x.npy", x), member("edges.npy", edges)])).unwrap();
    assert_eq!(format!("{columns:?}"), "[x: u8[2, 3] x 1, edges: i32[3, 1] x 1]");
}

#[test]
fn csv_files() {
    let columns = load("t.csv", b"\xef\xbb\xbfmean radius,label\r\n1.5, 0\r\n\r\n-2e3,1\r\n".to_vec()).unwrap();
    assert_eq!(format!("{columns:?}"), "[mean_radius: f32[] x 2, label: i32[] x 2]");
    assert_eq!(columns[0].values(), [1.5, -2000.0]);
    let spec = csv_spec(&[("x", 2), ("y", 1)], 1);
    let columns = load_spec(&spec, &[("t.csv", gz(b"3,\"open\n1,2,0\n3,4.5,1"))]).unwrap();
    assert_eq!(format!("{columns:?}"), "[x: f32[2] x 2, y: i32[] x 2]");
    assert_eq!(columns[0].values(), [1.0, 2.0, 3.0, 4.5]);
    // Integers stay exact until the first value that is none.
    let columns = load("t.csv", b"a,b\n16777217,2147483648\n1,1\n".to_vec()).unwrap();
    assert_eq!(columns[0].values(), [16_777_217.0, 1.0]);
    assert_eq!((columns[1].dtype, columns[1].values()), (DType::F32, vec![2_147_483_648.0, 1.0]));
}

#[test]
fn tables_and_rows() {
    let column = |name: &str, shape: &[u64], values: &[f64]| TableColumn {
        name: name.into(),
        dtype: DType::F32,
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let table = |columns| load_spec(&SourceSpec::Table { columns }, &[]);
    let c = table(vec![column("x", &[2, 1], &[1.0, 2.0]), column("y", &[2], &[0.0, 1.0])]).unwrap();
    assert_eq!(format!("{c:?}"), "[x: f32[1] x 2, y: f32[] x 2]");
    assert_eq!(table(vec![column("x", &[2], &[1.0])]).unwrap_err().code, codes::COLUMNS);
    let ragged = vec![column("x", &[2], &[1.0, 2.0]), column("y", &[1], &[0.0])];
    assert_eq!(table(ragged).unwrap_err().code, codes::ROWS);
    assert_eq!(load_spec(&SourceSpec::Rows { n: 7, seed: 1 }, &[]).unwrap().len(), 0);
    assert_eq!(load_spec(&SourceSpec::Rows { n: 0, seed: 1 }, &[]).unwrap_err().code, codes::EMPTY);
}

// Bad files.

/// Name, file name, bytes, code, and a part of the message, notes or help.
type Case = (&'static str, &'static str, Vec<u8>, &'static str, &'static str);

fn bad_files() -> Vec<Case> {
    let good_idx = idx(8, &[2, 2], &[1, 2, 3, 4]);
    let good_gz = gz(&good_idx);
    let mut bad_crc = good_gz.clone();
    let n = bad_crc.len();
    bad_crc[n - 6] ^= 1;
    let good_npy = npy("<f4", "(2,)", &[0; 8]);
    let npz = || zip(&[member("x.npy", npy("|u1", "(4,)", &[1, 2, 3, 4]))]);
    let stored = || zip(&[Member { name: "x.npy", bytes: npy("|u1", "(4,)", &[9, 8, 7, 6]), deflate: false }]);
    let dict = |text: &str| npy_header(text, &[0; 8]);
    vec![
        ("idx empty file", "a", vec![], codes::LENGTH, "ends early"),
        ("idx only a magic", "a", vec![0, 0, 8, 3], codes::LENGTH, "ends early"),
        ("idx sizes cut", "a", vec![0, 0, 8, 3, 0, 0], codes::LENGTH, "ends early"),
        ("idx wrong magic", "a", b"\x89PNG\r\n\x1a\n".to_vec(), codes::FORMAT, "not an IDX file"),
        ("idx unknown type", "a", idx(7, &[1], &[0]), codes::FORMAT, "0x07"),
        ("idx no axes", "a", idx(8, &[], &[0]), codes::FORMAT, "0 axes"),
        ("idx nine axes", "a", idx(8, &[1; 9], &[0]), codes::FORMAT, "9 axes"),
        ("idx sizes overflow", "a", idx(14, &[u32::MAX; 8], &[0; 64]), codes::TOO_LARGE, "larger than any data"),
        (
            "idx sizes beyond the file",
            "a",
            idx(8, &[60_000, 28, 28], &[0; 99]),
            codes::LENGTH,
            "more than the file can hold",
        ),
        ("idx too long", "a", idx(8, &[2], &[1, 2, 3]), codes::LENGTH, "longer than its header"),
        ("idx no rows", "a", idx(8, &[0, 5], &[]), codes::EMPTY, "hold no values"),
        (
            "idx f64 beyond f32",
            "a",
            idx(14, &[2], &[[0; 8], 1e300f64.to_be_bytes()].concat()),
            codes::OUT_OF_RANGE,
            "row 2",
        ),
        ("gz cut in the header", "a.gz", good_gz[..6].to_vec(), codes::LENGTH, "ends early"),
        ("gz cut in the data", "a.gz", good_gz[..n - 9].to_vec(), codes::LENGTH, "ends early"),
        ("gz wrong checksum", "a.gz", bad_crc, codes::CORRUPT, "damaged"),
        (
            "gz garbage",
            "a.gz",
            [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0][..], &[0xff; 40]].concat(),
            codes::CORRUPT,
            "damaged",
        ),
        ("gz too long", "a.gz", gz(&idx(8, &[2], &[1, 2, 3])), codes::LENGTH, "longer than its header"),
        ("gz too short", "a.gz", gz(&idx(8, &[5], &[1, 2, 3])), codes::LENGTH, "ends early"),
        (
            "gz claims a terabyte",
            "a.gz",
            gz(&idx(8, &[1 << 20, 1 << 20], &[0])),
            codes::TOO_LARGE,
            "larger than any data",
        ),
        ("gz claims a gigabyte", "a.gz", gz(&idx(8, &[1 << 30], &[0])), codes::LENGTH, "more than the file can hold"),
        ("npy empty file", "a.npy", vec![], codes::LENGTH, "ends early"),
        ("npy wrong magic", "a.npy", vec![7; 100], codes::FORMAT, "numpy.save"),
        ("npy unknown version", "a.npy", patch(good_npy.clone(), b"NUMPY", 5, &[9]), codes::UNSUPPORTED, "version 9"),
        ("npy header cut", "a.npy", good_npy[..30].to_vec(), codes::LENGTH, "ends early"),
        ("npy values cut", "a.npy", good_npy[..good_npy.len() - 1].to_vec(), codes::LENGTH, "more than the file"),
        ("npy too long", "a.npy", npy("|u1", "(2,)", &[0; 3]), codes::LENGTH, "longer than its header"),
        ("npy objects", "a.npy", npy("|O", "(2,)", &[0; 16]), codes::UNSUPPORTED, "Python objects"),
        ("npy strings", "a.npy", npy("<U3", "(2,)", &[0; 24]), codes::UNSUPPORTED, "'<U3'"),
        ("npy complex", "a.npy", npy("<c8", "(1,)", &[0; 8]), codes::UNSUPPORTED, "'<c8'"),
        ("npy empty descr", "a.npy", npy("", "(1,)", &[0; 8]), codes::UNSUPPORTED, "''"),
        ("npy descr not ascii", "a.npy", npy("é4", "(1,)", &[0; 8]), codes::UNSUPPORTED, "é4"),
        (
            "npy records",
            "a.npy",
            dict("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2,), }"),
            codes::FORMAT,
            "records",
        ),
        (
            "npy sizes overflow",
            "a.npy",
            npy("<f4", "(4294967296, 4294967296, 4294967296)", &[0; 8]),
            codes::TOO_LARGE,
            "larger than",
        ),
        (
            "npy size beyond 64 bits",
            "a.npy",
            npy("<f4", "(99999999999999999999999,)", &[0; 8]),
            codes::FORMAT,
            "64 bits",
        ),
        ("npy negative size", "a.npy", npy("<f4", "(-1,)", &[0; 8]), codes::FORMAT, "tuple of sizes"),
        ("npy nine axes", "a.npy", npy("|u1", "(1, 1, 1, 1, 1, 1, 1, 1, 8)", &[0; 8]), codes::TOO_LARGE, "9 axes"),
        ("npy zero rows", "a.npy", npy("|u1", "(0, 3)", &[]), codes::EMPTY, "no values"),
        ("npy a single number", "a.npy", npy("|u1", "()", &[1]), codes::COLUMNS, "no rows"),
        ("npy no shape", "a.npy", dict("{'descr': '<f4', 'fortran_order': False}"), codes::FORMAT, "missing"),
        ("npy two shapes", "a.npy", dict("{'shape': (2,), 'shape': (2,)}"), codes::FORMAT, "twice"),
        ("npy unknown key", "a.npy", dict("{'exec': 'rm'}"), codes::FORMAT, "'exec'"),
        ("npy deep nesting", "a.npy", dict(&"(".repeat(60_000)), codes::FORMAT, "expected `{`"),
        (
            "npy label beyond i32",
            "a.npy",
            npy("<i8", "(1,)", &(1i64 << 40).to_le_bytes()),
            codes::OUT_OF_RANGE,
            "1099511627776",
        ),
        ("npz empty file", "a.npz", vec![], codes::FORMAT, "not an .npz"),
        ("npz is an npy", "a.npz", good_npy.clone(), codes::FORMAT, "not an .npz"),
        ("npz is gzip", "a.npz", gz(&npz()), codes::FORMAT, "gzip"),
        ("npz cut", "a.npz", npz()[..60].to_vec(), codes::FORMAT, "broke off"),
        ("npz without arrays", "a.npz", zip(&[member("a.txt", b"x".to_vec())]), codes::EMPTY, "no arrays"),
        ("npz empty archive", "a.npz", zip(&[]), codes::EMPTY, "no arrays"),
        (
            "npz two arrays of one name",
            "a.npz",
            zip(&[member("x.npy", npy("|u1", "(1,)", &[1])), member("x.npy", npy("|u1", "(1,)", &[1]))]),
            codes::FORMAT,
            "two arrays",
        ),
        ("npz wrong checksum", "a.npz", patch(stored(), &[9, 8, 7, 6], 0, &[1]), codes::CORRUPT, "checksum"),
        ("npz encrypted", "a.npz", patch(npz(), b"PK\x01\x02", 8, &[1]), codes::UNSUPPORTED, "encrypted"),
        ("npz bzip2", "a.npz", patch(npz(), b"PK\x01\x02", 10, &[12]), codes::UNSUPPORTED, "method 12"),
        (
            "npz claims a bomb",
            "a.npz",
            patch(npz(), b"PK\x01\x02", 24, &[0xfe, 0xff, 0xff, 0xff]),
            codes::LENGTH,
            "more than",
        ),
        ("npz zip64", "a.npz", patch(npz(), b"PK\x01\x02", 24, &[0xff; 4]), codes::UNSUPPORTED, "4 GiB"),
        (
            "npz member beyond the file",
            "a.npz",
            patch(npz(), b"PK\x01\x02", 42, &[0, 0, 0, 0x7f]),
            codes::LENGTH,
            "ends early",
        ),
        ("npz member elsewhere", "a.npz", patch(npz(), b"PK\x01\x02", 42, &[4]), codes::FORMAT, "not where"),
        (
            "npz directory beyond the file",
            "a.npz",
            patch(npz(), b"PK\x05\x06", 16, &[0, 0, 0, 0x7f]),
            codes::FORMAT,
            "does not fit",
        ),
        ("npz more members than there are", "a.npz", patch(npz(), b"PK\x05\x06", 10, &[9]), codes::FORMAT, "malformed"),
        (
            "npz member shorter than its array",
            "a.npz",
            zip(&[member("x.npy", npy("|u1", "(9,)", &[1]))]),
            codes::LENGTH,
            "`x`",
        ),
        (
            "npz objects",
            "a.npz",
            zip(&[member("x.npy", npy("|O", "(1,)", &[0; 8]))]),
            codes::UNSUPPORTED,
            "never loaded",
        ),
        ("csv empty file", "t.csv", vec![], codes::EMPTY, "no rows"),
        ("csv only a header", "t.csv", b"a,b\n".to_vec(), codes::EMPTY, "no rows"),
        ("csv only blank lines", "t.csv", b"\n\n\n".to_vec(), codes::EMPTY, "no rows"),
        ("csv short row", "t.csv", b"a,b\n1,2\n3\n".to_vec(), codes::RAGGED, "line 3 has 1 cell, expected 2"),
        ("csv crlf", "t.csv", b"a,b\r\n1,2\r\n3\r\n".to_vec(), codes::RAGGED, "line 3 has 1 cell, expected 2"),
        ("csv crlf blank", "t.csv", b"a,b\r\n\r\n\r\n1\r\n".to_vec(), codes::RAGGED, "line 4 has 1 cell"),
        ("csv cr", "t.csv", b"a,b\r1,2\r\r\n3\r\n".to_vec(), codes::RAGGED, "has 1 cell, expected 2"),
        ("csv long row", "t.csv", b"a,b\n1,2,3\n".to_vec(), codes::RAGGED, "line 2 has 3 cells"),
        (
            "csv word",
            "t.csv",
            b"a,b\n1,2\n\n1,red\n".to_vec(),
            codes::NOT_A_NUMBER,
            "line 4, cell 2 (column `b`) is not a number: `red`",
        ),
        ("csv semicolons", "t.csv", b"a;b\n1;2\n".to_vec(), codes::NOT_A_NUMBER, "separated by commas, here by `;`"),
        ("csv tabs", "t.csv", b"a\tb\n1\t2\n".to_vec(), codes::NOT_A_NUMBER, "separated by commas, here by tabs"),
        ("csv title", "t.csv", b"9,2\n1,2,3\n".to_vec(), codes::COLUMNS, "nothing names"),
        (
            "csv title of words",
            "t.csv",
            b"9,red\n1,2,3\n".to_vec(),
            codes::RAGGED,
            "`skip: 1, columns: { x: 2, y: 1 }`",
        ),
        ("csv empty cell", "t.csv", b"a,b\n1,\n".to_vec(), codes::NOT_A_NUMBER, "missing values"),
        ("csv nan", "t.csv", b"a,b\n1,nan\n".to_vec(), codes::NOT_A_NUMBER, "missing values"),
        ("csv inf", "t.csv", b"a,b\n1,-inf\n".to_vec(), codes::NOT_A_NUMBER, "not a finite"),
        ("csv too big", "t.csv", b"a\n1e39\n".to_vec(), codes::NOT_A_NUMBER, "not a finite"),
        ("csv not utf-8", "t.csv", b"a,b\n1,\xff\xfe\n".to_vec(), codes::NOT_A_NUMBER, "is not text"),
        ("csv control characters", "t.csv", b"a\n\x1b[31m\n".to_vec(), codes::NOT_A_NUMBER, "\\u{1b}[31m"),
        ("csv no names", "t.csv", b"1,2\n3,4\n".to_vec(), codes::COLUMNS, "nothing names the columns"),
        ("csv names twice", "t.csv", b"a,a\n3,4\n".to_vec(), codes::COLUMNS, "two columns"),
        ("csv open quote", "t.csv", b"a\n\"1\n2\n3".to_vec(), codes::NOT_A_NUMBER, "line 2"),
        ("csv endless line", "t.csv.gz", gz(&vec![b'1'; 20 << 20]), codes::TOO_LARGE, "16 MiB"),
        (
            "csv bomb",
            "t.csv.gz",
            gz_at(&[&b"a\n"[..], &b"1\n".repeat(17 << 20)].concat(), flate2::Compression::best()),
            codes::TOO_LARGE,
            "unpacks to more",
        ),
        ("csv damaged gzip", "t.csv.gz", gz(b"a\n1\n2\n3\n")[..18].to_vec(), codes::LENGTH, "ends early"),
    ]
}

#[test]
fn every_bad_file_gives_its_error() {
    let mut wrong = vec![];
    for (name, file, bytes, code, says) in bad_files() {
        match load(file, bytes) {
            Ok(columns) => wrong.push(format!("{name}: loaded {columns:?}")),
            Err(e) if e.code != code || !e.to_string().contains(says) => wrong.push(format!("{name}: {e}")),
            Err(e) => {
                assert!(e.message.starts_with(&format!("{file}: ")), "{name}: {e}");
                assert!(!e.to_string().chars().any(|c| c.is_control() && c != '\n'), "{name}: {e:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn csv_groups_that_do_not_fit() {
    let file = || [("t.csv", b"569,30,malignant,benign\n1,2,0\n3,4,1\n".to_vec())];
    assert_eq!(load_spec(&csv_spec(&[("x", 2), ("y", 1)], 1), &file()).unwrap().len(), 2);
    let fails = |groups: &[(&str, u64)], skip| load_spec(&csv_spec(groups, skip), &file()).unwrap_err();
    let e = fails(&[("x", 2), ("y", 1)], 0);
    assert_eq!((e.code, e.help[0].contains("`skip: 1`")), (codes::RAGGED, true), "{e}");
    let e = fails(&[("x", 5), ("y", 1)], 1);
    assert!(e.notes[0].contains("6 (x 5 + y 1)"), "{e}");
    // The line that is no data is passed over already.
    assert_eq!(e.help, ["the widths in `columns` must add up to 3"], "{e}");
    let e = load_spec(&csv_spec(&[("x", 2), ("y", 1)], 1), &[("t.csv", b"a;b;c\n1;2;0\n".to_vec())]).unwrap_err();
    assert_eq!((e.code, e.help[0].contains("by `;`")), (codes::RAGGED, true), "{e}");
    assert_eq!(e.place.row, Some(2));
    assert_eq!(fails(&[], 1).code, codes::COLUMNS);
    assert_eq!(fails(&[("x", 0)], 1).code, codes::COLUMNS);
    assert_eq!(fails(&[("x", u64::MAX), ("y", 2)], 1).code, codes::TOO_LARGE);
    assert_eq!(fails(&[("x", 3)], 99).code, codes::EMPTY);
    assert_eq!(fails(&[("x", 3)], u64::MAX).code, codes::EMPTY);
}

#[test]
fn idx_files_of_different_parts() {
    let spec = SourceSpec::Idx { files: vec!["a".into(), "b".into()] };
    let files = [("a", idx(8, &[3, 1], &[1, 2, 3])), ("b", idx(8, &[2], &[1, 2]))];
    let e = load_spec(&spec, &files).unwrap_err();
    assert_eq!(e.code, codes::ROWS);
    assert!(e.message.contains("it has 2 rows, a has 3"), "{e}");
    assert_eq!(load_spec(&SourceSpec::Idx { files: vec![] }, &[]).unwrap_err().code, codes::EMPTY);
}

#[test]
fn files_that_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let paths = DataPaths::new(dir.path(), []);
    for (file, code) in [("none", codes::NOT_FOUND), ("folder", codes::PATH), ("../x", codes::PATH)] {
        assert_eq!(open(&SourceSpec::Npy { file: file.into() }, &paths).unwrap_err().code, code);
    }
}

// Mutations.

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        u64::from(philox::element(99, self.0, 1, 0))
    }
    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}

fn mutate(bytes: &[u8], r: &mut Random) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=r.below(3) {
        let at = r.below(out.len());
        match r.below(7) {
            0 if !out.is_empty() => out[at] ^= 1 << r.below(8),
            1 if !out.is_empty() => out[at] = r.next() as u8,
            2 => out.truncate(at),
            3 => {
                let end = (at + r.below(16)).min(out.len());
                out.drain(at..end);
            }
            4 => {
                let end = (at + r.below(16)).min(out.len());
                let copy = out[at..end].to_vec();
                out.splice(at..at, copy);
            }
            5 => {
                const BIG: [&[u8]; 6] =
                    [&[0xff; 4], &[0xff; 8], &[0x80, 0, 0, 0], &[0; 4], &[0x7f, 0xff, 0xff, 0xff], b"9999999999"];
                for (i, &b) in BIG[r.below(6)].iter().enumerate() {
                    if let Some(o) = out.get_mut(at + i) {
                        *o = b;
                    }
                }
            }
            _ => {
                const TOKENS: [&[u8]; 8] = [b",", b"\n", b"\"", b"(", b"}", b"'", b"-1", b"1e99"];
                out.splice(at..at, TOKENS[r.below(8)].iter().copied());
            }
        }
    }
    out
}

/// Runs a loader on mutations of good files. A panic or a broken promise fails the test with the bytes at hand.
fn fuzz(seeds: &[Vec<u8>], salt: u64, f: impl Fn(Vec<u8>) -> bool) {
    let rounds: u64 = std::env::var("NN_FUZZ_ITERS").ok().and_then(|n| n.parse().ok()).unwrap_or(4000);
    let mut r = Random(salt << 32);
    let mut good = 0;
    for i in 0..rounds {
        let seed = &seeds[i as usize % seeds.len()];
        let bytes = mutate(seed, &mut r);
        let shown = bytes.clone();
        let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(bytes)));
        good += u64::from(ok.unwrap_or_else(|_| panic!("case {i}: {shown:?}")));
    }
    // Mutations that all fail early would test nothing but the magic number.
    assert!(good > 0 && good < rounds, "{good} of {rounds} loaded");
}

#[test]
fn fuzz_idx() {
    let seeds = [idx(8, &[2, 2, 3], &[7; 12]), idx(0x0d, &[3], &[1; 12]), idx(0x0e, &[2, 1], &[0; 16])];
    fuzz(&seeds, 1, |b| load("a", b).is_ok());
    fuzz(&seeds, 2, |b| load("a.gz", gz(&b)).is_ok());
}

#[test]
fn fuzz_gzip() {
    fuzz(&[gz(&idx(8, &[4, 4], &[5; 16])), gz(&idx(8, &[200], &(0..200).collect::<Vec<u8>>()))], 3, |b| {
        load("a", b).is_ok()
    });
}

#[test]
fn fuzz_csv() {
    let seeds = [b"a,b\n1,2\n3,4\n".to_vec(), b"x,y,z\r\n1.5,-2e3,\"3\"\r\n4,5,6\r\n".to_vec()];
    fuzz(&seeds, 4, |b| load("t.csv", b).is_ok());
    fuzz(&seeds, 5, |b| load_spec(&csv_spec(&[("a", 1), ("b", 1)], 1), &[("t.csv", b)]).is_ok());
}

#[test]
fn fuzz_npy() {
    let seeds = [npy("<f4", "(2, 2)", &[0; 16]), npy(">i2", "(4,)", &[0; 8]), npy("|b1", "(3, 1, 1)", &[1; 3])];
    fuzz(&seeds, 6, |b| load("a.npy", b).is_ok());
}

#[test]
fn fuzz_npz() {
    let x = || npy("|u1", "(2, 3)", &[1, 2, 3, 4, 5, 6]);
    let stored = |name| Member { name, bytes: x(), deflate: false };
    let seeds = [zip(&[member("x.npy", x()), stored("y.npy")]), zip(&[stored("x.npy")])];
    fuzz(&seeds, 7, |b| load("a.npz", b).is_ok());
}

fn two_tensors() -> Vec<u8> {
    let w = TensorRef { name: "fc.weight", dtype: DType::F32, shape: &[2, 3], bytes: &[0; 24] };
    let b = TensorRef { name: "fc.bias", dtype: DType::F32, shape: &[3], bytes: &[0; 12] };
    encode(&[w, b], &[("format", "pt".into())])
}

#[test]
fn fuzz_safetensors() {
    fuzz(&[two_tensors()], 8, |b| {
        let wanted = [
            Wanted { name: "fc.weight", dtype: DType::F32, shape: &[2, 3] },
            Wanted { name: "fc.bias", dtype: DType::F32, shape: &[3] },
        ];
        match SafeTensors::parse("w", b) {
            Ok(f) => {
                let _ = f.fit("m", &wanted);
                f.tensors.iter().all(|t| f.raw(t).len() < 100)
            }
            Err(_) => false,
        }
    });
}

/// Every single flipped bit of a checkpoint is noticed.
#[test]
fn checkpoint_bit_flips() {
    let p = TensorRef { name: "w", dtype: DType::F32, shape: &[2], bytes: &[1, 2, 3, 4, 5, 6, 7, 8] };
    let bytes = nn_runtime::checkpoint::encode(
        &TrainState { t: 5, ..TrainState::default() },
        std::slice::from_ref(&p),
        std::slice::from_ref(&p),
    );
    let good = Checkpoint::parse("c", bytes.clone()).unwrap();
    assert_eq!(good.state.t, 5);
    assert_eq!(good.tensor("w", true, DType::F32, &[2]).unwrap(), p.bytes);
    assert!(good.tensor("w", true, DType::F32, &[3]).is_err());
    assert_eq!(
        SafeTensors::parse("c", bytes.clone())
            .unwrap()
            .fit("m", &[Wanted { name: "w", dtype: DType::F32, shape: &[2] }])
            .unwrap(),
        [p.bytes]
    );
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Checkpoint::parse("c", flipped).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Checkpoint::parse("c", bytes[..len].to_vec()).is_err(), "length {len}");
    }
}

// Splits.

#[test]
fn splits() {
    let labels: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 5 == 0))).collect();
    let column = TableColumn { name: "y".into(), dtype: DType::I32, shape: vec![100], values: labels };
    let table = SourceSpec::Table { columns: vec![column] };
    let source = |name: &str| SplitSpec { name: name.into(), from: SplitFrom::Source(0) };
    let random = |name: &str, fraction, seed, stratify: Option<&str>| SplitSpec {
        name: name.into(),
        from: SplitFrom::Random { of: 0, fraction, seed, stratify: stratify.map(str::to_owned) },
    };
    let tail = |fraction| SplitSpec { name: "tail".into(), from: SplitFrom::Tail { of: 0, fraction } };
    let load = |specs: &[SplitSpec]| {
        let opened = open(&table, &DataPaths::default()).unwrap();
        Dataset::load(vec![("table".into(), opened)], specs, &[])
    };
    let d =
        load(&[source("train"), random("val", 0.1, 1, None), random("test", 0.2, 2, Some("y")), tail(0.05)]).unwrap();
    let rows: Vec<Vec<u32>> = d.splits.iter().map(|s| s.rows.to_vec()).collect();
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [65, 10, 20, 5]);
    let mut all = rows.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100), "parts are disjoint and complete");
    assert!(rows.iter().all(|r| r.is_sorted()));
    // 90 rows are left, and of the classes' shares of 20 the larger remainders win.
    let ones = |r: &[u32]| r.iter().filter(|&&r| r % 5 == 0).count();
    let left = 20 - ones(&rows[1]);
    let share = left as f64 * 20.0 / 90.0;
    assert!((ones(&rows[2]) as f64 - share).abs() < 1.0);
    // The same seed, the same rows; another seed, others.
    let again = |seed| load(&[source("train"), random("val", 0.1, seed, None)]).unwrap().splits[1].rows.clone();
    assert_eq!(again(1), RowSet::List(rows[1].clone()));
    assert_ne!(again(1), again(2));
    for (bad, code) in [
        (random("val", 0.0, 1, None), codes::EMPTY),
        (random("val", 1.0, 1, None), codes::EMPTY),
        (random("val", f64::NAN, 1, None), codes::EMPTY),
        (random("val", 0.001, 1, None), codes::EMPTY),
        (random("val", 0.5, 1, Some("z")), codes::COLUMNS),
    ] {
        assert_eq!(load(&[source("train"), bad]).unwrap_err().code, code);
    }
}

// Real data.

fn real(file: &str) -> Option<DataPaths> {
    let given = std::env::var_os("NN_DATA").map(|v| DataPaths::from_env(&v)).unwrap_or_default();
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/data");
    let paths = DataPaths::new(bundled, given.into_iter().chain([beside]));
    let there = paths.resolve(file).is_ok();
    if !there {
        eprintln!("SKIPPED: no {file}; point NN_DATA at the data folder");
    }
    there.then_some(paths)
}

#[test]
fn real_mnist() {
    let Some(paths) = real("mnist/train-images-idx3-ubyte.gz") else { return };
    let spec = |part: &str| SourceSpec::Idx {
        files: vec![format!("mnist/{part}-images-idx3-ubyte.gz"), format!("mnist/{part}-labels-idx1-ubyte.gz")],
    };
    let opened = ["train", "t10k"].map(|p| (p.to_owned(), open(&spec(p), &paths).unwrap()));
    assert_eq!(opened[0].1.header().rows, 60_000);
    let specs = [0, 1].map(|s| SplitSpec { name: ["train", "test"][s].into(), from: SplitFrom::Source(s) });
    let start = std::time::Instant::now();
    let d = Loading::start(opened.into(), specs.into(), vec![]).unwrap().wait().unwrap();
    eprintln!("decoded in {:?}", start.elapsed());
    assert_eq!(
        format!("{:?}", d.sources),
        "[[image: u8[28, 28] x 60000, label: u8[] x 60000], [image: u8[28, 28] x 10000, label: u8[] x 10000]]"
    );
    assert_eq!(d.sources[0][1].bytes[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
    // The mean of the training pixels that everyone normalizes by.
    let sum: u64 = d.sources[0][0].bytes.iter().map(|&b| u64::from(b)).sum();
    assert!((sum as f64 / 255.0 / (60_000.0 * 784.0) - 0.1307).abs() < 5e-5);
    let start = std::time::Instant::now();
    assert_ne!(d.fingerprint(), 0);
    eprintln!("fingerprint in {:?}", start.elapsed());
}

#[test]
fn real_cora() {
    let Some(paths) = real("cora.npz") else { return };
    let columns = open(&SourceSpec::Npz { file: "cora.npz".into() }, &paths).unwrap().decode().unwrap();
    let mut names: Vec<String> = columns.iter().map(|c| format!("{c:?}")).collect();
    names.sort();
    assert_eq!(
        names,
        ["edge_index: i32[2, 10556] x 1", "fold: u8[2708] x 1", "x: u8[2708, 1433] x 1", "y: i32[2708] x 1"]
    );
    let y = columns.iter().find(|c| c.name == "y").unwrap();
    assert_eq!(y.values().into_iter().fold(0.0, f64::max), 6.0);
}

#[test]
fn bundled_digits_and_cancer() {
    let paths = DataPaths::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples"), []);
    let groups = |a: &str, n| Some(vec![(a.to_owned(), n), ("label".to_owned(), 1)]);
    let digits = SourceSpec::Csv { file: "data/digits.csv.gz".into(), skip: 0, columns: groups("pixels", 64) };
    let digits = open(&digits, &paths).unwrap().decode().unwrap();
    assert_eq!(format!("{digits:?}"), "[pixels: i32[64] x 1797, label: i32[] x 1797]");
    assert!(digits[0].values().iter().all(|v| (0.0..=16.0).contains(v)));
    let cancer = SourceSpec::Csv { file: "data/breast_cancer.csv".into(), skip: 1, columns: groups("features", 30) };
    let cancer = open(&cancer, &paths).unwrap().decode().unwrap();
    assert_eq!(format!("{cancer:?}"), "[features: f32[30] x 569, label: i32[] x 569]");
    assert_eq!(cancer[1].values().iter().filter(|v| **v == 0.0).count(), 212);
}
