//! The tree back to canonical text: the start of `nnc fmt`, and `nnc ir --stage ast`.
//!
//! In: a tree. Out: `.nn` text that parses to the same tree, spans aside, one statement a line, two blanks an indent,
//! parentheses only where precedence needs them. `##` docs are kept; `#` comments and blank lines are not in the tree and
//! are lost, so this does not rewrite users' files yet. Chains of operators, calls and `else if` are walked with loops:
//! their length is bounded by the limit on expression depth only, while recursion follows brackets.

mod item;
mod stmt;

use super::ast::*;
use super::parse::expr::{infix_precedence, non_associative, prefix_precedence};

/// Prints a file.
pub fn file(ast: &Ast, f: &File) -> String {
    let mut p = Printer { ast, out: String::new(), indent: 0 };
    let mut before: Option<&Item> = None;
    for item in &f.items {
        // Items with a body stand apart; lines such as `use` and `dim` stay together.
        if before.is_some_and(|b| has_body(b) || has_body(item)) {
            p.out.push('\n');
        }
        p.item(item);
        p.out.push('\n');
        before = Some(item);
    }
    p.out
}

/// Prints one expression on its own.
pub fn expr(ast: &Ast, id: ExprId) -> String {
    let mut p = Printer { ast, out: String::new(), indent: 0 };
    p.expr(id);
    p.out
}

/// Prints a type.
pub fn ty(ast: &Ast, t: &Ty) -> String {
    let mut p = Printer { ast, out: String::new(), indent: 0 };
    p.ty(t);
    p.out
}

fn has_body(i: &Item) -> bool {
    i.doc.is_some() || !matches!(i.kind, ItemKind::Use(_) | ItemKind::Const(_) | ItemKind::Stmt(_))
}

/// Precedence of what an operand of a postfix must be: nothing open on either side.
const ATOM: u8 = 12;
/// Precedence of `as`.
const CAST: u8 = 11;

struct Printer<'a> {
    ast: &'a Ast,
    out: String,
    indent: usize,
}

impl Printer<'_> {
    fn put(&mut self, s: &str) {
        self.out.push_str(s);
    }

    fn line(&mut self) {
        self.out.push('\n');
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
    }

    /// `a, b, c`
    fn commas<T>(&mut self, items: impl IntoIterator<Item = T>, mut f: impl FnMut(&mut Self, T)) {
        for (i, x) in items.into_iter().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            f(self, x);
        }
    }

    fn expr(&mut self, id: ExprId) {
        self.prec(id, 0);
    }

    /// How tightly an expression holds together.
    fn precedence(&self, id: ExprId) -> u8 {
        match &self.ast.expr(id).kind {
            ExprKind::Binary { op, .. } => infix_precedence(*op),
            ExprKind::Unary(op, _) => prefix_precedence(*op),
            ExprKind::Cast(..) => CAST,
            // Their right end is open: a lambda's body takes every operator that follows, `if` and `scan` end in a block
            // that a call or index must not touch.
            ExprKind::Lambda { .. } => 0,
            ExprKind::If { .. } | ExprKind::Scan { .. } | ExprKind::Eval(_) | ExprKind::Seq(_) => CAST,
            // A float such as 1e-3 is one token; a negative number is not a literal.
            _ => ATOM,
        }
    }

    /// Prints an expression where at least precedence `min` is needed.
    fn prec(&mut self, id: ExprId, min: u8) {
        let paren = self.precedence(id) < min;
        if paren {
            self.put("(");
        }
        self.bare(id);
        if paren {
            self.put(")");
        }
    }

    fn bare(&mut self, id: ExprId) {
        let ast = self.ast;
        match &ast.expr(id).kind {
            ExprKind::Binary { op: BinaryOp::Pow, lhs, rhs, .. } => {
                // The base holds tighter than `-`; the exponent may itself be a power or a negation.
                self.prec(*lhs, CAST);
                self.put("**");
                let mut rhs = *rhs;
                while let ExprKind::Binary { op: BinaryOp::Pow, lhs, rhs: next, .. } = &ast.expr(rhs).kind {
                    self.prec(*lhs, CAST);
                    self.put("**");
                    rhs = *next;
                }
                self.prec(rhs, prefix_precedence(UnaryOp::Neg));
            }
            ExprKind::Binary { .. } => self.chain(id),
            ExprKind::Unary(..) => {
                let mut at = id;
                while let ExprKind::Unary(op, inner) = &ast.expr(at).kind {
                    self.put(match op {
                        UnaryOp::Neg => "-",
                        UnaryOp::Not => "not ",
                    });
                    at = *inner;
                    let need = prefix_precedence(*op);
                    if !matches!(ast.expr(at).kind, ExprKind::Unary(..)) || self.precedence(at) < need {
                        self.prec(at, need);
                        return;
                    }
                }
            }
            ExprKind::Cast(..) | ExprKind::Call { .. } | ExprKind::Index { .. } | ExprKind::Field { .. } => {
                self.postfix(id)
            }
            _ => self.primary(id),
        }
    }

    /// A left-deep chain of operators, from its leftmost operand on.
    fn chain(&mut self, id: ExprId) {
        let ast = self.ast;
        let (mut links, mut at, mut need) = (vec![], id, 0);
        while let ExprKind::Binary { op, lhs, rhs, .. } = &ast.expr(at).kind {
            if *op == BinaryOp::Pow || infix_precedence(*op) < need {
                break;
            }
            links.push((*op, *rhs));
            need = infix_precedence(*op) + u8::from(non_associative(*op));
            at = *lhs;
        }
        self.prec(at, need);
        for (op, rhs) in links.into_iter().rev() {
            self.put(match op {
                BinaryOp::Range => "..",
                _ => infix_text(op),
            });
            self.prec(rhs, infix_precedence(op) + 1);
        }
    }

    /// A chain of `as`, calls, indices and fields.
    fn postfix(&mut self, id: ExprId) {
        let ast = self.ast;
        let (mut links, mut at) = (vec![], id);
        loop {
            let inner = match &ast.expr(at).kind {
                ExprKind::Cast(e, _) => *e,
                ExprKind::Call { callee, .. } => *callee,
                ExprKind::Index { base, .. } | ExprKind::Field { base, .. } => *base,
                _ => break,
            };
            links.push(at);
            at = inner;
        }
        // `(x as f32)[0]` needs its parentheses; they open before the whole of what is cast.
        let mut opens = 0;
        for pair in links.windows(2) {
            let outer_is_cast = matches!(ast.expr(pair[0]).kind, ExprKind::Cast(..));
            opens += usize::from(matches!(ast.expr(pair[1]).kind, ExprKind::Cast(..)) && !outer_is_cast);
        }
        self.put(&"(".repeat(opens));
        let first_is_cast = links.last().is_some_and(|l| matches!(ast.expr(*l).kind, ExprKind::Cast(..)));
        let number = matches!(ast.expr(at).kind, ExprKind::Int(_) | ExprKind::Float(_));
        if number && !first_is_cast {
            // `(1).x`: the number's own point must not meet the field's.
            self.put("(");
            self.bare(at);
            self.put(")");
        } else {
            self.prec(at, if first_is_cast { CAST } else { ATOM });
        }
        let mut cast = false;
        for link in links.into_iter().rev() {
            let kind = &ast.expr(link).kind;
            if cast && !matches!(kind, ExprKind::Cast(..)) {
                self.put(")");
            }
            cast = matches!(kind, ExprKind::Cast(..));
            match kind {
                ExprKind::Cast(_, t) => {
                    self.put(" as ");
                    self.ty(t);
                }
                ExprKind::Call { args, .. } => self.args(args),
                ExprKind::Index { items, .. } => {
                    self.put("[");
                    self.commas(items, |p, i| p.ix(i));
                    self.put("]");
                }
                ExprKind::Field { name, .. } => {
                    self.put(".");
                    self.put(&name.text);
                }
                _ => {}
            }
        }
    }

    fn args(&mut self, args: &[Arg]) {
        self.put("(");
        self.commas(args, |p, a| {
            if let Some(n) = &a.name {
                p.put(&n.text);
                p.put(": ");
            }
            p.expr(a.value);
        });
        self.put(")");
    }

    fn ix(&mut self, i: &Ix) {
        match i {
            Ix::Row(name, _) => self.row(name),
            Ix::New(_) => self.put("new"),
            Ix::Slice { lo, hi, step, .. } => {
                if let Some(e) = lo {
                    self.expr(*e);
                }
                self.put(":");
                if let Some(e) = hi {
                    self.expr(*e);
                }
                if let Some(e) = step {
                    self.put(":");
                    self.expr(*e);
                }
            }
            Ix::Window { start, len } => {
                self.expr(*start);
                self.put(" +: ");
                self.expr(*len);
            }
            Ix::At(e) => self.expr(*e),
        }
    }

    fn row(&mut self, name: &Option<Ident>) {
        self.put("..");
        if let Some(n) = name {
            self.put(&n.text);
        }
    }

    fn primary(&mut self, id: ExprId) {
        let ast = self.ast;
        match &ast.expr(id).kind {
            ExprKind::Int(n) => self.put(&n.to_string()),
            ExprKind::Float(x) => self.put(&float(*x)),
            ExprKind::Str(s) => self.string(s),
            ExprKind::Bool(b) => self.put(if *b { "true" } else { "false" }),
            ExprKind::Inf => self.put("inf"),
            ExprKind::Wild => self.put("_"),
            ExprKind::Name(n) => self.put(n),
            ExprKind::Lambda { params, body } => {
                self.put("|");
                self.commas(params, |p, x| p.pat(x));
                self.put("| ");
                self.expr(*body);
            }
            ExprKind::If { .. } => self.if_chain(id),
            ExprKind::Scan { pat, iter, along, body } => {
                self.put("scan ");
                self.pat(pat);
                self.put(" in ");
                self.expr(*iter);
                if let Some(e) = along {
                    self.put(" along ");
                    self.expr(*e);
                }
                self.put(" ");
                self.block(body);
            }
            ExprKind::Seq(entries) => {
                self.put("seq {");
                self.indent += 1;
                for e in entries {
                    self.line();
                    if let Some(n) = &e.name {
                        self.put(&n.text);
                        self.put(": ");
                    }
                    self.expr(e.value);
                }
                self.indent -= 1;
                self.line();
                self.put("}");
            }
            ExprKind::Eval(b) => {
                self.put("eval ");
                self.block(b);
            }
            ExprKind::Block(b) => self.block(b),
            ExprKind::Rearrange { operand, from, to, sizes } => {
                self.put("rearrange(");
                self.expr(*operand);
                self.put(",");
                self.axes(from);
                self.put(" ->");
                self.axes(to);
                for (n, e) in sizes {
                    self.put(", ");
                    self.put(&n.text);
                    self.put(": ");
                    self.expr(*e);
                }
                self.put(")");
            }
            ExprKind::Record(entries) => {
                self.put("{ ");
                self.commas(entries, |p, (n, e)| {
                    p.put(&n.text);
                    p.put(": ");
                    p.expr(*e);
                });
                self.put(" }");
            }
            ExprKind::List(items) => {
                self.put("[");
                self.commas(items, |p, i| match i {
                    ListItem::Row(n, _) => p.row(n),
                    ListItem::Expr(e) => p.expr(*e),
                });
                self.put("]");
            }
            ExprKind::ListFor { item, pat, iter } => {
                self.put("[");
                self.expr(*item);
                self.put(" for ");
                self.pat(pat);
                self.put(" in ");
                self.expr(*iter);
                self.put("]");
            }
            ExprKind::Tuple(items) => {
                self.put("(");
                self.commas(items, |p, e| p.expr(*e));
                if items.len() == 1 {
                    self.put(",");
                }
                self.put(")");
            }
            // The operators print in `bare`.
            ExprKind::Unary(..)
            | ExprKind::Binary { .. }
            | ExprKind::Cast(..)
            | ExprKind::Call { .. }
            | ExprKind::Index { .. }
            | ExprKind::Field { .. } => self.bare(id),
        }
    }

    /// `if a { } else if b { } else { }`, however long.
    fn if_chain(&mut self, id: ExprId) {
        let ast = self.ast;
        let mut at = id;
        loop {
            match &ast.expr(at).kind {
                ExprKind::If { cond, then, otherwise } => {
                    self.put("if ");
                    self.expr(*cond);
                    self.put(" ");
                    self.block(then);
                    let Some(next) = otherwise else { return };
                    self.put(" else ");
                    at = *next;
                }
                _ => {
                    self.expr(at);
                    return;
                }
            }
        }
    }

    fn axes(&mut self, axes: &[AxisPat]) {
        for a in axes {
            self.put(" ");
            match a {
                AxisPat::Name(n) => self.put(&n.text),
                AxisPat::Int(n, _) => self.put(&n.to_string()),
                AxisPat::Row(n, _) => self.row(n),
                AxisPat::Group(names, _) => {
                    let names: Vec<&str> = names.iter().map(|n| &*n.text).collect();
                    self.put(&format!("({})", names.join(" ")));
                }
            }
        }
    }

    fn string(&mut self, s: &str) {
        self.out.push('"');
        for c in s.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                '\r' => self.out.push_str("\\r"),
                '\0' => self.out.push_str("\\0"),
                c if c.is_control() => self.out.extend(c.escape_unicode()),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// The shortest text that reads back as the same float and does not read as an integer.
fn float(x: f64) -> String {
    if x != 0.0 && (x.abs() < 1e-4 || x.abs() >= 1e16) { format!("{x:e}") } else { format!("{x:?}") }
}

fn infix_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Pipe => " |> ",
        BinaryOp::Or => " or ",
        BinaryOp::And => " and ",
        BinaryOp::Eq => " == ",
        BinaryOp::Ne => " != ",
        BinaryOp::Lt => " < ",
        BinaryOp::Le => " <= ",
        BinaryOp::Gt => " > ",
        BinaryOp::Ge => " >= ",
        BinaryOp::Range => "..",
        BinaryOp::Add => " + ",
        BinaryOp::Sub => " - ",
        BinaryOp::Mul => " * ",
        BinaryOp::Div => " / ",
        BinaryOp::FloorDiv => " // ",
        BinaryOp::Rem => " % ",
        BinaryOp::MatMul => " @ ",
        BinaryOp::Pow => "**",
    }
}
