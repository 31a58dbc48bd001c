//! Distributions, and draws from them.
//!
//! In: `normal(0.1)` and its like are values; `let x: T ~ normal(0.1)` gives one here with the type to fill. Out: ops over
//! [`Op::Rng`] bits, so that a draw is part of the graph. A uniform number is a multiple of 2^-24 in f32, of 2^-53 in f64,
//! exactly: 24 bits of one site, or 27 bits of one and 26 bits of another.

use super::{Builtin, row};
use crate::diag::{Diagnostic, Edit};
use crate::graph::graph::ValueId;
use crate::graph::ops::ArgKind;
use crate::graph::ops::elementwise::Ew;
use crate::sema::args::Args;
use crate::sema::cx::{Elab, R};
use crate::sema::signature::{Form, Kind, need, or, sig};
use crate::sema::tensor::arith::{self, BinOp};
use crate::sema::tensor::{Num, Opd, broadcast, dtype, sizes};
use crate::sema::value::{Dim, Dist, Elem, ElemType, Tensor, TensorType, Value, show_dims};
use crate::source::Span;
use nn_runtime::dtype::DType;
use std::rc::Rc;

const KAIMING: &[Form] = &[&[or("a", Kind::Number, "0")]];

/// Functions of this file: each makes a distribution. What is drawn has the shape and dtype of the type left of `~`.
pub(super) const TABLE: &[Builtin] = &[
    row(
        sig("normal", &[&[or("std", Kind::Tensor, "1"), or("mean", Kind::Tensor, "0")]]),
        "Normal with a standard deviation and a mean. Draws floats.",
        "let x: f32[2000] ~ normal(0.5, 3.0); close(mean(x), 3, 0.1)",
        dist,
    ),
    row(
        sig("uniform", &[&[], &[need("a", Kind::Number)], &[need("lo", Kind::Number), need("hi", Kind::Number)]]),
        "Uniform over 0 to 1, over -a to a, or over lo to hi. Draws floats.",
        "let x: f32[100] ~ uniform(2.0); all(abs(x) <= 2)",
        uniform,
    ),
    row(
        sig("bernoulli", &[&[or("p", Kind::Tensor, "0.5")]]),
        "True with probability p. Draws bools.",
        "let keep: bool[4] ~ bernoulli(1.0); all(keep)",
        dist,
    ),
    row(
        sig("randint", &[&[], &[need("hi", Kind::Int)], &[need("lo", Kind::Int), need("hi", Kind::Int)]]),
        "Whole numbers from `lo` (0) to hi - 1, evenly; without bounds over the range of the `idx` type. Draws ints.",
        "let i: idx<5>[100] ~ randint(); all(i < 5)",
        randint,
    ),
    row(
        sig("trunc_normal", &[&[or("std", Kind::Number, "1"), or("bound", Kind::Number, "2")]]),
        "Normal with a standard deviation, held to `bound` deviations on either side. Draws floats.",
        "let x: f32[100] ~ trunc_normal(0.5); all(abs(x) <= 1)",
        dist,
    ),
    row(
        sig("kaiming_uniform", KAIMING),
        "Uniform within sqrt(6 / ((1 + a^2) * fan-in)) for a weight [Out, In, ..] (He et al. 2015). Draws floats.",
        "let w: f32[4, 6] ~ kaiming_uniform(); all(abs(w) <= 1)",
        dist,
    ),
    row(
        sig("kaiming_normal", KAIMING),
        "Normal with deviation sqrt(2 / ((1 + a^2) * fan-in)) for a weight [Out, In, ..] (He et al. 2015). Draws floats.",
        "let w: f32[50, 2] ~ kaiming_normal(); close(mean(w**2), 1, 0.5)",
        dist,
    ),
    row(
        sig("glorot", &[&[or("gain", Kind::Number, "1")]]),
        "Uniform within gain * sqrt(6 / (fan-in + fan-out)) for a weight [Out, In, ..] (Glorot & Bengio 2010). Draws \
         floats.",
        "let w: f32[3, 3] ~ glorot(); all(abs(w) <= 1)",
        dist,
    ),
    row(
        sig("categorical", &[&[need("logits", Kind::Tensor)]]),
        "An index of the last axis with probability softmax(logits): logits [..S, C]. Draws idx<C>[..S].",
        "let i: idx<2>[100] ~ categorical([0.0, -1e9]); all(i == 0)",
        dist,
    ),
];

fn made(name: &'static str, args: Vec<Value>, span: Span) -> R<Value> {
    Ok(Value::Dist(Rc::new(Dist { name, args, span })))
}

/// A distribution with its arguments in order.
fn dist(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let mut values = vec![];
    for p in a.sig.forms[a.form] {
        values.push(match p.kind {
            Kind::Number => Value::Float(a.float(el, p.name)?),
            _ => a.operand(el, p.name)?.val.into(),
        });
    }
    made(a.name(), values, a.span)
}

fn uniform(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let (lo, hi) = match a.form {
        0 => (0.0, 1.0),
        1 => {
            let x = a.float(el, "a")?;
            (-x, x)
        }
        _ => (a.float(el, "lo")?, a.float(el, "hi")?),
    };
    made("uniform", vec![Value::Float(lo), Value::Float(hi)], a.span)
}

fn randint(el: &mut Elab<'_>, a: Args) -> R<Value> {
    let bounds = match a.form {
        0 => vec![],
        1 => vec![0, a.int(el, "hi")?],
        _ => vec![a.int(el, "lo")?, a.int(el, "hi")?],
    };
    made("randint", bounds.into_iter().map(Value::Int).collect(), a.span)
}

/// A draw from a distribution: the right side of `~`. The type's axes are all decided.
pub fn draw(el: &mut Elab<'_>, dist: &Value, ty: &TensorType, span: Span) -> R<Tensor> {
    let Value::Dist(d) = dist else {
        let e = Diagnostic::error("E0207", span, format!("`~` draws from a distribution, found {}", dist.show()));
        // Nothing but a draw is left of what is drawn elsewhere.
        let text = el.text(span);
        let name = text.split(['(', '[']).next().unwrap_or(text).rsplit('.').next().unwrap_or(text);
        let ours = match name {
            "randn" => Some("normal()"),
            "rand" => Some("uniform(0, 1)"),
            _ => None,
        };
        let value = match name {
            "zeros" => Some("= 0"),
            "ones" => Some("= 1"),
            _ => None,
        };
        let before = el.sources.file(span.file).text[..span.start as usize].trim_end();
        if let (Some(t), Some(before)) = (value, before.strip_suffix('~')) {
            let at = Span { start: before.len() as u32, ..span };
            return Err(el.error(e.fix(format!("write `{t}`"), [Edit::replace(at, t)])));
        }
        return Err(el.error(match ours {
            Some(t) => e.fix(format!("write `{t}`"), [Edit::replace(span, t)]),
            None => e.help("write `= ..` for a value, or a distribution such as `normal(0.1)`"),
        }));
    };
    el.span_nodes(span);
    let Some(dims) = ty.known() else {
        return el.err("E0106", span, "a draw needs a type with every size given");
    };
    el.check_shape(&dims, span)?;
    let want = match &ty.elem {
        ElemType::Exact(e) => Some(e.clone()),
        _ => None,
    };
    match d.name {
        "bernoulli" => bernoulli(el, d, want, dims),
        "randint" => integers(el, d, want, dims),
        "categorical" => categorical(el, d, want, dims),
        _ => {
            let out = match want {
                None => el.float,
                Some(Elem::Plain(t)) if t.is_float() => t,
                Some(e) => {
                    let t = e.dtype();
                    return el.err("E0202", d.span, format!("`{}` draws floats, the type says {t}", d.name));
                }
            };
            let float = if out == DType::F64 { DType::F64 } else { DType::F32 };
            let id = real(el, d, float, &dims)?;
            let id = dtype::cast_id(el, id, out);
            Ok(Tensor { id, elem: Elem::Plain(out), dims })
        }
    }
}

/// The top `n` bits of a site of its own, as `u32`.
fn bits(el: &mut Elab<'_>, n: u32, dims: &[Dim]) -> ValueId {
    let site = el.fresh_site();
    let raw = el.rng(site, &sizes(dims));
    let rest = el.b.splat_like(raw, f64::from(32 - n));
    el.b.ew(Ew::Shr, &[raw, rest])
}

/// What unit numbers of a float are multiples of.
fn grain(float: DType) -> f64 {
    if float == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) }
}

/// A whole number below 2^24 in f32, below 2^53 in f64, evenly.
fn whole(el: &mut Elab<'_>, float: DType, dims: &[Dim]) -> ValueId {
    if float != DType::F64 {
        let u = bits(el, 24, dims);
        return el.b.cast(u, float);
    }
    let high = bits(el, 27, dims);
    let low = bits(el, 26, dims);
    let (high, low) = (el.b.cast(high, float), el.b.cast(low, float));
    let place = el.full(float, dims, 2f64.powi(26));
    let high = el.b.ew(Ew::Mul, &[high, place]);
    el.b.ew(Ew::Add, &[high, low])
}

/// Uniform in 0..1, a multiple of the float's grain.
fn unit(el: &mut Elab<'_>, float: DType, dims: &[Dim]) -> ValueId {
    let u = whole(el, float, dims);
    let scale = el.full(float, dims, grain(float));
    el.b.ew(Ew::Mul, &[u, scale])
}

/// Standard normal by Box and Muller: `sqrt(-2 log(1 - u)) * cos(2 pi v)`.
fn gauss(el: &mut Elab<'_>, float: DType, dims: &[Dim]) -> ValueId {
    let u = unit(el, float, dims);
    let v = unit(el, float, dims);
    let one = el.full(float, dims, 1.0);
    let minus_two = el.full(float, dims, -2.0);
    let tau = el.full(float, dims, std::f64::consts::TAU);
    let rest = el.b.sub(one, u);
    let log = el.b.ew(Ew::Log, &[rest]);
    let square = el.b.ew(Ew::Mul, &[minus_two, log]);
    let radius = el.b.ew(Ew::Sqrt, &[square]);
    let angle = el.b.ew(Ew::Mul, &[tau, v]);
    let cos = el.b.ew(Ew::Cos, &[angle]);
    el.b.ew(Ew::Mul, &[radius, cos])
}

/// `x * scale + shift` with static or runtime scalars.
fn affine(el: &mut Elab<'_>, x: ValueId, dims: &[Dim], scale: &Value, shift: &Value, span: Span) -> R<ValueId> {
    let x = Opd::new(el.plain(x, dims.to_vec()), span);
    let k = el.operand(scale, span)?;
    let c = el.operand(shift, span)?;
    let mut out = x;
    for (op, o, neutral) in [(BinOp::Mul, k, 1.0), (BinOp::Add, c, 0.0)] {
        if matches!(&o.val, crate::sema::tensor::Val::Num(n) if n.f64() == neutral) {
            continue;
        }
        let r = arith::binary(el, op, &out, &o, span);
        out = Opd::new(el.failed(r)?, span);
    }
    let t = dtype::tensor(el, &out);
    if sizes(&t.dims) != sizes(dims) {
        let (a, b) = (show_dims(&t.dims), show_dims(dims));
        return el.err("E0103", span, format!("the arguments of the distribution make {a}, the type says {b}"));
    }
    Ok(t.id)
}

/// Numbers of inputs and outputs of one unit, as PyTorch counts them for a weight [Out, In, ..].
fn fans(el: &mut Elab<'_>, d: &Dist, dims: &[Dim]) -> R<(f64, f64)> {
    let [out, inp, rest @ ..] = dims else {
        let shape = show_dims(dims);
        let e = Diagnostic::error(
            "E0117",
            d.span,
            format!("`{}` needs a weight of two axes or more, found {shape}", d.name),
        )
        .help("for a vector use `normal(std)` or `uniform(a)`");
        return Err(el.error(e));
    };
    let field: u64 = rest.iter().map(|d| d.size).product();
    Ok(((inp.size * field) as f64, (out.size * field) as f64))
}

/// Draws of floats, in f32 or f64.
fn real(el: &mut Elab<'_>, d: &Dist, float: DType, dims: &[Dim]) -> R<ValueId> {
    let number = |el: &mut Elab<'_>, i: usize| -> R<f64> {
        let v = d.args.get(i).cloned().unwrap_or(Value::Float(0.0));
        el.as_float(&v, d.span, &format!("the argument of `{}`", d.name))
    };
    let zero = Value::Float(0.0);
    in_range(el, d)?;
    match d.name {
        "normal" => {
            let z = gauss(el, float, dims);
            affine(el, z, dims, &d.args[0], &d.args[1], d.span)
        }
        "uniform" => {
            let (lo, hi) = (number(el, 0)?, number(el, 1)?);
            within(el, float, (lo, hi), dims, d.span)
        }
        "kaiming_uniform" => {
            let (a, (fan, _)) = (number(el, 0)?, fans(el, d, dims)?);
            let bound = (6.0 / ((1.0 + a * a) * fan)).sqrt();
            within(el, float, (-bound, bound), dims, d.span)
        }
        "kaiming_normal" => {
            let (a, (fan, _)) = (number(el, 0)?, fans(el, d, dims)?);
            let std = (2.0 / ((1.0 + a * a) * fan)).sqrt();
            let z = gauss(el, float, dims);
            affine(el, z, dims, &Value::Float(std), &zero, d.span)
        }
        "glorot" => {
            let (gain, (fan_in, fan_out)) = (number(el, 0)?, fans(el, d, dims)?);
            let bound = gain * (6.0 / (fan_in + fan_out)).sqrt();
            within(el, float, (-bound, bound), dims, d.span)
        }
        "trunc_normal" => {
            let (std, bound) = (number(el, 0)?, number(el, 1)?);
            let z = truncated(el, float, bound, dims);
            affine(el, z, dims, &Value::Float(std), &zero, d.span)
        }
        name => Err(el.limit(d.span, &format!("the distribution `{name}`"))),
    }
}

/// Holds the static arguments of a distribution of floats to their ranges.
fn in_range(el: &mut Elab<'_>, d: &Dist) -> R<()> {
    let number = |i: usize| d.args.get(i).and_then(Num::of).map(Num::f64);
    let endless = (0..d.args.len()).filter_map(number).find(|x| !x.is_finite());
    let wrong = match (d.name, number(0), number(1)) {
        _ if endless.is_some() => Some(format!("the arguments of `{}` must be finite", d.name)),
        ("normal" | "trunc_normal", Some(std), _) if std < 0.0 => {
            Some(format!("the standard deviation of `{}` must not be negative, found {std}", d.name))
        }
        ("trunc_normal", _, Some(bound)) if bound <= 0.0 => {
            Some(format!("the bound of `trunc_normal` must be above 0, found {bound}"))
        }
        ("uniform", Some(lo), Some(hi)) if lo > hi => Some(format!("`uniform` over {lo} to {hi}, which is empty")),
        ("glorot", Some(gain), _) if gain < 0.0 => {
            Some(format!("the gain of `glorot` must not be negative, found {gain}"))
        }
        _ => None,
    };
    wrong.map_or(Ok(()), |message| el.err("E0209", d.span, message))
}

/// Uniform over `lo .. hi`.
fn within(el: &mut Elab<'_>, float: DType, (lo, hi): (f64, f64), dims: &[Dim], span: Span) -> R<ValueId> {
    let u = unit(el, float, dims);
    affine(el, u, dims, &Value::Float(hi - lo), &Value::Float(lo), span)
}

/// Standard normal held to `-bound .. bound` by inverting its distribution function: `sqrt(2) * erfinv(c * (2u - 1))` with
/// `c = erf(bound / sqrt(2))`. The inverse is Giles's single-precision polynomial pair (GPU Computing Gems, 2012), in f64 with
/// one step of Halley's method, whose cubic convergence takes an error of 1e-7 below that of f64.
fn truncated(el: &mut Elab<'_>, float: DType, bound: f64, dims: &[Dim]) -> ValueId {
    const NEAR: [f64; 9] = [
        2.810_226_36e-8,
        3.432_739_39e-7,
        -3.523_387_7e-6,
        -4.391_506_54e-6,
        2.185_808_7e-4,
        -1.253_725_03e-3,
        -4.177_681_640e-3,
        2.466_407_27e-1,
        1.501_409_41,
    ];
    const FAR: [f64; 9] = [
        -2.002_142_57e-4,
        1.009_505_58e-4,
        1.349_343_22e-3,
        -3.673_428_44e-3,
        5.739_507_73e-3,
        -7.622_461_3e-3,
        9.438_870_47e-3,
        1.001_674_06,
        2.832_976_82,
    ];
    let c = (Ew::Erf.spec().eval)(DType::F64, &[bound / std::f64::consts::SQRT_2]);
    let k = |el: &mut Elab<'_>, x: f64| el.full(float, dims, x);
    let u = unit(el, float, dims);
    // Centered, so that 0 and 1 are equally far.
    let (scale, shift) = (k(el, 2.0 * c), k(el, c * (grain(float) - 1.0)));
    let x = el.b.ew(Ew::Mul, &[u, scale]);
    let x = el.b.ew(Ew::Add, &[x, shift]);
    let (one, five, half, three) = (k(el, 1.0), k(el, 5.0), k(el, 2.5), k(el, 3.0));
    let less = el.b.sub(one, x);
    let more = el.b.ew(Ew::Add, &[one, x]);
    let both = el.b.ew(Ew::Mul, &[less, more]);
    let log = el.b.ew(Ew::Log, &[both]);
    let w = el.b.ew(Ew::Neg, &[log]);
    let near = el.b.ew(Ew::Lt, &[w, five]);
    let a = el.b.sub(w, half);
    let root = el.b.ew(Ew::Sqrt, &[w]);
    let f = el.b.sub(root, three);
    let horner = |el: &mut Elab<'_>, x: ValueId, table: &[f64]| {
        let mut p = el.full(float, dims, table[0]);
        for &c in &table[1..] {
            let m = el.b.ew(Ew::Mul, &[p, x]);
            let c = el.full(float, dims, c);
            p = el.b.ew(Ew::Add, &[m, c]);
        }
        p
    };
    let pn = horner(el, a, &NEAR);
    let pf = horner(el, f, &FAR);
    let p = el.b.ew(Ew::Select, &[near, pn, pf]);
    let z = el.b.ew(Ew::Mul, &[p, x]);
    let z = if float == DType::F64 { refined(el, z, x, dims) } else { z };
    let root2 = k(el, std::f64::consts::SQRT_2);
    let z = el.b.ew(Ew::Mul, &[z, root2]);
    // Rounding must not carry a draw past the bound.
    let (lo, hi) = (k(el, -bound), k(el, bound));
    let z = el.b.ew(Ew::Max, &[z, lo]);
    el.b.ew(Ew::Min, &[z, hi])
}

/// A root `z` of `erf z = x` made more exact: with `d = (erf z - x) / erf' z`, Halley's step is `z - d / (1 + z d)`.
fn refined(el: &mut Elab<'_>, z: ValueId, x: ValueId, dims: &[Dim]) -> ValueId {
    let float = el.b.ty(z).dtype;
    let e = el.b.ew(Ew::Erf, &[z]);
    let off = el.b.sub(e, x);
    let zz = el.b.ew(Ew::Mul, &[z, z]);
    let growth = el.b.ew(Ew::Exp, &[zz]);
    let half_root_pi = el.full(float, dims, 1.0 / std::f64::consts::FRAC_2_SQRT_PI);
    let d = el.b.ew(Ew::Mul, &[off, growth]);
    let d = el.b.ew(Ew::Mul, &[d, half_root_pi]);
    let one = el.full(float, dims, 1.0);
    let bend = el.b.ew(Ew::Mul, &[z, d]);
    let bend = el.b.ew(Ew::Add, &[bend, one]);
    let step = el.b.ew(Ew::Div, &[d, bend]);
    el.b.sub(z, step)
}

/// True with probability p: 24 bits below `p * 2^24`.
fn bernoulli(el: &mut Elab<'_>, d: &Dist, want: Option<Elem>, dims: Vec<Dim>) -> R<Tensor> {
    let id = match Num::of(&d.args[0]) {
        Some(p) => {
            let p = p.f64();
            if !(0.0..=1.0).contains(&p) {
                return el.err("E0209", d.span, format!("a probability lies in 0 to 1, found {p}"));
            }
            let k = bits(el, 24, &dims);
            let limit = el.b.splat_like(k, (p * 16_777_216.0).ceil());
            el.b.ew(if nn_runtime::mutant!("draw.bernoulli") { Ew::Gt } else { Ew::Lt }, &[k, limit])
        }
        None => {
            let p = el.as_tensor(&d.args[0], None, d.span)?;
            let p = crate::sema::tensor::broadcast_to(el, &p, &dims, d.span)?;
            let float = if p.elem.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let p = dtype::cast_id(el, p.id, float);
            let u = unit(el, float, &dims);
            el.b.ew(Ew::Lt, &[u, p])
        }
    };
    let elem = want.unwrap_or(Elem::Plain(DType::Bool));
    let id = dtype::cast_id(el, id, elem.dtype());
    Ok(Tensor { id, elem, dims })
}

/// Integers, evenly, and the same ones whatever the program's float: `floor(u * n) + lo`, which stays below `n` because `u` is
/// at most `1 - 2^-24`.
fn integers(el: &mut Elab<'_>, d: &Dist, want: Option<Elem>, dims: Vec<Dim>) -> R<Tensor> {
    let elem = want.unwrap_or(Elem::Plain(DType::I32));
    let (lo, hi) = match (&d.args[..], &elem) {
        ([Value::Int(lo), Value::Int(hi)], _) => (*lo, *hi),
        (_, Elem::Idx(n)) => (0, n.size as i64),
        _ => {
            let e = Diagnostic::error("E0208", d.span, "`randint` needs a range")
                .help("give it: `randint(0, 10)`, or draw an `idx<10>`");
            return Err(el.error(e));
        }
    };
    if hi <= lo || hi.saturating_sub(lo) > 1 << 24 || lo < i64::from(i32::MIN) || hi > i64::from(i32::MAX) {
        let e = Diagnostic::error("E0209", d.span, format!("`randint` over {lo}..{hi}"))
            .note("the range must not be empty, holds at most 2^24 numbers and lies in i32");
        return Err(el.error(e));
    }
    if let Elem::Idx(n) = &elem
        && (lo < 0 || hi as u64 > n.size)
    {
        let n = n.show();
        return el.err("E0111", d.span, format!("`randint` over {lo}..{hi} leaves idx<{n}>"));
    }
    let u = unit(el, DType::F32, &dims);
    let n = el.full(DType::F32, &dims, (hi - lo) as f64);
    let x = el.b.ew(Ew::Mul, &[u, n]);
    let i = el.b.cast(x, DType::I32);
    let base = el.b.splat_like(i, lo as f64);
    let i = if lo == 0 { i } else { el.b.ew(Ew::Add, &[i, base]) };
    let id = dtype::cast_id(el, i, elem.dtype());
    Ok(Tensor { id, elem, dims })
}

/// An index of the last axis with probability softmax(logits), by the Gumbel trick: the first maximum of
/// `logits - log(-log(u))` with `u = (k + 1/2)` times the grain of the logits' float, which is neither 0 nor 1.
fn categorical(el: &mut Elab<'_>, d: &Dist, want: Option<Elem>, dims: Vec<Dim>) -> R<Tensor> {
    let logits = el.as_tensor(&d.args[0], None, d.span)?;
    let logits = dtype::float(el, &Opd::new(logits, d.span));
    let Some((classes, lead)) = logits.dims.split_last() else {
        return el.err("E0117", d.span, "`categorical` needs logits with at least one axis");
    };
    if classes.size == 0 {
        return el.err("E0117", d.span, "`categorical` over no classes");
    }
    let mut all = dims.clone();
    all.push(classes.clone());
    let common = broadcast::common(
        "categorical",
        broadcast::Shaped { dims: &logits.dims, span: d.span },
        broadcast::Shaped { dims: &all, span: d.span },
    );
    let common = el.failed(common)?;
    if sizes(&common) != sizes(&all) {
        let (a, b) = (show_dims(lead), show_dims(&dims));
        return el.err("E0103", d.span, format!("the logits are one draw for each of {a}, the type says {b}"));
    }
    el.check_shape(&all, d.span)?;
    if let Some(Elem::Idx(n)) = &want
        && n.size < classes.size
    {
        let (n, c) = (n.show(), classes.show());
        return el.err("E0111", d.span, format!("index space mismatch: a draw out of {c} as idx<{n}>"));
    }
    let float = if logits.elem.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let k = whole(el, float, &all);
    let half = el.full(float, &all, 0.5);
    let scale = el.full(float, &all, grain(float));
    // k + 1/2 rounds for large k, to at most one over the grain, so the product stays in 0..=1; 1 gives -log 1 = 0 and the
    // draw +inf, which is the limit of the distribution.
    let u = el.b.ew(Ew::Add, &[k, half]);
    let u = el.b.ew(Ew::Mul, &[u, scale]);
    let log = el.b.ew(Ew::Log, &[u]);
    let e = el.b.ew(Ew::Neg, &[log]);
    let log = el.b.ew(Ew::Log, &[e]);
    let x = dtype::cast_id(el, logits.id, float);
    let x = broadcast::expand(el, x, &logits.dims, &all);
    let noisy = el.b.sub(x, log);
    let id = el.b.arg_reduce(ArgKind::Max, noisy, dims.len() as u32);
    let elem = want.unwrap_or_else(|| Elem::Idx(classes.clone()));
    let id = dtype::cast_id(el, id, elem.dtype());
    Ok(Tensor { id, elem, dims })
}
