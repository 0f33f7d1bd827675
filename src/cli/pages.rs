//! What becomes of the pages of freed memory.

/// Options of mimalloc, whose binding names none.
const PURGE_DELAY: i32 = 15;
/// A delay that does not end.
const NEVER: std::ffi::c_long = -1;

/// Freed memory is kept for the next tensors instead of being handed back and faulted in anew.
pub fn keep() {
    hand_back_after(10_000);
}

/// For processes that may hold little: freed memory goes back when the next few passes did not take it, and pages are
/// small, so that what is not used is not held; passes are a tenth or two slower.
pub fn spare() {
    hand_back_after(100);
    // SAFETY: tells the kernel about this process, with no pointer in it; where it refuses, pages stay as they are.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// For a process that ends: the system takes everything at once, faster than the allocator would hand back part by part.
pub fn leave() {
    hand_back_after(NEVER);
}

fn hand_back_after(milliseconds: std::ffi::c_long) {
    // SAFETY: sets an option of the allocator.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) };
}
