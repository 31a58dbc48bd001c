//! Sizes of index variables, found before anything is evaluated.
//!
//! In: binders and the body's syntax. Out: a [`Frame`] in which every variable has a size: from `i < N`, from the axes
//! that it indexes plainly (which must agree, E0113), or from an affine use `s*i + u` whose other variables are known.

use super::{Frame, Var, is_reducer};
use crate::diag::Diagnostic;
use crate::sema::calls::count;
use crate::sema::cx::{Elab, Env, R, Scope};
use crate::sema::value::{Dim, Tensor, Value};
use crate::source::Span;
use crate::syntax::ast::{Arg, BinaryOp, Binder, Block, ExprId, ExprKind, Ident, Ix, ListItem, StmtKind, UnaryOp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// `sum of coefficient * variable + constant`
#[derive(Clone, Debug, Default)]
pub(super) struct Affine {
    pub terms: BTreeMap<usize, i64>,
    pub constant: i64,
}

impl Affine {
    fn scale(mut self, k: i64) -> Option<Affine> {
        self.constant = self.constant.checked_mul(k)?;
        for c in self.terms.values_mut() {
            *c = c.checked_mul(k)?;
        }
        self.terms.retain(|_, c| *c != 0);
        Some(self)
    }

    fn add(mut self, other: Affine) -> Option<Affine> {
        self.constant = self.constant.checked_add(other.constant)?;
        for (v, c) in other.terms {
            let slot = self.terms.entry(v).or_insert(0);
            *slot = slot.checked_add(c)?;
        }
        self.terms.retain(|_, c| *c != 0);
        Some(self)
    }

    /// The variable if this is exactly one variable.
    pub(super) fn plain(&self) -> Option<usize> {
        match self.terms.iter().next() {
            Some((&v, 1)) if self.terms.len() == 1 && self.constant == 0 => Some(v),
            _ => None,
        }
    }
}

/// A use that says how large variables may be.
struct Use {
    at: Affine,
    axis: Dim,
    span: Span,
    text: String,
}

struct Walk<'e> {
    frame: Frame,
    uses: Vec<Use>,
    env: &'e Env,
    key: usize,
    /// Indices that are no index variable and no name outside.
    strange: Vec<(Arc<str>, Span)>,
    /// Names that the body binds.
    locals: Vec<Arc<str>>,
}

fn declare(el: &mut Elab<'_>, w: &mut Walk<'_>, name: &Arc<str>, span: Span, sub: usize) -> usize {
    let dim = Dim { size: u64::MAX, ..el.fresh_dim(0, Some(name.clone()), Some(span)) };
    let key = (w.key, sub);
    w.frame.vars.push(Var { name: name.clone(), span, dim, outer: None, origin: None, given: false, key });
    w.frame.vars.len() - 1
}

fn bind(el: &mut Elab<'_>, w: &mut Walk<'_>, name: &Ident, bound: Option<ExprId>) -> R<usize> {
    w.key += 1;
    let v = declare(el, w, &name.text, name.span, 0);
    if let Some(e) = bound {
        let span = el.ast.span(e);
        let value = el.eval(e, w.env)?;
        let n = el.as_int(&value, span, "the range of an index")?;
        let Ok(n) = u64::try_from(n) else {
            return el.err("E0209", span, format!("the range of an index must not be negative, found {n}"));
        };
        let var = &mut w.frame.vars[v];
        var.dim.size = n;
        var.origin = Some(span);
        var.given = true;
        var.outer = Some(match value {
            Value::Dim(d) => d,
            _ => el.fresh_dim(n, None, Some(span)),
        });
    }
    Ok(v)
}

/// The frame of `let y[binders] = body`. Its scope holds the left side's variables in order.
pub(super) fn of_comprehension(el: &mut Elab<'_>, binders: &[Binder], body: ExprId, env: &Env) -> R<Frame> {
    let mut w = Walk { frame: Frame::default(), uses: vec![], env, key: 0, strange: vec![], locals: vec![] };
    let mut row_key = None;
    for b in binders {
        match b {
            Binder::Row(span) => {
                if row_key.is_some() {
                    return el.err("E0117", *span, "two `..` on the left side");
                }
                w.key += 1;
                row_key = Some(w.key);
            }
            Binder::Var { name, bound } => {
                if w.frame.scope.iter().any(|(n, _)| *n == name.text) {
                    return el.err("E0208", name.span, format!("index `{}` is bound twice", name.text));
                }
                let v = bind(el, &mut w, name, *bound)?;
                w.frame.scope.push((name.text.clone(), v));
            }
        }
    }
    w.frame.row = None;
    walk(el, &mut w, body, row_key)?;
    if row_key.is_none() && w.frame.row.is_some() {
        let span = el.ast.span(body);
        return el.err("E0117", span, "`..` stands in the body but not on the left side");
    }
    solve(el, &mut w)?;
    Ok(w.frame)
}

/// The frame of a reducer that stands alone, and its variables.
pub(super) fn of_reducer(
    el: &mut Elab<'_>,
    items: &[Ix],
    args: &[Arg],
    span: Span,
    env: &Env,
) -> R<(Frame, Vec<usize>)> {
    let mut w = Walk { frame: Frame::default(), uses: vec![], env, key: 0, strange: vec![], locals: vec![] };
    let vars = binders(el, &mut w, items)?;
    for &v in &vars {
        let name = w.frame.vars[v].name.clone();
        w.frame.scope.push((name, v));
    }
    for a in args {
        walk(el, &mut w, a.value, None)?;
    }
    if w.frame.row.is_some() {
        return el.err("E0117", span, "`..` needs a left side that has it too");
    }
    solve(el, &mut w)?;
    Ok((w.frame, vars))
}

/// The binders of `sum[i, j < N]`.
fn binders(el: &mut Elab<'_>, w: &mut Walk<'_>, items: &[Ix]) -> R<Vec<usize>> {
    let ast = el.ast;
    let mut out = vec![];
    for item in items {
        let (name, bound) = match item {
            Ix::At(e) => match &ast.expr(*e).kind {
                ExprKind::Name(n) => (Ident { text: n.clone(), span: ast.span(*e) }, None),
                ExprKind::Binary { op: BinaryOp::Lt, lhs, rhs, .. } => match &ast.expr(*lhs).kind {
                    ExprKind::Name(n) => (Ident { text: n.clone(), span: ast.span(*lhs) }, Some(*rhs)),
                    _ => return el.err("E0208", ast.span(*e), "an index is a name: `i` or `i < N`"),
                },
                _ => return el.err("E0208", ast.span(*e), "an index is a name: `i` or `i < N`"),
            },
            Ix::Row(_, s) | Ix::New(s) | Ix::Slice { span: s, .. } => {
                return el.err("E0208", *s, "a reducer binds index names: `sum[i, j < N](..)`");
            }
            Ix::Window { start, .. } => {
                return el.err("E0208", ast.span(*start), "a reducer binds index names: `sum[i, j < N](..)`");
            }
        };
        if !name.text.starts_with(|c: char| c.is_lowercase() || c == '_') {
            let d = Diagnostic::error("E0208", name.span, format!("`{}` is a dim, not an index", name.text))
                .help("index names are lower case; to reduce an axis of a tensor write `sum(x, D)`");
            return Err(el.error(d));
        }
        out.push(bind(el, w, &name, bound)?);
    }
    Ok(out)
}

/// Finds accesses and reducers in an expression.
fn walk(el: &mut Elab<'_>, w: &mut Walk<'_>, e: ExprId, row: Option<usize>) -> R<()> {
    let ast = el.ast;
    el.tick(ast.span(e))?;
    match &ast.expr(e).kind {
        ExprKind::Call { callee, args } => {
            if let ExprKind::Index { base, items } = &ast.expr(*callee).kind
                && let ExprKind::Name(name) = &ast.expr(*base).kind
                && is_reducer(name)
            {
                let vars = binders(el, w, items)?;
                let depth = w.frame.scope.len();
                for &v in &vars {
                    let name = w.frame.vars[v].name.clone();
                    w.frame.scope.push((name, v));
                }
                w.frame.reducers.insert(e, vars);
                for a in args {
                    walk(el, w, a.value, row)?;
                }
                w.frame.scope.truncate(depth);
                return Ok(());
            }
            if !matches!(ast.expr(*callee).kind, ExprKind::Name(_) | ExprKind::Index { .. }) {
                walk(el, w, *callee, row)?;
            }
            for a in args {
                walk(el, w, a.value, row)?;
            }
        }
        ExprKind::Index { base, items } => {
            access(el, w, *base, items, row)?;
            for item in items {
                if let Ix::At(e) = item {
                    walk(el, w, *e, row)?;
                }
            }
        }
        ExprKind::Unary(_, a) | ExprKind::Cast(a, _) | ExprKind::Field { base: a, .. } => walk(el, w, *a, row)?,
        ExprKind::Binary { lhs, rhs, .. } => {
            walk(el, w, *lhs, row)?;
            walk(el, w, *rhs, row)?;
        }
        ExprKind::If { cond, then, otherwise } => {
            walk(el, w, *cond, row)?;
            block(el, w, then, row)?;
            if let Some(e) = otherwise {
                walk(el, w, *e, row)?;
            }
        }
        ExprKind::Block(b) => block(el, w, b, row)?,
        ExprKind::Tuple(items) => {
            for e in items {
                walk(el, w, *e, row)?;
            }
        }
        ExprKind::List(items) => {
            for item in items {
                if let ListItem::Expr(e) = item {
                    walk(el, w, *e, row)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn block(el: &mut Elab<'_>, w: &mut Walk<'_>, b: &Block, row: Option<usize>) -> R<()> {
    for s in &b.stmts {
        match &s.kind {
            StmtKind::Let { init, pat, .. } => {
                let mut names = vec![];
                crate::sema::names::idents(pat, &mut names);
                w.locals.extend(names.into_iter().map(|n| n.text.clone()));
                walk(el, w, init.value, row)?;
            }
            StmtKind::Expr(e) => walk(el, w, *e, row)?,
            _ => {}
        }
    }
    Ok(())
}

/// The tensor left of a bracket; `None` for anything else (a list, a function with dims).
fn base_tensor(el: &mut Elab<'_>, base: ExprId, env: &Env) -> R<Option<Tensor>> {
    let span = el.ast.span(base);
    let v = match &el.ast.expr(base).kind {
        // A local name of the body is not known yet; it is a scalar and cannot be indexed.
        ExprKind::Name(n) => match el.lookup(n, span, env)? {
            Some(v) => v,
            None => return Ok(None),
        },
        _ => el.eval(base, env)?,
    };
    Ok(match v {
        Value::Tensor(t) => Some(t),
        Value::List(_) => el.to_tensor(&v, None),
        _ => None,
    })
}

fn access(el: &mut Elab<'_>, w: &mut Walk<'_>, base: ExprId, items: &[Ix], row: Option<usize>) -> R<()> {
    if mentions(el, base, &w.frame) {
        return Ok(());
    }
    let Some(t) = base_tensor(el, base, w.env)? else { return Ok(()) };
    w.frame.bases.insert(base, t.clone());
    let rows = items.iter().filter(|i| matches!(i, Ix::Row(..))).count();
    let fixed = items.len() - rows;
    let span = el.ast.span(base);
    if rows > 1 || fixed > t.dims.len() || (rows == 0 && fixed != t.dims.len()) {
        let text = t.show();
        let d = Diagnostic::error(
            "E0117",
            span,
            format!("{} into {text}, which has {}", count(fixed, "index"), count(t.dims.len(), "axis")),
        )
        .help("inside a comprehension every axis takes one index; `..` stands for the axes in between");
        return Err(el.error(d));
    }
    let mut axis = 0;
    for item in items {
        match item {
            Ix::Row(_, rs) => {
                let count = t.dims.len() - fixed;
                let Some(key) = row else {
                    return el.err("E0117", *rs, "`..` needs a left side that has it too: `let y[b, ..] = x[b, ..]`");
                };
                let vars = match w.frame.row.clone() {
                    Some(vars) => vars,
                    None => {
                        let kept = std::mem::replace(&mut w.key, key);
                        let name: Arc<str> = "..".into();
                        let vars: Vec<usize> = (0..count).map(|i| declare(el, w, &name, *rs, i)).collect();
                        w.key = kept;
                        w.frame.row = Some(vars.clone());
                        vars
                    }
                };
                if vars.len() != count {
                    let n = vars.len();
                    return el.err(
                        "E0117",
                        *rs,
                        format!("`..` is {} here and {n} elsewhere", crate::sema::calls::count(count, "axis")),
                    );
                }
                for &v in &vars {
                    let at = Affine { terms: BTreeMap::from([(v, 1)]), constant: 0 };
                    let text = el.text(span).to_owned();
                    w.uses.push(Use { at, axis: t.dims[axis].clone(), span: *rs, text });
                    axis += 1;
                }
            }
            Ix::At(e) => {
                if let ExprKind::Name(n) = &el.ast.expr(*e).kind
                    && w.frame.named(n).is_none()
                    && el.lookup(n, el.ast.span(*e), w.env)?.is_none()
                {
                    w.strange.push((n.clone(), el.ast.span(*e)));
                }
                if let Some(at) = affine(el, *e, w.env, &w.frame)? {
                    let text = el.text(span).to_owned();
                    w.uses.push(Use { at, axis: t.dims[axis].clone(), span: el.ast.span(*e), text });
                }
                axis += 1;
            }
            Ix::New(s) | Ix::Slice { span: s, .. } => {
                return el.err("E0117", *s, "inside a comprehension every axis takes one index");
            }
            Ix::Window { start, .. } => {
                return el.err("E0117", el.ast.span(*start), "inside a comprehension every axis takes one index");
            }
        }
    }
    Ok(())
}

/// Does an expression mention an index variable in scope?
pub(super) fn mentions(el: &Elab<'_>, e: ExprId, frame: &Frame) -> bool {
    let m = |e: &ExprId| mentions(el, *e, frame);
    match &el.ast.expr(e).kind {
        ExprKind::Name(n) => frame.named(n).is_some(),
        ExprKind::Unary(_, a) | ExprKind::Cast(a, _) | ExprKind::Field { base: a, .. } => m(a),
        ExprKind::Binary { lhs, rhs, .. } => m(lhs) || m(rhs),
        ExprKind::Index { base, items } => {
            m(base)
                || items.iter().any(|i| match i {
                    Ix::At(e) => m(e),
                    Ix::Slice { lo, hi, step, .. } => [lo, hi, step].into_iter().flatten().any(m),
                    Ix::Window { start, len } => m(start) || m(len),
                    Ix::Row(..) | Ix::New(_) => false,
                })
        }
        ExprKind::Call { callee, args } => m(callee) || args.iter().any(|a| m(&a.value)),
        ExprKind::If { cond, otherwise, .. } => m(cond) || otherwise.as_ref().is_some_and(m),
        ExprKind::Tuple(items) => items.iter().any(m),
        _ => false,
    }
}

/// An index as an affine form over the variables in scope; `None` if it depends on data.
pub(super) fn affine(el: &mut Elab<'_>, e: ExprId, env: &Env, frame: &Frame) -> R<Option<Affine>> {
    let ast = el.ast;
    match &ast.expr(e).kind {
        ExprKind::Name(n) => {
            if let Some(v) = frame.named(n) {
                return Ok(Some(Affine { terms: BTreeMap::from([(v, 1)]), constant: 0 }));
            }
        }
        ExprKind::Unary(UnaryOp::Neg, a) => {
            let a = affine(el, *a, env, frame)?;
            return Ok(a.and_then(|a| a.scale(-1)));
        }
        ExprKind::Binary { op: op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul), lhs, rhs, .. } => {
            let a = affine(el, *lhs, env, frame)?;
            let b = affine(el, *rhs, env, frame)?;
            let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
            return Ok(match op {
                BinaryOp::Add => a.add(b),
                BinaryOp::Sub => b.scale(-1).and_then(|b| a.add(b)),
                _ if a.terms.is_empty() => b.scale(a.constant),
                _ if b.terms.is_empty() => a.scale(b.constant),
                _ => None,
            });
        }
        ExprKind::Index { .. } | ExprKind::If { .. } => return Ok(None),
        _ => {}
    }
    if mentions(el, e, frame) || !is_static(el, e, env)? {
        return Ok(None);
    }
    let v = el.eval(e, env)?;
    Ok(match v {
        Value::Int(n) => Some(Affine { terms: BTreeMap::new(), constant: n }),
        Value::Dim(d) => Some(Affine { terms: BTreeMap::new(), constant: d.size as i64 }),
        _ => None,
    })
}

/// Can an expression without index variables be evaluated now? Local names of the body cannot.
fn is_static(el: &mut Elab<'_>, e: ExprId, env: &Env) -> R<bool> {
    let ast = el.ast;
    Ok(match &ast.expr(e).kind {
        ExprKind::Name(n) => el.lookup(n, ast.span(e), env)?.is_some(),
        ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) => true,
        ExprKind::Unary(_, a) | ExprKind::Field { base: a, .. } => is_static(el, *a, env)?,
        ExprKind::Binary { lhs, rhs, .. } => is_static(el, *lhs, env)? && is_static(el, *rhs, env)?,
        ExprKind::Call { callee, args } => {
            let mut all = is_static(el, *callee, env)?;
            for a in args {
                all &= is_static(el, a.value, env)?;
            }
            all
        }
        _ => false,
    })
}

/// Decides every size.
fn solve(el: &mut Elab<'_>, w: &mut Walk<'_>) -> R<()> {
    let mut failed = None;
    for u in &w.uses {
        let Some(v) = u.at.plain() else { continue };
        let var = &mut w.frame.vars[v];
        if var.dim.size == u64::MAX {
            var.dim.size = u.axis.size;
            var.outer = Some(Dim { stretches: false, ..u.axis.clone() });
            var.origin = Some(u.span);
        } else if var.dim.size > u.axis.size
            || (var.dim.size < u.axis.size && !nn_runtime::mutant!("sema.two_sizes") && !var.given)
        {
            let (name, a, b) = (var.name.clone(), var.dim.size, u.axis.size);
            el.learn(a, b);
            let name = if &*name == ".." { "an axis of `..`".to_owned() } else { format!("index `{name}`") };
            let old = var.outer.as_ref().map_or_else(String::new, |d| d.show());
            let mut d = Diagnostic::error("E0113", u.span, format!("{name} ranges over two sizes: {a} and {b}"))
                .here(format!("below {} (axis of {})", u.axis.show(), u.text));
            if let Some(o) = var.origin {
                d = d.label(o, format!("below {old}"));
            }
            failed = Some(el.error(d));
        }
    }
    // Affine uses decide one variable at a time, until nothing changes.
    loop {
        let mut changed = false;
        for u in &w.uses {
            let open: Vec<usize> =
                u.at.terms.keys().copied().filter(|&v| w.frame.vars[v].dim.size == u64::MAX).collect();
            let [v] = open[..] else { continue };
            let (mut low, mut high) = (u.at.constant, u.at.constant);
            for (&o, &c) in &u.at.terms {
                if o != v {
                    let last = w.frame.vars[o].dim.size.saturating_sub(1) as i64;
                    let reach = c.saturating_mul(last);
                    low = low.saturating_add(reach.min(0));
                    high = high.saturating_add(reach.max(0));
                }
            }
            let c = u.at.terms[&v];
            let room = if c > 0 { (u.axis.size as i64 - 1).saturating_sub(high) } else { low };
            if room < 0 {
                let name = w.frame.vars[v].name.clone();
                let d = Diagnostic::error(
                    "E0107",
                    u.span,
                    format!("window does not fit: index `{name}` has no place to stand"),
                )
                .here(format!("needs {} elements, the axis is {}", high.saturating_add(1), u.axis.show()))
                .help("pad the operand, or make the window smaller");
                return Err(el.error(d));
            }
            let size = room as u64 / c.unsigned_abs() + u64::from(!nn_runtime::mutant!("sema.window_range"));
            let outer = el.fresh_dim(size, None, Some(u.span));
            let var = &mut w.frame.vars[v];
            var.dim.size = size;
            var.outer = Some(outer);
            var.origin = Some(u.span);
            changed = true;
        }
        if !changed {
            break;
        }
    }
    let open = w.frame.vars.iter().any(|v| v.dim.size == u64::MAX);
    // `let y[i] = x[j]`: that `j` does not exist is why nothing tells the range of `i`.
    if let Some((name, span)) = w.strange.iter().find(|(n, _)| open && !w.locals.contains(n)) {
        return Err(el.unknown(name, *span, w.env));
    }
    for var in &w.frame.vars {
        if var.dim.size == u64::MAX {
            let name = var.name.clone();
            let d = Diagnostic::error("E0106", var.span, format!("the range of index `{name}` is not known"))
                .help(format!("it indexes no axis by itself: give it, `{name} < N`"));
            failed = Some(el.error(d));
        }
    }
    // Inside, an axis is shown by its index; it never stretches.
    failed.map_or(Ok(()), Err)
}

/// A scope without index variables, for what stands left of a bracket.
pub(super) fn outside(env: &Env) -> Env {
    Scope::inside(env)
}
