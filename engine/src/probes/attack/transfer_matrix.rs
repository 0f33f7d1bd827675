//! Do adversarial images of one net fool another?
//!
//! Szegedy et al. 2013, section 4.2; Goodfellow, Shlens, Szegedy 2014, section 8.

mod control;

use crate::data::Image;
use crate::data::preprocess::{Preprocess, Resize};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::attack::arg::AttackArg;
use crate::probes::attack::judge::Outcome;
use crate::probes::attack::{AttackInputs, run_attack};
use crate::show::{Artifact, Cell, Matrix, Part, Scale, Table};
use crate::stats::{Z95, wilson};
use crate::subject::{Input, Subject, argmax};
use crate::tensor::tensor;

crate::params! {
    /// Nets x nets: the share of images on which an attack made for the row's net changes the prediction of the column's net,
    /// among those that the column's net classifies correctly without the attack; and, of the attacked pictures that both nets
    /// classify wrongly, the share for which both predict the same wrong class (`same_class`).
    ///
    /// With `control`, the array `control` has the share of the same images on which Gaussian noise of each attacked picture's own size
    /// changes the prediction.
    #[probe(
        family = Fool,
        source = "Szegedy et al. 2013, section 4.2; Goodfellow, Shlens, Szegedy 2014, section 8",
        subjects = "a list of nets",
        input = Data,
        example = "transfer_matrix(fgsm(#{ eps: 16 })).run([net, net.ablate(net.layer(\"conv2\").channel(0))], data.take(6))"
    )]
    pub struct TransferMatrix as "transfer_matrix" {
        /// The attack.
        attack: AttackArg = AttackArg::default();
        /// Whether noise of the same size is tried, too: each picture's 2-norm from its image, in whole pixel values.
        control: bool = false;
    }
}

impl Probe for TransferMatrix {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let models = match on {
            Subject::Models(models) => models.clone(),
            Subject::Model(model) => vec![model.clone()],
            other => {
                return Err(Error::subject(format!("{other} is no list of nets")).hint("`.run([net, other], data)`"));
            }
        };
        let attack = self.attack.get()?;
        let data = Input::Data(input.data()?);
        let k = models.len();
        let names: Vec<String> = models.iter().map(|m| m.card().name.clone()).collect();
        let (mut shares, mut alike) = (vec![f64::NAN; k * k], vec![f64::NAN; k * k]);
        let mut controls = vec![f64::NAN; k * k];
        let columns =
            ["made on", "judged by", "fooled", "of", "share", "low", "high", "both wrong", "same class", "share same"];
        let more: &[&str] = if self.control { &["by noise", "share by noise"] } else { &[] };
        let mut table = Table::new(columns.iter().chain(more).copied());
        let (mut rows, mut note) = (0, None);
        for (a, model) in models.iter().enumerate() {
            if job.stopped() && a > 0 {
                break;
            }
            let inputs = AttackInputs::of(&Subject::Model(model.clone()), &data, attack.target(), job)?;
            note = note.or(inputs.report.note());
            let (outcomes, done, planned) = run_attack(attack, &inputs, job)?;
            let noise = self.noise(&inputs, &outcomes, job)?;
            for (b, judge) in models.iter().enumerate() {
                let (mut hits, mut of, mut both, mut same, mut by_noise) = (0, 0, 0u32, 0u32, 0usize);
                for (n, j) in outcomes.iter().enumerate() {
                    let label = inputs.model.card().class_name(inputs.labels[n]);
                    let Some(label) = same_class(model, judge, inputs.labels[n], &label) else { continue };
                    let clean = inputs.space.picture(model, &inputs.space.to_net(inputs.image(n)))?;
                    if prediction(judge, &clean)? == label {
                        of += 1;
                        let said = prediction(judge, &j.picture)?;
                        hits += usize::from(said != label);
                        if let Some(picture) = noise.get(n) {
                            by_noise += usize::from(prediction(judge, picture)? != label);
                        }
                        // The maker's own mistake, as a class of the judge.
                        let made = argmax(&j.scores[1]);
                        if said != label && inputs.right(n) && made != inputs.labels[n] {
                            both += 1;
                            same +=
                                u32::from(same_class(model, judge, made, &model.card().class_name(made)) == Some(said));
                        }
                    }
                }
                let (share, (low, high)) = (hits as f64 / of as f64, wilson(hits, of, Z95));
                shares[a * k + b] = share;
                alike[a * k + b] = f64::from(same) / f64::from(both);
                let mut row: Vec<Cell> = vec![
                    names[a].as_str().into(),
                    names[b].as_str().into(),
                    hits.into(),
                    of.into(),
                    share.into(),
                    low.into(),
                    high.into(),
                    (both as usize).into(),
                    (same as usize).into(),
                    if both > 0 { (f64::from(same) / f64::from(both)).into() } else { Cell::Nothing },
                ];
                if self.control {
                    controls[a * k + b] = by_noise as f64 / of as f64;
                    row.extend([by_noise.into(), controls[a * k + b].into()]);
                }
                table.push(row);
            }
            rows = a + usize::from(done >= planned);
        }
        let values = tensor(shares.iter().map(|s| *s as f32).collect::<Vec<f32>>(), &[k, k])?;
        let matrix = Matrix {
            title: "made on (rows), judged by (columns)".into(),
            values: values.clone(),
            rows: names.clone(),
            columns: names.clone(),
            label: "share fooled".into(),
            scale: Scale::Sequential { low: Some(0.0), high: Some(1.0) },
        };
        let made = Artifact::new(format!("transfer of {} between {k} nets", attack.name()));
        let mut made = made.part(Part::Matrix(matrix.clone())).array("shares", values);
        if self.control {
            let values = tensor(controls.iter().map(|s| *s as f32).collect::<Vec<f32>>(), &[k, k])?;
            let title = "noise of the size of what was made on (rows), judged by (columns)".to_string();
            made = made
                .part(Part::Matrix(Matrix { title, values: values.clone(), ..matrix }))
                .array("control", values)
                .note("noise: Gaussian, in whole pixel values, at the same 2-norm from each image as the attacked picture");
        }
        Ok(made
            .part(Part::Table("transfer".into(), table))
            .array("same_class", tensor(alike.iter().map(|s| *s as f32).collect::<Vec<f32>>(), &[k, k])?)
            .note("each net sees the 8-bit picture resized to its own input; intervals are Wilson's, 95 %")
            .notes(note)
            .reached(rows, k))
    }
}

impl TransferMatrix {
    /// For each outcome its image with noise of the outcome's size; none where no control is asked for.
    fn noise(&self, inputs: &AttackInputs, outcomes: &[Outcome], job: &Job) -> Result<Vec<Image>> {
        if !self.control {
            return Ok(Vec::new());
        }
        let one = |(n, outcome): (usize, &Outcome)| {
            let rng = job.rng(&format!("transfer_matrix/control/{n}"));
            let noisy = control::noisy(inputs.image(n), outcome.distortion[1].l2, &rng);
            inputs.space.picture(&inputs.model, &inputs.space.to_net(&noisy))
        };
        outcomes.iter().enumerate().map(one).collect()
    }
}

/// The class of another net that has the name of this net's class; the same index where the nets have no names or the same list.
pub(super) fn same_class(a: &Model, b: &Model, index: usize, name: &str) -> Option<usize> {
    let (ours, theirs) = (&a.card().classes, &b.card().classes);
    if theirs.is_empty() || ours == theirs {
        return Some(index);
    }
    theirs.iter().position(|c| c.name.eq_ignore_ascii_case(name))
}

/// A net's prediction for a picture, resized directly to its input.
pub(super) fn prediction(model: &Model, picture: &Image) -> Result<usize> {
    let direct = Preprocess { resize: Resize::Direct, ..model.card().preprocess()?.clone() };
    Ok(argmax(&model.decisions(&direct.apply(picture)?)?[0]))
}
