//! The text of std, embedded.

/// Every file with the name that messages use.
pub const FILES: &[(&str, &str)] = &[
    ("std/nn.nn", include_str!("../../../stdlib/nn.nn")),
    ("std/loss.nn", include_str!("../../../stdlib/loss.nn")),
    ("std/metric.nn", include_str!("../../../stdlib/metric.nn")),
    ("std/optim.nn", include_str!("../../../stdlib/optim.nn")),
    ("std/schedule.nn", include_str!("../../../stdlib/schedule.nn")),
];
