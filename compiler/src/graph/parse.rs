//! Text to graph IR: what [`super::print`] writes, and what tests write by hand.
//!
//! One value per line; `//` starts a comment. Names must be defined before use; a name that is a number names nothing. The
//! type on a line is checked against the op's rule. Values are taken as they stand: nothing is shared or simplified, so
//! printing gives the text back.

use super::graph::{Graph, Inputs, Node, Output, Slot, SlotKind, ValueId};
use super::ops::attr::{Raw, Reader};
use super::ops::elementwise::Ew;
use super::ops::{Op, OpSpec};
use super::print::is_word;
use super::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;
use std::collections::HashMap;
use std::sync::Arc;

/// What is wrong, and on which line (from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a graph.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut state = State::default();
    // The graphs around the region that is being read, each with the line that began the region.
    let mut outer: Vec<(State, Begun)> = vec![];
    let mut number = 0;
    for (i, line) in text.lines().enumerate() {
        number = i + 1;
        let error = |message| ParseError { line: number, message };
        if let Some(begun) = state.line(line, outer.len()).map_err(error)? {
            let body = State { stage: Stage::Inside, ..State::default() };
            outer.push((std::mem::replace(&mut state, body), begun));
        } else if state.stage == Stage::After
            && let Some((around, begun)) = outer.pop()
        {
            let body = std::mem::replace(&mut state, around).graph;
            state.region(begun, body).map_err(error)?;
        }
    }
    match state.stage {
        Stage::After => Ok(state.graph),
        _ => Err(ParseError { line: number + 1, message: "the graph is not finished; it ends with `}`".to_owned() }),
    }
}

#[derive(Default, PartialEq)]
enum Stage {
    #[default]
    Before,
    Inside,
    Returned,
    After,
}

#[derive(Default)]
struct State {
    graph: Graph,
    stage: Stage,
    values: HashMap<String, ValueId>,
}

/// A line that a region follows.
struct Begun {
    name: String,
    ty: TensorTy,
    op: Op,
    inputs: Inputs,
}

impl State {
    /// Reads a line; that of a region waits for its body.
    fn line(&mut self, line: &str, depth: usize) -> Result<Option<Begun>, String> {
        let mut c = Cursor::new(line)?;
        if c.done() {
            return Ok(None);
        }
        match self.stage {
            Stage::Before => {
                c.keyword("graph")?;
                c.symbol('@')?;
                self.graph.name = c.name()?;
                c.symbol('{')?;
                self.stage = Stage::Inside;
            }
            Stage::Inside if c.eat_word("slot") => self.slot(&mut c)?,
            Stage::Inside | Stage::Returned if c.eat_word("return") => self.returns(&mut c)?,
            Stage::Inside => {
                let begun = self.value(&mut c)?;
                c.end()?;
                return Ok(begun);
            }
            Stage::Returned => {
                c.symbol('}')?;
                self.stage = Stage::After;
            }
            Stage::After if depth == 0 => return Err("nothing may follow the graph".to_owned()),
            Stage::After => {}
        }
        c.end().map(|()| None)
    }

    fn slot(&mut self, c: &mut Cursor) -> Result<(), String> {
        let name = c.name()?;
        c.symbol(':')?;
        let kind = match c.word()?.as_str() {
            "param" => SlotKind::Param,
            "state" => SlotKind::State,
            "data" => SlotKind::Data,
            "step" => SlotKind::Step,
            other => return Err(format!("a slot is param, state, data or step, not `{other}`")),
        };
        self.graph.slots.push(Slot { name: name.as_str().into(), kind, ty: c.ty()? });
        Ok(())
    }

    fn operand(&self, c: &mut Cursor) -> Result<ValueId, String> {
        c.symbol('%')?;
        let name = c.word()?;
        self.values.get(&name).copied().ok_or_else(|| format!("%{name} is not defined above"))
    }

    fn value(&mut self, c: &mut Cursor) -> Result<Option<Begun>, String> {
        c.symbol('%')?;
        let name = c.word()?;
        c.symbol(':')?;
        let ty = c.ty()?;
        c.symbol('=')?;
        let op = c.word()?;
        let mut inputs = Inputs::new();
        while c.peek() == Some(&Tok::Symbol('%')) {
            inputs.push(self.operand(c)?);
            if !c.eat(',') {
                break;
            }
        }
        let op = make_op(&op, &ty, c.attrs()?)?;
        let begun = Begun { name, ty, op, inputs };
        if matches!(begun.op, Op::Scan(_)) {
            c.symbol('{')?;
            return Ok(Some(begun));
        }
        self.define(begun).map(|()| None)
    }

    /// A region whose body has been read.
    fn region(&mut self, mut begun: Begun, body: Graph) -> Result<(), String> {
        if let Op::Scan(s) = &mut begun.op {
            s.body = Arc::new(body);
        }
        self.define(begun)
    }

    fn define(&mut self, Begun { name, ty, op, inputs }: Begun) -> Result<(), String> {
        let operands: Vec<&TensorTy> = inputs.iter().map(|&v| self.graph.ty(v)).collect();
        let inferred = op.infer(&operands, &self.graph.slots)?;
        if inferred != ty {
            return Err(format!("`{}` gives {inferred}, but the line says {ty}", op.name()));
        }
        let v = ValueId(self.graph.nodes.len() as u32);
        let named = !name.starts_with(|c: char| c.is_ascii_digit());
        let label = named.then(|| name.as_str().into());
        if self.values.insert(name.clone(), v).is_some() {
            return Err(format!("%{name} is defined twice"));
        }
        self.graph.nodes.push(Node { op, inputs, ty, span: None, scope: None, name: label });
        Ok(())
    }

    fn returns(&mut self, c: &mut Cursor) -> Result<(), String> {
        self.stage = Stage::Returned;
        while !c.done() {
            let name = c.name()?;
            let assign = if c.eat('<') {
                c.symbol('-')?;
                let slot = self.graph.slots.iter().position(|s| *s.name == *name);
                Some(slot.ok_or_else(|| format!("there is no slot `{name}`"))? as u32)
            } else {
                c.symbol('=')?;
                None
            };
            let value = self.operand(c)?;
            self.graph.outputs.push(Output { name: name.as_str().into(), value, assign });
            if !c.eat(',') {
                break;
            }
        }
        Ok(())
    }
}

/// The op of a name, a result type and attributes.
fn make_op(name: &str, ty: &TensorTy, attrs: Vec<(String, Raw)>) -> Result<Op, String> {
    let mut reader = Reader::new(attrs);
    let row: Option<&&OpSpec> = Op::ROWS.iter().find(|row| row.name == name);
    let op = match (Ew::parse(name), row) {
        (Some(e), _) => Op::Ew(e),
        (None, Some(row)) => (row.make)(ty, &mut reader)?,
        (None, None) => return Err(format!("there is no op `{name}`")),
    };
    reader.end()?;
    Ok(op)
}

#[derive(Clone, Debug, PartialEq)]
enum Tok {
    Word(String),
    Quoted(String),
    Symbol(char),
}

/// The tokens of a line.
struct Cursor {
    toks: Vec<Tok>,
    at: usize,
}

impl Cursor {
    fn new(line: &str) -> Result<Cursor, String> {
        let mut toks = vec![];
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            if c.is_whitespace() {
                rest = &rest[c.len_utf8()..];
            } else if rest.starts_with("//") {
                break;
            } else if c == '"' {
                let (text, n) = quoted(rest)?;
                toks.push(Tok::Quoted(text));
                rest = &rest[n..];
            } else if is_word(c) || (matches!(c, '-' | '+') && number_follows(rest, toks.last())) {
                // A word, or a number: `-1.5e-3`, `-inf`.
                let mut n = c.len_utf8();
                let numeric = c.is_ascii_digit() || !is_word(c);
                while let Some(d) = rest[n..].chars().next() {
                    let exponent = numeric && matches!(d, '-' | '+') && rest[..n].ends_with(['e', 'E']);
                    if !is_word(d) && !exponent {
                        break;
                    }
                    n += d.len_utf8();
                }
                toks.push(Tok::Word(rest[..n].to_owned()));
                rest = &rest[n..];
            } else {
                toks.push(Tok::Symbol(c));
                rest = &rest[c.len_utf8()..];
            }
        }
        Ok(Cursor { toks, at: 0 })
    }

    fn done(&self) -> bool {
        self.at == self.toks.len()
    }

    fn peek(&self) -> Option<&Tok> {
        self.toks.get(self.at)
    }

    fn found(&self) -> String {
        match self.peek() {
            Some(Tok::Word(w)) => format!("`{w}`"),
            Some(Tok::Quoted(t)) => format!("{t:?}"),
            Some(Tok::Symbol(c)) => format!("`{c}`"),
            None => "the end of the line".to_owned(),
        }
    }

    fn eat(&mut self, c: char) -> bool {
        let hit = self.peek() == Some(&Tok::Symbol(c));
        self.at += usize::from(hit);
        hit
    }

    fn eat_word(&mut self, w: &str) -> bool {
        let hit = matches!(self.peek(), Some(Tok::Word(x)) if x == w);
        self.at += usize::from(hit);
        hit
    }

    fn symbol(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(format!("expected `{c}`, found {}", self.found())) }
    }

    fn keyword(&mut self, w: &str) -> Result<(), String> {
        if self.eat_word(w) { Ok(()) } else { Err(format!("expected `{w}`, found {}", self.found())) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.peek() {
            Some(Tok::Word(w)) => {
                let w = w.clone();
                self.at += 1;
                Ok(w)
            }
            _ => Err(format!("expected a name, found {}", self.found())),
        }
    }

    /// A word or a quoted text.
    fn name(&mut self) -> Result<String, String> {
        if let Some(Tok::Quoted(t)) = self.peek() {
            let t = t.clone();
            self.at += 1;
            return Ok(t);
        }
        self.word()
    }

    fn ty(&mut self) -> Result<TensorTy, String> {
        let d = self.word()?;
        let dtype = DType::parse(&d).ok_or_else(|| format!("there is no dtype `{d}`"))?;
        let mut shape = Shape::new();
        for n in self.list()? {
            shape.push(n.parse().map_err(|_| format!("`{n}` is not a size"))?);
        }
        Ok(TensorTy { dtype, shape })
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        self.symbol('[')?;
        let mut items = vec![];
        while !self.eat(']') {
            items.push(self.word()?);
            if !self.eat(',') {
                self.symbol(']')?;
                break;
            }
        }
        Ok(items)
    }

    fn attrs(&mut self) -> Result<Vec<(String, Raw)>, String> {
        let mut attrs = vec![];
        if !self.eat('{') {
            return Ok(attrs);
        }
        loop {
            let key = self.word()?;
            self.symbol('=')?;
            let value = match self.peek() {
                Some(Tok::Symbol('[')) => Raw::List(self.list()?),
                Some(Tok::Quoted(_)) => Raw::Text(self.name()?),
                _ => Raw::Word(self.word()?),
            };
            attrs.push((key, value));
            if !self.eat(',') {
                self.symbol('}')?;
                return Ok(attrs);
            }
        }
    }

    fn end(&self) -> Result<(), String> {
        if self.done() { Ok(()) } else { Err(format!("unexpected {}", self.found())) }
    }
}

/// Is this sign the start of a number? Not in `<-`.
fn number_follows(rest: &str, last: Option<&Tok>) -> bool {
    last != Some(&Tok::Symbol('<')) && rest[1..].starts_with(|c: char| c.is_ascii_digit() || c == 'i' || c == '.')
}

/// A quoted text at the start, and how many bytes it takes. Escapes are those that `{:?}` writes.
fn quoted(s: &str) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut chars = s.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((out, i + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some('0') => out.push('\0'),
                Some('u') => {
                    let hex: String = chars.by_ref().map(|(_, c)| c).skip(1).take_while(|&c| c != '}').collect();
                    let c = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    out.push(c.ok_or_else(|| format!("`{hex}` is not a character"))?);
                }
                Some(c) => out.push(c),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a quoted text is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::print::to_text;
    use crate::graph::random::random;

    #[test]
    fn printed_graphs_parse_back() {
        for seed in 0..400 {
            let g = random(seed);
            let text = to_text(&g);
            let back = parse(&text).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{text}"));
            assert_eq!(to_text(&back), text);
            let strip = |g: &Graph| {
                let mut g = g.clone();
                g.nodes.iter_mut().for_each(|n| n.name = None);
                g
            };
            assert_eq!(strip(&back), strip(&g), "seed {seed}");
        }
    }

    #[test]
    fn odd_values_and_names_survive() {
        let text = r#"graph @"odd name" {
  slot "a \"b\"\n": data f32[2]
  %v3: f32[] = const {value=nan}
  %1: f32[3] = const {value=[-0.0, inf, -inf]}
  %x: f32[] = const {value=1.1754944e-38}
  %x.1: f64[] = const {value=0.1}
  %4: i32[] = const {value=-7}
  %5: f32[2] = input {slot=0}
  %6: f32[2] = tag %5 {kind=probe, name="h \u{e9}"}
  return "out \t" = %6
}
"#;
        let g = parse(text).expect("parses");
        assert_eq!(parse(&to_text(&g)).as_ref(), Ok(&g));
        assert_eq!(to_text(&g).lines().count(), text.lines().count());
    }

    #[test]
    fn errors_name_the_line() {
        let cases = [
            ("graph @g {\n  %a: f32[2] = exp %b\n", "line 2: %b is not defined above"),
            ("graph @g {\n  %a: f32[2] = frob\n", "line 2: there is no op `frob`"),
            ("graph @g {\n\n  %a: i32[2] = iota {axis=1}\n", "line 3: `iota` names axis 1 of i32[2], which has 1 axes"),
            ("graph @g {\n  %a: i32[2] = iota {axis=0} x\n", "line 2: unexpected `x`"),
            ("graph @g {\n  %a: f32[2] = const {value=[1]}\n", "line 2: a constant f32[2] has 1 elements"),
            ("graph @g {\n", "line 2: the graph is not finished; it ends with `}`"),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).map_err(|e| e.to_string()), Err(want.to_owned()), "{text}");
        }
    }
}
