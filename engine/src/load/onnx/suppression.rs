//! NonMaxSuppression: the number of chosen boxes depends on the data, so it ends the graph. Its boxes and scores become outputs of
//! the net; the suppression runs after the net ([`crate::detect`]). Gradients start at the score of a chosen box.

use super::links;
use super::reader::Reader;
use super::site::Site;
use super::value::Value;
use crate::error::{Error, Result};
use crate::graph::op::Binary;
use crate::graph::{NodeId, Op};
use crate::model::boxes::{BoxCode, BoxDecoding, BoxUnit, Column};
use rten_onnx::onnx::NodeProto;

/// The inputs and attributes of a NonMaxSuppression.
pub struct Suppression {
    /// The outputs that replace it, by name and node: the scores and the boxes.
    pub ends: [(String, NodeId); 2],
    /// How they are decoded.
    pub decoding: BoxDecoding,
}

impl<'a> Reader<'a> {
    /// Ends the graph at `node`, whose boxes and scores are computed.
    ///
    /// # Errors
    /// Where their shapes are not those that ONNX defines.
    pub fn suppress(&mut self, site: &Site<'_>, node: &'a NodeProto) -> Result<()> {
        let [boxes, scores] = [0, 1].map(|i| match site.input(i) {
            Value::Act(x) => Ok(*x),
            other => Err(site.wants(i, "computed from the net's input", other)),
        });
        let (boxes, scores) = (boxes?, scores?);
        if let Some(shift) = self.box_offset(boxes.id) {
            return Err(Error::unsupported(format!(
                "the boxes of `{}` are shifted by class (`{shift}`), so that those of different classes do not overlap",
                site.name
            ))
            .hint("torchvision's batched_nms does so: export the net up to its boxes and scores by class, and say how they are read: load_model(.., #{ boxes: .. })"));
        }
        let shown = [boxes, scores].map(|x| self.scope.sample(x));
        let bare = |dims: &[usize], lead: usize| match (dims, lead) {
            (&[a, b], 1) | (&[1, a, b], 0) => Some([a, b]),
            _ => None,
        };
        let fit = match (bare(&shown[0], boxes.lead), bare(&shown[1], scores.lead)) {
            (Some([n, 4]), Some([classes, m])) if n == m => Some(classes),
            _ => None,
        };
        let classes = fit.ok_or_else(|| {
            Error::shape(format!("boxes of {:?} and scores of {:?} a sample", shown[0], shown[1]))
                .hint("boxes are samples x candidates x 4, scores samples x classes x candidates")
        })?;
        let each = site.scalar(2)?.unwrap_or(0.0).clamp(0.0, 1e6) as usize;
        let center = site.int("center_point_box")?.unwrap_or(0) != 0;
        let (code, order) = match (center, self.scope.torch) {
            (true, _) => (BoxCode::Center, "centre x, centre y, width, height"),
            // PyTorch passes its own corners, x first; ONNX has y first. Overlaps are the same.
            (false, true) => (BoxCode::Corners, "left, top, right, bottom, as PyTorch writes them"),
            (false, false) => (BoxCode::CornersYx, "top, left, bottom, right, as ONNX says"),
        };
        let name = |i: usize| node.input.get(i).cloned().unwrap_or_default();
        let evidence = format!(
            "`{}` (NonMaxSuppression) ends the graph, as the number of boxes depends on the image: net.boxes(image) does what it says; boxes are taken for {order}, in pixels of the input",
            site.name
        );
        let decoding = BoxDecoding {
            scores: Some(name(1)),
            boxes: Some(name(0)),
            columns: vec![Column::Box, Column::Classes],
            code,
            unit: BoxUnit::Pixels,
            // Scores must be above the threshold, that is at least the next f32.
            score: site.scalar(4)?.map_or(f64::MIN, |t| f64::from((t as f32).next_up())),
            iou: site.scalar(3)?.unwrap_or(0.0),
            limit: each.saturating_mul(classes),
            each_class: true,
            limit_per_class: Some(each),
            evidence: Some(evidence),
            ..BoxDecoding::default()
        };
        if self.suppression.is_none() {
            let ends = [(name(1), scores.id), (name(0), boxes.id)];
            self.suppression = Some(Suppression { ends, decoding });
        }
        self.end(node);
        Ok(())
    }

    /// The node that adds one number to all four of each box, found through steps that only move values.
    fn box_offset(&self, mut at: NodeId) -> Option<String> {
        let builder = &self.scope.builder;
        while matches!(builder.op(at), Op::Reshape(_) | Op::Identity | Op::Transpose(_)) {
            at = *builder.node(at).inputs.first()?;
        }
        let node = builder.node(at);
        let (Op::Binary(Binary::Add), &[a, b]) = (&node.op, &node.inputs[..]) else { return None };
        let last = |id: NodeId| builder.shape(id).last().copied();
        let computed = |id: NodeId| !matches!(builder.op(id), Op::Constant(_));
        let shifts = |of: NodeId, by: NodeId| last(of) == Some(4) && last(by) == Some(1) && computed(by);
        (shifts(a, b) || shifts(b, a)).then(|| node.name.clone())
    }

    /// Whether a node reads values behind the graph's end.
    pub fn is_behind(&self, node: &NodeProto) -> bool {
        !self.behind.is_empty() && links::reads(node).iter().any(|name| self.behind.contains(name))
    }

    /// Marks a node's outputs as behind the graph's end.
    pub fn end(&mut self, node: &'a NodeProto) {
        self.behind.extend(node.output.iter().map(String::as_str));
    }
}
