//! The input gradient of the trained limit, ∇F = v + b.

use nalgebra::DMatrix;

use super::Predictor;
use crate::error::Result;
use crate::linalg::{Store, dot, multiply_parallel, norm_squared, view};
use crate::problem::Points;
use crate::theory::kernel::{Kernel, boundary_factors, cross_gram};

impl Predictor {
    //= P1@e5c64ecb
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

    //= D8@77dec425
    //= P1@e5c64ecb
    /// The boundary term b(x) = Σ_k c_k K_k(x) ∇_xΦ(x_k, x): the share of the neurons whose boundary sweeps over x. The
    /// summand of a training point equal to x is 0 (Φ has a symmetric kink there); d × count.
    ///
    /// # Errors
    /// Points of another dimension.
    pub fn boundary_term(&self, points: &Points) -> Result<DMatrix<f64>> {
        self.train.same_dimension("points", points)?;
        // ∇_xΦ = (1−γ)²/(2π√D)·(x_k − ((1+c)/s²) x)/d: a product with the x_k, and a multiple of x itself. For a training
        // point very close to x the difference cancels: relative to the bounded summand the error is ε/θ, that is 10⁻¹⁰
        // at a relative distance of 10⁻⁶, and the summand is one of N.
        let d = points.input_dim() as f64;
        let g = self.slope.value();
        let scale = (1.0 - g) * (1.0 - g) / (2.0 * std::f64::consts::PI * d);
        let (mut weights, along) = boundary_factors(&self.train, points);
        for mut column in weights.column_iter_mut() {
            column.iter_mut().zip(&self.coefficients).for_each(|(w, c)| *w *= scale * c);
        }
        let mut result = self.combine(&weights);
        for (j, mut column) in result.column_iter_mut().enumerate() {
            let x = points.point(j);
            let own = scale * dot(along.column(j).as_slice(), &self.coefficients) / (1.0 + norm_squared(x) / d);
            column.iter_mut().zip(x).for_each(|(b, x)| *b -= own * x);
        }
        Ok(result)
    }

    //= P1@e5c64ecb
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
