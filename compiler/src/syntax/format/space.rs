//! How far apart two tokens of a line stand.
//!
//! In: two neighboring tokens. Out: the number of blanks, 0 or 1, that they get unless an alignment says more.
//! `*`, `/`, `//`, `%`, `@` and the `..` of a range stand as the author wrote them, with blanks on both sides or none:
//! `[4*H, In]` and `a * b` are both usual. `**` has none, every other operator has them.

use super::{Role, Text};
use crate::syntax::tokens::Kind;

/// The blanks between token `b` and the one before it.
pub(super) fn gap(t: &Text, b: usize) -> usize {
    let a = b - 1;
    let (first, second) = (t.str(a), t.str(b));
    let (role_a, role_b) = (t.role(a), t.role(b));
    let touch = matches!(first, "(" | "[")
        || matches!(second, ")" | "]" | "," | ";")
        || (first == "{" && second == "}")
        || matches!(role_a, Some(Role::NamesOpen))
        || matches!(role_b, Some(Role::NamesOpen | Role::NamesClose));
    if touch {
        return 0;
    }
    if matches!(first, "," | ";") {
        return 1;
    }
    let dot = |i: usize| t.kind(i) == Kind::Punct && t.str(i) == ".";
    let touch = dot(a)
        || dot(b)
        || matches!(role_a, Some(Role::Slice | Role::AngleOpen | Role::Minus | Role::Attr | Role::LambdaOpen))
        || matches!(role_b, Some(Role::Slice | Role::AngleOpen | Role::AngleClose | Role::Touch | Role::LambdaClose))
        || second == ":"
        || (role_a == Some(Role::Row) && second.starts_with(|c: char| c.is_ascii_uppercase()));
    if touch {
        return 0;
    }
    let tight = |i: usize, role: Option<Role>| role == Some(Role::Infix) && tight(t, i);
    usize::from(!(tight(a, role_a) || tight(b, role_b)))
}

/// Whether an operator stands without blanks.
fn tight(t: &Text, op: usize) -> bool {
    match t.str(op) {
        "**" => true,
        "*" | "/" | "//" | "%" | "@" | ".." => {
            let touches = |a: usize, b: usize| t.toks[a].end == t.toks[b].start;
            op > 0 && op + 1 < t.toks.len() && touches(op - 1, op) && touches(op, op + 1)
        }
        _ => false,
    }
}
