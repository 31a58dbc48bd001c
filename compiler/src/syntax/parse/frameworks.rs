//! Mistakes of grammar that other frameworks teach: their words for items, settings and axes.
//!
//! In: an item and the place where the parser stopped. Out: what to say, as for all `habits`; words stand in tables. Names
//! that are grammar but mean nothing are told later, by `sema`.

use super::error::{CONTEXTUAL, RESERVED};
use super::mend::{Broken, Edits, Outcome, Said};
use crate::syntax::tokens::{Kind, tokens};
use std::collections::BTreeSet;

/// What else an item is called.
const ITEMS: &[(&str, &str)] = &[
    ("dataset", "data"),
    ("dataloader", "data"),
    ("network", "model"),
    ("module", "model"),
    ("layer", "model"),
    ("training", "train"),
    ("trainer", "train"),
    ("fit", "train"),
];

/// What else an index type is called.
const INDEX: &[&str] = &["index", "class", "classes", "label", "categorical"];

/// Calls of a training loop that `train` makes by itself.
const LOOP: &[&str] =
    &["backward", "zero_grad", "step", "train", "eval", "to", "cuda", "cpu", "fit", "compile", "build", "summary"];

/// `dim: 1`; with `=` it is told as an argument that is named with `=`.
pub(super) fn axis(b: &Broken) -> Option<Said> {
    let call = b.open(b.at).is_some_and(|o| b.text(o) == "(");
    if b.text(b.at) != "dim" || b.text(b.at + 1) != ":" || !call {
        return None;
    }
    let said = Said::new("axis", b.range(b.at), "an axis is named `axis`, `dim` begins a size");
    Some(said.help("write `axis:`").edit(b.range(b.at), "axis"))
}

/// `epochs: 5`
pub(super) fn setting(b: &Broken) -> Option<Said> {
    let inside = b.open(b.at).is_some_and(|o| b.text(o) == "{");
    if b.text(0) != "train" || b.text(b.at) != ":" || !inside || b.kind(b.at.checked_sub(1)?) != Some(Kind::Word) {
        return None;
    }
    let name = b.before(1);
    Some(
        Said::new("setting", b.range(b.at), "a setting is given with `=`, not with `:`")
            .label(format!("expected `=` after `{name}`"))
            .help(format!("write `{name} = ..`"))
            .edit(b.range(b.at - 1).end..b.range(b.at).end, " ="),
    )
}

/// `epochs = 5,`, `Linear[8,, 16]`
pub(super) fn commas(b: &Broken) -> Option<Said> {
    if b.text(b.at) != "," {
        return None;
    }
    let r = b.range(b.at);
    if b.before(1) == "," {
        let said = Said::new("commas", r.clone(), "a `,` too many").label("after a `,` something follows");
        return Some(said.help("remove it").edit(r, ""));
    }
    if let Some(said) = columns(b) {
        return Some(said);
    }
    if !matches!(b.text(0), "train" | "data" | "model" | "export") || b.text(b.open(b.at)?) != "{" {
        return None;
    }
    let ends = b.breaks(b.at + 1) || b.text(b.at + 1) == "}";
    let (help, new) = if ends { ("remove it", "") } else { ("write `;`", ";") };
    Some(
        Said::new("end", r.clone(), "what stands here ends with its line or with `;`, not with `,`")
            .label("this `,` separates nothing")
            .help(help)
            .edit(r, new),
    )
}

/// `x: f32[2] = a, b` in `data`
fn columns(b: &Broken) -> Option<Said> {
    let line = b.line_start(b.at);
    let eq = (line..b.at).find(|i| b.text(*i) == "=")?;
    let end =
        (b.at..b.toks.len()).find(|i| b.breaks(*i) || b.text(*i) == "}" || b.text(*i) == ";").unwrap_or(b.toks.len());
    if b.text(0) != "data" || b.text(line + 1) != ":" || end == b.at + 1 {
        return None;
    }
    let (start, end) = (b.range(eq + 1).start, b.range(end - 1).end);
    let said = Said::new("columns", b.range(b.at), "several columns become one field by `stack`")
        .help(format!("write `stack({})`", &b.source[start..end]))
        .edit(start..start, "stack(")
        .edit(end..end, ")");
    b.helps(&said.edits).then_some(said)
}

/// `Model Net = ..`, `dataset D {`, `Let z = h`
pub(super) fn keyword(b: &Broken) -> Option<Said> {
    let places = [b.at, b.at.wrapping_sub(1), b.at.wrapping_sub(2)];
    places.into_iter().filter(|i| b.kind(*i) == Some(Kind::Word)).find_map(|i| {
        let (text, at) = (b.text(i), b.range(i));
        let lower = text.to_ascii_lowercase();
        let known = |t: &str| CONTEXTUAL.contains(&t) || RESERVED.contains(&t);
        let other = ITEMS.iter().find(|(theirs, _)| i == 0 && *theirs == lower).map(|(_, ours)| *ours);
        let ours = if known(&lower) { &*lower } else { other? };
        if text == ours || known(text) {
            return None;
        }
        let message = if lower == ours {
            format!("`{ours}` is written in lower case")
        } else {
            format!("there is no `{text}`: this is `{ours}`")
        };
        let said = Said::new("keyword", at.clone(), message).help(format!("write `{ours}`")).edit(at, ours);
        b.helps(&said.edits).then_some(said)
    })
}

/// `var(x)`, `x.var()`
pub(super) fn variance(b: &Broken) -> Option<Said> {
    if b.text(b.at) != "var" || b.text(b.at + 1) != "(" || !b.touch(b.at + 1) {
        return None;
    }
    let close = closing(b, b.at + 1)?;
    let args = b.source[b.range(b.at + 1).end..b.range(close).start].trim();
    let method = b.at.checked_sub(2).filter(|i| b.text(i + 1) == "." && b.kind(*i) == Some(Kind::Word));
    let (start, args) = match (method, args.is_empty()) {
        (Some(x), true) => (x, b.text(x).to_owned()),
        (Some(x), false) => (x, format!("{}, {args}", b.text(x))),
        (None, _) => (b.at, args.to_owned()),
    };
    let new = format!("moments({args}).1");
    Some(
        Said::new("variance", b.range(b.at), "`var` begins a variable; a variance is the second of the `moments`")
            .help(format!("write `{new}`"))
            .edit(b.range(start).start..b.range(close).end, new),
    )
}

/// `param w = zeros[4, 3]`, `state n = 0`
pub(super) fn untyped(b: &Broken) -> Option<Said> {
    let (kind, name) = (b.at.checked_sub(2)?, b.at.checked_sub(1)?);
    let begins = matches!(b.text(b.at), "=" | "~") && b.kind(name) == Some(Kind::Word);
    if !begins || !matches!(b.text(kind), "param" | "state") {
        return None;
    }
    let message = format!("`{}` needs a type, which says its shape", b.text(name));
    let said = Said::new("untyped", b.range(name), message);
    let value = b.at + 1;
    let start = match b.text(value) {
        "zeros" => "= 0",
        "ones" => "= 1",
        "randn" => "~ normal()",
        "rand" => "~ uniform(0, 1)",
        _ if b.kind(value) == Some(Kind::Number) && b.text(kind) == "state" => {
            let at = b.range(name).end;
            return Some(said.help("one number is an `f32`").edit(at..at, ": f32"));
        }
        _ => return Some(said.label("a type is written behind a name, as in `w: [4, 3]`")),
    };
    let close = matches!(b.text(value + 1), "[" | "(").then(|| closing(b, value + 1)).flatten()?;
    let shape = b.source[b.range(value + 1).end..b.range(close).start].trim();
    let new = format!(": [{shape}] {start}");
    Some(said.help(format!("write `{}{new}`", b.text(name))).edit(b.range(name).end..b.range(close).end, new))
}

/// `w: [4, 3] = 0`, `fc: Linear[4, 3]` as members of a model
pub(super) fn member(b: &Broken) -> Option<Said> {
    let (name, open) = (b.at.checked_sub(1)?, b.open(b.at)?);
    let begins = name == open + 1 || b.breaks(name) || b.before(2) == ";";
    let members = b.text(open) == "{" && b.open(open).is_none() && b.before(b.at - open + 1) != "seq";
    if b.text(0) != "model" || b.text(b.at) != ":" || b.kind(name) != Some(Kind::Word) || !begins || !members {
        return None;
    }
    let r = b.range(name);
    let (name, next) = (b.text(name), b.text(b.at + 1));
    if next.starts_with(|c: char| c.is_ascii_uppercase()) {
        let said = Said::new("member", b.range(b.at), "a layer is declared with `=`, not with `:`");
        return Some(said.help(format!("write `{name} = {next}..`")).edit(r.end..b.range(b.at).end, " ="));
    }
    let shaped = next == "[" || b.text(b.at + 2) == "[";
    let (word, what) = if shaped { ("param", "a parameter") } else { ("const", "a value") };
    let said = Said::new("member", r.clone(), format!("{what} of a model begins with `{word}`"));
    Some(said.help(format!("write `{word} {name}: ..`")).edit(r.start..r.start, format!("{word} ")))
}

/// `train, test = split(source, 0.2)`
pub(super) fn parts(b: &Broken) -> Option<Said> {
    let name = b.at.checked_sub(1)?;
    let two = b.text(b.at) == "," && b.kind(b.at + 1) == Some(Kind::Word) && b.text(b.at + 2) == "=";
    if b.text(0) != "data" || !two || !b.breaks(name) {
        return None;
    }
    let said = Said::new("parts", b.range(b.at), "each part is given by itself");
    let said = said.label(format!("rows that `{}` takes leave the part that it splits", b.text(b.at + 1)));
    Some(said.help(format!("write `{} = ..`", b.text(b.at + 1))).edit(b.range(name).start..b.range(b.at + 1).start, ""))
}

/// `split(source, 20%)`
pub(super) fn percent(b: &Broken) -> Option<Said> {
    let (sign, number) = (b.at.checked_sub(1)?, b.at.checked_sub(2)?);
    if b.text(sign) != "%" || b.kind(number) != Some(Kind::Number) || !matches!(b.text(b.at), ")" | ",") {
        return None;
    }
    let part = b.text(number).parse::<f64>().ok()? / 100.0;
    let r = b.range(number).start..b.range(sign).end;
    let said = Said::new("percent", b.range(sign), "`%` is the remainder of a division, not a hundredth");
    Some(said.help(format!("write `{part}`")).edit(r, part.to_string()))
}

/// `let c = 2` as a member of a model
pub(super) fn let_member(b: &Broken) -> Option<Said> {
    let open = b.open(b.at)?;
    let begins = b.at == open + 1 || b.breaks(b.at) || b.before(1) == ";";
    let members = b.text(open) == "{" && b.open(open).is_none();
    if b.text(0) != "model" || !matches!(b.text(b.at), "let" | "var") || !begins || !members {
        return None;
    }
    let said =
        Said::new("member", b.range(b.at), "a value of a model is a `const`").label("statements stand in functions");
    Some(said.help("write `const`").edit(b.range(b.at), "const"))
}

/// The bracket that closes the one at a place.
fn closing(b: &Broken, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for i in open..b.toks.len() {
        match b.text(i) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}

/// `model net = ..`, `data digits {`, `dim h = 16`, `const H = 16`
pub(super) fn case(b: &Broken) -> Option<Said> {
    let word = if b.text(b.at) == "=" || b.kind(b.at) != Some(Kind::Word) { b.at.checked_sub(1)? } else { b.at };
    let keyword = word.checked_sub(1)?;
    let (name, at) = (b.text(word), b.range(word));
    let first = name.chars().next()?;
    let kind = b.text(keyword);
    if matches!(kind, "const" | "let") && first.is_ascii_uppercase() {
        let said = Said::new("case", at, "names of values begin with a lower-case letter; upper-case names are dims")
            .help(format!("write `dim {name}`"))
            .edit(b.range(keyword), "dim");
        return b.helps(&said.edits).then_some(said);
    }
    // A dim of a model: `model Net[hidden = 16]`.
    let own = b.text(0) == "model" && (keyword == 2 && kind == "[" || kind == "," && b.open(word) == Some(2));
    let kind = if own { "dim" } else { kind };
    let item = matches!(kind, "model" | "data" | "optimizer" | "metric") && keyword == 0 || kind == "dim";
    if !item || !first.is_ascii_lowercase() || RESERVED.contains(&name) {
        return None;
    }
    let new: String = name
        .split('_')
        .map(|part| part[..part.len().min(1)].to_ascii_uppercase() + part.get(1..).unwrap_or_default())
        .collect();
    let new = if kind == "dim" { new } else { new.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned() };
    let what = if kind == "dim" { "dims" } else { "models, data, optimizers and metrics" };
    let said = Said::new("case", at.clone(), format!("names of {what} begin with an upper-case letter"))
        .help(format!("write `{new}`, here and where it is used"))
        .edit(at.clone(), &*new);
    if !b.helps(&said.edits) {
        return None;
    }
    let all = tokens(b.source, &BTreeSet::new());
    let uses = all.iter().enumerate().filter(|(i, t)| {
        let field = *i > 0 && &b.source[all[i - 1].start..all[i - 1].end] == ".";
        let seen = !own || b.item.contains(&t.start);
        t.kind == Kind::Word && t.start != at.start && !field && seen && &b.source[t.start..t.end] == name
    });
    let said = uses.take(100).fold(said, |said, (_, t)| said.edit(t.start..t.end, &*new));
    // The item is whole with the edit, and its other places may lie outside of it.
    Some(Said { until: b.item.end, ..said })
}

/// `seq [a, b]`, `seq(a, b)`, `f32(8)`, `idx(3)`, `Linear{8, 16}`
pub(super) fn brackets(b: &Broken) -> Option<Said> {
    let (open, callee) = (b.text(b.at), b.before(1));
    let end = (b.at + 1..b.toks.len()).find(|i| b.kind(*i) == Some(Kind::Close) && b.open(*i) == Some(b.at))?;
    let upper = callee.starts_with(|c: char| c.is_ascii_uppercase());
    let (message, want) = match (callee, open) {
        ("seq", "(" | "[") => ("the layers of a `seq` stand in braces", [" {", "}"]),
        ("idx", "(" | "[") => ("the number of classes stands in `< >`", ["<", ">"]),
        ("f64" | "f32" | "f16" | "bf16" | "i32" | "i64" | "u8" | "bool", "(") => {
            ("the shape of a type stands in square brackets", ["[", "]"])
        }
        (_, "{") if upper && b.touch(b.at) && b.text(b.at + 2) == ":" => ("arguments stand in parentheses", ["(", ")"]),
        (_, "{") if upper && b.touch(b.at) => ("sizes stand in square brackets", ["[", "]"]),
        _ => return None,
    };
    let blank = if b.touch(b.at) || want[0] != " {" { b.range(b.at) } else { b.range(b.at - 1).end..b.range(b.at).end };
    let said = Said::new("brackets", b.range(b.at), message).help(format!("write `{callee}{}..{}`", want[0], want[1]));
    let said = said.edit(blank, want[0]).edit(b.range(end), want[1]);
    b.helps(&said.edits).then_some(said)
}

/// `Idx<3>`, `class<3>`
pub(super) fn index(b: &Broken) -> Option<Said> {
    let (word, at) = (b.before(1).to_ascii_lowercase(), b.at.checked_sub(1)?);
    if b.text(b.at) != "<" || !(word == "idx" || INDEX.contains(&&*word)) || b.before(1) == "idx" {
        return None;
    }
    let said = Said::new("index", b.range(at), "a type of class numbers is `idx<N>`");
    Some(said.help("write `idx`").edit(b.range(at), "idx"))
}

/// `model Net(nn.Module) {`, `model Net: nn.Module {`
pub(super) fn base(b: &Broken) -> Option<Said> {
    if b.text(0) != "model" || !matches!(b.text(2), "(" | ":") {
        return None;
    }
    let body = (3..b.toks.len().min(12)).find(|i| matches!(b.text(*i), "{" | "="))?;
    let last = b.range(body - 1).end;
    // `(hidden: 16)` is a hyperparameter with its default.
    if b.text(2) == "(" && b.text(4) == ":" && b.kind(5) == Some(Kind::Number) {
        let said = Said::new("default", b.range(4), "a default is given with `=`, not with `:`")
            .help(format!("write `{} = {}`", b.text(3), b.text(5)))
            .edit(b.range(3).end..b.range(4).end, " =");
        return b.helps(&said.edits).then_some(said);
    }
    let said = Said::new("base", b.range(2).start..last, "a model extends nothing")
        .help(format!("leave `{}` out", &b.source[b.range(2).start..last]))
        .edit(b.range(1).end..last, "");
    b.helps(&said.edits).then_some(said)
}

/// `model Net { Linear[8, 16], relu }`
pub(super) fn layers(b: &Broken) -> Option<Said> {
    let open = b.open(b.at)?;
    if b.text(0) != "model" || b.text(open) != "{" || b.open(open).is_some() {
        return None;
    }
    let start = b.range(open).start;
    let said = Said::new("layers", b.range(b.at), "layers one after another are a `seq`")
        .label("not a member such as `fc = Linear[8, 4]`")
        .help(format!("write `model {} = seq {{ .. }}`", b.text(1)))
        .edit(start..start, "= seq ");
    // What stops elsewhere is another mistake.
    (b.outcome(&said.edits) == Outcome::Parses).then_some(said)
}

/// `train Net on D`, `train m = Net on D`, `train m: Net with D`, `train m: Net {`, `train(m: Net on D) {`
pub(super) fn header(b: &Broken) -> Option<Said> {
    let brace = (1..b.toks.len()).find(|i| b.text(*i) == "{")?;
    if b.text(0) != "train" || b.at > brace {
        return None;
    }
    let (start, end) = (b.range(0).start, b.range(brace - 1).end);
    // `train M: Net on D`: what is trained is a value.
    let first = b.text(1);
    if first.starts_with(|c: char| c.is_ascii_uppercase()) && b.text(2) == ":" {
        let new = first.to_ascii_lowercase();
        let said =
            Said::new("header", b.range(1), "what is trained is a value: its name begins with a lower-case letter")
                .help(format!("write `{new}`, here and where it is used"));
        let uses = (1..b.toks.len()).filter(|i| b.text(*i) == first && b.text(*i - 1) != ".");
        return Some(uses.fold(Said { until: b.item.end, ..said }, |said, i| said.edit(b.range(i), &*new)));
    }
    let model = b.text(if b.text(1) == "(" { 2 } else { 1 });
    let at = b.range(b.at);
    // What the settings call: `m(x)`.
    let calls = |i: &usize| b.text(*i) == "(" && b.kind(i - 1) == Some(Kind::Word) && b.text(i - 1).len() == 1;
    let name = (brace..b.toks.len()).find(calls).map_or("m", |i| b.text(i - 1));
    let word = b.kind(b.at) == Some(Kind::Word);
    let mut tries: Vec<Edits> = vec![];
    if b.before(1) == "," {
        tries.push(vec![(b.range(b.at - 1), " on".into())]);
    } else if word {
        tries.push(vec![(at.clone(), "on".into())]);
    }
    if b.text(b.at) == "=" {
        tries.push(vec![(b.range(b.at - 1).end..at.end, ":".into())]);
    }
    if model.starts_with(|c: char| c.is_ascii_uppercase()) {
        tries.push(vec![(b.range(1).start..b.range(1).start, format!("{name}: "))]);
    }
    if b.text(1) == "(" && b.text(brace - 1) == ")" {
        tries.push(vec![(b.range(0).end..b.range(1).end, " ".into()), (b.range(brace - 1), String::new())]);
    }
    if let Some(d) = data_name(b) {
        tries.push(vec![(end..end, format!(" on {d}"))]);
    }
    // The header is right if the parser comes past it.
    let right = |e: &Edits| match b.outcome(e) {
        Outcome::Parses => true,
        Outcome::Further(place) => place > b.range(brace).start,
        Outcome::Same => false,
    };
    let edits = tries.into_iter().find(right)?;
    let (mut header, mut from) = (String::new(), start);
    for (at, text) in &edits {
        header += &b.source[from..at.start];
        header += text;
        from = at.end;
    }
    header += &b.source[from..end.max(from)];
    let said = Said::new("header", start..end, "`train` reads `train m: Model on Data { .. }`");
    Some(Said { edits, ..said.help(format!("write `{}`", header.trim_end())) })
}

/// The only data item of the file.
fn data_name<'a>(b: &Broken<'a>) -> Option<&'a str> {
    let mut names = b.source.lines().filter_map(|l| l.strip_prefix("data ")).map(|l| {
        let end = l.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(l.len());
        &l[..end]
    });
    let one = names.next()?;
    names.next().is_none().then_some(one)
}

/// `{ accuracy(m(x), y) }`
pub(super) fn entry(b: &Broken) -> Option<Said> {
    let open = b.open(b.at)?;
    let begins = b.at == open + 1 || matches!(b.before(1), ",");
    let value = matches!(b.before(1), "=" | "{" | ",") && b.text(open.checked_sub(1)?) == "=";
    if b.text(open) != "{" || !begins || !value || b.kind(b.at) != Some(Kind::Word) {
        return None;
    }
    let (name, start) = (b.text(b.at), b.range(b.at).start);
    let named = name.to_ascii_lowercase();
    Some(
        Said::new("entry", b.range(b.at), "an entry of `{ }` has a name: `name: value`")
            .label("expected `name:` before this")
            .help(format!("write `{named}: {name}`"))
            .edit(start..start, format!("{named}: ")),
    )
}

/// `loss.backward()` in `train`
pub(super) fn training_loop(b: &Broken) -> Option<Said> {
    let line = b.line_start(b.at.saturating_sub(1));
    let call = b.text(line + 1) == "." && LOOP.contains(&b.text(line + 2)) && b.text(line + 3) == "(";
    if b.text(0) != "train" || !call || b.at > line + 3 {
        return None;
    }
    let end = (line + 1..b.toks.len()).find(|i| b.breaks(*i)).map_or(b.range(b.toks.len()).end, |i| b.range(i - 1).end);
    let (r, what) = (b.range(line).start..end, b.text(line + 2));
    Some(
        Said::new("loop", r.clone(), format!("`train` is the whole loop: it has no `{what}`"))
            .label("gradients, updates and evaluation are made by themselves")
            .help("remove the line")
            .edit(r, ""),
    )
}
