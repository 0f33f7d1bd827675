//! Occlusion of signals and volumes: a window along time or a box of voxels is hidden at each position, in all channels, and the
//! net computed again.

use super::super::recorded;
use super::{Extent, Occlusion, together};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::pass::Tap;
use crate::show::{Artifact, Scale};
use crate::subject::{Prepared, Subject};
use crate::tensor::{tensor, to_f32};
use candle_core::DType;

/// Where the window stands along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Steps {
    input: usize,
    patch: usize,
    stride: usize,
    count: usize,
}

impl Steps {
    fn new(input: usize, patch: usize, stride: usize) -> Self {
        let last = input.saturating_sub(patch).div_ceil(stride);
        // Only a stride larger than the patch can leave the last patch behind the border.
        let count = if last > 0 && last * stride >= input { last } else { last + 1 };
        Steps { input, patch, stride, count }
    }

    fn cover(&self, i: usize) -> std::ops::Range<usize> {
        (i * self.stride).min(self.input)..(i * self.stride + self.patch).min(self.input)
    }

    /// The part of the input that the map covers when each value is drawn around its patch's centre.
    fn extent(&self) -> [f64; 2] {
        let start = (self.patch as f64 - self.stride as f64) / 2.0;
        [start, start + (self.count * self.stride) as f64]
    }
}

/// The occlusion map over a signal or a volume.
///
/// # Errors
/// Where the window does not fit the input, or as the passes.
pub(super) fn run(probe: &Occlusion, target: &Subject, prepared: &Prepared, job: &Job) -> Result<Artifact> {
    let model = target.model()?;
    let dims = prepared.x.dims();
    let (channels, sizes) = match dims {
        [_, length] => (1, vec![*length]),
        [_, channels, places @ ..] => (*channels, places.to_vec()),
        _ => return Err(Error::subject(format!("`{}` takes {:?}", model.card().name, model.input_shape()))),
    };
    let (patch, stride) = (sides(probe.patch, &sizes, 32)?, sides(probe.stride, &sizes, 8)?);
    let steps: Vec<Steps> = (0..sizes.len()).map(|a| Steps::new(sizes[a], patch[a], stride[a])).collect();
    if patch.iter().zip(&sizes).any(|(p, n)| p > n) {
        return Err(Error::value(format!("a window of {} on an input of {}", times(&patch), times(&sizes))));
    }
    if probe.layer.is_some() {
        return Err(Error::value("option `layer` of `occlusion` watches maps of images")
            .hint("leave it out: of signals and volumes the score is watched"));
    }
    let counts: Vec<usize> = steps.iter().map(|s| s.count).collect();
    let total: usize = counts.iter().product();
    let fill = probe.fill.values(model, &prepared.x)?;
    let base = to_f32(&prepared.x)?;
    let tap = Tap::Only(target.watched_nodes()?);
    let without = target.watched(&model.forward(&prepared.x, &tap)?)?[0];
    let batch = job.batch(model, 2 * model.graph().peak_len() + base.len(), together(model));
    let mut found = vec![f32::NAN; total];
    let mut done = 0;
    for chunk in job.steps("occlusion", total.div_ceil(batch)) {
        let which = chunk * batch..((chunk + 1) * batch).min(total);
        let mut values = Vec::with_capacity(which.len() * base.len());
        for i in which.clone() {
            let from = values.len();
            values.extend_from_slice(&base);
            hide(&mut values[from..], &steps, i, &fill, channels);
        }
        let x = tensor(values, &[&[which.len()], &dims[1..]].concat())?.to_dtype(prepared.x.dtype())?;
        let scores = target.watched(&model.forward(&x, &tap)?)?;
        which.clone().zip(scores).for_each(|(i, score)| found[i] = score as f32);
        done = which.end;
    }
    let what = target.watched_word();
    let (low, high) = if what == "score" { (None, None) } else { (Some(0.0), Some(1.0)) };
    let map = tensor(found, &counts)?.to_dtype(DType::F32)?;
    let cover = steps.iter().map(Steps::extent).collect();
    let title = format!("{what} of {target}");
    let part = recorded::part(&title, prepared, &map, what, Scale::Falling { low, high }, Some(&cover))?;
    let part = part.ok_or_else(|| Error::subject(format!("windows over an input of {dims:?}")))?;
    let artifact = Artifact::new(format!("occlusion of {target} in {}", model.card().name)).part(part).array(what, map);
    let artifact = match target {
        Subject::Class { .. } => artifact.notes(model.readout().note()),
        _ => artifact,
    };
    Ok(artifact
        .note(format!("without the window: {what} of {target} {without:.4}"))
        .note(format!("{total} positions, window {}, stride {}", times(&patch), times(&stride)))
        .reached(done, total))
}

/// Fills the window at position `i`, the last axis fastest.
fn hide(x: &mut [f32], steps: &[Steps], i: usize, fill: &[f32], channels: usize) {
    let mut rest = i;
    let mut covers = vec![0..0; steps.len()];
    for (cover, step) in covers.iter_mut().zip(steps).rev() {
        *cover = step.cover(rest % step.count);
        rest /= step.count;
    }
    let Some((last, outer)) = covers.split_last() else { return };
    let plane = x.len() / channels.max(1);
    for (channel, value) in x.chunks_mut(plane).zip(fill) {
        let mut lines = vec![0];
        for (a, cover) in outer.iter().enumerate() {
            let length: usize = steps[a + 1..].iter().map(|s| s.input).product();
            lines = lines.iter().flat_map(|at| cover.clone().map(move |p| at + p * length)).collect();
        }
        lines.iter().for_each(|at| channel[at + last.start..at + last.end].fill(*value));
    }
}

/// A window's or a stride's entries along each axis: as asked, else in proportion to the shortest axis as on images.
fn sides(extent: Extent, sizes: &[usize], usual: usize) -> Result<Vec<usize>> {
    let shortest = sizes.iter().copied().min().unwrap_or(1);
    match (extent, sizes.len()) {
        (Extent::InProportion, n) => Ok(vec![((shortest * usual) as f64 / 224.0).round().max(1.0) as usize; n]),
        (Extent::Of([a, b]), n) if a == b => Ok(vec![a; n]),
        (Extent::Volume(three), 3) => Ok(three.to_vec()),
        (other, n) => Err(Error::value(format!(
            "a window of {} on an input of {}",
            other.sides().iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
            times(sizes)
        ))
        .hint(match n {
            3 => "give one number, or [depth, rows, columns]",
            _ => "give one number of samples",
        })),
    }
}

fn times(sides: &[usize]) -> String {
    let unit = if sides.len() == 1 { "samples" } else { "voxels" };
    format!("{} {unit}", sides.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_hidden_in_every_channel() {
        let steps = [Steps::new(3, 2, 1), Steps::new(4, 2, 2)];
        assert_eq!(steps.map(|s| s.count), [2, 2]);
        let mut x = vec![1.0; 24];
        hide(&mut x, &steps, 3, &[0.0, 5.0], 2);
        let expected = [1., 1., 1., 1., 1., 1., 0., 0., 1., 1., 0., 0.];
        assert_eq!(x[..12], expected);
        assert_eq!(x[12..].iter().map(|v| if *v == 5.0 { 0.0 } else { *v }).collect::<Vec<f32>>(), expected);
        assert_eq!(Steps::new(10, 3, 4).cover(2), 8..10);
    }
}
