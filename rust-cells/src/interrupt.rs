//! Stopping a cell: while it is compiled, the compiler is stopped; while it runs, the process that runs it.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two tries to stop what runs.
const PAUSE: Duration = Duration::from_millis(50);
/// The time after which a cell that does not stop is left to the kernel, which kills this program.
const LONGEST: Duration = Duration::from_secs(20);

/// What is evaluated now.
#[derive(Default)]
pub struct Now {
    /// The request, while one is evaluated.
    pub id: Option<Value>,
    /// Whether it was asked to stop.
    pub stopped: bool,
}

/// Stops what is evaluated.
#[derive(Clone)]
pub struct Interrupter {
    now: Arc<Mutex<Now>>,
    process: Arc<Mutex<Child>>,
    running: PathBuf,
}

impl Interrupter {
    /// An interrupter of cells that run in `process` and are marked by the file `running` while they do.
    pub fn new(process: Arc<Mutex<Child>>, running: PathBuf) -> Self {
        Interrupter { now: Arc::default(), process, running }
    }

    /// What is evaluated now.
    pub fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the request `id` (any, where it is null), from a thread of its own; nothing happens where it has ended.
    pub fn stop(&self, id: &Value) {
        let this = self.clone();
        let id = id.clone();
        std::thread::spawn(move || {
            let begun = Instant::now();
            let asked = |now: &Now| now.id.as_ref().is_some_and(|at| id.is_null() || *at == id);
            while begun.elapsed() < LONGEST {
                let mut now = this.now();
                if !asked(&now) {
                    return;
                }
                now.stopped = true;
                drop(now);
                match this.running.exists() {
                    true => this.kill_process(),
                    false => interrupt_compilers(),
                }
                std::thread::sleep(PAUSE);
            }
        });
    }

    /// Ends the process that runs cells, with what it started itself.
    fn kill_process(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(process.try_wait(), Ok(None)) {
            kill_group(process.id());
        }
    }
}

/// Cells run in a process group of their own, whose number is their process's.
fn kill_group(leader: u32) {
    if let Ok(group) = libc::pid_t::try_from(leader) {
        // SAFETY: a system call without memory; the group is the cells' own, which has not been waited for.
        unsafe { libc::killpg(group, libc::SIGKILL) };
    }
}

/// cargo and rustc are in this program's own process group.
fn interrupt_compilers() {
    // SAFETY: a system call without memory; 0 is the caller's own group, which the kernel made for this program.
    unsafe { libc::kill(0, libc::SIGINT) };
}

/// Makes this program ignore interrupts of its process group; the programs that it starts still receive them.
pub fn outlive_interrupts() {
    extern "C" fn go_on(_: libc::c_int) {}
    // SAFETY: the handler does nothing, which any signal handler may; unlike "ignore" it is not inherited by compilers.
    unsafe { libc::signal(libc::SIGINT, go_on as *const () as libc::sighandler_t) };
}
