//! The batch: rows of resident columns, copied into the data arena by all threads.
//!
//! In: whole columns and the row numbers of a batch. Out: the entry's data arena. Indices are checked before anything is
//! copied.

use crate::program::Entry;

/// A resident column: all rows of the data, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Bytes of a row.
    pub row_bytes: usize,
}

/// A batch to be gathered.
#[derive(Clone, Copy, Debug)]
pub struct Gather<'a> {
    /// One for each of the entry's data tensors, in order.
    pub columns: &'a [Column<'a>],
    /// Row numbers.
    pub rows: &'a [u32],
}

impl Gather<'_> {
    /// Does the batch fit the entry?
    pub fn check(&self, e: &Entry) -> Result<(), String> {
        if self.columns.len() != e.data.len() {
            return Err(format!("{} columns for {} tensors", self.columns.len(), e.data.len()));
        }
        let last = self.rows.iter().max();
        for (c, t) in self.columns.iter().zip(&e.data) {
            if (c.row_bytes as u64).checked_mul(self.rows.len() as u64) != Some(t.bytes()) {
                return Err(format!(
                    "{} rows of {} bytes for `{}` of {} bytes",
                    self.rows.len(),
                    c.row_bytes,
                    t.name,
                    t.bytes()
                ));
            }
            let rows = c.bytes.len().checked_div(c.row_bytes).unwrap_or(usize::MAX);
            if let Some(&r) = last
                && r as usize >= rows
            {
                return Err(format!("row {r} of a column of {rows} rows for `{}`", t.name));
            }
        }
        Ok(())
    }

    /// Copies this thread's share.
    ///
    /// # Safety
    /// [`Gather::check`] passed, `data` is the entry's data arena, and no other thread has the same number.
    pub unsafe fn copy(&self, e: &Entry, data: *mut u8, tid: usize, n: usize) {
        let (from, to) = (self.rows.len() * tid / n, self.rows.len() * (tid + 1) / n);
        for (c, t) in self.columns.iter().zip(&e.data) {
            for i in from..to {
                let src = &c.bytes[self.rows[i] as usize * c.row_bytes..][..c.row_bytes];
                // SAFETY: row `i` of the tensor lies in the arena, and this thread alone writes it.
                unsafe {
                    let dst = data.add(t.offset as usize + i * c.row_bytes);
                    std::ptr::copy_nonoverlapping(src.as_ptr(), dst, c.row_bytes);
                }
            }
        }
    }
}
