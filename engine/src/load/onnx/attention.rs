//! Attention as one node, ONNX's and com.microsoft's, translated to matrix products and a softmax.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::Op;
use crate::graph::op::{Activation, Binary, Reduction};
use crate::tensor::to_f32;
use candle_core::{Device, Tensor};

/// What is added to the score of a masked key.
const MASKED_SCORE: f32 = -1e30;

/// Attention of ONNX; Attention and MultiHeadAttention of com.microsoft.
pub fn attention(s: &mut Scope, site: &Site<'_>, domain: &str) -> Result<Vec<Value>> {
    let heads = |name: &str| -> Result<Option<usize>> {
        Ok(site.int(name)?.and_then(|n| usize::try_from(n).ok()).filter(|n| (1..1 << 16).contains(n)))
    };
    let missing = || Error::format("the number of heads is missing");
    let (q, k, v, mut mask) = match (domain, site.op) {
        ("com.microsoft", "Attention") => {
            absent(site, &[3, 4], "a mask or a past")?;
            site.only("do_rotary", 0)?;
            let heads = heads("num_heads")?.ok_or_else(missing)?;
            let x = s.act(site, 0)?;
            let bias = Value::clone(site.input(2));
            let name = s.free(&format!("{}/projected", site.name));
            let inner = site.renamed(&name).with(vec![Value::Act(x), site.input(1).clone()]);
            let [Value::Act(mut all)] = super::dense::matmul(s, &inner)?[..] else {
                return Err(Error::internal("a product makes one value"));
            };
            if let Value::Floats(c) = bias {
                let bias = s.constant(&c)?;
                let name = s.free(&format!("{}/biased", site.name));
                all = s.binary(&name, Binary::Add, all, bias)?;
            }
            let last = s.sample(all).len() - 1;
            let width = s.sample(all)[last];
            let sizes = match site.int_list("qkv_hidden_sizes")? {
                Some(list) => list.iter().map(|n| (*n).max(0) as usize).collect(),
                None => vec![width / 3; 3],
            };
            let &[a, b, c] = sizes.as_slice() else { return Err(Error::format(format!("sizes {sizes:?}"))) };
            if a + b + c != width {
                return Err(Error::format(format!("sizes {sizes:?} of {width} values")));
            }
            let part = |s: &mut Scope, from: usize, to: usize| -> Result<Act> {
                let x = s.step(site, "part", Op::Select { axis: last, index: (from..to).collect() }, &[all])?;
                split(s, site, x, heads)
            };
            (part(s, 0, a)?, part(s, a, a + b)?, part(s, a + b, width)?, if site.has(5) { Some(5) } else { None })
        }
        ("com.microsoft", _) => {
            absent(site, &[4, 6, 7], "a padding mask or a past")?;
            let heads = heads("num_heads")?.ok_or_else(missing)?;
            let mut parts = [0, 1, 2].map(|i| s.act(site, i));
            if let Value::Floats(c) = site.input(3) {
                let width = c.tensor.elem_count() / 3;
                for (i, part) in parts.iter_mut().enumerate() {
                    let own =
                        Const { name: c.name.clone(), tensor: c.tensor.narrow(0, i * width, width)?.contiguous()? };
                    let (x, bias) = (std::mem::replace(part, Err(Error::internal("taken")))?, s.constant(&own)?);
                    let name = s.free(&format!("{}/biased", site.name));
                    *part = s.binary(&name, Binary::Add, x, bias);
                }
            }
            let [q, k, v] = parts;
            let (q, k, v) = (q?, k?, v?);
            (
                split(s, site, q, heads)?,
                split(s, site, k, heads)?,
                split(s, site, v, heads)?,
                if site.has(5) { Some(5) } else { None },
            )
        }
        _ => {
            absent(site, &[4, 5], "a past")?;
            absent(site, &[6], "lengths of sequences without padding")?;
            let (q, k, v) = (s.act(site, 0)?, s.act(site, 1)?, s.act(site, 2)?);
            let mask = if site.has(3) { Some(3) } else { None };
            if s.rank(q) == 4 {
                (q, k, v, mask)
            } else {
                let (of_q, of_k) =
                    (heads("q_num_heads")?.ok_or_else(missing)?, heads("kv_num_heads")?.ok_or_else(missing)?);
                (split(s, site, q, of_q)?, split(s, site, k, of_k)?, split(s, site, v, of_k)?, mask)
            }
        }
    };
    let first = s.act(site, 0)?;
    let flat = domain == "com.microsoft" || s.rank(first) == 3;
    let shape = s.sample(q);
    let (&[.., of_q, rows, width], &[.., of_k, columns, _]) = (shape.as_slice(), s.sample(k).as_slice()) else {
        return Err(mixes("its heads are no axis of their own"));
    };
    let (mut k, mut v) = (k, v);
    if of_q != of_k {
        // How many heads of queries share a head of keys and values.
        let each = of_q / of_k.max(1);
        let axis = shape.len() - 3;
        let index: std::sync::Arc<[usize]> = (0..of_q).map(|i| i / each.max(1)).collect();
        k = s.step(site, "shared keys", Op::Select { axis, index: index.clone() }, &[k])?;
        v = s.step(site, "shared values", Op::Select { axis, index }, &[v])?;
    }
    let scale = site.float("scale")?.filter(|v| *v != 0.0).unwrap_or(1.0 / (width as f64).sqrt());
    let mut perm: Vec<usize> = (0..shape.len()).collect();
    perm.swap(shape.len() - 2, shape.len() - 1);
    let turned = s.step(site, "keys", Op::Transpose(perm), &[k])?;
    let scale = s.number(&format!("{}/scale", site.name), scale)?;
    let scaled = s.step(site, "queries", Op::Binary(Binary::Mul), &[q, scale])?;
    let mut scores = s.step(site, "scores", Op::MatMul, &[scaled, turned])?;
    if let Some(cap) = site.float("softcap")?.filter(|c| *c != 0.0) {
        let cap = s.number(&format!("{}/cap", site.name), cap)?;
        let part = s.step(site, "part", Op::Binary(Binary::Div), &[scores, cap])?;
        let bent = s.step(site, "bent", Op::Activation(Activation::Tanh), &[part])?;
        scores = s.step(site, "capped", Op::Binary(Binary::Mul), &[bent, cap])?;
    }
    // Which entries of the mask are kept, as far as that is known, and the score added where one is not.
    let mut hidden = MASKED_SCORE;
    let mut kept: Option<(Vec<usize>, Vec<bool>)> = Some((vec![1, 1], vec![true]));
    if let Some(i) = mask.take() {
        let added = match site.input(i) {
            Value::Ints(held) => {
                let keeps: Vec<bool> = held.known()?.into_iter().map(|v| v != 0).collect();
                let values: Vec<f32> = keeps.iter().map(|keep| if *keep { 0.0 } else { MASKED_SCORE }).collect();
                kept = Some((held.dims.clone(), keeps));
                let tensor = Tensor::from_vec(values, held.dims.as_slice(), &Device::Cpu)?;
                s.constant(&Const { name: format!("{}/mask", site.name), tensor })?
            }
            Value::Floats(c) => {
                let keeps = to_f32(&c.tensor)?.iter().map(|v| *v > f32::NEG_INFINITY).collect();
                kept = Some((c.tensor.dims().to_vec(), keeps));
                hidden = f32::NEG_INFINITY;
                s.batched(site, i)?
            }
            _ => {
                kept = None;
                hidden = f32::NEG_INFINITY;
                s.batched(site, i)?
            }
        };
        let name = s.free(&format!("{}/masked", site.name));
        scores = s.binary(&name, Binary::Add, scores, added)?;
    }
    let causal = site.int("is_causal")?.unwrap_or(0) != 0 || site.int("unidirectional")?.unwrap_or(0) != 0;
    // How many keys before and after a query's own position it attends to; all where the attribute is negative.
    let reach = |name: &str| -> Result<i64> { Ok(site.int(name)?.filter(|n| *n >= 0).unwrap_or(i64::MAX)) };
    let (before, mut after) = (reach("left_window_size")?, reach("right_window_size")?);
    if causal {
        after = 0;
    }
    let beyond = |row: usize, column: usize| {
        let apart = column as i64 - row as i64;
        apart > after || apart < before.saturating_neg()
    };
    let may_be_empty = kept.is_none_or(|kept| has_empty_query(&kept, rows, columns, beyond));
    if (before, after) != (i64::MAX, i64::MAX) {
        let hidden = if may_be_empty { hidden } else { MASKED_SCORE };
        let kept = (0..rows * columns).map(|i| if beyond(i / columns, i % columns) { hidden } else { 0.0 }).collect();
        let tensor = Tensor::from_vec(kept, (rows, columns), &Device::Cpu)?;
        let past = s.constant(&Const { name: format!("{}/past", site.name), tensor })?;
        scores = s.step(site, "causal", Op::Binary(Binary::Add), &[scores, past])?;
    }
    let axis = s.sample(scores).len() - 1;
    if !may_be_empty {
        let weights = s.step(site, "weights", Op::Softmax { axis, log: false }, &[scores])?;
        return weighted_sum(s, site, weights, v, flat);
    }
    // A query that attends to no key gets zeros.
    let largest = Op::Reduce { reduction: Reduction::Max, axes: vec![axis], keep: true };
    let largest = s.step(site, "largest", largest, &[scores])?;
    let looks = s.step(site, "looks", Op::Activation(Activation::Step(f64::from(hidden) / 2.0)), &[largest])?;
    let floor = Op::Activation(Activation::Clip { low: f64::from(f32::MIN), high: f64::INFINITY });
    let finite = s.step(site, "finite", floor, &[scores])?;
    let weights = s.step(site, "weights", Op::Softmax { axis, log: false }, &[finite])?;
    let weights = s.step(site, "kept", Op::Binary(Binary::Mul), &[weights, looks])?;
    weighted_sum(s, site, weights, v, flat)
}

/// The weighted sum of values; with `flat`, the heads are concatenated.
fn weighted_sum(s: &mut Scope, site: &Site<'_>, weights: Act, v: Act, flat: bool) -> Result<Vec<Value>> {
    if !flat {
        return Ok(vec![Value::Act(s.add(site, Op::MatMul, &[weights, v])?)]);
    }
    let y = s.step(site, "heads", Op::MatMul, &[weights, v])?;
    let shape = s.sample(y);
    let n = shape.len();
    let mut perm: Vec<usize> = (0..n).collect();
    perm.swap(n - 3, n - 2);
    let together = s.step(site, "together", Op::Transpose(perm), &[y])?;
    let to = [&shape[..n - 3], &[shape[n - 2], shape[n - 3] * shape[n - 1]]].concat();
    Ok(vec![Value::Act(s.add(site, Op::Reshape(to), &[together])?)])
}

/// Whether a mask of these sizes (the last two are queries x keys, or 1 for all) leaves a query without any key within reach.
fn has_empty_query(
    (dims, keeps): &(Vec<usize>, Vec<bool>),
    rows: usize,
    columns: usize,
    beyond: impl Fn(usize, usize) -> bool,
) -> bool {
    let last = |back: usize| dims.len().checked_sub(back).map_or(1, |i| dims[i]);
    let (r, c) = (last(2), last(1));
    keeps.chunks((r * c).max(1)).any(|each| {
        let kept = |row: usize, column: usize| each.get(row % r * c + column % c).is_some_and(|keep| *keep);
        (0..rows).any(|row| !(0..columns).any(|column| kept(row, column) && !beyond(row, column)))
    })
}

/// Reshapes .. x tokens x values to .. x heads x tokens x values of a head.
pub fn split(s: &mut Scope, site: &Site<'_>, x: Act, heads: usize) -> Result<Act> {
    let shape = s.sample(x);
    let &[.., tokens, width] = shape.as_slice() else {
        return Err(mixes(format!("it attends over {shape:?} a sample")));
    };
    if !width.is_multiple_of(heads) {
        return Err(Error::shape(format!("{width} values do not split into {heads} heads")));
    }
    let front = &shape[..shape.len() - 2];
    let apart = s.step(site, "apart", Op::Reshape([front, &[tokens, heads, width / heads]].concat()), &[x])?;
    let n = front.len();
    let perm = (0..n).chain([n + 1, n, n + 2]).collect();
    s.step(site, "heads", Op::Transpose(perm), &[apart])
}

fn absent(site: &Site<'_>, inputs: &[usize], what: &str) -> Result<()> {
    match inputs.iter().find(|i| site.has(**i)) {
        Some(i) => Err(Error::unsupported(format!("attention with {what} (input {i})"))
            .hint("attention over whole sequences is read: export the net without cache and padding mask")),
        None => Ok(()),
    }
}
