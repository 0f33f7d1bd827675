//! The thread pool of the kernels.

use convscope_engine::error::{Error, Result};
use std::sync::OnceLock;

/// The number of threads started.
static STARTED: OnceLock<usize> = OnceLock::new();

/// The most threads.
pub const MAX_THREADS: usize = 1024;

/// Starts the pool with `threads` threads; where that is 0, with as many as `RAYON_NUM_THREADS` says, else one for each processor.
///
/// With as many threads as processors, each is pinned to one. Otherwise the system often wakes threads on one processor together,
/// and a pass of a few milliseconds has ended before it moves one of them.
///
/// # Errors
/// Where more than [`MAX_THREADS`] are requested, another pool was started before, or the system cannot start the threads; where
/// `CONVSCOPE_SIMD` names no vector instructions of this processor.
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
            // Where pinning is refused, the system places the thread.
            core_affinity::set_for_current(processors[i]);
        })
    } else {
        pool
    };
    pool.build_global().map_err(|e| Error::internal(format!("threads: {e}")))?;
    STARTED.get_or_init(|| threads);
    Ok(())
}
