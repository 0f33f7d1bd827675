//! A closed stdout (`>&-`): what is written to it is lost, which must be an error. The standard library opens `/dev/null` in its
//! place before `main`, so this module checks before that.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether stdout was closed when the program began.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether stdout was closed when the program began.
pub fn was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Runs before `main` and before the standard library opens missing descriptors.
#[cfg(unix)]
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK: extern "C" fn() = look;

#[cfg(unix)]
extern "C" fn look() {
    // SAFETY: F_GETFD only reads a flag of a descriptor, and is an error where there is none.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags == -1, Ordering::Relaxed);
}

/// Replaces a stdout that was closed by a pipe without a reader: writing to it fails, here and in processes that inherit it.
/// Where no pipe can be made, `/dev/null` stays.
pub fn replace_closed() {
    #[cfg(unix)]
    if was_closed()
        && let Ok((reader, writer)) = std::io::pipe()
    {
        use std::os::fd::AsRawFd;
        drop(reader);
        // SAFETY: both descriptors are open; stdout is `/dev/null`, which nothing but standard output uses.
        unsafe { libc::dup2(writer.as_raw_fd(), libc::STDOUT_FILENO) };
    }
}
