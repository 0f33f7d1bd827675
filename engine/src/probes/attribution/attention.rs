//! Attention maps: the weight that each head of a layer gives to each patch.
//!
//! Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2020.

use super::tokens::Attentions;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::params::LayerName;
use crate::pass::Tap;
use crate::probe::Probe;
use crate::probes::attribution::heat_map;
use crate::show::{Artifact, Grid, Part, Scale, Style, Tile};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;
use candle_core::Tensor;

crate::params! {
    /// The attention weights of each head of a layer for each patch: the row of the class token, or of another token, or the
    /// mean row over all tokens where there is no class token.
    #[probe(
        family = Where,
        source = "Dosovitskiy et al. 2020, appendix D.8",
        subjects = "a net of attention (the class does not matter)",
        input = One,
        example = "attention().run(vit, image)"
    )]
    pub struct Attention as "attention" {
        /// The softmax of the layer; the last one unless given.
        layer: Option<LayerName> = None;
        /// The token whose row is shown, by its number; the class token unless given.
        token: Option<usize> = None;
    }
}

impl Attention {
    fn heads(&self, target: &Subject, x: &Tensor) -> Result<(Attentions, String, Vec<Vec<f64>>)> {
        let model = target.model()?;
        let graph = model.graph();
        let mut found = Attentions::of(model, graph.output())?;
        let node = match &self.layer {
            None => found.nodes[found.nodes.len() - 1],
            Some(name) => {
                let node = model.layer(&name.0)?;
                if !graph.is_attention(node) {
                    let all: Vec<String> = found.nodes.iter().map(|id| format!("`{}`", graph.node(*id).name)).collect();
                    return Err(Error::subject(format!(
                        "layer `{}` ({}) is no attention",
                        name.0,
                        graph.node(node).op.kind()
                    ))
                    .hint(format!("its layers of attention are {}", all.join(", "))));
                }
                found = Attentions::of(model, node)?;
                node
            }
        };
        if let Some(token) = self.token.filter(|t| *t >= found.tokens) {
            return Err(Error::not_found(format!("token {token} of {}", found.tokens)).hint(format!(
                "tokens are numbered 0 to {}; the first {} are no patches",
                found.tokens - 1,
                found.before
            )));
        }
        let trace = model.forward(x, &Tap::Only(vec![node]))?;
        let heads = found.heads(trace.get(node)?)?;
        Ok((found, graph.node(node).name.clone(), heads))
    }

    fn mean(&self, found: &Attentions, heads: &[Vec<f64>]) -> Result<Tensor> {
        let mut mean = vec![0.0; found.grid[0] * found.grid[1]];
        for head in heads {
            let map = found.on_grid(head, self.token);
            mean.iter_mut().zip(map).for_each(|(m, v)| *m += v / heads.len() as f64);
        }
        found.map(mean)
    }
}

impl Probe for Attention {
    fn run(&self, on: &Subject, input: &Input, _job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let (found, name, heads) = self.heads(on, &prepared.x)?;
        let maps: Vec<Vec<f32>> =
            heads.iter().map(|h| found.on_grid(h, self.token).into_iter().map(|v| v as f32).collect()).collect();
        let tiles = maps
            .iter()
            .enumerate()
            .map(|(i, map)| Ok(Tile { caption: format!("head {i}"), values: tensor(map.clone(), &found.grid)? }));
        let tiles = tiles.collect::<Result<Vec<_>>>()?;
        let scale = Scale::Sequential { low: Some(0.0), high: None };
        let mean = self.mean(&found, &heads)?;
        let [rows, columns] = found.grid;
        let matrices = heads.iter().flatten().map(|v| *v as f32).collect();
        let title = format!("attention of {name}");
        let part = heat_map(
            "attention",
            on,
            &found.ground(model, &prepared),
            &found.on_input(model, mean.clone())?,
            "mean over heads",
            scale,
            Style::Overlay,
        )?;
        Ok(Artifact::new(format!("{title} in {}", model.card().name))
            .part(part)
            .part(Part::Grid(Grid { title, tiles, columns: None, label: "attention".into(), scale }))
            .array("attention", tensor(maps.concat(), &[heads.len(), rows, columns])?)
            .array("mean", mean)
            .array("matrices", tensor(matrices, &[heads.len(), found.tokens, found.tokens])?)
            .notes(self.token.map(|t| format!("the row of token {t} is shown")))
            .notes(found.notes(model)))
    }

    fn attribute(&self, target: &Subject, x: &Tensor, _job: &Job) -> Result<Tensor> {
        let one = |n: usize| {
            let (found, _, heads) = self.heads(target, &x.narrow(0, n, 1)?)?;
            self.mean(&found, &heads)
        };
        Ok(Tensor::stack(&(0..x.dims()[0]).map(one).collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn on_input(&self, target: &Subject, map: Tensor) -> Result<Tensor> {
        let model = target.model()?;
        Attentions::of(model, model.graph().output())?.on_input(model, map)
    }
}
