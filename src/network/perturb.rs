//! Adversarial perturbations against a network of finite width.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::linalg::{map_columns, norm_squared};
use crate::loss::Loss;
use crate::problem::{all_finite, finite_nonnegative, finite_positive, plus_minus_one};

//= N3@b26cb1af
//= K7@dea0f6f5
/// The normalised descent step of ℓ(y'_n f(x_n)) in the input, of length ε: p_n = −ε ∇_x ℓ/‖∇_x ℓ‖
/// = ε sgn(g(y'_n f(x_n))) y'_n ∇f(x_n)/‖∇f(x_n)‖.
///
/// `gradients` are ∇f at the points (d × N, one column each), `outputs` the values f(x_n). For losses with g > 0
/// (identity, logistic, exponential) the outputs do not matter; the squared loss flips the sign at margins above 1.
/// The paper's code guards the norm by 10⁻¹²; here a vanishing gradient is an error, because its direction is undefined.
///
/// # Errors
/// ε ≤ 0; numbers of outputs or targets that do not fit; an output that is not finite, a target other than ±1; a gradient
/// that is zero or not finite; a force that is zero or NaN.
pub fn adversarial_perturbations(
    gradients: &DMatrix<f64>,
    outputs: &[f64],
    targets: &[f64],
    loss: &dyn Loss,
    epsilon: f64,
) -> Result<DMatrix<f64>> {
    finite_positive("epsilon", epsilon)?;
    check(gradients, outputs, targets)?;
    let norms: Vec<f64> =
        gradients.as_slice().chunks_exact(gradients.nrows()).map(|g| norm_squared(g).sqrt()).collect();
    let signs: Vec<f64> = outputs.iter().zip(targets).map(|(f, y)| direction(loss.force(y * f))).collect();
    if let Some(index) = signs.iter().position(|sign| *sign == 0.0) {
        let (loss_name, margin) = (loss.name(), targets[index] * outputs[index]);
        let reason =
            format!("the force of the {loss_name} loss at training point {index} is zero or NaN (margin {margin:e})");
        return Err(Error::Numerical { routine: "perturbation", reason });
    }
    let undefined = |n: &usize| !(norms[*n].is_finite() && norms[*n] > 0.0);
    if let Some(index) = (0..norms.len()).find(undefined) {
        let count = (0..norms.len()).filter(undefined).count();
        return Err(Error::ZeroGradient { network: "trained network", index, norm: norms[index], count });
    }
    Ok(map_columns(gradients, |n, gradient, perturbation| {
        let (length, norm) = (epsilon * signs[n] * targets[n], norms[n]);
        perturbation.iter_mut().zip(gradient).for_each(|(p, g)| *p = length * g / norm);
    }))
}

/// The perturbations of the authors' code: as [`adversarial_perturbations`], but a norm below 10⁻¹² counts as 10⁻¹², so
/// that a point with a vanishing gradient (narrow networks have some) is not perturbed, and ε = 0 is allowed.
///
/// # Errors
/// ε < 0, infinite or NaN; numbers of outputs or targets that do not fit; an output that is not finite, a target other than
/// ±1; a gradient that is not finite; a force that is NaN.
pub fn guarded_perturbations(
    gradients: &DMatrix<f64>,
    outputs: &[f64],
    targets: &[f64],
    loss: &dyn Loss,
    epsilon: f64,
) -> Result<DMatrix<f64>> {
    finite_nonnegative("epsilon", epsilon)?;
    check(gradients, outputs, targets)?;
    // The loss's gradient is −force·y·∇f: its size counts for the guard, as in the authors' code.
    let forces: Vec<f64> = outputs.iter().zip(targets).map(|(f, y)| y * loss.force(y * f)).collect();
    if let Some(index) = forces.iter().position(|force| force.is_nan()) {
        let reason = format!("the force of the {} loss at training point {index} is NaN", loss.name());
        return Err(Error::Numerical { routine: "perturbation", reason });
    }
    let norm_of = |gradient: &[f64]| norm_squared(gradient).sqrt();
    let norms = || gradients.as_slice().chunks_exact(gradients.nrows()).map(norm_of).enumerate();
    if let Some((index, norm)) = norms().find(|(_, norm)| !norm.is_finite()) {
        let count = norms().filter(|(_, norm)| !norm.is_finite()).count();
        return Err(Error::ZeroGradient { network: "trained network", index, norm, count });
    }
    Ok(map_columns(gradients, |n, gradient, perturbation| {
        let (mut force, mut norm) = (forces[n], norm_of(gradient));
        if (force.abs() * norm).is_finite() {
            norm *= force.abs();
        } else {
            // Of a force that overflows only the sign matters.
            force = force.signum();
        }
        let scale = epsilon * force / norm.max(NORM_GUARD);
        perturbation.iter_mut().zip(gradient).for_each(|(p, g)| *p = g * scale);
    }))
}

/// What [`guarded_perturbations`] takes a smaller norm for.
const NORM_GUARD: f64 = 1e-12;

fn check(gradients: &DMatrix<f64>, outputs: &[f64], targets: &[f64]) -> Result<()> {
    for (name, found) in [("outputs", outputs.len()), ("targets", targets.len())] {
        if found != gradients.ncols() {
            let expected = format!("{}, one per gradient", gradients.ncols());
            return Err(Error::Shape { name: name.into(), found: found.to_string(), expected });
        }
    }
    if gradients.is_empty() {
        return Err(Error::Empty { name: "gradients".into(), expected: "one with one coordinate" });
    }
    all_finite("outputs", outputs)?;
    plus_minus_one("targets", targets)
}

/// The sign of a force; a force that underflowed to zero at a huge margin has none, nor has one that is not a number.
fn direction(force: f64) -> f64 {
    if force > 0.0 {
        1.0
    } else if force < 0.0 {
        -1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::StandardLoss;

    //= test N3@b26cb1af
    //= test K7@dea0f6f5
    #[test]
    fn perturbations_have_length_epsilon_and_the_targets_sign() {
        let gradients = DMatrix::from_column_slice(2, 2, &[3.0, 4.0, 0.0, -2.0]);
        let p = adversarial_perturbations(&gradients, &[0.5, 0.5], &[1.0, -1.0], &StandardLoss::Logistic, 0.5).unwrap();
        assert_eq!(p.as_slice(), [0.3, 0.4, 0.0, 0.5]);
        // Squared loss, margin 2 > 1: the descent step lowers the margin.
        let p = adversarial_perturbations(&gradients, &[2.0, 0.5], &[1.0, -1.0], &StandardLoss::Squared, 0.5).unwrap();
        assert_eq!(p.as_slice(), [-0.3, -0.4, 0.0, 0.5]);
    }

    #[test]
    fn vanishing_gradients_are_reported_not_divided_by() {
        let gradients = DMatrix::from_column_slice(2, 3, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let result = adversarial_perturbations(&gradients, &[0.0; 3], &[1.0; 3], &StandardLoss::Identity, 0.5);
        assert!(matches!(result, Err(Error::ZeroGradient { index: 1, count: 2, .. })));
        let fits = adversarial_perturbations(&gradients, &[0.0; 2], &[1.0; 3], &StandardLoss::Identity, 0.5);
        assert!(matches!(fits, Err(Error::Shape { .. })));
    }

    #[test]
    fn bad_input_is_an_error_on_both_routes() {
        let gradients = DMatrix::from_column_slice(2, 2, &[3.0, 4.0, 0.0, -2.0]);
        let nan = f64::NAN;
        let both = |gradients: &DMatrix<f64>, outputs: &[f64], targets: &[f64]| {
            let loss = StandardLoss::Logistic;
            [adversarial_perturbations, guarded_perturbations].map(|f| f(gradients, outputs, targets, &loss, 0.5))
        };
        for (outputs, targets) in [([0.1, nan], [1.0, -1.0]), ([0.1, 0.2], [1.0, nan]), ([0.1, 0.2], [1.0, 0.0])] {
            assert!(both(&gradients, &outputs, &targets).iter().all(Result::is_err), "{outputs:?} {targets:?}");
        }
        assert!(both(&DMatrix::zeros(0, 2), &[0.1; 2], &[1.0; 2]).iter().all(Result::is_err));
        let undefined = DMatrix::from_column_slice(2, 2, &[3.0, 4.0, nan, -2.0]);
        assert!(both(&undefined, &[0.1; 2], &[1.0; 2]).iter().all(Result::is_err));
    }

    #[test]
    fn a_force_of_zero_is_named_as_such() {
        let gradients = DMatrix::from_element(2, 1, 1.0);
        let found = adversarial_perturbations(&gradients, &[1.0], &[1.0], &StandardLoss::Squared, 0.5).unwrap_err();
        let known =
            "perturbation failed: the force of the squared loss at training point 0 is zero or NaN (margin 1e0)";
        assert_eq!(found.to_string(), known);
    }

    #[test]
    fn a_force_that_overflows_still_has_its_sign() {
        let gradients = DMatrix::from_column_slice(2, 2, &[3.0, 4.0, 3.0, 4.0]);
        // e^{1000} is infinite, and 2·10³⁰⁰ times a norm of 5·10¹⁰ too.
        for (output, gradients) in [(-1000.0, gradients.clone()), (-691.0, gradients * 1e10)] {
            let loss = StandardLoss::Exponential;
            let found = guarded_perturbations(&gradients, &[output, -output], &[1.0, -1.0], &loss, 0.5).unwrap();
            let expected = [0.3, 0.4, -0.3, -0.4];
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{output}: {found}");
        }
    }

    #[test]
    fn guarded_perturbations_leave_points_without_gradient_where_they_are() {
        let gradients = DMatrix::from_column_slice(2, 3, &[3.0, 4.0, 0.0, 0.0, 3e-13, 4e-13]);
        let guarded = |epsilon| {
            guarded_perturbations(&gradients, &[0.0; 3], &[1.0, 1.0, -1.0], &StandardLoss::Identity, epsilon).unwrap()
        };
        // The third norm is half the guard: half the length.
        let found = guarded(0.5);
        let expected = [0.3, 0.4, 0.0, 0.0, -0.15, -0.2];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found}");
        assert!(guarded(0.0).iter().all(|p| *p == 0.0));
        let negative = guarded_perturbations(&gradients, &[0.0; 3], &[1.0; 3], &StandardLoss::Identity, -1.0);
        assert!(negative.is_err());
    }
}
