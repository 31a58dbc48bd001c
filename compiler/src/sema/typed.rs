//! The typed view of a unit: every layer with its dims and parameters, every `let` with its type.
//!
//! In: the instances and `let`s of a finished elaboration. Out: text for `nnc ir --stage typed`.

use super::cx::Elab;
use super::models::{Instance, MemberState, TemplateKind};
use super::value::{Dim, DimVar, Value};
use std::fmt::Write;
use std::rc::Rc;

impl Elab<'_> {
    /// The lines of a trained model: itself, its layers, their parameters.
    pub fn typed_model(&mut self, name: &str, m: &Rc<Instance>, depth: usize, out: &mut String) {
        let pad = "  ".repeat(depth);
        let (label, mut dims) = match self.st.labels.get(&m.uid) {
            Some((label, dims)) => (label.to_string(), dims.clone()),
            None => (m.template.name().to_owned(), vec![]),
        };
        if let TemplateKind::Item { .. } = m.template.kind {
            dims = m.dims.clone();
        }
        // Hyperparameters have decided values by now.
        let hyper: Vec<String> = match &m.template.kind {
            TemplateKind::Item { def, .. } => def.params.iter().map(|p| &p.name.text).collect::<Vec<_>>(),
            _ => vec![],
        }
        .into_iter()
        .filter_map(|n| {
            m.env.own(n).or_else(|| m.env.parent.as_ref()?.own(n)).map(|b| format!("{n}: {}", b.value.show()))
        })
        .collect();
        let hyper = if hyper.is_empty() { String::new() } else { format!("({})", hyper.join(", ")) };
        writeln!(out, "{pad}{name}: {label}{}{hyper}", self.show_vars(&dims)).ok();
        for c in &m.members {
            let state = c.state.borrow().clone();
            let value = match &state {
                MemberState::Done(v) => v,
                MemberState::State(path) => {
                    if let Some(s) = self.st.states.get(path) {
                        writeln!(out, "{pad}  state {}: {}", c.name, s.slot.show()).ok();
                    }
                    continue;
                }
                _ => continue,
            };
            match value {
                Value::Instance(sub) => self.typed_model(&c.name, &sub.clone(), depth + 1, out),
                Value::Tensor(t) => {
                    writeln!(out, "{pad}  {}: {}", c.name, t.show()).ok();
                }
                Value::Dim(d) => {
                    writeln!(out, "{pad}  dim {}", d.show()).ok();
                }
                v => {
                    writeln!(out, "{pad}  {}: {}", c.name, v.show()).ok();
                }
            }
        }
        let lets: Vec<String> =
            self.st.typed.iter().filter(|l| l.scope == *m.path && !m.path.is_empty()).map(|l| l.text.clone()).collect();
        for l in lets {
            writeln!(out, "{pad}  {l}").ok();
        }
    }

    fn show_vars(&mut self, dims: &[Rc<DimVar>]) -> String {
        if dims.is_empty() {
            return String::new();
        }
        let parts: Vec<String> = dims
            .iter()
            .map(|d| match self.decide(d) {
                Some(Dim { size, .. }) => format!("{}={size}", d.name),
                None => format!("{}=_", d.name),
            })
            .collect();
        format!("[{}]", parts.join(", "))
    }
}
