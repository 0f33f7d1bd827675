//! Reads ONNX nets (opset 7 and later): the file's nodes become nodes of the graph, constants are folded, and shape arithmetic is
//! evaluated with a symbolic batch size.
//!
//! The batch is the first axis of every activation; an operation that would mix samples is refused. A node has its own name, else
//! that of its first output, and is found by both.

mod attention;
mod blobs;
mod block;
mod bytes;
mod choice;
mod constants;
mod control;
mod deform;
mod dense;
mod einsum;
mod entries;
mod external;
mod fold;
mod functions;
mod fused;
mod indices;
mod input;
mod input_axes;
mod integers;
mod ints;
mod layout;
mod links;
mod norm;
mod operator;
mod ops;
mod options;
mod patterns;
mod pointwise;
mod quantised;
mod quantised_by_range;
mod ranking;
mod reader;
mod recurrent;
mod regions;
mod resampling;
mod resize;
mod rotary;
mod sampling;
mod scatter;
mod scope;
mod site;
mod spectra;
mod structure;
mod suppression;
mod value;
mod volume;
mod window;
mod wire;

use crate::error::{Context, Error, Result};
use crate::graph::Graph;
use crate::graph::Op;
use crate::graph::Weights;
use crate::model::{BoxDecoding, Card, Model, NetInput};
use external::TensorFiles;
use input::InputShape;
use integers::Integers;
use links::{Links, Wanted};
pub use options::{Inlet, Options};
use reader::Reader;
use rten_onnx::onnx::ModelProto;
use scope::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use structure::OnnxFile;
use suppression::Suppression;
use value::{Act, Value};

/// The oldest opset that is read (ONNX 1.2).
const MIN_OPSET: i64 = 7;

/// Loads the net in an ONNX file. Its card has the file's name and no preprocessing.
///
/// # Errors
/// Where the file cannot be read, is damaged, or has unsupported content; the message names the node.
pub fn load(path: impl AsRef<Path>, options: &Options<'_>) -> Result<Model> {
    let path = path.as_ref();
    let file = OnnxFile::open(path)?;
    let model = build(&file, options).context(|| format!("`{}`", path.display()))?;
    file.check_unchanged()?;
    Ok(model)
}

/// The metadata of an ONNX file, as pairs of keys and values.
///
/// # Errors
/// Where the file cannot be read or is damaged.
pub fn metadata(path: &Path) -> Result<Vec<(String, String)>> {
    wire::metadata(&OnnxFile::open(path)?).context(|| format!("`{}`", path.display()))
}

/// Reads the information on the main input of the file at `path`, without translating nodes.
///
/// # Errors
/// Where the file cannot be read or is damaged.
pub fn inlet(path: &Path, options: &Options<'_>) -> Result<Inlet> {
    let file = OnnxFile::open(path)?;
    let read = || -> Result<Inlet> {
        let model = wire::model(&file)?;
        let graph = model.graph.as_ref().ok_or_else(|| Error::format("no graph"))?;
        let links = Links::of(graph, Wanted::First, options.input)?;
        let inlet = input::inlet(&links, links.inputs[0], options);
        let writer = model.producer_name.as_deref().unwrap_or_default();
        let converted = ["tf2onnx", "keras2onnx"].iter().any(|name| writer.starts_with(name));
        let tensorflow = converted || inlet.tensorflow && writer != "pytorch";
        Ok(Inlet { tensorflow, is_converted: converted, ..inlet })
    };
    read().context(|| format!("`{}`", path.display()))
}

fn build(file: &OnnxFile, options: &Options<'_>) -> Result<Model> {
    let mut symbolic = false;
    let all = read(file, options, Wanted::All, |shape| symbolic = shape.batch.is_none());
    crate::signal::go_on()?;
    // Another output that cannot be read must not prevent reading the first.
    match all {
        Ok(Content { model, left_out }) if left_out.is_empty() => return Ok(model),
        Ok(Content { model, left_out }) => {
            let kept: Vec<String> = model.output_names().iter().map(ToString::to_string).collect();
            let some = read(file, options, Wanted::These(&kept), |_| ());
            if let Ok(Content { model, left_out: none }) = some
                && none.is_empty()
            {
                let mut card = model.card().clone();
                card.notes.extend(left_out.iter().map(|UnreadableOutput { name, why }| {
                    let hint = why.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                    format!("the output `{name}` cannot be read: {why}{hint}")
                }));
                return Ok(model.with_card(card));
            }
        }
        Err(_) => {}
    }
    let own = read(file, options, Wanted::First, |shape| symbolic = shape.batch.is_none());
    if own.is_ok() || !symbolic {
        return own.map(|read| read.model);
    }
    // Where the symbolic batch is the obstacle, each sample may still be computed as a batch of its own.
    let alone = read(file, options, Wanted::First, |shape| {
        (shape.batch, shape.alone) = (Some(1), true);
        shape.notes.push("the file mixes samples; each is computed as a batch of its own".into());
    });
    alone.or(own).map(|read| read.model)
}

/// An output that cannot be read.
struct UnreadableOutput {
    name: String,
    why: Error,
}

/// The content read from a file.
struct Content {
    model: Model,
    /// The further outputs that cannot be read.
    left_out: Vec<UnreadableOutput>,
}

/// Reads the net in a file with the `wanted` outputs; `change` may change the input's shape.
fn read(
    file: &OnnxFile,
    options: &Options<'_>,
    wanted: Wanted<'_>,
    change: impl FnOnce(&mut InputShape),
) -> Result<Content> {
    let mut model = wire::model(file)?;
    functions::inline(&mut model, file)?;
    let opset = opset(&model)?;
    let graph = model.graph.as_ref().ok_or_else(|| Error::format("no graph"))?;
    let links = Links::of(graph, wanted, options.input)?;
    let mut shape = input::shape(&links, links.inputs[0], options)?;
    change(&mut shape);
    let further = links.inputs[1..].iter().map(|info| input::further(&links, info, options, &shape));
    let further = further.collect::<Result<Vec<_>>>()?;
    let torch = model.producer_name.as_deref() == Some("pytorch");
    let Translated { heads, weights, boxes, whole, left_out } =
        translate(&links, &shape, &further, file, opset, torch)?;
    let path = file.path();
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let mut card = Card { source: path.display().to_string(), ..Card::named(stem) };
    card.boxes = boxes;
    let is_first = matches!(wanted, Wanted::First);
    let told: Vec<&str> = match is_first {
        false => heads.iter().map(|(name, _)| name.as_str()).collect(),
        true => graph.output.iter().map(links::name_of).collect(),
    };
    if let [first, others @ ..] = &told[..]
        && !others.is_empty()
    {
        let others: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
        card.notes.push(match is_first {
            false => format!("this is the output `{first}`; net.output(name) takes another: {}", others.join(", ")),
            true => format!("this is the output `{first}`; the others cannot be read: {}", others.join(", ")),
        });
    }
    card.notes.extend(shape.notes);
    if !whole {
        card.notes.push(
            "the file has too many operations: some activations and normalisations remain several nodes each".into(),
        );
    }
    let model = Model::with_outputs(heads, weights, card)?;
    let several = several_inputs(&model.inputs(), &further);
    let mut card = model.card().clone();
    card.notes.extend(several);
    card.notes.extend(frames(model.graph()).filter(|_| shape.order.is_empty()));
    Ok(Content { model: model.with_card(card), left_out })
}

/// A note on an input of four axes over whose depth no window slides: a video whose frames come first.
fn frames(graph: &Graph) -> Option<String> {
    let shape = &graph.node(graph.input()).shape;
    (graph.is_over_volumes() && !graph.slides_over_depth()).then(|| {
        format!(
            "no window slides over three axes of the input {shape:?}: it may be frames x channels x rows x columns; maps and figures \
             take it for channels x depth x rows x columns"
        )
    })
}

/// Notes on a net with several inputs.
fn several_inputs(inputs: &[NetInput], further: &[InputShape]) -> Vec<String> {
    let [asked, others @ ..] = inputs else { return Vec::new() };
    if others.is_empty() {
        return Vec::new();
    }
    let shown = |input: &NetInput| format!("`{}` {:?}", input.name, input.shape);
    let mut notes = vec![format!(
        "the net has {} inputs, of which {} is the asked one; give a map, #{{ {}: .. }}, or hold the others: net.given(..): {}",
        inputs.len(),
        shown(asked),
        inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>().join(": .., "),
        others.iter().map(shown).collect::<Vec<_>>().join(", ")
    )];
    notes.extend(further.iter().flat_map(|input| input.notes.iter().cloned()));
    notes
}

/// The translated content of a file.
struct Translated {
    /// One graph for each output, by name.
    heads: Vec<(String, Graph)>,
    weights: Weights,
    /// How outputs are decoded to boxes, where a NonMaxSuppression ended the graph.
    boxes: Option<BoxDecoding>,
    /// Whether the search for exporters' patterns was complete.
    whole: bool,
    /// The further outputs that cannot be read.
    left_out: Vec<UnreadableOutput>,
}

/// Translates the file's nodes to one graph for each output, for the batch size in `shape`, the main input's shape; `torch` says
/// that PyTorch wrote it.
fn translate<'a>(
    links: &Links<'a>,
    shape: &InputShape,
    further: &[InputShape],
    file: &'a OnnxFile,
    opset: i64,
    torch: bool,
) -> Result<Translated> {
    let reserved = links.names.iter().flatten().cloned().collect();
    let mut scope = Scope::new(shape.batch, reserved);
    (scope.torch, scope.alone) = (torch, shape.alone);
    let mut reader = Reader {
        scope,
        files: TensorFiles::of(file),
        values: BTreeMap::new(),
        inner: BTreeMap::new(),
        kinds: BTreeMap::new(),
        integers: Integers::default(),
        folded: 0,
        steps: 0,
        computed: BTreeMap::new(),
        suppression: None,
        behind: BTreeSet::new(),
    };
    let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
    links.nodes.iter().flat_map(|n| links::reads(n)).for_each(|name| *readers.entry(name).or_default() += 1);
    links.outputs.iter().for_each(|name| *readers.entry(name).or_default() += 1);
    let names = &links.names[links.nodes.len()];
    for ((info, name), shape) in links.inputs.iter().zip(names).zip(std::iter::once(shape).chain(further)) {
        let input = if shape.order.is_empty() {
            reader.scope.builder.input(name, shape.sample.clone())?
        } else {
            // Photos are channels x rows x columns elsewhere, volumes channels x slices x rows x columns.
            let ours = shape.order.iter().map(|axis| shape.sample[*axis]).collect();
            let input = reader.scope.builder.input(name, ours)?;
            let place = |axis: usize| shape.order.iter().position(|a| *a == axis).unwrap_or(axis);
            let as_in_file = Op::Transpose((0..shape.order.len()).map(place).collect());
            let named = if shape.order == [2, 0, 1] { "channels_last" } else { "axes" };
            reader.scope.builder.add(&format!("{name}/{named}"), as_in_file, &[input])?
        };
        reader.integers.note_input(input, input::kind(info));
        let input_name = links::name_of(info);
        reader.scope.builder.alias(input_name, input);
        reader.values.insert(input_name, Value::Act(Act { id: input, lead: shape.lead }));
    }
    let mut unread: BTreeMap<&str, Error> = BTreeMap::new();
    let blobs = blobs::are_named(links);
    for ((node, names), own) in links.nodes.iter().zip(&links.names).zip(&links.own) {
        crate::signal::go_on()?;
        if let Some(why) = links::reads(node).iter().find_map(|name| unread.get(name)).cloned() {
            node.output.iter().for_each(|name| _ = unread.insert(name, why.clone()));
            continue;
        }
        // A panic while translating must not end the session; the error names the node.
        let translated = catch_unwind(AssertUnwindSafe(|| reader.node(links, node, names, opset)));
        let translated = translated.unwrap_or_else(|panic| Err(defect(panic.as_ref()))).map_err(|e| {
            // The builder's messages name the node already.
            if e.message.starts_with("node `") { e } else { e.context(links::shown(node)) }
        });
        match translated {
            Err(why) if !own => node.output.iter().for_each(|name| _ = unread.insert(name, why.clone())),
            other => other?,
        }
        if let Some(name) = blobs.then(|| blobs::layer(node)).flatten()
            && let Some(Value::Act(act)) = node.output.first().and_then(|output| reader.values.get(output.as_str()))
        {
            reader.scope.builder.alias(&name, act.id);
        }
        reader.drop_constants(node, &mut readers);
    }
    let kept = links.outputs.iter().filter(|name| !reader.behind.contains(**name));
    let (mut ends, mut left_out) = (Vec::new(), Vec::new());
    for name in kept {
        let end = match reader.values.get(name) {
            _ if let Some(why) = unread.remove(name) => Err(why),
            Some(Value::Act(output)) if reader.scope.joined && reader.scope.is_own_axis(*output) => {
                Err(value::mixes(format!("the output `{name}` is not one a sample")))
            }
            Some(Value::Act(output)) => Ok((name.to_string(), output.id)),
            _ => Err(Error::unsupported(format!("the output `{name}` does not depend on the input"))),
        };
        match end {
            Ok(end) => ends.push(end),
            Err(why) if *name == links.outputs[0] => return Err(why),
            Err(why) => left_out.push(UnreadableOutput { name: name.to_string(), why }),
        }
    }
    let (mut first, boxes) = match reader.suppression {
        Some(Suppression { ends, decoding }) => (ends.to_vec(), Some(decoding)),
        None => (Vec::new(), None),
    };
    ends.retain(|(name, _)| first.iter().all(|(own, _)| own != name));
    first.append(&mut ends);
    let ends = first;
    let mut builder = reader.scope.builder;
    let whole = patterns::restore(&mut builder, &ends.iter().map(|(_, id)| *id).collect::<Vec<_>>())?;
    let (heads, weights) = builder.finish_all(&ends)?;
    Ok(Translated { heads, weights, boxes, whole, left_out })
}

fn opset(model: &ModelProto) -> Result<i64> {
    let own = |d: &Option<String>| matches!(d.as_deref(), None | Some("" | "ai.onnx"));
    let version = model.opset_import.iter().filter(|o| own(&o.domain)).filter_map(|o| o.version).max();
    match version {
        Some(v) if v >= MIN_OPSET => Ok(v),
        Some(v) => Err(Error::unsupported(format!("operators of version (opset) {v}"))
            .hint(format!("opset {MIN_OPSET} and later are read: onnx.version_converter brings files up to date"))),
        None => Err(Error::format("no version of the operators (opset) is named").hint("is it an ONNX classifier?")),
    }
}

/// The error for a panic while a node was translated.
fn defect(panic: &(dyn std::any::Any + Send)) -> Error {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Error::internal(format!("a defect of convscope: {}", said.unwrap_or("without a message")))
        .hint("please report it with the file that shows it")
}
