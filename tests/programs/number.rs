//! Numbers that carry derivatives, by the plain rules of calculus.
//!
//! In: arithmetic of the direct evaluator. Out: values, and with [`Dual`] the derivative by one input; a dual number of dual
//! numbers gives second derivatives. Kinks follow the page of the language: abs'(0) = 0, and equal operands of `maximum`
//! share.

/// What the direct evaluator computes in.
pub trait Number: Copy {
    /// A constant.
    fn of(x: f64) -> Self;
    /// The value without derivatives.
    fn value(self) -> f64;
    /// A sum.
    fn add(self, y: Self) -> Self;
    /// A product.
    fn mul(self, y: Self) -> Self;
    /// A quotient.
    fn div(self, y: Self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The exponential.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn log(self) -> Self;
    /// The opposite.
    fn neg(self) -> Self {
        self.mul(Self::of(-1.0))
    }
    /// The absolute value.
    fn abs(self) -> Self {
        self.mul(Self::of(if self.value() == 0.0 { 0.0 } else { self.value().signum() }))
    }
    /// The larger of two, or the smaller.
    fn extreme(self, y: Self, largest: bool) -> Self {
        let (a, b) = (self.value(), y.value());
        match a.total_cmp(&b) {
            _ if a == b => self.add(y).mul(Self::of(0.5)),
            order if order.is_gt() == largest => self,
            _ => y,
        }
    }
}

impl Number for f64 {
    fn of(x: f64) -> f64 {
        x
    }
    fn value(self) -> f64 {
        self
    }
    fn add(self, y: f64) -> f64 {
        self + y
    }
    fn mul(self, y: f64) -> f64 {
        self * y
    }
    fn div(self, y: f64) -> f64 {
        self / y
    }
    fn tanh(self) -> f64 {
        f64::tanh(self)
    }
    fn exp(self) -> f64 {
        f64::exp(self)
    }
    fn log(self) -> f64 {
        f64::ln(self)
    }
}

/// A value and its derivative.
#[derive(Clone, Copy)]
pub struct Dual<N> {
    /// The value.
    pub x: N,
    /// The derivative.
    pub d: N,
}

impl<N: Number> Number for Dual<N> {
    fn of(x: f64) -> Self {
        Dual { x: N::of(x), d: N::of(0.0) }
    }
    fn value(self) -> f64 {
        self.x.value()
    }
    fn add(self, y: Self) -> Self {
        Dual { x: self.x.add(y.x), d: self.d.add(y.d) }
    }
    fn mul(self, y: Self) -> Self {
        Dual { x: self.x.mul(y.x), d: self.d.mul(y.x).add(self.x.mul(y.d)) }
    }
    fn div(self, y: Self) -> Self {
        let x = self.x.div(y.x);
        Dual { x, d: self.d.add(x.mul(y.d).neg()).div(y.x) }
    }
    fn tanh(self) -> Self {
        let x = self.x.tanh();
        Dual { x, d: self.d.mul(N::of(1.0).add(x.mul(x).neg())) }
    }
    fn exp(self) -> Self {
        let x = self.x.exp();
        Dual { x, d: self.d.mul(x) }
    }
    fn log(self) -> Self {
        Dual { x: self.x.log(), d: self.d.div(self.x) }
    }
}
