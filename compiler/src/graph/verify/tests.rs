//! The verifier against seeded corruptions of valid graphs: each must be caught.

use super::*;
use crate::graph::graph::Output;
use crate::graph::ops::Literal;
use crate::graph::random::random;
use crate::graph::sampler::Rand;
use nn_runtime::dtype::DType;

/// Breaks a graph in one way; `None` if this graph offers no place for it.
type Corruption = fn(&mut Graph, &mut Rand) -> Option<()>;

fn node_with(g: &Graph, r: &mut Rand, ok: impl Fn(&crate::graph::graph::Node) -> bool) -> Option<usize> {
    let fit: Vec<usize> = (0..g.nodes.len()).filter(|&i| ok(&g.nodes[i])).collect();
    (!fit.is_empty()).then(|| *r.pick(&fit))
}

const CORRUPTIONS: &[(&str, Corruption)] = &[
    ("an operand that comes later", |g, r| {
        let i = node_with(g, r, |n| !n.inputs.is_empty())?;
        g.nodes[i].inputs[0] = ValueId(i as u32 + r.below(2) as u32);
        Some(())
    }),
    ("an operand that does not exist", |g, r| {
        let i = node_with(g, r, |n| !n.inputs.is_empty())?;
        g.nodes[i].inputs[0] = ValueId(u32::MAX);
        Some(())
    }),
    ("an operand too few", |g, r| {
        let i = node_with(g, r, |n| !n.inputs.is_empty() && !matches!(n.op, Op::Concat { .. }))?;
        g.nodes[i].inputs.pop();
        Some(())
    }),
    ("an operand too many", |g, r| {
        let i = node_with(g, r, |n| !matches!(n.op, Op::Concat { .. }))?;
        let extra = ValueId(0);
        if i == 0 {
            return None;
        }
        g.nodes[i].inputs.push(extra);
        Some(())
    }),
    ("another dtype", |g, r| {
        let i = r.below(g.nodes.len());
        let old = g.nodes[i].ty.dtype;
        g.nodes[i].ty.dtype = if old == DType::F32 { DType::I32 } else { DType::F32 };
        Some(())
    }),
    ("another size", |g, r| {
        let i = node_with(g, r, |n| n.ty.rank() > 0)?;
        let axis = r.below(g.nodes[i].ty.rank());
        g.nodes[i].ty.shape[axis] += 1;
        Some(())
    }),
    ("another rank", |g, r| {
        let i = r.below(g.nodes.len());
        g.nodes[i].ty.shape.push(1);
        Some(())
    }),
    ("an axis that is not there", |g, r| {
        let i = node_with(g, r, |n| matches!(n.op, Op::Gather { .. } | Op::Cumulate { .. } | Op::Concat { .. }))?;
        match &mut g.nodes[i].op {
            Op::Gather { axis } | Op::Cumulate { axis, .. } | Op::Concat { axis } => *axis = 9,
            _ => return None,
        }
        Some(())
    }),
    ("a permutation that repeats", |g, r| {
        let i = node_with(g, r, |n| matches!(&n.op, Op::Permute(p) if p.len() > 1))?;
        let Op::Permute(p) = &mut g.nodes[i].op else { return None };
        p[0] = p[1];
        Some(())
    }),
    ("reduced axes out of order", |g, r| {
        let i = node_with(g, r, |n| matches!(&n.op, Op::Reduce { axes, .. } if axes.len() > 1))?;
        let Op::Reduce { axes, .. } = &mut g.nodes[i].op else { return None };
        axes.reverse();
        Some(())
    }),
    ("a slice past the end", |g, r| {
        let i = node_with(g, r, |n| matches!(n.op, Op::Slice { .. }))?;
        let Op::Slice { stop, .. } = &mut g.nodes[i].op else { return None };
        stop[0] += 100;
        Some(())
    }),
    ("a step of zero", |g, r| {
        let i = node_with(g, r, |n| matches!(n.op, Op::Slice { .. }))?;
        let Op::Slice { step, .. } = &mut g.nodes[i].op else { return None };
        step[0] = 0;
        Some(())
    }),
    ("a slot that is not there", |g, r| {
        let n = g.slots.len() as u32;
        let i = node_with(g, r, |n| matches!(n.op, Op::Input { .. }))?;
        g.nodes[i].op = Op::Input { slot: n };
        Some(())
    }),
    ("a slot of another type", |g, r| {
        let i = r.below(g.slots.len());
        g.slots[i].ty.shape.push(2);
        Some(())
    }),
    ("two slots of one name", |g, _| {
        g.slots[1].name = g.slots[0].name.clone();
        Some(())
    }),
    ("a constant its dtype cannot hold", |g, r| {
        let i = node_with(g, r, |n| matches!(n.op, Op::Const(Literal::Scalar(..))))?;
        g.nodes[i].op = Op::Const(Literal::Scalar(g.nodes[i].ty.dtype, 0.1));
        Some(())
    }),
    ("a site drawn from twice", |g, r| {
        let i = node_with(g, r, |n| matches!(n.op, Op::Rng { .. }))?;
        let mut twin = g.nodes[i].clone();
        let Op::Rng { shape, .. } = &mut twin.op else { return None };
        shape.push(2);
        twin.ty.shape.push(2);
        g.nodes.push(twin);
        Some(())
    }),
    ("an output that is not there", |g, _| {
        g.outputs[0].value = ValueId(g.nodes.len() as u32);
        Some(())
    }),
    ("two outputs of one name", |g, _| {
        let twin = g.outputs[0].clone();
        g.outputs.push(twin);
        Some(())
    }),
    ("an assignment to data", |g, r| {
        let slot = g.slots.iter().position(|s| s.kind == SlotKind::Data)?;
        let value = ValueId(node_with(g, r, |n| n.op == Op::Input { slot: slot as u32 })? as u32);
        g.outputs.push(Output { name: g.slots[slot].name.clone(), value, assign: Some(slot as u32) });
        Some(())
    }),
    ("an assignment of another type", |g, r| {
        let slot = g.slots.iter().position(|s| s.kind == SlotKind::Param)?;
        let ty = g.slots[slot].ty.clone();
        let value = ValueId(node_with(g, r, |n| n.ty != ty)? as u32);
        g.outputs.retain(|o| o.assign.is_none());
        g.outputs.push(Output { name: g.slots[slot].name.clone(), value, assign: Some(slot as u32) });
        Some(())
    }),
];

#[test]
fn every_corruption_is_caught() {
    for (what, corrupt) in CORRUPTIONS {
        let mut tried = 0;
        for seed in 0..4000 {
            let mut g = random(seed);
            if tried == 0 {
                assert_eq!(verify(&g), Ok(()), "seed {seed}");
            }
            if corrupt(&mut g, &mut Rand::new(seed)).is_some() {
                let errors = verify(&g).expect_err(&format!("{what}, seed {seed}, was not caught"));
                assert!(!errors.to_string().is_empty());
                errors.marked(&g);
                tried += 1;
            }
            if tried == 12 {
                break;
            }
        }
        assert_eq!(tried, 12, "{what}");
    }
}

#[test]
fn all_errors_are_shown_under_their_lines() {
    let text = "graph @g {\n  slot x: data f32[2]\n  %x: f32[2] = input {slot=0}\n  %y: f32[2] = exp %x\n  %z: f32[2] = add %x, %y\n  return z = %z\n}\n";
    let mut g = crate::graph::parse::parse(text).expect("parses");
    assert_eq!(verify(&g), Ok(()));
    g.nodes[1].ty.shape[0] = 3;
    let errors = verify(&g).expect_err("broken");
    let want = "  %y: f32[3] = exp %x\n  ^ `exp` gives f32[2], but the value is f32[3]\n  %z: f32[2] = add %x, %y\n  ^ `add` takes operands of one shape, got f32[3] and f32[2]\n";
    assert!(errors.marked(&g).contains(want), "{}", errors.marked(&g));
}
