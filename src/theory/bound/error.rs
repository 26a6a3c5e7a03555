//! Deviations from the limit with a stated failure probability: W4, W9 and W11.

use super::drift::{block_growth, drift_second_moment_bound, mean_drift_comparison_bound};
use super::gaussian::gaussian_network_error_bound;
use super::tail::{bernstein, chernoff};
use super::{Geometry, NetworkLaw, ReadoutLaw};
use crate::error::{Error, Result};
use crate::linalg::norm_squared;
use crate::problem::{Points, Slope, finite_nonnegative};

/// Which deviations a bound excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// Both signs: |deviation| ≤ bound.
    Both,
    /// Only deviations towards 0, which decide the sign: half the events, so a smaller bound.
    TowardsZero,
}

impl Tail {
    /// How many events share the failure probability.
    pub(super) fn events(self) -> f64 {
        match self {
            Tail::Both => 2.0,
            Tail::TowardsZero => 1.0,
        }
    }

    /// Of the two deviations, the one that counts.
    pub(super) fn select(self, mean: f64, upper: impl FnOnce() -> f64, lower: impl FnOnce() -> f64) -> f64 {
        match self {
            Tail::Both => upper().max(lower()),
            Tail::TowardsZero if mean > 0.0 => lower(),
            Tail::TowardsZero => upper(),
        }
    }
}

//= W4@5937fdca
/// Deviation of the initial kernel, W4: "with probability at least 1−δ: |F̂₀(z) − F(z)| ≤ e_X(z), the larger of the two
/// tails of W2 with t = ln(2/δ), n = n_c, σ² = Var B(z), [b↓, b↑] of M3"; for [`Tail::TowardsZero`] one tail, t = ln(1/δ).
///
/// Inputs: prepared data, the network's law, δ for each single test point. Returns e_X per test point, in units of function
/// change per unit of time. Tightness: 1.03–1.12 times the normal quantile on images at m = 1000.
///
/// # Errors
/// δ outside (0, 1).
pub fn kernel_deviation_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    failure_probability: f64,
    tail: Tail,
) -> Result<Vec<f64>> {
    let per_copy = log_share(failure_probability, tail.events())? / law.copies() as f64;
    Ok(kernel_deviations(geometry, law.readout(), per_copy, tail))
}

fn kernel_deviations(geometry: &Geometry, readout: ReadoutLaw, per_copy: f64, tail: Tail) -> Vec<f64> {
    let moments = geometry.limit().iter().zip(geometry.variance());
    let bound = |((mean, variance), (low, high)): ((&f64, &f64), (f64, f64))| {
        let upper = || chernoff(*mean, *variance, high, per_copy, readout);
        let lower = || chernoff(-mean, *variance, -low, per_copy, readout);
        tail.select(*mean, upper, lower)
    };
    moments.zip(geometry.ranges()).map(bound).collect()
}

//= W9@5747a6b9
//= G2@29c3e467
/// Error of the trained network, W9: "with probability at least 1−δ, for one z: |f_T(z) − f_0(z) − T F(z)| ≤ e_f(z)",
/// gradient flow of the identity loss. With β̄ of W7 and t = ln(2/δ): Rademacher: "e_f = β̄ + x, x the larger of the two tails
/// of W2 with mean TF, variance min((T√Var B + √v_R)², T² E B² + Δ − (T|F| − β̄)₊²), Δ of W17, upper end T b↑ + β̄, n = n_c"; Gaussian: "e_f = β̄ + T e_X + √(2 v_R t₂/n_c) + (7/3) ρ t₂/n_c with e_X of W4 at δ/2, t₂ = ln(4/δ)",
/// ρ = T(b↑ − b↓), or W12, whichever is smaller: both are numbers known before the network is drawn, and hold at δ.
///
/// [`Tail::TowardsZero`] bounds deviations towards 0 only: t = ln(1/δ), t₂ = ln(2/δ). For n_z points at once give δ/n_z.
/// For `Standard` initialisation f_0 is observed, or bounded by [`initial_output_bound`].
///
/// Tightness: the 95% quantile of trained networks is .34–.38 of the bound (Rademacher), .19–.41 (Gaussian, W12;
/// checks/coverage.py); widths that certify 90% of the images' test points: proofs/README.md.
///
/// # Errors
/// time < 0, infinite or NaN; δ outside (0, 1).
pub fn network_error_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    failure_probability: f64,
    tail: Tail,
) -> Result<Vec<f64>> {
    let additive = added_error_bound(geometry, law, time, failure_probability, tail)?;
    if law.readout() != ReadoutLaw::Gaussian {
        return Ok(additive);
    }
    let joint = gaussian_network_error_bound(geometry, law, time, failure_probability, tail)?;
    Ok(additive.into_iter().zip(joint).map(|(a, b)| a.min(b)).collect())
}

/// W9 by itself.
fn added_error_bound(
    geometry: &Geometry,
    law: NetworkLaw,
    time: f64,
    failure_probability: f64,
    tail: Tail,
) -> Result<Vec<f64>> {
    let time = finite_nonnegative("time", time)?;
    let events = tail.events() * if law.readout() == ReadoutLaw::Gaussian { 2.0 } else { 1.0 };
    let per_copy = log_share(failure_probability, events)? / law.copies() as f64;
    let mean_drifts = mean_drift_comparison_bound(geometry, law, time)?;
    let second_moments = drift_second_moment_bound(geometry, law, time)?;
    let growth = block_growth(geometry, 1.0 / (law.width() as f64).sqrt(), time);
    let kernel = kernel_deviations(geometry, law.readout(), per_copy, tail);
    let bound = |(z, (low, high)): (usize, (f64, f64))| {
        let (drift, second_moment) = (mean_drifts[z], second_moments[z]);
        if law.readout() == ReadoutLaw::Gaussian {
            let range = time * (high - low);
            return drift + time * kernel[z] + bernstein(second_moment, 7.0 / 3.0 * range, per_copy);
        }
        let mean = time * geometry.limit()[z];
        let added = (time * geometry.variance()[z].sqrt() + second_moment.sqrt()).powi(2);
        let variance = added.min(time * time * geometry.variance()[z] + growth[z] + shrunk_square(mean.abs(), drift));
        let upper = || chernoff(mean, variance, time * high + drift, per_copy, ReadoutLaw::Rademacher);
        let lower = || chernoff(-mean, variance, -time * low + drift, per_copy, ReadoutLaw::Rademacher);
        drift + tail.select(mean, upper, lower)
    };
    Ok(geometry.ranges().into_iter().enumerate().map(bound).collect())
}

/// mean² − (mean − drift)₊²: what the square of a mean loses if a drift may reduce it.
pub(super) fn shrunk_square(mean: f64, drift: f64) -> f64 {
    if drift < mean { drift * (2.0 * mean - drift) } else { mean * mean }
}

//= W11@7fa4afde
/// The network at initialisation, W11: "`Standard`, either readout: with probability at least 1 − 3e^{−t},
/// |f_0(z)| ≤ s(z)√(2t((1+γ²)/2 + √(3(1+γ⁴)t/m) + 2t/m)). `Antisymmetric`: f_0 = 0", t = ln(3/δ).
///
/// Inputs: test points, slope, the network's law, δ for each single point. Tightness: the bound does not vanish as m → ∞,
/// nor does f_0: its variance is s²(1+γ²)/2, and the bound tends to √(2t) standard deviations.
///
/// # Errors
/// δ outside (0, 1).
pub fn initial_output_bound(
    test: &Points,
    slope: Slope,
    law: NetworkLaw,
    failure_probability: f64,
) -> Result<Vec<f64>> {
    let t = log_share(failure_probability, 3.0)?;
    if law.starts_at_zero() {
        return Ok(vec![0.0; test.count()]);
    }
    let (square, m) = (slope.value() * slope.value(), law.width() as f64);
    let moment = 0.5 * (1.0 + square) + (3.0 * (1.0 + square * square) * t / m).sqrt() + 2.0 * t / m;
    let d = test.input_dim() as f64;
    Ok(test.iter().map(|z| (2.0 * t * moment * (1.0 + norm_squared(z) / d)).sqrt()).collect())
}

/// ln(events/δ).
pub(super) fn log_share(failure_probability: f64, events: f64) -> Result<f64> {
    if !(failure_probability > 0.0 && failure_probability < 1.0) {
        let (name, expected) = ("failure probability", "a number in (0, 1)");
        return Err(Error::Scalar { name, value: failure_probability, expected });
    }
    // ln − ln does not overflow for the smallest δ.
    Ok(events.ln() - failure_probability.ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::bound::tests::reference;

    fn geometry(slope: f64) -> Geometry {
        let (train, test) = reference();
        Geometry::new(&train, Slope::new(slope).unwrap(), &test).unwrap()
    }

    /// Not above the reference, whose λ stand on a grid, and below it by at most the grid's loss (see `tail`: 10⁻⁷
    /// relative for a normal law; here ten times that, and 10⁻¹² for rounding).
    fn assert_grid_close(found: &[f64], grid: &[f64]) {
        for (found, grid) in found.iter().zip(grid) {
            assert!(*found <= grid * (1.0 + 1e-12) && *found >= grid * (1.0 - 1e-6), "{found:e} {grid:e}");
        }
    }

    #[test]
    fn known_answers_of_the_reference() {
        let law = |readout| NetworkLaw::antisymmetric(1000, readout).unwrap();
        for (slope, readout, kernel, both, one) in KNOWN {
            let (data, law) = (geometry(slope), law(readout));
            // The reference evaluates e_X at e_f's own t: δ/2 for Gaussian readouts.
            let share = if readout == ReadoutLaw::Gaussian { 0.5e-3 } else { 1e-3 };
            assert_grid_close(&kernel_deviation_bound(&data, law, share, Tail::Both).unwrap(), &kernel);
            assert_grid_close(&added_error_bound(&data, law, 0.2, 1e-3, Tail::Both).unwrap(), &both);
            assert_grid_close(&added_error_bound(&data, law, 0.2, 1e-3, Tail::TowardsZero).unwrap(), &one);
        }
    }

    #[test]
    fn errors_shrink_with_width_and_failure_probability_and_pairs_cost_half_the_copies() {
        let data = geometry(0.2);
        for readout in [ReadoutLaw::Gaussian, ReadoutLaw::Rademacher] {
            let standard = |width, delta| {
                let law = NetworkLaw::standard(width, readout).unwrap();
                network_error_bound(&data, law, 0.2, delta, Tail::Both).unwrap()
            };
            let (base, wide, sure) = (standard(400, 0.01), standard(402, 0.01), standard(400, 0.009));
            let law = NetworkLaw::antisymmetric(400, readout).unwrap();
            let paired = network_error_bound(&data, law, 0.2, 0.01, Tail::Both).unwrap();
            for z in 0..base.len() {
                assert!(wide[z] < base[z] && base[z] < sure[z] && base[z] < paired[z], "{readout:?} {z}");
            }
        }
    }

    #[test]
    fn the_initial_output_is_bounded_by_the_formula_or_is_zero() {
        // s² = 1 + 3/3 = 2, γ = 0, t = ln(3/δ) = 2, m = 24: √(2·2·2(½ + √(6/24) + 4/24)) = √(8·7/6).
        let point = Points::from_rows("z", 1, 3, vec![1.0, 1.0, 1.0]).unwrap();
        let delta = 3.0 * (-2.0_f64).exp();
        let law = NetworkLaw::standard(24, ReadoutLaw::Gaussian).unwrap();
        let bound = initial_output_bound(&point, Slope::RELU, law, delta).unwrap()[0];
        assert!((bound - (56.0_f64 / 6.0).sqrt()).abs() < 16.0 * f64::EPSILON);
        let law = NetworkLaw::antisymmetric(24, ReadoutLaw::Gaussian).unwrap();
        assert_eq!(initial_output_bound(&point, Slope::RELU, law, delta).unwrap(), vec![0.0]);
    }

    #[test]
    fn no_time_means_no_error_and_bad_input_is_named() {
        let data = geometry(0.0);
        for readout in [ReadoutLaw::Gaussian, ReadoutLaw::Rademacher] {
            let law = NetworkLaw::standard(10, readout).unwrap();
            let bound = network_error_bound(&data, law, 0.0, 0.1, Tail::Both).unwrap();
            assert!(bound.iter().all(|b| *b == 0.0));
            for bad in [0.0, 1.0, f64::NAN] {
                assert!(network_error_bound(&data, law, 1.0, bad, Tail::Both).is_err());
            }
            assert!(network_error_bound(&data, law, f64::INFINITY, 0.1, Tail::Both).is_err());
        }
    }

    /// checks/known_answers.py: slope, readout, eX, ef, "ef, one tail" (m = 1000, T = 0.2, δ = 10⁻³, antisymmetric).
    type Known = (f64, ReadoutLaw, [f64; 5], [f64; 5], [f64; 5]);
    const KNOWN: [Known; 4] = [
        (
            0.0,
            ReadoutLaw::Rademacher,
            [3.2403354722817e-02, 8.4017742119497e-02, 2.9611285938654e-02, 6.3244135234849e-02, 3.6698345074047e-02],
            [7.0257365385361e-03, 1.7026982964648e-02, 6.4916222347177e-03, 1.2945280853378e-02, 7.9138017531936e-03],
            [6.5635249406994e-03, 1.6032930362430e-02, 6.0312428727922e-03, 1.2248477619453e-02, 7.5076601340099e-03],
        ),
        (
            0.0,
            ReadoutLaw::Gaussian,
            [8.6599940345424e-02, 2.1836498835909e-01, 7.6423739977223e-02, 1.6496613715344e-01, 9.8007055287497e-02],
            [3.5835839291813e-02, 6.0678757931852e-02, 3.3851776618367e-02, 5.0937194997664e-02, 4.0106489613711e-02],
            [3.0984855609299e-02, 4.8663048644291e-02, 2.9977866183545e-02, 4.2052909570197e-02, 3.5091545312748e-02],
        ),
        (
            0.3,
            ReadoutLaw::Rademacher,
            [2.6061135627808e-02, 7.4299751925626e-02, 2.2058444794262e-02, 5.5098332162012e-02, 3.0130936490154e-02],
            [5.5003613767128e-03, 1.4993665483164e-02, 4.7255552395142e-03, 1.1181421164773e-02, 6.3145492663432e-03],
            [5.1070749737085e-03, 1.3993434922142e-02, 4.3771718140792e-03, 1.0443799128768e-02, 5.9418286189439e-03],
        ),
        (
            0.3,
            ReadoutLaw::Gaussian,
            [7.7030986575182e-02, 2.1684726241638e-01, 6.2151554193263e-02, 1.5739343085108e-01, 8.3794037740489e-02],
            [2.7477560524862e-02, 5.5506143552536e-02, 2.4504050452093e-02, 4.3417010568241e-02, 3.0053946726297e-02],
            [2.2649125918800e-02, 4.3285358724956e-02, 2.0679279923509e-02, 3.4348476803992e-02, 2.5281575427205e-02],
        ),
    ];
}
