//! e^x, ln x, tanh x and erf x in f32, and e^x in f64, by polynomials in f64 with fused multiply-add: the same bits on every
//! machine and in a vector of any width, since they are sums and products in one order, without branches or tables.
//!
//! In f64 a polynomial's error of 2^-32 and its own rounding vanish beside the rounding to f32, so that nearly every result is
//! the f32 nearest to the true value. The coefficients interpolate the functions at Chebyshev's nodes, computed with 50 digits.
//! Loops over these functions become vectors inside a `WithSimd` of pulp.

/// 1.5 * 2^52: added to a small number, it leaves the nearest whole number in the last bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Half of the square root of 2 as bits, its last half cut off: where mantissas begin that the logarithm's series takes.
const MANTISSA: u64 = 0x3fe6_a09e << 32;
const ONE: u64 = 0x3ff << 52;
/// The bits behind the exponent.
const FRACTION: u64 = (1 << 52) - 1;
/// The logarithm of 2 in two parts, the first with 32 zeros at its end so that its multiples by small whole numbers are exact.
const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];

/// e^r for |r| <= ln 2 / 2, to 2^-34; constant term first, as all below.
const EXP: [f64; 8] = [
    0.9999999999595618,
    0.999999999995509,
    0.5000000107729166,
    0.16666666786308587,
    0.041666218319291945,
    0.008333283538708528,
    0.0013948578326459795,
    0.00019907569310848288,
];
/// The same to 2^-64.
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
/// erf(x) / x in s = 2 x^2 / ERF_END^2 - 1, to 2^-32.
const ERF: [f64; 19] = [
    0.36027793834430816,
    -0.1798842078566109,
    0.1339319600293898,
    -0.10909055334500443,
    0.09060281898637738,
    -0.0740701921767563,
    0.058301633108165045,
    -0.04356544916459232,
    0.03068397962828382,
    -0.020337231202219978,
    0.012584863693687547,
    -0.0071648142483590055,
    0.003938029466732021,
    -0.002251228324607473,
    0.0010615235149355428,
    -0.00027588465034851327,
    0.0001356839530112715,
    -0.0001614910793552551,
    5.968420129042014e-05,
];
/// From here on the error function is 1 in f32.
const ERF_END: f64 = 3.925;
/// ln((1 + s) / (1 - s)) / s in s^2, for mantissas within a square root of 2 of 1, to 2^-37.
const LN: [f64; 5] =
    [2.0000000000083595, 0.6666666524748752, 0.4000038467237519, 0.2853505103781631, 0.23616359099145984];
/// tanh(x) / x in x^2 near zero: the Taylor series.
const TANH: [f64; 5] = [1.0, -1.0 / 3.0, 2.0 / 15.0, -17.0 / 315.0, 62.0 / 2835.0];
/// Where the series ends and (1 - e^-2x) / (1 + e^-2x) begins.
const TANH_SERIES_END: f64 = 1.0 / 16.0;

/// Values that the functions of blocks take: so many vectors that the steps of their polynomials, each of which waits for the one
/// before, keep the processor busy.
pub const BLOCK: usize = 96;

/// As [`polynomial`], of every value of a block, step by step.
#[inline(always)]
fn polynomials<const N: usize>(coefficients: &[f64; N], x: &[f64; BLOCK]) -> [f64; BLOCK] {
    let mut sum = [coefficients[N - 1]; BLOCK];
    for c in coefficients[..N - 1].iter().rev() {
        for i in 0..BLOCK {
            sum[i] = sum[i].mul_add(x[i], *c);
        }
    }
    sum
}

/// As [`exp_by`], of every value of a block.
#[inline(always)]
fn exp_block_by<const N: usize>(coefficients: &[f64; N], x: &mut [f64; BLOCK]) {
    let mut power = [0.0; BLOCK];
    for i in 0..BLOCK {
        let rounded = x[i].mul_add(std::f64::consts::LOG2_E, ROUND);
        let k = rounded - ROUND;
        x[i] = k.mul_add(-LN_2[1], k.mul_add(-LN_2[0], x[i]));
        power[i] = f64::from_bits((rounded.to_bits() << 52).wrapping_add(ONE));
    }
    *x = polynomials(coefficients, x);
    for i in 0..BLOCK {
        x[i] *= power[i];
    }
}

/// [`exp`] of a block of values.
#[inline(always)]
pub fn exp_block(x: &mut [f32; BLOCK]) {
    let mut v = [0.0; BLOCK];
    for i in 0..BLOCK {
        v[i] = clamp(f64::from(x[i]), -106.0, 90.0);
    }
    exp_block_by(&EXP, &mut v);
    for i in 0..BLOCK {
        x[i] = v[i] as f32;
    }
}

/// [`exp_f64`] of a block of values.
#[inline(always)]
pub fn exp_f64_block(x: &mut [f64; BLOCK]) {
    for x in x.iter_mut() {
        *x = clamp(*x, -708.0, 709.0);
    }
    exp_block_by(&EXP_F64, x);
}

/// [`tanh`] of a block of values.
#[inline(always)]
pub fn tanh_block(x: &mut [f32; BLOCK]) {
    let (mut e, mut square) = ([0.0; BLOCK], [0.0; BLOCK]);
    for i in 0..BLOCK {
        let v = f64::from(x[i]);
        e[i] = clamp(-2.0 * v.abs(), -60.0, 0.0);
        square[i] = v * v;
    }
    exp_block_by(&EXP, &mut e);
    let series = polynomials(&TANH, &square);
    for i in 0..BLOCK {
        let v = f64::from(x[i]);
        let far = ((1.0 - e[i]) / (1.0 + e[i])).copysign(v);
        x[i] = (if v.abs() < TANH_SERIES_END { v * series[i] } else { far }) as f32;
    }
}

/// [`erf`] of a block of values.
#[inline(always)]
pub fn erf_block(x: &mut [f32; BLOCK]) {
    let mut s = [0.0; BLOCK];
    for i in 0..BLOCK {
        let v = clamp(f64::from(x[i]), -ERF_END, ERF_END);
        s[i] = (v * v).mul_add(2.0 / (ERF_END * ERF_END), -1.0);
    }
    let sum = polynomials(&ERF, &s);
    for i in 0..BLOCK {
        x[i] = (clamp(f64::from(x[i]), -ERF_END, ERF_END) * sum[i]) as f32;
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

/// x between `low` and `high`; a NaN stays.
#[inline(always)]
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// e^x by a polynomial for |r| <= ln 2 / 2, for x between -708 and 709.
#[inline(always)]
fn exp_by<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let rounded = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let k = rounded - ROUND;
    let r = k.mul_add(-LN_2[1], k.mul_add(-LN_2[0], x));
    // Times 2^k: a product, in which a NaN stays.
    polynomial(coefficients, r) * f64::from_bits((rounded.to_bits() << 52).wrapping_add(ONE))
}

/// e^x
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Beyond these bounds f32 overflows, or is zero.
    exp_by(&EXP, clamp(f64::from(x), -106.0, 90.0)) as f32
}

/// e^x in f64, to a unit in the last place or two; below -708 that of -708, next to nothing.
#[inline(always)]
pub fn exp_f64(x: f64) -> f64 {
    exp_by(&EXP_F64, clamp(x, -708.0, 709.0))
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
    let v = f64::from(x);
    let e = exp_by(&EXP, clamp(-2.0 * v.abs(), -60.0, 0.0));
    let far = ((1.0 - e) / (1.0 + e)).copysign(v);
    let near = v * polynomial(&TANH, v * v);
    (if v.abs() < TANH_SERIES_END { near } else { far }) as f32
}

/// The error function.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let v = clamp(f64::from(x), -ERF_END, ERF_END);
    (v * polynomial(&ERF, (v * v).mul_add(2.0 / (ERF_END * ERF_END), -1.0))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::arch;

    /// A function, its truth in f64, and the largest error in units in the last place of f32: half of one is rounding.
    type Judged = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);

    const FUNCTIONS: [Judged; 4] = [
        ("exp", exp, libm::exp, 0.505),
        ("ln", ln, libm::log, 0.505),
        ("tanh", tanh, libm::tanh, 0.505),
        ("erf", erf, libm::erf, 0.51),
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
