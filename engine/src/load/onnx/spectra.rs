//! DFT and STFT as linear maps by the matrix of a discrete Fourier transform, so that spectrogram front ends stay inside the net.

use super::scope::Scope;
use super::site::Site;
use super::value::{Const, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Conv, Padding, Window};
use crate::limits::ONNX_COMPUTED;
use crate::tensor::to_f64;
use candle_core::{Device, Tensor};
use std::f64::consts::TAU;

/// A transform of `length` values, some of which may be missing.
struct Transform {
    length: usize,
    /// The number of input entries, each of `parts` numbers: real, or real and imaginary.
    entries: usize,
    parts: usize,
    inverse: bool,
    onesided: bool,
}

impl Transform {
    /// The number of output entries: frequencies, or positions of an inverse transform.
    fn out(&self) -> usize {
        if self.onesided && !self.inverse { self.length / 2 + 1 } else { self.length }
    }

    /// The numbers of each output entry.
    fn out_parts(&self) -> usize {
        if self.onesided && self.inverse { 1 } else { 2 }
    }

    /// The matrix, (out x parts) x (entries x parts).
    fn matrix(&self) -> Vec<f32> {
        let (rows, columns) = (self.out() * self.out_parts(), self.entries * self.parts);
        let scale = if self.inverse { 1.0 / self.length as f64 } else { 1.0 };
        let mut matrix = vec![0.0f32; rows * columns];
        for row in 0..rows {
            let (k, imaginary) = (row / self.out_parts(), row % self.out_parts() == 1);
            for column in 0..columns {
                let (n, of_imaginary) = (column / self.parts, column % self.parts == 1);
                if n >= self.length {
                    continue;
                }
                let turn = TAU * ((k * n) % self.length) as f64 / self.length as f64;
                let (cos, sin) = (libm::cos(turn), if self.inverse { libm::sin(turn) } else { -libm::sin(turn) });
                let factor = match (imaginary, of_imaginary) {
                    (false, false) | (true, true) => cos,
                    (false, true) => -sin,
                    (true, false) => sin,
                };
                // In a one-sided spectrum the other frequencies are mirrored: all but the first and the middle count twice.
                let twice = self.onesided && self.inverse && n != 0 && 2 * n != self.length;
                matrix[row * columns + column] = (factor * scale * if twice { 2.0 } else { 1.0 }) as f32;
            }
        }
        matrix
    }
}

/// DFT along an axis of values that are real, or real and imaginary along the last axis.
pub fn dft(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let shape = s.sample(x);
    let said = if site.opset >= 20 { site.scalar(2)?.map(|v| v as i64) } else { site.int("axis")? };
    let axis = s.axis(x, said.unwrap_or(if site.opset >= 20 { -2 } else { 1 }))?;
    let n = shape.len();
    let parts = shape.last().copied().filter(|p| matches!(p, 1 | 2) && axis + 1 < n);
    let parts = parts.ok_or_else(|| Error::shape(format!("a transform along axis {axis} of {shape:?}")))?;
    let (inverse, onesided) = (flag(site, "inverse", 0)?, flag(site, "onesided", 0)?);
    let entries = shape[axis];
    let whole = if inverse && onesided { 2 * entries.saturating_sub(1) } else { entries };
    let length = site.scalar(1)?.map_or(whole, |v| v.max(0.0) as usize);
    let transform = Transform { length, entries, parts, inverse, onesided };
    let matrix = checked(&transform)?;
    // Moves the axis before the parts, merges both, and moves it back.
    let mut perm: Vec<usize> = (0..n).filter(|a| *a != axis && *a != n - 1).collect();
    let front: Vec<usize> = perm.iter().map(|a| shape[*a]).collect();
    perm.extend([axis, n - 1]);
    let turned = s.step(site, "turned", Op::Transpose(perm.clone()), &[x])?;
    let joined = s.step(site, "joined", Op::Reshape([&front[..], &[entries * parts]].concat()), &[turned])?;
    let weight = s.param(&Const { name: format!("{}/frequencies", site.name), tensor: matrix })?;
    let y = s.step(site, "transformed", Op::Linear { weight, bias: None }, &[joined])?;
    let to = [&front[..], &[transform.out(), transform.out_parts()]].concat();
    let split = s.step(site, "split", Op::Reshape(to), &[y])?;
    let mut back = vec![0; n];
    perm.iter().enumerate().for_each(|(i, a)| back[*a] = i);
    Ok(vec![Value::Act(s.add(site, Op::Transpose(back), &[split])?)])
}

/// STFT: the transforms of successive windows, a convolution.
pub fn stft(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.batched(site, 0)?;
    let x = s.of_one(site, x)?;
    let shape = s.sample(x);
    let (samples, parts) = match shape[..] {
        [samples] => (samples, 1),
        [samples, parts @ (1 | 2)] => (samples, parts),
        _ => return Err(Error::shape(format!("windows of {shape:?} a sample"))),
    };
    let step = site.scalar(1)?.filter(|v| *v >= 1.0).ok_or_else(|| Error::format("the step of frames is missing"))?;
    let window = match site.input(2) {
        Value::Absent => None,
        Value::Floats(c) => Some(to_f64(&c.tensor)?),
        other => return Err(site.wants(2, "a constant window", other)),
    };
    let frame = site.scalar(3)?.map(|v| v.max(0.0) as usize).or(window.as_ref().map(Vec::len));
    let frame = frame.ok_or_else(|| Error::format("neither a window nor the length of frames is given"))?;
    if frame > samples || window.as_ref().is_some_and(|w| w.len() != frame) {
        return Err(Error::shape(format!("frames of {frame} in {samples} samples")));
    }
    let onesided = flag(site, "onesided", 1)?;
    let transform = Transform { length: frame, entries: frame, parts, inverse: false, onesided };
    let mut kernel = to_f64(&checked(&transform)?)?;
    if let Some(window) = window {
        kernel.iter_mut().enumerate().for_each(|(i, v)| *v *= window[i / parts % frame]);
    }
    let rows = transform.out() * 2;
    // Reorders rows x frame x parts to rows x parts x 1 x frame.
    let value = |i: usize| kernel[(i / (parts * frame) * frame + i % frame) * parts + i / frame % parts] as f32;
    let tensor = Tensor::from_vec((0..kernel.len()).map(value).collect(), (rows, parts, 1, frame), &Device::Cpu)?;
    let weight = s.param(&Const { name: format!("{}/frequencies", site.name), tensor })?;
    let mut line = s.step(site, "samples", Op::Reshape(vec![samples, parts]), &[x])?;
    line = s.step(site, "parts", Op::Transpose(vec![1, 0]), &[line])?;
    line = s.step(site, "line", Op::Reshape(vec![parts, 1, samples]), &[line])?;
    let padding = Padding { top: 0, left: 0, bottom: 0, right: 0 };
    let window = Window { kernel: [1, frame], stride: [1, step as usize], dilation: [1, 1], padding };
    let y = s.step(site, "frames", Op::Conv2d(Conv { weight, bias: None, window, groups: 1 }), &[line])?;
    let frames = s.sample(y)[2];
    let y = s.step(site, "spectra", Op::Reshape(vec![rows, frames]), &[y])?;
    let y = s.step(site, "in time", Op::Transpose(vec![1, 0]), &[y])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(vec![frames, transform.out(), 2]), &[y])?)])
}

fn flag(site: &Site<'_>, name: &str, usual: i64) -> Result<bool> {
    Ok(site.int(name)?.unwrap_or(usual) != 0)
}

/// The matrix, where it is not too large.
fn checked(t: &Transform) -> Result<Tensor> {
    let (rows, columns) = (t.out() * t.out_parts(), t.entries * t.parts);
    if rows == 0 || rows.saturating_mul(columns) > ONNX_COMPUTED {
        return Err(Error::unsupported(format!("a transform of {columns} numbers to {rows}")));
    }
    Ok(Tensor::from_vec(t.matrix(), (rows, columns), &Device::Cpu)?)
}
