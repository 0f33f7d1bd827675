//! A signal or a volume as a probe's input: brought to the shape of the net's input, or refused with the reason.

use crate::data::{Signal, Volume};
use crate::error::{Error, Result};
use crate::model::Model;
use candle_core::Tensor;

/// A signal or a volume.
#[derive(Clone, Debug)]
pub enum Samples {
    /// Values along time.
    Signal(Signal),
    /// Values in three dimensions.
    Volume(Volume),
}

impl Samples {
    /// Channels x samples, or channels x three axes.
    pub fn values(&self) -> &Tensor {
        match self {
            Samples::Signal(s) => &s.values,
            Samples::Volume(v) => &v.values,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Samples::Signal(s) => &s.name,
            Samples::Volume(v) => &v.name,
        }
    }

    /// What was changed when it was read from its file.
    pub fn notes(&self) -> &[String] {
        match self {
            Samples::Signal(s) => &s.notes,
            Samples::Volume(v) => &v.notes,
        }
    }

    /// What is assumed when it is given to a net; `None` where recording and net both state their sampling rate or orientation.
    pub fn assumed(&self, model: &Model) -> Option<String> {
        match self {
            Samples::Signal(s) => match (s.rate, model.card().rate) {
                (Some(rate), None) => Some(format!(
                    "the net does not say which sampling rate it takes, `{}` has {rate} Hz; load_model(.., #{{ rate: {rate} }}) says it",
                    s.name
                )),
                _ => None,
            },
            Samples::Volume(v) => match (v.orientation, model.card().orientation.as_deref()) {
                (Some(own), None) => Some(format!(
                    "the net does not say where the axes of its input point, those of `{}` point to {own}; load_model(.., #{{ orientation: \"{own}\" }}) says it",
                    v.name
                )),
                (None, Some(wanted)) => Some(format!(
                    "`{}` does not say where its axes point, the net takes {wanted}; load_volume(.., #{{ orientation: \"{wanted}\" }}) says it",
                    v.name
                )),
                _ => None,
            },
        }
    }

    /// The values in the shape of the net's input; axes of one entry are left out or put in where the input has them elsewhere.
    ///
    /// # Errors
    /// Where the sampling rate or the orientation is another than the net's, or the shape does not fit; the message names the
    /// input and both shapes.
    pub fn fitted(&self, model: &Model) -> Result<Tensor> {
        let card = model.card();
        match self {
            Samples::Signal(s) => {
                if let (Some(own), Some(wanted)) = (s.rate, card.rate)
                    && own != wanted
                {
                    return Err(Error::value(format!(
                        "`{}` has {own} samples a second, `{}` takes {wanted}",
                        s.name, card.name
                    ))
                    .hint(format!("load_signal(path, #{{ rate: {wanted} }}) resamples it")));
                }
            }
            Samples::Volume(v) => {
                if let (Some(own), Some(wanted)) = (v.orientation, card.orientation.as_deref())
                    && own.to_string() != wanted
                {
                    return Err(Error::value(format!(
                        "the axes of `{}` point to {own}, those of the input of `{}` to {wanted}",
                        v.name, card.name
                    ))
                    .hint(format!("load_volume(path, #{{ orientation: \"{wanted}\" }}) turns it")));
                }
            }
        }
        let (own, wanted) = (self.values().dims(), model.input_shape());
        let bare = |shape: &[usize]| shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
        if bare(own) == bare(wanted) {
            return Ok(self.values().reshape(wanted)?);
        }
        if model.graph().input_in_file().is_some_and(|(as_in_file, _)| own == as_in_file) {
            return Ok(self.values().clone());
        }
        let node = &model.graph().node(model.graph().input()).name;
        Err(Error::shape(format!(
            "`{}` is {}, the input `{node}` of `{}` takes {}",
            self.name(),
            times(own),
            card.name,
            times(wanted)
        ))
        .hint(self.remedy(wanted)))
    }

    /// What helps where the shape is not that of the net's input.
    fn remedy(&self, wanted: &[usize]) -> String {
        let bare: Vec<usize> = wanted.iter().copied().filter(|n| *n != 1).collect();
        match self {
            Samples::Signal(s) if bare.len() <= 2 => {
                let length = bare.last().copied().unwrap_or(1);
                let channels = if bare.len() == 2 { bare[0] } else { 1 };
                match (s.length() > length, s.channels() == channels, channels) {
                    (true, true, _) => {
                        format!(
                            "the net sees {length} samples at once: load_signal(path, #{{ start: 0, length: {length} }}) takes a part"
                        )
                    }
                    (_, false, 1) => "load_signal(path, #{ mono: true }) averages the channels".to_string(),
                    (_, false, n) => format!("give a signal of {n} channels: channels x samples"),
                    (false, true, _) => {
                        format!(
                            "the signal is too short: record {length} samples, or export the net with another length"
                        )
                    }
                }
            }
            Samples::Volume(_) if bare.len() >= 3 => {
                "crop or resample the volume to that size before it is saved, in the orientation of the net's training"
                    .to_string()
            }
            _ if bare.len() >= 3 && wanted.len() == 3 => "the net takes images: load_image(path)".to_string(),
            Samples::Volume(_) => "the net takes signals: load_signal(path)".to_string(),
            Samples::Signal(_) => "the net takes volumes: load_volume(path)".to_string(),
        }
    }
}

fn times(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ")
}
