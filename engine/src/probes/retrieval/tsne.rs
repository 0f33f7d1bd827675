//! t-SNE of codes: as points, as thumbnails and as a grid of images, always with measures of its quality.

use crate::data::Dataset;
use crate::embed::knn::{Metric, Neighbours, nearest};
use crate::embed::{quality, transform, tsne};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::retrieval::codes::finish;
use crate::probes::retrieval::coding::{Codes, Coding, Images, Pooling};
use crate::probes::retrieval::embedding::{Colour, MAX_THUMBNAILS, cloud, groups, mosaic};
use crate::show::{Artifact, Cloud, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// An embedding of codes in the plane in which near codes stay near (van der Maaten and Hinton), with exact neighbours, PCA
    /// initialisation and a quadtree; the same bits for any number of threads.
    ///
    /// Arrays: `embedding` (N x 2), `grid` (rows x columns of image numbers, -1 at the end of a short last row), `new`
    /// (the places of new images), and as numbers `kl`, `preserved`, `trustworthiness`, `distances`, `purity`. The input is a
    /// data set, or codes (N x D) with their images in `data`.
    #[probe(
        family = Images,
        source = "van der Maaten, Hinton 2008; van der Maaten 2014; Kobak, Berens 2019",
        subjects = "a layer, or a net (the input of its classifier)",
        input = Any,
        example = "tsne(#{ early: 20, steps: 20 }).run(net, data)"
    )]
    pub struct Tsne as "tsne" {
        /// The effective number of neighbours; at most a third of the number of codes.
        perplexity: f64 = 30.0, in 2.0..=1000.0;
        /// The distance between codes.
        metric: Metric = Metric::Euclidean;
        /// Steps with exaggerated attraction.
        early: usize = 250, in 0..=100_000;
        /// The early exaggeration.
        exaggeration: f64 = 12.0, in 1.0..=1000.0;
        /// Steps after the early exaggeration.
        steps: usize = 500, in 0..=100_000;
        /// Accuracy of the Barnes-Hut approximation: a square of the tree is opened if its side over its distance is larger
        /// than this; 0 is exact.
        theta: f64 = 0.5, in 0.0..=1.0;
        /// What the colours show.
        colour: Colour = Colour::Class;
        /// New images placed in the finished embedding, whose points stay; they are drawn with a ring.
        project: Option<Images> = None;
        /// The images of the input, where the input is codes.
        data: Option<Dataset> = None;
        /// Whether thumbnails and the grid of images are drawn.
        images: bool = true;
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Whether the code is taken after the rectifier that follows the layer.
        relu: bool = true;
        /// Whether codes of image files are cached on disk.
        cache: bool = true;
    }
}

impl Probe for Tsne {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let codes = Codes::of(on, input, self.data.as_ref(), self.coding(), job)?;
        let n = codes.len();
        if n < 5 {
            return Err(Error::value(format!("t-SNE needs at least 5 codes, got {n}")));
        }
        let k = ((3.0 * self.perplexity) as usize).max(10).min(n - 1);
        let near = nearest(&codes.values, codes.d, None, k, self.metric);
        let settings = tsne::Settings {
            perplexity: self.perplexity,
            early: self.early,
            exaggeration: self.exaggeration,
            steps: self.steps,
            theta: self.theta,
        };
        let found = tsne::embed(&near, tsne::start(&codes.values, codes.d), &settings, job);
        let plane = quality::nearest_in_plane(&found.points, &near);
        let kept = quality::quality(&codes.values, codes.d, (&near, &plane), &found.points, self.metric);
        let colours = groups(&codes, self.colour, on.model().ok())?;
        let title = format!("t-SNE of {n} codes{}", codes.place());
        let mut table = Table::new(["figure", "value", "means"]);
        let mut numbers = vec![
            (
                "preserved",
                kept.preserved,
                format!("share of the {0} nearest codes among the {0} nearest points", kept.k),
            ),
            (
                "trustworthiness",
                kept.trustworthiness,
                "1 where no point has a neighbour that is far among the codes".into(),
            ),
            ("distances", kept.distances, "rank correlation of distances between codes and between points".into()),
            ("kl", found.kl, "Kullback-Leibler divergence, nats".into()),
        ];
        let (_, labels) = codes.labels();
        let flat: Vec<f32> = found.points.iter().flat_map(|p| p.map(|v| v as f32)).collect();
        if let Some(share) = quality::purity(&plane, kept.k, &labels) {
            let before = quality::purity(&near, kept.k, &labels).unwrap_or(share);
            let means = format!("share of a point's {} neighbours of its class; among the codes {before:.3}", kept.k);
            numbers.push(("purity", share, means));
        }
        for (name, value, means) in &numbers {
            table.push([(*name).into(), (*value).into(), means.as_str().into()]);
        }
        let mut artifact = Artifact::new(title.clone()).array("embedding", tensor(flat, &[n, 2])?);
        for (name, value, _) in &numbers {
            artifact = artifact.array(name, tensor(vec![*value], &[1])?);
        }
        let placed = self.placed(on, &codes, &found.points, job)?;
        let mut points = cloud(found.points.clone(), &colours, title.clone());
        if let Some((places, new)) = &placed {
            points = with_new(points, places, new);
            let flat = places.iter().flat_map(|p| p.map(|v| v as f32)).collect();
            artifact = artifact.array("new", tensor(flat, &[places.len(), 2])?);
            artifact = artifact.note("ringed points are new images, put into the finished embedding");
        }
        artifact = artifact.part(Part::Cloud(points.clone()));
        if self.images {
            let grid = mosaic(&codes, &found.points, &colours, format!("{title}, one image a cell"), job)?;
            if let Some((mosaic, cells)) = grid {
                let mut thumbnails = codes.thumbnails(64, MAX_THUMBNAILS, job)?;
                if let Some((_, new)) = &placed {
                    thumbnails.extend(new.thumbnails(64, MAX_THUMBNAILS, job)?);
                }
                let pictured = Cloud { title: format!("{title}, as thumbnails"), thumbnails, ..points };
                let (columns, rows) = (mosaic.columns, cells.len().div_ceil(mosaic.columns));
                let mut numbers: Vec<f32> = cells.iter().map(|r| codes.rows[*r] as f32).collect();
                numbers.resize(rows * columns, -1.0);
                artifact = artifact
                    .array("grid", tensor(numbers, &[rows, columns])?)
                    .part(Part::Cloud(pictured))
                    .part(Part::Mosaic(mosaic));
            } else if n > MAX_THUMBNAILS {
                artifact =
                    artifact.note(format!("thumbnails and the grid are drawn for up to {MAX_THUMBNAILS} images"));
            }
        }
        artifact = artifact.part(Part::Table("how far to trust it".into(), table));
        let steps = self.early + self.steps;
        Ok(finish(artifact, &codes).reached(found.done, steps))
    }
}

impl Tsne {
    fn coding(&self) -> Coding {
        let predictions = matches!(self.colour, Colour::Prediction | Colour::Error);
        Coding { pool: self.pool, relu: self.relu, predictions, cache: self.cache }
    }

    /// The places of the new images in the finished embedding, and their codes.
    fn placed(
        &self,
        on: &Subject,
        codes: &Codes,
        points: &[[f64; 2]],
        job: &Job,
    ) -> Result<Option<(Vec<[f64; 2]>, Codes)>> {
        let Some(Images(data)) = &self.project else { return Ok(None) };
        let coding = Coding { predictions: false, ..self.coding() };
        let new = Codes::of(on, &Input::Data(data.clone()), None, coding, job)?;
        if new.d != codes.d {
            return Err(Error::shape(format!("new codes of {} values, the others have {}", new.d, codes.d))
                .hint("ask about the layer that the given codes come from"));
        }
        let near: Neighbours = nearest(&codes.values, codes.d, Some(&new.values), transform::NEIGHBOURS, self.metric);
        Ok(Some((transform::project(points, &near), new)))
    }
}

/// The cloud with new points behind the others, in their labels' colours.
fn with_new(mut cloud: Cloud, places: &[[f64; 2]], new: &Codes) -> Cloud {
    let from = cloud.points.len();
    let (names, labels) = new.labels();
    cloud.points.extend_from_slice(places);
    let group =
        |l: &Option<usize>| l.and_then(|l| cloud.names.iter().position(|n| *n == names[l])).unwrap_or(usize::MAX);
    let groups: Vec<usize> = labels.iter().map(group).collect();
    cloud.groups.extend(groups);
    cloud.ringed = from..cloud.points.len();
    cloud
}
