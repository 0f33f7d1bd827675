//! Two nets side by side: where do the maps of a net (quantised, pruned, fine-tuned, exported again) differ from those of its
//! original?
//!
//! Maps are compared by Spearman's rank correlation, as Adebayo et al. 2018 (section 3.1) compare maps of one net with those of
//! another; layers by the relative error of their values (`layers`).

mod layers;

use self::layers::{LayerPair, Pairing};
use crate::data::{Dataset, Image};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::params::LayerName;
use crate::probe::{Probe, ProbeArg, importance};
use crate::probes::attribution::grad_cam::GradCam;
use crate::probes::attribution::heat_map;
use crate::probes::measure::{names, nets};
use crate::show::{Artifact, Cell, Map, Mark, Part, Plot, Scale, Series, Style, Table};
use crate::stats::{quantile, spearman};
use crate::stream::StreamReport;
use crate::subject::{Input, Prepared, Subject, argmax};
use crate::tensor::{tensor, to_f64};
use candle_core::Tensor;
use std::sync::Arc;

crate::params! {
    /// Where the maps of two nets differ: for each image the rank correlation of the maps for the first net's most probable
    /// class (for nets whose outputs are values, its largest output), whether both predict the same class, and how much the
    /// values of matched layers differ.
    ///
    /// Layers are matched by name and shape, the rest in their order by kind and shape (the table says which). The error of a
    /// layer over all images is |b - a| / |a| in the Euclidean norm; its signal-to-noise ratio is -20 log10 of that, dB. The
    /// images that differ most are drawn first.
    ///
    /// Arrays: `spearman` (one value an image, NaN where a map is constant), `agree` (1 where both predict the same class),
    /// `layer_error`, `snr`, `cosine` (one value a layer), `maps` (images x 2 x rows x columns: the values that are ranked;
    /// only where all maps are of one size).
    #[probe(
        family = Judge,
        source = "Spearman 1904; Adebayo et al. 2018, section 3.1",
        subjects = "a list of two nets with the same classes, or of values",
        input = Any,
        example = "compare_nets().run([net, net.ablate(net.layer(\"conv2\").channel(3))], data.take(4))"
    )]
    pub struct CompareNets as "compare_nets" {
        /// The probe whose maps are compared.
        probe: ProbeArg = ProbeArg(Arc::new(GradCam::new()));
        /// Images drawn, those that differ most.
        images: usize = 6, in 0..=100;
        /// The layers whose values are compared, by names of the first net; all with weights, and the scores, unless given.
        layers: Vec<LayerName> = Vec::new();
    }
}

/// What was found of one image.
struct Row {
    number: usize,
    caption: String,
    photo: Option<Image>,
    label: Option<String>,
    rho: Option<f64>,
    /// Whether both maps are constant: then there is no rank correlation.
    both_flat: bool,
    class: [usize; 2],
    probability: [f64; 2],
    maps: [Tensor; 2],
    drawn: Option<([Tensor; 2], [Prepared; 2])>,
}

impl Row {
    /// The difference: 1 minus the correlation; 2 where only one map is constant, 0 where both are.
    fn difference(&self) -> f64 {
        self.rho.map_or(if self.both_flat { 0.0 } else { 2.0 }, |rho| 1.0 - rho)
    }
}

impl Probe for CompareNets {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let both = nets(on)?;
        let [a, b] = &both[..] else {
            return Err(Error::subject(format!("{} where two nets are compared", count(both.len())))
                .hint("give a list of two, `compare_nets().run([net, net.float()], data)`"));
        };
        for net in [a, b] {
            net.labels_readout().map_err(|e| e.context(format!("`{}`", net.card().name)))?;
        }
        if word(a) != word(b) {
            return Err(Error::subject(format!(
                "the outputs of `{}` are each a {}, those of `{}` a {}",
                a.card().name,
                word(a),
                b.card().name,
                word(b)
            ))
            .hint("load_model(.., #{ output: .. }) says what outputs are"));
        }
        if a.scores_len() != b.scores_len() {
            return Err(Error::subject(format!(
                "`{}` has {} classes, `{}` {}",
                a.card().name,
                a.scores_len(),
                b.card().name,
                b.scores_len()
            ))
            .hint("nets with the same classes are compared"));
        }
        let mut pairing = Pairing::of(a, b, &self.layers)?;
        job.whole_data("compare_nets")?;
        let data = match input {
            Input::Tensor(_) => None,
            other => Some(other.data()?),
        };
        let total = data.as_ref().map_or(1, Dataset::len);
        let (mut rows, mut report) = (Vec::<Row>::new(), StreamReport::default());
        for i in job.steps("compare_nets", total) {
            let one = match &data {
                None => input.clone(),
                Some(data) => match report.take(i, data.get(i))? {
                    Some(photo) => Input::Image(photo),
                    None => continue,
                },
            };
            let Some(mut row) = self.row(a, b, (i, &one), &mut pairing, job)? else { break };
            if let Some(data) = &data {
                let item = data.item(i)?;
                (row.caption, row.label) = (item.caption(i), item.label.clone());
            } else {
                report.reached += 1;
            }
            rows.push(row);
            self.keep_drawn(&mut rows);
        }
        report.check()?;
        let artifact = self.report(&names(&both), [a, b], &rows, &pairing, job)?;
        Ok(artifact.notes(report.note()).reached(report.reached, total))
    }
}

impl CompareNets {
    /// Both nets' maps of one input; none where an interrupt cut a map short.
    fn row(
        &self,
        a: &Model,
        b: &Model,
        (number, input): (usize, &Input),
        pairing: &mut Pairing,
        job: &Job,
    ) -> Result<Option<Row>> {
        let prepared = [input.prepared(a)?, input.prepared(b)?];
        let scores = pairing.add([a, b], [&prepared[0].x, &prepared[1].x])?;
        let readouts = [a.labels_readout()?, b.labels_readout()?];
        let class = [0, 1].map(|k| argmax(&readouts[k].decision(&scores[k])));
        let probability = [0, 1].map(|k| readouts[k].probabilities(&scores[k])[class[k]]);
        let (mut maps, mut drawn) = (Vec::new(), Vec::new());
        for (net, prepared) in [a, b].into_iter().zip(&prepared) {
            let target = Subject::class_at(net, class[0])?;
            let map = self.probe.0.attribute(&target, &prepared.x, &job.quiet())?.squeeze(0)?;
            let laid = self.probe.0.on_input(&target, map.clone())?;
            drawn.push(self.importance(&laid, prepared)?);
            maps.push(plane(&map)?);
        }
        if job.stopped() {
            return Ok(None);
        }
        let [mut p, mut q] = [maps.remove(0), maps.remove(0)];
        if p.dims() != q.dims() {
            // Maps of different sizes are ranked where they lie on the first net's input.
            let &[.., h, w] = prepared[0].x.dims() else { return Err(Error::subject("maps are compared over images")) };
            let enlarged = |map: &Tensor| tensor(importance(map, [h, w])?, &[h, w]);
            (p, q) = (enlarged(&p)?, enlarged(&q)?);
        }
        let (x, y) = (to_f64(&p)?, to_f64(&q)?);
        let flat = |v: &[f64]| v.iter().all(|u| *u == v[0]);
        let photo = prepared[0].photo.clone();
        let [first, second] = [drawn.remove(0), drawn.remove(0)];
        Ok(Some(Row {
            number,
            caption: format!("input {number}"),
            photo,
            label: None,
            rho: spearman(&x, &y),
            both_flat: flat(&x) && flat(&y),
            class,
            probability,
            maps: [p, q],
            drawn: Some(([first, second], prepared)),
        }))
    }

    /// A map as shares of its largest importance, over its net's input.
    fn importance(&self, map: &Tensor, prepared: &Prepared) -> Result<Tensor> {
        let &[.., h, w] = prepared.x.dims() else { return Err(Error::subject("maps are compared over images")) };
        let values = self.probe.0.importance(map, [h, w])?;
        let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let share = |v: &f64| if largest > 0.0 { (v.max(0.0) / largest) as f32 } else { 0.0 };
        tensor(values.iter().map(share).collect::<Vec<f32>>(), &[h, w])
    }

    /// Keeps pictures only of the images that differ most so far.
    fn keep_drawn(&self, rows: &mut [Row]) {
        let kept: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].drawn.is_some()).collect();
        let nearest = kept.iter().copied().min_by(|i, j| {
            rows[*i].difference().total_cmp(&rows[*j].difference()).then(rows[*j].number.cmp(&rows[*i].number))
        });
        if let (true, Some(nearest)) = (kept.len() > self.images, nearest) {
            (rows[nearest].drawn, rows[nearest].photo) = (None, None);
        }
    }

    fn report(
        &self,
        names: &[String],
        nets: [&Model; 2],
        rows: &[Row],
        pairing: &Pairing,
        job: &Job,
    ) -> Result<Artifact> {
        let n = rows.len();
        let mut order: Vec<&Row> = rows.iter().collect();
        order.sort_by(|p, q| q.difference().total_cmp(&p.difference()).then(p.number.cmp(&q.number)));
        let mut rhos: Vec<f64> = rows.iter().filter_map(|r| r.rho).collect();
        rhos.sort_by(f64::total_cmp);
        let agree = rows.iter().filter(|r| r.class[0] == r.class[1]).count();
        let method = self.probe.0.name();
        let mut artifact = Artifact::new(format!("{method} in {} and in {} over {}", names[0], names[1], images(n)));
        let panels = panels(names, nets, &order)?;
        if !panels.is_empty() {
            artifact = artifact.part(Part::Figure(panels, 3));
        }
        if n > 1 {
            artifact = artifact.part(Part::Plot(distribution(&rhos, method)));
        }
        artifact = artifact
            .part(Part::Table("images, the most different first".into(), table(names, nets, &order)))
            .part(Part::Plot(pairing.plot()))
            .part(Part::Table("layers".into(), pairing.table(names)))
            .array("spearman", tensor(rows.iter().map(|r| r.rho.unwrap_or(f64::NAN)).collect::<Vec<_>>(), &[n])?)
            .array(
                "agree",
                tensor(rows.iter().map(|r| f64::from(u8::from(r.class[0] == r.class[1]))).collect::<Vec<_>>(), &[n])?,
            );
        for (name, value) in [
            ("layer_error", LayerPair::error as fn(&LayerPair) -> f64),
            ("snr", LayerPair::snr),
            ("cosine", LayerPair::cosine),
        ] {
            artifact = artifact
                .array(name, tensor(pairing.pairs.iter().map(value).collect::<Vec<_>>(), &[pairing.pairs.len()])?);
        }
        if let Some(first) = rows.first()
            && rows.iter().all(|r| r.maps[0].dims() == first.maps[0].dims())
            && 8 * (n * first.maps[0].elem_count()) as u64 <= job.memory
        {
            let pairs = rows.iter().map(|r| Tensor::stack(&r.maps, 0)).collect::<candle_core::Result<Vec<_>>>()?;
            artifact = artifact.array("maps", Tensor::stack(&pairs, 0)?);
        }
        let same = match word(nets[0]) {
            "value" => "the largest output is the same",
            _ => "both nets predict the same class",
        };
        artifact = artifact
            .note(format!("{same} for {agree} of {n}; each map is of what {} predicts", names[0]))
            .notes(pairing.notes(names));
        let flat = rows.iter().filter(|r| r.rho.is_none()).count();
        if flat > 0 {
            artifact = artifact.note(format!(
                "{flat} of {n} have a map that is the same everywhere in one net or both: no rank correlation"
            ));
        }
        if let (Some(low), Some(mid)) = (quantile(&rhos, 0.05), quantile(&rhos, 0.5)) {
            artifact = artifact.note(format!("rank correlation: median {mid:.3}, 5 % lie below {low:.3}"));
        }
        Ok(artifact)
    }
}

/// What is ranked of a raw map: a coarse map as it is, of C x H x W the largest magnitude over channels.
fn plane(map: &Tensor) -> Result<Tensor> {
    match map.dims() {
        [_, _] => Ok(map.clone()),
        [_, _, _] => Ok(map.abs()?.max(0)?),
        other => Err(Error::subject(format!("a map {other:?} has no place on the input"))
            .hint("probes of the family \"where does it look\" make maps")),
    }
}

/// What a net's outputs are.
fn word(net: &Model) -> &'static str {
    net.labels_readout().map_or("probability", |readout| readout.word())
}

fn count(n: usize) -> String {
    if n == 1 { "one net".into() } else { format!("{n} nets") }
}

fn images(n: usize) -> String {
    if n == 1 { "one image".into() } else { format!("{n} images") }
}

fn table(names: &[String], nets: [&Model; 2], order: &[&Row]) -> Table {
    let mut table = Table::new(
        ["image".to_string(), "name".into(), "label".into(), "rank correlation".into()].into_iter().chain([
            format!("{} predicts", names[0]),
            word(nets[0]).into(),
            format!("{} predicts", names[1]),
            format!("its {}", word(nets[1])),
        ]),
    );
    for row in order {
        let class = |k: usize| Cell::from(nets[k].card().class_name(row.class[k]));
        table.push([
            row.number.into(),
            row.caption.as_str().into(),
            row.label.clone().map_or(Cell::Nothing, Cell::from),
            row.rho.map_or(Cell::Nothing, Cell::from),
            class(0),
            row.probability[0].into(),
            class(1),
            row.probability[1].into(),
        ]);
    }
    table
}

/// A photo and both maps a row, for the rows whose pictures were kept.
fn panels(names: &[String], nets: [&Model; 2], order: &[&Row]) -> Result<Vec<Artifact>> {
    let mut panels = Vec::new();
    let drawn: Vec<_> = order.iter().filter_map(|row| row.drawn.as_ref().map(|d| (row, d))).collect();
    for (i, (row, (shares, prepared))) in drawn.iter().enumerate() {
        let rho = row.rho.map_or("no rank correlation".to_string(), |rho| format!("rank correlation {rho:.2}"));
        let target = Subject::class_at(nets[0], row.class[0])?;
        let panel = |k: usize, title: String, label: &str, style: Style| -> Result<Artifact> {
            let scale = Scale::Sequential { low: Some(0.0), high: Some(1.0) };
            let prepared = Prepared { photo: row.photo.clone(), ..prepared[k].clone() };
            let part = match heat_map("map", &target, &prepared, &shares[k], label, scale, style)? {
                Part::Map(map) => Part::Map(Map { title: String::new(), ..map }),
                other => other,
            };
            Ok(Artifact::new(title).part(part))
        };
        if row.photo.is_some() {
            panels.push(panel(0, format!("{}: {rho}", row.caption), "", Style::Photo)?);
        }
        for k in [0, 1] {
            let said = format!("{} {:.2}", nets[k].card().class_name(row.class[k]), row.probability[k]);
            let label = if k == 1 && i + 1 == drawn.len() { "share of the largest value" } else { "" };
            panels.push(panel(k, format!("{}: {said}", names[k]), label, Style::Panel)?);
        }
    }
    Ok(panels)
}

/// How many images have a rank correlation in each twentieth from the lowest to 1.
fn distribution(sorted: &[f64], method: &str) -> Plot {
    let low = sorted.first().map_or(-1.0, |v| (v * 20.0).floor() / 20.0).clamp(-1.0, 0.95);
    let bins = ((1.0 - low) * 20.0).round().max(1.0) as usize;
    let mut counts = vec![0usize; bins];
    for v in sorted {
        counts[(((v - low) * 20.0) as usize).min(bins - 1)] += 1;
    }
    let categories: Vec<String> = (0..bins).map(|i| format!("{:.2}", low + i as f64 / 20.0)).collect();
    Plot {
        title: "rank correlation of maps".into(),
        x_label: format!("Spearman's correlation of {method}'s maps, from .. on"),
        y_label: "images".into(),
        series: vec![Series {
            name: "images".into(),
            x: (0..bins).map(|i| i as f64).collect(),
            y: counts.iter().map(|c| *c as f64).collect(),
            bars: Vec::new(),
            mark: Mark::Bar,
        }],
        categories,
    }
}
