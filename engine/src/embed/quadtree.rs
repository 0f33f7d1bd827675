//! Repulsion by a quadtree (Barnes and Hut 1986; van der Maaten, "Accelerating t-SNE using tree-based algorithms", 2014).
//!
//! Points are sorted in Morton order in each iteration. The tree is one array in depth-first order; each node has the index of
//! the node after its subtree, so that a traversal needs no stack.

use crate::simd::arch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// A node: the points in a square.
#[derive(Clone, Copy)]
struct Node {
    /// The mean of the points.
    x: f64,
    y: f64,
    /// The number of points.
    count: f64,
    /// The squared distance below which the node is opened: (side / theta)^2.
    near: f64,
    /// The index of the node after this subtree.
    skip: u32,
}

/// A tree over points in the plane.
pub struct Quadtree {
    nodes: Vec<Node>,
    /// The points' numbers in Morton order, where neighbours are near.
    order: Vec<u32>,
}

/// Points whose forces one traversal computes side by side, in the lanes of vectors.
const SIDE_BY_SIDE: usize = 8;
/// Traversals that one task makes at least.
const TRAVERSALS: usize = 8;

/// The depth from which on points count as equal.
const MAX_DEPTH: u32 = 31;

impl Quadtree {
    /// The tree over `points`; a square is opened if its side over its distance is larger than `theta` (0 is exact).
    pub fn new(points: &[[f64; 2]], theta: f64) -> Self {
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        for p in points {
            for a in 0..2 {
                low[a] = low[a].min(p[a]);
                high[a] = high[a].max(p[a]);
            }
        }
        let side = (high[0] - low[0]).max(high[1] - low[1]).max(1e-12) * (1.0 + 1e-9);
        let cells = f64::from(1u32 << MAX_DEPTH) / side;
        let mut order: Vec<(u64, u32)> = points
            .par_iter()
            .enumerate()
            .map(|(i, p)| {
                let [x, y] = [0, 1].map(|a| spread(((p[a] - low[a]) * cells) as u32));
                (x | y << 1, i as u32)
            })
            .collect();
        order.par_sort_unstable();
        let numbers = order.iter().map(|(_, i)| *i).collect();
        let mut tree = Quadtree { nodes: Vec::with_capacity(2 * points.len()), order: numbers };
        let theta = theta.max(1e-9);
        tree.build(&order, points, 2 * (MAX_DEPTH - 1), side / theta);
        tree
    }

    /// Adds the node for `order` (points with the same Morton bits above `shift`) and its subtree.
    fn build(&mut self, order: &[(u64, u32)], points: &[[f64; 2]], shift: u32, reach: f64) {
        let at = self.nodes.len();
        let count = order.len() as f64;
        self.nodes.push(Node { x: 0.0, y: 0.0, count, near: 0.0, skip: 0 });
        let (mut x, mut y) = (0.0, 0.0);
        let single = order.len() == 1 || order[0].0 == order[order.len() - 1].0;
        if single {
            for (_, i) in order {
                x += points[*i as usize][0];
                y += points[*i as usize][1];
            }
        } else {
            // A square whose points are all in one quarter gets no node.
            let (mut shift, mut reach) = (shift, reach);
            while order[0].0 >> shift == order[order.len() - 1].0 >> shift {
                shift -= 2;
                reach /= 2.0;
            }
            self.nodes[at].near = reach * reach;
            let mut from = 0;
            while from < order.len() {
                let quarter = order[from].0 >> shift;
                let to = from + order[from..].partition_point(|(m, _)| m >> shift == quarter);
                let child = self.nodes.len();
                self.build(&order[from..to], points, shift.saturating_sub(2), reach / 2.0);
                x += self.nodes[child].x * self.nodes[child].count;
                y += self.nodes[child].y * self.nodes[child].count;
                from = to;
            }
        }
        let skip = self.nodes.len() as u32;
        let node = &mut self.nodes[at];
        (node.x, node.y, node.skip) = (x / count, y / count, skip);
    }

    /// [`Self::repulsion`] of each of the tree's `points`. Eight neighbours share a traversal, and a square is opened for all
    /// of them where it must be for one, so that no approximation is coarser than a point's own.
    pub fn repulsions(&self, points: &[[f64; 2]]) -> Vec<([f64; 2], f64)> {
        let groups: Vec<Forces> = self
            .order
            .par_chunks(SIDE_BY_SIDE)
            .with_min_len(TRAVERSALS)
            .map(|group| {
                // The last group is filled up with its first point.
                let lane = |l: usize| points[group[if l < group.len() { l } else { 0 }] as usize];
                let axis = |a: usize| std::array::from_fn(|l| lane(l)[a]);
                arch().dispatch(Traversal { nodes: &self.nodes, x: axis(0), y: axis(1) })
            })
            .collect();
        let mut out = vec![([0.0; 2], 0.0); points.len()];
        for (group, forces) in self.order.chunks(SIDE_BY_SIDE).zip(groups) {
            for (l, i) in group.iter().enumerate() {
                out[*i as usize] = ([forces.x[l], forces.y[l]], forces.z[l]);
            }
        }
        out
    }

    /// For a point: sum of q^2 (p - p_j) over all points, and sum of q, with q = 1 / (1 + |p - p_j|^2). The point itself,
    /// where it is one of the tree's, adds nothing to the first and 1 to the second.
    pub fn repulsion(&self, [x, y]: [f64; 2]) -> ([f64; 2], f64) {
        let (mut fx, mut fy, mut z) = (0.0, 0.0, 0.0);
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            let (dx, dy) = (x - node.x, y - node.y);
            let d = dx * dx + dy * dy;
            if d < node.near {
                at += 1;
                continue;
            }
            let q = 1.0 / (1.0 + d);
            let nq = node.count * q;
            z += nq;
            let force = nq * q;
            fx += force * dx;
            fy += force * dy;
            at = node.skip as usize;
        }
        ([fx, fy], z)
    }
}

/// One traversal for points that are near each other: a square is opened where any of them must open it.
struct Traversal<'a> {
    nodes: &'a [Node],
    x: [f64; SIDE_BY_SIDE],
    y: [f64; SIDE_BY_SIDE],
}

/// The forces on the points of a traversal, and their sums of q.
struct Forces {
    x: [f64; SIDE_BY_SIDE],
    y: [f64; SIDE_BY_SIDE],
    z: [f64; SIDE_BY_SIDE],
}

impl WithSimd for Traversal<'_> {
    type Output = Forces;

    // Plain loops over the lanes: the compiler makes vectors of them, and no bit depends on their width.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Forces {
        let Traversal { nodes, x, y } = self;
        let zero = [0.0; SIDE_BY_SIDE];
        let mut forces = Forces { x: zero, y: zero, z: zero };
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let (mut dx, mut dy, mut d) = (zero, zero, zero);
            let mut opened = 0u64;
            for l in 0..SIDE_BY_SIDE {
                dx[l] = x[l] - node.x;
                dy[l] = y[l] - node.y;
                d[l] = dx[l] * dx[l] + dy[l] * dy[l];
                opened |= u64::from(d[l] < node.near);
            }
            if opened != 0 {
                at += 1;
                continue;
            }
            for l in 0..SIDE_BY_SIDE {
                let q = 1.0 / (1.0 + d[l]);
                let nq = node.count * q;
                forces.z[l] += nq;
                let force = nq * q;
                forces.x[l] += force * dx[l];
                forces.y[l] += force * dy[l];
            }
            at = node.skip as usize;
        }
        forces
    }
}

/// The 32 bits of `v` at the even places of 64.
fn spread(v: u32) -> u64 {
    let mut x = u64::from(v);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & 0x5555_5555_5555_5555
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn forces_are_those_of_all_pairs() {
        let stream = Stream::new(6, "plane");
        let mut points: Vec<[f64; 2]> =
            (0..500u64).map(|i| [stream.normal_at(2 * i) * 20.0, stream.normal_at(2 * i + 1) * 5.0]).collect();
        points.push(points[3]);
        for (theta, tolerance) in [(0.0, 1e-9), (0.5, 0.05)] {
            let tree = Quadtree::new(&points, theta);
            let together = tree.repulsions(&points);
            for (p, forces) in points.iter().zip(together).flat_map(|(p, f)| [(p, tree.repulsion(*p)), (p, f)]) {
                let ([fx, fy], z) = forces;
                let (mut want, mut all, mut size) = ([0.0; 2], 0.0, 0.0);
                for o in &points {
                    let d = [p[0] - o[0], p[1] - o[1]];
                    let q = 1.0 / (1.0 + d[0] * d[0] + d[1] * d[1]);
                    want[0] += q * q * d[0];
                    want[1] += q * q * d[1];
                    all += q;
                    size += q * q * (d[0] * d[0] + d[1] * d[1]).sqrt();
                }
                assert!((z - all).abs() <= tolerance * all, "{z} {all}");
                assert!(libm::hypot(fx - want[0], fy - want[1]) <= tolerance * size.max(1e-9) * 2.0);
            }
        }
    }

    #[test]
    fn one_place_for_all_is_no_trouble() {
        let tree = Quadtree::new(&[[1.0, 1.0]; 9], 0.5);
        let (force, z) = tree.repulsion([1.0, 1.0]);
        assert!(force[0].abs() < 1e-12 && (z - 9.0).abs() < 1e-12);
        assert_eq!(Quadtree::new(&[[0.0, 0.0]], 0.5).repulsion([0.0, 0.0]).1, 1.0);
    }
}
