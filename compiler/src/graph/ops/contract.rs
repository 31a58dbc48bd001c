//! Contraction of two operands.

use super::{Axes, Class, DotDims, Fill, Op, OpSpec, Sample, arity, axes_attr, axis_of};
use crate::graph::tensor::{offsets, strides};
use crate::graph::ty::{Shape, TensorTy};
use nn_runtime::dtype::DType;

/// The row of `dot`.
pub static DOT: OpSpec = OpSpec {
    name: "dot",
    class: Class::Contract,
    doc: "Sum of products over paired axes; the result's axes are batch (in the order listed), then free of the left, then free of the right",
    grad: "da = `dot(dy, b)`, db = `dot(a, dy)`, permuted back",
    infer: |op, x, _| {
        arity(op, x, 2)?;
        let Op::Dot(d) = op else { return Err("not a dot".into()) };
        let (a, b) = (x[0], x[1]);
        if !a.dtype.is_float() || a.dtype != b.dtype {
            return Err(format!("`dot` takes floats of one dtype, got {a} and {b}"));
        }
        for (what, l, r) in [("batch", &d.lhs_batch, &d.rhs_batch), ("contracted", &d.lhs_contract, &d.rhs_contract)] {
            if l.len() != r.len() {
                return Err(format!("`dot` pairs {} {what} axes with {}", l.len(), r.len()));
            }
            for (&i, &j) in l.iter().zip(r) {
                let (m, n) = (a.shape[axis_of(op, i, a)?], b.shape[axis_of(op, j, b)?]);
                if m != n {
                    return Err(format!(
                        "`dot` pairs {what} axis {i} of {a} (size {m}) with axis {j} of {b} (size {n})"
                    ));
                }
            }
        }
        for (t, used) in [(a, used(&d.lhs_batch, &d.lhs_contract)), (b, used(&d.rhs_batch, &d.rhs_contract))] {
            if !used.is_sorted_by(|x, y| x < y) {
                return Err(format!("`dot` names an axis of {t} twice"));
            }
        }
        let size = |t: &TensorTy, axes: &[u32]| axes.iter().map(|&i| t.shape[i as usize]).collect::<Shape>();
        let mut shape = size(a, &d.lhs_batch);
        shape.extend(size(a, &d.lhs_free(a.rank())));
        shape.extend(size(b, &d.rhs_free(b.rank())));
        Ok(TensorTy { dtype: a.dtype, shape })
    },
    eval: |op, _, ty, x| {
        let Op::Dot(d) = op else { return vec![] };
        let walk = |t: usize, axes: &[u32]| {
            let (shape, st) = (&x[t].ty.shape, strides(&x[t].ty.shape));
            let n: Vec<u64> = axes.iter().map(|&i| shape[i as usize]).collect();
            let s: Vec<i64> = axes.iter().map(|&i| st[i as usize]).collect();
            offsets(&n, &s, 0)
        };
        let (free_a, free_b) = (d.lhs_free(x[0].ty.rank()), d.rhs_free(x[1].ty.rank()));
        let (m, n) = (walk(0, &free_a), walk(1, &free_b));
        let (ka, kb) = (walk(0, &d.lhs_contract), walk(1, &d.rhs_contract));
        let mut out = Vec::with_capacity(ty.numel() as usize);
        for (ba, bb) in walk(0, &d.lhs_batch).into_iter().zip(walk(1, &d.rhs_batch)) {
            for &i in &m {
                for &j in &n {
                    let term =
                        |(p, q): (&i64, &i64)| x[0].data[(ba + i + p) as usize] * x[1].data[(bb + j + q) as usize];
                    out.push(ka.iter().zip(&kb).map(term).fold(0.0, |sum, t| sum + t));
                }
            }
        }
        out
    },
    vjp: Some(|b, op, a| {
        let Op::Dot(d) = op else { return vec![None, None] };
        let (ra, rb) = (b.ty(a.x[0]).rank(), b.ty(a.x[1]).rank());
        let (free_a, free_b) = (d.lhs_free(ra), d.rhs_free(rb));
        let nb = d.lhs_batch.len() as u32;
        let nm = free_a.len() as u32;
        let batch: Axes = (0..nb).collect();
        let of_a: Axes = (nb..nb + nm).collect();
        let of_b: Axes = (nb + nm..nb + nm + free_b.len() as u32).collect();
        let da = a.need[0].then(|| {
            // dy[batch, m, n] * b[batch, k, n] over n: [batch, m, k with b's axes ascending].
            let dims = DotDims {
                lhs_batch: batch.clone(),
                rhs_batch: d.rhs_batch.clone(),
                lhs_contract: of_b,
                rhs_contract: free_b.clone(),
            };
            let g = b.dot(a.dy, a.x[1], dims);
            let mut dest: Vec<u32> = d.lhs_batch.iter().chain(&free_a).copied().collect();
            dest.extend(if nn_runtime::mutant!("grad.dot_partners") {
                d.lhs_contract.to_vec()
            } else {
                partners(&d.rhs_contract, &d.lhs_contract)
            });
            b.permute(g, &inverse(&dest))
        });
        let db = a.need[1].then(|| {
            // a[batch, m, k] * dy[batch, m, n] over m: [batch, k with a's axes ascending, n].
            let dims = DotDims {
                lhs_batch: d.lhs_batch.clone(),
                rhs_batch: batch,
                lhs_contract: free_a.clone(),
                rhs_contract: of_a,
            };
            let g = b.dot(a.x[0], a.dy, dims);
            let mut dest: Vec<u32> = d.rhs_batch.to_vec();
            dest.extend(partners(&d.lhs_contract, &d.rhs_contract));
            dest.extend(&free_b);
            b.permute(g, &inverse(&dest))
        });
        vec![da, db]
    }),
    attrs: |op| match op {
        Op::Dot(d) => vec![
            ("batch", axes_attr(&d.lhs_batch)),
            ("with", axes_attr(&d.rhs_batch)),
            ("contract", axes_attr(&d.lhs_contract)),
            ("over", axes_attr(&d.rhs_contract)),
        ],
        _ => vec![],
    },
    make: |_, r| {
        Ok(Op::Dot(DotDims {
            lhs_batch: r.axes("batch")?,
            rhs_batch: r.axes("with")?,
            lhs_contract: r.axes("contract")?,
            rhs_contract: r.axes("over")?,
        }))
    },
    samples: || {
        let t = |s: &[u64]| (TensorTy::new(DType::F32, s.iter().copied()), Fill::Uniform(-1.0, 1.0));
        let d = |lb: &[u32], rb: &[u32], lc: &[u32], rc: &[u32]| {
            Op::Dot(DotDims {
                lhs_batch: lb.into(),
                rhs_batch: rb.into(),
                lhs_contract: lc.into(),
                rhs_contract: rc.into(),
            })
        };
        vec![
            Sample::smooth(d(&[], &[], &[1], &[0]), vec![t(&[2, 3]), t(&[3, 4])]),
            Sample::smooth(d(&[], &[], &[0], &[1]), vec![t(&[3, 2]), t(&[4, 3])]),
            Sample::smooth(d(&[], &[], &[0], &[0]), vec![t(&[5]), t(&[5])]),
            Sample::smooth(d(&[1], &[0], &[2], &[2]), vec![t(&[3, 2, 4]), t(&[2, 5, 4])]),
            Sample::smooth(d(&[], &[], &[2, 0], &[0, 2]), vec![t(&[2, 3, 4]), t(&[4, 2, 2])]),
            Sample::smooth(d(&[], &[], &[0, 2], &[2, 0]), vec![t(&[3, 2, 3]), t(&[3, 2, 3])]),
            Sample::smooth(d(&[0, 2], &[2, 0], &[1], &[3]), vec![t(&[2, 3, 2, 2]), t(&[2, 2, 2, 3])]),
        ]
    },
};

impl DotDims {
    /// Free axes of the left operand, ascending.
    pub fn lhs_free(&self, rank: usize) -> Axes {
        free(rank, &self.lhs_batch, &self.lhs_contract)
    }
    /// Free axes of the right operand, ascending.
    pub fn rhs_free(&self, rank: usize) -> Axes {
        free(rank, &self.rhs_batch, &self.rhs_contract)
    }
}

fn free(rank: usize, batch: &[u32], contract: &[u32]) -> Axes {
    (0..rank as u32).filter(|i| !batch.contains(i) && !contract.contains(i)).collect()
}

fn used(batch: &[u32], contract: &[u32]) -> Vec<u32> {
    let mut all: Vec<u32> = batch.iter().chain(contract).copied().collect();
    all.sort_unstable();
    all
}

/// The axes paired with `axes`, in ascending order of `axes`.
fn partners(axes: &[u32], with: &[u32]) -> Vec<u32> {
    let mut pairs: Vec<(u32, u32)> = axes.iter().copied().zip(with.iter().copied()).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, p)| p).collect()
}

/// The permutation that puts axis `i` at `dest[i]`.
pub(crate) fn inverse(dest: &[u32]) -> Vec<u32> {
    let mut perm = vec![0; dest.len()];
    dest.iter().enumerate().for_each(|(i, &d)| perm[d as usize] = i as u32);
    perm
}
