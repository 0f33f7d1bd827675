//! The algebra in Rust: three questions about one generated image, answered by the embedded net.
//!
//! `cargo run --release --example saliency` writes three figures to `convscope-out/saliency/`.

use convscope::prelude::*;
use std::path::Path;

fn main() -> Result<()> {
    let net = load("shapes")?;
    let image = shapes(&Shapes::new().n(1usize).seed(3u64))?.get(0)?;
    let class = Subject::class(&net, image.label().unwrap_or("star"))?;
    let input = Input::Image(image);
    let probes: [&dyn Probe; 3] = [&Gradient::new(), &GradCam::new(), &Occlusion::new().patch(16usize).stride(4usize)];
    for probe in probes {
        let map = probe.run(&class, &input, &Job::new())?;
        let path = Path::new("convscope-out/saliency").join(format!("{}.png", probe.name()));
        save(&Saved::Artifact(&map), &path)?;
        println!("{}: {}", map.title, path.display());
    }
    Ok(())
}
