//! The allocator: how long it keeps freed pages before it returns them to the system, and transparent huge pages.
//!
//! Large pages save a tenth of the time of passes over many weights. But on a virtual machine the host often clears them only
//! when they are first touched, which took two thirds of the time of a process with one short task. So processes begin with
//! small pages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// mimalloc's option for the purge delay, which the binding does not name.
const PURGE_DELAY: i32 = 15;
/// The purge delay that means never.
const NEVER: std::ffi::c_long = -1;
/// The run time after which a process gets large pages.
const SHORT_RUN: Duration = Duration::from_secs(2);

/// Whether pages stay small.
static SMALL: AtomicBool = AtomicBool::new(false);
/// Whether they have become large.
static LARGE: AtomicBool = AtomicBool::new(false);

/// Keeps freed memory for the next tensors instead of returning it and faulting it in again; pages are small at first.
pub fn retain_freed() {
    return_after(10_000);
    set_large_pages(false);
    // Without memory for another thread, pages stay small.
    let _ = std::thread::Builder::new().name("pages".into()).stack_size(64 << 10).spawn(|| {
        std::thread::sleep(SHORT_RUN);
        if !SMALL.load(Ordering::Relaxed) {
            set_large_pages(true);
            LARGE.store(true, Ordering::Relaxed);
            // It is in large pages when it is used again.
            return_freed();
        }
    });
}

/// For processes with little memory: freed memory is returned when the next few passes do not use it, and pages stay small, so
/// that unused memory is not kept; passes are 10 to 20 % slower.
pub fn return_early() {
    SMALL.store(true, Ordering::Relaxed);
    return_after(100);
}

/// Returns freed memory before other work, which takes blocks of other sizes on another thread. A process that has run for long
/// keeps it for its next passes, unless it has little memory.
pub fn return_freed_early() {
    if !LARGE.load(Ordering::Relaxed) {
        return_freed();
    }
}

/// Returns freed memory now.
fn return_freed() {
    // SAFETY: the allocator's own call for it, from any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// For a process that ends: the system reclaims everything at once, faster than the allocator would return it page by page.
pub fn stop_returning() {
    return_after(NEVER);
}

/// Sets whether pages touched from now on are large where possible.
fn set_large_pages(yes: bool) {
    // SAFETY: tells the kernel about this process, with no pointer in it; where it refuses, pages stay as they are.
    #[cfg(target_os = "linux")]
    unsafe {
        let none: libc::c_ulong = 0;
        libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!yes), none, none, none);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = yes;
}

fn return_after(milliseconds: std::ffi::c_long) {
    // SAFETY: sets an option of the allocator.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) };
}
