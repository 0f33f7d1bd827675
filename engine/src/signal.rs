//! The interrupt: a request that work should end, also for work that has no job.

use crate::error::{Error, Kind, Result};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set from outside (Ctrl-C, a notebook's stop button); work ends at its next step.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Asks the work to end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Forgets an earlier request.
    pub fn reset(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Whether the work should end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Runs `work`, during which [`go_on`] on this thread checks this signal.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Restores the former signal, however the work ends.
        struct Before(Option<StopSignal>);
        impl Drop for Before {
            fn drop(&mut self) {
                HERE.set(self.0.take());
            }
        }
        let _before = Before(HERE.replace(Some(self.clone())));
        work()
    }
}

thread_local! {
    /// The signal of this thread's current work.
    static HERE: RefCell<Option<StopSignal>> = const { RefCell::new(None) };
}

/// A check for work that has no job, such as reading a file: an error if it should end ([`StopSignal::during`]).
///
/// # Errors
/// Where it should end.
pub fn go_on() -> Result<()> {
    match HERE.with_borrow(|signal| signal.as_ref().is_some_and(StopSignal::is_set)) {
        true => Err(Error::new(Kind::Interrupted, "interrupted")),
        false => Ok(()),
    }
}
