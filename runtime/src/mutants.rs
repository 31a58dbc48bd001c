//! Planted bugs, for testing the tests.
//!
//! In: the name of a bug. Out: whether it is switched on. A place where a bug is planted asks `mutant!("class.name")` and
//! does the wrong thing if so. Without the feature `mutants` the answer is a constant, and neither code nor text of a bug
//! is in the binary; with it, the environment variable `NN_MUTANT` names the one bug of a run. What each bug breaks stands
//! in one table, `tests/mutants/table.rs`, next to the test that runs all others against each of them.

/// Is this planted bug switched on?
#[macro_export]
macro_rules! mutant {
    ($name:literal) => {
        $crate::mutants::PLANTED && $crate::mutants::chosen($name)
    };
}

/// Were bugs planted in this build?
pub const PLANTED: bool = cfg!(feature = "mutants");

/// Is this the bug that the environment names?
#[cfg(feature = "mutants")]
pub fn chosen(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("NN_MUTANT").ok()).as_deref() == Some(name)
}

/// No bug is.
#[cfg(not(feature = "mutants"))]
pub const fn chosen(_: &str) -> bool {
    false
}
