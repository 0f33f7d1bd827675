//! Where candidates and their numbers lie in a detector's outputs.

use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::boxes::{BoxCode, BoxDecoding, Column};

/// Where candidates and their numbers lie, in values of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxColumns {
    /// Candidates.
    pub candidates: usize,
    /// Classes, the background among them.
    pub classes: usize,
    /// Rows and columns of the cells that candidates are, where they are.
    pub cells: [usize; 2],
    scores: Strides,
    boxes: Strides,
    objectness: Option<usize>,
    first_box: usize,
    first_class: usize,
}

/// Values between neighbouring candidates, and between the numbers of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strides {
    candidate: usize,
    number: usize,
}

/// An output as candidates by numbers.
struct Sheet {
    candidates: usize,
    numbers: usize,
    strides: Strides,
    cells: Option<[usize; 2]>,
}

impl BoxColumns {
    /// The columns that `decoding` says, in the outputs of the scores and, where it is another, of the boxes.
    ///
    /// # Errors
    /// Where the shapes do not fit; the message names outputs and shapes.
    pub fn of(decoding: &BoxDecoding, scores: &Model, boxes: Option<&Model>) -> Result<Self> {
        let columns = match boxes {
            Some(boxes) => Self::of_two(decoding, scores, boxes)?,
            None => Self::of_one(decoding, scores)?,
        };
        let n = columns.candidates;
        if decoding.code == BoxCode::Offsets && decoding.anchors.len() != n {
            return Err(Error::shape(format!(
                "{} anchors for {n} candidates of `{}`",
                decoding.anchors.len(),
                scores.card().name
            ))
            .hint("`anchors` lists centre x, centre y, width, height of each candidate, in the decoding's unit"));
        }
        if decoding.code == BoxCode::Cells && columns.cells == [0, 0] {
            return Err(misfit(scores, "is no map of cells").hint("\"cells\" decodes numbers x rows x columns"));
        }
        let is_there = decoding.background_of(columns.classes).is_some_and(|b| b < columns.classes);
        if let Some(background) = decoding.background.filter(|_| !is_there) {
            return Err(Error::value(format!(
                "class {background} as background of `{}`, which has {} classes",
                scores.card().name,
                columns.classes
            )));
        }
        Ok(columns)
    }

    /// The place of the score of a class.
    pub fn class_at(&self, candidate: usize, class: usize) -> usize {
        self.scores.at(candidate, self.first_class + class)
    }

    /// The place of the objectness, where there is one.
    pub fn objectness_at(&self, candidate: usize) -> Option<usize> {
        self.objectness.map(|k| self.scores.at(candidate, k))
    }

    /// The place of one of the box's four numbers.
    pub fn box_at(&self, candidate: usize, k: usize) -> usize {
        self.boxes.at(candidate, self.first_box + k)
    }

    fn of_one(decoding: &BoxDecoding, scores: &Model) -> Result<Self> {
        let sheet = Sheet::of(scores, decoding.candidates, None)?;
        let fixed = |c: &Column| match c {
            Column::Objectness => 1,
            Column::Box => 4,
            Column::Classes => 0,
        };
        let known: usize = decoding.columns.iter().map(fixed).sum();
        let has = |c: Column| decoding.columns.iter().filter(|k| **k == c).count();
        if has(Column::Box) != 1 || has(Column::Classes) != 1 || has(Column::Objectness) > 1 {
            return Err(Error::value(format!("the columns {:?} of a detector", decoding.columns))
                .hint("`columns` names \"box\" and \"classes\" once, and \"objectness\" where there is one"));
        }
        let least = known + decoding.classes.unwrap_or(1).max(1);
        if sheet.numbers < least {
            return Err(misfit(
                scores,
                &format!("gives {} numbers a candidate, {least} and more are needed", sheet.numbers),
            )
            .hint("`candidates: 0` or 1 says along which axis candidates lie"));
        }
        // What lies behind the columns that are named is of something else: masks, key points, an angle.
        let classes = decoding.classes.unwrap_or(sheet.numbers - known);
        let width = |c: &Column| if *c == Column::Classes { classes } else { fixed(c) };
        let first = |c: Column| decoding.columns.iter().take_while(|k| **k != c).map(width).sum::<usize>();
        Ok(BoxColumns {
            candidates: sheet.candidates,
            classes,
            cells: sheet.cells.unwrap_or_default(),
            scores: sheet.strides,
            boxes: sheet.strides,
            objectness: (has(Column::Objectness) == 1).then(|| first(Column::Objectness)),
            first_box: first(Column::Box),
            first_class: first(Column::Classes),
        })
    }

    fn of_two(decoding: &BoxDecoding, scores: &Model, boxes: &Model) -> Result<Self> {
        let shape = squeezed(boxes);
        let axis = shape.iter().rposition(|(n, _)| *n == 4);
        let along = decoding.candidates.or(match (shape.len(), axis) {
            (2, Some(axis)) => Some(1 - axis),
            _ => None,
        });
        let sheet = Sheet::of(boxes, along, None)?;
        if sheet.numbers != 4 {
            return Err(misfit(boxes, &format!("gives {} numbers a candidate where a box has four", sheet.numbers)));
        }
        let own = Sheet::of(scores, decoding.candidates, Some(sheet.candidates))?;
        if own.candidates != sheet.candidates {
            return Err(misfit(scores, &format!("gives scores of {} candidates", own.candidates))
                .hint(format!("its boxes are {}", sheet.candidates)));
        }
        let objectness = decoding.columns.contains(&Column::Objectness);
        let before = decoding.columns.iter().take_while(|c| **c != Column::Classes).any(|c| *c == Column::Objectness);
        let all = own.numbers - usize::from(objectness && own.numbers > 1);
        let classes = decoding.classes.map_or(all, |n| n.clamp(1, all));
        Ok(BoxColumns {
            candidates: sheet.candidates,
            classes,
            cells: sheet.cells.unwrap_or_default(),
            scores: own.strides,
            boxes: sheet.strides,
            objectness: objectness.then_some(if before { 0 } else { all }),
            first_box: 0,
            first_class: usize::from(objectness && before),
        })
    }
}

impl Strides {
    fn at(self, candidate: usize, k: usize) -> usize {
        candidate * self.candidate + k * self.number
    }
}

impl Sheet {
    /// An output's value as candidates by numbers: candidates lie along `axis`, or along the one with `count` entries, or along
    /// the longer one; the cells of a map are candidates.
    fn of(model: &Model, axis: Option<usize>, count: Option<usize>) -> Result<Self> {
        let dims = squeezed(model);
        match dims[..] {
            [(n, stride)] if count.is_none_or(|c| c == n) => {
                Ok(Sheet { candidates: n, numbers: 1, strides: Strides { candidate: stride, number: 0 }, cells: None })
            }
            [(a, sa), (b, sb)] => {
                let first = match (axis, count) {
                    (Some(axis), _) => axis == 0,
                    (None, Some(count)) if a == count || b == count => a == count,
                    _ => a >= b,
                };
                let (candidates, numbers, candidate, number) = if first { (a, b, sa, sb) } else { (b, a, sb, sa) };
                Ok(Sheet { candidates, numbers, strides: Strides { candidate, number }, cells: None })
            }
            [(numbers, number), (rows, _), (columns, candidate)] => Ok(Sheet {
                candidates: rows * columns,
                numbers,
                strides: Strides { candidate, number },
                cells: Some([rows, columns]),
            }),
            _ => Err(misfit(model, "is no list of candidates")
                .hint("boxes are read from candidates x numbers, numbers x candidates, or numbers x rows x columns")),
        }
    }
}

/// The axes of more than one entry of a net's output, each with its stride; the last two of three stay.
fn squeezed(model: &Model) -> Vec<(usize, usize)> {
    let shape = &model.graph().node(model.graph().output()).shape;
    let strides: Vec<usize> = (0..shape.len()).map(|k| shape[k + 1..].iter().product()).collect();
    let all: Vec<(usize, usize)> = shape.iter().copied().zip(strides).collect();
    match shape.len() {
        0..=2 => all,
        3 if shape[0] > 1 => all,
        _ => all.into_iter().skip_while(|(n, _)| *n == 1).collect(),
    }
}

fn misfit(model: &Model, what: &str) -> Error {
    let node = model.graph().node(model.graph().output());
    let dims = node.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" x ");
    Error::shape(format!("the output `{}` ({dims}) of `{}` {what}", node.name, model.card().name))
}
