//! Training points that span a small space, in coordinates of that space.
//!
//! Perturbations lie in the span of the hidden weights of the network that they are made against, so scenario (a) has d
//! inputs but only about as many dimensions as that network has neurons. Descent then needs no products of length d.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::real::Real;
use crate::linalg::{Store, dot, multiply, multiply_parallel, norm_squared, view, view_mut};
use crate::problem::TrainingSet;
use crate::random::{Streams, random_signs};

/// Dimensions of the space, as a share of the inputs and of the points, from which it pays; and the most of them.
const SHARE: usize = 8;
const MOST: usize = 512;
/// Inputs or points below which nothing is looked for.
const FEWEST: usize = 256;
/// Points in a random sum.
const SUMMED: usize = 8;
/// Random sums beyond the dimensions expected.
const SPARE: usize = 8;
/// A random sum with less of its length than this outside the space of the ones before it ends the space, or than so many
/// ε of the type if that is more.
const DEPENDENT: f64 = 1e-11;
const DEPENDENT_ROUNDED: f64 = 16.0;
/// Points outside the space of the others that get a direction of their own. (Rounding is large beside the gradients of some points.)
const FAR: usize = 16;

/// An orthonormal basis of a space that holds all points, and the points in it: x_n = Q c_n to within dε‖x_n‖ with the ε of double
/// precision, or 256ε‖x_n‖ with that of the type if it is more. A preactivation changes by no more than what bounds the rounding of its
/// product of length d ≥ 256 in that type. (Points that were computed in single precision lie no closer to one.)
pub(super) struct Subspace<R> {
    input_dim: usize,
    dim: usize,
    /// Q, input_dim × dim.
    basis: Vec<R>,
    /// (c_n, 1), (dim + 1) × count.
    pub augmented: Vec<R>,
}

impl<R: Real> Subspace<R> {
    /// The space of some points, if it has at most an eighth of the dimensions of the inputs, and of the number of points.
    ///
    /// The space of random sums of the points; whether it holds them all is then checked point by point, and extended by those few
    /// that it does not hold.
    pub fn find(train: &TrainingSet) -> Option<Self> {
        let (input_dim, count) = (train.input_dim(), train.count());
        let most = (input_dim.min(count) / SHARE).min(MOST);
        if input_dim.min(count) < FEWEST {
            return None;
        }
        let points = view(train.points().as_columns().as_slice(), input_dim, count);
        let signs = random_signs(&Streams::new(0, "subspace"), SUMMED * most);
        // The first `rows` inputs of `columns` sums of a few points each. Few: the rounding of long sums would hide the
        // directions in which points differ least.
        let sums = |rows: usize, columns: usize| {
            let mut sums = vec![0.0; rows * columns];
            for (index, (sum, signs)) in sums.chunks_exact_mut(rows).zip(signs.chunks_exact(SUMMED)).enumerate() {
                for (i, sign) in signs.iter().enumerate() {
                    let point = train.points().point((index + i * columns) * count / (SUMMED * columns));
                    sum.iter_mut().zip(point).for_each(|(s, x)| *s += sign * x);
                }
            }
            sums
        };
        // Points in general position show already in a few of their inputs.
        let few = 2 * most;
        let dependent = DEPENDENT.max(DEPENDENT_ROUNDED * R::EPSILON);
        let expected = orthonormal(&sums(few, most), few, dependent).len() / few + SPARE;
        if expected > most {
            return None;
        }
        let mut basis = orthonormal(&sums(input_dim, expected), input_dim, dependent);
        let mut dim = basis.len() / input_dim;
        if dim == 0 || dim == expected {
            return None;
        }
        let tolerance = (input_dim as f64 * f64::EPSILON).max(FEWEST as f64 * R::EPSILON);
        loop {
            let basis_view = view(&basis, input_dim, dim);
            let mut coordinates = vec![0.0; dim * count];
            multiply_parallel(&mut coordinates, Store::Replace, 1.0, basis_view.transpose(), points);
            // What lies outside the space, of points of which that is more than allowed.
            let outside = |(panel, coordinates): (usize, &[f64])| {
                let columns = coordinates.len() / dim;
                let points =
                    &train.points().as_columns().as_slice()[panel * PANEL * input_dim..][..columns * input_dim];
                let mut rest = points.to_vec();
                let target = view_mut(&mut rest, input_dim, columns);
                multiply(target, Store::Add, -1.0, basis_view, view(coordinates, dim, columns));
                let is_far = |(rest, point): &(&[f64], &[f64])| {
                    let square = norm_squared(rest);
                    square.is_nan() || square > tolerance * tolerance * norm_squared(point)
                };
                let pairs = rest.chunks_exact(input_dim).zip(points.chunks_exact(input_dim));
                // One more than may be is enough to know.
                pairs.filter(is_far).take(FAR + 1).flat_map(|(rest, _)| rest.iter().copied()).collect::<Vec<f64>>()
            };
            let far: Vec<Vec<f64>> = coordinates.par_chunks(dim * PANEL).enumerate().map(outside).collect();
            let far = far.concat();
            if far.is_empty() {
                let coordinates = coordinates.chunks_exact(dim).flat_map(|c| c.iter().copied().chain([1.0]));
                let augmented = coordinates.map(R::of).collect();
                return Some(Subspace { input_dim, dim, basis: basis.into_iter().map(R::of).collect(), augmented });
            }
            // A few get a direction of their own.
            if far.len() > FAR * input_dim || dim + far.len() / input_dim > most {
                return None;
            }
            for rest in far.chunks_exact(input_dim) {
                basis.extend(next_direction(&basis, rest, dependent).into_iter().flatten());
            }
            if basis.len() == dim * input_dim {
                return None;
            }
            dim = basis.len() / input_dim;
        }
    }

    /// (Qᵀw, b) for each column (w, b) of weights.
    pub fn project(&self, weights: &[R]) -> Vec<R> {
        let columns = weights.len() / (self.input_dim + 1);
        let mut projected = vec![R::default(); columns * (self.dim + 1)];
        let from = MatRef::from_column_major_slice(weights, self.input_dim + 1, columns);
        let to = MatMut::from_column_major_slice_mut(&mut projected, self.dim + 1, columns);
        let basis = MatRef::from_column_major_slice(&self.basis, self.input_dim, self.dim);
        R::multiply(to.subrows_mut(0, self.dim), false, basis.transpose(), from.subrows(0, self.input_dim));
        for (to, from) in projected.chunks_exact_mut(self.dim + 1).zip(weights.chunks_exact(self.input_dim + 1)) {
            to[self.dim] = from[self.input_dim];
        }
        projected
    }

    /// (w, b) ← (w, b) + (Qc, b') for each column of weights and of movements (c, b').
    pub fn add(&self, weights: &mut [R], movements: &[R]) {
        let columns = movements.len() / (self.dim + 1);
        let from = MatRef::from_column_major_slice(movements, self.dim + 1, columns);
        let to = MatMut::from_column_major_slice_mut(weights, self.input_dim + 1, columns);
        let basis = MatRef::from_column_major_slice(&self.basis, self.input_dim, self.dim);
        R::multiply(to.subrows_mut(0, self.input_dim), true, basis, from.subrows(0, self.dim));
        for (to, from) in weights.chunks_exact_mut(self.input_dim + 1).zip(movements.chunks_exact(self.dim + 1)) {
            to[self.input_dim] += from[self.dim];
        }
    }
}

/// Inputs, or points, of one task.
const PANEL: usize = 128;

/// An orthonormal basis of the space of the columns up to the first that depends on those before it.
fn orthonormal(columns: &[f64], len: usize, dependent: f64) -> Vec<f64> {
    let mut basis: Vec<f64> = Vec::new();
    for column in columns.chunks_exact(len) {
        match next_direction(&basis, column, dependent) {
            Some(direction) => basis.extend(direction),
            None => break,
        }
    }
    basis
}

/// The direction of what of a column lies outside the space of an orthonormal basis; `None` if the column depends on it.
fn next_direction(basis: &[f64], column: &[f64], dependent: f64) -> Option<Vec<f64>> {
    let mut rest = column.to_vec();
    // Twice: the second time removes what rounding has left of the first.
    for _ in 0..2 {
        for direction in basis.chunks_exact(column.len()) {
            let share = dot(direction, &rest);
            rest.iter_mut().zip(direction).for_each(|(r, q)| *r -= share * q);
        }
    }
    let length = norm_squared(&rest).sqrt();
    let depends = length.is_nan() || length <= dependent * norm_squared(column).sqrt();
    (!depends).then(|| rest.iter().map(|r| r / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Initialisation, Neurons, Precision, Readout, outputs_and_input_gradients_in};
    use crate::problem::{Points, Slope};

    const DIM: usize = 400;
    const COUNT: usize = 300;

    /// Points in a space of `rank` dimensions, moved out of it by `noise`.
    fn points(rank: usize, noise: f64) -> TrainingSet {
        let random = |purpose: &str, len: usize| random_signs(&Streams::new(3, purpose), len);
        let (directions, mixture) = (random("directions", DIM * rank), random("mixture", COUNT * rank));
        let moved = random("noise", DIM * COUNT);
        let value = |n: usize, k: usize| {
            let sum: f64 = (0..rank).map(|j| directions[j * DIM + k] * mixture[j * COUNT + n]).sum();
            sum + noise * moved[n * DIM + k]
        };
        let values = (0..COUNT * DIM).map(|i| value(i / DIM, i % DIM)).collect();
        TrainingSet::new(Points::from_rows("x", COUNT, DIM, values).unwrap(), random("labels", COUNT)).unwrap()
    }

    #[test]
    fn a_small_space_is_found_and_holds_the_points() {
        for rank in [1, 5, 29] {
            let train = points(rank, 0.0);
            let found = Subspace::<f64>::find(&train).expect("a space of few dimensions");
            assert_eq!(found.dim, rank);
            let mut restored = vec![0.0; (DIM + 1) * COUNT];
            found.add(&mut restored, &found.augmented);
            for (point, restored) in train.points().iter().zip(restored.chunks_exact(DIM + 1)) {
                let error: f64 = point.iter().zip(restored).map(|(x, r)| (x - r) * (x - r)).sum();
                assert!(
                    error.sqrt() <= 2.0 * DIM as f64 * f64::EPSILON * norm_squared(point).sqrt(),
                    "rank {rank}: {error:e}"
                );
                assert_eq!(restored[DIM], 1.0);
            }
            let back = found.project(&restored);
            // Sums of DIM products of coordinates and of basis vectors.
            let scale = (rank * DIM) as f64 * (DIM as f64).sqrt();
            assert!(back.iter().zip(&found.augmented).all(|(a, b)| (a - b).abs() <= f64::EPSILON * scale));
        }
    }

    /// Points that were computed in single precision lie beside the space of what they stand for, by more than double precision allows.
    #[test]
    fn in_single_precision_points_may_leave_it_by_their_rounding() {
        for (noise, near) in [(1e-6, true), (1e-4, false)] {
            let train = points(5, noise);
            let found = Subspace::<f32>::find(&train);
            assert_eq!(found.is_some(), near, "noise {noise}");
            let Some(found) = found else { continue };
            // Noise may add a dimension.
            assert!((5..5 + SPARE).contains(&found.dim), "{}", found.dim);
            let mut restored = vec![0.0; (DIM + 1) * COUNT];
            found.add(&mut restored, &found.augmented);
            for (point, restored) in train.points().iter().zip(restored.chunks_exact(DIM + 1)) {
                let error: f64 = point.iter().zip(restored).map(|(x, r)| (x - f64::from(*r)).powi(2)).sum();
                // Besides what they may leave it by, the rounding of coordinates and of sums of five.
                let allowed = noise * (DIM as f64).sqrt() + 16.0 * f64::from(f32::EPSILON) * norm_squared(point).sqrt();
                assert!(error.sqrt() <= allowed, "{error:e}");
            }
        }
    }

    /// Those that it is for: perturbations against a network of few neurons, by gradients in single precision.
    #[test]
    fn perturbations_computed_in_single_precision_lie_in_a_small_space() {
        let train = points(50, 1.0);
        let neurons =
            Neurons::draw(DIM, 20, Initialisation::Standard, Readout::Gaussian, Streams::new(4, "f")).unwrap();
        let (_, gradients) =
            outputs_and_input_gradients_in(Precision::F32, &neurons.weights(), Slope::RELU, train.points()).unwrap();
        let moved = Points::from_columns("perturbations", gradients).unwrap();
        let moved = TrainingSet::new(moved, train.labels().to_vec()).unwrap();
        assert!(Subspace::<f64>::find(&moved).is_none(), "not to within rounding in double precision");
        let found = Subspace::<f32>::find(&moved).expect("a space of twenty dimensions");
        assert!((20..20 + SPARE).contains(&found.dim), "{}", found.dim);
    }

    #[test]
    fn points_that_leave_it_are_refused() {
        assert!(Subspace::<f64>::find(&points(30, 0.0)).is_none(), "too many dimensions to pay");
        for noise in [1.0, 1e-6, 1e-12] {
            assert!(Subspace::<f64>::find(&points(5, noise)).is_none(), "noise {noise}");
        }
    }

    /// Of few points outside the space each gets a dimension, in single precision those that lie more than 256ε of their lengths, which are
    /// 45 or so, outside: 1.4e-3. Of many there is no small space.
    #[test]
    fn a_few_points_outside_get_a_dimension_each() {
        let train = points(5, 0.0);
        let moved = |count: usize, distance: f64| {
            let mut values = train.points().as_columns().clone();
            (0..count).for_each(|n| values[(7 + 3 * n, 123 + n)] += distance);
            TrainingSet::new(Points::from_columns("moved", values).unwrap(), train.labels().to_vec()).unwrap()
        };
        let dim = |train: &TrainingSet| Subspace::<f64>::find(train).map(|found| found.dim);
        let rounded_dim = |train: &TrainingSet| Subspace::<f32>::find(train).map(|found| found.dim);
        for (count, distance, expected, rounded) in [
            (0, 0.0, Some(5), Some(5)),
            (1, 1e-9, Some(6), Some(5)),
            (1, 1e-4, Some(6), Some(5)),
            (1, 3e-3, Some(6), Some(6)),
            (9, 3e-3, Some(14), Some(14)),
            (FAR, 3e-3, Some(5 + FAR), Some(5 + FAR)),
            (3 * FAR, 1e-6, None, Some(5)),
            (3 * FAR, 3e-3, None, None),
        ] {
            let train = moved(count, distance);
            assert_eq!((dim(&train), rounded_dim(&train)), (expected, rounded), "{count} points by {distance}");
            let Some(found) = Subspace::<f64>::find(&train) else { continue };
            let mut restored = vec![0.0; (DIM + 1) * COUNT];
            found.add(&mut restored, &found.augmented);
            let restored = restored.chunks_exact(DIM + 1).flat_map(|point| &point[..DIM]);
            // Twice dε of a length: to the space and of the sums.
            let slack = 2.0 * DIM as f64 * f64::EPSILON * 60.0;
            assert!(restored.zip(train.points().as_columns()).all(|(r, x)| (r - x).abs() <= slack));
        }
    }
}
