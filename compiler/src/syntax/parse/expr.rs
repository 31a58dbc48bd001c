//! Expressions. pest hands over a flat run of prefixes, operands and infix operators; [`Run`] gives them their
//! precedence with two explicit stacks, so that long chains need no recursion.

use super::{Builder, Pair, Rule, kids};
use crate::source::Span;
use crate::syntax::ast::*;
use std::sync::Arc;

/// Precedence, low to high. `not` lies between `and` and the comparisons, `-` below `**` and above `*`.
fn precedence(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Pipe => 1,
        Or => 2,
        And => 3,
        Eq | Ne | Lt | Le | Gt | Ge => 5,
        Range => 6,
        Add | Sub => 7,
        Mul | Div | FloorDiv | Rem | MatMul => 8,
        Pow => 10,
    }
}

/// Precedence of a prefix operator's operand.
pub(in crate::syntax) fn prefix_precedence(op: UnaryOp) -> u8 {
    match op {
        UnaryOp::Not => 4,
        UnaryOp::Neg => 9,
    }
}

/// Precedence of an infix operator, shared with the printer.
pub(in crate::syntax) fn infix_precedence(op: BinaryOp) -> u8 {
    precedence(op)
}

/// Whether operators of this precedence stand alone: `a < b < c` and `a..b..c` mean nothing.
pub(in crate::syntax) fn non_associative(op: BinaryOp) -> bool {
    matches!(precedence(op), 5 | 6)
}

#[derive(Clone, Copy)]
enum Op {
    Prefix(UnaryOp, Span),
    Infix(BinaryOp, Span),
}

impl Op {
    fn precedence(self) -> u8 {
        match self {
            Op::Prefix(op, _) => prefix_precedence(op),
            Op::Infix(op, _) => precedence(op),
        }
    }
}

/// The two stacks of operator precedence parsing.
#[derive(Default)]
pub(super) struct Run {
    operands: Vec<ExprId>,
    ops: Vec<Op>,
}

impl Run {
    pub(super) fn operand(&mut self, id: ExprId) {
        self.operands.push(id);
    }

    fn prefix(&mut self, op: UnaryOp, span: Span) {
        self.ops.push(Op::Prefix(op, span));
    }

    pub(super) fn infix(&mut self, b: &mut Builder, p: &Pair) -> Option<()> {
        let span = b.span(p);
        let op = infix_op(p.as_str().trim_end())?;
        let mine = precedence(op);
        while let Some(top) = self.ops.last() {
            // `**` groups to the right, everything else to the left.
            if top.precedence() < mine
                || (top.precedence() == mine && op == BinaryOp::Pow && !nn_runtime::mutant!("parse.power"))
            {
                break;
            }
            if let Op::Infix(other, first) = *top
                && precedence(other) == mine
                && non_associative(op)
            {
                let d = crate::diag::Diagnostic::error("E0007", span, "these operators do not chain")
                    .here("a second one here")
                    .label(first, "the first is here");
                b.errors.push(if op == BinaryOp::Range {
                    d.help("a range has two ends; its step is written with an index: `x[a:b:step]`")
                } else {
                    d.help("write `a < b and b < c`, or put one comparison in parentheses")
                });
                return None;
            }
            self.reduce(b)?;
        }
        self.ops.push(Op::Infix(op, span));
        Some(())
    }

    fn reduce(&mut self, b: &mut Builder) -> Option<()> {
        let rhs = self.operands.pop()?;
        let id = match self.ops.pop()? {
            Op::Prefix(op, at) => {
                let span = at.to(b.ast.span(rhs));
                b.ast.push(ExprKind::Unary(op, rhs), span)
            }
            Op::Infix(op, op_span) => {
                let lhs = self.operands.pop()?;
                let span = b.ast.span(lhs).to(b.ast.span(rhs));
                b.ast.push(ExprKind::Binary { op, op_span, lhs, rhs }, span)
            }
        };
        self.operands.push(id);
        Some(())
    }

    pub(super) fn finish(mut self, b: &mut Builder) -> Option<ExprId> {
        while !self.ops.is_empty() {
            self.reduce(b)?;
        }
        self.operands.pop()
    }
}

fn infix_op(text: &str) -> Option<BinaryOp> {
    use BinaryOp::*;
    Some(match text {
        "|>" => Pipe,
        "or" => Or,
        "and" => And,
        "==" => Eq,
        "!=" => Ne,
        "<" => Lt,
        "<=" => Le,
        ">" => Gt,
        ">=" => Ge,
        ".." => Range,
        "+" => Add,
        "-" => Sub,
        "*" => Mul,
        "/" => Div,
        "//" => FloorDiv,
        "%" => Rem,
        "@" => MatMul,
        "**" => Pow,
        _ => return None,
    })
}

impl Builder<'_> {
    pub(super) fn expr(&mut self, p: Pair) -> Option<ExprId> {
        self.deeper(&p.clone(), |b| {
            let mut run = Run::default();
            for k in kids(&p) {
                match k.as_rule() {
                    Rule::prefix => {
                        let op = if k.as_str().starts_with('-') { UnaryOp::Neg } else { UnaryOp::Not };
                        let span = b.span(&k);
                        run.prefix(op, span);
                    }
                    Rule::infix => run.infix(b, &k)?,
                    Rule::cast => {
                        let id = b.cast(k)?;
                        run.operand(id);
                    }
                    _ => return None,
                }
            }
            run.finish(b)
        })
    }

    fn cast(&mut self, p: Pair) -> Option<ExprId> {
        let mut ks = kids(&p);
        let mut at = self.postfix(ks.next()?)?;
        for t in ks {
            let ty = self.ty(t)?;
            let span = self.ast.span(at).to(ty.span);
            at = self.ast.push(ExprKind::Cast(at, ty), span);
        }
        Some(at)
    }

    pub(super) fn postfix(&mut self, p: Pair) -> Option<ExprId> {
        let mut ks = kids(&p);
        let mut at = self.primary(ks.next()?)?;
        for k in ks {
            let span = self.ast.span(at).to(self.span(&k));
            let kind = match k.as_rule() {
                Rule::call => ExprKind::Call { callee: at, args: self.args(k)? },
                Rule::index => {
                    ExprKind::Index { base: at, items: kids(&k).map(|i| self.ix(i)).collect::<Option<_>>()? }
                }
                Rule::field => ExprKind::Field { base: at, name: self.ident(&kids(&k).next()?) },
                _ => return None,
            };
            at = self.ast.push(kind, span);
        }
        Some(at)
    }

    pub(super) fn args(&mut self, call: Pair) -> Option<Vec<Arg>> {
        kids(&call).map(|a| self.named(a).map(|(name, value)| Arg { name, value })).collect()
    }

    /// `name: e` or `e`.
    fn named(&mut self, p: Pair) -> Option<(Option<Ident>, ExprId)> {
        let mut ks = kids(&p);
        let first = ks.next()?;
        match ks.next() {
            Some(value) => Some((Some(self.ident(&first)), self.expr(value)?)),
            None => Some((None, self.expr(first)?)),
        }
    }

    fn ix(&mut self, p: Pair) -> Option<Ix> {
        let span = self.span(&p);
        let mut ks = p.clone().into_inner();
        let first = ks.next()?;
        match first.as_rule() {
            Rule::row => Some(Ix::Row(self.row_name(&first), span)),
            Rule::k_new => Some(Ix::New(span)),
            Rule::open_ix => self.slice(None, first, span),
            Rule::expr => {
                let start = self.expr(first)?;
                match ks.next() {
                    None => Some(Ix::At(start)),
                    Some(k) if k.as_rule() == Rule::dyn_ix => {
                        Some(Ix::Window { start, len: self.expr(kids(&k).next()?)? })
                    }
                    Some(k) => self.slice(Some(start), k, span),
                }
            }
            _ => None,
        }
    }

    fn slice(&mut self, lo: Option<ExprId>, p: Pair, span: Span) -> Option<Ix> {
        let (mut hi, mut step, mut colons) = (None, None, 0);
        for k in kids(&p) {
            match k.as_rule() {
                Rule::colon => colons += 1,
                _ if colons == 1 => hi = Some(self.expr(k)?),
                _ => step = Some(self.expr(k)?),
            }
        }
        Some(Ix::Slice { lo, hi, step, span })
    }

    fn primary(&mut self, p: Pair) -> Option<ExprId> {
        let k = kids(&p).next()?;
        let span = self.span(&k);
        let kind = match k.as_rule() {
            Rule::number => return self.number(&k),
            Rule::string => ExprKind::Str(self.string(&k)?),
            Rule::boolean => ExprKind::Bool(k.as_str().starts_with("true")),
            Rule::infinity => ExprKind::Inf,
            Rule::upper | Rule::lower => ExprKind::Name(k.as_str().into()),
            Rule::wild => ExprKind::Wild,
            Rule::lambda => self.lambda(k)?,
            Rule::if_e => return self.if_e(k),
            Rule::scan_e => self.scan_e(k)?,
            Rule::seq_e => ExprKind::Seq(
                kids(&k).map(|x| self.named(x).map(|(name, value)| SeqEntry { name, value })).collect::<Option<_>>()?,
            ),
            Rule::eval_e => ExprKind::Eval(self.block(kids(&k).next()?)?),
            Rule::rearr => self.rearr(k)?,
            Rule::record => ExprKind::Record(kids(&k).map(|x| self.pair(x)).collect::<Option<_>>()?),
            Rule::list => self.list(k)?,
            Rule::tuple => {
                let (mut items, mut comma) = (vec![], false);
                for x in kids(&k) {
                    match x.as_rule() {
                        Rule::tail_comma => comma = true,
                        _ => items.push(self.expr(x)?),
                    }
                }
                if let [only] = items[..]
                    && !comma
                {
                    // Parentheses only group: the expression keeps its form and takes their place.
                    self.ast.exprs[only.0 as usize].span = span;
                    return Some(only);
                }
                ExprKind::Tuple(items)
            }
            _ => return None,
        };
        Some(self.ast.push(kind, span))
    }

    fn pair(&mut self, p: Pair) -> Option<(Ident, ExprId)> {
        let mut ks = kids(&p);
        let name = self.ident(&ks.next()?);
        Some((name, self.expr(ks.next()?)?))
    }

    fn lambda(&mut self, p: Pair) -> Option<ExprKind> {
        let mut params = vec![];
        for k in kids(&p) {
            match k.as_rule() {
                Rule::pat => params.push(self.pat(k)?),
                _ => return Some(ExprKind::Lambda { params, body: self.expr(k)? }),
            }
        }
        None
    }

    fn if_e(&mut self, p: Pair) -> Option<ExprId> {
        let span = self.span(&p);
        let mut ks = kids(&p);
        let first = ks.next()?;
        let mut head = kids(&first);
        let mut arms = vec![(span, self.expr(head.next()?)?, self.block(head.next()?)?)];
        let mut otherwise = None;
        for k in ks {
            let mut inner = kids(&k);
            if k.as_rule() == Rule::else_if {
                // The nested `if` starts at its own keyword and ends where the whole ends.
                let own = k.clone().into_inner().find(|w| w.as_rule() == Rule::k_if)?;
                let at = Span { end: span.end, ..self.span(&own) };
                arms.push((at, self.expr(inner.next()?)?, self.block(inner.next()?)?));
            } else {
                let block = self.block(inner.next()?)?;
                let at = block.span;
                otherwise = Some(self.ast.push(ExprKind::Block(block), at));
            }
        }
        for (at, cond, then) in arms.into_iter().rev() {
            otherwise = Some(self.ast.push(ExprKind::If { cond, then, otherwise }, at));
        }
        otherwise
    }

    fn scan_e(&mut self, p: Pair) -> Option<ExprKind> {
        let mut ks = kids(&p);
        let pat = self.pat(ks.next()?)?;
        let iter = self.expr(ks.next()?)?;
        let mut along = None;
        for k in ks {
            match k.as_rule() {
                Rule::along_c => along = Some(self.expr(kids(&k).next()?)?),
                _ => return Some(ExprKind::Scan { pat, iter, along, body: self.block(k)? }),
            }
        }
        None
    }

    fn rearr(&mut self, p: Pair) -> Option<ExprKind> {
        let mut ks = kids(&p);
        let operand = self.expr(ks.next()?)?;
        let from = self.axes(ks.next()?)?;
        let to = self.axes(ks.next()?)?;
        let sizes = ks.map(|k| self.pair(k)).collect::<Option<_>>()?;
        Some(ExprKind::Rearrange { operand, from, to, sizes })
    }

    fn axes(&mut self, p: Pair) -> Option<Vec<AxisPat>> {
        kids(&p)
            .map(|a| {
                let k = kids(&a).next()?;
                let span = self.span(&k);
                Some(match k.as_rule() {
                    Rule::lower => AxisPat::Name(self.ident(&k)),
                    Rule::row => AxisPat::Row(self.row_name(&k), span),
                    Rule::group => AxisPat::Group(kids(&k).map(|n| self.ident(&n)).collect(), span),
                    Rule::number => match k.as_str().parse() {
                        Ok(n) => AxisPat::Int(n, span),
                        Err(_) => {
                            self.error("E0006", span, "an axis pattern takes a whole number here");
                            return None;
                        }
                    },
                    _ => return None,
                })
            })
            .collect()
    }

    fn list(&mut self, p: Pair) -> Option<ExprKind> {
        let mut items = vec![];
        for k in kids(&p) {
            let first = kids(&k).next()?;
            if k.as_rule() == Rule::list_for {
                let pat = self.pat(first)?;
                let iter = self.expr(kids(&k).nth(1)?)?;
                return match items[..] {
                    [ListItem::Expr(item)] => Some(ExprKind::ListFor { item, pat, iter }),
                    _ => {
                        let span = self.span(&p);
                        self.error("E0001", span, "a row `..` cannot be repeated with `for`");
                        None
                    }
                };
            }
            items.push(match first.as_rule() {
                Rule::row => ListItem::Row(self.row_name(&first), self.span(&first)),
                _ => ListItem::Expr(self.expr(first)?),
            });
        }
        Some(ExprKind::List(items))
    }

    pub(super) fn number(&mut self, p: &Pair) -> Option<ExprId> {
        let span = self.span(p);
        let digits: String = p.as_str().chars().filter(|&c| c != '_').collect();
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            if let Ok(n) = digits.parse() {
                return Some(self.ast.push(ExprKind::Int(n), span));
            }
            self.errors.push(
                crate::diag::Diagnostic::error("E0006", span, "this whole number is too large")
                    .note(format!("the largest is {}", i64::MAX))
                    .help("write it with a point or an exponent if a float is meant"),
            );
            return None;
        }
        match digits.parse::<f64>() {
            Ok(x) if x.is_finite() => Some(self.ast.push(ExprKind::Float(x), span)),
            _ => {
                self.errors.push(
                    crate::diag::Diagnostic::error("E0006", span, "this number is too large for any float")
                        .help("write `inf` if infinity is meant"),
                );
                None
            }
        }
    }

    /// A string's text with its escapes resolved.
    pub(super) fn string(&mut self, p: &Pair) -> Option<Arc<str>> {
        let body = kids(p).next()?;
        let raw = body.as_str();
        if !raw.contains('\\') {
            return Some(raw.into());
        }
        let start = self.base + body.as_span().start() as u32;
        let mut out = String::with_capacity(raw.len());
        let mut chars = raw.char_indices();
        while let Some((at, c)) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            let escape = chars.next();
            let known = match escape.map(|e| e.1) {
                Some('n') => Some('\n'),
                Some('t') => Some('\t'),
                Some('r') => Some('\r'),
                Some('0') => Some('\0'),
                Some(c @ ('"' | '\\')) => Some(c),
                Some('u') => unicode(&mut chars),
                _ => None,
            };
            let Some(c) = known else {
                let len = 1 + escape.map_or(0, |e| e.1.len_utf8()) as u32;
                let at = start + at as u32;
                let span = Span { file: self.file, start: at, end: at + len };
                self.errors.push(
                    crate::diag::Diagnostic::error("E0006", span, "this escape means nothing")
                        .help("the escapes are \\n \\t \\r \\0 \\\" \\\\ and \\u{1f600}"),
                );
                return None;
            };
            out.push(c);
        }
        Some(out.into())
    }
}

/// `{1f600}` after `\u`.
fn unicode(chars: &mut std::str::CharIndices) -> Option<char> {
    if chars.next()?.1 != '{' {
        return None;
    }
    let mut n: u32 = 0;
    for _ in 0..7 {
        match chars.next()?.1 {
            '}' => return char::from_u32(n),
            c => n = n * 16 + c.to_digit(16)?,
        }
    }
    None
}
