//! How near to its boundary another sample must start to matter while a neuron crosses the boundary of one point: W7.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::geometry::{Geometry, Site, signed_gram};
use crate::linalg::{Store, multiply_parallel, view};
use crate::problem::Points;

/// Densities of the windows of W7, one column per point x: a sample l can change its sign with probability at most
/// min(1, 2|a|t · entry) while the neuron moves at x.
#[derive(Debug)]
pub(super) struct Reach {
    /// p_l H_l/sin θ_lx at the training points: until x's own boundary is crossed. The entry of a point with itself is 0.
    pub train: DMatrix<f64>,
    /// The same at the test points.
    pub test: DMatrix<f64>,
    /// p_l H'_l/sin θ_lx at the test points: during the whole training.
    pub throughout: DMatrix<f64>,
}

impl Reach {
    pub fn new(geometry: &Geometry) -> Self {
        let within = signed_gram(&geometry.points, &geometry.weights, 1.0, geometry.points.as_columns());
        let samples = Samples::new(&within, geometry);
        let columns = |points: &Points, gram: &DMatrix<f64>, sites: &[Site], angles: &DMatrix<f64>| {
            samples.windows(points, gram, sites, angles)
        };
        let (mut train, _) = columns(&geometry.points, &within, &geometry.train, &geometry.angles);
        train.fill_diagonal(0.0);
        let towards = signed_gram(&geometry.points, &geometry.weights, 1.0, geometry.test_points.as_columns());
        let (mut test, mut throughout) =
            columns(&geometry.test_points, &towards, &geometry.test, &geometry.test_angles);
        for (z, twin) in geometry.twin.iter().enumerate() {
            if let Some(n) = twin {
                (test[(*n, z)], throughout[(*n, z)]) = (0.0, 0.0);
            }
        }
        Reach { train, test, throughout }
    }
}

/// The signed Gram matrix of the training points with the sums of its columns.
struct Samples<'a> {
    within: &'a DMatrix<f64>,
    sites: &'a [Site],
    slope: f64,
    sums: Sums,
}

/// Σ C, Σ|C| and Σ C² of each column.
struct Sums {
    plain: Vec<f64>,
    absolute: Vec<f64>,
    squares: Vec<f64>,
}

impl Sums {
    fn new(gram: &DMatrix<f64>) -> Self {
        let columns = |f: &dyn Fn(f64) -> f64| gram.column_iter().map(|c| c.iter().map(|v| f(*v)).sum()).collect();
        Sums { plain: columns(&|v| v), absolute: columns(&f64::abs), squares: columns(&|v| v * v) }
    }
}

impl<'a> Samples<'a> {
    fn new(within: &'a DMatrix<f64>, geometry: &'a Geometry) -> Self {
        Samples { within, sites: &geometry.train, slope: geometry.slope.value(), sums: Sums::new(within) }
    }

    /// p_l H_l/sin θ and p_l H'_l/sin θ for all l, one column per point.
    fn windows(
        &self,
        points: &Points,
        gram: &DMatrix<f64>,
        sites: &[Site],
        angles: &DMatrix<f64>,
    ) -> (DMatrix<f64>, DMatrix<f64>) {
        let (n, count) = (self.sites.len(), points.count());
        // Σ_k C_k(x_l) C_k(x): the length of C(x_l) − c C(x) without a sum over k for each pair.
        let mut products = DMatrix::zeros(n, count);
        let (left, right) = (view(self.within.as_slice(), n, n).transpose(), view(gram.as_slice(), n, count));
        multiply_parallel(products.as_mut_slice(), Store::Replace, 1.0, left, right);
        let (sums, mut throughout) = (Sums::new(gram), products.clone());
        let columns =
            products.as_mut_slice().par_chunks_exact_mut(n).zip(throughout.as_mut_slice().par_chunks_exact_mut(n));
        columns.enumerate().for_each(|(j, (until, throughout))| {
            for (l, (until, throughout)) in until.iter_mut().zip(throughout).enumerate() {
                let (sample, site, angle) = (&self.sites[l], &sites[j], angles[(l, j)]);
                let c = sample.std * angle.cos() / site.std;
                let moving = self.relative_velocity(l, c, *until, (sums.plain[j], sums.absolute[j], sums.squares[j]));
                let along = c.abs() * site.fastest();
                let scale = sample.density / angle.sin();
                *until = scale * moving.max(along);
                *throughout = scale * moving.max(along).max(sample.fastest().min(moving + along));
            }
        });
        (products, throughout)
    }

    /// W_l: a bound on |Σ_k (C_k(x_l) − c C_k(x)) φ_k| over φ ∈ [γ,1]^N, from sums over x_l and x and their product.
    fn relative_velocity(&self, l: usize, c: f64, product: f64, (plain, absolute, square): (f64, f64, f64)) -> f64 {
        let of_sample = &self.sums;
        let squares = (of_sample.squares[l] - 2.0 * c * product + c * c * square).max(0.0);
        let length = (self.sites.len() as f64 * squares).sqrt();
        let total = length.min(of_sample.absolute[l] + c.abs() * absolute);
        let sum = (of_sample.plain[l] - c * plain).abs();
        0.5 * ((1.0 - self.slope) * total + (1.0 + self.slope) * sum)
    }
}
