//! What an attack reports: success before and after rounding to 8 bits, distortions, labels, and the perturbation
//! magnified.

use super::{Attack, AttackInputs, Outcome};
use crate::ascent::Aim;
use crate::data::Image;
use crate::error::Result;
use crate::show::table::short;
use crate::show::{Artifact, Cell, Part, Pictures, Table};
use crate::stats::{Z95, median, wilson};
use crate::subject::argmax;
use crate::tensor::tensor;
use rayon::prelude::*;

/// Images of a data set whose pictures are shown.
const SHOWN_IMAGES: usize = 6;

/// The artifact of an attack.
///
/// # Errors
/// Where a picture cannot be made.
pub fn artifact(attack: &dyn Attack, inputs: &AttackInputs, outcomes: &[Outcome]) -> Result<Artifact> {
    let net = &inputs.model.card().name;
    let title = match inputs.single {
        true => format!("{} on an image, {net}", attack.name()),
        false => format!("{} on {} images, {net}", attack.name(), outcomes.len()),
    };
    let mut artifact = Artifact::new(title).part(pictures(inputs, outcomes)?);
    artifact = if inputs.single { single(inputs, outcomes, artifact)? } else { many(inputs, outcomes, artifact)? };
    artifact = arrays(inputs, outcomes, artifact)?;
    if let Some((norm, eps)) = attack.budget() {
        artifact =
            artifact.note(format!("budget: {} at most {}, in pixel values from 0 to 255", word(norm), short(eps)));
    }
    Ok(artifact.note("success is judged on the picture rounded to 8 bits, saved as a PNG and read again"))
}

fn word(norm: super::Norm) -> &'static str {
    match norm {
        super::Norm::Linf => "linf",
        super::Norm::L2 => "l2",
    }
}

fn seen(inputs: &AttackInputs, scores: &[f64]) -> (usize, f64, String) {
    let class = argmax(scores);
    let readout = inputs.model.readout();
    let probability = readout.of_decision(scores)[class] / readout.certainty();
    (class, probability, format!("{} {}", inputs.model.card().class_name(class), percent(probability)))
}

fn percent(p: f64) -> String {
    format!("{:.1} %", 100.0 * p)
}

fn pictures(inputs: &AttackInputs, outcomes: &[Outcome]) -> Result<Part> {
    let mut images = Vec::new();
    let shown = if inputs.single { 1 } else { SHOWN_IMAGES };
    let factor = factor(inputs, &outcomes[..shown.min(outcomes.len())]);
    for (n, j) in outcomes.iter().enumerate().take(shown) {
        let clean = inputs.space.picture(&inputs.model, &inputs.space.to_net(inputs.image(n)))?;
        images.push((clean, seen(inputs, &inputs.clean[n]).2));
        images.push((j.picture.clone(), seen(inputs, &j.scores[1]).2));
        images.push((magnified(inputs, n, j, factor)?, format!("change × {factor}, around grey")));
    }
    let title = if inputs.single { "" } else { "clean, adversarial (8 bits), change" };
    Ok(Part::Pictures(Pictures { title: title.into(), images, columns: Some(3) }))
}

/// The whole number by which all changes that are shown can be enlarged around mid grey: one for all, so that they compare.
fn factor(inputs: &AttackInputs, outcomes: &[Outcome]) -> usize {
    let of = |(n, j): (usize, &Outcome)| {
        j.rounded.iter().zip(inputs.image(n)).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()))
    };
    let largest = outcomes.iter().enumerate().map(of).fold(0.0, f64::max);
    if largest > 0.0 { (127.0 / largest).floor().max(1.0) as usize } else { 1 }
}

/// The 8-bit perturbation around mid grey, enlarged by `factor`.
fn magnified(inputs: &AttackInputs, n: usize, j: &Outcome, factor: usize) -> Result<Image> {
    let changed = j.rounded.iter().zip(inputs.image(n));
    let pixels: Vec<f64> = changed.map(|(a, b)| 128.0 + factor as f64 * (a - b)).collect();
    inputs.space.picture(&inputs.model, &inputs.space.to_net(&pixels))
}

fn single(inputs: &AttackInputs, outcomes: &[Outcome], mut artifact: Artifact) -> Result<Artifact> {
    let Some(j) = outcomes.first() else { return Ok(artifact) };
    let card = inputs.model.card();
    let aim = match inputs.aims[0] {
        Aim::Not(class) => format!("not {}", card.class_name(class)),
        Aim::Be(class) => card.class_name(class),
    };
    let mut table = Table::new(["image", "success", "taken for", "probability", "linf", "l2", "rms"]);
    let (_, p, _) = seen(inputs, &inputs.clean[0]);
    table.push([
        "clean".into(),
        Cell::Nothing,
        card.class_name(argmax(&inputs.clean[0])).into(),
        p.into(),
        Cell::Nothing,
        Cell::Nothing,
        Cell::Nothing,
    ]);
    for (i, name) in ["adversarial, float", "adversarial, 8-bit PNG"].into_iter().enumerate() {
        let (class, p, _) = seen(inputs, &j.scores[i]);
        let d = j.distortion[i];
        table.push([
            name.into(),
            j.success[i].into(),
            card.class_name(class).into(),
            p.into(),
            d.linf.into(),
            d.l2.into(),
            d.rms.into(),
        ]);
    }
    artifact = artifact.part(Part::Table(format!("aim: {aim}"), table));
    if !inputs.right(0) {
        artifact = artifact.note(format!(
            "the clean prediction is already wrong: {} instead of {}",
            card.class_name(argmax(&inputs.clean[0])),
            card.class_name(inputs.labels[0])
        ));
    } else if !inputs.given[0] {
        artifact = artifact.note(format!(
            "the image has no label; the net's prediction, {}, counts as right",
            card.class_name(inputs.labels[0])
        ));
    }
    Ok(artifact.note("linf, l2 and rms are in pixel values from 0 to 255"))
}

fn many(inputs: &AttackInputs, outcomes: &[Outcome], mut artifact: Artifact) -> Result<Artifact> {
    let card = inputs.model.card();
    let mut rows = Table::new([
        "image",
        "label",
        "clean prediction",
        "aim",
        "taken for",
        "success float",
        "success 8 bit",
        "linf",
        "l2",
        "rms",
        "linf 8 bit",
        "l2 8 bit",
        "rms 8 bit",
    ]);
    for (n, j) in outcomes.iter().enumerate() {
        let aim = match inputs.aims[n] {
            Aim::Not(_) => "any other".to_string(),
            Aim::Be(class) => card.class_name(class),
        };
        let [a, b] = j.distortion;
        rows.push([
            inputs.names[n].as_str().into(),
            card.class_name(inputs.labels[n]).into(),
            card.class_name(argmax(&inputs.clean[n])).into(),
            aim.into(),
            card.class_name(argmax(&j.scores[1])).into(),
            j.success[0].into(),
            j.success[1].into(),
            a.linf.into(),
            a.l2.into(),
            a.rms.into(),
            b.linf.into(),
            b.l2.into(),
            b.rms.into(),
        ]);
    }
    let right: Vec<usize> = (0..outcomes.len()).filter(|n| inputs.right(*n)).collect();
    let mut table = Table::new(["", "fooled", "of", "share", "low", "high", "median linf", "median l2", "median rms"]);
    for (i, name) in ["float", "8-bit PNG"].into_iter().enumerate() {
        let fooled: Vec<usize> = right.iter().copied().filter(|n| outcomes[*n].success[i]).collect();
        let (low, high) = wilson(fooled.len(), right.len(), Z95);
        let middle = |pick: fn(&super::Distortion) -> f64| {
            let values: Vec<f64> = fooled.iter().map(|n| pick(&outcomes[*n].distortion[i])).collect();
            if values.is_empty() { Cell::Nothing } else { median(&values).into() }
        };
        let share = fooled.len() as f64 / right.len().max(1) as f64;
        table.push([
            name.into(),
            fooled.len().into(),
            right.len().into(),
            share.into(),
            low.into(),
            high.into(),
            middle(|d| d.linf),
            middle(|d| d.l2),
            middle(|d| d.rms),
        ]);
        let key = ["success_rate_float", "success_rate"][i];
        artifact = artifact.array(key, tensor(vec![share], &[1])?);
    }
    let wrong = outcomes.len() - right.len();
    if wrong > 0 {
        artifact = artifact.note(format!(
            "{wrong} of {} clean predictions are already wrong; shares and medians leave them out",
            outcomes.len()
        ));
    }
    Ok(artifact
        .part(Part::Table("of the images that the net gets right".into(), table))
        .part(Part::Table("each image".into(), rows))
        .note(
            "intervals are Wilson's, 95 %; linf, l2 and rms are in pixel values from 0 to 255; medians over the fooled",
        ))
}

fn arrays(inputs: &AttackInputs, outcomes: &[Outcome], artifact: Artifact) -> Result<Artifact> {
    let f = inputs.space.frame;
    let n = outcomes.len();
    let dims = [n, f.channels, f.height, f.width];
    let dims = if inputs.single { &dims[1..] } else { &dims[..] };
    let stack = |of: &(dyn Fn(usize, &Outcome) -> Vec<f64> + Sync)| {
        let images = outcomes.par_iter().enumerate();
        let values = images.flat_map_iter(|(n, j)| of(n, j).into_iter().map(|v| v as f32));
        tensor(values.collect::<Vec<f32>>(), dims)
    };
    let each = |f: &dyn Fn(&Outcome) -> f64| tensor(outcomes.iter().map(f).collect::<Vec<f64>>(), &[n]);
    let mut artifact = artifact;
    if inputs.single && n == 0 {
        return Ok(artifact);
    }
    let change = |n: usize, j: &Outcome| j.rounded.iter().zip(inputs.image(n)).map(|(a, b)| a - b).collect();
    artifact = artifact
        .array("adversarial", stack(&|_, j| inputs.space.to_net(&j.rounded))?)
        .array("adversarial_float", stack(&|_, j| inputs.space.to_net(&j.float))?)
        .array("perturbation", stack(&change)?);
    for (i, suffix) in ["_float", ""].into_iter().enumerate() {
        artifact = artifact
            .array(&format!("success{suffix}"), each(&|j| f64::from(u8::from(j.success[i])))?)
            .array(&format!("linf{suffix}"), each(&|j| j.distortion[i].linf)?)
            .array(&format!("l2{suffix}"), each(&|j| j.distortion[i].l2)?)
            .array(&format!("rms{suffix}"), each(&|j| j.distortion[i].rms)?)
            .array(&format!("class{suffix}"), each(&|j| argmax(&j.scores[i]) as f64)?);
    }
    let right: Vec<f64> = (0..n).map(|n| f64::from(u8::from(inputs.right(n)))).collect();
    artifact.primary = if inputs.single { "adversarial".into() } else { "success".into() };
    Ok(artifact.array("clean_right", tensor(right, &[n])?))
}
