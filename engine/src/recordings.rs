//! `load_signal` and `load_volume`: signals and volumes from files, and how they become a net's input.

use crate::data::{Orientation, Signal, Volume};
use crate::error::{Error, Result};
use std::path::Path;

crate::params! {
    /// A signal: channels x samples, from a .wav file (as fractions of full scale, -1 to 1) or a .npy array.
    ///
    /// The options are applied in this order: rate, mono, start and length, mean and std.
    pub struct LoadSignal as "load_signal" {
        /// The sampling rate in Hz: a .wav file of another rate is resampled (band-limited); for a .npy array it states the rate.
        rate: Option<f64> = None;
        /// Whether the channels are averaged to one.
        mono: bool = false;
        /// The first sample that is taken.
        start: usize = 0;
        /// How many samples are taken; all that follow unless given.
        length: Option<usize> = None;
        /// What is subtracted from each value.
        mean: f64 = 0.0;
        /// What each value is divided by, after `mean`.
        std: f64 = 1.0;
    }
}

crate::params! {
    /// A volume: channels x three axes, from a NIfTI file (.nii, .nii.gz; values scaled as its header says) or a .npy array.
    ///
    /// The three axes are those of the file, in its order; its header says where they point.
    pub struct LoadVolume as "load_volume" {
        /// The directions of the three axes, three letters of R or L, A or P, S or I in any order ("RAS", "SPL"): axes are
        /// permuted and flipped, nothing is interpolated. For a .npy array it states the directions.
        orientation: Option<Orientation> = None;
        /// What is subtracted from each value.
        mean: f64 = 0.0;
        /// What each value is divided by, after `mean`.
        std: f64 = 1.0;
    }
}

/// Reads a signal with the options applied.
///
/// # Errors
/// As [`Signal::read`], and where an option does not fit the file.
pub fn load_signal(path: impl AsRef<Path>, options: &LoadSignal) -> Result<Signal> {
    check(options.mean, options.std, "load_signal")?;
    let mut signal = Signal::read(path.as_ref())?;
    if let Some(rate) = options.rate {
        signal = signal.at_rate(rate)?;
    }
    if options.mono {
        signal = signal.mono()?;
    }
    let rest = signal.length().saturating_sub(options.start);
    signal.part(options.start, options.length.unwrap_or(rest))?.scaled(options.mean, options.std)
}

/// Reads a volume with the options applied.
///
/// # Errors
/// As [`Volume::read`], and where an option does not fit the file.
pub fn load_volume(path: impl AsRef<Path>, options: &LoadVolume) -> Result<Volume> {
    check(options.mean, options.std, "load_volume")?;
    let mut volume = Volume::read(path.as_ref())?;
    if let Some(to) = options.orientation {
        volume = match volume.orientation {
            Some(_) => volume.oriented(to)?,
            None => Volume { orientation: Some(to), ..volume },
        };
    }
    volume.scaled(options.mean, options.std)
}

fn check(mean: f64, std: f64, whose: &str) -> Result<()> {
    if std == 0.0 || !std.is_finite() || !mean.is_finite() {
        return Err(Error::value(format!(
            "options `mean` and `std` of `{whose}` are finite numbers, `std` not 0, got {mean} and {std}"
        )));
    }
    Ok(())
}
