//! Losses and metrics that are more than one ratio: a sum of means, and functions of it.
//!
//! In: numerators and denominators summed over all batches. Out: the value, as if all rows had been one batch.

use super::Ratio;

/// A function applied to a total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// `sqrt(x)`
    Sqrt,
    /// `e^x`
    Exp,
    /// `ln x`
    Log,
    /// `x * x`
    Square,
    /// `x + c`
    Plus(f64),
    /// `x * c`
    Times(f64),
    /// `c / x`
    Divides(f64),
}

/// How a value is made of sums of ratios.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// Its name.
    pub name: String,
    /// Number of means: the outputs `name.num.0`, `name.den.0`, `name.num.1`, ..
    pub terms: usize,
    /// What is applied to their sum, in order.
    pub then: Vec<Then>,
}

impl Derived {
    /// The outputs that are the numerator and denominator of a term.
    pub fn outputs(name: &str, term: usize) -> [String; 2] {
        [format!("{name}.num.{term}"), format!("{name}.den.{term}")]
    }

    /// The value of summed terms.
    pub fn value(&self, terms: &[Ratio]) -> f64 {
        let total: f64 = terms.iter().map(|t| t.value()).sum();
        self.then.iter().fold(total, |x, f| match f {
            Then::Sqrt => x.sqrt(),
            Then::Exp => x.exp(),
            Then::Log => x.ln(),
            Then::Square => x * x,
            Then::Plus(c) => x + c,
            Then::Times(c) => x * c,
            Then::Divides(c) => c / x,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_add_up_before_functions_apply() {
        let d = Derived { name: "rmse".into(), terms: 2, then: vec![Then::Plus(1.0), Then::Sqrt, Then::Times(-2.0)] };
        let terms = [Ratio { num: 6.0, den: 4.0 }, Ratio { num: 13.0, den: 2.0 }];
        assert_eq!(d.value(&terms), -6.0);
        let d = Derived { then: vec![Then::Square, Then::Divides(1.0), Then::Log, Then::Exp], ..d };
        assert!((d.value(&terms) - 1.0 / 64.0).abs() < 1e-15);
    }
}
