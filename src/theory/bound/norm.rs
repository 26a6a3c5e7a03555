//! How far the input gradients of a trained network are from their limits in norm: P8.

use nalgebra::DMatrix;

use super::direction::{NORMAL_SCALE, TrainedGradient, mean_normal, product};
use super::error::log_share;
use super::tail::bernstein;
use crate::error::Result;
use crate::linalg::dot;

impl TrainedGradient<'_> {
    /// P8, t given.
    pub(super) fn norms(&self, t: f64) -> Vec<f64> {
        let (geometry, step, d) = (self.geometry, self.step(), self.geometry.input_dim as f64);
        let per_copy = t / self.law.copies() as f64;
        let lengths: Vec<f64> = geometry.sites.iter().zip(&geometry.shares).map(|(x, y)| x.norm * y.abs()).collect();
        let drift = dot(&lengths, product(&self.pairs, &column(&lengths)).as_slice()).sqrt();
        let deviation = (geometry.sum_length + step * drift).min(geometry.largest_sum);
        let averages = bernstein(deviation * deviation, 4.0 / 3.0 * geometry.largest_sum, per_copy);
        let sweep = dot(&lengths, &self.rates);
        let square = (step / (self.time * (self.law.width() as f64).sqrt())).powi(2);
        let bound = |(n, boundary): (usize, &f64)| {
            let flipped = step * step * self.swept[n] / (self.time * self.time) * self.reach;
            let longest = square * ((1.0 + 4.0 / d) / 3.0).max(2.0 / d);
            let squares = flipped + bernstein(flipped * square * (1.0 + 2.0 / d), longest, t);
            let curved = self.across[n] + self.along[n] * geometry.sites[n].norm;
            let plain = mean_normal() * step * self.swept[n] / d.sqrt();
            let mean = plain.min(boundary + curved) / (self.law.copies() as f64).sqrt();
            let linear = bernstein(flipped / d, NORMAL_SCALE * (square / d).sqrt(), t);
            let sum = linear + linear.hypot(squares.sqrt() + mean);
            let bias = step * self.reach * (self.rates[n] * geometry.largest_sum + 0.25 * sweep);
            sum + averages + curved.min(plain + boundary) + bias
        };
        let bounds: Vec<f64> = geometry.boundary.iter().enumerate().map(bound).collect();
        geometry.spread(&bounds)
    }
}

fn column(values: &[f64]) -> DMatrix<f64> {
    DMatrix::from_column_slice(values.len(), 1, values)
}

//= P8@51f5c06c
/// Deviation of gradients in norm, P8: "with probability at least 1−4e^{−t}, ‖D_n − d_n‖ ≤ y_n ‖d_n‖", t = ln(4/δ).
/// Returns y_n ‖d_n‖ for each training point.
///
/// Inputs: the prepared law; δ for each single point. Tightness: the 95% quantile of trained networks is .18–.35 of the
/// bound (tests/pair.rs): the number of flipped neurons is bounded by the range of velocities.
///
/// # Errors
/// δ outside (0, 1).
pub fn gradient_norm_bound(trained: &TrainedGradient<'_>, failure_probability: f64) -> Result<Vec<f64>> {
    Ok(trained.norms(log_share(failure_probability, 4.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Slope, TrainingSet};
    use crate::theory::bound::tests::{assert_close, reference};
    use crate::theory::bound::{GradientGeometry, NetworkLaw, ReadoutLaw, SlidingDerivative};

    fn bound(data: &GradientGeometry, width: usize, sliding: SlidingDerivative, delta: f64) -> Vec<f64> {
        let law = NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher).unwrap();
        gradient_norm_bound(&TrainedGradient::new(data, law, 0.2, sliding).unwrap(), delta).unwrap()
    }

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, "P7, P8". Sums of 12 positive terms; the two error functions agree to a few ε.
        for (slope, sliding, known) in KNOWN {
            let data = GradientGeometry::new(&reference().0, Slope::new(slope).unwrap()).unwrap();
            assert_close(&bound(&data, 1000, sliding, 1e-3)[..5], &known, 1e-12);
        }
    }

    #[test]
    fn norms_shrink_with_width_and_failure_probability_and_ignore_repetition() {
        let train = reference().0;
        let data = GradientGeometry::new(&train, Slope::RELU).unwrap();
        let norms = |width, delta| bound(&data, width, SlidingDerivative::One, delta);
        let (base, wide, sure) = (norms(100, 0.01), norms(102, 0.01), norms(100, 0.009));
        assert!(base.iter().zip(wide).zip(sure).all(|((base, wide), sure)| wide < *base && *base < sure));
        let twice: Vec<usize> = (0..12).chain(0..12).collect();
        let labels = twice.iter().map(|n| train.labels()[*n]).collect();
        let doubled = TrainingSet::new(train.points().select(&twice), labels).unwrap();
        let doubled = GradientGeometry::new(&doubled, Slope::RELU).unwrap();
        // The limit is summed from 24 terms instead of 12.
        assert_close(&bound(&doubled, 100, SlidingDerivative::One, 0.01), &[base.clone(), base].concat(), 1e-13);
    }

    /// Slope, kind of derivative, bound at the first five points: m = 1000, T = 0.2, δ = 10⁻³.
    const KNOWN: [(f64, SlidingDerivative, [f64; 5]); 2] = [
        (
            0.0,
            SlidingDerivative::OfFlow,
            [2.2353337882832e+00, 2.4352317715617e+00, 2.2807958055365e+00, 2.2793645481380e+00, 2.3021559063491e+00],
        ),
        (
            0.3,
            SlidingDerivative::One,
            [1.5161501313904e+00, 1.6983521045466e+00, 1.5238007596073e+00, 1.5228373206683e+00, 1.6078846413369e+00],
        ),
    ];
}
