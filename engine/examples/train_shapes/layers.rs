//! Layers that learn: forward passes that remember, and gradients of the weights. All sums run in an order that
//! follows from the batch alone, so that every number of threads trains the same net.

use convscope_engine::graph::op::Window;
use convscope_engine::kernels::conv;
use convscope_engine::kernels::matmul::{Matrix, matmul};
use convscope_engine::random::Stream;
use rayon::prelude::*;

/// A value that Adam moves (Kingma and Ba 2015), its decay apart from the gradient (Loshchilov and Hutter 2019).
pub struct Param {
    /// The value.
    pub value: Vec<f32>,
    gradient: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    decay: f32,
}

impl Param {
    fn new(value: Vec<f32>, decay: f32) -> Self {
        let zero = vec![0.0; value.len()];
        Param { value, gradient: zero.clone(), first: zero.clone(), second: zero, decay }
    }

    /// Step number `t`, from 1.
    pub fn step(&mut self, rate: f32, t: i32) {
        let (b1, b2) = (0.9f32, 0.98f32);
        let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
        for (i, w) in self.value.iter_mut().enumerate() {
            let g = self.gradient[i];
            self.first[i] += (1.0 - b1) * (g - self.first[i]);
            self.second[i] += (1.0 - b2) * (g * g - self.second[i]);
            let move_ = self.first[i] / c1 / ((self.second[i] / c2).sqrt() + 1e-8);
            *w -= rate * (move_ + self.decay * *w);
        }
    }
}

/// Convolution, batch normalisation (Ioffe and Szegedy 2015) and ReLU.
pub struct Block {
    /// Kernel side.
    pub kernel: usize,
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Weight, out x in x k x k.
    pub weight: Param,
    /// Scale after normalisation.
    pub scale: Param,
    /// Shift after normalisation.
    pub shift: Param,
    /// Mean over the last batches, by channel.
    pub mean: Vec<f32>,
    /// Variance over the last batches, by channel.
    pub variance: Vec<f32>,
    side: usize,
    input: Vec<f32>,
    sums: Vec<f32>,
    output: Vec<f32>,
    centre: Vec<f32>,
    inverse: Vec<f32>,
}

/// What is added to a variance.
pub const EPS: f32 = 1e-5;
/// Samples whose weight gradients are summed one after another.
const CHUNK: usize = 8;

impl Block {
    /// Random weights (He et al. 2015).
    pub fn new(stream: &mut Stream, [cin, cout]: [usize; 2], kernel: usize, side: usize, decay: f32) -> Self {
        let fan = cin * kernel * kernel;
        let spread = (2.0 / fan as f64).sqrt();
        let weight = (0..cout * fan).map(|_| (spread * stream.next_normal()) as f32).collect();
        Block {
            kernel,
            channels: [cin, cout],
            weight: Param::new(weight, decay),
            scale: Param::new(vec![1.0; cout], 0.0),
            shift: Param::new(vec![0.0; cout], 0.0),
            mean: vec![0.0; cout],
            variance: vec![1.0; cout],
            side,
            input: Vec::new(),
            sums: Vec::new(),
            output: Vec::new(),
            centre: Vec::new(),
            inverse: Vec::new(),
        }
    }

    fn geometry(&self, batch: usize) -> conv::Geometry {
        conv::Geometry {
            batch,
            channels: self.channels[0],
            input: [self.side; 2],
            out: self.channels[1],
            output: [self.side; 2],
            groups: 1,
            window: Window::square(self.kernel, 1, self.kernel / 2),
        }
    }

    /// The batch's result, normalised by the batch's own moments.
    pub fn forward(&mut self, batch: usize, x: Vec<f32>) -> &[f32] {
        let (out, plane) = (self.channels[1], self.side * self.side);
        self.sums = conv::forward(&self.geometry(batch), &x, &self.weight.value, None);
        self.input = x;
        let n = (batch * plane) as f64;
        let moments = by_channel(out, plane, &self.sums, &self.sums, |v, _| [v, v * v]);
        self.centre = moments.iter().map(|m| (m[0] / n) as f32).collect();
        let variance: Vec<f64> = moments.iter().map(|m| (m[1] / n - (m[0] / n) * (m[0] / n)).max(0.0)).collect();
        self.inverse = variance.iter().map(|v| (1.0 / (v + f64::from(EPS)).sqrt()) as f32).collect();
        self.mean.iter_mut().zip(&self.centre).for_each(|(kept, now)| *kept += 0.03 * (now - *kept));
        self.variance.iter_mut().zip(&variance).for_each(|(kept, now)| *kept += 0.03 * (*now as f32 - *kept));
        self.output = vec![0.0; self.sums.len()];
        self.output.par_chunks_mut(plane).zip(self.sums.par_chunks(plane)).enumerate().for_each(|(p, (y, s))| {
            let c = p % out;
            let factor = self.scale.value[c] * self.inverse[c];
            let offset = self.shift.value[c] - self.centre[c] * factor;
            y.iter_mut().zip(s).for_each(|(y, s)| *y = (s * factor + offset).max(0.0));
        });
        &self.output
    }

    /// Keeps the parameters' gradients; the input's gradient if it is wanted.
    pub fn backward(&mut self, batch: usize, mut dy: Vec<f32>, wanted: bool) -> Option<Vec<f32>> {
        let (out, plane) = (self.channels[1], self.side * self.side);
        dy.par_chunks_mut(plane).zip(self.output.par_chunks(plane)).for_each(|(d, y)| {
            d.iter_mut().zip(y).for_each(|(d, y)| *d *= f32::from(u8::from(*y > 0.0)));
        });
        let n = (batch * plane) as f64;
        let sums = by_channel(out, plane, &dy, &self.sums, |d, s| [d, d * s]);
        for (c, [d, ds]) in sums.into_iter().enumerate() {
            let against = (ds - d * f64::from(self.centre[c])) * f64::from(self.inverse[c]);
            self.scale.gradient[c] = against as f32;
            self.shift.gradient[c] = d as f32;
        }
        dy.par_chunks_mut(plane).zip(self.sums.par_chunks(plane)).enumerate().for_each(|(p, (d, s))| {
            let c = p % out;
            let factor = self.scale.value[c] * self.inverse[c];
            let shift = (f64::from(self.shift.gradient[c]) / n) as f32;
            let slope = (f64::from(self.scale.gradient[c]) / n) as f32 * self.inverse[c];
            d.iter_mut().zip(s).for_each(|(d, s)| *d = factor * (*d - shift - slope * (s - self.centre[c])));
        });
        self.weight.gradient = self.weight_gradient(batch, &dy);
        wanted.then(|| conv::input_gradient(&self.geometry(batch), &dy, &self.weight.value))
    }

    /// dL/dw: for each sample dL/dy times the transposed columns.
    fn weight_gradient(&self, batch: usize, dy: &[f32]) -> Vec<f32> {
        let ([cin, out], plane) = (self.channels, self.side * self.side);
        let depth = cin * self.kernel * self.kernel;
        let chunk = |samples: std::ops::Range<usize>| {
            let (mut sum, mut columns) = (vec![0.0; out * depth], vec![0.0; depth * plane]);
            for n in samples {
                self.lay_out(&self.input[n * cin * plane..][..cin * plane], &mut columns);
                let flow = Matrix::rows(&dy[n * out * plane..][..out * plane], plane);
                matmul(out, depth, plane, &mut sum, depth, true, flow, Matrix::rows(&columns, plane).transposed());
            }
            sum
        };
        let chunks: Vec<Vec<f32>> = (0..batch.div_ceil(CHUNK))
            .into_par_iter()
            .map(|c| chunk(c * CHUNK..((c + 1) * CHUNK).min(batch)))
            .collect();
        let mut total = vec![0.0; out * depth];
        chunks.iter().for_each(|c| total.iter_mut().zip(c).for_each(|(t, v)| *t += v));
        total
    }

    /// One sample's windows as columns: row (c, i, j), column pixel.
    fn lay_out(&self, x: &[f32], columns: &mut [f32]) {
        let (k, side) = (self.kernel, self.side);
        let pad = k / 2;
        for (row, out) in columns.chunks_exact_mut(side * side).enumerate() {
            let (c, i, j) = (row / (k * k), row / k % k, row % k);
            for (y, line) in out.chunks_exact_mut(side).enumerate() {
                line.fill(0.0);
                let Some(from) = (y + i).checked_sub(pad).filter(|v| *v < side) else { continue };
                let source = &x[(c * side + from) * side..][..side];
                let (to, at) = (pad.saturating_sub(j), j.saturating_sub(pad));
                let n = side - to.max(at);
                line[to..to + n].copy_from_slice(&source[at..at + n]);
            }
        }
    }

    /// Weight and bias of the convolution alone that does the same: O x I x k x k and O.
    pub fn folded(&self) -> (Vec<f32>, Vec<f32>) {
        let per = self.weight.value.len() / self.channels[1];
        let factor = |c: usize| self.scale.value[c] / (self.variance[c] + EPS).sqrt();
        let weight = self.weight.value.iter().enumerate().map(|(i, w)| w * factor(i / per)).collect();
        let bias = (0..self.channels[1]).map(|c| self.shift.value[c] - self.mean[c] * factor(c)).collect();
        (weight, bias)
    }
}

/// For each channel the sum of `f` over its planes in all samples: within a plane, then over the samples in order.
fn by_channel(
    channels: usize,
    plane: usize,
    a: &[f32],
    b: &[f32],
    f: impl Fn(f32, f32) -> [f32; 2] + Sync,
) -> Vec<[f64; 2]> {
    let add = |sum: [f64; 2], v: [f64; 2]| [sum[0] + v[0], sum[1] + v[1]];
    let plane_sum = |a: &[f32], b: &[f32]| {
        // Short f32 sums in lanes, then f64.
        a.chunks(64).zip(b.chunks(64)).fold([0.0; 2], |sum, (a, b)| {
            let mut lanes = [[0f32; 8]; 2];
            for (a, b) in a.chunks(8).zip(b.chunks(8)) {
                for (k, (a, b)) in a.iter().zip(b).enumerate() {
                    let [u, v] = f(*a, *b);
                    lanes[0][k] += u;
                    lanes[1][k] += v;
                }
            }
            add(sum, lanes.map(|l| f64::from(l.iter().sum::<f32>())))
        })
    };
    let planes: Vec<[f64; 2]> = a.par_chunks(plane).zip(b.par_chunks(plane)).map(|(a, b)| plane_sum(a, b)).collect();
    (0..channels).map(|c| planes.iter().skip(c).step_by(channels).fold([0.0; 2], |sum, v| add(sum, *v))).collect()
}

/// A max pool of 3 x 3, stride 2, that remembers its winners.
pub struct MaxPool {
    from: usize,
    to: usize,
    winners: Vec<usize>,
}

impl MaxPool {
    /// Over maps of `side` x `side`.
    pub fn new(side: usize) -> Self {
        MaxPool { from: side, to: (side - 3) / 2 + 1, winners: Vec::new() }
    }

    /// The largest of each window.
    pub fn forward(&mut self, x: &[f32]) -> Vec<f32> {
        let (from, to) = (self.from * self.from, self.to * self.to);
        let (mut y, width) = (vec![0.0; x.len() / from * to], self.from);
        self.winners.resize(y.len(), 0);
        y.par_chunks_mut(to).zip(self.winners.par_chunks_mut(to)).zip(x.par_chunks(from)).for_each(|((y, w), x)| {
            for (o, (y, w)) in y.iter_mut().zip(w).enumerate() {
                let first = o / self.to * 2 * width + o % self.to * 2;
                let taps = [0, 1, 2, width, width + 1, width + 2, 2 * width, 2 * width + 1, 2 * width + 2];
                let best = taps.iter().fold(first, |best, t| if x[first + t] > x[best] { first + t } else { best });
                (*y, *w) = (x[best], best);
            }
        });
        y
    }

    /// The flow to the winners.
    pub fn backward(&self, dy: &[f32]) -> Vec<f32> {
        let (from, to) = (self.from * self.from, self.to * self.to);
        let mut dx = vec![0.0; dy.len() / to * from];
        dx.par_chunks_mut(from).zip(self.winners.par_chunks(to)).zip(dy.par_chunks(to)).for_each(|((dx, w), dy)| {
            w.iter().zip(dy).for_each(|(w, d)| dx[*w] += d);
        });
        dx
    }
}

/// The mean over each map, then a linear map to the classes.
pub struct Head {
    /// Weight, classes x channels.
    pub weight: Param,
    /// Bias, classes.
    pub bias: Param,
    means: Vec<f32>,
}

impl Head {
    /// Random weights.
    pub fn new(stream: &mut Stream, channels: usize, classes: usize, decay: f32) -> Self {
        let spread = (1.0 / channels as f64).sqrt();
        let weight = (0..classes * channels).map(|_| (spread * stream.next_normal()) as f32).collect();
        Head { weight: Param::new(weight, decay), bias: Param::new(vec![0.0; classes], 0.0), means: Vec::new() }
    }

    /// The classes' scores.
    pub fn forward(&mut self, batch: usize, x: &[f32]) -> Vec<f32> {
        let (classes, channels) = (self.bias.value.len(), self.weight.value.len() / self.bias.value.len());
        let plane = x.len() / batch / channels;
        self.means = x.chunks(plane).map(|p| p.iter().sum::<f32>() / plane as f32).collect();
        let mut y = self.bias.value.repeat(batch);
        let weight = Matrix::rows(&self.weight.value, channels).transposed();
        matmul(batch, classes, channels, &mut y, classes, true, Matrix::rows(&self.means, channels), weight);
        y
    }

    /// Keeps the parameters' gradients; the gradient of the maps, `plane` values each.
    pub fn backward(&mut self, batch: usize, dy: &[f32], plane: usize) -> Vec<f32> {
        let (classes, channels) = (self.bias.value.len(), self.weight.value.len() / self.bias.value.len());
        let flow = Matrix::rows(dy, classes);
        let means = Matrix::rows(&self.means, channels);
        matmul(classes, channels, batch, &mut self.weight.gradient, channels, false, flow.transposed(), means);
        self.bias.gradient = (0..classes).map(|c| dy.iter().skip(c).step_by(classes).sum()).collect();
        let mut means = vec![0.0; batch * channels];
        matmul(batch, channels, classes, &mut means, channels, false, flow, Matrix::rows(&self.weight.value, channels));
        means.iter().flat_map(|d| std::iter::repeat_n(d / plane as f32, plane)).collect()
    }
}
