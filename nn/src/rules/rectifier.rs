//! What guided backprop and DeconvNet do at a rectifier.

use super::{Rule, Site};
use crate::error::Result;
use crate::graph::Op;
use crate::graph::op::Activation;
use crate::kernels::conv::{Clamp, Combine};
use crate::kernels::elementwise;
use crate::pass::vjp::vjp;
use crate::tensor::{tensor, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};

/// The gradient's mask as a gate on the rectifier's value: open where it lies between its bounds.
pub(super) fn gate(f: Activation) -> Option<Combine> {
    match f {
        Activation::Relu => Some(Combine::Mask(f32::INFINITY)),
        Activation::Clip { low: 0.0, high } if high > 0.0 => Some(Combine::Mask(high as f32)),
        _ => None,
    }
}

/// R passes where the forward input lets it (the gradient's mask; 0 < x < 6 for ReLU6) and R itself is positive.
///
/// Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for Simplicity", 2014, section 3.4.
#[derive(Clone, Copy, Debug)]
pub struct GuidedBackprop;

impl Rule for GuidedBackprop {
    fn name(&self) -> String {
        "guided_backprop".into()
    }

    fn gate(&self, f: Activation) -> Option<(Combine, Clamp)> {
        Some((gate(f)?, Clamp::Relu))
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let Op::Activation(f) = site.node.op else { return vjp(site) };
        let x = site.inputs[0];
        with_real!(site.flow, T => {
            let (v, g) = (values::<T>(x)?, values::<T>(site.flow)?);
            let passed = elementwise::zip_map(&v, &g, |x, r| if r > 0.0 { r * elementwise::derivative(f, x) } else { 0.0 });
            Ok(smallvec![tensor(passed, x.dims())?])
        })
    }
}

/// R passes where R is positive; the forward input plays no part.
///
/// Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 2.1.
#[derive(Clone, Copy, Debug)]
pub struct Deconvnet;

impl Rule for Deconvnet {
    fn name(&self) -> String {
        "deconvnet".into()
    }

    fn gate(&self, _: Activation) -> Option<(Combine, Clamp)> {
        Some((Combine::None, Clamp::Relu))
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        with_real!(site.flow, T => {
            let g = values::<T>(site.flow)?;
            let passed = elementwise::zip_map(&g, &g, |r, _| elementwise::maximum(r, 0.0));
            Ok(smallvec![tensor::<T>(passed, site.flow.dims())?])
        })
    }
}
