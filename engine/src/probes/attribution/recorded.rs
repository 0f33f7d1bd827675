//! Maps over signals and volumes as parts of an artifact.

use crate::error::Result;
use crate::show::{Part, Scale, SignalMap, VolumeMap};
use crate::subject::{Prepared, Samples};
use candle_core::Tensor;

/// What of the input a map's cells cover along each of its axes: first place, and one behind the last.
pub type Cover = Vec<[f64; 2]>;

/// A map over the input where that is a signal (1 x samples, 1 x channels x samples) or a volume (1 x channels x three axes) and
/// the map has its axes; nothing for others.
///
/// # Errors
/// Where the input cannot be read.
pub fn part(
    title: &str,
    prepared: &Prepared,
    values: &Tensor,
    label: &str,
    scale: Scale,
    cover: Option<&Cover>,
) -> Result<Option<Part>> {
    let (title, label) = (title.to_string(), label.to_string());
    match (prepared.x.dims(), values.dims()) {
        ([_, _] | [_, _, _], [_]) => {}
        ([_, channels, _], [rows, _]) if channels == rows => {}
        ([_, _, _, _, _], [_, _, _]) => {
            let (orientation, spacing) = match &prepared.samples {
                Some(Samples::Volume(v)) => (v.orientation, v.spacing),
                _ => (None, None),
            };
            return Ok(Some(Part::VolumeMap(VolumeMap {
                title,
                volume: prepared.x.get(0)?.get(0)?,
                values: Some(values.clone()),
                label,
                scale,
                orientation,
                spacing,
                extent: cover.and_then(|c| <[[f64; 2]; 3]>::try_from(c.as_slice()).ok()),
            })));
        }
        _ => return Ok(None),
    }
    let rate = match &prepared.samples {
        Some(Samples::Signal(s)) => s.rate,
        _ => None,
    };
    let signal = prepared.x.get(0)?;
    Ok(Some(Part::SignalMap(SignalMap {
        title,
        signal,
        values: Some(values.clone()),
        label,
        scale,
        rate,
        extent: cover.and_then(|c| c.first().copied()),
    })))
}
