//! Universal perturbations: one change of the pixels that fools a net on most images.
//!
//! Moosavi-Dezfooli, Fawzi, Fawzi, Frossard, "Universal adversarial perturbations", 2016, algorithm 1.

use crate::ascent::Aim;
use crate::data::Dataset;
use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::attack::deep_fool::DeepFool;
use crate::probes::attack::{AttackBatch, AttackInputs, Norm};
use crate::show::table::short;
use crate::show::{Artifact, Part, Pictures, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::tensor;

crate::params! {
    /// One perturbation within a budget that changes the net's prediction on as many images of a data set as possible: image by
    /// image, DeepFool's step for those not yet fooled is added and the sum brought back into the ball.
    #[probe(
        family = Fool,
        source = "Moosavi-Dezfooli, Fawzi, Fawzi, Frossard 2016, algorithm 1",
        subjects = "a net",
        input = Data,
        example = "universal(#{ passes: 1, steps: 3, eps: 16 }).run(net, data.take(6))"
    )]
    pub struct Universal as "universal" {
        /// The budget, pixel values (0 to 255); for "l2" the 2-norm over all values.
        eps: f64 = 10.0, in 0.0..=1e6;
        /// The budget's norm.
        norm: Norm = Norm::Linf;
        /// Passes over the data set at most.
        passes: usize = 5, in 1..=1000;
        /// The share of fooled images at which it stops.
        rate: f64 = 0.8, in 0.0..=1.0;
        /// Steps of DeepFool for one image.
        steps: usize = 10, in 1..=1000;
        /// How far each image's step goes beyond the boundary, as a share of the step; with few images a larger share helps.
        overshoot: f64 = 0.02, in 0.0..=10.0;
        /// Other images, on which the perturbation is judged, too.
        test: Option<Dataset> = None;
    }
}

impl Probe for Universal {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let inputs = AttackInputs::of(on, &Input::Data(input.data()?), None, job)?;
        let each = inputs.space.frame.len();
        let n = inputs.labels.len();
        let zero = vec![0.0; each];
        let mut v = zero.clone();
        let clean: Vec<usize> = inputs.clean.iter().map(|s| argmax(s)).collect();
        let inner = DeepFool { steps: self.steps, norm: self.norm, overshoot: self.overshoot, ..DeepFool::default() };
        let mut history = vec![0.0];
        let (mut done, mut best) = (0, (0.0, v.clone()));
        for pass in 0..self.passes {
            let order = job.rng(&format!("universal/order/{pass}")).permutation(n);
            for i in job.steps("universal", n) {
                let image = order[i];
                // Whole values are what is judged: changes of less than one half count when they have added up.
                let moved = add(inputs.image(image), &self.round(&v));
                let aims = [Aim::Not(clean[image])];
                let batch = AttackBatch {
                    model: &inputs.model,
                    space: &inputs.space,
                    pixels: &moved,
                    aims: &aims,
                    first: image,
                };
                done += 1;
                if aims[0].reached(&batch.scores(&moved)?[0]) {
                    continue;
                }
                let made = inner.cross(&batch, &job.quiet())?;
                // Pixel values end at 0 and 255, the perturbation itself does not.
                v.iter_mut().zip(made.pixels.iter().zip(&moved)).for_each(|(v, (a, b))| *v += a - b);
                self.limit_to_ball(&mut v);
            }
            let share =
                fooled(&inputs, &clean, &self.round(&v))?.iter().filter(|f| **f).count() as f64 / n.max(1) as f64;
            history.push(share);
            if share > best.0 {
                best = (share, v.clone());
            }
            if share >= self.rate {
                done = n * self.passes;
            }
            if share >= self.rate || job.stopped() {
                break;
            }
        }
        let v = self.round(&best.1);
        let made = self.artifact(&inputs, &clean, &v, &history, job)?;
        Ok(made.notes(inputs.report.note()).reached(done, n * self.passes))
    }
}

impl Universal {
    fn limit_to_ball(&self, v: &mut [f64]) {
        match self.norm {
            Norm::Linf => v.iter_mut().for_each(|v| *v = v.clamp(-self.eps, self.eps)),
            Norm::L2 => {
                let size = Norm::L2.of(v);
                if size > self.eps {
                    v.iter_mut().for_each(|v| *v *= self.eps / size);
                }
            }
        }
    }

    /// The nearest whole values in the ball.
    fn round(&self, v: &[f64]) -> Vec<f64> {
        let mut t = 1.0;
        loop {
            let mut whole: Vec<f64> = v.iter().map(|v| (t * v).round()).collect();
            if self.norm == Norm::Linf {
                whole.iter_mut().for_each(|v| *v = v.clamp(-self.eps.floor(), self.eps.floor()));
            }
            // Rounding can take the 2-norm out of its ball: shrink until it does not.
            if self.norm.of(&whole) <= self.eps || t < 1e-3 {
                return whole;
            }
            t *= 0.98;
        }
    }

    fn artifact(
        &self,
        inputs: &AttackInputs,
        clean: &[usize],
        v: &[f64],
        history: &[f64],
        job: &Job,
    ) -> Result<Artifact> {
        let (model, space) = (&inputs.model, &inputs.space);
        let mut table = Table::new(["images", "fooled", "of", "share", "low", "high"]);
        let mut row = |name: &str, hit: &[bool]| {
            let k = hit.iter().filter(|f| **f).count();
            let (low, high) = wilson(k, hit.len(), Z95);
            table.push([
                name.into(),
                k.into(),
                hit.len().into(),
                (k as f64 / hit.len().max(1) as f64).into(),
                low.into(),
                high.into(),
            ]);
            k as f64 / hit.len().max(1) as f64
        };
        let own = fooled(inputs, clean, v)?;
        let share = row("it was made on", &own);
        let mut unseen = None;
        if let Some(test) = &self.test {
            let others = AttackInputs::of(&Subject::Model(model.clone()), &Input::Data(test.clone()), None, job)?;
            let clean: Vec<usize> = others.clean.iter().map(|s| argmax(s)).collect();
            unseen = Some(row("it has not seen", &fooled(&others, &clean, v)?));
        }
        let size = Norm::Linf.of(v).max(1.0);
        let factor = (127.0 / size).floor().max(1.0);
        let shown: Vec<f64> = v.iter().map(|v| 128.0 + factor * v).collect();
        let caption = match Norm::Linf.of(v) > 0.0 {
            true => format!("the perturbation × {factor}, around grey"),
            false => "no perturbation was found".to_string(),
        };
        let mut images = vec![(space.picture(model, &space.to_net(&shown))?, caption)];
        for i in (0..own.len()).take(5) {
            let x = add(inputs.image(i), v);
            let after = argmax(&model.decisions(&space.tensor(&space.to_net(&x))?)?[0]);
            let caption = format!("{} → {}", model.card().class_name(clean[i]), model.card().class_name(after));
            images.push((space.picture(model, &space.to_net(&x))?, caption));
        }
        let f = space.frame;
        let values: Vec<f32> = v.iter().map(|v| *v as f32).collect();
        let mut artifact = Artifact::new(format!("a universal perturbation of {}", model.card().name))
            .part(Part::Pictures(Pictures { title: String::new(), images, columns: Some(3) }))
            .part(Part::Table("predictions changed".into(), table))
            .array("universal", tensor(values, &[f.channels, f.height, f.width])?)
            .array("fooled", tensor(vec![share], &[1])?)
            .array("history", tensor(history.to_vec(), &[history.len()])?)
            .note(format!(
                "largest change {}, 2-norm {}, whole pixel values",
                short(Norm::Linf.of(v)),
                short(Norm::L2.of(v))
            ))
            .note(
                "a prediction counts as fooled where it is not that of the clean image; intervals are Wilson's, 95 %",
            );
        if let Some(share) = unseen {
            artifact = artifact.array("fooled_unseen", tensor(vec![share], &[1])?);
        }
        Ok(artifact)
    }
}

fn add(x: &[f64], v: &[f64]) -> Vec<f64> {
    x.iter().zip(v).map(|(x, v)| (x + v).clamp(0.0, 255.0)).collect()
}

/// Whether each image's prediction is another one with `v` added.
fn fooled(inputs: &AttackInputs, clean: &[usize], v: &[f64]) -> Result<Vec<bool>> {
    (0..clean.len())
        .map(|i| {
            let x = inputs.space.to_net(&add(inputs.image(i), v));
            Ok(argmax(&inputs.model.decisions(&inputs.space.tensor(&x)?)?[0]) != clean[i])
        })
        .collect()
}
