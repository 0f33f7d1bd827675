//! Operators with a window: convolutions and pools, with ONNX's explicit and automatic padding.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Conv, Padding, Pool, Reduction, Window};
use crate::limits::ONNX_WINDOW;

/// Conv
pub fn conv(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = batched_map(s, site)?;
    let weight = site.floats(1)?;
    let dims = weight.tensor.dims().to_vec();
    let &[_, _, kh, kw] = dims.as_slice() else { return Err(not_a_map(&dims)) };
    let (window, _) = window(s, site, x, [kh, kw])?;
    let groups = groups(site)?;
    let weight = s.param(weight)?;
    let bias = bias(s, site, 2)?;
    Ok(vec![Value::Act(s.add(site, Op::Conv2d(Conv { weight, bias, window, groups }), &[x])?)])
}

/// ConvTranspose
pub fn conv_transpose(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = batched_map(s, site)?;
    let weight = site.floats(1)?;
    let dims = weight.tensor.dims().to_vec();
    let &[_, _, kh, kw] = dims.as_slice() else { return Err(not_a_map(&dims)) };
    let mut window = bare_window(site, [kh, kw])?;
    let mut extra = pair(site, "output_padding", 0)?.unwrap_or([0, 0]);
    let (shape, span) = (s.sample(x), window.span());
    let wanted = pair(site, "output_shape", 1)?;
    let auto = auto_pad(site)?;
    if wanted.is_some() || matches!(auto, Auto::SameUpper | Auto::SameLower) {
        if wanted.is_none() && (0..2).any(|a| window.stride[a] > span[a] + extra[a]) {
            return Err(Error::unsupported(format!(
                "attribute `auto_pad` with strides {:?} beyond the kernel",
                window.stride
            ))
            .hint("ONNX and onnxruntime disagree on the output's size: export the net with `pads`"));
        }
        let mut sides = [(0, 0); 2];
        for a in 0..2 {
            let input = shape[a + 1];
            let full = (input - 1) * window.stride[a] + span[a] + extra[a];
            let total = full as i64 - wanted.map_or(input * window.stride[a], |w| w[a]) as i64;
            // A larger output than the window reaches is filled up behind.
            extra[a] += total.min(0).unsigned_abs() as usize;
            let (total, half) = (total.max(0) as usize, total.max(0) as usize / 2);
            sides[a] = if auto == Auto::SameUpper { (half, total - half) } else { (total - half, half) };
        }
        let [(top, bottom), (left, right)] = sides;
        window.padding = Padding { top, left, bottom, right };
    } else if auto == Auto::Explicit {
        window.padding = explicit(site)?;
    }
    let groups = groups(site)?;
    let weight = s.param(weight)?;
    let bias = bias(s, site, 2)?;
    let op = Op::ConvTranspose2d(Conv { weight, bias, window, groups }, extra);
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// MaxPool
pub fn max_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (x, pool) = pool(s, site)?;
    Ok(vec![Value::Act(s.add(site, Op::MaxPool(pool), &[x])?)])
}

/// AveragePool
pub fn average_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let (x, pool) = pool(s, site)?;
    Ok(vec![Value::Act(s.add(site, Op::AvgPool(pool), &[x])?)])
}

/// GlobalAveragePool
pub fn global_average_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    global(s, site, Reduction::Mean)
}

/// GlobalMaxPool
pub fn global_max_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    global(s, site, Reduction::Max)
}

fn global(s: &mut Scope, site: &Site<'_>, reduction: Reduction) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let rank = s.sample(x).len();
    if x.lead != 1 || rank < 2 {
        return Err(Error::shape(format!("takes batch x channels x height x width, got {rank} axes a sample")));
    }
    let op = Op::Reduce { reduction, axes: (1..rank).collect(), keep: true };
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

fn pool(s: &mut Scope, site: &Site<'_>) -> Result<(Act, Pool)> {
    let x = batched_map(s, site)?;
    let kernel = pair(site, "kernel_shape", 1)?.ok_or_else(|| Error::format("attribute `kernel_shape` is missing"))?;
    let (window, ceil) = window(s, site, x, kernel)?;
    if window.dilation != [1, 1] && matches!(auto_pad(site)?, Auto::SameUpper | Auto::SameLower) {
        return Err(Error::unsupported(format!("attribute `auto_pad` with dilations {:?}", window.dilation))
            .hint("ONNX and onnxruntime disagree on the output's size: export the net with `pads`"));
    }
    let count_padding = site.int("count_include_pad")?.unwrap_or(0) != 0;
    Ok((x, Pool { window, ceil, count_padding }))
}

/// The window with its padding, and whether outputs are rounded up.
fn window(s: &Scope, site: &Site<'_>, x: Act, kernel: [usize; 2]) -> Result<(Window, bool)> {
    let mut window = bare_window(site, kernel)?;
    let ceil = site.int("ceil_mode")?.unwrap_or(0) != 0;
    let auto = auto_pad(site)?;
    let shape = s.sample(x);
    match auto {
        Auto::Explicit => window.padding = explicit(site)?,
        Auto::Valid => {}
        Auto::SameUpper | Auto::SameLower => {
            let side = |a: usize| {
                let (size, stride) = (shape[a + 1], window.stride[a]);
                let total = ((size.div_ceil(stride) - 1) * stride + window.span()[a]).saturating_sub(size);
                let half = total / 2;
                if auto == Auto::SameUpper { (half, total - half) } else { (total - half, half) }
            };
            let ((top, bottom), (left, right)) = (side(0), side(1));
            window.padding = Padding { top, left, bottom, right };
        }
    }
    Ok((window, ceil && matches!(auto, Auto::Explicit | Auto::Valid)))
}

fn bare_window(site: &Site<'_>, kernel: [usize; 2]) -> Result<Window> {
    if let Some(said) = pair(site, "kernel_shape", 1)?
        && said != kernel
    {
        return Err(Error::format(format!("attribute `kernel_shape` is {said:?}, the weight's is {kernel:?}")));
    }
    if kernel.iter().any(|k| *k == 0 || *k as i64 > ONNX_WINDOW) {
        return Err(Error::format(format!("a kernel of {kernel:?}")));
    }
    let stride = pair(site, "strides", 1)?.unwrap_or([1, 1]);
    let dilation = pair(site, "dilations", 1)?.unwrap_or([1, 1]);
    Ok(Window { kernel, stride, dilation, padding: Padding::default() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Auto {
    Explicit,
    Valid,
    SameUpper,
    SameLower,
}

fn auto_pad(site: &Site<'_>) -> Result<Auto> {
    match site.text("auto_pad")?.as_deref() {
        None | Some("" | "NOTSET") => Ok(Auto::Explicit),
        Some("VALID") => Ok(Auto::Valid),
        Some("SAME_UPPER") => Ok(Auto::SameUpper),
        Some("SAME_LOWER") => Ok(Auto::SameLower),
        Some(other) => Err(Error::format(format!("attribute `auto_pad` is `{other}`"))
            .hint("ONNX knows NOTSET, VALID, SAME_UPPER and SAME_LOWER")),
    }
}

fn explicit(site: &Site<'_>) -> Result<Padding> {
    let Some(pads) = site.int_list("pads")? else { return Ok(Padding::default()) };
    match pads[..] {
        [top, left, bottom, right] if pads.iter().all(|p| (0..=ONNX_WINDOW).contains(p)) => {
            let [top, left, bottom, right] = [top, left, bottom, right].map(|p| p as usize);
            Ok(Padding { top, left, bottom, right })
        }
        _ => Err(Error::unsupported(format!("attribute `pads` is {pads:?}; supported are four numbers from 0"))),
    }
}

/// A pair of numbers from `least` up, in an attribute that lists one an axis.
fn pair(site: &Site<'_>, name: &str, least: i64) -> Result<Option<[usize; 2]>> {
    let Some(list) = site.int_list(name)? else { return Ok(None) };
    match list[..] {
        [h, w] if [h, w].iter().all(|v| (least..=ONNX_WINDOW).contains(v)) => Ok(Some([h as usize, w as usize])),
        // output_shape may list batch and channels too.
        [_, _, h, w] if name == "output_shape" && h >= least && w >= least && h.max(w) <= ONNX_WINDOW => {
            Ok(Some([h as usize, w as usize]))
        }
        _ => Err(Error::unsupported(format!("attribute `{name}` is {list:?}; supported are two numbers from {least}"))
            .hint("convolutions and pools over rows and columns are supported")),
    }
}

fn groups(site: &Site<'_>) -> Result<usize> {
    let groups = site.int("group")?.unwrap_or(1);
    usize::try_from(groups)
        .ok()
        .filter(|g| (1..=ONNX_WINDOW as usize).contains(g))
        .ok_or_else(|| Error::format(format!("attribute `group` is {groups}")))
}

/// A constant vector in input `i`, if there is one.
fn bias(s: &mut Scope, site: &Site<'_>, i: usize) -> Result<Option<crate::graph::ParamId>> {
    if !site.has(i) {
        return Ok(None);
    }
    let bias = site.floats(i)?;
    s.param(bias).map(Some)
}

fn batched_map(s: &mut Scope, site: &Site<'_>) -> Result<Act> {
    let x = s.batched(site, 0)?;
    let shape = s.sample(x);
    if x.lead == 1 && shape.len() == 3 {
        return Ok(x);
    }
    Err(Error::unsupported(format!("takes batch x channels x height x width, got {shape:?} a sample"))
        .hint("two-dimensional convolutions and pools are supported"))
}

fn not_a_map(dims: &[usize]) -> Error {
    Error::unsupported(format!("a convolution with weight {dims:?}")).hint("two-dimensional ones have four axes")
}
