//! The processes that this one has started and waits for. Requests to stop are passed on to them.

use crate::error::{Error, Kind, Result};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static ASKED: AtomicU32 = AtomicU32::new(0);
/// The parent at the time of [`end_with_parent`].
#[cfg(target_os = "linux")]
static PARENT: AtomicU32 = AtomicU32::new(0);

/// The number of requests to stop after which a process is killed.
#[cfg(unix)]
const MAX_STOP_REQUESTS: u32 = 3;

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a process. On Unix it leads a process group of its own, so that a terminal's Ctrl-C reaches it once, by [`stop`].
///
/// # Errors
/// Where it cannot be started, or [`stop`] was called before.
pub fn start(command: &mut Command) -> Result<Child> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    // Held while the process starts: who asks to stop meanwhile finds it on the list.
    let mut running = running();
    if ASKED.load(Ordering::SeqCst) > 0 {
        return Err(interrupted());
    }
    let child = command.spawn().map_err(|e| Error::io("convscope", &e))?;
    running.push(child.id());
    Ok(child)
}

/// Waits until a process of [`start`] ends.
///
/// # Errors
/// Where it cannot be waited for, or was ended by the signal that [`stop`] passed on.
pub fn wait(child: &mut Child) -> Result<ExitStatus> {
    let failed = |e: std::io::Error| Error::io("convscope", &e);
    #[cfg(unix)]
    ended(child.id()).map_err(failed)?;
    running().retain(|id| *id != child.id());
    let status = child.wait().map_err(failed)?;
    if status.code().is_none() && ASKED.load(Ordering::SeqCst) > 0 {
        return Err(interrupted());
    }
    Ok(status)
}

/// Asks all processes of [`start`] that still run to stop, and lets no other start; the third call kills them. True where
/// there were any.
pub fn stop() -> bool {
    let asked = ASKED.fetch_add(1, Ordering::SeqCst) + 1;
    let running = running();
    for id in running.iter() {
        signal(*id, asked);
    }
    !running.is_empty()
}

/// How often [`stop`] was called.
pub fn asked() -> u32 {
    ASKED.load(Ordering::SeqCst)
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}

#[cfg(unix)]
fn signal(id: u32, asked: u32) {
    let signal = if asked < MAX_STOP_REQUESTS { libc::SIGINT } else { libc::SIGKILL };
    if let Ok(id) = libc::pid_t::try_from(id) {
        // SAFETY: kill reads two numbers. A process on the list has not been waited for, so that the number is still its own.
        unsafe { libc::kill(id, signal) };
    }
}

#[cfg(not(unix))]
fn signal(_: u32, _: u32) {}

/// Waits until the process has ended without reaping it, so that it leaves the list before its number is used again.
#[cfg(unix)]
fn ended(id: u32) -> std::io::Result<()> {
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
        // SAFETY: `info` has room for what waitid writes, and nothing reads it.
        let done = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), libc::WEXITED | libc::WNOWAIT) };
        if done == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Has the kernel ask this process to stop when its parent ends, for whatever reason; on Linux only.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        PARENT.store(std::os::unix::process::parent_id(), Ordering::SeqCst);
        // SAFETY: this call of prctl reads two numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    }
}

/// Whether the parent of [`end_with_parent`] has ended, so that nobody can ask this process a second time.
pub fn is_orphan() -> bool {
    #[cfg(target_os = "linux")]
    {
        let parent = PARENT.load(Ordering::SeqCst);
        parent != 0 && parent != std::os::unix::process::parent_id()
    }
    #[cfg(not(target_os = "linux"))]
    false
}
