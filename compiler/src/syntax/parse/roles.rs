//! What the grammar says about single tokens, for the formatter.
//!
//! In: a file's layout. Out: the [`Role`] of every token whose spacing or indentation depends on what it stands for, by
//! byte offset, and the outline: every rule with its text, by which two texts are known to parse alike. It stands with
//! the parser because only the grammar tells a prefix `-` from an infix one.

use super::{Pair, Rule, each_item};
use crate::syntax::layout::Layout;
use crate::syntax::limits;
use std::collections::BTreeMap;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::syntax) enum Role {
    /// `-` before an operand.
    Minus,
    /// An operator between operands.
    Infix,
    /// `..` of a row or of all axes.
    Row,
    /// `:` of a slice.
    Slice,
    /// The `|` before a lambda's parameters.
    LambdaOpen,
    /// The `|` after them.
    LambdaClose,
    /// A bracket that touches what stands before it: a call, an index, parameters, a shape after its dtype.
    Touch,
    /// `<` of `idx<N>`.
    AngleOpen,
    /// `>` of `idx<N>`.
    AngleClose,
    /// `{` of a record or `seq`, whose entries may be separated by commas.
    List,
    /// `{` of `use "f".{A, B}`.
    NamesOpen,
    /// `}` of it.
    NamesClose,
    /// `@` of an attribute.
    Attr,
    /// The last byte of an attribute.
    AttrEnd,
}

/// The roles of a file's tokens.
#[derive(Debug, Default)]
pub(in crate::syntax) struct Roles {
    /// By the offset of the token.
    pub at: BTreeMap<usize, Role>,
    /// The offset of the first `if` that each `else` belongs to.
    pub if_of: BTreeMap<usize, usize>,
    /// Every rule in order, leaves with their text; `EOI` stands for its end.
    pub outline: Vec<(Rule, String)>,
}

/// The roles in a file that parses.
pub(in crate::syntax) fn roles(layout: &Layout) -> Roles {
    limits::with_stack(|| {
        let mut out = Roles::default();
        each_item(layout, &mut |base, pairs| {
            for p in pairs {
                visit(&mut out, base, &layout.text, p);
            }
        });
        out
    })
}

/// Takes down a rule and those in it. No deeper than the parser that found them.
fn visit(out: &mut Roles, base: usize, text: &str, p: Pair) {
    note(out, base, text, &p);
    for inner in p.into_inner() {
        visit(out, base, text, inner);
    }
    out.outline.push((Rule::EOI, String::new()));
}

fn note(out: &mut Roles, base: usize, text: &str, p: &Pair) {
    let start = base + p.as_span().start();
    let end = start + p.as_str().trim_end().len();
    let leaf = p.clone().into_inner().next().is_none();
    let mut own = if leaf { text[start..end].to_owned() } else { String::new() };
    if p.as_rule() != Rule::str_body {
        own.retain(|c| !c.is_ascii_whitespace());
    }
    out.outline.push((p.as_rule(), own));
    let role = match p.as_rule() {
        Rule::prefix if p.as_str().starts_with('-') => Role::Minus,
        Rule::infix | Rule::dim_op => Role::Infix,
        Rule::row | Rule::all_axes => Role::Row,
        Rule::colon => Role::Slice,
        Rule::call
        | Rule::index
        | Rule::binders
        | Rule::dims
        | Rule::params
        | Rule::dim_call
        | Rule::fn_sig
        | Rule::open_p => Role::Touch,
        Rule::record => Role::List,
        Rule::attr => {
            out.at.entry(end.saturating_sub(1)).or_insert(Role::AttrEnd);
            Role::Attr
        }
        Rule::seq_e => {
            if let Some(open) = find(text, '{', start..end) {
                out.at.insert(open, Role::List);
            }
            return;
        }
        Rule::use_names => {
            if let Some(open) = find(text, '{', start..end) {
                out.at.insert(open, Role::NamesOpen);
            }
            out.at.insert(end.saturating_sub(1), Role::NamesClose);
            return;
        }
        Rule::tensor_ty => {
            let mut parts = p.clone().into_inner();
            if let (Some(_), Some(shape)) = (parts.next(), parts.next()) {
                out.at.insert(base + shape.as_span().start(), Role::Touch);
            }
            return;
        }
        Rule::idx_ty => {
            if let Some(open) = find(text, '<', start..end) {
                out.at.insert(open, Role::AngleOpen);
            }
            Role::AngleClose
        }
        Rule::lambda => {
            let parts: Vec<Pair> = p.clone().into_inner().collect();
            if let [.., pat, body] = &parts[..] {
                let between =
                    base + pat.as_span().start() + pat.as_str().trim_end().len()..base + body.as_span().start();
                if let Some(close) = find(text, '|', between) {
                    out.at.insert(close, Role::LambdaClose);
                }
            }
            Role::LambdaOpen
        }
        Rule::if_e => {
            for k in p.clone().into_inner().filter(|k| matches!(k.as_rule(), Rule::else_if | Rule::else_b)) {
                out.if_of.insert(base + k.as_span().start(), start);
            }
            return;
        }
        _ => return,
    };
    out.at.insert(if role == Role::AngleClose { end.saturating_sub(1) } else { start }, role);
}

fn find(text: &str, c: char, within: std::ops::Range<usize>) -> Option<usize> {
    let start = within.start;
    text.get(within)?.find(c).map(|n| start + n)
}
