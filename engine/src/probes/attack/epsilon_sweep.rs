//! Accuracy against the size of the perturbation, the usual curve of robustness (Carlini et al. 2019, "On Evaluating
//! Adversarial Robustness", section 5).

use crate::error::{Error, Result};
use crate::job::Job;
use crate::params::Value;
use crate::probe::Probe;
use crate::probes::attack::arg::AttackArg;
use crate::probes::attack::{AttackInputs, run_attack};
use crate::show::{Artifact, Cell, Mark, Part, Plot, Series, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use std::collections::BTreeMap;

crate::params! {
    /// A net's accuracy over a data set under an attack of growing strength, with Wilson 95 % intervals, judged on 8-bit
    /// pictures, and its mean confidence on the images that it gets wrong. Attacks without a budget (deep_fool,
    /// carlini_wagner, lbfgs) run once; an image whose attack succeeds counts as wrong at all strengths from the 2-norm of its
    /// perturbation on.
    #[probe(
        family = Fool,
        source = "Goodfellow, Shlens, Szegedy 2014; Carlini et al. 2019, section 5",
        subjects = "a net or a list of nets",
        input = Data,
        example = "epsilon_sweep(fgsm(), #{ eps: [0, 4, 16] }).run(net, data.take(6))"
    )]
    pub struct EpsilonSweep as "epsilon_sweep" {
        /// The attack.
        attack: AttackArg = AttackArg::default();
        /// Strengths, pixel values (0 to 255), in the attack's own norm (2-norm where it has no budget).
        eps: Vec<f64> = vec![0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
    }
}

impl Probe for EpsilonSweep {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let models = match on {
            Subject::Models(models) => models.clone(),
            Subject::Model(model) => vec![model.clone()],
            other => return Err(Error::subject(format!("{other} is neither a net nor a list of nets"))),
        };
        if self.eps.is_empty() || self.eps.iter().any(|e| !e.is_finite() || *e < 0.0) {
            return Err(Error::value("option `eps` takes numbers from 0 up"));
        }
        let mut eps = self.eps.clone();
        eps.sort_by(f64::total_cmp);
        let data = Input::Data(input.data()?);
        let budget = self.attack.get()?.budget().is_some();
        let mut table = Table::new(["net", "eps", "right", "of", "accuracy", "low", "high", "confidence on mistakes"]);
        let (mut series, mut all, mut confident, mut reached) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut note = None;
        let runs = if budget { eps.len() } else { 1 };
        for model in &models {
            let inputs = AttackInputs::of(&Subject::Model(model.clone()), &data, self.attack.get()?.target(), job)?;
            let n = inputs.labels.len();
            note = note.or(inputs.report.note());
            let mut right = Vec::new();
            let mut sure = Vec::new();
            if budget {
                for e in &eps {
                    if job.stopped() {
                        break;
                    }
                    let attack = self.at(*e)?;
                    let (outcomes, done, planned) = run_attack(attack.get()?, &inputs, job)?;
                    if done < planned {
                        break;
                    }
                    let stands = |i: usize| holds(&inputs, i, &outcomes[i].scores[1], *e);
                    right.push((0..outcomes.len()).filter(|i| stands(*i)).count());
                    let last = |i: usize| if *e == 0.0 { &inputs.clean[i] } else { &outcomes[i].scores[1] };
                    sure.push(confidence(&inputs, (0..outcomes.len()).filter(|i| !stands(*i)).map(last)));
                    reached += 1;
                }
            } else {
                let (outcomes, done, planned) = run_attack(self.attack.get()?, &inputs, job)?;
                reached += usize::from(done >= planned);
                let stands = |i: usize, e: f64| {
                    let fallen = outcomes[i].success[1] && outcomes[i].distortion[1].l2 <= e;
                    inputs.right(i) && !fallen
                };
                let standing = |e: f64| (0..outcomes.len()).filter(|i| stands(*i, e)).count();
                right.extend(eps.iter().map(|e| standing(*e)));
                let last = |i: usize, e: f64| {
                    let fallen = outcomes[i].success[1] && outcomes[i].distortion[1].l2 <= e;
                    if fallen { &outcomes[i].scores[1] } else { &inputs.clean[i] }
                };
                let mistakes = |e: f64| (0..outcomes.len()).filter(move |i| !stands(*i, e)).map(move |i| last(i, e));
                sure.extend(eps.iter().map(|e| confidence(&inputs, mistakes(*e))));
            }
            let mut bars = Vec::new();
            let mut accuracy = Vec::new();
            for ((e, k), sure) in eps.iter().zip(&right).zip(&sure) {
                let (low, high) = wilson(*k, n, Z95);
                let share = *k as f64 / n.max(1) as f64;
                table.push([
                    model.card().name.as_str().into(),
                    (*e).into(),
                    (*k).into(),
                    n.into(),
                    share.into(),
                    low.into(),
                    high.into(),
                    sure.map_or(Cell::Nothing, Cell::from),
                ]);
                bars.push((low, high));
                accuracy.push(share);
            }
            all.extend(accuracy.iter().copied());
            confident.extend(sure.iter().map(|s| s.unwrap_or(f64::NAN)));
            series.push(Series {
                name: model.card().name.clone(),
                x: eps[..accuracy.len()].to_vec(),
                y: accuracy,
                bars,
                mark: Mark::Line,
            });
        }
        let plot = Plot {
            title: format!("accuracy under {}", self.attack.probe().name()),
            x_label: "eps, pixel values (0 to 255)".into(),
            y_label: "accuracy, 95 % Wilson".into(),
            categories: Vec::new(),
            series,
        };
        let (count, points) = (all.len(), eps.len());
        Ok(Artifact::new(format!("accuracy under {} against its strength", self.attack.probe().name()))
            .part(Part::Plot(plot))
            .part(Part::Table("accuracy".into(), table))
            .array("accuracy", tensor(all, &[count])?)
            .array("eps", tensor(eps, &[points])?)
            .array("confidence", tensor(confident, &[count])?)
            .notes(note)
            .reached(reached, runs * models.len()))
    }
}

impl EpsilonSweep {
    /// The attack with another strength, all else as it was.
    fn at(&self, eps: f64) -> Result<AttackArg> {
        let mut options: BTreeMap<String, Value> =
            self.attack.probe().specs().into_iter().map(|s| (s.name.to_string(), s.default)).collect();
        options.insert("eps".into(), Value::Float(eps));
        self.attack.with(&options)
    }
}

/// Whether the prediction is the right class; with a strength of 0 that is the clean prediction.
fn holds(inputs: &AttackInputs, i: usize, scores: &[f64], eps: f64) -> bool {
    if eps == 0.0 { inputs.right(i) } else { crate::subject::argmax(scores) == inputs.labels[i] }
}

/// The mean probability of the class that is decided for; none of no image.
fn confidence<'a>(inputs: &AttackInputs, scores: impl Iterator<Item = &'a Vec<f64>>) -> Option<f64> {
    let readout = inputs.model.readout();
    let each: Vec<f64> = scores.map(|s| readout.of_decision(s)[crate::subject::argmax(s)]).collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}
