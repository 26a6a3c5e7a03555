//! The input gradient of the trained limit, ∇F = v + b.

use nalgebra::DMatrix;

use super::Predictor;
use crate::error::{Error, Result};
use crate::linalg::{Store, dot, multiply_parallel, norm_squared, view};
use crate::problem::Points;
use crate::theory::kernel::{Kernel, cross_gram, gradient_factors};

/// Points whose weights are held at a time: N × 512 of each kind.
const POINTS_AT_ONCE: usize = 512;

impl Predictor {
    /// The closed forms are those of Θ.
    fn check(&self, points: &Points) -> Result<()> {
        if self.kernel != Kernel::Ntk {
            return Err(Error::NotCovered {
                what: "the closed form of the gradient",
                found: "this predictor's kernel",
                expected: "the tangent kernel of hidden-layer training",
            });
        }
        self.train.same_dimension("points", points)
    }

    //= P1@e5c64ecb
    /// v(x) = Σ_k c_k Φ(x, x_k) x_k, the weighted sum of training points that the paper's code takes for the limit
    /// direction; d × count, one column per point.
    ///
    /// # Errors
    /// Points of another dimension; another kernel than that of hidden-layer training.
    pub fn weighted_sum(&self, points: &Points) -> Result<DMatrix<f64>> {
        self.check(points)?;
        let mut weights = cross_gram(Kernel::DerivativeDual, self.slope, &self.train, points);
        for mut column in weights.column_iter_mut() {
            column.iter_mut().zip(&self.coefficients).for_each(|(w, c)| *w *= c);
        }
        let mut sums = DMatrix::zeros(points.input_dim(), points.count());
        self.combine(weights.as_slice(), sums.as_mut_slice());
        Ok(sums)
    }

    //= D8@77dec425
    //= P1@e5c64ecb
    /// The boundary term b(x) = Σ_k c_k K_k(x) ∇_xΦ(x_k, x): the share of the neurons whose boundary sweeps over x. The
    /// summand of a training point equal to x is 0 (Φ has a symmetric kink there); d × count.
    ///
    /// # Errors
    /// Points of another dimension; another kernel than that of hidden-layer training.
    pub fn boundary_term(&self, points: &Points) -> Result<DMatrix<f64>> {
        Ok(self.gradient_parts(points)?.1)
    }

    //= P1@e5c64ecb
    /// ∇(f_T − f_0) = v + b at the given points, d × count. At a training point this is the limit of the network's
    /// gradient (the value function itself has a kink there).
    ///
    /// # Errors
    /// Points of another dimension; another kernel than that of hidden-layer training.
    pub fn gradient(&self, points: &Points) -> Result<DMatrix<f64>> {
        let (v, b) = self.gradient_parts(points)?;
        Ok(v + b)
    }

    /// [v](Predictor::weighted_sum) and [b](Predictor::boundary_term) from the same inner products: 6NMd
    /// floating-point operations for M points.
    ///
    /// # Errors
    /// Points of another dimension; another kernel than that of hidden-layer training.
    pub fn gradient_parts(&self, points: &Points) -> Result<(DMatrix<f64>, DMatrix<f64>)> {
        self.check(points)?;
        // ∇_xΦ = (1−γ)²/(2π√D)·(x_k − ((1+c)/s²) x)/d: a product with the x_k, and a multiple of x itself. For a training
        // point very close to x the difference cancels: relative to the bounded summand the error is ε/θ, that is 10⁻¹⁰
        // at a relative distance of 10⁻⁶, and the summand is one of N.
        let d = points.input_dim();
        let g = self.slope.value();
        let scale = (1.0 - g) * (1.0 - g) / (2.0 * std::f64::consts::PI * d as f64);
        let mut v = DMatrix::zeros(d, points.count());
        let mut b = DMatrix::zeros(d, points.count());
        let indices: Vec<usize> = (0..points.count()).collect();
        let targets =
            v.as_mut_slice().chunks_mut(d * POINTS_AT_ONCE).zip(b.as_mut_slice().chunks_mut(d * POINTS_AT_ONCE));
        for (indices, (v, b)) in indices.chunks(POINTS_AT_ONCE).zip(targets) {
            let block = points.select(indices);
            let mut factors = gradient_factors(self.slope, &self.train, &block);
            for (weights, scale) in [(&mut factors.derivative_dual, 1.0), (&mut factors.boundary, scale)] {
                for mut column in weights.column_iter_mut() {
                    column.iter_mut().zip(&self.coefficients).for_each(|(w, c)| *w *= scale * c);
                }
            }
            self.combine(factors.derivative_dual.as_slice(), v);
            self.combine(factors.boundary.as_slice(), b);
            let along = factors.along.as_slice().chunks_exact(self.train.count());
            for ((b, x), along) in b.chunks_exact_mut(d).zip(block.iter()).zip(along) {
                let own = scale * dot(along, &self.coefficients) / (1.0 + norm_squared(x) / d as f64);
                b.iter_mut().zip(x).for_each(|(b, x)| *b -= own * x);
            }
        }
        Ok((v, b))
    }

    /// Σ_k weights(k, j) x_k for each column j of weights.
    fn combine(&self, weights: &[f64], sums: &mut [f64]) {
        let (d, n) = self.train.as_columns().shape();
        let left = view(self.train.as_columns().as_slice(), d, n);
        multiply_parallel(sums, Store::Replace, 1.0, left, view(weights, n, weights.len() / n));
    }
}
