//! Linear functions between feature maps and their regions: RoiAlign with known regions, and Col2Im.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Conv, Padding, Window};
use crate::limits::ONNX_COMPUTED;
use crate::tensor::to_f64;
use candle_core::{Device, Tensor};

/// RoiAlign over known regions of a single sample: averages of bilinear samples, a linear map of the positions.
pub fn roi_align(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let hint = "regions that are known while reading are pooled: cut the file before its region proposals";
    let (Value::Floats(rois), Value::Ints(batch)) = (site.input(1), site.input(2)) else {
        return Err(Error::unsupported("regions that depend on the net's input").hint(hint));
    };
    if site.text("mode")?.is_some_and(|m| m != "avg") {
        return Err(Error::unsupported("attribute `mode` is not `avg`"));
    }
    let x = s.batched(site, 0)?;
    let x = s.of_one(site, x)?;
    if s.batch != Some(1) && x.lead == 1 || batch.known()?.iter().any(|b| *b != 0) {
        return Err(super::value::mixes("it pools regions of several samples"));
    }
    let &[channels, height, width] = s.sample(x).as_slice() else {
        return Err(Error::shape(format!("takes channels x rows x columns, got {:?}", s.sample(x))));
    };
    let number = |name: &str, least: i64| -> Result<usize> {
        let v = site.int(name)?.unwrap_or(least);
        usize::try_from(v).map_err(|_| Error::format(format!("attribute `{name}` is {v}")))
    };
    let (rows, columns, ratio) =
        (number("output_height", 1)?, number("output_width", 1)?, number("sampling_ratio", 0)?);
    let scale = site.float("spatial_scale")?.unwrap_or(1.0);
    let usual = if site.opset >= 16 { "half_pixel" } else { "output_half_pixel" };
    let half = site.text("coordinate_transformation_mode")?.unwrap_or_else(|| usual.into()) == "half_pixel";
    let boxes = to_f64(&rois.tensor)?;
    let regions = boxes.len() / 4;
    let plane = height * width;
    if regions * rows * columns * plane > ONNX_COMPUTED {
        return Err(Error::unsupported(format!("{regions} regions of {rows} x {columns} over {height} x {width}")));
    }
    let mut matrix = vec![0.0f64; regions * rows * columns * plane];
    for (r, corners) in boxes.chunks_exact(4).enumerate() {
        let shift: f32 = if half { 0.5 } else { 0.0 };
        // In f32, as in other implementations: the number of samples per bin is rounded up from it.
        let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|i| f64::from(corners[i] as f32 * scale as f32 - shift));
        let [mut h, mut w] = [y2 - y1, x2 - x1].map(|side| f64::from(side as f32));
        if !half {
            (h, w) = (h.max(1.0), w.max(1.0));
        }
        let (bin_h, bin_w) = (h / rows as f64, w / columns as f64);
        let count = |bin: f64| if ratio > 0 { ratio } else { bin.ceil().max(0.0) as usize };
        let (nh, nw) = (count(bin_h), count(bin_w));
        for cell in 0..rows * columns {
            let line = &mut matrix[(r * rows * columns + cell) * plane..][..plane];
            for k in 0..nh * nw {
                let y = y1 + bin_h * ((cell / columns) as f64 + ((k / nw) as f64 + 0.5) / nh as f64);
                let x = x1 + bin_w * ((cell % columns) as f64 + ((k % nw) as f64 + 0.5) / nw as f64);
                let share = 1.0 / (nh * nw).max(1) as f64;
                for (row, down) in linear_weights(y, height) {
                    for (column, across) in linear_weights(x, width) {
                        line[row * width + column] += share * down * across;
                    }
                }
            }
        }
    }
    let matrix: Vec<f32> = matrix.into_iter().map(|v| v as f32).collect();
    let tensor = Tensor::from_vec(matrix, (regions * rows * columns, plane), &Device::Cpu)?;
    let weight = s.param(&Const { name: format!("{}/regions", site.name), tensor })?;
    let flat = s.step(site, "flat", Op::Reshape(vec![channels, plane]), &[x])?;
    let pooled = s.step(site, "pooled", Op::Linear { weight, bias: None }, &[flat])?;
    let split = s.step(site, "split", Op::Reshape(vec![channels, regions, rows, columns]), &[pooled])?;
    let id = s.add(site, Op::Transpose(vec![1, 0, 2, 3]), &[split])?.id;
    Ok(vec![Value::Act(Act { id, lead: 0 })])
}

/// The entries around a position on an axis with their weights; none beyond the map.
fn linear_weights(at: f64, n: usize) -> Vec<(usize, f64)> {
    if at < -1.0 || at > n as f64 {
        return Vec::new();
    }
    let at = at.max(0.0);
    let low = at as usize;
    if low >= n - 1 {
        return vec![(n - 1, 1.0)];
    }
    let part = at - low as f64;
    vec![(low, 1.0 - part), (low + 1, part)]
}

/// Col2Im: sums overlapping blocks, by a transposed convolution with a kernel for each position in a block.
pub fn from_columns(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.batched(site, 0)?;
    let x = s.of_one(site, x)?;
    let (image, block) = (site.ints(1)?.known()?, site.ints(2)?.known()?);
    let list = |name: &str, usual: i64, n: usize| -> Result<Vec<usize>> {
        let said = site.int_list(name)?.unwrap_or_else(|| vec![usual; n]);
        let known: Option<Vec<usize>> = said.iter().map(|v| usize::try_from(*v).ok()).collect();
        known.filter(|k| k.len() == n).ok_or_else(|| Error::format(format!("attribute `{name}` is {said:?}")))
    };
    let (&[height, width], &[kh, kw], &[values, count]) = (image.as_slice(), block.as_slice(), s.sample(x).as_slice())
    else {
        return Err(Error::unsupported(format!("blocks of {block:?} in {image:?} from {:?}", s.sample(x))));
    };
    let fits = [height, width, kh, kw].iter().all(|v| (1..1 << 16).contains(v));
    let taps = if fits { (kh * kw) as usize } else { 0 };
    if taps == 0 || !values.is_multiple_of(taps) {
        return Err(Error::shape(format!("blocks of {block:?} in {image:?} from {values} values")));
    }
    let (dilations, pads, strides) = (list("dilations", 1, 2)?, list("pads", 0, 4)?, list("strides", 1, 2)?);
    let kernel = [kh as usize, kw as usize];
    let padding = Padding { top: pads[0], left: pads[1], bottom: pads[2], right: pads[3] };
    let window = Window { kernel, stride: [strides[0], strides[1]], dilation: [dilations[0], dilations[1]], padding };
    let grid = window.output([height as usize, width as usize], false).filter(|[h, w]| h * w == count);
    let [rows, columns] = grid.ok_or_else(|| Error::shape(format!("{count} blocks of {block:?} in {image:?}")))?;
    let channels = values / taps;
    let own: Vec<f32> = (0..values * taps).map(|i| f32::from(u8::from(i / taps % taps == i % taps))).collect();
    let tensor = Tensor::from_vec(own, (values, 1, kernel[0], kernel[1]), &Device::Cpu)?;
    let weight = s.param(&Const { name: format!("{}/places", site.name), tensor })?;
    let map = s.step(site, "map", Op::Reshape(vec![values, rows, columns]), &[x])?;
    // The part that the last window does not reach is padded at the end.
    let reach = |a: usize, n: usize, size: i64, around: usize| {
        (size as usize + around).saturating_sub((n - 1) * window.stride[a] + window.span()[a])
    };
    let extra = [reach(0, rows, height, pads[0] + pads[2]), reach(1, columns, width, pads[1] + pads[3])];
    // The positions of each channel are summed: one group per channel.
    let conv = Conv { weight, bias: None, window, groups: channels };
    Ok(vec![Value::Act(s.add(site, Op::ConvTranspose2d(conv, extra), &[map])?)])
}
