//! Random programs: comprehensions with affine and computed accesses, reducers with and without use of their variables,
//! empty axes and axes of one, and what surrounds them.
//!
//! In: a seed. Out: inputs and statements, whose indices are all inside of their axes. Input numbers are multiples of a
//! quarter, so that ties happen and f32 holds them.

use super::tree::{Cond, Expr, Ix, Made, Red, Tensor, Var};

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
    fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// A program under way.
pub struct Program {
    /// Where choices come from.
    pub r: Random,
    /// Inputs of floats.
    pub floats: Vec<(String, Tensor<f64>)>,
    /// Inputs of indices, with the size of the axis they index.
    pub ints: Vec<(String, Vec<usize>, usize)>,
    /// Inputs of truths.
    pub bools: Vec<(String, Tensor<f64>)>,
    /// Statements.
    pub made: Vec<(String, Made, Vec<usize>)>,
    names: usize,
}

impl Program {
    /// A program of a few statements.
    pub fn new(seed: u64) -> Program {
        let mut p = Program { r: Random(seed), floats: vec![], ints: vec![], bools: vec![], made: vec![], names: 0 };
        for k in 0..2 + p.r.below(4) {
            let (m, shape) = p.statement();
            p.made.push((format!("y{k}"), m, shape));
        }
        p
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn var(&mut self, least: usize) -> Var {
        let size = if least == 0 && self.r.percent(8) { 0 } else { 1 + self.r.below(4) };
        Var { name: self.fresh("i"), size, written: true }
    }

    /// Names and shapes of all tensors of floats.
    fn all(&self) -> Vec<(String, Vec<usize>)> {
        let inputs = self.floats.iter().map(|(n, t)| (n.clone(), t.shape.clone()));
        inputs.chain(self.made.iter().map(|(n, _, s)| (n.clone(), s.clone()))).collect()
    }

    fn statement(&mut self) -> (Made, Vec<usize>) {
        if self.r.percent(35)
            && let Some(made) = self.operation()
        {
            return made;
        }
        let mut vars: Vec<Var> = (0..self.r.below(4)).map(|_| self.var(0)).collect();
        let body = self.expr(&vars, 3);
        vars.iter_mut().for_each(|v| v.written = !plain(&body, &v.name) || self.r.percent(50));
        let shape = vars.iter().map(|v| v.size).collect();
        (Made::Comprehension(vars, body), shape)
    }

    /// Something that is no comprehension, if there is a tensor for it.
    fn operation(&mut self) -> Option<(Made, Vec<usize>)> {
        let all: Vec<_> = self.all().into_iter().filter(|(_, s)| !s.is_empty()).collect();
        if all.is_empty() {
            return None;
        }
        let (x, s) = self.r.of(&all);
        let (last, axis) = (s.len() - 1, self.r.below(s.len()));
        let without = |axis: usize| [&s[..axis], &s[axis + 1..]].concat();
        Some(match self.r.below(8) {
            0 if s.len() == 2 => (Made::Transpose(x), vec![s[1], s[0]]),
            1 if s.len() == 2 => {
                let shape = vec![s[1], 1 + self.r.below(3)];
                let b = self.input(&shape);
                (Made::Matmul(x, b), vec![s[0], shape[1]])
            }
            2 => {
                let reds: &[Red] = if s[axis] == 0 {
                    &[Red::Sum, Red::Prod]
                } else {
                    &[Red::Sum, Red::Prod, Red::Max, Red::Min, Red::Mean]
                };
                let (red, keep) = (self.r.of(reds), self.r.percent(50));
                let mut shape = without(axis);
                if keep {
                    shape.insert(axis, 1);
                }
                (Made::Along { red, of: x, axis, keep }, shape)
            }
            3 if s[axis] > 0 => (Made::Centered(x, axis), s.clone()),
            4 if s[last] > 0 => {
                let from = self.r.below(s[last]);
                let to = from + self.r.below(s[last] - from + 1);
                let step = 1 + self.r.below(2);
                let mut shape = s.clone();
                shape[last] = (to - from).div_ceil(step);
                (Made::Slice { of: x, from, to, step }, shape)
            }
            5 => {
                let mut shape = s.clone();
                shape[last] = self.r.below(4);
                let b = self.input(&shape);
                shape[last] += s[last];
                (Made::Cat(x, b), shape)
            }
            6 => (Made::CumSum(x), s.clone()),
            7 => (Made::Call(x), without(last)),
            _ => return None,
        })
    }

    /// A new input of floats.
    fn input(&mut self, shape: &[usize]) -> String {
        let name = self.fresh("x");
        let data = (0..shape.iter().product()).map(|_| (self.r.below(17) as f64 - 8.0) / 4.0).collect();
        self.floats.push((name.clone(), Tensor { shape: shape.to_vec(), data }));
        name
    }

    fn expr(&mut self, scope: &[Var], depth: usize) -> Expr {
        if depth == 0 || self.r.percent(15) {
            return self.access(scope);
        }
        let b = |e: Expr| Box::new(e);
        let d = depth - 1;
        match self.r.below(12) {
            0 => Expr::Add(b(self.expr(scope, d)), b(self.expr(scope, d))),
            1 => Expr::Sub(b(self.expr(scope, d)), b(self.operand(scope, d))),
            2 => Expr::Mul(b(self.expr(scope, d)), b(self.operand(scope, d))),
            3 => Expr::Neg(b(self.expr(scope, d))),
            4 => Expr::Tanh(b(self.expr(scope, d))),
            5 => Expr::Abs(b(self.expr(scope, d))),
            6 => Expr::Extreme(self.r.percent(50), b(self.expr(scope, d)), b(self.operand(scope, d))),
            7 => {
                let c = self.cond(scope, d);
                Expr::If(Box::new(c), b(self.expr(scope, d)), b(self.expr(scope, d)))
            }
            _ => {
                let red = self.r.of(&[
                    Red::Sum,
                    Red::Sum,
                    Red::Sum,
                    Red::Mean,
                    Red::Prod,
                    Red::Max,
                    Red::Min,
                    Red::LogSumExp,
                ]);
                let least = usize::from(!matches!(red, Red::Sum | Red::Prod));
                let mut vars: Vec<Var> = (0..1 + self.r.below(2)).map(|_| self.var(least)).collect();
                let inner = [scope, &vars[..]].concat();
                // Products of two accesses are what becomes a contraction.
                let body = if red == Red::Sum && self.r.percent(50) {
                    Expr::Mul(b(self.access(&inner)), b(self.access(&inner)))
                } else {
                    self.expr(&inner, d)
                };
                vars.iter_mut().for_each(|v| v.written = !plain(&body, &v.name) || self.r.percent(50));
                Expr::Reduce(red, vars, b(body))
            }
        }
    }

    /// A right operand: an expression, a number or a variable.
    fn operand(&mut self, scope: &[Var], depth: usize) -> Expr {
        match self.r.below(4) {
            0 => Expr::Num((self.r.below(17) as f64 - 8.0) / 4.0),
            1 if !scope.is_empty() => Expr::Index(self.r.of(scope).name),
            _ => self.expr(scope, depth),
        }
    }

    fn cond(&mut self, scope: &[Var], depth: usize) -> Cond {
        let b = |c: Cond| Box::new(c);
        match self.r.below(if depth == 0 { 3 } else { 7 }) {
            0 if !scope.is_empty() => Cond::Before(self.r.of(scope).name, self.r.of(scope).name),
            1 => {
                let (shape, ix) = self.place(scope);
                let name = self.fresh("b");
                let data = (0..shape.iter().product()).map(|_| self.r.below(2) as f64).collect();
                self.bools.push((name.clone(), Tensor { shape, data }));
                Cond::Access(name, ix)
            }
            3 => Cond::And(b(self.cond(scope, depth - 1)), b(self.cond(scope, depth - 1))),
            4 => Cond::Or(b(self.cond(scope, depth - 1)), b(self.cond(scope, depth - 1))),
            5 => Cond::Not(b(self.cond(scope, depth - 1))),
            6 => {
                let v = self.var(0);
                let c = self.cond(&[scope, std::slice::from_ref(&v)].concat(), depth - 1);
                Cond::Along(self.r.percent(50), v, b(c))
            }
            _ => Cond::Less(self.access(scope), Expr::Num((self.r.below(9) as f64 - 4.0) / 4.0)),
        }
    }

    fn access(&mut self, scope: &[Var]) -> Expr {
        if self.r.percent(40) {
            let all: Vec<_> = self.all().into_iter().filter(|(_, s)| !s.is_empty()).collect();
            if !all.is_empty() {
                let (name, shape) = self.r.of(&all);
                let ix: Option<Vec<Ix>> = shape.iter().map(|&n| self.inside(scope, n)).collect();
                if let Some(ix) = ix {
                    return Expr::Access(name, ix);
                }
            }
        }
        let (shape, ix) = self.place(scope);
        Expr::Access(self.input(&shape), ix)
    }

    /// A position inside of an axis that is there.
    fn inside(&mut self, scope: &[Var], n: usize) -> Option<Ix> {
        let equal: Vec<&Var> = scope.iter().filter(|v| v.size == n).collect();
        if !equal.is_empty() && self.r.percent(70) {
            return Some(Ix::Affine(vec![(self.r.of(&equal).name.clone(), 1)], 0));
        }
        let small: Vec<&Var> = scope.iter().filter(|v| v.size <= n && n > 0).collect();
        if !small.is_empty() && self.r.percent(50) {
            // From the end.
            return Some(Ix::Affine(vec![(self.r.of(&small).name.clone(), -1)], n as i64 - 1));
        }
        (n > 0).then(|| Ix::Affine(vec![], self.r.below(n) as i64))
    }

    /// Positions, and the shape of a tensor that has them.
    fn place(&mut self, scope: &[Var]) -> (Vec<usize>, Vec<Ix>) {
        (0..1 + self.r.below(3)).map(|_| self.axis(scope)).unzip()
    }

    fn axis(&mut self, scope: &[Var]) -> (usize, Ix) {
        if scope.is_empty() || self.r.percent(6) {
            let c = self.r.below(3);
            return (c + 1 + self.r.below(2), Ix::Affine(vec![], c as i64));
        }
        let v = self.r.of(scope);
        match self.r.below(100) {
            0..60 => (v.size, Ix::Affine(vec![(v.name, 1)], 0)),
            60..85 => {
                let mut terms = vec![(v.clone(), self.r.of(&[1, 2, -1, 3]))];
                let other = self.r.of(scope);
                if other.name != v.name && self.r.percent(60) {
                    terms.push((other, self.r.of(&[1, 1, 2, -1])));
                }
                let ends = |f: fn(i64, i64) -> i64| {
                    terms.iter().map(|(v, k)| f(0, k * (v.size.max(1) as i64 - 1))).sum::<i64>()
                };
                let alone = terms.len() == 1 && terms[0].1 == 1;
                // A variable alone, from 0 on, gives the range; here it must not.
                let start = -ends(i64::min) + i64::from(alone) + self.r.below(2) as i64;
                let size = start + ends(i64::max) + 1 + self.r.below(2) as i64;
                (size as usize, Ix::Affine(terms.into_iter().map(|(v, k)| (v.name, k)).collect(), start))
            }
            85..95 => {
                let (name, bound) = (self.fresh("k"), 1 + self.r.below(4));
                let at = (0..v.size).map(|_| self.r.below(bound)).collect();
                self.ints.push((name.clone(), at, bound));
                (bound, Ix::Computed(name, Box::new(Ix::Affine(vec![(v.name, 1)], 0))))
            }
            _ => {
                let mut w = self.var(1);
                let body = self.access(&[scope, std::slice::from_ref(&w)].concat());
                w.written = !plain(&body, &w.name) || self.r.percent(50);
                (w.size, Ix::ArgMax(w, Box::new(body)))
            }
        }
    }
}

/// Does a variable stand alone as an index of a tensor, so that the axis gives its range?
fn plain(e: &Expr, v: &str) -> bool {
    let alone = |ix: &Ix| matches!(ix, Ix::Affine(t, 0) if matches!(&t[..], [(name, 1)] if name == v));
    match e {
        Expr::Num(_) | Expr::Index(_) => false,
        Expr::Access(_, ix) => ix.iter().any(alone),
        Expr::Add(a, b) | Expr::Sub(a, b) | Expr::Mul(a, b) | Expr::Extreme(_, a, b) | Expr::If(_, a, b) => {
            plain(a, v) || plain(b, v)
        }
        Expr::Neg(a) | Expr::Tanh(a) | Expr::Abs(a) | Expr::Reduce(_, _, a) => plain(a, v),
    }
}

/// The tensors of floats through which derivatives flow.
pub fn sources(m: &Made) -> Vec<String> {
    fn walk(e: &Expr, out: &mut Vec<String>) {
        match e {
            Expr::Num(_) | Expr::Index(_) => {}
            Expr::Access(t, _) => out.push(t.clone()),
            Expr::Add(a, b) | Expr::Sub(a, b) | Expr::Mul(a, b) | Expr::Extreme(_, a, b) | Expr::If(_, a, b) => {
                walk(a, out);
                walk(b, out);
            }
            Expr::Neg(a) | Expr::Tanh(a) | Expr::Abs(a) | Expr::Reduce(_, _, a) => walk(a, out),
        }
    }
    match m {
        Made::Comprehension(_, e) => {
            let mut out = vec![];
            walk(e, &mut out);
            out
        }
        Made::Matmul(a, b) | Made::Cat(a, b) => vec![a.clone(), b.clone()],
        Made::Transpose(x) | Made::Centered(x, _) | Made::CumSum(x) | Made::Call(x) => vec![x.clone()],
        Made::Along { of, .. } | Made::Slice { of, .. } => vec![of.clone()],
    }
}
