//! What all probes of the family "where" share: the signal at the input, the artifact of a map, and the notes for a map that is
//! zero, constant or not finite.

pub mod attention;
pub mod attention_rollout;
pub mod baseline;
pub mod cam;
pub mod d_rise;
pub mod deconvnet;
pub mod deep_lift;
pub mod grad_cam;
pub mod grad_cam_plus_plus;
pub mod gradient;
pub mod gradient_x_input;
pub mod guided_backprop;
pub mod guided_grad_cam;
pub mod integrated_gradients;
pub mod layer_cam;
pub mod lrp;
pub mod multi_crop;
pub mod occluder;
pub mod occlusion;
mod placed;
pub mod projections;
pub mod recorded;
pub mod rise;
pub mod saliency_box;
pub mod score_cam;
pub mod smooth_grad;
pub mod tokens;
pub mod transformer_attribution;

use crate::error::Result;
use crate::graph::op::Activation;
use crate::graph::{NodeId, Op};
use crate::job::Job;
use crate::kernels::conv::Combine;
use crate::model::Model;
use crate::pass::{Tap, Trace};
use crate::probe::Probe;
use crate::rules::{On, Rules};
use crate::show::{Artifact, Map, Part, Scale, Style};
use crate::subject::{Input, Prepared, Subject};
use crate::tensor::to_f32;
use candle_core::Tensor;

/// The signal that `rules` carry from the target's score back to the input, shaped as `x` (N x C x H x W).
///
/// # Errors
/// As the passes.
pub fn input_signal(target: &Subject, x: &Tensor, rules: &Rules) -> Result<Tensor> {
    let target = if rules.need_signs_only() { alone(target)? } else { target.clone() };
    let model = target.model()?;
    let tap = if rules.need_signs_only() { Tap::Signs(target.nodes()?) } else { target.tap()? };
    let seed = |trace: &Trace| Ok((target.seed(trace)?, ()));
    Ok(model.backpropagate(x, &tap, model.graph().input(), rules, seed)?.0)
}

/// A note on a rule for rectifiers, where the net has no rectifier or smooth ones; none elsewhere.
///
/// # Errors
/// Where the target has no net.
pub fn rectified(rules: &Rules, target: &Subject) -> Result<Option<String>> {
    let Some((_, rule)) = rules.0.iter().find(|(on, _)| matches!(on, On::Rectifiers)) else { return Ok(None) };
    let (model, nodes) = (target.model()?, target.nodes()?);
    let graph = model.graph();
    let behind = graph.descendants(graph.input());
    let mut counts = std::collections::BTreeMap::<&str, (usize, bool)>::new();
    let before: Vec<Vec<bool>> = nodes.iter().map(|n| graph.ancestors(*n)).collect();
    for id in graph.ids().filter(|id| behind[id.0] && before.iter().any(|b| b[id.0])) {
        let op = &graph.node(id).op;
        if op.rectifies() {
            let smooth = matches!(op, Op::Activation(f) if f.is_smooth());
            counts.entry(op.kind()).or_insert((0, smooth)).0 += 1;
        }
    }
    if counts.is_empty() {
        return Ok(Some(format!(
            "{} found no rectifier between the input and {target}: the map is the gradient",
            rule.name()
        )));
    }
    let smooth: Vec<String> = counts.iter().filter(|(_, c)| c.1).map(|(kind, c)| format!("{} {kind}", c.0)).collect();
    let passes = match rule.as_epilogue(Activation::Relu) {
        Some((Combine::None, _)) => "a positive signal as it is",
        _ => "a positive signal times its slope",
    };
    Ok((!smooth.is_empty()).then(|| {
        format!(
            "{} is defined for ReLU; here a smooth rectifier ({}) passes {passes}, a negative one not at all",
            rule.name(),
            smooth.join(", ")
        )
    }))
}

/// The same subject; a class without the others' weights, where the net allows it.
fn alone(target: &Subject) -> Result<Subject> {
    let Subject::Class { model, index } = target else { return Ok(target.clone()) };
    Ok(match model.one_class(*index)? {
        Some(model) => Subject::Class { model, index: 0 },
        None => target.clone(),
    })
}

/// Runs a probe whose map is shaped as the input, and draws it.
///
/// # Errors
/// As [`Probe::attribute`].
pub fn of_input(probe: &dyn Probe, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
    let model = on.model()?;
    let prepared = input.prepared(model)?;
    let target = on.asked(&prepared)?;
    let map = probe.attribute(&target, &prepared.x, job)?.squeeze(0)?;
    // A signal times the input adds up to the score; its sign says for or against.
    let artifact = match probe.multiplied_by(&target, &prepared.x, job)? {
        Some(_) => signed(probe.name(), &target, &prepared, &map, "gradient times input, summed over channels")?,
        None => saliency(probe.name(), &target, &prepared, &map)?,
    };
    let rules = probe.rules().unwrap_or_default();
    let reasons = diagnose(&map, &target, &prepared.x, &rules)?;
    Ok(reasons.into_iter().chain(rectified(&rules, &target)?).fold(artifact, Artifact::note))
}

/// The artifact of a map that is shaped as the input: C x H x W raw, shown as max |.| over channels.
///
/// # Errors
/// Where the tensors cannot be reduced.
pub fn saliency(name: &str, target: &Subject, prepared: &Prepared, map: &Tensor) -> Result<Artifact> {
    let magnitude = if has_channels(prepared, map) { map.abs()?.max(0)? } else { map.abs()? };
    let scale = Scale::Sequential { low: Some(0.0), high: None };
    let label = match name {
        "gradient" | "smooth_grad" => "|dS/dx|, score per unit of input",
        _ => "magnitude in units of the score",
    };
    let part = match map.dims() {
        // The channels of a signal are lines of their own.
        [_, _] if is_signal(prepared) => heat_map(name, target, prepared, &map.abs()?, label, scale, Style::Alone)?,
        _ => {
            let label = format!("{label}, largest over channels");
            heat_map(name, target, prepared, &magnitude, &label, scale, Style::Alone)?
        }
    };
    Ok(titled(name, target)?.part(part).array(name, map.clone()).array("magnitude", magnitude))
}

/// As [`saliency`], of a map whose values add up: shown as its sum over channels, with its sign.
///
/// # Errors
/// As [`saliency`].
pub fn signed(name: &str, target: &Subject, prepared: &Prepared, map: &Tensor, label: &str) -> Result<Artifact> {
    let mut artifact = saliency(name, target, prepared, map)?;
    let signal = is_signal(prepared);
    let summed = if has_channels(prepared, map) && !signal { map.sum(0)? } else { map.clone() };
    let scale = Scale::Diverging { bound: None };
    let label = if signal { label.trim_end_matches(", summed over channels") } else { label };
    artifact.parts[0] = heat_map(name, target, prepared, &summed, label, scale, Style::Alone)?;
    Ok(artifact)
}

/// Whether the input is a signal: channels x samples.
fn is_signal(prepared: &Prepared) -> bool {
    prepared.x.dims().len() == 3
}

/// Whether a map holds a value for each channel at a place of the input.
fn has_channels(prepared: &Prepared, map: &Tensor) -> bool {
    match map.dims().len() {
        3 => prepared.x.dims().len() == 4 || prepared.x.dims()[1..] == *map.dims(),
        rank => rank >= 2 && prepared.x.dims().len() != 4 && prepared.x.dims()[1..] == *map.dims(),
    }
}

/// The artifact of a coarse, non-negative map: a class activation map, and the same as it lies over the whole input.
///
/// # Errors
/// Where the target has no net.
pub fn coarse(
    name: &str,
    target: &Subject,
    prepared: &Prepared,
    [map, drawn]: [&Tensor; 2],
    label: &str,
) -> Result<Artifact> {
    let scale = Scale::Sequential { low: Some(0.0), high: None };
    let part = heat_map(name, target, prepared, drawn, label, scale, Style::Overlay)?;
    Ok(titled(name, target)?.part(part).array(name, map.clone()))
}

fn titled(name: &str, target: &Subject) -> Result<Artifact> {
    let model = target.model()?;
    let artifact = Artifact::new(format!("{name} of {target} in {}", model.card().name));
    let peeled = matches!(target, Subject::Class { .. } | Subject::Sum(_)) && model.graph().closing_softmax().is_some();
    Ok(if peeled { artifact.note("the score is the raw output: the closing softmax was peeled off") } else { artifact })
}

/// A map over the whole input: an image, a signal or a volume.
///
/// # Errors
/// Where the net takes none of these.
pub fn heat_map(
    name: &str,
    target: &Subject,
    prepared: &Prepared,
    values: &Tensor,
    label: &str,
    scale: Scale,
    style: Style,
) -> Result<Part> {
    if let Some(part) = recorded::part(&format!("{name} of {target}"), prepared, values, label, scale, None)? {
        return Ok(part);
    }
    let [.., height, width] = *prepared.x.dims() else {
        return Err(crate::Error::subject(format!("{target} is asked about with {:?}, no image", prepared.x.dims())));
    };
    Ok(Part::Map(Map {
        title: format!("{name} of {target}"),
        values: values.clone(),
        label: label.to_string(),
        scale,
        photo: prepared.photo.clone(),
        placement: prepared.placement,
        extent: None,
        input: [height, width],
        style,
    }))
}

/// Notes that say why a map is zero or not finite; none for other maps.
///
/// # Errors
/// As the passes.
pub fn diagnose(map: &Tensor, target: &Subject, x: &Tensor, rules: &Rules) -> Result<Vec<String>> {
    let values = to_f32(map)?;
    let model = target.model()?;
    if to_f32(x)?.iter().any(|v| !v.is_finite()) {
        return Ok(vec!["the input holds values that are not finite, so the map tells nothing".into()]);
    }
    if values.iter().any(|v| !v.is_finite()) {
        let trace = model.forward(x, &target.tap()?)?;
        return Ok(vec![first_not_finite(model, &trace)?]);
    }
    if values.iter().any(|v| *v != 0.0) {
        return Ok(saturated(model, target, x)?.into_iter().collect());
    }
    let trace = model.forward(x, &target.tap()?)?;
    if let Some(reason) = saturated(model, target, x)? {
        return Ok(vec![format!("the map is zero everywhere: {reason}")]);
    }
    let flow = trace.backward(target.seed(&trace)?, rules)?;
    // The signal dies at the first node, on its way back, that is reached by a non-zero signal and passes none.
    for id in model.graph().ids().rev() {
        let Some(signal) = flow.get(id) else { continue };
        let passed = |i: &NodeId| flow.get(*i).map(any_nonzero).transpose();
        let node = model.graph().node(id);
        let mut alive = false;
        for input in &node.inputs {
            alive |= passed(input)?.unwrap_or(false);
        }
        if any_nonzero(signal)? && !alive && !node.inputs.is_empty() {
            let name = &node.name;
            return Ok(vec![match node.op {
                ref op if op.rectifies() => {
                    let all_negative = to_f32(trace.get(node.inputs[0])?)?.iter().all(|v| *v <= 0.0);
                    if all_negative {
                        format!(
                            "the map is zero everywhere: all values before the rectifier `{name}` are negative, so nothing passes it (a dead ReLU for this input)"
                        )
                    } else {
                        format!(
                            "the map is zero everywhere: the signal meets only inactive units at the rectifier `{name}` (dead ReLUs for this input)"
                        )
                    }
                }
                ref op => format!("the map is zero everywhere: the signal ends at `{name}` ({})", op.kind()),
            }]);
        }
    }
    let reaches = flow.get(model.graph().input()).map(any_nonzero).transpose()?.unwrap_or(false);
    Ok(vec![match reaches {
        true => "the map is zero everywhere although the score depends on the input: the input equals the baseline (zero, where the method names none), so there is nothing to attribute".into(),
        false => "the map is zero everywhere: the score does not depend on the input".into(),
    }])
}

/// The reason, where the target lies behind a softmax or sigmoid that is saturated.
fn saturated(model: &Model, target: &Subject, x: &Tensor) -> Result<Option<String>> {
    let (Subject::Unit { node, at, .. }, true) = (target, !matches!(target, Subject::Class { .. })) else {
        return Ok(None);
    };
    let op = &model.graph().node(*node).op;
    let kind = op.kind();
    if !matches!(kind, "softmax" | "sigmoid") {
        return Ok(None);
    }
    let trace = model.forward(x, &Tap::Only(vec![*node]))?;
    let i: usize =
        at.iter().zip(crate::kernels::rearrange::strides(&model.graph().node(*node).shape)).map(|(i, s)| i * s).sum();
    let p = to_f32(trace.get(*node)?)?[i];
    Ok((!(1e-4..=1.0 - 1e-4).contains(&p)).then(|| {
        format!("the {kind} `{}` is saturated there ({p}), so its gradient vanishes; ask for the class: its raw score is used", model.graph().node(*node).name)
    }))
}

fn first_not_finite(model: &Model, trace: &Trace) -> Result<String> {
    for id in model.graph().ids() {
        if let Some(value) = trace.find(id)
            && to_f32(value)?.iter().any(|v| !v.is_finite())
        {
            let node = model.graph().node(id);
            return Ok(match node.op {
                Op::Input => "the map is not finite: the input holds values that are not finite".into(),
                ref op => format!(
                    "the map is not finite: `{}` ({}) is the first layer whose values are not",
                    node.name,
                    op.kind()
                ),
            });
        }
    }
    Ok("the map is not finite although all activations are: a gradient overflowed".into())
}

fn any_nonzero(t: &Tensor) -> Result<bool> {
    Ok(to_f32(t)?.iter().any(|v| *v != 0.0))
}
