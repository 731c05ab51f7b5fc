//! A limit on memory: what goes beyond it fails as on a machine that has no more.

#![expect(unsafe_code, reason = "an allocator is unsafe to be")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes there may be at a time.
pub(crate) const MEMORY: usize = 512 << 20;

struct Limited;

#[global_allocator]
static LIMITED: Limited = Limited;
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Counts `bytes` more; whether there is room for them.
fn take(bytes: usize) -> bool {
    let room = HELD.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= MEMORY;
    if !room {
        give_back(bytes);
    }
    room
}

fn give_back(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
}

// SAFETY: the system's allocator does the work; where it is not asked, null says that there is no memory.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised to this function.
        if take(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised to this function.
        if take(layout.size()) { unsafe { System.alloc_zeroed(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        give_back(layout.size());
        // SAFETY: as promised to this function.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !take(size) {
            return std::ptr::null_mut();
        }
        give_back(layout.size());
        // SAFETY: as promised to this function.
        unsafe { System.realloc(at, layout, size) }
    }
}
