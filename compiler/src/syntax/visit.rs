//! The direct children of an expression, in source order.
//!
//! In: an expression. Out: the ids of the expressions right below it, those in its blocks, patterns and types included.
//! A child's id is always smaller than its parent's, so a bottom-up pass over a tree is a loop over the arena.

use super::ast::*;

/// Calls `f` with every direct child of an expression.
pub fn children(e: &Expr, f: &mut dyn FnMut(ExprId)) {
    match &e.kind {
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::Inf
        | ExprKind::Wild
        | ExprKind::Name(_) => {}
        ExprKind::Unary(_, a) => f(*a),
        ExprKind::Binary { lhs, rhs, .. } => {
            f(*lhs);
            f(*rhs);
        }
        ExprKind::Cast(a, t) => {
            f(*a);
            ty(t, f);
        }
        ExprKind::Call { callee, args: list } => {
            f(*callee);
            args(list, f);
        }
        ExprKind::Index { base, items } => {
            f(*base);
            for i in items {
                match i {
                    Ix::Row(..) | Ix::New(_) => {}
                    Ix::Slice { lo, hi, step, .. } => [lo, hi, step].into_iter().flatten().for_each(|e| f(*e)),
                    Ix::Window { start, len } => {
                        f(*start);
                        f(*len);
                    }
                    Ix::At(e) => f(*e),
                }
            }
        }
        ExprKind::Field { base, .. } => f(*base),
        ExprKind::Lambda { params, body } => {
            params.iter().for_each(|p| pat(p, f));
            f(*body);
        }
        ExprKind::If { cond, then, otherwise } => {
            f(*cond);
            block(then, f);
            otherwise.iter().for_each(|e| f(*e));
        }
        ExprKind::Scan { pat: p, iter, along, body } => {
            pat(p, f);
            f(*iter);
            along.iter().for_each(|e| f(*e));
            block(body, f);
        }
        ExprKind::Seq(entries) => entries.iter().for_each(|e| f(e.value)),
        ExprKind::Eval(b) | ExprKind::Block(b) => block(b, f),
        ExprKind::Rearrange { operand, sizes, .. } => {
            f(*operand);
            sizes.iter().for_each(|(_, e)| f(*e));
        }
        ExprKind::Record(entries) => entries.iter().for_each(|(_, e)| f(*e)),
        ExprKind::List(items) => {
            for i in items {
                if let ListItem::Expr(e) = i {
                    f(*e);
                }
            }
        }
        ExprKind::ListFor { item, pat: p, iter } => {
            f(*item);
            pat(p, f);
            f(*iter);
        }
        ExprKind::Tuple(items) => items.iter().for_each(|e| f(*e)),
    }
}

/// Calls `f` with every expression right below a block's statements.
pub fn block(b: &Block, f: &mut dyn FnMut(ExprId)) {
    b.stmts.iter().for_each(|s| stmt(s, f));
}

/// Calls `f` with every expression right below a statement.
pub fn stmt(s: &Stmt, f: &mut dyn FnMut(ExprId)) {
    s.attrs.iter().for_each(|a| args(&a.args, f));
    match &s.kind {
        StmtKind::Let { pat: p, ty: t, init } | StmtKind::Var { pat: p, ty: t, init } => {
            pat(p, f);
            t.iter().for_each(|t| ty(t, f));
            f(init.value);
        }
        StmtKind::Dim { value: e, .. } | StmtKind::Emit(e) | StmtKind::Penalty(e) | StmtKind::Expr(e) => f(*e),
        StmtKind::Assert { cond, .. } => f(*cond),
        StmtKind::For { pat: p, iter, body } => {
            pat(p, f);
            f(*iter);
            block(body, f);
        }
        StmtKind::Minimize { value, over } => {
            f(*value);
            over.iter().for_each(|e| f(*e));
        }
        StmtKind::Every { count, body } => {
            f(*count);
            block(body, f);
        }
        StmtKind::Set { target, value, .. } => {
            f(*target);
            f(*value);
        }
    }
}

/// Calls `f` with every expression in a type.
pub fn ty(t: &Ty, f: &mut dyn FnMut(ExprId)) {
    match &t.kind {
        TyKind::Fn(None) => {}
        TyKind::Fn(Some((params, result))) => {
            params.iter().for_each(|t| ty(t, f));
            ty(result, f);
        }
        TyKind::Tuple(items) => items.iter().for_each(|t| ty(t, f)),
        TyKind::Tensor { dtype, shape } => {
            if let Some(DtypeName::Idx(e)) = dtype {
                f(*e);
            }
            for d in shape.iter().flatten() {
                if let ShapeItem::Dim(e) = d {
                    f(*e);
                }
            }
        }
    }
}

/// Calls `f` with every expression in a pattern.
pub fn pat(p: &Pat, f: &mut dyn FnMut(ExprId)) {
    match p {
        Pat::Name(_) | Pat::Wild(_) => {}
        Pat::Tuple(items, _) => items.iter().for_each(|p| pat(p, f)),
        Pat::Comp { binders, .. } => {
            for b in binders {
                if let Binder::Var { bound: Some(e), .. } = b {
                    f(*e);
                }
            }
        }
    }
}

fn args(list: &[Arg], f: &mut dyn FnMut(ExprId)) {
    list.iter().for_each(|a| f(a.value));
}
