//! The codes of a data set as an array.

use crate::error::Result;
use crate::job::Job;
use crate::probe::Probe;
use crate::probes::retrieval::coding::{Codes, Coding, Pooling};
use crate::show::{Artifact, Cell, Part, Table};
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// A layer's code for each image: the array `codes`, one row an image, with a table of the images in that order.
    ///
    /// A layer's code is taken after the rectifier that follows it; a net's code is the input of its classifier.
    #[probe(
        family = Images,
        source = "Donahue et al. 2013, \"DeCAF\", section 3",
        subjects = "a layer, or a net (the input of its classifier)",
        input = Data,
        example = "codes().run(net, data)"
    )]
    pub struct CodesOf as "codes" {
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Whether the code is taken after the rectifier that follows the layer.
        relu: bool = true;
        /// Whether each image's most probable class is added to the table.
        predictions: bool = false;
        /// Whether codes of image files are cached on disk.
        cache: bool = true;
    }
}

impl Probe for CodesOf {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let coding = Coding { pool: self.pool, relu: self.relu, predictions: self.predictions, cache: self.cache };
        let codes = Codes::of(on, input, None, coding, job)?;
        let mut table = Table::new(
            ["image", "name", "label"]
                .into_iter()
                .chain(if self.predictions { &["prediction", "probability"][..] } else { &[] }.iter().copied()),
        );
        for (r, i) in codes.rows.iter().enumerate() {
            let label = codes.data.as_ref().and_then(|d| d.item(*i).ok()).and_then(|item| item.label.clone());
            let mut row = vec![(*i).into(), codes.caption(r).into(), label.map_or(Cell::Nothing, Cell::from)];
            if let Some((class, p)) = codes.predicted.get(r) {
                row.extend([on.model()?.card().class_name(*class).into(), (*p).into()]);
            }
            table.push(row);
        }
        let n = codes.len();
        let zero = codes.values.iter().filter(|v| **v == 0.0).count() as f64 / codes.values.len().max(1) as f64;
        let artifact = Artifact::new(format!("{n} codes of {} values{}", codes.d, codes.place()))
            .array("codes", tensor(codes.values.clone(), &[n, codes.d])?)
            .part(Part::Table("images".into(), table))
            .note(format!("{:.0} % of the values are zero", 100.0 * zero));
        Ok(finish(artifact, &codes))
    }
}

/// Adds notes on how the codes were computed.
pub(super) fn finish(artifact: Artifact, codes: &Codes) -> Artifact {
    let notes = codes.notes.iter().cloned().chain(codes.report.note());
    notes.fold(artifact, Artifact::note).reached(codes.report.reached, codes.total)
}
