//! A layer's maps on the input. In most nets they lie over all of it; where a net crops or pads its input, or slides windows without
//! padding over a small one, they lie over a part, and are laid there.

use crate::error::Result;
use crate::graph::op::{Alignment, Sampling};
use crate::graph::{MapPlace, NodeId, Piece};
use crate::kernels::resize;
use crate::model::Model;
use crate::subject::Prepared;
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;

/// The share of the input's sides by which a layer's map may miss its edges and still be taken to lie over all of it.
const EDGE_TOLERANCE: f64 = 0.04;

/// Where a layer's map lies on the input.
pub(super) fn place(model: &Model, node: NodeId) -> MapPlace {
    model.graph().map_place(node, EDGE_TOLERANCE)
}

/// What is drawn on: the input with its photo, or without where it is not known where on it the layer's map lies.
pub(super) fn ground(model: &Model, node: NodeId, prepared: &Prepared) -> Prepared {
    match place(model, node) {
        MapPlace::Unknown(_) => Prepared { photo: None, placement: None, ..prepared.clone() },
        MapPlace::Whole | MapPlace::Part(_) | MapPlace::Pieces(_) => prepared.clone(),
    }
}

/// A layer's map, its rows x columns or its samples: as it is where the layer lies over the whole input or in places that are not
/// known, else over the input at its place, zero elsewhere.
pub(super) fn on_input(model: &Model, node: NodeId, map: Tensor) -> Result<Tensor> {
    let place = place(model, node);
    match (&place, map.rank(), model.input_shape()) {
        (MapPlace::Whole | MapPlace::Unknown(_), _, _) => Ok(map),
        (_, 2, &[_, height, width]) => Ok(enlarge(&map.unsqueeze(0)?, [height, width], &place)?.squeeze(0)?),
        (_, 1, &[_, length]) => Ok(enlarge(&map.reshape((1, 1, ()))?, [1, length], &place)?.flatten_all()?),
        _ => Ok(map),
    }
}

/// What a reader of the map should know of its place.
pub(super) fn note(model: &Model, node: NodeId) -> Option<String> {
    let [top, left, bottom, right] = match place(model, node) {
        MapPlace::Whole => return None,
        MapPlace::Part(part) => part,
        MapPlace::Pieces(_) => {
            return Some(
                "the net puts rows or columns in another order, as a roll does; the map is drawn in that of the input"
                    .into(),
            );
        }
        MapPlace::Unknown(at) => {
            let name = &model.graph().node(at).name;
            return Some(format!(
                "the net moves places in a way that is not followed (`{name}`): where the map lies on the input is not known, and it is \
                 drawn by itself"
            ));
        }
    };
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

/// Maps N x h x w enlarged bilinearly to N x height x width: over all of it, or over its parts that they lie over, with zeros around
/// them.
pub(super) fn enlarge(maps: &Tensor, output: [usize; 2], place: &MapPlace) -> Result<Tensor> {
    let (n, h, w) = maps.dims3()?;
    let dims = [n, output[0], output[1]];
    let one = |cells, edges| vec![Piece { cells, edges }];
    let [down, across] = match place {
        MapPlace::Whole | MapPlace::Unknown(_) => {
            let g = resize::ResizeGeometry {
                input: [h, w],
                output,
                scale: [output[0] as f64 / h as f64, output[1] as f64 / w as f64],
                sampling: Sampling::Linear,
                alignment: Alignment::HalfPixel,
            };
            return tensor(resize::forward(&g, &to_f32(maps)?), &dims);
        }
        MapPlace::Part([top, left, bottom, right]) => [one(h, [*top, *bottom]), one(w, [*left, *right])],
        MapPlace::Pieces(pieces) => pieces.clone(),
    };
    let (rows, columns) = (taps(output[0], h, &down), taps(output[1], w, &across));
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

/// For each of `to` positions the two of `from` cells, in the first piece that it lies in, between which it interpolates, and the weight
/// of the second; none outside the pieces. One piece holds all cells.
fn taps(to: usize, from: usize, pieces: &[Piece]) -> Vec<Option<(usize, usize, f32)>> {
    let within = |i: usize, start: usize, n: usize, [first, last]: [f64; 2]| {
        let cell = (i as f64 + 0.5 - first) / (last - first) * n as f64;
        let inside = (0.0..=n as f64).contains(&cell);
        let place = (cell - 0.5).clamp(0.0, (n - 1) as f64);
        let low = place.floor() as usize;
        inside.then(|| (start + low, start + (low + 1).min(n - 1), (place - low as f64) as f32))
    };
    if let [piece] = pieces {
        return (0..to).map(|i| within(i, 0, from, piece.edges)).collect();
    }
    let starts: Vec<usize> =
        pieces.iter().scan(0, |at, piece| Some(std::mem::replace(at, *at + piece.cells))).collect();
    let find =
        |i: usize| pieces.iter().zip(&starts).find_map(|(piece, start)| within(i, *start, piece.cells, piece.edges));
    (0..to).map(find).collect()
}
