//! What a file holds beside what is read, on the real binary: columns of words, arrays of anything, lines before the rows
//! are in nobody's way; what is read is held to the last digit.

mod common;

use common::{folder, nnc, npy, npz};
use std::fs;
use std::path::Path;

const TRAIN: &str = "
model M {
  param w: [1] = 0.5
  fn forward(x: [B]) -> [B] = w[0] * x
}
train m: M on D {
  batch = 2;  epochs = 1
  loss = mse(m(x), y)
  optimizer = Sgd(lr: 0.001)
  save = last(\"w.safetensors\")
}
";

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) {
    fs::write(dir.join(name), text).expect("written");
}

/// Both `check` and `train` end so and say these words.
fn ends(dir: &Path, program: &str, code: i32, words: &[&str]) {
    write(dir, "p.nn", format!("{program}{TRAIN}"));
    for command in ["check", "train"] {
        let ran = nnc(dir, &[command, "p.nn"]);
        assert_eq!(ran.code, code, "{command} {program}\n{}", ran.err);
        for word in words {
            assert!(ran.err.contains(word), "{command} {program}\n`{word}` in:\n{}", ran.err);
        }
    }
}

#[test]
fn a_column_of_words_is_in_nobodys_way_who_does_not_read_it() {
    let dir = folder();
    write(dir.path(), "d.csv", "name,a,date,b,label\nann,1,2020-01-01,2,0\n\"b, c\",2,2020-01-02,x,1\n,3,,4,0\n");
    let fields =
        |more: &str| format!("data D {{\n  source = csv(\"d.csv\")\n  x: f32 = a\n  y: f32 = label\n{more}}}\n");
    ends(dir.path(), &fields(""), 0, &[]);
    ends(
        dir.path(),
        &fields("  n: f32 = name\n"),
        3,
        &["E0412", "p.nn:5:12", "line 2, cell 1 (column `name`)", "`ann`"],
    );
    ends(
        dir.path(),
        &fields("  n: f32 = a + 2 * b\n"),
        3,
        &["E0412", "line 3, cell 4 (column `b`) is not a number: `x`"],
    );
    // Two fields with one thing wrong are told once.
    let twice = fields("  n: f32 = b\n  o: f32 = b * 2\n");
    ends(dir.path(), &twice, 3, &["p.nn:5:12"]);
    assert_eq!(nnc(dir.path(), &["check", "p.nn"]).err.matches("E0412]").count(), 1);
    // A field of the name of such a column is a field.
    ends(dir.path(), &fields("  name: f32 = a\n  o: f32 = name\n"), 0, &[]);
    // Groups of columns by place; new rows of both widths, with the words beside them.
    write(dir.path(), "d.csv", "ann,1,0,7\nbob,2,1,8\ncyd,3,0,9\n");
    let groups = "data D {\n  source = csv(\"d.csv\", columns: { name: 1, x: 1, label: 1, more: 1 })\n  f: f32 = x\n  y: f32 = label\n}\n";
    ends(dir.path(), &groups.replace("f: f32", "g: f32").replace("y:", "x: f32 = g\n  y:"), 0, &[]);
    for (text, rows) in [("ann,5,0,1\nbob,6,0,1\n", 2), ("5\n6\n7\n", 3)] {
        write(dir.path(), "new.csv", text);
        let ran = nnc(dir.path(), &["predict", "p.nn", "--json", "--input", "new.csv"]).ok();
        assert_eq!(ran.all("predict").len(), rows, "{text}");
    }
    // Parts of one data set: what one of them has no numbers in is read in none.
    write(dir.path(), "e.csv", "a,b,label\n1,2,0\n2,3,1\n");
    write(dir.path(), "t.csv", "a,b,label\n1,low,0\n2,3,1\n");
    let parts = "data D {\n  train = csv(\"e.csv\")\n  test = csv(\"t.csv\")\n  x: f32 = a\n  y: f32 = label\n";
    ends(dir.path(), &format!("{parts}}}\n"), 0, &[]);
    ends(dir.path(), &format!("{parts}  n: f32 = b\n}}\n"), 3, &["t.csv: line 2, cell 2 (column `b`)", "`low`"]);
    // Classes to split by are read.
    write(dir.path(), "d.csv", "a,kind,label\n1,u,0\n2,v,1\n3,u,0\n4,v,1\n");
    let by = "data D {\n  source = csv(\"d.csv\")\n  test = split(source, 0.5, stratify: kind)\n  x: f32 = a\n  y: f32 = label\n}\n";
    write(dir.path(), "p.nn", format!("{by}{TRAIN}"));
    let ran = nnc(dir.path(), &["train", "p.nn"]);
    assert!(ran.code == 3 && ran.err.contains("line 2, cell 2 (column `kind`)"), "{}", ran.err);
    // A file of words alone is no table.
    write(dir.path(), "d.csv", "a,label\nu,v\nw,x\n");
    ends(dir.path(), &fields(""), 3, &["E0412", "line 2, cell 1"]);
}

#[test]
fn an_array_of_anything_is_in_nobodys_way_who_does_not_read_it() {
    let dir = folder();
    let floats = |n: usize| {
        npy("<f4", n, &[1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()[..4 * n])
    };
    let program = |more: &str| format!("data D {{\n  source = npz(\"d.npz\")\n  x: f32 = a\n  y: f32 = b\n{more}}}\n");
    let record = |descr: &str| {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (4,), }}");
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        let padded = format!("{header:<117}\n");
        out.extend((padded.len() as u16).to_le_bytes());
        out.extend(padded.as_bytes());
        out.extend([0; 32]);
        out
    };
    for (odd, says) in [
        (npy("<U3", 4, &[0; 48]), "'<U3' are not read"),
        (npy("|S2", 4, &[0; 8]), "'|S2' are not read"),
        (npy("<c16", 4, &[0; 64]), "'<c16' are not read"),
        (npy("<u8", 4, &[0; 32]), "'<u8' are not read"),
        (npy("<M8[ns]", 4, &[0; 32]), "'<M8[ns]' are not read"),
        (npy("|O", 4, b"pickle"), "Python objects"),
        (npy("<f4", 0, &[]), "holds no values"),
        (npy("<U3", 2, &[0; 24]), "'<U3' are not read"),
        (record("[('u', '<f4'), ('v', '<i4')]"), "records are not read"),
    ] {
        for first in [true, false] {
            let mut all = vec![("a", floats(4)), ("b", floats(4))];
            all.insert(if first { 0 } else { 2 }, ("odd", odd.clone()));
            write(dir.path(), "d.npz", npz(&all));
            ends(dir.path(), &program(""), 0, &[]);
            let ran = nnc(dir.path(), &["predict", "p.nn", "--json", "--input", "d.npz"]).ok();
            assert_eq!(ran.all("predict").len(), 4);
            ends(dir.path(), &program("  o: f32 = odd as f32\n"), 3, &["d.npz: array `odd`", says, "p.nn:5:12"]);
        }
    }
    // A member that is packed in a way that nobody here unpacks: the method stands behind the flags, in both headers.
    let mut packed = npz(&[("a", floats(4)), ("b", floats(4)), ("odd", floats(4))]);
    for (mark, method) in [(&b"PK\x03\x04"[..], 8), (b"PK\x01\x02", 10)] {
        let at = packed.windows(4).enumerate().filter(|(_, w)| *w == mark).map(|(i, _)| i).nth(2).expect("a member");
        packed[at + method] = 12;
    }
    write(dir.path(), "d.npz", packed);
    ends(dir.path(), &program(""), 0, &[]);
    ends(dir.path(), &program("  o: f32 = odd\n"), 3, &["`odd.npy` is compressed by zip method 12", "p.nn:5:12"]);
    write(dir.path(), "d.npz", npz(&[("odd", npy("<U3", 4, &[0; 48]))]));
    ends(dir.path(), &program(""), 3, &["array `odd`", "'<U3' are not read"]);
}

#[test]
fn class_numbers_in_weights_are_held_against_their_number() {
    let dir = folder();
    let program = "
data D {
  source = csv(\"d.csv\")
  x: f32 = a
}
model M {
  param w: [1] = 0.5
  param order: idx<3>[2] = [2, 0]
  state seen: idx<5>[2] = [0, 4]
  fn forward(x: [B]) -> [B] = w[0] * x * ones[5][seen[0]] * ones[3][order[1]]
}
train m: M on D {
  batch = 2;  epochs = 2
  freeze = [m.order]
  loss = mse(m(x), x)
  optimizer = Sgd(lr: 0.001)
  save = last(\"w.safetensors\")
}
";
    write(dir.path(), "d.csv", "a\n1\n2\n3\n4\n");
    write(dir.path(), "p.nn", program);
    nnc(dir.path(), &["train", "p.nn", "-q"]).ok();
    write(dir.path(), "q.nn", program.replace("batch = 2", "load m = \"bad.safetensors\";  batch = 2"));
    let good = fs::read(dir.path().join("w.safetensors")).expect("weights");
    let header = String::from_utf8_lossy(&good[8..]).into_owned();
    let start = 8 + u64::from_le_bytes(good[..8].try_into().expect("8 bytes")) as usize;
    for (name, size, value) in [("seen", 5, 5), ("seen", 5, -1), ("seen", 5, i32::MAX), ("order", 3, 3)] {
        let of = header.split(&format!("\"{name}\":")).nth(1).and_then(|h| h.split("offsets\":[").nth(1));
        let of: usize = of.and_then(|h| h.split(',').next()).and_then(|n| n.parse().ok()).expect("an offset");
        let mut bad = good.clone();
        bad[start + of + 4..start + of + 8].copy_from_slice(&i32::to_le_bytes(value));
        write(dir.path(), "bad.safetensors", bad);
        for args in [
            &["eval", "p.nn", "--weights", "bad.safetensors"][..],
            &["predict", "p.nn", "--weights", "bad.safetensors"],
            &["train", "q.nn", "--out", "q"],
        ] {
            let ran = nnc(dir.path(), args);
            let says = format!("bad.safetensors: `{name}` in row 2 has value {value}, outside idx<{size}>");
            assert!(
                ran.code == 3 && ran.err.contains("error[E0402]") && ran.err.contains(&says),
                "{args:?}: {}",
                ran.err
            );
        }
    }
    write(dir.path(), "bad.safetensors", &good);
    nnc(dir.path(), &["eval", "p.nn", "--weights", "bad.safetensors"]).ok();
    nnc(dir.path(), &["train", "q.nn", "-q", "--out", "q"]).ok();
    // A checkpoint is whole by its checksum; one that is made so is held against the program all the same.
    let path = dir.path().join("w.ckpt");
    let mut bytes = fs::read(&path).expect("a checkpoint");
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    let of = text.split("\"seen\":").nth(1).and_then(|h| h.split("offsets\":[").nth(1));
    let of: usize = of.and_then(|h| h.split(',').next()).and_then(|n| n.parse().ok()).expect("an offset");
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    bytes[start + of..start + of + 4].copy_from_slice(&7i32.to_le_bytes());
    let at = bytes.windows(12).position(|w| w == b"nnc.checksum").expect("a checksum") + 15;
    bytes[at..at + 8].fill(b'0');
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    let sum = format!("{:08x}", crc.sum());
    bytes[at..at + 8].copy_from_slice(sum.as_bytes());
    fs::write(&path, bytes).expect("written");
    let ran = nnc(dir.path(), &["train", "p.nn", "--resume", "--set", "train.epochs=4"]);
    assert!(ran.code == 3 && ran.err.contains("`seen` in row 1 has value 7, outside idx<5>"), "{}", ran.err);
}

#[test]
fn lines_before_the_rows_are_passed_over_in_new_rows_too() {
    let dir = folder();
    let groups = "data D {\n  source = csv(\"d.csv\", skip: 2, columns: { a: 1, label: 1 })\n  x: f32 = a\n  y: f32 = label\n}\n";
    write(dir.path(), "d.csv", "# made by hand, on a Monday\nsize;kind\n1,2\n2,3\n3,4\n");
    ends(dir.path(), groups, 0, &[]);
    let count = |text: &str| {
        write(dir.path(), "new.csv", text);
        nnc(dir.path(), &["predict", "p.nn", "--json", "--input", "new.csv"]).ok().all("predict").len()
    };
    assert_eq!(count("# made by hand, on a Monday\nsize;kind\n1,2\n2,3\n"), 2);
    assert_eq!(count("size;kind\n1,2\n2,3\n"), 2, "fewer such lines");
    assert_eq!(count("1,2\n2,3\n"), 2, "no row is taken for such a line");
    assert_eq!(count("# one\n# two\n5\n6\n7\n"), 3, "without labels");
    write(dir.path(), "new.csv", "# one\n# two\n# three\n1,2\n");
    let ran = nnc(dir.path(), &["predict", "p.nn", "--input", "new.csv"]);
    assert_eq!(ran.code, 3, "one line too many: {}", ran.err);
    let named = groups.replace(", columns: { a: 1, label: 1 }", "");
    write(dir.path(), "d.csv", "made by hand\non a Monday\na,label\n1,2\n2,3\n3,4\n");
    ends(dir.path(), &named, 0, &[]);
    assert_eq!(count("made by hand\non a Monday\na,label\n1,2\n2,3\n"), 2);
    assert_eq!(count("a\n1\n2\n"), 2);
}

#[test]
fn integers_are_exact_or_refused() {
    let dir = folder();
    let max = 9_007_199_254_740_992i64;
    let f64s = |n: &str| {
        write(dir.path(), "d.csv", format!("a,b\n0.5,1\n{n},1\n"));
        "data D {\n  source = csv(\"d.csv\")\n  z: f64 = a\n  x: f32 = b\n  y: f32 = b\n}\n"
    };
    for n in [max.to_string(), (max + 2).to_string(), format!("-{max}"), "0.1".into(), "9007199254740993.0".into()] {
        ends(dir.path(), f64s(&n), 0, &[]);
    }
    for n in [(max + 1).to_string(), format!("-{}", max + 1), "9223372036854775807".into()] {
        let says = format!("line 3, cell 1 (column `a`) is an integer that no f64 holds exactly: `{n}`");
        ends(dir.path(), f64s(&n), 3, &["E0412", &says]);
        let table = format!("data D {{\n  train = table(a: [0, {n}], b: [1, 2])\n  x: f32 = b\n  y: f32 = b\n}}\n");
        ends(dir.path(), &table, 1, &["E0111", &format!("{n} is an integer that no number")]);
    }
    // What fields compute is told as it comes out, not as the nearest i32.
    write(dir.path(), "d.csv", "a,b\n1,1\n2,100000\n");
    let ids = "data D {\n  source = csv(\"d.csv\")\n  x: f32 = a\n  y: f32 = a\n  k: idx<3> = ((b as f32) * 1000000.0) as idx<3>\n}\n";
    write(dir.path(), "p.nn", format!("{ids}{TRAIN}"));
    let ran = nnc(dir.path(), &["train", "p.nn"]);
    assert!(ran.code == 3 && !ran.err.contains("2147483647"), "{}", ran.err);
    assert!(ran.err.contains("has value 1000000") && ran.err.contains("run from 1000000 to about 1e11"), "{}", ran.err);
}
