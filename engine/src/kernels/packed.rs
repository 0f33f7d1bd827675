//! A convolution made ready for many runs in f32: its weights laid out once as the kernels read them, forward or for the
//! input gradient.

use super::conv::Geometry;
use super::depthwise::Planes;
use super::direct::{Direct, Part};
use super::finish::{Finish, Join};
use super::target::{Target, filled};
use super::walk::{Placing, Walk, Work};
use super::winograd::{Tiles, Winograd};

/// A convolution, or its input gradient, ready to run on any batch.
#[derive(Debug)]
pub struct Packed {
    /// One forward, one a phase of the stride backward.
    walks: Vec<Ready>,
    bias: Vec<f32>,
    out: usize,
    most: Tiles,
}

/// A walk and its weights.
#[derive(Debug)]
struct Ready {
    walk: Walk,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    /// Panels, as the register tile reads them, or the kernels of planes.
    Panels(Vec<f32>),
    /// For [`Winograd`] in tiles of `side`.
    Turned { side: usize, weights: Vec<f32> },
}

impl Ready {
    /// `walk`, this one or one over windows, with what weights it has as panels.
    fn part<'a>(&'a self, walk: &'a Walk) -> Part<'a> {
        let panels = match &self.weights {
            Weights::Panels(panels) => &panels[..],
            Weights::Turned { .. } => &[],
        };
        Part { walk, panels }
    }

    /// Runs `walk`, this one with another batch or over windows, into a buffer of `len` values.
    fn run(&self, walk: &Walk, x: &[f32], bias: &[f32], around: &Around<'_>, y: Target<f32>, len: usize) {
        let Around { other, join, finish } = *around;
        let work = |panels| Work { x, panels, bias, other, join, finish };
        match &self.weights {
            Weights::Panels(panels) => walk.run(&work(panels), y, len),
            Weights::Turned { side, weights } => Winograd::over(walk, *side).run(&work(&[]), weights, y, len),
        }
    }
}

/// What surrounds a run of a packed convolution.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Laid out as the result; empty where nothing joins.
    pub other: &'a [f32],
    /// How a value meets the other's.
    pub join: Join,
    /// What happens to it then.
    pub finish: Finish,
}

/// Where the results of each sample lie in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// The first value of the first sample's.
    pub first: usize,
    /// Values between samples.
    pub sample: usize,
}

impl Around<'_> {
    /// Nothing.
    pub const NONE: Around<'static> = Around { other: &[], join: Join::Alone, finish: Finish::Keep };
}

impl Packed {
    /// y = w * x + b; the batch in `g` plays no part. 3 x 3 kernels may be done in [tiles](super::winograd), whose sums are a
    /// little less exact.
    pub fn forward(g: &Geometry, w: &[f32], bias: Option<&[f32]>, tiles: Tiles) -> Self {
        let out = g.out * g.out_pixels();
        let bias = bias.unwrap_or_default().to_vec();
        let (channels, rows, taps) = (g.channels / g.groups, g.out / g.groups, g.taps());
        let win = g.window;
        let tap = |i: usize, j: usize| {
            let at = |a: usize, k: usize, before: usize| (k * win.dilation[a]) as isize - before as isize;
            [at(0, i, win.padding.top), at(1, j, win.padding.left)]
        };
        let walk = Walk {
            batch: 1,
            groups: g.groups,
            channels,
            input: g.input,
            rows,
            grid: g.output,
            stride: win.stride,
            taps: (0..taps).map(|t| tap(t / win.kernel[1], t % win.kernel[1])).collect(),
            place: Placing { sample: out, plane: g.out_pixels(), first: 0, row: g.output[1], column: 1 },
        };
        let panels = walk.pack(|group, r, c, t| w[((group * rows + r) * channels + c) * taps + t]);
        Self::of(vec![(walk, panels)], bias, out, tiles)
    }

    /// dL/dx of y = w * x + b for dL/dy: for each phase of the stride a convolution of dL/dy with the taps that reach it.
    /// As a transposed convolution it has a bias, one value a channel of the geometry; `tiles` as in [`Packed::forward`].
    pub fn input_gradient(g: &Geometry, w: &[f32], bias: Option<&[f32]>, tiles: Tiles) -> Self {
        let out = g.channels * g.in_pixels();
        let bias = bias.unwrap_or_default().to_vec();
        let (rows, channels, taps) = (g.channels / g.groups, g.out / g.groups, g.taps());
        let win = g.window;
        let (down, across) = (phases(g, 0), phases(g, 1));
        let mut walks = Vec::new();
        for y in &down {
            for x in &across {
                let pairs: Vec<(&Tap, &Tap)> = y.taps.iter().flat_map(|i| x.taps.iter().map(move |j| (i, j))).collect();
                let walk = Walk {
                    batch: 1,
                    groups: g.groups,
                    channels,
                    input: g.output,
                    rows,
                    grid: [y.count, x.count],
                    stride: [1, 1],
                    taps: pairs.iter().map(|(i, j)| [i.reads, j.reads]).collect(),
                    place: Placing {
                        sample: out,
                        plane: g.in_pixels(),
                        first: y.first * g.input[1] + x.first,
                        row: win.stride[0] * g.input[1],
                        column: win.stride[1],
                    },
                };
                let panels = walk.pack(|group, r, c, t| {
                    let (i, j) = pairs[t];
                    let tap = i.kernel * win.kernel[1] + j.kernel;
                    w[((group * channels + c) * rows + r) * taps + tap]
                });
                walks.push((walk, panels));
            }
        }
        Self::of(walks, bias, out, tiles)
    }

    fn of(walks: Vec<(Walk, Vec<f32>)>, bias: Vec<f32>, out: usize, tiles: Tiles) -> Self {
        let parts: Vec<Part<'_>> = walks.iter().map(|(walk, panels)| Part { walk, panels }).collect();
        let direct = Direct::of(&parts).is_some();
        let suited = walks.iter().filter_map(|(walk, _)| Winograd::of(walk, Tiles::Large)).filter(|_| !direct);
        let most = suited.map(|t| t.tiles()).max().unwrap_or(Tiles::None);
        let ready = |(walk, panels): (Walk, Vec<f32>)| {
            let weights = match Winograd::of(&walk, tiles).filter(|_| !direct) {
                Some(tiled) => Weights::Turned { side: tiled.side(), weights: tiled.pack(&panels) },
                None => Weights::Panels(panels),
            };
            Ready { walk, weights }
        };
        Packed { walks: walks.into_iter().map(ready).collect(), bias, out, most }
    }

    /// The largest tiles that suit the convolution, allowed or not.
    pub fn most(&self) -> Tiles {
        self.most
    }

    /// Whether windows of `grid` outputs are worth doing as this one is made; otherwise they want one without tiles.
    pub fn suits_windows(&self, grid: [usize; 2]) -> bool {
        self.walks.iter().all(|ready| match ready.weights {
            Weights::Panels(_) => true,
            Weights::Turned { .. } => Winograd::of(&Walk { grid, ..ready.walk.clone() }, Tiles::Small).is_some(),
        })
    }

    /// The result for `batch` samples.
    ///
    /// # Panics
    /// Where `x` or what surrounds the run is shorter than the batch needs: a defect of the caller.
    pub fn run(&self, batch: usize, x: &[f32], around: &Around<'_>) -> Vec<f32> {
        let n = batch * self.out;
        // SAFETY: the walks cover every output: all positions of a forward convolution, all phases of a gradient.
        unsafe { filled(n, |y| self.run_into(batch, x, around, y, n, Stretch { first: 0, sample: self.out })) }
    }

    /// As [`Packed::run`], into a buffer of `len` values that holds more: each sample goes to its stretch of it.
    ///
    /// # Panics
    /// As [`Packed::run`], and where the buffer is too short.
    pub fn run_into(&self, batch: usize, x: &[f32], around: &Around<'_>, y: Target<f32>, len: usize, to: Stretch) {
        let placed = |walk: &Walk| {
            let place = Placing { sample: to.sample, first: walk.place.first + to.first, ..walk.place };
            Walk { place, ..walk.clone() }
        };
        let walks: Vec<Walk> = self.walks.iter().map(|r| placed(&r.walk)).collect();
        let parts: Vec<Part<'_>> = self.walks.iter().zip(&walks).map(|(r, walk)| r.part(walk)).collect();
        self.run_parts(batch, &parts, x, around, y, len);
    }

    /// As [`Packed::run`] of a forward convolution, over windows of its input (`size`, what lies beyond the border included)
    /// that make windows of `grid` outputs. Nothing for an input gradient.
    pub fn run_window(
        &self,
        batch: usize,
        size: [usize; 2],
        grid: [usize; 2],
        x: &[f32],
        around: &Around<'_>,
    ) -> Option<Vec<f32>> {
        let [ready] = &self.walks[..] else { return None };
        let (walk, pixels) = (&ready.walk, grid[0] * grid[1]);
        let first = *walk.taps.first()?;
        let sample = walk.groups * walk.rows * pixels;
        let walk = Walk {
            input: size,
            grid,
            taps: walk.taps.iter().map(|t| [t[0] - first[0], t[1] - first[1]]).collect(),
            place: Placing { sample, plane: pixels, first: 0, row: grid[1], column: 1 },
            ..walk.clone()
        };
        let n = batch * sample;
        // SAFETY: a forward convolution covers every output.
        Some(unsafe { filled(n, |y| self.run_parts(batch, &[ready.part(&walk)], x, around, y, n)) })
    }

    /// Runs every walk, or what stands for it in `parts`, into a buffer of `n` values.
    fn run_parts(&self, batch: usize, parts: &[Part<'_>], x: &[f32], around: &Around<'_>, y: Target<f32>, n: usize) {
        if let Some(planes) = Planes::of(parts) {
            return planes.run(batch, x, &self.bias, around, y, n);
        }
        if let Some(direct) = Direct::of(parts) {
            return direct.run(batch, x, &self.bias, around, y, n);
        }
        for (ready, part) in self.walks.iter().zip(parts) {
            ready.run(&Walk { batch, ..part.walk.clone() }, x, &self.bias, around, y, n);
        }
    }
}

/// Along one axis: the inputs y * stride + phase - padding, and which taps reach them from where.
struct Phase {
    first: usize,
    count: usize,
    taps: Vec<Tap>,
}

struct Tap {
    kernel: usize,
    reads: isize,
}

fn phases(g: &Geometry, a: usize) -> Vec<Phase> {
    let (s, d) = (g.window.stride[a], g.window.dilation[a]);
    let before = [g.window.padding.top, g.window.padding.left][a];
    (0..s)
        .map(|r| {
            // The first u with s u + r - before >= 0.
            let u = before.saturating_sub(r).div_ceil(s);
            let first = s * u + r - before;
            // Later taps reach further back: in the order of what they read.
            let taps = (0..g.window.kernel[a]).rev().filter(|k| k * d % s == r);
            Phase {
                first,
                count: g.input[a].saturating_sub(first).div_ceil(s),
                taps: taps.map(|k| Tap { kernel: k, reads: u as isize - ((k * d - r) / s) as isize }).collect(),
            }
        })
        .filter(|p| p.count > 0)
        .collect()
}
