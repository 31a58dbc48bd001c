//! Attributes of ops in IR text: `{kind=sum, axes=[0, 1]}`.
//!
//! A row gives its op's attributes as named values in a fixed order ([`Attrs`]) and takes them back from a [`Reader`];
//! printer and parser know the syntax of values, rows know the meaning.

use super::Axes;
use crate::graph::ty::Shape;
use nn_runtime::dtype::DType;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// `3`
    Int(u64),
    /// `[1, 2]`
    Ints(Vec<u64>),
    /// `sum`
    Word(&'static str),
    /// `"loss"`
    Text(String),
    /// A number of a dtype: `0.5`, `nan`, `-inf`
    Float(DType, f64),
    /// `[0.5, 1.0]`
    Floats(DType, Vec<f64>),
}

/// Attributes in their fixed order.
pub type Attrs = Vec<(&'static str, Attr)>;

/// A value of an attribute as parsed, before the row says what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// A word or a number.
    Word(String),
    /// A quoted text.
    Text(String),
    /// A list of words or numbers.
    List(Vec<String>),
}

/// Parsed attributes that a row takes in order.
#[derive(Debug, Default)]
pub struct Reader {
    rest: Vec<(String, Raw)>,
}

impl Reader {
    /// Over attributes in text order.
    pub fn new(mut attrs: Vec<(String, Raw)>) -> Self {
        attrs.reverse();
        Reader { rest: attrs }
    }

    fn next(&mut self, name: &str) -> Result<Raw, String> {
        match self.rest.pop() {
            Some((n, v)) if n == name => Ok(v),
            Some((n, _)) => Err(format!("expected the attribute `{name}`, found `{n}`")),
            None => Err(format!("the attribute `{name}` is missing")),
        }
    }

    /// A word.
    pub fn word(&mut self, name: &str) -> Result<String, String> {
        match self.next(name)? {
            Raw::Word(w) => Ok(w),
            _ => Err(format!("the attribute `{name}` is a word")),
        }
    }

    /// One of some named values.
    pub fn one_of<T: Copy>(&mut self, name: &str, all: &[T], text: fn(T) -> &'static str) -> Result<T, String> {
        let w = self.word(name)?;
        let found = all.iter().copied().find(|&t| text(t) == w);
        found.ok_or_else(|| format!("the attribute `{name}` cannot be `{w}`"))
    }

    /// A quoted text.
    pub fn text(&mut self, name: &str) -> Result<String, String> {
        match self.next(name)? {
            Raw::Text(t) => Ok(t),
            _ => Err(format!("the attribute `{name}` is a quoted text")),
        }
    }

    /// A whole number.
    pub fn int(&mut self, name: &str) -> Result<u64, String> {
        let w = self.word(name)?;
        w.parse().map_err(|_| format!("the attribute `{name}` is a whole number, found `{w}`"))
    }

    /// An axis or site number.
    pub fn int32(&mut self, name: &str) -> Result<u32, String> {
        let n = self.int(name)?;
        u32::try_from(n).map_err(|_| format!("the attribute `{name}` is too large: {n}"))
    }

    /// A list of sizes.
    pub fn shape(&mut self, name: &str) -> Result<Shape, String> {
        self.list(name)
    }

    /// A list of axes.
    pub fn axes(&mut self, name: &str) -> Result<Axes, String> {
        self.list(name)
    }

    fn list<C: FromIterator<T>, T: std::str::FromStr>(&mut self, name: &str) -> Result<C, String> {
        let Raw::List(items) = self.next(name)? else {
            return Err(format!("the attribute `{name}` is a list"));
        };
        let bad = |w: &str| format!("the attribute `{name}` is a list of numbers, found `{w}`");
        items.iter().map(|w| w.parse().map_err(|_| bad(w))).collect()
    }

    /// A number or a list of numbers; true for the list.
    pub fn floats(&mut self, name: &str) -> Result<(bool, Vec<f64>), String> {
        match self.next(name)? {
            Raw::Word(w) => {
                Ok((false, vec![w.parse().map_err(|_| format!("the attribute `{name}` is a number, found `{w}`"))?]))
            }
            Raw::List(items) => {
                let bad = |w: &str| format!("the attribute `{name}` is a list of numbers, found `{w}`");
                let xs: Result<_, _> = items.iter().map(|w| w.parse().map_err(|_| bad(w))).collect();
                Ok((true, xs?))
            }
            Raw::Text(_) => Err(format!("the attribute `{name}` is a number or a list")),
        }
    }

    /// Everything was taken.
    pub fn end(&self) -> Result<(), String> {
        match self.rest.last() {
            None => Ok(()),
            Some((n, _)) => Err(format!("unexpected attribute `{n}`")),
        }
    }
}
