//! Receptive fields over volumes. A window over a volume is computed in steps over planes; the graph records the window itself
//! ([`VolumeWindow`]).

use super::dag::{Graph, NodeId};
use super::op::Op;

/// A window over depth, rows and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeWindow {
    /// The node over whose value it slides.
    pub input: String,
    /// Entries along each axis.
    pub kernel: [usize; 3],
    /// Entries between neighbouring positions.
    pub stride: [usize; 3],
    /// Entries between neighbouring taps.
    pub dilation: [usize; 3],
    /// Entries added before each axis.
    pub before: [usize; 3],
}

/// The receptive field of the units of a node: unit (z, y, x) depends on `size[0]` slices of the input from
/// `start[0] + z * stride[0]` on; rows and columns likewise. What lies outside the input is padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeField {
    /// Depth, height and width, voxels.
    pub size: [usize; 3],
    /// Voxels between the windows of neighbouring units.
    pub stride: [usize; 3],
    /// The first voxel of the window of unit (0, 0, 0).
    pub start: [isize; 3],
}

/// What a node's units depend on, as [`super::field::ReceptiveField`] over volumes.
#[derive(Clone, Copy)]
enum KnownField {
    Nothing,
    Local(VolumeField),
    Whole,
}

impl Graph {
    /// Whether windows of the net slide over all three axes of its input volume. Where none does, the volume may be frames of a video,
    /// each of which is an image of its own.
    pub fn slides_over_depth(&self) -> bool {
        // A window over several images, stacked as the slices of a volume, comes after the step `NAME/volume` that stacks them.
        self.volumes.keys().any(|name| self.find(&format!("{name}/volume")).is_none())
    }

    /// The receptive field of each node over the net's input volume; none where the node depends on the whole input or on nothing
    /// of it, or where the net's input is no volume.
    pub fn volume_fields(&self) -> Vec<Option<VolumeField>> {
        let mut known: Vec<KnownField> = Vec::with_capacity(self.nodes().len());
        let volumes = self.is_over_volumes();
        for id in self.ids().filter(|_| volumes) {
            let field = self.known_field(id, &known);
            known.push(field);
        }
        let local = |id: NodeId| match known.get(id.0) {
            Some(KnownField::Local(field)) => Some(*field),
            _ => None,
        };
        self.ids().map(local).collect()
    }

    fn known_field(&self, id: NodeId, known: &[KnownField]) -> KnownField {
        let node = self.node(id);
        if let Some(window) = self.volumes.get(&node.name)
            && let Some(from) = self.find(&window.input).and_then(|from| known.get(from.0))
        {
            return match from {
                KnownField::Local(field) => KnownField::Local(slide(window, field)),
                other @ (KnownField::Nothing | KnownField::Whole) => *other,
            };
        }
        let before = node.inputs.iter().map(|i| known[i.0]).reduce(union);
        match (&node.op, before) {
            (Op::Input, _) if id == self.input() => {
                KnownField::Local(VolumeField { size: [1; 3], stride: [1; 3], start: [0; 3] })
            }
            (_, None | Some(KnownField::Nothing)) => KnownField::Nothing,
            (Op::Activation(_) | Op::Binary(_) | Op::Identity | Op::BatchNorm { .. }, Some(field)) => field,
            (Op::Concat { axis: 0 } | Op::Select { axis: 0, .. }, Some(field)) => field,
            _ => KnownField::Whole,
        }
    }
}

fn slide(window: &VolumeWindow, field: &VolumeField) -> VolumeField {
    let VolumeField { size, stride, start } = *field;
    let axes = [0, 1, 2];
    VolumeField {
        size: axes.map(|a| size[a] + (window.kernel[a] - 1) * window.dilation[a] * stride[a]),
        stride: axes.map(|a| stride[a] * window.stride[a]),
        start: axes.map(|a| start[a] - (window.before[a] * stride[a]) as isize),
    }
}

/// The smallest field that contains both.
fn union(a: KnownField, b: KnownField) -> KnownField {
    match (a, b) {
        (KnownField::Nothing, other) | (other, KnownField::Nothing) => other,
        (KnownField::Local(a), KnownField::Local(b)) if a.stride == b.stride => {
            let axes = [0, 1, 2];
            let start = axes.map(|i| a.start[i].min(b.start[i]));
            let end = |f: &VolumeField, i: usize| f.start[i] + f.size[i] as isize;
            let size = axes.map(|i| (end(&a, i).max(end(&b, i)) - start[i]) as usize);
            KnownField::Local(VolumeField { size, stride: a.stride, start })
        }
        _ => KnownField::Whole,
    }
}
