//! The text of std, embedded.

use nn_runtime::mutant;
use std::borrow::Cow;

/// Every file with the name that messages use.
pub const FILES: &[(&str, &str)] = &[
    ("std/nn.nn", include_str!("../../../stdlib/nn.nn")),
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
    Cow::Borrowed(text)
}
