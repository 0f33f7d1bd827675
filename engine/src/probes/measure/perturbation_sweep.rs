//! How accuracy falls as images are rotated, scaled, translated, blurred, darkened, compressed or covered.
//!
//! Zeiler, Fergus 2013, section 4.1 (figure 5: translation, scale, rotation); Hendrycks, Dietterich 2019 for corruptions.

use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::measure::perturb::Perturbation;
use crate::probes::measure::{ClassPrediction, Interval, answers, batch, classes, names, nets};
use crate::show::{Artifact, Mark, Part, Pictures, Plot, Series, Table};
use crate::stats::p_value_text;
use crate::stats::{Z95, bootstrap, two_sided, wilson};
use crate::stream::{StreamReport, stream};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// Accuracy, the label's probability, and agreement with the prediction for the unperturbed image, at each level of one
    /// perturbation, for one or several nets, with intervals and McNemar's test against the unperturbed images.
    ///
    /// Arrays (nets x levels): `accuracy`, `low`, `high` (the interval drawn), `probability`, `agreement`, `p`; `values`
    /// (the levels); `clean` (the accuracy on unperturbed images, one value a net).
    #[probe(
        family = Measure,
        source = "Zeiler, Fergus 2013, section 4.1; Hendrycks, Dietterich 2019; McNemar 1947",
        subjects = "a net or a list of nets",
        input = Data,
        example = "perturbation_sweep(#{ by: \"blur\", values: [0, 2] }).run(net, data)"
    )]
    pub struct PerturbationSweep as "perturbation_sweep" {
        /// The perturbation of the photos.
        by: Perturbation = Perturbation::Rotation;
        /// The levels, in the unit of the perturbation; several usual ones unless given.
        values: Vec<f64> = Vec::new();
        /// An answer counts as right if the label is among this many most probable classes.
        top: usize = 1, in 1..=100;
        /// Which interval is drawn.
        interval: Interval = Interval::Wilson;
        /// Resamples of the bootstrap.
        rounds: usize = 1000, in 100..=100_000;
    }
}

impl Probe for PerturbationSweep {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let (nets, data) = (nets(on)?, input.data()?);
        let classes = classes(&nets, &data, job)?;
        let levels = if self.values.is_empty() { self.by.levels() } else { self.values.clone() };
        // The first image that can be read shows the levels.
        let mut report = StreamReport::default();
        let shown = data.iter().enumerate().find_map(|(i, image)| report.take(i, image).transpose()).transpose()?;
        report.check()?;
        let first = shown.ok_or_else(|| Error::value(format!("`{}` holds no image", data.name)))?;
        let noise = job.rng("perturbation_sweep");
        for level in &levels {
            self.by.apply(&first, *level, &noise, 0)?;
        }
        let preprocess = nets.iter().map(|n| n.card().preprocess()).collect::<Result<Vec<_>>>()?;
        let n = data.len();
        // The levels run one after the other, the unperturbed images first; entry l * n + i is image i at level l - 1.
        let prepare = |at: usize| {
            let (level, i) = (at / n, at % n);
            let image = data.get(i)?;
            let changed = match level {
                0 => image,
                l => self.by.apply(&image, levels[l - 1], &noise, i)?.with_label(image.label().map(str::to_string)),
            };
            let rows = preprocess.iter().map(|p| p.apply(&changed)).collect::<Result<Vec<_>>>()?;
            Ok((rows, changed.label().map(str::to_string)))
        };
        let mut all: Vec<Vec<Vec<(usize, ClassPrediction)>>> = vec![vec![Vec::new(); levels.len() + 1]; nets.len()];
        let ranges: Vec<_> = (0..=levels.len()).map(|l| l * n..(l + 1) * n).collect();
        let report = stream(&ranges, batch(&nets, job), (job, "perturbation_sweep"), prepare, |items| {
            for (m, net) in nets.iter().enumerate() {
                let rows: Vec<_> = items.iter().map(|(_, (rows, _))| rows[m].clone()).collect();
                let label = |l: &Option<String>| l.as_ref().and_then(|l| classes[m].get(l).copied());
                let labels: Vec<_> = items.iter().map(|(_, (_, l))| label(l)).collect();
                for ((at, _), answer) in items.iter().zip(answers(net, &rows, &labels)?) {
                    all[m][at / n].push((at % n, answer));
                }
            }
            Ok(())
        })?;
        // A level that was not finished is left out.
        let done = (report.reached / n).saturating_sub(1);
        if done == 0 {
            return Err(Error::new(crate::error::Kind::Interrupted, "stopped before the first level was done"));
        }
        let mut artifact = self.report(&names(&nets), &all, &levels[..done], &data.name, job)?;
        let shown: Vec<_> = levels[..done]
            .iter()
            .map(|l| {
                Ok((
                    crate::probes::retrieval::coding::thumbnail(&self.by.apply(&first, *l, &noise, 0)?, 192)?,
                    format!("{l}"),
                ))
            })
            .collect::<Result<_>>()?;
        artifact = artifact.part(Part::Pictures(Pictures {
            title: format!("the first image at each level: {}", self.by.unit()),
            images: shown,
            columns: Some(done.min(9)),
        }));
        if let Some(note) = report.of_images(n).note() {
            artifact = artifact.note(note);
        }
        Ok(artifact.reached(report.reached, (levels.len() + 1) * n))
    }
}

impl PerturbationSweep {
    fn report(
        &self,
        names: &[String],
        all: &[Vec<Vec<(usize, ClassPrediction)>>],
        levels: &[f64],
        data: &str,
        job: &Job,
    ) -> Result<Artifact> {
        let mut table =
            Table::new(["net", "level", "images", "accuracy", "low", "high", "label's probability", "agreement", "p"]);
        let (mut accuracy, mut low, mut high) = (Vec::new(), Vec::new(), Vec::new());
        let (mut probability, mut agreement, mut ps, mut clean) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut series = Vec::new();
        for (m, name) in names.iter().enumerate() {
            let mut stream = job.rng(&format!("perturbation_sweep bootstrap {m}"));
            let before: std::collections::BTreeMap<usize, ClassPrediction> = all[m][0].iter().copied().collect();
            let labelled = |answers: &[(usize, ClassPrediction)]| -> Vec<(usize, ClassPrediction)> {
                answers.iter().filter(|(_, a)| a.rank.is_some()).copied().collect()
            };
            let base = labelled(&all[m][0]);
            let right = base.iter().filter(|(_, a)| a.hit(self.top)).count();
            clean.push(right as f64 / base.len() as f64);
            let from = accuracy.len();
            for (level, answers) in levels.iter().zip(&all[m][1..]) {
                let known = labelled(answers);
                let hits: Vec<bool> = known.iter().map(|(_, a)| a.hit(self.top)).collect();
                let right = hits.iter().filter(|h| **h).count();
                let count = known.len();
                let share = right as f64 / count as f64;
                let (l, h) = match self.interval {
                    Interval::Wilson => wilson(right, count, Z95),
                    Interval::Bootstrap => bootstrap(count, self.rounds, &mut stream, |sample| {
                        sample.iter().filter(|i| hits[**i]).count() as f64 / count as f64
                    }),
                };
                let same = answers.iter().filter(|(i, a)| before.get(i).is_some_and(|b| b.class == a.class)).count();
                let mean = known.iter().filter_map(|(_, a)| a.probability).sum::<f64>() / count as f64;
                let changed = |lost: bool| {
                    let differs = |(i, a): &&(usize, ClassPrediction)| {
                        before.get(i).is_some_and(|b| b.hit(self.top) == lost && a.hit(self.top) != lost)
                    };
                    known.iter().filter(differs).count() as f64
                };
                let (lost, won) = (changed(true), changed(false));
                let p = if lost + won > 0.0 { two_sided((lost - won) / (lost + won).sqrt()) } else { 1.0 };
                let agrees = same as f64 / answers.len() as f64;
                table.push([
                    name.as_str().into(),
                    (*level).into(),
                    count.into(),
                    share.into(),
                    l.into(),
                    h.into(),
                    mean.into(),
                    agrees.into(),
                    p.into(),
                ]);
                accuracy.push(share);
                low.push(l);
                high.push(h);
                probability.push(mean);
                agreement.push(agrees);
                ps.push(p);
            }
            series.push(Series {
                name: name.clone(),
                x: levels.to_vec(),
                y: accuracy[from..].to_vec(),
                bars: low[from..].iter().copied().zip(high[from..].iter().copied()).collect(),
                mark: Mark::Line,
            });
        }
        let shape = [names.len(), levels.len()];
        let interval = if self.interval == Interval::Wilson { "Wilson" } else { "bootstrap" };
        let title = format!("accuracy under {} on {data}", self.by.unit().split(',').next().unwrap_or_default());
        let plot = Plot {
            title: title.clone(),
            x_label: self.by.unit().into(),
            y_label: format!("top-{} accuracy, {interval} 95 %", self.top),
            categories: Vec::new(),
            series,
        };
        let worst = (0..ps.len()).min_by(|a, b| accuracy[*a].total_cmp(&accuracy[*b])).unwrap_or(0);
        Ok(Artifact::new(title)
            .array("accuracy", tensor(accuracy.clone(), &shape)?)
            .array("low", tensor(low, &shape)?)
            .array("high", tensor(high, &shape)?)
            .array("probability", tensor(probability, &shape)?)
            .array("agreement", tensor(agreement, &shape)?)
            .array("p", tensor(ps.clone(), &shape)?)
            .array("values", tensor(levels.to_vec(), &[levels.len()])?)
            .array("clean", tensor(clean.clone(), &[clean.len()])?)
            .part(Part::Plot(plot))
            .part(Part::Table("accuracy by level".into(), table))
            .note(format!("bars are {interval} 95 % intervals; p is McNemar's against the unperturbed images"))
            .note(format!(
                "unperturbed: {}; lowest: {:.1} % at {} (p {})",
                clean.iter().map(|c| format!("{:.1} %", 100.0 * c)).collect::<Vec<_>>().join(", "),
                100.0 * accuracy[worst],
                levels[worst % levels.len()],
                p_value_text(ps[worst])
            )))
    }
}
