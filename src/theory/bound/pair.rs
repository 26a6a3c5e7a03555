//! The signs of both networks, certified before either is drawn: A3.

use super::direction::{SlidingDerivative, TrainedGradient};
use super::error::{Tail, log_share, network_error_bound};
use super::gradient::GradientGeometry;
use super::limit::{PerturbationRule, limit_deviation_bound, limit_set};
use super::uniform::uniform_network_error_bound;
use super::{Geometry, NetworkLaw};
use crate::error::{Error, Result};
use crate::problem::{Points, Slope, TrainingSet};

/// What is known about f and g at the test points before either is drawn.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PairCertificate {
    /// F(z), the limit of f per unit of time.
    pub limit_f: Vec<f64>,
    /// G(z), the limit of g per unit of time, for the limit of the perturbations.
    pub limit_g: Vec<f64>,
    /// e_f: sgn F·f_T ≥ T|F| − e_f.
    pub error_f: Vec<f64>,
    /// sgn G·g_T' ≥ T'|G| − error_g: what the perturbations' deviation, their rescaling and g's own error may take away.
    pub error_g: Vec<f64>,
    /// Whether sgn f(z) = sgn g(z) is certified: error_f < T|F|, error_g < T'|G| and FG > 0.
    pub certified: Vec<bool>,
}

impl PairCertificate {
    /// From the limits and the error bounds, per test point.
    ///
    /// # Errors
    /// A number that is not finite: numbers beyond 10³⁰⁸ have come up on the way to it.
    pub(crate) fn new(
        limit_f: Vec<f64>,
        limit_g: Vec<f64>,
        error_f: Vec<f64>,
        error_g: Vec<f64>,
        times: Times,
    ) -> Result<Self> {
        let named =
            [("limit of f", &limit_f), ("limit of g", &limit_g), ("error of f", &error_f), ("error of g", &error_g)];
        for (name, values) in named {
            if let Some(row) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::NotFinite { name: name.into(), row, column: 0, value: values[row] });
            }
        }
        let certified = |z: usize| {
            let (f, g) = (limit_f[z], limit_g[z]);
            error_f[z] < times.first * f.abs() && error_g[z] < times.second * g.abs() && f * g > 0.0
        };
        let certified = (0..limit_f.len()).map(certified).collect();
        Ok(PairCertificate { limit_f, limit_g, error_f, error_g, certified })
    }

    /// The share of certified test points.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.certified.iter().filter(|c| **c).count() as f64 / self.certified.len() as f64
    }

    /// How many points have F·G > 0: no width certifies others.
    #[must_use]
    pub fn agreeing(&self) -> usize {
        self.limit_f.iter().zip(&self.limit_g).filter(|(f, g)| **f * **g > 0.0).count()
    }

    /// The share of certified points among those with F·G > 0; 0 if there are none.
    #[must_use]
    pub fn share_of_agreeing(&self) -> f64 {
        self.certified.iter().filter(|c| **c).count() as f64 / self.agreeing().max(1) as f64
    }
}

/// The two flow times.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Times {
    /// T, of f.
    pub first: f64,
    /// T', of g.
    pub second: f64,
}

//= A1@c6921efa
//= A3@ec4559cb
/// Certificate of the pair, A3: "with probability at least 1−δ over both networks, sgn f_T(z) = sgn g_T'(z) simultaneously
/// for every test point with e_f < T|F|, T'(|G| − σH + e_d) + e_g < T'|G| and FG > 0", σ = sgn G.
///
/// Of δ, a quarter goes to f (W9 at δ/4n_z), a half to the perturbations' direction (G8), a quarter to g (G11 at δ/4n_z).
/// Both networks have the same law: antisymmetric pairs, Rademacher readouts; identity loss, exact flow, perturbations made
/// with the gradient of the stated kind. Any data, targets, ε; scenario a or b.
///
/// Tightness and widths that certify images: proofs/README.md.
///
/// # Errors
/// Another law; shapes that do not fit; a limit gradient that is zero; T ≤ 0 or T' < 0 or not finite; targets other than ±1;
/// ε ≤ 0; δ outside (0, 1); a bound that is not finite.
#[expect(clippy::too_many_arguments, reason = "the theorem has as many hypotheses")]
pub fn pair_certificate(
    set: &TrainingSet,
    slope: Slope,
    test: &Points,
    rule: PerturbationRule<'_>,
    sliding: SlidingDerivative,
    law: NetworkLaw,
    times: Times,
    failure_probability: f64,
) -> Result<PairCertificate> {
    // Checked before it is divided, so that the message shows the user's number.
    log_share(failure_probability, 1.0)?;
    let share = failure_probability / (4.0 * test.count() as f64);
    let first = Geometry::new(set, slope, test)?;
    let gradients = GradientGeometry::new(set, slope)?;
    let trained = TrainedGradient::new(&gradients, law, times.first, sliding)?;
    let error_f = network_error_bound(&first, law, times.first, share, Tail::TowardsZero)?;
    let limit = limit_deviation_bound(&trained, rule, slope, test, 0.5 * failure_probability, Tail::TowardsZero)?;
    let second = Geometry::without_merging(&limit_set(&trained, rule)?, slope, test)?;
    let (distances, changes, time) = (&limit.distances, &limit.changes, times.second);
    let own = uniform_network_error_bound(&second, distances, changes, law, time, share, Tail::TowardsZero)?;
    let error_g = |z: usize| {
        let side = if limit.limit[z] > 0.0 { 1.0 } else { -1.0 };
        time * (side * (limit.limit[z] - limit.centre[z]) + limit.deviation[z]) + own[z]
    };
    let error_g: Vec<f64> = (0..test.count()).map(error_g).collect();
    PairCertificate::new(first.limit().to_vec(), limit.limit, error_f, error_g, times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Scenario;
    use crate::theory::bound::ReadoutLaw;
    use crate::theory::bound::tests::{assert_close, reference};

    fn certificate(
        width: usize,
        slope: Slope,
        scenario: Scenario,
        times: Times,
        delta: f64,
    ) -> Result<PairCertificate> {
        let (train, test) = reference();
        let targets: Vec<f64> = (0..12).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let rule = PerturbationRule { targets: &targets, epsilon: 0.7, scenario };
        let law = NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher)?;
        pair_certificate(&train, slope, &test, rule, SlidingDerivative::OfFlow, law, times, delta)
    }

    const TIMES: Times = Times { first: 0.5, second: 0.3 };

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, "A3": m = 10⁷, T = ½, T' = 0.3, ε = 0.7, δ = 10⁻³. The reference's grid of λ costs up
        // to 10⁻⁶ (see `error`).
        for (slope, scenario, limit, error_f, error_g, certified) in KNOWN {
            let slope = Slope::new(slope).unwrap();
            let found = certificate(10_000_000, slope, scenario, TIMES, 1e-3).unwrap();
            assert_close(&found.limit_g, &limit, 1e-11);
            assert_close(&found.error_f, &error_f, 1e-6);
            assert_close(&found.error_g, &error_g, 1e-6);
            assert_eq!(found.certified, certified);
        }
    }

    #[test]
    fn certified_points_grow_with_width_up_to_those_where_the_limits_agree() {
        let found = |power: u32| certificate(1 << power, Slope::RELU, Scenario::PerturbationOnly, TIMES, 0.01).unwrap();
        let all: Vec<PairCertificate> = (10..50).step_by(4).map(found).collect();
        assert!(all.iter().map(PairCertificate::share).is_sorted() && all[0].share() == 0.0);
        let last = all.last().unwrap();
        let agree: Vec<bool> = last.limit_f.iter().zip(&last.limit_g).map(|(f, g)| f * g > 0.0).collect();
        assert_eq!(last.certified, agree);
    }

    #[test]
    fn bad_input_is_named() {
        let scenario = Scenario::OnImage;
        assert!(certificate(10, Slope::RELU, scenario, Times { first: 0.0, second: 1.0 }, 0.1).is_err());
        assert!(certificate(10, Slope::RELU, scenario, Times { first: 1.0, second: -1.0 }, 0.1).is_err());
        let error = certificate(10, Slope::RELU, scenario, TIMES, 1.5).unwrap_err();
        assert_eq!(error.to_string(), "failure probability is 1.5; expected a number in (0, 1)");
    }

    /// Slope, scenario, G, e_f, error_g, certified.
    type Known = (f64, Scenario, [f64; 5], [f64; 5], [f64; 5], [bool; 5]);
    const KNOWN: [Known; 4] = [
        (
            0.0,
            Scenario::PerturbationOnly,
            [
                -5.3416731262565e-01,
                2.4377894636244e-01,
                -4.5755963040396e-01,
                5.4943245587309e-02,
                -1.5384818790087e-01,
            ],
            [1.6263262978208e-04, 4.6529337364593e-04, 1.4604910323628e-04, 3.4255405714609e-04, 1.8652043345727e-04],
            [6.0735233758638e-02, 5.0385082691902e-02, 5.8069141275298e-02, 4.0551775793714e-02, 4.4362241728230e-02],
            [true, true, true, false, false],
        ),
        (
            0.0,
            Scenario::OnImage,
            [
                -6.5592757936183e-01,
                1.6032901498971e-01,
                -2.3470926194779e-01,
                -2.6503465080475e-01,
                2.1888757267423e-01,
            ],
            [1.6263262978208e-04, 4.6529337364593e-04, 1.4604910323628e-04, 3.4255405714609e-04, 1.8652043345727e-04],
            [6.9006296610615e-02, 5.9387120050365e-02, 6.2869667823432e-02, 5.7107026075298e-02, 5.2403726107428e-02],
            [true, false, true, false, true],
        ),
        (
            0.3,
            Scenario::PerturbationOnly,
            [
                -6.4290105465185e-01,
                3.0725682433109e-01,
                -5.6128680028107e-01,
                7.4540492032006e-02,
                -1.9954335250468e-01,
            ],
            [1.3239052713751e-04, 4.1353469853593e-04, 1.0938711156426e-04, 3.0076107147961e-04, 1.5506184020353e-04],
            [2.8977921115690e-02, 2.7093979337100e-02, 2.6466591235833e-02, 1.7967698877820e-02, 1.2488114848200e-02],
            [true, true, true, true, false],
        ),
        (
            0.3,
            Scenario::OnImage,
            [
                -8.3424094013303e-01,
                2.6826432550514e-01,
                -3.2824404141054e-01,
                -3.2489389973120e-01,
                2.7515343786528e-01,
            ],
            [1.3239052713751e-04, 4.1353469853593e-04, 1.0938711156426e-04, 3.0076107147961e-04, 1.5506184020353e-04],
            [3.0182253682766e-02, 2.9129866885564e-02, 2.7073893899679e-02, 2.2553101521686e-02, 1.5544170880489e-02],
            [true, true, true, false, true],
        ),
    ];

    #[test]
    fn what_leaves_the_range_of_numbers_certifies_nothing() {
        let (train, test) = reference();
        let targets: Vec<f64> = (0..12).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let law = NetworkLaw::antisymmetric(1000, ReadoutLaw::Rademacher).unwrap();
        for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
            for power in (10..300).step_by(5) {
                let large = 10.0_f64.powi(power);
                for (epsilon, first, second) in [(large, 0.5, 0.3), (0.7, large, 0.3), (0.7, 0.5, large)] {
                    let rule = PerturbationRule { targets: &targets, epsilon, scenario };
                    let sliding = SlidingDerivative::OfFlow;
                    let times = Times { first, second };
                    let found = pair_certificate(&train, Slope::RELU, &test, rule, sliding, law, times, 0.01);
                    let share = found.map_or(0.0, |found| found.share());
                    assert_eq!(share, 0.0, "{scenario:?} {epsilon:e} {first:e} {second:e}");
                }
            }
        }
    }
}
