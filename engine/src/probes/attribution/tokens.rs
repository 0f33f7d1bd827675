//! The attention matrices of a net for images, and the positions of their tokens on the image.

use super::placed;
use crate::error::{Error, Result};
use crate::graph::{Graph, NodeId};
use crate::model::Model;
use crate::subject::Prepared;
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;

/// The attention of a net in which every token attends to all tokens.
pub struct Attentions {
    /// The softmaxes, from the input to the output.
    pub nodes: Vec<NodeId>,
    /// Tokens: those of the grid and others, such as a class token.
    pub tokens: usize,
    /// Rows and columns of the grid.
    pub grid: [usize; 2],
    /// Tokens before those of the grid.
    pub before: usize,
    /// The last map whose positions became the tokens.
    map: NodeId,
}

impl Attentions {
    /// The attention that `until` depends on.
    ///
    /// # Errors
    /// Where there is none, or its tokens are not those of one grid.
    pub fn of(model: &Model, until: NodeId) -> Result<Self> {
        let graph = model.graph();
        let needed = graph.ancestors(until);
        let nodes: Vec<NodeId> = graph.ids().filter(|id| needed[id.0] && graph.is_attention(*id)).collect();
        let Some(last) = nodes.last().copied() else {
            return Err(Error::subject(format!(
                "`{}` has no attention: no softmax that weighs values",
                model.card().name
            ))
            .hint("`grad_cam`, `lrp` and the gradients serve for nets of convolutions"));
        };
        let (_, tokens) = size(graph, last)?;
        let before_it = graph.ancestors(last);
        let layouts = graph.map_layouts();
        let grid = graph.ids().rev().filter(|id| before_it[id.0]).find_map(|id| {
            let layout = layouts[id.0]?;
            let [channels, rows, columns] = layout.shape;
            let all = graph.node(id).shape.iter().product::<usize>();
            // Tokens of a mirrored map run against the photo.
            let step = usize::try_from(layout.strides[2]).ok()?.max(1);
            let in_order = layout.strides[1] == (step * columns) as isize && rows * columns > 1;
            (in_order && all == channels * tokens && layout.first % step == 0)
                .then(|| ([rows, columns], layout.first / step, id))
        });
        let Some((grid, before, map)) = grid else {
            return Err(refused(graph, last, &format!("{tokens} tokens that are no grid of the image"))
                .hint("attention within windows, or over tokens that were pooled, is no map of the whole image: `grad_cam` and `lrp` are"));
        };
        let nodes: Vec<NodeId> =
            nodes.into_iter().filter(|id| size(graph, *id).is_ok_and(|(_, n)| n == tokens)).collect();
        Ok(Attentions { nodes, tokens, grid, before, map })
    }

    /// Values shaped as one of the softmaxes, of one input: head by head, row by row the weights that each token (row) gives to
    /// each token.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn heads(&self, values: &Tensor) -> Result<Vec<Vec<f64>>> {
        Ok(to_f64(values)?.chunks(self.tokens * self.tokens).map(<[f64]>::to_vec).collect())
    }

    /// A row of a matrix (that of `query`, else of the class token, else the mean row) on the grid, row by row.
    pub fn on_grid(&self, matrix: &[f64], query: Option<usize>) -> Vec<f64> {
        let n = self.tokens;
        let row: Vec<f64> = match query.or((self.before > 0).then_some(0)) {
            Some(token) => matrix[token * n..(token + 1) * n].to_vec(),
            None => (0..n).map(|k| (0..n).map(|q| matrix[q * n + k]).sum::<f64>() / n as f64).collect(),
        };
        row[self.before..self.before + self.grid[0] * self.grid[1]].to_vec()
    }

    /// Values on the grid as a map, rows x columns of the grid.
    ///
    /// # Errors
    /// Where there are not as many values as places.
    pub fn map(&self, values: Vec<f64>) -> Result<Tensor> {
        tensor(values.into_iter().map(|v| v as f32).collect::<Vec<f32>>(), &self.grid)
    }

    /// A map laid over the whole input.
    ///
    /// # Errors
    /// Where it is no map of the grid.
    pub fn on_input(&self, model: &Model, map: Tensor) -> Result<Tensor> {
        placed::on_input(model, self.map, map)
    }

    /// What a map is drawn on: the input, without its photo where it is not known where on it the grid lies.
    pub fn ground(&self, model: &Model, prepared: &Prepared) -> Prepared {
        placed::ground(model, self.map, prepared)
    }

    /// The product of two matrices of tokens.
    pub fn product(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        let n = self.tokens;
        let mut out = vec![0.0; n * n];
        for (row, out) in a.chunks(n).zip(out.chunks_mut(n)) {
            for (v, b) in row.iter().zip(b.chunks(n)) {
                out.iter_mut().zip(b).for_each(|(o, b)| *o += v * b);
            }
        }
        out
    }

    /// The matrix that leaves tokens as they are.
    pub fn identity(&self) -> Vec<f64> {
        let n = self.tokens;
        (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect()
    }

    /// What the map shows, and where it lies, for notes.
    pub fn notes(&self, model: &Model) -> Vec<String> {
        let [rows, columns] = self.grid;
        let others = self.tokens - rows * columns;
        let rest = match (others, self.before) {
            (0, _) => "no class token: the mean over all tokens is shown".to_string(),
            (1, 1) => "and a class token, whose row is shown".to_string(),
            (n, 0) => format!("and {n} others; the mean over all tokens is shown"),
            (n, _) => format!("and {n} others, of which the first's row is shown"),
        };
        let shown = format!("{} layers of attention over {rows} x {columns} patches {rest}", self.nodes.len());
        placed::note(model, self.map).into_iter().chain([shown]).collect()
    }
}

/// Heads and tokens of a softmax of attention.
///
/// # Errors
/// Where it is no heads x tokens x tokens.
fn size(graph: &Graph, id: NodeId) -> Result<(usize, usize)> {
    let shape: Vec<usize> = graph.node(id).shape.iter().copied().skip_while(|n| *n == 1).collect();
    match shape[..] {
        [heads, a, b] if a == b => Ok((heads, a)),
        [a, b] if a == b => Ok((1, a)),
        _ => Err(refused(graph, id, "no heads x tokens x tokens")
            .hint("attention within windows is no map of the whole image: `grad_cam` and `lrp` are")),
    }
}

fn refused(graph: &Graph, id: NodeId, what: &str) -> Error {
    let node = graph.node(id);
    let dims = node.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
    Error::subject(format!("the attention `{}` ({dims}) is over {what}", node.name))
}
