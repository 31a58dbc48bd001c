//! What is said where a model's sizes or a layer of `seq` are written as other frameworks write them.
//!
//! In: a template that lacks dims or has too many, or an entry of `seq` that is no layer. Out: the finding, with the edit
//! that says the same here. It stands beside `models`, which makes layers of what is right.

use super::cx::{Elab, Env, Reported};
use super::models::{HyperArgs, ModelTemplate};
use super::value::Value;
use crate::diag::{Diagnostic, Edit, shown};
use crate::source::Span;
use crate::syntax::ast::{self, ExprKind};

/// Arguments of other libraries that are sizes, in the order of our dims.
const SIZES: &[&str] = &[
    "in_features",
    "out_features",
    "units",
    "features",
    "num_features",
    "normalized_shape",
    "num_embeddings",
    "embedding_dim",
    "input_dim",
    "output_dim",
];

impl Elab<'_> {
    /// More sizes than a model has dims.
    pub(super) fn dims_too_many(&mut self, def: &ast::Model, t: &ModelTemplate, given: &[(Value, Span)]) -> Reported {
        let name = &def.name.text;
        let message = format!("`{name}` has {}, {} given", super::calls::count(def.dims.len(), "dim"), given.len());
        let (first, last) = (given[def.dims.len()].1, given[given.len() - 1].1);
        let mut d = Diagnostic::error("E0208", first, message);
        if self.text(t.span).contains('[') && !self.is_std(first) {
            // The `,` or `[` before them goes too.
            let file = &self.sources.file(first.file).text;
            let from = file[..first.start as usize].trim_end().len() - 1;
            let close = file[last.end as usize..].find(']').map_or(0, |n| n + 1);
            let rest = match def.dims.len() {
                0 => Span { start: from as u32, end: last.end + close as u32, ..first },
                _ => Span { start: from as u32, end: last.end, ..first },
            };
            let all: Vec<&str> = def.dims.iter().map(|d| &*d.name.text).collect();
            let shown = if all.is_empty() { name.to_string() } else { format!("{name}[{}]", all.join(", ")) };
            if def.dims.is_empty() && !def.params.is_empty() {
                let inner = self.text(Span { start: from as u32 + 1, end: last.end, ..first });
                let t = format!("({inner})");
                let help = format!("hyperparameters stand in parentheses: `{name}{t}`");
                d = d.fix(help, [Edit::replace(Span { start: from as u32, end: last.end + close as u32, ..first }, t)]);
                return self.error(d.label(def.name.span, "declared here"));
            }
            let what = match def.dims.len() {
                0 => format!("`{shown}` has no dims: leave the brackets out"),
                _ => format!("its dims are `{shown}`: leave the others out"),
            };
            d = d.fix(what, [Edit::replace(rest, "")]);
        }
        self.error(d.label(def.name.span, "declared here"))
    }

    /// `Linear` or `Linear(8, 16)` where `Linear[_, _]` or `Linear[8, 16]` is meant.
    pub(super) fn dims_missing(&mut self, def: &ast::Model, t: &ModelTemplate, p: &ast::DimParam) -> Reported {
        let name = &*def.name.text;
        let all: Vec<&str> = def.dims.iter().map(|d| &*d.name.text).collect();
        let mut d = Diagnostic::error("E0106", t.span, format!("`{name}` needs its dims: {name}[{}]", all.join(", ")))
            .here("dims are missing");
        if !self.is_std(p.name.span) {
            d = d.label(p.name.span, format!("`{}` has no default", p.name.text));
        }
        let size = |v: &Value| matches!(v, Value::Int(_) | Value::Dim(_) | Value::Hole(_) | Value::Wild(_));
        let pos = t.hyper.as_ref().map_or(&[][..], |h| &h.pos);
        let by_name = t.hyper.iter().flat_map(|h| &h.named).filter(|(n, ..)| SIZES.contains(&&*n.text));
        let pos: Vec<(Value, Span)> = pos.iter().cloned().chain(by_name.map(|(_, v, s)| (v.clone(), *s))).collect();
        let sizes = pos.iter().take_while(|(v, _)| size(v)).count();
        let least = def.dims.iter().filter(|p| p.default.is_none()).count();
        let given = t.dims.as_deref().unwrap_or_default();
        if let (Some((_, first)), Some((_, last))) = (given.first(), given.last()) {
            // One size of a layer of std is that of the result, as Keras gives it; a model of the program has its own order.
            let blanks = vec!["_"; all.len() - given.len()].join(", ");
            let sizes: Vec<&str> = given.iter().map(|(_, s)| self.text(*s)).collect();
            let text = match self.is_std(p.name.span) {
                true => format!("{blanks}, {}", sizes.join(", ")),
                false => format!("{}, {blanks}", sizes.join(", ")),
            };
            if !self.is_std(*first) {
                let edit = [Edit::replace(first.to(*last), &text)];
                d = d.fix(format!("`{name}[{text}]` infers what is missing"), edit);
            }
        } else if let Some(edit) = self.as_elsewhere(name, t) {
            d = d.fix(format!("here this is `{}`", shown(&edit)), [Edit::replace(t.span, &edit)]);
        } else if (1..least).contains(&sizes) && sizes == pos.len() {
            let blanks = vec!["_"; least - sizes].join(", ");
            let sizes: Vec<&str> = pos.iter().map(|(_, s)| self.text(*s)).collect();
            let named = t.hyper.iter().flat_map(|h| &h.named).filter(|(n, ..)| !SIZES.contains(&&*n.text));
            let named: Vec<String> = named.map(|(n, _, s)| format!("{}: {}", n.text, self.text(*s))).collect();
            let rest = if named.is_empty() { String::new() } else { format!("({})", named.join(", ")) };
            let edit = format!("{name}[{blanks}, {}]{rest}", sizes.join(", "));
            d = d.fix(format!("sizes go between brackets: `{}`", shown(&edit)), [Edit::replace(t.span, &edit)]);
        } else if (least..=all.len()).contains(&sizes) {
            let text = |list: &[(Value, Span)]| list.iter().map(|(_, s)| self.text(*s)).collect::<Vec<_>>().join(", ");
            let mut rest: Vec<String> = pos[sizes..].iter().map(|(_, s)| self.text(*s).to_owned()).collect();
            let named = t.hyper.iter().flat_map(|h| &h.named).filter(|(n, ..)| !SIZES.contains(&&*n.text));
            rest.extend(named.map(|(n, _, s)| format!("{}: {}", n.text, self.text(*s))));
            let rest = if rest.is_empty() { String::new() } else { format!("({})", rest.join(", ")) };
            let edit = format!("{name}[{}]{rest}", text(&pos[..sizes]));
            d = d.fix(format!("sizes go between brackets: `{}`", shown(&edit)), [Edit::replace(t.span, &edit)]);
        } else if self.text(t.span).starts_with(name) && t.dims.is_none() {
            let word = Span { end: t.span.start + name.len() as u32, ..t.span };
            let blanks: Vec<&str> =
                def.dims.iter().map(|p| p.default.map_or("_", |e| self.text(self.ast.span(e)))).collect();
            let blanks = blanks.join(", ");
            d = d.fix(
                format!("`{name}[{blanks}]` infers them from the first call"),
                [Edit::after(word, format!("[{blanks}]"))],
            );
        }
        self.error(d)
    }

    /// A model of ours whose name is another library's too, with all that a call there gives it: `Conv2d(1, 8, 3)`.
    fn as_elsewhere(&self, name: &str, t: &ModelTemplate) -> Option<String> {
        let hyper = t.hyper.as_ref().filter(|_| !self.is_std(t.span))?;
        let mut args: Vec<String> = hyper.pos.iter().map(|(_, s)| self.text(*s).to_owned()).collect();
        args.extend(hyper.named.iter().map(|(n, _, s)| format!("{}: {}", n.text, self.text(*s))));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        super::foreign::model(name, &args)
    }

    /// A window with several numbers in one, or with a word for its padding: `MaxPool((2, 2))`, `Conv2d[3, 8](3, pad: "same")`.
    pub(super) fn windows_as_elsewhere(
        &mut self,
        def: &ast::Model,
        t: &ModelTemplate,
        args: &HyperArgs,
    ) -> Option<Reported> {
        let several = |v: &Value| matches!(v, Value::Tuple(_) | Value::Str(_));
        let all = args.pos.iter().map(|(v, s)| (v, *s)).chain(args.named.iter().map(|(_, v, s)| (v, *s)));
        let (v, at) = all.into_iter().find(|(v, _)| several(v))?;
        if !self.is_std(def.name.span) || self.is_std(at) || self.is_std(t.span) {
            return None;
        }
        let mut texts: Vec<String> = args.pos.iter().map(|(_, s)| self.text(*s).to_owned()).collect();
        texts.extend(args.named.iter().map(|(n, _, s)| format!("{}: {}", n.text, self.text(*s))));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let text = super::foreign::hyper(&def.name.text, &texts)?;
        let written = |(_, s): &(Value, Span)| *s;
        let first = args.pos.first().map(written).or(args.named.first().map(|(n, ..)| n.span))?;
        let last = args.named.last().map(|(.., s)| *s).into_iter().chain(args.pos.last().map(written));
        let last = last.max_by_key(|s| s.end)?;
        let message = format!("a window of `{}` has a number for each axis by a name of its own", def.name.text);
        let d = Diagnostic::error("E0207", at, message).here(format!("this is {}", v.show()));
        Some(self.error(d.fix(format!("write `({text})`"), [Edit::replace(first.to(last), text)])))
    }

    /// `relu()` or `leaky_relu(0.1)` as an entry of `seq`, where the function is meant and not its result. It takes the
    /// place of what was found since `before`.
    pub(super) fn called_in_seq(&mut self, e: ast::ExprId, before: usize, env: &Env) -> Option<Reported> {
        let ExprKind::Call { callee, args } = &self.ast.expr(e).kind else { return None };
        let ExprKind::Name(name) = &self.ast.expr(*callee).kind else { return None };
        let span = self.ast.span(e);
        if !self.is_known(name, env)
            || !matches!(self.lookup(name, span, env), Ok(Some(Value::Fn(_) | Value::Builtin(_))))
        {
            return None;
        }
        self.diags.truncate(before);
        // `relu(x)`: what flows through has no name here.
        let flows = |a: &&ast::Arg| match &self.ast.expr(a.value).kind {
            ExprKind::Name(n) => a.name.is_some() || self.is_known(n, env),
            _ => true,
        };
        let rest: Vec<&str> = args
            .iter()
            .filter(flows)
            .map(|a| match &a.name {
                Some(n) => self.text(n.span.to(self.ast.span(a.value))),
                None => self.text(self.ast.span(a.value)),
            })
            .collect();
        let edit = match &rest[..] {
            [] => name.to_string(),
            rest => format!("|x| {name}(x, {})", rest.join(", ")),
        };
        let message = format!("an entry of `seq` is a function, `{}` is a call of one", shown(self.text(span)));
        let d = Diagnostic::error("E0207", span, message).here("what flows through the layers is its argument");
        Some(self.error(d.fix(format!("write `{}`", shown(&edit)), [Edit::replace(span, edit)])))
    }
}
