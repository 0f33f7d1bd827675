//! The threads that kernels run on.

use convscope_engine::error::{Error, Result};
use std::sync::OnceLock;

/// How many were started.
static STARTED: OnceLock<usize> = OnceLock::new();

/// Threads at most.
pub const MAX_THREADS: usize = 1024;

/// Starts the pool that all work runs on: `threads` of them; where that is 0, as many as `RAYON_NUM_THREADS` says, else as there
/// are processors.
///
/// As many threads as processors get one each. Left to the system, threads that wake for a pass often wake on one processor
/// together, and a pass of a few milliseconds has ended before one of them is moved.
///
/// # Errors
/// Where more than [`MAX_THREADS`] are asked for, another pool has been started before, or the system has no room for its threads;
/// where `CONVSCOPE_SIMD` names no vector instructions of this processor.
pub fn start(threads: usize) -> Result<()> {
    convscope_engine::simd::chosen()?;
    let processors = core_affinity::get_core_ids().unwrap_or_default();
    let said = || std::env::var("RAYON_NUM_THREADS").ok()?.parse().ok().filter(|n| *n > 0);
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { said().unwrap_or_else(all) } else { threads };
    if threads > MAX_THREADS {
        return Err(Error::value(format!("{threads} threads are asked for, at most {MAX_THREADS} can be started"))
            .hint("is it what RAYON_NUM_THREADS says?"));
    }
    if STARTED.get() == Some(&threads) {
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let pool = if processors.len() == threads {
        pool.start_handler(move |i| {
            // A refusal leaves the thread to the system.
            core_affinity::set_for_current(processors[i]);
        })
    } else {
        pool
    };
    pool.build_global().map_err(|e| Error::internal(format!("threads: {e}")))?;
    STARTED.get_or_init(|| threads);
    Ok(())
}
