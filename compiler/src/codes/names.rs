//! Codes of names, dims and types.

use super::{Code, row};

pub(super) const ROWS: &[Code] = &[
    row(
        "E0100",
        1,
        "a name means nothing here",
        "No value, function, field or column of this name is in reach. Names of the standard library need no import; \
         names of another file need `use`. The message suggests what is spelled alike. Names of columns have `_` for what a \
         name here cannot hold: `sepal length (cm)` is `sepal_length__cm_`, `2kind` is `_2kind`.",
        r#"
fn f(x: [N]) -> [N] = reul(x)
"#,
        r#"
fn f(x: [N]) -> [N] = relu(x)
"#,
    ),
    row(
        "E0101",
        1,
        "layers do not fit",
        "A layer reads another number of features than flow into it. The message has both sizes and where they come from; \
         `_` in place of the first lets it follow from the layer before.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 16], relu, Linear[12, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 16], relu, Linear[_, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0102",
        1,
        "an ambiguous broadcast",
        "`[B, 1]` with `[B]` would become `[B, B]`, which is the usual cause of a loss that does not fall. Shapes of a \
         different number of axes must agree in their names from the right; what is meant is written out with an index.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 1] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = mean((m(x) - y)**2)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 1] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = mean((m(x)[:, 0] - y)**2)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0103",
        1,
        "axes do not match",
        "Two axes that meet have different sizes. Sizes that are equal by chance do not help: the names must agree, or one \
         of the two must be 1.",
        r#"
const a: f32[3] = ones[3] + ones[4]
"#,
        r#"
const a: f32[3] = ones[3] + ones[3]
"#,
    ),
    row(
        "E0104",
        1,
        "a division of sizes leaves a rest",
        "`/` of whole numbers must be exact; `//` rounds down. Heads of attention must divide the width.",
        r#"
const n: int = 8 / 3
"#,
        r#"
const n: int = 8 // 3
"#,
    ),
    row(
        "E0105",
        1,
        "a dim, model or data set means nothing here",
        "Names that begin with a capital letter are dims, models, data sets and types. None of this name is in reach.",
        r#"
model M = seq { Liner[2, 3] }
"#,
        r#"
model M = seq { Linear[2, 3] }
"#,
    ),
    row(
        "E0106",
        1,
        "a size cannot be inferred",
        "`_` follows from what flows into a layer. A layer that is never called has nothing to follow from.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M {
  fc    = Linear[2, 2]
  extra = Linear[_, 10]
  fn forward(x: [B, 2]) -> [B, 2] = fc(x)
}

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M {
  fc = Linear[2, 2]
  fn forward(x: [B, 2]) -> [B, 2] = fc(x)
}

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0107",
        1,
        "a window reaches out of its axis",
        "An index of a comprehension, with what is added to it, can leave the axis that it reads. Bound the index or pad \
         the operand.",
        r#"
fn steps(v: [6]) -> [6] {
  let d[i < 6] = v[i + 1] - v[i]
  d
}
const a: f32[6] = steps(ones[6])
"#,
        r#"
fn steps(v: [6]) -> [5] {
  let d[i < 5] = v[i + 1] - v[i]
  d
}
const a: f32[5] = steps(ones[6])
"#,
    ),
    row(
        "E0108",
        1,
        "parts do not fit together",
        "`cat` and `stack` join tensors that agree in the other axes; the sizes of `split` add up to the axis.",
        r#"
const a: f32[2, 7] = cat(ones[2, 3], ones[3, 4])
"#,
        r#"
const a: f32[2, 7] = cat(ones[2, 3], ones[2, 4])
"#,
    ),
    row(
        "E0109",
        1,
        "an axis is not there, or is not one",
        "A dim names an axis only if the tensor has it once. `-1` is the last axis, whatever its name.",
        r#"
const a: f32[3] = sum(ones[3, 4], 2)
"#,
        r#"
const a: f32[3] = sum(ones[3, 4], 1)
"#,
    ),
    row(
        "E0110",
        1,
        "a reshape changes the number of elements",
        "The sizes after a reshape multiply to the number of elements before it; `_` stands for the one that follows.",
        r#"
const a: f32[4] = reshape(ones[2, 3], [4])
"#,
        r#"
const a: f32[6] = reshape(ones[2, 3], [_])
"#,
    ),
    row(
        "E0111",
        1,
        "an index does not belong to its axis",
        "`idx<N>` holds 0 to N - 1 and reads axes of size N. Plain integers from data become indices with `as idx<N>`, \
         which is checked when they are loaded.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: i32    = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0112",
        1,
        "a carry of a loop changes its type",
        "A `scan` carries the `var`s that its body assigns from step to step, so each has one type: what a step leaves must \
         be what it found.",
        r#"
fn last(x: [T, 3]) -> [3] {
  var h = 0
  scan xt in x along T { h = 0.5 * xt }
  h
}
const a: f32[3] = last(ones[4, 3])
"#,
        r#"
fn last(x: [T, 3]) -> [3] {
  var h: [3] = 0
  scan xt in x along T { h = 0.5 * xt }
  h
}
const a: f32[3] = last(ones[4, 3])
"#,
    ),
    row(
        "E0113",
        1,
        "an index ranges over two sizes",
        "An index variable of a comprehension or reducer takes its range from the axes that it reads; they must agree.",
        r#"
fn product(a: [4, 5], b: [3, 6]) -> [4, 3] {
  let c[i, j] = sum[k](a[i, k] * b[j, k])
  c
}
const a: f32[4, 3] = product(ones[4, 5], ones[3, 6])
"#,
        r#"
fn product(a: [4, 5], b: [3, 5]) -> [4, 3] {
  let c[i, j] = sum[k](a[i, k] * b[j, k])
  c
}
const a: f32[4, 3] = product(ones[4, 5], ones[3, 5])
"#,
    ),
    row(
        "E0114",
        1,
        "shapes must be equal, not only fit",
        "Losses compare element by element and broadcast nothing: `[B, 1]` against `[B]` would compare every prediction \
         with every target.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 1] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = mse(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 1] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = mse(m(x)[:, 0], y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0115",
        1,
        "a condition does not hold",
        "A `where` condition of a function or model is false for the sizes or hyperparameters given.",
        r#"
fn halves(x: [N]) -> [2, N // 2] where N % 2 == 0 = reshape(x, [2, N // 2])
const a: f32[2, 2] = halves(ones[5])
"#,
        r#"
fn halves(x: [N]) -> [2, N // 2] where N % 2 == 0 = reshape(x, [2, N // 2])
const a: f32[2, 2] = halves(ones[4])
"#,
    ),
    row(
        "E0116",
        1,
        "an index is outside",
        "A static index or slice reads beyond the end of an axis, a list or a tuple.",
        r#"
const a: f32 = ones[4][4]
"#,
        r#"
const a: f32 = ones[4][3]
"#,
    ),
    row(
        "E0117",
        1,
        "a shape does not suit the operation",
        "The number of axes is wrong: more indices than axes, a matrix product of scalars, a whole tensor inside a \
         comprehension, where every access is one element.",
        r#"
const a: f32 = ones[4][0, 0]
"#,
        r#"
const a: f32 = ones[4, 4][0, 0]
"#,
    ),
    row(
        "E0119",
        1,
        "a pattern of `rearrange` is wrong",
        "Each axis of the left side stands on the right once, `(a b)` splits or joins, and the left side has as many axes \
         as the tensor.",
        r#"
const a: f32[2] = rearrange(ones[2, 6], b c -> b)
"#,
        r#"
const a: f32[6, 2] = rearrange(ones[2, 6], b c -> c b)
"#,
    ),
];
