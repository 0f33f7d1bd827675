//! Windows over one or three axes, expressed as windows over planes.
//!
//! A signal is a plane of one row. The slices of a volume are stacked vertically into one plane, and the taps along the depth
//! become channels, so that a convolution over the plane computes the sum of a convolution over the volume. Several maps that are
//! treated alike are slices of a volume with a window of depth one.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value};
use super::window::Slide;
use crate::error::{Error, Result};
use crate::graph::op::{Border, Conv, Padding, Window};
use crate::graph::{Op, ParamId, VolumeWindow};
use candle_core::{Device, Tensor};

/// Reshapes batch x channels x length to channels x one row x length; several signals (maps x channels x length) to a row each.
pub fn rows(s: &mut Scope, site: &Site<'_>, x: Act) -> Result<Act> {
    let shape = s.sample(x);
    match (x.lead, shape.as_slice()) {
        (1, [channels, length]) => s.step(site, "row", Op::Reshape(vec![*channels, 1, *length]), &[x]),
        _ => s.step(site, "rows", Op::Transpose(vec![1, 0, 2]), &[x]),
    }
}

/// The inverse of [`rows`], under the site's name.
pub fn from_rows(s: &mut Scope, site: &Site<'_>, y: Act, several: bool) -> Result<Vec<Value>> {
    let shape = s.sample(y);
    let op = if several { Op::Transpose(vec![1, 0, 2]) } else { Op::Reshape(vec![shape[0], shape[2]]) };
    Ok(vec![Value::Act(s.add(site, op, &[y])?)])
}

/// A convolution over a volume, or over several maps.
pub fn conv(
    s: &mut Scope,
    site: &Site<'_>,
    x: Act,
    weight: &Const,
    bias: Option<ParamId>,
    slide: Slide,
    groups: usize,
) -> Result<Vec<Value>> {
    let Stacked { x, slide, weight, several } = as_volume(s, site, x, weight, slide)?;
    let y = volume_conv(s, site, x, &weight, bias, &slide, groups)?;
    let op = if several { Op::Transpose(vec![1, 0, 2, 3]) } else { Op::Identity };
    let made = s.add(site, op, &[y])?;
    if !several {
        record_window(s, x, made, &slide);
    }
    Ok(vec![Value::Act(made)])
}

/// Records that `made` is the output of a window that slides over the volume `x`.
pub fn record_window(s: &mut Scope, x: Act, made: Act, slide: &Slide) {
    let three = |list: &[usize]| [list[0], list[1], list[2]];
    let window = VolumeWindow {
        input: s.builder.node(x.id).name.clone(),
        kernel: three(&slide.kernel),
        stride: three(&slide.stride),
        dilation: three(&slide.dilation),
        before: [slide.pads[0].0, slide.pads[1].0, slide.pads[2].0],
    };
    s.builder.slides(made.id, window);
}

/// A transposed convolution: zeros between the entries, then a convolution with the mirrored weight.
#[allow(clippy::too_many_arguments)]
pub fn conv_transpose(
    s: &mut Scope,
    site: &Site<'_>,
    x: Act,
    weight: &Const,
    bias: Option<ParamId>,
    slide: Slide,
    extra: &[usize],
    groups: usize,
) -> Result<Vec<Value>> {
    let extra = [vec![0; 3 - extra.len()], extra.to_vec()].concat();
    let Stacked { mut x, slide, weight, several } = as_volume(s, site, x, weight, slide)?;
    let weight = mirrored_weight(&weight, groups)?;
    let mut pads = vec![(0i64, 0i64)];
    for (a, extra) in extra.into_iter().enumerate() {
        let (stride, reach) = (slide.stride[a], slide.span(a) as i64 - 1);
        if stride > 1 {
            x = dilate(s, site, x, a + 1, stride)?;
        }
        let (before, after) = slide.pads[a];
        pads.push((reach - before as i64, reach - after as i64 + extra as i64 - (stride as i64 - 1)));
    }
    let x = pad_or_crop(s, site, x, &pads)?;
    let plain = Slide { stride: vec![1; 3], pads: vec![(0, 0); 3], ..slide };
    let y = volume_conv(s, site, x, &weight, bias, &plain, groups)?;
    let op = if several { Op::Transpose(vec![1, 0, 2, 3]) } else { Op::Identity };
    Ok(vec![Value::Act(s.add(site, op, &[y])?)])
}

struct Stacked {
    x: Act,
    slide: Slide,
    weight: Const,
    several: bool,
}

/// Several maps as the slices of a volume for a window of depth one; a volume unchanged.
fn as_volume(s: &mut Scope, site: &Site<'_>, x: Act, weight: &Const, slide: Slide) -> Result<Stacked> {
    match (x.lead, slide.kernel.len()) {
        (0, 1) => {
            let turned = s.step(site, "volume", Op::Transpose(vec![1, 0, 2]), &[x])?;
            let shape = s.sample(turned);
            let x = s.step(site, "slices", Op::Reshape(vec![shape[0], shape[1], 1, shape[2]]), &[turned])?;
            let weight = Const { tensor: weight.tensor.unsqueeze(2)?.unsqueeze(2)?, ..weight.clone() };
            Ok(Stacked { x, slide: slide.raised().raised(), weight, several: true })
        }
        (0, 2) => {
            let x = s.step(site, "volume", Op::Transpose(vec![1, 0, 2, 3]), &[x])?;
            let weight = Const { tensor: weight.tensor.unsqueeze(2)?, ..weight.clone() };
            Ok(Stacked { x, slide: slide.raised(), weight, several: true })
        }
        (1, 3) => Ok(Stacked { x, slide, weight: weight.clone(), several: false }),
        _ => Err(Error::unsupported("a convolution over several volumes of one sample")
            .hint("the first axis of every activation must be the batch")),
    }
}

/// The convolution of channels x depth x rows x columns with a weight of out x in x depth x rows x columns.
fn volume_conv(
    s: &mut Scope,
    site: &Site<'_>,
    x: Act,
    weight: &Const,
    bias: Option<ParamId>,
    slide: &Slide,
    groups: usize,
) -> Result<Act> {
    let shape = s.sample(x);
    let (&[channels, depth, rows, columns], &[out, per_group, kd, kh, kw]) = (&shape[..], weight.tensor.dims()) else {
        return Err(Error::shape(format!("weight {:?} over {shape:?}", weight.tensor.dims())));
    };
    let full = |a: usize, n: usize| n + slide.pads[a].0 + slide.pads[a].1;
    let (all_depth, all_rows) = (full(0, depth), full(1, rows));
    for (a, n) in [all_depth, all_rows, full(2, columns)].into_iter().enumerate() {
        if n < slide.span(a) {
            return Err(Error::shape(format!("a window of {:?} does not fit into {shape:?}", slide.kernel)));
        }
    }
    let (sd, sh) = (slide.stride[0], slide.stride[1]);
    let made = |a: usize, n: usize| (n - slide.span(a)) / slide.stride[a] + 1;
    let (depths, lines) = (made(0, all_depth), made(1, all_rows));
    // The rows of each slice, padded to a multiple of the stride.
    let tall = all_rows.div_ceil(sh) * sh;
    let pads = vec![(0, 0), slide.pads[0], (slide.pads[1].0, slide.pads[1].1 + tall - all_rows), (0, 0)];
    let mut x = x;
    if pads.iter().any(|p| *p != (0, 0)) {
        x = s.step(site, "padded", Op::Pad { pads, border: Border::Constant(0.0) }, &[x])?;
    }
    let taps: Vec<usize> =
        (0..depths).flat_map(|d| (0..kd).map(move |t| (d, t))).map(|(d, t)| d * sd + t * slide.dilation[0]).collect();
    if !taps.iter().copied().eq(0..all_depth) {
        x = s.step(site, "taps", Op::Select { axis: 1, index: taps.into() }, &[x])?;
    }
    if kd > 1 {
        x = s.step(site, "by tap", Op::Reshape(vec![channels, depths, kd, tall, columns]), &[x])?;
        x = s.step(site, "taps first", Op::Transpose(vec![0, 2, 1, 3, 4]), &[x])?;
    }
    x = s.step(site, "plane", Op::Reshape(vec![channels * kd, depths * tall, columns]), &[x])?;
    let flat = weight.tensor.reshape((out, per_group * kd, kh, kw))?;
    let held = s.derived(weight, "over planes", &flat)?;
    let (left, right) = slide.pads[2];
    let window = Window {
        kernel: [kh, kw],
        stride: [sh, slide.stride[2]],
        dilation: [slide.dilation[1], slide.dilation[2]],
        padding: Padding { top: 0, left, bottom: slide.span(1).saturating_sub(sh), right },
    };
    let y = s.step(site, "sum", Op::Conv2d(Conv { weight: held, bias, window, groups }), &[x])?;
    let [_, _, wide] = s.sample(y)[..] else { return Err(Error::internal("a convolution makes a map")) };
    let y = s.step(site, "slices", Op::Reshape(vec![out, depths, tall / sh, wide]), &[y])?;
    if tall / sh == lines {
        return Ok(y);
    }
    s.step(site, "rows", Op::Select { axis: 2, index: (0..lines).collect() }, &[y])
}

/// The weight in x out/groups x .. of a transposed convolution as the weight of the equal convolution.
fn mirrored_weight(weight: &Const, groups: usize) -> Result<Const> {
    let dims = weight.tensor.dims().to_vec();
    if groups == 0 || !dims[0].is_multiple_of(groups) {
        return Err(Error::shape(format!("weight {dims:?} does not split into {groups} groups")));
    }
    let (each, out) = (dims[0] / groups, dims[1]);
    let places = &dims[2..];
    let split = weight.tensor.reshape([&[groups, each, out], places].concat())?;
    let mut held = split.transpose(1, 2)?.reshape([&[groups * out, each], places].concat())?;
    for (a, size) in dims.iter().enumerate().skip(2) {
        let back: Vec<u32> = (0..*size as u32).rev().collect();
        held = held.index_select(&Tensor::new(back, &Device::Cpu)?, a)?;
    }
    Ok(Const { name: format!("{}/mirrored", weight.name), tensor: held.contiguous()? })
}

/// Inserts `stride` - 1 zeros behind each entry of an axis.
fn dilate(s: &mut Scope, site: &Site<'_>, x: Act, axis: usize, stride: usize) -> Result<Act> {
    let shape = s.sample(x);
    let (front, back) = shape.split_at(axis + 1);
    let split = s.step(site, "apart", Op::Reshape([front, &[1], back].concat()), &[x])?;
    let mut pads = vec![(0, 0); shape.len() + 1];
    pads[axis + 1] = (0, stride - 1);
    let zeros = s.step(site, "zeros", Op::Pad { pads, border: Border::Constant(0.0) }, &[split])?;
    let mut to = shape.clone();
    to[axis] *= stride;
    s.step(site, "spread", Op::Reshape(to), &[zeros])
}

/// Pads each axis with zeros; negative numbers crop.
fn pad_or_crop(s: &mut Scope, site: &Site<'_>, mut x: Act, pads: &[(i64, i64)]) -> Result<Act> {
    for (axis, (before, after)) in pads.iter().enumerate() {
        let n = s.sample(x)[axis] as i64;
        let (from, to) = ((-before).max(0), n - (-after).max(0));
        if from >= to {
            return Err(Error::shape(format!("padding leaves nothing of {n} entries")));
        }
        if (from, to) != (0, n) {
            x = s.step(site, "cut", Op::Select { axis, index: (from as usize..to as usize).collect() }, &[x])?;
        }
    }
    let grown: Vec<(usize, usize)> = pads.iter().map(|(b, a)| ((*b).max(0) as usize, (*a).max(0) as usize)).collect();
    if grown.iter().all(|p| *p == (0, 0)) {
        return Ok(x);
    }
    s.step(site, "framed", Op::Pad { pads: grown, border: Border::Constant(0.0) }, &[x])
}
