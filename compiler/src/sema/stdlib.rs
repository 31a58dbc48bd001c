//! The text of std, embedded.

use nn_runtime::mutant;
use std::borrow::Cow;

/// Every file with the name that messages use.
pub const FILES: &[(&str, &str)] = &[
    ("std/nn.nn", include_str!("../../../stdlib/nn.nn")),
    ("std/conv.nn", include_str!("../../../stdlib/conv.nn")),
    ("std/rnn.nn", include_str!("../../../stdlib/rnn.nn")),
    ("std/loss.nn", include_str!("../../../stdlib/loss.nn")),
    ("std/metric.nn", include_str!("../../../stdlib/metric.nn")),
    ("std/optim.nn", include_str!("../../../stdlib/optim.nn")),
    ("std/schedule.nn", include_str!("../../../stdlib/schedule.nn")),
];

/// A file's text as it is read: as it stands, but for a planted bug.
pub fn read(text: &'static str) -> Cow<'static, str> {
    let change = |from: &str, to: &str| Cow::Owned(text.replace(from, to));
    if mutant!("std.dropout") {
        return change("x * (1 / (1 - p))", "x * (1 - p)");
    }
    if mutant!("std.adam_start") {
        return change("let c1 = -expm1(t * log(b1))", "let c1 = 1.0");
    }
    if mutant!("std.weighted_mean") {
        return change("mean(nll, weight: weight[y] * mask)", "mean(nll * weight[y] * mask)");
    }
    if mutant!("std.conv_turned") {
        return change("K - 1 - u, KW - 1 - v", "u, v");
    }
    if mutant!("std.pool_border") {
        return change(", value: -inf", "");
    }
    if mutant!("std.running_momentum") {
        return change("(1 - momentum) * running_var + momentum * v", "momentum * running_var + (1 - momentum) * v");
    }
    Cow::Borrowed(text)
}

/// The text with blank lines in place of its `test` items and of its comments, so that every other line keeps its number.
/// The formatter, which std follows, puts an item's head and its last brace at the margin.
pub fn without_tests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        inside |= line.starts_with("test ");
        out.push_str(if inside || line.starts_with('#') { "\n" } else { line });
        inside &= !line.starts_with('}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sema::units::Program;
    use crate::syntax::ast::ItemKind;

    #[test]
    fn only_tests_are_left_out() {
        let nothing: &dyn Fn(&str, &str) -> Result<(String, String), String> = &|path, _| Err(path.to_owned());
        let (whole, lean) = (Program::load("t.nn", "", nothing).0, Program::load_untested("t.nn", "", nothing).0);
        for ((name, text), (w, l)) in FILES.iter().zip(whole.ast.files.iter().zip(&lean.ast.files)) {
            let kept = w.items.iter().filter(|i| !matches!(i.kind, ItemKind::Test(_))).count();
            assert!(kept < w.items.len(), "{name} tests nothing");
            assert_eq!(l.items.len(), kept, "{name}");
            assert_eq!(without_tests(text).lines().count(), text.lines().count(), "{name}");
        }
    }
}
