//! Signals and volumes in scripts: their properties and numbers.

use crate::fault::Raise;
use crate::library::Library;
use convscope_engine::data::{Orientation, Signal, Volume};
use convscope_engine::{Error, Result, Tensor};
use rhai::{Array, Dynamic};

/// Binds signals and volumes.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Signal>("signal", "Values along time, channels x samples, with their sampling rate.");
    library.getter("signal.tensor -> tensor", "The values, channels x samples.", |s: &mut Signal| s.values.clone());
    library.getter("signal.rate -> number", "Samples a second; () where that is unknown.", |s: &mut Signal| {
        s.rate.map_or(Dynamic::UNIT, Dynamic::from)
    });
    library.getter("signal.shape -> list", "[channels, samples].", |s: &mut Signal| sizes(&s.values));
    library.add(
        "signal(values: tensor, rate: number) -> signal",
        "A signal of channels x samples (or of samples) at a rate in samples per second.",
        |values: Tensor, rate: Dynamic| {
            crate::convert::number(&rate).and_then(|rate| Signal::of(&values)?.at_rate(rate)).raise()
        },
    );
    library.text::<Signal>(|s| {
        let rate = s.rate.map_or(String::new(), |rate| format!(" at {rate} Hz"));
        format!("signal `{}` of {} x {} samples{rate}", s.name, s.channels(), s.length())
    });
    library.kind::<Volume>(
        "volume",
        "Values in three dimensions, channels x three axes, with the directions of their axes.",
    );
    library.getter("volume.tensor -> tensor", "The values, channels x three axes.", |v: &mut Volume| v.values.clone());
    library.getter("volume.shape -> list", "[channels, and the sizes of the three axes].", |v: &mut Volume| {
        sizes(&v.values)
    });
    library.getter(
        "volume.orientation -> text",
        "Where the three axes point, such as \"RAS\"; () where that is unknown.",
        |v: &mut Volume| v.orientation.map_or(Dynamic::UNIT, |o| o.to_string().into()),
    );
    library.getter(
        "volume.spacing -> list",
        "Millimetres between voxels along each axis; () where that is unknown.",
        |v: &mut Volume| {
            let list = |s: [f64; 3]| Dynamic::from_array(s.map(Dynamic::from).to_vec());
            v.spacing.map_or(Dynamic::UNIT, list)
        },
    );
    library.add(
        "volume.oriented(orientation: text) -> volume",
        "The same volume with its axes swapped and reversed to point in these directions: three letters of R or L, A \
         or P, S or I.",
        |v: &mut Volume, to: &str| oriented(v, to).raise(),
    );
    library.text::<Volume>(|v| {
        let to = v.orientation.map_or(String::new(), |o| format!(", its axes pointing to {o}"));
        format!("volume `{}` of {:?}{to}", v.name, v.values.dims())
    });
}

fn sizes(values: &Tensor) -> Array {
    values.dims().iter().map(|n| Dynamic::from(*n as i64)).collect()
}

fn oriented(volume: &Volume, to: &str) -> Result<Volume> {
    let to = Orientation::parse(to).ok_or_else(|| {
        Error::value(format!("an orientation is three letters such as \"RAS\", got {to:?}"))
            .hint("each axis of the body is named once: R or L, A or P, S or I")
    })?;
    volume.oriented(to)
}
