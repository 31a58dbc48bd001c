//! Static arithmetic against arithmetic in 128 bits, at the edges of what an int can hold.

use crate::diag::Severity;
use crate::graph::sampler::Rand;
use crate::sema::train;
use crate::sema::units::{Options, Program};

/// What is wrong with a program, by code.
fn errors(text: &str) -> Vec<&'static str> {
    let (p, found) = Program::load("test.nn", text, &|path, _| Err(format!("no file {path}")));
    assert!(found.is_empty(), "{text}: {found:?}");
    let header = |_: &nn_runtime::data::SourceSpec| Err(nn_runtime::error::DataError::new("D0000", "", "no data here"));
    let o = Options { seed: None, header: &header };
    train::check(&p, &o).1.into_iter().filter(|d| d.severity == Severity::Error).map(|d| d.code).collect()
}

/// An int as a program can write it: the least one has no literal.
fn written(n: i64) -> String {
    if n == i64::MIN { format!("({} - 1)", i64::MIN + 1) } else { format!("({n})") }
}

const EDGES: [i64; 15] = [
    i64::MIN,
    i64::MIN + 1,
    i64::MIN / 2,
    -(1 << 32),
    i32::MIN as i64,
    -2,
    -1,
    0,
    1,
    2,
    63,
    i32::MAX as i64 + 1,
    1 << 53,
    i64::MAX - 1,
    i64::MAX,
];

/// `a op b` without limits; `None` where there is no whole number.
fn exact(op: &str, a: i128, b: i128) -> Option<i128> {
    let floor = |a: i128, b: i128| a / b - i128::from(a % b != 0 && (a < 0) != (b < 0));
    match op {
        "+" => Some(a + b),
        "-" => Some(a - b),
        "*" => a.checked_mul(b),
        "/" if b != 0 && a % b == 0 => Some(a / b),
        "//" if b != 0 => Some(floor(a, b)),
        "%" if b != 0 => Some(a - floor(a, b) * b),
        "**" if b >= 0 => match (a, b) {
            (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (_, b) => a.checked_pow(u32::try_from(b).ok()?),
        },
        _ => None,
    }
}

#[test]
fn ints_are_exact_or_refused() {
    for op in ["+", "-", "*", "/", "//", "%", "**"] {
        let (mut fine, mut refused) = (vec![], vec![]);
        for (a, b) in EDGES.into_iter().flat_map(|a| EDGES.map(|b| (a, b))) {
            if op == "**" && b < 0 {
                continue;
            }
            let term = format!("{} {op} {}", written(a), written(b));
            match exact(op, a.into(), b.into()).and_then(|n| i64::try_from(n).ok()) {
                Some(n) => fine.push(format!("if {term} == {} {{ 0 }} else {{ wrong }}", written(n))),
                None => refused.push(term),
            }
        }
        let program = |list: &[String]| -> String {
            list.iter().enumerate().map(|(i, e)| format!("const c{i} = {e}\n")).collect()
        };
        assert_eq!(errors(&program(&fine)), [""; 0], "{op}");
        // Few at a time: of many errors only the first are shown.
        for part in refused.chunks(20) {
            let found = errors(&program(part));
            assert!(found.iter().all(|c| matches!(*c, "E0902" | "E0104")), "{op}: {found:?}");
            assert_eq!(found.len(), part.len(), "{op}: {part:?}");
        }
    }
}

/// Whatever is written, the compiler answers; it does not end.
#[test]
fn random_static_expressions_do_not_panic() {
    const FUNCTIONS: [&str; 9] = ["abs", "sign", "floor", "ceil", "round", "sqrt", "exp", "log", "recip"];
    const CASTS: [&str; 10] = ["i64", "i32", "i16", "i8", "u32", "u16", "u8", "bool", "f32", "idx<7>"];
    const OPS: [&str; 12] = ["+", "-", "*", "/", "//", "%", "**", "<", "==", "max", "shl", "shr"];
    fn expression(r: &mut Rand, depth: usize) -> String {
        if depth == 0 || r.one_in(5) {
            return match r.below(4) {
                0 => (*r.pick(&["1e300", "-1e300", "inf", "0.5", "-0.0", "(inf - inf)", "3e9"])).to_owned(),
                _ => written(*r.pick(&EDGES)),
            };
        }
        let a = expression(r, depth - 1);
        match r.below(4) {
            0 => format!("{}({a})", r.pick(&FUNCTIONS)),
            1 => format!("(({a}) as {})", r.pick(&CASTS)),
            _ => {
                let b = expression(r, depth - 1);
                match *r.pick(&OPS) {
                    f @ ("max" | "shl" | "shr") => format!("{f}({a}, {b})"),
                    op => format!("({a} {op} {b})"),
                }
            }
        }
    }
    let mut r = Rand::new(3);
    for _ in 0..4 {
        let text: String = (0..200).map(|i| format!("const c{i} = {}\n", expression(&mut r, 4))).collect();
        errors(&text);
    }
}
