//! Models: templates, instances with a place in the parameter tree, members made when first asked for.
//!
//! In: a model item, `seq { }` or a stack with its dims and hyperparameters. Out: instances whose parameters are slots of
//! the graph, named by their path.

use super::cx::Env;
use super::value::{DimVar, Value};
use crate::source::Span;
use crate::syntax::ast::{self, Ident};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// What a template is made of.
pub enum TemplateKind {
    /// A `model`, `optimizer` or `metric` item.
    Item {
        /// Its syntax.
        def: Arc<ast::Model>,
        /// What it is.
        role: Role,
    },
    /// `seq { }`
    Seq(Vec<ast::SeqEntry>),
    /// Layers one after another: `Block(..) * n`, or a list of layers.
    Stack(Vec<Value>),
}

/// Kinds of model item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `model`
    Model,
    /// `optimizer`
    Optimizer,
    /// `metric`
    Metric,
}

/// Hyperparameters as given.
#[derive(Clone, Default)]
pub struct HyperArgs {
    /// Without names.
    pub pos: Vec<(Value, Span)>,
    /// With names.
    pub named: Vec<(Ident, Value, Span)>,
}

/// A model with some or all of its arguments, not yet part of anything.
pub struct ModelTemplate {
    /// What it is made of.
    pub kind: TemplateKind,
    /// Names around it.
    pub env: Env,
    /// Between brackets, if given.
    pub dims: Option<Vec<(Value, Span)>>,
    /// Between parentheses, if given.
    pub hyper: Option<HyperArgs>,
    /// Where it was written.
    pub span: Span,
}

impl ModelTemplate {
    /// Its item's name, `seq` or `stack`.
    pub fn name(&self) -> &str {
        match &self.kind {
            TemplateKind::Item { def, .. } => &def.name.text,
            TemplateKind::Seq(_) => "seq",
            TemplateKind::Stack(_) => "stack",
        }
    }

    /// `model`, `optimizer`, ...
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            TemplateKind::Item { role: Role::Optimizer, .. } => "optimizer",
            TemplateKind::Item { role: Role::Metric, .. } => "metric",
            _ => "model",
        }
    }
}

/// A model with a place in the parameter tree.
pub struct Instance {
    /// Prefix of its parameters' names; empty for the root.
    pub path: Arc<str>,
    /// Distinguishes instances.
    pub uid: u32,
    /// What it was made from.
    pub template: Rc<ModelTemplate>,
    /// Its dims, some perhaps undecided.
    pub dims: Vec<Rc<DimVar>>,
    /// Members, hyperparameters and dims.
    pub env: Env,
    /// Members in source order.
    pub members: Vec<MemberCell>,
    /// Where it was written.
    pub span: Span,
    /// Has it been called?
    pub called: Cell<bool>,
}

/// A member of an instance.
pub struct MemberCell {
    /// Its name; entries of `seq` and stacks are numbered.
    pub name: Arc<str>,
    /// Its part of the parameter path: the name, `@name("x")`, or nothing.
    pub segment: Arc<str>,
    /// Where it stands.
    pub span: Span,
    /// How to make it.
    pub source: MemberSource,
    /// What has been made.
    pub state: RefCell<MemberState>,
}

/// How to make a member.
pub enum MemberSource {
    /// The member of this number of the model item.
    Item(usize),
    /// The entry of a `seq`.
    Entry(ast::ExprId),
    /// An element of a stack.
    Value(Value),
}

/// How far a member is.
#[derive(Clone)]
pub enum MemberState {
    /// Not asked for yet.
    Todo,
    /// Being made; asking again is a cycle.
    Busy,
    /// Made.
    Done(Value),
    /// Its `if` is false.
    Absent,
    /// Could not be made; reported.
    Failed,
}

impl Instance {
    /// As messages show it: its path, or its model's name.
    pub fn show(&self) -> String {
        if self.path.is_empty() { self.template.name().to_owned() } else { self.path.to_string() }
    }
}
