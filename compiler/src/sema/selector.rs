//! Selectors: `m.blocks.**.router` against the paths of parameters.
//!
//! In: a selector's syntax and the parameters' names. Out: which it matches (a submodule stands for all of its
//! parameters) and how specific it is: the one with more literal parts wins.

use super::cx::{Elab, R, nearest};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::{ExprId, ExprKind};
use std::sync::Arc;

/// A selector, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// `blocks`, `*`, `**`
    pub parts: Vec<Arc<str>>,
    /// Where it stands.
    pub span: Span,
}

impl Selector {
    /// Does it match a parameter, or a module that holds it?
    pub fn matches(&self, path: &[&str]) -> bool {
        prefix_match(&self.parts, path)
    }

    /// Number of literal parts.
    pub fn weight(&self) -> usize {
        self.parts.iter().filter(|p| !matches!(&***p, "*" | "**")).count()
    }
}

fn prefix_match(pattern: &[Arc<str>], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => true,
        Some((p, rest)) if &**p == "**" => (0..=path.len()).any(|i| prefix_match(rest, &path[i..])),
        Some((p, rest)) => match path.split_first() {
            Some((first, path)) => (&**p == "*" || **p == **first) && prefix_match(rest, path),
            None => false,
        },
    }
}

impl Elab<'_> {
    /// Reads a selector; `names` are the trained models' names.
    pub fn selector(&mut self, e: ExprId, names: &[Arc<str>]) -> R<Selector> {
        let span = self.ast.span(e);
        let mut parts = vec![];
        let mut at = e;
        loop {
            match &self.ast.expr(at).kind {
                ExprKind::Field { base, name } => {
                    parts.push(name.text.clone());
                    at = *base;
                }
                ExprKind::Name(n) => {
                    if !names.contains(n) {
                        let here = self.ast.span(at);
                        let mut d =
                            Diagnostic::error("E0302", here, format!("selector: no model here is called `{n}`"));
                        if let Some(near) = nearest(n, names.iter().map(|n| &**n)) {
                            d = d.help(format!("did you mean `{near}`?"));
                        }
                        return Err(self.error(d));
                    }
                    parts.push(n.clone());
                    parts.reverse();
                    return Ok(Selector { parts, span });
                }
                ExprKind::Index { .. } => return Err(self.limit(span, "selectors with a condition, `[rank == 2]`")),
                _ => return self.err("E0302", span, "a selector is a path: `m.blocks.**.router`"),
            }
        }
    }

    /// E0302: nothing is matched; says what stands where the path ends.
    pub fn matches_nothing<T>(&mut self, s: &Selector, paths: &[Vec<&str>]) -> R<T> {
        let text = s.parts.join(".");
        let mut d = Diagnostic::error("E0302", s.span, format!("selector `{text}` matches nothing"));
        for n in (1..s.parts.len()).rev() {
            let head = Selector { parts: s.parts[..n].to_vec(), span: s.span };
            let mut next: Vec<&str> = vec![];
            for p in paths {
                if head.matches(p) && p.len() > n && head.parts.iter().all(|x| &**x != "**") && !next.contains(&p[n]) {
                    next.push(p[n]);
                }
            }
            if !next.is_empty() {
                d = d.note(format!("`{}` has: {}", head.parts.join("."), next.join(", ")));
                if let Some(near) = nearest(&s.parts[n], next.iter().copied()) {
                    d = d.help(format!("did you mean `{near}`?"));
                }
                break;
            }
        }
        Err(self.error(d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    #[test]
    fn paths() {
        let span = Span { file: FileId(0), start: 0, end: 0 };
        let sel = |s: &str| Selector { parts: s.split('.').map(Arc::from).collect(), span };
        let path: Vec<&str> = "m.blocks.3.attn.router.weight".split('.').collect();
        for (s, yes) in [
            ("m", true),
            ("m.blocks", true),
            ("m.blocks.*.attn", true),
            ("m.**.router", true),
            ("m.blocks.**.weight", true),
            ("m.*.attn", false),
            ("m.blocks.4", false),
            ("g", false),
            ("m.blocks.3.attn.router.weight.x", false),
        ] {
            assert_eq!(sel(s).matches(&path), yes, "{s}");
        }
        assert_eq!(sel("m.**.router").weight(), 2);
    }
}
