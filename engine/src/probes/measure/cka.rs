//! Do two layers represent the same images alike? Centred kernel alignment between layers, between nets, between epochs.
//!
//! Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited", 2019, section 3.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::kernels::matmul::{Matrix, matmul};
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::Probe;
use crate::probes::measure::{called, nets};
use crate::probes::retrieval::coding::Pooling;
use crate::probes::retrieval::coding::layers::{LayerCodes, depths};
use crate::show::{self, Artifact, Grid, Part, Scale, Table, Tile};
use crate::stream::StreamReport;
use crate::subject::{Input, Subject};
use crate::tensor::tensor;

crate::params! {
    /// Linear centred kernel alignment of layers' codes over a data set, 0 to 1: of all pairs of layers of one net or of two
    /// nets, or, for more nets (such as the epochs of one), of all pairs of nets at each layer.
    ///
    /// The array `cka` is layers x layers for one net or two (rows the first net's), layers x nets x nets for more.
    #[probe(
        family = Measure,
        source = "Kornblith et al. 2019, section 3",
        subjects = "a net or a list of nets",
        input = Data,
        example = "cka(#{ layers: [\"conv1/relu\", \"conv3/relu\"] }).run(net, data)"
    )]
    pub struct Cka as "cka" {
        /// The layers, by names that all nets have; all rectifiers, the input of the classifier, and the scores, unless given.
        layers: Vec<LayerName> = Vec::new();
        /// How a layer's positions are pooled.
        pool: Pooling = Pooling::Mean;
        /// Names for the nets, in their order; their own names unless given.
        names: Vec<String> = Vec::new();
    }
}

impl Probe for Cka {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let nets = nets(on)?;
        let data = input.data()?;
        if data.len() < 3 {
            return Err(Error::value(format!(
                "`{}` holds {} images; alignment needs 3 or more",
                data.name,
                data.len()
            )));
        }
        if data.len() > MOST_IMAGES {
            return Err(Error::value(format!("{} images: their kernels are {0} x {0}", data.len()))
                .hint(format!("take {MOST_IMAGES} or fewer: data.take({MOST_IMAGES})")));
        }
        let called = called(&self.names, &nets)?;
        let layers = nets.iter().map(|net| self.nodes(net)).collect::<Result<Vec<_>>>()?;
        let mut kernels = Vec::new();
        let mut report: Option<StreamReport> = None;
        let mut count = None;
        for (net, nodes) in nets.iter().zip(&layers) {
            let read = LayerCodes::of(net, nodes, &data, self.pool, job)?;
            if *count.get_or_insert(read.rows.len()) != read.rows.len() {
                // Stopped between nets: what lies behind the shorter one cannot be compared.
                break;
            }
            kernels.push(read.codes.iter().zip(&read.lengths).map(|(c, d)| kernel(c, *d)).collect::<Vec<_>>());
            report.get_or_insert(read.report);
        }
        let report = report.unwrap_or_default();
        let n = count.unwrap_or(0);
        let title = format!("centred kernel alignment over {n} images");
        let artifact = match &nets[..] {
            [one] => self.pairs(
                &title,
                ([one, one], [&called[0], &called[0]]),
                [&layers[0], &layers[0]],
                [&kernels[0], &kernels[0]],
            )?,
            [one, two] if kernels.len() == 2 => self.pairs(
                &title,
                ([one, two], [&called[0], &called[1]]),
                [&layers[0], &layers[1]],
                [&kernels[0], &kernels[1]],
            )?,
            _ => self.epochs(&title, (&nets[..kernels.len()], &called[..kernels.len()]), &layers, &kernels)?,
        };
        let done = if kernels.len() == nets.len() { report.reached } else { report.reached.min(data.len() - 1) };
        Ok(artifact
            .note("linear kernels of centred codes; 1 where they are the same but for a turn and one scale")
            .notes(report.note())
            .reached(done, data.len()))
    }
}

/// Images at most: their kernel takes 0.8 GB.
const MOST_IMAGES: usize = 10_000;

impl Cka {
    fn nodes(&self, net: &Model) -> Result<Vec<NodeId>> {
        match self.layers.is_empty() {
            true => Ok(depths(net)),
            false => self.layers.iter().map(|l| net.layer(&l.0)).collect(),
        }
    }

    /// Layers of one net against layers of another.
    fn pairs(
        &self,
        title: &str,
        (nets, called): ([&Model; 2], [&String; 2]),
        layers: [&Vec<NodeId>; 2],
        kernels: [&Vec<Vec<f64>>; 2],
    ) -> Result<Artifact> {
        let name = |k: usize, i: usize| nets[k].graph().node(layers[k][i]).name.clone();
        let mut table = Table::new(["rows", "columns", "cka"]);
        let mut values = Vec::new();
        for (i, a) in kernels[0].iter().enumerate() {
            for (j, b) in kernels[1].iter().enumerate() {
                let value = alignment(a, b);
                table.push([name(0, i).into(), name(1, j).into(), value.into()]);
                values.push(value);
            }
        }
        let size = [kernels[0].len(), kernels[1].len()];
        let values = tensor(values.into_iter().map(|v| v as f32).collect::<Vec<f32>>(), &size)?;
        let own = |k: usize| nets[k].card().name.clone();
        let [a, b] = [0, 1].map(|k| if self.names.is_empty() { own(k) } else { called[k].clone() });
        let named = |k: usize| (0..size[k]).map(|i| name(k, i)).collect::<Vec<_>>();
        let matrix = show::Matrix {
            title: format!("{a} (rows) and {b} (columns)"),
            values: values.clone(),
            rows: named(0),
            columns: named(1),
            label: "alignment".into(),
            scale: Scale::Sequential { low: Some(0.0), high: Some(1.0) },
        };
        Ok(Artifact::new(title)
            .part(Part::Matrix(matrix))
            .part(Part::Table("alignment".into(), table))
            .array("cka", values))
    }

    /// Every net against every other, a tile a layer.
    fn epochs(
        &self,
        title: &str,
        (nets, called): (&[Model], &[String]),
        layers: &[Vec<NodeId>],
        kernels: &[Vec<Vec<f64>>],
    ) -> Result<Artifact> {
        let of = |k: usize, i: usize| nets[k].graph().node(layers[k][i]).name.as_str();
        let count = layers.first().map_or(0, Vec::len);
        for k in 1..nets.len() {
            if let Some(i) = (0..count.max(layers[k].len()))
                .find(|i| layers[k].len() != count || *i >= count || of(k, *i) != of(0, *i))
            {
                let what = |k: usize| layers[k].get(i).map_or("no layer", |_| of(k, i)).to_string();
                return Err(Error::subject(format!(
                    "`{}` has `{}` where `{}` has `{}`: epochs of one net have the same layers",
                    called[k],
                    what(k),
                    called[0],
                    what(0)
                ))
                .hint("compare two nets at a time, or name `layers` that all have"));
            }
        }
        let (mut table, mut tiles, mut all) = (Table::new(["layer", "rows", "columns", "cka"]), Vec::new(), Vec::new());
        for i in 0..count {
            let mut values = Vec::new();
            for (a, rows) in kernels.iter().enumerate() {
                for (b, columns) in kernels.iter().enumerate() {
                    let value = alignment(&rows[i], &columns[i]);
                    table.push([of(0, i).into(), called[a].as_str().into(), called[b].as_str().into(), value.into()]);
                    values.push(value as f32);
                }
            }
            all.extend_from_slice(&values);
            tiles.push(Tile { caption: of(0, i).to_string(), values: tensor(values, &[nets.len(), nets.len()])? });
        }
        let grid = Grid {
            title: "nets against nets, a tile a layer".into(),
            tiles,
            columns: None,
            label: "alignment".into(),
            scale: Scale::Sequential { low: Some(0.0), high: Some(1.0) },
        };
        Ok(Artifact::new(title)
            .part(Part::Grid(grid))
            .part(Part::Table("alignment".into(), table))
            .array("cka", tensor(all, &[count, nets.len(), nets.len()])?)
            .note(format!("rows and columns of each tile: {}", called.join(", "))))
    }
}

/// The centred kernel X X^T of n codes, n x n, at a Frobenius norm of 1; zeros where all codes are equal.
fn kernel(codes: &[f32], d: usize) -> Vec<f64> {
    let n = codes.len() / d.max(1);
    let mut mean = vec![0f64; d];
    codes.chunks(d).for_each(|r| mean.iter_mut().zip(r).for_each(|(m, v)| *m += f64::from(*v) / n as f64));
    let x: Vec<f64> = codes.chunks(d).flat_map(|r| r.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m)).collect();
    let mut out = vec![0f64; n * n];
    matmul(n, n, d, &mut out, n, false, Matrix::rows(&x, d), Matrix::rows(&x, d).transposed());
    let norm = out.iter().map(|v| v * v).sum::<f64>().sqrt();
    if norm > 0.0 {
        out.iter_mut().for_each(|v| *v /= norm);
    }
    out
}

/// The inner product of two kernels of norm 1.
fn alignment(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
