//! A signal at another sampling rate: interpolation by a windowed sinc, a low-pass filter at the lower of both Nyquist
//! frequencies (Smith, Digital Audio Resampling, 2002; Hann's window, six zero crossings, the defaults of torchaudio).

use crate::error::{Error, Result};
use crate::limits::ARRAY;
use crate::tensor::{tensor, to_f32};
use candle_core::Tensor;
use rayon::prelude::*;
use std::f64::consts::PI;

/// Zero crossings of the sinc on each side.
const ZERO_CROSSINGS: f64 = 6.0;
/// The cut-off as a part of the lower Nyquist frequency.
const ROLL_OFF: f64 = 0.99;
/// Steps of one rate that may fall into one of the other: the product of filter taps and phases is bounded by it.
const MAX_RATE_RATIO: f64 = 1000.0;

/// Channels x samples at `from` Hz as channels x ceil(samples * to / from) at `to` Hz. Sample i lies at i / rate; beyond its ends
/// the signal is zero.
///
/// # Errors
/// Where the rates are too far apart, or the result would be too large.
pub fn resampled(signal: &Tensor, from: f64, to: f64) -> Result<Tensor> {
    let (channels, length) = signal.dims2()?;
    if !(1.0 / MAX_RATE_RATIO..=MAX_RATE_RATIO).contains(&(to / from)) {
        return Err(Error::value(format!("a signal of {from} Hz at {to} Hz"))
            .hint(format!("the rates may differ by a factor of up to {MAX_RATE_RATIO}")));
    }
    let made = (length as f64 * to / from).ceil();
    ARRAY.check((4.0 * made * channels as f64) as u64)?;
    let made = made as usize;
    // Frequencies in cycles a sample of the input; reach in samples of the input.
    let cut = ROLL_OFF * (to / from).min(1.0);
    let reach = ZERO_CROSSINGS / cut;
    let values = to_f32(signal)?;
    let mut out = vec![0f32; channels * made];
    out.par_chunks_mut(made.max(1)).zip(values.par_chunks(length.max(1))).for_each(|(out, x)| {
        for (i, y) in out.iter_mut().enumerate() {
            let at = i as f64 * from / to;
            let first = (at - reach).ceil().max(0.0) as usize;
            let last = ((at + reach).floor() as usize).min(length - 1);
            let sum: f64 = (first..=last).map(|j| f64::from(x[j]) * tap(at - j as f64, cut)).sum();
            *y = sum as f32;
        }
    });
    tensor(out, &[channels, made])
}

/// The filter at a distance of `t` input samples: cut sinc(cut t) cos^2(pi cut t / 12).
fn tap(t: f64, cut: f64) -> f64 {
    let u = t * cut;
    if u.abs() >= ZERO_CROSSINGS {
        return 0.0;
    }
    let window = libm::cos(PI * u / ZERO_CROSSINGS / 2.0);
    let sinc = if u == 0.0 { 1.0 } else { libm::sin(PI * u) / (PI * u) };
    cut * sinc * window * window
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wave(rate: f64, hertz: f64, n: usize) -> Vec<f32> {
        (0..n).map(|i| libm::sin(2.0 * PI * hertz * i as f64 / rate) as f32).collect()
    }

    #[test]
    fn a_tone_stays_the_tone_and_what_the_lower_rate_cannot_hold_is_gone() {
        for (from, to) in [(8000.0, 11025.0), (44100.0, 16000.0), (16000.0, 8000.0)] {
            let n = 2000;
            let low = resampled(&tensor(wave(from, 440.0, n), &[1, n]).unwrap(), from, to).unwrap();
            let expected = wave(to, 440.0, low.dims()[1]);
            let got = to_f32(&low).unwrap();
            assert_eq!(got.len(), (n as f64 * to / from).ceil() as usize);
            let inner = 60..got.len() - 60;
            let worst = inner.map(|i| (got[i] - expected[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 0.02, "{from} to {to}: off by {worst}");
        }
        let n = 4000;
        let high = resampled(&tensor(wave(16000.0, 6000.0, n), &[1, n]).unwrap(), 16000.0, 8000.0).unwrap();
        let got = to_f32(&high).unwrap();
        assert!(got[60..got.len() - 60].iter().all(|v| v.abs() < 0.01));
        assert!(resampled(&high, 1.0, 1e6).is_err());
    }
}
