//! The elaborator's context: the graph under construction, scopes, diagnostics, limits.
//!
//! In: nothing; `units.rs` makes one per graph. Out: [`Elab`], which every other file of this folder extends by methods
//! of its topic (`exprs.rs` evaluates, `calls.rs` calls, `types.rs` matches types, `models.rs` instantiates).

use super::comprehension;
use super::models::Instance;
use super::value::{Dim, DimId, Elem, Tensor, Type, Value};
use crate::diag::{Diagnostic, Severity};
use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ty::{MAX_NUMEL, MAX_RANK, TensorTy};
use crate::source::{SourceMap, Span};
use crate::syntax::ast::{Ast, Ident};
use nn_runtime::dtype::DType;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// The error of a phase step whose diagnostic is already recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported;

/// A result whose error is already recorded.
pub type R<T> = Result<T, Reported>;

/// Calls inside calls, before elaboration gives up: no recursion is meant in `.nn`.
pub const MAX_CALLS: usize = 96;
/// Graph nodes before elaboration gives up.
pub const MAX_OPS: usize = 200_000;
/// Errors that are kept, and likewise warnings: one mistake can make many.
pub const MAX_FINDINGS: usize = 50;
/// Evaluation steps before elaboration gives up.
pub const MAX_STEPS: u64 = 20_000_000;

/// The arguments of a call, evaluated.
#[derive(Clone)]
pub struct CallArgs {
    /// The whole call.
    pub span: Span,
    /// The callee.
    pub callee: Span,
    /// Between brackets: `one_hot[C]`, `ones[E]`. Sizes are `Value::Int`, `Value::Dim`; rows are expanded.
    pub dims: Option<Vec<(Value, Span)>>,
    /// Without names, in order.
    pub pos: Vec<(Value, Span)>,
    /// With names; an upper-case name is a dim (`pad(u, T: (3, 0))`), to be looked up by `Elab::lookup_dim` in `env`.
    pub named: Vec<(Ident, Value, Span)>,
    /// The type that the result is going to have, where one is written.
    pub expect: Option<Type>,
    /// Names around the call.
    pub env: Env,
}

/// Names in scope; inner scopes first.
pub type Env = Rc<Scope>;

/// One level of names.
pub struct Scope {
    /// The level around it.
    pub parent: Option<Env>,
    /// What else the level sees.
    pub kind: ScopeKind,
    vars: RefCell<Vec<Binding>>,
}

/// What a scope sees beside its own bindings.
pub enum ScopeKind {
    /// Nothing.
    Plain,
    /// The items of a module, then the prelude.
    Module(usize),
    /// The members of an instance, made when first asked for.
    Instance(Weak<Instance>),
    /// The columns of a source, which are bound in it.
    Columns(Columns),
}

/// The columns that fields are made of.
#[derive(Clone)]
pub struct Columns {
    /// What the source is called.
    pub source: String,
    /// Their names.
    pub names: Vec<String>,
}

/// A name bound in a scope.
#[derive(Clone)]
pub struct Binding {
    /// The name; `..S` and `..` for rows.
    pub name: Arc<str>,
    /// What it stands for.
    pub value: Value,
    /// Bound by `var`.
    pub mutable: bool,
    /// Where it was bound.
    pub span: Span,
}

impl Scope {
    /// A new level.
    pub fn new(parent: Option<Env>, kind: ScopeKind) -> Env {
        Rc::new(Scope { parent, kind, vars: RefCell::default() })
    }

    /// A plain level inside `parent`.
    pub fn inside(parent: &Env) -> Env {
        Scope::new(Some(parent.clone()), ScopeKind::Plain)
    }

    /// Binds a name at this level; a later binding of the same name hides the earlier one.
    pub fn bind(&self, name: &Arc<str>, value: Value, mutable: bool, span: Span) {
        self.vars.borrow_mut().push(Binding { name: name.clone(), value, mutable, span });
    }

    /// The binding at this level.
    pub fn own(&self, name: &str) -> Option<Binding> {
        self.vars.borrow().iter().rev().find(|b| &*b.name == name).cloned()
    }

    /// Is a name bound at this level?
    pub fn has(&self, name: &str) -> bool {
        self.vars.borrow().iter().any(|b| &*b.name == name)
    }

    /// Replaces the value of the innermost binding of a name, at any level.
    pub fn set(&self, name: &str, value: Value) -> bool {
        if let Some(b) = self.vars.borrow_mut().iter_mut().rev().find(|b| &*b.name == name) {
            b.value = value;
            return true;
        }
        self.parent.as_ref().is_some_and(|p| p.set(name, value))
    }

    /// Names bound at this level, for suggestions.
    pub fn own_names(&self) -> Vec<Arc<str>> {
        self.vars.borrow().iter().map(|b| b.name.clone()).collect()
    }
}

/// What `close` has compared.
#[derive(Clone, Copy)]
pub struct Compared {
    /// Its result.
    pub result: ValueId,
    /// The left side.
    pub left: ValueId,
    /// The right side.
    pub right: ValueId,
    /// The tolerance of a `close`; none of `==` and the like.
    pub tol: Option<f64>,
}

/// A check of a `test`, to be made when its graph runs.
#[derive(Clone)]
pub struct Assertion {
    /// A scalar bool of the graph.
    pub cond: ValueId,
    /// What to say if it is false.
    pub message: Option<Arc<str>>,
    /// Where it stands.
    pub span: Span,
    /// What it compares, if it is one `close`.
    pub compared: Option<Compared>,
}

/// A call under way, for messages and for names of dims that leave it.
pub struct Frame {
    /// The function or layer: `fc1`, `cross_entropy`.
    pub name: String,
    /// The call.
    pub span: Span,
    /// Dims made by this call have ids from here on.
    pub first_dim: u32,
    /// The instance called, 0 for none.
    pub instance: u32,
}

/// What is known of a dim beyond its size.
#[derive(Clone, Default)]
pub struct DimInfo {
    /// The dim that the caller knows it as.
    pub outer: Option<Dim>,
    /// Nonzero: belongs to this model instance and keeps its outer name whenever it leaves it.
    pub owner: u32,
}

/// The elaborator.
pub struct Elab<'a> {
    /// All syntax.
    pub ast: &'a Ast,
    /// All text.
    pub sources: &'a SourceMap,
    /// The graph under construction.
    pub b: Builder,
    /// Findings so far.
    pub diags: Vec<Diagnostic>,
    /// The program's float: what numbers, and types without a dtype, are where nothing else decides.
    pub float: DType,
    /// The static constant `training`.
    pub training: bool,
    /// Set while the body of a comprehension is evaluated.
    pub comp: Option<comprehension::Frame>,
    /// Is a call of a comprehension running? Its tensors stand for one element each, so they have no axes to name.
    pub per_element: bool,
    /// Is a function running that ops are named after?
    pub in_fn: bool,
    /// Calls under way, outermost first.
    pub frames: Vec<Frame>,
    /// Everything else; see `units.rs`.
    pub st: super::units::State<'a>,
    pub(super) dims: Vec<DimInfo>,
    pub(super) dim_exprs: HashMap<String, DimId>,
    pub(super) steps: u64,
    next_site: u32,
}

impl<'a> Elab<'a> {
    /// A fresh elaborator over parsed files.
    pub fn new(ast: &'a Ast, sources: &'a SourceMap, st: super::units::State<'a>, training: bool) -> Self {
        Elab {
            ast,
            sources,
            b: Builder::new(""),
            diags: vec![],
            float: DType::F32,
            training,
            comp: None,
            per_element: false,
            in_fn: false,
            frames: vec![],
            st,
            dims: vec![DimInfo::default()],
            dim_exprs: HashMap::new(),
            steps: 0,
            next_site: 0,
        }
    }

    /// Records a finding. Std is not where a user looks for a mistake: a finding inside of it is placed at the user's call.
    pub fn error(&mut self, mut d: Diagnostic) -> Reported {
        d = d.filled(|span| self.sources.text(span));
        // Nobody edits std.
        d.help.retain(|h| h.edits.iter().all(|e| !self.is_std(e.span)));
        if d.labels.first().is_some_and(|l| self.is_std(l.span))
            && let Some(f) = self.frames.iter().rev().find(|f| !self.is_std(f.span))
        {
            let (span, name) = (f.span, f.name.clone());
            d.labels.insert(0, crate::diag::Label { span, message: format!("in this call of `{name}`") });
        }
        if d.labels.iter().any(|l| !self.is_std(l.span)) {
            d.labels.retain(|l| !self.is_std(l.span));
        }
        self.report(d);
        Reported
    }

    /// Records a warning or note.
    pub fn report(&mut self, d: Diagnostic) {
        add(&mut self.diags, d);
    }

    /// An error of one code and place.
    pub fn err<T>(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> R<T> {
        Err(self.error(Diagnostic::error(code, span, message)))
    }

    /// Something of the language that this compiler does not have yet.
    pub fn limit(&mut self, span: Span, feature: &str) -> Reported {
        self.error(
            Diagnostic::error("E0901", span, format!("not supported yet: {feature}"))
                .note("the language has this; this version of nnc cannot compile it"),
        )
    }

    /// Does a place lie in std?
    pub fn is_std(&self, span: Span) -> bool {
        self.sources.file(span.file).name.starts_with("std/")
    }

    /// The source text of a place.
    pub fn text(&self, span: Span) -> &'a str {
        self.sources.text(span)
    }

    /// A new dim with an identity of its own.
    pub fn fresh_dim(&mut self, size: u64, name: Option<Arc<str>>, origin: Option<Span>) -> Dim {
        let id = DimId(self.dims.len() as u32);
        self.dims.push(DimInfo::default());
        Dim { size, id, name, origin, stretches: false }
    }

    /// A dim written as a number; 1 stretches in broadcasting.
    pub fn literal_dim(&mut self, size: u64, origin: Option<Span>) -> Dim {
        Dim { stretches: size == 1, ..self.fresh_dim(size, None, origin) }
    }

    /// A number for a random draw that no other draw of the graph has.
    pub fn fresh_site(&mut self) -> u32 {
        self.next_site += 1;
        self.next_site
    }

    /// Draws from now on are numbered from here.
    pub fn set_site(&mut self, site: u32) {
        self.next_site = site;
    }

    /// A tensor of a graph value, with fresh unnamed dims where none are given.
    pub fn tensor(&mut self, id: ValueId, elem: Elem, dims: Vec<Dim>) -> Tensor {
        debug_assert_eq!(self.b.shape(id).as_slice(), dims.iter().map(|d| d.size).collect::<Vec<_>>());
        Tensor { id, elem, dims }
    }

    /// A tensor of a value, `None` for what is not one: static numbers and (nested lists of) numbers become constants
    /// of `dtype` (the program's float, i32 or bool by what they are if there is none), a mean becomes its quotient.
    pub fn to_tensor(&mut self, v: &Value, dtype: Option<DType>) -> Option<Tensor> {
        let scalar =
            |el: &mut Self, d: DType, x: f64| Tensor { id: el.b.scalar(d, x), elem: Elem::Plain(d), dims: vec![] };
        Some(match v {
            Value::Tensor(t) => t.clone(),
            Value::Int(n) => scalar(self, dtype.unwrap_or(DType::I32), *n as f64),
            Value::Dim(d) => scalar(self, dtype.unwrap_or(DType::I32), d.size as f64),
            Value::Float(x) => scalar(self, dtype.filter(|d| d.is_float()).unwrap_or(self.float), *x),
            Value::Bool(b) => scalar(self, dtype.unwrap_or(DType::Bool), f64::from(u8::from(*b))),
            Value::Mean { num, den } => super::tensor::quotient(self, num, den),
            Value::List(_) => {
                let (shape, xs, float, boolean) = nested(v)?;
                self.work(xs.len());
                let d = dtype.unwrap_or(if float {
                    self.float
                } else if boolean {
                    DType::Bool
                } else {
                    DType::I32
                });
                if float && !d.is_float() || shape.len() > MAX_RANK {
                    return None;
                }
                let xs: Vec<f64> = xs.into_iter().map(|x| crate::graph::tensor::round(d, x)).collect();
                let ty = TensorTy::new(d, shape.iter().copied());
                let id = self.b.table(&ty, &xs);
                let dims = shape.iter().map(|&n| self.fresh_dim(n, None, None)).collect();
                Tensor { id, elem: Elem::Plain(d), dims }
            }
            _ => return None,
        })
    }

    /// [`Elab::to_tensor`], or an error.
    pub fn as_tensor(&mut self, v: &Value, dtype: Option<DType>, span: Span) -> R<Tensor> {
        match dtype {
            Some(d) => self.fits(v, d, span)?,
            None if numbers(v).is_some_and(|(.., float)| !float) => self.fits(v, DType::I32, span)?,
            None => {}
        }
        match self.to_tensor(v, dtype) {
            Some(t) => Ok(t),
            None => {
                let d = Diagnostic::error("E0207", span, format!("expected a tensor, found {}", v.show()));
                Err(self.error(self.wanted_tensor(d, v, span)))
            }
        }
    }

    /// Counts work; reports when the program does too much.
    pub fn tick(&mut self, span: Span) -> R<()> {
        self.steps += 1;
        if self.st.given_up {
            return Err(Reported);
        }
        if self.b.graph().nodes.len() > MAX_OPS {
            self.st.given_up = true;
            return self.err("E0902", span, format!("the program has more than {MAX_OPS} tensor operations"));
        }
        if self.steps > MAX_STEPS {
            self.st.given_up = true;
            return self.err("E0902", span, "the program does not come to an end while its layers are put together");
        }
        Ok(())
    }

    /// Checks that a result shape is one the compiler can handle, before it is given to the builder.
    pub fn check_shape(&mut self, dims: &[Dim], span: Span) -> R<()> {
        if dims.len() > MAX_RANK {
            return self.err("E0902", span, format!("{} axes; at most {MAX_RANK} are supported", dims.len()));
        }
        let n = dims.iter().try_fold(1u64, |n, d| n.checked_mul(d.size));
        if n.is_none_or(|n| n > MAX_NUMEL) {
            let shape = super::value::show_dims(dims);
            let sizes: Vec<String> = dims.iter().map(Dim::show).collect();
            let d = Diagnostic::error("E0902", span, format!("the tensor {shape} is too large"))
                .note(format!("{}: at most {MAX_NUMEL} elements are supported", sizes.join(" x ")));
            return Err(self.error(d));
        }
        Ok(())
    }
}

/// Adds a finding that is not there yet. Of each severity there are [`MAX_FINDINGS`], then a note that there are more.
pub(super) fn add(diags: &mut Vec<Diagnostic>, d: Diagnostic) {
    if diags.iter().filter(|x| x.severity == d.severity).count() < MAX_FINDINGS {
        if !diags.contains(&d) {
            diags.push(d);
        }
        return;
    }
    let what = if d.severity == Severity::Error { "errors" } else { "warnings" };
    let message = format!("too many {what}: only the first {MAX_FINDINGS} are shown");
    let more = Diagnostic::new("E0902", Severity::Note, None, message);
    if d.severity > Severity::Note && !diags.contains(&d) && !diags.contains(&more) {
        diags.push(more);
    }
}

/// Shape and elements of (nested lists of) numbers, and whether any is a float; `None` for anything else.
pub fn numbers(v: &Value) -> Option<(Vec<u64>, Vec<f64>, bool)> {
    nested(v).map(|(shape, xs, float, _)| (shape, xs, float))
}

/// Is it a list of bools, and of nothing else?
pub fn all_bools(v: &Value) -> bool {
    matches!(v, Value::List(_)) && nested(v).is_some_and(|(_, xs, _, bools)| bools && !xs.is_empty())
}

/// Shape and elements of nested lists of numbers of one length each; whether any is a float, and whether all are bools.
fn nested(v: &Value) -> Option<(Vec<u64>, Vec<f64>, bool, bool)> {
    match v {
        Value::Int(n) => Some((vec![], vec![*n as f64], false, false)),
        Value::Dim(d) => Some((vec![], vec![d.size as f64], false, false)),
        Value::Float(x) => Some((vec![], vec![*x], true, false)),
        Value::Bool(b) => Some((vec![], vec![f64::from(u8::from(*b))], false, true)),
        Value::List(items) => {
            let mut all = (vec![], vec![], false, true);
            for (i, item) in items.iter().enumerate() {
                let (shape, xs, float, boolean) = nested(item)?;
                if i == 0 {
                    all.0 = shape;
                } else if all.0 != shape {
                    return None;
                }
                all.1.extend(xs);
                all.2 |= float;
                all.3 &= boolean;
            }
            all.0.insert(0, items.len() as u64);
            Some(all)
        }
        _ => None,
    }
}

/// The nearest of some names, if near enough to be a slip: the same but for case, or at most a third of the letters
/// differ. One letter is a slip for another only in case: `X` for `x`, never for `B`.
pub fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let n = name.chars().count();
    let limit = if n < 2 { 0 } else { (n / 3).max(1) };
    let lower = name.to_lowercase();
    names
        .into_iter()
        .filter(|n| *n != name)
        .map(|n| (if n.to_lowercase() == lower { 0 } else { distance(name, n) }, n))
        .filter(|(d, n)| *d <= limit && (*d < 2 || n.len() > 2))
        .min_by_key(|(d, n)| (*d, n.len().abs_diff(name.len())))
        .map(|(_, n)| n)
}

/// Edits (insert, delete, replace, swap of neighbors) between two words.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
