//! A layer's maps on the input. In most nets they lie over all of it; where a net crops or pads its input, or slides windows without
//! padding over a small one, they lie over a part, and are laid there.

use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Alignment, Sampling};
use crate::kernels::resize;
use crate::model::Model;
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

/// The share of the input's sides by which a layer's map may miss its edges and still be taken to lie over all of it.
const TOLERANCE: f64 = 0.04;

/// The part of the input that a layer's map lies over: top, left, bottom, right, px; none where that is all of it.
pub(super) fn part(model: &Model, node: NodeId) -> Option<[f64; 4]> {
    model.graph().part_covered(node, TOLERANCE)
}

/// Maps of a layer, N x its rows x columns or N x its samples: as they are where the layer lies over the whole input, else over the
/// input at their place, zero elsewhere.
pub(super) fn on_input(model: &Model, node: NodeId, maps: Tensor) -> Result<Tensor> {
    match (part(model, node), maps.dims(), model.input_shape()) {
        (Some(part), [_, _, _], &[_, height, width]) => enlarge(&maps, [height, width], Some(part)),
        (Some(part), [_, _], &[_, length]) => Ok(enlarge(&maps.unsqueeze(1)?, [1, length], Some(part))?.squeeze(1)?),
        _ => Ok(maps),
    }
}

/// What a reader of the map should know of its place.
pub(super) fn note(model: &Model, node: NodeId) -> Option<String> {
    let [top, left, bottom, right] = part(model, node)?;
    let px = |v: f64| (v * 10.0).round() / 10.0;
    let over = match model.input_shape() {
        [_, height, width] => format!(
            "rows {} to {} and columns {} to {} of {height} x {width}",
            px(top),
            px(bottom),
            px(left),
            px(right)
        ),
        shape => format!("samples {} to {} of {}", px(left), px(right), shape.last().unwrap_or(&0)),
    };
    Some(format!(
        "the layer lies over a part of the input only, since the net crops or pads it or slides windows without padding: {over}; the map is drawn there, and is zero elsewhere"
    ))
}

/// Maps N x h x w enlarged bilinearly to N x height x width: over all of it, or over a part (top, left, bottom, right), with zeros
/// around it.
pub(super) fn enlarge(maps: &Tensor, output: [usize; 2], part: Option<[f64; 4]>) -> Result<Tensor> {
    let (n, h, w) = maps.dims3()?;
    let dims = [n, output[0], output[1]];
    let Some([top, left, bottom, right]) = part else {
        let g = resize::Geometry {
            input: [h, w],
            output,
            scale: [output[0] as f64 / h as f64, output[1] as f64 / w as f64],
            sampling: Sampling::Linear,
            alignment: Alignment::HalfPixel,
        };
        return tensor(resize::forward(&g, &to_f32(maps)?), &dims);
    };
    let (rows, columns) = (taps(output[0], h, [top, bottom]), taps(output[1], w, [left, right]));
    let values = to_f32(maps)?;
    let mut out = vec![0.0; n * output[0] * output[1]];
    for (map, out) in values.chunks(h * w).zip(out.chunks_mut(output[0] * output[1])) {
        for (row, out) in rows.iter().zip(out.chunks_mut(output[1])) {
            let Some((y, next_y, down)) = *row else { continue };
            for (column, out) in columns.iter().zip(out) {
                let Some((x, next_x, across)) = *column else { continue };
                let line = |y: usize| map[y * w + x] * (1.0 - across) + map[y * w + next_x] * across;
                *out = line(y) * (1.0 - down) + line(next_y) * down;
            }
        }
    }
    tensor(out, &dims)
}

/// For each of `to` positions the two of `from` cells between `edges` that it interpolates, and the weight of the second; none
/// outside the edges.
fn taps(to: usize, from: usize, [first, last]: [f64; 2]) -> Vec<Option<(usize, usize, f32)>> {
    let at = |i: usize| {
        let cell = (i as f64 + 0.5 - first) / (last - first) * from as f64;
        let inside = (0.0..=from as f64).contains(&cell);
        let place = (cell - 0.5).clamp(0.0, (from - 1) as f64);
        let low = place.floor() as usize;
        inside.then(|| (low, (low + 1).min(from - 1), (place - low as f64) as f32))
    };
    (0..to).map(at).collect()
}
