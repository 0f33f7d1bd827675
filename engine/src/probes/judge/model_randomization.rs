//! The sanity check: a map that explains the net must change when the net's weights are randomised.
//!
//! Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity Checks for Saliency Maps", 2018, section 3.

use crate::error::{Error, Result};
use crate::graph::{NodeId, Op};
use crate::job::Job;
use crate::model::Model;
use crate::probe::Probe;
use crate::probes::judge::ProbeList;
use crate::show::{Artifact, Mark, Part, Plot, Series, Table};
use crate::stats::{spearman, ssim};
use crate::subject::{Input, Subject};
use crate::tensor::{tensor, to_f64};

crate::params! {
    /// Rank correlation and structural similarity between a map and the maps of the same net with its layers'
    /// weights randomised one after another, from the top ("cascading").
    ///
    /// Three figures, as in the paper: Spearman over magnitudes (the largest over channels at each pixel), Spearman over
    /// the raw, signed values, and SSIM of the magnitudes. The arrays `spearman`, `spearman_signed` and `ssim` hold those
    /// of the fully randomised net, one value a probe.
    #[probe(
        family = Judge,
        source = "Adebayo et al. 2018, section 3.1",
        subjects = "a net or a class",
        input = One,
        example = "model_randomization(gradient(), #{ stages: 2 }).run(net, image)"
    )]
    pub struct ModelRandomization as "model_randomization" {
        /// The probes whose maps are judged.
        probes: ProbeList = ProbeList::default();
        /// Stages at most, spread evenly over the layers with weights; in the last stage all layers are randomised.
        stages: usize = 12, in 1..=10_000;
    }
}

impl Probe for ModelRandomization {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let Subject::Class { index, .. } = target else {
            return Err(Error::subject(format!("{target} is no class"))
                .hint("weights above a unit play no part in its map; ask about a class"));
        };
        let [.., height, width] = *prepared.x.dims() else { return Err(Error::subject("maps are judged over images")) };
        let maps = |model: &Model, probe: &dyn Probe| -> Result<[Vec<f64>; 2]> {
            let target = Subject::class_at(model, index)?;
            let raw = probe.attribute(&target, &prepared.x, job)?.squeeze(0)?;
            Ok([probe.importance(&probe.on_input(&target, raw.clone())?, [height, width])?, to_f64(&raw)?])
        };
        let originals = self.probes.0.iter().map(|p| maps(model, p.0.as_ref())).collect::<Result<Vec<_>>>()?;
        let layers = with_weights(model);
        let stages = self.stages.min(layers.len());
        let mut table = Table::new(["randomised from the top down to", "probe", "spearman", "spearman signed", "ssim"]);
        let mut names = Vec::new();
        let mut found: Vec<Vec<[f64; 3]>> = vec![Vec::new(); self.probes.0.len()];
        for stage in job.steps("model_randomization", stages) {
            let count = layers.len() * (stage + 1) / stages;
            let randomised = randomise(model, &layers[..count], job)?;
            let name = model.graph().node(layers[count - 1]).name.clone();
            for (i, probe) in self.probes.0.iter().enumerate() {
                let ([before, raw_before], [now, raw_now]) = (&originals[i], maps(&randomised, probe.0.as_ref())?);
                let alike = [
                    spearman(before, &now).unwrap_or(0.0),
                    spearman(raw_before, &raw_now).unwrap_or(0.0),
                    ssim(&unit(before), &unit(&now), height, width),
                ];
                table.push([name.as_str().into(), probe.0.name().into()].into_iter().chain(alike.map(Into::into)));
                found[i].push(alike);
            }
            names.push(name);
        }
        let plot = |title: &str, which: usize| {
            let series = self.probes.0.iter().zip(&found).map(|(p, f)| Series {
                name: p.0.name().to_string(),
                x: (0..f.len()).map(|i| i as f64).collect(),
                y: f.iter().map(|v| v[which]).collect(),
                bars: Vec::new(),
                mark: Mark::Line,
            });
            Part::Plot(Plot {
                title: title.into(),
                x_label: "randomised from the top down to".into(),
                y_label: title.into(),
                categories: names.clone(),
                series: series.collect(),
            })
        };
        let last = |which: usize| {
            let values: Vec<f64> = found.iter().map(|f| f.last().map_or(f64::NAN, |v| v[which])).collect();
            tensor(values, &[self.probes.0.len()])
        };
        let done = names.len();
        Ok(Artifact::new(format!("sanity check of maps of {target} in {}", model.card().name))
            .part(plot("spearman of magnitudes", 0))
            .part(plot("spearman of signed values", 1))
            .part(plot("ssim", 2))
            .part(Part::Table("similarity to the original map".into(), table))
            .array("spearman", last(0)?)
            .array("spearman_signed", last(1)?)
            .array("ssim", last(2)?)
            .note("a map that stays alike on a randomised net shows the input's edges, not what the net learned")
            .reached(done, stages))
    }
}

/// The layers whose weights a signal passes, the last first.
fn with_weights(model: &Model) -> Vec<NodeId> {
    let has =
        |id: &NodeId| matches!(model.graph().node(*id).op, Op::Conv2d(_) | Op::Linear { .. } | Op::ConvTranspose2d(..));
    let mut layers: Vec<NodeId> = model.layers().filter(has).collect();
    layers.reverse();
    layers
}

/// The net with the weights of `layers` redrawn from a normal distribution with each tensor's own mean and deviation.
fn randomise(model: &Model, layers: &[NodeId], job: &Job) -> Result<Model> {
    let mut weights = model.weights().clone();
    for layer in layers {
        for param in model.graph().node(*layer).op.params() {
            let old = model.weights().tensor(param);
            let values = to_f64(old)?;
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let sigma = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
            let rng = job.rng(&format!("model_randomization {}", model.weights().name(param)));
            let drawn: Vec<f32> = (0..values.len()).map(|i| (mean + sigma * rng.normal_at(i as u64)) as f32).collect();
            weights = weights.with(param, tensor(drawn, old.dims())?.to_dtype(old.dtype())?);
        }
    }
    Ok(model.with_weights(weights))
}

/// A map stretched to 0..1, so that structure and not size is compared.
fn unit(map: &[f64]) -> Vec<f64> {
    let (low, high) = map.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
    map.iter().map(|v| (v - low) * scale).collect()
}
