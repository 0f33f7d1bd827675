//! Compares two judges of the same images: their numbers of errors, and whether they err on the same images.

use super::{Z95, normal_above};

/// How often two judges are right or wrong on the images that both judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Both right.
    pub both_right: usize,
    /// The first wrong, the second right.
    pub first_wrong: usize,
    /// The second wrong, the first right.
    pub second_wrong: usize,
    /// Both wrong.
    pub both_wrong: usize,
}

impl Paired {
    /// From who was right on each image.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut p = Paired::default();
        for (first, second) in pairs {
            *match (first, second) {
                (true, true) => &mut p.both_right,
                (false, true) => &mut p.first_wrong,
                (true, false) => &mut p.second_wrong,
                (false, false) => &mut p.both_wrong,
            } += 1;
        }
        p
    }

    /// Images that both judged.
    pub fn n(&self) -> usize {
        self.both_right + self.first_wrong + self.second_wrong + self.both_wrong
    }

    /// The errors of the first and of the second.
    pub fn errors(&self) -> [usize; 2] {
        [self.first_wrong + self.both_wrong, self.second_wrong + self.both_wrong]
    }

    /// Images that both got wrong as a share of those that either did (Jaccard's index); None where neither erred.
    pub fn overlap(&self) -> Option<f64> {
        let either = self.first_wrong + self.second_wrong + self.both_wrong;
        (either > 0).then(|| self.both_wrong as f64 / either as f64)
    }

    /// The error consistency of two judges: Cohen's kappa over right and wrong, 0 where they err together as often as two
    /// independent judges of their accuracies would, 1 where they err on the same images. None where that is undefined:
    /// both always right, or both always wrong.
    ///
    /// Geirhos, Meding, Wichmann, "Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and humans by measuring
    /// error consistency", 2020, section 2.
    pub fn error_consistency(&self) -> Option<f64> {
        let n = self.n() as f64;
        let right = self.errors().map(|e| 1.0 - e as f64 / n);
        let expected = right[0] * right[1] + (1.0 - right[0]) * (1.0 - right[1]);
        kappa((self.both_right + self.both_wrong) as f64 / n, expected)
    }

    /// McNemar's test that both err equally often: the exact two-sided p value of the images on which just one errs, and the
    /// chi-squared statistic without correction.
    ///
    /// McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", 1947.
    pub fn mcnemar(&self) -> (f64, f64) {
        let (b, c) = (self.first_wrong, self.second_wrong);
        let n = b + c;
        if n == 0 {
            return (0.0, 1.0);
        }
        let statistic = (b as f64 - c as f64).powi(2) / n as f64;
        let tail: f64 = (0..=b.min(c)).map(|k| libm::exp(log_choose(n, k) - n as f64 * std::f64::consts::LN_2)).sum();
        (statistic, (2.0 * tail).min(1.0))
    }
}

/// Cohen's kappa: agreement beyond what chance alone gives. None where chance alone agrees always.
///
/// Cohen, "A coefficient of agreement for nominal scales", 1960.
pub fn kappa(observed: f64, expected: f64) -> Option<f64> {
    // What is left of a difference of equal shares is rounding.
    let beyond = if (observed - expected).abs() < 1e-12 { 0.0 } else { observed - expected };
    (expected < 1.0).then(|| beyond / (1.0 - expected))
}

/// Cohen's kappa of two lists of categories. None for empty lists, or where both name one and the same category always.
pub fn cohen_kappa(pairs: &[(usize, usize)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let categories = pairs.iter().map(|(a, b)| a.max(b) + 1).max()?;
    let mut shares = vec![[0.0; 2]; categories];
    let mut observed = 0.0;
    for (a, b) in pairs {
        shares[*a][0] += 1.0 / n;
        shares[*b][1] += 1.0 / n;
        observed += f64::from(u8::from(a == b)) / n;
    }
    let expected: f64 = shares.iter().map(|s| s[0] * s[1]).sum();
    if expected > 1.0 - 1e-12 { None } else { kappa(observed, expected) }
}

/// The z-test that the first errs more often than the second, of two independent samples with a pooled share: z and the
/// one-sided p value. None where no one or everyone erred.
pub fn z_test(errors: [usize; 2], n: [usize; 2]) -> Option<(f64, f64)> {
    let [n1, n2] = n.map(|n| n as f64);
    let share = (errors[0] + errors[1]) as f64 / (n1 + n2);
    let deviation = (share * (1.0 - share) * (1.0 / n1 + 1.0 / n2)).sqrt();
    (deviation > 0.0).then(|| {
        let z = (errors[0] as f64 / n1 - errors[1] as f64 / n2) / deviation;
        (z, normal_above(z))
    })
}

/// The 95 % interval of a share difference between two samples (Newcombe 1998, method 10, from Wilson intervals).
pub fn difference(hits: [usize; 2], n: [usize; 2]) -> (f64, f64) {
    let share = |i: usize| hits[i] as f64 / n[i].max(1) as f64;
    let [(l1, u1), (l2, u2)] = [0, 1].map(|i| super::wilson(hits[i], n[i], Z95));
    let d = share(0) - share(1);
    let below = ((share(0) - l1).powi(2) + (u2 - share(1)).powi(2)).sqrt();
    let above = ((u1 - share(0)).powi(2) + (share(1) - l2).powi(2)).sqrt();
    (d - below, d + above)
}

fn log_choose(n: usize, k: usize) -> f64 {
    let ln = |x: usize| libm::lgamma(x as f64 + 1.0);
    ln(n) - ln(k) - ln(n - k)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_z_test_of_the_blog() {
        // Karpathy 2014: GoogLeNet errs on 102 and the human on 76 of 1,500 images, 6.8 % against 5.1 %, p = .022.
        let (z, p) = z_test([102, 76], [1500, 1500]).unwrap();
        assert!((z - 2.0094).abs() < 1e-4 && (p - 0.02225).abs() < 1e-5, "{z} {p}");
        assert_eq!(format!("{p:.3}"), "0.022");
        assert_eq!(z_test([0, 0], [5, 5]), None);
    }

    #[test]
    fn mcnemar_agrees_with_the_textbook() {
        // Agresti, "Categorical Data Analysis", table 10.1: 86 and 150 discordant, chi-squared 17.36.
        let p = Paired { both_right: 794, first_wrong: 86, second_wrong: 150, both_wrong: 570 };
        assert!((p.mcnemar().0 - 17.3559).abs() < 1e-3);
        assert!((p.mcnemar().1 - 3.716e-5).abs() < 1e-7, "{}", p.mcnemar().1);
        // One against nine of ten: twice (1 + 10) / 1024.
        let p = Paired { first_wrong: 1, second_wrong: 9, ..Paired::default() };
        assert!((p.mcnemar().1 - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!(Paired::default().mcnemar(), (0.0, 1.0));
    }

    #[test]
    fn consistency_is_zero_for_independent_and_one_for_equal_errors() {
        let independent = Paired { both_right: 36, first_wrong: 24, second_wrong: 24, both_wrong: 16 };
        assert!(independent.error_consistency().unwrap().abs() < 1e-12);
        let equal = Paired { both_right: 7, both_wrong: 3, ..Paired::default() };
        assert!((equal.error_consistency().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(Paired { both_right: 5, ..Paired::default() }.error_consistency(), None);
        assert_eq!(equal.overlap(), Some(1.0));
        assert_eq!(independent.overlap(), Some(0.25));
    }

    #[test]
    fn kappa_of_categories() {
        // Cohen 1960's example of two clinical psychologists: 200 cases in three categories, kappa .492.
        let counts = [[88, 14, 18], [10, 40, 10], [2, 6, 12]];
        let cell = |(a, row): (usize, &[usize; 3])| -> Vec<(usize, usize)> {
            row.iter().enumerate().flat_map(|(b, n)| std::iter::repeat_n((a, b), *n)).collect()
        };
        let pairs: Vec<(usize, usize)> = counts.iter().enumerate().flat_map(cell).collect();
        assert!((cohen_kappa(&pairs).unwrap() - 0.492).abs() < 1e-3, "{:?}", cohen_kappa(&pairs));
        assert_eq!(cohen_kappa(&[(1, 1), (1, 1)]), None);
        assert_eq!(cohen_kappa(&[]), None);
    }

    #[test]
    fn the_interval_of_a_difference_is_newcombe_s() {
        // Newcombe 1998, table II: 56 of 70 against 48 of 80, method 10: .0524 to .3339.
        let (low, high) = difference([56, 48], [70, 80]);
        assert!((low - 0.0524).abs() < 1e-4 && (high - 0.3339).abs() < 1e-4, "{low} {high}");
    }
}
