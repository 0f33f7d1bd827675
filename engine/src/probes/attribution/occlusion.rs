//! Occlusion: a patch slides over the input; what happens to the class, and to the strongest feature map?
//!
//! Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 4.2 and figure 7.

use crate::error::{Error, Result};
use crate::graph::NodeId;
use crate::job::Job;
use crate::model::Model;
use crate::params::{Form, LayerName, Param, Value, wrong_kind};
use crate::pass::{Changed, Incremental, Trace};
use crate::probe::Probe;
use crate::show::{Artifact, ClassMap, Map, Part, Scale, Style};
use crate::subject::{Input, Prepared, Subject, argmax};
use crate::tensor::{tensor, to_f32, to_f64};
use candle_core::Tensor;
use std::ops::Range;

crate::params! {
    /// Zeiler's three occlusion maps: the class's probability with the patch at each position, the most probable class
    /// there, and the total activity of the feature map that responds most to the whole image.
    ///
    /// Position (i, j) has the patch's top left corner at (i, j) x stride; there are ceil((H - patch) / stride) + 1
    /// rows, the last patch clipped at the border; where the stride is larger than the patch, a last position that would
    /// touch nothing is left out. For a channel, unit, direction or sum the first map is its score.
    #[probe(
        family = Where,
        source = "Zeiler, Fergus 2013, section 4.2",
        subjects = "a net, class, channel, unit, direction or sum",
        input = One,
        example = "occlusion(#{ patch: 16, stride: 8 }).run(net, image)"
    )]
    pub struct Occlusion as "occlusion" {
        /// Side of the patch, px of the net's input, or [rows, columns]; 32 for inputs of 192 to 256 px unless given, in proportion for others.
        patch: Extent = Extent::InProportion;
        /// Distance between positions, px of the net's input, or [down, right]; 8 for inputs of 192 to 256 px unless given, in proportion for others.
        stride: Extent = Extent::InProportion;
        /// What the patch is filled with: "zero" (of the preprocessed input), "mean" (of this input, by channel), "grey" (pixel 127.5), or a colour [r, g, b] in 0-255.
        fill: Fill = Fill::Zero;
        /// The layer whose strongest feature map is watched; the last one with maps unless given.
        layer: Option<LayerName> = None;
    }
}

/// Rows and columns of a patch or a stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// As usual for inputs of 192 to 256 px, in proportion to the shorter side for others.
    InProportion,
    /// These, px of the net's input.
    Of([usize; 2]),
}

impl Extent {
    /// The extent for an input of `size`: `usual` pixels for 192 to 256 px, else the same share of 224.
    fn on(self, size: [usize; 2], usual: usize) -> [usize; 2] {
        let side = size[0].min(size[1]);
        match self {
            Extent::Of(extent) => extent,
            Extent::InProportion if (192..=256).contains(&side) => [usual; 2],
            Extent::InProportion => [((side * usual) as f64 / 224.0).round().max(1.0) as usize; 2],
        }
    }
}

impl From<usize> for Extent {
    fn from(side: usize) -> Self {
        Extent::Of([side; 2])
    }
}

impl From<[usize; 2]> for Extent {
    fn from(sides: [usize; 2]) -> Self {
        Extent::Of(sides)
    }
}

impl Param for Extent {
    fn form() -> Form {
        Form::words("a whole number or [rows, columns]")
    }

    fn read(value: &Value) -> Result<Self> {
        let sides = match value {
            Value::Nothing => return Ok(Extent::InProportion),
            Value::List(_) => Vec::<usize>::read(value)?,
            one => vec![usize::read(one)?; 2],
        };
        match sides[..] {
            [rows, columns] if (1..=4096).contains(&rows) && (1..=4096).contains(&columns) => {
                Ok(Extent::Of([rows, columns]))
            }
            [_, _] => Err(Error::value(format!("must lie in 1..=4096, got {}", value.json()))),
            _ => Err(wrong_kind::<Self>(value)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Extent::InProportion => Value::Nothing,
            Extent::Of([rows, columns]) if rows == columns => Value::Int(*rows as i64),
            Extent::Of(sides) => Value::List(sides.iter().map(|n| Value::Int(*n as i64)).collect()),
        }
    }
}

/// "32 px" or "16 x 32 px".
fn pixels([rows, columns]: [usize; 2]) -> String {
    if rows == columns { format!("{rows} px") } else { format!("{rows} x {columns} px") }
}

/// What an occluding patch holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Fill {
    /// Zeros of the preprocessed input.
    Zero,
    /// The input's own mean, a channel each.
    Mean,
    /// Pixel value 127.5.
    Grey,
    /// A colour, red, green, blue, 0-255.
    Colour([f64; 3]),
}

impl Param for Fill {
    fn form() -> Form {
        Form {
            words: "\"zero\", \"mean\", \"grey\" or a colour [r, g, b]".into(),
            choices: vec!["zero", "mean", "grey"],
        }
    }

    fn read(value: &Value) -> Result<Self> {
        match value {
            Value::Text(t) if t == "zero" => Ok(Fill::Zero),
            Value::Text(t) if t == "mean" => Ok(Fill::Mean),
            Value::Text(t) if t == "grey" || t == "gray" => Ok(Fill::Grey),
            Value::Text(t) => Err(Error::value(format!("takes {}, got {t:?}", Self::form().words))),
            Value::List(_) => {
                let colour = Vec::<f64>::read(value)?;
                match <[f64; 3]>::try_from(colour) {
                    Ok(c) if c.iter().all(|v| (0.0..=255.0).contains(v)) => Ok(Fill::Colour(c)),
                    _ => Err(Error::value("a colour is three numbers from 0 to 255")),
                }
            }
            other => Err(wrong_kind::<Self>(other)),
        }
    }

    fn write(&self) -> Value {
        match self {
            Fill::Zero => Value::Text("zero".into()),
            Fill::Mean => Value::Text("mean".into()),
            Fill::Grey => Value::Text("grey".into()),
            Fill::Colour(c) => Value::List(c.iter().map(|v| Value::Float(*v)).collect()),
        }
    }
}

impl Fill {
    /// The patch's value in each channel of `x` (1 x C x H x W), in the units of the preprocessed input.
    ///
    /// # Errors
    /// For grey and colours where the net's card does not say how pixels are preprocessed.
    pub fn values(&self, model: &Model, x: &Tensor) -> Result<Vec<f32>> {
        let channels = x.dims()[1];
        let colour = |rgb: [f64; 3]| -> Result<Vec<f32>> {
            let p = model.card().preprocess()?;
            let bounds = p.bounds();
            let at = |c: usize| match (channels, p.order) {
                (3, crate::data::preprocess::Order::Bgr) => rgb[2 - c],
                (3, _) => rgb[c],
                _ => 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2],
            };
            let value = |c: usize| bounds[c].0 + (bounds[c].1 - bounds[c].0) * (at(c) / 255.0) as f32;
            Ok((0..channels).map(value).collect())
        };
        match self {
            Fill::Zero => Ok(vec![0.0; channels]),
            Fill::Mean => {
                let all = to_f64(x)?;
                let plane = all.len() / channels;
                Ok(all.chunks(plane).map(|c| (c.iter().sum::<f64>() / plane as f64) as f32).collect())
            }
            Fill::Grey => colour([127.5; 3]),
            Fill::Colour(c) => colour(*c),
        }
    }
}

/// Where the patch stands, in the order of the map.
struct Positions {
    patch: [usize; 2],
    stride: [usize; 2],
    input: [usize; 2],
    rows: usize,
    columns: usize,
}

impl Positions {
    fn new(patch: [usize; 2], stride: [usize; 2], input: [usize; 2]) -> Self {
        let [rows, columns] = [0, 1].map(|a| {
            let last = input[a].saturating_sub(patch[a]).div_ceil(stride[a]);
            // Only a stride larger than the patch can leave the last patch behind the border.
            if last > 0 && last * stride[a] >= input[a] { last } else { last + 1 }
        });
        Positions { patch, stride, input, rows, columns }
    }

    fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// The rows and columns that the patch covers at position `i`.
    fn cover(&self, i: usize) -> [Range<usize>; 2] {
        let place = [i / self.columns, i % self.columns];
        [0, 1].map(|a| {
            let from = place[a] * self.stride[a];
            from.min(self.input[a])..(from + self.patch[a]).min(self.input[a])
        })
    }

    /// The top left corner of the window that holds the patch at position `i`.
    fn corner(&self, i: usize) -> [usize; 2] {
        let cover = self.cover(i);
        [0, 1].map(|a| cover[a].start.min(self.input[a] - self.patch[a]))
    }

    /// All positions, at most `most` at a time, together those whose patches reach about as far in `pass`.
    fn blocks(&self, most: usize, pass: &Incremental) -> Vec<Vec<usize>> {
        let high = most.isqrt().clamp(1, self.rows);
        let wide = (most / high).clamp(1, self.columns);
        // Even shares.
        let [high, wide] = [(self.rows, high), (self.columns, wide)].map(|(n, most)| n.div_ceil(n.div_ceil(most)));
        let reach = |i: usize| pass.reach(self.corner(i), self.patch);
        let mut rows: Vec<usize> = (0..self.rows).collect();
        rows.sort_by_cached_key(|y| reach(y * self.columns)[0]);
        let mut columns: Vec<usize> = (0..self.columns).collect();
        columns.sort_by_cached_key(|x| reach(*x)[1]);
        let blocks = rows.chunks(high).flat_map(|ys| columns.chunks(wide).map(move |xs| (ys, xs)));
        blocks.map(|(ys, xs)| ys.iter().flat_map(|y| xs.iter().map(move |x| y * self.columns + x)).collect()).collect()
    }

    /// The windows of the input that hold the patch at each of the positions in `which`, all of one size: where a patch is
    /// clipped at the border, the window reaches back over the input as it is. N x C x h x w.
    fn tiles(&self, base: &[f32], fill: &[f32], which: &[usize]) -> Result<Tensor> {
        let [height, width] = self.input;
        let [high, wide] = self.patch;
        let mut data = Vec::with_capacity(which.len() * fill.len() * high * wide);
        for i in which {
            let [rows, columns] = self.cover(*i);
            let [top, left] = self.corner(*i);
            for (c, value) in fill.iter().enumerate() {
                for y in top..top + high {
                    let from = data.len();
                    let line = (c * height + y) * width + left;
                    data.extend_from_slice(&base[line..line + wide]);
                    if rows.contains(&y) {
                        data[from + columns.start - left..from + columns.end - left].fill(*value);
                    }
                }
            }
        }
        tensor(data, &[which.len(), fill.len(), high, wide])
    }

    /// The part of the input that the map covers when each value is drawn around its patch's centre.
    fn extent(&self) -> [f64; 4] {
        let start = [0, 1].map(|a| (self.patch[a] as f64 - self.stride[a] as f64) / 2.0);
        let end = |a: usize, n: usize| start[a] + (n * self.stride[a]) as f64;
        [start[0], start[1], end(0, self.rows), end(1, self.columns)]
    }
}

/// Positions that are computed together: so many that what they change mostly stays in the caches, more where they share much
/// reading of weights.
fn together(model: &Model) -> usize {
    let shared = model.weights().count().div_ceil(model.graph().trace_len().max(1));
    (16 * shared).min(64)
}

/// What is noted at each position; NaN where none was computed yet.
struct Found {
    done: usize,
    score: Vec<f32>,
    best: Vec<f32>,
    activity: Vec<f32>,
}

impl Found {
    fn nothing(len: usize) -> Self {
        let all = vec![f32::NAN; len];
        Found { done: 0, score: all.clone(), best: all.clone(), activity: all }
    }
}

impl Probe for Occlusion {
    fn run(&self, on: &Subject, input: &Input, job: &Job) -> Result<Artifact> {
        let model = on.model()?;
        let prepared = input.prepared(model)?;
        let target = on.asked(&prepared)?;
        let model = target.model()?;
        let [_, _, height, width] = prepared.x.dims()[..] else {
            return Err(Error::subject(format!(
                "`{}` takes no image: its input is {:?}",
                model.card().name,
                model.input_shape()
            )));
        };
        let places = self.positions([height, width]);
        if places.patch[0] > height || places.patch[1] > width {
            let patch = pixels(places.patch);
            return Err(Error::value(format!("a patch of {patch} on an input of {height} x {width} px")));
        }
        let watched = match &self.layer {
            Some(name) => Some(model.layer(&name.0)?),
            None => watched_layer(model, &target)?,
        };
        let probe = Watch::new(model, &target, watched, &prepared.x)?;
        let fill = self.fill.values(model, &prepared.x)?;
        let base = to_f32(&prepared.x)?;
        let batch = job.batch(model, 2 * model.graph().peak_len() + base.len(), together(model));
        let mut found = Found::nothing(places.len());
        // Blocks, on which the choice of kernels depends, follow from shapes; memory says how much of one is computed at once.
        let blocks = places.blocks(together(model), &probe.pass);
        for block in job.steps("occlusion", blocks.len()) {
            let starts: Vec<[usize; 2]> = blocks[block].iter().map(|i| places.corner(*i)).collect();
            for first in (0..starts.len()).step_by(batch) {
                let part = first..(first + batch).min(starts.len());
                let which = &blocks[block][part.clone()];
                let tiles = places.tiles(&base, &fill, which)?;
                probe.note(which, &probe.pass.run_part(&starts, part, tiles)?, &mut found)?;
            }
        }
        let done = found.done;
        self.artifact(&target, &prepared, &probe, &places, found).map(|a| a.reached(done, places.len()))
    }

    fn importance(&self, map: &Tensor, size: [usize; 2]) -> Result<Vec<f64>> {
        // A pixel matters as much as the score is low where patches cover it, on average.
        let places = self.positions(size);
        let values = to_f64(map)?;
        if values.len() != places.len() {
            return Err(Error::shape(format!("{:?} is no occlusion map with this patch and stride", map.dims())));
        }
        let (mut sum, mut count) = (vec![0.0; size[0] * size[1]], vec![0usize; size[0] * size[1]]);
        for (i, value) in values.iter().enumerate() {
            let [rows, columns] = places.cover(i);
            for y in rows {
                for at in y * size[1] + columns.start..y * size[1] + columns.end {
                    sum[at] -= value;
                    count[at] += 1;
                }
            }
        }
        let lowest = -values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Ok(sum.iter().zip(&count).map(|(s, n)| if *n > 0 { s / *n as f64 - lowest } else { 0.0 }).collect())
    }
}

impl Occlusion {
    fn positions(&self, input: [usize; 2]) -> Positions {
        Positions::new(self.patch.on(input, 32), self.stride.on(input, 8), input)
    }

    fn artifact(
        &self,
        target: &Subject,
        prepared: &Prepared,
        probe: &Watch<'_>,
        places: &Positions,
        found: Found,
    ) -> Result<Artifact> {
        let (model, extent) = (probe.model, Some(places.extent()));
        let grid = |values: Vec<f32>| tensor(values, &[places.rows, places.columns]);
        let map = |title: String, values: &Tensor, label: &str, scale: Scale| {
            Part::Map(Map {
                title,
                values: values.clone(),
                label: label.to_string(),
                scale,
                photo: prepared.photo.clone(),
                placement: prepared.placement,
                extent,
                input: places.input,
                style: Style::Overlay,
            })
        };
        let is_class = matches!(target, Subject::Class { .. });
        let readout = model.readout();
        let what = target.watched_word();
        let scale = match what {
            "score" => Scale::Sequential { low: None, high: None },
            _ => Scale::Sequential { low: Some(0.0), high: Some(1.0) },
        };
        let classes: Vec<usize> = found.best.iter().filter(|b| !b.is_nan()).map(|b| *b as usize).collect();
        let (score, best) = (grid(found.score)?, grid(found.best)?);
        let mut artifact = Artifact::new(format!("occlusion of {target} in {}", model.card().name))
            .part(map(format!("{what} of {target}"), &score, what, scale))
            .array(what, score);
        if probe.classifies {
            artifact = artifact
                .part(Part::ClassMap(ClassMap {
                    title: "most probable class".into(),
                    values: best.clone(),
                    names: frequent(&classes, model),
                    photo: prepared.photo.clone(),
                    placement: prepared.placement,
                    extent,
                    input: places.input,
                }))
                .array("best", best);
        }
        if let Some((node, channel)) = probe.watched {
            let name = &model.graph().node(node).name;
            let activity = grid(found.activity)?;
            let scale = Scale::Sequential { low: None, high: None };
            artifact = artifact
                .part(map(format!("activity of {name}[{channel}]"), &activity, "sum of activations", scale))
                .array("activity", activity)
                .note(format!(
                    "{name}[{channel}] responds most to the whole image: its activations sum to {:.4}",
                    probe.base_activity
                ));
        }
        if is_class {
            artifact = artifact.notes(readout.note());
        }
        Ok(artifact.note(format!("without the patch: {what} of {target} {:.4}", probe.base_score)).note(format!(
            "{} positions, patch {}, stride {}",
            places.len(),
            pixels(places.patch),
            pixels(places.stride)
        )))
    }
}

/// The last layer with maps; of what a box or a class of pixels reads, the last before its own score.
fn watched_layer(model: &Model, target: &Subject) -> Result<Option<NodeId>> {
    let Subject::Places(places) = target else { return Ok(model.last_map_layer()) };
    let graph = model.graph();
    let (needed, layouts) = (graph.ancestors(places.node), graph.map_layouts());
    let maps = |id: &NodeId| layouts[id.0].is_some_and(|l| l.is_plain() && l.shape[1] * l.shape[2] > 1);
    Ok(model.layers().filter(|id| needed[id.0] && *id != places.node && *id != graph.input() && maps(id)).last())
}

/// What is read from the net at every position.
struct Watch<'a> {
    model: &'a Model,
    target: &'a Subject,
    watched: Option<(NodeId, usize)>,
    /// Whether the output holds one score a class, of which one is the largest.
    classifies: bool,
    /// The nodes that the scores are read from.
    read: Vec<NodeId>,
    pass: Incremental,
    base_score: f64,
    base_activity: f64,
}

impl<'a> Watch<'a> {
    fn new(model: &'a Model, target: &'a Subject, layer: Option<NodeId>, x: &Tensor) -> Result<Self> {
        let mut read = target.watched_nodes()?;
        let classifies = model.labels_readout().is_ok();
        if classifies {
            read.push(model.graph().scores());
        }
        read.sort();
        read.dedup();
        let goals: Vec<NodeId> = read.iter().copied().chain(layer).collect();
        let pass = Incremental::new(model, x, &goals)?;
        let trace = pass.base().clone();
        let mut watch =
            Watch { model, target, watched: None, classifies, read, pass, base_score: 0.0, base_activity: 0.0 };
        if let Some(node) = layer {
            let value = trace.get(node)?;
            if value.dims().len() != 4 {
                let name = &model.graph().node(node).name;
                return Err(Error::subject(format!("`{name}` has no maps: its shape is {:?}", &value.dims()[1..])));
            }
            let plane = value.dims()[2] * value.dims()[3];
            let sums: Vec<f64> = to_f64(value)?.chunks(plane).map(|c| c.iter().sum()).collect();
            let channel = argmax(&sums);
            watch.watched = Some((node, channel));
            watch.base_activity = sums[channel];
        }
        watch.base_score = watch.scores(&trace)?[0].0;
        Ok(watch)
    }

    /// What is watched ([`Subject::watched`]) and the most probable class of each sample, the class 0 where there are none.
    fn scores(&self, trace: &Trace) -> Result<Vec<(f64, usize)>> {
        if !self.classifies {
            return Ok(self.target.watched(trace)?.into_iter().map(|score| (score, 0)).collect());
        }
        let flat = to_f64(trace.get(self.model.graph().scores())?)?;
        let n = flat.len() / trace.batch();
        let rows = flat.chunks(n);
        if let Subject::Class { index, .. } = self.target {
            let readout = self.model.labels_readout()?;
            return Ok(rows.map(|r| (readout.shown(r)[*index], argmax(&readout.decision(r)))).collect());
        }
        Ok(self.target.scores(trace)?.into_iter().zip(rows.map(argmax)).collect())
    }

    /// Notes what became of the net with the patch at each of the positions in `which`.
    fn note(&self, which: &[usize], changed: &Changed<'_>, found: &mut Found) -> Result<()> {
        for (i, (score, best)) in which.iter().zip(self.scores(&changed.trace(&self.read)?)?) {
            (found.score[*i], found.best[*i]) = (score as f32, best as f32);
        }
        if let Some((node, channel)) = self.watched {
            let maps = changed.channel(node, channel)?;
            let plane = maps.dims()[2] * maps.dims()[3];
            for (i, map) in which.iter().zip(to_f64(&maps)?.chunks(plane)) {
                found.activity[*i] = map.iter().sum::<f64>() as f32;
            }
        }
        found.done += which.len();
        Ok(())
    }
}

/// The classes that occur, most frequent first, equal ones by number.
fn frequent(classes: &[usize], model: &Model) -> Vec<(usize, String)> {
    let mut counts = std::collections::BTreeMap::new();
    classes.iter().for_each(|c| *counts.entry(*c).or_insert(0usize) += 1);
    let mut order: Vec<(usize, usize)> = counts.into_iter().collect();
    order.sort_by_key(|(class, n)| (std::cmp::Reverse(*n), *class));
    order.into_iter().map(|(class, _)| (class, model.card().class_name(class))).collect()
}
