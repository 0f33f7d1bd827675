//! Crops of maps: where a change lies, which outputs of a sliding kernel it reaches, and how windows are cropped and pasted.

use crate::error::Result;
use crate::graph::op::Window;
use crate::kernels::disjoint::vec_filled_by;
use crate::kernels::rearrange::paste;
use crate::kernels::reduce::sum;
use crate::tensor::{tensor, values};
use candle_core::Tensor;
use rayon::prelude::*;
use std::ops::Range;

/// Windows of one size, one for each input of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Region<I> {
    /// Row and column of each window's top left pixel.
    pub starts: Vec<[I; 2]>,
    /// Height and width of all of them.
    pub size: [usize; 2],
}

/// Values in windows of a map.
#[derive(Clone, Debug)]
pub struct Crops {
    /// Where the windows are.
    pub region: Region<usize>,
    /// N x C x h x w.
    pub data: Tensor,
}

/// Maps of the base pass, 1 x C x H x W, or one for each input, N x C x H x W.
pub struct Base<'a> {
    /// The values.
    pub value: &'a Tensor,
    /// H and W.
    pub size: [usize; 2],
}

impl Region<usize> {
    /// The windows of outputs, in a map of `size`, that a sliding kernel computes from inputs in these windows.
    pub fn outputs_of(&self, window: &Window, size: [usize; 2]) -> Self {
        let span = window.span();
        let before = [window.padding.top, window.padding.left];
        let reach = |a: usize, start: usize| {
            let s = window.stride[a];
            let lo = (start + before[a]).saturating_sub(span[a] - 1).div_ceil(s).min(size[a] - 1);
            let hi = ((start + self.size[a] - 1 + before[a]) / s).min(size[a] - 1);
            (lo, hi.max(lo) + 1)
        };
        let spans: Vec<[(usize, usize); 2]> = self.starts.iter().map(|s| [reach(0, s[0]), reach(1, s[1])]).collect();
        Region::covering(&spans, size)
    }

    /// Windows of one size that each cover one of `spans` (first and end, by axis), within a map of `size`.
    fn covering(spans: &[[(usize, usize); 2]], size: [usize; 2]) -> Self {
        let extent = [0, 1].map(|a| spans.iter().map(|s| s[a].1 - s[a].0).max().unwrap_or(1));
        let starts = spans.iter().map(|s| [0, 1].map(|a| s[a].0.min(size[a] - extent[a]))).collect();
        Region { starts, size: extent }
    }

    /// Windows that cover both regions, within a map of `size`.
    pub fn union(&self, other: &Self, size: [usize; 2]) -> Self {
        let span = |(p, q): (&[usize; 2], &[usize; 2])| {
            [0, 1].map(|a| (p[a].min(q[a]), (p[a] + self.size[a]).max(q[a] + other.size[a])))
        };
        let spans: Vec<_> = self.starts.iter().zip(&other.starts).map(span).collect();
        Region::covering(&spans, size)
    }

    /// The windows of inputs that a sliding kernel reads for outputs in these windows; they may extend into the padding.
    pub fn inputs_of(&self, window: &Window) -> Region<isize> {
        let (span, padding) = (window.span(), [window.padding.top, window.padding.left]);
        let start = |s: &[usize; 2]| [0, 1].map(|a| (s[a] * window.stride[a]) as isize - padding[a] as isize);
        Region {
            starts: self.starts.iter().map(start).collect(),
            size: [0, 1].map(|a| (self.size[a] - 1) * window.stride[a] + span[a]),
        }
    }

    /// The windows numbered `part`; their size stays that of all.
    pub fn part(&self, part: &Range<usize>) -> Self {
        Region { starts: self.starts[part.clone()].to_vec(), size: self.size }
    }

    /// The same windows with signed corners.
    pub fn signed(&self) -> Region<isize> {
        Region { starts: self.starts.iter().map(|s| s.map(|v| v as isize)).collect(), size: self.size }
    }
}

impl Crops {
    /// Whether these windows are exactly those of `region`.
    pub fn is_region(&self, region: &Region<isize>) -> bool {
        let same = |(p, q): (&[usize; 2], &[isize; 2])| p[0] as isize == q[0] && p[1] as isize == q[1];
        self.region.size == region.size && self.region.starts.iter().zip(&region.starts).all(same)
    }

    /// The whole maps: the base with each window pasted into it, N x C x H x W.
    ///
    /// # Errors
    /// Where the values are not contiguous in host memory.
    pub fn pasted_into(&self, base: &Base<'_>) -> Result<Tensor> {
        let all = Region { starts: vec![[0, 0]; self.region.starts.len()], size: base.size };
        base.crop(&all, 0.0, Some(self))
    }

    /// The sums (or means) over each whole map, in f64: the base's sum, minus the base's in the window, plus the window's own.
    ///
    /// # Errors
    /// As [`Crops::pasted_into`].
    pub fn sums(&self, base: &Base<'_>, mean: bool) -> Result<Vec<f32>> {
        let (old, new) = (values::<f32>(base.value)?, values::<f32>(&self.data)?);
        let ([height, width], [h, w]) = (base.size, self.region.size);
        let (plane, tile) = (height * width, h * w);
        let channels = old.len() / plane;
        let integral: Vec<f64> = old.par_chunks(plane).flat_map_iter(|map| integral_image(map, width)).collect();
        let (pitch, each) = (width + 1, (height + 1) * (width + 1));
        let count = if mean { plane as f64 } else { 1.0 };
        let one = |i: usize| {
            let ([top, left], c) = (self.region.starts[i / channels], i % channels);
            let to = |y: usize, x: usize| integral[c * each + y * pitch + x];
            let replaced = to(top + h, left + w) - to(top, left + w) - to(top + h, left) + to(top, left);
            ((to(height, width) - replaced + sum(&new[i * tile..(i + 1) * tile])) / count) as f32
        };
        Ok((0..self.region.starts.len() * channels).into_par_iter().map(one).collect())
    }
}

/// The integral image of a map: for each corner between pixels, row by row, the sum of all pixels above and left of it.
fn integral_image(map: &[f32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width + 1];
    for row in map.chunks(width) {
        let above = sums.len() - width - 1;
        let mut line = 0.0;
        sums.push(0.0);
        for (x, value) in row.iter().enumerate() {
            line += f64::from(*value);
            sums.push(sums[above + x + 1] + line);
        }
    }
    sums
}

impl Base<'_> {
    /// The values in `region`, N x C x h x w, with `crops` pasted over the maps first; `fill` outside the maps.
    ///
    /// # Errors
    /// Where the values are not contiguous in host memory.
    pub fn crop(&self, region: &Region<isize>, fill: f32, crops: Option<&Crops>) -> Result<Tensor> {
        let x = values::<f32>(self.value)?;
        let own = crops.map(|c| values::<f32>(&c.data)).transpose()?;
        let ([height, width], [h, w]) = (self.size, region.size);
        let (n, plane) = (region.starts.len(), height * width);
        let channels = self.value.dims()[1];
        let batched = self.value.dims()[0] > 1;
        let one = |i: usize, out: &mut [f32]| {
            let (n, c) = (i / channels, i % channels);
            let [top, left] = region.starts[n];
            let map = &x[(if batched { n * channels } else { 0 } + c) * plane..][..plane];
            paste(out, [h, w], map, [height, width], [top, left], Some(fill));
            if let (Some(crops), Some(own)) = (crops, &own) {
                let [a, b] = crops.region.starts[n];
                let [p, q] = crops.region.size;
                let tile = &own[i * p * q..(i + 1) * p * q];
                paste(out, [h, w], tile, [p, q], [top - a as isize, left - b as isize], None);
            }
        };
        // SAFETY: each task fills its own window.
        let data = unsafe {
            vec_filled_by(n * channels * h * w, |out| {
                let tasks = (0..n * channels).into_par_iter().with_min_len(4096usize.div_ceil(h * w));
                tasks.for_each(|i| one(i, out.slice(i * h * w, h * w)));
            })
        };
        tensor(data, &[n, channels, h, w])
    }
}
