//! Signatures of what has a fixed name: builtins, sources of data, values of settings.
//!
//! In: a row of a table, `sum(x: tensor, axis: axes = all; keep: bool = false)`, and the arguments of a call, evaluated
//! or not. Out: each argument at its parameter, or E0208 that shows the signature. There is no other reader of such
//! calls; the reference manual and suggestions are made from the same rows.

use crate::diag::{Diagnostic, Edit};
use crate::source::Span;
use crate::syntax::ast::Ident;
use std::fmt::Write;

/// A name with its parameters.
pub struct Signature {
    /// The name.
    pub name: &'static str,
    /// What stands between brackets.
    pub brackets: Brackets,
    /// Ways to call it; the first that the arguments fit is meant.
    pub forms: &'static [Form],
}

/// The parameters of one way to call: those by position, then those by name only.
pub type Form = &'static [Param];

/// Sizes between brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Brackets {
    /// None.
    No,
    /// One size: `one_hot[N]`; it can come from the expected type.
    One,
    /// Any number of sizes: `ones[..S]`; they can come from the expected type.
    Shape,
}

/// A parameter.
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it takes, in words of the manual.
    pub kind: Kind,
    /// How it is given.
    pub how: How,
}

/// How an argument is given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In order or by name; it must be.
    Needed,
    /// In order or by name; else this is meant.
    Else(&'static str),
    /// By name only; else this is meant.
    Named(&'static str),
    /// Any number of them, in order.
    Rest,
    /// Any number of them, each by a name of its own choice.
    Names,
    /// Any number of them, each by the name of a dim.
    Dims,
}

/// What an argument is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A tensor; a number is a scalar.
    Tensor,
    /// Indices: a tensor of ints, or of `idx<N>`.
    Ids,
    /// A static number.
    Number,
    /// A static int.
    Int,
    /// A static bool.
    Bool,
    /// A string.
    Text,
    /// The path of a file below the data folder.
    File,
    /// An axis by number or dim name.
    Axis,
    /// One axis or a list of them.
    Axes,
    /// A static int that is not negative, or a dim.
    Size,
    /// A list of sizes; `_` is inferred.
    Sizes,
    /// A number of equal parts, or a list of their sizes.
    Parts,
    /// Padding before and after: `(1, 1)`.
    Pair,
    /// A list of axes, each once.
    Order,
    /// A function.
    Function,
    /// A tensor or a tuple of them.
    Tensors,
    /// A list of tensors.
    List,
    /// An optimizer with its hyperparameters.
    Optimizer,
    /// A metric with its arguments.
    Metric,
    /// Lists of numbers, one entry a row.
    Column,
    /// Names and widths of columns: `{ pixels: 64, label: 1 }`.
    Columns,
    /// A part of the data: `train`, `val`, `test` or `source`. Not evaluated.
    Part,
    /// The name of a column. Not evaluated.
    ColumnName,
    /// A loss or metric of a part: `val.acc`. Not evaluated.
    Watched,
    /// `min` or `max`. Not evaluated.
    Direction,
}

impl Kind {
    /// The word of the manual.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Tensor => "tensor",
            Kind::Ids => "ids",
            Kind::Number => "number",
            Kind::Int => "int",
            Kind::Bool => "bool",
            Kind::Text => "text",
            Kind::File => "file",
            Kind::Axis => "axis",
            Kind::Axes => "axes",
            Kind::Size => "size",
            Kind::Sizes => "sizes",
            Kind::Parts => "int or sizes",
            Kind::Pair => "(int, int)",
            Kind::Order => "[axis]",
            Kind::Function => "fn",
            Kind::Tensors => "tensors",
            Kind::List => "[tensor]",
            Kind::Optimizer => "optimizer",
            Kind::Metric => "metric",
            Kind::Column => "numbers",
            Kind::Columns => "{ name: width }",
            Kind::Part => "part",
            Kind::ColumnName => "column",
            Kind::Watched => "part.metric",
            Kind::Direction => "min or max",
        }
    }

    /// Is an argument of this kind an expression with a value?
    pub fn is_evaluated(self) -> bool {
        !matches!(self, Kind::Part | Kind::ColumnName | Kind::Watched | Kind::Direction)
    }
}

/// A parameter that must be given.
pub const fn need(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, how: How::Needed }
}

/// A parameter with a default.
pub const fn or(name: &'static str, kind: Kind, default: &'static str) -> Param {
    Param { name, kind, how: How::Else(default) }
}

/// A parameter with a default that is given by name only.
pub const fn key(name: &'static str, kind: Kind, default: &'static str) -> Param {
    Param { name, kind, how: How::Named(default) }
}

/// Any number of arguments.
pub const fn rest(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, how: How::Rest }
}

/// Any number of arguments by names of their own.
pub const fn names(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, how: How::Names }
}

/// Any number of arguments by dim names.
pub const fn dims(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, how: How::Dims }
}

/// A setting of an item: `batch = 32`.
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it takes, in words.
    pub takes: &'static str,
    /// What holds without it, in words.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// One line.
    pub example: &'static str,
    /// It may stand more than once.
    pub many: bool,
}

/// An argument at its parameter.
#[derive(Clone)]
pub struct Given<T> {
    /// The argument.
    pub value: T,
    /// Where it stands.
    pub span: Span,
    /// The name that it was given by.
    pub name: Option<Ident>,
}

/// Arguments by parameter, of the form they fit.
pub struct Fit<T> {
    /// The number of the form.
    pub form: usize,
    /// The arguments of each parameter of the form, none if it is left out.
    pub given: Vec<Vec<Given<T>>>,
}
/// A signature without brackets.
pub const fn sig(name: &'static str, forms: &'static [Form]) -> Signature {
    Signature { name, brackets: Brackets::No, forms }
}

/// A signature with sizes between brackets.
pub const fn sized(name: &'static str, brackets: Brackets, forms: &'static [Form]) -> Signature {
    Signature { name, brackets, forms }
}

impl Signature {
    /// As the manual and messages show it, one line a form.
    pub fn show(&self) -> Vec<String> {
        self.forms.iter().map(|f| self.show_form(f)).collect()
    }

    fn show_form(&self, form: Form) -> String {
        let mut out = self.name.to_owned();
        out += match self.brackets {
            Brackets::No => "",
            Brackets::One => "[N]",
            Brackets::Shape => "[..S]",
        };
        if self.is_value() {
            return out;
        }
        out.push('(');
        let mut by_name = false;
        for (i, p) in form.iter().enumerate() {
            let named = matches!(p.how, How::Named(_));
            out += match (i, named && !by_name) {
                (0, false) => "",
                (0, true) => "; ",
                (_, true) => "; ",
                (_, false) => ", ",
            };
            by_name |= named;
            write!(out, "{}: {}", p.name, p.kind.word()).ok();
            match p.how {
                How::Needed => {}
                How::Else(d) | How::Named(d) => {
                    write!(out, " = {d}").ok();
                }
                How::Rest | How::Names | How::Dims => out += ", ..",
            }
        }
        out.push(')');
        out
    }

    /// Is the name with its brackets a value already, without a call: `ones[2, 3]`?
    pub fn is_value(&self) -> bool {
        self.brackets != Brackets::No && self.forms.iter().all(|f| f.is_empty())
    }

    /// Can it be called with one argument and nothing else?
    pub fn takes_one(&self) -> bool {
        let needed = |f: &&Form| f.iter().filter(|p| p.how == How::Needed).count() <= 1 && room(f) > 0;
        self.brackets == Brackets::No && self.forms.iter().any(|f| needed(&f))
    }

    /// E0208 of this signature: shown with it.
    pub fn wrong(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        self.explain(Diagnostic::error("E0208", span, message))
    }

    /// Adds the signature to a diagnostic.
    pub fn explain(&self, d: Diagnostic) -> Diagnostic {
        let forms: Vec<String> = self.show().into_iter().map(|f| format!("`{f}`")).collect();
        d.note(forms.join(" or "))
    }

    /// Brings arguments to their parameters; `text` gives the source of one.
    pub fn fit<'t, T>(
        &self,
        pos: Vec<(T, Span)>,
        named: Vec<(Ident, T, Span)>,
        call: Span,
        text: &dyn Fn(Span) -> &'t str,
    ) -> Result<Fit<T>, Box<Diagnostic>> {
        // The first form with the fewest slips: names that it does not have, arguments too many, arguments missing.
        let slips = |f: &Form| {
            let unknown = named.iter().filter(|(n, ..)| by_name(f, n).is_none()).count();
            (unknown, pos.len().saturating_sub(room(f)), missing(f, pos.len(), &named).len())
        };
        let form = (0..self.forms.len()).min_by_key(|&i| slips(&self.forms[i])).unwrap_or(0);
        let params = self.forms[form];
        let mut given: Vec<Vec<Given<T>>> = params.iter().map(|_| vec![]).collect();
        let capacity = room(params);
        if let Some((_, span)) = pos.get(capacity) {
            return Err(Box::new(self.too_many(params, pos.len(), *span, text)));
        }
        let mut at = 0;
        for (value, span) in pos {
            while !matches!(params[at].how, How::Needed | How::Else(_) | How::Rest) {
                at += 1;
            }
            given[at].push(Given { value, span, name: None });
            if params[at].how != How::Rest {
                at += 1;
            }
        }
        for (name, value, span) in named {
            let Some(i) = by_name(params, &name) else {
                return Err(Box::new(self.unknown(params, &name)));
            };
            let many = matches!(params[i].how, How::Names | How::Dims);
            let before = given[i].iter().find(|g| !many || g.name.as_ref().is_some_and(|n| n.text == name.text));
            if let Some(first) = before {
                let place = first.name.as_ref().map_or(first.span, |n| n.span);
                let d = self.wrong(name.span, format!("`{}` is given twice", name.text));
                return Err(Box::new(d.label(place, "first given here")));
            }
            given[i].push(Given { value, span, name: Some(name) });
        }
        let lost = params.iter().zip(&given).find(|(p, g)| p.how == How::Needed && g.is_empty());
        match lost {
            Some((p, _)) => Err(Box::new(self.wrong(call, format!("`{}` needs `{}`", self.name, p.name)))),
            None => Ok(Fit { form, given }),
        }
    }

    fn too_many<'t>(&self, params: Form, found: usize, span: Span, text: &dyn Fn(Span) -> &'t str) -> Diagnostic {
        let room = room(params);
        let by_name: Vec<&Param> = params.iter().filter(|p| matches!(p.how, How::Named(_))).collect();
        let what = if by_name.is_empty() { "" } else { " without a name" };
        let takes = super::calls::count(room, "argument");
        let d = self.wrong(span, format!("`{}` takes {takes}{what}, {found} given", self.name));
        match by_name[..] {
            [one] if found == room + 1 => d.fix(
                format!("by name: `{}: {}`", one.name, text(span)),
                [Edit::before(span, format!("{}: ", one.name))],
            ),
            _ => d,
        }
    }

    fn unknown(&self, params: Form, name: &Ident) -> Diagnostic {
        let d = self.wrong(name.span, format!("`{}` has no argument `{}`", self.name, name.text));
        let known = params.iter().filter(|p| !matches!(p.how, How::Rest | How::Names | How::Dims)).map(|p| p.name);
        let near = super::foreign::parameter(&name.text, &known.collect::<Vec<_>>());
        match near {
            Some(n) => d.rename(name.span, n),
            None => d,
        }
    }
}

/// The parameter that a name means.
fn by_name(form: Form, name: &Ident) -> Option<usize> {
    let exact = |p: &Param| match p.how {
        How::Needed | How::Else(_) | How::Named(_) => p.name == &*name.text,
        How::Rest | How::Names | How::Dims => false,
    };
    let open = |p: &Param| match p.how {
        How::Names => true,
        How::Dims => name.text.starts_with(|c: char| c.is_ascii_uppercase()),
        _ => false,
    };
    form.iter().position(exact).or_else(|| form.iter().position(open))
}

/// Most arguments without a name.
fn room(form: Form) -> usize {
    if form.iter().any(|p| p.how == How::Rest) {
        return usize::MAX;
    }
    form.iter().filter(|p| matches!(p.how, How::Needed | How::Else(_))).count()
}

/// Parameters that must be given and are not.
fn missing<T>(form: Form, pos: usize, named: &[(Ident, T, Span)]) -> Vec<&'static str> {
    let ordered = form.iter().filter(|p| matches!(p.how, How::Needed | How::Else(_)));
    let left = ordered.skip(pos).filter(|p| p.how == How::Needed);
    left.map(|p| p.name).filter(|n| !named.iter().any(|(g, ..)| &*g.text == *n)).collect()
}
