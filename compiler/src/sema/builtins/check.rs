//! Functions for `test` items: comparison within a tolerance, gradients against differences, updates of an optimizer,
//! results of a metric.

use super::{Builtin, row};
use crate::diag::Diagnostic;
use crate::graph::ops::elementwise::Ew;
use crate::sema::args::Args;
use crate::sema::cx::{CallArgs, Compared, Elab, Env, R};
use crate::sema::models::{ModelTemplate, Role, TemplateKind};
use crate::sema::signature::{Kind, need, or, sig};
use crate::sema::tensor::arith::{self, BinOp, UnFn};
use crate::sema::tensor::reduce::{self, Red};
use crate::sema::tensor::{Num, Opd, Val, dtype, sizes};
use crate::sema::value::{Tensor, Value};
use crate::source::Span;
use crate::syntax::ast::{MemberKind, ModelBody, ShapeItem, TyKind};
use std::rc::Rc;

/// Functions of this file.
pub(super) const TABLE: &[Builtin] = &[
    row(
        sig("close", &[&[need("a", Kind::Tensor), need("b", Kind::Tensor), or("tol", Kind::Number, "1e-6")]]),
        "Is `a == b` or |a - b| <= tol everywhere? NaN is close to nothing. [..S], [..S] -> bool; either may be a number.",
        "close([1.0, 2.0], [1.0, 2.0001], 1e-3)",
        close,
    ),
    row(
        sig("gradcheck", &[&[need("f", Kind::Function), need("x", Kind::Tensor), or("tol", Kind::Number, "1e-5")]]),
        "Does the gradient of the scalar `f(x)` agree with central differences? `x` has at most 64 elements. -> bool.",
        "gradcheck(|x| sum(x**3), [0.5, -1.0])",
        gradcheck,
    ),
    row(
        sig(
            "descend",
            &[&[need("optimizer", Kind::Optimizer), need("p", Kind::Tensor), need("gradients", Kind::List)]],
        ),
        "A parameter after an update by each gradient in turn, from fresh state, `t` from 1: [..S] -> [..S].",
        "close(descend(Sgd(lr: 0.1), [1.0], [[1.0], [2.0]]), [0.7], 1e-6)",
        descend,
    ),
    row(
        sig("measure", &[&[need("metric", Kind::Metric)]]),
        "What a metric with state gives after one batch, from fresh state: -> [].",
        "let y: idx<2>[2] = [0, 1]; close(measure(F1[2]([[1.0, 0.0], [0.0, 1.0]], y)), 1, 1e-6)",
        measure,
    ),
];

/// Most elements that `gradcheck` varies.
const MAX_VARIED: u64 = 64;

fn close(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let x = a.operand(el, "a")?;
    let y = a.operand(el, "b")?;
    let tol = a.float(el, "tol")?;
    let span = a.span;
    near(el, &x, &y, tol, span)
}

fn near(el: &mut Elab<'_>, x: &Opd, y: &Opd, tol: f64, span: Span) -> R<Value> {
    // A number beside a tensor and the numbers of a list stay as they are written: the other side may be f64.
    let number = |o: &Opd| matches!(o.val, Val::Num(_));
    let weak = number(x) != number(y);
    let floats = |el: &mut Elab<'_>, o: &Opd| match o.val {
        Val::Num(_) if weak => o.clone(),
        _ => Opd { list: o.list.clone(), ..Opd::new(dtype::float(el, o), o.span) },
    };
    let (x, y) = (floats(el, x), floats(el, y));
    let equal = arith::binary(el, BinOp::Eq, &x, &y, span);
    let equal = el.failed(equal)?;
    let d = arith::binary(el, BinOp::Sub, &x, &y, span);
    let d = el.failed(d)?;
    let d = arith::unary(el, UnFn::Abs, &Opd::new(d, span));
    let near = arith::binary(el, BinOp::Le, &Opd::new(d, span), &Opd::new(Num::Float(tol), span), span);
    let near = el.failed(near)?;
    let (e, n) = (dtype::tensor(el, &Opd::new(equal, span)), dtype::tensor(el, &Opd::new(near, span)));
    let id = el.b.ew(Ew::Or, &[e.id, n.id]);
    let both = el.plain(id, e.dims);
    let axes: Vec<usize> = (0..both.dims.len()).collect();
    let all = reduce::reduce(el, Red::All, &both, &axes, false);
    let at = dtype::meet(el.float, &x, &y, dtype::Want::Floats);
    let at = el.failed(at)?;
    let (left, right) = (dtype::to_dtype(el, &x, at).0, dtype::to_dtype(el, &y, at).0);
    el.st.compared = Some(Compared { result: all.id, left, right, tol: Some(tol) });
    Ok(Value::Tensor(all))
}

/// The differences are taken in the graph with a step of 2^-13, which suits the interpreter that runs tests: it computes in f64.
fn gradcheck(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (f, fs) = a.value(el, "f")?;
    let (x, xs) = a.tensor(el, "x")?;
    let tol = a.float(el, "tol")?;
    let (span, env) = (a.span, a.env.clone());
    let n: u64 = x.dims.iter().map(|d| d.size).product();
    if n > MAX_VARIED {
        return el.err("E0902", xs, format!("`gradcheck` varies at most {MAX_VARIED} elements, found {n}"));
    }
    let x = dtype::float(el, &Opd::new(x, xs));
    // A value of its own, so that the function sees an independent variable even where `x` is a constant.
    let zero = el.b.zeros_like(x.id);
    let free = el.b.ew(Ew::Add, &[x.id, zero]);
    let free = Tensor { id: free, ..x.clone() };
    let y = scalar_of(el, &f, &free, fs, span, &env)?;
    let g = crate::grad::grad(&mut el.b, y.id, &[free.id]).pop().flatten();
    let g = match g {
        Some(g) => g,
        None => el.b.zeros_like(free.id),
    };
    let step = 2f64.powi(-13);
    let count = el.b.iota(&[n], 0);
    let mut slopes = vec![];
    for i in 0..n {
        let here = el.b.splat_like(count, i as f64);
        let hit = el.b.ew(Ew::Eq, &[count, here]);
        let one = el.b.cast(hit, x.elem.dtype());
        let mut sides = vec![];
        for h in [step, -step] {
            let k = el.b.splat_like(one, h);
            let d = el.b.ew(Ew::Mul, &[one, k]);
            let d = el.b.reshape(d, &sizes(&x.dims));
            let moved = el.b.ew(Ew::Add, &[x.id, d]);
            sides.push(scalar_of(el, &f, &Tensor { id: moved, ..x.clone() }, fs, span, &env)?.id);
        }
        let diff = el.b.sub(sides[0], sides[1]);
        let k = el.b.splat_like(diff, 0.5 / step);
        let slope = el.b.ew(Ew::Mul, &[diff, k]);
        slopes.push(el.b.reshape(slope, &[1]));
    }
    if slopes.is_empty() {
        return Ok(Value::Bool(true));
    }
    let slopes = el.b.concat(&slopes, 0);
    let slopes = el.b.reshape(slopes, &sizes(&x.dims));
    let (g, s) = (Tensor { id: g, ..x.clone() }, Tensor { id: slopes, ..x });
    near(el, &Opd::new(g, span), &Opd::new(s, span), tol, span)
}

fn scalar_of(el: &mut Elab<'_>, f: &Value, x: &Tensor, fs: Span, span: Span, env: &Env) -> R<Tensor> {
    let y = el.call_simple(f, &[Value::Tensor(x.clone())], span, env)?;
    let y = el.as_tensor(&y, None, fs)?;
    super::derive::scalar(el, &y, fs)?;
    Ok(y)
}

fn template(el: &mut Elab<'_>, v: &Value, span: Span, want: Role, what: &str) -> R<Rc<ModelTemplate>> {
    match v {
        Value::Model(m) if matches!(m.kind, TemplateKind::Item { role, .. } if role == want) => Ok(m.clone()),
        v => {
            let d = Diagnostic::error("E0207", span, format!("expected {what}, found {}", v.show()));
            Err(el.error(d))
        }
    }
}

fn descend(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (opt, os) = a.value(el, "optimizer")?;
    let (p, ps) = a.value(el, "p")?;
    let mut p = el.as_tensor(&p, Some(el.float), ps)?;
    let (grads, gs) = a.value(el, "gradients")?;
    let (span, env) = (a.span, a.env.clone());
    let Value::List(grads) = grads else {
        return el.err("E0207", gs, "the gradients are a list, one for each update");
    };
    let t = template(el, &opt, os, Role::Optimizer, "an optimizer")?;
    let site = el.fresh_site();
    let outer = el.st.stored_float.replace(p.elem.dtype());
    let done = steps(el, &t, site, &mut p, &grads, (span, os, gs), &env);
    el.st.stored_float = outer;
    done?;
    Ok(Value::Tensor(p))
}

/// The updates of [`descend`].
fn steps(
    el: &mut Elab<'_>,
    t: &Rc<ModelTemplate>,
    site: u32,
    p: &mut Tensor,
    grads: &[Value],
    (span, os, gs): (Span, Span, Span),
    env: &Env,
) -> R<()> {
    let m = el.instantiate(t, &format!("descend.{site}"))?;
    if let TemplateKind::Item { def, .. } = &m.template.kind
        && let ModelBody::Members(list) = &def.body
    {
        // `..S` of a state's type is the parameter's shape.
        for x in list {
            if let MemberKind::State { ty, .. } = &x.kind
                && let TyKind::Tensor { shape: Some(shape), .. } = &ty.kind
                && let [ShapeItem::Row(row, at)] = shape.as_slice()
            {
                let key = crate::sema::names::row_key(row.as_ref().map(|n| &*n.text));
                let dims = p.dims.iter().cloned().map(Value::Dim).collect();
                m.env.bind(&key, Value::List(Rc::new(dims)), false, *at);
            }
        }
    }
    let Some(update) = el.member(&m, "update", span)? else {
        return el.err("E0207", os, "the optimizer has no `fn update(p, g, t)`");
    };
    for (i, g) in grads.iter().enumerate() {
        let g = el.as_tensor(g, Some(p.elem.dtype()), gs)?;
        let g = crate::sema::tensor::broadcast_to(el, &g, &p.dims.clone(), gs)?;
        let step = el.b.scalar(p.elem.dtype(), (i + 1) as f64);
        let step = el.plain(step, vec![]);
        let args = [Value::Tensor(p.clone()), Value::Tensor(g), Value::Tensor(step)];
        let v = el.call_simple(&update, &args, span, env)?;
        *p = Tensor { dims: p.dims.clone(), ..el.as_tensor(&v, None, span)? };
    }
    Ok(())
}

fn measure(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (v, s) = a.value(el, "metric")?;
    let (span, env) = (a.span, a.env.clone());
    let t = template(el, &v, s, Role::Metric, "a metric with its arguments")?;
    let mut bare = (*t).clone();
    let given = bare.hyper.take().unwrap_or_default();
    let site = el.fresh_site();
    let m = el.instantiate(&Rc::new(bare), &format!("measure.{site}"))?;
    for name in ["update", "result"] {
        let Some(f) = el.member(&m, name, span)? else {
            return el.err("E0207", s, format!("the metric has no `{name}`"));
        };
        let (pos, named) = if name == "update" { (given.pos.clone(), given.named.clone()) } else { (vec![], vec![]) };
        let call = CallArgs { span, callee: s, dims: None, pos, named, expect: None, env: env.clone() };
        let r = el.call_value(&f, call)?;
        if name == "result" {
            return Ok(r);
        }
    }
    Ok(Value::unit())
}
