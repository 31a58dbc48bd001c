//! Text to kernel IR: what [`super::print`] writes, and what tests write by hand.
//!
//! Value names are free (`%v3`, `%keep`); numbers are given in order of appearance, stores counting too. White space is
//! free and `//` starts a comment. It checks the form only; meaning is the verifier's.

use super::ir::*;
use super::names::Named;
use crate::lanes::{LaneBin, LaneCmp, LaneId, LaneOp, LaneUn};
use nn_runtime::dtype::DType;
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

/// What is wrong, and on which line (from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

type Res<T> = Result<T, ParseError>;

/// Reads a program.
pub fn program(text: &str) -> Res<KernelProgram> {
    let mut p = Parser::new(text)?;
    let program = p.program()?;
    p.end()?;
    Ok(program)
}

/// Reads one kernel.
pub fn kernel(text: &str) -> Res<Kernel> {
    let mut p = Parser::new(text)?;
    p.word("kernel")?;
    let (_, k) = p.kernel()?;
    p.end()?;
    Ok(k)
}

#[derive(Clone, Debug, PartialEq)]
enum Tok {
    Word(String),
    Quoted(String),
    Sym(char),
}

/// Most sequences inside each other: what reads programs recurs over them.
const MAX_DEPTH: u32 = 64;

/// What statements refer to.
struct Names<'a> {
    buffers: &'a HashMap<String, u32>,
    kernels: &'a HashMap<String, u32>,
}

struct Parser {
    toks: Vec<(Tok, usize)>,
    at: usize,
}

impl Parser {
    fn new(text: &str) -> Res<Parser> {
        let mut toks = vec![];
        let mut chars = text.chars().peekable();
        let mut line = 1;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '\'');
        while let Some(c) = chars.next() {
            match c {
                '\n' => line += 1,
                c if c.is_whitespace() => {}
                '/' if chars.peek() == Some(&'/') => {
                    while chars.peek().is_some_and(|&c| c != '\n') {
                        chars.next();
                    }
                }
                '"' => {
                    let mut s = String::new();
                    loop {
                        match chars.next() {
                            Some('"') => break,
                            Some('\\') => s.push(escape(&mut chars).ok_or_else(|| bad(line, "a bad escape"))?),
                            Some(c) => s.push(c),
                            None => return Err(bad(line, "a quote without an end")),
                        }
                    }
                    toks.push((Tok::Quoted(s), line));
                }
                c if word(c) => {
                    let mut s = String::from(c);
                    while let Some(&c) = chars.peek() {
                        // An exponent's sign belongs to the number.
                        let exponent = matches!(c, '-' | '+')
                            && s.ends_with('e')
                            && s.starts_with(|c: char| c.is_ascii_digit())
                            && !s.starts_with("0x");
                        if !word(c) && !exponent {
                            break;
                        }
                        s.push(c);
                        chars.next();
                    }
                    toks.push((Tok::Word(s), line));
                }
                c => toks.push((Tok::Sym(c), line)),
            }
        }
        Ok(Parser { toks, at: 0 })
    }

    fn line(&self) -> usize {
        self.toks.get(self.at).or(self.toks.last()).map_or(1, |t| t.1)
    }

    fn err<T>(&self, message: impl Into<String>) -> Res<T> {
        Err(ParseError { line: self.line(), message: message.into() })
    }

    fn found(&self) -> String {
        match self.peek() {
            Some(Tok::Word(w)) => format!("`{w}`"),
            Some(Tok::Quoted(w)) => format!("{w:?}"),
            Some(Tok::Sym(c)) => format!("`{c}`"),
            None => "the end".into(),
        }
    }

    fn peek(&self) -> Option<&Tok> {
        self.toks.get(self.at).map(|t| &t.0)
    }

    fn end(&self) -> Res<()> {
        if self.peek().is_some() { self.err(format!("expected the end, found {}", self.found())) } else { Ok(()) }
    }

    fn eat(&mut self, c: char) -> bool {
        let hit = self.peek() == Some(&Tok::Sym(c));
        self.at += usize::from(hit);
        hit
    }

    fn sym(&mut self, c: char) -> Res<()> {
        if self.eat(c) { Ok(()) } else { self.err(format!("expected `{c}`, found {}", self.found())) }
    }

    fn eat_word(&mut self, w: &str) -> bool {
        let hit = matches!(self.peek(), Some(Tok::Word(x)) if x == w);
        self.at += usize::from(hit);
        hit
    }

    fn word(&mut self, w: &str) -> Res<()> {
        if self.eat_word(w) { Ok(()) } else { self.err(format!("expected `{w}`, found {}", self.found())) }
    }

    fn any_word(&mut self, what: &str) -> Res<String> {
        match self.peek() {
            Some(Tok::Word(w)) => {
                let w = w.clone();
                self.at += 1;
                Ok(w)
            }
            _ => self.err(format!("expected {what}, found {}", self.found())),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Res<T> {
        let line = self.line();
        let minus = self.eat('-');
        let w = self.any_word(what)?;
        let w = if minus { format!("-{w}") } else { w };
        w.parse().map_err(|_| bad(line, format!("expected {what}, found `{w}`")))
    }

    fn named<T: Named>(&mut self, what: &str) -> Res<T> {
        let line = self.line();
        let w = self.any_word(what)?;
        T::from_name(&w).ok_or_else(|| bad(line, format!("expected {what}, found `{w}`")))
    }

    /// A plain or quoted name, with `#index` kept as part of the reference: (name, reference).
    fn name(&mut self) -> Res<(String, String)> {
        let name = match self.peek() {
            Some(Tok::Quoted(s)) => {
                let s = s.clone();
                self.at += 1;
                s
            }
            _ => self.any_word("a name")?,
        };
        let mut reference = name.clone();
        if self.eat('#') {
            reference = format!("{name}#{}", self.any_word("an index")?);
        }
        Ok((name, reference))
    }

    fn typed(&mut self) -> Res<(DType, u64)> {
        let line = self.line();
        let d = self.any_word("a dtype")?;
        let d = DType::parse(&d).ok_or_else(|| bad(line, format!("no dtype `{d}`")))?;
        self.sym('[')?;
        let n = self.number("a length")?;
        self.sym(']')?;
        Ok((d, n))
    }

    fn program(&mut self) -> Res<KernelProgram> {
        self.word("program")?;
        self.sym('@')?;
        let mut p = KernelProgram { name: self.name()?.0, ..Default::default() };
        self.sym('{')?;
        let mut buffers = HashMap::<String, u32>::new();
        let mut kernels = HashMap::<String, u32>::new();
        while !self.eat('}') {
            if self.eat_word("temp") {
                p.temp_bytes = self.number("bytes")?;
            } else if self.eat_word("buffer") {
                self.sym('%')?;
                let (name, reference) = self.name()?;
                self.sym(':')?;
                let (dtype, len) = self.typed()?;
                let arena = self.named("an arena")?;
                self.sym('@')?;
                let offset = self.number("an offset")?;
                if buffers.insert(reference, p.buffers.len() as u32).is_some() {
                    return self.err(format!("a second buffer %{name}"));
                }
                p.buffers.push(Buffer { name, arena, dtype, len, offset });
            } else if self.eat_word("const") {
                let b = self.buffer(&buffers)?;
                self.sym('=')?;
                let hex = self.any_word("bytes")?;
                match hex.strip_prefix('x').and_then(unhex) {
                    Some(bytes) => p.consts.push((b, bytes)),
                    None => return self.err("bytes are `x` and pairs of hexadecimal digits"),
                }
            } else if self.eat_word("kernel") {
                let (reference, k) = self.kernel()?;
                if kernels.insert(reference, p.kernels.len() as u32).is_some() {
                    return self.err(format!("a second kernel @{}", k.name));
                }
                p.kernels.push(k);
            } else if self.eat_word("step") {
                let names = Names { buffers: &buffers, kernels: &kernels };
                p.body = self.stmts(&p, &names, 0)?;
            } else if self.eat_word("output") {
                let (name, _) = self.name()?;
                self.sym('=')?;
                let b = self.buffer(&buffers)?;
                p.outputs.push((name, b));
            } else {
                return self.err(format!("expected an item of a program, found {}", self.found()));
            }
        }
        Ok(p)
    }

    /// `{ .. }` inside `depth` sequences.
    fn stmts(&mut self, p: &KernelProgram, names: &Names<'_>, depth: u32) -> Res<Vec<Stmt>> {
        let mut body = vec![];
        self.sym('{')?;
        while !self.eat('}') {
            let barrier = self.eat_word("barrier");
            if self.eat_word("seq") {
                if depth == MAX_DEPTH {
                    return self.err(format!("more than {MAX_DEPTH} sequences inside each other"));
                }
                let n = self.number("steps")?;
                let reverse = self.eat_word("reverse");
                let inner = self.stmts(p, names, depth + 1)?;
                body.push(Stmt::Seq(Seq { n, reverse, barrier, body: inner }));
            } else {
                body.push(Stmt::Launch(self.launch(p, names, depth, barrier)?));
            }
        }
        Ok(body)
    }

    fn launch(&mut self, p: &KernelProgram, names: &Names<'_>, depth: u32, barrier: bool) -> Res<Launch> {
        self.word("launch")?;
        let mut name = None;
        if !self.eat('@') {
            name = Some(self.name()?.0);
            self.sym('=')?;
            self.sym('@')?;
        }
        let (_, reference) = self.name()?;
        let Some(&kernel) = names.kernels.get(&reference) else {
            return self.err(format!("no kernel @{reference} above"));
        };
        let name = name.unwrap_or_else(|| p.kernels[kernel as usize].name.clone());
        let mut segments = vec![];
        loop {
            self.sym('(')?;
            let mut views = vec![];
            while !self.eat(')') {
                views.push(self.view(p, names, depth)?);
                self.eat(',');
            }
            let cols = if self.eat_word("cols") { self.number("columns")? } else { p.kernels[kernel as usize].cols };
            segments.push(Segment { views, cols });
            if !self.eat(',') {
                break;
            }
        }
        Ok(Launch { name, kernel, segments, barrier })
    }

    /// `%h`, or `%h[32 + 32*t0; 32]`.
    fn view(&mut self, p: &KernelProgram, names: &Names<'_>, depth: u32) -> Res<View> {
        let buf = self.buffer(names.buffers)?;
        let mut v = View::whole(buf, p.buffers[buf.0 as usize].len);
        if self.eat('[') {
            let mut by: Vec<i64> = vec![0; depth as usize];
            let offset = &mut v.offset;
            self.sum(|index, s| {
                let place = match index {
                    "" => &mut *offset,
                    i => by.get_mut(i.strip_prefix('t')?.parse::<usize>().ok()?)?,
                };
                *place += s;
                Some(())
            })?;
            self.sym(';')?;
            v.len = self.number("elements")?;
            self.sym(']')?;
            v.by = (0..).zip(by).filter(|b| b.1 != 0).collect();
        }
        Ok(v)
    }

    fn buffer(&mut self, buffers: &HashMap<String, u32>) -> Res<BufferId> {
        self.sym('%')?;
        let (_, reference) = self.name()?;
        match buffers.get(&reference) {
            Some(&i) => Ok(BufferId(i)),
            None => self.err(format!("no buffer %{reference} above")),
        }
    }

    /// After the word `kernel`: the reference and the kernel.
    fn kernel(&mut self) -> Res<(String, Kernel)> {
        self.sym('@')?;
        let (name, reference) = self.name()?;
        let mut k = Kernel {
            name,
            args: vec![],
            rows: smallvec![],
            cols: 0,
            anchor: None,
            insts: vec![],
            phases: vec![],
            split: Split::None,
        };
        let mut values = HashMap::<String, LaneId>::new();
        self.sym('{')?;
        while !self.eat('}') {
            if self.eat_word("args") {
                while self.eat('%') {
                    let i: usize = self.number("an argument's number")?;
                    if i != k.args.len() {
                        return self.err(format!("argument %{i} stands at place {}", k.args.len()));
                    }
                    self.sym(':')?;
                    let (dtype, len) = self.typed()?;
                    let role = self.named("a role")?;
                    k.args.push(Arg { dtype, len, role });
                    if !self.eat(',') {
                        break;
                    }
                }
            } else if self.eat_word("rows") {
                k.rows = self.sizes()?;
            } else if self.eat_word("cols") {
                k.cols = self.number("columns")?;
            } else if self.eat_word("split") {
                k.split = self.named("a split")?;
            } else if self.eat_word("rng") {
                self.word("site")?;
                k.anchor = Some(Anchor::Rng { site: self.number("a site")? });
            } else if self.eat_word("contract") {
                self.word("k")?;
                let sizes: SmallVec<[u64; 4]> = self.sizes()?;
                self.word("a")?;
                let (a, a_at, of_a) = self.access(k.rows.len(), sizes.len())?;
                self.word("b")?;
                let (b, b_at, of_b) = self.access(k.rows.len(), sizes.len())?;
                let axis = |((&n, &a), &b): ((&u64, &i64), &i64)| KAxis { n, a, b };
                let axes = sizes.iter().zip(&of_a).zip(&of_b).map(axis).collect();
                k.anchor = Some(Anchor::Contract(Contract { k: axes, a: (a, a_at), b: (b, b_at) }));
            } else if self.eat_word("phase") {
                let seq = if self.eat_word("seq") { Some(self.number("a length")?) } else { None };
                self.sym('{')?;
                while !self.eat('}') {
                    let id = LaneId(k.insts.len() as u32);
                    let mut name = None;
                    if self.eat('%') {
                        name = Some(self.any_word("a value")?);
                        self.sym('=')?;
                    }
                    let inst = self.inst(&values, k.rows.len())?;
                    let store = matches!(inst, Inst::Store { .. } | Inst::StoreAt { .. });
                    match name {
                        Some(n) if !store => {
                            if values.insert(n.clone(), id).is_some() {
                                return self.err(format!("a second value %{n}"));
                            }
                        }
                        Some(_) => return self.err("a store has no value"),
                        None if !store => return self.err("a value needs a name"),
                        None => {}
                    }
                    k.insts.push(inst);
                }
                k.phases.push(Phase { seq, end: k.insts.len() as u32 });
            } else {
                return self.err(format!("expected an item of a kernel, found {}", self.found()));
            }
        }
        Ok((reference, k))
    }

    fn arg(&mut self) -> Res<ArgId> {
        self.sym('%')?;
        Ok(ArgId(self.number("an argument's number")?))
    }

    /// Numbers up to the next word.
    fn sizes(&mut self) -> Res<SmallVec<[u64; 4]>> {
        let mut sizes = SmallVec::new();
        while matches!(self.peek(), Some(Tok::Word(w)) if w.starts_with(|c: char| c.is_ascii_digit())) {
            sizes.push(self.number("a size")?);
        }
        Ok(sizes)
    }

    /// `%0[784*r0 + k]`: the arg, the address, and the strides of the contracted axes.
    fn access(&mut self, rows: usize, axes: usize) -> Res<(ArgId, Access, SmallVec<[i64; 4]>)> {
        let arg = self.arg()?;
        let mut at = Access { rows: SmallVec::from_elem(0, rows), ..Default::default() };
        let mut k = SmallVec::from_elem(0, axes);
        self.sym('[')?;
        self.sum(|index, s| {
            let place = match index {
                "" => Some(&mut at.offset),
                "c" => Some(&mut at.col),
                "s" => Some(&mut at.seq),
                "k" if axes == 1 => k.first_mut(),
                i => match (i.strip_prefix('r'), i.strip_prefix('k').filter(|_| axes > 1)) {
                    (Some(i), _) => i.parse::<usize>().ok().and_then(|i| at.rows.get_mut(i)),
                    (_, Some(i)) => i.parse::<usize>().ok().and_then(|i| k.get_mut(i)),
                    _ => None,
                },
            };
            *place? += s;
            Some(())
        })?;
        self.sym(']')?;
        Ok((arg, at, k))
    }

    /// Terms of an address: each is added to what its index names, the constant to what no name does.
    fn sum(&mut self, mut add: impl FnMut(&str, i64) -> Option<()>) -> Res<()> {
        let mut minus = self.eat('-');
        loop {
            let line = self.line();
            let w = self.any_word("a term of an address")?;
            let (mut s, index) = match w.parse::<i64>() {
                Ok(n) if self.eat('*') => (n, self.any_word("an index")?),
                Ok(n) => (n, String::new()),
                Err(_) => (1, w),
            };
            if minus {
                s = -s;
            }
            if add(&index, s).is_none() {
                return Err(bad(line, format!("no index `{index}` here")));
            }
            if self.eat('+') {
                minus = false;
            } else if self.eat('-') {
                minus = true;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, values: &HashMap<String, LaneId>) -> Res<LaneId> {
        self.sym('%')?;
        let n = self.any_word("a value")?;
        match values.get(&n) {
            Some(&v) => Ok(v),
            None => self.err(format!("no value %{n} above")),
        }
    }

    fn next_value(&mut self, values: &HashMap<String, LaneId>) -> Res<LaneId> {
        self.sym(',')?;
        self.value(values)
    }

    fn mask(&mut self, values: &HashMap<String, LaneId>) -> Res<Option<LaneId>> {
        if self.eat_word("if") { Ok(Some(self.value(values)?)) } else { Ok(None) }
    }

    fn inst(&mut self, values: &HashMap<String, LaneId>, rows: usize) -> Res<Inst> {
        let line = self.line();
        let w = self.any_word("an instruction")?;
        if let Some(o) = LaneUn::from_name(&w) {
            return Ok(Inst::Lane(LaneOp::Un(o, self.value(values)?)));
        }
        if let Some(o) = LaneBin::from_name(&w) {
            let a = self.value(values)?;
            return Ok(Inst::Lane(LaneOp::Bin(o, a, self.next_value(values)?)));
        }
        if let Some(o) = LaneCmp::from_name(&w) {
            let a = self.value(values)?;
            return Ok(Inst::Lane(LaneOp::Cmp(o, a, self.next_value(values)?)));
        }
        if let Some(kind) = w.strip_prefix("reduce.").and_then(Named::from_name) {
            return Ok(Inst::Reduce { kind, value: self.value(values)? });
        }
        if let Some(kind) = w.strip_prefix("running.").and_then(Named::from_name) {
            return Ok(Inst::Acc { kind, value: self.value(values)? });
        }
        Ok(match w.as_str() {
            "f32" | "f64" => {
                let minus = self.eat('-');
                let n = self.any_word("a number")?;
                let op = match (w.as_str(), n.strip_prefix("0x")) {
                    ("f32", Some(h)) => u32::from_str_radix(h, 16).ok().map(LaneOp::ConstF),
                    ("f32", None) => {
                        n.parse::<f32>().ok().map(|x| LaneOp::ConstF(if minus { -x } else { x }.to_bits()))
                    }
                    (_, Some(h)) => u64::from_str_radix(h, 16).ok().map(LaneOp::ConstD),
                    (_, None) => n.parse::<f64>().ok().map(|x| LaneOp::ConstD(if minus { -x } else { x }.to_bits())),
                };
                Inst::Lane(op.ok_or_else(|| bad(line, format!("no number `{n}`")))?)
            }
            "i32" => Inst::Lane(LaneOp::ConstI(self.number("an int")?)),
            "bool" => Inst::Lane(LaneOp::ConstB(self.number("true or false")?)),
            "fma" | "select" => {
                let a = self.value(values)?;
                let b = self.next_value(values)?;
                let c = self.next_value(values)?;
                Inst::Lane(if w == "fma" { LaneOp::Fma(a, b, c) } else { LaneOp::Select(a, b, c) })
            }
            "row" => Inst::Index(Index::Row(self.number("a row axis")?)),
            "col" => Inst::Index(Index::Col),
            "seq" => Inst::Index(Index::Seq),
            "acc" => Inst::Anchor,
            "load" => {
                let (arg, at, _) = self.access(rows, 0)?;
                Inst::Load { arg, at }
            }
            "store" => {
                let (arg, at, _) = self.access(rows, 0)?;
                Inst::Store { arg, at, value: self.next_value(values)? }
            }
            "load.at" => {
                let arg = self.arg()?;
                self.sym('[')?;
                let index = self.value(values)?;
                self.sym(']')?;
                Inst::LoadAt { arg, index, mask: self.mask(values)? }
            }
            "store.at" => {
                let arg = self.arg()?;
                self.sym('[')?;
                let index = self.value(values)?;
                self.sym(']')?;
                let value = self.next_value(values)?;
                Inst::StoreAt { arg, index, value, mask: self.mask(values)? }
            }
            _ => return Err(bad(line, format!("no instruction `{w}`"))),
        })
    }
}

fn bad(line: usize, message: impl Into<String>) -> ParseError {
    ParseError { line, message: message.into() }
}

fn unhex(s: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = s.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// The escapes of Rust's `{:?}`.
fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    Some(match chars.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        'u' => {
            chars.next_if_eq(&'{')?;
            let mut hex = String::new();
            loop {
                match chars.next()? {
                    '}' => break,
                    c => hex.push(c),
                }
            }
            char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?
        }
        c => c,
    })
}
