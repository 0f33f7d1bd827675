//! The shapes of the net's inputs: the dimensions that the file fixes, and values for open ones.

use super::input_axes as axes;
use super::links::{Links, name_of, open_dims};
use super::options::{Inlet, Options};
use crate::error::{Error, Result};
use crate::limits::ONNX_VALUES;
use rten_onnx::onnx::{DataType, ValueInfoProto};

/// The shape of an input.
pub struct InputShape {
    /// The batch size, where the file fixes it.
    pub batch: Option<usize>,
    /// Whether each sample is computed as a batch of its own, which the file does not require.
    pub alone: bool,
    /// The number of ONNX axes before the sample's: 1 with a batch, else 0.
    pub lead: usize,
    /// The shape of one sample in the file.
    pub sample: Vec<usize>,
    /// Which of the axes are the channels, the slices of a volume, the rows and the columns, in this order; empty where this is
    /// their order in the file.
    pub order: Vec<usize>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The shape of another input, as by [`shape`], with the main input's batch.
///
/// # Errors
/// Where a dimension stays open.
pub fn further(
    links: &Links<'_>,
    info: &ValueInfoProto,
    options: &Options<'_>,
    first: &InputShape,
) -> Result<InputShape> {
    let dims = open_dims(info);
    let batched = match dims.first() {
        Some(None | Some(1)) => true,
        Some(Some(n)) => first.batch == Some(*n),
        None => false,
    };
    if batched {
        let images = matches!(dims[..], [_, _, _, _]);
        let fixed = images && dims[1..].iter().all(Option::is_some);
        let options = if fixed || !images { &Options { size: None, ..*options } } else { options };
        return shape(links, info, &Options { layout: None, ..*options });
    }
    let sample: Option<Vec<usize>> = dims.iter().copied().collect();
    let sample = sample.ok_or_else(|| {
        Error::unsupported(format!("the input `{}` leaves dimensions open: {dims:?}", name_of(info)))
            .hint("export the net with a fixed shape of it")
    })?;
    let notes = kind_note(info).into_iter().collect();
    Ok(InputShape { batch: first.batch, alone: false, lead: 0, sample, order: Vec::new(), notes })
}

/// The file's information on an input.
pub fn inlet(links: &Links<'_>, info: &ValueInfoProto, options: &Options<'_>) -> Inlet {
    let (open, tensorflow) = match open_dims(info).get(1..) {
        Some(&[a, b, c]) => {
            let (last, _) = axes::channels_last(links, options, [a, b, c], name_of(info));
            let places = if last { [a, b] } else { [b, c] };
            (places.iter().any(Option::is_none), last)
        }
        _ => (false, false),
    };
    Inlet { open, bytes: kind(info) == DataType::UINT8, tensorflow, is_converted: false }
}

/// The type of an input's numbers.
pub(super) fn kind(info: &ValueInfoProto) -> DataType {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    tensor.and_then(|t| t.elem_type).unwrap_or(DataType::FLOAT)
}

/// A note where an input's type is not real.
fn kind_note(info: &ValueInfoProto) -> Option<String> {
    let kind = kind(info);
    (kind != DataType::FLOAT).then(|| format!("the file's input is {kind}; the net is computed in f32"))
}

/// The shape of the input `info`; `options.size` is used where height and width are open.
///
/// # Errors
/// Where a dimension stays open, or the size differs from the one that the file fixes.
pub fn shape(links: &Links<'_>, info: &ValueInfoProto, options: &Options<'_>) -> Result<InputShape> {
    let name = name_of(info);
    let mut open = open_dims(info);
    if open.is_empty() {
        return Err(Error::format(format!("the input `{name}` has no shape")));
    }
    let batch = open.remove(0);
    if batch.is_some_and(|n| n > ONNX_VALUES) {
        return Err(Error::format(format!("the input `{name}` has {} samples", batch.unwrap_or(0))));
    }
    let (mut order, mut notes) = (Vec::new(), Vec::new());
    if let [a, b, c] = open[..] {
        let (channels_last, note) = axes::channels_last(links, options, [a, b, c], name);
        if channels_last {
            order = vec![2, 0, 1];
        }
        notes.extend(note);
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
    } else if let ([a, b, c, d], None) = (&open[..], options.size) {
        let (known, note) = axes::of_volume(links, options, [*a, *b, *c, *d], name);
        order = known;
        notes.extend(note);
    } else if options.size.is_some() || options.layout.is_some() {
        let said = if options.size.is_some() { "size" } else { "layout" };
        return Err(Error::value(format!(
            "option `{said}`: the input `{name}` takes no maps of channels, rows and columns"
        ))
        .hint(format!("it is {} a sample; leave `{said}` out", shown(&open))));
    }
    let sample: Option<Vec<usize>> = open.iter().copied().collect();
    let sample =
        sample.ok_or_else(|| Error::unsupported(format!("the input `{name}` leaves dimensions open: {open:?}")))?;
    if sample.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_none_or(|n| n > ONNX_VALUES) {
        return Err(Error::format(format!("the input `{name}` has shape {sample:?}")));
    }
    notes.extend(kind_note(info));
    Ok(InputShape { batch, alone: false, lead: 1, sample, order, notes })
}

/// A shape as text: 16 x any.
fn shown(dims: &[Option<usize>]) -> String {
    dims.iter().map(|d| d.map_or("any".into(), |n| n.to_string())).collect::<Vec<_>>().join(" x ")
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

/// The number of input channels of the first convolution over the input.
fn channels(links: &Links<'_>, name: &str) -> Option<usize> {
    let conv = |n: &&&rten_onnx::onnx::NodeProto| {
        n.op_type.as_deref() == Some("Conv") && n.input.first().map(String::as_str) == Some(name)
    };
    axes::channels(links, links.nodes.iter().find(conv)?)
}
