//! Does a classifier's confidence match its accuracy? Accuracy against confidence, and the difference between them.
//!
//! Guo et al. 2017, "On calibration of modern neural networks": images in bins of the most probable class's probability;
//! expected and maximum calibration error, reliability diagrams. Brier 1950 for the score.

use crate::error::{Error, Result};
use crate::job::Job;
use crate::predictions::{Predicted, Predictions};
use crate::probe::Probe;
use crate::probes::measure::{answers, batch, classes, names, nets, numbered};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::stream::stream;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// The share of right answers among images whose most probable class has about the same probability (a reliability
    /// diagram), and the expected calibration error: the mean absolute difference of accuracy and confidence over bins,
    /// weighted by their numbers of images.
    ///
    /// Arrays: `ece` (expected), `mce` (the largest of all bins), `brier` (mean squared difference of confidence and 1 for a
    /// right answer, 0 for a wrong one), one value a net; `accuracy`, `confidence`, `low`, `high`, `counts` (nets x bins; NaN
    /// for empty ones).
    #[probe(
        family = Measure,
        source = "Guo et al. 2017, section 2; Brier 1950",
        subjects = "a net or a list of nets, or predictions with probabilities",
        input = Data,
        example = "calibration(#{ bins: 5 }).run(net, data)"
    )]
    pub struct Calibration as "calibration" {
        /// Bins of confidence, of equal width, from 0 to 1.
        bins: usize = 15, in 1..=1000;
    }
}

/// The most probable class's probability, and whether it is right.
type Sure = (f64, bool);

impl Probe for Calibration {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let data = input.data()?;
        if let Subject::Predictions(all) = on {
            let mut notes = Vec::new();
            let mut sure = Vec::new();
            for told in all {
                let (rows, note) = told.of(&data)?;
                notes.extend(note);
                sure.push(said(told, &rows, |i| data.label(i), &mut notes)?);
            }
            let names = numbered(&all.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
            return Ok(self.report(&names, &sure, &data.name)?.notes(notes));
        }
        let nets = nets(on)?;
        let classes = classes(&nets, &data, job)?;
        let preprocess = nets.iter().map(|n| n.card().preprocess()).collect::<Result<Vec<_>>>()?;
        let prepare = |i: usize| {
            let image = data.get(i)?;
            let rows = data.inputs(i, &image, &preprocess)?;
            Ok((rows, image.label().map(str::to_string)))
        };
        let mut sure: Vec<Vec<Sure>> = vec![Vec::new(); nets.len()];
        let mut without = 0usize;
        let all = 0..data.len();
        let report = stream(std::slice::from_ref(&all), batch(&nets, job), (job, "calibration"), prepare, |items| {
            for (n, net) in nets.iter().enumerate() {
                let rows: Vec<_> = items.iter().map(|(_, (rows, _))| rows[n].clone()).collect();
                let label = |l: &Option<String>| l.as_ref().and_then(|l| classes[n].get(l).copied());
                let labels: Vec<Option<usize>> = items.iter().map(|(_, (_, l))| label(l)).collect();
                for answer in answers(net, &rows, &labels)? {
                    match answer.rank {
                        Some(rank) => sure[n].push((answer.confidence, rank == 0)),
                        None => without += usize::from(n == 0),
                    }
                }
            }
            Ok(())
        })?;
        let left = (without > 0).then(|| format!("{without} images without a label are left out"));
        Ok(self
            .report(&names(&nets), &sure, &data.name)?
            .notes(left)
            .notes(report.note())
            .reached(report.reached, data.len()))
    }
}

/// What predictions say, of images whose truth is known.
fn said(
    told: &Predictions,
    rows: &[Option<&Predicted>],
    label: impl Fn(usize) -> Option<String>,
    notes: &mut Vec<String>,
) -> Result<Vec<Sure>> {
    let (mut sure, mut unsure) = (Vec::new(), 0usize);
    for (i, row) in rows.iter().enumerate() {
        let Some(row) = row else { continue };
        let Some(truth) = row.truth.clone().or_else(|| label(i)) else { continue };
        match row.probabilities.first() {
            Some(p) => sure.push((*p, row.hit(&truth, 1))),
            None => unsure += 1,
        }
    }
    if sure.is_empty() {
        return Err(Error::value(format!("`{}` has no image with a truth and a probability", told.name))
            .hint("a column `probability` says how sure each prediction is, from 0 to 1"));
    }
    if unsure > 0 {
        notes.push(format!("{unsure} predictions of `{}` without a probability are left out", told.name));
    }
    Ok(sure)
}

impl Calibration {
    fn report(&self, names: &[String], sure: &[Vec<Sure>], data: &str) -> Result<Artifact> {
        let (n, b) = (names.len(), self.bins);
        let bin = |confidence: f64| ((confidence * b as f64).floor() as usize).min(b - 1);
        let mut table = Table::new(["net", "images", "accuracy", "mean confidence", "ECE", "MCE", "Brier"]);
        let mut detail = Table::new(["net", "confidence", "images", "mean confidence", "accuracy", "low", "high"]);
        let (mut ece, mut mce, mut brier) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns: [Vec<f64>; 5] = Default::default();
        let mut series = vec![Series {
            name: "as sure as right".into(),
            x: vec![0.0, 1.0],
            y: vec![0.0, 1.0],
            bars: Vec::new(),
            mark: Mark::Line,
        }];
        for (name, own) in names.iter().zip(sure) {
            if own.is_empty() {
                return Err(Error::value(format!("no labelled image of `{data}` could be asked about")));
            }
            let mut counts = vec![(0usize, 0usize, 0f64); b];
            for (confidence, right) in own {
                let of = &mut counts[bin(*confidence)];
                *of = (of.0 + 1, of.1 + usize::from(*right), of.2 + confidence);
            }
            let total = own.len() as f64;
            let (mut expected, mut largest) = (0f64, 0f64);
            let mut line =
                Series { name: name.clone(), x: Vec::new(), y: Vec::new(), bars: Vec::new(), mark: Mark::Point };
            for (k, (count, right, sum)) in counts.into_iter().enumerate() {
                let of = count as f64;
                let (share, mean, (low, high)) = (right as f64 / of, sum / of, wilson(right, count, Z95));
                let filled = [share, mean, low, high].map(|v| if count > 0 { v } else { f64::NAN });
                columns.iter_mut().zip(filled.into_iter().chain([of])).for_each(|(c, v)| c.push(v));
                if count == 0 {
                    continue;
                }
                expected += of / total * (share - mean).abs();
                largest = largest.max((share - mean).abs());
                line.x.push(mean);
                line.y.push(share);
                line.bars.push((low, high));
                let edges = format!("{:.3} to {:.3}", k as f64 / b as f64, (k + 1) as f64 / b as f64);
                detail.push([
                    name.as_str().into(),
                    edges.into(),
                    count.into(),
                    mean.into(),
                    share.into(),
                    low.into(),
                    high.into(),
                ]);
            }
            let square = |(p, right): &Sure| (p - f64::from(u8::from(*right))).powi(2);
            let score = own.iter().map(square).sum::<f64>() / total;
            let right = own.iter().filter(|(_, right)| *right).count() as f64 / total;
            let mean = own.iter().map(|(p, _)| p).sum::<f64>() / total;
            let row: [Cell; 7] = [
                name.as_str().into(),
                own.len().into(),
                right.into(),
                mean.into(),
                expected.into(),
                largest.into(),
                score.into(),
            ];
            table.push(row);
            line.name = format!("{name} (ECE {:.3})", expected);
            series.push(line);
            ece.push(expected);
            mce.push(largest);
            brier.push(score);
        }
        let plot = Plot {
            title: format!("accuracy against confidence on {data}"),
            x_label: "probability of the most probable class, mean of a bin".into(),
            y_label: "share of right answers, Wilson 95 %".into(),
            categories: Vec::new(),
            series,
        };
        let mut artifact = Artifact::new(format!("calibration on {data}"))
            .array("ece", tensor(ece, &[n])?)
            .array("mce", tensor(mce, &[n])?)
            .array("brier", tensor(brier, &[n])?);
        for (name, column) in ["accuracy", "confidence", "low", "high", "counts"].into_iter().zip(columns) {
            artifact = artifact.array(name, tensor(column, &[n, b])?);
        }
        Ok(artifact
            .part(Part::Plot(plot))
            .part(Part::Table("calibration".into(), table))
            .part(Part::Table("bins".into(), detail))
            .note(format!("{b} bins of confidence, each as wide; below the line a net is surer than it is right")))
    }
}
