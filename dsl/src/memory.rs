//! Watches the memory of the process, so that a script that fills it stops with an error and the process lives on. Only Linux
//! reports the memory; elsewhere nothing is watched.

use rhai::EvalAltResult;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

/// Script steps between two readings of the clock.
const STEPS_PER_CLOCK: u64 = 8;
/// The time between two readings of the memory.
const READ_INTERVAL: Duration = Duration::from_millis(10);
/// The share of the machine's memory that scripts may fill.
const MEMORY_SHARE: f64 = 0.8;
/// The share of the memory that a cell may add where the limit is reached already.
const CELL_SHARE: f64 = 0.1;

/// The value with which a script that fills the memory is terminated.
pub const MEMORY_FULL: &str = "memory";

/// Whether an error ended a script because it filled the memory.
pub fn ran_out(error: &EvalAltResult) -> bool {
    match error {
        EvalAltResult::ErrorTerminated(token, _) => token.is_string(),
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => ran_out(inner),
        _ => false,
    }
}

/// Watches the memory while a script runs.
#[derive(Debug)]
pub struct Watch {
    total: Option<u64>,
    limit: Option<u64>,
    looked: Instant,
}

impl Watch {
    /// A watch with its own limit, bytes.
    #[cfg(test)]
    pub fn of(limit: Option<u64>) -> Self {
        Watch { total: None, limit, looked: Instant::now() }
    }

    /// A watch whose limit is most of the memory of the machine or container.
    pub fn new() -> Self {
        let total = total();
        Watch { total, limit: total.map(share(MEMORY_SHARE)), looked: Instant::now() }
    }

    /// Begins a cell, which may add some memory whatever is in use already.
    pub fn begin(&mut self) {
        if let (Some(total), Some(held)) = (self.total, resident_bytes()) {
            self.limit = Some(share(MEMORY_SHARE)(total).max(held + share(CELL_SHARE)(total)));
        }
    }

    /// Whether the memory is full; reads it only from time to time.
    pub fn is_full(&mut self, step: u64) -> bool {
        if !step.is_multiple_of(STEPS_PER_CLOCK) || self.limit.is_none() || self.looked.elapsed() < READ_INTERVAL {
            return false;
        }
        self.looked = Instant::now();
        resident_bytes().zip(self.limit).is_some_and(|(held, limit)| held > limit)
    }
}

fn share(part: f64) -> impl Fn(u64) -> u64 {
    move |total| (total as f64 * part) as u64
}

/// The resident memory of the process, bytes.
pub fn resident_bytes() -> Option<u64> {
    entry(&read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The memory of the machine or container, whichever is less, bytes.
fn total() -> Option<u64> {
    let machine = entry(&read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let bounds = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let container = bounds.iter().find_map(|f| read_to_string(f).ok()?.trim().parse::<u64>().ok());
    Some(container.map_or(machine, |c| c.min(machine)))
}

/// An entry in kB of a file in /proc, in bytes.
fn entry(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_bytes() {
        assert_eq!(entry("A: 3 kB\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12 << 10));
        assert_eq!(entry("A: 3 kB", "B:"), None);
    }

    #[test]
    fn a_watch_tells_when_its_limit_is_passed() {
        let mut watch = Watch { total: None, limit: Some(1), looked: Instant::now() - READ_INTERVAL };
        assert_eq!(watch.is_full(STEPS_PER_CLOCK), resident_bytes().is_some());
        assert!(!watch.is_full(STEPS_PER_CLOCK), "it has just looked");
        let mut roomy = Watch { total: None, limit: Some(u64::MAX), looked: Instant::now() - READ_INTERVAL };
        assert!(!roomy.is_full(STEPS_PER_CLOCK));
    }
}
