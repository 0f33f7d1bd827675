//! Guided backprop and DeconvNet: the gradient everywhere except at rectifiers.

use crate::error::Result;
use crate::graph::Op;
use crate::graph::op::Activation;
use crate::kernels::conv::{Clamp, Combine};
use crate::kernels::elementwise::{backward, maximum, zip_map};
use crate::pass::rule::{On, Rule, Rules, Site, gradient_mask};
use crate::pass::vjp::vjp;
use crate::tensor::{tensor, values};
use crate::with_real;
use candle_core::Tensor;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

impl Rules {
    /// Guided backprop at every rectifier (Springenberg et al. 2014).
    pub fn guided_backprop() -> Self {
        Rules(vec![(On::Rectifiers, Arc::new(GuidedBackprop))])
    }

    /// DeconvNet at every rectifier (Zeiler and Fergus 2013). Max pools pass the signal to their argmax, as for the gradient.
    pub fn deconvnet() -> Self {
        Rules(vec![(On::Rectifiers, Arc::new(Deconvnet))])
    }
}

/// R passes where the gradient does (at a ReLU where x > 0, at a ReLU6 where 0 < x < 6) and R is positive.
///
/// A rectifier whose slope is not 0 or 1 (leaky or smooth ones: SiLU, GELU, Mish, hard-swish, ELU) passes a positive R times that
/// slope, and a negative R not at all; the paper defines the rule for ReLU only.
///
/// Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for Simplicity", 2014, section 3.4.
#[derive(Clone, Copy, Debug)]
pub struct GuidedBackprop;

impl Rule for GuidedBackprop {
    fn name(&self) -> String {
        "guided_backprop".into()
    }

    fn as_epilogue(&self, f: Activation) -> Option<(Combine, Clamp)> {
        Some((gradient_mask(f)?, Clamp::Relu))
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        let Op::Activation(f) = site.node.op else {
            let positive = site.flow.relu()?;
            return vjp(&Site { flow: &positive, ..*site });
        };
        let x = site.inputs[0];
        with_real!(site.flow, T => {
            let (v, g) = (values::<T>(x)?, values::<T>(site.flow)?);
            let positive = zip_map(&g, &g, |r, _| if r > 0.0 { r } else { 0.0 });
            Ok(smallvec![tensor(backward(f, &v, &positive), x.dims())?])
        })
    }
}

/// R passes where R is positive, whatever x.
///
/// Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2013, section 2.1.
#[derive(Clone, Copy, Debug)]
pub struct Deconvnet;

impl Rule for Deconvnet {
    fn name(&self) -> String {
        "deconvnet".into()
    }

    fn as_epilogue(&self, _: Activation) -> Option<(Combine, Clamp)> {
        Some((Combine::None, Clamp::Relu))
    }

    fn backward(&self, site: &Site<'_>) -> Result<SmallVec<[Tensor; 2]>> {
        // A learned slope gets nothing.
        let slopes = site.inputs[1..].iter().map(|t| Ok(t.zeros_like()?));
        let passed = with_real!(site.flow, T => {
            let g = values::<T>(site.flow)?;
            let signal = zip_map(&g, &g, |r, _| maximum(r, 0.0));
            tensor::<T>(signal, site.flow.dims())
        });
        std::iter::once(passed).chain(slopes).collect()
    }
}
