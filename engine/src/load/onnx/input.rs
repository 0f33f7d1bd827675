//! The shape of the net's input: what the file fixes, and what it leaves open filled in.

use super::Options;
use super::links::{Links, name_of};
use crate::error::{Error, Result};
use crate::limits::ONNX_VALUES;
use crate::load::options::Layout;
use rten_onnx::onnx::DataType;

/// What is known of the input.
pub struct Input {
    /// The batch size, where the file fixes it.
    pub batch: Option<usize>,
    /// Whether each sample is computed as a batch of its own, which the file does not say.
    pub alone: bool,
    /// The shape of one sample, as the file has it.
    pub sample: Vec<usize>,
    /// Whether that is rows x columns x channels of a photo.
    pub channels_last: bool,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// The input's shape with `options.size` where height and width are open.
///
/// # Errors
/// Where a dimension stays open, or the size is not the one that the file fixes.
pub fn shape(links: &Links<'_>, options: &Options) -> Result<Input> {
    let name = name_of(links.input);
    let tensor = links.input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| &s.dim).filter(|d| !d.is_empty());
    let dims = dims.ok_or_else(|| Error::format(format!("the input `{name}` has no shape")))?;
    // Zero and negative numbers were once written for open dimensions.
    let mut open: Vec<Option<usize>> =
        dims.iter().map(|d| d.dim_value.and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0)).collect();
    let batch = open.remove(0);
    if batch.is_some_and(|n| n > ONNX_VALUES) {
        return Err(Error::format(format!("the input `{name}` has {} samples", batch.unwrap_or(0))));
    }
    let (mut last, mut notes) = (false, Vec::new());
    if let [a, b, c] = open[..] {
        let (known, note) = channels_last(links, options, [a, b, c], name);
        last = known;
        notes.extend(note);
        let channels_last = last;
        let at = if channels_last { [0, 1] } else { [1, 2] };
        if let Some(size) = options.size {
            fix(&mut open, at, size, name)?;
        }
        if !channels_last && a.is_none() {
            open[0] = channels(links, name);
        }
        if at.iter().any(|i| open[*i].is_none()) {
            return Err(Error::unsupported(format!("the input `{name}` leaves its height and width open"))
                .hint("say them: load_model(.., #{ size: 224 })"));
        }
    }
    let sample: Option<Vec<usize>> = open.iter().copied().collect();
    let sample =
        sample.ok_or_else(|| Error::unsupported(format!("the input `{name}` leaves dimensions open: {open:?}")))?;
    if sample.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_none_or(|n| n > ONNX_VALUES) {
        return Err(Error::format(format!("the input `{name}` has shape {sample:?}")));
    }
    let kind = tensor.and_then(|t| t.elem_type).unwrap_or(DataType::FLOAT);
    if kind != DataType::FLOAT {
        notes.push(format!("the file's input is {kind}; the net is computed in f32"));
    }
    Ok(Input { batch, alone: false, sample, channels_last: last, notes })
}

/// Whether the input is rows x columns x channels, and a note where that is assumed: as the option says, else as the first
/// operation that tells channels from places says, else by the sizes.
fn channels_last(
    links: &Links<'_>,
    options: &Options,
    [a, b, c]: [Option<usize>; 3],
    name: &str,
) -> (bool, Option<String>) {
    if let Some(layout) = options.layout {
        return (layout == Layout::Nhwc, None);
    }
    if let Some(last) = first_layout(links, name) {
        return (last, None);
    }
    let last = matches!(c, Some(1 | 3)) && a.is_none_or(|a| a > 4) && b.is_none_or(|b| b > 4);
    let note = format!(
        "the input `{name}` is taken for rows x columns x channels; this is assumed, the option `layout` says it"
    );
    (last, last.then_some(note))
}

/// What the first operation over the input that tells channels from places says: whether the channels come last.
fn first_layout(links: &Links<'_>, name: &str) -> Option<bool> {
    const PASSED: [&str; 18] = [
        "Identity",
        "Cast",
        "Mul",
        "Add",
        "Sub",
        "Div",
        "Clip",
        "Relu",
        "Neg",
        "Sqrt",
        "Pow",
        "Dropout",
        "Max",
        "Min",
        "Pad",
        "QuantizeLinear",
        "DequantizeLinear",
        "Sigmoid",
    ];
    let (mut values, mut moved) = (vec![name], false);
    for node in &links.nodes {
        if !node.input.iter().any(|i| values.contains(&i.as_str())) {
            continue;
        }
        let op = node.op_type.as_deref().unwrap_or("");
        match op {
            "Conv"
            | "MaxPool"
            | "AveragePool"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "Resize"
            | "Upsample"
            | "LRN"
            | "SpaceToDepth" => return Some(moved),
            "Transpose" => {
                let perm = node.attribute.iter().find(|a| a.name.as_deref() == Some("perm")).map(|a| &a.ints[..]);
                if moved || perm != Some(&[0, 3, 1, 2]) {
                    return None;
                }
                moved = true;
                values.extend(node.output.first().map(String::as_str));
            }
            op if PASSED.contains(&op) => values.extend(node.output.first().map(String::as_str)),
            _ => return None,
        }
    }
    None
}

fn fix(open: &mut [Option<usize>], at: [usize; 2], size: [usize; 2], name: &str) -> Result<()> {
    for (i, wanted) in at.into_iter().zip(size) {
        match open[i] {
            Some(fixed) if fixed != wanted => {
                let text = at.map(|i| open[i].map_or("any".into(), |n| n.to_string()));
                return Err(Error::value(format!(
                    "size {} x {}, but the file fixes the input `{name}` at {} x {}",
                    size[0], size[1], text[0], text[1]
                ))
                .hint("leave `size` out, or export the net with open height and width"));
            }
            _ => open[i] = Some(wanted),
        }
    }
    Ok(())
}

/// The channels that the first convolution over the input takes.
fn channels(links: &Links<'_>, name: &str) -> Option<usize> {
    let conv = |n: &&&rten_onnx::onnx::NodeProto| {
        n.op_type.as_deref() == Some("Conv") && n.input.first().map(String::as_str) == Some(name)
    };
    let node = links.nodes.iter().find(conv)?;
    let weight = links.initialisers.get(node.input.get(1)?.as_str())?;
    let groups = node.attribute.iter().find(|a| a.name.as_deref() == Some("group")).and_then(|a| a.i).unwrap_or(1);
    weight.dims.get(1)?.checked_mul(groups).and_then(|c| usize::try_from(c).ok())
}
