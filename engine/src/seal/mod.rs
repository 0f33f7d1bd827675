//! A sealed process reads only the files that it was given, writes to one folder, and has neither network nor other programs.
//!
//! The engine enforces the rules on every system: all code that reads or writes a file for a script checks them first
//! ([`Bounds`]). On Linux the kernel enforces them as well (landlock and seccomp), for all threads. Downloads are requested
//! from the process that started this one ([`broker`]).

pub mod broker;
pub mod children;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod kernel;

pub use convscope_nn::seal::{Bounds, is_held, may_read, may_read_as, may_write, quoted, real};

use crate::error::{Error, Kind, Result};
use broker::{Channel, Want};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

static SEAL: OnceLock<Closed> = OnceLock::new();
static OFFLINE: AtomicBool = AtomicBool::new(false);

/// A seal, as a process passes it to one that it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// What may be read and written.
    pub bounds: Bounds,
    /// Whether the kernel is asked to enforce the rules, where it can.
    pub kernel: bool,
    /// Whether standard input is a [`Channel`] to the process that started this one.
    pub channel: bool,
}

/// Which rules the kernel enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// It enforces those for files (landlock).
    pub files: bool,
    /// It enforces those for the network and other programs (seccomp).
    pub calls: bool,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.files, self.calls) {
            (true, true) => "sealed by the engine and by the kernel (files: landlock; network and programs: seccomp)",
            (true, false) => "sealed by the engine, and by the kernel for files (landlock); it has no seccomp",
            (false, true) => {
                "sealed by the engine, and by the kernel for network and programs (seccomp); it has no landlock"
            }
            (false, false) => "sealed by the engine alone: the kernel has neither landlock nor seccomp",
        })
    }
}

struct Closed {
    held: Held,
    channel: Option<Mutex<Channel>>,
}

/// Seals this process, for good. To be called before it starts a thread: the kernel's rules hold for the thread that asks
/// for them and for those that it starts.
///
/// # Errors
/// Where it is sealed already, or the kernel refuses rules that it knows.
pub fn close(seal: &Seal) -> Result<Held> {
    let bounds = seal.bounds.real();
    let channel = if seal.channel { Some(Mutex::new(Channel::of_stdin()?)) } else { None };
    let held = if seal.kernel { by_kernel(&bounds)? } else { Held::default() };
    convscope_nn::seal::hold(&bounds)?;
    SEAL.set(Closed { held, channel }).map_err(|_| Error::internal("the process is sealed already"))?;
    Ok(held)
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn by_kernel(bounds: &Bounds) -> Result<Held> {
    kernel::apply(bounds)
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn by_kernel(_: &Bounds) -> Result<Held> {
    Ok(Held::default())
}

/// Which of this process's rules the kernel enforces, if it is sealed.
pub fn held() -> Option<Held> {
    SEAL.get().map(|closed| closed.held)
}

/// Forbids all downloads from now on.
pub fn go_offline() {
    OFFLINE.store(true, Ordering::SeqCst);
}

/// Has the process that started this one fetch a file that is not on this machine yet. Returns true where it did, and false
/// where this process may fetch the file itself.
///
/// # Errors
/// Where it may not be fetched, or the other process could not fetch it.
pub fn fetched_elsewhere(want: &Want) -> Result<bool> {
    if OFFLINE.load(Ordering::SeqCst) {
        return Err(want.forbidden());
    }
    let Some(closed) = SEAL.get() else { return Ok(false) };
    let Some(channel) = &closed.channel else {
        let message = format!("{want} is not on this machine, and a sealed run fetches nothing");
        return Err(Error::new(Kind::Io, message).hint(want.hint()));
    };
    channel.lock().unwrap_or_else(PoisonError::into_inner).ask(want)?;
    Ok(true)
}

/// Whether this process may ask a server for parts of a file.
///
/// # Errors
/// Where it is sealed or offline.
pub fn may_connect(address: &str) -> Result<()> {
    if is_held() || OFFLINE.load(Ordering::SeqCst) {
        let message = format!("`{address}`: a sealed run has no network");
        return Err(Error::new(Kind::Io, message).hint("download the file and name it by its path"));
    }
    Ok(())
}

/// Asks the person in front of the process that started this one for a line.
///
/// # Errors
/// Where this process is not sealed, or nobody can be asked.
pub fn ask_person(prompt: &str) -> Result<String> {
    match SEAL.get().and_then(|closed| closed.channel.as_ref()) {
        Some(channel) => channel.lock().unwrap_or_else(PoisonError::into_inner).ask(&Want::Line(prompt.to_string())),
        None => Err(Error::unsupported("there is no user to ask").hint("run it in a terminal or a notebook")),
    }
}
