//! The sign of the second network, certified before it is drawn: A2.

use super::error::{Tail, initial_output_bound, network_error_bound};
use super::{Geometry, NetworkLaw};
use crate::error::{Error, Result};
use crate::problem::{Points, Slope, TrainingSet};

/// What is known about g at the test points before its initialisation is drawn.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Certificate {
    /// T'·G_r(z): the limit of g *given its training inputs*, per test point.
    pub limit: Vec<f64>,
    /// e_g + e_0: how far towards 0 (and, for e_0, to either side) g may deviate from it, per test point.
    pub error: Vec<f64>,
    /// Whether sgn g(z) = sgn f(z) is certified; all certified points hold at once with probability ≥ 1 − δ.
    pub certified: Vec<bool>,
}

impl Certificate {
    /// The share of certified test points.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.certified.iter().filter(|c| **c).count() as f64 / self.certified.len() as f64
    }
}

//= A1@c6921efa
//= A2@1a0181ad
/// Certificate given the first network, A2: "let f be any network (any width, loss, training), r̂ the perturbed inputs
/// made from it. C = {i: e_g(z_i) + e_0(z_i) < T'|G_r̂(z_i)|, sgn G_r̂(z_i) = sgn f(z_i)}, with e_g of G2 at δ/n_z per
/// point, e_0 = 0 for `Antisymmetric` g, else W11 with its share of δ. C is known before g is drawn, and with probability
/// ≥ 1 − δ over g: sgn g(z_i) = sgn f(z_i) for all i ∈ C simultaneously."
///
/// Inputs: `perturbed`, the training set (r̂_n, y'_n) of g exactly as it is trained on; slope; test points; `first`, f at
/// the test points (only signs count; 0 is never certified); the law of g; its flow time T'; δ for all test points
/// together. e_g is [`network_error_bound`] towards 0 (G2); for `Standard` g half of δ goes to W11. The probability is over g's
/// initialisation only: it says nothing about inputs other than the ones given (that is A3).
///
/// Tightness: that of W9. Widths that certify 90% of images' points with FG > 0: proofs/README.md.
///
/// # Errors
/// Test points of another dimension; another number of values of f; NaN among them; T' < 0 or not finite; δ outside (0, 1).
pub fn certificate_given_f(
    perturbed: &TrainingSet,
    slope: Slope,
    test: &Points,
    first: &[f64],
    law: NetworkLaw,
    time_perturbed: f64,
    failure_probability: f64,
) -> Result<Certificate> {
    if first.len() != test.count() {
        return Err(Error::Shape {
            name: "values of f".into(),
            found: first.len().to_string(),
            expected: format!("{}, one per test point", test.count()),
        });
    }
    if let Some(row) = first.iter().position(|f| f.is_nan()) {
        return Err(Error::NotFinite { name: "values of f".into(), row, column: 0, value: first[row] });
    }
    // Checked before it is divided, so that the message shows the user's number.
    super::error::log_share(failure_probability, 1.0)?;
    let geometry = Geometry::new(perturbed, slope, test)?;
    let events = test.count() as f64 * if law.starts_at_zero() { 1.0 } else { 2.0 };
    let share = failure_probability / events;
    let trained = network_error_bound(&geometry, law, time_perturbed, share, Tail::TowardsZero)?;
    let initial = initial_output_bound(test, slope, law, share)?;
    let limit: Vec<f64> = geometry.limit().iter().map(|g| time_perturbed * g).collect();
    let error: Vec<f64> = trained.iter().zip(initial).map(|(e, initial)| e + initial).collect();
    let certified = limit.iter().zip(&error).zip(first).map(|((g, e), f)| *e < g.abs() && g * f > 0.0).collect();
    Ok(Certificate { limit, error, certified })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::bound::ReadoutLaw;
    use crate::theory::bound::tests::reference;

    fn certificate(law: NetworkLaw, first: &[f64], delta: f64) -> Result<Certificate> {
        let (train, test) = reference();
        certificate_given_f(&train, Slope::RELU, &test, first, law, 0.2, delta)
    }

    fn paired(width: usize) -> NetworkLaw {
        NetworkLaw::antisymmetric(width, ReadoutLaw::Rademacher).unwrap()
    }

    #[test]
    fn known_answers_of_the_reference() {
        // checks/known_answers.py, slope 0, Rademacher: F·T = −.0217, .0872, −.0092, .0618, .0274; "ef, one tail" at
        // δ = 10⁻³ per point: .0077, .0176, .0071, .0136, .0089. With δ = 5·10⁻³ for five points these are the errors.
        let found = certificate(paired(1000), &[-1.0, 1.0, 1.0, 1.0, f64::INFINITY], 5e-3).unwrap();
        assert_eq!(found.certified, vec![true, true, false, true, true], "the third sign is wrong");
        assert_eq!(found.share(), 0.8);
        let known =
            [6.5635249406994e-03, 1.6032930362430e-02, 6.0312428727922e-03, 1.2248477619453e-02, 7.5076601340099e-03];
        for (found, known) in found.error.iter().zip(known) {
            // The reference's grid of λ costs up to 10⁻⁶ (see `error`).
            assert!(*found <= known * (1.0 + 1e-12) && *found >= known * (1.0 - 1e-6), "{found:e} {known:e}");
        }
    }

    #[test]
    fn certified_points_grow_with_width_and_failure_probability() {
        let first = [-1.0, 1.0, -1.0, 1.0, 1.0];
        let count = |width, delta| certificate(paired(width), &first, delta).unwrap().share();
        let shares: Vec<f64> = (2..14).map(|power| count(1 << power, 0.01)).collect();
        assert!(shares.is_sorted() && shares[0] == 0.0 && shares[11] == 1.0, "{shares:?}");
        assert!(count(200, 0.5) >= count(200, 1e-6));
        // The output at initialisation does not shrink with width, and exceeds this limit.
        let standard = NetworkLaw::standard(1 << 20, ReadoutLaw::Rademacher).unwrap();
        assert_eq!(certificate(standard, &first, 0.01).unwrap().share(), 0.0);
    }

    #[test]
    fn zeros_are_not_certified_and_bad_input_is_named() {
        assert_eq!(certificate(paired(100_000), &[0.0; 5], 0.01).unwrap().share(), 0.0);
        assert!(certificate(paired(10), &[1.0; 4], 0.01).is_err());
        assert!(certificate(paired(10), &[f64::NAN; 5], 0.01).is_err());
        let error = certificate(paired(10), &[1.0; 5], 1.5).unwrap_err();
        assert_eq!(error.to_string(), "failure probability is 1.5; expected a number in (0, 1)");
    }
}
