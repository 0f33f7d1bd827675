//! The running state of the top-k activations: as an array for scripts, as columns for state files.

use super::Thinning;
use crate::accumulators::fields::{read_moments, read_tops, write_moments, write_tops};
use crate::accumulators::{Covered, Field, Fields, Moments, Peak, State, Top};
use crate::error::{Error, Result};
use crate::tensor::{tensor, values};
use candle_core::Tensor;

/// The running state: for each question its strongest peaks and the moments of the images' maxima.
#[derive(Clone, Debug, PartialEq)]
pub struct TopActivations {
    /// The images that are included.
    pub covered: Covered,
    /// The strongest peaks of each question.
    pub tops: Vec<Top>,
    /// For each question, the moments of the images' maxima.
    pub moments: Vec<Moments>,
    fingerprint: u64,
    k: usize,
}

/// The first number of a written state.
const MAGIC: f32 = 7211.0;

impl TopActivations {
    /// The state of no image: for each of `questions` the `k` strongest; `fingerprint` is that of the query.
    pub fn new(questions: usize, k: usize, fingerprint: u64) -> Self {
        TopActivations {
            covered: Covered::new(),
            tops: vec![Top::new(k); questions],
            moments: vec![Moments::new(); questions],
            fingerprint,
            k,
        }
    }

    /// Adds one image's activations, question by question; the caller adds its number to `covered`.
    pub fn add(&mut self, image: usize, answers: &[f32], columns: usize, thinning: &Thinning) {
        let plane = answers.len() / self.tops.len().max(1);
        for ((map, top), moments) in answers.chunks(plane.max(1)).zip(&mut self.tops).zip(&mut self.moments) {
            let peaks = thinning.peaks(map, columns);
            moments.add(peaks[0].0);
            peaks.into_iter().for_each(|(value, place)| top.add(Peak { value, image, place }));
        }
    }

    /// Merges another shard's state.
    ///
    /// # Errors
    /// Where it is of another query, or an image would count twice.
    pub fn merge(&mut self, other: &TopActivations) -> Result<()> {
        if (self.fingerprint, self.k, self.tops.len()) != (other.fingerprint, other.k, other.tops.len()) {
            return Err(Error::value("a state of another question: net, subject, options or data set differ")
                .hint("states join where everything but `part` is the same"));
        }
        self.covered.merge(&other.covered)?;
        self.tops.iter_mut().zip(&other.tops).for_each(|(a, b)| a.merge(b));
        self.moments.iter_mut().zip(&other.moments).for_each(|(a, b)| a.merge(b));
        Ok(())
    }

    /// The state as numbers that f32 holds exactly.
    ///
    /// # Errors
    /// Where the tensor cannot be made.
    pub fn write(&self) -> Result<Tensor> {
        let mut out = vec![MAGIC];
        let split = |v: u64, out: &mut Vec<f32>| (0..4).for_each(|i| out.push((v >> (16 * i) & 0xffff) as f32));
        let ranges = self.covered.ranges();
        for v in [self.fingerprint, self.k as u64, self.tops.len() as u64, ranges.len() as u64] {
            split(v, &mut out);
        }
        for range in ranges {
            split(range.start as u64, &mut out);
            split(range.end as u64, &mut out);
        }
        for (top, moments) in self.tops.iter().zip(&self.moments) {
            split(top.peaks().len() as u64, &mut out);
            for peak in top.peaks() {
                out.push(peak.value);
                split(peak.image as u64, &mut out);
                split(peak.place as u64, &mut out);
            }
            moments.write(&mut out);
        }
        let n = out.len();
        tensor(out, &[n])
    }

    /// The state that [`TopActivations::write`] wrote.
    ///
    /// # Errors
    /// Where the tensor is none.
    pub fn read(state: &Tensor) -> Result<Self> {
        let state = state.flatten_all()?.to_dtype(candle_core::DType::F32)?;
        let numbers = values::<f32>(&state)?;
        let mut rest = StateReader(&numbers);
        if rest.take(1)?[0] != MAGIC {
            return Err(StateReader::damaged());
        }
        let (fingerprint, k, questions, ranges) = (rest.number()?, rest.number()?, rest.number()?, rest.number()?);
        let mut state = TopActivations::new(0, k as usize, fingerprint);
        for _ in 0..ranges {
            state.covered.add(rest.number()? as usize..rest.number()? as usize)?;
        }
        for _ in 0..questions {
            let mut top = Top::new(k as usize);
            for _ in 0..rest.number()? {
                let value = rest.take(1)?[0];
                top.add(Peak { value, image: rest.number()? as usize, place: rest.number()? as usize });
            }
            state.tops.push(top);
            state.moments.push(Moments::read(rest.take(Moments::WRITTEN)?)?);
        }
        Ok(state)
    }
}

impl State for TopActivations {
    const KIND: &'static str = "max_activating 1";

    fn merge(&mut self, other: Self) -> Result<()> {
        TopActivations::merge(self, &other)
    }

    fn write(&self) -> Fields {
        let fields = Fields::new().with("fingerprint", Field::Words(vec![self.fingerprint]));
        write_moments(&self.moments, write_tops(&self.tops, self.k, fields))
    }

    fn read(fields: &Fields) -> Result<Self> {
        let (tops, k) = read_tops(fields)?;
        let (moments, fingerprint) = (read_moments(fields)?, fields.words("fingerprint")?);
        fields.check(moments.len() == tops.len() && fingerprint.len() == 1)?;
        Ok(TopActivations { covered: Covered::new(), tops, moments, fingerprint: fingerprint[0], k })
    }
}

/// The rest of a state that has not been read.
struct StateReader<'a>(&'a [f32]);

impl<'a> StateReader<'a> {
    fn damaged() -> Error {
        Error::value("this is no state of `max_activating`").hint("a state is the array `state` of an earlier run")
    }

    fn take(&mut self, n: usize) -> Result<&'a [f32]> {
        let (head, tail) = self.0.split_at_checked(n).ok_or_else(Self::damaged)?;
        self.0 = tail;
        Ok(head)
    }

    fn number(&mut self) -> Result<u64> {
        Ok(self.take(4)?.iter().rev().fold(0, |v, p| v << 16 | *p as u64))
    }
}
