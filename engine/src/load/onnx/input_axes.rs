//! Finds which axes of a file's input are channels, slices, rows and columns.

use super::links::Links;
use super::options::Options;
use crate::load::options::Layout;
use rten_onnx::onnx::NodeProto;
use std::collections::BTreeSet;

/// Operations that keep the order of axes and do not depend on it.
const AXIS_PRESERVING: [&str; 21] = [
    "Identity",
    "Cast",
    "Mul",
    "Add",
    "Sub",
    "Div",
    "Clip",
    "Relu",
    "Neg",
    "Sqrt",
    "Pow",
    "Dropout",
    "Max",
    "Min",
    "Pad",
    "QuantizeLinear",
    "DequantizeLinear",
    "Sigmoid",
    // These work along any axes and so say nothing about them.
    "Resize",
    "Upsample",
    "Slice",
];

/// Whether the input is rows x columns x channels, with a note where that is assumed. It follows from the option, else from the
/// first operation that distinguishes channels from positions, else from the sizes.
pub fn channels_last(
    links: &Links<'_>,
    options: &Options<'_>,
    [a, b, c]: [Option<usize>; 3],
    name: &str,
) -> (bool, Option<String>) {
    if let Some(layout) = options.layout {
        return (layout == Layout::Nhwc, None);
    }
    if let Some(last) = first_layout(links, name) {
        return (last, None);
    }
    let last = matches!(c, Some(1 | 3)) && a.is_none_or(|a| a > 4) && b.is_none_or(|b| b > 4);
    let note = format!(
        "the input `{name}` is taken for rows x columns x channels; this is assumed, the option `layout` says it"
    );
    (last, last.then_some(note))
}

/// Whether the channels come last, by the first operation over the input that distinguishes channels from positions.
fn first_layout(links: &Links<'_>, name: &str) -> Option<bool> {
    let (mut values, mut moved) = (BTreeSet::from([name]), false);
    for node in &links.nodes {
        if !node.input.iter().any(|i| values.contains(i.as_str())) {
            continue;
        }
        match node.op_type.as_deref().unwrap_or("") {
            op if tells(op) => return Some(moved),
            "Transpose" => {
                if moved || permutation(node) != Some(&[0, 3, 1, 2]) {
                    return None;
                }
                moved = true;
                values.extend(node.output.first().map(String::as_str));
            }
            op if AXIS_PRESERVING.contains(&op) => values.extend(node.output.first().map(String::as_str)),
            _ => return None,
        }
    }
    None
}

/// Which of the four axes of an input (behind the batch) are channels, slices or frames, rows, columns; empty where this is their
/// order. With a note where it is assumed. It follows from the option, else from the first operations over the input, else from
/// the sizes.
pub fn of_volume(
    links: &Links<'_>,
    options: &Options<'_>,
    dims: [Option<usize>; 4],
    name: &str,
) -> (Vec<usize>, Option<String>) {
    let (plain, frames_first, channels_last) = (Vec::new(), vec![1, 0, 2, 3], vec![3, 0, 1, 2]);
    match options.layout {
        Some(Layout::Ntchw) => return (frames_first, None),
        Some(Layout::Ndhwc) => return (channels_last, None),
        Some(Layout::Ncdhw | Layout::Nchw | Layout::Nhwc) => return (plain, None),
        None => {}
    }
    if let Some(order) = first_volume_layout(links, name, dims) {
        return (order, None);
    }
    let large = |d: Option<usize>| d.is_some_and(|d| d > 4);
    let colours = |d: Option<usize>| matches!(d, Some(1 | 3));
    let [a, b, c, d] = dims;
    let (order, what) = if colours(b) && !colours(a) && large(c) && large(d) {
        (frames_first, "frames x channels x rows x columns")
    } else if colours(d) && !colours(a) && large(b) && large(c) {
        (channels_last, "slices x rows x columns x channels")
    } else {
        return (plain, None);
    };
    let note = format!("the input `{name}` is taken for {what}; this is assumed, the option `layout` says it");
    (order, Some(note))
}

/// The same from the first operations over the input: windows over volumes, transposes before them, or frames that are split or
/// merged with the batch before windows over images; the windows' weights have the channels.
fn first_volume_layout(links: &Links<'_>, name: &str, dims: [Option<usize>; 4]) -> Option<Vec<usize>> {
    let (mut values, mut order, mut apart) = (BTreeSet::from([name]), Vec::new(), false);
    for node in &links.nodes {
        if !node.input.iter().any(|i| values.contains(i.as_str())) {
            continue;
        }
        match node.op_type.as_deref().unwrap_or("") {
            "Conv" if apart => return of_frames(channels(links, node)?, dims),
            op if tells(op) && !apart => return Some(order),
            "Transpose" if apart => {}
            "Transpose" => {
                order = match permutation(node)? {
                    [0, 1, 2, 3, 4] => order,
                    [0, 2, 1, 3, 4] if order.is_empty() => vec![1, 0, 2, 3],
                    [0, 4, 1, 2, 3] if order.is_empty() => vec![3, 0, 1, 2],
                    _ => return None,
                };
            }
            "Reshape" | "Squeeze" | "Gather" | "Split" | "SplitToSequence" | "Flatten" => apart = true,
            op if AXIS_PRESERVING.contains(&op) => {}
            _ => return None,
        }
        values.extend(node.output.iter().map(String::as_str));
    }
    None
}

/// The order of the axes of frames, by the input channels of windows over each frame.
fn of_frames(channels: usize, [a, b, _, d]: [Option<usize>; 4]) -> Option<Vec<usize>> {
    match [a, b, d].map(|n| n == Some(channels)) {
        [false, true, false] => Some(vec![1, 0, 2, 3]),
        [false, false, true] => Some(vec![3, 0, 1, 2]),
        [true, false, false] => Some(Vec::new()),
        _ => None,
    }
}

/// Whether an operation distinguishes channels from positions.
fn tells(op: &str) -> bool {
    matches!(
        op,
        "Conv"
            | "MaxPool"
            | "AveragePool"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "LRN"
            | "SpaceToDepth"
    )
}

fn permutation(node: &NodeProto) -> Option<&[i64]> {
    node.attribute.iter().find(|a| a.name.as_deref() == Some("perm")).map(|a| &a.ints[..])
}

/// The number of input channels of a convolution, where its weight is in the file.
pub fn channels(links: &Links<'_>, conv: &NodeProto) -> Option<usize> {
    let weight = links.initialisers.get(conv.input.get(1)?.as_str())?;
    let groups = conv.attribute.iter().find(|a| a.name.as_deref() == Some("group")).and_then(|a| a.i).unwrap_or(1);
    weight.dims.get(1)?.checked_mul(groups).and_then(|c| usize::try_from(c).ok())
}
