//! The `nnc` command.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(nn_compiler::cli::main())
}
