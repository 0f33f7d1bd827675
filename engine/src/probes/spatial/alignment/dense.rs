//! Alignment by descriptors without a net, on a dense grid under the same smooth matches: the baseline that Long et al. compare
//! features with is SIFT flow (Liu, Yuen, Torralba 2011).

use super::mean;
use crate::data::Image;
use crate::embed::knn::Metric;
use crate::error::Result;
use crate::probes::spatial::correspondence::{displacements, warped};
use crate::probes::spatial::{Misses, Seen};
use crate::show::{Part, Pictures};
use crate::space::hog::hog;
use crate::space::matching::smooth;
use crate::space::sift::sift;
use crate::space::{FeatureMap, Lattice};

/// Positions along the longer side of the input.
const POSITIONS: usize = 24;

/// Descriptors of squares of so many px on a lattice.
type Describe = fn(&Image, Lattice, usize) -> FeatureMap;

/// A descriptor, the target's values of it, and what came of the other images.
pub struct Dense {
    pub name: &'static str,
    describe: Describe,
    side: usize,
    target: FeatureMap,
    pub misses: Misses,
    aligned: Vec<Image>,
}

impl Dense {
    /// HOG and SIFT of the target.
    pub fn of(target: &Image) -> Vec<Dense> {
        let longest = target.width().max(target.height());
        let stride = longest.div_ceil(POSITIONS).max(1);
        let side = (longest / 7).max(16);
        let lattice = Lattice {
            size: [target.height(), target.width()].map(|v| v.div_ceil(stride)),
            first: [stride as f64 / 2.0; 2],
            stride: [stride as f64; 2],
            field: [side; 2],
        };
        let make = |name: &'static str, describe: Describe| Dense {
            name,
            describe,
            side,
            target: describe(target, lattice, side),
            misses: Misses::default(),
            aligned: Vec::new(),
        };
        vec![make("HOG", hog), make("SIFT", sift)]
    }

    /// Aligns another image with the target.
    ///
    /// # Errors
    /// Where it cannot be warped.
    pub fn add(&mut self, target: &Seen, source: &Seen, metric: Metric, beta: f64) -> Result<()> {
        let lattice = self.target.lattice;
        let found = (self.describe)(&source.image, lattice, self.side);
        let (dx, dy) = displacements(&lattice, &smooth(&self.target, &found, metric, beta)?);
        self.aligned.push(warped(&source.image, &lattice, &dx, &dy, &target.image)?);
        moved_points(&lattice, &dx, &dy, target, source, &mut self.misses);
        Ok(())
    }

    /// The first `shown` aligned images and the mean of all with the target.
    ///
    /// # Errors
    /// Where there is no mean.
    pub fn pictures(&self, target: &Image, shown: usize) -> Result<Vec<(Image, String)>> {
        let all: Vec<Image> = std::iter::once(target).chain(&self.aligned).cloned().collect();
        let mut row = vec![(target.clone(), "target".to_string())];
        row.extend(self.aligned[..shown].iter().map(|i| (i.clone(), format!("by {}", self.name))));
        row.push((mean(&all)?, format!("mean aligned by {}", self.name)));
        Ok(row)
    }
}

/// All baselines' pictures, a row each.
///
/// # Errors
/// As [`Dense::pictures`].
pub fn part(all: &[Dense], target: &Image, shown: usize) -> Result<Part> {
    let rows = all.iter().map(|d| d.pictures(target, shown)).collect::<Result<Vec<_>>>()?;
    Ok(Part::Pictures(Pictures {
        title: "aligned by descriptors without a net".into(),
        images: rows.concat(),
        columns: Some(shown + 2),
    }))
}

/// Adds how far each named point of the target, moved by the displacements of a lattice, lies from its counterpart.
pub fn moved_points(lattice: &Lattice, dx: &[f32], dy: &[f32], target: &Seen, source: &Seen, misses: &mut Misses) {
    let values = dx.iter().zip(dy).flat_map(|(x, y)| [*x, *y]).collect();
    let both = FeatureMap { values, d: 2, lattice: *lattice };
    for (name, (x, y)) in &target.keypoints {
        let Some((_, truth)) = source.keypoints.iter().find(|(k, _)| k == name) else { continue };
        let moved = both.between(*x, *y);
        misses.add((x + f64::from(moved[0]), y + f64::from(moved[1])), *truth, source.extent);
    }
}
