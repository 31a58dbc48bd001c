//! Tests of the front end: whole programs, hostile text and mutated programs.

use super::ast::*;
use super::{layout, limits, parse, source_from_bytes};
use crate::diag::Diagnostic;
use crate::report;
use crate::source::{FileId, SourceMap, Span};
use std::path::PathBuf;

/// Every valid program of the repository: the language design's, the standard library and the examples.
pub(super) fn fixtures() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = vec![root.join("tests/spec/syntax/accepted.nn")];
    for dir in ["tests/data/syntax", "tests/traces", "stdlib", "examples"] {
        let entries = std::fs::read_dir(root.join(dir)).expect(dir);
        paths.extend(entries.map(|e| e.expect("entry").path()).filter(|p| p.extension().is_some_and(|e| e == "nn")));
    }
    paths.sort();
    assert!(paths.len() >= 17, "fixtures are missing");
    paths.into_iter().map(|p| (p.display().to_string(), std::fs::read_to_string(&p).expect("text"))).collect()
}

pub(super) fn parsed(source: &str) -> (Ast, Vec<Diagnostic>) {
    let mut ast = Ast::default();
    let errors = parse(&mut ast, FileId(0), source);
    (ast, errors)
}

#[test]
fn the_programs_of_the_language_design_parse() {
    for (name, text) in fixtures() {
        let (ast, errors) = parsed(&text);
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        assert!(!ast.files[0].items.is_empty(), "{name}");
    }
}

/// The tree as text without places. The parser numbers expressions in the order of the text, so equal trees read equal.
pub(super) fn shape(ast: &Ast) -> String {
    let all = format!("{ast:?}");
    let mut out = String::with_capacity(all.len());
    let mut rest = all.as_str();
    while let Some(at) = rest.find("Span { ") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[rest.find('}').map_or(rest.len(), |n| n + 1)..];
    }
    out + rest
}

fn printed(ast: &Ast) -> String {
    super::print::file(ast, &ast.files[0])
}

fn round_trip(name: &str, text: &str) {
    let (first, errors) = parsed(text);
    assert!(errors.is_empty(), "{name}: {errors:#?}");
    let canonical = printed(&first);
    let (second, errors) = parsed(&canonical);
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{canonical}");
    // `export` keeps its settings before its functions, whatever the order of the text.
    if !text.contains("export ") {
        assert_eq!(shape(&first), shape(&second), "{name}:\n{canonical}");
    }
    assert_eq!(canonical, printed(&second), "{name}");
}

#[test]
fn printing_and_parsing_give_the_same_tree() {
    for (name, text) in fixtures() {
        round_trip(&name, &text);
    }
}

/// Parses hostile text: no panic, every place inside the file, at least one error, and quick. The bound is loose because
/// other tests share the cores; linear work takes a fraction of it and exponential work never ends.
fn refused(name: &str, text: &str) -> Vec<Diagnostic> {
    let start = std::time::Instant::now();
    let errors = sound(name, text);
    assert!(start.elapsed().as_secs() < 10, "{name} took {:?}", start.elapsed());
    assert!(!errors.is_empty(), "{name} was accepted");
    errors
}

fn sound(name: &str, text: &str) -> Vec<Diagnostic> {
    let (ast, errors) = parsed(text);
    let inside = |s: Span| s.file == FileId(0) && s.start <= s.end && s.end as usize <= text.len();
    for d in &errors {
        for l in &d.labels {
            let (a, b) = (l.span.start as usize, l.span.end as usize);
            assert!(inside(l.span) && text.is_char_boundary(a) && text.is_char_boundary(b), "{name}: {d:?}");
        }
    }
    for e in &ast.exprs {
        assert!(inside(e.span), "{name}: {e:?}");
    }
    errors
}

fn code(errors: &[Diagnostic]) -> &str {
    errors[0].code
}

#[test]
fn hostile_text_is_refused_quickly() {
    let n = 10_000;
    assert_eq!(code(&refused("brackets", &"[".repeat(n))), "E0002");
    assert_eq!(code(&refused("closers", &")".repeat(n))), "E0005");
    let nested = |k: usize| format!("let x = {}1{}", "(".repeat(k), ")".repeat(k));
    assert!(parsed(&nested(40)).1.is_empty());
    let e = refused("41 parentheses", &nested(41));
    assert_eq!((code(&e), e.len()), ("E0002", 1));
    assert!(e[0].message.contains("bracket nesting"), "{e:?}");
    for (open, close) in
        [("[", "]"), ("f(", ")"), ("x[", "]"), ("if a { ", " } else { 1 }"), ("seq { ", " }"), ("|x| (", ")")]
    {
        let text = format!("let x = {}1{}", open.repeat(40), close.repeat(40));
        assert!(sound(open, &text).is_empty(), "{open}");
        refused(open, &format!("let x = {}1{}", open.repeat(41), close.repeat(41)));
        refused(open, &format!("let x = {}", open.repeat(n)));
        refused(open, &format!("let x = {}@{}", open.repeat(40), close.repeat(40)));
    }
    assert_eq!(code(&refused("minus", &format!("let x = {}1", "-".repeat(n)))), "E0002");
    assert_eq!(code(&refused("not", &format!("let x = {}1", "not ".repeat(n)))), "E0002");
    assert_eq!(code(&refused("lambdas", &format!("let x = {}1", "|x| ".repeat(n)))), "E0002");
    assert_eq!(code(&refused("powers", &format!("let x = 1{}", "**2".repeat(n)))), "E0002");
    assert_eq!(code(&refused("casts", &format!("let x = 1{}", " as f32".repeat(n)))), "E0002");
    assert_eq!(code(&refused("fields", &format!("let x = a{}", ".b".repeat(n)))), "E0002");
    assert_eq!(code(&refused("sum", &format!("let x = a{}", "+a".repeat(100_000)))), "E0002");
    assert_eq!(code(&refused("else if", &format!("let x = {}1", "if a { 1 } else ".repeat(n)))), "E0001");
    let chain = format!("let x = {}{{ 2 }}", "if a { 1 } else ".repeat(n));
    assert_eq!(code(&refused("long else if", &chain)), "E0002");
    assert_eq!(code(&refused("types", &format!("let x: {}f32 = 1", "fn() -> ".repeat(n)))), "E0002");
    refused("if if", &format!("let x = {}", "if ".repeat(n)));
    refused("scan in scan", &format!("let x = {}", "scan a in ".repeat(n)));
    refused("dims", &format!("let x: [{}1] = 1", "1+".repeat(n)));
    refused("attributes", &"@a ".repeat(n));
    refused("quotes", &"\"".repeat(n + 1));
    refused("string", "let x = \"abc");
    refused("lines", &"a b\n".repeat(n));
    refused("NUL", "let x\0= 1");
    refused("size", &" ".repeat((limits::SOURCE.value + 1) as usize));
    refused("token", &"a".repeat((limits::TOKEN.value + 1) as usize));
    assert!(sound("empty", "").is_empty() && sound("mark", "\u{feff}let x = 1\r\n").is_empty());
}

#[test]
fn long_programs_within_the_limits_are_accepted() {
    round_trip("statements", &"let x = a + 1\n".repeat(2_000));
    round_trip("sum", &format!("let x = a{}", " + a".repeat(1_000)));
    round_trip("powers", &format!("let x = a{}", "**a".repeat(1_000)));
    round_trip("minus", &format!("let x = {}a", "-".repeat(1_000)));
    round_trip("fields", &format!("let x = a{}", ".b".repeat(1_000)));
    round_trip("else if", &format!("let x = {}{{ 2 }}", "if a { 1 } else ".repeat(1_000)));
    round_trip("lambdas", &format!("let x = {}1", "|x| ".repeat(90)));
    round_trip("list", &format!("let x = [{}]", "1, ".repeat(20_000)));
}

#[test]
fn a_megabyte_of_garbage_is_refused_quickly() {
    let mut rng = Rng(7);
    let bytes: String = (0..1 << 20).map(|_| char::from(36 + (rng.next() % 91) as u8)).collect();
    refused("printable", &bytes);
    let lines: String = bytes.chars().map(|c| if c == 'q' { '\n' } else { c }).collect();
    refused("lines", &lines);
    let soup: String = (0..200_000).map(|_| SOUP[rng.next() as usize % SOUP.len()]).collect();
    refused("tokens", &soup);
}

const SOUP: &[&str] = &[
    "let ", "fn ", "model ", "(", ")", "[", "]", "{", "}", "x", " N", "1", "..", ",", ":", "=", "~", "+", "-", "|",
    "\n", ";", " if ", " else ", " as ", " for ", " in ", "\"s\"", "@a ", "## d\n", "# c\n", "**", "@", ".", " where ",
    " idx<N>", "->", "<-",
];

/// xorshift64*
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

#[test]
fn mutated_programs_never_panic_and_what_parses_prints_back() {
    let programs = fixtures();
    let mut rng = Rng(1);
    let mut accepted = 0;
    for round in 0..3_000 {
        let (name, text) = &programs[rng.next() as usize % programs.len()];
        let items: Vec<&str> = text.split("\n\n").collect();
        let mut mutant = items[rng.next() as usize % items.len()].as_bytes().to_vec();
        for _ in 0..=rng.next() % 3 {
            let at = rng.next() as usize % (mutant.len() + 1);
            let piece = SOUP[rng.next() as usize % SOUP.len()].as_bytes();
            let end = (at + rng.next() as usize % 4).min(mutant.len());
            match rng.next() % 4 {
                0 => drop(mutant.splice(at..end, [])),
                1 => drop(mutant.splice(at..at, piece.iter().copied())),
                2 => drop(mutant.splice(at..end, piece.iter().copied())),
                _ => drop(mutant.splice(at..end, [(rng.next() % 256) as u8])),
            }
        }
        let mutant = String::from_utf8_lossy(&mutant).into_owned();
        let label = format!("{name} round {round}:\n{mutant}");
        let errors = sound(&label, &mutant);
        let mut sources = SourceMap::default();
        sources.add("mutant.nn", &mutant);
        assert_eq!(report::render(&errors, &sources, round % 2 == 0).is_empty(), errors.is_empty(), "{label}");
        if errors.is_empty() {
            round_trip(&label, &mutant);
            accepted += 1;
        }
    }
    assert!(accepted > 50, "only {accepted} mutants parsed: the printer was hardly tested");
}

#[test]
fn bytes_that_are_not_text_are_refused_with_their_place() {
    let e = source_from_bytes("a.nn", b"let x\n\xff".to_vec()).expect_err("not text");
    assert_eq!(e.code, "E0003");
    assert!(e.notes[0].contains("0xff at byte 6, in line 2"), "{e:?}");
    assert_eq!(source_from_bytes("a.nn", b"let".to_vec()).as_deref(), Ok("let"));
}

/// An expression with every operator in parentheses.
fn grouped(ast: &Ast, id: ExprId) -> String {
    let g = |id: &ExprId| grouped(ast, *id);
    match &ast.expr(id).kind {
        ExprKind::Binary { op, lhs, rhs, .. } => format!("({:?} {} {})", op, g(lhs), g(rhs)),
        ExprKind::Unary(op, e) => format!("({op:?} {})", g(e)),
        ExprKind::Cast(e, t) => format!("({} as {})", g(e), super::print::ty(ast, t)),
        ExprKind::Call { callee, args } => {
            format!("{}({})", g(callee), args.iter().map(|a| g(&a.value)).collect::<Vec<_>>().join(", "))
        }
        ExprKind::Field { base, name } => format!("{}.{}", g(base), name.text),
        ExprKind::Lambda { body, .. } => format!("(lambda {})", g(body)),
        _ => super::print::expr(ast, id),
    }
}

#[test]
fn operators_have_the_documented_precedence() {
    for (text, want) in [
        ("a + b * c - d", "(Sub (Add a (Mul b c)) d)"),
        ("a - b - c", "(Sub (Sub a b) c)"),
        ("a / b @ c % d // e", "(FloorDiv (Rem (MatMul (Div a b) c) d) e)"),
        ("-a**2", "(Neg (Pow a 2))"),
        ("a**-b**c", "(Pow a (Neg (Pow b c)))"),
        ("a**b**c", "(Pow a (Pow b c))"),
        ("2**-x * y", "(Mul (Pow 2 (Neg x)) y)"),
        ("-a * b", "(Mul (Neg a) b)"),
        ("a * -b", "(Mul a (Neg b))"),
        ("-x as f32", "(Neg (x as f32))"),
        ("x as f32 as i32**2", "(Pow ((x as f32) as i32) 2)"),
        ("x as f32[B] / 255", "(Div (x as f32[B]) 255)"),
        ("f(x) as f32 / 255 - 1", "(Sub (Div (f(x) as f32) 255) 1)"),
        ("not a == b and c or d", "(Or (And (Not (Eq a b)) c) d)"),
        ("a or b and not c", "(Or a (And b (Not c)))"),
        ("a <= b + 1 or c != d", "(Or (Le a (Add b 1)) (Ne c d))"),
        ("0..n + 1", "(Range 0 (Add n 1))"),
        ("x |> f |> g", "(Pipe (Pipe x f) g)"),
        ("x |> f + 1", "(Pipe x (Add f 1))"),
        ("|x| x |> f", "(lambda (Pipe x f))"),
        ("1 + |x| x + 1", "(Add 1 (lambda (Add x 1)))"),
        ("a.b.0(c).T", "a.b.0(c).T"),
        ("(a + b) * c", "(Mul (Add a b) c)"),
        ("a\n  |> f\n  .b", "(Pipe a f.b)"),
        ("a and\n b\n or c", "(Or (And a b) c)"),
    ] {
        let (ast, errors) = parsed(&format!("let v = {text}"));
        assert!(errors.is_empty(), "{text}: {errors:#?}");
        let ItemKind::Stmt(Stmt { kind: StmtKind::Let { init, .. }, .. }) = &ast.files[0].items[0].kind else {
            panic!("{text} is not one statement")
        };
        assert_eq!(ast.files[0].items.len(), 1, "{text}");
        assert_eq!(grouped(&ast, init.value), want, "{text}");
        round_trip(text, &format!("let v = {text}"));
    }
}

#[test]
fn newlines_end_statements_only_where_they_should() {
    let items = |text: &str| {
        let found = layout::layout(FileId(0), text);
        assert!(found.errors.is_empty(), "{text:?}: {:?}", found.errors);
        assert_eq!(found.text.len(), text.len());
        found.items.iter().map(|r| found.text[r.clone()].trim().to_string()).collect::<Vec<_>>()
    };
    for (text, want) in [
        ("a\nb", 2),
        ("a; b;\n;c", 3),
        ("a # c ; d\n# e\n\nb", 2),
        ("a\n|> f", 1),
        ("a\n  .b", 1),
        ("a\n..b", 2),
        ("f(a\n,\nb\n)", 1),
        ("fn f(x)\n -> T\n where c\n = x", 1),
        ("where(a)\nwhere(b)", 2),
        ("a =\n  1", 1),
        ("a =\nlet b = 2", 2),
        ("a +\n b", 1),
        ("a\n- b", 2),
        ("a and\nb\nor c", 1),
        ("if a { b }\nelse { c }", 1),
        ("if a {\n b\n c\n}\nd", 2),
        ("@name(\"x\")\nlet a = 1", 1),
        ("@remat\n\n# why\nlet a = 1\nb", 2),
        ("a @\nb", 1),
        ("x = m.h.**\ny = m.*\nz", 3),
        ("x = a **\nb", 1),
        ("x = \"# not a comment\"\ny", 2),
        ("x = [\n1,\n2\n]\ny", 2),
        ("a\r\nb\r\n", 2),
        ("x = y as idx<V>\nz", 2),
        ("x = y as idx < 2*V + ceil(W, 2) >\nz", 2),
        ("x = y as idx<V>[B]\nz", 2),
        ("x = y as f32[B]\nz", 2),
        ("x = y as fn\nz", 2),
        ("model M {\n param t: idx<V>\n param u: idx<W>\n}", 1),
        ("x = idx < n and b >\n c", 1),
        ("x = f(idx < n) >\n c", 1),
        ("x = idx >\n c", 1),
        ("x: idx<V>=\n c", 1),
    ] {
        assert_eq!(items(text).len(), want, "{text:?}: {:?}", items(text));
    }
    assert_eq!(layout::layout(FileId(0), "{\na as idx<V>\nb\n}").text, "{\na as idx<V>;b;}");
    assert_eq!(layout::layout(FileId(0), "{\na # b\nc\n}").text, "{\na    ;c;}");
}

#[test]
fn docs_and_places_are_kept() {
    let text = "# plain\n## One.\n##  two\n\n@a(1)\nmodel M {\n  ## inner\n  f = (g(x))\n}\nlet y = 1 ## not a doc\n### nor this\nlet z = 2";
    let (ast, errors) = parsed(text);
    assert!(errors.is_empty(), "{errors:#?}");
    let items = &ast.files[0].items;
    assert_eq!(items[0].doc.as_deref(), Some("One.\n two"));
    assert_eq!((&items[1].doc, &items[2].doc), (&None, &None));
    let at = |s: Span| &text[s.start as usize..s.end as usize];
    assert!(at(items[0].span).starts_with("@a(1)\nmodel M {") && at(items[0].span).ends_with('}'));
    let ItemKind::Model(m) = &items[0].kind else { panic!("not a model") };
    let ModelBody::Members(members) = &m.body else { panic!("no members") };
    assert_eq!(members[0].doc.as_deref(), Some("inner"));
    assert_eq!(at(members[0].span), "f = (g(x))");
    let MemberKind::Sub { value, .. } = &members[0].kind else { panic!("not a submodule") };
    assert_eq!(at(ast.span(*value)), "(g(x))");
}

/// The text after the edits of all its errors.
fn mended(text: &str) -> String {
    let edits: Vec<_> = parsed(text).1.into_iter().flat_map(|d| d.help).flat_map(|h| h.edits).collect();
    crate::diag::edited(text, &edits)
}

/// A program typed on another keyboard: every error has its edit, and all edits give the program back.
#[test]
fn look_alikes_are_named_and_mended() {
    const LIKE: [(&str, &str); 16] = [
        ("-", "\u{2212}"),
        ("*", "\u{d7}"),
        ("/", "\u{f7}"),
        ("<=", "\u{2264}"),
        (">=", "\u{2265}"),
        ("!=", "\u{2260}"),
        ("->", "\u{2192}"),
        ("..", "\u{2026}"),
        (",", "\u{ff0c}"),
        (":", "\u{ff1a}"),
        ("=", "\u{ff1d}"),
        ("(", "\u{ff08}"),
        (")", "\u{ff09}"),
        ("[", "\u{ff3b}"),
        ("]", "\u{ff3d}"),
        ("{", "\u{ff5b}"),
    ];
    let tree = |text: &str| shape(&parsed(text).0);
    for (turn, (name, text)) in fixtures().into_iter().enumerate() {
        let toks = super::tokens::tokens(&text, &Default::default());
        let spell = |of: &dyn std::ops::Fn(&str) -> String, blank: &str| {
            let (mut out, mut at) = (String::new(), 0);
            for t in &toks {
                out += &text[at..t.start].replace(' ', blank);
                out += &of(&text[t.start..t.end]);
                at = t.end;
            }
            out + &text[at..]
        };
        let same = |t: &str| t.to_owned();
        let mut mutants = vec![spell(&same, "\u{a0}"), spell(&same, " \u{200b}")];
        let quotes =
            |t: &str| if t.starts_with('"') { format!("\u{201c}{}\u{201d}", t.trim_matches('"')) } else { t.into() };
        let single = |t: &str| if t.starts_with('"') { format!("'{}'", t.trim_matches('"')) } else { t.into() };
        mutants.extend([spell(&quotes, " "), spell(&single, " ")]);
        // Each program takes its turn with some of the characters, for time.
        for (ascii, other) in LIKE.iter().copied().skip(turn % 4).step_by(4) {
            mutants.push(spell(&|t| if t == ascii { other.into() } else { t.into() }, " "));
        }
        for mutant in mutants.into_iter().filter(|m| *m != text && !text.contains("\\\"")) {
            let errors = parsed(&mutant).1;
            assert!(!errors.is_empty() && errors.len() < 4, "{name}: {errors:?}\n{mutant:?}");
            assert!(errors.iter().all(|d| !d.help.is_empty()), "{name}: {errors:#?}");
            assert_eq!(tree(&mended(&mutant)), tree(&text), "{name}:\n{mutant}");
        }
    }
}

/// A comma left out is called one wherever it stands, and put back.
#[test]
fn a_missing_comma_is_called_one() {
    let mut tried = 0;
    for (name, text) in fixtures() {
        for item in text.split("\n\n").filter(|i| i.len() < 2_000 && parsed(i).1.is_empty()) {
            // Every ninth, for time.
            for (at, _) in item
                .match_indices(", ")
                .step_by(9)
                .filter(|(at, _)| !item[..*at].rsplit('\n').next().is_some_and(|l| l.contains(['#', '"'])))
            {
                let mutant = format!("{} {}", &item[..at], &item[at + 2..]);
                let errors = parsed(&mutant).1;
                // Without the comma it can mean something else, such as `-1` after a value.
                if errors.is_empty() || !errors[0].message.starts_with("a `,` is missing") {
                    continue;
                }
                assert_eq!(shape(&parsed(&mended(&mutant)).0), shape(&parsed(item).0), "{name}: {errors:#?}\n{mutant}");
                tried += 1;
            }
        }
    }
    assert!(tried > 30, "only {tried}");
}

#[test]
fn every_limit_has_a_row() {
    for limit in limits::TABLE {
        assert!(limit.row().contains(limit.name) && limit.row().contains(&limit.value.to_string()));
    }
}
