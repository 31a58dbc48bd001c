//! Programs and what they are made into: the files of a program, one unit per `train` item, and the state of one
//! elaboration.
//!
//! In: the text of a program, a way to read the files it uses and the headers of its data. Out: [`Program`] and
//! [`TrainUnit`]s. A unit keeps what it needs to build its graphs again for any batch size; building one is a fresh
//! elaboration, so graphs share nothing and cannot disagree.

use super::cx::{Assertion, Elab, Scope, ScopeKind};
use super::layers::Layer;
use super::models::Instance;
use super::names::{ItemState, Module};
use super::overrides::{Asked, Override};
use super::value::{DimVar, Tensor, TensorType, Value};
use crate::diag::Diagnostic;
use crate::graph::graph::ValueId;
use crate::graph::ty::TensorTy;
use crate::source::{FileId, SourceMap, Span};
use crate::syntax::ast::{self, Ast, ItemKind, UsePath};
use indexmap::IndexMap;
use nn_runtime::data::check::RangeCheck;
use nn_runtime::data::split::SplitSpec;
use nn_runtime::data::{Header, SourceSpec};
use nn_runtime::error::DataError;
use nn_runtime::program::IndexCheck;
use nn_runtime::train::derived::Derived;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// A parsed program with every file it uses.
#[derive(Debug, Default)]
pub struct Program {
    /// All syntax; the files of std first, then the program's, each after those it uses.
    pub ast: Ast,
    /// All text.
    pub sources: SourceMap,
    /// Number of std files.
    pub std_files: usize,
    /// For each file, the files that its `use "..."` items name.
    pub uses: Vec<BTreeMap<String, usize>>,
    /// What elaboration is to use in place of what is written.
    pub overrides: Vec<Override>,
}

/// Reads a file that a program uses: `(path as written, name of the file that uses it)` to its name and text.
pub type ReadFile<'r> = &'r dyn Fn(&str, &str) -> Result<(String, String), String>;

impl Program {
    /// Parses std, a program and every file that it uses. The diagnostics may hold errors; what parsed is there.
    pub fn load(name: &str, text: &str, read: ReadFile<'_>) -> (Program, Vec<Diagnostic>) {
        Program::after(super::stdlib::read, name, text, read)
    }

    /// The same without std's tests, which only `nnc test` runs, and without its comments: they are a good part of the text
    /// that every command would parse.
    pub fn load_untested(name: &str, text: &str, read: ReadFile<'_>) -> (Program, Vec<Diagnostic>) {
        Program::after(|text| super::stdlib::without_tests(&super::stdlib::read(text)).into(), name, text, read)
    }

    fn after(
        std: impl Fn(&'static str) -> Cow<'static, str>,
        name: &str,
        text: &str,
        read: ReadFile<'_>,
    ) -> (Program, Vec<Diagnostic>) {
        let mut p = Program::default();
        let mut diags = vec![];
        for (name, text) in super::stdlib::FILES {
            p.file(name, &std(text), &mut diags);
        }
        p.std_files = p.ast.files.len();
        let mut open = vec![];
        p.user_file(name, text, read, &mut open, &mut diags);
        (p, diags)
    }

    /// The file that the program is, the last one.
    pub fn main(&self) -> usize {
        self.ast.files.len().saturating_sub(1)
    }

    fn file(&mut self, name: &str, text: &str, diags: &mut Vec<Diagnostic>) -> FileId {
        let id = self.sources.add(name, text);
        diags.extend(crate::syntax::parse(&mut self.ast, id, text));
        self.uses.push(BTreeMap::new());
        id
    }

    fn user_file(
        &mut self,
        name: &str,
        text: &str,
        read: ReadFile<'_>,
        open: &mut Vec<String>,
        diags: &mut Vec<Diagnostic>,
    ) -> Option<usize> {
        // Parsed on its own first, to know what it uses; entered after those files.
        let mut peek = Ast::default();
        let mut sources = SourceMap::default();
        let id = sources.add(name, text);
        if text.contains("use \"") {
            crate::syntax::parse(&mut peek, id, text);
        }
        open.push(name.to_owned());
        let mut uses = BTreeMap::new();
        let mut missing = vec![];
        for item in peek.files.iter().flat_map(|f| &f.items) {
            let ItemKind::Use(ast::Use { path: UsePath::File(path, span), .. }) = &item.kind else { continue };
            if uses.contains_key(&**path) {
                continue;
            }
            match read(path, name) {
                Err(why) => missing.push((*span, why)),
                Ok((full, _)) if open.contains(&full) => {
                    missing.push((*span, format!("`{full}` is used by itself, through {}", open.join(", "))));
                }
                Ok((full, text)) => {
                    let known = self.sources.files().position(|(_, f)| *f.name == *full);
                    let at = match known {
                        Some(i) => Some(i),
                        None => self.user_file(&full, &text, read, open, diags),
                    };
                    if let Some(at) = at {
                        uses.insert(path.to_string(), at);
                    }
                }
            }
        }
        open.pop();
        let id = self.file(name, text, diags);
        for (span, why) in missing {
            diags.push(Diagnostic::error("E0100", Span { file: id, ..span }, why));
        }
        let at = self.ast.files.len() - 1;
        self.uses[at] = uses;
        Some(at)
    }
}

/// What elaboration needs beside the program.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// `--seed`
    pub seed: Option<u64>,
    /// Opens a data source as far as its header.
    pub header: &'o (dyn Fn(&SourceSpec) -> Result<Header, DataError> + Sync),
}

/// A parameter of the elaboration under way.
pub struct ParamEntry {
    /// Its value.
    pub tensor: Tensor,
    /// Its type.
    pub ty: TensorType,
    /// How it starts.
    pub init: Option<ast::Init>,
    /// The model that has it.
    pub owner: Rc<Instance>,
    /// Where it is declared.
    pub span: Span,
}

/// A state of the elaboration under way.
pub struct StateEntry {
    /// Its value when the step begins.
    pub slot: Tensor,
    /// Its value now.
    pub current: Tensor,
    /// Its type.
    pub ty: TensorType,
    /// How it starts.
    pub init: ast::Init,
    /// The model, optimizer or metric that has it.
    pub owner: Rc<Instance>,
    /// Where it is declared.
    pub span: Span,
}

/// A line of the typed view.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedLine {
    /// Where the thing stands.
    pub span: Span,
    /// The layer it belongs to; empty for the training unit itself.
    pub scope: String,
    /// `h: f32[B, 256]`
    pub text: String,
}

/// State of one elaboration beyond scopes and graph.
#[derive(Default)]
pub struct State<'a> {
    /// Modules by number, in the order of the program's files.
    pub modules: Vec<Module<'a>>,
    /// The modules of std.
    pub prelude: Vec<usize>,
    /// The program's own module.
    pub root: usize,
    /// `const` and `dim` items as far as they are evaluated.
    pub item_states: HashMap<(usize, Arc<str>), ItemState>,
    /// Graphs begun.
    pub graphs: u32,
    /// The data of the unit, for `D.V`.
    pub data: Option<(String, super::cx::Env)>,
    /// Number of the graph under construction: constants that are tensors belong to one.
    pub generation: u32,
    /// Expressions under evaluation.
    pub depth: usize,
    /// Branches of `if`s decided at run time that are under evaluation.
    pub selects: u32,
    /// The fields of drawn data are being made.
    pub making_fields: bool,
    /// Models around the one under construction.
    pub nesting: usize,
    /// Dims whose defaults are being computed; asking again is a cycle.
    pub deciding: Vec<Rc<DimVar>>,
    /// A limit was passed and reported: everything else ends without a word.
    pub given_up: bool,
    /// Names that stand for nothing (features that are not there yet, statements at the top) and of which that is said.
    pub later: BTreeSet<Arc<str>>,
    /// Instances made.
    pub instances: u32,
    /// Members of all of them.
    pub members: usize,
    /// The layer whose arguments are checked, for messages.
    pub callee: Option<Rc<Instance>>,
    /// Means that were used as numbers in the graph under construction: their quotient to numerator and denominator.
    pub means: HashMap<ValueId, (ValueId, ValueId)>,
    /// Tensors of the graph under construction that were made of numbers, `linspace(0.1, 0.3)`: the numbers before they were
    /// rounded to f32, one if all are equal. Beside f64 they count.
    pub exact: HashMap<ValueId, Vec<f64>>,
    /// Numbers of the graph under construction that must be class numbers.
    pub checks: Vec<super::tensor::classes::ClassCheck>,
    /// Collects checks of a `test`; `None` outside of one.
    pub asserts: Option<Vec<Assertion>>,
    /// The `train` item that is elaborated.
    pub train: Option<&'a ast::Train>,
    /// What `train` means: `train.steps`.
    pub train_record: Option<Value>,
    /// Parameters by name.
    pub params: IndexMap<Arc<str>, ParamEntry>,
    /// States by name.
    pub states: IndexMap<Arc<str>, StateEntry>,
    /// Tied parameters: name to name.
    pub ties: BTreeMap<String, (Arc<str>, Span)>,
    /// `where` conditions on dims that were not known yet.
    pub late_conditions: Vec<super::conditions::Condition>,
    /// Names of the functions and models that were called or made.
    pub reached: BTreeSet<Span>,
    /// The entry of a `seq` that is called.
    pub entry: Option<Span>,
    /// Has the program chosen what comes of a static value, in a way that findings do not show?
    pub decided: bool,
    /// Where floats stand for class numbers, which no sizes mend.
    pub mistyped: Vec<Span>,
    /// A field of a data item is elaborated.
    pub in_field: bool,
    /// The graph is going to be compiled, not interpreted.
    pub compiled: bool,
    /// The names that derivatives are taken by.
    pub(super) variables: Rc<super::variables::Variables>,
    /// Losses and metrics that are reported as numbers of a batch, whatever they are made of.
    pub plain: &'a [String],
    /// Loops whose bodies are under elaboration, innermost last.
    pub loops: Vec<super::scan::Loop>,
    /// Stand-ins for carries and slices so far.
    pub placeholders: u32,
    /// The last comparison by `close`.
    pub compared: Option<super::cx::Compared>,
    /// Sizes that the use of a result decides.
    pub guesses: super::guess::Guesses,
    /// Names and dims of models that are written `model M = ...`, by the instance that they became.
    pub labels: BTreeMap<u32, (Arc<str>, Vec<Rc<DimVar>>)>,
    /// The name of the trained model whose arguments are bound now.
    pub binding: Option<Arc<str>>,
    /// What a state's type without a dtype stands for: in an optimizer, the float of its parameter.
    pub stored_float: Option<nn_runtime::dtype::DType>,
    /// Trained models: their results are the prediction.
    pub trained: Vec<u32>,
    /// The results of the first call of a trained model.
    pub predict: Vec<Tensor>,
    /// The name of the trained model, if there is one alone: the parameter tree has it for its root.
    pub only_model: Option<Arc<str>>,
    /// How overrides call what is evaluated now: `train.optimizer.lr`. A call takes it for its arguments.
    pub place: Option<Arc<str>>,
    /// Values from outside.
    pub overrides: &'a [Override],
    /// What could have been overridden.
    pub asked: RefCell<Asked>,
    /// Lines of the typed view.
    pub typed: Vec<TypedLine>,
    /// Layers in the order of their first calls, and how many of them are being called now.
    pub layers: Vec<Layer>,
    /// Layers inside layers under way.
    pub layer_depth: usize,
    /// Parameters that are not trained.
    pub frozen: Vec<Arc<str>>,
    /// Metrics with state: name, instance, place.
    pub metric_instances: Vec<(Arc<str>, Rc<Instance>, Span)>,
}

impl<'a> Elab<'a> {
    /// An elaborator over a program, its modules entered.
    pub fn over(p: &'a Program, training: bool) -> Elab<'a> {
        let st = State { overrides: &p.overrides, variables: Rc::new(super::variables::of(p)), ..State::default() };
        let mut el = Elab::new(&p.ast, &p.sources, st, training);
        el.float = super::precision::shared(p);
        el.st.prelude = (0..p.std_files).collect();
        el.st.root = p.main();
        for (i, file) in p.ast.files.iter().enumerate() {
            let name = p.sources.file(file.id).name.clone();
            let id = el.add_module(&name, file, &|path| p.uses[i].get(path).copied());
            debug_assert_eq!(id, i);
        }
        el
    }

    /// Another elaborator over the program of one that nothing was elaborated in yet. The tables of names, whose size is
    /// that of the program, are shared: a check makes an elaborator or more for each item.
    pub fn anew(&self) -> Elab<'a> {
        let shared = |m: &Module<'a>, id| Module {
            name: m.name.clone(),
            items: m.items.clone(),
            vjps: m.vjps.clone(),
            env: Scope::new(None, ScopeKind::Module(id)),
        };
        let st = State {
            overrides: self.st.overrides,
            variables: self.st.variables.clone(),
            modules: self.st.modules.iter().enumerate().map(|(id, m)| shared(m, id)).collect(),
            later: self.st.later.clone(),
            prelude: self.st.prelude.clone(),
            root: self.st.root,
            ..State::default()
        };
        let mut el = Elab::new(self.ast, self.sources, st, self.training);
        (el.float, el.diags) = (self.float, self.diags.clone());
        el
    }

    /// Records a `let` for the typed view.
    pub fn note_let(&mut self, name: &str, v: &Value, span: Span) {
        if self.is_std(span) || !matches!(v, Value::Tensor(_) | Value::Tuple(_)) {
            return;
        }
        let scope = self.b.scope.as_deref().unwrap_or("").to_owned();
        let text = format!("let {name}: {}", v.show());
        let line = TypedLine { span, scope, text };
        if !self.st.typed.contains(&line) {
            self.st.typed.push(line);
        }
    }
}

/// A parameter or state of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredInfo {
    /// Its name: its path; `optimizer.fc.weight.m`, `metric.f1.tp` for what optimizers and metrics keep.
    pub name: Arc<str>,
    /// Its type.
    pub ty: TensorTy,
    /// The number of classes, where its values are numbers of classes.
    pub classes: Option<u64>,
    /// What has it.
    pub role: StoredRole,
    /// Is it updated by the optimizer?
    pub trainable: bool,
}

/// What a stored tensor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredRole {
    /// A model's parameter.
    Param,
    /// A model's state.
    Model,
    /// An optimizer's state.
    Optimizer,
    /// A metric's state.
    Metric,
}

/// Rows of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// So many.
    Rows(u64),
    /// All of the training part at once.
    Full,
}

/// A metric's number in an epoch row: of which part, which one, and which way is better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitor {
    /// `train.loss` rather than `val.loss`?
    pub train: bool,
    /// `loss`, `acc`.
    pub metric: String,
    /// More is better?
    pub maximize: bool,
}

/// `save = ...`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Save {
    /// `last("f.safetensors")`
    Last(String),
    /// `best("f.safetensors", on: val.acc)`
    Best(String, Monitor),
}

impl Save {
    /// The file's name.
    pub fn file(&self) -> &str {
        match self {
            Save::Last(file) | Save::Best(file, _) => file,
        }
    }
}

/// A metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricInfo {
    /// Its name: `acc`.
    pub name: String,
    /// Has it state of its own? Then its ratio comes from [`super::train::Kind::Result`], not from each batch.
    pub stateful: bool,
    /// How its value is made of several means, or of functions of them.
    pub derived: Option<Derived>,
}

/// A loss or metric of one batch.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: Span,
    /// How several batches make one number of it.
    pub form: Form,
    /// Is that number the one of all rows at once, as far as this batch tells?
    pub exact: bool,
}

/// How several batches make one number.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A quotient of sums.
    Mean,
    /// Sums of such quotients, and functions of them.
    Parts(Derived),
    /// The average of the batches' numbers, weighted by their rows.
    Number,
}

/// Numbers that a data field makes class numbers of, or other integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedIds {
    /// The output of [`super::train::Kind::Fields`] that they are.
    pub output: String,
    /// What they are, for people: ``field `y` ``.
    pub what: String,
    /// The expression that makes them.
    pub text: String,
    /// Number of classes; `None` for any number that is finite.
    pub size: Option<u64>,
}

/// The sizes that a unit's data has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataInfo {
    /// The `data` item's name.
    pub name: String,
    /// Sources by number.
    pub sources: Vec<SourceSpec>,
    /// Their headers.
    pub headers: Vec<Header>,
    /// Parts: `train`, `val`, `test`.
    pub splits: Vec<SplitSpec>,
    /// Rows of each part.
    pub rows: Vec<u64>,
    /// Columns that are read; what others hold is not looked at.
    pub columns: BTreeSet<String>,
    /// Checks to make when the data are decoded.
    pub checks: Vec<RangeCheck>,
    /// Class numbers that fields compute from columns: checked before training.
    pub computed_ids: Vec<ComputedIds>,
    /// The fields are drawn once for all rows, by [`super::train::Kind::Fields`]; steps read them as columns.
    pub drawn: bool,
}

impl DataInfo {
    /// Is it one graph or one table: a source of one row, and no parts? Then its fields have no batch axis under
    /// `batch = full`. This is a property of the sources alone: a part, or a batch, that happens to have one row keeps its
    /// axis, so no split decides whether a program compiles.
    pub fn is_one(&self) -> bool {
        let row = |h: &Header| h.rows == 1;
        matches!((&self.splits[..], &self.headers[..]), ([_], [h]) if row(h))
    }

    /// Rows of a part; 0 if there is no such part.
    pub fn rows_of(&self, part: &str) -> u64 {
        self.splits.iter().position(|s| s.name == part).map_or(0, |i| self.rows[i])
    }
}

/// A `train` item, checked.
#[derive(Clone, Debug)]
pub struct TrainUnit {
    /// Its name: that of the first trained model.
    pub name: String,
    /// Which item of the program's file it is.
    pub item: usize,
    /// Its data.
    pub data: DataInfo,
    /// Rows of a step.
    pub batch: BatchSize,
    /// Passes over the data; `None` if `steps` decides.
    pub epochs: Option<u64>,
    /// Steps in all.
    pub steps: u64,
    /// Seed of initial weights, shuffling and draws.
    pub seed: u64,
    /// Which weights are saved.
    pub save: Option<Save>,
    /// Where the name of their file stands.
    pub save_at: Option<Span>,
    /// Where its (first) optimizer stands.
    pub optimizer_at: Option<Span>,
    /// Stop after so many epochs without improvement.
    pub stop: Option<(u64, Monitor)>,
    /// Files that parameters are loaded from before training.
    pub load: Vec<String>,
    /// Metrics in order.
    pub metrics: Vec<MetricInfo>,
    /// Parameters in order of declaration.
    pub params: Vec<StoredInfo>,
    /// States: models', optimizers', metrics'.
    pub states: Vec<StoredInfo>,
    /// Type of the first result, if there is one.
    pub predict: Option<TensorTy>,
    /// How many results the model has.
    pub results: usize,
    /// The typed view.
    pub typed: String,
    /// Its layers, called for one batch.
    pub layers: Vec<Layer>,
    /// `--seed`
    pub seed_option: Option<u64>,
    /// How the loss of a training step is made of several means, or of functions of them.
    pub train_loss: Option<Derived>,
    /// Likewise in evaluation.
    pub eval_loss: Option<Derived>,
    /// How the losses and metrics of the graph elaborated last are reported.
    pub reports: Vec<Report>,
    /// Losses and metrics that are another function of the rows in batches of another size: numbers of a batch each.
    pub plain: Vec<String>,
    /// Class numbers that the graph elaborated last checks as it runs.
    pub checks: Vec<IndexCheck>,
}

/// The sizes of batches that a unit's runs meet: whole ones and the last partial one of each part.
pub struct Batches {
    /// Rows of a training step.
    pub train: u64,
    /// Rows of an evaluation step.
    pub eval: u64,
    /// All sizes of training steps.
    pub train_all: Vec<u64>,
    /// All sizes of evaluation steps.
    pub eval_all: Vec<u64>,
}

/// Rows of an evaluation step where there are enough: results do not depend on it, and larger ones are faster.
const EVAL_ROWS: u64 = 256;

impl TrainUnit {
    /// Does an evaluation take more than one batch?
    pub fn evaluates_in_batches(&self) -> bool {
        let rows = |part: &str| self.data.rows_of(part);
        let held_out = rows("val").max(rows("test"));
        (if held_out > 0 { held_out } else { rows("train") }) > self.batches().eval
    }

    /// The batch sizes of a self.
    pub fn batches(&self) -> Batches {
        let rows = |part: &str| self.data.rows_of(part);
        let n = rows("train");
        let train = match self.batch {
            BatchSize::Rows(b) => b.min(n.max(1)),
            BatchSize::Full => n,
        };
        let parts = ["val", "test", "train"].map(rows);
        let largest = parts.into_iter().max().unwrap_or(1);
        let eval = match self.batch {
            BatchSize::Rows(b) => b.max(EVAL_ROWS).min(largest.max(1)),
            BatchSize::Full => n,
        };
        let sizes = |batch: u64, n: u64| [if n >= batch { batch } else { 0 }, n % batch.max(1)];
        let mut train_all: Vec<u64> = sizes(train, n).into_iter().filter(|&n| n > 0).collect();
        // Where nothing is held out, metrics are those of the training rows.
        let held_out: &[&str] = if rows("val") + rows("test") > 0 { &["val", "test"] } else { &["train"] };
        let mut eval_all: Vec<u64> = held_out.iter().flat_map(|p| sizes(eval, rows(p))).filter(|&n| n > 0).collect();
        eval_all.push(eval);
        for all in [&mut train_all, &mut eval_all] {
            all.sort_unstable();
            all.dedup();
            all.reverse();
        }
        Batches { train, eval, train_all, eval_all }
    }
}
