//! Codes of values, calls, training and selectors, and the warnings.

use super::{Code, row};

pub(super) const ROWS: &[Code] = &[
    row(
        "E0201",
        1,
        "a condition is not one bool",
        "`if` chooses between two programs, by one bool. Element by element, `where(c, a, b)` chooses.",
        r#"
fn leaky(x: [N]) -> [N] = if x > 0 { x } else { 0.1 * x }
const a: f32[3] = leaky(ones[3])
"#,
        r#"
fn leaky(x: [N]) -> [N] = where(x > 0, x, 0.1 * x)
const a: f32[3] = leaky(ones[3])
"#,
    ),
    row(
        "E0202",
        1,
        "types do not mix",
        "Integers do not become floats, nor floats integers, without being told: `as f32` says it. A literal takes the \
         type of the other side.",
        r#"
const n: i32[3] = [1, 2, 3]
const a: f32[3] = n * 0.5
"#,
        r#"
const n: i32[3] = [1, 2, 3]
const a: f32[3] = (n as f32) * 0.5
"#,
    ),
    row(
        "E0203",
        1,
        "a loss or metric is not one number",
        "`minimize` needs one number, and so does a metric: reduce with `mean` or `sum`, or use a loss of the library.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: f32    = y
}

model M = seq { Linear[2, 1] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = (m(x)[:, 0] - y)**2
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
        "E0204",
        1,
        "nothing can be learned",
        "The loss depends on no parameter through a derivative: `argmax`, comparisons, `stop` and integers have none.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = mean(argmax(m(x)) != y)
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
  metrics   = { error: mean(argmax(m(x)) != y) }
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0206",
        1,
        "state is written from outside",
        "A model's `state` is written by its own methods alone, so that who reads a model sees all that changes it.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model Count {
  state n: f32 = 0
  fn forward(x: [..S]) -> [..S] {
    n <- n + 1
    x
  }
}

model M {
  c  = Count
  fc = Linear[2, 2]
  fn forward(x: [B, 2]) -> [B, 2] {
    c.n <- 0
    fc(c(x))
  }
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

model Count {
  state n: f32 = 0
  fn forward(x: [..S]) -> [..S] {
    n <- n + 1
    x
  }
}

model M {
  c  = Count
  fc = Linear[2, 2]
  fn forward(x: [B, 2]) -> [B, 2] = fc(c(x))
}

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "E0207",
        1,
        "a value of another kind is needed",
        "A number, a string, a layer, a function, a list and a tensor are different kinds of values; an operator or a \
         place takes some of them.",
        r#"
const a: f32 = 1.0 + "2"
"#,
        r#"
const a: f32 = 1.0 + 2
"#,
    ),
    row(
        "E0208",
        1,
        "arguments do not fit",
        "An argument is missing, given twice, has a name that the function does not know, or stands where only a named \
         one may. `name: value` names it; dims stand in `[ ]`, values in `( )`.",
        r#"
fn scaled(x: [N], by = 2.0) -> [N] = by * x
const a: f32[3] = scaled(ones[3], factor: 3.0)
"#,
        r#"
fn scaled(x: [N], by = 2.0) -> [N] = by * x
const a: f32[3] = scaled(ones[3], by: 3.0)
"#,
    ),
    row(
        "E0209",
        1,
        "an argument has a value that is not allowed",
        "It must be known while compiling, or lie in a range: a width is not negative, a probability not above 1.",
        r#"
const a: f32[5] = pad(ones[3], (3, -1))
"#,
        r#"
const a: f32[6] = pad(ones[3], (3, 0))
"#,
    ),
    row(
        "E0210",
        1,
        "this cannot be assigned",
        "`let` binds a name for good; `var` may be assigned with `=` and state with `<-`.",
        r#"
fn powers(x: f32) -> f32 {
  let y = x
  for i in 0..3 { y = y * x }
  y
}
const a: f32 = powers(2.0)
"#,
        r#"
fn powers(x: f32) -> f32 {
  var y = x
  for i in 0..3 { y = y * x }
  y
}
const a: f32 = powers(2.0)
"#,
    ),
    row(
        "E0211",
        1,
        "`--set` does not fit",
        "What is set must be in the program: a `const`, a `dim`, a hyperparameter of the trained model or a setting of \
         `train`, with a value of its type.",
        r#"
const width: int = 3
"#,
        r#"
const width: int = 3
"#,
    )
    .args(&["check", "model.nn", "--set", "widht=4"], &["check", "model.nn", "--set", "width=4"]),
    row(
        "E0212",
        1,
        "a setting of `data` or `train` is wrong",
        "An unknown setting, one that is missing, or one that does not go with the others, such as a metric to watch \
         without a part of the data to evaluate it on.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2] }

train m: M on D {
  bach = 4;  epochs = 1
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
        "E0301",
        1,
        "two optimizers own a parameter",
        "Each parameter has one optimizer: the one whose selector names more of its path. Two that name as much of it tie.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { a: Linear[2, 4], relu, b: Linear[4, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss = cross_entropy(m(x), y)
  optimizer            = Adam(lr: 1e-3)
  optimizer m.a.*      = Sgd(lr: 0.1)
  optimizer m.*.weight = Sgd(lr: 0.2)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { a: Linear[2, 4], relu, b: Linear[4, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss = cross_entropy(m(x), y)
  optimizer            = Adam(lr: 1e-3)
  optimizer m.a.weight = Sgd(lr: 0.1)
  optimizer m.b.weight = Sgd(lr: 0.2)
}
"#,
    ),
    row(
        "E0302",
        1,
        "a selector matches nothing",
        "A selector is a path of names, with `*` for one level and `**` for any. It must match a parameter.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { a: Linear[2, 4], relu, b: Linear[4, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  freeze    = m.a.wieght
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { a: Linear[2, 4], relu, b: Linear[4, 2] }

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
  freeze    = m.a.weight
}
"#,
    ),
];

pub(super) const WARNINGS: &[Code] = &[
    row(
        "W0501",
        0,
        "softmax is applied twice",
        "`cross_entropy` applies `log_softmax` itself. After a second softmax the loss still falls, but slowly and not far.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M = seq { Linear[2, 2], softmax }

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
        "W0502",
        0,
        "the loss does not depend on a parameter",
        "It is trained by nobody and keeps its initial value. A layer that is declared but not called is the usual cause.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

model M {
  fc    = Linear[2, 2]
  extra = Linear[2, 2]
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
  fc    = Linear[2, 2]
  extra = Linear[2, 2]
  fn forward(x: [B, 2]) -> [B, 2] = extra(fc(x))
}

train m: M on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "W0503",
        0,
        "a constant takes the place of a schedule",
        "`--set` puts a number where the program has a schedule, so the rate no longer warms up or falls. To keep the \
         schedule, set its own argument.",
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
  optimizer = Adam(lr: cosine(1e-3))
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
  optimizer = Adam(lr: cosine(1e-3))
}
"#,
    )
    .args(
        &["check", "model.nn", "--set", "train.optimizer.lr=0.01"],
        &["check", "model.nn", "--set", "train.optimizer.lr.peak=0.01"],
    ),
    row(
        "W0504",
        0,
        "a report is an average over batches",
        "Reports are put together from batches: means, sums and scaled means exactly, and so their sqrt, exp or log. Another \
         function of all rows, such as their maximum, is averaged over the batches, which depends on their size. Write a mean \
         over rows, a `metric` item that keeps state, or `batch = full`.",
        r#"
data D {
  train = rows(1000, seed: 1)
  x: f32[2] ~ normal()
}

train m: Linear[2, 1] on D {
  batch = 100;  epochs = 1
  loss      = mean(m(x)**2)
  metrics   = { top: max(m(x)) }
  optimizer = Sgd(lr: 0.1)
}
"#,
        r#"
data D {
  train = rows(1000, seed: 1)
  x: f32[2] ~ normal()
}

train m: Linear[2, 1] on D {
  batch = 100;  epochs = 1
  loss      = mean(m(x)**2)
  metrics   = { top: mean(max(m(x), axis: -1)) }
  optimizer = Sgd(lr: 0.1)
}
"#,
    ),
    row(
        "W0505",
        0,
        "parameters in f32 beside f64",
        "Layers of the library keep their parameters in the program's float, which is f32 unless `precision = f64` is set in \
         `train`. Beside f64 data they are widened, so results are f64, but what is learned has the digits of f32. Parameters \
         of the program's own models are what they are declared as.",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f64[2] = x
  y: idx<2> = y
}

train m: Linear[2, 2] on D {
  batch = 4;  epochs = 1
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f64[2] = x
  y: idx<2> = y
}

train m: Linear[2, 2] on D {
  batch = 4;  epochs = 1
  precision = f64
  loss      = cross_entropy(m(x), y)
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "W0506",
        0,
        "class numbers take rows of a batch",
        "`p[y]` takes a row of `p` for each number in `y`. Where the rows of `p` are those of `y`, the class numbers would choose \
         among the examples; `pick(p, y)` takes from each row the element of its class. `p[:, y]` has all rows for each of the \
         numbers: [B, B].",
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

train m: Linear[2, 2] on D {
  batch = 4;  epochs = 1
  loss      = mean(-log_softmax(m(x))[y])
  optimizer = Adam(lr: 1e-3)
}
"#,
        r#"
data D {
  train = table(x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0])
  x: f32[2] = x
  y: idx<2> = y
}

train m: Linear[2, 2] on D {
  batch = 4;  epochs = 1
  loss      = mean(-pick(log_softmax(m(x)), y))
  optimizer = Adam(lr: 1e-3)
}
"#,
    ),
    row(
        "W0507",
        0,
        "a value is not used",
        "A line that is an expression and not the last of its block computes a value that nothing takes. Where the next line \
         begins with `-`, the two were meant as one: a line goes on after an operator at its end, not before one at the \
         start of the next. In a `test` the word `assert` may be missing.",
        r#"
fn excess(x: [B], limit: [B]) -> [B] {
  x * 2.0
  - limit
}
"#,
        r#"
fn excess(x: [B], limit: [B]) -> [B] {
  x * 2.0 - limit
}
"#,
    ),
];
