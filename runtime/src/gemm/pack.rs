//! Copies of operands in the order that tiles read them.
//!
//! In: a strided operand. Out: for the right operand a panel, row `k` at `dst[k * nv * LANES ..]`, full registers with
//! zeros past the columns; for the left operand a tile, row `k` at `dst[k * rows ..]`.

use super::simd::Simd;

/// A panel of `cols` columns and `k` rows out of `r[k * rk + n * rn]`.
///
/// # Safety
/// `r` must be valid for that rectangle, `dst` for `k * nv * LANES` floats.
#[inline(always)]
pub unsafe fn right<S: Simd>(r: *const S::E, rk: isize, rn: isize, k: usize, cols: usize, dst: *mut S::E) {
    let nv = cols.div_ceil(S::LANES);
    let width = nv * S::LANES;
    // SAFETY: every access is to column < cols and row < k of the source, and inside k * width of the destination.
    unsafe {
        if rn == 1 {
            let tail = cols - (nv - 1) * S::LANES;
            for i in 0..k {
                let (src, dst) = (r.offset(i as isize * rk), dst.add(i * width));
                for j in 0..nv - 1 {
                    S::store(dst.add(j * S::LANES), S::load(src.add(j * S::LANES)));
                }
                let j = (nv - 1) * S::LANES;
                let v = if tail == S::LANES { S::load(src.add(j)) } else { S::load_n(src.add(j), tail) };
                S::store(dst.add(j), v);
            }
        } else if rk == 1 {
            for j in 0..nv {
                let rows = (cols - j * S::LANES).min(S::LANES);
                let src = r.offset((j * S::LANES) as isize * rn);
                let dst = dst.add(j * S::LANES);
                let mut i = 0;
                while i + S::LANES <= k {
                    S::transpose(src.add(i), rn, rows, S::LANES, dst.add(i * width), width as isize, S::LANES);
                    i += S::LANES;
                }
                if i < k {
                    S::transpose(src.add(i), rn, rows, k - i, dst.add(i * width), width as isize, S::LANES);
                }
            }
        } else {
            for i in 0..k {
                for j in 0..width {
                    let v = if j < cols { *r.offset(i as isize * rk + j as isize * rn) } else { S::E::default() };
                    *dst.add(i * width + j) = v;
                }
            }
        }
    }
}

/// A tile of `rows` rows out of `l[m * lm + k * lk]`.
///
/// # Safety
/// `l` must be valid for that rectangle, `dst` for `k * rows + LANES` floats.
#[inline(always)]
pub unsafe fn left<S: Simd>(l: *const S::E, lm: isize, lk: isize, rows: usize, k: usize, dst: *mut S::E) {
    // SAFETY: as above; a full store past `rows` lies in the next row of the destination, written later, or its slack.
    unsafe {
        if lm == 1 && rows <= S::LANES {
            for i in 0..k {
                S::store(dst.add(i * rows), S::load_n(l.offset(i as isize * lk), rows));
            }
        } else {
            for i in 0..k {
                for j in 0..rows {
                    let j0 = if crate::mutant!("gemm.pack_left") { rows - 1 - j } else { j };
                    *dst.add(i * rows + j) = *l.offset(i as isize * lk + j0 as isize * lm);
                }
            }
        }
    }
}

/// `c[j * ldc + i] = t[i * ldt + j]` for `i < rows`, `j < cols`: a tile of the swapped form goes to its place.
///
/// # Safety
/// Both rectangles must be valid and `t` readable up to whole registers.
#[inline(always)]
pub unsafe fn untranspose<S: Simd>(t: *const S::E, ldt: usize, rows: usize, cols: usize, c: *mut S::E, ldc: isize) {
    let mut i = 0;
    while i < rows {
        let h = (rows - i).min(S::LANES);
        let mut j = 0;
        while j < cols {
            let w = (cols - j).min(S::LANES);
            // SAFETY: the block lies in both rectangles.
            unsafe {
                S::transpose(t.add(i * ldt + j), ldt as isize, h, w, c.offset(j as isize * ldc).add(i), ldc, h);
            }
            j += w;
        }
        i += h;
    }
}
