//! A sealed process reads what it was given, writes to one folder, and reaches neither the network nor other programs.
//!
//! The rules hold in the engine, on every system: whatever reads or writes a file for a script asks them first
//! ([`Bounds`]). On Linux the kernel holds them as well (landlock and seccomp), for all threads and whatever the process
//! does. What has to be fetched is asked of the process that started this one ([`broker`]).

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

/// A seal, as one process tells it to another that it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// What may be read and written.
    pub bounds: Bounds,
    /// Whether the kernel is asked to hold the rules, where it can.
    pub kernel: bool,
    /// Whether standard input is a [`Channel`] to the process that started this one.
    pub channel: bool,
}

/// Who holds the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The kernel holds those of files (landlock).
    pub files: bool,
    /// The kernel holds those of the network and of other programs (seccomp).
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
            (false, false) => "sealed by the engine alone: the kernel lends no hand",
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

/// Who holds the rules of this process, if it is sealed.
pub fn held() -> Option<Held> {
    SEAL.get().map(|closed| closed.held)
}

/// Nothing is fetched from now on.
pub fn go_offline() {
    OFFLINE.store(true, Ordering::SeqCst);
}

/// Has something fetched that is not on this machine yet: nothing where this process may do so itself, else by the process
/// that started it. True where it was done there.
///
/// # Errors
/// Where it may not be fetched, or was asked for and not had.
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
/// Where it is sealed, or was told to stay offline.
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
        None => Err(Error::unsupported("there is nobody to ask").hint("run it in a terminal or a notebook")),
    }
}
