//! The scores of all classes along one line through an image: the sign of the gradient, and beside it a random sign.
//!
//! Goodfellow, Shlens, Szegedy 2014, section 8 and figure 4: along the gradient's sign the logits are nearly piecewise linear in
//! eps, wrong classes hold over wide ranges, and the right one only in a thin band.

use crate::ascent::{CrossEntropy, Space};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attack::fgsm::sign;
use crate::probes::attack::{AttackBatch, AttackInputs};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::tensor;

crate::params! {
    /// Every class's score at x + eps sign(dJ/dx) against eps, beside the same along random signs.
    ///
    /// Pixel values are not clipped, so that the line stays straight. Arrays: `eps`, `logits` and `control` (points x classes),
    /// `class` and `control_class` (the decision at each point).
    #[probe(
        family = Fool,
        source = "Goodfellow, Shlens, Szegedy 2014, section 8, figure 4",
        subjects = crate::probes::attack::SUBJECTS,
        input = One,
        example = "logit_sweep(#{ points: 9 }).run(net, image)"
    )]
    pub struct LogitSweep as "logit_sweep" {
        /// The farthest points of the line, pixel values (0 to 255), on both sides.
        eps: f64 = 32.0, in 0.001..=10_000.0;
        /// Points of the line; with an odd number one of them is the image.
        points: usize = 65, in 3..=10_001;
        /// Classes that are drawn: the right one and those with the highest scores anywhere on the lines.
        classes: usize = 8, in 1..=100;
    }
}

impl Probe for LogitSweep {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        if matches!(input, Input::Data(_)) {
            return Err(Error::subject(format!("expected one image, got {}", input.kind()))
                .hint("`logit_sweep().run(net, data[0])`"));
        }
        let inputs = AttackInputs::of(on, input, None, job)?;
        let (model, space, label) = (&inputs.model, &inputs.space, inputs.labels[0]);
        let clean = inputs.image(0);
        let batch = AttackBatch { model, space, pixels: clean, aims: &inputs.aims[..1], first: 0 };
        let (_, gradient) = batch.measure(&CrossEntropy::new(model, inputs.aims[..1].to_vec()), clean)?;
        let along: Vec<f64> = gradient.into_iter().map(sign).collect();
        let rng = job.rng("logit_sweep");
        let random: Vec<f64> =
            (0..clean.len()).map(|i| if rng.uniform_at(i as u64) < 0.5 { -1.0 } else { 1.0 }).collect();
        let eps: Vec<f64> =
            (0..self.points).map(|i| self.eps * (2.0 * i as f64 / (self.points - 1) as f64 - 1.0)).collect();
        let lines = [line(model, space, clean, &along, &eps, job)?, line(model, space, clean, &random, &eps, job)?];
        let done = lines[0].len() + lines[1].len();
        let made = self.report(model, label, &eps, &lines)?;
        let note = (!inputs.given[0]).then(|| {
            format!("the image has no label; the net's prediction, {}, counts as right", model.card().class_name(label))
        });
        Ok(made.notes(note).reached(done, 2 * self.points))
    }
}

/// The raw scores at each point of a line, as far as the work came.
fn line(
    model: &Model,
    space: &Space,
    clean: &[f64],
    direction: &[f64],
    eps: &[f64],
    job: &Job,
) -> Result<Vec<Vec<f64>>> {
    let mut scores = Vec::with_capacity(eps.len());
    let batch = crate::probes::synthesis::batch(model, job);
    for some in eps.chunks(batch) {
        if job.stopped() {
            break;
        }
        let pixels: Vec<f64> =
            some.iter().flat_map(|e| clean.iter().zip(direction).map(move |(x, d)| x + e * d)).collect();
        scores.extend(model.scores(&space.input(model, &pixels)?)?);
    }
    Ok(scores)
}

impl LogitSweep {
    fn report(&self, model: &Model, label: usize, eps: &[f64], lines: &[Vec<Vec<f64>>; 2]) -> Result<Artifact> {
        let readout = model.readout();
        let card = model.card();
        let decided =
            |scores: &Vec<Vec<f64>>| -> Vec<usize> { scores.iter().map(|s| argmax(&readout.decision(s))).collect() };
        let names = ["sign of the gradient", "random signs"];
        let columns = [
            "direction",
            "right from",
            "right to",
            "taken for at -eps",
            "taken for at eps",
            "classes",
            "straightness below 0",
            "straightness above 0",
        ];
        let mut table = Table::new(columns);
        let drawn = self.drawn(label, lines);
        let mut artifact = Artifact::new(format!("scores of {} along a line, {}", card.class_name(label), card.name));
        let mut arrays = Vec::new();
        for (name, scores) in names.into_iter().zip(lines) {
            let classes = decided(scores);
            let series = drawn.iter().map(|class| Series {
                name: card.class_name(*class),
                x: eps[..scores.len()].to_vec(),
                y: scores.iter().map(|s| s.get(*class).copied().unwrap_or(f64::NAN)).collect(),
                bars: Vec::new(),
                mark: Mark::Line,
            });
            artifact = artifact.part(Part::Plot(Plot {
                title: format!("scores along the {name}"),
                x_label: "eps, pixel values (0 to 255)".into(),
                y_label: "score before the softmax".into(),
                categories: Vec::new(),
                series: series.collect(),
            }));
            let band = band(&classes, eps, label);
            let end = |i: Option<&usize>| i.map_or(Cell::Nothing, |c| card.class_name(*c).into());
            let mut different = classes.clone();
            different.sort_unstable();
            different.dedup();
            let own: Vec<f64> = scores.iter().map(|s| s.get(label).copied().unwrap_or(f64::NAN)).collect();
            let half = |keep: &dyn Fn(f64) -> bool| {
                let points: Vec<(f64, f64)> =
                    eps.iter().zip(&own).filter(|(e, _)| keep(**e)).map(|(e, v)| (*e, *v)).collect();
                straightness(&points).map_or(Cell::Nothing, Cell::from)
            };
            table.push([
                name.into(),
                band.map_or(Cell::Nothing, |b| b.0.into()),
                band.map_or(Cell::Nothing, |b| b.1.into()),
                end(classes.first()),
                end(classes.last()),
                different.len().into(),
                half(&|e| e <= 0.0),
                half(&|e| e >= 0.0),
            ]);
            arrays.push(classes);
        }
        let width = lines[0].first().map_or(0, Vec::len);
        let flat = |scores: &[Vec<f64>]| tensor(scores.concat(), &[scores.len(), width]);
        let numbers =
            |classes: &[usize]| tensor(classes.iter().map(|c| *c as f64).collect::<Vec<f64>>(), &[classes.len()]);
        Ok(artifact
            .part(Part::Table("the two lines".into(), table))
            .array("logits", flat(&lines[0])?)
            .array("control", flat(&lines[1])?)
            .array("eps", tensor(eps.to_vec(), &[eps.len()])?)
            .array("class", numbers(&arrays[0])?)
            .array("control_class", numbers(&arrays[1])?)
            .note("`right from` and `right to` are the ends of the unbroken band around eps = 0 where the right class is decided for; straightness is the share of the right score's variance that a straight line explains")
            .note("pixel values are not clipped to 0 to 255, so that the line stays straight"))
    }

    /// The right class and those with the highest scores anywhere.
    fn drawn(&self, label: usize, lines: &[Vec<Vec<f64>>; 2]) -> Vec<usize> {
        let width = lines[0].first().map_or(0, Vec::len);
        let peak = |c: usize| lines.iter().flatten().map(|s| s[c]).fold(f64::NEG_INFINITY, f64::max);
        let mut others: Vec<(usize, f64)> = (0..width).filter(|c| *c != label).map(|c| (c, peak(c))).collect();
        others.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        [label].into_iter().filter(|l| *l < width).chain(others.into_iter().map(|o| o.0)).take(self.classes).collect()
    }
}

/// The unbroken stretch around the point nearest to 0 where the decision is `label`; none where it is not even there.
fn band(classes: &[usize], eps: &[f64], label: usize) -> Option<(f64, f64)> {
    let middle = (0..classes.len()).min_by(|a, b| eps[*a].abs().total_cmp(&eps[*b].abs()))?;
    if classes[middle] != label {
        return None;
    }
    let low = (0..=middle).rev().take_while(|i| classes[*i] == label).last()?;
    let high = (middle..classes.len()).take_while(|i| classes[*i] == label).last()?;
    Some((eps[low], eps[high]))
}

/// The squared correlation of x and y.
fn straightness(points: &[(f64, f64)]) -> Option<f64> {
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    crate::stats::pearson(&x, &y).map(|r| r * r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_is_the_unbroken_one_around_the_image() {
        let eps = [-2.0, -1.0, 0.0, 1.0, 2.0];
        assert_eq!(band(&[7, 3, 3, 3, 7], &eps, 3), Some((-1.0, 1.0)));
        assert_eq!(band(&[3, 7, 3, 7, 3], &eps, 3), Some((0.0, 0.0)));
        assert_eq!(band(&[3, 3, 7, 3, 3], &eps, 3), None);
    }
}
