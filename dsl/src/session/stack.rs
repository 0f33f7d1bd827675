//! Work on a thread with the stack that scripts need, and calls of a session's functions on such a thread.

use super::{Session, defect, stopped};
use crate::bounds::STACK_BYTES;
use crate::diag::Diagnostic;
use convscope_engine::Error;
use rhai::{Dynamic, FnPtr};
use std::panic::{AssertUnwindSafe, catch_unwind};

impl Session {
    /// Does `work` on a thread with the stack that scripts need.
    pub(super) fn on_a_stack<T: Send>(
        &mut self,
        work: impl FnOnce(&mut Self) -> T + Send,
    ) -> Result<T, Box<Diagnostic>> {
        let spawned = std::thread::scope(|threads| {
            let thread = std::thread::Builder::new()
                .name("script".into())
                .stack_size(STACK_BYTES)
                .spawn_scoped(threads, || work(self));
            thread.map(|handle| handle.join())
        });
        match spawned {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panic)) => Err(Box::new(Diagnostic::of(defect(panic.as_ref())))),
            Err(e) => Err(Box::new(Diagnostic::of(Error::internal(format!("no thread for the script: {e}"))))),
        }
    }

    /// Calls a function of the session, as a cell would; it sees only those variables of the session that it captured.
    ///
    /// # Errors
    /// As for a cell.
    pub(crate) fn call(&mut self, function: &FnPtr, arguments: Vec<Dynamic>) -> Result<Dynamic, Box<Diagnostic>> {
        self.on_a_stack(|session| session.call_here(function, arguments))?
    }

    fn call_here(&mut self, function: &FnPtr, arguments: Vec<Dynamic>) -> Result<Dynamic, Box<Diagnostic>> {
        self.begin();
        let called = || function.call::<Dynamic>(&self.engine, &self.defined, arguments);
        let value = match catch_unwind(AssertUnwindSafe(called)) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                let origin = self.origins.get(function.fn_name()).cloned().unwrap_or_default();
                return Err(Box::new(Diagnostic::at(&origin, &self.origins, &error, &self.known())));
            }
            Err(panic) => return Err(Box::new(Diagnostic::of(defect(panic.as_ref())))),
        };
        match self.context.job.stopped() {
            true => Err(Box::new(stopped())),
            false => Ok(value),
        }
    }
}
