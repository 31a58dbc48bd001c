//! `nnc check`.

use super::args::FileArgs;
use super::ui::Ui;
use crate::driver::Failure;

/// Reads and checks a program.
pub fn check(args: &FileArgs, ui: &Ui) -> Result<(), Failure> {
    let project = super::open(&args.file, &args.common, ui)?;
    for u in &project.units {
        super::check_outputs(&project, u, ui)?;
    }
    for u in &project.units {
        let n: u64 = u.params.iter().map(|p| p.ty.numel()).sum();
        ui.say(&format!("{}: ok, {} parameters in {} tensors", u.name, super::ui::thousands(n), u.params.len()));
    }
    if project.units.is_empty() {
        ui.say("ok");
    }
    Ok(())
}
