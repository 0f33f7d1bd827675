//! Events for the kernel: one line of JSON each, whole lines only.

use crossbeam_channel::{Receiver, Select};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Printed text counts as complete after a pause of this length.
const QUIET: Duration = Duration::from_millis(5);

/// Sends an event.
pub fn send(event: &Value) {
    let mut out = std::io::stdout().lock();
    // A kernel that has ended receives nothing; reading of requests ends then.
    let _ = writeln!(out, "{event}");
    let _ = out.flush();
}

/// Passes on the lines that cells print.
pub struct Printed {
    passing: Arc<Mutex<()>>,
    stderr: Receiver<String>,
    count: Arc<AtomicU64>,
    last: Arc<Mutex<String>>,
}

impl Printed {
    /// Starts to pass on lines.
    pub fn new(stdout: Receiver<String>, stderr: Receiver<String>) -> Self {
        let printed =
            Printed { passing: Arc::default(), stderr: stderr.clone(), count: Arc::default(), last: Arc::default() };
        let (passing, count, last) = (printed.passing.clone(), printed.count.clone(), printed.last.clone());
        std::thread::spawn(move || {
            loop {
                let mut select = Select::new();
                select.recv(&stdout);
                select.recv(&stderr);
                select.ready();
                // Taken and passed on under one lock, so that an empty channel means that its lines are on their way.
                let _passing = passing.lock().unwrap_or_else(PoisonError::into_inner);
                let (mut ended, mut found) = (0, false);
                for (name, from) in [("stdout", &stdout), ("stderr", &stderr)] {
                    match from.try_recv() {
                        Ok(line) => {
                            found = true;
                            count.fetch_add(1, Ordering::SeqCst);
                            if name == "stderr" && !line.trim().is_empty() {
                                last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&line);
                            }
                            send(&json!({ "event": name, "line": line }));
                        }
                        Err(e) => ended += usize::from(e.is_disconnected()),
                    }
                }
                if ended > 0 && !found {
                    return;
                }
            }
        });
        printed
    }

    /// Waits until everything printed so far is passed on.
    pub fn finish(&self) {
        loop {
            let before = self.count.load(Ordering::SeqCst);
            std::thread::sleep(QUIET);
            let _passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
            if self.stderr.is_empty() && self.count.load(Ordering::SeqCst) == before {
                return;
            }
        }
    }

    /// The last line on stderr.
    pub fn last_remark(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
