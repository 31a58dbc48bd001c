//! The syntax tree: what the text says, nothing decided yet.
//!
//! Expressions live in one arena for all files of a compilation ([`Ast::exprs`]), so an [`ExprId`] is enough to name
//! one, walks can be iterative, and dropping a deep tree cannot overflow the stack. Every node has a span.

// A variant's comment shows its form, which names its fields.
#![allow(missing_docs)]

use crate::source::{FileId, Span};
use std::sync::Arc;

/// An expression in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExprId(pub u32);

/// All parsed files.
#[derive(Clone, Debug, Default)]
pub struct Ast {
    /// Every expression of every file.
    pub exprs: Vec<Expr>,
    /// The files in the order parsed.
    pub files: Vec<File>,
}

impl Ast {
    /// Stores an expression.
    pub fn push(&mut self, kind: ExprKind, span: Span) -> ExprId {
        let id = ExprId(self.exprs.len() as u32);
        self.exprs.push(Expr { kind, span });
        id
    }
    /// The expression behind an id.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }
    /// The span of an expression.
    pub fn span(&self, id: ExprId) -> Span {
        self.expr(id).span
    }
}

/// One file's items in source order.
#[derive(Clone, Debug)]
pub struct File {
    /// Which file.
    pub id: FileId,
    /// Its items.
    pub items: Vec<Item>,
}

/// A name and where it stands.
#[derive(Clone, Debug)]
pub struct Ident {
    /// The text.
    pub text: Arc<str>,
    /// Where.
    pub span: Span,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of expression. Dim arithmetic in types uses the same forms.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `784`, `1_000`
    Int(i64),
    /// `3e-4`
    Float(f64),
    /// `"mnist/train"`, escapes resolved
    Str(Arc<str>),
    /// `true`, `false`
    Bool(bool),
    /// `inf`
    Inf,
    /// `_`
    Wild,
    /// A name; lower case is a value, function or index variable, upper case a dim, model or type.
    Name(Arc<str>),
    /// `-x`, `not x`
    Unary(UnaryOp, ExprId),
    /// `a + b`; `op_span` is the operator's own place.
    Binary { op: BinaryOp, op_span: Span, lhs: ExprId, rhs: ExprId },
    /// `x as f32`
    Cast(ExprId, Ty),
    /// `f(a, p: b)`
    Call { callee: ExprId, args: Vec<Arg> },
    /// `x[i, 2:, new]`, also `Linear[784, 256]` and `one_hot[C]`
    Index { base: ExprId, items: Vec<Ix> },
    /// `m.weight`, `t.0`; `*` and `**` in selectors
    Field { base: ExprId, name: Ident },
    /// `|x, (a, b)| e`
    Lambda { params: Vec<Pat>, body: ExprId },
    /// `if c { } else { }`; `otherwise` is a block or another `if`
    If { cond: ExprId, then: Block, otherwise: Option<ExprId> },
    /// `scan p in xs along T { }`
    Scan { pat: Pat, iter: ExprId, along: Option<ExprId>, body: Block },
    /// `seq { a, name: b }`
    Seq(Vec<SeqEntry>),
    /// `eval { e }`
    Eval(Block),
    /// `{ ... }` as the `else` branch of an `if` and as a function body
    Block(Block),
    /// `rearrange(x, b t (n h d) -> n b h t d, n: 3)`
    Rearrange { operand: ExprId, from: Vec<AxisPat>, to: Vec<AxisPat>, sizes: Vec<(Ident, ExprId)> },
    /// `{ acc: e, loss: f }`
    Record(Vec<(Ident, ExprId)>),
    /// `[a, b, ..S]`
    List(Vec<ListItem>),
    /// `[e for p in xs]`
    ListFor { item: ExprId, pat: Pat, iter: ExprId },
    /// `(a, b)`; a parenthesised expression is itself, not a tuple
    Tuple(Vec<ExprId>),
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `not`
    Not,
}

/// Infix operators, low to high precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Pipe,
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Range,
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    MatMul,
    Pow,
}

/// An argument, possibly named.
#[derive(Clone, Debug)]
pub struct Arg {
    /// The name before `:`, a parameter or (upper case) a dim.
    pub name: Option<Ident>,
    /// The value.
    pub value: ExprId,
}

/// One entry between the brackets of an index.
#[derive(Clone, Debug)]
pub enum Ix {
    /// `..` or `..S`
    Row(Option<Ident>, Span),
    /// `new`
    New(Span),
    /// `lo:hi:step`, all optional
    Slice { lo: Option<ExprId>, hi: Option<ExprId>, step: Option<ExprId>, span: Span },
    /// `start +: len`
    Window { start: ExprId, len: ExprId },
    /// `i`
    At(ExprId),
}

/// An entry of a list literal.
#[derive(Clone, Debug)]
pub enum ListItem {
    /// `..S`
    Row(Option<Ident>, Span),
    /// `e`
    Expr(ExprId),
}

/// An entry of `seq { }`.
#[derive(Clone, Debug)]
pub struct SeqEntry {
    /// The name before `:`; unnamed entries are numbered.
    pub name: Option<Ident>,
    /// A layer, function or lambda.
    pub value: ExprId,
}

/// An axis of a `rearrange` pattern.
#[derive(Clone, Debug)]
pub enum AxisPat {
    /// `b`
    Name(Ident),
    /// `1`
    Int(u64, Span),
    /// `..`
    Row(Option<Ident>, Span),
    /// `(n h d)`
    Group(Vec<Ident>, Span),
}

/// What a binding binds.
#[derive(Clone, Debug)]
pub enum Pat {
    /// `x`
    Name(Ident),
    /// `_`
    Wild(Span),
    /// `(a, b)`
    Tuple(Vec<Pat>, Span),
    /// `y[b, i < N, ..]`: a comprehension, or an update when it stands left of `=`
    Comp { name: Ident, binders: Vec<Binder>, span: Span },
}

/// An index variable of a comprehension or reducer.
#[derive(Clone, Debug)]
pub enum Binder {
    /// `i` or `i < N`
    Var { name: Ident, bound: Option<ExprId> },
    /// `..`: the leading axes, elementwise
    Row(Span),
}

/// `{ stmts }`; the value is the last statement's if that is an expression.
#[derive(Clone, Debug)]
pub struct Block {
    /// In order.
    pub stmts: Vec<Stmt>,
    /// Braces included.
    pub span: Span,
}

/// A statement with its attributes.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// `@remat(every: 16)`
    pub attrs: Vec<Attr>,
    /// What it is.
    pub kind: StmtKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of statement.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `let p: T = e`
    Let { pat: Pat, ty: Option<Ty>, init: Init },
    /// `var p: T = e`
    Var { pat: Pat, ty: Option<Ty>, init: Init },
    /// `dim N = e`
    Dim { name: Ident, value: ExprId },
    /// `for p in e { }`
    For { pat: Pat, iter: ExprId, body: Block },
    /// `emit e`
    Emit(ExprId),
    /// `minimize e over m`
    Minimize { value: ExprId, over: Vec<ExprId> },
    /// `every n { }`
    Every { count: ExprId, body: Block },
    /// `penalty e`
    Penalty(ExprId),
    /// `assert e, "why"`
    Assert { cond: ExprId, message: Option<Arc<str>> },
    /// `x = e`, `s <- e`, `x += e`
    Set { target: ExprId, op: SetOp, value: ExprId },
    /// `e`
    Expr(ExprId),
}

/// Assignment operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOp {
    /// `<-`
    State,
    /// `=`
    Set,
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
}

/// `= e` or `~ e`.
#[derive(Clone, Debug)]
pub struct Init {
    /// True for `~`: a random draw.
    pub draw: bool,
    /// The value or the distribution.
    pub value: ExprId,
}

/// `@name("x")`
#[derive(Clone, Debug)]
pub struct Attr {
    /// The name after `@`.
    pub name: Ident,
    /// Its arguments.
    pub args: Vec<Arg>,
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct Ty {
    /// What it is.
    pub kind: TyKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of type.
#[derive(Clone, Debug)]
pub enum TyKind {
    /// `fn`, `fn(a, b) -> c`
    Fn(Option<(Vec<Ty>, Box<Ty>)>),
    /// `(a, b)`
    Tuple(Vec<Ty>),
    /// `f32[B, T]`, `[B, T]`, `idx<V>`, `layer`, `Linear[In, Out]`
    Tensor { dtype: Option<DtypeName>, shape: Option<Vec<ShapeItem>> },
}

/// The part of a type before its brackets.
#[derive(Clone, Debug)]
pub enum DtypeName {
    /// `idx<N>`
    Idx(ExprId),
    /// `f32`, `int`, `schedule`, `std.nn.Linear`; joined by dots
    Named(Ident),
}

/// One entry of a shape.
#[derive(Clone, Debug)]
pub enum ShapeItem {
    /// `..` or `..S`
    Row(Option<Ident>, Span),
    /// A dim expression.
    Dim(ExprId),
}

/// An item with its attributes and `##` text.
#[derive(Clone, Debug)]
pub struct Item {
    /// `@name("x")`
    pub attrs: Vec<Attr>,
    /// The `##` lines above, joined by newlines, markers removed.
    pub doc: Option<Arc<str>>,
    /// What it is.
    pub kind: ItemKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of item.
#[derive(Clone, Debug)]
pub enum ItemKind {
    /// `use std.vision.ResNet`, `use "f.nn".{A, B}`, `use "f.nn" as m`
    Use(Use),
    /// `fn`
    Fn(Arc<Fn>),
    /// `vjp f(args, dy) = ...`
    Vjp(Arc<Fn>),
    /// `model`
    Model(Arc<Model>),
    /// `optimizer`
    Optimizer(Arc<Model>),
    /// `metric`
    Metric(Arc<Model>),
    /// `const`
    Const(Const),
    /// `data`
    Data(Arc<Data>),
    /// `train`
    Train(Arc<Train>),
    /// `export`
    Export(Arc<Export>),
    /// `test`
    Test(Arc<Test>),
    /// A statement at the top level: `dim N = 4`, `let`, `assert`, an expression in the REPL.
    Stmt(Stmt),
}

/// `use`
#[derive(Clone, Debug)]
pub struct Use {
    /// The file string or dotted path.
    pub path: UsePath,
    /// `.{A, B}`
    pub names: Vec<Ident>,
    /// `as m`
    pub alias: Option<Ident>,
}

/// What a `use` names.
#[derive(Clone, Debug)]
pub enum UsePath {
    /// `"layers.nn"`
    File(Arc<str>, Span),
    /// `std.vision.ResNet`
    Path(Vec<Ident>),
}

/// `fn name[dims](params) -> ty where c body`, also a model's methods and `vjp` rules.
#[derive(Clone, Debug)]
pub struct Fn {
    /// Its name.
    pub name: Ident,
    /// Explicit dims.
    pub dims: Vec<DimParam>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Result type.
    pub result: Option<Ty>,
    /// `where` conditions.
    pub conditions: Vec<ExprId>,
    /// The body, an expression or [`ExprKind::Block`].
    pub body: ExprId,
}

/// `N` or `F = 4*D`
#[derive(Clone, Debug)]
pub struct DimParam {
    /// Its name.
    pub name: Ident,
    /// Its default.
    pub default: Option<ExprId>,
}

/// `x: T = e`
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: Option<Ty>,
    /// Its default.
    pub default: Option<ExprId>,
}

/// `model`, `optimizer` or `metric`
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: Ident,
    /// Dims.
    pub dims: Vec<DimParam>,
    /// Hyperparameters.
    pub params: Vec<Param>,
    /// `where` conditions.
    pub conditions: Vec<ExprId>,
    /// What it holds.
    pub body: ModelBody,
}

/// A model's right side.
#[derive(Clone, Debug)]
pub enum ModelBody {
    /// `= seq { ... }`
    Expr(ExprId),
    /// `{ members }`
    Members(Vec<Member>),
}

/// A member with its attributes.
#[derive(Clone, Debug)]
pub struct Member {
    /// `@name("")`
    pub attrs: Vec<Attr>,
    /// The `##` lines above, joined by newlines, markers removed.
    pub doc: Option<Arc<str>>,
    /// What it is.
    pub kind: MemberKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of member.
#[derive(Clone, Debug)]
pub enum MemberKind {
    /// `param w: T ~ d if c`
    Param { name: Ident, ty: Ty, init: Option<Init>, cond: Option<ExprId> },
    /// `state s: T = e`
    State { name: Ident, ty: Ty, init: Init },
    /// `const c: T = e`
    Const(Const),
    /// `dim N = e`
    Dim { name: Ident, value: ExprId },
    /// `tie a.w = b.w`
    Tie { a: ExprId, b: ExprId },
    /// `fn`
    Fn(Arc<Fn>),
    /// `fc = Linear[784, 256] if c`
    Sub { name: Ident, value: ExprId, cond: Option<ExprId> },
}

/// `const p: T = e`
#[derive(Clone, Debug)]
pub struct Const {
    /// What it binds.
    pub pat: Pat,
    /// Its type.
    pub ty: Option<Ty>,
    /// Its value.
    pub init: Init,
}

/// `data D[dims](params) { }`
#[derive(Clone, Debug)]
pub struct Data {
    /// Its name.
    pub name: Ident,
    /// Dims.
    pub dims: Vec<DimParam>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Fields, functions and settings in order.
    pub entries: Vec<DataEntry>,
}

/// An entry of `data`.
#[derive(Clone, Debug)]
pub enum DataEntry {
    /// `x: f32[784] = e`
    Field { name: Ident, ty: Ty, init: Init, span: Span },
    /// `fn`
    Fn(Arc<Fn>),
    /// `train = idx(...)`
    Setting(Setting),
}

/// `batch = 128`, `optimizer d = Adam(...)`
#[derive(Clone, Debug)]
pub struct Setting {
    /// `batch`
    pub name: Ident,
    /// The selector between name and `=`.
    pub selector: Option<ExprId>,
    /// The value.
    pub value: ExprId,
    /// Where it stands.
    pub span: Span,
}

/// `train m: Model on Data { }`
#[derive(Clone, Debug)]
pub struct Train {
    /// `m: Model`
    pub binds: Vec<Bind>,
    /// The data.
    pub on: ExprId,
    /// Entries in order.
    pub entries: Vec<TrainEntry>,
}

/// `m: MLP`
#[derive(Clone, Debug)]
pub struct Bind {
    /// The name.
    pub name: Ident,
    /// The model.
    pub value: ExprId,
}

/// An entry of `train`.
#[derive(Clone, Debug)]
pub enum TrainEntry {
    /// `step { }`
    Step(Block),
    /// `let p = e`
    Let(Stmt),
    /// `batch = 64`
    Setting(Setting),
}

/// `export name(m: M) { }`
#[derive(Clone, Debug)]
pub struct Export {
    /// Its name.
    pub name: Ident,
    /// What it is made of.
    pub binds: Vec<Bind>,
    /// Functions.
    pub fns: Vec<Arc<Fn>>,
    /// Settings.
    pub settings: Vec<Setting>,
}

/// `test "name" { }`
#[derive(Clone, Debug)]
pub struct Test {
    /// Its name.
    pub name: Arc<str>,
    /// Its body.
    pub body: Block,
}
