//! The k largest activations.

use std::cmp::Ordering;

/// A unit's activation at one position of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The activation.
    pub value: f32,
    /// The image's number in its data set.
    pub image: usize,
    /// The position in the unit's map, row by row.
    pub place: usize,
}

impl Peak {
    /// Stronger first; of equals the earlier image, then the earlier position, so that the order is total.
    fn order(&self, other: &Peak) -> Ordering {
        other.value.total_cmp(&self.value).then(self.image.cmp(&other.image)).then(self.place.cmp(&other.place))
    }
}

/// The `k` strongest of all peaks that were added, strongest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    k: usize,
    peaks: Vec<Peak>,
}

impl Top {
    /// No peaks yet.
    pub fn new(k: usize) -> Self {
        Top { k, peaks: Vec::with_capacity(k.min(64)) }
    }

    /// The peaks, strongest first.
    pub fn peaks(&self) -> &[Peak] {
        &self.peaks
    }

    /// Takes a peak in if it is among the strongest.
    pub fn add(&mut self, peak: Peak) {
        let full = self.peaks.len() >= self.k;
        if full && self.peaks.last().is_none_or(|last| peak.order(last).is_ge()) {
            return;
        }
        let at = self.peaks.partition_point(|p| p.order(&peak).is_lt());
        if full {
            self.peaks.pop();
        }
        self.peaks.insert(at, peak);
    }

    /// Takes all of another's in.
    pub fn merge(&mut self, other: &Top) {
        other.peaks.iter().for_each(|p| self.add(*p));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn peaks(n: usize) -> Vec<Peak> {
        let stream = Stream::new(4, "peaks");
        // Few different values, so that ties are common.
        (0..n).map(|i| Peak { value: (stream.u64_at(i as u64) % 7) as f32, image: i, place: i % 3 }).collect()
    }

    #[test]
    fn the_strongest_are_kept_in_a_total_order() {
        let all = peaks(100);
        let mut sorted = all.clone();
        sorted.sort_by(Peak::order);
        for k in [0, 1, 9, 200] {
            let mut top = Top::new(k);
            all.iter().rev().for_each(|p| top.add(*p));
            assert_eq!(top.peaks(), &sorted[..k.min(100)]);
        }
    }

    #[test]
    fn shards_join_to_the_whole_in_any_order() {
        let all = peaks(100);
        let whole = all.iter().fold(Top::new(9), |mut t, p| {
            t.add(*p);
            t
        });
        for ways in [1, 2, 3, 7] {
            let mut shards: Vec<Top> = vec![Top::new(9); ways];
            all.iter().enumerate().for_each(|(i, p)| shards[i * ways / 100].add(*p));
            let mut joined = Top::new(9);
            shards.iter().rev().for_each(|s| joined.merge(s));
            assert_eq!(joined, whole, "{ways} ways");
        }
    }
}
