//! Where a unit's files go, held against what is there before anything runs.
//!
//! In: a checked project. Out: targets below its output folder, and a finding, at the name in the program, for each that
//! would replace a file that is not ours or that the program reads.

use super::Project;
use crate::diag::{Diagnostic, Severity};
use crate::sema::units::TrainUnit;
use nn_runtime::claims::Claim;
use nn_runtime::data::SourceSpec;
use nn_runtime::targets::Targets;
use std::path::PathBuf;

/// The files that a unit writes, relative to the output folder; none if it saves nothing.
pub fn targets(unit: &TrainUnit) -> Option<Targets> {
    // Elaboration has held the name against the same rule.
    unit.save.as_ref().and_then(|s| Targets::named(s.file()).ok())
}

/// What stands in the way of a unit's files.
pub fn check_outputs(project: &Project, unit: &TrainUnit) -> Vec<Diagnostic> {
    let Some(targets) = targets(unit) else { return vec![] };
    match targets.check(&project.options.out, &files_read(project, unit)) {
        Ok(()) => vec![],
        Err(e) => {
            let mut d = Diagnostic::new(e.code, Severity::Error, unit.save_at, e.message);
            d.notes = e.notes;
            d.help = e.help.into_iter().map(Into::into).collect();
            vec![d.here("weights are saved here")]
        }
    }
}

/// The files that a run of any unit writes by the program's text.
pub fn files_written(project: &Project) -> Vec<Claim> {
    let below = project.units.iter().filter_map(targets).map(|to| to.below(&project.options.out));
    below
        .flat_map(|to| {
            [Claim { what: "the weights", path: to.weights }, Claim { what: "the checkpoints", path: to.checkpoint }]
        })
        .collect()
}

/// Every file that a run of the unit reads: the program's own, all data, weights that it loads.
pub fn files_read(project: &Project, unit: &TrainUnit) -> Vec<PathBuf> {
    let sources = project.sources().files().skip(project.program.std_files).map(|(_, f)| PathBuf::from(&*f.name));
    let data = project.units.iter().flat_map(|u| &u.data.sources).flat_map(SourceSpec::files);
    let named = data.chain(unit.load.iter().cloned()).filter_map(|f| project.paths.resolve(&f).ok());
    sources.chain(named).collect()
}
