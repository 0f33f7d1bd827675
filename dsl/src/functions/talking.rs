//! `input`, `write`, `clear_output`, `sleep`: interaction between a script and its user.

use crate::context::Context;
use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::error::Kind;
use convscope_engine::{Error, Result};
use std::time::{Duration, Instant};

/// The time between two checks for a stop.
const STOP_POLL: Duration = Duration::from_millis(20);

/// Binds the four functions.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    let output = context.output.clone();
    library.add(
        "input(prompt: text) -> text",
        "Asks the user for a line at the terminal or in the notebook, and waits for it.",
        move |prompt: &str| output.ask(prompt).raise(),
    );
    let output = context.output.clone();
    library.add("input() -> text", "", move || output.ask("").raise());
    let output = context.output.clone();
    library.add("write(text)", "Writes a text without the end of line that `print` adds.", move |text: &str| {
        output.write(text);
    });
    let output = context.output.clone();
    library.add(
        "clear_output(wait: bool)",
        "Clears the outputs of the notebook's cell: at once, or, where wait is true, when the next output comes.",
        move |wait: bool| output.clear(wait),
    );
    let output = context.output.clone();
    library.add("clear_output()", "", move || output.clear(false));
    let shared = context.clone();
    library.add("sleep(seconds: number)", "Waits that long.", move |seconds: f64| sleep(&shared, seconds).raise());
    let shared = context.clone();
    library.also("sleep", move |seconds: i64| sleep(&shared, seconds as f64).raise());
}

/// Waits in short steps, between which a stop is noticed.
fn sleep(context: &Context, seconds: f64) -> Result<()> {
    let wrong = |_| Error::value(format!("`sleep` takes a number of seconds from 0, got {seconds}"));
    let pause = Duration::try_from_secs_f64(seconds).map_err(wrong)?;
    let begun = Instant::now();
    while let Some(left) = pause.checked_sub(begun.elapsed()).filter(|l| !l.is_zero()) {
        if context.job.stopped() {
            return Err(Error::new(Kind::Interrupted, "interrupted"));
        }
        std::thread::sleep(left.min(STOP_POLL));
    }
    Ok(())
}
