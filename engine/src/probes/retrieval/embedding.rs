//! What t-SNE and PCA share: how points are coloured, and the figures of an embedding.

use crate::embed::grid::assign;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::model::Model;
use crate::probes::retrieval::coding::Codes;
use crate::show::{Cloud, Mosaic};

crate::choice! {
    /// What the colours of points show.
    pub enum Colour {
        /// The image's label.
        Class = "class",
        /// The net's most probable class.
        Prediction = "prediction",
        /// Whether that class is the label.
        Error = "error",
        /// Nothing.
        None = "none",
    }
}

/// Groups that have a colour of their own; the other groups are "others".
const MAX_COLOURED_GROUPS: usize = 12;

/// The names of the groups and each row's group.
///
/// # Errors
/// Where predictions are asked for without images, or labels are no classes of the net.
pub fn groups(codes: &Codes, colour: Colour, model: Option<&Model>) -> Result<(Vec<String>, Vec<usize>)> {
    let (labels, numbers) = codes.labels();
    let missing = || Error::value("colours by prediction need the images").hint("give them: #{ data: data }");
    match colour {
        Colour::None => Ok((Vec::new(), vec![usize::MAX; codes.len()])),
        Colour::Class => Ok((labels, numbers.into_iter().map(|n| n.unwrap_or(usize::MAX)).collect())),
        Colour::Prediction => {
            let model = model.filter(|_| codes.predicted.len() == codes.len()).ok_or_else(missing)?;
            let mut counts = std::collections::BTreeMap::<usize, usize>::new();
            codes.predicted.iter().for_each(|(c, _)| *counts.entry(*c).or_default() += 1);
            let mut order: Vec<(usize, usize)> = counts.into_iter().collect();
            order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            order.truncate(MAX_COLOURED_GROUPS);
            let names = order.iter().map(|(c, _)| model.card().class_name(*c)).collect();
            let group = |c: usize| order.iter().position(|(o, _)| *o == c).unwrap_or(usize::MAX);
            Ok((names, codes.predicted.iter().map(|(c, _)| group(*c)).collect()))
        }
        Colour::Error => {
            let model = model.filter(|_| codes.predicted.len() == codes.len()).ok_or_else(missing)?;
            let classes = labels.iter().map(|l| model.card().class_index(l)).collect::<Result<Vec<usize>>>()?;
            let group = |(number, (class, _)): (&Option<usize>, &(usize, f64))| match number {
                Some(n) => usize::from(classes[*n] != *class),
                None => usize::MAX,
            };
            let groups = numbers.iter().zip(&codes.predicted).map(group).collect();
            Ok((vec!["right".into(), "wrong".into()], groups))
        }
    }
}

/// Images up to which thumbnails and a grid are drawn.
pub const MAX_THUMBNAILS: usize = 6000;

/// The images on a grid, each in the cell nearest to its place.
///
/// # Errors
/// Where the images can no longer be read.
pub fn mosaic(
    codes: &Codes,
    points: &[[f64; 2]],
    (names, groups): &(Vec<String>, Vec<usize>),
    title: String,
    job: &Job,
) -> Result<Option<(Mosaic, Vec<usize>)>> {
    let images = codes.thumbnails(96, MAX_THUMBNAILS, job)?;
    if images.is_empty() {
        return Ok(None);
    }
    let grid = assign(points)?;
    let caption = |r: &usize| {
        let label = codes.data.as_ref().and_then(|d| d.item(codes.rows[*r]).ok()).and_then(|i| i.label.clone());
        match label {
            Some(label) if !codes.caption(*r).contains(&label) => format!("{}: {label}", codes.caption(*r)),
            _ => codes.caption(*r),
        }
    };
    let mosaic = Mosaic {
        title,
        images: grid.cells.iter().map(|r| images[*r].clone()).collect(),
        captions: grid.cells.iter().map(caption).collect(),
        groups: grid.cells.iter().map(|r| groups[*r]).collect(),
        names: names.clone(),
        columns: grid.columns,
    };
    Ok(Some((mosaic, grid.cells)))
}

/// The points in their colours.
pub fn cloud(points: Vec<[f64; 2]>, (names, groups): &(Vec<String>, Vec<usize>), title: String) -> Cloud {
    Cloud { title, points, groups: groups.clone(), names: names.clone(), ..Cloud::default() }
}
