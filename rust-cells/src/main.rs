//! `convscope-evcxr`: evaluates the `%%rust` cells of convscope's Jupyter kernel, which starts it and exchanges lines of JSON
//! with it: requests on stdin, events on stdout. Evaluation is evcxr's: a cell is compiled to a library that a separate
//! process loads, so that a crash there ends neither this program nor the kernel.

mod cell;
mod events;
mod interrupt;
mod source;

use cell::Cells;
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::mpsc::channel;

/// The version of the protocol of requests and events; the kernel requires the same.
const PROTOCOL: u64 = 1;

fn main() {
    // This program is also the process that runs cells, and evcxr's wrapper around rustc.
    evcxr::runtime_hook();
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("convscope-evcxr {}: started by convscope's kernel for `%%rust` cells", env!("CARGO_PKG_VERSION"));
        std::process::exit(2);
    };
    interrupt::outlive_interrupts();
    let (requests, to_do) = channel::<Value>();
    let cells = Cells::start(&folder);
    let interrupter = cells.as_ref().ok().map(Cells::interrupter);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let request = line.ok().and_then(|l| serde_json::from_str::<Value>(&l).ok());
            match (request, &interrupter) {
                (None, _) => break,
                (Some(request), Some(interrupter)) if request["op"] == "interrupt" => interrupter.stop(&request["id"]),
                (Some(request), _) => drop(requests.send(request)),
            }
        }
        // The kernel has ended: the evaluation has to end, so that the folder can be removed.
        drop(requests);
        if let Some(interrupter) = interrupter {
            interrupter.stop(&Value::Null);
        }
    });
    match cells {
        Ok(mut cells) => {
            events::send(&json!({ "event": "ready", "protocol": PROTOCOL }));
            for request in to_do {
                cells.answer(&request);
            }
        }
        Err(message) => events::send(&json!({ "event": "unable", "message": message })),
    }
    // Nobody is left to read an error.
    let _ = std::fs::remove_dir_all(&folder);
}
