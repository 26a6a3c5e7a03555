//! Large arrays in huge pages.
//!
//! Arrays of many megabytes cost time before anything is computed: the system hands them out in pages of 4 KiB, one
//! interruption each, and the processor looks up the place of every page it touches. In pages of 2 MiB there are 512 times fewer of
//! both. Many Linux systems give them only where a program asks; [`HugePages`] asks. `pertlearn` and the benches `table` and
//! `timing` use it:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: perturbation_learning::memory::HugePages = perturbation_learning::memory::HugePages;
//! ```
//!
//! A library cannot decide this for the programs that use it, so yours has to have these lines as well.

// The need: asking for huge pages takes an allocator, and the language has no other way to write one. Measured in
// `docs/speed.md`: without them the kernel matrix of 4000 points takes a third longer.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes from which on huge pages are asked for. The C library of most systems maps what is so large on its own and gives it back when it
/// is freed; smaller memory it keeps and hands out again, and clearing a huge page each time would cost what it saves.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 25;
/// Where pages are larger than that, the system refuses, and nothing changes.
#[cfg(target_os = "linux")]
const PAGE: usize = 1 << 12;

/// The system's allocator, which on Linux asks for huge pages for what takes 32 MiB or more.
///
/// Memory and results are the same; where the system has no huge pages, or gives them to everybody, nothing changes.
#[derive(Debug, Clone, Copy, Default)]
pub struct HugePages;

// SAFETY: all calls are handed on to the system's allocator as they are, and advice changes no memory's contents.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what the caller promises.
        let start = unsafe { System.alloc(layout) };
        advise(start, layout.size());
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what the caller promises.
        let start = unsafe { System.alloc_zeroed(layout) };
        advise(start, layout.size());
        start
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: what the caller promises.
        unsafe { System.dealloc(start, layout) };
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: what the caller promises.
        let start = unsafe { System.realloc(start, layout, size) };
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
