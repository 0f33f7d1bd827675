//! Detectors known by the shapes of their outputs: boxes beside scores, or as many candidates as YOLO's grids have cells.

use super::own_output;
use crate::graph::closing::{Closing, Ending};
use crate::model::Model;
use crate::model::boxes::{BoxDecoding, Squash};

/// Fewer candidates are not taken for boxes.
const FEWEST: usize = 16;

/// How the outputs of a net are boxes, where their shapes say so: an output of N x 4 beside one of N x classes, one output
/// with as many candidates as the cells of strides 8, 16 and 32 are, once or for three anchors, or a map that joins
/// objectness, box and classes.
pub fn recognise(model: &Model) -> Option<BoxDecoding> {
    let &[_, height, width] = model.input_shape() else { return None };
    two(model).or_else(|| one(model, [height, width])).or_else(|| cells(model))
}

/// A map whose channels join an objectness, a box of four and a distribution over classes at each cell.
fn cells(model: &Model) -> Option<BoxDecoding> {
    let &[_, rows, columns] = &model.graph().node(model.graph().output()).shape[..] else { return None };
    let parts = model.joined_heads()?;
    let &[(1, Ending::Sigmoid), (4, Ending::Raw), (classes, Ending::Softmax | Ending::Sigmoid)] = &parts[..] else {
        return None;
    };
    let evidence = format!(
        "the output is taken for objectness, box and {classes} classes at each of {rows} x {columns} cells (\"fastestdet\")"
    );
    BoxDecoding::named("fastestdet").map(|decoding| BoxDecoding { evidence: Some(evidence), ..decoding })
}

fn two(model: &Model) -> Option<BoxDecoding> {
    let names = model.output_names();
    if names.len() != 2 {
        return None;
    }
    let named: Vec<(String, Model)> = names
        .iter()
        .map(|n| (*n).to_string())
        .filter_map(|n| {
            let at = if Some(n.as_str()) == own_output(model) { model.clone() } else { model.output_named(&n).ok()? };
            Some((n, at))
        })
        .collect();
    let shape = |m: &Model| -> Vec<usize> {
        let shape = &m.graph().node(m.graph().output()).shape;
        shape.iter().copied().skip_while(|n| *n == 1).collect()
    };
    let boxes = named.iter().position(|(_, m)| matches!(shape(m)[..], [n, 4] if n >= FEWEST))?;
    let ((box_name, box_net), (name, net)) = (&named[boxes], named.get(1 - boxes)?);
    let n = shape(box_net)[0];
    let classes = match shape(net)[..] {
        [m] if m == n => 1,
        [m, c] if m == n => c,
        _ => return None,
    };
    let closing = net.graph().closing(net.weights());
    let background = (closing == Closing::Softmax && classes > 1).then_some(0);
    let activation = if closing == Closing::Raw { Squash::Sigmoid } else { Squash::None };
    let evidence = format!(
        "the outputs `{name}` and `{box_name}` are taken for {n} candidates' scores{} and boxes (corners in fractions of the input)",
        match (background, activation) {
            (Some(_), _) => " (class 0: nothing is there)",
            (None, Squash::Sigmoid) => " (logits)",
            _ => "",
        }
    );
    Some(BoxDecoding {
        scores: Some(name.clone()),
        boxes: Some(box_name.clone()),
        background,
        activation,
        evidence: Some(evidence),
        ..BoxDecoding::default()
    })
}

fn one(model: &Model, [height, width]: [usize; 2]) -> Option<BoxDecoding> {
    let shape = &model.graph().node(model.graph().output()).shape;
    let dims: Vec<usize> = shape.iter().copied().skip_while(|n| *n == 1).collect();
    let &[a, b] = &dims[..] else { return None };
    let cells: usize = [8, 16, 32].iter().map(|s| (height / s) * (width / s)).sum();
    let (name, what) = if a == 3 * cells && b > 5 {
        ("yolov5", format!("{a} rows of centre, size, objectness and {} classes", b - 5))
    } else if b == cells && a > 4 && b >= FEWEST {
        ("yolov8", format!("{b} columns of centre, size and {} classes", a - 4))
    } else {
        return None;
    };
    let evidence = Some(format!("the output is taken for {what}, in pixels of the input (\"{name}\")"));
    BoxDecoding::named(name).map(|decoding| BoxDecoding { evidence, ..decoding })
}
