//! Arrays where the processor reads them fastest.
//!
//! Two things about an array's memory cost time, and the system's allocator gives neither:
//!
//! - *Where it begins.* A register of 64 bytes that is loaded from memory which does not begin at a multiple of 64 bytes takes two cache lines each
//!   time, and twice as long where data come from the first-level cache. Systems promise 16 bytes. [`ArrayAllocator`] lets memory of 512
//!   bytes and more begin at a cache line: training with the identity loss then takes a tenth less.
//! - *How large its pages are.* Arrays of many megabytes cost time before anything is computed: the system hands them out in pages of 4 KiB, one
//!   interruption each, and the processor looks up the place of every page it touches. In pages of 2 MiB there are 512 times fewer of
//!   both. Many Linux systems give them only where a program asks; [`ArrayAllocator`] asks.
//!
//! `pertlearn` and the benches use it:
//!
//! ```
//! use perturbation_learning::memory::ArrayAllocator;
//!
//! #[global_allocator]
//! static ALLOCATOR: ArrayAllocator = ArrayAllocator;
//! ```
//!
//! A library cannot decide this for the programs that use it, so yours has to have these lines as well. Results are the same, bit for bit.

// The need: where memory begins and what its pages are is the allocator's to decide, and the language has no other way to write one;
// nor one to ask for a cache line but by a pointer.
// Measured in `docs/speed.md`: without huge pages the kernel matrix of 4000 points takes a third longer, without asking ahead steps that read
// a Gram matrix from memory half as long again.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes from which on huge pages are asked for. The C library of most systems maps what is so large on its own and gives it back when it
/// is freed; smaller memory it keeps and hands out again, and clearing a huge page each time would cost what it saves.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 25;
/// Where pages are larger than that, the system refuses, and nothing changes.
#[cfg(target_os = "linux")]
const PAGE: usize = 1 << 12;

/// The system's allocator, with memory of 512 bytes and more at the start of a cache line, and on Linux huge pages asked
/// for where it takes 32 MiB or more.
///
/// An allocation of 512 bytes or more takes 64 bytes more than was asked for. Where the system has no huge pages, or gives them to everybody,
/// asking changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArrayAllocator;

/// Bytes from which on memory begins at a multiple of [`LINE`].
const ALIGNED: usize = 1 << 9;
/// A cache line, and the widest register.
pub(crate) const LINE: usize = 64;

/// Asks for the cache line in which these values begin, to come into the second-level cache while other work goes on. Nothing where
/// the processor cannot be asked.
#[inline(always)]
pub(crate) fn fetch_ahead<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing; every processor of the family has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(values.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// What the system is asked for instead of a layout that is to begin at a multiple of [`LINE`]: a line more, at whose end
/// stands how far the start was moved. `None` for layouts that are handed on as they are.
fn with_room(layout: Layout) -> Option<Layout> {
    if layout.size() < ALIGNED || layout.align() > LINE {
        return None;
    }
    Layout::from_size_align(layout.size().checked_add(LINE)?, ORIGIN_ALIGN).ok()
}

/// Where the place of the origin is kept.
const ORIGIN_ALIGN: usize = align_of::<usize>();

/// How far the start of memory from [`with_room`] is moved to a multiple of [`LINE`].
fn shift(origin: *mut u8) -> usize {
    // From ORIGIN_ALIGN to LINE: the origin is a multiple of the former.
    LINE - origin.addr() % LINE
}

/// Moves the start of memory from [`with_room`].
///
/// # Safety
/// `origin` is null or the start of memory of a layout from [`with_room`].
unsafe fn move_in(origin: *mut u8) -> *mut u8 {
    if origin.is_null() {
        return origin;
    }
    // SAFETY: the memory is longer than what was asked for by LINE, and there are ORIGIN_ALIGN bytes before the new start.
    unsafe {
        let start = origin.add(shift(origin));
        start.cast::<usize>().sub(1).write(shift(origin));
        start
    }
}

/// The start that the system gave.
///
/// # Safety
/// `start` is a result of [`move_in`] that is not null.
unsafe fn move_back(start: *mut u8) -> *mut u8 {
    // SAFETY: what `move_in` has written.
    unsafe { start.sub(start.cast::<usize>().sub(1).read()) }
}

// SAFETY: calls are handed on to the system's allocator, those for a `with_room` layout with that one and the start moved within the
// memory that it gives; whether a layout is one depends on nothing else, so memory is freed as it was allocated. Advice changes no memory's contents.
unsafe impl GlobalAlloc for ArrayAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what the caller promises.
        let start = unsafe {
            match with_room(layout) {
                Some(layout) => move_in(System.alloc(layout)),
                None => System.alloc(layout),
            }
        };
        advise(start, layout.size());
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what the caller promises.
        let start = unsafe {
            match with_room(layout) {
                Some(layout) => move_in(System.alloc_zeroed(layout)),
                None => System.alloc_zeroed(layout),
            }
        };
        advise(start, layout.size());
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: what the caller promises; the layout is that of the allocation.
        unsafe {
            match with_room(layout) {
                Some(layout) => System.dealloc(move_back(start), layout),
                None => System.dealloc(start, layout),
            }
        }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is valid with the old alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: what the caller promises.
        let start = unsafe {
            match (with_room(layout), with_room(wanted)) {
                (None, None) => System.realloc(start, layout, size),
                (Some(from), Some(to)) => {
                    let (origin, kept) = (move_back(start), layout.size().min(size));
                    let old = start.addr() - origin.addr();
                    let origin = System.realloc(origin, from, to.size());
                    // What was kept lies as far from the origin as before; it moves before anything is written there.
                    if !origin.is_null() && shift(origin) != old {
                        origin.add(old).copy_to(origin.add(shift(origin)), kept);
                    }
                    move_in(origin)
                }
                _ => {
                    let to = self.alloc(wanted);
                    if !to.is_null() {
                        start.copy_to_nonoverlapping(to, layout.size().min(size));
                        self.dealloc(start, layout);
                    }
                    to
                }
            }
        };
        advise(start, size);
        start
    }
}

/// Asks for huge pages if it is worth it. They are a wish: whether it is granted changes nothing but speed.
#[cfg(target_os = "linux")]
fn advise(start: *mut u8, size: usize) {
    if start.is_null() || size < LARGE {
        return;
    }
    // From the page on which the memory begins.
    let from = start.map_addr(|address| address & !(PAGE - 1));
    let len = size + (start.addr() - from.addr());
    // SAFETY: this advice is about which pages hold the memory; the kernel reads and writes none of it on its account, also where
    // its first or last page holds something else as well.
    unsafe { libc::madvise(from.cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise(_start: *mut u8, _size: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// A block of memory whose bytes are known.
    struct Block {
        start: *mut u8,
        layout: Layout,
        fill: u8,
    }

    impl Block {
        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: the allocator's memory, which has been written or was asked for as zeros, and is borrowed by nobody else.
            unsafe { std::slice::from_raw_parts_mut(self.start, self.layout.size()) }
        }

        /// Whether its first bytes are what they should be.
        fn holds(&mut self, count: usize) -> bool {
            let fill = self.fill;
            self.bytes()[..count].iter().all(|byte| *byte == fill)
        }

        /// Memory that begins where it should; `fill` as what it holds.
        fn new(start: *mut u8, layout: Layout, fill: u8) -> Block {
            assert!(!start.is_null() && start.addr().is_multiple_of(layout.align()));
            assert!(layout.size() < 512 || start.addr().is_multiple_of(64), "{layout:?} at {start:?}");
            Block { start, layout, fill }
        }
    }

    proptest! {
        /// Blocks that live side by side keep their bytes whatever sizes the others grow and shrink to, and begin where they should.
        #[test]
        fn blocks_keep_what_they_hold(
            orders in prop::collection::vec((0_usize..8, 0_u32..21, 0_usize..1024, 0_u32..8, any::<u8>()), 1..60),
        ) {
            let mut blocks: Vec<Option<Block>> = (0..8).map(|_| None).collect();
            for (place, power, beyond, align, fill) in orders {
                // From one byte to two megabytes, below and above all limits of the allocator and of the system's.
                let size = 1.max((1 << power) + beyond - 512.min(beyond));
                let mut block = match blocks[place].take() {
                    Some(block) if fill % 3 == 0 => {
                        // SAFETY: a block of this allocator, with the layout that it has.
                        unsafe { ArrayAllocator.dealloc(block.start, block.layout) };
                        continue;
                    }
                    Some(block) => {
                        let kept = size.min(block.layout.size());
                        // SAFETY: a block of this allocator with its layout, and a size that is not 0.
                        let start = unsafe { ArrayAllocator.realloc(block.start, block.layout, size) };
                        let layout = Layout::from_size_align(size, block.layout.align()).expect("a small layout");
                        let mut block = Block::new(start, layout, block.fill);
                        prop_assert!(block.holds(kept), "{:?}", block.layout);
                        block
                    }
                    None if fill % 2 == 0 => {
                        let layout = Layout::from_size_align(size, 1 << align).expect("a small layout");
                        // SAFETY: the size is not 0.
                        let mut block = Block::new(unsafe { ArrayAllocator.alloc_zeroed(layout) }, layout, 0);
                        prop_assert!(block.holds(size));
                        block
                    }
                    None => {
                        let layout = Layout::from_size_align(size, 1 << align).expect("a small layout");
                        // SAFETY: the size is not 0.
                        Block::new(unsafe { ArrayAllocator.alloc(layout) }, layout, fill)
                    }
                };
                block.bytes().fill(fill);
                blocks[place] = Some(Block { fill, ..block });
                for block in blocks.iter_mut().flatten() {
                    prop_assert!(block.holds(block.layout.size()), "{:?}", block.layout);
                }
            }
            for block in blocks.into_iter().flatten() {
                // SAFETY: a block of this allocator, with the layout that it has.
                unsafe { ArrayAllocator.dealloc(block.start, block.layout) };
            }
        }
    }
}
