//! Kernel IR to text. [`super::parse`] reads it back to an equal program.
//!
//! Values are `%v` and their instruction's number; buffers and kernels go by name, with `#index` where a name is not
//! unique. Names that are not plain are quoted.

use super::ir::*;
use super::names::Named;
use crate::lanes::{LaneId, LaneOp};
use std::fmt::{self, Display, Write};

/// The text of a program.
pub fn program(p: &KernelProgram) -> String {
    let mut s = String::new();
    // Writing to a string cannot fail.
    let _ = write_program(&mut s, p);
    s
}

/// The text of one kernel.
pub fn kernel(k: &Kernel) -> String {
    let mut s = String::new();
    let _ = write_kernel(&mut s, k, &plain(&k.name), "");
    s
}

/// A name as text: quoted unless plain.
fn plain(name: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '\'');
    if !name.is_empty() && !name.contains("//") && name.chars().all(ok) {
        name.to_string()
    } else {
        format!("{name:?}")
    }
}

/// References for a list of names.
fn refs<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let mut count = std::collections::BTreeMap::<&str, u32>::new();
    for n in names.clone() {
        *count.entry(n).or_default() += 1;
    }
    names.enumerate().map(|(i, n)| if count[n] > 1 { format!("{}#{i}", plain(n)) } else { plain(n) }).collect()
}

fn write_program(s: &mut String, p: &KernelProgram) -> fmt::Result {
    let buffers = refs(p.buffers.iter().map(|b| b.name.as_str()));
    let kernels = refs(p.kernels.iter().map(|k| k.name.as_str()));
    writeln!(s, "program @{} {{", plain(&p.name))?;
    writeln!(s, "  temp {}", p.temp_bytes)?;
    for (b, name) in p.buffers.iter().zip(&buffers) {
        writeln!(s, "  buffer %{name}: {}[{}] {} @{}", b.dtype, b.len, b.arena.name(), b.offset)?;
    }
    for (id, bytes) in &p.consts {
        write!(s, "  const %{} = x", buffers[id.0 as usize])?;
        for b in bytes {
            write!(s, "{b:02x}")?;
        }
        s.push('\n');
    }
    for (k, name) in p.kernels.iter().zip(&kernels) {
        write_kernel(s, k, name, "  ")?;
    }
    writeln!(s, "  step {{")?;
    write_stmts(s, p, &p.body, (&buffers, &kernels), "    ")?;
    writeln!(s, "  }}")?;
    for (name, b) in &p.outputs {
        writeln!(s, "  output {name:?} = %{}", buffers[b.0 as usize])?;
    }
    writeln!(s, "}}")
}

fn write_stmts(
    s: &mut String,
    p: &KernelProgram,
    body: &[Stmt],
    names: (&[String], &[String]),
    pad: &str,
) -> fmt::Result {
    let (buffers, kernels) = names;
    for stmt in body {
        let l = match stmt {
            Stmt::Launch(l) => l,
            Stmt::Seq(q) => {
                if q.barrier {
                    writeln!(s, "{pad}barrier")?;
                }
                writeln!(s, "{pad}seq {}{} {{", q.n, if q.reverse { " reverse" } else { "" })?;
                write_stmts(s, p, &q.body, names, &format!("{pad}  "))?;
                writeln!(s, "{pad}}}")?;
                continue;
            }
        };
        if l.barrier {
            writeln!(s, "{pad}barrier")?;
        }
        let k = &p.kernels[l.kernel as usize];
        let own = if l.name == k.name { String::new() } else { plain(&l.name) + " = " };
        write!(s, "{pad}launch {own}@{}", kernels[l.kernel as usize])?;
        for (i, seg) in l.segments.iter().enumerate() {
            if i > 0 {
                write!(s, ",\n{pad}  ")?;
            }
            s.push('(');
            for (j, v) in seg.views.iter().enumerate() {
                write!(s, "{}%{}", if j > 0 { ", " } else { "" }, buffers[v.buf.0 as usize])?;
                if *v != View::whole(v.buf, p.buffers[v.buf.0 as usize].len) {
                    write!(s, "[{}; {}]", Place(v), v.len)?;
                }
            }
            s.push(')');
            if l.segments.len() > 1 || seg.cols != k.cols {
                write!(s, " cols {}", seg.cols)?;
            }
        }
        s.push('\n');
    }
    Ok(())
}

/// Where a view is.
struct Place<'a>(&'a View);

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.0.by.iter().map(|&(d, s)| (s, format!("t{d}")));
        write_sum(f, by.chain([(self.0.offset, String::new())]).collect())
    }
}

fn write_kernel(s: &mut String, k: &Kernel, name: &str, pad: &str) -> fmt::Result {
    writeln!(s, "{pad}kernel @{name} {{")?;
    write!(s, "{pad}  args")?;
    for (i, a) in k.args.iter().enumerate() {
        write!(s, "{} %{i}: {}[{}] {}", if i > 0 { "," } else { "" }, a.dtype, a.len, a.role.name())?;
    }
    write!(s, "\n{pad}  ")?;
    if !k.rows.is_empty() {
        s.push_str("rows");
        for n in &k.rows {
            write!(s, " {n}")?;
        }
        s.push_str("   ");
    }
    write!(s, "cols {}", k.cols)?;
    if k.split != Split::None {
        write!(s, "   split {}", k.split.name())?;
    }
    s.push('\n');
    match &k.anchor {
        None => {}
        Some(Anchor::Rng { site }) => writeln!(s, "{pad}  rng site {site}")?,
        Some(Anchor::Contract(c)) => {
            write!(s, "{pad}  contract k")?;
            for x in &c.k {
                write!(s, " {}", x.n)?;
            }
            let [of_a, of_b] = c.steps();
            let (a, b) = (At(&c.a.1, &of_a), At(&c.b.1, &of_b));
            writeln!(s, "   a %{}[{a}]   b %{}[{b}]", c.a.0.0, c.b.0.0)?;
        }
    }
    for p in 0..k.phases.len() {
        match k.phases[p].seq {
            Some(n) => writeln!(s, "{pad}  phase seq {n} {{")?,
            None => writeln!(s, "{pad}  phase {{")?,
        }
        for i in k.phase_range(p) {
            write!(s, "{pad}    ")?;
            if !matches!(k.insts[i], Inst::Store { .. } | Inst::StoreAt { .. }) {
                write!(s, "%v{i} = ")?;
            }
            writeln!(s, "{}", InstText(&k.insts[i]))?;
        }
        writeln!(s, "{pad}  }}")?;
    }
    writeln!(s, "{pad}}}")
}

struct V(LaneId);

impl Display for V {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%v{}", self.0.0)
    }
}

/// An address, and lengths and strides of contracted axes: `k` if there is one, else `k0`, `k1` and so on.
struct At<'a>(&'a Access, &'a [(u64, i64)]);

impl Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut terms: Vec<(i64, String)> = vec![];
        for (i, &s) in self.0.rows.iter().enumerate() {
            terms.push((s, format!("r{i}")));
        }
        terms.push((self.0.col, "c".into()));
        terms.push((self.0.seq, "s".into()));
        for (i, &(_, s)) in self.1.iter().enumerate() {
            terms.push((s, if self.1.len() == 1 { "k".into() } else { format!("k{i}") }));
        }
        terms.push((self.0.offset, String::new()));
        write_sum(f, terms)
    }
}

/// Indices times strides, and a constant without a name.
fn write_sum(f: &mut fmt::Formatter<'_>, mut terms: Vec<(i64, String)>) -> fmt::Result {
    terms.retain(|t| t.0 != 0);
    if terms.is_empty() {
        return f.write_str("0");
    }
    for (i, (s, n)) in terms.iter().enumerate() {
        match (i, *s < 0) {
            (0, true) => f.write_str("-")?,
            (0, false) => {}
            (_, true) => f.write_str(" - ")?,
            (_, false) => f.write_str(" + ")?,
        }
        match (s.unsigned_abs(), n.is_empty()) {
            (a, true) => write!(f, "{a}")?,
            (1, false) => f.write_str(n)?,
            (a, false) => write!(f, "{a}*{n}")?,
        }
    }
    Ok(())
}

/// An instruction without its result.
struct InstText<'a>(&'a Inst);

impl Display for InstText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Inst::Lane(op) => match *op {
                LaneOp::ConstF(b) => match f32::from_bits(b) {
                    x if x.is_finite() => write!(f, "f32 {x:?}"),
                    _ => write!(f, "f32 {b:#010x}"),
                },
                LaneOp::ConstD(b) => match f64::from_bits(b) {
                    x if x.is_finite() => write!(f, "f64 {x:?}"),
                    _ => write!(f, "f64 {b:#018x}"),
                },
                LaneOp::ConstI(i) => write!(f, "i32 {i}"),
                LaneOp::ConstB(b) => write!(f, "bool {b}"),
                LaneOp::Arg(n, _) => write!(f, "arg {n}"),
                LaneOp::Un(o, a) => write!(f, "{} {}", o.name(), V(a)),
                LaneOp::Bin(o, a, b) => write!(f, "{} {}, {}", o.name(), V(a), V(b)),
                LaneOp::Cmp(o, a, b) => write!(f, "{} {}, {}", o.name(), V(a), V(b)),
                LaneOp::Fma(a, b, c) => write!(f, "fma {}, {}, {}", V(a), V(b), V(c)),
                LaneOp::Select(a, b, c) => write!(f, "select {}, {}, {}", V(a), V(b), V(c)),
            },
            Inst::Index(Index::Row(i)) => write!(f, "row {i}"),
            Inst::Index(Index::Col) => f.write_str("col"),
            Inst::Index(Index::Seq) => f.write_str("seq"),
            Inst::Anchor => f.write_str("acc"),
            Inst::Load { arg, at } => write!(f, "load %{}[{}]", arg.0, At(at, &[])),
            Inst::LoadAt { arg, index, mask } => {
                write!(f, "load.at %{}[{}]", arg.0, V(*index))?;
                mask.map_or(Ok(()), |m| write!(f, " if {}", V(m)))
            }
            Inst::Store { arg, at, value } => write!(f, "store %{}[{}], {}", arg.0, At(at, &[]), V(*value)),
            Inst::StoreAt { arg, index, mask, value } => {
                write!(f, "store.at %{}[{}], {}", arg.0, V(*index), V(*value))?;
                mask.map_or(Ok(()), |m| write!(f, " if {}", V(m)))
            }
            Inst::Reduce { kind, value } => write!(f, "reduce.{} {}", kind.name(), V(*value)),
            Inst::Acc { kind, value } => write!(f, "running.{} {}", kind.name(), V(*value)),
        }
    }
}
