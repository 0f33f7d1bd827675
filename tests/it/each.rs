//! One check of many items: all run, several at a time, and all failures are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `check` for every item, on as many threads as there are processors, and fails with all items that failed.
pub fn passes<T: Sync>(items: &[T], name: impl Fn(&T) -> String, check: impl Fn(&T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { break };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(item))) {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                failed.lock().unwrap().push((i, text.to_string()));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(items.len());
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    let lines: Vec<String> = failed.iter().map(|(i, text)| format!("{}: {text}", name(&items[*i]))).collect();
    assert!(lines.is_empty(), "{} of {} fail\n{}", lines.len(), items.len(), lines.join("\n"));
}
