//! Foreground segmentation: colour mixtures and a minimum cut over the pixel grid.
//!
//! Boykov, Jolly, "Interactive Graph Cuts for Optimal Boundary & Region Segmentation", 2001; maximum flow by Dinic's algorithm
//! (1970).

use std::collections::VecDeque;

/// A mixture over colours of Gaussians with diagonal covariances.
pub struct Mixture(Vec<Component>);

struct Component {
    weight: f64,
    mean: [f64; 3],
    var: [f64; 3],
}

impl Mixture {
    /// Fits `k` components to `colours` (0 to 255) by expectation-maximisation, starting from quantiles of brightness; none without
    /// colours.
    pub fn fit(colours: &[[f64; 3]], k: usize) -> Option<Self> {
        if colours.is_empty() {
            return None;
        }
        let mut sorted: Vec<&[f64; 3]> = colours.iter().collect();
        sorted.sort_by(|a, b| a.iter().sum::<f64>().total_cmp(&b.iter().sum::<f64>()));
        let start = |i: usize| *sorted[(2 * i + 1) * (sorted.len() - 1) / (2 * k)];
        let mut parts: Vec<Component> =
            (0..k).map(|i| Component { weight: 1.0 / k as f64, mean: start(i), var: [900.0; 3] }).collect();
        for _ in 0..12 {
            let mut sums = vec![(0.0, [0.0; 3], [0.0; 3]); k];
            for c in colours {
                let odds: Vec<f64> = parts.iter().map(|p| p.density(c)).collect();
                let total: f64 = odds.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                for (sum, odd) in sums.iter_mut().zip(odds) {
                    let share = odd / total;
                    sum.0 += share;
                    for (v, (first, second)) in c.iter().zip(sum.1.iter_mut().zip(sum.2.iter_mut())) {
                        *first += share * v;
                        *second += share * v * v;
                    }
                }
            }
            for (part, (n, first, second)) in parts.iter_mut().zip(sums) {
                part.weight = (n / colours.len() as f64).max(1e-6);
                for a in 0..3 {
                    part.mean[a] = if n > 1e-9 { first[a] / n } else { part.mean[a] };
                    // A lower bound keeps a component from collapsing onto one colour.
                    part.var[a] = if n > 1e-9 { (second[a] / n - part.mean[a].powi(2)).max(25.0) } else { part.var[a] };
                }
            }
        }
        Some(Mixture(parts))
    }

    /// The negative log-likelihood of a colour.
    pub fn cost(&self, colour: &[f64; 3]) -> f64 {
        -libm::log(self.0.iter().map(|p| p.density(colour)).sum::<f64>().max(1e-300))
    }
}

impl Component {
    fn density(&self, colour: &[f64; 3]) -> f64 {
        let exponent: f64 = (0..3).map(|a| (colour[a] - self.mean[a]).powi(2) / self.var[a]).sum();
        let scale: f64 = self.var.iter().map(|v| v.sqrt()).product();
        self.weight / scale * libm::exp(-exponent / 2.0)
    }
}

/// A flow network over a grid of `rows` x `columns` pixels, a source and a sink.
struct Network {
    first: Vec<usize>,
    next: Vec<usize>,
    to: Vec<usize>,
    room: Vec<f64>,
}

const NONE: usize = usize::MAX;

impl Network {
    fn new(nodes: usize) -> Self {
        Network { first: vec![NONE; nodes], next: Vec::new(), to: Vec::new(), room: Vec::new() }
    }

    fn edge(&mut self, from: usize, to: usize, forward: f64, backward: f64) {
        for (a, b, room) in [(from, to, forward), (to, from, backward)] {
            self.next.push(self.first[a]);
            self.first[a] = self.to.len();
            self.to.push(b);
            self.room.push(room);
        }
    }

    fn levels(&self, source: usize) -> Vec<usize> {
        let mut level = vec![NONE; self.first.len()];
        level[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(node) = queue.pop_front() {
            let mut e = self.first[node];
            while e != NONE {
                if self.room[e] > 1e-9 && level[self.to[e]] == NONE {
                    level[self.to[e]] = level[node] + 1;
                    queue.push_back(self.to[e]);
                }
                e = self.next[e];
            }
        }
        level
    }

    /// Computes the maximum flow; true for each node that is still reachable from the source.
    fn cut(mut self, source: usize, sink: usize) -> Vec<bool> {
        loop {
            let level = self.levels(source);
            if level[sink] == NONE {
                return level.into_iter().map(|l| l != NONE).collect();
            }
            let mut at = self.first.clone();
            let mut path: Vec<usize> = Vec::new();
            loop {
                let node = path.last().map_or(source, |e| self.to[*e]);
                if node == sink {
                    let flow = path.iter().map(|e| self.room[*e]).fold(f64::INFINITY, f64::min);
                    for e in &path {
                        self.room[*e] -= flow;
                        self.room[*e ^ 1] += flow;
                    }
                    let full = path.iter().position(|e| self.room[*e] <= 1e-9).unwrap_or(0);
                    path.truncate(full);
                    continue;
                }
                let e = at[node];
                if e == NONE {
                    let Some(back) = path.pop() else { break };
                    let before = self.to[back ^ 1];
                    at[before] = self.next[at[before]];
                } else if self.room[e] > 1e-9 && level[self.to[e]] == level[node] + 1 {
                    path.push(e);
                } else {
                    at[node] = self.next[e];
                }
            }
        }
    }
}

/// The foreground of a picture: minimises colour costs plus the costs of edges between neighbours of different labels.
///
/// `seeds[p]` is `Some(true)` for certain foreground, `Some(false)` for certain background. Without both kinds of seeds, nothing is
/// foreground.
pub fn segment(
    colours: &[[f64; 3]],
    seeds: &[Option<bool>],
    rows: usize,
    columns: usize,
    smoothness: f64,
) -> Vec<bool> {
    let of = |kind: bool| -> Vec<[f64; 3]> {
        colours.iter().zip(seeds).filter(|(_, s)| **s == Some(kind)).map(|(c, _)| *c).collect()
    };
    let (Some(front), Some(back)) = (Mixture::fit(&of(true), 5), Mixture::fit(&of(false), 5)) else {
        return vec![false; colours.len()];
    };
    let apart = |a: usize, b: usize| (0..3).map(|k| (colours[a][k] - colours[b][k]).powi(2)).sum::<f64>();
    let pairs: Vec<(usize, usize)> = (0..rows * columns)
        .flat_map(|p| {
            let right = (p % columns + 1 < columns).then_some((p, p + 1));
            let below = (p / columns + 1 < rows).then_some((p, p + columns));
            right.into_iter().chain(below)
        })
        .collect();
    let mean = pairs.iter().map(|(a, b)| apart(*a, *b)).sum::<f64>() / pairs.len().max(1) as f64;
    let (source, sink) = (colours.len(), colours.len() + 1);
    let mut network = Network::new(colours.len() + 2);
    const CERTAIN: f64 = 1e6;
    for (p, colour) in colours.iter().enumerate() {
        let (as_back, as_front) = match seeds[p] {
            Some(true) => (CERTAIN, 0.0),
            Some(false) => (0.0, CERTAIN),
            None => (back.cost(colour), front.cost(colour)),
        };
        // Only the difference of the two costs matters.
        let least = as_back.min(as_front);
        network.edge(source, p, as_back - least, 0.0);
        network.edge(p, sink, as_front - least, 0.0);
    }
    for (a, b) in pairs {
        let weight = smoothness * libm::exp(-apart(a, b) / (2.0 * mean.max(1e-9)));
        network.edge(a, b, weight, weight);
    }
    let mut reached = network.cut(source, sink);
    reached.truncate(colours.len());
    reached
}

/// The largest connected component of a mask (4-neighbourhood), the first of equal ones.
pub fn largest_part(mask: &[bool], columns: usize) -> Vec<bool> {
    let mut label = vec![0usize; mask.len()];
    let mut sizes = vec![0usize];
    for start in 0..mask.len() {
        if !mask[start] || label[start] != 0 {
            continue;
        }
        let name = sizes.len();
        sizes.push(0);
        let mut stack = vec![start];
        label[start] = name;
        while let Some(p) = stack.pop() {
            sizes[name] += 1;
            let x = p % columns;
            let near =
                [p.checked_sub(columns), Some(p + columns), (x > 0).then(|| p - 1), (x + 1 < columns).then_some(p + 1)];
            for q in near.into_iter().flatten().filter(|q| *q < mask.len()) {
                if mask[q] && label[q] == 0 {
                    label[q] = name;
                    stack.push(q);
                }
            }
        }
    }
    let best = (1..sizes.len()).fold(0, |b, n| if sizes[n] > sizes[b] { n } else { b });
    label.into_iter().map(|l| best != 0 && l == best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_follows_the_edge_between_two_colours() {
        let (rows, columns) = (12, 16);
        let inside = |p: usize| (3..9).contains(&(p / columns)) && (4..12).contains(&(p % columns));
        let colours: Vec<[f64; 3]> =
            (0..rows * columns).map(|p| if inside(p) { [200.0, 40.0, 40.0] } else { [40.0, 90.0, 200.0] }).collect();
        let seeds: Vec<Option<bool>> = (0..rows * columns)
            .map(|p| match (p / columns, p % columns) {
                (5..=6, 6..=8) => Some(true),
                (0, _) => Some(false),
                _ => None,
            })
            .collect();
        let found = segment(&colours, &seeds, rows, columns, 2.0);
        assert!((0..rows * columns).all(|p| found[p] == inside(p)));
    }

    #[test]
    fn only_the_largest_part_stays() {
        let mask: Vec<bool> = "##..#\n##..#\n....#".chars().filter(|c| *c != '\n').map(|c| c == '#').collect();
        let kept: String = largest_part(&mask, 5).iter().map(|k| if *k { '#' } else { '.' }).collect();
        assert_eq!(kept, "##...##........");
    }
}
