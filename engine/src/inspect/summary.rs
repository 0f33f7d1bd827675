//! The summary of a net: its layers with shapes, parameters, operations and receptive fields, and the totals.

use crate::graph::ReceptiveField;
use crate::model::Model;
use crate::show::{Artifact, Cell, Part, Table};
use candle_core::{Device, Tensor};

/// What a net looks like on a page.
pub trait Summarise {
    /// A table of the layers, with totals as notes and as the arrays `parameters` and `flops`.
    fn summary(&self) -> Artifact;
}

impl Summarise for Model {
    fn summary(&self) -> Artifact {
        let graph = self.graph();
        let card = self.card();
        let (fields, volumes) = (graph.fields(), graph.volume_fields());
        let unfollowed = graph.unfollowed_fields();
        let mut table =
            Table::new(["layer", "kind", "output shape", "parameters", "FLOPs", "receptive field", "stride"]);
        let mut flops = 0;
        for id in self.layers() {
            let node = graph.node(id);
            let (field, stride) = match fields[id.0] {
                _ if let Some(field) = volumes[id.0] => (sides(&field.size), sides(&field.stride)),
                // A signal has one row.
                ReceptiveField::Local { size, stride, axes: [None, _], .. } => (sides(&size[1..]), sides(&stride[1..])),
                ReceptiveField::Local { size, stride, .. } => (sides(&size), sides(&stride)),
                ReceptiveField::Whole if unfollowed[id.0] => ("not followed".into(), String::new()),
                ReceptiveField::Whole => ("whole".into(), String::new()),
                ReceptiveField::Nothing => (String::new(), String::new()),
            };
            let cost = graph.flops(id, self.weights());
            flops += cost;
            table.push([
                node.name.as_str().into(),
                node.op.kind().into(),
                node.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ").into(),
                graph.params(id, self.weights()).into(),
                Cell::Int(i64::try_from(cost).unwrap_or(i64::MAX)),
                field.into(),
                stride.into(),
            ]);
        }
        let parameters = self.weights().count();
        let mut artifact = Artifact::new(format!("{}: {} layers", card.name, table.len()))
            .note(format!(
                "{} parameters, {} FLOPs an input (a multiply-add is two)",
                grouped(parameters as u64),
                grouped(flops)
            ))
            .note(match card.classes.len() {
                0 => format!("{} outputs, whose labels are unknown", self.output_len()),
                n => format!("{n} classes, {} outputs", self.output_len()),
            });
        if card.preprocess.is_none() {
            artifact = artifact.note(match self.input_shape().len() {
                2 => "it takes a signal (load_signal) or a tensor",
                3 => "how photos are to be preprocessed is unknown; tensors pass",
                4 => "it takes a volume (load_volume) or a tensor",
                _ => "it takes a tensor",
            });
        }
        for note in &card.notes {
            artifact = artifact.note(note.clone());
        }
        artifact = artifact.part(Part::Table(format!("layers of {}", card.name), table));
        for (name, value) in [("parameters", parameters as f64), ("flops", flops as f64)] {
            if let Ok(t) = Tensor::new(&[value], &Device::Cpu) {
                artifact = artifact.array(name, t);
            }
        }
        artifact
    }
}

/// Height and width, and depth before them: one number where they are equal.
fn sides(sizes: &[usize]) -> String {
    let all: Vec<String> = sizes.iter().map(usize::to_string).collect();
    if all.iter().all(|n| *n == all[0]) { all[0].clone() } else { all.join(" x ") }
}

/// A whole number with its thousands apart: 1,235,496.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> = {
        let first = digits.len() % 3;
        let (head, tail) = digits.split_at(first);
        let chunks = (0..tail.len() / 3).map(|i| &tail[3 * i..3 * i + 3]);
        std::iter::once(head).filter(|h| !h.is_empty()).chain(chunks).collect()
    };
    parts.join(",")
}
