//! Signals: samples along time, as nets of one-dimensional convolutions take them. From `.wav` files (PCM of 8 to 32 bits and
//! floats, read by `hound`) and `.npy` arrays.

use super::{npy, resampling};
use crate::error::{Context, Error, Result};
use crate::limits::ARRAY;
use crate::tensor::{tensor, to_f32};
use crate::{reads, regular};
use candle_core::Tensor;
use hound::{SampleFormat, WavReader};
use std::io::Cursor;
use std::path::Path;

/// Channels that a `.wav` file may claim.
const MAX_CHANNELS: usize = 1024;
/// The largest number of channels for which a `.npy` array of samples x channels is transposed: a signal has more samples than
/// channels.
const MAX_TRANSPOSED_CHANNELS: usize = 64;
/// The sampling rates that are taken, Hz.
const RATES: std::ops::RangeInclusive<f64> = 1e-6..=1e9;

/// Samples along time.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Channels x samples.
    pub values: Tensor,
    /// Samples a second, where it is known.
    pub rate: Option<f64>,
    /// Its name in figures: the file's name.
    pub name: String,
    /// The steps applied to it since it was read.
    pub notes: Vec<String>,
}

impl Signal {
    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.values.dims().first().copied().unwrap_or(0)
    }

    /// Number of samples.
    pub fn length(&self) -> usize {
        self.values.dims().last().copied().unwrap_or(0)
    }

    /// The signal in an array: samples, channels x samples, or samples x channels where that is what the sizes say.
    ///
    /// # Errors
    /// Where the array has other axes.
    pub fn of(array: &Tensor) -> Result<Signal> {
        let mut notes = Vec::new();
        let values = match *array.dims() {
            [n] if n > 0 => array.reshape((1, n))?,
            [1, c, n] | [c, n] if c > 0 && n > 0 => {
                let flat = array.reshape((c, n))?;
                if n <= MAX_TRANSPOSED_CHANNELS && c > 8 * n {
                    notes.push(format!("an array of {c} x {n} is taken for samples x channels"));
                    flat.t()?.contiguous()?
                } else {
                    flat
                }
            }
            ref dims => {
                return Err(Error::shape(format!("an array of shape {dims:?} is no signal")).hint(
                    "a signal has one axis (samples) or two (channels x samples); load_tensor reads other arrays",
                ));
            }
        };
        Ok(Signal { values, rate: None, name: String::new(), notes })
    }

    /// Reads a `.wav` or `.npy` file.
    ///
    /// # Errors
    /// Where the file is damaged, of another kind, or no signal.
    pub fn read(path: &Path) -> Result<Signal> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let read = match ending.as_str() {
            "wav" | "wave" => {
                let bytes = regular::read(path, |bytes| ARRAY.check(bytes))?;
                let signal = of_wav(&bytes);
                if let Ok(signal) = &signal {
                    reads::note_content(path, || npy::content_digest(&signal.values));
                }
                signal
            }
            "npy" => Signal::of(&npy::load_tensor(path)?),
            _ => {
                return Err(Error::value(format!("`{}` is no file of a signal that is read", path.display())).hint(
                    "signals are read from .wav and .npy files; others: numpy.save(\"signal.npy\", x) with channels x samples",
                ));
            }
        };
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Signal { name, ..read.context(|| format!("`{}`", path.display()))? })
    }

    /// The signal at a sampling rate in Hz: resampled where it has another rate; where its rate is unknown, it gets this one.
    ///
    /// # Errors
    /// Where the rate is none, or too far from the signal's own.
    pub fn at_rate(mut self, rate: f64) -> Result<Signal> {
        if !RATES.contains(&rate) {
            return Err(Error::value(format!("a sampling rate of {rate} Hz"))
                .hint("a rate is a positive number of samples a second"));
        }
        if let Some(own) = self.rate.filter(|own| *own != rate) {
            self.values = resampling::resampled(&self.values, own, rate)?;
            self.notes.push(format!("resampled from {own} to {rate} Hz"));
        }
        Ok(Signal { rate: Some(rate), ..self })
    }

    /// The mean of the channels.
    ///
    /// # Errors
    /// Where the values cannot be read.
    pub fn mono(mut self) -> Result<Signal> {
        if self.channels() > 1 {
            self.notes.push(format!("the mean of {} channels", self.channels()));
            self.values = self.values.mean_keepdim(0)?;
        }
        Ok(self)
    }

    /// `length` samples from sample `start` on.
    ///
    /// # Errors
    /// Where there are not as many.
    pub fn part(mut self, start: usize, length: usize) -> Result<Signal> {
        let all = self.length();
        if length == 0 || start.checked_add(length).is_none_or(|end| end > all) {
            return Err(Error::value(format!(
                "{length} samples from sample {start} on are asked for, `{}` has {all}",
                self.name
            ))
            .hint("`start` and `length` count samples, not seconds"));
        }
        if length < all {
            self.notes.push(format!("samples {start} to {} of {all}", start + length));
            self.values = self.values.narrow(1, start, length)?.contiguous()?;
        }
        Ok(self)
    }

    /// (x - mean) / std of each value.
    ///
    /// # Errors
    /// Where the values cannot be read.
    pub fn scaled(self, mean: f64, std: f64) -> Result<Signal> {
        Ok(Signal { values: scaled(&self.values, mean, std)?, ..self })
    }
}

/// (x - mean) / std of each value, computed in f64.
pub(super) fn scaled(values: &Tensor, mean: f64, std: f64) -> Result<Tensor> {
    if (mean, std) == (0.0, 1.0) {
        return Ok(values.clone());
    }
    let moved = to_f32(values)?.iter().map(|v| ((f64::from(*v) - mean) / std) as f32).collect();
    tensor(moved, values.dims())
}

/// The signal in the bytes of a `.wav` file, in parts of its full scale.
fn of_wav(bytes: &[u8]) -> Result<Signal> {
    let damaged = |e: hound::Error| {
        let error = Error::format(format!("a .wav file that cannot be read: {e}"));
        error.hint("PCM of 8 to 32 bits and 32-bit floats are read; is a download or a copy unfinished?")
    };
    let mut reader = WavReader::new(Cursor::new(bytes)).map_err(damaged)?;
    let spec = reader.spec();
    let (channels, length) = (usize::from(spec.channels), reader.duration() as usize);
    if channels == 0 || channels > MAX_CHANNELS || length == 0 || spec.sample_rate == 0 {
        return Err(Error::format(format!(
            "a .wav file of {channels} channels, {length} samples and {} Hz holds no signal",
            spec.sample_rate
        )));
    }
    // Each sample takes a byte at least, so that no more is reserved than the file's own size allows.
    let count = channels.saturating_mul(length);
    if count > bytes.len() {
        return Err(Error::format(format!("a .wav file that claims {count} samples in {} bytes", bytes.len()))
            .hint("is a download or a copy unfinished?"));
    }
    ARRAY.check(4 * count as u64)?;
    let mut values = Vec::with_capacity(count);
    match spec.sample_format {
        SampleFormat::Float => {
            for sample in reader.samples::<f32>() {
                values.push(sample.map_err(damaged)?);
            }
        }
        SampleFormat::Int => {
            let full = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
            for sample in reader.samples::<i32>() {
                values.push((f64::from(sample.map_err(damaged)?) / full) as f32);
            }
        }
    }
    if values.len() != count {
        return Err(Error::format(format!("a .wav file that ends after {} of {count} samples", values.len())));
    }
    let mut by_channel: Vec<f32> = Vec::with_capacity(count);
    (0..channels).for_each(|c| by_channel.extend(values.iter().skip(c).step_by(channels)));
    let rate = Some(f64::from(spec.sample_rate));
    Ok(Signal { values: tensor(by_channel, &[channels, length])?, rate, name: String::new(), notes: Vec::new() })
}
