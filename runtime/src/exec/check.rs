//! Checks a program against its own arenas before anything runs.
//!
//! In: a [`Program`]. Out: nothing, or the first contradiction. Everything that the executor itself reads and writes is
//! bounded here; what bodies touch is the compiler's verifier's matter.

use crate::dtype::DType;
use crate::program::{Anchor, Arena, BufRef, Entry, Gemm, GemmBatch, Launch, Program, Seq, Split, Stmt, TensorSpec};

/// One past the last byte of a list of tensors.
pub fn end_of(specs: &[TensorSpec]) -> u64 {
    specs.iter().map(|t| t.offset + t.bytes()).max().unwrap_or(0)
}

/// Checks the whole program.
pub fn program(p: &Program) -> Result<(), String> {
    tensors("param", &p.params, p.param_bytes)?;
    tensors("state", &p.state, p.state_bytes)?;
    for e in &p.entries {
        entry(p, e).map_err(|m| format!("entry `{}` of batch {}: {m}", e.name, e.batch))?;
    }
    Ok(())
}

fn tensors(what: &str, specs: &[TensorSpec], bytes: u64) -> Result<(), String> {
    for t in specs {
        let size = t.shape.iter().try_fold(t.dtype.bytes() as u64, |n, &d| n.checked_mul(d));
        let end = size.and_then(|s| s.checked_add(t.offset));
        if !t.offset.is_multiple_of(64) || end.is_none_or(|e| e > bytes) {
            return Err(format!("{what} tensor `{}` at {} leaves its arena of {bytes} bytes", t.name, t.offset));
        }
    }
    Ok(())
}

fn entry(p: &Program, e: &Entry) -> Result<(), String> {
    tensors("data", &e.data, e.data_bytes)?;
    tensors("output", &e.outputs, e.output_bytes)?;
    tensors("step", &e.step, u64::MAX)?;
    let size = |a: Arena| match a {
        Arena::Param => p.param_bytes,
        Arena::State => p.state_bytes,
        Arena::Const => e.consts.len() as u64,
        Arena::Data => e.data_bytes,
        Arena::Step => end_of(&e.step),
        Arena::Temp => e.temp_bytes,
        Arena::Output => e.output_bytes,
    };
    stmts(&e.body, &mut vec![], &mut 0, &size)
}

/// Statements inside sequences; `number` counts launches.
fn stmts<'a>(
    body: &'a [Stmt],
    around: &mut Vec<&'a Seq>,
    number: &mut usize,
    size: &dyn Fn(Arena) -> u64,
) -> Result<(), String> {
    for s in body {
        match s {
            Stmt::Launch(l) => {
                launch(l, *number, around, size).map_err(|m| format!("launch {number} `{}`: {m}", l.name))?;
                *number += 1;
            }
            Stmt::Seq(s) => {
                let first = *number;
                around.push(s);
                stmts(&s.body, around, number, size)?;
                around.pop();
                if s.n == 0 || s.moves.iter().any(|m| !(first..*number).contains(&m.launch)) {
                    return Err(format!("a sequence of {} steps that moves what is not in it", s.n));
                }
                let inside = crate::program::launches(&s.body);
                for &i in &s.keeps {
                    let launch = i.checked_sub(first).and_then(|i| inside.get(i)).map(|l| l.0);
                    if moves(s, i) || !launch.is_some_and(keeps) {
                        return Err(format!("launch {i} has no right operand that a sequence could keep"));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Does the right operand of a launch move with a sequence, or with one inside it?
fn moves(s: &Seq, launch: usize) -> bool {
    let inside = |s: &Stmt| matches!(s, Stmt::Seq(s) if moves(s, launch));
    s.moves.iter().any(|m| m.launch == launch && m.buf == 1) || s.body.iter().any(inside)
}

/// Is there one right operand for all rows?
fn keeps(l: &Launch) -> bool {
    let one = |g: &Gemm| g.batch.iter().all(|x| x.b == 0 || x.size == 1);
    l.split == Split::Rows && matches!(&l.anchor, Anchor::Contract(g) if one(g))
}

fn launch(l: &Launch, number: usize, around: &[&Seq], size: &dyn Fn(Arena) -> u64) -> Result<(), String> {
    let bufs: Vec<&BufRef> = l.segments.iter().flat_map(|s| &s.bufs).collect();
    let moves = |s: &Seq| s.moves.iter().filter(|m| m.launch == number).copied().collect::<Vec<_>>();
    if around.iter().flat_map(|s| moves(s)).any(|m| m.buf >= bufs.len()) {
        return Err("a move of no buffer".to_owned());
    }
    for (i, b) in bufs.into_iter().enumerate() {
        let (mut low, mut high) = (i128::from(b.offset), i128::from(b.offset) + i128::from(b.bytes));
        for s in around {
            for m in moves(s).iter().filter(|m| m.buf == i) {
                let reach = i128::from(m.by) * i128::from(s.n.saturating_sub(1));
                *if reach < 0 { &mut low } else { &mut high } += reach;
            }
        }
        if low < 0 || high > i128::from(size(b.arena)) {
            return Err(format!("buffer {b:?} leaves its arena of {} bytes", size(b.arena)));
        }
    }
    let [first, rest @ ..] = &l.segments[..] else { return Err("no segment".to_owned()) };
    if !rest.is_empty() && (l.rows != 1 || !matches!(l.anchor, Anchor::None)) {
        return Err("more than one segment with rows or an anchor".to_owned());
    }
    if rest.iter().any(|s| s.bufs.len() != first.bufs.len()) {
        return Err("segments with different numbers of buffers".to_owned());
    }
    match &l.anchor {
        Anchor::Contract(g) => contract(l, g, first.cols, &first.bufs),
        _ if l.body.is_none() => Err("no body".to_owned()),
        Anchor::Rng { .. } if l.rows != 1 || l.split == Split::Rows => Err("random bits for rows".to_owned()),
        _ => Ok(()),
    }
}

fn contract(l: &Launch, g: &Gemm, cols: u64, bufs: &[BufRef]) -> Result<(), String> {
    if !matches!(g.dtype, DType::F32 | DType::F64) {
        return Err(format!("a product of {}", g.dtype));
    }
    let size = g.dtype.bytes() as u64;
    let rows = g.batch.iter().try_fold(g.m, |n, a| n.checked_mul(a.size));
    if rows != Some(l.rows) || g.n != cols {
        return Err(format!("product of {rows:?} rows and {} columns in a launch of {} and {cols}", g.n, l.rows));
    }
    let [a, b, rest @ ..] = bufs else { return Err("a contraction without operands".to_owned()) };
    if l.body.is_none() {
        let need = l.rows.checked_mul(cols).and_then(|n| n.checked_mul(size));
        if rest.first().is_none_or(|c| need.is_none_or(|n| n > c.bytes)) {
            return Err("the result's buffer is too small".to_owned());
        }
    }
    let k = g.k.iter().try_fold(1u64, |n, x| n.checked_mul(x.size)).filter(|_| !g.k.is_empty());
    let k = k.ok_or_else(|| format!("a product over the axes {:?}", g.k))?;
    let batch = |stride: fn(&GemmBatch) -> i64| g.batch.iter().map(move |x| (x.size, stride(x)));
    let of_a: Vec<(u64, i64)> = batch(|x| x.a).chain([(g.m, g.a_m)]).chain(g.k.iter().map(|x| (x.size, x.a))).collect();
    let of_b: Vec<(u64, i64)> = batch(|x| x.b).chain([(k, g.b_k), (g.n, g.b_n)]).collect();
    for (name, buf, offset, axes) in [("A", a, g.a_offset, of_a), ("B", b, g.b_offset, of_b)] {
        if axes.iter().any(|x| x.0 == 0) {
            continue;
        }
        let (mut low, mut high) = (i128::from(offset), i128::from(offset));
        for (n, stride) in axes {
            let reach = i128::from(n - 1) * i128::from(stride);
            *if reach < 0 { &mut low } else { &mut high } += reach;
        }
        if low < 0 || high >= i128::from(buf.bytes / size) {
            return Err(format!("operand {name} reaches elements {low} to {high} of {}", buf.bytes / size));
        }
    }
    Ok(())
}
