//! Transformer attribution: rollout of attention weighted by its gradient.
//!
//! Chefer, Gur, Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers",
//! 2021, the case of self-attention.

use super::tokens::Attentions;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::coarse;
use crate::rules::Rules;
use crate::show::Artifact;
use crate::subject::{Input, Subject};
use candle_core::Tensor;

crate::params! {
    /// Relevance of patches for a score: from the identity, each layer adds A R to R, where A is the mean over heads of the
    /// rectified product of attention and its gradient.
    #[probe(
        family = Where,
        source = "Chefer, Gur, Wolf 2021, equations 5 and 6",
        subjects = "a net, class, channel, unit, direction or sum behind the attention",
        input = One,
        example = "transformer_attribution().run(vit, image)"
    )]
    pub struct TransformerAttribution as "transformer_attribution" {}
}

impl TransformerAttribution {
    /// The relevance, tokens x tokens, of one input.
    fn relevance(&self, target: &Subject, x: &Tensor) -> Result<(Attentions, Vec<f64>)> {
        let model = target.model()?;
        let found = Attentions::of(model, target.last_node()?)?;
        let trace = model.forward(x, &Tap::All)?;
        let flow = trace.backward(target.seed(&trace)?, &Rules::gradient())?;
        let mut relevance = found.identity();
        for node in &found.nodes {
            let heads = found.heads(trace.get(*node)?)?;
            let gradient = flow.get(*node).ok_or_else(|| Error::internal("attention without a gradient"))?;
            let gradients = found.heads(gradient)?;
            let mut layer = vec![0.0; found.tokens * found.tokens];
            for (head, gradient) in heads.iter().zip(&gradients) {
                for ((l, a), g) in layer.iter_mut().zip(head).zip(gradient) {
                    *l += (a * g).max(0.0) / heads.len() as f64;
                }
            }
            let more = found.product(&layer, &relevance);
            relevance.iter_mut().zip(more).for_each(|(r, m)| *r += m);
        }
        Ok((found, relevance))
    }

    fn map(&self, target: &Subject, x: &Tensor) -> Result<(Attentions, Tensor)> {
        let (found, relevance) = self.relevance(target, x)?;
        let map = found.map(found.on_grid(&relevance, None))?;
        Ok((found, map))
    }
}

impl Probe for TransformerAttribution {
    fn run(&self, on: &Subject, input: &Input, _job: &Job) -> Result<Artifact> {
        let prepared = input.prepared(on.model()?)?;
        let target = on.asked(&prepared)?;
        let (found, map) = self.map(&target, &prepared.x)?;
        let shown = coarse(
            "transformer_attribution",
            &target,
            &found.ground(target.model()?, &prepared),
            [&map, &found.on_input(target.model()?, map.clone())?],
            "relevance of a patch",
        )?;
        Ok(shown.notes(found.notes(target.model()?)))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let one = |n: usize| Ok(self.map(target, &x.narrow(0, n, 1)?)?.1);
        Ok(Tensor::stack(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        let model = target.model()?;
        Attentions::of(model, target.last_node()?)?.on_input(model, map)
    }
}
