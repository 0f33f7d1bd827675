//! Which computed values have an integer type in the file. The graph has them as real numbers, but they divide as integers: argmax
//! indices, divided by a width, are rows.

use super::site::Site;
use super::value::{Act, Value};
use crate::error::Result;
use crate::graph::NodeId;
use rten_onnx::onnx::DataType;
use std::collections::BTreeSet;

/// Operators whose result has the type of its inputs.
const TYPE_OF_INPUTS: [&str; 13] =
    ["Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Sum", "Neg", "Abs", "Sign", "Concat", "BitShift"];

/// Operators whose result has the type of the first input.
const TYPE_OF_FIRST_INPUT: [&str; 25] = [
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Slice",
    "Split",
    "Gather",
    "GatherElements",
    "GatherND",
    "Expand",
    "Tile",
    "Pad",
    "Clip",
    "Pow",
    "CumSum",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ScatterElements",
    "ScatterND",
    "Trilu",
    "TopK",
];

/// The nodes whose values have an integer type.
#[derive(Default)]
pub struct Integers(BTreeSet<NodeId>);

impl Integers {
    /// Records a net's input with its type.
    pub fn note_input(&mut self, id: NodeId, kind: DataType) {
        if is_integer(kind) {
            self.0.insert(id);
        }
    }

    /// For each input of a node, whether it is of integers.
    pub fn among(&self, inputs: &[Value]) -> Vec<bool> {
        let holds = |value: &Value| match value {
            Value::Ints(_) => true,
            Value::Act(Act { id, .. }) => self.0.contains(id),
            Value::Floats(_) | Value::Absent => false,
        };
        inputs.iter().map(holds).collect()
    }

    /// Records which results of a node are integers.
    ///
    /// # Errors
    /// Where an attribute has another type than the operator's.
    pub fn note(&mut self, site: &Site<'_>, results: &[Value]) -> Result<()> {
        for (i, result) in results.iter().enumerate() {
            if let Value::Act(Act { id, .. }) = result
                && makes_integers(site, i)?
            {
                self.0.insert(*id);
            }
        }
        Ok(())
    }
}

/// Whether result `i` of a node is of integers, given which inputs are.
fn makes_integers(site: &Site<'_>, i: usize) -> Result<bool> {
    let input = |i: usize| site.integers.get(i).copied().unwrap_or(false);
    Ok(match (site.op, i) {
        ("Cast", _) => {
            let to = site.int("to")?.and_then(|to| i32::try_from(to).ok());
            to.is_some_and(|to| is_integer(DataType(to)))
        }
        ("CastLike", _) => input(1),
        ("ArgMax" | "ArgMin" | "NonZero", _) | ("TopK", 1) => true,
        ("Where", _) => input(1) || input(2),
        (op, _) if TYPE_OF_INPUTS.contains(&op) => site.integers.iter().any(|whole| *whole),
        (op, _) if TYPE_OF_FIRST_INPUT.contains(&op) => input(0),
        _ => false,
    })
}

fn is_integer(kind: DataType) -> bool {
    let kinds = [
        DataType::INT8,
        DataType::INT16,
        DataType::INT32,
        DataType::INT64,
        DataType::UINT8,
        DataType::UINT16,
        DataType::UINT32,
        DataType::UINT64,
    ];
    kinds.contains(&kind)
}
