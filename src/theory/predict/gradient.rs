//! The input gradient of the trained limit, ∇F = v + b.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::Predictor;
use crate::error::Result;
use crate::linalg::{Store, multiply_parallel, norm_squared, view};
use crate::problem::Points;
use crate::theory::dual::Pair;
use crate::theory::kernel::{Kernel, cross_gram};

impl Predictor {
    /// v(x) = Σ_k c_k Φ(x, x_k) x_k, the weighted sum of training points that the paper's code takes for the limit
    /// direction; d × count, one column per point.
    ///
    /// # Errors
    /// Points of another dimension.
    pub fn weighted_sum(&self, points: &Points) -> Result<DMatrix<f64>> {
        self.train.same_dimension("points", points)?;
        let mut weights = cross_gram(Kernel::DerivativeDual, self.slope, &self.train, points);
        for mut column in weights.column_iter_mut() {
            column.iter_mut().zip(&self.coefficients).for_each(|(w, c)| *w *= c);
        }
        Ok(self.combine(&weights))
    }

    /// The boundary term b(x) = Σ_k c_k K_k(x) ∇_xΦ(x_k, x): the share of the neurons whose boundary sweeps over x. The
    /// summand of a training point equal to x is 0 (Φ has a symmetric kink there); d × count.
    ///
    /// # Errors
    /// Points of another dimension.
    pub fn boundary_term(&self, points: &Points) -> Result<DMatrix<f64>> {
        self.train.same_dimension("points", points)?;
        let (n, d) = (self.train.count(), points.input_dim());
        let mut weights = DMatrix::zeros(n, points.count());
        // ∇_xΦ(x_k, x) = factor·(x_k − ((1+c)/s²) x)/d: a product with the x_k, and a multiple of x itself.
        let own: Vec<f64> = weights
            .as_mut_slice()
            .par_chunks_mut(n)
            .enumerate()
            .map(|(j, weights)| self.boundary_weights(points.point(j), weights))
            .collect();
        let mut result = self.combine(&weights);
        for (j, mut column) in result.column_iter_mut().enumerate() {
            for (b, x) in column.iter_mut().zip(points.point(j)) {
                *b -= own[j] * x;
            }
        }
        debug_assert_eq!(result.nrows(), d);
        Ok(result)
    }

    /// c_k K_k(x)·factor/d per training point, and the sum of these times (1 + c)/s(x)².
    ///
    /// For a training point very close to x the difference x_k − ((1+c)/s²)x cancels: relative to the bounded summand the
    /// error is ε/θ, that is 10⁻¹⁰ at a relative distance of 10⁻⁶, and the summand is one of N.
    fn boundary_weights(&self, x: &[f64], weights: &mut [f64]) -> f64 {
        let d = x.len() as f64;
        let s_squared = 1.0 + norm_squared(x) / d;
        let mut own = 0.0;
        for ((weight, x_k), c) in weights.iter_mut().zip(self.train.iter()).zip(&self.coefficients) {
            let pair = Pair::new(x_k, x);
            *weight = c * pair.augmented_product() * pair.gradient_factor(self.slope) / d;
            own += *weight * pair.cosine_part / s_squared;
        }
        own
    }

    /// ∇(f_T − f_0) = v + b at the given points, d × count. At a training point this is the limit of the network's
    /// gradient (the value function itself has a kink there).
    ///
    /// # Errors
    /// Points of another dimension.
    pub fn gradient(&self, points: &Points) -> Result<DMatrix<f64>> {
        Ok(self.weighted_sum(points)? + self.boundary_term(points)?)
    }

    /// Σ_k weights(k, j) x_k for each column j.
    fn combine(&self, weights: &DMatrix<f64>) -> DMatrix<f64> {
        let (d, n) = self.train.as_columns().shape();
        let mut result = DMatrix::zeros(d, weights.ncols());
        let (left, right) =
            (view(self.train.as_columns().as_slice(), d, n), view(weights.as_slice(), n, weights.ncols()));
        multiply_parallel(result.as_mut_slice(), Store::Replace, 1.0, left, right);
        result
    }
}
