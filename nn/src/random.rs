//! Random numbers that depend only on a seed, a stream's name and a position.
//!
//! Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a counter into
//! random bits, so that values can be computed in any order and on any number of threads. Streams
//! are named by purpose: two purposes never share numbers, and drawing more for one leaves the others alone.

mod normal;

use crate::simd::arch;
use pulp::{Simd, WithSimd};

/// Values that are computed side by side.
const LANES: usize = 16;

/// A stream of random numbers: a function from positions to values, with a cursor for those who only want "the next".
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    high: [u32; 2],
    cursor: u64,
}

impl Stream {
    /// The stream called `name` under `seed`; its cursor stands at position 0.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        let digest = hasher.finalize();
        let word = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| digest.as_bytes()[4 * i + k]));
        Stream { key: [word(0), word(1)], high: [word(2), word(3)], cursor: 0 }
    }

    /// 64 random bits at position `i`.
    pub fn u64_at(&self, i: u64) -> u64 {
        self.pair_at(i).0
    }

    /// A value in `[0, 1)` at position `i`: the top 53 bits of [`Stream::u64_at`].
    pub fn uniform_at(&self, i: u64) -> f64 {
        unit(self.u64_at(i))
    }

    /// A value from the standard normal distribution at position `i` (Box and Muller 1958).
    pub fn normal_at(&self, i: u64) -> f64 {
        self.normals_from::<1>(i)[0]
    }

    /// [`Stream::normal_at`] at the positions from `first` on, many at a time.
    pub fn normals(&self, first: u64, to: &mut [f64]) {
        arch().dispatch(Normals { stream: self, first, to });
    }

    #[inline(always)]
    fn normals_from<const N: usize>(&self, first: u64) -> [f64; N] {
        let (a, b) = self.pairs_from::<N>(first);
        normal::normals(&a, &b)
    }

    /// [`Stream::u64_at`] at the cursor, which advances by one.
    pub fn next_u64(&mut self) -> u64 {
        let i = self.step();
        self.u64_at(i)
    }

    /// [`Stream::uniform_at`] at the cursor, which advances by one.
    pub fn next_uniform(&mut self) -> f64 {
        let i = self.step();
        self.uniform_at(i)
    }

    /// [`Stream::normal_at`] at the cursor, which advances by one.
    pub fn next_normal(&mut self) -> f64 {
        let i = self.step();
        self.normal_at(i)
    }

    /// A whole number in `0..n`, each equally likely (0 when `n` is 0); the cursor advances by one or more (Lemire 2019).
    pub fn next_below(&mut self, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// Puts `items` into a random order, each order equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.next_below(i as u64 + 1) as usize);
        }
    }

    /// The numbers `0..n` in a random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    fn step(&mut self) -> u64 {
        let i = self.cursor;
        self.cursor = self.cursor.wrapping_add(1);
        i
    }

    fn pair_at(&self, i: u64) -> (u64, u64) {
        let ([a], [b]) = self.pairs_from::<1>(i);
        (a, b)
    }

    #[inline(always)]
    fn pairs_from<const N: usize>(&self, first: u64) -> ([u64; N], [u64; N]) {
        let [mut low, mut high] = [[0; N]; 2];
        for k in 0..N {
            let at = first.wrapping_add(k as u64);
            (low[k], high[k]) = (at as u32, (at >> 32) as u32);
        }
        let [a, b, c, d] = philox([low, high, [self.high[0]; N], [self.high[1]; N]], self.key);
        let (mut one, mut two) = ([0; N], [0; N]);
        for k in 0..N {
            one[k] = u64::from(a[k]) | u64::from(b[k]) << 32;
            two[k] = u64::from(c[k]) | u64::from(d[k]) << 32;
        }
        (one, two)
    }
}

/// Normal values from position `first` on.
struct Normals<'a> {
    stream: &'a Stream,
    first: u64,
    to: &'a mut [f64],
}

impl WithSimd for Normals<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (k, part) in self.to.chunks_mut(LANES).enumerate() {
            let values = self.stream.normals_from::<LANES>(self.first.wrapping_add((k * LANES) as u64));
            part.copy_from_slice(&values[..part.len()]);
        }
    }
}

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// N counters side by side, each word's values together.
#[inline(always)]
fn philox<const N: usize>([mut a, mut b, mut c, mut d]: [[u32; N]; 4], mut key: [u32; 2]) -> [[u32; N]; 4] {
    for _ in 0..10 {
        for k in 0..N {
            let p = u64::from(a[k]) * 0xD251_1F53;
            let q = u64::from(c[k]) * 0xCD9E_8D57;
            (a[k], b[k]) = ((q >> 32) as u32 ^ b[k] ^ key[0], q as u32);
            (c[k], d[k]) = ((p >> 32) as u32 ^ d[k] ^ key[1], p as u32);
        }
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_answers() {
        let one = |counter: [u32; 4], key| philox(counter.map(|word| [word]), key).map(|[word]| word);
        assert_eq!(one([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(one([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        assert_eq!(one(pi, [0xa4093822, 0x299f31d0]), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }

    #[test]
    fn many_normal_values_at_a_time_are_those_of_their_positions() {
        let stream = Stream::new(5, "many");
        for (first, n) in [(0, 1), (3, 40), (u64::from(u32::MAX) - 7, 33)] {
            let mut many = vec![0.0; n];
            stream.normals(first, &mut many);
            let each: Vec<f64> = (0..n).map(|k| stream.normal_at(first + k as u64)).collect();
            assert_eq!(many, each);
        }
    }

    #[test]
    fn values_have_the_moments_of_their_distribution() {
        let stream = Stream::new(7, "moments");
        let n = 200_000;
        let moments = |f: &dyn Fn(u64) -> f64| {
            let (mut sum, mut square) = (0.0, 0.0);
            for i in 0..n {
                sum += f(i);
                square += f(i) * f(i);
            }
            (sum / n as f64, square / n as f64)
        };
        let (mean, square) = moments(&|i| stream.uniform_at(i));
        assert!((mean - 0.5).abs() < 0.005 && (square - 1.0 / 3.0).abs() < 0.005, "{mean} {square}");
        let (mean, square) = moments(&|i| stream.normal_at(i));
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.02, "{mean} {square}");
    }

    #[test]
    fn order_of_use_does_not_matter_and_names_and_seeds_do() {
        let stream = Stream::new(1, "a");
        let mut walker = stream.clone();
        let walked: Vec<u64> = (0..5).map(|_| walker.next_u64()).collect();
        let jumped: Vec<u64> = (0..5).rev().map(|i| stream.u64_at(i)).rev().collect();
        assert_eq!(walked, jumped);
        assert_ne!(stream.u64_at(0), Stream::new(1, "b").u64_at(0));
        assert_ne!(stream.u64_at(0), Stream::new(2, "a").u64_at(0));
    }

    #[test]
    fn a_permutation_holds_every_number_once_and_below_is_even() {
        let mut order = Stream::new(3, "order").permutation(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        let mut counts = [0usize; 6];
        let mut die = Stream::new(3, "die");
        for _ in 0..60_000 {
            counts[die.next_below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|&n| (9_600..10_400).contains(&n)), "{counts:?}");
        assert_eq!(die.next_below(0), 0);
    }
}
