//! Proved bounds at finite width: one pure function per inequality of `proofs/`, named there after "Code:".
//!
//! - [`angle`]: unit vectors (D6), angles of augmented inputs (D5);
//! - [`tail`]: the two-point Chernoff bound (W2), Bernstein forms (W3);
//! - [`geometry`]: what a data set contributes to the bounds, once for all widths and times (M3);
//! - [`drift`]: mean (W5, W7) and second moment (W6, W17) of the drift;
//! - [`drift_limit`]: the limit of the mean drift (W8);
//! - [`velocity`]: flips (W13) and mean drift (W14) from the velocities at the boundaries;
//! - [`error`]: initial kernel (W4), trained network (W9), network at initialisation (W11);
//! - [`gaussian`]: trained network with Gaussian readouts (W12);
//! - [`gradient_moments`]: the trained input gradient (P3–P6); [`gradient_limit`]: the limit of its fluctuation (P10, G12);
//! - [`inputs`]: the second network's inputs (G3–G5);
//! - [`target`]: random labels (G6), the offset of unbalanced targets (G7);
//! - [`enclosure`]: flips and outputs of one trained network, given its initial weights (M4, M5, M6);
//! - [`loss`]: logistic, squared and other Lipschitz losses (L1–L4);
//! - [`boundary`]: the boundary term of the limit's gradient (P2);
//! - [`rounding`]: what rounding does to the numbers compared (R1–R6).
//! - [`gradient`]: what a data set contributes to the bounds on gradients;
//! - [`direction`]: gradients of a trained network in fixed directions (P7);
//! - [`norm`]: and in norm (P8);
//! - [`limit`]: what their deviation does to the limit of g (G8);
//! - [`uniform`]: a trained network's error for every training set near a given one (G11);
//! - [`certificate`]: the sign of g, given f (A2);
//! - [`pair`]: the signs of both, given nothing (A3);
//! - [`sampled`], [`mod@gradient_enclosure`], [`mod@limit_enclosure`]: the same from a sample of pairs of neurons (W16, W10, P9, G9,
//!   G10; put together in [`experiment::certify`](crate::experiment::certify), A6).
//!
//! All bounds on trained networks but those of [`loss`] are for gradient flow of the identity loss. They are evaluated
//! in double precision, not rounded outwards; [`rounding`] says what that costs. Angles of nearly equal points have an
//! absolute error of a few ε only; the terms with 1/sin θ that suffer from it are large, and stand in minima with
//! terms that do not.

pub mod angle;
pub mod boundary;
pub mod certificate;
mod cone;
pub mod direction;
pub mod drift;
pub mod drift_limit;
pub mod enclosure;
pub mod error;
pub mod gaussian;
pub mod geometry;
pub mod gradient;
pub mod gradient_enclosure;
pub mod gradient_limit;
pub mod gradient_moments;
pub mod inputs;
pub mod limit;
pub mod limit_enclosure;
pub mod loss;
pub mod norm;
pub mod pair;
mod reach;
pub mod rounding;
pub mod sampled;
pub mod tail;
pub mod target;
pub mod uniform;
pub mod velocity;

pub use angle::{angle_change_bound, direction_angle_bound, unit_vector_change_bound};
pub use boundary::boundary_term_bound;
pub use certificate::{Certificate, certificate_given_f};
pub use direction::{SlidingDerivative, TrainedGradient, gradient_component_bound, gradient_functional_bound};
pub use drift::{block_second_moment_bound, drift_second_moment_bound, mean_drift_bound, mean_drift_comparison_bound};
pub use drift_limit::mean_drift_limit;
pub use enclosure::{
    Start, TrainedNeuron, flip_probability_bound, flip_time_at, flip_times, network_deviation_bound, network_enclosure,
};
pub use error::{Tail, initial_output_bound, kernel_deviation_bound, network_error_bound};
pub use gaussian::gaussian_network_error_bound;
pub use geometry::{Geometry, signed_gram_matrix, velocity_range};
pub use gradient::GradientGeometry;
pub use gradient_enclosure::{
    GradientEnclosure, GradientLaw, GradientSample, Interval, PairTruncation, gradient_enclosure, gradient_events,
};
pub use gradient_limit::{
    FluctuationLimit, GradientFluctuation, LimitVariance, gradient_fluctuation_limit, second_network_fluctuation_limit,
};
pub use gradient_moments::{
    averaged_gradient_fluctuation_bound, cosine_deficit_bound, gradient_fluctuation_bound, gradient_mean_bound,
};
pub use inputs::{FirstNetwork, expected_limit_deviation_bound, kernel_change_bound, normalisation_remainder_bound};
pub use limit::{LimitDeviation, PerturbationRule, limit_deviation_bound};
pub use limit_enclosure::{LimitEnclosure, Perturbing, SignMargin, limit_enclosure};
pub use loss::{
    LipschitzLoss, LossBound, ReadoutMoments, kernel_drift_bound, lipschitz_loss_bound, mean_square_drift_bound,
    squared_loss_bound,
};
pub use norm::gradient_norm_bound;
pub use pair::{PairCertificate, Times, pair_certificate};
pub use rounding::{
    Computed, FlowArithmetic, FlowScale, FlowSlack, Slack, angle_error_bound, closed_form_error_bound, dot_error_bound,
    flow_rounding_slack, parallel_angle_error_bound, refutes, variance_error_bound, velocity_error_bound,
    velocity_magnitude,
};
pub use sampled::{SampledDrift, Sampling, sampled_drift_bound, sampled_mean_bound, sampled_network_error_bound};
pub use tail::{bernstein_deviation, chernoff_deviation};
pub use target::{LabelNoise, centred_offset_bound, label_noise_bound, target_offset, target_offset_remainder_bound};
pub use uniform::uniform_network_error_bound;
pub use velocity::{BoundaryVelocities, flip_probability_bound_with_velocities, mean_drift_bound_with_velocities};

use crate::error::{Error, Result};

/// The distribution of the unscaled readouts α = √m·a.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadoutLaw {
    /// α ~ N(0, 1).
    Gaussian,
    /// α = ±1 with equal probability.
    Rademacher,
}

impl ReadoutLaw {
    /// E α⁴: 3 or 1, which [`kernel_variance`](crate::theory::kernel_variance) asks for.
    #[must_use]
    pub fn fourth_moment(self) -> f64 {
        self.moments()[1]
    }

    /// [μ₃, μ₄, μ₅, μ₆] with μ_q = E|α|^q (notation.md).
    pub(super) fn moments(self) -> [f64; 4] {
        match self {
            ReadoutLaw::Gaussian => {
                // √(2/π) = 2/√π · 1/√2.
                let root = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
                [2.0 * root, 3.0, 8.0 * root, 15.0]
            }
            ReadoutLaw::Rademacher => [1.0; 4],
        }
    }
}

/// The law of an initial network (N1): hidden weights N(0, I/d), biases N(0, 1), readouts α/√m.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct NetworkLaw {
    width: usize,
    readout: ReadoutLaw,
    paired: bool,
}

impl NetworkLaw {
    /// Independent neurons: `Standard` initialisation.
    ///
    /// # Errors
    /// width = 0.
    pub fn standard(width: usize, readout: ReadoutLaw) -> Result<Self> {
        if width == 0 {
            return Err(Error::Scalar { name: "width", value: 0.0, expected: "at least 1" });
        }
        Ok(NetworkLaw { width, readout, paired: false })
    }

    /// Pairs of neurons with equal hidden weights and opposite readouts: `Antisymmetric` initialisation.
    ///
    /// # Errors
    /// A width that is 0 or odd.
    pub fn antisymmetric(width: usize, readout: ReadoutLaw) -> Result<Self> {
        if width == 0 || !width.is_multiple_of(2) {
            let expected = "an even number, at least 2, for antisymmetric pairs";
            return Err(Error::Scalar { name: "width", value: width as f64, expected });
        }
        Ok(NetworkLaw { width, readout, paired: true })
    }

    /// m.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// n_c, the number of independent blocks: m, or m/2 pairs.
    #[must_use]
    pub fn copies(&self) -> usize {
        if self.paired { self.width / 2 } else { self.width }
    }

    /// The distribution of the readouts.
    #[must_use]
    pub fn readout(&self) -> ReadoutLaw {
        self.readout
    }

    /// Whether the output at initialisation is 0: antisymmetric pairs.
    #[must_use]
    pub fn starts_at_zero(&self) -> bool {
        self.paired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::{Points, TrainingSet};

    /// The data of checks/known_answers.py.
    pub(super) fn reference() -> (TrainingSet, Points) {
        let x = |n: f64, c: f64| 1.5 * (1.3 * (3.0 * n + c) + 0.4).sin() + 0.2 * (2.1 * n).cos();
        let z = |n: f64, c: f64| 1.2 * (0.9 * (3.0 * n + c) + 0.1).cos();
        let rows = |count: usize, f: &dyn Fn(f64, f64) -> f64| {
            let values = (0..3 * count).map(|i| f((i / 3) as f64, (i % 3) as f64)).collect();
            Points::from_rows("x", count, 3, values).unwrap()
        };
        let labels = (0..12).map(|n| if (n * 5 + 2) % 3 != 0 { 1.0 } else { -1.0 }).collect();
        (TrainingSet::new(rows(12, &x), labels).unwrap(), rows(5, &z))
    }

    /// Relative agreement with 14 printed digits of the reference, which sums in another order.
    pub(super) fn assert_close(found: &[f64], known: &[f64], tolerance: f64) {
        assert_eq!(found.len(), known.len());
        for (index, (found, known)) in found.iter().zip(known).enumerate() {
            assert!((found / known - 1.0).abs() <= tolerance, "point {index}: {found:e}, reference {known:e}");
        }
    }

    #[test]
    fn widths_without_a_network_are_rejected() {
        assert!(NetworkLaw::standard(0, ReadoutLaw::Gaussian).is_err());
        assert!(NetworkLaw::antisymmetric(3, ReadoutLaw::Gaussian).is_err());
        assert_eq!(NetworkLaw::antisymmetric(6, ReadoutLaw::Gaussian).unwrap().copies(), 3);
        assert_eq!(NetworkLaw::standard(5, ReadoutLaw::Gaussian).unwrap().copies(), 5);
    }
}
