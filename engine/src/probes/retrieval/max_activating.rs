//! The images that excite a unit, a channel, every channel of a layer, or any direction most.
//!
//! Girshick et al. 2013, "Rich feature hierarchies", section 3.1: show what a unit fires for, after non-maximum
//! suppression; Zeiler, Fergus 2013, section 4: with its projection to pixels.

use crate::data::{Dataset, Image, Interpolation, PixelBox};
use crate::error::{Error, Result};
use crate::graph::ReceptiveField;
use crate::job::Job;
use crate::params::Params as _;
use crate::probe::Probe;
use crate::probes::attribution::saliency_box::framed;
use crate::probes::retrieval::top_activations::{Query, Thinning, TopActivations};
use crate::rules::Rules;
use crate::show::{Artifact, Cell, Part, Pictures, Table};
use crate::stream::{fold, question, stream_tensors};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use candle_core::Tensor;
use std::ops::Range;

crate::choice! {
    /// What is drawn beside each crop.
    pub enum Projection {
        /// Nothing.
        None = "none",
        /// The DeconvNet's projection of that activation.
        Deconvnet = "deconvnet",
        /// The guided gradient of that activation.
        Guided = "guided_backprop",
        /// The gradient of that activation.
        Gradient = "gradient",
    }
}

impl Projection {
    /// The backward rules, where something is drawn.
    pub fn rules(self) -> Option<Rules> {
        match self {
            Projection::None => None,
            Projection::Deconvnet => Some(Rules::deconvnet()),
            Projection::Guided => Some(Rules::guided_backprop()),
            Projection::Gradient => Some(Rules::gradient()),
        }
    }
}

crate::choice! {
    /// How an activation is shown.
    pub enum Draw {
        /// The unit's receptive field.
        Crop = "crop",
        /// The whole image as the net sees it, with the receptive field framed in white.
        Field = "field",
    }
}

crate::params! {
    /// The `top` largest activations over a data set, in one pass for all channels of a layer, each with the unit's receptive
    /// field as a crop, its value and its image.
    ///
    /// Arrays: `values`, `images` and `places` (row, column of the layer's map), one row a channel, strongest first (NaN
    /// and -1 where there are fewer; `images` in f64 where the data set has more than 2^24); `mean` and `std` of the images'
    /// maxima; `state`, with which an interrupted run is continued and parts of a data set are joined: bit for bit the result
    /// of one whole run.
    #[probe(
        family = Images,
        source = "Girshick et al. 2013, section 3.1; Zeiler, Fergus 2013, section 4",
        subjects = "a layer (all its channels), a channel, a unit, a direction or a class",
        input = Data,
        example = "max_activating(#{ top: 4, show: 2 }).run(net.layer(\"conv3\"), data)"
    )]
    pub struct MaxActivating as "max_activating" {
        /// Activations kept for each channel.
        top: usize = 9, in 1..=10_000;
        /// Activations from one image at most.
        per_image: usize = 1, in 1..=1000;
        /// Non-maximum suppression within an image: an activation is left out where its receptive field overlaps that of a
        /// larger one by more than this (intersection over union); needs `per_image` above 1.
        overlap: f64 = 0.3, in 0.0..=1.0;
        /// What is shown beside each crop.
        project: Projection = Projection::None;
        /// How each activation is shown: its receptive field as a crop, or framed in white on the whole image.
        draw: Draw = Draw::Crop;
        /// Whether values are given as shares of the largest activation of the same channel.
        share: bool = false;
        /// Channels of a layer shown: those whose largest activation is the most standard deviations above the mean of the
        /// images' maxima. The arrays have all.
        show: usize = 6, in 1..=1000;
        /// Compute only part i of n of the data set, as [i, n] with i from 0.
        part: Vec<usize> = Vec::new();
        /// The arrays `state` of earlier runs: interrupted runs are continued, parts are joined.
        states: Vec<Tensor> = Vec::new();
    }
}

impl Probe for MaxActivating {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let query = Query::of(on)?;
        let data = input.data()?;
        let fingerprint = self.fingerprint(&query, &data)?;
        let empty = || TopActivations::new(query.names.len(), self.top, fingerprint);
        let thinning = Thinning { per_image: self.per_image, overlap: self.overlap, field: query.field() };
        let tap = query.tap()?;
        let over = |ranges: &[Range<usize>], maxima: &mut TopActivations, job: &Job| {
            stream_tensors(&query.model, &data, ranges, (job, "max_activating"), |numbers, x| {
                let answers = query.answers(&query.model.forward(x, &tap)?)?;
                let each = answers.len() / numbers.len();
                numbers.iter().zip(answers.chunks(each)).for_each(|(i, a)| maxima.add(*i, a, query.map[1], &thinning));
                Ok(())
            })
        };
        if job.ledger().is_some() && self.part.is_empty() && self.states.is_empty() {
            let ask = || question((self.name(), on.to_string()), self.settings(), &[&query.model], &data, job);
            let folded = fold((job, "max_activating"), &data, ask, empty, over)?;
            let mut maxima = folded.state;
            maxima.covered = folded.covered;
            let made = self.report(on, &query, &maxima, &data)?;
            return Ok(made.notes(folded.report.note()).reached(folded.report.reached, folded.total));
        }
        let whole = self.whole(data.len())?;
        let mut maxima = empty();
        for state in &self.states {
            maxima.merge(&TopActivations::read(state)?)?;
        }
        let missing = maxima.covered.missing(whole);
        let report = over(&missing, &mut maxima, job)?;
        let mut left = report.reached;
        for range in &missing {
            let done = left.min(range.len());
            maxima.covered.add(range.start..range.start + done)?;
            left -= done;
        }
        let total: usize = missing.iter().map(ExactSizeIterator::len).sum();
        let mut artifact = self.report(on, &query, &maxima, &data)?;
        if let Some(note) = report.note() {
            artifact = artifact.note(note);
        }
        Ok(artifact.reached(report.reached, total))
    }
}

impl MaxActivating {
    /// The images that this run is about.
    fn whole(&self, n: usize) -> Result<Range<usize>> {
        match self.part[..] {
            [] => Ok(0..n),
            [i, of] if i < of => Ok(n * i / of..n * (i + 1) / of),
            _ => Err(Error::value(format!("option `part` takes [i, n] with i below n, got {:?}", self.part))),
        }
    }

    fn fingerprint(&self, query: &Query, data: &Dataset) -> Result<u64> {
        let ends = [0, data.len().saturating_sub(1)].map(|i| data.item(i).map(|item| item.caption(i)).ok());
        query.fingerprint(&serde_json::json!([self.top, self.per_image, self.overlap, data.name, data.len(), ends]))
    }

    fn report(&self, on: &Subject, query: &Query, maxima: &TopActivations, data: &Dataset) -> Result<Artifact> {
        let (q, k) = (query.names.len(), self.top);
        let (mut values, mut images) = (vec![f32::NAN; q * k], vec![-1f64; q * k]);
        let mut places = vec![-1f32; q * k * 2];
        let input = &query.model.input_shape()[1..];
        let size = [input.first().copied().unwrap_or(1), input.get(1).copied().unwrap_or(1)];
        let mut table = Table::new(["of", "rank", "value", "image", "name", "row", "column", "sees"]);
        for (i, top) in maxima.tops.iter().enumerate() {
            for (rank, peak) in top.peaks().iter().enumerate() {
                let at = query.position(peak.place);
                values[i * k + rank] = peak.value;
                images[i * k + rank] = peak.image as f64;
                places[(i * k + rank) * 2..][..2].copy_from_slice(&at.map(|v| v as f32));
                let [t, l, b, r] = query.field().window(at[0], at[1], size);
                let item = data.item(peak.image)?;
                table.push([
                    query.names[i].as_str().into(),
                    (rank + 1).into(),
                    f64::from(peak.value).into(),
                    peak.image.into(),
                    item.path().and_then(|p| p.file_name()).map_or_else(
                        || item.label.as_deref().map_or(Cell::Nothing, Into::into),
                        |f| f.to_string_lossy().into_owned().into(),
                    ),
                    at[0].into(),
                    at[1].into(),
                    format!("{} x {} at ({l}, {t})", r - l, b - t).into(),
                ]);
            }
        }
        let seen = maxima.covered.count();
        let mut artifact = Artifact::new(format!("what excites {on} most in {seen} images of {}", data.name))
            .array("values", tensor(values, &[q, k])?)
            .array("images", numbers(images, data.len(), &[q, k])?)
            .array("places", tensor(places, &[q, k, 2])?)
            .array("mean", tensor(maxima.moments.iter().map(|m| m.mean() as f32).collect(), &[q])?)
            .array("std", tensor(maxima.moments.iter().map(|m| m.std() as f32).collect(), &[q])?)
            .array("state", maxima.write()?);
        for i in standing_out(maxima).into_iter().take(self.show) {
            artifact = artifact.part(Part::Pictures(self.row(query, maxima, i, data, size)?));
        }
        if q > self.show {
            artifact = artifact.note(format!(
                "shown are the {} of {q} whose strongest answer stands out most from their images' maxima; the table has all",
                self.show
            ));
        }
        let sees = match query.field() {
            ReceptiveField::Local { size: [h, w], stride: [a, b], .. } => {
                format!("crops are receptive fields on the net's input: {h} x {w} px, {a} x {b} px apart")
            }
            _ => "the answer sees the whole input".to_string(),
        };
        Ok(artifact.note(sees).part(Part::Table("strongest answers".into(), table)))
    }

    /// The crops of one question.
    fn row(
        &self,
        query: &Query,
        maxima: &TopActivations,
        i: usize,
        data: &Dataset,
        size: [usize; 2],
    ) -> Result<Pictures> {
        let moments = &maxima.moments[i];
        let title = format!(
            "{}: images' maxima {:.3} ± {:.3}, above zero in {:.0} %",
            query.names[i],
            moments.mean(),
            moments.std(),
            100.0 * moments.positive()
        );
        let preprocess = query.model.card().preprocess()?;
        let mut images = Vec::new();
        for peak in maxima.tops[i].peaks().iter().take(12) {
            let item = data.item(peak.image)?;
            let photo = item.seen(preprocess)?;
            let [y, x] = query.position(peak.place);
            let window = FieldWindow::of(&query.field(), [y, x], size);
            let value = match (self.share, maxima.tops[i].peaks().first()) {
                (true, Some(first)) => format!("{:.2} of {:.2}", peak.value / first.value, first.value),
                _ => format!("{:.2}", peak.value),
            };
            let seen = preprocess.fit(&photo)?;
            let drawn = match self.draw {
                Draw::Crop => window.crop(&seen)?,
                Draw::Field => window.framed(&seen, size),
            };
            let name = match &item.label {
                Some(label) => format!("{label}, no. {}", peak.image),
                None => item.caption(peak.image),
            };
            images.push((drawn, format!("{value}: {name}")));
            if let (Some(rules), Some(unit)) = (self.project.rules(), query.subject_at(i, peak.place)) {
                let prepared = Input::Image(photo).prepared(&query.model)?;
                let signal = crate::probes::attribution::input_signal(&unit, &prepared.x, &rules)?.squeeze(0)?;
                images.push((
                    window.crop(&crate::probes::attribution::projections::picture(&query.model, &signal)?)?,
                    String::new(),
                ));
            }
        }
        let beside = if self.project == Projection::None { 1 } else { 2 };
        let columns = if beside == 2 { 8 } else { images.len().clamp(1, 9) };
        Ok(Pictures { title, images, columns: Some(columns) })
    }
}

/// Image numbers as an array: in f32 where it holds all of the data set's exactly, in f64 where not.
///
/// # Errors
/// Where their number does not fit the shape.
pub fn numbers(images: Vec<f64>, of: usize, dims: &[usize]) -> Result<Tensor> {
    if of <= 1 << 24 { tensor(images.into_iter().map(|i| i as f32).collect(), dims) } else { tensor(images, dims) }
}

/// The questions, first those whose largest activation is the most standard deviations above the mean maximum.
pub fn standing_out(maxima: &TopActivations) -> Vec<usize> {
    let height = |i: usize| {
        let (top, m) = (maxima.tops[i].peaks().first().map_or(0.0, |p| f64::from(p.value)), &maxima.moments[i]);
        let z = (top - m.mean()) / m.std().max(1e-9);
        if z.is_finite() { z } else { 0.0 }
    };
    let heights: Vec<f64> = (0..maxima.tops.len()).map(height).collect();
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|a, b| heights[*b].total_cmp(&heights[*a]).then(a.cmp(b)));
    order
}

/// A receptive field as a part of the net's input; its part in the padding is pale grey.
pub struct FieldWindow {
    top: isize,
    left: isize,
    size: [usize; 2],
}

/// Where a receptive field leaves the image.
const OUTSIDE: [u8; 3] = [232, 232, 232];
/// Side to which small crops are enlarged, px.
const ENLARGED_SIDE: usize = 96;

impl FieldWindow {
    /// The receptive field of unit (y, x) in an input of height and width `input`; a field larger than the input is the input.
    pub fn of(field: &ReceptiveField, [y, x]: [usize; 2], input: [usize; 2]) -> Self {
        match *field {
            ReceptiveField::Local { size, stride, start, .. } if size[0] <= input[0] && size[1] <= input[1] => {
                let from = |a: usize, i: usize| start[a] + (i * stride[a]) as isize;
                FieldWindow { top: from(0, y), left: from(1, x), size }
            }
            _ => {
                let [t, l, b, r] = field.window(y, x, input);
                FieldWindow { top: t as isize, left: l as isize, size: [(b - t).max(1), (r - l).max(1)] }
            }
        }
    }

    /// The part of the net's input, small ones enlarged by a whole factor.
    ///
    /// # Errors
    /// Where the picture cannot be made.
    pub fn crop(&self, seen: &Image) -> Result<Image> {
        let [h, w] = self.size;
        let mut pixels = OUTSIDE.repeat(h * w);
        for (i, out) in pixels.chunks_exact_mut(3).enumerate() {
            let (y, x) = (self.top + (i / w) as isize, self.left + (i % w) as isize);
            if let (Ok(y), Ok(x)) = (usize::try_from(y), usize::try_from(x))
                && let Some(colour) = seen.pixel(x, y)
            {
                out.copy_from_slice(&colour);
            }
        }
        let factor = ENLARGED_SIDE.div_ceil(h.max(w)).max(1);
        Image::new(w, h, pixels)?.resize(w * factor, h * factor, Interpolation::Nearest)
    }

    /// The net's input with a white frame around the part, as far as it lies inside.
    pub fn framed(&self, seen: &Image, input: [usize; 2]) -> Image {
        let Some(b) = self.inside(input) else { return seen.clone() };
        let corners = [b.left, b.top, b.left + b.width, b.top + b.height].map(|v| v as f64);
        framed(seen, corners, [255; 3])
    }

    /// The part that lies within an image of height and width `input`, if any does.
    pub fn inside(&self, [h, w]: [usize; 2]) -> Option<PixelBox> {
        let span = |from: isize, n: usize, limit: usize| {
            let (a, b) = (from.max(0), (from + n as isize).min(limit as isize));
            (a < b).then(|| (a as usize, (b - a) as usize))
        };
        let ((top, height), (left, width)) = (span(self.top, self.size[0], h)?, span(self.left, self.size[1], w)?);
        Some(PixelBox { left, top, width, height })
    }
}
