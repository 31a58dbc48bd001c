//! What went wrong, in the language's words.
//!
//! In: pest's error (the furthest place reached and the rules tried there). Out: a diagnostic that says what was expected
//! there and what stands there; mistakes that other languages teach have messages of their own (`habits`).

use super::mend::Broken;
use super::{Rule, habits};
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};
use crate::syntax::limits;
use pest::error::{ErrorVariant, InputLocation};
use std::ops::Range;

/// The diagnostic for an item that does not parse, and where what it explains ends. `source` is the file, `text` the same
/// after layout.
pub(super) fn explain(
    file: FileId,
    source: &str,
    text: &str,
    item: Range<usize>,
    e: pest::error::Error<Rule>,
) -> (Diagnostic, usize) {
    let at = (item.start + offset(&e)).min(item.end);
    let rules = match e.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => {
            let span = Span { file, start: item.start as u32, end: item.end as u32 };
            let d = Diagnostic::error("E0002", span, "this item takes too much work to parse")
                .note(format!("the limit is {} {}", limits::CALLS_PER_BYTE.value, limits::CALLS_PER_BYTE.unit))
                .note("very many constructs inside one another, without brackets, are the usual cause")
                .help("name intermediate results with `let`");
            return (d, 0);
        }
    };
    // The parser stops before blanks; the message is about what follows them.
    let skipped = text[at..item.end].len() - text[at..item.end].trim_start().len();
    let at = at + skipped;
    if let Some(said) = habits::explain(&Broken::new(file, source, item.clone(), at)) {
        let until = said.until;
        return (said.diagnostic(file), until);
    }
    let (found, len) = found(source, text, at, item.end);
    let span =
        if len == 0 { last_char(source, file, at) } else { Span { file, start: at as u32, end: (at + len) as u32 } };
    let expected = expected(&rules, text, &item, at);
    let message = if expected.is_empty() {
        format!("{found} cannot stand here")
    } else {
        format!("expected {}, found {found}", join(&expected))
    };
    let mut d = Diagnostic::error("E0001", span, message);
    if !expected.is_empty() {
        d = d.here(format!("expected {}", expected[0]));
    }
    if let Some(help) = hint(source, at, &rules) {
        d = d.help(help);
    }
    (d, 0)
}

/// How far the parser came in an item.
pub(super) fn offset(e: &pest::error::Error<Rule>) -> usize {
    match e.location {
        InputLocation::Pos(p) | InputLocation::Span((p, _)) => p,
    }
}

/// An empty place shows nothing: at the end of a text point at its last character.
fn last_char(source: &str, file: FileId, at: usize) -> Span {
    let back = source[..at].trim_end();
    let start = back.char_indices().next_back().map_or(0, |(i, _)| i);
    Span { file, start: start as u32, end: back.len() as u32 }
}

/// What stands at an offset, and its length; 0 at the end of a line or of the file.
fn found(source: &str, text: &str, at: usize, item_end: usize) -> (String, usize) {
    if at >= item_end {
        let end = at >= source.trim_end().len();
        return (if end { "the end of the file" } else { "the end of the line" }.into(), 0);
    }
    let rest = &source[at..];
    let c = rest.chars().next().unwrap_or(' ');
    if text.as_bytes()[at] == b';' {
        return if c == ';' { ("`;`".into(), 1) } else { ("the end of the line".into(), 0) };
    }
    let word = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    if word > 0 {
        let shown = &rest[..word.min(40)];
        let kind = if RESERVED.contains(&shown) { "the reserved word " } else { "" };
        let more = if word > 40 { "..." } else { "" };
        return (format!("{kind}`{shown}{more}`"), word);
    }
    if c == '"' {
        let len = rest[1..].find('"').map_or(1, |n| n + 2);
        return ("a string".into(), len);
    }
    for op in
        ["|>", "->", "<-", "==", "!=", "<=", ">=", "**", "//", "..", "+=", "-=", "*=", "&&", "||", "=>", "::", "++"]
    {
        if rest.starts_with(op) {
            return (format!("`{op}`"), op.len());
        }
    }
    let shown = if c.is_control() { format!("the character U+{:04X}", c as u32) } else { format!("`{c}`") };
    (shown, c.len_utf8())
}

pub(in crate::syntax) const RESERVED: &[&str] = &[
    "let",
    "var",
    "param",
    "state",
    "const",
    "dim",
    "fn",
    "seq",
    "for",
    "scan",
    "emit",
    "if",
    "else",
    "eval",
    "minimize",
    "penalty",
    "assert",
    "rearrange",
    "as",
    "and",
    "or",
    "not",
    "true",
    "false",
    "inf",
    "new",
];

/// What the grammar would have taken at `at`.
fn expected(rules: &[Rule], text: &str, item: &Range<usize>, at: usize) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let mut add = |s: &str| {
        if !out.iter().any(|o| o == s) {
            out.push(s.into());
        }
    };
    let mut goes_on = false;
    for r in rules {
        match words(*r) {
            Some(list) => list.iter().for_each(|w| add(w)),
            None => goes_on |= continues(*r),
        }
    }
    let before = text[item.start..at].trim();
    if CONTEXTUAL.contains(&before) && !out.is_empty() {
        // `model` could be a name and this an expression, but nobody means that.
        return out;
    }
    out.sort_by_key(|o| MAY_FOLLOW.contains(&o.as_str()));
    if !goes_on && !out.is_empty() {
        return out;
    }
    // After a complete expression the list of operators says little: say first what else may follow.
    let mut add = |s: &str| {
        if !out.iter().any(|o| o == s) {
            out.push(s.into());
        }
    };
    let open = innermost(&text.as_bytes()[item.start..at]);
    match open {
        Some(b'(') => ["`,`", "`)`"].iter().for_each(|s| add(s)),
        Some(b'[') => ["`,`", "`]`"].iter().for_each(|s| add(s)),
        _ => {
            if out.iter().all(|o| MAY_FOLLOW.contains(&o.as_str())) {
                out.clear();
                out.push("the end of the line".into());
                if open.is_some() {
                    out.push("`}`".into());
                }
            }
        }
    }
    if goes_on {
        out.push("an operator".into());
    }
    out
}

/// Words that may, but need not, follow an expression.
const MAY_FOLLOW: &[&str] = &["`else`", "`if`", "`over`", "`for`", "`where`", "`along`", "`,`"];

/// Words that start an item when the rest fits, and are names otherwise.
pub(super) const CONTEXTUAL: &[&str] =
    &["use", "vjp", "model", "optimizer", "metric", "data", "train", "export", "test"];

/// The innermost bracket that is open at the end of a text whose brackets match. Strings are skipped.
fn innermost(text: &[u8]) -> Option<u8> {
    let (mut stack, mut i) = (vec![], 0);
    while i < text.len() {
        match text[i] {
            b'"' => {
                i += 1;
                while i < text.len() && text[i] != b'"' {
                    i += 1 + usize::from(text[i] == b'\\');
                }
            }
            c @ (b'(' | b'[' | b'{') => stack.push(c),
            b')' | b']' | b'}' => {
                stack.pop();
            }
            _ => {}
        }
        i += 1;
    }
    stack.last().copied()
}

/// Rules that may follow an expression.
fn continues(r: Rule) -> bool {
    use Rule::*;
    matches!(r, infix | set_op | EOI | dim_op | dyn_ix | open_ix | colon | binders | tail_comma)
}

fn words(r: Rule) -> Option<&'static [&'static str]> {
    use Rule::*;
    Some(match r {
        one_item | item | use_i | const_i | fn_i | vjp_i | model_i | opt_i | metric_i | data_i | train_i | export_i
        | test_i => &["an item such as `model`, `fn`, `data` or `train`"],
        stmt | let_s | var_s | for_s | emit_s | min_s | every_s | pen_s | assert_s | simple => &["a statement"],
        expr | cast | postfix | primary | prefix | number | boolean | infinity | lambda | if_e | if_then | scan_e
        | seq_e | eval_e | rearr | record | list | tuple | k_rearr | k_scan | k_seq | k_eval | li => &["an expression"],
        ty | fn_ty | fn_sig | tuple_ty | tensor_ty | dtype | idx_ty => &["a type"],
        shape | shape_d => &["a shape"],
        dim_e | dim_ref | dim_paren | dim_call => &["a dim"],
        row | all_axes => &["`..`"],
        lower => &["a lower-case name"],
        upper => &["an upper-case name"],
        path => &["a name"],
        wild => &["`_`"],
        member_name => &["a name after `.`"],
        pat | tuple_pat | comp => &["a name or a pattern"],
        binder => &["an index variable"],
        init => &["`=`", "`~`"],
        equals => &["`=`"],
        draw => &["`~`"],
        has_type => &["`:`"],
        arrow | result => &["`->`"],
        block | members | open_b => &["`{`"],
        open_p => &["`(`"],
        next_arg => &["`,`"],
        arg => &["an argument"],
        ix => &["an index"],
        seq_x => &["a layer"],
        rec_x => &["`name: value`"],
        axes | axis | group => &["an axis name"],
        axis_size => &["`name: size`"],
        member | param_m | state_m | tie_m | sub_m => &["a member such as `param`, `fn` or `name = layer`"],
        only_if | k_if => &["`if`"],
        else_if | else_b | k_else => &["`else`"],
        use_names => &["`.{ names }`"],
        dims => &["`[dims]`"],
        dim_p => &["a dim name"],
        params => &["`(parameters)`"],
        par => &["a parameter"],
        where_c | k_where => &["`where`"],
        body => &["`=`", "`{`"],
        data_x | field_d => &["a field `name: type = value`", "a setting `name = value`"],
        train_x | step | train_let | export_x | setting => &["a setting such as `batch = 64`"],
        bind => &["`name: model`"],
        string | str_body => &["a string"],
        attr => &["an attribute"],
        along_c | k_along => &["`along`"],
        list_for | k_for => &["`for`"],
        k_in => &["`in`"],
        k_on => &["`on`"],
        k_over => &["`over`"],
        k_fn => &["`fn`"],
        _ => return None,
    })
}

fn join(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// Words on what else is often meant.
fn hint(source: &str, at: usize, rules: &[Rule]) -> Option<String> {
    let rest = &source[at.min(source.len())..];
    let line_start = source[..at].rfind('\n').map_or(0, |n| n + 1);
    let word = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or("");
    let before = source[line_start..at].trim_end().rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
    // At the end of a line `at` is the line break itself.
    if rest.starts_with(['\n', '\r'])
        && rest.trim_start().starts_with('{')
        && rules.iter().any(|r| words(*r).is_some_and(|w| w.contains(&"`{`")))
    {
        return Some("put the `{` at the end of this line".into());
    }
    let name_wanted = rules.iter().any(|r| matches!(r, Rule::lower | Rule::pat | Rule::upper | Rule::par));
    if name_wanted && RESERVED.contains(&word) {
        return Some(format!("`{word}` is reserved; choose another name"));
    }
    (word == "in" && before == Some("not")).then(|| "`in` is only part of `for` and `scan`".into())
}
