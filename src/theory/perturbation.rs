//! The infinite-width perturbation, and the training set of the perturbation-trained limit G.

use nalgebra::DMatrix;

use super::Predictor;
use crate::error::{Error, Result};
use crate::linalg::{map_columns, norm_squared};
use crate::problem::{Points, Scenario, TrainingSet, finite_positive, plus_minus_one};

//= N3@b26cb1af
/// p_n = ε y'_n ∇_n/‖∇_n‖ for gradients given as the columns of a d × N matrix.
///
/// This is the normalised descent direction of ℓ(y'_n f) for every loss with g > 0 (identity, logistic, exponential); for
/// the squared loss at margins above 1 the sign of the descended perturbation would be the opposite.
///
/// # Errors
/// ε ≤ 0; a different number of targets, or one other than ±1; no gradients; one that is zero or not finite.
pub fn perturbations(gradients: &DMatrix<f64>, targets: &[f64], epsilon: f64) -> Result<DMatrix<f64>> {
    finite_positive("epsilon", epsilon)?;
    if targets.len() != gradients.ncols() {
        let expected = format!("{}, one per gradient", gradients.ncols());
        return Err(Error::Shape { name: "targets".into(), found: targets.len().to_string(), expected });
    }
    plus_minus_one("targets", targets)?;
    if gradients.is_empty() {
        return Err(Error::Empty { name: "gradients".into(), expected: "one with one coordinate" });
    }
    let norms: Vec<f64> =
        gradients.as_slice().chunks_exact(gradients.nrows()).map(|g| norm_squared(g).sqrt()).collect();
    let undefined = |norm: &f64| !(norm.is_finite() && *norm > 0.0);
    if let Some(index) = norms.iter().position(undefined) {
        let count = norms.iter().filter(|norm| undefined(norm)).count();
        return Err(Error::ZeroGradient { network: "limit function", index, norm: norms[index], count });
    }
    let scales: Vec<f64> = targets.iter().zip(&norms).map(|(y, norm)| epsilon * y / norm).collect();
    Ok(map_columns(gradients, |n, gradient, perturbation| {
        perturbation.iter_mut().zip(gradient).for_each(|(p, g)| *p = g * scales[n]);
    }))
}

//= N3@b26cb1af
/// r_n = p_n (scenario a) or x_n + p_n (scenario b).
///
/// # Errors
/// Shapes that do not fit; a result that is not finite.
pub fn perturbed_points(points: &Points, perturbations: &DMatrix<f64>, scenario: Scenario) -> Result<Points> {
    if perturbations.shape() != points.as_columns().shape() {
        return Err(Error::Shape {
            name: "perturbations".into(),
            found: format!("{} × {}", perturbations.ncols(), perturbations.nrows()),
            expected: format!("{} × {}", points.count(), points.input_dim()),
        });
    }
    let moved = match scenario {
        Scenario::PerturbationOnly => map_columns(perturbations, |_, from, to| to.copy_from_slice(from)),
        Scenario::OnImage => map_columns(perturbations, |n, from, to| {
            to.iter_mut().zip(points.point(n)).zip(from).for_each(|((r, x), p)| *r = x + p);
        }),
    };
    Points::from_columns("perturbed points", moved)
}

//= G1@081005ba
//= A4@b63db7f1
//= A5@1ae712df
/// The training set (r_n^∞, y'_n) of the perturbation-trained limit: perturbations along T∇F, plus ∇f_0 where the
/// network does not start from zero (`initial_gradients`, d × N).
///
/// # Errors
/// As [`perturbations`] and [`perturbed_points`].
pub fn limit_training_set(
    f: &Predictor,
    points: &Points,
    targets: &[f64],
    epsilon: f64,
    scenario: Scenario,
    initial_gradients: Option<&DMatrix<f64>>,
) -> Result<TrainingSet> {
    limit_training_set_along(f.gradient(points)?, points, targets, epsilon, scenario, initial_gradients)
}

/// The same for gradients T∇F at the points (d × N) that are already known.
///
/// # Errors
/// As [`perturbations`] and [`perturbed_points`]; initial gradients of another shape.
pub fn limit_training_set_along(
    mut gradients: DMatrix<f64>,
    points: &Points,
    targets: &[f64],
    epsilon: f64,
    scenario: Scenario,
    initial_gradients: Option<&DMatrix<f64>>,
) -> Result<TrainingSet> {
    if let Some(initial) = initial_gradients {
        if initial.shape() != gradients.shape() {
            return Err(Error::Shape {
                name: "initial gradients".into(),
                found: format!("{} × {}", initial.ncols(), initial.nrows()),
                expected: format!("{} × {}", gradients.ncols(), gradients.nrows()),
            });
        }
        gradients += initial;
    }
    let perturbations = perturbations(&gradients, targets, epsilon)?;
    TrainingSet::new(perturbed_points(points, &perturbations, scenario)?, targets.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_that_do_not_fit_are_errors() {
        let points = Points::from_rows("x", 3, 2, vec![1.0; 6]).unwrap();
        let along = |initial: &DMatrix<f64>| {
            let (gradients, targets) = (DMatrix::from_element(2, 3, 1.0), [1.0, -1.0, 1.0]);
            limit_training_set_along(gradients, &points, &targets, 0.5, Scenario::OnImage, Some(initial))
        };
        assert!(along(&DMatrix::zeros(2, 3)).is_ok());
        for (rows, columns) in [(3, 2), (2, 2), (0, 0)] {
            assert!(matches!(along(&DMatrix::zeros(rows, columns)), Err(Error::Shape { .. })), "{rows} × {columns}");
        }
        assert!(matches!(perturbations(&DMatrix::zeros(0, 3), &[1.0; 3], 0.5), Err(Error::Empty { .. })));
        for bad in [f64::NAN, 0.0, 2.0] {
            let found = perturbations(&DMatrix::from_element(2, 2, 1.0), &[1.0, bad], 0.5);
            assert!(matches!(found, Err(Error::Label { row: 1, .. })), "{bad}");
        }
    }
}
