//! Stopping a cell: during compilation the compiler is stopped, during a run the process that runs the cell.

use serde_json::Value;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two attempts to stop a cell.
const PAUSE: Duration = Duration::from_millis(50);
/// The time after which a cell that does not stop is left to the kernel, which kills this program.
const LONGEST: Duration = Duration::from_secs(20);

/// The current evaluation.
#[derive(Default)]
pub struct Now {
    /// The request's id; none between requests.
    pub id: Option<Value>,
    /// Whether a stop was requested.
    pub stopped: bool,
}

/// Stops the current evaluation.
#[derive(Clone)]
pub struct Interrupter {
    now: Arc<Mutex<Now>>,
    process: Arc<Mutex<Child>>,
    running: PathBuf,
}

impl Interrupter {
    /// An interrupter for cells that run in `process`; the file `running` exists while one runs.
    pub fn new(process: Arc<Mutex<Child>>, running: PathBuf) -> Self {
        Interrupter { now: Arc::default(), process, running }
    }

    /// The current evaluation.
    pub fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the request `id` (any, where it is null) from a new thread; does nothing where the request has ended.
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

    /// Kills the process that runs cells, and the processes that it started.
    fn kill_process(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(process.try_wait(), Ok(None)) {
            kill_group(process.id());
        }
    }
}

/// Cells run in a process group of their own, whose id is that of their process.
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
