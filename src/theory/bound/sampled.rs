//! Networks bounded from a sample of their blocks, at a cost that does not grow with the width: W16 and W10.
//!
//! For the identity loss a trained network is a mean of independent blocks (K2), so a sample of blocks of the same law
//! tells the mean and the second moment of what each contributes, and Bernstein's inequality does the rest.

use super::tail::{bernstein, chernoff_deviation};
use super::{Geometry, ReadoutLaw};
use crate::error::{Error, Result};
use crate::problem::{finite_nonnegative, finite_positive};

/// Sizes and confidences of a sample of blocks and of the network that it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    count: f64,
    copies: f64,
    sample_t: f64,
    network_t: f64,
}

impl Sampling {
    /// `count` M sampled blocks, `copies` n_c blocks of the network; each event about the sample fails with probability
    /// e^{−`sample_t`}, each about the network with e^{−`network_t`}.
    ///
    /// # Errors
    /// count or copies = 0; t ≤ 0, infinite or NaN.
    pub fn new(count: usize, copies: usize, sample_t: f64, network_t: f64) -> Result<Self> {
        for (name, value) in [("sample size", count), ("copies", copies)] {
            if value == 0 {
                return Err(Error::Scalar { name, value: 0.0, expected: "at least 1" });
            }
        }
        Ok(Sampling {
            count: count as f64,
            copies: copies as f64,
            sample_t: finite_positive("log inverse probability", sample_t)?,
            network_t: finite_positive("log inverse probability", network_t)?,
        })
    }

    /// n_c.
    pub(super) fn copies(&self) -> f64 {
        self.copies
    }

    /// t of the network's events.
    pub(super) fn network_t(&self) -> f64 {
        self.network_t
    }

    /// W16, first claim: an upper bound on E ζ from a sample mean of ζ ∈ [0, `largest`].
    pub(super) fn second_moment(&self, sample_mean: f64, largest: f64) -> f64 {
        let share = largest * self.sample_t / (2.0 * self.count);
        ((sample_mean.max(0.0) + share).sqrt() + share.sqrt()).powi(2)
    }

    /// How far the sample mean of ζ, |ζ| ≤ `radius`, E ζ² ≤ `second_moment`, may lie on one side of E ζ.
    pub(super) fn sample_error(&self, second_moment: f64, radius: f64) -> f64 {
        bernstein(second_moment, radius / 3.0, self.sample_t / self.count)
    }

    /// The same for the network's mean.
    pub(super) fn network_error(&self, second_moment: f64, radius: f64) -> f64 {
        bernstein(second_moment, radius / 3.0, self.network_t / self.copies)
    }

    /// The sampling as if the sample had half of its blocks.
    pub(super) fn half(&self) -> Self {
        Sampling { count: 0.5 * self.count, ..*self }
    }
}

//= W16@f87326fa
/// Means of bounded functions of a block, W16: "with probability ≥ 1 − 3e^{−t'} − 2e^{−t},
/// |(1/n_c) Σ_j ψ_j − ψ̄| ≤ √(2v̂t'/M) + Rt'/(3M) + √(2v̂t/n_c) + Rt/(3n_c),
/// v̂ = (√(q̄ + R²t'/2M) + R√(t'/2M))²".
///
/// Inputs: `square_about_centre` q̄, the sample mean of (ψ − c)² for a number c fixed before the sample is drawn; `radius`
/// R ≥ |ψ − c|. Returns the right side, in units of ψ. For one side only, 2e^{−t'} + e^{−t} suffices. Tightness: for
/// M ≫ n_c, R²t/v the network's term alone, √(2t) standard deviations.
///
/// # Errors
/// q̄ < 0 or R < 0, infinite or NaN.
pub fn sampled_mean_bound(sampling: Sampling, square_about_centre: f64, radius: f64) -> Result<f64> {
    finite_nonnegative("mean square", square_about_centre)?;
    finite_nonnegative("radius", radius)?;
    Ok(sampled_deviation(sampling, square_about_centre, radius))
}

/// W16 for numbers known to be valid.
pub(super) fn sampled_deviation(sampling: Sampling, square_about_centre: f64, radius: f64) -> f64 {
    let second_moment = sampling.second_moment(square_about_centre, radius * radius);
    sampling.sample_error(second_moment, radius) + sampling.network_error(second_moment, radius)
}

/// What a sample says of the drift at one test point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledDrift {
    /// The sample mean of R.
    pub mean: f64,
    /// How far E R may lie from it, to either side.
    pub mean_error: f64,
    /// Upper bound on E R².
    pub second_moment: f64,
}

//= W10@e0645c88
/// Sampled drift, W10: "readouts ±1/√m. From M independent blocks with drifts R^{(i)}, |R^{(i)}| ≤ ρ, with probability
/// ≥ 1 − 3e^{−t'}: E R² ≤ v̂ = (√(q̄ + ρ²t'/2M) + ρ√(t'/2M))² and |E R − R̄| ≤ √(2v̂t'/M) + ρt'/(3M)".
///
/// Inputs: sample mean R̄ and mean square q̄ of the drift, `range` ρ = T(b↑ − b↓) (W6). Tightness: exact for M → ∞; the
/// closed forms W5–W7 are 8 times larger on images (MNIST, m = 1000, T = .3).
///
/// # Errors
/// mean not finite; q̄ or ρ negative, infinite or NaN.
pub fn sampled_drift_bound(sampling: Sampling, mean: f64, mean_square: f64, range: f64) -> Result<SampledDrift> {
    if !mean.is_finite() {
        return Err(Error::Scalar { name: "mean drift", value: mean, expected: "a finite number" });
    }
    finite_nonnegative("mean square of the drift", mean_square)?;
    finite_nonnegative("range of the drift", range)?;
    let second_moment = sampling.second_moment(mean_square, range * range);
    Ok(SampledDrift { mean, mean_error: sampling.sample_error(second_moment, range), second_moment })
}

//= W10@e0645c88
/// Error of the trained network towards 0 from sampled drifts, W10: "then with probability ≥ 1 − e^{−t} over the network
/// sgn F·(f_T − f_0)(z) ≥ T|F| − error, error = −sgn F·R̄ + (error of R̄) + x, x of W2 with the mean −T|F|, the variance
/// (T√Var B + √v̂)² and the upper end of −sgn F·TB plus |R̄| and its error".
///
/// Inputs: prepared data, n_c, T, one sampled drift per test point, t per test point. In units of the function. Tightness: x
/// is 1.03–1.15 times the normal quantile on images at m = 1000.
///
/// # Errors
/// time < 0, infinite or NaN; another number of drifts; copies = 0; t ≤ 0.
pub fn sampled_network_error_bound(
    geometry: &Geometry,
    copies: usize,
    time: f64,
    drifts: &[SampledDrift],
    network_t: f64,
) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    if drifts.len() != geometry.limit().len() {
        let expected = format!("{}, one per test point", geometry.limit().len());
        return Err(Error::Shape { name: "sampled drifts".into(), found: drifts.len().to_string(), expected });
    }
    let points = geometry.limit().iter().zip(geometry.variance()).zip(geometry.ranges()).zip(drifts);
    points
        .map(|(((limit, variance), (low, high)), drift)| {
            let (sign, towards_zero) = if *limit > 0.0 { (1.0, -low) } else { (-1.0, high) };
            let largest = drift.mean.abs() + drift.mean_error;
            let variance = (time * variance.sqrt() + drift.second_moment.sqrt()).powi(2);
            let mean = -time * limit.abs();
            let upper = (time * towards_zero + largest).max(mean);
            let tail = chernoff_deviation(mean, variance, upper, copies, network_t, ReadoutLaw::Rademacher)?;
            Ok(drift.mean_error - sign * drift.mean + tail)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_by_hand() {
        // M = 8, t' = 4: R²t'/2M = R²/4. q̄ = 0, R = 2: v̂ = (1 + 1)² = 4; √(2·4·4/8) + 2·4/24 = 2 + 1/3.
        // n_c = 2, t = 1: √(2·4·1/2) + 2·1/6 = 2 + 1/3.
        let sampling = Sampling::new(8, 2, 4.0, 1.0).unwrap();
        let bound = sampled_mean_bound(sampling, 0.0, 2.0).unwrap();
        assert!((bound - (4.0 + 2.0 / 3.0)).abs() < 8.0 * f64::EPSILON, "{bound}");
        let drift = sampled_drift_bound(sampling, -0.5, 0.0, 2.0).unwrap();
        assert!((drift.second_moment - 4.0).abs() < 8.0 * f64::EPSILON && drift.mean == -0.5);
        assert!((drift.mean_error - (2.0 + 1.0 / 3.0)).abs() < 8.0 * f64::EPSILON);
    }

    #[test]
    fn bernoulli_means_obey_the_second_moment_bound_exactly() {
        // ζ ~ Bernoulli(p): the exact probability that the sample refutes E ζ = p is at most e^{−t}.
        let (count, t) = (400_u64, 3.0);
        let sampling = Sampling::new(400, 1, t, 1.0).unwrap();
        for p in [0.001, 0.01, 0.1, 0.5, 0.9] {
            let refuted = (0..=count).take_while(|k| sampling.second_moment(*k as f64 / 400.0, 1.0) < p).count() as u64;
            let probability =
                if refuted == 0 { 0.0 } else { 1.0 - crate::stats::binomial_upper_tail(count, p, refuted) };
            assert!(probability <= (-t).exp(), "{p}: {probability}");
            // Not vacuous where E ζ² = p is near the variance p(1−p), as the bound takes it to be.
            assert!(p != 0.1 || probability > (-t).exp() / 30.0, "{p}: {probability}");
        }
    }

    #[test]
    fn bad_input_is_named() {
        assert!(Sampling::new(0, 1, 1.0, 1.0).is_err() && Sampling::new(1, 0, 1.0, 1.0).is_err());
        assert!(Sampling::new(1, 1, 0.0, 1.0).is_err() && Sampling::new(1, 1, 1.0, f64::NAN).is_err());
        let sampling = Sampling::new(8, 2, 4.0, 1.0).unwrap();
        assert!(sampled_mean_bound(sampling, -1.0, 1.0).is_err() && sampled_mean_bound(sampling, 1.0, -1.0).is_err());
        assert!(sampled_drift_bound(sampling, f64::NAN, 1.0, 1.0).is_err());
    }
}
