//! Rewrite rules, named functions by topic, and the list of them.
//!
//! A rule looks at one op whose operands are already rewritten, and returns what replaces it. A rule never makes code
//! worse and never undoes another: arithmetic rules remove ops; movement rules remove moves or put them on smaller values;
//! `permute` turns into `reshape` and never back; broadcasts move toward users and never back.

pub mod arithmetic;
pub mod contraction;
pub mod movement;
pub mod selection;

use crate::graph::build::Builder;
use crate::graph::graph::ValueId;
use crate::graph::ops::Op;
use crate::graph::ty::TensorTy;

/// What a rule looks at.
pub struct At<'a> {
    /// The op.
    pub op: &'a Op,
    /// Its operands in the new graph.
    pub x: &'a [ValueId],
    /// The type of its result.
    pub ty: &'a TensorTy,
    /// Is this op the only user of the first operand?
    pub once: bool,
}

/// A rule: the value that replaces the op, if it applies.
pub type Rule = fn(&mut Builder, &At) -> Option<ValueId>;

macro_rules! rules {
    ($($topic:ident :: $rule:ident),* $(,)?) => {
        /// Tried in order; the first that fires wins.
        pub const RULES: &[(&str, Rule)] = &[$((stringify!($rule), $topic::$rule)),*];
    };
}

rules![
    arithmetic::neutral_operand,
    arithmetic::double_negation,
    arithmetic::negated_factors,
    arithmetic::power_by_constant,
    arithmetic::divide_by_power_of_two,
    arithmetic::extreme_of_itself,
    arithmetic::cast_chain,
    arithmetic::reduce_single,
    arithmetic::reduce_constant,
    arithmetic::extreme_of_copies,
    selection::stop_is_identity,
    selection::same_arms,
    selection::same_condition,
    selection::negated_condition,
    selection::select_of_constants,
    selection::logic_with_constant,
    selection::logic_with_itself,
    movement::uniform_table,
    movement::same_shape,
    movement::reshape_chain,
    movement::permute_chain,
    movement::permute_is_reshape,
    movement::broadcast_chain,
    movement::broadcast_of_reshape,
    movement::reshape_of_broadcast,
    movement::permute_of_broadcast,
    movement::slice_chain,
    movement::slice_of_broadcast,
    movement::slice_of_concat,
    movement::slice_of_pad,
    movement::reverse_chain,
    movement::reverse_of_copies,
    movement::concat_of_slices,
    movement::move_constant,
    movement::elementwise_of_broadcasts,
    contraction::dot_of_permute,
    contraction::permute_of_dot,
];
