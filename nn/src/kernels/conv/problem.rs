//! A convolution as one implicit GEMM: which inputs each output reads, and where outputs are stored.
//!
//! A forward convolution is one [`ConvProblem`]; its input gradient is one for each phase of the stride. Output position (y, x)
//! reads input position (y, x) * stride + tap, for each tap. As matrices: out_channels x (taps * in_channels) weights times
//! (taps * in_channels) x (batch * positions) im2col columns, for each group.

use super::epilogue::{Combine, Epilogue};
use super::microkernel::MR;
use rayon::prelude::*;

/// The sizes of one implicit GEMM, the input offsets of its taps, and the layout of its output.
#[derive(Clone, Debug)]
pub(super) struct ConvProblem {
    /// Samples.
    pub batch: usize,
    /// Channel groups.
    pub groups: usize,
    /// Input channels of a group.
    pub in_channels: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output channels of a group.
    pub out_channels: usize,
    /// Output height and width.
    pub output: [usize; 2],
    /// Input rows and columns between neighbouring outputs.
    pub stride: [usize; 2],
    /// Input row and column that each tap reads for output (0, 0); negative in the padding.
    pub taps: Vec<[isize; 2]>,
    /// Where outputs are stored.
    pub layout: OutputLayout,
}

/// Strides of the output: sample n, channel c, position (y, x) is stored at
/// n * sample + c * plane + first + y * row + x * column.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputLayout {
    /// Values between samples.
    pub sample: usize,
    /// Values between channels.
    pub plane: usize,
    /// Offset of position (0, 0) in its plane.
    pub first: usize,
    /// Values between rows.
    pub row: usize,
    /// Values between columns: 1, or the stride for a phase of an input gradient.
    pub column: usize,
}

/// The operands of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    /// The input, N x C x H x W.
    pub x: &'a [f32],
    /// Each group's weight panels, see [`ConvProblem::pack_weights`].
    pub panels: &'a [f32],
    /// Factors of the input's channels, N x C, of a pointwise problem; none where empty.
    pub gate: &'a [f32],
    /// One value an output channel, or none.
    pub bias: &'a [f32],
    /// What is applied to the sums; its residual is laid out as the output.
    pub epilogue: Epilogue<'a>,
}

/// A problem and its packed weights.
pub(super) struct PackedProblem<'a> {
    /// The problem; its batch is not used.
    pub problem: &'a ConvProblem,
    /// Weight panels, or the kernels of a depthwise convolution.
    pub panels: &'a [f32],
}

impl ConvProblem {
    /// K, the length of the sums.
    pub fn depth(&self) -> usize {
        self.in_channels * self.taps.len()
    }

    /// Output positions of a channel.
    pub fn out_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Weights in one group's panels.
    pub fn panel_len(&self) -> usize {
        self.out_channels.next_multiple_of(MR) * self.depth()
    }

    /// Whether there are several groups, of one input channel each.
    pub fn is_depthwise(&self) -> bool {
        self.in_channels == 1 && self.groups > 1
    }

    /// Packs `weight(group, out channel, in channel, tap)` into panels of [`MR`] output channels. Within a panel k counts taps
    /// and, within each, input channels, which is the order of oneDNN's plain kernels too. A [depthwise](super::depthwise)
    /// convolution gets its kernels one after another.
    pub fn pack_weights(&self, weight: &(impl Fn(usize, usize, usize, usize) -> f32 + Sync)) -> Vec<f32> {
        let depth = self.depth();
        if self.is_depthwise() {
            let kernels = (0..self.groups * self.out_channels).flat_map(|o| (0..depth).map(move |t| (o, t)));
            return kernels.map(|(o, t)| weight(o / self.out_channels, o % self.out_channels, 0, t)).collect();
        }
        let mut panels = vec![0.0; self.groups * self.panel_len()];
        if depth > 0 {
            let panels = panels.par_chunks_mut(MR * depth).enumerate();
            panels.for_each(|(p, panel)| self.pack_panel(p, panel, weight));
        }
        panels
    }

    /// Packs panel number `p` of [`ConvProblem::pack_weights`], counted over all groups.
    pub fn pack_panel(&self, p: usize, panel: &mut [f32], weight: &impl Fn(usize, usize, usize, usize) -> f32) {
        let (channels, per_group) = (self.in_channels, self.out_channels.div_ceil(MR));
        let (group, first) = (p / per_group, p % per_group * MR);
        let rows = MR.min(self.out_channels - first);
        if rows < MR {
            panel.fill(0.0);
        }
        for r in 0..rows {
            let order = (0..self.taps.len()).flat_map(|tap| (0..channels).map(move |c| (tap, c)));
            for (k, (tap, c)) in order.enumerate() {
                panel[k * MR + r] = weight(group, first + r, c, tap);
            }
        }
    }

    /// Checks that operands and an output of `len` values are long enough; false where there is nothing to compute.
    ///
    /// # Panics
    /// Where a slice is too short: a defect of the caller.
    pub fn check(&self, operands: &Operands<'_>, len: usize) -> bool {
        let any = self.check_activations(operands, len);
        assert!(!any || operands.panels.len() >= self.groups * self.panel_len(), "the panels are too short");
        any
    }

    /// As [`ConvProblem::check`], except the weights.
    pub fn check_activations(&self, operands: &Operands<'_>, len: usize) -> bool {
        if self.batch * self.out_pixels() == 0 || self.out_channels == 0 {
            return false;
        }
        let (channels, [h, w]) = (self.groups * self.out_channels, self.output);
        let last = self.output_index(self.batch - 1, channels - 1, h - 1, w - 1);
        let Epilogue { residual, combine, .. } = operands.epilogue;
        assert!(last < len, "the output is too short");
        assert!(combine == Combine::None || last < residual.len(), "the residual is too short");
        let planes = self.batch * self.groups * self.in_channels;
        assert!(operands.x.len() >= planes * self.input[0] * self.input[1], "the input is too short");
        assert!(
            operands.gate.is_empty() || operands.gate.len() >= planes && self.takes_gate(),
            "a gate that does not fit"
        );
        true
    }

    /// Where sample n, channel, row y, column x of the output is stored.
    pub fn output_index(&self, n: usize, channel: usize, y: usize, x: usize) -> usize {
        let l = self.layout;
        n * l.sample + channel * l.plane + l.first + y * l.row + x * l.column
    }

    /// Whether the input may have a gate.
    pub fn takes_gate(&self) -> bool {
        self.is_pointwise() && self.groups == 1
    }

    /// Whether the im2col matrix is the input itself: a 1 x 1 kernel with stride 1 and no padding.
    pub fn is_pointwise(&self) -> bool {
        self.taps == [[0, 0]] && self.stride == [1, 1] && self.output == self.input
    }
}
