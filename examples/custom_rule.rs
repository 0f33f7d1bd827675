//! A rule of one's own: guided backprop written again in a few lines, bit for bit the built-in one.
//!
//! `cargo run --release --example custom_rule` says how many values it compared.

use convscope::prelude::*;
use convscope::probes::attribution::input_signal;
use std::sync::Arc;

/// A signal passes a rectifier where it and what the rectifier took are positive (Springenberg et al. 2014).
#[derive(Debug)]
struct Guided;

impl Rule for Guided {
    fn name(&self) -> String {
        "my guided backprop".into()
    }

    fn backward(&self, site: &Site<'_>) -> Result<Parts> {
        let (took, flow) = (site.inputs[0], site.flow);
        let nothing = flow.zeros_like()?;
        let passed = flow.gt(&nothing)?.where_cond(flow, &nothing)?;
        Ok(vec![took.gt(&nothing)?.where_cond(&passed, &nothing)?].into())
    }
}

fn main() -> Result<()> {
    run()
}

/// Compares the two.
pub fn run() -> Result<()> {
    let net = load("shapes")?;
    let image = shapes(&Shapes::new().n(1usize).seed(3u64))?.get(0)?;
    let class = Subject::class(&net, image.label().unwrap_or("star"))?;
    let input = Input::Image(image);

    let rules = Rules(vec![(On::Rectifiers, Arc::new(Guided))]);
    let mine = input_signal(&class, &input.prepared(&net)?.x, &rules)?.flatten_all()?.to_vec1::<f32>()?;
    let built_in = GuidedBackprop::new().run(&class, &input, &Job::new())?;
    let built_in = built_in.value()?.flatten_all()?.to_vec1::<f32>()?;

    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&mine), bits(&built_in), "the two rules differ");
    println!("{} values are the same to the last bit", mine.len());
    Ok(())
}
