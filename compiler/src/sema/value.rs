//! Values of elaboration: what an expression means while a program is instantiated.
//!
//! A `.nn` program has two stages. In the first, which is this one, dims, hyperparameters and layer structure are plain
//! values; tensors are values of the graph under construction. Sizes are integers here; each dim also keeps the name it
//! was written with and where it comes from, for messages and for axis arguments (`mean(x, T)`).

use super::builtins::Builtin;
use super::cx::Env;
use super::models::{Instance, ModelTemplate};
use crate::graph::graph::ValueId;
use crate::source::Span;
use crate::syntax::ast::{self, ExprId};
use nn_runtime::dtype::DType;
use std::rc::Rc;
use std::sync::Arc;

/// The identity of a dim: two axes with one identity are the same axis by name, not only by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DimId(pub u32);

/// A size with its name and origin.
#[derive(Clone, Debug)]
pub struct Dim {
    /// The size, decided.
    pub size: u64,
    /// Identity for axis arguments; fresh for every declaration, shared by every axis that carries it.
    pub id: DimId,
    /// How it was written: `B`, `4*D`. `None` for a literal.
    pub name: Option<Arc<str>>,
    /// Where the size comes from.
    pub origin: Option<Span>,
    /// Written as a literal 1 (`new`, `keep: true`, `1` in a type): it stretches in broadcasting.
    pub stretches: bool,
}

impl Dim {
    /// As messages show it: `D = 768`, or `768`.
    pub fn show(&self) -> String {
        match &self.name {
            Some(n) => format!("{n} = {}", self.size),
            None => self.size.to_string(),
        }
    }
}

/// The element type of a tensor as the language sees it.
#[derive(Clone, Debug)]
pub enum Elem {
    /// A plain dtype.
    Plain(DType),
    /// `idx<N>`: an `i32` known to lie in `0 .. N`.
    Idx(Dim),
}

impl Elem {
    /// The dtype in the graph.
    pub fn dtype(&self) -> DType {
        match self {
            Elem::Plain(d) => *d,
            Elem::Idx(_) => DType::I32,
        }
    }
}

/// A tensor: a graph value with named dims.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// The value in the graph under construction.
    pub id: ValueId,
    /// Element type.
    pub elem: Elem,
    /// Axes, outermost first; sizes equal those of the graph value.
    pub dims: Vec<Dim>,
}

impl Tensor {
    /// As messages show it: `f32[B, 784]`.
    pub fn show(&self) -> String {
        let elem = match &self.elem {
            Elem::Plain(d) => d.name().to_owned(),
            Elem::Idx(n) => format!("idx<{}>", n.name.as_deref().map_or(n.size.to_string(), str::to_owned)),
        };
        if self.dims.is_empty() { elem } else { format!("{elem}{}", show_dims(&self.dims)) }
    }
}

/// `[B, 4*D, 784]`
pub fn show_dims(dims: &[Dim]) -> String {
    let parts: Vec<String> =
        dims.iter().map(|d| d.name.as_deref().map_or_else(|| d.size.to_string(), str::to_owned)).collect();
    format!("[{}]", parts.join(", "))
}

/// What an expression means during elaboration.
#[derive(Clone)]
pub enum Value {
    /// A static int; weak: takes the dtype of the tensor that it meets.
    Int(i64),
    /// A static float; weak as [`Value::Int`], but never becomes an int.
    Float(f64),
    /// A static bool.
    Bool(bool),
    /// A string.
    Str(Arc<str>),
    /// A dim used as a value: a static int that knows its name, and an axis name where an axis is asked for.
    Dim(Dim),
    /// `_`, where a size or dim is to be inferred.
    Wild(Span),
    /// A tensor of the graph.
    Tensor(Tensor),
    /// A ratio of two scalar tensors: a loss or metric that accumulates exactly over ragged batches.
    Mean {
        /// Weighted sum.
        num: Tensor,
        /// Sum of weights, gradient-free.
        den: Tensor,
    },
    /// `(a, b)`; the empty tuple is the value of a block that ends in a statement.
    Tuple(Rc<Vec<Value>>),
    /// `[a, b]`; also axis and shape lists with rows expanded.
    List(Rc<Vec<Value>>),
    /// `lo..hi`, static.
    Range(i64, i64),
    /// `{ acc: e }`
    Record(Rc<Vec<(Arc<str>, Value)>>),
    /// A lambda with its scope.
    Closure(Rc<Closure>),
    /// A `fn` item, or a method bound to its instance.
    Fn(Rc<FnValue>),
    /// Methods of one name; the first that fits the arguments' ranks is called.
    Overloads(Rc<Vec<Rc<FnValue>>>),
    /// A function of the compiler.
    Builtin(&'static Builtin),
    /// A function with its dims given: `one_hot[C]`, `time_embed[C]`.
    WithDims(Rc<(Value, Vec<(Value, Span)>)>),
    /// A constant schedule: a number where a `schedule` is asked for.
    ConstFn(f64),
    /// A model, optimizer or metric that is not part of anything yet.
    Model(Rc<ModelTemplate>),
    /// A model with a place in the parameter tree.
    Instance(Rc<Instance>),
    /// A distribution, to the right of `~`.
    Dist(Rc<Dist>),
    /// A dim that is not known yet.
    Hole(Rc<DimVar>),
    /// What could not be evaluated: the reason is reported, uses of it say nothing more.
    Poison,
    /// A module: `use "f.nn" as m`.
    Module(usize),
    /// A `data` item.
    Data(Rc<DataRef>),
}

/// A `data` item with its dims.
#[derive(Clone)]
pub struct DataRef {
    /// Its syntax.
    pub def: Arc<ast::Data>,
    /// The module it stands in.
    pub module: usize,
    /// Between brackets, if given.
    pub dims: Option<Vec<(Value, Span)>>,
    /// Between parentheses, if given.
    pub hyper: Option<super::models::HyperArgs>,
}

/// `|x| e`
pub struct Closure {
    /// Its parameters.
    pub params: Vec<ast::Pat>,
    /// Its body.
    pub body: ExprId,
    /// Names around it.
    pub env: Env,
    /// Where it stands.
    pub span: Span,
}

/// A function item with the scope that its body sees.
pub struct FnValue {
    /// Its syntax.
    pub def: Arc<ast::Fn>,
    /// Names around it: the module's, or an instance's.
    pub env: Env,
    /// The instance whose method it is.
    pub owner: Option<Rc<Instance>>,
    /// Its `vjp` rule, if it has one.
    pub vjp: Option<Arc<ast::Fn>>,
}

/// A distribution with its arguments.
#[derive(Clone)]
pub struct Dist {
    /// `normal`, `uniform`, ...
    pub name: &'static str,
    /// Its arguments in the order of its signature, defaults filled in.
    pub args: Vec<Value>,
    /// Where it stands.
    pub span: Span,
}

/// A dim of a model instance: decided at once, computed from others, or solved by the first call (`Linear[_, 10]`).
pub struct DimVar {
    /// The name of the dim in its model.
    pub name: Arc<str>,
    /// Where the argument (or `_`) stands.
    pub span: Span,
    /// Decided value, by the name it has inside the model.
    pub dim: std::cell::RefCell<Option<Dim>>,
    /// What to compute it from once that is known.
    pub from: DimFrom,
    /// The instance it belongs to, 0 for none.
    pub owner: u32,
}

/// Where a [`DimVar`] takes its value from when it is not decided.
#[derive(Clone)]
pub enum DimFrom {
    /// The first call that mentions it.
    Call,
    /// An expression over other dims.
    Expr(ExprId, Env),
    /// Another undecided dim, of the enclosing model.
    Outer(Rc<DimVar>),
}

impl Value {
    /// `()`
    pub fn unit() -> Value {
        Value::Tuple(Rc::new(vec![]))
    }

    /// What kind of thing it is, for messages: `a number`, `f32[B, 10]`.
    pub fn show(&self) -> String {
        match self {
            Value::Int(n) => n.to_string(),
            Value::Float(x) => format!("{x:?}"),
            Value::Bool(b) => b.to_string(),
            Value::Str(s) => format!("{s:?}"),
            Value::Dim(d) => d.show(),
            Value::Wild(_) => "`_`".into(),
            Value::Tensor(t) => t.show(),
            Value::Mean { .. } => "a mean".into(),
            Value::Tuple(t) if t.is_empty() => "nothing".into(),
            Value::Tuple(t) => show_items(t, "a tuple", ["(", ")"]),
            Value::List(t) => show_items(t, "a list", ["[", "]"]),
            Value::Range(a, b) => format!("{a}..{b}"),
            Value::Record(_) => "a record".into(),
            Value::Closure(_) => "a function".into(),
            Value::Fn(f) => format!("function `{}`", f.def.name.text),
            Value::Overloads(_) => "a function".into(),
            Value::Builtin(b) => format!("function `{}`", b.sig.name),
            Value::WithDims(w) => w.0.show(),
            Value::ConstFn(x) => format!("the constant schedule {x:?}"),
            Value::Model(m) => format!("{} `{}`", m.kind_name(), m.name()),
            Value::Instance(m) => format!("layer `{}`", m.show()),
            Value::Dist(d) => format!("the distribution `{}`", d.name),
            Value::Poison => "an error".into(),
            Value::Module(_) => "a module".into(),
            Value::Data(d) => format!("data `{}`", d.def.name.text),
            Value::Hole(v) => format!("the undecided dim `{}`", v.name),
        }
    }
}

/// The items of a list or tuple, or only how many there are where they would be long to read.
fn show_items(items: &[Value], what: &str, [open, close]: [&str; 2]) -> String {
    let short = items.len() <= 8;
    let text = if short { items.iter().map(Value::show).collect::<Vec<_>>().join(", ") } else { String::new() };
    if short && text.len() <= 80 { format!("{open}{text}{close}") } else { format!("{what} of {}", items.len()) }
}

/// A tensor type as written, with the names in it looked up and rows expanded where they are known.
#[derive(Clone, Debug)]
pub struct TensorType {
    /// Element type.
    pub elem: ElemType,
    /// Axes.
    pub dims: Vec<AxisType>,
}

/// The element type part of a type.
#[derive(Clone, Debug)]
pub enum ElemType {
    /// One dtype, or `idx<N>`.
    Exact(Elem),
    /// `float`, or no dtype: any float; f32 where something must be chosen.
    Float,
    /// `num`: any number.
    Num,
    /// `any`.
    Any,
}

/// An axis of a type.
#[derive(Clone, Debug)]
pub enum AxisType {
    /// A decided size.
    Dim(Dim),
    /// `_`: whatever the value has.
    Infer(Span),
    /// `..` that nothing has bound: any axes.
    Rest(Span),
}

impl TensorType {
    /// The dims if every axis is decided.
    pub fn known(&self) -> Option<Vec<Dim>> {
        self.dims.iter().map(|d| if let AxisType::Dim(d) = d { Some(d.clone()) } else { None }).collect()
    }

    /// The element type that a value made for this type has, where `float` is that of floats without a width.
    pub fn elem_or(&self, float: DType) -> Elem {
        match &self.elem {
            ElemType::Exact(e) => e.clone(),
            _ => Elem::Plain(float),
        }
    }
}

/// A type annotation, elaborated.
#[derive(Clone, Debug)]
pub enum Type {
    /// A tensor (or static number) of this type.
    Tensor(TensorType),
    /// `(a, b)`
    Tuple(Vec<Type>),
    /// `int`
    Int,
    /// `layer`, or the name of a model
    Layer,
    /// `fn`
    Fn,
    /// `schedule`: a function of the step, or a number
    Schedule,
    /// `mean`
    Mean,
    /// `str`
    Str,
}
