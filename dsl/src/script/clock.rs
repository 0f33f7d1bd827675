//! `timestamp()`, which rhai brings along: no second run gives it again, so it is noted, and locks refuse it.

use crate::context::Context;
use crate::library::Library;
use std::time::Instant;

/// Binds it.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let shared = context.clone();
    library.add(
        "timestamp() -> moment",
        "The time now; `.elapsed` of it is the seconds since. For looking at durations: a script that asks for it cannot be locked.",
        move || {
            shared.unrepeatable("the clock (`timestamp`)");
            Instant::now()
        },
    );
}
