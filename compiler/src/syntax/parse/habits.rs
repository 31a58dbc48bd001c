//! Mistakes that other languages teach, each with its message and its edit.
//!
//! In: an item and the place where the parser stopped. Out: what to say, if one of the known mistakes explains it. An
//! edit is tried first: where the parser does not come further with it, the mistake is another one.

use super::mend::{Broken, LONGEST, Said};
use super::{error, frameworks, operators, python, words};
use crate::syntax::tokens::Kind;

type Habit = fn(&Broken) -> Option<Said>;

/// The mistakes, the surer ones first.
const HABITS: &[Habit] = &[
    python::block,
    words::begins,
    words::joins,
    operators::choice,
    frameworks::training_loop,
    frameworks::axis,
    named,
    frameworks::setting,
    frameworks::commas,
    frameworks::variance,
    frameworks::untyped,
    frameworks::member,
    frameworks::let_member,
    frameworks::parts,
    frameworks::percent,
    frameworks::keyword,
    frameworks::case,
    frameworks::header,
    frameworks::base,
    frameworks::entry,
    frameworks::index,
    frameworks::brackets,
    frameworks::layers,
    operators::assigns,
    operators::other,
    comment,
    number,
    dots,
    result,
    call,
    comma,
    statements,
];

/// What the mistake at this place is.
pub(super) fn explain(b: &Broken) -> Option<Said> {
    if b.item.len() > LONGEST {
        return None;
    }
    HABITS.iter().find_map(|habit| {
        let said = habit(b)?;
        if said.edits.is_empty() || said.until > 0 {
            return Some(said);
        }
        b.helps(&said.edits).then(|| b.all_places(said, habit))
    })
}

/// `f(lr=1e-3)`, `{ acc = e }`, `seq { a = l }`, `M[In=3]`
fn named(b: &Broken) -> Option<Said> {
    let open = b.open(b.at)?;
    // In an entry of a record the parser stops before the name.
    let eq = if b.text(b.at) == "=" { b.at } else { b.at + 1 };
    let name = eq.checked_sub(1)?;
    let begins = name == open + 1 || b.breaks(name) || matches!(b.text(name.checked_sub(1)?), "," | ";");
    let arrow = b.text(eq + 1) == ">" && b.touch(eq + 1);
    // Where a name is wanted, the parser stops before the reserved one that other frameworks have for an axis.
    if b.text(b.at) == "dim" && b.text(b.at + 1) == "=" && b.text(open) == "(" {
        let said = Said::new("named", b.range(b.at + 1), "an argument is named with `:`, not with `=`");
        return Some(
            said.label("and an axis is named `axis`")
                .help(format!("write `axis: {}`", if b.text(b.at + 2) == "-" { ".." } else { b.text(b.at + 2) }))
                .edit(b.range(b.at).start..b.range(b.at + 2).start, "axis: "),
        );
    }
    if b.text(eq) != "=" || arrow || b.kind(name) != Some(Kind::Word) || !begins {
        return None;
    }
    let (text, value) = (b.text(name), b.text(eq + 1));
    let what = match b.text(open) {
        "(" => "an argument",
        "{" => "an entry",
        // Dims of a model are declared with their defaults.
        _ if b.text(0) == "model" && open == 2 => return None,
        _ => {
            return Some(
                Said::new("named", b.range(eq), "what stands in `[ ]` has no name")
                    .label("dims go by their order")
                    .help(format!("leave `{text} =` out"))
                    .edit(b.range(name).start..b.range(eq + 1).start, ""),
            );
        }
    };
    let whole = b.text(eq + 2) == "," || b.kind(eq + 2) == Some(Kind::Close);
    let value = if value.len() > 20 || !whole { ".." } else { value };
    Some(
        Said::new("named", b.range(eq), format!("{what} is named with `:`, not with `=`"))
            .label(format!("expected `:` after `{text}`"))
            .help(format!("write `{text}: {value}`"))
            .edit(b.range(name).end..b.range(eq + 1).start, ": "),
    )
}

/// `x = 1 // why not`
fn comment(b: &Broken) -> Option<Said> {
    let i = (b.line_start(b.at.saturating_sub(1))..=b.at).find(|i| b.text(*i) == "//")?;
    let r = b.range(i);
    let line = b.source[r.end..].split('\n').next().unwrap_or("");
    // One word could be a divisor, if it is one.
    let prose = i == b.at || i + 1 == b.at || line.split_whitespace().count() > 1;
    prose.then(|| {
        Said::new("comment", r.clone(), "a comment starts with `#`, not with `//`")
            .label("this divides")
            .help("write `#`")
            .edit(r, "#")
    })
}

/// `.5`, `5.`, `0x1F`, `1.0f`
fn number(b: &Broken) -> Option<Said> {
    let (t, r) = (b.text(b.at), b.range(b.at));
    if t == "." && b.touch(b.at + 1) && b.text(b.at + 1).starts_with(|c: char| c.is_ascii_digit()) {
        return Some(
            Said::new("number", r.start..b.range(b.at + 1).end, "a number begins with a digit")
                .help(format!("write `0.{}`", b.text(b.at + 1)))
                .edit(r.start..r.start, "0"),
        );
    }
    // `5.*x` reads as a selector up to the `x`.
    let dot = if b.before(1) == "*" { b.at.saturating_sub(2) } else { b.at.saturating_sub(1) };
    if b.text(dot) == "." && dot > 0 && b.kind(dot - 1) == Some(Kind::Number) && b.touch(dot) {
        let (n, number) = (b.text(dot - 1), b.range(dot - 1));
        let dot = b.range(dot);
        return Some(
            Said::new("number", number.start..dot.end, "a digit follows the point of a number")
                .help(format!("write `{n}.0`"))
                .edit(dot.end..dot.end, "0"),
        );
    }
    if b.kind(b.at) != Some(Kind::Number) || !b.touch(b.at + 1) || b.kind(b.at + 1) != Some(Kind::Word) {
        return None;
    }
    let whole = r.start..b.range(b.at + 1).end;
    let text = &b.source[whole.clone()];
    let lower = text.to_ascii_lowercase();
    let based =
        [("0x", 16), ("0b", 2), ("0o", 8)].into_iter().find_map(|(p, base)| Some((lower.strip_prefix(p)?, base)));
    let new = match (based, b.text(b.at + 1)) {
        (Some((digits, base)), _) => u64::from_str_radix(&digits.replace('_', ""), base).ok().map(|n| n.to_string()),
        (_, "f" | "F" | "d" | "D" | "l" | "L" | "u" | "U" | "f32" | "f64") => Some(t.to_owned()),
        _ => None,
    };
    let said = Said::new("number", whole.clone(), format!("`{text}` is no number"));
    Some(match new {
        Some(n) => said.label("numbers are decimal, without letters").help(format!("write `{n}`")).edit(whole, n),
        None => said.label("numbers are written `1_000`, `0.5` or `1e-3`"),
    })
}

/// `x[..., 0]`
fn dots(b: &Broken) -> Option<Said> {
    if b.text(b.at) != "." || b.before(1) != ".." || !b.touch(b.at) {
        return None;
    }
    Some(
        Said::new("dots", b.range(b.at - 1).start..b.range(b.at).end, "all leading axes are `..`, with two dots")
            .help("write `..`")
            .edit(b.range(b.at), ""),
    )
}

/// `fn f(x: [N]): [N]`
fn result(b: &Broken) -> Option<Said> {
    let head = matches!(b.text(b.line_start(b.at)), "fn" | "vjp");
    if b.text(b.at) != ":" || b.before(1) != ")" || !head {
        return None;
    }
    let said = Said::new("result", b.range(b.at), "the type of a result follows `->`");
    Some(said.help("write `->`").edit(b.range(b.at), " ->"))
}

/// `f (x)`
fn call(b: &Broken) -> Option<Said> {
    let prev = b.at.checked_sub(1)?;
    // `export (` lacks a name.
    let begins = prev == b.line_start(prev) && error::CONTEXTUAL.contains(&b.text(prev));
    let callee = b.kind(prev) == Some(Kind::Word) && !begins && !error::RESERVED.contains(&b.text(prev));
    if !matches!(b.text(b.at), "(" | "[") || b.touch(b.at) || b.first || !callee {
        return None;
    }
    let what = if b.text(b.at) == "(" { "a call" } else { "an index" };
    Some(
        Said::new("call", b.range(b.at), format!("{what} touches what stands before it"))
            .label(format!("a blank stands between this and `{}`", b.text(prev)))
            .help("remove the blank")
            .edit(b.range(prev).end..b.range(b.at).start, ""),
    )
}

/// `[1 2]`, `f(a\n b)`
fn comma(b: &Broken) -> Option<Said> {
    let prev = b.at.checked_sub(1)?;
    b.open(b.at)?;
    let literal = |t: &str| matches!(t, "true" | "false" | "inf" | "new");
    let ends = match b.kind(prev)? {
        Kind::Word => !error::RESERVED.contains(&b.text(prev)) || literal(b.text(prev)),
        Kind::Number | Kind::Str | Kind::Close => true,
        _ => false,
    };
    let begins = match b.kind(b.at)? {
        Kind::Word | Kind::Number | Kind::Str | Kind::Open => true,
        Kind::Punct => matches!(b.text(b.at), ".." | "|"),
        _ => false,
    };
    if !ends || !begins {
        return None;
    }
    let end = b.range(prev).end;
    let next = if b.text(b.at).len() > 30 { ".." } else { b.text(b.at) };
    Some(
        Said::new("comma", b.range(prev), format!("a `,` is missing before `{next}`"))
            .label("expected `,` after this")
            .help("put a `,` between them")
            .edit(end..end, ","),
    )
}

/// `let a = 1 let b = 2`
fn statements(b: &Broken) -> Option<Said> {
    let prev = b.at.checked_sub(1)?;
    // `x y` would be two statements too, but nobody means that: only what reads as a statement by itself counts.
    let clear = error::RESERVED.contains(&b.text(b.at)) || matches!(b.text(b.at + 1), "=" | "+=" | "-=" | "<-");
    if b.first || b.kind(b.at) != Some(Kind::Word) || !clear {
        return None;
    }
    let end = b.range(prev).end;
    Some(
        Said::new("statements", b.range(b.at), "a second statement on a line follows a `;`")
            .label("the statement before it has ended")
            .help("put a `;` between them")
            .edit(end..end, ";"),
    )
}
