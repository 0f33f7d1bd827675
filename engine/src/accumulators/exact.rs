//! Sums without rounding, so that their order does not matter.
//!
//! A small superaccumulator (Neal, "Fast exact summation using small and large superaccumulators", 2015): one wide
//! fixed-point number that holds any sum of f64 exactly.

use crate::error::{Error, Result};

/// Limbs of 32 bits from 2^-1074 up, each kept in 64 so that carries can wait.
const LIMBS: usize = 68;
/// Additions after which carries must be taken.
const ADDITIONS_PER_CARRY: u32 = 1 << 30;

/// A sum of f64 values that is exact until it is read.
#[derive(Clone, Debug)]
pub struct ExactSum {
    limbs: [i64; LIMBS],
    waiting: u32,
    /// The sum of what is not finite.
    beyond: f64,
}

impl Default for ExactSum {
    fn default() -> Self {
        ExactSum { limbs: [0; LIMBS], waiting: 0, beyond: 0.0 }
    }
}

impl ExactSum {
    /// Zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            self.beyond += x;
            return;
        }
        let bits = x.to_bits();
        let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        let (place, digits) = if exponent == 0 { (0, fraction) } else { (exponent - 1, fraction | 1 << 52) };
        let wide = u128::from(digits) << (place % 32);
        let at = (place / 32) as usize;
        let sign = if x < 0.0 { -1 } else { 1 };
        for (limb, part) in self.limbs[at..at + 3].iter_mut().zip([wide, wide >> 32, wide >> 64]) {
            *limb += sign * (part & 0xffff_ffff) as i64;
        }
        self.waiting += 1;
        if self.waiting >= ADDITIONS_PER_CARRY {
            self.carry();
        }
    }

    /// Adds all that went into another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        self.limbs.iter_mut().zip(other.limbs).for_each(|(a, b)| *a += b);
        self.waiting = 2;
        self.beyond += other.beyond;
    }

    /// The sum, rounded once.
    pub fn value(&self) -> f64 {
        if self.beyond != 0.0 || self.beyond.is_nan() {
            return self.beyond;
        }
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.limbs[LIMBS - 1] < 0;
        if negative {
            sum.limbs.iter_mut().for_each(|l| *l = -*l);
            sum.carry();
        }
        let Some(highest) = sum.limbs.iter().rposition(|l| *l != 0) else { return 0.0 };
        let lowest = highest.saturating_sub(2);
        let mut digits = sum.limbs[lowest..=highest].iter().rev().fold(0u128, |d, l| d << 32 | *l as u128);
        if sum.limbs[..lowest].iter().any(|l| *l != 0) {
            digits |= 1;
        }
        let magnitude = libm::scalbn(digits as f64, 32 * lowest as i32 - 1074);
        if negative { -magnitude } else { magnitude }
    }

    /// The sum as whole numbers; two that stand for the same number give the same.
    pub fn write(&self) -> Vec<i64> {
        self.canonical().into_iter().chain([self.beyond.to_bits() as i64]).collect()
    }

    /// The sum that [`ExactSum::write`] wrote.
    ///
    /// # Errors
    /// Where the numbers are no such sum.
    pub fn read(numbers: &[i64]) -> Result<Self> {
        let damaged = || Error::format("a damaged sum");
        let (beyond, limbs) = numbers.split_last().ok_or_else(damaged)?;
        let limbs: [i64; LIMBS] = limbs.try_into().map_err(|_| damaged())?;
        if limbs[..LIMBS - 1].iter().any(|l| *l >> 32 != 0) {
            return Err(damaged());
        }
        Ok(ExactSum { limbs, waiting: 1, beyond: f64::from_bits(*beyond as u64) })
    }

    /// The canonical limbs, for files.
    fn canonical(&self) -> [i64; LIMBS] {
        let mut sum = self.clone();
        sum.carry();
        sum.limbs
    }

    /// Brings every limb but the last into 0 to 2^32 - 1.
    fn carry(&mut self) {
        for i in 0..LIMBS - 1 {
            let over = self.limbs[i] >> 32;
            self.limbs[i] -= over << 32;
            self.limbs[i + 1] += over;
        }
        self.waiting = 0;
    }
}

/// Two sums are equal when they stand for the same number.
impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical() && self.beyond.to_bits() == other.beyond.to_bits()
    }
}

/// Count, mean, variance and share of positive values of a stream, exact until read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    count: u64,
    positive: u64,
    sum: ExactSum,
    squares: ExactSum,
}

impl Moments {
    /// Of no values yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value; the square of an f32 is exact in f64.
    pub fn add(&mut self, x: f32) {
        self.count += 1;
        self.positive += u64::from(x > 0.0);
        self.sum.add(f64::from(x));
        self.squares.add(f64::from(x) * f64::from(x));
    }

    /// Merges another's values.
    pub fn merge(&mut self, other: &Moments) {
        self.count += other.count;
        self.positive += other.positive;
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The share of values above zero; NaN of none.
    pub fn positive(&self) -> f64 {
        self.positive as f64 / self.count as f64
    }

    /// The mean; NaN of none.
    pub fn mean(&self) -> f64 {
        self.sum.value() / self.count as f64
    }

    /// The standard deviation with divisor n; NaN of none.
    pub fn std(&self) -> f64 {
        let mean = self.mean();
        (self.squares.value() / self.count as f64 - mean * mean).max(0.0).sqrt()
    }

    /// How many numbers [`Moments::write`] makes.
    pub const WRITTEN: usize = 8 + 2 * (2 * LIMBS + 2);

    /// The state as numbers below 2^16 (and what is not finite), each exact in f32.
    pub fn write(&self, out: &mut Vec<f32>) {
        let mut split = |v: u64, parts: u32| {
            (0..parts).for_each(|i| out.push((v >> (16 * i) & 0xffff) as f32));
        };
        split(self.count, 4);
        split(self.positive, 4);
        for sum in [&self.sum, &self.squares] {
            let mut limbs = sum.canonical();
            let negative = limbs[LIMBS - 1] < 0;
            limbs[LIMBS - 1] &= 0xffff_ffff;
            for limb in limbs {
                out.push((limb & 0xffff) as f32);
                out.push((limb >> 16 & 0xffff) as f32);
            }
            out.extend([f32::from(u8::from(negative)), sum.beyond as f32]);
        }
    }

    /// The state that [`Moments::write`] wrote.
    ///
    /// # Errors
    /// Where the numbers are no such state.
    pub fn read(numbers: &[f32]) -> Result<Self> {
        let damaged = || Error::format("a damaged running state");
        if numbers.len() != Self::WRITTEN {
            return Err(damaged());
        }
        let join = |n: &[f32]| n.iter().rev().fold(0u64, |v, p| v << 16 | *p as u64);
        let sum = |n: &[f32]| {
            let mut limbs = [0i64; LIMBS];
            limbs.iter_mut().zip(n.chunks(2)).for_each(|(l, p)| *l = join(p) as i64);
            if n[2 * LIMBS] == 1.0 {
                limbs[LIMBS - 1] -= 1 << 32;
            }
            ExactSum { limbs, waiting: 0, beyond: f64::from(n[2 * LIMBS + 1]) }
        };
        let (a, b) = numbers[8..].split_at(2 * LIMBS + 2);
        Ok(Moments { count: join(&numbers[..4]), positive: join(&numbers[4..8]), sum: sum(a), squares: sum(b) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Stream;

    #[test]
    fn sums_are_exact_and_rounded_once() {
        let sum = |values: &[f64]| {
            let mut s = ExactSum::new();
            values.iter().for_each(|v| s.add(*v));
            s.value()
        };
        assert_eq!(sum(&[1e300, 1.0, -1e300]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MIN_POSITIVE / 4.0, -1.0, 1.0]), f64::MIN_POSITIVE / 4.0);
        assert_eq!(sum(&[-2.5, 1.0]), -1.5);
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        // 2^53 + 1 + 2^-60 lies above the half-way mark: only a sticky bit far below tells.
        assert_eq!(sum(&[9_007_199_254_740_992.0, 1.0, 2f64.powi(-60)]), 9_007_199_254_740_994.0);
    }

    #[test]
    fn sums_of_parts_join_exactly_and_survive_a_file() {
        let parts: [&[f64]; 4] = [&[1e300, -3.5], &[], &[-1e300, 2f64.powi(-1074)], &[0.25, -2f64.powi(-1074)]];
        let mut joined = ExactSum::new();
        for part in parts.iter().rev() {
            let mut sum = ExactSum::new();
            part.iter().for_each(|v| sum.add(*v));
            joined.merge(&ExactSum::read(&sum.write()).unwrap());
        }
        assert_eq!(joined.value(), -3.25);
        assert!(ExactSum::read(&[0; 3]).is_err() && ExactSum::read(&[i64::MAX; LIMBS + 1]).is_err());
    }

    #[test]
    fn moments_of_shards_join_bit_for_bit_and_survive_a_file() {
        let stream = Stream::new(1, "values");
        let values: Vec<f32> =
            (0..1000).map(|i| (stream.normal_at(i) * 10f64.powi((i % 11) as i32 - 5)) as f32).collect();
        let whole = values.iter().fold(Moments::new(), |mut m, v| {
            m.add(*v);
            m
        });
        for ways in [1, 2, 3, 7] {
            let mut joined = Moments::new();
            for shard in values.chunks(1000usize.div_ceil(ways)).rev() {
                let mut part = Moments::new();
                shard.iter().for_each(|v| part.add(*v));
                let mut numbers = Vec::new();
                part.write(&mut numbers);
                joined.merge(&Moments::read(&numbers).unwrap());
            }
            assert_eq!(joined, whole, "{ways} ways");
        }
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 1000.0;
        assert!((whole.mean() - mean).abs() <= 1e-9 * mean.abs().max(1.0) && whole.count() == 1000);
    }
}
