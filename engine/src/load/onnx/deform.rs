//! DeformConv (Dai et al. 2017; with a mask, Zhu et al. 2018): each tap of the kernel samples the map bilinearly at its position
//! plus a computed offset; a pointwise convolution over the taps follows. The gradient reaches map, offsets and mask.

use super::sampling::{taps, weighted};
use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Binary, Conv, Window};
use candle_core::{Device, Tensor};

/// DeformConv over rows and columns, with constant weights.
pub fn conv(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (x, offset) = (sample(s, site, 0)?, sample(s, site, 2)?);
    let weight = site.floats(1)?.clone();
    let (&[channels, height, width], &[out, each, kh, kw], &[numbers, rows, columns]) =
        (s.sample(x).as_slice(), weight.tensor.dims(), s.sample(offset).as_slice())
    else {
        return Err(Error::unsupported(format!(
            "a map of {:?}, weights of {:?} and offsets of {:?}",
            s.sample(x),
            weight.tensor.dims(),
            s.sample(offset)
        ))
        .hint("channels x rows x columns are convolved, with offsets for each tap of the kernel"));
    };
    let count = |name: &str| -> Result<usize> {
        let n = site.int(name)?.unwrap_or(1);
        usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| Error::format(format!("attribute `{name}` is {n}")))
    };
    let (groups, fields) = (count("group")?, count("offset_group")?);
    let (stride, dilation, pads) =
        (list(site, "strides", 1, 2)?, list(site, "dilations", 1, 2)?, list(site, "pads", 0, 4)?);
    let (k, places) = (kh * kw, rows * columns);
    let reach = |i: usize, n: usize, kernel: usize| {
        (n + pads[i] + pads[i + 2]).checked_sub(dilation[i] * (kernel - 1) + 1).map(|room| room / stride[i] + 1)
    };
    let fits = numbers == 2 * fields * k && each * groups == channels && channels.is_multiple_of(fields);
    if !fits || [reach(0, height, kh), reach(1, width, kw)] != [Some(rows), Some(columns)] {
        return Err(Error::shape(format!(
            "offsets {numbers} x {rows} x {columns} do not belong to {kh} x {kw} taps in {fields} groups over {channels} x {height} x {width}"
        )));
    }
    let apart = s.step(site, "offsets", Op::Reshape(vec![fields, k, 2, places]), &[offset])?;
    let axis = |s: &mut Scope, i: usize| -> Result<Act> {
        let own = s.step(site, "offset", Op::Select { axis: 2, index: [i].into() }, &[apart])?;
        let own = s.step(site, "offset", Op::Reshape(vec![fields, k * places]), &[own])?;
        let at = |j: usize| {
            let (tap, place) = (j / places, j % places);
            let (tap, place) = if i == 0 { (tap / kw, place / columns) } else { (tap % kw, place % columns) };
            (place * stride[i] + tap * dilation[i]) as f32 - pads[i] as f32
        };
        let tensor = Tensor::from_vec((0..k * places).map(at).collect(), (1, k * places), &Device::Cpu)?;
        let base = s.constant(&Const { name: format!("{}/places {i}", site.name), tensor })?;
        s.step(site, "place", Op::Binary(Binary::Add), &[own, base])
    };
    let (down, across) = (axis(s, 0)?, axis(s, 1)?);
    let flat = s.step(site, "flat", Op::Reshape(vec![channels, height * width]), &[x])?;
    let mask = match site.has(4) {
        true => {
            let mask = sample(s, site, 4)?;
            Some(s.step(site, "mask", Op::Reshape(vec![fields, k * places]), &[mask])?)
        }
        false => None,
    };
    let mut read = Vec::new();
    for field in 0..fields {
        let own = |s: &mut Scope, x: Act| s.step(site, "field", Op::Select { axis: 0, index: [field].into() }, &[x]);
        let (y, x) = (own(s, down)?, own(s, across)?);
        let of_field = channels / fields;
        let index = (field * of_field..(field + 1) * of_field).collect();
        let map = s.step(site, "channels", Op::Select { axis: 0, index }, &[flat])?;
        let (ys, xs) = (taps(s, site, y, height, true, true)?, taps(s, site, x, width, true, true)?);
        let mut sum = weighted(s, site, map, width, &ys, &xs)?;
        if let Some(mask) = mask {
            let mask = own(s, mask)?;
            sum = s.step(site, "masked", Op::Binary(Binary::Mul), &[sum, mask])?;
        }
        read.push(sum);
    }
    let all = if read.len() == 1 { read[0] } else { s.step(site, "fields", Op::Concat { axis: 0 }, &read)? };
    let columns_of = s.step(site, "columns", Op::Reshape(vec![channels * k, rows, columns]), &[all])?;
    let kernel = s.derived(&weight, "over taps", &weight.tensor.reshape((out, each * k, 1, 1))?)?;
    let bias = if site.has(3) { Some(s.param(&site.floats(3)?.clone())?) } else { None };
    let op = Op::Conv2d(Conv { weight: kernel, bias, window: Window::square(1, 1, 0), groups });
    Ok(vec![Value::Act(s.add(site, op, &[columns_of])?)])
}

/// Input `i` with a batch.
fn sample(s: &mut Scope, site: &Site<'_>, i: usize) -> Result<Act> {
    let x = s.batched(site, i)?;
    s.of_one(site, x)
}

fn list(site: &Site<'_>, name: &str, usual: i64, n: usize) -> Result<Vec<usize>> {
    let said = site.int_list(name)?.unwrap_or_else(|| vec![usual; n]);
    let known: Option<Vec<usize>> = said.iter().map(|v| usize::try_from(*v).ok().filter(|v| *v < 1 << 16)).collect();
    let least = usize::from(usual == 1);
    known
        .filter(|k| k.len() == n && k.iter().all(|v| *v >= least))
        .ok_or_else(|| Error::format(format!("attribute `{name}` is {said:?}")))
}
