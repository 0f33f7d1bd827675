//! Nets in scripts: their layers and classes, predictions, accuracy, copies with ablated channels.

use crate::context::Context;
use crate::convert::{count, input};
use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::data::Image;
use convscope_engine::detect::Detector;
use convscope_engine::inspect::{Ablate as _, Detect as _, Evaluate as _, Segment as _, Summarise as _};
use convscope_engine::model::NetInput;
use convscope_engine::show::Table;
use convscope_engine::subject::{BoxPart, BoxQuery, Over};
use convscope_engine::{Error, Input, Model, Result, Subject, Tensor};
use rhai::{Array, Dynamic, Map};

/// Binds nets.
pub fn bind(library: &mut Library<'_>, context: &Context) {
    library.kind::<Model>("net", "A trained net: as a subject, its most probable class.");
    library.getter("net.name -> text", "What it is called.", |m: &mut Model| m.card().name.clone());
    library.getter("net.layers -> list", "Its layers, from the input to the output.", |m: &mut Model| -> Array {
        let model = m.clone();
        m.layers().map(|node| Dynamic::from(Subject::Layer { model: model.clone(), node })).collect()
    });
    library.getter(
        "net.classes -> list",
        "The names of its classes, in the order of its outputs.",
        |m: &mut Model| -> Array {
            let n = m.classes_len().max(m.card().classes.len());
            (0..n).map(|i| Dynamic::from(m.card().class_name(i))).collect()
        },
    );
    library.getter(
        "net.outputs -> list",
        "The names of its outputs; the net is read at one of them.",
        |m: &mut Model| -> Array { m.output_names().into_iter().map(|n| Dynamic::from(n.to_string())).collect() },
    );
    library.add(
        "net.output(name: text) -> net",
        "The same net, read at another of its outputs.",
        |m: &mut Model, name: &str| m.output_named(name).raise(),
    );
    library.add(
        "net.output(name: text, labels: list) -> net",
        "The same, with the names of that output's classes.",
        |m: &mut Model, name: &str, labels: Array| output_labelled(m, name, labels).raise(),
    );
    library.getter(
        "net.inputs -> list",
        "Its inputs, a map each: name, shape of one sample, asked (whether photos go there) and given (whether it is \
         held at a value).",
        |m: &mut Model| -> Array { m.inputs().into_iter().map(net_input).collect() },
    );
    library.add(
        "net.input(name: text) -> net",
        "The same net with another of its inputs as the asked one; the former is then given in a map, #{ name: .. }, \
         or held by `net.given`.",
        |m: &mut Model, name: &str| m.asked_with(name).raise(),
    );
    library.add(
        "net.given(inputs: map) -> net",
        "The same net with inputs held at values, so that it is used like a net of one input: arrays, lists, numbers, or photos \
         where an input is one.",
        |m: &mut Model, map: Map| given(m, map).raise(),
    );
    library.add(
        "net.float() -> net",
        "The float version of a quantised net: the same weights, values without rounding.",
        |m: &mut Model| m.dequantised().raise(),
    );
    library
        .getter("net.card -> map", "Its card: source, licence, notes, preprocessing, digest.", |m: &mut Model| card(m));
    library.getter("net.input_size -> list", "[rows, columns] of its input, px.", |m: &mut Model| -> Array {
        m.input_shape().iter().skip(1).map(|n| Dynamic::from(*n as i64)).collect()
    });
    library.add(
        "net.layer(name: text) -> layer",
        "The layer of that name, or number i of `net.layers`.",
        |m: &mut Model, name: &str| Subject::layer(m, name).raise(),
    );
    library.add("net.layer(i: number) -> layer", "", |m: &mut Model, i: i64| super::subject::layer_at(m, i).raise());
    library.add(
        "net.class(name: text) -> subject",
        "A class by its name (but for case), a synonym, or the first letters of a word that only one class has; or \
         by its index.",
        |m: &mut Model, name: &str| Subject::class(m, name).raise(),
    );
    library.add("net.class(index: number) -> subject", "", |m: &mut Model, i: i64| class_at(m, i).raise());
    library.add(
        "net.pixel_class(class) -> subject",
        "A class of a net whose output is a map of classes (segmentation), by name or index: the sum of its raw scores over all places; \
         options: mask (\"predicted\": where the class wins; or an image or tensor that is not zero inside), region ([left, top, width, \
         height]) or point ([x, y]), in the photo's px.",
        |m: &mut Model, class: Dynamic| pixel_class(m, &class, &Map::new()).raise(),
    );
    library.add("net.pixel_class(class, options: map) -> subject", "", |m: &mut Model, class: Dynamic, o: Map| {
        pixel_class(m, &class, &o).raise()
    });
    detections(library, context);
    library.add(
        "net.forward(x) -> tensor",
        "The graph's raw output for an image, a tensor, or a map of these by the names of its inputs.",
        |m: &mut Model, x: Dynamic| forward(m, &x).raise(),
    );
    library.add(
        "net.preprocess(image) -> tensor",
        "The photo as the net sees it, C x H x W.",
        |m: &mut Model, image: Image| m.card().preprocess().and_then(|p| p.apply(&image)).raise(),
    );
    library.add(
        "net.unpreprocess(x: tensor) -> image",
        "The picture that a preprocessed tensor shows.",
        |m: &mut Model, x: Tensor| m.card().preprocess().and_then(|p| p.undo(&x)).raise(),
    );
    predictions(library, context);
    library.add(
        "net.ablate(subject) -> net",
        "The net without some channels: a channel's values, or all of a layer's, are zero wherever they are read.",
        |m: &mut Model, s: Subject| m.ablate(&[s]).raise(),
    );
    library.add("net.ablate(subjects: list) -> net", "", |m: &mut Model, list: Array| {
        list.iter().map(crate::convert::subject).collect::<Result<Vec<_>>>().and_then(|s| m.ablate(&s)).raise()
    });
    library.add(
        "net.summary() -> artifact",
        "Its layers with shapes, parameters, operations and receptive fields.",
        |m: &mut Model| m.summary(),
    );
    library.text::<Model>(|m| {
        let shape = m.input_shape().iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
        let (layers, params) = (m.layers().count(), m.weights().count());
        format!("{}: {layers} layers, {params} parameters, input {shape}, {} outputs", m.card().name, m.output_len())
    });
}

fn detections(library: &mut Library<'_>, context: &Context) {
    library.add(
        "net.segment(image) -> artifact",
        "The class that wins at each place, over the photo with a legend, and each class's share of the places.",
        |m: &mut Model, x: Dynamic| placed(m, &x).and_then(|(m, x)| m.segment(&x)).raise(),
    );
    library.add(
        "net.boxes(image) -> table",
        "What a detector finds, best first: class, index, score, objectness, x, y, w, h (left and upper edge, width, \
         height in the photo's px).",
        |m: &mut Model, x: Dynamic| placed(m, &x).and_then(|(m, x)| m.boxes(&x)).raise(),
    );
    library.add("net.detect(image) -> artifact", "The same boxes on the photo.", |m: &mut Model, x: Dynamic| {
        placed(m, &x).and_then(|(m, x)| m.detect(&x)).raise()
    });
    library.add(
        "net.box(i: number) -> subject",
        "A box that a detector finds, by its number, best first: the raw score of its class. A box of an image is \
         that box for other inputs, too. Option of: \"class\", \"objectness\", \"x\", \"y\", \"w\" or \"h\".",
        |m: &mut Model, i: i64| boxed(m, i, None, &Map::new()).raise(),
    );
    library.add("net.box(i: number, image) -> subject", "", |m: &mut Model, i: i64, x: Dynamic| {
        match x.read_lock::<Map>() {
            Some(options) => boxed(m, i, None, &options).raise(),
            None => boxed(m, i, Some(&x), &Map::new()).raise(),
        }
    });
    library.add(
        "net.box(i: number, image, options: map) -> subject",
        "",
        |m: &mut Model, i: i64, x: Dynamic, o: Map| boxed(m, i, Some(&x), &o).raise(),
    );
    let job = context.job.clone();
    library.add(
        "net.average_precision(data) -> artifact",
        "COCO's average precision of a detector over images whose objects are known; `net.accuracy(data)` is the \
         same for a detector.",
        move |m: &mut Model, d: Dynamic| super::data::of(&d).and_then(|d| m.average_precision(&d, &job)).raise(),
    );
}

/// An error where an option is not one of the method's.
fn unknown_option(options: &Map, of: &str, known: &[&str]) -> Result<()> {
    let Some(name) = options.keys().find(|k| !known.contains(&k.as_str())) else { return Ok(()) };
    let list: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
    Err(Error::not_found(format!("`{of}` has no option `{name}`")).hint(format!("the options are {}", list.join(", "))))
}

fn pixel_class(model: &Model, class: &Dynamic, options: &Map) -> Result<Subject> {
    unknown_option(options, "net.pixel_class", &["mask", "region", "point"])?;
    if options.len() > 1 {
        return Err(
            Error::value("several places for one class of pixels").hint("give one of `mask`, `region` and `point`")
        );
    }
    let places = |value: &Dynamic, what: &str, n: usize| {
        let values = crate::convert::numbers(value).map_err(|e| e.context(format!("option `{what}`")))?;
        if values.len() == n {
            Ok(values)
        } else {
            Err(Error::value(format!("option `{what}` takes {n} numbers, got {}", values.len())))
        }
    };
    let over = match options.iter().next() {
        None => Over::Whole,
        Some((name, value)) if name == "region" => {
            let v = places(value, "region", 4)?;
            Over::Region([v[0], v[1], v[2], v[3]])
        }
        Some((name, value)) if name == "point" => {
            let v = places(value, "point", 2)?;
            Over::Point([v[0], v[1]])
        }
        Some((_, value)) => mask(value)?,
    };
    match (class.as_int(), class.is_string()) {
        (Ok(i), _) => Subject::pixel_class_at(model, count(i, "a class's index")?, over),
        (_, true) => Subject::pixel_class(model, &class.to_string(), over),
        _ => Err(Error::value(format!("expected a class's name or index, got {}", crate::convert::kind(class)))),
    }
}

fn mask(value: &Dynamic) -> Result<Over> {
    if let Some(image) = crate::convert::cast::<Image>(value) {
        return Ok(Over::of_image(&image));
    }
    match (value.is_string(), input(value)) {
        (true, _) if value.to_string() == "predicted" => Ok(Over::Predicted),
        (false, Ok(Input::Tensor(t))) => Over::of_tensor(&t),
        _ => Err(Error::value(
            "option `mask` of `net.pixel_class` takes \"predicted\", an image or a tensor of rows x columns",
        )),
    }
}

fn boxed(model: &Model, i: i64, at: Option<&Dynamic>, options: &Map) -> Result<Subject> {
    unknown_option(options, "net.box", &["of"])?;
    let part = match options.get("of") {
        Some(word) if word.is_string() => BoxPart::of(&word.to_string())?,
        Some(other) => {
            return Err(Error::value(format!(
                "option `of` of `net.box` takes a text, got {}",
                crate::convert::kind(other)
            )));
        }
        None => BoxPart::Class,
    };
    let number = count(i, "a box's number")?;
    let detector = Detector::new(model)?;
    let query = BoxQuery { model: model.clone(), number, part, found: None };
    let found = match at {
        Some(x) => Some(query.find(&detector, &input(x)?.prepared(model)?.x)?),
        None => None,
    };
    Ok(Subject::Box(BoxQuery { found, ..query }))
}

fn predictions(library: &mut Library<'_>, context: &Context) {
    let job = context.job.clone();
    library.add(
        "net.predict(input) -> table",
        "The k most probable classes (5 unless said otherwise): class, index, probability; for a data set a row an image: \
         file, label, class, index, probability.",
        move |m: &mut Model, x: Dynamic| predict(m, &x, 5, &job).raise(),
    );
    let job = context.job.clone();
    library.add("net.predict(input, k: number) -> table", "", move |m: &mut Model, x: Dynamic, k: i64| {
        count(k, "k").and_then(|k| predict(m, &x, k, &job)).raise()
    });
    let job = context.job.clone();
    library.add(
        "net.probability(input, class) -> number",
        "The probability of a class, given by name, index or as a subject; for a data set a tensor, one value an image.",
        move |m: &mut Model, x: Dynamic, class: Dynamic| probability(m, &x, &class, &job).raise(),
    );
    let job = context.job.clone();
    library.add(
        "net.accuracy(data) -> artifact",
        "How often the label is the most probable class (top1) and among the five most probable (top5), with 95 % \
         Wilson intervals.",
        move |m: &mut Model, d: Dynamic| super::data::of(&d).and_then(|d| m.accuracy(&d, &job)).raise(),
    );
    let job = context.job.clone();
    library.add(
        "net.confusion(data) -> artifact",
        "How often each label is classified as each class.",
        move |m: &mut Model, d: Dynamic| super::data::of(&d).and_then(|d| m.confusion(&d, &job)).raise(),
    );
}

fn class_at(model: &Model, i: i64) -> Result<Subject> {
    if i < 0 {
        let n = model.scores_len();
        return Err(Error::value(format!(
            "class {i} of `{}`: indexes count from 0, not from the end",
            model.card().name
        ))
        .hint(format!("the last class is net.class({})", n.saturating_sub(1))));
    }
    Subject::class_at(model, count(i, "a class's index")?)
}

fn class_index(model: &Model, class: &Dynamic) -> Result<usize> {
    if let Some(Subject::Class { index, .. }) = crate::convert::cast::<Subject>(class) {
        return Ok(index);
    }
    let subject = match (class.as_int(), class.is_string()) {
        (Ok(i), _) => class_at(model, i)?,
        (_, true) => Subject::class(model, &class.to_string())?,
        _ => return Err(Error::value(format!("expected a class, got {}", crate::convert::kind(class)))),
    };
    match subject {
        Subject::Class { index, .. } => Ok(index),
        _ => Err(Error::internal("a class is no class")),
    }
}

/// The description of one of a net's inputs.
fn net_input(input: NetInput) -> Dynamic {
    let shape: Array = input.shape.iter().map(|n| Dynamic::from(*n as i64)).collect();
    let entries: [(&str, Dynamic); 4] = [
        ("name", input.name.into()),
        ("shape", shape.into()),
        ("asked", input.is_asked.into()),
        ("given", input.is_held.into()),
    ];
    Dynamic::from_map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
}

fn output_labelled(model: &Model, name: &str, labels: Array) -> Result<Model> {
    let net = model.output_named(name)?;
    let text = |v: Dynamic| v.into_string().map_err(|kind| Error::value(format!("a label is a text, got {kind}")));
    let labels = labels.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    let card = net.card().clone().with_labels(&labels, convscope_engine::load::labelled(&net)?)?;
    Ok(net.with_card(card))
}

fn given(model: &Model, map: Map) -> Result<Model> {
    let Input::Several(values) = input(&Dynamic::from_map(map))? else {
        return Err(Error::value("`net.given` takes a map of inputs by name"));
    };
    let values = values.iter().map(|(name, value)| Ok((name.as_str(), value.held(model, name)?)));
    model.given(values.collect::<Result<Vec<_>>>()?)
}

/// The net with its other inputs held at given values, and the value of the remaining input.
fn placed(model: &Model, x: &Dynamic) -> Result<(Model, Input)> {
    input(x)?.placed(model)
}

fn forward(model: &Model, x: &Dynamic) -> Result<Tensor> {
    let (model, x) = placed(model, x)?;
    let x = match x {
        Input::Tensor(t) => model.batched(&t)?,
        other => other.prepared(&model)?.x,
    };
    let out = model.output(&x)?;
    if out.dims()[0] == 1 { Ok(out.squeeze(0)?) } else { Ok(out) }
}

fn predict(model: &Model, x: &Dynamic, k: usize, job: &convscope_engine::Job) -> Result<Table> {
    let (model, x) = placed(model, x)?;
    match x {
        Input::Data(data) => model.predict_all(&data, job),
        one => model.predict(&one, k),
    }
}

fn probability(model: &Model, x: &Dynamic, class: &Dynamic, job: &convscope_engine::Job) -> Result<Dynamic> {
    model.classes_readout()?;
    let index = class_index(model, class)?;
    let (model, x) = placed(model, x)?;
    match x {
        Input::Data(data) => {
            let (all, report) = model.probabilities_of(&data, job)?;
            if let Some(note) = report.note() {
                job.note(&note);
            }
            let values: Vec<f64> = all.iter().flatten().map(|p| p[index]).collect();
            let n = values.len();
            Ok(Dynamic::from(super::tensor::of(values, &[n])?))
        }
        one => Ok(model.probabilities(&one.prepared(&model)?.x)?[0][index].into()),
    }
}

fn card(model: &Model) -> Map {
    let json = serde_json::to_value(model.card()).unwrap_or_default();
    let mut map = Map::new();
    for (name, value) in json.as_object().into_iter().flatten().filter(|(k, _)| *k != "classes") {
        map.insert(name.as_str().into(), from_json(value));
    }
    map
}

fn from_json(value: &serde_json::Value) -> Dynamic {
    use serde_json::Value as J;
    match value {
        J::Null => Dynamic::UNIT,
        J::Bool(b) => (*b).into(),
        J::Number(n) => n.as_i64().map_or_else(|| n.as_f64().unwrap_or(f64::NAN).into(), Dynamic::from),
        J::String(s) => s.clone().into(),
        J::Array(a) => Dynamic::from_array(a.iter().map(from_json).collect()),
        J::Object(o) => Dynamic::from_map(o.iter().map(|(k, v)| (k.as_str().into(), from_json(v))).collect()),
    }
}
