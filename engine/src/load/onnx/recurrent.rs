//! LSTM, GRU and RNN, unrolled: the nodes of each time step are separate, so that signals pass back through time as through layers.

use super::scope::Scope;
use super::site::Site;
use super::value::{Act, Const, Value, mixes};
use crate::error::{Error, Result};
use crate::graph::op::{Activation, Binary};
use crate::graph::{Op, ParamId};
use crate::limits::ONNX_STEPS;
use candle_core::Tensor;

/// The parameters of one direction.
struct Cell {
    hidden: usize,
    input: ParamId,
    input_bias: Option<ParamId>,
    back: ParamId,
    back_bias: Option<ParamId>,
    /// The weights of the candidate state, where the reset gate is applied before them.
    candidate: Option<(ParamId, ParamId)>,
}

/// LSTM, GRU and RNN over steps x sequences x inputs.
pub fn recurrent(s: &mut Scope, site: &Site<'_>) -> Result<Vec<Value>> {
    let direction = site.text("direction")?.unwrap_or_else(|| "forward".into());
    let reversed: &[bool] = match direction.as_str() {
        "" | "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(Error::format(format!("attribute `direction` is `{other}`"))),
    };
    plain(site)?;
    let x = s.act(site, 0)?;
    let mut x = s.with_axis(site, x)?;
    let by_sequence = site.int("layout")?.unwrap_or(0) == 1;
    if by_sequence {
        x = s.step(site, "steps first", Op::Transpose(vec![1, 0, 2]), &[x])?;
    }
    let &[steps, sequences, _] = s.sample(x).as_slice() else {
        return Err(Error::shape(format!("takes steps x sequences x inputs, got {:?}", s.sample(x))));
    };
    if steps * reversed.len() > ONNX_STEPS {
        return Err(Error::unsupported(format!("{steps} steps, each of which becomes nodes of its own"))
            .hint(format!("sequences of up to {ONNX_STEPS} steps are read: export the net for a shorter one")));
    }
    if let Value::Ints(lengths) = site.input(4)
        && lengths.known()?.iter().any(|n| *n != steps as i64)
    {
        return Err(Error::unsupported("sequences of other lengths than the input's"));
    }
    let (mut all, mut lasts, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for (d, reverse) in reversed.iter().enumerate() {
        let cell = cell(s, site, d)?;
        let start = |s: &mut Scope, i: usize, part: &str| -> Result<Act> {
            let to = vec![sequences, cell.hidden];
            if !site.has(i) {
                let zeros =
                    Tensor::zeros((sequences, cell.hidden), candle_core::DType::F32, &candle_core::Device::Cpu)?;
                return s.constant(&Const { name: format!("{}/{part}", site.name), tensor: zeros });
            }
            let given = s.act(site, i)?;
            let mut given = s.with_axis(site, given)?;
            if by_sequence {
                given = s.step(site, "states first", Op::Transpose(vec![1, 0, 2]), &[given])?;
            }
            let own = s.step(site, "state", Op::Select { axis: 0, index: [d].into() }, &[given])?;
            s.step(site, part, Op::Reshape(to), &[own])
        };
        let mut hidden = start(s, 5, "first state")?;
        let mut memory = if site.op == "LSTM" { Some(start(s, 6, "first memory")?) } else { None };
        let op = Op::Linear { weight: cell.input, bias: cell.input_bias };
        let seen = s.step(site, &format!("seen {d}"), op, &[x])?;
        let width = s.sample(seen)[2];
        let mut states = vec![None; steps];
        for i in 0..steps {
            let t = if *reverse { steps - 1 - i } else { i };
            let now = s.step(site, &format!("input {t}"), Op::Select { axis: 0, index: [t].into() }, &[seen])?;
            let now = s.step(site, &format!("step {t}"), Op::Reshape(vec![sequences, width]), &[now])?;
            (hidden, memory) = step(s, site, &cell, now, hidden, memory)?;
            states[t] = Some(s.step(
                site,
                &format!("state {t}"),
                Op::Reshape(vec![1, 1, sequences, cell.hidden]),
                &[hidden],
            )?);
        }
        let states: Vec<Act> = states.into_iter().flatten().collect();
        all.push(joined(s, site, "sequence", 0, &states)?);
        let to = Op::Reshape(vec![1, sequences, cell.hidden]);
        lasts.push(s.step(site, "last", to.clone(), &[hidden])?);
        cells.extend(memory.map(|m| s.step(site, "last memory", to, &[m])).transpose()?);
    }
    let mut y = joined(s, site, "states", 1, &all)?;
    let mut last = joined(s, site, "lasts", 0, &lasts)?;
    let mut memory = if cells.is_empty() { None } else { Some(joined(s, site, "memories", 0, &cells)?) };
    if by_sequence {
        y = s.step(site, "sequences first", Op::Transpose(vec![2, 0, 1, 3]), &[y])?;
        let turned = |s: &mut Scope, x| s.step(site, "sequences first", Op::Transpose(vec![1, 0, 2]), &[x]);
        last = turned(s, last)?;
        memory = memory.map(|m| turned(s, m)).transpose()?;
    }
    // y is named by the file's first output, the others by theirs.
    let mut outputs = vec![Value::Act(s.add(site, Op::Identity, &[y])?), Value::Act(last)];
    outputs.extend(memory.map(Value::Act));
    Ok(outputs)
}

/// An error where the layer clips, has peepholes or couples its gates, which common frameworks do not export.
fn plain(site: &Site<'_>) -> Result<()> {
    site.only("input_forget", 0)?;
    if site.float("clip")?.is_some_and(|c| c != 0.0) || site.has(7) {
        return Err(Error::unsupported("a recurrent layer that clips or has peepholes"));
    }
    Ok(())
}

/// The activations that the file names, or the default ones.
fn activations(site: &Site<'_>, usual: &[&str]) -> Result<Vec<String>> {
    let said = site.text_list("activations")?.unwrap_or_default();
    Ok(if said.is_empty() { usual.iter().map(|s| s.to_string()).collect() } else { said })
}

fn cell(s: &mut Scope, site: &Site<'_>, d: usize) -> Result<Cell> {
    let (w, r) = (site.floats(1)?.clone(), site.floats(2)?.clone());
    let &[_, rows, hidden] = r.tensor.dims() else {
        return Err(Error::shape(format!("a recurrent weight of shape {:?}", r.tensor.dims())));
    };
    let usual: &[&str] = match site.op {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Tanh"],
    };
    let said = activations(site, usual)?;
    let own = &said[d * usual.len().min(said.len())..];
    // One list is for both directions.
    let own = if own.is_empty() { &said[..] } else { own };
    let own = own.get(..usual.len()).unwrap_or(own);
    let fits = own.iter().map(String::as_str).eq(usual.iter().copied())
        || (site.op == "RNN" && own.first().is_some_and(|f| f == "Relu"));
    if !fits {
        return Err(Error::unsupported(format!("a recurrent layer with the activations {said:?}"))
            .hint("sigmoid and tanh, of an RNN also ReLU, are supported"));
    }
    let part =
        |c: &Const, how: &str, s: &mut Scope| s.derived(c, &format!("{how} {d}"), &c.tensor.get(d)?.contiguous()?);
    let (input, back) = (part(&w, "direction", s)?, part(&r, "direction", s)?);
    let mut biases = [None, None];
    let mut candidate = None;
    if site.has(3) {
        let b = site.floats(3)?.clone();
        for (i, bias) in biases.iter_mut().enumerate() {
            let held = b.tensor.get(d)?.narrow(0, i * rows, rows)?.contiguous()?;
            *bias = Some(s.derived(&b, &format!("direction {d}, part {i}"), &held)?);
        }
    }
    if site.op == "GRU" && site.int("linear_before_reset")?.unwrap_or(0) == 0 {
        let own = r.tensor.get(d)?.narrow(0, 2 * hidden, hidden)?.contiguous()?;
        let weight = s.derived(&r, &format!("candidate {d}"), &own)?;
        let bias = match site.has(3) {
            true => {
                let b = site.floats(3)?.clone();
                let held = b.tensor.get(d)?.narrow(0, rows + 2 * hidden, hidden)?.contiguous()?;
                s.derived(&b, &format!("candidate {d}"), &held)?
            }
            false => {
                let zeros = Tensor::zeros(hidden, candle_core::DType::F32, &candle_core::Device::Cpu)?;
                s.derived(&r, &format!("no bias {d}"), &zeros)?
            }
        };
        candidate = Some((weight, bias));
    }
    let [input_bias, back_bias] = biases;
    Ok(Cell { hidden, input, input_bias, back, back_bias, candidate })
}

/// One time step: the next state, and of an LSTM the next cell state.
fn step(
    s: &mut Scope,
    site: &Site<'_>,
    cell: &Cell,
    now: Act,
    hidden: Act,
    memory: Option<Act>,
) -> Result<(Act, Option<Act>)> {
    let n = cell.hidden;
    let op = Op::Linear { weight: cell.back, bias: cell.back_bias };
    let before = s.step(site, "recalled", op, &[hidden])?;
    let take = |s: &mut Scope, x: Act, part: &str, from: usize, to: usize| {
        s.step(site, part, Op::Select { axis: 1, index: (from * n..to * n).collect() }, &[x])
    };
    let two = |s: &mut Scope, part: &str, f: Binary, a: Act, b: Act| s.step(site, part, Op::Binary(f), &[a, b]);
    let one = |s: &mut Scope, part: &str, f: Activation, x: Act| s.step(site, part, Op::Activation(f), &[x]);
    match site.op {
        "LSTM" => {
            let memory = memory.ok_or_else(|| Error::internal("an LSTM without memory"))?;
            let sum = two(s, "gates", Binary::Add, now, before)?;
            let open = take(s, sum, "open", 0, 3)?;
            let gates = one(s, "sigmoid", Activation::Sigmoid, open)?;
            let raw = take(s, sum, "raw", 3, 4)?;
            let new = one(s, "new", Activation::Tanh, raw)?;
            let (input, output, forget) = (
                take(s, gates, "input gate", 0, 1)?,
                take(s, gates, "output gate", 1, 2)?,
                take(s, gates, "forget gate", 2, 3)?,
            );
            let kept = two(s, "kept", Binary::Mul, forget, memory)?;
            let added = two(s, "added", Binary::Mul, input, new)?;
            let memory = two(s, "memory", Binary::Add, kept, added)?;
            let bent = one(s, "bent", Activation::Tanh, memory)?;
            Ok((two(s, "hidden", Binary::Mul, output, bent)?, Some(memory)))
        }
        "GRU" => {
            let (a, b) = (take(s, now, "seen gates", 0, 2)?, take(s, before, "recalled gates", 0, 2)?);
            let sum = two(s, "gates", Binary::Add, a, b)?;
            let gates = one(s, "sigmoid", Activation::Sigmoid, sum)?;
            let (update, reset) = (take(s, gates, "update gate", 0, 1)?, take(s, gates, "reset gate", 1, 2)?);
            let seen = take(s, now, "seen", 2, 3)?;
            let recalled = match cell.candidate {
                None => {
                    let recalled = take(s, before, "recalled state", 2, 3)?;
                    two(s, "reset", Binary::Mul, reset, recalled)?
                }
                Some((weight, bias)) => {
                    let held = two(s, "reset", Binary::Mul, reset, hidden)?;
                    s.step(site, "recalled state", Op::Linear { weight, bias: Some(bias) }, &[held])?
                }
            };
            let raw = two(s, "raw", Binary::Add, seen, recalled)?;
            let new = one(s, "new", Activation::Tanh, raw)?;
            // n + z (h - n)
            let change = two(s, "change", Binary::Sub, hidden, new)?;
            let kept = two(s, "kept", Binary::Mul, update, change)?;
            Ok((two(s, "hidden", Binary::Add, new, kept)?, None))
        }
        "RNN" => {
            let f = match activations(site, &["Tanh"])?.first().map(String::as_str) {
                Some("Relu") => Activation::Relu,
                _ => Activation::Tanh,
            };
            let sum = two(s, "sum", Binary::Add, now, before)?;
            Ok((one(s, "hidden", f, sum)?, None))
        }
        other => Err(mixes(format!("`{other}` is no recurrent layer"))),
    }
}

fn joined(s: &mut Scope, site: &Site<'_>, part: &str, axis: usize, parts: &[Act]) -> Result<Act> {
    match parts {
        [one] => Ok(*one),
        _ => s.step(site, part, Op::Concat { axis }, parts),
    }
}
