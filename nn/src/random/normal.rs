//! Normal values by Box and Muller (1958), in plain sums and products of doubles: the same bits on every machine. They are computed
//! many at a time where the machine has vectors.

use std::f64::consts::{FRAC_PI_2, LN_2};

/// 1.5 * 2^52: added to a small number, it leaves the nearest whole number in the last bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Half of the square root of 2 as bits, its last half cut off: where mantissas begin that the logarithm's series takes.
const MANTISSA: u64 = 0x3fe6_a09e << 32;
const ONE: u64 = 0x3ff << 52;
/// The bits behind the exponent.
const FRACTION: u64 = (1 << 52) - 1;

/// A value from the standard normal distribution for every pair of words of 64 random bits.
#[inline(always)]
pub fn normals<const N: usize>(a: &[u64; N], b: &[u64; N]) -> [f64; N] {
    let mut values = [0.0; N];
    for i in 0..N {
        // In (0, 1] and in [0, 1).
        let radius = (-2.0 * ln(2.0 - one_to_two(a[i]))).sqrt();
        values[i] = radius * cos_of_turns(one_to_two(b[i]) - 1.0);
    }
    values
}

/// A value in [1, 2) from the upper 52 bits.
#[inline(always)]
fn one_to_two(bits: u64) -> f64 {
    f64::from_bits(bits >> 12 | ONE)
}

/// The natural logarithm of a positive number: k ln 2 + ln m, m within a square root of 2 of 1, by the series of
/// ln m = 2 artanh((m - 1) / (m + 1)).
#[inline(always)]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits().wrapping_add(ONE - MANTISSA);
    let exponent = f64::from_bits(bits >> 52 | 0x433 << 52) - (4_503_599_627_370_496.0 + 1023.0);
    let m = f64::from_bits((bits & FRACTION) + MANTISSA);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut sum = 1.0 / 21.0;
    for n in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * z + 1.0 / n;
    }
    exponent * LN_2 + 2.0 * s * sum
}

/// cos(2 pi t) for t in [0, 1): the nearest quarter and the Taylor series of what is left, at most pi / 4.
#[inline(always)]
fn cos_of_turns(t: f64) -> f64 {
    let rounded = 4.0 * t + ROUND;
    let quarter = rounded.to_bits() & 3;
    let x = (4.0 * t - (rounded - ROUND)) * FRAC_PI_2;
    let z = x * x;
    let (mut cos, mut sin) = (1.0, 1.0);
    for n in [16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0] {
        cos = 1.0 - cos * z * (1.0 / (n * (n - 1.0)));
        sin = 1.0 - sin * z * (1.0 / (n * (n + 1.0)));
    }
    sin *= x;
    // cos x, -sin x, -cos x, sin x.
    let odd = 0u64.wrapping_sub(quarter & 1);
    let sign = ((quarter + 1) & 2) << 62;
    f64::from_bits(((sin.to_bits() & odd) | (cos.to_bits() & !odd)) ^ sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_and_cosine_are_those_of_libm() {
        for i in 1..200_000u32 {
            let x = f64::from(i) / 200_000.0;
            assert!(
                (ln(x) - libm::log(x)).abs() <= 4e-16 * libm::log(x).abs().max(f64::MIN_POSITIVE) + 2e-17,
                "ln {x}"
            );
            let want = libm::cos(std::f64::consts::TAU * x);
            assert!((cos_of_turns(x) - want).abs() < 1e-15, "cos {x}: {} {want}", cos_of_turns(x));
        }
        for power in 1..=52 {
            let x = libm::exp2(-f64::from(power));
            assert!((ln(x) / libm::log(x) - 1.0).abs() < 4e-16, "ln {x}");
            assert!((ln(1.0 - x) / libm::log(1.0 - x) - 1.0).abs() < 8e-16, "ln {}", 1.0 - x);
        }
        assert_eq!((ln(1.0), cos_of_turns(0.0), cos_of_turns(0.5)), (0.0, 1.0, -1.0));
    }
}
