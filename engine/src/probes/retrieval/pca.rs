//! The principal components of codes.

use crate::data::Dataset;
use crate::embed::pca::pca;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::retrieval::codes::finish;
use crate::probes::retrieval::coding::{Codes, Coding, Pooling};
use crate::probes::retrieval::embedding::{Colour, cloud, groups, mosaic};
use crate::show::{Artifact, Cloud, Mark, Part, Plot, Series, Table};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// The principal components of codes: the directions along which they vary most.
    ///
    /// Arrays: `scores` (N x k), `components` (k x D, orthonormal), `variances`, `explained` (shares of the total variance),
    /// `mean`.
    #[probe(
        family = Images,
        source = "Pearson 1901; Halko, Martinsson, Tropp 2011",
        subjects = "a layer, or a net (the input of its classifier)",
        input = Any,
        example = "pca(#{ k: 3 }).run(net, data)"
    )]
    pub struct PcaOf as "pca" {
        /// Components.
        k: usize = 10, in 2..=1000;
        /// What the colours show.
        colour: Colour = Colour::Class;
        /// The images of the input, where the input is codes.
        data: Option<Dataset> = None;
        /// Whether the grid of images is drawn.
        images: bool = false;
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Whether the code is taken after the rectifier that follows the layer.
        relu: bool = true;
        /// Whether codes of image files are cached on disk.
        cache: bool = true;
    }
}

impl Probe for PcaOf {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let predictions = matches!(self.colour, Colour::Prediction | Colour::Error);
        let coding = Coding { pool: self.pool, relu: self.relu, predictions, cache: self.cache };
        let codes = Codes::of(on, input, self.data.as_ref(), coding, job)?;
        if codes.len() < 2 || codes.d < 2 {
            return Err(Error::value(format!(
                "components need at least 2 codes of 2 values, got {} of {}",
                codes.len(),
                codes.d
            )));
        }
        let found = pca(&codes.values, codes.d, self.k);
        let (n, k) = (codes.len(), found.variances.len());
        let shares: Vec<f64> = found.variances.iter().map(|v| v / found.total.max(f64::MIN_POSITIVE)).collect();
        let points: Vec<[f64; 2]> = found.scores.chunks(k).map(|s| [s[0], s.get(1).copied().unwrap_or(0.0)]).collect();
        let colours = groups(&codes, self.colour, on.model().ok())?;
        let title = format!("principal components of {n} codes{}", codes.place());
        let name =
            |c: usize| format!("component {} ({:.1} % of the variance)", c + 1, 100.0 * shares.get(c).unwrap_or(&0.0));
        let drawn = Cloud { axes: Some([name(0), name(1)]), ..cloud(points.clone(), &colours, title.clone()) };
        let mut table = Table::new(["component", "variance", "share", "together"]);
        let mut together = 0.0;
        let mut sums = Vec::new();
        for (i, (v, s)) in found.variances.iter().zip(&shares).enumerate() {
            together += s;
            sums.push(together);
            table.push([(i + 1).into(), (*v).into(), (*s).into(), together.into()]);
        }
        let plot = Plot {
            title: "variance explained by the first components together".into(),
            x_label: "components".into(),
            y_label: "share of the variance".into(),
            categories: Vec::new(),
            series: vec![Series {
                name: "together".into(),
                x: (1..=k).map(|i| i as f64).collect(),
                y: sums,
                bars: Vec::new(),
                mark: Mark::Line,
            }],
        };
        let mut artifact = Artifact::new(title.clone())
            .array("scores", tensor(found.scores, &[n, k])?)
            .array("components", tensor(found.components, &[k, codes.d])?)
            .array("variances", tensor(found.variances, &[k])?)
            .array("explained", tensor(shares, &[k])?)
            .array("mean", tensor(found.mean, &[codes.d])?)
            .part(Part::Cloud(drawn));
        if self.images
            && let Some((grid, _)) = mosaic(&codes, &points, &colours, format!("{title}, one image a cell"), job)?
        {
            artifact = artifact.part(Part::Mosaic(grid));
        }
        artifact = artifact.part(Part::Plot(plot)).part(Part::Table("variance".into(), table));
        Ok(finish(artifact, &codes))
    }
}
