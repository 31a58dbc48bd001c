//! `nnc completions`: what a shell needs to complete commands, options and their values.

use super::args::{Cli, CompletionArgs};
use super::ui::Ui;
use crate::driver::Failure;
use clap::CommandFactory;

/// Prints the script of a shell.
pub fn completions(args: &CompletionArgs, ui: &Ui) -> Result<(), Failure> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "nnc", &mut script);
    ui.text(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}
