//! Rewrite rules, named functions by topic, and the list of them.
//!
//! A rule looks at one op whose operands are already rewritten, and returns what replaces it. A rule never makes code
//! worse and never undoes another: arithmetic rules remove ops; movement rules remove moves or put them on smaller values;
//! `permute` turns into `reshape` and never back; broadcasts move toward users and never back.

pub mod arithmetic;
pub mod contraction;
pub mod movement;
pub mod selection;
pub mod slices;
pub mod transpose;

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

/// A row of the table of rules.
pub struct Row {
    /// The rule's name.
    pub name: &'static str,
    /// The rule.
    pub rule: Rule,
    /// How far, in units in the last place, a result may be from what it was. 0: the same bits, signs of zeros included.
    pub ulps: u32,
    /// The expressions that it looks for: ops by name, letters for operands, `k` a uniform constant, `z` the constant 0, `t` a table. Tests
    /// build instances from them, fitting ones and ones that nearly fit.
    pub patterns: &'static [&'static str],
}

macro_rules! rules {
    ($($topic:ident :: $rule:ident ($ulps:literal): $($pattern:literal)+,)*) => {
        /// Tried in order; the first that fires wins.
        pub const RULES: &[Row] = &[
            $(Row { name: stringify!($rule), rule: $topic::$rule, ulps: $ulps, patterns: &[$($pattern),+] }),*
        ];
    };
}

rules![
    arithmetic::neutral_operand(0): "mul(x, k)" "mul(k, x)" "div(x, k)" "add(x, k)" "add(k, x)",
    arithmetic::double_negation(0): "neg(neg(x))" "not(not(x))",
    arithmetic::negated_factors(0): "mul(neg(x), neg(y))" "div(neg(x), neg(y))",
    arithmetic::power_by_constant(2): "pow(x, k)",
    arithmetic::divide_by_power_of_two(0): "div(x, k)",
    arithmetic::extreme_of_itself(0): "max(x, x)" "min(x, x)",
    arithmetic::cast_chain(0): "cast(cast(x))" "cast(x)",
    arithmetic::reduce_single(0): "reduce(x)",
    arithmetic::reduce_constant(0): "reduce(k)",
    arithmetic::extreme_of_copies(0): "reduce(broadcast(x))",
    selection::stop_is_identity(0): "stop(x)",
    selection::variable_is_identity(0): "variable(x)",
    selection::same_arms(0): "select(c, x, x)" "select(k, x, y)",
    selection::same_condition(0): "select(c, select(c, x, y), z)" "select(c, x, select(c, y, z))",
    selection::negated_condition(0): "select(not(c), x, y)",
    selection::select_of_constants(0): "select(c, k, k)",
    selection::logic_with_constant(0): "and(x, k)" "or(x, k)" "xor(x, k)" "and(k, x)" "or(k, x)" "xor(k, x)",
    selection::logic_with_itself(0): "and(x, x)" "or(x, x)",
    movement::uniform_table(0): "t",
    movement::same_shape(0): "reshape(x)" "slice(x)" "pad(x, s)" "broadcast(x)",
    movement::reshape_chain(0): "reshape(reshape(x))",
    movement::permute_chain(0): "permute(permute(x))" "permute(x)",
    movement::permute_is_reshape(0): "permute(x)",
    movement::broadcast_chain(0): "broadcast(broadcast(x))",
    movement::broadcast_of_reshape(0): "broadcast(reshape(x))",
    movement::reshape_of_broadcast(0): "reshape(broadcast(x))",
    movement::permute_of_broadcast(0): "permute(broadcast(x))",
    movement::slice_chain(0): "slice(slice(x))",
    movement::slice_of_broadcast(0): "slice(broadcast(x))",
    movement::slice_of_concat(0): "slice(concat(x, y))",
    movement::slice_of_pad(0): "slice(pad(x, s))",
    movement::reverse_chain(0): "reverse(reverse(x))",
    movement::reverse_of_copies(0): "reverse(broadcast(x))" "reverse(x)",
    movement::add_of_pads(0): "add(pad(x, z), pad(y, z))",
    movement::concat_of_slices(0): "concat(slice(x), slice(x))" "concat(slice(x), slice(x), slice(x))" "concat(x)",
    movement::move_constant(0): "reshape(k)" "permute(k)" "slice(k)" "reverse(k)" "concat(k, k)",
    movement::elementwise_of_broadcasts(0):
        "neg(broadcast(x))" "mul(broadcast(x), broadcast(y))" "cast(broadcast(x))"
        "select(broadcast(c), broadcast(x), broadcast(y))",
    slices::slice_of_dot(0): "slice(dot(x, y))",
    slices::slice_of_window(0): "slice(window(x))",
    slices::slice_into_pad(0): "slice(pad(x, s))",
    contraction::dot_of_permute(0): "dot(permute(x), y)" "dot(x, permute(y))" "dot(permute(x), permute(y))",
    contraction::permute_of_dot(0): "permute(dot(x, y))",
    transpose::elementwise_of_permutes(0):
        "neg(permute(x))" "cast(permute(x))" "mul(permute(x), permute(x))" "add(permute(x), k)" "add(broadcast(y), permute(x))"
        "select(permute(c), permute(x), k)" "add(broadcast(permute(x)), broadcast(y))",
    transpose::concat_of_permutes(0): "concat(permute(x), permute(y))" "concat(permute(x), k)",
    transpose::reduce_of_permute(0): "reduce(permute(x))" "argmax(permute(x))",
    transpose::move_of_permute(0):
        "slice(permute(x))" "pad(permute(x), s)" "reverse(permute(x))" "cumulate(permute(x))" "window(permute(x))"
        "fold(permute(x))",
    transpose::reshape_of_permute(0): "reshape(permute(x))",
];
