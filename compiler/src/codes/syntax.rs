//! Codes of the text itself.

use super::{Code, row};

pub(super) const ROWS: &[Code] = &[
    row(
        "E0001",
        1,
        "the text does not follow the grammar",
        "Something else is expected at this place. One mistake is reported for each item. What is written in the habit of \
         another language (`&&`, `def`, `'text'`, `//` comments, `lr=1e-3` in a call, a missing comma, a typographic quote) \
         has a message of its own with the edit that mends it; for the rest the message says what can stand there.",
        r#"
fn f(x: [N], y: [N]) -> [N] = max(x y)
"#,
        r#"
fn f(x: [N], y: [N]) -> [N] = maximum(x, y)
"#,
    ),
    row(
        "E0002",
        4,
        "the text goes beyond a limit",
        "Files, names, brackets and expressions have limits of size and depth, so that no text can exhaust memory or the \
         stack. Programs written by hand stay far below them; `let` and `fn` divide what generated text nests.",
        r#"
const x: int = (((((((((((((((((((((((((((((((((((((((((1)))))))))))))))))))))))))))))))))))))))))
"#,
        r#"
const x: int = 1
"#,
    ),
    row(
        "E0003",
        1,
        "the file is not UTF-8",
        "Programs are UTF-8 text. Editors call the encoding `UTF-8`; Latin-1 or UTF-16 files have to be saved again.",
        r#"
const x = 1
"#,
        r#"
const x = 1
"#,
    )
    .files(&[("model.nn", b"# \xe9t\xe9\nconst x = 1\n")], &[("model.nn", b"# \xc3\xa9t\xc3\xa9\nconst x = 1\n")]),
    row(
        "E0004",
        1,
        "a string does not end",
        "A string ends on its line, with `\"`. A quote inside is written `\\\"`, a line break `\\n`.",
        r#"
test "one {
  assert 1 > 0
}
"#,
        r#"
test "one" {
  assert 1 > 0
}
"#,
    ),
    row(
        "E0005",
        1,
        "a bracket does not match",
        "A bracket is never closed, closes nothing, or closes one of another kind. The message shows where the other one \
         stands. A statement cannot begin inside `( )` or `[ ]`, so `let` on the next line shows where a bracket is missing.",
        r#"
fn f(x: [N]) -> [N] {
  let y = exp(x
  y + 1
}
"#,
        r#"
fn f(x: [N]) -> [N] {
  let y = exp(x)
  y + 1
}
"#,
    ),
    row(
        "E0006",
        1,
        "a literal has no value",
        "A whole number is larger than 9223372036854775807, a float larger than any, or an escape in a string means nothing.",
        r#"
const n = 99999999999999999999
"#,
        r#"
const n = 1e20
"#,
    ),
    row(
        "E0007",
        1,
        "operators do not chain",
        "`a < b < c` would compare a bool with `c`, and a range has two ends; neither is taken for what it looks like.",
        r#"
fn inside(x: [N]) -> bool[N] = 0 < x < 1
"#,
        r#"
fn inside(x: [N]) -> bool[N] = 0 < x and x < 1
"#,
    ),
];
