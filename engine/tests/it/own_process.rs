//! Tests that run once more in a process of their own: environment variables belong to a whole process, and other tests
//! run in this one at the same time.

use std::process::Command;

/// The variable that tells such a process which part of its test it is.
const PART: &str = "CONVSCOPE_TEST_PART";

/// The part that this process is, or nothing where all tests run.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// This program once more, for a part of one test alone; `test` is its path.
pub fn again(test: &str, part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact"]).env(PART, part);
    command
}

/// Runs it to its end: the test ran and passed.
pub fn passes(command: &mut Command) {
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
