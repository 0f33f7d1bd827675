//! The circumstances of a piece of work: seed, threads, memory, progress reports, and the interrupt.

use crate::data::image::Image;
use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::model::Model;
use crate::random::Stream;
pub use crate::signal::StopSignal;
use crate::states::Ledger;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Floating-point operations between two checks of the interrupt, if one sample needs no more: some tenths of a second on
/// two cores.
const FLOPS_PER_CHECK: u64 = 96_000_000_000;

/// Memory that the program itself takes, bytes.
const PROGRAM_BYTES: u64 = 72 << 20;

/// Size of the pack cache, in copies of the convolutions' weights: panels of plain sums forward and Winograd tiles backward, or
/// Winograd tiles both ways.
const PACK_COPIES: u64 = 3;
const PACK_COPIES_WINOGRAD_FORWARD: u64 = 4;

/// Where progress goes.
pub trait Sink: Send + Sync {
    /// `done` of `total` steps of the work called `label`; the last call has `done == total` or the work was stopped.
    fn progress(&self, label: &str, done: usize, total: usize);

    /// A picture as it grows.
    fn picture(&self, label: &str, image: &Image) {
        let _ = (label, image);
    }

    /// A note on a result without notes of its own, such as how many images were skipped.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

/// A sink that drops everything.
struct Silent;

impl Sink for Silent {
    fn progress(&self, _: &str, _: usize, _: usize) {}
}

/// The circumstances of a piece of work; cheap to clone.
#[derive(Clone)]
pub struct Job {
    /// The seed of all random streams.
    pub seed: u64,
    /// The bound on memory, bytes.
    pub memory: u64,
    /// The interrupt.
    pub signal: StopSignal,
    sink: Arc<dyn Sink>,
    ledger: Arc<OnceLock<Arc<Ledger>>>,
    wave: bool,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job {{ seed: {}, memory: {} }}", self.seed, self.memory)
    }
}

impl Default for Job {
    fn default() -> Self {
        Job {
            seed: 0,
            memory: 1 << 30,
            signal: StopSignal::default(),
            sink: Arc::new(Silent),
            ledger: Arc::default(),
            wave: false,
        }
    }
}

impl Job {
    /// Seed 0, 1 GiB, silent.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same job reporting to `sink`.
    pub fn with_sink(self, sink: Arc<dyn Sink>) -> Self {
        Job { sink, ..self }
    }

    /// The same job without progress reports: for work inside work that reports itself.
    pub fn quiet(&self) -> Self {
        self.clone().with_sink(Arc::new(Silent))
    }

    /// The same job with a ledger: statistics over data sets read only the images that the ledger names, and take states that
    /// it has.
    pub fn with_ledger(self, ledger: Arc<Ledger>) -> Self {
        Job { ledger: Arc::new(OnceLock::from(ledger)), ..self }
    }

    /// The same job for one wave of the ledger's images: the ledger is not used again, and a wave in which no image can be read
    /// is no error.
    pub fn of_wave(&self) -> Self {
        Job { ledger: Arc::default(), wave: true, ..self.clone() }
    }

    /// Whether this is the job of one wave.
    pub fn is_wave(&self) -> bool {
        self.wave
    }

    /// The ledger, if there is one.
    pub fn ledger(&self) -> Option<&Arc<Ledger>> {
        self.ledger.get()
    }

    /// Gives this job, and all jobs made from it, a ledger.
    ///
    /// # Errors
    /// Where they have one already.
    pub fn take_ledger(&self, ledger: Arc<Ledger>) -> Result<()> {
        self.ledger.set(ledger).map_err(|_| Error::value("this job already has a ledger"))
    }

    /// An error where the ledger names only a part of each data set: for work without a state that merges.
    ///
    /// # Errors
    /// Names the work.
    pub fn whole_data(&self, work: &str) -> Result<()> {
        match self.ledger().filter(|l| l.part.is_some()) {
            Some(_) => Err(Error::unsupported(format!(
                "`{work}` keeps no state that merges, so no part of it can be computed"
            ))
            .hint("put it into a script of its own, or into the one that is run with the merged states")),
            None => Ok(()),
        }
    }

    /// An error where `bytes` that have to be held at once exceed the job's memory. `what` is said with its verb ("the codes take"),
    /// `hint` says how to need less.
    ///
    /// # Errors
    /// Names what is needed and the ceiling.
    pub fn holds(&self, bytes: u64, what: impl FnOnce() -> String, hint: &str) -> Result<()> {
        if bytes <= self.memory {
            return Ok(());
        }
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let (needed, ceiling) = (gigabytes(bytes), gigabytes(self.memory));
        Err(Error::value(format!("{} {needed:.1} GB, the ceiling is {ceiling:.1} GB", what())).hint(hint))
    }

    /// The random stream for `purpose`: the same for the same seed, whatever else is drawn.
    pub fn rng(&self, purpose: &str) -> Stream {
        Stream::new(self.seed, purpose)
    }

    /// Whether the work was interrupted.
    pub fn stopped(&self) -> bool {
        self.signal.is_set()
    }

    /// Counts 0..n, reports each step, and ends early on an interrupt.
    pub fn steps(&self, label: &str, n: usize) -> Steps<'_> {
        Steps { job: self, label: label.to_string(), next: 0, n }
    }

    /// Sends a note on a result without notes of its own to the sink.
    pub fn note(&self, text: &str) {
        self.sink.note(text);
    }

    /// Shows a picture as it grows.
    pub fn picture(&self, label: &str, image: &Image) {
        self.sink.picture(label, image);
    }

    /// `model` for many passes: its prepacked weights are kept between them where this job's memory has room.
    pub fn fitted(&self, model: &Model) -> Model {
        if held(model) > self.memory { model.without_pack_cache() } else { model.clone() }
    }

    /// The batch size for samples that take `values` numbers of 4 bytes each, at least 1 and at most `most`: what the job's
    /// memory has room for beside the program, the net's weights and their packed forms.
    pub fn batch(&self, model: &Model, values: usize, most: usize) -> usize {
        let room = self.memory.saturating_sub(held(model)).max(self.memory / 16);
        let each = (values as u64 * 4).max(1);
        ((room / each) as usize).clamp(1, most.max(1))
    }

    /// The batch size by [`Job::batch`], reduced so that an interrupt does not wait long. A forward pass counts as one pass, a
    /// forward and a backward pass as three.
    pub fn through(&self, model: &Model, passes: u64, values: usize, most: usize) -> usize {
        let each = (passes * model.flops()).max(1);
        self.batch(model, values, most).min((FLOPS_PER_CHECK / each).max(1) as usize)
    }
}

/// Bytes that the program and the net's weights take.
fn held(model: &Model) -> u64 {
    let graph = model.graph();
    let is_conv = |id: &NodeId| matches!(graph.node(*id).op, Op::Conv2d(_) | Op::ConvTranspose2d(..));
    let each = graph.ids().filter(is_conv).map(|id| graph.params(id, model.weights()));
    let packed = if model.has_pack_cache() { each.sum() } else { each.max().unwrap_or(0) };
    let copies = if model.has_winograd_forward() { PACK_COPIES_WINOGRAD_FORWARD } else { PACK_COPIES };
    PROGRAM_BYTES + 4 * (model.weights().count() as u64 + copies * packed as u64)
}

/// The iterator of [`Job::steps`].
pub struct Steps<'a> {
    job: &'a Job,
    label: String,
    next: usize,
    n: usize,
}

impl Iterator for Steps<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.n > 1 {
            self.job.sink.progress(&self.label, self.next.min(self.n), self.n);
        }
        if self.next >= self.n || self.job.stopped() {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}
