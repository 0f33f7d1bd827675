//! Images in bins of an attribute: quantiles or widths of a quantity, or one a category.

use super::Cut;
use crate::data::Attribute;
use crate::show::table::short;

/// The bins of a list of values.
pub struct Bins {
    /// What each is called.
    pub names: Vec<String>,
    /// Where each is drawn: the mean of its values, or its number.
    pub centres: Vec<f64>,
    /// The bin of each value.
    pub places: Vec<usize>,
    /// The values, where they are all numbers.
    pub values: Option<Vec<f64>>,
    /// The ends of the bins of numbers, one more than there are bins.
    pub edges: Option<Vec<f64>>,
}

impl Bins {
    /// At most `count` bins of numbers, or all categories.
    pub fn of<'a>(values: impl Iterator<Item = &'a Attribute>, count: usize, cut: Cut) -> Self {
        let all: Vec<&Attribute> = values.collect();
        let number = |a: &&Attribute| if let Attribute::Number(x) = a { x.is_finite().then_some(*x) } else { None };
        match all.iter().map(number).collect::<Option<Vec<f64>>>() {
            Some(numbers) => Self::numbers(numbers, count, cut),
            None => Self::categories(&all),
        }
    }

    fn numbers(values: Vec<f64>, count: usize, cut: Cut) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let mut different = sorted.clone();
        different.dedup();
        let (low, high) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
        // Bin i holds values from edge i on, below edge i + 1; the last one its upper end, too.
        let mut edges: Vec<f64> = if different.len() <= count {
            different.iter().copied().chain([high]).collect()
        } else {
            let at = |i: usize| match cut {
                Cut::Quantiles => sorted[(i * sorted.len() / count).min(sorted.len() - 1)],
                Cut::Widths => low + (high - low) * i as f64 / count as f64,
            };
            (0..count).map(at).chain([high]).collect()
        };
        if different.len() > count {
            edges.dedup();
        }
        let bins = edges.len() - 1;
        let places: Vec<usize> = values.iter().map(|v| edges[1..bins].partition_point(|e| e <= v)).collect();
        // Bins of widths may be empty: they are left out.
        let full: Vec<usize> = (0..bins).filter(|b| places.contains(b)).collect();
        let places: Vec<usize> = places.iter().map(|p| full.partition_point(|f| f < p)).collect();
        let edges: Vec<f64> = full.iter().map(|b| edges[*b]).chain([high]).collect();
        let mut centres = vec![0.0; full.len()];
        let mut counts = vec![0.0; full.len()];
        for (v, p) in values.iter().zip(&places) {
            centres[*p] += v;
            counts[*p] += 1.0;
        }
        centres.iter_mut().zip(&counts).for_each(|(c, n)| *c /= n);
        let names = match different.len() <= count {
            true => different.iter().map(|v| short(*v)).collect(),
            false => edges.windows(2).map(|e| format!("{} to {}", short(e[0]), short(e[1]))).collect(),
        };
        Bins { names, centres, places, values: Some(values), edges: Some(edges) }
    }

    fn categories(all: &[&Attribute]) -> Self {
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        let mut names = texts.clone();
        names.sort();
        names.dedup();
        let places = texts.iter().map(|t| names.partition_point(|n| n < t)).collect();
        let centres = (0..names.len()).map(|i| i as f64).collect();
        Bins { names, centres, places, values: None, edges: None }
    }

    /// From the first bin's centre to the last's.
    pub fn span(&self) -> f64 {
        self.centres.last().zip(self.centres.first()).map_or(0.0, |(b, a)| b - a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64], count: usize, cut: Cut) -> Bins {
        let all: Vec<Attribute> = values.iter().map(|v| Attribute::Number(*v)).collect();
        Bins::of(all.iter(), count, cut)
    }

    #[test]
    fn quantities_are_cut_evenly_by_images_or_by_width() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i * i)).collect();
        let quantiles = numbers(&values, 4, Cut::Quantiles);
        let count = |b: &Bins, i: usize| b.places.iter().filter(|p| **p == i).count();
        assert_eq!((0..4).map(|i| count(&quantiles, i)).collect::<Vec<_>>(), [25; 4]);
        let widths = numbers(&values, 4, Cut::Widths);
        assert_eq!((0..4).map(|i| count(&widths, i)).collect::<Vec<_>>(), [50, 21, 15, 14]);
        assert_eq!(numbers(&[2.0, 1.0, 2.0], 5, Cut::Widths).names, ["1", "2"]);
        assert_eq!(numbers(&[2.0, 1.0, 2.0], 5, Cut::Widths).places, [1, 0, 1]);
        assert_eq!(numbers(&[7.0; 3], 5, Cut::Quantiles).places, [0; 3]);
        let gap = numbers(&[0.0, 0.1, 0.2, 0.3, 9.7, 9.8, 9.9, 10.0], 5, Cut::Widths);
        assert_eq!((gap.names.len(), gap.places), (2, vec![0, 0, 0, 0, 1, 1, 1, 1]));
    }

    #[test]
    fn categories_have_a_bin_each() {
        let all = ["b", "a", "b"].map(|t| Attribute::Text(t.into()));
        let bins = Bins::of(all.iter(), 1, Cut::Quantiles);
        assert_eq!((bins.names, bins.places), (vec!["a".to_string(), "b".into()], vec![1, 0, 1]));
    }
}
