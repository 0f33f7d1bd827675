//! Whatever the probe, a stop ends it early, and its artifact says that it is not complete.

#![allow(clippy::unwrap_used)]

use crate::builders::{Net, array, card, input, residual};
use convscope_engine::job::{Sink, StopSignal};
use convscope_engine::probe::{ProbeArg, Takes};
use convscope_engine::probes::catalog;
use convscope_engine::probes::judge::insertion_deletion::InsertionDeletion;
use convscope_engine::{DType, Input, Job, Kind, Subject};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops the work after its first step of several.
struct Stopper {
    signal: StopSignal,
    stopped: AtomicBool,
}

impl Sink for Stopper {
    fn progress(&self, _: &str, done: usize, total: usize) {
        if done == 1 && total > 1 {
            self.signal.stop();
            self.stopped.store(true, Ordering::Relaxed);
        }
    }
}

fn stopping() -> (Job, Arc<Stopper>) {
    // Without room for batches each step is a pass of its own.
    let mut job = Job::new();
    job.memory = 1;
    let stopper = Arc::new(Stopper { signal: job.signal.clone(), stopped: AtomicBool::new(false) });
    (job.with_sink(stopper.clone()), stopper)
}

#[test]
fn probes_that_are_stopped_are_not_complete() {
    let model = residual(0.1).to_dtype(DType::F32).unwrap().with_card(card(5, 3, [17, 15]));
    let x = Input::Tensor(input(&model, "photo").to_dtype(DType::F32).unwrap());
    let subjects = [Subject::class_at(&model, 2).unwrap(), Subject::layer(&model, "a/relu1").unwrap()];
    let mut stopped = Vec::new();
    for entry in catalog() {
        let probe = entry.build(&[], &Default::default()).unwrap();
        if probe.0.about().input != Takes::One {
            continue;
        }
        for on in &subjects {
            let (job, stopper) = stopping();
            let found = match probe.ask(on, &x, &job) {
                Ok(found) => found,
                Err(error) => {
                    assert_ne!(error.kind, Kind::Internal, "{} of {on}: {error}", probe.0.name());
                    continue;
                }
            };
            if stopper.stopped.load(Ordering::Relaxed) {
                let told = found.notes.iter().any(|n| n.contains("stopped"));
                assert!(!found.complete && told, "{} of {on} says it is complete", probe.0.name());
                stopped.push(probe.0.name());
            }
        }
    }
    println!("{stopped:?}");
    for name in ["rise", "score_cam", "insertion_deletion", "sensitivity", "smooth_grad", "integrated_gradients"] {
        assert!(stopped.contains(&name), "{name} was not stopped: {stopped:?}");
    }
}

/// A curve that was stopped has no area.
#[test]
fn half_a_curve_has_no_area() {
    let mut n = Net::new(&[3, 8, 8], 0.1);
    n.head(2);
    let model = n.model();
    let (job, _) = stopping();
    let x = Input::Tensor(input(&model, "photo"));
    let probe = ProbeArg(Arc::new(InsertionDeletion::new().steps(60usize)));
    let found = probe.ask(&Subject::class_at(&model, 0).unwrap(), &x, &job).unwrap();
    assert!(!found.complete && array(&found, "areas").iter().all(|v| v.is_nan()));
}
