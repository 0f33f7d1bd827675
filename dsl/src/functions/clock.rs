//! rhai's `timestamp()`: a second run does not reproduce it, so its use is recorded, and locks refuse it.

use crate::context::Context;
use crate::library::Library;
use std::time::Instant;

/// Binds `timestamp`.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "timestamp() -> moment",
        "The time now; `.elapsed` of it is the seconds since. It is for measuring durations; a script that uses it \
         cannot be locked.",
        move || {
            shared.unrepeatable("the clock (`timestamp`)");
            Instant::now()
        },
    );
}
