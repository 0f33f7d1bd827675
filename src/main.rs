//! The `convscope` command: parses its arguments, runs the command and ends with its exit code.

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A panic in native code becomes an error of the run; the default hook would print a trace before it.
    std::panic::set_hook(Box::new(|_| {}));
    cli::stdout::replace_closed();
    cli::allocator::retain_freed();
    let arguments = match cli::arguments() {
        Ok(arguments) => arguments,
        Err(code) => return ExitCode::from(code),
    };
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cli::main(arguments)));
    cli::allocator::stop_returning();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(_) => {
            cli::terminal::print_err(
                "error: a defect of convscope\n  hint: please report it with the command that shows it",
            );
            ExitCode::from(cli::FAILED)
        }
    }
}
