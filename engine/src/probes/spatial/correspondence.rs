//! Matches between the positions of two images by a layer's features.
//!
//! Long, Zhang, Darrell 2014, section 3.

use crate::data::Image;
use crate::embed::knn::Metric;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::spatial::{Seen, layer};
use crate::show::{Artifact, Map, Part, Pictures, Scale, Style, Table};
use crate::space::matching::{Matches, independent, smooth};
use crate::space::warp::sample;
use crate::space::{FeatureMap, Lattice};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// For each position of the first image the position of the second whose feature is nearest: for each position by itself,
    /// and, with `smooth`, so that neighbours move alike.
    ///
    /// The input is a list of two images. Arrays (rows x columns of the layer): `dx`, `dy` (px of the net's input),
    /// `distance`; `nearest_dx`, `nearest_dy` without smoothing.
    #[probe(
        family = Space,
        source = "Long, Zhang, Darrell 2014, section 3",
        subjects = "a layer with positions, or a net (its last such layer)",
        input = Data,
        example = "correspondence().run(net.layer(\"conv3/relu\"), [data[0], data[10]])"
    )]
    pub struct Correspondence as "correspondence" {
        /// The penalty for neighbours whose matches move apart by one position, in units of the mean feature distance; 0
        /// matches each position by itself.
        smooth: f64 = 0.02, in 0.0..=1000.0;
        /// The distance between features.
        metric: Metric = Metric::Cosine;
    }
}

impl Probe for Correspondence {
    fn run(&self, on: &Subject, input: &Input, _: &Job) -> Result<Artifact> {
        let (model, node) = layer(on)?;
        let data = input.data()?;
        if data.len() < 2 {
            return Err(Error::value("`correspondence` matches two images, got one")
                .hint("give a list: correspondence().run(layer, [first, second])"));
        }
        let (a, b) = (Seen::of(model, &data, 0)?, Seen::of(model, &data, 1)?);
        let (fa, fb) = (a.features(model, node)?, b.features(model, node)?);
        let alone = independent(&fa, &fb, self.metric);
        let matches = smooth(&fa, &fb, self.metric, self.smooth)?;
        let shape = fa.lattice.size;
        let (dx, dy) = displacements(&fa.lattice, &matches);
        let (ndx, ndy) = displacements(&fa.lattice, &alone);
        let name = &model.graph().node(node).name;
        let mut images = vec![
            (a.image.clone(), format!("first: {}", a.caption)),
            (b.image.clone(), format!("second: {}", b.caption)),
            (warped(&b.image, &fa.lattice, &ndx, &ndy, &a.image)?, "second, brought to the first: nearest".to_string()),
        ];
        if self.smooth > 0.0 {
            images.push((
                warped(&b.image, &fa.lattice, &dx, &dy, &a.image)?,
                "second, brought to the first: smooth".to_string(),
            ));
        }
        let apart = Map {
            title: "feature distance of each match".into(),
            values: tensor(matches.distances.iter().map(|d| *d as f32).collect(), &shape)?,
            label: if self.metric == Metric::Cosine { "1 - cosine".into() } else { "distance".into() },
            scale: Scale::Sequential { low: Some(0.0), high: None },
            photo: Some(a.image.clone()),
            placement: None,
            extent: Some(extent(&fa.lattice)),
            input: [a.image.height(), a.image.width()],
            style: Style::Overlay,
        };
        let columns = images.len();
        let mut artifact = Artifact::new(format!("correspondence at {name} in {}", model.card().name))
            .array("dx", tensor(dx, &shape)?)
            .array("dy", tensor(dy, &shape)?)
            .array("distance", tensor(matches.distances, &shape)?)
            .array("nearest_dx", tensor(ndx, &shape)?)
            .array("nearest_dy", tensor(ndy, &shape)?)
            .part(Part::Pictures(Pictures { title: String::new(), images, columns: Some(columns) }))
            .part(Part::Map(apart))
            .note(fa.lattice.words());
        if let Some(table) = points(&a, &b, &fa, &fb, self.metric) {
            artifact = artifact
                .part(Part::Table("named points: where the first's feature is found in the second".into(), table));
        }
        Ok(artifact)
    }
}

/// The part of the input between the outermost positions' cells: top, left, bottom, right.
fn extent(lattice: &Lattice) -> [f64; 4] {
    let edge = |a: usize, i: f64| lattice.first[a] + (i - 0.5) * lattice.stride[a];
    [edge(0, 0.0), edge(1, 0.0), edge(0, lattice.size[0] as f64), edge(1, lattice.size[1] as f64)]
}

/// How far each position's match lies from it, px: right and down.
pub(super) fn displacements(lattice: &Lattice, matches: &Matches) -> (Vec<f32>, Vec<f32>) {
    let apart = |(i, j): (usize, &usize)| {
        let ((x, y), (u, v)) = (lattice.centre(i), lattice.centre(*j));
        ((u - x) as f32, (v - y) as f32)
    };
    matches.to.iter().enumerate().map(apart).unzip()
}

/// The second image with each pixel taken from where the first's is matched: displacements between positions are bilinear.
///
/// # Errors
/// Where the image cannot be made.
pub(super) fn warped(second: &Image, lattice: &Lattice, dx: &[f32], dy: &[f32], first: &Image) -> Result<Image> {
    let both: Vec<f32> = dx.iter().zip(dy).flat_map(|(x, y)| [*x, *y]).collect();
    let field = FeatureMap { values: both, d: 2, lattice: *lattice };
    let mut pixels = Vec::with_capacity(first.pixels().len());
    for y in 0..first.height() {
        for x in 0..first.width() {
            let (px, py) = (x as f64 + 0.5, y as f64 + 0.5);
            let moved = field.between(px, py);
            pixels.extend(sample(second, (px + f64::from(moved[0]), py + f64::from(moved[1]))));
        }
    }
    Image::new(first.width(), first.height(), pixels)
}

fn points(a: &Seen, b: &Seen, fa: &FeatureMap, fb: &FeatureMap, metric: Metric) -> Option<Table> {
    let mut table = Table::new(["point", "error px", "error in receptive fields"]);
    for (name, (x, y)) in &a.keypoints {
        let Some((_, truth)) = b.keypoints.iter().find(|(n, _)| n == name) else { continue };
        let (c, r) = crate::space::matching::locate(&fa.between(*x, *y), fb, metric);
        let found = fb.lattice.at(c, r);
        let error = libm::hypot(found.0 - truth.0, found.1 - truth.1);
        let field = fb.lattice.field[0].max(fb.lattice.field[1]) as f64;
        table.push([name.as_str().into(), error.into(), (error / field).into()]);
    }
    (!table.is_empty()).then_some(table)
}
