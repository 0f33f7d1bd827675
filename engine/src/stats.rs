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
    ((centre - half).max(0.0), (centre + half).min(1.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_agrees_with_the_textbook() {
        // Newcombe 1998, table I: 81 of 263.
        let (low, high) = wilson(81, 263, Z95);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0, Z95), (0.0, 1.0));
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
}
