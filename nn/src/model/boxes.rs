//! A card's entry for a detector's outputs: where class scores, objectness and boxes lie in them, and how four numbers
//! become a box. Decoding and non-maximum suppression are steps after the graph.
//!
//! The codes are those of Liu et al. 2015 (SSD, offsets from anchors), Lin et al. 2017 (RetinaNet, the same without
//! variances), YOLO's centre and size, and FastestDet's cells.

use serde::{Deserialize, Serialize};

/// What a group of a candidate's numbers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// Whether there is an object: one number.
    Objectness,
    /// The box: four numbers.
    Box,
    /// The classes: as many as `classes` says, else all that remain.
    Classes,
}

/// What the four numbers of a box are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxCode {
    /// Left, top, right, bottom.
    #[default]
    Corners,
    /// Top, left, bottom, right.
    #[serde(rename = "corners_yx")]
    CornersYx,
    /// Centre x, centre y, width, height.
    Center,
    /// Left, top, width, height.
    Corner,
    /// Offsets of centre and size from an anchor: x = ax + v0 d0 aw, w = aw e^(v2 d2).
    Offsets,
    /// Relative to a cell of a map: x = (column + tanh d0) / columns, w = sigmoid d2.
    Cells,
}

/// What a length of 1 is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxUnit {
    /// The side of the net's input.
    #[default]
    Fraction,
    /// A pixel of the net's input.
    Pixels,
}

/// The function applied to a raw class score or objectness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Squash {
    /// Nothing: the graph gives probabilities.
    #[default]
    None,
    /// A sigmoid.
    Sigmoid,
    /// A softmax over a candidate's classes.
    Softmax,
}

/// How a detector's raw outputs are read as boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BoxDecoding {
    /// The output that holds the class scores; the net's first unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// The output that holds the boxes, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<String>,
    /// What a candidate's numbers are, in order, where one output holds them all.
    pub columns: Vec<Column>,
    /// How many classes there are; all numbers that remain unless given. Numbers behind the last of `columns` are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// The axis along which candidates lie, axes of one entry left out; the longer one unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// What the four numbers of a box are.
    pub code: BoxCode,
    /// What a length of 1 is.
    pub unit: BoxUnit,
    /// The function that is applied to raw scores.
    pub activation: Squash,
    /// The class of the background; -1 is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<i64>,
    /// Exponents: a box's score is objectness to the power of the first times class probability to the power of the second.
    pub powers: [f64; 2],
    /// Anchors, centre x, centre y, width, height each, in `unit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub anchors: Vec<[f64; 4]>,
    /// The factors of offsets.
    pub variances: [f64; 4],
    /// Boxes with a lower score are left out.
    pub score: f64,
    /// Boxes of one class that overlap a better one by more are left out.
    pub iou: f64,
    /// At most so many boxes are kept.
    pub limit: usize,
    /// Whether a candidate is a box of every class whose score is high enough, not only of its best class.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub each_class: bool,
    /// At most so many boxes of a class are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_per_class: Option<usize>,
    /// How the decoding was recognised, where no option gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Default for BoxDecoding {
    fn default() -> Self {
        BoxDecoding {
            scores: None,
            boxes: None,
            columns: vec![Column::Box, Column::Classes],
            classes: None,
            candidates: None,
            code: BoxCode::Corners,
            unit: BoxUnit::Fraction,
            activation: Squash::None,
            background: None,
            powers: [1.0, 1.0],
            anchors: Vec::new(),
            variances: [1.0; 4],
            score: 0.3,
            iou: 0.5,
            limit: 100,
            each_class: false,
            limit_per_class: None,
            evidence: None,
        }
    }
}

/// The names of usual decodings.
pub const DECODINGS: [&str; 7] = ["ssd", "retinanet", "yolov5", "yolov8", "fastestdet", "detr", "rtdetr"];

impl BoxDecoding {
    /// Which of `classes` is the background, if one is.
    pub fn background_of(&self, classes: usize) -> Option<usize> {
        let at = self.background.map(|b| if b < 0 { b + classes as i64 } else { b })?;
        usize::try_from(at).ok()
    }

    /// A usual decoding; none where the name is not among [`DECODINGS`].
    ///
    /// "ssd": boxes as corners in fractions of the input beside scores with a background; "retinanet": corners in pixels
    /// beside logits of independent classes; "yolov5": rows of centre, size, objectness and classes in pixels; "yolov8":
    /// columns of centre, size and classes in pixels; "fastestdet": a map of objectness, box and classes; "detr" (Carion et al.
    /// 2020; YOLOS): centre and size in fractions of the input beside logits whose last class is the background;
    /// "rtdetr" (also Deformable DETR, DINO): the same beside logits of independent classes. Both need no non-maximum suppression.
    pub fn named(name: &str) -> Option<Self> {
        let base = BoxDecoding::default();
        let pixels = BoxDecoding { code: BoxCode::Center, unit: BoxUnit::Pixels, ..base.clone() };
        Some(match name {
            "ssd" => BoxDecoding { background: Some(0), ..base },
            "retinanet" => BoxDecoding { unit: BoxUnit::Pixels, activation: Squash::Sigmoid, ..base },
            "yolov5" => BoxDecoding {
                columns: vec![Column::Box, Column::Objectness, Column::Classes],
                candidates: Some(0),
                ..pixels
            },
            "yolov8" => BoxDecoding { candidates: Some(1), ..pixels },
            "detr" => BoxDecoding {
                activation: Squash::Softmax,
                background: Some(-1),
                code: BoxCode::Center,
                iou: 1.0,
                score: 0.5,
                ..base
            },
            "rtdetr" => {
                BoxDecoding { activation: Squash::Sigmoid, code: BoxCode::Center, iou: 1.0, each_class: true, ..base }
            }
            "fastestdet" => BoxDecoding {
                columns: vec![Column::Objectness, Column::Box, Column::Classes],
                code: BoxCode::Cells,
                powers: [0.6, 0.4],
                ..base
            },
            _ => return None,
        })
    }
}
