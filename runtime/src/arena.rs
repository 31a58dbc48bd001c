//! Aligned, zeroed memory of a fixed size: what programs' buffers are offsets into.
//!
//! In: a number of bytes. Out: memory, 64-byte aligned; large arenas are aligned to 2 MiB and ask for huge pages, which
//! spares the page tables most of the misses of a strided walk.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Memory that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot allocate {bytes} bytes")]
pub struct OutOfMemory {
    /// The size asked for.
    pub bytes: u64,
}

const HUGE: usize = 2 << 20;

/// A piece of memory. Reads and writes through it are of plain numbers; who may do which when is the executor's matter.
pub struct Memory {
    base: NonNull<u8>,
    bytes: usize,
    layout: Layout,
}

// SAFETY: an owned allocation; the pointer is not tied to a thread.
unsafe impl Send for Memory {}
// SAFETY: shared access only hands out the address or copies under `&self` of memory nobody writes meanwhile.
unsafe impl Sync for Memory {}

impl Memory {
    /// `bytes` zero bytes.
    pub fn new(bytes: u64) -> Result<Memory, OutOfMemory> {
        let fail = OutOfMemory { bytes };
        let Ok(size) = usize::try_from(bytes) else { return Err(fail) };
        let align = if size >= HUGE { HUGE } else { 64 };
        let Some(padded) = size.max(1).checked_next_multiple_of(64) else { return Err(fail) };
        let Ok(layout) = Layout::from_size_align(padded, align) else { return Err(fail) };
        if size >= HUGE {
            // SAFETY: the size is not 0.
            let Some(base) = NonNull::new(unsafe { std::alloc::alloc(layout) }) else { return Err(fail) };
            // The advice must come before the first touch, and zeroed allocation of this alignment touches.
            advise(base, padded);
            // SAFETY: the allocation has this many bytes.
            unsafe { base.write_bytes(0, padded) };
            return Ok(Memory { base, bytes: size, layout });
        }
        // SAFETY: the size is not 0.
        let Some(base) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { return Err(fail) };
        Ok(Memory { base, bytes: size, layout })
    }

    /// Its size.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// No bytes at all?
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Its address.
    pub fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Its contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation has this many initialized bytes.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.bytes) }
    }

    /// Its contents, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the allocation has this many initialized bytes, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.bytes) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

#[cfg(target_os = "linux")]
fn advise(base: NonNull<u8>, bytes: usize) {
    // SAFETY: advice about our own allocation, aligned to a page; it may be refused, which changes nothing.
    unsafe { libc::madvise(base.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_base: NonNull<u8>, _bytes: usize) {}

/// Bytes of memory that this process may still take, where the system says: free and reclaimable memory, and what the
/// control group leaves.
pub fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let free = line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()?.saturating_mul(1024);
    let number = |file: &str| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    Some(group.map_or(free, |g| g.min(free)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_and_aligned() {
        for bytes in [0, 1, 63, 4096, HUGE as u64 - 1, HUGE as u64, 5 * HUGE as u64 + 12] {
            let mut m = Memory::new(bytes).expect("memory");
            assert_eq!(m.len() as u64, bytes);
            assert_eq!(m.base() as usize % if bytes >= HUGE as u64 { HUGE } else { 64 }, 0);
            assert!(m.bytes().iter().all(|&b| b == 0));
            m.bytes_mut().fill(1);
        }
    }

    #[test]
    fn absurd_sizes_are_an_error() {
        for bytes in [u64::MAX, u64::MAX - 63, i64::MAX as u64] {
            assert_eq!(Memory::new(bytes).err().map(|e| e.bytes), Some(bytes));
        }
    }
}
