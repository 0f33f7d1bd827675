//! The Gaussian blur of a plane.

/// A plane under a separable Gaussian blur, edges repeated.
pub fn blur(plane: &mut [f64], [height, width]: [usize; 2], sigma: f64) {
    let reach = (3.0 * sigma).ceil() as isize;
    let kernel: Vec<f64> = (-reach..=reach).map(|d| libm::exp(-(d * d) as f64 / (2.0 * sigma * sigma))).collect();
    let total: f64 = kernel.iter().sum();
    let pass = |source: &[f64], n: usize, at: &dyn Fn(usize, usize) -> usize, lines: usize, out: &mut [f64]| {
        for line in 0..lines {
            for i in 0..n {
                let tap = |k: usize| {
                    let j = (i as isize + k as isize - reach).clamp(0, n as isize - 1) as usize;
                    kernel[k] * source[at(line, j)]
                };
                out[at(line, i)] = (0..kernel.len()).map(tap).sum::<f64>() / total;
            }
        }
    };
    let mut half = vec![0.0; height * width];
    pass(plane, width, &|y, x| y * width + x, height, &mut half);
    pass(&half, height, &|x, y| y * width + x, width, plane);
}
