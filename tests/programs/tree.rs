//! Programs as the generator makes them: their text, and their meaning by loops over indices.
//!
//! In: statements over named tensors. Out: `.nn` source, and the values of all tensors. Nothing here is the compiler's: an
//! element is computed by looking up numbers and adding them, so a slip of elaboration cannot be made here too.

use super::number::Number;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A dense tensor, row-major.
#[derive(Clone)]
pub struct Tensor<N> {
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// Its elements.
    pub data: Vec<N>,
}

impl<N: Number> Tensor<N> {
    /// Where an element lies.
    pub fn at(&self, ix: &[usize]) -> usize {
        assert_eq!(ix.len(), self.shape.len());
        ix.iter().zip(&self.shape).fold(0, |flat, (&i, &n)| {
            assert!(i < n, "the generator made an index outside of its axis");
            flat * n + i
        })
    }
    /// Every index, in order.
    pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
        let mut all = vec![vec![]];
        for &n in shape {
            all = all.into_iter().flat_map(|ix| (0..n).map(move |i| [&ix[..], &[i]].concat())).collect();
        }
        all
    }
}

/// A variable and its range.
#[derive(Clone)]
pub struct Var {
    /// Its name.
    pub name: String,
    /// It runs from 0 to this.
    pub size: usize,
    /// Is the range written? If not, a plain access gives it.
    pub written: bool,
}

/// A position along an axis.
#[derive(Clone)]
pub enum Ix {
    /// The sum of variables times factors, and a constant.
    Affine(Vec<(String, i64)>, i64),
    /// What stands in a tensor of ints at a position.
    Computed(String, Box<Ix>),
    /// Where the body is largest along a variable.
    ArgMax(Var, Box<Expr>),
}

/// How a reducer joins elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named as in the language")]
pub enum Red {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    LogSumExp,
}

/// A number for each position.
#[derive(Clone)]
#[allow(missing_docs, reason = "named as in the language")]
pub enum Expr {
    Num(f64),
    Access(String, Vec<Ix>),
    /// A variable as a number.
    Index(String),
    Add(Box<Expr>, Box<Expr>),
    Sub(Box<Expr>, Box<Expr>),
    Mul(Box<Expr>, Box<Expr>),
    Neg(Box<Expr>),
    Tanh(Box<Expr>),
    Abs(Box<Expr>),
    Extreme(bool, Box<Expr>, Box<Expr>),
    If(Box<Cond>, Box<Expr>, Box<Expr>),
    Reduce(Red, Vec<Var>, Box<Expr>),
}

/// A truth for each position.
#[derive(Clone)]
#[allow(missing_docs, reason = "named as in the language")]
pub enum Cond {
    Access(String, Vec<Ix>),
    Less(Expr, Expr),
    /// Of two variables, `<=`.
    Before(String, String),
    And(Box<Cond>, Box<Cond>),
    Or(Box<Cond>, Box<Cond>),
    Not(Box<Cond>),
    /// Does it hold anywhere, or everywhere, along a variable?
    Along(bool, Var, Box<Cond>),
}

/// How a tensor comes about.
#[derive(Clone)]
#[allow(missing_docs, reason = "named as in the language")]
pub enum Made {
    Comprehension(Vec<Var>, Expr),
    /// `a @ b`
    Matmul(String, String),
    /// `x.T`
    Transpose(String),
    /// `sum(x, axis)` or `max(x, axis: ..)`, with the axis kept or not.
    Along {
        red: Red,
        of: String,
        axis: usize,
        keep: bool,
    },
    /// `x - mean(x, axis, keep: true)`
    Centered(String, usize),
    /// `x[.., from:to:step]`
    Slice {
        of: String,
        from: usize,
        to: usize,
        step: usize,
    },
    /// `cat(a, b)`
    Cat(String, String),
    /// `cumsum(x)`
    CumSum(String),
    /// `f(x)` of a function of the program, which adds up the last axis twice over.
    Call(String),
}

/// Values of all kinds by name.
pub struct Env<N> {
    /// Numbers.
    pub floats: BTreeMap<String, Tensor<N>>,
    /// Ints, as indices.
    pub ints: BTreeMap<String, Vec<usize>>,
    /// Truths.
    pub bools: BTreeMap<String, Tensor<f64>>,
}

type Scope = BTreeMap<String, usize>;

impl<N: Number> Env<N> {
    fn position(&self, ix: &Ix, scope: &Scope) -> usize {
        match ix {
            Ix::Affine(terms, c) => {
                let sum = terms.iter().fold(*c, |sum, (v, k)| sum + k * scope[v] as i64);
                usize::try_from(sum).expect("the generator keeps indices above zero")
            }
            Ix::Computed(t, at) => self.ints[t][self.position(at, scope)],
            Ix::ArgMax(v, e) => {
                let mut best: Option<(usize, f64)> = None;
                for i in 0..v.size {
                    let x = self.expr(e, &with(scope, v, i)).value();
                    if best.is_none_or(|(_, b)| x > b) {
                        best = Some((i, x));
                    }
                }
                best.expect("an axis with elements").0
            }
        }
    }

    fn expr(&self, e: &Expr, s: &Scope) -> N {
        let get = |e: &Expr| self.expr(e, s);
        match e {
            Expr::Num(x) => N::of(*x),
            Expr::Access(t, ix) => {
                let t = &self.floats[t];
                let at: Vec<usize> = ix.iter().map(|ix| self.position(ix, s)).collect();
                t.data[t.at(&at)]
            }
            Expr::Index(v) => N::of(s[v] as f64),
            Expr::Add(a, b) => get(a).add(get(b)),
            Expr::Sub(a, b) => get(a).add(get(b).neg()),
            Expr::Mul(a, b) => get(a).mul(get(b)),
            Expr::Neg(a) => get(a).neg(),
            Expr::Tanh(a) => get(a).tanh(),
            Expr::Abs(a) => get(a).abs(),
            Expr::Extreme(largest, a, b) => get(a).extreme(get(b), *largest),
            Expr::If(c, a, b) => get(if self.cond(c, s) { a } else { b }),
            Expr::Reduce(red, vars, body) => {
                let mut scopes = vec![s.clone()];
                for v in vars {
                    scopes = scopes.iter().flat_map(|s| (0..v.size).map(|i| with(s, v, i))).collect();
                }
                reduce(*red, scopes.iter().map(|s| self.expr(body, s)).collect())
            }
        }
    }

    fn cond(&self, c: &Cond, s: &Scope) -> bool {
        match c {
            Cond::Access(t, ix) => {
                let t = &self.bools[t];
                let at: Vec<usize> = ix.iter().map(|ix| self.position(ix, s)).collect();
                t.data[t.at(&at)] != 0.0
            }
            Cond::Less(a, b) => self.expr(a, s).value() < self.expr(b, s).value(),
            Cond::Before(a, b) => s[a] <= s[b],
            Cond::And(a, b) => self.cond(a, s) && self.cond(b, s),
            Cond::Or(a, b) => self.cond(a, s) || self.cond(b, s),
            Cond::Not(a) => !self.cond(a, s),
            Cond::Along(any, v, c) => {
                let mut all = (0..v.size).map(|i| self.cond(c, &with(s, v, i)));
                if *any { all.any(|x| x) } else { all.all(|x| x) }
            }
        }
    }

    /// The tensor that a statement makes.
    pub fn make(&self, m: &Made) -> Tensor<N> {
        let of = |name: &String| &self.floats[name];
        let build = |shape: &[usize], f: &dyn Fn(&[usize]) -> N| Tensor {
            shape: shape.to_vec(),
            data: Tensor::<N>::indices(shape).iter().map(|ix| f(ix)).collect(),
        };
        let row = |t: &Tensor<N>, ix: &[usize], axis: usize| -> Vec<N> {
            (0..t.shape[axis]).map(|i| t.data[t.at(&[&ix[..axis], &[i], &ix[axis + 1..]].concat())]).collect()
        };
        match m {
            Made::Comprehension(vars, body) => {
                let shape: Vec<usize> = vars.iter().map(|v| v.size).collect();
                build(&shape, &|ix| {
                    let scope = vars.iter().zip(ix).map(|(v, &i)| (v.name.clone(), i)).collect();
                    self.expr(body, &scope)
                })
            }
            Made::Matmul(a, b) => {
                let (a, b) = (of(a), of(b));
                build(&[a.shape[0], b.shape[1]], &|ix| {
                    let terms = (0..a.shape[1]).map(|k| a.data[a.at(&[ix[0], k])].mul(b.data[b.at(&[k, ix[1]])]));
                    terms.fold(N::of(0.0), N::add)
                })
            }
            Made::Transpose(x) => {
                let x = of(x);
                build(&[x.shape[1], x.shape[0]], &|ix| x.data[x.at(&[ix[1], ix[0]])])
            }
            Made::Along { red, of: x, axis, keep } => {
                let x = of(x);
                let mut shape = x.shape.clone();
                shape[*axis] = 1;
                let t = build(&shape, &|ix| reduce(*red, row(x, ix, *axis)));
                if !keep {
                    shape.remove(*axis);
                }
                Tensor { shape, ..t }
            }
            Made::Centered(x, axis) => {
                let x = of(x);
                build(&x.shape, &|ix| x.data[x.at(ix)].add(reduce(Red::Mean, row(x, ix, *axis)).neg()))
            }
            Made::Slice { of: x, from, to, step } => {
                let x = of(x);
                let mut shape = x.shape.clone();
                let last = shape.len() - 1;
                shape[last] = (to - from).div_ceil(*step);
                build(&shape, &|ix| x.data[x.at(&[&ix[..last], &[from + step * ix[last]]].concat())])
            }
            Made::Cat(a, b) => {
                let (a, b) = (of(a), of(b));
                let last = a.shape.len() - 1;
                let mut shape = a.shape.clone();
                shape[last] += b.shape[last];
                build(&shape, &|ix| match ix[last].checked_sub(a.shape[last]) {
                    None => a.data[a.at(ix)],
                    Some(i) => b.data[b.at(&[&ix[..last], &[i]].concat())],
                })
            }
            Made::CumSum(x) => {
                let x = of(x);
                let last = x.shape.len() - 1;
                build(&x.shape, &|ix| row(x, ix, last)[..=ix[last]].iter().fold(N::of(0.0), |s, &v| s.add(v)))
            }
            Made::Call(x) => {
                let x = of(x);
                let last = x.shape.len() - 1;
                build(&x.shape[..last], &|ix| reduce(Red::Sum, row(x, &[ix, &[0]].concat(), last)).mul(N::of(2.0)))
            }
        }
    }
}

fn with(scope: &Scope, v: &Var, i: usize) -> Scope {
    let mut s = scope.clone();
    s.insert(v.name.clone(), i);
    s
}

fn reduce<N: Number>(red: Red, xs: Vec<N>) -> N {
    let sum = |xs: &[N]| xs.iter().fold(N::of(0.0), |s, &x| s.add(x));
    // Of equal elements the first counts.
    let extreme = |largest: bool| {
        let better = |a: f64, b: f64| if largest { a > b } else { a < b };
        let first = *xs.first().expect("an axis with elements");
        xs.iter().fold(first, |best, &x| if better(x.value(), best.value()) { x } else { best })
    };
    match red {
        Red::Sum => sum(&xs),
        Red::Mean => sum(&xs).div(N::of(xs.len() as f64)),
        Red::Prod => xs.iter().fold(N::of(1.0), |p, &x| p.mul(x)),
        Red::Max => extreme(true),
        Red::Min => extreme(false),
        Red::LogSumExp => sum(&xs.iter().map(|x| x.exp()).collect::<Vec<N>>()).log(),
    }
}

impl Red {
    fn name(self) -> &'static str {
        match self {
            Red::Sum => "sum",
            Red::Mean => "mean",
            Red::Prod => "prod",
            Red::Max => "max",
            Red::Min => "min",
            Red::LogSumExp => "logsumexp",
        }
    }
}

fn vars(list: &[Var]) -> String {
    let one = |v: &Var| if v.written { format!("{} < {}", v.name, v.size) } else { v.name.clone() };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn positions(list: &[Ix]) -> String {
    list.iter().map(position).collect::<Vec<_>>().join(", ")
}

fn position(ix: &Ix) -> String {
    match ix {
        Ix::Affine(terms, c) => {
            let mut s = String::new();
            for (v, k) in terms {
                let sign = if s.is_empty() {
                    if *k < 0 { "-" } else { "" }
                } else if *k < 0 {
                    " - "
                } else {
                    " + "
                };
                let _ = match k.abs() {
                    1 => write!(s, "{sign}{v}"),
                    n => write!(s, "{sign}{n} * {v}"),
                };
            }
            match c {
                0 if !s.is_empty() => s,
                c if s.is_empty() => c.to_string(),
                c if *c < 0 => format!("{s} - {}", -c),
                c => format!("{s} + {c}"),
            }
        }
        Ix::Computed(t, at) => format!("{t}[{}]", position(at)),
        Ix::ArgMax(v, e) => format!("argmax[{}]({})", vars(std::slice::from_ref(v)), expr(e)),
    }
}

/// The source of an expression.
pub fn expr(e: &Expr) -> String {
    match e {
        Expr::Num(x) => format!("({x:?})"),
        Expr::Access(t, ix) => format!("{t}[{}]", positions(ix)),
        Expr::Index(v) => format!("({v} as f64)"),
        Expr::Add(a, b) => format!("({} + {})", expr(a), expr(b)),
        Expr::Sub(a, b) => format!("({} - {})", expr(a), expr(b)),
        Expr::Mul(a, b) => format!("{} * {}", expr(a), expr(b)),
        Expr::Neg(a) => format!("(-{})", expr(a)),
        Expr::Tanh(a) => format!("tanh({})", expr(a)),
        Expr::Abs(a) => format!("abs({})", expr(a)),
        Expr::Extreme(true, a, b) => format!("maximum({}, {})", expr(a), expr(b)),
        Expr::Extreme(false, a, b) => format!("minimum({}, {})", expr(a), expr(b)),
        Expr::If(c, a, b) => format!("(if {} {{ {} }} else {{ {} }})", cond(c), expr(a), expr(b)),
        Expr::Reduce(red, list, body) => format!("{}[{}]({})", red.name(), vars(list), expr(body)),
    }
}

fn cond(c: &Cond) -> String {
    match c {
        Cond::Access(t, ix) => format!("{t}[{}]", positions(ix)),
        Cond::Less(a, b) => format!("{} < {}", expr(a), expr(b)),
        Cond::Before(a, b) => format!("{a} <= {b}"),
        Cond::And(a, b) => format!("({} and {})", cond(a), cond(b)),
        Cond::Or(a, b) => format!("({} or {})", cond(a), cond(b)),
        Cond::Not(a) => format!("not ({})", cond(a)),
        Cond::Along(any, v, c) => {
            format!("{}[{}]({})", if *any { "any" } else { "all" }, vars(std::slice::from_ref(v)), cond(c))
        }
    }
}

/// The source of a statement.
pub fn statement(name: &str, m: &Made) -> String {
    match m {
        Made::Comprehension(list, body) if list.is_empty() => format!("let {name} = {}", expr(body)),
        Made::Comprehension(list, body) => format!("let {name}[{}] = {}", vars(list), expr(body)),
        Made::Matmul(a, b) => format!("let {name} = {a} @ {b}"),
        Made::Transpose(x) => format!("let {name} = {x}.T"),
        Made::Along { red, of, axis, keep } => {
            format!("let {name} = {}({of}, axis: {axis}, keep: {keep})", red.name())
        }
        Made::Centered(x, axis) => format!("let {name} = {x} - mean({x}, {axis}, keep: true)"),
        Made::Slice { of, from, to, step } => format!("let {name} = {of}[.., {from}:{to}:{step}]"),
        Made::Cat(a, b) => format!("let {name} = cat({a}, {b})"),
        Made::CumSum(x) => format!("let {name} = cumsum({x})"),
        Made::Call(x) => format!("let {name} = twice({x})"),
    }
}

/// Numbers as nested lists; a tensor without elements as zeros of its shape.
pub fn list(shape: &[usize], data: &[String]) -> String {
    if data.is_empty() {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        return format!("zeros[{}]", sizes.join(", "));
    }
    match shape {
        [] => data[0].clone(),
        [_, rest @ ..] => {
            let inner = data.len() / shape[0];
            let parts: Vec<String> = data.chunks(inner).map(|c| list(rest, c)).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}
