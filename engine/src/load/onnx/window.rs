//! Operators with a window over one, two or three axes: convolutions and pools, with explicit and automatic padding.
//!
//! The graph's own operations slide over rows and columns. Signals get an axis of one row, volumes become planes
//! ([`super::volume`]).

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Value};
use super::volume;
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Conv, Padding, Pool, Reduction, Window};
use crate::limits::ONNX_WINDOW;

/// A window over one or more axes.
#[derive(Clone, Debug)]
pub struct Slide {
    /// The number of taps along each axis.
    pub kernel: Vec<usize>,
    /// Entries between neighbouring positions.
    pub stride: Vec<usize>,
    /// Entries between neighbouring taps.
    pub dilation: Vec<usize>,
    /// Entries added before and after.
    pub pads: Vec<(usize, usize)>,
}

impl Slide {
    /// The entries that a window covers along axis `a`.
    pub fn span(&self, a: usize) -> usize {
        (self.kernel[a] - 1) * self.dilation[a] + 1
    }

    /// The window over axes `[a, b]` as one over rows and columns; `None` is an axis of one entry.
    pub fn plane(&self, axes: [Option<usize>; 2]) -> Window {
        let pair = |list: &[usize]| axes.map(|a| a.map_or(1, |a| list[a]));
        let [(top, bottom), (left, right)] = axes.map(|a| a.map_or((0, 0), |a| self.pads[a]));
        Window {
            kernel: pair(&self.kernel),
            stride: pair(&self.stride),
            dilation: pair(&self.dilation),
            padding: Padding { top, left, bottom, right },
        }
    }

    /// Adds the padding at the end that windows need over `sizes` where output sizes are rounded up.
    fn fill(&mut self, sizes: &[usize]) {
        for (a, size) in sizes.iter().enumerate() {
            let ((before, after), stride, span) = (self.pads[a], self.stride[a], self.span(a));
            let Some(reach) = (size + before + after + stride - 1).checked_sub(span) else { continue };
            // A last window that would begin beyond the map is dropped.
            let last = (reach / stride).min((size + before).saturating_sub(1) / stride);
            self.pads[a].1 = after.max((last * stride + span).saturating_sub(size + before));
        }
    }

    /// The same window with an axis of one entry before the others.
    pub fn raised(&self) -> Slide {
        let before = |list: &[usize]| [&[1], list].concat();
        let pads = [&[(0, 0)], self.pads.as_slice()].concat();
        Slide { kernel: before(&self.kernel), stride: before(&self.stride), dilation: before(&self.dilation), pads }
    }
}

/// Conv.
pub fn conv(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let c = site.floats(1)?.clone();
    let dims = c.tensor.dims().to_vec();
    let n = axes_of(&dims)?;
    let x = spatial(s, site, n)?;
    let (slide, _) = slide(s, site, x, &dims[2..])?;
    let groups = groups(site)?;
    let several = x.lead == 0;
    match (n, several) {
        (2, false) => {
            let (weight, bias) = (s.param(&c)?, bias(s, site, 2)?);
            let op = Op::Conv2d(Conv { weight, bias, window: slide.plane([Some(0), Some(1)]), groups });
            Ok(vec![Value::Act(s.add(site, op, &[x])?)])
        }
        (1, _) => {
            let weight = s.derived(&c, "over columns", &c.tensor.unsqueeze(2)?)?;
            let bias = bias(s, site, 2)?;
            let op = Op::Conv2d(Conv { weight, bias, window: slide.plane([None, Some(0)]), groups });
            let line = volume::rows(s, site, x)?;
            let y = s.step(site, "line", op, &[line])?;
            volume::from_rows(s, site, y, several)
        }
        _ => {
            let bias = bias(s, site, 2)?;
            volume::conv(s, site, x, &c, bias, slide, groups)
        }
    }
}

/// ConvTranspose.
pub fn conv_transpose(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let c = site.floats(1)?.clone();
    let dims = c.tensor.dims().to_vec();
    let n = axes_of(&dims)?;
    let x = spatial(s, site, n)?;
    let mut slide = bare_slide(site, &dims[2..])?;
    let mut extra = list(site, "output_padding", 0, n)?.unwrap_or_else(|| vec![0; n]);
    let shape = s.sample(x);
    let sizes = &shape[shape.len() - n..];
    let wanted = list(site, "output_shape", 1, n)?;
    let auto = auto_pad(site)?;
    if wanted.is_some() || matches!(auto, Auto::SameUpper | Auto::SameLower) {
        if wanted.is_none() && (0..n).any(|a| slide.stride[a] > slide.span(a) + extra[a]) {
            return Err(Error::unsupported(format!(
                "attribute `auto_pad` with strides {:?} beyond the kernel",
                slide.stride
            ))
            .hint("ONNX and onnxruntime disagree on the output's size: export the net with `pads`"));
        }
        for a in 0..n {
            let input = sizes[a];
            let full = (input - 1) * slide.stride[a] + slide.span(a) + extra[a];
            let total = full as i64 - wanted.as_ref().map_or(input * slide.stride[a], |w| w[a]) as i64;
            // An output larger than the windows reach is padded at the end.
            extra[a] += total.min(0).unsigned_abs() as usize;
            let (total, half) = (total.max(0) as usize, total.max(0) as usize / 2);
            slide.pads[a] = if auto == Auto::SameUpper { (half, total - half) } else { (total - half, half) };
        }
    } else if auto == Auto::Explicit {
        slide.pads = explicit(site, n)?;
    }
    let groups = groups(site)?;
    let bias = bias(s, site, 2)?;
    match (n, x.lead) {
        (2, 1) => {
            let weight = s.param(&c)?;
            let window = slide.plane([Some(0), Some(1)]);
            let op = Op::ConvTranspose2d(Conv { weight, bias, window, groups }, [extra[0], extra[1]]);
            Ok(vec![Value::Act(s.add(site, op, &[x])?)])
        }
        (1, 1) => {
            let weight = s.derived(&c, "over columns", &c.tensor.unsqueeze(2)?)?;
            let window = slide.plane([None, Some(0)]);
            let line = volume::rows(s, site, x)?;
            let op = Op::ConvTranspose2d(Conv { weight, bias, window, groups }, [0, extra[0]]);
            let y = s.step(site, "line", op, &[line])?;
            volume::from_rows(s, site, y, false)
        }
        _ => volume::conv_transpose(s, site, x, &c, bias, slide, &extra, groups),
    }
}

/// MaxPool.
pub fn max_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    pool(s, site, Op::MaxPool)
}

/// AveragePool.
pub fn average_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    pool(s, site, Op::AvgPool)
}

/// GlobalAveragePool.
pub fn global_average_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    global(s, site, Reduction::Mean)
}

/// GlobalMaxPool.
pub fn global_max_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    global(s, site, Reduction::Max)
}

fn global(s: &mut Scope, site: &Site<'_>, reduction: Reduction) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let rank = s.sample(x).len();
    let from = 2 - x.lead;
    if rank <= from {
        return Err(Error::shape(format!("takes batch x channels x height x width, got {rank} axes a sample")));
    }
    let op = Op::Reduce { reduction, axes: (from..rank).collect(), keep: true };
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// LpPool: the p-th root of the sum of p-th powers over each window.
pub fn lp_pool(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    use crate::graph::op::Activation;
    let p = site.int("p")?.unwrap_or(2) as f64;
    let x = s.act(site, 0)?;
    let size = s.step(site, "absolute", Op::Activation(Activation::Abs), &[x])?;
    let powers = s.step(site, "powers", Op::Activation(Activation::Pow(p)), &[size])?;
    let kernel = site.int_list("kernel_shape")?.ok_or_else(|| Error::format("attribute `kernel_shape` is missing"))?;
    let mut inner = site.renamed(&s.free(&format!("{}/mean", site.name)));
    inner.inputs = vec![Value::Act(powers)];
    let values = kernel.iter().product::<i64>() as f64;
    let [Value::Act(mean)] = pool_counting(s, &inner, Op::AvgPool, Some(true))?[..] else {
        return Err(Error::internal("a pool makes one value"));
    };
    let count = s.number(&format!("{}/count", site.name), values)?;
    let name = s.free(&format!("{}/sum", site.name));
    let sum = s.binary(&name, crate::graph::op::Binary::Mul, mean, count)?;
    Ok(vec![Value::Act(s.activation(site, Activation::Pow(1.0 / p), sum)?)])
}

fn pool(s: &mut Scope, site: &Site<'_>, op: fn(Pool) -> Op) -> Result<Vec<Value>> {
    pool_counting(s, site, op, None)
}

fn pool_counting(s: &mut Scope, site: &Site<'_>, op: fn(Pool) -> Op, counting: Option<bool>) -> Result<Vec<Value>> {
    let kernel = site.int_list("kernel_shape")?.ok_or_else(|| Error::format("attribute `kernel_shape` is missing"))?;
    let n = kernel.len();
    let kernel = list(site, "kernel_shape", 1, n)?.unwrap_or_default();
    if !(1..=3).contains(&n) {
        return Err(too_many(&kernel));
    }
    let x = spatial(s, site, n)?;
    let (mut slide, mut ceil) = slide(s, site, x, &kernel)?;
    if ceil && counting.is_some() {
        // Beyond the map, windows sum zeros, so that every mean is over a whole window.
        let shape = s.sample(x);
        slide.fill(&shape[shape.len() - n..]);
        ceil = false;
    }
    if slide.dilation.iter().any(|d| *d != 1) && matches!(auto_pad(site)?, Auto::SameUpper | Auto::SameLower) {
        return Err(Error::unsupported(format!("attribute `auto_pad` with dilations {:?}", slide.dilation))
            .hint("ONNX and onnxruntime disagree on the output's size: export the net with `pads`"));
    }
    let count_padding = counting.unwrap_or(site.int("count_include_pad")?.unwrap_or(0) != 0);
    let make = |axes| op(Pool { window: slide.plane(axes), ceil, count_padding });
    let shape = s.sample(x);
    if n == 2 && shape.len() == 3 {
        return Ok(vec![Value::Act(s.add(site, make([Some(0), Some(1)]), &[x])?)]);
    }
    // All axes before the window's, as channels.
    let (front, sizes) = shape.split_at(shape.len() - n);
    let channels: usize = front.iter().product();
    let flat = |s: &mut Scope, part: &str, to: Vec<usize>, x: Act| s.step(site, part, Op::Reshape(to), &[x]);
    let y = match *sizes {
        [length] => {
            let line = flat(s, "row", vec![channels, 1, length], x)?;
            s.step(site, "line", make([None, Some(0)]), &[line])?
        }
        [_, rows, columns] => {
            // The maximum of a window is the maximum over its planes' maxima, and likewise the mean.
            let planes = flat(s, "planes", vec![channels * sizes[0], rows, columns], x)?;
            let within = s.step(site, "within", make([Some(1), Some(2)]), &[planes])?;
            let [_, h, w] = s.sample(within)[..] else { return Err(Error::internal("a pool makes a map")) };
            let across = flat(s, "depth", vec![channels, sizes[0], h * w], within)?;
            let y = s.step(site, "across", make([Some(0), None]), &[across])?;
            let depth = s.sample(y)[1];
            let to = [front, &[depth, h, w]].concat();
            let made = s.add(site, Op::Reshape(to), &[y])?;
            volume::record_window(s, x, made, &slide);
            return Ok(vec![Value::Act(made)]);
        }
        _ => {
            let map = flat(s, "map", [&[channels], sizes].concat(), x)?;
            s.step(site, "plane", make([Some(0), Some(1)]), &[map])?
        }
    };
    let made = s.sample(y);
    let to = [front, &made[3 - n..]].concat();
    Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[y])?)])
}

/// The window with its padding, and whether output sizes are rounded up.
fn slide(s: &Scope, site: &Site<'_>, x: Act, kernel: &[usize]) -> Result<(Slide, bool)> {
    let mut slide = bare_slide(site, kernel)?;
    let ceil = site.int("ceil_mode")?.unwrap_or(0) != 0;
    let auto = auto_pad(site)?;
    let (shape, n) = (s.sample(x), kernel.len());
    match auto {
        Auto::Explicit => slide.pads = explicit(site, n)?,
        Auto::Valid => {}
        Auto::SameUpper | Auto::SameLower => {
            for a in 0..n {
                let (size, stride) = (shape[shape.len() - n + a], slide.stride[a]);
                let total = ((size.div_ceil(stride) - 1) * stride + slide.span(a)).saturating_sub(size);
                let half = total / 2;
                slide.pads[a] = if auto == Auto::SameUpper { (half, total - half) } else { (total - half, half) };
            }
        }
    }
    Ok((slide, ceil && matches!(auto, Auto::Explicit | Auto::Valid)))
}

fn bare_slide(site: &Site<'_>, kernel: &[usize]) -> Result<Slide> {
    let n = kernel.len();
    if let Some(said) = list(site, "kernel_shape", 1, n)?
        && said != kernel
    {
        return Err(Error::format(format!("attribute `kernel_shape` is {said:?}, the weight's is {kernel:?}")));
    }
    if kernel.iter().any(|k| *k == 0 || *k as i64 > ONNX_WINDOW) {
        return Err(Error::format(format!("a kernel of {kernel:?}")));
    }
    let stride = list(site, "strides", 1, n)?.unwrap_or_else(|| vec![1; n]);
    let dilation = list(site, "dilations", 1, n)?.unwrap_or_else(|| vec![1; n]);
    Ok(Slide { kernel: kernel.to_vec(), stride, dilation, pads: vec![(0, 0); n] })
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

fn explicit(site: &Site<'_>, n: usize) -> Result<Vec<(usize, usize)>> {
    let Some(pads) = site.int_list("pads")? else { return Ok(vec![(0, 0); n]) };
    if pads.len() != 2 * n || !pads.iter().all(|p| (0..=ONNX_WINDOW).contains(p)) {
        let said = ["two", "four", "six"].get(n - 1).copied().unwrap_or("fewer");
        return Err(Error::unsupported(format!("attribute `pads` is {pads:?}; supported are {said} numbers from 0")));
    }
    Ok((0..n).map(|a| (pads[a] as usize, pads[a + n] as usize)).collect())
}

/// A list attribute of numbers from `least` up, one for each of `n` axes.
fn list(site: &Site<'_>, name: &str, least: i64, n: usize) -> Result<Option<Vec<usize>>> {
    let Some(all) = site.int_list(name)? else { return Ok(None) };
    // output_shape may include batch and channels.
    let listed = if name == "output_shape" && all.len() == n + 2 { &all[2..] } else { &all[..] };
    if listed.len() == n && listed.iter().all(|v| (least..=ONNX_WINDOW).contains(v)) {
        return Ok(Some(listed.iter().map(|v| *v as usize).collect()));
    }
    let said = ["one number", "two numbers", "three numbers"].get(n.wrapping_sub(1)).copied().unwrap_or("fewer");
    Err(Error::unsupported(format!("attribute `{name}` is {all:?}; supported are {said} from {least}"))
        .hint("convolutions and pools slide over one, two or three axes"))
}

fn groups(site: &Site<'_>) -> Result<usize> {
    let groups = site.int("group")?.unwrap_or(1);
    usize::try_from(groups)
        .ok()
        .filter(|g| (1..=ONNX_WINDOW as usize).contains(g))
        .ok_or_else(|| Error::format(format!("attribute `group` is {groups}")))
}

/// A constant vector in input `i`, where it is given.
fn bias(s: &mut Scope, site: &Site<'_>, i: usize) -> Result<Option<crate::graph::ParamId>> {
    if !site.has(i) {
        return Ok(None);
    }
    let bias = site.floats(i)?;
    s.param(bias).map(Some)
}

/// Input 0 as batch x channels x `n` axes; without a batch, the first axis counts maps that are treated alike.
fn spatial(s: &mut Scope, site: &Site<'_>, n: usize) -> Result<Act> {
    let x = s.batched(site, 0)?;
    let shape = s.sample(x);
    if shape.len() + x.lead == n + 2 {
        return s.of_one(site, x);
    }
    let takes = ["length", "height x width", "depth x height x width"][n - 1];
    Err(Error::unsupported(format!("takes batch x channels x {takes}, got {shape:?} a sample")))
}

/// The number of axes over which a convolution with a weight of `dims` slides.
fn axes_of(dims: &[usize]) -> Result<usize> {
    match dims.len() {
        3..=5 => Ok(dims.len() - 2),
        _ => Err(Error::unsupported(format!("a convolution with weight {dims:?}"))
            .hint("convolutions and pools slide over one, two or three axes")),
    }
}

fn too_many(kernel: &[usize]) -> Error {
    Error::unsupported(format!("a window of {kernel:?}"))
        .hint("convolutions and pools slide over one, two or three axes")
}
