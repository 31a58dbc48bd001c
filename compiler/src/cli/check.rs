//! `nnc check`: names, types, dims and data headers of a program and its tests, and what its files would replace.

use super::args::CheckArgs;
use super::ui::{Ui, counted};
use crate::driver::{Failure, Project};
use crate::sema::units::TrainUnit;
use serde_json::json;
use std::path::PathBuf;

/// Reads and checks a program; with `--watch` whenever it changes.
pub fn check(args: &CheckArgs, ui: &Ui) -> Result<(), Failure> {
    if args.watch { super::watch::watch(args, ui, &super::stop_on_interrupt()) } else { once(args, ui).1 }
}

/// Checks a program; also says which files it is made of.
pub fn once(args: &CheckArgs, ui: &Ui) -> (Vec<PathBuf>, Result<(), Failure>) {
    let project = match crate::driver::open(&args.file, super::options(&args.common)) {
        Ok(mut project) => {
            project.check_tests();
            project
        }
        Err(e) => return (vec![args.file.clone()], Err(e.into())),
    };
    let program = &project.program;
    let own = program.ast.files.iter().skip(program.std_files).map(|f| &*program.sources.file(f.id).name);
    let files = own.map(PathBuf::from).collect();
    (files, report(project, ui))
}

fn report(project: Project, ui: &Ui) -> Result<(), Failure> {
    let project = super::checked(project, ui)?;
    for u in &project.units {
        super::check_outputs(&project, u, ui)?;
    }
    let counts = |u: &TrainUnit| (u.params.iter().map(|p| p.ty.numel()).sum::<u64>(), u.params.len() as u64);
    let units: Vec<_> = project.units.iter().map(|u| (&u.name, counts(u))).collect();
    let units = units.into_iter().map(|(name, (n, tensors))| json!({ "name": name, "params": n, "tensors": tensors }));
    ui.event(&json!({ "event": "check", "ok": true, "units": units.collect::<Vec<_>>() }));
    for u in &project.units {
        let (n, tensors) = counts(u);
        let tensors = counted(tensors, "tensor");
        ui.say(&format!("{}: ok, {} in {tensors}", u.name, counted(n, "parameter")));
    }
    if project.units.is_empty() {
        ui.say("ok, but nothing was put together: there is no `train` item");
    }
    Ok(())
}
