//! A part of a code: some channels, some positions (Mahendran and Vedaldi 2014, section 5: "subsets of neurons").

use super::Invert;
use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::model::Model;

/// The code with NaN in all channels and positions that are not matched.
///
/// # Errors
/// Where the layer has no such channels or positions.
pub fn of(probe: &Invert, model: &Model, node: NodeId, mut code: Vec<f64>) -> Result<Vec<f64>> {
    if probe.channels.is_empty() && probe.positions.is_empty() {
        return Ok(code);
    }
    let (name, shape) = (&model.graph().node(node).name, &model.graph().node(node).shape);
    let (count, rows, columns) = match shape[..] {
        [c, h, w] => (c, h, w),
        [c] => (c, 1, 1),
        _ => return Err(Error::subject(format!("`{name}` is {shape:?}, which has no channels to choose from"))),
    };
    let channels = match probe.channels[..] {
        [] => 0..count,
        [from, to] if from < to && to <= count => from..to,
        _ => {
            return Err(Error::value(format!(
                "option `channels` is {:?}; `{name}` has {count} channels",
                probe.channels
            ))
            .hint("[from, to], counted from 0, `to` left out"));
        }
    };
    let window = match probe.positions[..] {
        [] => [0, 0, rows, columns],
        [top, left, height, width] if height > 0 && width > 0 && top + height <= rows && left + width <= columns => {
            [top, left, height, width]
        }
        _ => {
            return Err(Error::value(format!(
                "option `positions` is {:?}; `{name}` has {rows} rows and {columns} columns",
                probe.positions
            ))
            .hint("[top, left, height, width], counted from 0"));
        }
    };
    let within = |i: usize, from: usize, n: usize| (from..from + n).contains(&i);
    for (i, value) in code.iter_mut().enumerate() {
        let (channel, place) = (i / (rows * columns), i % (rows * columns));
        let inside = within(place / columns, window[0], window[2]) && within(place % columns, window[1], window[3]);
        if !channels.contains(&channel) || !inside {
            *value = f64::NAN;
        }
    }
    Ok(code)
}
