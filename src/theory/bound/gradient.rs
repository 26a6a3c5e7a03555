//! What a training set contributes to the bounds on its networks' input gradients, once for all widths and times.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::geometry::{Site, angles, groups, velocity_range};
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply_parallel, norm_squared, view};
use crate::problem::{Points, Slope, TrainingSet};
use crate::theory::{Kernel, Predictor, gram};

/// A training set and a slope, prepared for P7 and P8, which speak of the gradients at the training points.
///
/// Equal points are merged and their labels summed; results are for the original points, in their order. Memory: three
/// N × N matrices. Cost: products N × N × d.
#[derive(Debug)]
pub struct GradientGeometry {
    pub(super) slope: Slope,
    pub(super) input_dim: usize,
    points: Points,
    /// The merged point of each training point.
    group: Vec<usize>,
    distinct: Points,
    /// Σy/N of the merged points.
    pub(super) shares: Vec<f64>,
    pub(super) sites: Vec<Site>,
    /// |Σy| K_nn/N.
    pub(super) own: Vec<f64>,
    /// |C_j(x_k)|, θ_jk and Φ(x_j, x_k).
    pub(super) sizes: DMatrix<f64>,
    pub(super) angles: DMatrix<f64>,
    pub(super) duals: DMatrix<f64>,
    /// d_n = v(x_n) + b(x_n), d × merged points, and ‖b(x_n)‖.
    limits: DMatrix<f64>,
    pub(super) boundary: Vec<f64>,
    /// β_V, the largest norm of (1/N) Σ y_k φ_k x_k, and the root of its mean square at initialisation.
    pub(super) largest_sum: f64,
    pub(super) sum_length: f64,
}

impl GradientGeometry {
    /// Prepares a training set.
    ///
    /// # Errors
    /// A training point at which the limit's gradient is zero or not finite.
    pub fn new(set: &TrainingSet, slope: Slope) -> Result<Self> {
        let (group, members) = groups(set);
        let first: Vec<usize> = members.iter().map(|(n, _)| *n).collect();
        let distinct = set.points().select(&first);
        let shares: Vec<f64> = members.iter().map(|(_, sum)| sum / set.count() as f64).collect();
        let predictor = Predictor::identity(set, slope, 1.0)?;
        let boundary = predictor.boundary_term(&distinct)?;
        let limits = predictor.weighted_sum(&distinct)? + &boundary;
        let lengths = norms(&limits);
        if let Some(index) = lengths.iter().position(|norm| !(norm.is_finite() && *norm > 0.0)) {
            let count = lengths.iter().filter(|norm| !(norm.is_finite() && **norm > 0.0)).count();
            return Err(Error::ZeroGradient {
                network: "limit function",
                index: first[index],
                norm: lengths[index],
                count,
            });
        }
        let m = distinct.count();
        let inner = columns_product(&distinct, distinct.as_columns());
        let duals = gram(Kernel::DerivativeDual, slope, &distinct);
        let (largest_sum, sum_length) = sums(&inner, &duals, &shares, slope);
        let mut forces = inner;
        for column in forces.as_mut_slice().chunks_exact_mut(m) {
            column.iter_mut().zip(&shares).for_each(|(k, share)| *k = share * (*k + 1.0));
        }
        let columns = forces.as_slice().par_chunks_exact(m).enumerate();
        Ok(GradientGeometry {
            slope,
            input_dim: set.input_dim(),
            points: set.points().clone(),
            group,
            sites: columns.map(|(n, column)| Site::new(distinct.point(n), column, slope)).collect(),
            own: (0..m).map(|n| forces[(n, n)].abs()).collect(),
            sizes: forces.abs(),
            angles: angles(gram(Kernel::DerivativeDual, Slope::RELU, &distinct)),
            duals,
            boundary: norms(&boundary),
            limits,
            distinct,
            shares,
            largest_sum,
            sum_length,
        })
    }

    /// N, copies included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.group.len()
    }

    /// The training points.
    #[must_use]
    pub fn points(&self) -> &Points {
        &self.points
    }

    /// d_n = v(x_n) + b(x_n), the limit of the gradients divided by T (P1, P3): d × N.
    #[must_use]
    pub fn limits(&self) -> DMatrix<f64> {
        self.limits.select_columns(&self.group)
    }

    /// q_n = d_n/‖d_n‖ of the merged points.
    pub(super) fn unit_gradients(&self) -> DMatrix<f64> {
        let mut units = self.limits.clone();
        units.column_iter_mut().for_each(|mut column| column.unscale_mut(norm_squared(column.as_slice()).sqrt()));
        units
    }

    /// ⟨x_n, e⟩ for the merged points and the columns of a d × k matrix.
    pub(super) fn inner_products(&self, directions: &DMatrix<f64>) -> DMatrix<f64> {
        columns_product(&self.distinct, directions)
    }

    /// min(single·√(r_j r_k), double·r_j r_k/sin θ_jk) for the merged points.
    pub(super) fn pairwise(&self, rates: &[f64], single: f64, double: f64) -> DMatrix<f64> {
        let mut pairs = self.angles.clone();
        pairs.as_mut_slice().par_chunks_exact_mut(rates.len()).zip(rates).for_each(|(column, rate)| {
            for (entry, other) in column.iter_mut().zip(rates) {
                let product = rate * other;
                // Division by sin 0 leaves the first member: `min` passes over the NaN of 0/0.
                *entry = (single * product.sqrt()).min(double * product / entry.sin());
            }
        });
        pairs
    }

    /// A value of each merged point, for the training points.
    pub(super) fn spread(&self, values: &[f64]) -> Vec<f64> {
        self.group.iter().map(|group| values[*group]).collect()
    }

    /// A value of each merged point and column, for the training points.
    pub(super) fn spread_rows(&self, columns: usize, value: impl Fn(usize, usize) -> f64 + Sync) -> DMatrix<f64> {
        let mut matrix = DMatrix::zeros(self.count(), columns);
        matrix.as_mut_slice().par_chunks_exact_mut(self.count()).enumerate().for_each(|(j, column)| {
            column.iter_mut().zip(&self.group).for_each(|(entry, group)| *entry = value(*group, j));
        });
        matrix
    }

    /// Sums over the copies of each merged point.
    pub(super) fn merge_rows(&self, rows: &DMatrix<f64>) -> DMatrix<f64> {
        let mut merged = DMatrix::zeros(self.sites.len(), rows.ncols());
        for (n, group) in self.group.iter().enumerate() {
            for j in 0..rows.ncols() {
                merged[(*group, j)] += rows[(n, j)];
            }
        }
        merged
    }

    pub(super) fn check_directions(&self, directions: &DMatrix<f64>) -> Result<()> {
        shape("directions", directions, self.input_dim, directions.ncols())?;
        finite("directions", directions, |value| value.is_finite())
    }

    pub(super) fn check_weights(&self, weights: &DMatrix<f64>, columns: usize) -> Result<()> {
        shape("weights", weights, self.count(), columns)?;
        if let Some(value) = weights.iter().find(|c| **c < 0.0) {
            return Err(Error::Scalar { name: "weight", value: *value, expected: "a number ≥ 0" });
        }
        finite("weights", weights, |value| value.is_finite())
    }
}

fn shape(name: &str, matrix: &DMatrix<f64>, rows: usize, columns: usize) -> Result<()> {
    if matrix.shape() == (rows, columns) {
        return Ok(());
    }
    let found = format!("{} × {}", matrix.nrows(), matrix.ncols());
    Err(Error::Shape { name: name.into(), found, expected: format!("{rows} × {columns}") })
}

fn finite(name: &str, matrix: &DMatrix<f64>, valid: impl Fn(f64) -> bool) -> Result<()> {
    match matrix.iter().position(|value| !valid(*value)) {
        None => Ok(()),
        Some(at) => {
            let (row, column) = (at % matrix.nrows(), at / matrix.nrows());
            Err(Error::NotFinite { name: name.into(), row, column, value: matrix.as_slice()[at] })
        }
    }
}

/// Norms of the columns.
fn norms(matrix: &DMatrix<f64>) -> Vec<f64> {
    matrix.as_slice().chunks_exact(matrix.nrows()).map(|column| norm_squared(column).sqrt()).collect()
}

/// ⟨x_n, e⟩ for points and the columns e.
fn columns_product(points: &Points, directions: &DMatrix<f64>) -> DMatrix<f64> {
    let (n, d) = (points.count(), points.input_dim());
    let mut product = DMatrix::zeros(n, directions.ncols());
    let left = view(points.as_columns().as_slice(), d, n).transpose();
    let right = view(directions.as_slice(), d, directions.ncols());
    multiply_parallel(product.as_mut_slice(), Store::Replace, 1.0, left, right);
    product
}

/// β_V and √E‖·‖² at initialisation of (1/N) Σ_k y_k φ_k x_k, from inner products and duals.
fn sums(inner: &DMatrix<f64>, duals: &DMatrix<f64>, shares: &[f64], slope: Slope) -> (f64, f64) {
    let m = shares.len();
    let columns = inner.as_slice().par_chunks_exact(m).zip(duals.as_slice().par_chunks_exact(m)).zip(shares);
    let parts: Vec<(f64, f64)> = columns
        .map(|((inner, duals), share)| {
            let velocities: Vec<f64> = inner.iter().zip(shares).map(|(k, y)| k * y).collect();
            let (low, high) = velocity_range(&velocities, slope);
            (share.abs() * low.abs().max(high.abs()), share * dot(&velocities, duals))
        })
        .collect();
    let sum = |part: fn(&(f64, f64)) -> f64| parts.iter().map(part).sum::<f64>().max(0.0).sqrt();
    (sum(|p| p.0), sum(|p| p.1))
}
