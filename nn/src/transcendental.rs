//! e^x, ln x, tanh x and erf x in f32, and e^x in f64, by polynomials with fused multiply-add: the same bits on every machine and
//! in a vector of any width, since they are sums and products in one order, without branches or tables.
//!
//! e^x, tanh x and erf x, of which a net takes millions, are computed in f32, to about a unit in the last place; ln x in f64, where
//! a polynomial's error and its own rounding are negligible beside the rounding to f32. The coefficients in f32 are minimax: they
//! are rounded one after another, and the rest is fitted again each time. Those in f64 interpolate the functions at Chebyshev nodes,
//! computed with 50 digits. Loops over these functions are vectorised inside a `WithSimd` of pulp.

/// 1.5 * 2^52: added to a small number, it leaves the nearest whole number in the last bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// The same in f32: 1.5 * 2^23.
const ROUND_F32: f32 = 12_582_912.0;
/// Half of the square root of 2 as bits, its last half cut off: where mantissas begin that the logarithm's series takes.
const MANTISSA: u64 = 0x3fe6_a09e << 32;
const ONE: u64 = 0x3ff << 52;
/// The bits behind the exponent.
const FRACTION: u64 = (1 << 52) - 1;
/// The logarithm of 2 in two parts, the first with 32 zeros at its end so that its multiples by small whole numbers are exact.
const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];
/// The same in f32, the first with 12 zeros at its end.
const LN_2_F32: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];

/// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, such that e^r is off by 2^-28 at most; constant term first, as all below.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_266, 0.008_368_684, 0.001_382_094_5];
/// e^r for |r| <= ln 2 / 2, to 2^-64.
const EXP_F64: [f64; 13] = [
    1.0,
    1.0,
    0.5,
    0.16666666666666702,
    0.04166666666666669,
    0.008333333333309528,
    0.001388888888887189,
    0.000198412699092171,
    2.4801587350110797e-05,
    2.7557224958392624e-06,
    2.7557251904174915e-07,
    2.5114869528657765e-08,
    2.09215799649503e-09,
];
/// erf(x) / x - 1 in x^2 for |x| < ERF_NEAR_END, to 2^-30.
const ERF_NEAR: [f32; 7] =
    [0.128_379_17, -0.376_126_3, 0.112_836_26, -0.026_855_73, 0.005_192_392_5, -0.000_804_951_5, 7.995_048_5e-5];
const ERF_NEAR_END: f32 = 0.921_875;
/// -ln(1 - erf t) / t - 1 from there to ERF_END, such that erf t is off by 2^-28 at most.
const ERF_FAR: [f32; 6] = [0.128_513_8, 0.635_720_13, 0.105_259_5, -0.022_888_502, 0.003_214_513_9, -0.000_213_933_24];
/// From here on the error function is 1 in f32.
const ERF_END: f32 = 3.925;
/// ln((1 + s) / (1 - s)) / s in s^2, for mantissas within a square root of 2 of 1, to 2^-37.
const LN: [f64; 5] =
    [2.0000000000083595, 0.6666666524748752, 0.4000038467237519, 0.2853505103781631, 0.23616359099145984];
/// (tanh(x) / x - 1) / x^2 in x^2 for |x| < TANH_NEAR_END, such that tanh x is off by 2^-27.7 at most.
const TANH_NEAR: [f32; 5] = [-0.333_332_8, 0.133_314_06, -0.053_736_515, 0.020_628_167, -0.005_692_296_7];
/// Where the polynomial ends and 1 - 2 / (1 + e^2x) begins.
const TANH_NEAR_END: f32 = 0.625;

/// Values that [`exp_f64_block`] takes: so many vectors that the steps of its polynomial, each of which waits for the one before,
/// keep the processor busy.
pub const BLOCK: usize = 96;

/// [`exp_f64`] of a block of values, step by step.
#[inline(always)]
pub fn exp_f64_block(x: &mut [f64; BLOCK]) {
    let mut power = [0.0; BLOCK];
    for i in 0..BLOCK {
        let (r, p) = reduced(clamp(x[i], -708.0, 709.0));
        (x[i], power[i]) = (r, p);
    }
    let mut sum = [EXP_F64[EXP_F64.len() - 1]; BLOCK];
    for c in EXP_F64[..EXP_F64.len() - 1].iter().rev() {
        for i in 0..BLOCK {
            sum[i] = sum[i].mul_add(x[i], *c);
        }
    }
    for i in 0..BLOCK {
        x[i] = sum[i] * power[i];
    }
}

/// The polynomial with these coefficients, constant term first, by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let mut sum = coefficients[N - 1];
    for c in coefficients[..N - 1].iter().rev() {
        sum = sum.mul_add(x, *c);
    }
    sum
}

/// As [`polynomial`].
#[inline(always)]
fn polynomial_f32<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    let mut sum = coefficients[N - 1];
    for c in coefficients[..N - 1].iter().rev() {
        sum = sum.mul_add(x, *c);
    }
    sum
}

/// x between `low` and `high`; a NaN stays.
#[inline(always)]
fn clamp<T: PartialOrd>(x: T, low: T, high: T) -> T {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// r and 2^k of x = k ln 2 + r, |r| <= ln 2 / 2, for x between -708 and 709.
#[inline(always)]
fn reduced(x: f64) -> (f64, f64) {
    let rounded = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let k = rounded - ROUND;
    let r = k.mul_add(-LN_2[1], k.mul_add(-LN_2[0], x));
    (r, f64::from_bits((rounded.to_bits() << 52).wrapping_add(ONE)))
}

/// e^r and k of x = k ln 2 + r, |r| <= ln 2 / 2; of a NaN, a NaN.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, i32) {
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND_F32);
    let k = rounded - ROUND_F32;
    let r = k.mul_add(-LN_2_F32[1], k.mul_add(-LN_2_F32[0], x));
    let power = (r * r).mul_add(polynomial_f32(&EXP, r), r) + 1.0;
    (power, (rounded.to_bits() as i32).wrapping_sub(ROUND_F32.to_bits() as i32))
}

/// 2^k for k between -126 and 127.
#[inline(always)]
fn power_of_2(k: i32) -> f32 {
    f32::from_bits((k.wrapping_add(127) as u32) << 23)
}

/// e^x
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these bounds f32 overflows, or is zero.
    let (power, k) = exp_parts(clamp(x, -104.0, 89.0));
    // In two steps, since what is below the normal numbers has powers of 2 below theirs.
    power * power_of_2(k >> 1) * power_of_2(k.wrapping_sub(k >> 1))
}

/// e^x for x between -87 and 88.
#[inline(always)]
fn normal_exp(x: f32) -> f32 {
    let (power, k) = exp_parts(x);
    power * power_of_2(k)
}

/// e^x in f64, to a unit in the last place or two; below -708 the value at -708.
#[inline(always)]
pub fn exp_f64(x: f64) -> f64 {
    let (r, power) = reduced(clamp(x, -708.0, 709.0));
    // A product, in which a NaN stays.
    polynomial(&EXP_F64, r) * power
}

/// ln x: k ln 2 + ln m, m within a square root of 2 of 1, by the series of ln m = 2 artanh((m - 1) / (m + 1)).
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = f64::from(x).to_bits().wrapping_add(ONE - MANTISSA);
    let exponent = f64::from_bits(bits >> 52 | 0x433 << 52) - (4_503_599_627_370_496.0 + 1023.0);
    let m = f64::from_bits((bits & FRACTION) + MANTISSA);
    let s = (m - 1.0) / (m + 1.0);
    let ln = exponent.mul_add(std::f64::consts::LN_2, s * polynomial(&LN, s * s)) as f32;
    let ln = if x == f32::INFINITY { x } else { ln };
    let ln = if x == 0.0 { f32::NEG_INFINITY } else { ln };
    // Below zero and where it is no number.
    if x >= 0.0 { ln } else { f32::NAN }
}

/// tanh x
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let (t, square) = (x.abs(), x * x);
    let near = (x * square).mul_add(polynomial_f32(&TANH_NEAR, square), x);
    // From 10 on the result is 1.
    let far = 1.0 - 2.0 / (1.0 + normal_exp(2.0 * clamp(t, 0.0, 10.0)));
    (if t < TANH_NEAR_END { near } else { far }).copysign(x)
}

/// The error function.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let t = clamp(x.abs(), 0.0, ERF_END);
    let near = x.mul_add(polynomial_f32(&ERF_NEAR, x * x), x);
    let far = (1.0 - normal_exp(-t.mul_add(polynomial_f32(&ERF_FAR, t), t))).copysign(x);
    if t < ERF_NEAR_END { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::arch;

    /// A function, its truth in f64, and the largest error in units in the last place of f32: half of one is rounding. libm's own
    /// functions in f32 are off by half of one to one.
    type Case = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);

    const FUNCTIONS: [Case; 4] = [
        ("exp", exp, libm::exp, 1.01),
        ("ln", ln, libm::log, 0.505),
        ("tanh", tanh, libm::tanh, 1.5),
        ("erf", erf, libm::erf, 1.0),
    ];

    /// The distance from the truth, in units in the last place of the f32 at the truth.
    fn error(value: f32, truth: f64) -> f64 {
        let nearest = truth as f32;
        if nearest.to_bits() == value.to_bits() && nearest.is_infinite() || nearest.is_nan() && value.is_nan() {
            return 0.0;
        }
        (f64::from(value) - truth).abs() / spacing(truth)
    }

    /// The distance between neighbouring f32 at `x`.
    fn spacing(x: f64) -> f64 {
        let exponent = (x.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52) as i32 - 1023;
        libm::scalbn(1.0, exponent.min(127) - 23)
    }

    /// Holds all functions to their bounds at every `step`-th f32.
    fn check(step: usize) {
        for (name, f, truth, bound) in FUNCTIONS {
            for bits in (0..=u32::MAX).step_by(step) {
                let x = f32::from_bits(bits);
                let (value, truth) = (f(x), truth(f64::from(x)));
                let e = error(value, truth);
                assert!(e <= bound, "{name} {x:e} ({bits:#x}): {value:e}, not {truth:e}, off by {e} ulp");
            }
        }
    }

    #[test]
    fn every_binade_is_within_rounding_of_the_truth() {
        // A prime, so that all ends of mantissas come up: 2,000 values in each binade of either sign.
        check(4_093);
        for (name, f, truth, bound) in FUNCTIONS {
            for exponent in 0..=0xffu32 {
                for mantissa in [0, 1, 2, 0x3f_ffff, 0x40_0000, 0x7f_fffe, 0x7f_ffff] {
                    for sign in [0, 1 << 31] {
                        let x = f32::from_bits(sign | exponent << 23 | mantissa);
                        let e = error(f(x), truth(f64::from(x)));
                        assert!(e <= bound, "{name} {x:e}: {:e}, off by {e} ulp", f(x));
                    }
                }
            }
        }
    }

    #[test]
    #[ignore = "every f32: some minutes"]
    fn every_number_is_within_rounding_of_the_truth() {
        check(1);
    }

    #[test]
    fn ends_are_exact() {
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (1.0, 0.0, f32::INFINITY));
        assert_eq!((ln(1.0), ln(0.0), ln(f32::INFINITY)), (0.0, f32::NEG_INFINITY, f32::INFINITY));
        assert_eq!((tanh(f32::INFINITY), tanh(-9.5), tanh(1e-40)), (1.0, -1.0, 1e-40));
        assert_eq!((erf(4.0), erf(f32::NEG_INFINITY)), (1.0, -1.0));
        assert!(FUNCTIONS.iter().all(|(_, f, _, _)| f(f32::NAN).is_nan()) && ln(-1.0).is_nan());
        assert!(tanh(-0.0).is_sign_negative() && erf(-0.0).is_sign_negative());
    }

    #[test]
    fn doubles_are_those_of_libm() {
        for i in -70_000..=0i32 {
            let x = f64::from(i) * 0.01 + 0.003;
            let (value, truth) = (exp_f64(x), libm::exp(x));
            assert!((value / truth - 1.0).abs() < 4.5e-16, "{x}: {value:e} {truth:e}");
        }
        assert!(exp_f64(f64::NAN).is_nan() && exp_f64(f64::NEG_INFINITY) < 1e-307);
    }

    #[test]
    fn a_machine_without_vectors_gets_the_same_bits() {
        let x: Vec<f32> = (0..100_003u32).map(|i| f32::from_bits(i.wrapping_mul(85_899))).collect();
        let each = |x: &[f32], f: fn(f32) -> f32| x.iter().map(|x| f(*x).to_bits()).collect::<Vec<u32>>();
        macro_rules! vectors {
            ($f:path) => {{
                let mut y = vec![0.0f32; x.len()];
                arch().dispatch(
                    #[inline(always)]
                    || {
                        for (y, x) in y.iter_mut().zip(&x) {
                            *y = $f(*x);
                        }
                    },
                );
                y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>()
            }};
        }
        assert_eq!(vectors!(exp), each(&x, exp));
        assert_eq!(vectors!(ln), each(&x, ln));
        assert_eq!(vectors!(tanh), each(&x, tanh));
        assert_eq!(vectors!(erf), each(&x, erf));
    }
}
