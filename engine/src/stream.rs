//! Data sets streamed through a net: images are decoded and prepared in parallel, one batch ahead of the net.
//!
//! At most three batches are held, however many images there are. An image that cannot be read is skipped and named.

use crate::accumulators::{Broken, Covered, State};
use crate::data::{Dataset, Source};
use crate::error::{Error, Kind, Result};
use crate::job::Job;
use crate::model::Model;
use crate::states::{Kept, Question, QuestionNet};
use candle_core::Tensor;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::mpsc::sync_channel;

/// The number of images that a stream reached, and the broken ones.
#[derive(Clone, Debug, Default)]
pub struct StreamReport {
    /// Images that were reached, the broken ones among them.
    pub reached: usize,
    /// The broken ones.
    pub broken: Broken,
}

impl StreamReport {
    /// The result for image `i`; where the image could not be read, none, and it is counted as broken. For probes that take one
    /// image after the other.
    ///
    /// # Errors
    /// Where the store that the images are in does not answer.
    pub fn take<T>(&mut self, i: usize, read: Result<T>) -> Result<Option<T>> {
        match read {
            Err(error) if error.kind.ends_work() => return Err(error),
            Err(error) => self.broken.push(i, error.message),
            Ok(made) => {
                self.reached += 1;
                return Ok(Some(made));
            }
        }
        self.reached += 1;
        Ok(None)
    }

    /// How many images were reached and could be read.
    pub fn good(&self) -> usize {
        self.reached - self.broken.len()
    }

    /// The report by images, where entry `l * n + i` was image `i` changed in the l-th way.
    pub fn of_images(&self, n: usize) -> Self {
        StreamReport { reached: self.reached, broken: self.broken.of_images(n) }
    }

    /// An error where not one of the images that were reached could be read.
    ///
    /// # Errors
    /// The first image's.
    pub fn check(&self) -> Result<()> {
        match self.broken.first().next() {
            Some((_, why)) if self.good() == 0 => Err(Error::format(why).context("no image could be read; the first")),
            _ => Ok(()),
        }
    }

    /// A note: how many images were skipped, and the names of the first ones.
    pub fn note(&self) -> Option<String> {
        let first: Vec<String> = self.broken.first().take(3).map(|(i, why)| format!("image {i}: {why}")).collect();
        let more = if self.broken.len() > 3 { "; .." } else { "" };
        match self.broken.len() {
            0 => None,
            n => Some(format!(
                "{n} {} could not be read and {} skipped ({}{more})",
                if n == 1 { "image" } else { "images" },
                if n == 1 { "is" } else { "are" },
                first.join("; ")
            )),
        }
    }
}

/// Prepares the images of `ranges` in batches of `batch`, each image by `prepare` (on any thread, a batch ahead), and calls
/// `take` with each batch in order and the images' numbers. Broken images are left out.
///
/// # Errors
/// Where `take` fails, the store that the images are in does not answer, or not one image could be prepared.
pub fn stream<T: Send>(
    ranges: &[Range<usize>],
    batch: usize,
    (job, label): (&Job, &str),
    prepare: impl Fn(usize) -> Result<T> + Sync,
    mut take: impl FnMut(Vec<(usize, T)>) -> Result<()>,
) -> Result<StreamReport> {
    job.whole_data(label)?;
    let batch = batch.max(1);
    // Never a list of all: there may be a thousand million images.
    let chunks =
        || ranges.iter().flat_map(|r| r.clone().step_by(batch).map(move |from| from..(from + batch).min(r.end)));
    let steps = ranges.iter().map(|r| r.len().div_ceil(batch)).sum();
    let mut report = StreamReport::default();
    let mut first: Option<Error> = None;
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(1);
        let prepare = &prepare;
        let ahead = chunks();
        scope.spawn(move || {
            for chunk in ahead {
                if job.stopped() {
                    return;
                }
                let items: Vec<(usize, Result<T>)> =
                    chunk.clone().into_par_iter().map(|i| (i, job.signal.during(|| prepare(i)))).collect();
                if send.send(items).is_err() {
                    return;
                }
            }
        });
        'chunks: for (_, chunk) in job.steps(label, steps).zip(chunks()) {
            let Ok(items) = receive.recv() else { break };
            let mut good = Vec::with_capacity(items.len());
            for (i, item) in items {
                match item {
                    Ok(item) => good.push((i, item)),
                    // What was read of the batch is not all of it.
                    Err(error) if error.kind == Kind::Interrupted => break 'chunks,
                    Err(error) if error.kind.ends_work() => return Err(error),
                    Err(error) => {
                        report.broken.push(i, error.message.clone());
                        first.get_or_insert(error);
                    }
                }
            }
            if !good.is_empty() {
                take(good)?;
            }
            report.reached += chunk.len();
        }
        Ok::<(), Error>(())
    })?;
    match first {
        Some(error) if report.broken.len() == report.reached && !job.is_wave() => {
            Err(error.context("no image could be read; the first"))
        }
        _ => Ok(report),
    }
}

/// As [`stream`], for a net: each batch is stacked, N x C x H x W, with the images' numbers in that order.
///
/// # Errors
/// As [`stream`], and where the net's card does not say how photos are preprocessed.
pub fn stream_tensors(
    model: &Model,
    data: &Dataset,
    ranges: &[Range<usize>],
    job: (&Job, &str),
    mut take: impl FnMut(&[usize], &Tensor) -> Result<()>,
) -> Result<StreamReport> {
    let preprocess = model.card().preprocess()?;
    let batch = job.0.through(model, 1, 2 * model.graph().peak_len(), 16);
    stream(
        ranges,
        batch,
        job,
        |i| preprocess.apply(&data.seen(i, preprocess)?),
        |items| {
            let (numbers, rows): (Vec<usize>, Vec<Tensor>) = items.into_iter().unzip();
            take(&numbers, &Tensor::stack(&rows, 0)?)
        },
    )
}

/// The result of a pass over a data set.
pub struct Folded<S> {
    /// The state.
    pub state: S,
    /// The images that are included.
    pub covered: Covered,
    /// How many images were reached, and which could not be read.
    pub report: StreamReport,
    /// The number of images of the pass.
    pub total: usize,
}

/// The question about a data set, for the states of a ledger: a probe or a method, its subject, its options.
///
/// # Errors
/// Where a weight cannot be read.
pub fn question(
    (probe, subject): (&str, String),
    options: serde_json::Value,
    nets: &[&Model],
    data: &Dataset,
    job: &Job,
) -> Result<Question> {
    let net = |model: &&Model| {
        let preprocess = serde_json::to_value(&model.card().preprocess).map_err(|e| Error::internal(e.to_string()))?;
        Ok(QuestionNet { name: model.card().name.clone(), weights: model.weights_digest()?, preprocess })
    };
    Ok(Question {
        probe: probe.to_string(),
        subject,
        options,
        nets: nets.iter().map(net).collect::<Result<_>>()?,
        data: data.identity(),
        images: data.len() as u64,
        seed: job.seed,
    })
}

/// Folds the images of a data set into a state. `over` streams ranges of images into one. Where the job has a ledger, only
/// those images are read that the ledger names and has no state of, wave by wave, and each wave's state is saved.
///
/// # Errors
/// Where `over` fails, a state of the ledger is one of another question, or, of a whole data set, no image can be read.
pub fn fold<S: State>(
    (job, label): (&Job, &str),
    data: &Dataset,
    ask: impl FnOnce() -> Result<Question>,
    empty: impl Fn() -> S,
    mut over: impl FnMut(&[Range<usize>], &mut S, &Job) -> Result<StreamReport>,
) -> Result<Folded<S>> {
    let n = data.len();
    let Some(ledger) = job.ledger() else {
        let mut state = empty();
        let report = over(std::slice::from_ref(&(0..n)), &mut state, job)?;
        let mut covered = Covered::new();
        covered.add(0..report.reached)?;
        return Ok(Folded { state, covered, report, total: n });
    };
    let part = ledger.part_of(n, &data.name)?;
    let (number, question) = (ledger.next(), ask()?);
    let mut kept = ledger.known(number, &question, empty())?;
    if let Some(other) = kept.covered.ranges().iter().find(|r| r.start < part.start || r.end > part.end) {
        return Err(Error::value(format!(
            "the state that is there holds images {} to {}, those asked for are {} to {}",
            other.start,
            other.end - 1,
            part.start,
            part.end.saturating_sub(1)
        ))
        .hint("name another file, or remove the state"));
    }
    let missing = kept.covered.missing(part.clone());
    if ledger.part.is_none() && !kept.covered.is_empty() {
        for gap in &missing {
            job.note(&format!("images {} to {} are in no state; they are computed now", gap.start, gap.end - 1));
        }
    }
    let most = ledger.wave.unwrap_or(usize::MAX).max(1);
    let waves =
        || missing.iter().flat_map(|g| g.clone().step_by(most).map(|from| from..from.saturating_add(most).min(g.end)));
    let count = missing.iter().map(|g| g.len().div_ceil(most)).sum();
    let inner = if count > 1 { job.of_wave().quiet() } else { job.of_wave() };
    for (_, wave) in job.steps(label, count).zip(waves()) {
        let mut state = empty();
        let report = over(std::slice::from_ref(&wave), &mut state, &inner)?;
        let mut covered = Covered::new();
        covered.add(wave.start..wave.start + report.reached)?;
        let done = Kept { state, covered, broken: report.broken };
        ledger.keep(number, &question, &done)?;
        kept.merge(done)?;
        if report.reached < wave.len() {
            break;
        }
    }
    let total = part.len();
    let reached = total - kept.covered.missing(part).iter().map(ExactSizeIterator::len).sum::<usize>();
    ledger.note(&question, &kept);
    let report = StreamReport { reached, broken: kept.broken };
    if ledger.part.is_none() {
        report.check()?;
    }
    Ok(Folded { state: kept.state, covered: kept.covered, report, total })
}

/// The images of a data set without those among the first `most` that cannot be read: for probes that take images in pairs
/// or by number. Only files are checked; where all can be read, the data set is the same.
///
/// # Errors
/// Where not one of them can be read.
pub fn readable(data: &Dataset, most: usize) -> Result<(Dataset, StreamReport)> {
    let look = |i: usize| {
        let item = data.item(i)?;
        match item.source {
            Source::File(_) => item.image().map(drop),
            _ => Ok(()),
        }
    };
    let (mut report, mut good, mut seen) = (StreamReport::default(), Vec::new(), 0);
    // What is broken is made up for by later images.
    while good.len() < most && seen < data.len() {
        let next = seen..(seen + (most - good.len()).min(data.len() - seen));
        seen = next.end;
        let results: Vec<(usize, Result<()>)> = next.into_par_iter().map(|i| (i, look(i))).collect();
        for (i, read) in results {
            good.extend(report.take(i, read)?.map(|()| i));
        }
    }
    report.check()?;
    if report.broken.is_empty() {
        return Ok((data.clone(), report));
    }
    let kept: Vec<usize> = good.into_iter().chain(seen..data.len()).collect();
    Ok((data.select(&kept)?, report))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
    use super::*;

    #[test]
    fn batches_come_in_order_and_the_broken_are_named() {
        let job = Job::new();
        let mut seen = Vec::new();
        let prepare = |i: usize| if i % 5 == 3 { Err(Error::format("bad")) } else { Ok(i * 10) };
        let report = stream(&[0..7, 20..24], 3, (&job, "test"), prepare, |items| {
            assert!(items.len() <= 3);
            seen.extend(items);
            Ok(())
        })
        .unwrap();
        let want: Vec<usize> = (0..7).chain(20..24).filter(|i| i % 5 != 3).collect();
        assert_eq!(seen, want.iter().map(|i| (*i, i * 10)).collect::<Vec<_>>());
        assert_eq!((report.reached, report.broken.len()), (11, 2));
        assert_eq!(report.note().unwrap(), "2 images could not be read and are skipped (image 3: bad; image 23: bad)");
    }

    #[test]
    fn errors_of_the_taker_end_it_and_all_broken_is_an_error() {
        let job = Job::new();
        let error = stream(&[0..9], 2, (&job, "test"), Ok, |_| Err(Error::value("no"))).unwrap_err();
        assert_eq!(error.message, "no");
        let error = stream(&[0..9], 2, (&job, "test"), |_| Err::<(), _>(Error::format("bad")), |_| Ok(())).unwrap_err();
        assert!(error.message.ends_with("bad"), "{error}");
        job.signal.stop();
        assert_eq!(stream(&[0..9], 2, (&job, "test"), Ok, |_| Ok(())).unwrap().reached, 0);
    }
}
