//! Swin transformers (Liu et al. 2021): attention within windows of 7 x 7 tokens, every second time shifted by 3.

use candle_core::{Device, Tensor};

use super::net::{Net, dims};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary, Border};
use crate::graph::{NodeId, Op};

/// Epsilon of its normalisations.
const EPS: f64 = 1e-5;
/// Side of a patch, px.
const PATCH: usize = 4;
/// Added between tokens that are no neighbours in the picture.
const MASKED_SCORE: f32 = -100.0;

/// `swin_t` to `swin_b` by torchvision's names, `swin_tiny_patch4_window7_224` and the like by timm's: blocks by stage and
/// channels of the first; heads and windows are the file's.
pub fn swin(net: &mut Net, size: [usize; 2], blocks: [usize; 4], width: usize) -> Result<NodeId> {
    let timm = net.has("patch_embed.proj.weight");
    let [patches, norm, end] = match timm {
        true => ["patch_embed.proj", "patch_embed.norm", "head.fc"],
        false => ["features.0.0", "features.0.2", "head"],
    };
    let mut x = net.input(patches, size)?;
    x = net.conv_bare(patches, x, PATCH)?;
    net.expect_width(patches, x, width);
    x = net.permute("patches", x, &[1, 2, 0])?;
    x = net.layer_norm(norm, x, EPS)?;
    for (stage, blocks) in blocks.into_iter().enumerate() {
        if stage > 0 {
            let name = match timm {
                // Where timm merges: once at a stage's end, now at its beginning.
                true if net.has("layers.0.downsample.norm.weight") => format!("layers.{}.downsample", stage - 1),
                true => format!("layers.{stage}.downsample"),
                false => format!("features.{}", 2 * stage),
            };
            x = merge(net, &name, x)?;
        }
        for b in 0..blocks {
            let name = match timm {
                true => format!("layers.{stage}.blocks.{b}"),
                false => format!("features.{}.{b}", 2 * stage + 1),
            };
            let mlp = if timm { ["mlp.fc1", "mlp.fc2"] } else { ["mlp.0", "mlp.3"] };
            x = block(net, &name, mlp, x, b % 2 == 1)?;
        }
    }
    x = net.layer_norm("norm", x, EPS)?;
    x = net.mean("avgpool", x, &[0, 1])?;
    let head = if timm && !net.has("head.fc.weight") { "head" } else { end };
    net.head(head, &[head], x)
}

/// Four neighbouring tokens become one of twice the channels.
fn merge(net: &mut Net, name: &str, x: NodeId) -> Result<NodeId> {
    let shape = net.value_shape(x);
    let x = match shape[..] {
        [h, w, _] if h % 2 + w % 2 > 0 => pad(net, &format!("{name}.pad"), x, [h % 2, w % 2])?,
        _ => x,
    };
    let shape = net.value_shape(x);
    let mut parts = Vec::new();
    for (column, row) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let at = |part: &str| format!("{name}.{part}{row}{column}");
        let y = net.select(&at("rows"), x, 0, (row..shape[0]).step_by(2).collect())?;
        parts.push(net.select(&at("columns"), y, 1, (column..shape[1]).step_by(2).collect())?);
    }
    let y = net.concat_along(&format!("{name}.cat"), 2, &parts)?;
    let y = net.layer_norm(&format!("{name}.norm"), y, EPS)?;
    net.linear_as(&format!("{name}.reduction"), y)
}

fn block(net: &mut Net, name: &str, mlp: [&str; 2], x: NodeId, shifts: bool) -> Result<NodeId> {
    let mut y = net.layer_norm(&format!("{name}.norm1"), x, EPS)?;
    y = windows(net, &format!("{name}.attn"), y, shifts)?;
    let x = net.binary(&format!("{name}.add"), Binary::Add, x, y)?;
    y = net.layer_norm(&format!("{name}.norm2"), x, EPS)?;
    y = net.linear_as(&format!("{name}.{}", mlp[0]), y)?;
    y = net.activation(&format!("{name}.gelu"), y, Activation::Gelu { tanh: false })?;
    y = net.linear_as(&format!("{name}.{}", mlp[1]), y)?;
    net.binary(&format!("{name}.add"), Binary::Add, x, y)
}

/// Attention within windows of rows x columns x channels, the map rolled by half a window before and back after.
fn windows(net: &mut Net, name: &str, x: NodeId, shifts: bool) -> Result<NodeId> {
    let table = format!("{name}.relative_position_bias_table");
    let held = net.needed(&table)?;
    let (places, heads) = match held[..] {
        [places, heads] => (places, heads),
        _ => return Err(Error::format(format!("`{table}` is {}, places x heads is needed", dims(&held)))),
    };
    let side = places.isqrt().div_ceil(2);
    if side == 0 || (2 * side - 1).pow(2) != places {
        return Err(Error::format(format!("`{table}` holds {places} places, which no square window has")));
    }
    let shape = net.value_shape(x);
    let (h, w, c) = (shape[0], shape[1], shape[2]);
    let padded = [h, w].map(|n| n.div_ceil(side) * side);
    let mut y = x;
    if padded != [h, w] {
        y = pad(net, &format!("{name}.pad"), y, [padded[0] - h, padded[1] - w])?;
    }
    // A map of one window has nothing to shift to.
    let shift = padded.map(|n| if shifts && n > side { side / 2 } else { 0 });
    let rolled = |n: usize, by: usize| (0..n).map(|i| (i + by) % n).collect::<Vec<usize>>();
    for axis in [0, 1] {
        if shift[axis] > 0 {
            y = net.select(&format!("{name}.rolled{axis}"), y, axis, rolled(padded[axis], shift[axis]))?;
        }
    }
    let [rows, columns] = padded.map(|n| n / side);
    let (count, tokens) = (rows * columns, side * side);
    y = net.reshape(&format!("{name}.split"), y, &[rows, side, columns, side, c])?;
    y = net.permute(&format!("{name}.windows"), y, &[0, 2, 1, 3, 4])?;
    y = net.reshape(&format!("{name}.tokens"), y, &[count, tokens, c])?;
    y = net.linear_as(&format!("{name}.qkv"), y)?;
    let mut bias = vec![position_bias(net, name, &table, side, heads)?];
    if shift != [0, 0] {
        let mask = mask(padded, side, shift);
        let mask = Tensor::from_vec(mask, (count, 1, tokens, tokens), &Device::Cpu)?;
        bias.push(net.constant(&format!("{name}.mask"), mask)?);
    }
    y = net.attention(name, y, heads, &bias)?;
    y = net.linear_as(&format!("{name}.proj"), y)?;
    y = net.reshape(&format!("{name}.unsplit"), y, &[rows, columns, side, side, c])?;
    y = net.permute(&format!("{name}.unwindowed"), y, &[0, 2, 1, 3, 4])?;
    y = net.reshape(&format!("{name}.map"), y, &[padded[0], padded[1], c])?;
    for axis in [0, 1] {
        if shift[axis] > 0 {
            y = net.select(&format!("{name}.back{axis}"), y, axis, rolled(padded[axis], padded[axis] - shift[axis]))?;
        }
    }
    for (axis, n) in [h, w].into_iter().enumerate() {
        if padded[axis] != n {
            y = net.select(&format!("{name}.cut{axis}"), y, axis, (0..n).collect())?;
        }
    }
    Ok(y)
}

/// The bias of each pair of tokens by their relative position, 1 x heads x tokens x tokens.
fn position_bias(net: &mut Net, name: &str, table: &str, side: usize, heads: usize) -> Result<NodeId> {
    let rows = crate::tensor::to_f32(&net.taken(table)?)?;
    let tokens = side * side;
    let mut bias = vec![0f32; heads * tokens * tokens];
    for i in 0..tokens {
        for j in 0..tokens {
            let (dy, dx) = (i / side + side - 1 - j / side, i % side + side - 1 - j % side);
            let place = dy * (2 * side - 1) + dx;
            for head in 0..heads {
                bias[(head * tokens + i) * tokens + j] = rows[place * heads + head];
            }
        }
    }
    let bias = Tensor::from_vec(bias, (1, heads, tokens, tokens), &Device::Cpu)?;
    net.constant(&format!("{name}.relative_position_bias"), bias)
}

/// [`MASKED_SCORE`] between tokens of a window that the roll brought together, windows x tokens x tokens.
fn mask(padded: [usize; 2], side: usize, shift: [usize; 2]) -> Vec<f32> {
    let part = |axis: usize, i: usize| match (shift[axis], padded[axis]) {
        (0, _) => 0,
        (s, n) => usize::from(i >= n - side) + usize::from(i >= n - s),
    };
    let [rows, columns] = padded.map(|n| n / side);
    let mut mask = Vec::with_capacity(rows * columns * side.pow(4));
    for window in 0..rows * columns {
        let of = |token: usize| {
            let (y, x) = (window / columns * side + token / side, window % columns * side + token % side);
            (part(0, y), part(1, x))
        };
        for i in 0..side * side {
            mask.extend((0..side * side).map(|j| if of(i) == of(j) { 0.0 } else { MASKED_SCORE }));
        }
    }
    mask
}

fn pad(net: &mut Net, name: &str, x: NodeId, [rows, columns]: [usize; 2]) -> Result<NodeId> {
    net.node(name, Op::Pad { pads: vec![(0, rows), (0, columns), (0, 0)], border: Border::Constant(0.0) }, &[x])
}
