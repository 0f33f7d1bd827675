//! timm's nets of inverted residuals (EfficientNet 1 and 2, MobileNet 2 and 3, MNASNet) under its names: each block's kind, sizes,
//! kernel and squeeze are in the file; strides, activations, epsilon and padding are not.

use super::net::Net;
use crate::error::Result;
use crate::graph::NodeId;
use crate::graph::op::{Activation, Binary};

/// What one of timm's weight files does not hold.
#[derive(Clone, Copy)]
pub struct Untold<'a> {
    /// The stride of each stage's first block.
    pub strides: &'a [usize],
    /// Blocks by stage.
    pub blocks: &'a [usize],
    /// Channels behind the stem and before the classifier.
    pub widths: [usize; 2],
    /// The activation of the stem, the blocks and the head.
    pub activation: Activation,
    /// How many stages have ReLU instead.
    pub with_relu: usize,
    /// Whether there are squeezes at all: what a file disproves.
    pub squeezes: bool,
    /// The functions of the squeezes.
    pub squeeze: Squeeze,
    /// Stages whose blocks have no skip, whatever their shapes allow.
    pub without_skip: &'a [usize],
    /// Whether blocks of one convolution have a skip, as EfficientNetV2's.
    pub plain_skips: bool,
    /// Batch normalisation's epsilon.
    pub eps: f64,
    /// Whether TensorFlow trained it: "same" padding and epsilon .001.
    pub tensorflow: bool,
}

/// The activation between a squeeze's two convolutions, and the one behind them.
#[derive(Clone, Copy)]
pub enum Squeeze {
    /// The block's own, then a sigmoid.
    Soft,
    /// ReLU, then a hard sigmoid.
    Hard,
    /// The block's own, then a hard sigmoid.
    OwnHard,
}

/// SiLU throughout: EfficientNet.
pub const SILU: Untold<'static> = Untold { squeezes: true, plain_skips: true, ..of(Activation::Silu) };
/// ReLU throughout: MNASNet.
pub const RELU: Untold<'static> = of(Activation::Relu);
/// EfficientNet-EdgeTPU, whose first stage has no skips.
pub const EDGE: Untold<'static> = Untold { without_skip: &[0], ..RELU };
/// ReLU6 throughout: MobileNetV2, EfficientNet-Lite.
pub const RELU6: Untold<'static> = of(Activation::RELU6);
/// MobileNetV3.
pub const HARD: Untold<'static> = Untold { squeezes: true, squeeze: Squeeze::Hard, ..of(Activation::HardSwish) };
/// timm's earlier MobileNetV3, `mobilenetv3_rw`.
pub const RW: Untold<'static> = Untold { squeeze: Squeeze::OwnHard, without_skip: &[0], eps: 1e-3, ..HARD };

const fn of(activation: Activation) -> Untold<'static> {
    Untold {
        strides: &[1, 2, 2, 2, 1, 2, 1],
        blocks: &[],
        widths: [0, 0],
        activation,
        with_relu: 0,
        squeezes: false,
        squeeze: Squeeze::Soft,
        without_skip: &[],
        plain_skips: false,
        eps: 1e-5,
        tensorflow: false,
    }
}

/// A net of inverted residuals.
pub fn inverted(net: &mut Net, size: [usize; 2], untold: &Untold<'_>) -> Result<NodeId> {
    net.same = untold.tensorflow;
    net.eps = if untold.tensorflow { 1e-3 } else { untold.eps };
    net.disprove_squeezes(untold.squeezes, ".se.conv_reduce.weight");
    let act = untold.activation;
    let mut x = net.input("conv_stem", size)?;
    x = net.conv_as("conv_stem", x, 2)?;
    x = net.norm("bn1", x, Some(("act1", act)))?;
    net.expect_width("conv_stem", x, untold.widths[0]);
    for (stage, (blocks, stride)) in untold.blocks.iter().zip(untold.strides).enumerate() {
        let f = if stage < untold.with_relu { Activation::Relu } else { act };
        for b in 0..*blocks {
            let stride = if b == 0 { *stride } else { 1 };
            let part = Block { stride, activation: f, squeeze: untold.squeeze };
            let name = format!("blocks.{stage}.{b}");
            let y = block(net, &name, x, part)?;
            let plain = net.has(&format!("{name}.conv.weight"));
            let skips = !untold.without_skip.contains(&stage) && (!plain || untold.plain_skips);
            let same = stride == 1 && net.value_shape(x) == net.value_shape(y);
            x = if skips && same { net.binary(&format!("{name}.add"), Binary::Add, y, x)? } else { y };
        }
    }
    if net.has("bn2.weight") {
        x = net.conv_as("conv_head", x, 1)?;
        x = net.norm("bn2", x, Some(("act2", act)))?;
        x = net.global_pool("avgpool", x)?;
    } else {
        x = net.global_pool("avgpool", x)?;
        x = net.conv_as("conv_head", x, 1)?;
        x = net.activation("act2", x, act)?;
    }
    net.expect_width("conv_head", x, untold.widths[1]);
    x = net.flatten("flatten", x)?;
    net.head("classifier", &["classifier"], x)
}

/// What a file does not hold of one block.
#[derive(Clone, Copy)]
struct Block {
    stride: usize,
    activation: Activation,
    squeeze: Squeeze,
}

/// One block without its skip, of the kind that its parts' names tell.
fn block(net: &mut Net, name: &str, x: NodeId, untold: Block) -> Result<NodeId> {
    let Block { stride, activation: f, .. } = untold;
    let at = |part: &str| format!("{name}.{part}");
    let has = |net: &Net, part: &str| net.has(&format!("{name}.{part}.weight"));
    let (first, first_act) = (at("act1"), at("act2"));
    let squeeze = |net: &mut Net, y: NodeId| {
        let hard = Activation::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 };
        let (inner, gate) = match untold.squeeze {
            Squeeze::Soft => (f, Activation::Sigmoid),
            Squeeze::Hard => (Activation::Relu, hard),
            Squeeze::OwnHard => (f, hard),
        };
        match has(net, "se.conv_reduce") {
            true => net.squeeze(&format!("{name}.se"), ["conv_reduce", "conv_expand"], y, inner, gate),
            false => Ok(y),
        }
    };
    let mut y;
    if has(net, "conv") {
        y = net.conv_as(&at("conv"), x, stride)?;
        y = net.norm(&at("bn1"), y, Some((&first, f)))?;
    } else if has(net, "conv_exp") {
        y = net.conv_as(&at("conv_exp"), x, stride)?;
        y = net.norm(&at("bn1"), y, Some((&first, f)))?;
        y = squeeze(net, y)?;
        y = net.conv_as(&at("conv_pwl"), y, 1)?;
        y = net.norm(&at("bn2"), y, None)?;
    } else if has(net, "conv_pwl") {
        y = net.conv_as(&at("conv_pw"), x, 1)?;
        y = net.norm(&at("bn1"), y, Some((&first, f)))?;
        y = net.conv_as(&at("conv_dw"), y, stride)?;
        y = net.norm(&at("bn2"), y, Some((&first_act, f)))?;
        y = squeeze(net, y)?;
        y = net.conv_as(&at("conv_pwl"), y, 1)?;
        y = net.norm(&at("bn3"), y, None)?;
    } else {
        y = net.conv_as(&at("conv_dw"), x, stride)?;
        y = net.norm(&at("bn1"), y, Some((&first, f)))?;
        y = squeeze(net, y)?;
        y = net.conv_as(&at("conv_pw"), y, 1)?;
        y = net.norm(&at("bn2"), y, None)?;
    }
    Ok(y)
}
