//! Gaussian noise of an attack's own size on the same image, in whole pixel values: what a change of that size does by itself.
//!
//! Szegedy et al. 2013, section 4.2: noise of the same distortion as the adversarial images, of which nets still classify most.

use crate::random::Stream;

/// Steps that bring the length to the wanted one.
const STEPS: usize = 40;

/// The image `clean` (pixel values from 0 to 255) with noise: whole pixel values, at a 2-norm from `clean` that is the least of at
/// least `length` that scaling one draw of Gaussian noise reaches; the largest within 0 to 255 where none is so far.
pub fn noisy(clean: &[f64], length: f64, rng: &Stream) -> Vec<f64> {
    let noise: Vec<f64> = (0..clean.len()).map(|i| rng.normal_at(i as u64)).collect();
    let at = |scale: f64| -> Vec<f64> {
        clean.iter().zip(&noise).map(|(c, n)| (c + scale * n).clamp(0.0, 255.0).round()).collect()
    };
    let far = |x: &[f64]| x.iter().zip(clean).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    if length <= 0.0 {
        return clean.to_vec();
    }
    // At this scale every value that moves by less than a thousandth of its deviation is at an end of the range.
    let (mut low, mut high) = (0.0, 255e3);
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        match far(&at(middle)) < length {
            true => low = middle,
            false => high = middle,
        }
    }
    at(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_length_that_is_asked_for_after_rounding() {
        let stream = Stream::new(4, "image");
        let clean: Vec<f64> = (0..3000).map(|i| (255.0 * stream.uniform_at(i)).round()).collect();
        for length in [0.0, 3.0, 20.0, 150.0, 2000.0] {
            let found = noisy(&clean, length, &Stream::new(1, "noise"));
            let far = found.iter().zip(&clean).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            assert!((far - length).abs() <= 0.2 + 0.01 * length && far >= length, "{far} for {length}");
            assert!(found.iter().all(|v| v.fract() == 0.0 && (0.0..=255.0).contains(v)));
            // Both signs, on many values.
            let moved = found.iter().zip(&clean).filter(|(a, b)| a != b).count();
            assert!(length < 20.0 || moved > 300, "{moved} of 3000");
        }
    }
}
