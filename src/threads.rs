//! The threads that kernels run on.

use convscope_engine::error::{Error, Result};

/// Starts the pool that all work runs on: `threads` of them; where that is 0, as many as `RAYON_NUM_THREADS` says, else as there
/// are processors.
///
/// As many threads as processors get one each. Left to the system, threads that wake for a pass often wake on one processor
/// together, and a pass of a few milliseconds has ended before one of them is moved.
///
/// # Errors
/// Where the pool has been started before, or the system has no room for its threads.
pub fn start(threads: usize) -> Result<()> {
    let processors = core_affinity::get_core_ids().unwrap_or_default();
    let said = || std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok().filter(|n| *n > 0);
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { said().unwrap_or_else(all) } else { threads };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = if processors.len() == threads {
        pool.start_handler(move |i| {
            // A refusal leaves the thread to the system.
            core_affinity::set_for_current(processors[i]);
        })
    } else {
        pool
    };
    pool.build_global().map_err(|e| Error::internal(format!("threads: {e}")))
}
