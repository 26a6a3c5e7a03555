//! What a data set contributes to the width bounds, once for all widths, times and readouts.

use std::sync::OnceLock;

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::reach::Reach;
use crate::error::Result;
use crate::linalg::{Store, larger, multiply_parallel, norm_squared, view};
use crate::problem::{Points, Slope, TrainingSet};
use crate::theory::{Kernel, Predictor, cross_gram, gram, kernel_variance};

//= M3@0eb36093
/// Range of velocities M3: "for all φ ∈ `[γ,1]^N`, V↓ ≤ Σ_k C_k φ_k ≤ V↑ with V↑ = κ₊ − γκ₋, V↓ = γκ₊ − κ₋, both attained".
///
/// Inputs: `signed_gram` C_k(z) = y_k(⟨x_k,z⟩+1)/N for one z. Returns (V↓, V↑), in units of function change per unit of
/// flow time. Tightness: attained by some φ; the largest of 3000 neurons reaches .80 (MNIST) and .94 (Fashion) of it.
///
/// # Panics
/// If a C_k is not a number, or so large that the range is none.
#[must_use]
pub fn velocity_range(signed_gram: &[f64], slope: Slope) -> (f64, f64) {
    let plus: f64 = signed_gram.iter().map(|c| larger(*c, 0.0)).sum();
    let minus: f64 = signed_gram.iter().map(|c| larger(-c, 0.0)).sum();
    let g = slope.value();
    let (low, high) = (g * plus - minus, plus - g * minus);
    assert!(!low.is_nan() && !high.is_nan(), "forces that are numbers");
    (low, high)
}

/// The velocities of one point: its range, parts of it, and the density of its pre-activation at 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// ‖x‖.
    pub norm: f64,
    /// s = ‖A(x)‖.
    pub std: f64,
    /// p = 1/(√(2π) s).
    pub density: f64,
    /// V↓ and V↑ of M3.
    pub range: (f64, f64),
    /// v↓ = (V↓)₋ and v↑ = (V↑)₊.
    pub down: f64,
    pub up: f64,
}

impl Site {
    pub fn new(point: &[f64], signed_gram: &[f64], slope: Slope) -> Self {
        let norm = norm_squared(point);
        let std = (1.0 + norm / point.len() as f64).sqrt();
        let range = velocity_range(signed_gram, slope);
        let (down, up) = ((-range.0).max(0.0), range.1.max(0.0));
        Site { norm: norm.sqrt(), std, density: density_at_zero(std), range, down, up }
    }

    /// The largest range of velocities when each of them changes by at most `change`.
    pub fn widened(self, change: f64) -> Self {
        let range = (self.range.0 - change, self.range.1 + change);
        Site { range, down: (-range.0).max(0.0), up: range.1.max(0.0), ..self }
    }

    /// [b↓, b↑] of M3: the range of φ'(u)·V.
    pub fn products(&self, slope: Slope) -> (f64, f64) {
        let (g, (low, high)) = (slope.value(), self.range);
        (low.min(g * low), high.max(g * high))
    }

    /// λ = v↑ + v↓: length of a flip window per unit of |a|·time (M4).
    pub fn window(&self) -> f64 {
        self.up + self.down
    }

    /// v̄ = max(v↑, v↓).
    pub fn fastest(&self) -> f64 {
        self.up.max(self.down)
    }

    /// v↑² + v↓².
    pub fn squares(&self) -> f64 {
        self.up * self.up + self.down * self.down
    }
}

/// p = 1/(√(2π) s): the density at 0 of a pre-activation with standard deviation s.
pub(super) fn density_at_zero(std: f64) -> f64 {
    1.0 / ((2.0 * std::f64::consts::PI).sqrt() * std)
}

/// A data set, its test points and a slope, prepared for the bounds of `proofs/width.md`.
///
/// Equal training points are merged (their labels are summed; points whose labels cancel drop out): the bounds on the
/// drift require it, because equal points cross zero together. Memory: four N × N and five N × M matrices at most, and the points. Cost: one
/// arctangent per pair of points and the matrix products.
#[derive(Debug)]
pub struct Geometry {
    pub(super) slope: Slope,
    pub(super) input_dim: usize,
    /// The merged training points, the sum of their labels over N, and their velocities.
    pub(super) points: Points,
    pub(super) weights: Vec<f64>,
    pub(super) train: Vec<Site>,
    /// |Σ y|·K_nn/N of the merged points: the force of a point on itself.
    pub(super) own: Vec<f64>,
    pub(super) test_points: Points,
    pub(super) test: Vec<Site>,
    /// Which of the merged training points a test point is, if it is one.
    pub(super) twin: Vec<Option<usize>>,
    /// |C_j(x_k)| and θ_jk.
    pub(super) sizes: DMatrix<f64>,
    pub(super) angles: DMatrix<f64>,
    /// |C_j(z)| and θ_jz, one column per test point.
    pub(super) test_sizes: DMatrix<f64>,
    pub(super) test_angles: DMatrix<f64>,
    limit: Vec<f64>,
    variance: Vec<f64>,
    reach: OnceLock<Reach>,
}

impl Geometry {
    /// Prepares a training set and test points.
    ///
    /// # Errors
    /// Test points of another dimension.
    pub fn new(set: &TrainingSet, slope: Slope, test: &Points) -> Result<Self> {
        let (points, labels) = merge(set);
        Self::from_merged(set, &points, &labels, slope, test)
    }

    /// As [`Geometry::new`], but equal training points stay apart: what a bound needs that is to hold for all inputs near
    /// the given ones, because neighbours of equal points need not be equal. M3 to M6, W5 to W7, W9 and W17 hold with it
    /// too, but are larger where points coincide; P3 to P6, G5 and W8 do not.
    ///
    /// # Errors
    /// As [`Geometry::new`].
    pub fn without_merging(set: &TrainingSet, slope: Slope, test: &Points) -> Result<Self> {
        Self::from_merged(set, set.points(), set.labels(), slope, test)
    }

    fn from_merged(set: &TrainingSet, points: &Points, labels: &[f64], slope: Slope, test: &Points) -> Result<Self> {
        set.points().same_dimension("test points", test)?;
        let limit = Predictor::identity(set, slope, 1.0)?.values(test)?;
        let variance = kernel_variance(set, slope, test, 1.0)?;
        let weights: Vec<f64> = labels.iter().map(|y| y / set.count() as f64).collect();
        let within = signed_gram(points, &weights, 1.0, points.as_columns());
        let towards = signed_gram(points, &weights, 1.0, test.as_columns());
        let sites = |at: &Points, columns: &DMatrix<f64>| -> Vec<Site> {
            let columns = columns.as_slice().par_chunks_exact(points.count());
            columns.enumerate().map(|(j, column)| Site::new(at.point(j), column, slope)).collect()
        };
        let own = (0..points.count()).map(|n| within[(n, n)].abs()).collect();
        let twin = test.iter().map(|z| points.iter().position(|x| x == z)).collect();
        Ok(Geometry {
            slope,
            input_dim: points.input_dim(),
            train: sites(points, &within),
            own,
            test: sites(test, &towards),
            twin,
            test_points: test.clone(),
            sizes: within.abs(),
            angles: angles(gram(Kernel::DerivativeDual, Slope::RELU, points)),
            test_sizes: towards.abs(),
            test_angles: angles(cross_gram(Kernel::DerivativeDual, Slope::RELU, points, test)),
            points: points.clone(),
            weights,
            limit,
            variance,
            reach: OnceLock::new(),
        })
    }

    /// F(z), the limit's change per unit of time (K2), for each test point.
    #[must_use]
    pub fn limit(&self) -> &[f64] {
        &self.limit
    }

    /// Var B(z) of W1, B = φ'(u_z)·V(z) at initialisation, for each test point.
    #[must_use]
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// The windows of W7: two products of N × N matrices when first asked for.
    pub(super) fn reach(&self) -> &Reach {
        self.reach.get_or_init(|| Reach::new(self))
    }

    /// [b↓, b↑] of M3: the range of φ'(u_z)·V(z), for each test point.
    #[must_use]
    pub fn ranges(&self) -> Vec<(f64, f64)> {
        self.test.iter().map(|z| z.products(self.slope)).collect()
    }
}

/// Distinct points in the order of their first occurrence, with the sums of their labels; sums of 0 drop out, unless
/// nothing else is left.
pub(super) fn merge(set: &TrainingSet) -> (Points, Vec<f64>) {
    let (_, mut groups) = groups(set);
    let everything_cancels = groups.iter().all(|(_, sum)| *sum == 0.0);
    groups.retain(|(n, sum)| *sum != 0.0 || (everything_cancels && *n == 0));
    let indices: Vec<usize> = groups.iter().map(|(n, _)| *n).collect();
    (set.points().select(&indices), groups.iter().map(|(_, sum)| *sum).collect())
}

/// The group of each training point, where equal points form a group; and of each group its first point and the sum of
/// its labels.
pub(super) fn groups(set: &TrainingSet) -> (Vec<usize>, Vec<(usize, f64)>) {
    let mut first: std::collections::HashMap<Vec<u64>, usize> = std::collections::HashMap::new();
    let mut groups: Vec<(usize, f64)> = Vec::new();
    let mut members = Vec::with_capacity(set.count());
    for (n, (point, label)) in set.points().iter().zip(set.labels()).enumerate() {
        // Adding 0 makes −0 equal to +0, as they are as numbers.
        let key = point.iter().map(|x| (x + 0.0).to_bits()).collect();
        let group = *first.entry(key).or_insert(groups.len());
        match groups.get_mut(group) {
            Some((_, sum)) => *sum += label,
            None => groups.push((n, *label)),
        }
        members.push(group);
    }
    (members, groups)
}

/// C_j(z) = y_j(⟨x_j,z⟩ + 1)/N of a training set: one row per training point, one column per test point.
///
/// # Errors
/// Test points of another dimension.
pub fn signed_gram_matrix(set: &TrainingSet, test: &Points) -> Result<DMatrix<f64>> {
    set.points().same_dimension("test points", test)?;
    let weights: Vec<f64> = set.labels().iter().map(|y| y / set.count() as f64).collect();
    Ok(signed_gram(set.points(), &weights, 1.0, test.as_columns()))
}

/// w_j(⟨x_j,z⟩ + `bias`), one column per z: C_j(z) for w_j = y_j/N and a bias of 1.
pub(super) fn signed_gram(points: &Points, weights: &[f64], bias: f64, test: &DMatrix<f64>) -> DMatrix<f64> {
    let (n, d) = (points.count(), points.input_dim());
    let mut product = DMatrix::zeros(n, test.ncols());
    let left = view(points.as_columns().as_slice(), d, n).transpose();
    let right = view(test.as_slice(), d, test.ncols());
    multiply_parallel(product.as_mut_slice(), Store::Replace, 1.0, left, right);
    for column in product.as_mut_slice().chunks_exact_mut(n) {
        column.iter_mut().zip(weights).for_each(|(k, w)| *k = w * (*k + bias));
    }
    product
}

/// θ from the probability (π−θ)/(2π) that both of two pre-activations are positive; absolute error of a few ε, and
/// exactly 0 for equal points.
pub(super) fn angles(mut both: DMatrix<f64>) -> DMatrix<f64> {
    use std::f64::consts::PI;
    both.iter_mut().for_each(|p| *p = (PI - 2.0 * PI * *p).max(0.0));
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::bound::tests::{assert_close, reference};

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, F and varB. The sums have twelve terms of size 1: a few 10⁻¹⁵ against values above 10⁻².
        let (train, test) = reference();
        let relu = Geometry::new(&train, Slope::RELU, &test).unwrap();
        assert_close(relu.limit(), &F_RELU, 1e-12);
        assert_close(relu.variance(), &VARB_RELU, 1e-12);
        let leaky = Geometry::new(&train, Slope::new(0.3).unwrap(), &test).unwrap();
        assert_close(leaky.limit(), &F_LEAKY, 1e-12);
        assert_close(leaky.variance(), &VARB_LEAKY, 1e-12);
    }

    //= test M3@0eb36093
    #[test]
    fn corners_attain_the_range_of_velocities() {
        let slope = Slope::new(0.25).unwrap();
        let (low, high) = velocity_range(&[2.0, -3.0, 0.5], slope);
        assert_eq!((low, high), (0.25 * 2.5 - 3.0, 2.5 - 0.25 * 3.0));
    }

    #[test]
    #[should_panic(expected = "forces that are numbers")]
    fn velocities_of_unknown_forces_have_no_range() {
        let _ = velocity_range(&[1.0, f64::NAN], Slope::RELU);
    }

    #[test]
    fn equal_points_are_merged_and_cancelled_ones_dropped() {
        let rows = |values: &[f64]| Points::from_rows("x", values.len(), 1, values.to_vec()).unwrap();
        let set =
            TrainingSet::new(rows(&[1.0, 0.0, 2.0, 1.0, 2.0, -0.0]), vec![1.0, 1.0, 1.0, 1.0, -1.0, 1.0]).unwrap();
        let geometry = Geometry::new(&set, Slope::RELU, &rows(&[1.0, 2.0, 3.0])).unwrap();
        // Left are x = 1 and x = 0, twice each: |Σy|K/N = 2·2/6 and 2·1/6.
        assert_eq!(geometry.own, vec![4.0 / 6.0, 2.0 / 6.0]);
        assert_eq!(geometry.twin, vec![Some(0), None, None]);
        let cancelled = TrainingSet::new(rows(&[1.0, 1.0]), vec![1.0, -1.0]).unwrap();
        let nothing = Geometry::new(&cancelled, Slope::RELU, &rows(&[1.0])).unwrap();
        assert_eq!((nothing.limit()[0], nothing.ranges()[0]), (0.0, (0.0, 0.0)));
    }

    const F_RELU: [f64; 5] =
        [-1.0843120841790e-01, 4.3606426150763e-01, -4.6132269139424e-02, 3.0887539089827e-01, 1.3723453804036e-01];
    const VARB_RELU: [f64; 5] =
        [2.5898361579147e-02, 2.1688424259455e-01, 2.0810766812321e-02, 1.1698899066706e-01, 3.4104195964636e-02];
    const F_LEAKY: [f64; 5] =
        [-1.5309674296441e-01, 5.1889794327246e-01, -9.3718402821308e-02, 3.5552054779055e-01, 1.5000122018246e-01];
    const VARB_LEAKY: [f64; 5] =
        [1.7288969045359e-02, 1.7174257377802e-01, 1.1740717313710e-02, 9.0532598003431e-02, 2.3752046683471e-02];
}
