//! Vision transformers (Dosovitskiy et al. 2021) and DeiT (Touvron et al. 2021): patches as tokens, a class token before them.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary};

/// Epsilon of its normalisations.
const EPS: f64 = 1e-6;

/// How the parts are called.
struct Names {
    patches: &'static str,
    class: &'static str,
    positions: &'static str,
    block: fn(usize) -> String,
    /// Norm, queries with keys and values, what joins the heads, second norm, the two layers behind it.
    parts: [&'static str; 6],
    norm: &'static str,
    head: [&'static str; 2],
}

const TORCHVISION: Names = Names {
    patches: "conv_proj",
    class: "class_token",
    positions: "encoder.pos_embedding",
    block: |i| format!("encoder.layers.encoder_layer_{i}"),
    parts: ["ln_1", "self_attention.in_proj", "self_attention.out_proj", "ln_2", "mlp.0", "mlp.3"],
    norm: "encoder.ln",
    head: ["heads", "heads.head"],
};

/// The names before torchvision 0.13.
const OLDER: [&str; 6] =
    ["ln_1", "self_attention.in_proj", "self_attention.out_proj", "ln_2", "mlp.linear_1", "mlp.linear_2"];

const TIMM: Names = Names {
    patches: "patch_embed.proj",
    class: "cls_token",
    positions: "pos_embed",
    block: |i| format!("blocks.{i}"),
    parts: ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"],
    norm: "norm",
    head: ["head", "head"],
};

/// `vit_b_16` to `vit_h_14` by torchvision's names, `vit_tiny_patch16_224` to `vit_large_patch32_384` and `deit_*` by timm's:
/// px of a patch, blocks, channels of a token, heads.
pub fn vit(net: &mut Net, size: [usize; 2], patch: usize, blocks: usize, width: usize, heads: usize) -> Result<NodeId> {
    let names = if net.has("patch_embed.proj.weight") { TIMM } else { TORCHVISION };
    let parts = if net.has("encoder.layers.encoder_layer_0.mlp.linear_1.weight") { OLDER } else { names.parts };
    let input = net.input(names.patches, size)?;
    let mut x = net.conv_bare(names.patches, input, patch)?;
    net.expect_width(names.patches, x, width);
    let (channels, [rows, columns]) = (net.channels(x), net.size(x));
    let tokens = rows * columns;
    x = net.reshape("tokens.flat", x, &[channels, tokens])?;
    x = net.permute("tokens", x, &[1, 0])?;
    let class = net.constant_as(names.class, &[1, channels])?;
    x = net.concat_along("tokens.with_class", 0, &[class, x])?;
    let held = net.needed(names.positions)?;
    if held.get(1) != Some(&(tokens + 1)) {
        let of = held.get(1).map_or(0, |n| n.saturating_sub(1));
        net.misfit(format!(
            "`{}` holds {of} places, an input of {} x {} px has {tokens} patches of {patch} px: the size that it was trained at is needed (option `size`)",
            names.positions, size[0], size[1]
        ));
    }
    let positions = net.constant_as(names.positions, &[tokens + 1, channels])?;
    x = net.binary("tokens.placed", Binary::Add, x, positions)?;
    for i in 0..blocks {
        x = block(net, &(names.block)(i), parts, x, heads)?;
    }
    x = net.layer_norm(names.norm, x, EPS)?;
    x = net.select("class_token.out", x, 0, vec![0])?;
    x = net.flatten("flatten", x)?;
    net.own_between = Activation::Tanh;
    net.head(names.head[0], &[names.head[1]], x)
}

fn block(net: &mut Net, name: &str, parts: [&str; 6], x: NodeId, heads: usize) -> Result<NodeId> {
    let [first, qkv, join, second, up, down] = parts.map(|part| format!("{name}.{part}"));
    let mut y = net.layer_norm(&first, x, EPS)?;
    y = if qkv.ends_with("in_proj") {
        // PyTorch's own attention holds one matrix without a module of its own.
        net.linear_named(&qkv, &format!("{qkv}_weight"), &format!("{qkv}_bias"), y)?
    } else {
        net.linear_as(&qkv, y)?
    };
    y = net.attention(&format!("{name}.attention"), y, heads, &[])?;
    y = net.linear_as(&join, y)?;
    y = net.scaled_by(&format!("{name}.ls1.gamma"), y)?;
    let x = net.binary(&format!("{name}.add"), Binary::Add, x, y)?;
    y = net.layer_norm(&second, x, EPS)?;
    y = net.linear_as(&up, y)?;
    y = net.activation(&format!("{name}.gelu"), y, Activation::Gelu { tanh: false })?;
    y = net.linear_as(&down, y)?;
    y = net.scaled_by(&format!("{name}.ls2.gamma"), y)?;
    net.binary(&format!("{name}.add"), Binary::Add, x, y)
}
