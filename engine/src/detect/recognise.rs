//! Detectors recognised by the shapes of their outputs: boxes beside scores, or as many candidates as YOLO's grids have cells.

use super::own_output;
use crate::graph::closing::{Closing, Ending};
use crate::graph::op::Binary;
use crate::graph::{Graph, NodeId, Op};
use crate::model::Model;
use crate::model::boxes::{BoxDecoding, Squash};
use crate::tensor::to_f64;

/// The number of candidates below which an output is not taken for boxes.
const MIN_CANDIDATES: usize = 16;

/// How the outputs of a net are boxes, where their shapes say so: an output of N x 4 beside one of N x classes (where sigmoids end
/// the boxes, those of a transformer's queries), one output
/// with as many candidates as the cells of strides 8, 16 and 32 are, once or for three anchors, or a map that joins
/// objectness, box and classes.
pub fn recognise(model: &Model) -> Option<BoxDecoding> {
    recognise_with(model, None)
}

/// As [`recognise`], where so many `names` of classes are known.
pub fn recognise_with(model: &Model, names: Option<usize>) -> Option<BoxDecoding> {
    let &[_, height, width] = model.input_shape() else { return None };
    queries(model).or_else(|| two(model)).or_else(|| one(model, [height, width], names)).or_else(|| cells(model))
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

/// Boxes of a transformer's queries: four sigmoids, centre and size, beside raw scores; other outputs of such nets are
/// distinguished by their names.
fn queries(model: &Model) -> Option<BoxDecoding> {
    let all: Vec<(String, Model, Vec<usize>)> =
        named(model).into_iter().map(|(n, m)| (n, m.clone(), dims(&m))).collect();
    let is_called = |name: &str, parts: &[&str]| parts.iter().any(|part| name.to_lowercase().contains(part));
    let is_box = |(name, net, dims): &&(String, Model, Vec<usize>)| {
        let ends = matches!(net.graph().closing(net.weights()), Closing::Probability { low, high, .. } if low >= 0.0 && high <= 1.0);
        matches!(dims[..], [n, 4] if n > 4) && ends && (all.len() == 2 || is_called(name, &["box"]))
    };
    let (box_name, _, box_dims) = all.iter().find(is_box)?;
    let n = box_dims[0];
    let is_score = |(name, net, dims): &&(String, Model, Vec<usize>)| {
        let fits = matches!(dims[..], [m, _] if m == n) && name != box_name;
        let raw = net.graph().closing(net.weights()) == Closing::Raw;
        fits && raw && (all.len() == 2 || is_called(name, &["logit", "score", "class", "cls"]))
    };
    let (name, net, _) = all.iter().find(is_score)?;
    let independent = has_focal_bias(net);
    let (decoding, what) = match independent {
        true => ("rtdetr", "logits of independent classes, whose biases are those of a focal loss"),
        false => ("detr", "logits, the last of which says that nothing is there"),
    };
    let evidence = format!(
        "the outputs `{name}` and `{box_name}` are taken for {n} queries' {what}, and boxes (centre and size in fractions of the input) \
         (\"{decoding}\")"
    );
    let (scores, boxes) = (Some(name.clone()), Some(box_name.clone()));
    BoxDecoding::named(decoding).map(|d| BoxDecoding { scores, boxes, evidence: Some(evidence), ..d })
}

/// Whether the scores have the bias of a small probability, as in nets trained with a focal loss (Lin et al. 2017, section 3.3:
/// -4.6): such nets have no class for the background.
fn has_focal_bias(net: &Model) -> bool {
    let graph = net.graph();
    let mut at = graph.output();
    while matches!(graph.node(at).op, Op::Reshape(_) | Op::Transpose(_) | Op::Identity | Op::Select { .. }) {
        at = graph.node(at).inputs[0];
    }
    let node = graph.node(at);
    let bias = match node.op {
        Op::Linear { bias, .. } => bias,
        Op::Binary(Binary::Add) => node.inputs.iter().find_map(|id| match graph.node(*id).op {
            Op::Constant(id) => Some(id),
            _ => None,
        }),
        _ => None,
    };
    let values = bias.and_then(|id| to_f64(net.weights().tensor(id)).ok()).unwrap_or_default();
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    !values.is_empty() && largest < -1.0
}

/// The net at each of its outputs, with the output's name.
fn named(model: &Model) -> Vec<(String, Model)> {
    let at = |name: &str| match Some(name) == own_output(model) {
        true => Some(model.clone()),
        false => model.output_named(name).ok(),
    };
    model.output_names().into_iter().filter_map(|name| Some((name.to_string(), at(name)?))).collect()
}

/// The shape of a net's output, without axes of one before the others.
fn dims(model: &Model) -> Vec<usize> {
    let shape = &model.graph().node(model.graph().output()).shape;
    shape.iter().copied().skip_while(|n| *n == 1).collect()
}

/// Boxes beside scores of as many candidates. Of several outputs that might be the scores, as where key points are a third, the one that
/// ends in probabilities, or is called so.
fn two(model: &Model) -> Option<BoxDecoding> {
    let named = named(model);
    let is_box = |(_, m): &&(String, Model)| matches!(dims(m)[..], [n, 4] if n >= MIN_CANDIDATES);
    let mut all = named.iter().filter(is_box);
    // Of boxes on several grids none is all.
    let (box_name, box_net) = all.next().filter(|first| {
        let others: Vec<&(String, Model)> = all.collect();
        others.is_empty() || (named.len() == 2 && others.iter().all(|o| o.0 != first.0))
    })?;
    let n = dims(box_net)[0];
    let counts = |m: &Model| match dims(m)[..] {
        [m] if m == n => Some(1),
        [m, c] if m == n => Some(c),
        _ => None,
    };
    let beside: Vec<&(String, Model)> =
        named.iter().filter(|(name, m)| name != box_name && counts(m).is_some()).collect();
    let (name, net) = match beside[..] {
        [only] => only,
        _ => {
            let ends =
                |m: &Model| matches!(m.graph().closing(m.weights()), Closing::Softmax | Closing::Probability { .. });
            let sure: Vec<&(String, Model)> = beside.iter().copied().filter(|(_, m)| ends(m)).collect();
            let called = |name: &str| {
                ["score", "conf", "cls", "class", "prob"].iter().any(|part| name.to_lowercase().contains(part))
            };
            let of_name: Vec<&(String, Model)> = beside.iter().copied().filter(|(name, _)| called(name)).collect();
            match (&sure[..], &of_name[..]) {
                ([one], _) | ([], [one]) => *one,
                _ => return None,
            }
        }
    };
    let classes = counts(net)?;
    let closing = net.graph().closing(net.weights());
    let background = (closing == Closing::Softmax && classes > 1).then_some(0);
    let activation = if closing == Closing::Raw { Squash::Sigmoid } else { Squash::None };
    let evidence = format!(
        "the outputs `{name}` and `{box_name}` are taken for {n} candidates' scores{} and boxes (corners in fractions of the input{})",
        match (background, activation) {
            (Some(_), _) => " (class 0: nothing is there)",
            (None, Squash::Sigmoid) => " (logits)",
            _ => "",
        },
        match named.len() {
            2 => "",
            _ => "; other outputs are left out, and offsets from anchors need `anchors` and a `code`",
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

fn one(model: &Model, [height, width]: [usize; 2], names: Option<usize>) -> Option<BoxDecoding> {
    let &[a, b] = &dims(model)[..] else { return None };
    let cells: usize = [8, 16, 32].iter().map(|s| (height / s) * (width / s)).sum();
    let (name, numbers, first) = if a == 3 * cells && b > 5 {
        ("yolov5", b, 5)
    } else if b == cells && a > 4 && b >= MIN_CANDIDATES {
        ("yolov8", a, 4)
    } else {
        return None;
    };
    let classes = classes_of(model, numbers, first, names);
    let extra = numbers - first - classes;
    let what = match name {
        "yolov5" => format!("{a} rows of centre, size, objectness and {classes} classes"),
        _ => format!("{b} columns of centre, size and {classes} classes"),
    };
    let more = match extra {
        0 => String::new(),
        n => format!("; {n} further numbers a box (of a mask, key points or an angle) are left out"),
    };
    let evidence = Some(format!("the output is taken for {what}, in pixels of the input (\"{name}\"){more}"));
    let classes = (extra > 0).then_some(classes);
    BoxDecoding::named(name).map(|decoding| BoxDecoding { classes, evidence, ..decoding })
}

/// How many of the `numbers` of a candidate are classes, from number `first` on: those that end in a sigmoid, where the graph
/// joins them with others; else as many as there are names; else all but those that an output of prototypes of masks has.
fn classes_of(model: &Model, numbers: usize, first: usize, names: Option<usize>) -> usize {
    let rest = numbers - first;
    let graph = model.graph();
    let parts = parts(graph, graph.output(), numbers);
    let before = |k: usize| parts[..k].iter().map(|(n, _)| n).sum::<usize>();
    // Objectness, where there is one, is a sigmoid before the classes.
    let start = (0..parts.len()).find(|k| before(*k) == 4).filter(|k| parts[*k].1 == Ending::Sigmoid);
    if let Some(start) = start {
        let squashed = parts[start..].iter().take_while(|(_, ending)| *ending == Ending::Sigmoid);
        let width = match first {
            4 => parts[start].0,
            _ => squashed.map(|(n, _)| n).sum(),
        };
        if let Some(classes) = (4 + width).checked_sub(first).filter(|n| *n > 0 && *n <= rest) {
            return classes;
        }
    }
    if let Some(names) = names.filter(|n| (1..rest).contains(n)) {
        return names;
    }
    let prototypes = named(model).iter().find_map(|(_, other)| match dims(other)[..] {
        [n, rows, columns] if rows * columns > 1 && (1..rest).contains(&n) => Some(n),
        _ => None,
    });
    rest - prototypes.unwrap_or(0)
}

/// The parts that a graph joins to the `width` numbers of each candidate, and how each ends. Where candidates of several grids are
/// joined, those of the first.
fn parts(graph: &Graph, id: NodeId, width: usize) -> Vec<(usize, Ending)> {
    let id = graph.through_shapes(id);
    let node = graph.node(id);
    match node.op {
        Op::Concat { axis } if node.shape[axis] == width => {
            node.inputs.iter().flat_map(|input| parts(graph, *input, graph.node(*input).shape[axis])).collect()
        }
        Op::Concat { .. } => parts(graph, node.inputs[0], width),
        _ => vec![(width, graph.ending(id))],
    }
}
