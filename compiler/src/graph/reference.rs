//! The op reference, written from the op table: `docs/OPS.md` is this text, and a test holds it to that.
//!
//! Derivatives of elementwise ops are not described but printed: the row's rule is run on symbols and shown as a formula.

use super::build::Builder;
use super::graph::{Graph, Slot, SlotKind, ValueId};
use super::ops::elementwise::{Ew, EwSpec, TyRule};
use super::ops::{Class, Literal, Op, OpSpec, VjpArgs};
use super::ty::TensorTy;
use nn_runtime::dtype::DType;
use std::fmt::Write;

/// The reference in Markdown.
pub fn reference_markdown() -> String {
    let mut out = String::from(
        "# Ops of the graph IR\n\n\
         Written from the op table (`compiler/src/graph/ops/`); `NN_BLESS=1 cargo test -p nn-compiler reference` writes it again.\n\
         Every op is closed under differentiation: derivatives use ops of this table only.\n\n\
         ## Elementwise\n\n\
         Operands have one shape. `y` is the result, `dy` its cotangent. Accuracy is the largest error of compiled code, in units\n\
         in the last place of its float type; 0.5 is correctly rounded. What happens at ties and kinks stands\n\
         in `elementwise.rs`.\n\n\
         | op | operands | meaning | cotangents | ulp |\n|---|---|---|---|---|\n",
    );
    for &e in Ew::ALL {
        let row = e.spec();
        let names: Vec<&str> = operand_names(row);
        let _ = writeln!(
            out,
            "| `{}` | {}: {} | {} | {} | {} |",
            row.name,
            names.join(", "),
            row.ty.words(),
            cell(row.doc),
            cell(&cotangents(e, &names)),
            row.ulp
        );
    }
    for class in [
        Class::Elementwise,
        Class::Source,
        Class::Reduce,
        Class::Contract,
        Class::Movement,
        Class::Index,
        Class::Order,
        Class::Region,
    ] {
        let title = match class {
            Class::Elementwise => "Elementwise, with attributes",
            Class::Source => "Sources",
            Class::Reduce => "Reductions",
            Class::Contract => "Contractions",
            Class::Movement => "Movement",
            Class::Index => "Data-dependent addresses",
            Class::Order => "Along an axis in order",
            Class::Region => "Regions",
        };
        let _ = write!(out, "\n## {title}\n\n| op | attributes | meaning | cotangents |\n|---|---|---|---|\n");
        for row in Op::ROWS.iter().filter(|row| row.class == class) {
            let attrs = attributes(row);
            let _ = writeln!(out, "| `{}` | {attrs} | {} | {} |", row.name, cell(row.doc), cell(row.grad));
        }
    }
    out
}

fn operand_names(row: &EwSpec) -> Vec<&'static str> {
    match (row.ty, row.arity) {
        (TyRule::Select, _) => vec!["c", "a", "b"],
        (_, 1) => vec!["x"],
        _ => vec!["a", "b"],
    }
}

/// Attribute names, as the first sample has them.
fn attributes(row: &OpSpec) -> String {
    let names = |op: &Op| (row.attrs)(op).iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>();
    match (row.samples)().first() {
        Some(s) => names(&s.op).join(" "),
        None => names(&Op::Input { slot: 0 }).join(" "),
    }
}

fn cell(s: &str) -> String {
    s.replace('|', "\\|")
}

/// The row's rule run on symbols: `da = dy * b, db = dy * a`.
fn cotangents(e: Ew, names: &[&str]) -> String {
    let row = e.spec();
    let Some(rule) = row.vjp else { return "none".to_owned() };
    let mut b = Builder::new("reference");
    let mut symbol =
        |name: &str, dtype| b.input(Slot { name: name.into(), kind: SlotKind::Data, ty: TensorTy::scalar(dtype) });
    let select = row.ty == TyRule::Select;
    let dtype = |i: usize| if select && i == 0 { DType::Bool } else { DType::F32 };
    let x: Vec<ValueId> = names.iter().enumerate().map(|(i, name)| symbol(name, dtype(i))).collect();
    let dy = symbol("dy", DType::F32);
    let y = b.ew(e, &x);
    b.name(y, "y");
    let parts = rule(&mut b, VjpArgs { x: &x, y, dy, need: &vec![true; x.len()] });
    let shown = parts
        .iter()
        .zip(names)
        .filter_map(|(part, name)| Some(format!("d{name} = {}", formula(b.graph(), (*part)?).0)));
    shown.collect::<Vec<_>>().join("; ")
}

/// A value as a formula, and how tightly it binds: 3 a name or call, 2 a product, 1 a sum, 0 a comparison.
fn formula(g: &Graph, v: ValueId) -> (String, u8) {
    let node = g.node(v);
    if let Some(name) = &node.name {
        return (name.to_string(), 3);
    }
    let arg = |i: usize, min: u8| {
        let (text, binds) = formula(g, node.inputs[i]);
        if binds < min { format!("({text})") } else { text }
    };
    let infix = |op: &str, binds: u8, right: u8| (format!("{} {op} {}", arg(0, binds), arg(1, right)), binds);
    match &node.op {
        Op::Const(Literal::Scalar(d, x)) => {
            let text = super::print::number(*d, *x);
            (text.strip_suffix(".0").unwrap_or(&text).to_owned(), 3)
        }
        Op::Ew(Ew::Add) => match g.op(node.inputs[1]) {
            Op::Ew(Ew::Neg) => {
                let (text, binds) = formula(g, g.inputs(node.inputs[1])[0]);
                let text = if binds < 2 { format!("({text})") } else { text };
                (format!("{} - {text}", arg(0, 1)), 1)
            }
            _ => infix("+", 1, 1),
        },
        Op::Ew(Ew::Mul) => infix("*", 2, 3),
        Op::Ew(Ew::Div) => infix("/", 2, 3),
        Op::Ew(Ew::Eq) => infix("==", 0, 1),
        Op::Ew(Ew::Gt) => infix(">", 0, 1),
        Op::Ew(Ew::Lt) => infix("<", 0, 1),
        Op::Ew(Ew::Neg) => (format!("-{}", arg(0, 3)), 2),
        Op::Ew(Ew::Select) => (format!("{} ? {} : {}", arg(0, 0), arg(1, 1), arg(2, 1)), 0),
        op => {
            let args: Vec<String> = (0..node.inputs.len()).map(|i| arg(i, 0)).collect();
            (format!("{}({})", op.name(), args.join(", ")), 3)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPS.md");
        let want = reference_markdown();
        if std::env::var_os("NN_BLESS").is_some() {
            std::fs::write(path, &want).expect("docs/OPS.md can be written");
        }
        let got = std::fs::read_to_string(path).expect("docs/OPS.md is there");
        let stale = got.lines().zip(want.lines()).find(|(a, b)| a != b);
        assert!(got == want, "docs/OPS.md is out of date (run with NN_BLESS=1), first at {stale:?}");
    }
}
