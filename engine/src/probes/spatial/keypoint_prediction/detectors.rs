//! Linear detectors that slide over descriptors of an object, trained with hard negatives, and the prior of a point's position.

use crate::data::{Dataset, Image, PixelBox};
use crate::error::Result;
use crate::model::Model;
use crate::probes::spatial::outside;
use crate::random::Stream;
use crate::space::FeatureMap;
use crate::space::svm::{Scaling, Svm};
use std::borrow::Cow;

/// An object cropped by its box and resized to the net's input.
#[derive(Clone, Debug)]
pub struct CroppedObject {
    /// The box at the net's input size; the whole photo where there is no box.
    pub image: Image,
    /// Named points (x, y), px of the input.
    pub points: Vec<(String, (f64, f64))>,
    /// Points that lie outside their photo, and how many of the others lie outside the box.
    pub outside: (Vec<String>, usize),
    /// What the object is.
    pub label: Option<String>,
    /// Pixels of the photo that a pixel of the input covers, across and down.
    pub scale: [f64; 2],
    /// The box's longer side, px of the photo.
    pub extent: f64,
    /// A few words.
    pub caption: String,
}

impl CroppedObject {
    /// The object of image `i`.
    ///
    /// # Errors
    /// Where the image cannot be read or the net's card does not say how photos are preprocessed.
    pub fn of(model: &Model, data: &Dataset, i: usize) -> Result<Self> {
        let photo = data.get(i)?;
        let preprocess = model.card().preprocess()?;
        let whole = PixelBox::new(0, 0, photo.width(), photo.height());
        let area = photo.bounding_box().filter(|b| b.width > 0 && b.height > 0).unwrap_or(whole);
        let cut = photo.crop(area)?;
        let image = cut.resize(preprocess.size.width, preprocess.size.height, preprocess.interpolation)?;
        let points: Vec<_> = image.keypoints().iter().map(|(name, at)| (name.clone(), *at)).collect();
        let beyond = outside(&photo);
        let outside_box = photo.keypoints().len() - beyond.len() - points.len();
        Ok(CroppedObject {
            scale: [
                area.width as f64 / preprocess.size.width as f64,
                area.height as f64 / preprocess.size.height as f64,
            ],
            extent: area.width.max(area.height) as f64,
            outside: (beyond, outside_box),
            label: photo.label().map(str::to_string),
            caption: data.item(i)?.caption(i),
            points,
            image,
        })
    }

    /// Where a named point is, px of the input.
    pub fn point(&self, name: &str) -> Option<(f64, f64)> {
        self.points.iter().find(|(n, _)| n == name).map(|(_, at)| *at)
    }
}

/// The features of a square of (2 r + 1) x (2 r + 1) cells about each position, one behind the other; 0 beyond the map.
#[derive(Clone, Copy, Debug)]
pub struct Around(pub usize);

impl Around {
    /// How many values a descriptor of `map` has.
    pub fn len(self, map: &FeatureMap) -> usize {
        (2 * self.0 + 1).pow(2) * map.d
    }

    /// The descriptor at position `i`.
    pub fn at(self, map: &FeatureMap, i: usize) -> Cow<'_, [f32]> {
        if self.0 == 0 {
            return Cow::Borrowed(map.at(i));
        }
        let [rows, columns] = map.lattice.size;
        let (r, c, reach) = ((i / columns) as isize, (i % columns) as isize, self.0 as isize);
        let mut out = vec![0f32; self.len(map)];
        let cells = (-reach..=reach).flat_map(|dy| (-reach..=reach).map(move |dx| (r + dy, c + dx)));
        for ((r, c), to) in cells.zip(out.chunks_mut(map.d.max(1))) {
            if (0..rows as isize).contains(&r) && (0..columns as isize).contains(&c) {
                to.copy_from_slice(map.at(r as usize * columns + c as usize));
            }
        }
        Cow::Owned(out)
    }

    /// Half the height and width of a descriptor's receptive field, px of the input.
    fn reach(self, map: &FeatureMap) -> [f64; 2] {
        [0, 1].map(|a| map.lattice.field[a] as f64 / 2.0 + self.0 as f64 * map.lattice.stride[a])
    }
}

/// How detectors are trained.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    /// Positions nearest to the point that are positive examples, of each object.
    pub positives: usize,
    /// Negative examples that are drawn first, and that are added in a round.
    pub negatives: usize,
    /// The cost C of a violated margin.
    pub c: f64,
}

/// Rounds of mining at most; training ends when no negative example that is left out violates the margin.
const MAX_MINING_ROUNDS: usize = 20;

/// A detector of one named point.
#[derive(Clone, Debug)]
pub struct PointDetector {
    svm: Svm,
    /// Negative examples that violate the margin and were left out.
    pub unseen: usize,
}

impl PointDetector {
    /// Trained on objects' maps, each with where the point is on it; nothing where there is no negative example.
    pub fn train(objects: &[(&FeatureMap, (f64, f64))], around: Around, how: Training, seed: u64) -> Option<Self> {
        let d = objects.first().map(|(map, _)| around.len(map))?;
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        for (o, (map, point)) in objects.iter().enumerate() {
            let (near, far) = examples(map, *point, around, how.positives);
            positive.extend(near.into_iter().map(|p| (o, p)));
            negative.extend(far.into_iter().map(|p| (o, p)));
        }
        if negative.is_empty() {
            return None;
        }
        let order = Stream::new(seed, "negatives").permutation(negative.len());
        let (first, rest) = order.split_at(how.negatives.min(order.len()));
        let mut taken: Vec<(usize, usize)> = first.iter().map(|i| negative[*i]).collect();
        let mut left: Vec<(usize, usize)> = rest.iter().map(|i| negative[*i]).collect();
        let row = |(o, p): &(usize, usize)| around.at(objects[*o].0, *p);
        let rows = |of: &[(usize, usize)]| of.iter().flat_map(|e| row(e).into_owned()).collect::<Vec<f32>>();
        let near = rows(&positive);
        let scaling = Scaling::over(|| positive.iter().chain(&negative).map(row), d);
        for round in 1.. {
            let all = [near.clone(), rows(&taken)].concat();
            let is: Vec<bool> = (0..all.len() / d.max(1)).map(|i| i < positive.len()).collect();
            let svm = Svm::detector(scaling.clone(), &all, d, &is, how.c);
            let mut scored: Vec<(f64, (usize, usize))> = left.iter().map(|e| (svm.score(0, &row(e)), *e)).collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let unseen = scored.iter().filter(|(score, _)| *score > -1.0).count();
            if unseen == 0 || round == MAX_MINING_ROUNDS {
                return Some(PointDetector { svm, unseen });
            }
            let hard = unseen.min(how.negatives);
            taken.extend(scored[..hard].iter().map(|(_, e)| *e));
            left = scored[hard..].iter().map(|(_, e)| *e).collect();
        }
        None
    }

    /// The scores at all positions of a map.
    pub fn scores(&self, map: &FeatureMap, around: Around) -> Vec<f64> {
        (0..map.lattice.len()).map(|i| self.svm.score(0, &around.at(map, i))).collect()
    }

    /// The duality gap of its last training, as a share of the objective.
    pub fn gap(&self) -> f64 {
        self.svm.gap()
    }
}

/// The positions nearest to a point, and those whose window does not hold it. Where every window holds it, those beyond twice
/// the distance of the furthest positive example are negative.
fn examples(map: &FeatureMap, (x, y): (f64, f64), around: Around, positives: usize) -> (Vec<usize>, Vec<usize>) {
    let lattice = &map.lattice;
    let apart = |i: usize| {
        let (cx, cy) = lattice.centre(i);
        [(cy - y).abs(), (cx - x).abs()]
    };
    let far = |i: usize| libm::hypot(apart(i)[0], apart(i)[1]);
    let mut order: Vec<usize> = (0..lattice.len()).collect();
    order.sort_by(|a, b| far(*a).total_cmp(&far(*b)).then(a.cmp(b)));
    let (near, rest) = order.split_at(positives.min(order.len()));
    let reach = around.reach(map);
    let beyond: Vec<usize> =
        rest.iter().copied().filter(|i| apart(*i)[0] > reach[0] || apart(*i)[1] > reach[1]).collect();
    if !beyond.is_empty() {
        return (near.to_vec(), beyond);
    }
    let limit = 2.0 * near.last().map_or(0.0, |i| far(*i));
    (near.to_vec(), rest.iter().copied().filter(|i| far(*i) > limit).collect())
}

/// A spherical Gaussian of where a point is expected, px of the input.
#[derive(Clone, Copy, Debug)]
pub struct PointPrior {
    /// Its mean.
    pub at: (f64, f64),
    /// Its standard deviation.
    pub sigma: f64,
}

/// The position with the largest product s^(1 - eta) p^eta of the detector's score through the logistic function and the
/// prior; with no prior that with the largest score. Of equals the first.
pub fn best(map: &FeatureMap, scores: &[f64], prior: Option<(PointPrior, f64)>) -> (f64, f64) {
    let value = |i: usize| match prior {
        None => scores[i],
        Some((PointPrior { at, sigma }, eta)) => {
            let (x, y) = map.lattice.centre(i);
            let square = (x - at.0).powi(2) + (y - at.1).powi(2);
            // ln of the logistic function, without overflow.
            let s = scores[i].min(0.0) - libm::log1p(libm::exp(-scores[i].abs()));
            (1.0 - eta) * s - eta * square / (2.0 * sigma * sigma)
        }
    };
    let values: Vec<f64> = (0..scores.len()).map(value).collect();
    map.lattice.centre((0..values.len()).fold(0, |b, i| if values[i] > values[b] { i } else { b }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::space::Lattice;

    fn map(values: Vec<f32>, d: usize) -> FeatureMap {
        let lattice = Lattice { size: [3, 4], first: [2.0, 2.0], stride: [4.0, 4.0], field: [4, 4] };
        FeatureMap { values, d, lattice }
    }

    #[test]
    fn a_descriptor_holds_its_neighbours_and_nothing_beyond_the_map() {
        let map = map((0..12).map(|v| v as f32 + 1.0).collect(), 1);
        assert_eq!(*Around(0).at(&map, 5), [6.0]);
        assert_eq!(*Around(1).at(&map, 5), [1.0, 2.0, 3.0, 5.0, 6.0, 7.0, 9.0, 10.0, 11.0]);
        assert_eq!(*Around(1).at(&map, 0), [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 5.0, 6.0]);
    }

    #[test]
    fn positions_near_a_point_are_positive_and_those_that_do_not_see_it_negative() {
        let map = map(vec![0.0; 12], 1);
        let (near, far) = examples(&map, (6.0, 6.0), Around(0), 1);
        assert_eq!((near, far.len()), (vec![5], 11));
        // A window of 3 x 3 cells sees a point 6 px away.
        let (_, far) = examples(&map, (6.0, 6.0), Around(1), 1);
        assert_eq!(far, [7, 3, 11].to_vec());
    }

    #[test]
    fn a_prior_moves_the_choice_by_its_share() {
        let map = map(vec![0.0; 12], 1);
        let mut scores = vec![-2.0; 12];
        (scores[0], scores[11]) = (1.0, 0.9);
        assert_eq!(best(&map, &scores, None), (2.0, 2.0));
        let prior = PointPrior { at: (14.0, 10.0), sigma: 4.0 };
        assert_eq!(best(&map, &scores, Some((prior, 0.0))), (2.0, 2.0));
        assert_eq!(best(&map, &scores, Some((prior, 0.1))), (14.0, 10.0));
        assert_eq!(best(&map, &[0.0; 12], Some((prior, 1.0))), (14.0, 10.0));
    }
}
