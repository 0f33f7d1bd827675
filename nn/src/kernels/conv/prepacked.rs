//! A convolution with prepacked weights: packed once in the order in which the kernels read them, run on many batches. The
//! forward convolution and the input gradient each have a form of their own.

use super::depthwise::DepthwiseConv;
use super::direct::DirectConv;
use super::epilogue::Epilogue;
use super::gemm;
use super::geometry::Geometry;
use super::problem::{ConvProblem, Operands, OutputLayout, PackedProblem};
use super::weights::ScaledWeights;
use super::winograd::{WinogradConv, WinogradTile};
use crate::kernels::disjoint::{DisjointSlice, vec_filled_by};

/// A convolution, or its input gradient, ready to run on any batch.
#[derive(Debug)]
pub struct PrepackedConv {
    /// One forward; one for each phase of the stride backward.
    phases: Vec<Prepacked>,
    bias: Vec<f32>,
    /// Values of one sample's output.
    out_len: usize,
    largest_tile: WinogradTile,
}

/// A problem and its weights.
#[derive(Debug)]
struct Prepacked {
    problem: ConvProblem,
    weights: PackedWeights,
}

#[derive(Debug)]
enum PackedWeights {
    /// Panels of the micro-kernel, or the kernels of a depthwise convolution.
    Panels(Vec<f32>),
    /// Panels of transformed weights for Winograd tiles of `side` x `side` outputs.
    Winograd { side: usize, weights: Vec<f32> },
}

impl Prepacked {
    /// `problem`, this one or one over windows, with its panels (none for Winograd).
    fn packed<'a>(&'a self, problem: &'a ConvProblem) -> PackedProblem<'a> {
        let panels = match &self.weights {
            PackedWeights::Panels(panels) => &panels[..],
            PackedWeights::Winograd { .. } => &[],
        };
        PackedProblem { problem, panels }
    }

    /// Runs `problem`, this one with another batch or over windows, into a buffer of `len` values; the weights of `operands` are not
    /// used.
    fn run(&self, problem: &ConvProblem, operands: &Operands<'_>, y: DisjointSlice<f32>, len: usize) {
        match &self.weights {
            PackedWeights::Panels(panels) => gemm::run(problem, &Operands { panels, ..*operands }, y, len),
            PackedWeights::Winograd { side, weights } => {
                WinogradConv::with_side(problem, *side).run(operands, weights, y, len);
            }
        }
    }
}

/// Where the output of each sample lies in a larger buffer.
#[derive(Clone, Copy, Debug)]
pub struct OutputSlot {
    /// The first value of sample 0.
    pub first: usize,
    /// Values between samples.
    pub sample: usize,
}

impl PrepackedConv {
    /// y = w * x + b; the batch of `g` is not used. `w` O x C/groups x kh x kw, `bias` O. `tile` is the largest Winograd tile that
    /// a 3 x 3 convolution may use, at the price of a little rounding.
    pub fn forward(g: &Geometry, w: &[f32], bias: Option<&[f32]>, tile: WinogradTile) -> Self {
        Self::forward_scaled(g, ScaledWeights::plain(w), bias, tile)
    }

    /// As [`PrepackedConv::forward`] with scaled weights.
    pub fn forward_scaled(g: &Geometry, w: ScaledWeights<'_>, bias: Option<&[f32]>, tile: WinogradTile) -> Self {
        let out_len = g.out * g.out_pixels();
        let bias = bias.unwrap_or_default().to_vec();
        let (in_channels, out_channels, taps) = (g.channels / g.groups, g.out / g.groups, g.taps());
        let win = g.window;
        let tap = |i: usize, j: usize| {
            let at = |a: usize, k: usize, before: usize| (k * win.dilation[a]) as isize - before as isize;
            [at(0, i, win.padding.top), at(1, j, win.padding.left)]
        };
        let problem = ConvProblem {
            batch: 1,
            groups: g.groups,
            in_channels,
            input: g.input,
            out_channels,
            output: g.output,
            stride: win.stride,
            taps: (0..taps).map(|t| tap(t / win.kernel[1], t % win.kernel[1])).collect(),
            layout: OutputLayout { sample: out_len, plane: g.out_pixels(), first: 0, row: g.output[1], column: 1 },
        };
        let weight = |_, group, o, c, t| {
            let (first, second) = (group * out_channels + o, group * in_channels + c);
            w.at((first * in_channels + c) * taps + t, [first, second])
        };
        Self::new(vec![problem], &weight, bias, out_len, tile)
    }

    /// dL/dx of y = w * x + b, given dL/dy: for each phase of the stride a convolution of dL/dy with the taps that reach it.
    /// This is also a transposed convolution, which may have a bias: one value for each channel C of the geometry. `w` and
    /// `tile` as in [`PrepackedConv::forward`].
    pub fn input_gradient(g: &Geometry, w: &[f32], bias: Option<&[f32]>, tile: WinogradTile) -> Self {
        Self::input_gradient_scaled(g, ScaledWeights::plain(w), bias, tile)
    }

    /// As [`PrepackedConv::input_gradient`] with scaled weights.
    pub fn input_gradient_scaled(g: &Geometry, w: ScaledWeights<'_>, bias: Option<&[f32]>, tile: WinogradTile) -> Self {
        let out_len = g.channels * g.in_pixels();
        let bias = bias.unwrap_or_default().to_vec();
        let (out_channels, in_channels, taps) = (g.channels / g.groups, g.out / g.groups, g.taps());
        let win = g.window;
        let (down, across) = (phases(g, 0), phases(g, 1));
        let (mut problems, mut kernels) = (Vec::new(), Vec::new());
        for y in &down {
            for x in &across {
                let pairs: Vec<(&PhaseTap, &PhaseTap)> =
                    y.taps.iter().flat_map(|i| x.taps.iter().map(move |j| (i, j))).collect();
                let problem = ConvProblem {
                    batch: 1,
                    groups: g.groups,
                    in_channels,
                    input: g.output,
                    out_channels,
                    output: [y.count, x.count],
                    stride: [1, 1],
                    taps: pairs.iter().map(|(i, j)| [i.reads, j.reads]).collect(),
                    layout: OutputLayout {
                        sample: out_len,
                        plane: g.in_pixels(),
                        first: y.first * g.input[1] + x.first,
                        row: win.stride[0] * g.input[1],
                        column: win.stride[1],
                    },
                };
                kernels.push(pairs.iter().map(|(i, j)| i.kernel * win.kernel[1] + j.kernel).collect::<Vec<_>>());
                problems.push(problem);
            }
        }
        let weight = |phase: usize, group, o, c, t: usize| {
            let (first, second) = (group * in_channels + c, group * out_channels + o);
            w.at((first * out_channels + o) * taps + kernels[phase][t], [first, second])
        };
        Self::new(problems, &weight, bias, out_len, tile)
    }

    /// `weight` is that of a problem's number, and as of [`ConvProblem::pack_weights`].
    fn new(
        problems: Vec<ConvProblem>,
        weight: &(impl Fn(usize, usize, usize, usize, usize) -> f32 + Sync),
        bias: Vec<f32>,
        out_len: usize,
        tile: WinogradTile,
    ) -> Self {
        let unpacked: Vec<_> = problems.iter().map(|problem| PackedProblem { problem, panels: &[] }).collect();
        let is_direct = DirectConv::of(&unpacked).is_some();
        let suited = problems.iter().filter_map(|problem| WinogradConv::of(problem, WinogradTile::F4));
        let largest = suited.filter(|_| !is_direct).map(|conv| conv.tile()).max();
        let prepack = |(phase, problem): (usize, ConvProblem)| {
            let weight = |group: usize, o: usize, c: usize, t: usize| weight(phase, group, o, c, t);
            let weights = match WinogradConv::of(&problem, tile).filter(|_| !is_direct) {
                Some(conv) => PackedWeights::Winograd { side: conv.side(), weights: conv.pack_weights(&weight) },
                None => PackedWeights::Panels(problem.pack_weights(&weight)),
            };
            Prepacked { problem, weights }
        };
        let largest_tile = largest.unwrap_or(WinogradTile::None);
        let phases = problems.into_iter().enumerate().map(prepack).collect();
        PrepackedConv { phases, bias, out_len, largest_tile }
    }

    /// The largest Winograd tile that suits the shape of the convolution, allowed or not.
    pub fn largest_tile(&self) -> WinogradTile {
        self.largest_tile
    }

    /// Whether this form pays for windows of `output` positions, too. A Winograd form does not for small windows; these need a
    /// form with [`WinogradTile::None`].
    pub fn suits_windows(&self, output: [usize; 2]) -> bool {
        self.phases.iter().all(|phase| match phase.weights {
            PackedWeights::Panels(_) => true,
            PackedWeights::Winograd { .. } => {
                let window = ConvProblem { output, ..phase.problem.clone() };
                WinogradConv::of(&window, WinogradTile::F2).is_some()
            }
        })
    }

    /// The output for `batch` samples.
    ///
    /// # Panics
    /// Where `x` or the residual is shorter than the batch needs: a defect of the caller.
    pub fn run(&self, batch: usize, x: &[f32], epilogue: &Epilogue<'_>) -> Vec<f32> {
        let n = batch * self.out_len;
        let slot = OutputSlot { first: 0, sample: self.out_len };
        // SAFETY: the problems cover every output: all positions of a forward convolution, all phases of a gradient.
        unsafe { vec_filled_by(n, |y| self.run_into(batch, x, epilogue, y, n, slot)) }
    }

    /// As [`PrepackedConv::run`] of the input times `gate`, N x C: one factor for each of its planes. Pointwise convolutions
    /// multiply while they pack columns.
    ///
    /// # Panics
    /// As [`PrepackedConv::run`], and where the gate is too short.
    pub fn run_gated(&self, batch: usize, x: &[f32], gate: &[f32], epilogue: &Epilogue<'_>) -> Vec<f32> {
        match &self.phases[..] {
            [Prepacked { problem, weights: PackedWeights::Panels(panels) }] if problem.takes_gate() => {
                let (problem, n) = (ConvProblem { batch, ..problem.clone() }, batch * self.out_len);
                let operands = Operands { x, gate, panels, bias: &self.bias, epilogue: *epilogue };
                // SAFETY: a forward convolution covers every output.
                unsafe { vec_filled_by(n, |y| gemm::run(&problem, &operands, y, n)) }
            }
            phases => {
                let plane = phases.first().map_or(1, |p| p.problem.input[0] * p.problem.input[1]).max(1);
                let planes = x.chunks(plane).zip(gate);
                let product: Vec<f32> = planes.flat_map(|(x, factor)| x.iter().map(move |x| x * factor)).collect();
                self.run(batch, &product, epilogue)
            }
        }
    }

    /// As [`PrepackedConv::run`], into a larger buffer of `len` values, such as a concatenation: each sample to its slot.
    ///
    /// # Panics
    /// As [`PrepackedConv::run`], and where the buffer is too short.
    pub fn run_into(
        &self,
        batch: usize,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: DisjointSlice<f32>,
        len: usize,
        slot: OutputSlot,
    ) {
        let placed = |problem: &ConvProblem| {
            let first = problem.layout.first + slot.first;
            let layout = OutputLayout { sample: slot.sample, first, ..problem.layout };
            ConvProblem { layout, ..problem.clone() }
        };
        let problems: Vec<ConvProblem> = self.phases.iter().map(|phase| placed(&phase.problem)).collect();
        let packed: Vec<PackedProblem<'_>> =
            self.phases.iter().zip(&problems).map(|(phase, problem)| phase.packed(problem)).collect();
        self.run_problems(batch, &packed, x, epilogue, y, len);
    }

    /// As [`PrepackedConv::run`] of a forward convolution, over windows of its input. Each window of `x` is of `size`, padding
    /// included, and makes `output` positions. None for an input gradient.
    pub fn run_window(
        &self,
        batch: usize,
        size: [usize; 2],
        output: [usize; 2],
        x: &[f32],
        epilogue: &Epilogue<'_>,
    ) -> Option<Vec<f32>> {
        let [phase] = &self.phases[..] else { return None };
        let (problem, pixels) = (&phase.problem, output[0] * output[1]);
        let first = *problem.taps.first()?;
        let sample = problem.groups * problem.out_channels * pixels;
        let problem = ConvProblem {
            input: size,
            output,
            taps: problem.taps.iter().map(|t| [t[0] - first[0], t[1] - first[1]]).collect(),
            layout: OutputLayout { sample, plane: pixels, first: 0, row: output[1], column: 1 },
            ..problem.clone()
        };
        let n = batch * sample;
        // SAFETY: a forward convolution covers every output.
        Some(unsafe { vec_filled_by(n, |y| self.run_problems(batch, &[phase.packed(&problem)], x, epilogue, y, n)) })
    }

    /// Runs `problems`, one for each phase, into a buffer of `n` values by the kernel that their shape asks for.
    fn run_problems(
        &self,
        batch: usize,
        problems: &[PackedProblem<'_>],
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: DisjointSlice<f32>,
        n: usize,
    ) {
        if let Some(depthwise) = DepthwiseConv::of(problems) {
            return depthwise.run(batch, x, &self.bias, epilogue, y, n);
        }
        if let Some(direct) = DirectConv::of(problems) {
            return direct.run(batch, x, &self.bias, epilogue, y, n);
        }
        for (phase, packed) in self.phases.iter().zip(problems) {
            let operands = Operands { x, gate: &[], panels: &[], bias: &self.bias, epilogue: *epilogue };
            phase.run(&ConvProblem { batch, ..packed.problem.clone() }, &operands, y, n);
        }
    }
}

/// One phase of the stride along one axis: the inputs at stride * i + phase - padding, and the taps that reach them.
struct Phase {
    /// The first such input, and how many there are.
    first: usize,
    count: usize,
    taps: Vec<PhaseTap>,
}

/// A tap of the kernel, and the output that it reads for the phase's first input.
struct PhaseTap {
    kernel: usize,
    reads: isize,
}

/// The phases along axis `a`.
fn phases(g: &Geometry, a: usize) -> Vec<Phase> {
    let (s, d) = (g.window.stride[a], g.window.dilation[a]);
    let before = [g.window.padding.top, g.window.padding.left][a];
    (0..s)
        .map(|r| {
            // The least u with s u + r - before >= 0.
            let u = before.saturating_sub(r).div_ceil(s);
            let first = s * u + r - before;
            // Later taps read earlier outputs; they are kept in the order of what they read.
            let taps = (0..g.window.kernel[a]).rev().filter(|k| k * d % s == r);
            Phase {
                first,
                count: g.input[a].saturating_sub(first).div_ceil(s),
                taps: taps.map(|k| PhaseTap { kernel: k, reads: u as isize - ((k * d - r) / s) as isize }).collect(),
            }
        })
        .filter(|p| p.count > 0)
        .collect()
}
