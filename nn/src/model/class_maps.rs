//! Outputs that are maps of classes, as nets for segmentation give them: a score for each class at each place.

use super::Model;
use super::outputs::{Evidence, OutputKind, Readout};
use crate::error::{Error, Result};
use crate::graph::MapPlace;
use crate::graph::axes::MapLayout;

/// Where the scores of a net's classes lie in its raw output, and how those of one place are read.
#[derive(Clone, Copy, Debug)]
pub struct ClassMaps {
    /// Classes x rows x columns.
    pub layout: MapLayout,
    /// How the scores of one place are read.
    pub readout: Readout,
    /// The part of the input that the maps lie over: top, left, bottom, right, px; none where that is all of it, within half a place.
    pub part: Option<[f64; 4]>,
    /// Whether the maps lie on the input in a known place, in one piece.
    pub is_placed: bool,
}

impl ClassMaps {
    /// Classes that have a map.
    pub fn classes(&self) -> usize {
        self.layout.shape[0]
    }

    /// Rows and columns.
    pub fn size(&self) -> [usize; 2] {
        [self.layout.shape[1], self.layout.shape[2]]
    }

    /// The position on an input of `size` (height, width) of a point of place `at`: (0, 0) is the place's upper left corner, (1, 1)
    /// its lower right one. x, y, px.
    pub fn position(&self, at: usize, [dx, dy]: [f64; 2], [height, width]: [usize; 2]) -> (f64, f64) {
        let [rows, columns] = self.size();
        let [top, left, bottom, right] = self.part.unwrap_or([0.0, 0.0, height as f64, width as f64]);
        let x = left + ((at % columns) as f64 + dx) * (right - left) / columns as f64;
        (x, top + ((at / columns) as f64 + dy) * (bottom - top) / rows as f64)
    }

    /// What a reader of the map should know of its place.
    pub fn part_note(&self) -> Option<String> {
        if !self.is_placed {
            return Some(
                "the net moves places in a way that is not followed: where the map of classes lies on the input is not known".into(),
            );
        }
        let [top, left, bottom, right] = self.part?.map(|v| (v * 10.0).round() / 10.0);
        Some(format!("the net's map lies over rows {top} to {bottom} and columns {left} to {right} of its input only"))
    }

    /// The index, in the raw output of one sample, of a class's score at place `at` (counted row by row).
    pub fn index(&self, class: usize, at: usize) -> usize {
        let [_, _, columns] = self.layout.shape;
        self.layout.place(class, at / columns, at % columns)
    }

    /// The scores at place `at` of a sample's raw output, one a class.
    pub fn scores(&self, sample: &[f64], at: usize) -> Vec<f64> {
        (0..self.classes()).map(|class| sample[self.index(class, at)]).collect()
    }

    /// The predicted class at each place of a sample's raw output, row by row. For a net with one class, 1 is its complement.
    pub fn winners(&self, sample: &[f64]) -> Vec<usize> {
        let [rows, columns] = self.size();
        (0..rows * columns).map(|at| first_largest(&self.readout.decision(&self.scores(sample, at)))).collect()
    }
}

fn first_largest(values: &[f64]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best })
}

impl Model {
    /// The maps of classes that the net's output is, a closing softmax peeled off.
    ///
    /// # Errors
    /// Where the output has no rows and columns, joins heads of different meaning, or the card says that it means something else.
    pub fn class_maps(&self) -> Result<ClassMaps> {
        let node = self.graph().node(self.graph().scores());
        let refused =
            |what: String| Error::subject(format!("the output `{}` of `{}` {what}", node.name, self.card().name));
        if self.card().boxes.is_some() {
            return Err(refused("holds boxes, not a map of classes".into()).hint("`net.boxes(image)` lists them"));
        }
        let scores = self.graph().scores();
        let layout = self.graph().map_layout(scores).filter(|l| l.shape[1] * l.shape[2] > 1);
        // A list of places is the map of one class.
        let is_open = self.leaves_classes_open();
        let layout = layout.or_else(|| self.graph().listed_map(scores).filter(|_| is_open));
        let layout = layout.ok_or_else(|| {
            let dims = node.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
            refused(format!("is no map of classes: its shape is {dims}")).hint(
                "a net for segmentation gives classes x rows x columns; `net.class(name)` is a class of a classifier",
            )
        })?;
        self.single_head()?;
        let mut readout = Readout { outputs: layout.shape[0], ..self.readout() };
        if readout.evidence == Evidence::Assumed && readout.kind != OutputKind::Value {
            readout.kind = if readout.outputs == 1 { OutputKind::Sigmoid } else { OutputKind::Softmax };
        }
        if readout.kind == OutputKind::Softmax && readout.outputs == 1 && readout.evidence == Evidence::Graph {
            return Err(refused("is a distribution over places, not over classes".into()));
        }
        if readout.kind == OutputKind::Value {
            return Err(refused("holds values, not classes".into())
                .hint("load_model(.., #{ output: \"softmax\" }) says what outputs are"));
        }
        let tolerance = 0.5 / layout.shape[1].max(layout.shape[2]) as f64;
        let (part, is_placed) = match self.graph().map_place(self.graph().scores(), tolerance) {
            MapPlace::Whole => (None, true),
            MapPlace::Part(part) => (Some(part), true),
            MapPlace::Pieces(_) | MapPlace::Unknown(_) => (None, false),
        };
        Ok(ClassMaps { layout, readout, part, is_placed })
    }
}
