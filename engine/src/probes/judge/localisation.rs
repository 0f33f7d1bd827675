//! Does a net that was not trained on boxes localise objects? A box from each map over a data set, compared with the known box.
//!
//! Simonyan, Vedaldi, Zisserman 2013, section 3.2 (the box by a graph cut, the challenge's top-5 rule); Choe et al. 2020,
//! "Evaluating Weakly Supervised Object Localization Methods Right", section 3 (known class, every threshold, MaxBoxAcc).

use crate::data::Image;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attribution::saliency_box::{RED, SaliencyBox, bounds, framed, on_photo};
use crate::probes::judge::{ProbeList, pixels};
use crate::probes::measure::answers;
use crate::show::{Artifact, Mark, Part, Pictures, Plot, Series, Table};
use crate::space::graph_cut::largest_part;
use crate::stats::{Z95, wilson};
use crate::stream::StreamReport;
use crate::subject::{Input, Prepared, Subject};
use crate::tensor::tensor;
use rayon::prelude::*;

/// The overlaps at which the best threshold is sought.
const OVERLAPS: [f64; 3] = [0.3, 0.5, 0.7];
/// The colour of known boxes.
const GREEN: [u8; 3] = [20, 160, 70];
/// Images whose boxes are drawn.
const DRAWN_IMAGES: usize = 8;

crate::params! {
    /// The share of images on which a map's box overlaps the object's by at least half (intersection over union), for the known
    /// class and among the most probable classes, with Wilson 95 % intervals, and the accuracy at every threshold of the map.
    ///
    /// Columns: `known class` requires the box only; `top 1` and `top k` require that the class is among the most probable,
    /// too, as the challenge does; `MaxBoxAcc` replaces the graph cut by a threshold on the map (scaled to 0 to 1), the one that
    /// is best for all images, which makes it an upper bound. Arrays: `known`, `top_1`, `top`, `max_box_acc` (one value a
    /// probe), `iou` (probes x images, of the cut's boxes), `rank` (images: the class's place among the predictions, from 0),
    /// `curve` (probes x thresholds).
    #[probe(
        family = Judge,
        source = "Simonyan, Vedaldi, Zisserman 2013, section 3.2; Choe et al. 2020, section 3",
        subjects = "a net (each image's own class) or one class",
        input = Data,
        example = "localisation(gradient(), #{ thresholds: 20 }).run(net, data.take(6))"
    )]
    pub struct Localisation as "localisation" {
        /// The probes whose maps become boxes.
        probes: ProbeList = ProbeList::default();
        /// The overlap from which a box counts as right.
        overlap: f64 = 0.5, in 0.0..=1.0;
        /// How many of the most probable classes may include the right one.
        top: usize = 5, in 1..=1000;
        /// Thresholds between the map's smallest and largest value.
        thresholds: usize = 100, in 2..=1000;
        /// As of `saliency_box`: the quantile above which pixels are certainly foreground.
        foreground: f64 = 0.95, in 0.0..=1.0;
        /// As of `saliency_box`: the quantile below which pixels are certainly background.
        background: f64 = 0.30, in 0.0..=1.0;
        /// As of `saliency_box`: the weight of the graph cut's smoothness term.
        smoothness: f64 = 50.0, in 0.0..=10_000.0;
    }
}

impl Probe for Localisation {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let data = input.data()?;
        let players = self.probes.0.len() + 1;
        self.cut().check()?;
        let mut report = StreamReport::default();
        let mut scored = vec![Scores::default(); players];
        let (mut ranks, mut pictures) = (Vec::new(), Vec::new());
        let (mut no_box, mut no_label) = (0, 0);
        for i in job.steps("localisation", data.len()) {
            let Some(image) = report.take(i, data.get(i))? else { continue };
            let Some(known) = known_box(&image) else {
                no_box += 1;
                continue;
            };
            let Some(class) = class_of(on, model, &image)? else {
                no_label += 1;
                continue;
            };
            let prepared = Input::Image(image.clone()).prepared(model)?;
            let target = Subject::class_at(model, class)?;
            let rank = answers(model, &[prepared.x.squeeze(0)?], &[Some(class)])?[0].rank.unwrap_or(usize::MAX);
            let seen = model.card().preprocess()?.undo(&prepared.x.squeeze(0)?)?;
            let sight = Sight { prepared: &prepared, seen: &seen, known };
            for (player, scores) in scored.iter_mut().enumerate() {
                let map = match self.probes.0.get(player) {
                    Some(probe) => pixels(probe.0.as_ref(), &target, &prepared.x, job)?,
                    None => centred(seen.height(), seen.width()),
                };
                let found = self.score(&map, &sight, scores);
                if player == 0 && pictures.len() < DRAWN_IMAGES {
                    let ours = found.map_or_else(|| image.clone(), |corners| framed(&image, corners, RED));
                    let caption = format!("{}: {:.2}", target, scores.iou.last().copied().unwrap_or(0.0));
                    pictures.push((framed(&ours, known, GREEN), caption));
                }
            }
            ranks.push(rank);
        }
        report.check()?;
        if ranks.is_empty() && report.reached > 0 {
            let what = if no_label > 0 { "a label beside its box" } else { "a box" };
            return Err(Error::subject(format!("no image of `{}` has {what}", data.name))
                .hint("`shapes(#{ n: 100 })` has both; so have VOC, COCO and .csv tables with a column `box`"));
        }
        let mut made = self.report(&ranks, &scored, pictures)?;
        for (count, what) in [(no_box, "a box"), (no_label, "a label")] {
            if count > 0 {
                made = made.note(format!("{count} images without {what} were left out"));
            }
        }
        Ok(made.notes(report.note()).reached(report.reached, data.len()))
    }
}

/// How one map is seen: the input, its picture, the known box on the photo.
struct Sight<'a> {
    prepared: &'a Prepared,
    seen: &'a Image,
    known: [f64; 4],
}

/// A probe's boxes so far.
#[derive(Clone, Debug, Default)]
struct Scores {
    /// Of the cut's boxes, an image each.
    iou: Vec<f64>,
    /// For each of [`OVERLAPS`] the images that each threshold's box hits.
    hits: [Vec<usize>; 3],
    /// Maps without a box by the cut.
    empty: usize,
}

impl Localisation {
    fn cut(&self) -> SaliencyBox {
        SaliencyBox::new().foreground(self.foreground).background(self.background).smoothness(self.smoothness)
    }

    /// Scores a map; the cut's box on the photo, where there is one.
    fn score(&self, map: &[f64], sight: &Sight<'_>, scores: &mut Scores) -> Option<[f64; 4]> {
        let columns = sight.seen.width();
        let cut = self.cut().mask(sight.seen, map);
        let place = |corners: [f64; 4]| sight.prepared.placement.map_or(corners, |p| on_photo(&p, corners));
        let found = cut.ok().and_then(|mask| bounds(&mask, columns)).map(place);
        scores.iou.push(found.map_or(0.0, |corners| iou(corners, sight.known)));
        scores.empty += usize::from(found.is_none());
        let (low, high) = map.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let overlaps: Vec<f64> = (0..self.thresholds)
            .into_par_iter()
            .map(|t| {
                let level = low + (high - low) * t as f64 / self.thresholds as f64;
                let mask: Vec<bool> = map.iter().map(|v| *v >= level).collect();
                bounds(&largest_part(&mask, columns), columns).map_or(0.0, |b| iou(place(b), sight.known))
            })
            .collect();
        for (hits, least) in scores.hits.iter_mut().zip(OVERLAPS) {
            hits.resize(self.thresholds, 0);
            hits.iter_mut().zip(&overlaps).for_each(|(h, o)| *h += usize::from(*o >= least));
        }
        found
    }

    fn report(&self, ranks: &[usize], scored: &[Scores], pictures: Vec<(Image, String)>) -> Result<Artifact> {
        let (n, players) = (ranks.len(), scored.len());
        let names: Vec<String> =
            self.probes.0.iter().map(|p| p.0.name().to_string()).chain(["centre".to_string()]).collect();
        let top = format!("top {}", self.top);
        let columns = [
            "probe",
            "known class",
            "low",
            "high",
            "top 1",
            &top,
            "top error",
            "MaxBoxAcc",
            "at threshold",
            "mean .3 .5 .7",
        ];
        let mut table = Table::new(columns);
        let mut arrays: [Vec<f64>; 4] = Default::default();
        let (mut series, mut curves) = (Vec::new(), Vec::new());
        let share = |hits: usize| hits as f64 / n.max(1) as f64;
        for (name, scores) in names.iter().zip(scored) {
            let within = |most: usize| {
                scores.iou.iter().zip(ranks).filter(|(o, rank)| **o >= self.overlap && **rank < most).count()
            };
            let (known, first, several) = (within(usize::MAX), within(1), within(self.top));
            let best: Vec<usize> =
                scores.hits.iter().map(|h| (0..h.len()).fold(0, |b, t| if h[t] > h[b] { t } else { b })).collect();
            let most: Vec<f64> = scores.hits.iter().zip(&best).map(|(h, t)| share(h[*t])).collect();
            let (low, high) = wilson(known, n, Z95);
            table.push([
                name.as_str().into(),
                share(known).into(),
                low.into(),
                high.into(),
                share(first).into(),
                share(several).into(),
                (1.0 - share(several)).into(),
                most[1].into(),
                (best[1] as f64 / self.thresholds as f64).into(),
                (most.iter().sum::<f64>() / 3.0).into(),
            ]);
            for (all, value) in arrays.iter_mut().zip([share(known), share(first), share(several), most[1]]) {
                all.push(value);
            }
            let y: Vec<f64> = scores.hits[1].iter().map(|h| share(*h)).collect();
            curves.extend(y.iter().copied());
            series.push(Series {
                name: name.clone(),
                x: (0..y.len()).map(|t| t as f64 / self.thresholds as f64).collect(),
                y,
                bars: Vec::new(),
                mark: Mark::Line,
            });
        }
        let plot = Plot {
            title: "boxes by a threshold of the map".into(),
            x_label: "threshold, share of the map's range".into(),
            y_label: "share of images with an overlap of 0.5".into(),
            categories: Vec::new(),
            series,
        };
        let [known, first, several, most] = arrays;
        let all: Vec<f64> = scored.iter().flat_map(|s| s.iou.iter().copied()).collect();
        let shown = format!("boxes by {} (red) and known ones (green), with their overlap", names[0]);
        let mut artifact = Artifact::new(format!("localisation over {n} images"))
            .part(Part::Plot(plot))
            .part(Part::Table(format!("boxes that overlap by {}", self.overlap), table))
            .part(Part::Pictures(Pictures { title: shown, images: pictures, columns: Some(4) }))
            .array("known", tensor(known, &[players])?)
            .array("top_1", tensor(first, &[players])?)
            .array("top", tensor(several, &[players])?)
            .array("max_box_acc", tensor(most, &[players])?)
            .array("iou", tensor(all, &[players, n])?)
            .array("rank", tensor(ranks.iter().map(|r| *r as f64).collect::<Vec<_>>(), &[n])?)
            .array("curve", tensor(curves, &[players, self.thresholds])?)
            .note("`known class`, `top 1` and `top k` box what a graph cut makes of the map; `MaxBoxAcc` and the curves box the largest part (four neighbours) above a threshold")
            .note("`centre` is a Gaussian at the middle of the input, which knows nothing of the image");
        for (name, scores) in names.iter().zip(scored).filter(|(_, s)| s.empty > 0) {
            artifact = artifact.note(format!("{} maps of {name} gave no box, which counts as wrong", scores.empty));
        }
        Ok(artifact)
    }
}

/// The object's box on the photo: left, top, right, bottom.
fn known_box(image: &Image) -> Option<[f64; 4]> {
    let b = image.bounding_box().or_else(|| image.mask().and_then(|m| m.bounds()))?;
    Some([b.left as f64, b.top as f64, (b.left + b.width) as f64, (b.top + b.height) as f64])
}

/// The class of the map: the subject's, or the image's own.
fn class_of(on: &Subject, model: &Model, image: &Image) -> Result<Option<usize>> {
    match on {
        Subject::Class { index, .. } => Ok(Some(*index)),
        Subject::Model(_) => image.label().map(|label| model.card().label_index(label)).transpose(),
        other => Err(Error::subject(format!("{other} is neither a net nor a class"))),
    }
}

/// Intersection over union of two boxes of left, top, right, bottom; the part of the first outside the photo counts, too.
pub fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low])).max(0.0);
    let area = |r: [f64; 4]| (r[2] - r[0]).max(0.0) * (r[3] - r[1]).max(0.0);
    let both = side(0, 2) * side(1, 3);
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// A Gaussian at the middle, its deviation a quarter of each side.
fn centred(rows: usize, columns: usize) -> Vec<f64> {
    let off = |i: usize, n: usize| ((i as f64 + 0.5) / n as f64 - 0.5) * 4.0;
    let value = |p: usize| {
        let (y, x) = (off(p / columns, rows), off(p % columns, columns));
        libm::exp(-(x * x + y * y) / 2.0)
    };
    (0..rows * columns).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_are_those_of_a_drawing() {
        assert_eq!(iou([0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.0]), 1.0);
        assert_eq!(iou([0.0, 0.0, 4.0, 4.0], [2.0, 0.0, 6.0, 4.0]), 8.0 / 24.0);
        assert_eq!(iou([0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 3.0]), 4.0 / 16.0);
        assert_eq!(iou([0.0, 0.0, 4.0, 4.0], [4.0, 0.0, 6.0, 4.0]), 0.0);
        assert_eq!(iou([3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]), 0.0);
    }
}
