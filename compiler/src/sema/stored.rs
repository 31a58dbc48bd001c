//! Parameters and states: what a model keeps between steps.
//!
//! In: a `param` or `state` member with its type and path. Out: a slot of the graph, and the table that initial values
//! and writes go through. Reading a state gives its latest value; a write cuts the gradient and commits with the step.

use super::cx::{Elab, Env, R, Reported, ScopeKind};
use super::models::{Instance, MemberSource, MemberState, Role, TemplateKind};
use super::units::{ParamEntry, StateEntry};
use super::value::{Tensor, TensorType, Type, Value, show_dims};
use crate::diag::{Diagnostic, Edit, shown};
use crate::graph::graph::{Slot, SlotKind};
use crate::graph::ty::TensorTy;
use crate::source::Span;
use crate::syntax::ast::{self, ExprId, MemberKind, ModelBody};
use std::rc::Rc;

impl Elab<'_> {
    pub(super) fn declare_param(
        &mut self,
        path: &str,
        ty: TensorType,
        init: Option<ast::Init>,
        m: &Rc<Instance>,
        span: Span,
    ) -> R<Value> {
        let dims = ty.known().unwrap_or_default();
        let elem = ty.elem_or(self.float);
        if let Some((other, at)) = self.st.ties.get(path).cloned() {
            return match self.st.params.get(&other) {
                Some(p) if p.tensor.dims.iter().map(|d| d.size).eq(dims.iter().map(|d| d.size)) => {
                    Ok(Value::Tensor(Tensor { dims, ..p.tensor.clone() }))
                }
                Some(p) => {
                    let message = format!("`{path}` {} is tied to `{other}` {}", show_dims(&dims), p.tensor.show());
                    self.err("E0101", at, message)
                }
                None => self.err(
                    "E0302",
                    at,
                    format!("`{path}` is tied to `{other}`, which is no parameter in use before it"),
                ),
            };
        }
        if let Some(other) = self.st.params.get(path) {
            let d = Diagnostic::error("E0208", span, format!("two parameters are called `{path}`"))
                .label(other.span, "the other one")
                .help("rename one with `@name(\"...\")`");
            return Err(self.error(d));
        }
        let shape = TensorTy::new(elem.dtype(), dims.iter().map(|d| d.size));
        let tensor = if self.st.asserts.is_some() {
            // A test has no stored weights: a parameter is its initial value.
            let v = match &init {
                Some(init) => self.initial_value(&ty, init, &m.env, path)?,
                None => return self.err("E0212", span, format!("parameter `{path}` has no initial value")),
            };
            Tensor { dims, ..v }
        } else {
            let id = self.b.input(Slot { name: path.into(), kind: SlotKind::Param, ty: shape });
            Tensor { id, elem, dims }
        };
        if let Some(other) = self.st.states.get(path).map(|s| s.span) {
            return self.same_name(path, span, other);
        }
        let entry = ParamEntry { tensor: tensor.clone(), ty, init, owner: m.clone(), span };
        self.st.params.insert(path.into(), entry);
        Ok(Value::Tensor(tensor))
    }

    /// The initial value of a parameter or state.
    pub fn initial_value(&mut self, ty: &TensorType, init: &ast::Init, env: &Env, name: &str) -> R<Tensor> {
        // It is made once, wherever it is first asked for: no loop around is one around it.
        let loops = std::mem::take(&mut self.st.loops);
        let v = self.made_once(ty, init, env, name);
        self.st.loops = loops;
        v
    }

    fn made_once(&mut self, ty: &TensorType, init: &ast::Init, env: &Env, name: &str) -> R<Tensor> {
        let at = self.ast.span(init.value);
        if init.draw {
            let dist = self.eval(init.value, env)?;
            return super::builtins::draw(self, &dist, ty, at);
        }
        let what = format!("the initial value of `{name}`");
        let v = self.eval_as(init.value, env, Some(&Type::Tensor(ty.clone())))?;
        if let Some(told) = self.no_initial_value(&v, init.value, &what, ty) {
            return Err(told);
        }
        let v = self.coerce_tensor(v, ty, at, &what)?;
        self.as_tensor(&v, Some(ty.elem_or(self.float).dtype()), at)
    }

    /// `= zeros` or `= normal()`, where a value stands: what is meant, with its edit.
    fn no_initial_value(&mut self, v: &Value, e: ExprId, what: &str, ty: &TensorType) -> Option<Reported> {
        let at = self.ast.span(e);
        if self.is_std(at) || !matches!(v, Value::Fn(_) | Value::Builtin(_) | Value::WithDims(_) | Value::Dist(_)) {
            return None;
        }
        let text = self.text(at).to_owned();
        let drawn = match text.split(['[', '(']).next().unwrap_or_default() {
            "zeros" => None,
            "ones" => Some("= 1".to_owned()),
            "randn" => Some("~ normal()".to_owned()),
            "rand" => Some("~ uniform(0, 1)".to_owned()),
            _ if matches!(v, Value::Dist(_)) => Some(format!("~ {text}")),
            _ => return None,
        };
        let new = drawn.unwrap_or_else(|| "= 0".to_owned());
        // The `=` before it goes too.
        let file = &self.sources.file(at.file).text;
        let front = file[..at.start as usize].trim_end();
        let start = front.strip_suffix('=')?.len() as u32;
        let message = format!("{what} must be {}, found {}", ty.show(), v.show());
        let d = Diagnostic::error("E0207", at, message);
        Some(self.error(
            d.fix(format!("its type says the shape: `{}`", shown(&new)), [Edit::replace(Span { start, ..at }, new)]),
        ))
    }

    /// Declares a piece of state that starts as `init`.
    pub fn declare_state(
        &mut self,
        path: &str,
        ty: TensorType,
        init: ast::Init,
        m: &Rc<Instance>,
        span: Span,
    ) -> R<()> {
        let dims = ty.known().unwrap_or_default();
        let elem = ty.elem_or(self.float);
        let shape = TensorTy::new(elem.dtype(), dims.iter().map(|d| d.size));
        let tensor = if self.st.asserts.is_some() {
            // A test has no stored state either.
            let v = self.initial_value(&ty, &init, &m.env, path)?;
            Tensor { dims, ..v }
        } else {
            let id = self.b.input(Slot { name: path.into(), kind: SlotKind::State, ty: shape });
            Tensor { id, elem, dims }
        };
        if let Some(other) = self.st.params.get(path).map(|p| p.span) {
            return self.same_name(path, span, other);
        }
        let entry = StateEntry { current: tensor.clone(), slot: tensor, ty, init, owner: m.clone(), span };
        if self.st.states.insert(path.into(), entry).is_some() {
            return self.err("E0208", span, format!("two states are called `{path}`"));
        }
        Ok(())
    }

    /// Weights hold parameters and states by name, so no two share one.
    fn same_name<T>(&mut self, path: &str, span: Span, other: Span) -> R<T> {
        let d = Diagnostic::error("E0208", span, format!("a parameter and a state are called `{path}`"))
            .label(other, "the other one")
            .help("rename one with `@name(\"...\")`");
        Err(self.error(d))
    }

    /// Is a name a state of the model whose method is running?
    pub fn is_state(&self, name: &str, env: &Env) -> bool {
        self.state_cell(name, env).is_some()
    }

    fn state_cell(&self, name: &str, env: &Env) -> Option<(Rc<Instance>, usize)> {
        let mut level = Some(env);
        while let Some(scope) = level {
            if let ScopeKind::Instance(m) = &scope.kind {
                let m = m.upgrade()?;
                let TemplateKind::Item { def, .. } = &m.template.kind else { return None };
                let ModelBody::Members(list) = &def.body else { return None };
                let i = m.members.iter().position(|c| &*c.name == name)?;
                let MemberSource::Item(k) = m.members[i].source else { return None };
                return matches!(list[k].kind, MemberKind::State { .. }).then_some((m, i));
            }
            level = scope.parent.as_ref();
        }
        None
    }

    /// `name <- value` in a method.
    pub fn write_state(&mut self, name: &str, span: Span, v: Value, at: Span, env: &Env) -> R<()> {
        let Some((m, i)) = self.state_cell(name, env) else {
            let d = Diagnostic::error("E0210", span, format!("`{name}` is not state of this model"))
                .help("only `state` members are written with `<-`");
            return Err(self.error(d));
        };
        let role = match &m.template.kind {
            TemplateKind::Item { role, .. } => *role,
            _ => Role::Model,
        };
        self.member_at(&m, i, span)?;
        let MemberState::State(path) = m.members[i].state.borrow().clone() else { return Err(Reported) };
        let Some(entry) = self.st.states.get(&path) else { return Err(Reported) };
        let ty = entry.ty.clone();
        let v = self.coerce_tensor(v, &ty, at, &format!("state `{name}`"))?;
        let t = self.as_tensor(&v, Some(ty.elem_or(self.float).dtype()), at)?;
        // What an evaluation would remember is dropped: evaluating changes nothing.
        if role == Role::Model && !self.training {
            return Ok(());
        }
        if !self.st.loops.is_empty() {
            return Err(self.limit(span, "state written in a `scan` (carry a `var` and write it behind the loop)"));
        }
        let id = self.b.stop(t.id);
        if let Some(entry) = self.st.states.get_mut(&path) {
            entry.current = Tensor { id, ..t };
        }
        Ok(())
    }
}
