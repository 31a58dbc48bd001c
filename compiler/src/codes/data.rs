//! Codes of files and data, of numbers that are none, and of limits.

use super::{Code, row};

pub(super) const ROWS: &[Code] = &[
    row(
        "E0401",
        3,
        "weights do not fit the model",
        "A weight file has other tensors or other shapes than the model. The notes list what is missing, left over or of another shape; names and layouts are those of a PyTorch `state_dict`.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},\"0.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]}}    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")])
    .args(&["train", "model.nn"], &["train", "model.nn"]),
    row(
        "E0402",
        3,
        "a value is out of its range",
        "Data hold a value that the type of a field cannot: a class that is no index, or a number that fits no f32. The message names the row.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<3> = y
}

model M = seq { Linear[2, 3] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,2\n1,1,0\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,2\n1,1,0\n")])
    .args(&["train", "model.nn"], &["train", "model.nn"]),
    row(
        "E0403",
        3,
        "there is no such file",
        "Files are looked for beside the program, then in the folders of `--data` and `NN_DATA`. The notes list where.",
        r#"
data D {
  train = csv("data.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")]),
    row(
        "E0404",
        3,
        "a path leads out of the program's folders",
        "A program reads files below its own folder and the folders given with `--data`, never from `../` or `/`, so that a program from elsewhere can be run without reading it first.",
        r#"
data D {
  train = csv("../d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")]),
    row(
        "E0405",
        3,
        "the system refuses a file",
        "Reading or writing failed: permissions, a folder in the place of a file, a disk that is full. The message has the system's reason.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("models/d.csv", b"0,0,0\n"), ("d.csv", b"0,0,0\n0,1,1\n")], &[("d.csv", b"0,0,0\n0,1,1\n")])
    .args(&["check", "models"], &["check", "model.nn"]),
    row(
        "E0406",
        3,
        "a file is not of its format",
        "The first bytes are not those of the format that the source reads.",
        r#"
data D {
  train = npz("d.npz")
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.npz", b"0,0,0\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")]),
    row(
        "E0407",
        3,
        "a file is shorter or longer than its header says",
        "It was cut off while it was fetched or written.",
        r#"
data D {
  train = idx("x.idx", "y.idx")
  x: f32[2] = image as f32
  y: idx<2> = label
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = idx("x.idx", "y.idx")
  x: f32[2] = image as f32
  y: idx<2> = label
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("x.idx", b"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x02\x01\x02\x03"), ("y.idx", b"\x00\x00\x08\x01\x00\x00\x00\x02\0\x01")], &[("x.idx", b"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x02\x01\x02\x03\x04"), ("y.idx", b"\x00\x00\x08\x01\x00\x00\x00\x02\0\x01")]),
    row(
        "E0408",
        3,
        "compressed data are damaged",
        "A `.gz` file or a member of an archive does not unpack to what it says. It has to be fetched again.",
        r#"
data D {
  train = csv("d.csv.gz", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x07damaged here and for a while to come")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")]),
    row(
        "E0409",
        3,
        "a file claims more than any data",
        "The sizes in its header multiply to more than a file can hold: it is damaged, or not what it seems.",
        r#"
data D {
  train = idx("x.idx", "y.idx")
  x: f32[2] = image as f32
  y: idx<2> = label
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = idx("x.idx", "y.idx")
  x: f32[2] = image as f32
  y: idx<2> = label
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("x.idx", b"\x00\x00\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), ("y.idx", b"\x00\x00\x08\x01\x00\x00\x00\x02\0\x01")], &[("x.idx", b"\x00\x00\x08\x02\x00\x00\x00\x02\x00\x00\x00\x02\x01\x02\x03\x04"), ("y.idx", b"\x00\x00\x08\x01\x00\x00\x00\x02\0\x01")]),
    row(
        "E0410",
        3,
        "an element type or layout that is not read",
        "Weights are floats. Of data, complex numbers, strings, objects and encrypted archives are not read: save integers or floats.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"0.bias\":{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[16,24]}}    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")])
    .args(&["train", "model.nn"], &["train", "model.nn"]),
    row(
        "E0411",
        3,
        "a row has too few or too many cells",
        "Every row of a CSV file has as many cells as the first, or as `columns` says.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1\n1,0,1\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")]),
    row(
        "E0412",
        3,
        "a cell is no number",
        "Cells of columns that are read are numbers; other columns may hold anything. A header line is passed over with `skip: 1`; missing values have to be filled in beforehand.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", skip: 1, columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"a,b,c\n0,0,0\n0,1,1\n")], &[("d.csv", b"a,b,c\n0,0,0\n0,1,1\n")]),
    row(
        "E0413",
        3,
        "there are no data",
        "A file has no rows, or sizes that hold no values.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")]),
    row(
        "E0414",
        3,
        "numbers of rows differ",
        "The columns of one source have one row for each example.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0]], y: [0, 1])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0]], y: [0, 1, 1])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0415",
        3,
        "columns are not what the file has",
        "`columns` names the columns of a CSV file with their widths; they add up to the cells of a row. Without it the first line names them, with `_` for what a name here cannot hold: `sepal length (cm)` is `sepal_length__cm_`, `2kind` is `_2kind`. `stratify` needs a column of integers.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  test = split(train, 0.5, stratify: z)
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  test = split(train, 0.5, stratify: y)
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")])
    .args(&["train", "model.nn"], &["train", "model.nn"]),
    row(
        "E0416",
        3,
        "a weight file is damaged",
        "It is not a whole safetensors file: cut off, or of another format.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"PK\x03\x04")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")])
    .args(&["train", "model.nn"], &["train", "model.nn"]),
    row(
        "E0417",
        3,
        "a file cannot be saved",
        "Weights and checkpoints go to the output folder (`--out`), which must be a folder that can be written; logs and predictions go where the command line says. What the program reads is never replaced, nor is a file that nnc did not write; predictions replace a file only with `--force`. What stood there before is kept.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  save      = last("m.safetensors")
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  save      = last("m.safetensors")
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("runs", b"a file\n")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")])
    .args(&["train", "model.nn", "--out", "runs"], &["train", "model.nn", "--out", "runs"]),
    row(
        "E0418",
        3,
        "a checkpoint cannot be resumed",
        "It belongs to another program, other data or another seed, or is damaged; or the file of the best weights so far is not the one that was saved with it. Without `--resume` training starts anew.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  save      = last("m.safetensors")
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  save      = last("m.safetensors")
}
"#,
    )
    .files(&[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("m.ckpt", b"\x28\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{\"nnc.version\":\"0\"}}    ")], &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n")])
    .args(&["train", "model.nn", "--resume"], &["train", "model.nn"]),
    row(
        "E0419",
        5,
        "weights, or what comes of them, are not finite",
        "A weight file holds NaN or an infinity: it was saved by a run that diverged. Train again, with a smaller learning \
         rate or with `clip`. Or the weights are finite and what they give is not: the loss of an evaluation, what is \
         predicted for some rows, or the metric by which the best epoch was to be found.",
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
        r#"
data D {
  train = csv("d.csv", columns: { x: 2, y: 1 })
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 2;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  load m    = "w.safetensors"
}
"#,
    )
    .files(
        &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}    \0\0\xc0\x7f\0\0\xc0\x7f\0\0\xc0\x7f\0\0\xc0\x7f\0\0\xc0\x7f\0\0\xc0\x7f")],
        &[("d.csv", b"0,0,0\n0,1,1\n1,0,1\n1,1,0\n"), ("w.safetensors", b"\x80\x00\x00\x00\x00\x00\x00\x00{\"0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"0.bias\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")],
    )
    .args(&["train", "model.nn"], &["train", "model.nn"]),
    row(
        "E0501",
        5,
        "training diverged",
        "The loss became NaN or infinite. A learning rate that is too large is the usual cause: lower it, or bound the \
         gradients with `clip = 1.0`. `nnc train --check-finite` finds the op that made the first value of the kind.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 8], relu, Linear[8, 1] }

train m: M on D {
  batch = 4;  epochs = 20
  loss      = mse(m(x)[:, 0], y)
  optimizer = Sgd(lr: 1e20)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 8], relu, Linear[8, 1] }

train m: M on D {
  batch = 4;  epochs = 20
  loss      = mse(m(x)[:, 0], y)
  optimizer = Sgd(lr: 0.1)
}
"#,
    )
    .args(&["train", "model.nn"], &["train", "model.nn"]),
];

pub(super) const LIMITS: &[Code] = &[
    row(
        "E0901",
        4,
        "not supported yet",
        "The language has it, this version does not. The message names the gap and, where there is one, a way around it.",
        r#"
model M = seq { MoE[16, 4] }
"#,
        r#"
model M = seq { Linear[784, 128], relu, Linear[128, 10] }
"#,
    ),
    row(
        "E0902",
        4,
        "a limit is passed",
        "Sizes, counts and depths have limits: a tensor of 2^30 elements, models inside models without end, a recursion of functions.",
        r#"
const big: f32[100000, 100000] = ones[100000, 100000]
"#,
        r#"
const big: f32[1000, 1000] = ones[1000, 1000]
"#,
    ),
];
