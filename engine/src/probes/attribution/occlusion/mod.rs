//! Occlusion: a patch slides over the input; what happens to the class, and to the strongest feature map?
//!
//! Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 4.2 and figure 7.

mod patch;
mod positions;
mod watch;
mod windows;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::show::{Artifact, ClassMap, Map, Part, Scale, Style};
use crate::subject::{Input, Prepared, Subject};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;
use positions::Positions;
use watch::{Watch, WatchedValues, watched_layer};

pub use patch::{Extent, Fill, pixels};

crate::params! {
    /// Zeiler's three occlusion maps: the class's probability with the patch at each position, the most probable class at that
    /// position, and the sum of the feature map whose sum is largest for the whole image.
    ///
    /// Position (i, j) has the patch's top left corner at (i, j) x stride; there are ceil((H - patch) / stride) + 1
    /// rows, and the last patch is clipped at the border. Where the stride is larger than the patch, a last position outside
    /// the image is left out. For a channel, unit, direction or sum the first map is its score.
    ///
    /// In a signal a window of samples is hidden, in a volume a box of voxels, in all channels; then only the first map is made.
    #[probe(
        family = Where,
        source = "Zeiler, Fergus 2013, section 4.2",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "occlusion(#{ patch: 16, stride: 8 }).run(net, image)"
    )]
    pub struct Occlusion as "occlusion" {
        /// Side of the patch, px of the net's input, [rows, columns] or [depth, rows, columns]; 32 for inputs of 192 to 256 px
        /// unless given, in proportion for others.
        patch: Extent = Extent::InProportion;
        /// Distance between positions, px of the net's input, [down, right] or one for each axis of a volume; 8 for inputs of
        /// 192 to 256 px unless given, in proportion for others.
        stride: Extent = Extent::InProportion;
        /// What the patch is filled with: "zero" (of the preprocessed input), "mean" (of this input, by channel), "grey" (pixel
        /// 127.5), or a colour [r, g, b] in 0-255.
        fill: Fill = Fill::Zero;
        /// The layer whose strongest feature map is watched; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

/// Positions that are computed together: few enough that the values they change mostly stay in the caches, more where reading
/// weights dominates.
fn together(model: &Model) -> usize {
    let shared = model.weights().count().div_ceil(model.graph().trace_len().max(1));
    (16 * shared).min(64)
}

impl Probe for Occlusion {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let model = target.model()?;
        let [_, _, height, width] = prepared.x.dims()[..] else {
            return windows::run(self, &target, &prepared, job);
        };
        let places = self.positions([height, width])?;
        if places.patch[0] > height || places.patch[1] > width {
            let patch = pixels(places.patch);
            return Err(Error::value(format!("a patch of {patch} on an input of {height} x {width} px")));
        }
        let watched = match &self.layer {
            Some(name) => Some(model.layer(&name.0)?),
            None => watched_layer(model, &target)?,
        };
        let probe = Watch::new(model, &target, watched, &prepared.x)?;
        let fill = self.fill.values(model, &prepared.x)?;
        let base = to_f32(&prepared.x)?;
        let batch = job.batch(model, 2 * model.graph().peak_len() + base.len(), together(model));
        let mut found = WatchedValues::nothing(places.len());
        // Blocks, on which the choice of kernels depends, follow from shapes; memory says how much of one is computed at once.
        let blocks = places.blocks(together(model), &probe.pass);
        for block in job.steps("occlusion", blocks.len()) {
            let starts: Vec<[usize; 2]> = blocks[block].iter().map(|i| places.corner(*i)).collect();
            for first in (0..starts.len()).step_by(batch) {
                let part = first..(first + batch).min(starts.len());
                let which = &blocks[block][part.clone()];
                let tiles = places.tiles(&base, &fill, which)?;
                probe.note(which, &probe.pass.run_part(&starts, part, tiles)?, &mut found)?;
            }
        }
        let done = found.done;
        self.artifact(&target, &prepared, &probe, &places, found).map(|a| a.reached(done, places.len()))
    }

    fn importance(&self, map: &Tensor, size: [usize; 2]) -> Result<Vec<f64>> {
        // A pixel matters as much as the score is low where patches cover it, on average.
        let places = self.positions(size)?;
        let values = to_f64(map)?;
        if values.len() != places.len() {
            return Err(Error::shape(format!("{:?} is no occlusion map with this patch and stride", map.dims())));
        }
        let (mut sum, mut count) = (vec![0.0; size[0] * size[1]], vec![0usize; size[0] * size[1]]);
        for (i, value) in values.iter().enumerate() {
            let [rows, columns] = places.cover(i);
            for y in rows {
                for at in y * size[1] + columns.start..y * size[1] + columns.end {
                    sum[at] -= value;
                    count[at] += 1;
                }
            }
        }
        let lowest = -values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(sum.iter().zip(&count).map(|(s, n)| if *n > 0 { s / *n as f64 - lowest } else { 0.0 }).collect())
    }
}

impl Occlusion {
    fn positions(&self, input: [usize; 2]) -> Result<Positions> {
        Ok(Positions::new(self.patch.on(input, 32)?, self.stride.on(input, 8)?, input))
    }

    fn artifact(
        &self,
        target: &Subject,
        prepared: &Prepared,
        probe: &Watch<'_>,
        places: &Positions,
        found: WatchedValues,
    ) -> Result<Artifact> {
        let (model, extent) = (probe.model, Some(places.extent()));
        let grid = |values: Vec<f32>| tensor(values, &[places.rows, places.columns]);
        let map = |title: String, values: &Tensor, label: &str, scale: Scale| {
            Part::Map(Map {
                title,
                values: values.clone(),
                label: label.to_string(),
                scale,
                photo: prepared.photo.clone(),
                placement: prepared.placement,
                extent,
                input: places.input,
                style: Style::Overlay,
            })
        };
        let is_class = matches!(target, Subject::Class { .. });
        let readout = model.readout();
        let what = target.watched_word();
        let scale = match what {
            "score" => Scale::Falling { low: None, high: None },
            _ => Scale::Falling { low: Some(0.0), high: Some(1.0) },
        };
        let classes: Vec<usize> = found.best.iter().filter(|b| !b.is_nan()).map(|b| *b as usize).collect();
        let (score, best) = (grid(found.score)?, grid(found.best)?);
        let mut artifact = Artifact::new(format!("occlusion of {target} in {}", model.card().name))
            .part(map(format!("{what} of {target}"), &score, what, scale))
            .array(what, score);
        if probe.classifies {
            artifact = artifact
                .part(Part::ClassMap(ClassMap {
                    title: "most probable class".into(),
                    values: best.clone(),
                    names: frequent(&classes, model),
                    photo: prepared.photo.clone(),
                    placement: prepared.placement,
                    extent,
                    input: places.input,
                }))
                .array("best", best);
        }
        if let Some((node, channel)) = probe.watched {
            let name = &model.graph().node(node).name;
            let activity = grid(found.activity)?;
            let scale = Scale::Falling { low: None, high: None };
            artifact = artifact
                .part(map(format!("activity of {name}[{channel}]"), &activity, "sum of activations", scale))
                .array("activity", activity)
                .note(format!(
                    "{name}[{channel}] responds most to the whole image: its activations sum to {:.4}",
                    probe.base_activity
                ));
        }
        if is_class {
            artifact = artifact.notes(readout.note());
        }
        Ok(artifact.note(format!("without the patch: {what} of {target} {:.4}", probe.base_score)).note(format!(
            "{} positions, patch {}, stride {}",
            places.len(),
            pixels(places.patch),
            pixels(places.stride)
        )))
    }
}

/// The classes that occur, most frequent first, equal ones by number.
fn frequent(classes: &[usize], model: &Model) -> Vec<(usize, String)> {
    let mut counts = std::collections::BTreeMap::new();
    classes.iter().for_each(|c| *counts.entry(*c).or_insert(0usize) += 1);
    let mut order: Vec<(usize, usize)> = counts.into_iter().collect();
    order.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), *class));
    order.into_iter().map(|(class, _)| (class, model.card().class_name(class))).collect()
}
