//! The statistics that probes report: intervals for shares, rank correlation, structural similarity, two judges compared.

pub mod agreement;

/// The Wilson interval of a share of `hits` in `n` at normal quantile `z` (1.96 for 95 %); 0 to 1 where n is 0.
///
/// Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
pub fn wilson(hits: usize, n: usize, z: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    let (p, n) = (hits as f64 / n as f64, n as f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let low = if hits == 0 { 0.0 } else { centre - half };
    let high = if p == 1.0 { 1.0 } else { centre + half };
    (low, high)
}

/// The normal quantile of a two-sided 95 % interval.
pub const Z95: f64 = 1.959_963_984_540_054;

/// The share of a standard normal distribution above `z`.
pub fn normal_above(z: f64) -> f64 {
    0.5 * libm::erfc(z / std::f64::consts::SQRT_2)
}

/// The entropy of a distribution, nats; zeros count nothing.
pub fn entropy(shares: &[f64]) -> f64 {
    shares.iter().filter(|p| **p > 0.0).map(|p| -p * libm::log(*p)).sum()
}

/// The value below which a share `q` of sorted `values` lies, between the two nearest ones (R's type 7). None of none.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let at = q * (values.len().checked_sub(1)?) as f64;
    let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
    Some(low + (high - low) * (at - at.floor()))
}

/// The median; the mean of the middle two for an even number of values, NaN for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        _ => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

/// Spearman's rank correlation; ties share their mean rank. None where either side is constant.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    pearson(&ranks(a), &ranks(b))
}

/// Pearson's correlation. None where either side is constant.
pub fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len().min(b.len()) as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let (ma, mb) = (mean(a), mean(b));
    let product =
        |x: &[f64], mx: f64, y: &[f64], my: f64| x.iter().zip(y).map(|(p, q)| (p - mx) * (q - my)).sum::<f64>();
    let (va, vb) = (product(a, ma, a, ma), product(b, mb, b, mb));
    (va > 0.0 && vb > 0.0).then(|| product(a, ma, b, mb) / (va * vb).sqrt())
}

/// The rank of each value from 1; equal values share their mean rank.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|i, j| values[*i].total_cmp(&values[*j]).then(i.cmp(j)));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let mut to = from;
        while to + 1 < order.len() && values[order[to + 1]] == values[order[from]] {
            to += 1;
        }
        let shared = (from + to) as f64 / 2.0 + 1.0;
        order[from..=to].iter().for_each(|i| ranks[*i] = shared);
        from = to + 1;
    }
    ranks
}

/// The structural similarity of two maps of `rows` x `columns`, averaged over windows of 7 x 7 (or the whole, where
/// smaller), with the larger of their ranges as the dynamic range.
///
/// Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", 2004.
pub fn ssim(a: &[f64], b: &[f64], rows: usize, columns: usize) -> f64 {
    let range = |v: &[f64]| {
        v.iter().copied().fold(f64::NEG_INFINITY, f64::max) - v.iter().copied().fold(f64::INFINITY, f64::min)
    };
    let l = range(a).max(range(b));
    if l == 0.0 {
        return 1.0;
    }
    let (c1, c2) = ((0.01 * l).powi(2), (0.03 * l).powi(2));
    let (h, w) = (7.min(rows), 7.min(columns));
    let (mut sum, mut count) = (0.0, 0usize);
    for y in 0..=rows - h {
        for x in 0..=columns - w {
            let window =
                |v: &[f64]| -> Vec<f64> { (0..h).flat_map(|i| v[(y + i) * columns + x..][..w].to_vec()).collect() };
            let (p, q) = (window(a), window(b));
            let n = p.len() as f64;
            let (mp, mq) = (p.iter().sum::<f64>() / n, q.iter().sum::<f64>() / n);
            let spread = |u: &[f64], mu: f64, v: &[f64], mv: f64| {
                u.iter().zip(v).map(|(s, t)| (s - mu) * (t - mv)).sum::<f64>() / (n - 1.0).max(1.0)
            };
            let (vp, vq, cov) = (spread(&p, mp, &p, mp), spread(&q, mq, &q, mq), spread(&p, mp, &q, mq));
            sum += (2.0 * mp * mq + c1) * (2.0 * cov + c2) / ((mp * mp + mq * mq + c1) * (vp + vq + c2));
            count += 1;
        }
    }
    sum / count as f64
}

/// A test of whether hits grow or fall with a quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Standard normal where there is no trend; positive where hits have the larger values.
    pub z: f64,
    /// The two-sided p-value.
    pub p: f64,
    /// The probability that a hit's value is above a miss's, ties half: 0.5 without a trend.
    pub above: f64,
}

/// Wilcoxon's rank-sum test of the values of hits against those of misses, ties shared, strata apart (van Elteren 1960)
/// where `strata` are given: only values of one stratum are compared. None where nothing can be compared.
pub fn trend(values: &[f64], hits: &[bool], strata: &[usize]) -> Option<Trend> {
    let count = strata.iter().max().map_or(1, |m| m + 1);
    let (mut excess, mut variance, mut above, mut pairs) = (0.0, 0.0, 0.0, 0.0);
    for stratum in 0..count {
        let those: Vec<usize> = (0..values.len()).filter(|i| strata.get(*i).copied().unwrap_or(0) == stratum).collect();
        let own: Vec<f64> = those.iter().map(|i| values[*i]).collect();
        let n = own.len() as f64;
        let h = those.iter().filter(|i| hits[**i]).count() as f64;
        if h == 0.0 || h == n {
            continue;
        }
        let ranks = ranks(&own);
        let sum: f64 = ranks.iter().zip(&those).filter(|(_, i)| hits[**i]).map(|(r, _)| r).sum();
        let mean = (n + 1.0) / 2.0;
        let spread: f64 = ranks.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Strata weigh by 1 / (n + 1), van Elteren's choice.
        let weight = 1.0 / (n + 1.0);
        excess += weight * (sum - h * mean);
        variance += weight * weight * h * (n - h) / n * spread;
        above += sum - h * (h + 1.0) / 2.0;
        pairs += h * (n - h);
    }
    (variance > 0.0).then(|| {
        let z = excess / variance.sqrt();
        Trend { z, p: two_sided(z), above: above / pairs }
    })
}

/// The probability that a standard normal value is farther from zero than z.
pub fn two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// Pearson's chi-square test that all groups, given as (hits, n), have one share: the statistic, its degrees of freedom and
/// p. None with fewer than two groups, or where all are hits or none is.
pub fn homogeneity(groups: &[(usize, usize)]) -> Option<(f64, usize, f64)> {
    let groups: Vec<(f64, f64)> = groups.iter().filter(|g| g.1 > 0).map(|g| (g.0 as f64, g.1 as f64)).collect();
    let (hits, n) = groups.iter().fold((0.0, 0.0), |a, g| (a.0 + g.0, a.1 + g.1));
    if groups.len() < 2 || hits == 0.0 || hits == n {
        return None;
    }
    let p = hits / n;
    let statistic: f64 = groups.iter().map(|(h, n)| (h - n * p).powi(2) / (n * p * (1.0 - p))).sum();
    let degrees = groups.len() - 1;
    Some((statistic, degrees, upper_gamma(degrees as f64 / 2.0, statistic / 2.0)))
}

/// The regularised upper incomplete gamma function Q(a, x): a series below a + 1, a continued fraction above.
fn upper_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let scale = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-16 {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return (1.0 - scale * sum).max(0.0);
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / tiny, 1.0 / b);
    let mut h = d;
    for i in 1..500 {
        let step = -(i as f64) * (i as f64 - a);
        b += 2.0;
        d = 1.0 / {
            let v = step * d + b;
            if v.abs() < tiny { tiny } else { v }
        };
        c = b + step / c;
        if c.abs() < tiny {
            c = tiny;
        }
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    scale * h
}

/// The 95 % percentile bootstrap interval of a statistic of n items: `statistic` of `rounds` resamples with replacement.
pub fn bootstrap(
    n: usize,
    rounds: usize,
    stream: &mut crate::random::Stream,
    mut statistic: impl FnMut(&[usize]) -> f64,
) -> (f64, f64) {
    if n == 0 || rounds == 0 {
        return (f64::NAN, f64::NAN);
    }
    let mut sample = vec![0; n];
    let mut values: Vec<f64> = (0..rounds)
        .map(|_| {
            sample.iter_mut().for_each(|s| *s = (((stream.next_u64() >> 32) * n as u64) >> 32) as usize);
            statistic(&sample)
        })
        .filter(|v| v.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values.get(((values.len().max(1) - 1) as f64 * q).round() as usize).copied().unwrap_or(f64::NAN);
    (at(0.025), at(0.975))
}

/// A p-value as papers write it.
pub fn p_value_text(p: f64) -> String {
    if p < 0.001 { "< .001".into() } else { format!("= {p:.3}").replace("0.", ".") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn wilson_agrees_with_the_textbook() {
        // Newcombe 1998, table I: 81 of 263.
        let (low, high) = wilson(81, 263, Z95);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0, Z95), (0.0, 1.0));
        assert_eq!((wilson(0, 12, Z95).0, wilson(12, 12, Z95).1), (0.0, 1.0), "rounding stays out");
    }

    #[test]
    fn spearman_shares_ranks_among_ties() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 100.0, 1000.0]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 1.0], &[3.0, 2.0]), None);
    }

    #[test]
    fn ssim_is_one_for_equal_maps_only() {
        let a: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 100)).collect();
        let b: Vec<f64> = (0..100).map(|i| f64::from(i * 61 % 100)).collect();
        assert!((ssim(&a, &a, 10, 10) - 1.0).abs() < 1e-12);
        assert!(ssim(&a, &b, 10, 10) < 0.5);
    }

    #[test]
    fn the_trend_test_is_wilcoxon_s() {
        // SciPy: mannwhitneyu([1, 3, 5, 5], [2, 4, 5, 6, 7], use_continuity=False): U = 5.5, p = .264...
        let values = [1.0, 3.0, 5.0, 5.0, 2.0, 4.0, 5.0, 6.0, 7.0];
        let hits = [true, true, true, true, false, false, false, false, false];
        let found = trend(&values, &hits, &[]).unwrap();
        // By hand: mean U 10, tie-corrected variance 4 * 5 / 12 * (10 - 24 / 72) = 16.111; z = -4 / 4.0139.
        assert!((found.above - 6.0 / 20.0).abs() < 1e-12, "{found:?}");
        assert!((found.z + 4.0 / (20.0 / 12.0 * (10.0 - 24.0 / 72.0_f64)).sqrt()).abs() < 1e-9, "{found:?}");
        assert_eq!(trend(&values, &[true; 9], &[]), None);
        // Two strata of one trend each; between them the opposite.
        let values: Vec<f64> = (0..40).map(|i| f64::from(i % 20) + if i < 20 { 100.0 } else { 0.0 }).collect();
        let hits: Vec<bool> = (0..40).map(|i| i % 20 >= if i < 20 { 15 } else { 5 }).collect();
        let strata: Vec<usize> = (0..40).map(|i| i / 20).collect();
        assert!(trend(&values, &hits, &strata).unwrap().z > 4.0);
        assert!(trend(&values, &hits, &[]).unwrap().z < 1.0);
    }

    #[test]
    fn chi_square_agrees_with_tables() {
        // The 95 % quantiles of chi-square: 3.841, 5.991, 18.307 at 1, 2, 10 degrees.
        for (degrees, quantile) in [(1.0, 3.841_458_8), (2.0, 5.991_464_5), (10.0, 18.307_038)] {
            assert!((upper_gamma(degrees / 2.0, quantile / 2.0) - 0.05).abs() < 1e-7);
        }
        let (statistic, degrees, p) = homogeneity(&[(30, 50), (20, 50)]).unwrap_or_default();
        assert!((statistic - 4.0).abs() < 1e-12 && degrees == 1 && (p - 0.0455).abs() < 1e-4);
        assert!((two_sided(1.959_963_984_540_054) - 0.05).abs() < 1e-12);
    }

    #[test]
    fn the_bootstrap_agrees_with_the_normal_interval_of_a_mean() {
        let mut stream = crate::random::Stream::new(3, "bootstrap");
        let hits = |sample: &[usize]| sample.iter().filter(|i| **i < 60).count() as f64 / 200.0;
        let (low, high) = bootstrap(200, 2000, &mut stream, hits);
        let half = 1.96 * (0.3f64 * 0.7 / 200.0).sqrt();
        assert!((low - 0.3 + half).abs() < 0.012 && (high - 0.3 - half).abs() < 0.012, "{low} {high}");
    }
}
