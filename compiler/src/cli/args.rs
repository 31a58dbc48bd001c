//! The command line: commands and options as clap structs, nothing done yet.

use super::new::Template;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

/// Compile, train and ship neural networks written as .nn files.
#[derive(Debug, Parser)]
#[command(name = "nnc", version, about, after_help = "Example:\n  nnc train examples/digits.nn")]
#[command(propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Begin a project: a folder with a program that trains at once.
    #[command(after_help = "Example:\n  nnc new wine --template tabular")]
    New(NewArgs),
    /// Check a program and its tests: names, types, dims, data headers.
    #[command(after_help = "Example:\n  nnc check examples/mnist_mlp.nn --data ~/data")]
    Check(CheckArgs),
    /// Train the model of a program and save its weights.
    #[command(after_help = "Example:\n  nnc train examples/digits.nn --set train.epochs=10 --out runs/a")]
    Train(TrainArgs),
    /// Evaluate saved weights on the test (or validation) split.
    #[command(after_help = "Example:\n  nnc eval examples/digits.nn --weights digits.safetensors")]
    Eval(WeightArgs),
    /// Say what saved weights make of rows: of a split, or of new ones.
    #[command(
        after_help = "New rows are a CSV file, an .npz archive with arrays by name, or one .npy array. They need the columns \
            that the program's\ndata computes its inputs from, not the labels. Where the loss is one of classes, the class and \
            its probability are shown. Lines before the rows, which the program's source skips, are skipped.\nRows count from 1, as in \
            messages; JSON lines have `index`, from 0, as well.\n\nExample:\n  nnc predict examples/digits.nn --input new.csv --output classes.csv"
    )]
    Predict(PredictArgs),
    /// Show the program at a stage of compilation.
    #[command(
        after_help = "With --json, each text is one line: {\"event\": \"ir\", \"stage\": .., \"entry\": .., \"text\": ..}; \
        --print-after adds `\"after\": PASS`,\n--time-passes a line {\"event\": \"passes\", \"rows\": ..}. \
        The stage `ast` needs the file alone, no data.\n\nExample:\n  nnc ir examples/digits.nn --stage kernel --entry train"
    )]
    Ir(IrArgs),
    /// Time one step of a program.
    #[command(after_help = "Example:\n  nnc bench benches/workloads/mlp.nn --threads 2")]
    Bench(BenchArgs),
    /// Show layers, shapes, parameters, FLOPs and memory.
    #[command(after_help = "Example:\n  nnc summary examples/mnist_mlp.nn")]
    Summary(FileArgs),
    /// Run the `test` items of files (the standard library's without a file).
    #[command(after_help = "Example:\n  nnc test model.nn")]
    Test(TestArgs),
    /// Lay files out in the standard way: blanks, indentation, alignment. Lines and comments stay.
    #[command(after_help = "Example:\n  nnc fmt --write model.nn\n  nnc fmt --check *.nn\n  nnc fmt - < model.nn")]
    Fmt(FmtArgs),
    /// Explain the code of an error or warning, with an example and its fix; without a code, list them.
    #[command(after_help = "Example:\n  nnc explain E0101")]
    Explain(ExplainArgs),
    /// Print what a shell needs to complete commands and options.
    #[command(after_help = "Example:\n  nnc completions bash > ~/.local/share/bash-completion/completions/nnc")]
    Completions(CompletionArgs),
}

/// Options of every command that compiles a program.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Another value for a setting, const, dim or hyperparameter; may be given again: `train.batch=8`,
    /// `train.optimizer.betas='(0.9, 0.99)'`, `m.layers=2`. A path that is not there lists those that are.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = parse_set)]
    pub set: Vec<(String, String)>,
    /// Another learning rate, short for `--set train.optimizer.lr=VALUE`.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub lr: Option<String>,
    /// A folder to look for data files in, after the program's own; may be given again. Also the variable NN_DATA.
    #[arg(long = "data", value_name = "DIR", value_parser = PathBufValueParser::new().try_map(folder))]
    pub data: Vec<PathBuf>,
    /// Where weights and checkpoints go.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Worker threads; by default one per usable core. The results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// What to generate code for.
    #[arg(long, value_enum, default_value = "cpu")]
    pub target: Target,
    /// The seed of initial weights, shuffling and draws; overrides the program's.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Colors in messages.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
    /// Only errors and results: no warnings, no progress, no remarks.
    #[arg(short, long)]
    pub quiet: bool,
    /// More: timings of the compiler's passes, files saved, places in the source (ir).
    #[arg(short, long)]
    pub verbose: bool,
    /// JSON lines on standard output; text for people on standard error.
    #[arg(long)]
    pub json: bool,
}

/// Back ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Cranelift and the runtime's kernels on this machine.
    Cpu,
    /// LLVM on this machine (needs a build with that feature).
    Llvm,
    /// PTX on an NVIDIA GPU (needs a build with that feature).
    Cuda,
}

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// `nnc new`
#[derive(Args, Debug)]
pub struct NewArgs {
    /// The folder to make; its last part is the project's name.
    pub name: PathBuf,
    /// What to begin with.
    #[arg(long, value_enum, default_value = "mlp")]
    pub template: Template,
    /// Colors in messages.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
    /// JSON lines on standard output; text for people on standard error.
    #[arg(long)]
    pub json: bool,
}

/// `nnc completions`
#[derive(Args, Debug)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `nnc check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The program.
    pub file: PathBuf,
    /// Check again whenever a file of the program is saved, until Ctrl-C.
    #[arg(long)]
    pub watch: bool,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// A program and the common options.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// The program.
    pub file: PathBuf,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc train`
#[derive(Args, Debug)]
pub struct TrainArgs {
    /// The program.
    pub file: PathBuf,
    /// Continue from the checkpoint in the output folder.
    #[arg(long)]
    pub resume: bool,
    /// A row for every epoch, in a .csv or .jsonl file; `--resume` goes on with it. Only a log is ever replaced.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// On a non-finite loss, find the first op that produced a non-finite value.
    #[arg(long)]
    pub check_finite: bool,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc eval`
#[derive(Args, Debug)]
pub struct WeightArgs {
    /// The program.
    pub file: PathBuf,
    /// The weights; by default what the program saves, in the output folder.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which split.
    #[arg(long, value_enum)]
    pub split: Option<SplitName>,
    /// At most this many rows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc predict`
#[derive(Args, Debug)]
pub struct PredictArgs {
    /// The program.
    pub file: PathBuf,
    /// New rows: a .csv, .npz or .npy file; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "split")]
    pub input: Option<PathBuf>,
    /// A .csv, .npz or .npy file for the predictions, rows counted from 1. One that is there already is left alone without `--force`.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file of `--output`, but never one that the program reads or saves.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// The weights; by default what the program saves, in the output folder.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which split; by default the test part, else the validation part, else the training part.
    #[arg(long, value_enum)]
    pub split: Option<SplitName>,
    /// At most this many rows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// Splits of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum SplitName {
    Train,
    Val,
    Test,
}

/// Stages of compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree, as source text.
    Ast,
    /// Layers and bindings with their types.
    Typed,
    /// The graph of the forward computation.
    Graph,
    /// With gradients and updates.
    Grad,
    /// After the graph passes.
    Opt,
    /// Groups of ops that become kernels.
    Fused,
    /// Kernels, buffers and launches.
    Kernel,
    /// Cranelift IR of the kernels' bodies.
    Clif,
    /// Machine code of the kernels' bodies.
    Asm,
}

/// Entries of a compiled program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EntryName {
    /// A training step.
    Train,
    /// An evaluation step.
    Eval,
    /// Initial weights.
    Init,
}

/// `nnc ir`
#[derive(Args, Debug)]
pub struct IrArgs {
    /// The program.
    pub file: PathBuf,
    /// The stage.
    #[arg(long, value_enum)]
    pub stage: Option<Stage>,
    /// Which entry.
    #[arg(long, value_enum, default_value = "train")]
    pub entry: EntryName,
    /// Print the graph after a pass (`all` for every pass that changed it).
    #[arg(long, value_name = "PASS")]
    pub print_after: Vec<String>,
    /// Print the time of every pass.
    #[arg(long)]
    pub time_passes: bool,
    /// Stop rewriting after this many rewrites, to find a bad one.
    #[arg(long, value_name = "N")]
    pub fuel: Option<u64>,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc bench`
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// The programs.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Timed steps; by default as many as fit a second or two.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// A table of time per kernel.
    #[arg(long)]
    pub profile: bool,
    /// Which entry.
    #[arg(long, value_enum, default_value = "train")]
    pub entry: EntryName,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc test`
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The files; without any, the standard library.
    pub files: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc fmt`
#[derive(Args, Debug)]
pub struct FmtArgs {
    /// The files; `-` is standard input.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Write the text back to the files instead of printing it.
    #[arg(long, conflicts_with = "check")]
    pub write: bool,
    /// Change and print nothing; exit code 1 and the first difference of each file that is not formatted.
    #[arg(long)]
    pub check: bool,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

/// `nnc explain`
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The code, such as E0101.
    pub code: Option<String>,
    /// Common options.
    #[command(flatten)]
    pub common: Common,
}

fn parse_set(s: &str) -> Result<(String, String), String> {
    match s.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() => Ok((path.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("`{s}` is not PATH=VALUE, as in train.batch=8")),
    }
}

fn folder(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_dir() {
        Ok(path)
    } else {
        Err(if path.exists() { "this is no folder" } else { "there is no such folder" }.to_owned())
    }
}
