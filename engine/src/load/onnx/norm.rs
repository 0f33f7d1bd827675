//! Normalisations, softmax and reductions.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary, Reduction};
use crate::graph::{Op, ParamId};
use crate::limits::ONNX_PRODUCT;
use crate::tensor::{tensor, to_f64};
use candle_core::{DType, Device, Tensor};

/// BatchNormalization with the training statistics.
pub fn batch(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    // Before opset 14 the number of outputs distinguished training from inference.
    if site.int("training_mode")?.unwrap_or(0) != 0 || (site.opset < 14 && site.named_outputs() > 1) {
        if let Value::Floats(c) = site.input(0) {
            return Ok(vec![standardise_constant(site, c)?]);
        }
        return Err(Error::unsupported("batch normalisation in training mode")
            .hint("export the net for inference (`model.eval()`)"));
    }
    site.only("spatial", 1)?;
    let x = channels_first(s, site)?;
    let mut params = [ParamId(0); 4];
    for (i, p) in params.iter_mut().enumerate() {
        let c = site.floats(i + 1)?;
        *p = s.param(c)?;
    }
    let [scale, shift, mean, var] = params;
    let eps = epsilon(site)?;
    let op = Op::BatchNorm { scale, shift, mean, var, eps };
    if x.lead == 0 {
        return channels_in_front(s, site, x, op);
    }
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// A constant normalised by its own statistics, which is how exporters write weight standardisation.
fn standardise_constant(site: &Site<'_>, c: &Const) -> Result<Value> {
    let eps = epsilon(site)?;
    let &[samples, channels, ..] = c.tensor.dims() else {
        return Err(Error::shape(format!("it normalises a constant of shape {:?}", c.tensor.dims())));
    };
    let (scale, shift) = (to_f64(&site.floats(1)?.tensor)?, to_f64(&site.floats(2)?.tensor)?);
    if scale.len() != channels || shift.len() != channels || channels == 0 || samples == 0 {
        return Err(Error::shape(format!("{channels} channels, parameters of {} and {}", scale.len(), shift.len())));
    }
    let mut values = to_f64(&c.tensor)?;
    let plane = values.len() / samples / channels;
    for channel in 0..channels {
        let places = |n: usize| (n * channels + channel) * plane..(n * channels + channel + 1) * plane;
        let own: Vec<f64> = (0..samples).flat_map(|n| values[places(n)].to_vec()).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let var = own.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / own.len() as f64;
        let factor = scale[channel] / (var + eps).sqrt();
        for n in 0..samples {
            values[places(n)].iter_mut().for_each(|v| *v = (*v - mean) * factor + shift[channel]);
        }
    }
    let tensor = tensor(values, c.tensor.dims())?.to_dtype(c.tensor.dtype())?;
    Ok(Value::Floats(Const { name: site.name.clone(), tensor }))
}

/// A channel-wise operation over several maps that are treated alike.
fn channels_in_front(s: &mut Scope, site: &Site<'_>, x: Act, op: Op) -> Result<Vec<Value>> {
    let mut perm: Vec<usize> = (0..s.sample(x).len()).collect();
    if perm.len() < 2 {
        return Err(Error::shape(format!("takes batch x channels, got {:?}", s.sample(x))));
    }
    perm.swap(0, 1);
    let turned = s.step(site, "channels first", Op::Transpose(perm.clone()), &[x])?;
    let y = s.step(site, "each", op, &[turned])?;
    Ok(vec![Value::Act(s.add(site, Op::Transpose(perm), &[y])?)])
}

/// InstanceNormalization: group normalisation with a group for each channel.
pub fn instance(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = channels_first(s, site)?;
    let groups = s.sample(x)[1 - x.lead];
    group_norm(s, site, x, groups)
}

/// GroupNormalization; before opset 21 it has one scale for each group.
pub fn group(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = channels_first(s, site)?;
    let groups = site.int("num_groups")?.ok_or_else(|| Error::format("attribute `num_groups` is missing"))?;
    let groups = usize::try_from(groups).map_err(|_| Error::format(format!("attribute `num_groups` is {groups}")))?;
    group_norm(s, site, x, groups)
}

fn group_norm(s: &mut Scope, site: &Site<'_>, x: Act, groups: usize) -> Result<Vec<Value>> {
    let channels = s.sample(x)[1 - x.lead];
    let per_channel = |s: &mut Scope, c: &Const| {
        let n = c.tensor.elem_count();
        if n == channels || n != groups || groups == 0 || !channels.is_multiple_of(groups) {
            return s.param(c);
        }
        let spread = c.tensor.reshape((n, 1))?.broadcast_as((n, channels / n))?.flatten_all()?.contiguous()?;
        s.derived(c, "by channel", &spread)
    };
    let (scale, shift) = (per_channel(s, site.floats(1)?)?, per_channel(s, site.floats(2)?)?);
    let eps = epsilon(site)?;
    if x.lead == 1 {
        return Ok(vec![Value::Act(s.add(site, Op::GroupNorm { groups, scale, shift, eps }, &[x])?)]);
    }
    // Several maps: each group of each map is normalised as a row.
    let shape = s.sample(x);
    let values: usize = shape.iter().product();
    let lines = shape[0] * groups.max(1);
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(Error::shape(format!("{channels} channels do not split into {groups} groups")));
    }
    let ones = Tensor::ones(values / lines, DType::F32, &Device::Cpu)?;
    let unit = s.param(&Const { name: format!("{}/unit", site.name), tensor: ones })?;
    let flat = s.step(site, "lines", Op::Reshape(vec![lines, values / lines]), &[x])?;
    let even = s.step(site, "even", Op::LayerNorm { axis: 1, scale: unit, shift: None, eps }, &[flat])?;
    let back = s.step(site, "maps", Op::Reshape(shape.clone()), &[even])?;
    let mut across = vec![1; shape.len() - 1];
    across[0] = channels;
    let column = |s: &mut Scope, id: ParamId| -> Result<Act> {
        let c = s.builder.weights().tensor(id).reshape(across.as_slice())?;
        s.constant(&Const { name: s.builder.weights().name(id).to_string(), tensor: c })
    };
    let (scale, shift) = (column(s, scale)?, column(s, shift)?);
    let name = s.free(&format!("{}/scaled", site.name));
    let scaled = s.binary(&name, Binary::Mul, back, scale)?;
    Ok(vec![Value::Act(s.binary(&site.name, Binary::Add, scaled, shift)?)])
}

/// LayerNormalization over the axes from `axis`.
pub fn layer(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let axis = s.axis(x, site.int("axis")?.unwrap_or(-1))?;
    let over = s.sample(x)[axis..].to_vec();
    let full = |s: &mut Scope, c: &Const| {
        if c.tensor.elem_count() == over.iter().product::<usize>() {
            return s.param(c);
        }
        let spread = c.tensor.broadcast_as(over.as_slice());
        let spread = spread
            .and_then(|t| t.contiguous())
            .map_err(|_| Error::shape(format!("normalises {over:?}, its parameter has shape {:?}", c.tensor.dims())))?;
        s.derived(c, "broadcast", &spread)
    };
    let scale = full(s, site.floats(1)?)?;
    let shift = if site.has(2) { Some(full(s, site.floats(2)?)?) } else { None };
    let eps = epsilon(site)?;
    Ok(vec![Value::Act(s.add(site, Op::LayerNorm { axis, scale, shift, eps }, &[x])?)])
}

/// RMSNormalization and SimplifiedLayerNormalization: x divided by its root mean square over the axes from `axis`, times a scale.
pub fn root_mean_square(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let axis = s.axis(x, site.int("axis")?.unwrap_or(-1))?;
    let axes = (axis..s.sample(x).len()).collect();
    let squares = s.step(site, "squares", Op::Activation(Activation::Pow(2.0)), &[x])?;
    let mean = s.step(site, "mean", Op::Reduce { reduction: Reduction::Mean, axes, keep: true }, &[squares])?;
    let eps = s.number(&format!("{}/epsilon", site.name), epsilon(site)?)?;
    let name = s.free(&format!("{}/sum", site.name));
    let sum = s.binary(&name, Binary::Add, mean, eps)?;
    let root = s.step(site, "root", Op::Activation(Activation::Sqrt), &[sum])?;
    let name = s.free(&format!("{}/even", site.name));
    let even = s.binary(&name, Binary::Div, x, root)?;
    let scale = s.act(site, 1)?;
    Ok(vec![Value::Act(s.binary(&site.name, Binary::Mul, even, scale)?)])
}

/// MeanVarianceNormalization over axes; by default batch, rows and columns.
pub fn mean_variance(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let said = site.int_list("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let mut axes = said.iter().map(|a| s.axis(x, *a)).collect::<Result<Vec<_>>>()?;
    axes.sort_unstable();
    let mean = |s: &mut Scope, part: &str, x| {
        s.step(site, part, Op::Reduce { reduction: Reduction::Mean, axes: axes.clone(), keep: true }, &[x])
    };
    let middle = mean(s, "mean", x)?;
    let apart = s.step(site, "apart", Op::Binary(Binary::Sub), &[x, middle])?;
    let squares = s.step(site, "squares", Op::Activation(Activation::Pow(2.0)), &[apart])?;
    let var = mean(s, "variance", squares)?;
    let root = s.step(site, "root", Op::Activation(Activation::Sqrt), &[var])?;
    let least = s.number(&format!("{}/least", site.name), 1e-9)?;
    let name = s.free(&format!("{}/divisor", site.name));
    let divisor = s.binary(&name, Binary::Add, root, least)?;
    Ok(vec![Value::Act(s.add(site, Op::Binary(Binary::Div), &[apart, divisor])?)])
}

/// LRN across channels.
pub fn local_response(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = channels_first(s, site)?;
    if x.lead == 0 {
        return Err(mixes("it normalises several maps of one sample"));
    }
    let size = site.int("size")?.ok_or_else(|| Error::format("attribute `size` is missing"))?;
    let size = usize::try_from(size).ok().filter(|n| (1..1 << 16).contains(n));
    let size = size.ok_or_else(|| Error::format("attribute `size` is out of range"))?;
    let real = |name: &str, default: f64| Ok::<_, Error>(site.float(name)?.unwrap_or(default));
    let (alpha, beta, bias) = (real("alpha", 1e-4)?, real("beta", 0.75)?, real("bias", 1.0)?);
    let op = Op::LocalResponseNorm { size, alpha, beta, bias };
    let shape = s.sample(x);
    if shape.len() == 3 {
        return Ok(vec![Value::Act(s.add(site, op, &[x])?)]);
    }
    let flat = s.step(site, "plane", Op::Reshape(vec![shape[0], shape[1..].iter().product(), 1]), &[x])?;
    let y = s.step(site, "norm", op, &[flat])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(shape), &[y])?)])
}

/// LpNormalization: x divided by its norm along an axis.
pub fn lp(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let axis = s.axis(x, site.int("axis")?.unwrap_or(-1))?;
    let norm = match site.int("p")?.unwrap_or(2) {
        1 => power_sum(s, site, x, Activation::Abs, vec![axis], true)?,
        2 => {
            let sum = power_sum(s, site, x, Activation::Pow(2.0), vec![axis], true)?;
            s.step(site, "root", Op::Activation(Activation::Sqrt), &[sum])?
        }
        p => return Err(Error::format(format!("attribute `p` is {p}; ONNX knows 1 and 2"))),
    };
    // A zero vector stays zero.
    let least = s.number(&format!("{}/least", site.name), f64::from(f32::MIN_POSITIVE))?;
    let name = s.free(&format!("{}/norm", site.name));
    let norm = s.binary(&name, Binary::Max, norm, least)?;
    Ok(vec![Value::Act(s.add(site, Op::Binary(Binary::Div), &[x, norm])?)])
}

/// Softmax and LogSoftmax; before opset 13 over all axes from `axis` together.
pub fn softmax(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let log = site.op == "LogSoftmax";
    let x = s.act(site, 0)?;
    let axis = s.axis(x, site.int("axis")?.unwrap_or(if site.opset < 13 { 1 } else { -1 }))?;
    let shape = s.sample(x);
    if site.opset >= 13 || shape[axis + 1..].iter().all(|n| *n == 1) {
        return Ok(vec![Value::Act(s.add(site, Op::Softmax { axis, log }, &[x])?)]);
    }
    let flat = shape[..axis].iter().copied().chain([shape[axis..].iter().product()]).collect();
    let flat = s.step(site, "flat", Op::Reshape(flat), &[x])?;
    let y = s.step(site, "softmax", Op::Softmax { axis, log }, &[flat])?;
    Ok(vec![Value::Act(s.add(site, Op::Reshape(shape), &[y])?)])
}

/// ReduceMean, ReduceSum, ReduceProd, ReduceMax, ReduceMin, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum, ReduceLogSumExp.
pub fn reduce(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let x = s.act(site, 0)?;
    let listed = if site.has(1) { Some(site.ints(1)?.known()?) } else { site.int_list("axes")? };
    let listed = listed.filter(|l| !l.is_empty());
    let keep = site.int("keepdims")?.unwrap_or(1) != 0;
    let mut axes = match listed {
        None if site.int("noop_with_empty_axes")?.unwrap_or(0) != 0 => {
            return reduce_alone(s, site, x);
        }
        // With a single sample, the batch is an axis of one entry.
        None if x.lead == 1 && s.batch != Some(1) => return Err(mixes("it reduces all axes, the batch too")),
        None => (0..s.rank(x) - x.lead).collect(),
        // Likewise where the list includes the batch among other axes.
        Some(list) if x.lead == 1 && s.of_one_sample() => {
            let all = list.iter().map(|a| s.axis_or_batch(x, *a)).collect::<Result<Vec<_>>>()?;
            if all.contains(&None) {
                let x = s.with_axis(site, x)?;
                let inner = site.with([&[Value::Act(x)], &site.inputs[1..]].concat());
                return reduce(s, &inner);
            }
            all.into_iter().flatten().collect()
        }
        Some(list) => list.iter().map(|a| s.axis(x, *a)).collect::<Result<Vec<usize>>>()?,
    };
    axes.sort_unstable();
    axes.dedup();
    let plain = |reduction| Op::Reduce { reduction, axes: axes.clone(), keep };
    let y = match site.op {
        "ReduceMean" => s.add(site, plain(Reduction::Mean), &[x])?,
        "ReduceSum" => s.add(site, plain(Reduction::Sum), &[x])?,
        "ReduceMax" => s.add(site, plain(Reduction::Max), &[x])?,
        "ReduceMin" => {
            let minus = s.step(site, "minus", Op::Activation(Activation::Neg), &[x])?;
            let most = s.step(site, "most", plain(Reduction::Max), &[minus])?;
            s.activation(site, Activation::Neg, most)?
        }
        "ReduceL1" => {
            let size = s.step(site, "absolute", Op::Activation(Activation::Abs), &[x])?;
            s.add(site, plain(Reduction::Sum), &[size])?
        }
        "ReduceSumSquare" => {
            let squares = s.step(site, "squares", Op::Activation(Activation::Pow(2.0)), &[x])?;
            s.add(site, plain(Reduction::Sum), &[squares])?
        }
        "ReduceLogSum" => {
            let sum = s.step(site, "sum", plain(Reduction::Sum), &[x])?;
            s.activation(site, Activation::Log, sum)?
        }
        "ReduceLogSumExp" => log_sum_exp(s, site, x, axes, keep)?,
        "ReduceL2" => {
            let sum = power_sum(s, site, x, Activation::Pow(2.0), axes, keep)?;
            s.activation(site, Activation::Sqrt, sum)?
        }
        "ReduceProd" => product(s, site, x, &axes, keep)?,
        other => return Err(Error::internal(format!("`{other}` is no reduction"))),
    };
    Ok(vec![Value::Act(y)])
}

/// The product over axes, factor by factor.
fn product(s: &mut Scope, site: &Site<'_>, x: Act, axes: &[usize], keep: bool) -> Result<Act> {
    let shape = s.sample(x);
    let many: usize = axes.iter().map(|a| shape[*a]).product();
    if many > ONNX_PRODUCT {
        return Err(Error::unsupported(format!("a product over {many} entries"))
            .hint(format!("products over up to {ONNX_PRODUCT} entries are computed")));
    }
    let mut y = x;
    for axis in axes {
        let mut total: Option<Act> = None;
        for i in 0..shape[*axis] {
            let entry = s.step(site, "entry", Op::Select { axis: *axis, index: [i].into() }, &[y])?;
            total = Some(match total {
                None => entry,
                Some(before) => s.step(site, "product", Op::Binary(Binary::Mul), &[before, entry])?,
            });
        }
        y = total.ok_or_else(|| Error::shape("a product over no entries"))?;
    }
    let mut to = s.sample(y);
    if !keep {
        to = (0..to.len()).filter(|a| !axes.contains(a)).map(|a| to[a]).collect();
    }
    s.add(site, Op::Reshape(to), &[y])
}

/// Each value as a reduction over itself alone.
fn reduce_alone(s: &mut Scope, site: &Site<'_>, x: Act) -> Result<Vec<Value>> {
    let op = match site.op {
        "ReduceL1" | "ReduceL2" => Op::Activation(Activation::Abs),
        "ReduceSumSquare" => Op::Activation(Activation::Pow(2.0)),
        "ReduceLogSum" => Op::Activation(Activation::Log),
        _ => Op::Identity,
    };
    Ok(vec![Value::Act(s.add(site, op, &[x])?)])
}

/// m + ln(sum e^(x - m)), where m is the maximum.
fn log_sum_exp(s: &mut Scope, site: &Site<'_>, x: Act, axes: Vec<usize>, keep: bool) -> Result<Act> {
    let op = |reduction, keep| Op::Reduce { reduction, axes: axes.clone(), keep };
    let most = s.step(site, "most", op(Reduction::Max, true), &[x])?;
    let below = s.step(site, "below", Op::Binary(Binary::Sub), &[x, most])?;
    let powers = s.step(site, "powers", Op::Activation(Activation::Exp), &[below])?;
    let sum = s.step(site, "sum", op(Reduction::Sum, keep), &[powers])?;
    let log = s.step(site, "log", Op::Activation(Activation::Log), &[sum])?;
    let to = s.sample(log);
    let most = if keep { most } else { s.step(site, "least axes", Op::Reshape(to), &[most])? };
    s.add(site, Op::Binary(Binary::Add), &[log, most])
}

fn power_sum(s: &mut Scope, site: &Site<'_>, x: Act, f: Activation, axes: Vec<usize>, keep: bool) -> Result<Act> {
    let powers = s.step(site, "powers", Op::Activation(f), &[x])?;
    s.step(site, "sum", Op::Reduce { reduction: Reduction::Sum, axes, keep }, &[powers])
}

fn epsilon(site: &Site<'_>) -> Result<f64> {
    let eps = site.float("epsilon")?.unwrap_or(1e-5);
    if eps.is_finite() && eps >= 0.0 { Ok(eps) } else { Err(Error::format(format!("attribute `epsilon` is {eps}"))) }
}

fn channels_first(s: &mut Scope, site: &Site<'_>) -> Result<Act> {
    let x = s.batched(site, 0)?;
    let x = s.of_one(site, x)?;
    if s.sample(x).len() >= 2 - x.lead {
        return Ok(x);
    }
    Err(Error::unsupported(format!("takes batch x channels x .., got {:?} without a batch", s.sample(x))))
}
