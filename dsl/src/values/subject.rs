//! Subjects in scripts: classes, layers and their channels, units and directions; sums and differences of them.

use crate::convert::{count, index, numbers};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::graph::{NodeId, ReceptiveField};
use convscope_engine::random::Stream;
use convscope_engine::{Error, Model, Result, Subject, Tensor};
use rhai::{Array, Dynamic, Map};

/// Binds subjects.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Subject>(
        "subject",
        "What is asked about: a class, a class of pixels, a box, a layer, a channel, a unit, a direction, or a \
         weighted sum of these.",
    );
    library.getter("subject.name -> text", "What it is called in results.", |s: &mut Subject| s.to_string());
    library.getter(
        "subject.kind -> text",
        "For a layer its operation (conv2d, relu, ..); else what it is.",
        |s: &mut Subject| kind(s),
    );
    library.getter(
        "layer.shape -> list",
        "A layer's shape for one input: [channels, rows, columns].",
        |s: &mut Subject| {
            let (model, node) = place(s).raise()?;
            Fallible::Ok(list(&model.graph().node(node).shape))
        },
    );
    library.getter(
        "layer.weights -> tensor",
        "A layer's weights; those of a convolution are out x in x rows x columns.",
        |s: &mut Subject| weights(s).raise(),
    );
    library.getter(
        "layer.receptive_field -> map",
        "The receptive field of a layer's unit on the input, px: #{ size, stride, start, whole }.",
        |s: &mut Subject| field(s).raise(),
    );
    library.getter("subject.net -> net", "The net it belongs to.", |s: &mut Subject| s.model().cloned().raise());
    library.getter("subject.index -> number", "The index of a class or a channel.", |s: &mut Subject| match s {
        Subject::Class { index, .. } | Subject::Channel { index, .. } | Subject::PixelClass { index, .. } => {
            Ok(*index as i64)
        }
        other => Err(Error::subject(format!("{other} has no index"))).raise(),
    });
    library.add(
        "layer.channel(i: number) -> subject",
        "A channel: the mean over its positions; of tokens over those of their grid.",
        |s: &mut Subject, i: i64| channel(s, i).raise(),
    );
    library.add(
        "layer.unit(i: number, y: number, x: number) -> subject",
        "One activation: channel, row, column (of tokens on their grid); one number counts the layer's values, the \
         last axis fastest.",
        |s: &mut Subject, i: i64, y: i64, x: i64| unit(s, &[i, y, x]).raise(),
    );
    library.add("layer.unit(i: number) -> subject", "", |s: &mut Subject, i: i64| unit(s, &[i]).raise());
    library.add(
        "layer.direction(values: list) -> subject",
        "A direction in the layer's space: one value a channel, or one for each value of the layer.",
        |s: &mut Subject, values: Dynamic| direction(s, &values).raise(),
    );
    library.add(
        "layer.random_direction(seed: number) -> subject",
        "A random direction of length 1, one value a channel.",
        |s: &mut Subject, seed: i64| random_direction(s, seed).raise(),
    );
    library.also("+", |a: Subject, b: Subject| a.plus(1.0, &b).raise());
    library.also("-", |a: Subject, b: Subject| a.plus(-1.0, &b).raise());
    library.also("*", |a: Subject, k: f64| a.times(k).raise());
    library.also("*", |a: Subject, k: i64| a.times(k as f64).raise());
    library.also("*", |k: f64, a: Subject| a.times(k).raise());
    library.also("*", |k: i64, a: Subject| a.times(k as f64).raise());
    library.also("/", |a: Subject, k: f64| a.times(1.0 / k).raise());
    library.also("/", |a: Subject, k: i64| a.times(1.0 / k as f64).raise());
    library.also("-", |a: Subject| a.times(-1.0).raise());
    library.text::<Subject>(|s| match s {
        Subject::Layer { .. } => format!("{s} ({}, {})", kind(s), shape_text(s)),
        other => other.to_string(),
    });
}

/// The word in the property `kind`: a layer's operation, else the kind of subject.
pub fn kind(subject: &Subject) -> String {
    match subject {
        Subject::Layer { model, node } => model.graph().node(*node).op.kind().to_string(),
        Subject::Model(_) => "net".into(),
        Subject::Models(_) => "nets".into(),
        Subject::Predictions(_) => "predictions".into(),
        Subject::Class { .. } => "class".into(),
        Subject::PixelClass { .. } => "pixel class".into(),
        Subject::Box(_) => "box".into(),
        Subject::Places(_) => "places".into(),
        Subject::Channel { .. } => "channel".into(),
        Subject::Unit { .. } => "unit".into(),
        Subject::Direction { .. } => "direction".into(),
        Subject::Sum(_) => "sum".into(),
    }
}

/// The layer with this index, in the order of `net.layers`.
///
/// # Errors
/// Where there is none.
pub fn layer_at(model: &Model, i: i64) -> Result<Subject> {
    let layers: Vec<NodeId> = model.layers().collect();
    let at = index(i, layers.len(), "layer")?;
    Ok(Subject::Layer { model: model.clone(), node: layers[at] })
}

fn list(shape: &[usize]) -> Array {
    shape.iter().map(|n| Dynamic::from(*n as i64)).collect()
}

fn shape_text(subject: &Subject) -> String {
    place(subject).map_or_else(
        |_| String::new(),
        |(m, n)| m.graph().node(n).shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x "),
    )
}

fn place(subject: &Subject) -> Result<(&Model, NodeId)> {
    match subject {
        Subject::Channel { model, node, .. }
        | Subject::Unit { model, node, .. }
        | Subject::Direction { model, node, .. } => Ok((model, *node)),
        Subject::Class { model, .. } => Ok((model, model.graph().scores())),
        other => other.as_layer(),
    }
}

fn weights(subject: &Subject) -> Result<Tensor> {
    let (model, node) = subject.as_layer()?;
    let op = &model.graph().node(node).op;
    match op.params().first() {
        Some(id) => Ok(model.weights().tensor(*id).clone()),
        None => Err(Error::subject(format!("layer `{subject}` ({}) has no weights", op.kind()))),
    }
}

fn field(subject: &Subject) -> Result<Map> {
    let (model, node) = place(subject)?;
    let local = |size: &[usize], stride: &[usize], start: &[isize]| {
        let start = start.iter().map(|v| Dynamic::from(*v as i64)).collect();
        let entries = [
            ("size", Dynamic::from_array(list(size))),
            ("stride", Dynamic::from_array(list(stride))),
            ("start", Dynamic::from_array(start)),
            ("whole", false.into()),
        ];
        entries.into_iter().map(|(k, v)| (k.into(), v)).collect::<Map>()
    };
    if let Some(field) = model.graph().volume_fields()[node.0] {
        return Ok(local(&field.size, &field.stride, &field.start));
    }
    Ok(match model.graph().field(node) {
        // A signal has one row.
        ReceptiveField::Local { size, stride, start, axes: [None, _] } => local(&size[1..], &stride[1..], &start[1..]),
        ReceptiveField::Local { size, stride, start, .. } => local(&size, &stride, &start),
        ReceptiveField::Whole => [("whole".into(), true.into())].into_iter().collect(),
        ReceptiveField::Nothing => [("whole".into(), false.into())].into_iter().collect(),
    })
}

fn channel(subject: &Subject, i: i64) -> Result<Subject> {
    subject.channel(count(i, "a channel")?)
}

fn unit(subject: &Subject, at: &[i64]) -> Result<Subject> {
    subject.unit(&at.iter().map(|i| count(*i, "a unit's index")).collect::<Result<Vec<_>>>()?)
}

fn direction(subject: &Subject, values: &Dynamic) -> Result<Subject> {
    subject.direction(numbers(values)?.into_iter().map(|v| v as f32).collect())
}

fn random_direction(subject: &Subject, seed: i64) -> Result<Subject> {
    let (model, node) = subject.as_layer()?;
    let layout = model.graph().map_layout(node).filter(|layout| !layout.is_plain());
    let first = model.graph().node(node).shape.first().copied().unwrap_or(1);
    let n = layout.map_or(first, |layout| layout.shape[0]);
    let stream = Stream::new(seed as u64, "direction");
    let values: Vec<f64> = (0..n as u64).map(|i| stream.normal_at(i)).collect();
    let length = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    subject.direction(values.iter().map(|v| (v / length) as f32).collect())
}
