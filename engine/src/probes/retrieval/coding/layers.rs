//! The codes of many layers in one pass over the images.

use super::{Pooling, code_len, last_hidden, pooled};
use crate::data::Dataset;
use crate::error::Result;
use crate::graph::{NodeId, Op};
use crate::job::Job;
use crate::model::Model;
use crate::pass::Tap;
use crate::stream::{StreamReport, stream_tensors};
use crate::tensor::to_f32;

/// Codes of several layers, for each a row an image.
#[derive(Clone, Debug)]
pub struct LayerCodes {
    /// For each layer its rows, one after the other.
    pub codes: Vec<Vec<f32>>,
    /// For each layer the length of a code.
    pub lengths: Vec<usize>,
    /// The number of each row's image.
    pub rows: Vec<usize>,
    /// How far the work came.
    pub report: StreamReport,
}

impl LayerCodes {
    /// The codes of `nodes` for all images.
    ///
    /// # Errors
    /// Where they do not fit in the job's memory, or no image can be read.
    pub fn of(model: &Model, nodes: &[NodeId], data: &Dataset, pool: Pooling, job: &Job) -> Result<Self> {
        let graph = model.graph();
        let lengths: Vec<usize> = nodes.iter().map(|n| code_len(&graph.node(*n).shape, pool)).collect();
        let needed = 4 * lengths.iter().sum::<usize>() as u64 * data.len() as u64;
        let hint = "name fewer `layers`, use `pool: \"mean\"`, take fewer images, or raise `--memory`";
        job.holds(needed, || format!("the codes of {} images at {} layers take", data.len(), nodes.len()), hint)?;
        let (mut codes, mut rows) = (vec![Vec::new(); nodes.len()], Vec::new());
        let tap = Tap::Only(nodes.to_vec());
        let all = 0..data.len();
        let report = stream_tensors(model, data, std::slice::from_ref(&all), (job, "codes"), |numbers, x| {
            let trace = model.forward(x, &tap)?;
            rows.extend_from_slice(numbers);
            for (node, codes) in nodes.iter().zip(&mut codes) {
                let value = trace.get(*node)?;
                let values = to_f32(value)?;
                let plane = if value.rank() == 4 { value.dims()[2..].iter().product() } else { 1 };
                values.chunks(values.len() / numbers.len()).for_each(|s| codes.extend(pooled(s, plane, pool)));
            }
            Ok(())
        })?;
        Ok(LayerCodes { codes, lengths, rows, report })
    }
}

/// The usual layers for codes, from input to output: rectifiers (layers with weights where there is none), the input of the
/// classifier, the scores.
pub fn depths(model: &Model) -> Vec<NodeId> {
    let graph = model.graph();
    let mut all: Vec<NodeId> = model.layers().filter(|id| graph.node(*id).op.rectifies()).collect();
    if all.is_empty() {
        let weighted = |id: &NodeId| matches!(graph.node(*id).op, Op::Conv2d(_) | Op::Linear { .. });
        all = model.layers().filter(weighted).collect();
    }
    all.extend(last_hidden(graph));
    all.push(graph.scores());
    all.sort();
    all.dedup();
    all
}
