//! The places where a neuron's derivative matters: the distinct training points, and points that are only watched.

use std::collections::HashMap;

use crate::linalg::{gram_columns, norm_squared};
use crate::problem::{Points, TrainingSet};

/// Distinct augmented training points with their summed label weights, followed by watched points.
///
/// Equal training points are merged: Σ y_n φ(u_n)/N over duplicates is (Σ y_n/N)·φ(u). The first `active` sites have
/// non-zero weight and drive the flow; the others (training points whose labels cancel, then watched test points) only
/// follow it.
pub(super) struct Sites {
    /// d + 1.
    pub stride: usize,
    /// Sites with non-zero weight.
    pub active: usize,
    /// Active sites and training points whose labels cancel.
    pub train: usize,
    /// All sites.
    pub count: usize,
    /// (x, 1) of each site, one after the other.
    pub augmented: Vec<f64>,
    /// β of each active site: the sum of y_n/N over its duplicates.
    pub weights: Vec<f64>,
    /// ⟨x̃_j, x̃_n⟩ for site j (row) and active site n (column), column-major `count × active`.
    pub gram: Vec<f64>,
    /// Σ_n |β_n ⟨x̃_j, x̃_n⟩| for each site: |u̇_j| never exceeds |a| times this.
    pub speed_limit: Vec<f64>,
    /// ‖x̃_j‖ for each site.
    pub norms: Vec<f64>,
    /// The site of each training point.
    pub of_train: Vec<usize>,
}

/// (x, 1) for each point, one after the other.
pub(crate) fn augment(points: &Points) -> Vec<f64> {
    let mut augmented = Vec::with_capacity(points.count() * (points.input_dim() + 1));
    for point in points.iter() {
        augmented.extend_from_slice(point);
        augmented.push(1.0);
    }
    augmented
}

impl Sites {
    pub fn new(train: &TrainingSet, watched: Option<&Points>) -> Self {
        let stride = train.input_dim() + 1;
        let (representatives, label_sums, group_of) = merge_duplicates(train);
        let (mut order, cancelled): (Vec<usize>, Vec<usize>) =
            (0..representatives.len()).partition(|&group| label_sums[group] != 0.0);
        let active = order.len();
        order.extend(cancelled);

        let mut augmented = Vec::new();
        for &group in &order {
            augmented.extend_from_slice(train.points().point(representatives[group]));
            augmented.push(1.0);
        }
        if let Some(points) = watched {
            augmented.extend(augment(points));
        }
        let count = augmented.len() / stride;
        let weights: Vec<f64> = order[..active].iter().map(|&g| label_sums[g] / train.count() as f64).collect();

        let mut site_of_group = vec![0; order.len()];
        for (site, &group) in order.iter().enumerate() {
            site_of_group[group] = site;
        }
        let gram = gram_columns(&augmented, stride, active);

        let mut speed_limit = vec![0.0; count];
        for (column, weight) in gram.chunks_exact(count).zip(&weights) {
            for (limit, k) in speed_limit.iter_mut().zip(column) {
                *limit += (weight * k).abs();
            }
        }
        let norms = augmented.chunks_exact(stride).map(|x| norm_squared(x).sqrt()).collect();
        let of_train = group_of.iter().map(|&group| site_of_group[group]).collect();
        Sites { stride, active, train: order.len(), count, augmented, weights, gram, speed_limit, norms, of_train }
    }

    /// ⟨x̃_j, x̃_n⟩ for all sites j.
    pub fn column(&self, active_site: usize) -> &[f64] {
        &self.gram[active_site * self.count..][..self.count]
    }
}

/// The first index of each distinct point, its label sum, and the group of each point.
fn merge_duplicates(train: &TrainingSet) -> (Vec<usize>, Vec<f64>, Vec<usize>) {
    // Groups by a hash of their point; the points themselves decide.
    let mut groups_of_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    let (mut representatives, mut label_sums, mut group_of) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (point, label)) in train.points().iter().zip(train.labels()).enumerate() {
        let known = groups_of_hash.entry(hash(point)).or_default();
        let same = known.iter().find(|&&group| train.points().point(representatives[group]) == point);
        let group = same.copied().unwrap_or_else(|| {
            representatives.push(index);
            label_sums.push(0.0);
            known.push(representatives.len() - 1);
            representatives.len() - 1
        });
        label_sums[group] += label;
        group_of.push(group);
    }
    (representatives, label_sums, group_of)
}

/// A hash of a point, the same for equal points: four interleaved multiplicative hashes of the bits, so that
/// multiplications overlap.
fn hash(point: &[f64]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [1, 2, 3, 4];
    for chunk in point.chunks(lanes.len()) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            // Adding 0.0 makes −0.0 and +0.0 one value.
            *lane = (*lane ^ (value + 0.0).to_bits()).wrapping_mul(FACTOR).rotate_left(29);
        }
    }
    lanes.into_iter().fold(0, |sum, lane| (sum ^ lane).wrapping_mul(FACTOR).rotate_left(29))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_merge_and_cancelling_labels_become_passive() {
        let points = Points::from_rows("x", 4, 1, vec![1.0, 0.0, 1.0, -0.0]).unwrap();
        let train = TrainingSet::new(points, vec![1.0, 1.0, 1.0, -1.0]).unwrap();
        let sites = Sites::new(&train, None);
        assert_eq!((sites.active, sites.train, sites.count), (1, 2, 2));
        assert_eq!(sites.weights, [0.5]);
        assert_eq!(sites.of_train, [0, 1, 0, 1]);
        assert_eq!(sites.column(0), [2.0, 1.0]);
    }
}
