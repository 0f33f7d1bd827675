//! Outputs whose numbers are no classes: statements that find the largest number.

use super::literals::quoted;
use convscope_engine::graph::Op;
use convscope_engine::{Model, Result};

/// The layer with the output's numbers, and its shape.
pub(super) struct Values {
    layer: String,
    shape: Vec<usize>,
}

impl Values {
    /// The output; where it is a map whose single channel was dropped by a reshape, the map before that.
    pub(super) fn of(net: &Model) -> Self {
        let graph = net.graph();
        let output = graph.node(graph.output());
        let before = output.inputs.first().map(|id| graph.node(*id)).filter(|node| {
            matches!(output.op, Op::Reshape(_)) && node.shape[..1] == [1] && node.shape[1..] == output.shape[..]
        });
        let node = before.filter(|node| node.shape.len() == 3).unwrap_or(output);
        Values { layer: node.name.clone(), shape: node.shape.clone() }
    }

    /// The statements that find the largest number.
    pub(super) fn statements(&self) -> Result<String> {
        Ok(format!("let out = net.layer({});\nlet place = net.forward(image).argmax();\n", quoted(&self.layer)?))
    }

    /// The largest number as a subject.
    pub(super) fn largest(&self) -> String {
        match self.shape[..] {
            [_, rows, columns] => {
                format!("out.unit(place / {}, place / {columns} % {rows}, place % {columns})", rows * columns)
            }
            _ => "out.unit(place)".to_string(),
        }
    }
}
