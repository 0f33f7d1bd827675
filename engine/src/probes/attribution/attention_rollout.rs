//! Attention rollout: attention multiplied through the layers.
//!
//! Abnar, Zuidema, "Quantifying Attention Flow in Transformers", 2020.

use super::tokens::Attentions;
use crate::error::Result;
use crate::job::Job;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::heat_map;
use crate::show::{Artifact, Scale, Style};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use candle_core::Tensor;

crate::choice! {
    /// How the heads of a layer become one matrix.
    pub enum Heads {
        /// Their mean.
        Mean = "mean",
        /// The largest at each place.
        Max = "max",
        /// The smallest at each place.
        Min = "min",
    }
}

crate::params! {
    /// The product over layers of attention mixed with the residual path: how much of each patch reaches the class token
    /// (without one, the tokens on average). It is the same for every class.
    #[probe(
        family = Where,
        source = "Abnar, Zuidema 2020, section 3",
        subjects = "a net of attention (the class does not matter)",
        input = One,
        example = "attention_rollout().run(vit, image)"
    )]
    pub struct AttentionRollout as "attention_rollout" {
        /// How the heads of a layer become one matrix.
        heads: Heads = Heads::Mean;
        /// The share of the residual path, beside attention.
        residual: f64 = 0.5, in 0.0..=1.0;
    }
}

impl AttentionRollout {
    /// The product, tokens x tokens, of one input.
    fn product(&self, target: &Subject, x: &Tensor) -> Result<(Attentions, Vec<f64>)> {
        let model = target.model()?;
        let found = Attentions::of(model, model.graph().output())?;
        let trace = model.forward(x, &Tap::Only(found.nodes.clone()))?;
        let mut product = found.identity();
        for node in &found.nodes {
            let heads = found.heads(trace.get(*node)?)?;
            let mut layer = found.identity();
            for (i, v) in layer.iter_mut().enumerate() {
                let values = heads.iter().map(|h| h[i]);
                let one = match self.heads {
                    Heads::Mean => values.sum::<f64>() / heads.len() as f64,
                    Heads::Max => values.fold(f64::NEG_INFINITY, f64::max),
                    Heads::Min => values.fold(f64::INFINITY, f64::min),
                };
                *v = self.residual * *v + (1.0 - self.residual) * one;
            }
            for row in layer.chunks_mut(found.tokens) {
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|v| *v /= sum);
            }
            product = found.product(&layer, &product);
        }
        Ok((found, product))
    }
}

impl Probe for AttentionRollout {
    fn run(&self, on: &Subject, input: &Input, _job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let (found, product) = self.product(on, &prepared.x)?;
        let as_f32 = |values: Vec<f64>, dims: &[usize]| tensor(values.into_iter().map(|v| v as f32).collect(), dims);
        let map = found.map(found.on_grid(&product, None))?;
        let scale = Scale::Sequential { low: Some(0.0), high: None };
        let part = heat_map(
            "attention_rollout",
            on,
            &found.ground(model, &prepared),
            &found.on_input(model, map.clone())?,
            "share of a patch",
            scale,
            Style::Overlay,
        )?;
        Ok(Artifact::new(format!("attention rollout in {}", model.card().name))
            .part(part)
            .array("attention_rollout", map)
            .array("product", as_f32(product, &[found.tokens, found.tokens])?)
            .notes(found.notes(model)))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let one = |n: usize| {
            let (found, product) = self.product(target, &x.narrow(0, n, 1)?)?;
            found.map(found.on_grid(&product, None))
        };
        Ok(Tensor::stack(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        let model = target.model()?;
        Attentions::of(model, model.graph().output())?.on_input(model, map)
    }
}
