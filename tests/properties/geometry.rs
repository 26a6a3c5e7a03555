//! D5, D6 and P2 on data of every kind.

use std::cell::Cell;
use std::f64::consts::PI;

use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::theory::bound::rounding::rounding_factor;
use perturbation_learning::theory::bound::{
    Computed, angle_change_bound, angle_error_bound, boundary_term_bound, direction_angle_bound, refutes,
    unit_vector_change_bound,
};
use perturbation_learning::theory::{Pair, Predictor};

use super::case::{always, caught, with_test_points};
use super::common::say;

const CASES: u32 = 1000;

fn norm(x: &[f64]) -> f64 {
    // Scaled, so that tiny coordinates do not underflow.
    let scale = x.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    if scale == 0.0 { 0.0 } else { scale * x.iter().map(|v| (v / scale).powi(2)).sum::<f64>().sqrt() }
}

fn difference(x: &[f64], z: &[f64]) -> Vec<f64> {
    x.iter().zip(z).map(|(x, z)| x - z).collect()
}

/// How far the rounding of the argument moves 2 arcsin(·) = `angle`: magnified where the arcsine is steep.
fn arcsine_error(angle: f64) -> f64 {
    let argument = rounding_factor(40.0);
    2.0 * (argument / (0.5 * angle).cos().max(0.0)).min((2.0 * argument).sqrt())
}

fn check(what: &str, observed: f64, error: f64, bound: f64, largest: &Cell<f64>) -> Result<(), String> {
    // Bounds are a dozen operations and a norm of at most six coordinates.
    let bound_error = rounding_factor(40.0) * bound;
    if bound > 1e3 * error {
        largest.set(largest.get().max(observed / bound));
    }
    if refutes(Computed { value: observed, error }, Computed { value: bound, error: bound_error }).unwrap() {
        return Err(format!("{what}: {observed:e} exceeds {bound:e}"));
    }
    Ok(())
}

/// D5 for all pairs of points and all third points, D6 for all pairs; `share` below 1 is a fault.
fn angles((train, test): &(TrainingSet, Points), share: f64, largest: &Cell<f64>) -> Result<(), String> {
    let points: Vec<&[f64]> = train.points().iter().chain(test.iter()).collect();
    let d = train.input_dim();
    let s = |x: &[f64]| (norm(x) / (d as f64).sqrt()).hypot(1.0);
    for (i, r) in points.iter().enumerate() {
        for moved in &points[..i] {
            let distance = norm(&difference(r, moved));
            let bound = angle_change_bound(distance, d, s(r), s(moved)).unwrap();
            let (bound, steep) = (share * bound, share * arcsine_error(bound));
            check("D5", Pair::new(r, moved).angle(), angle_error_bound(d) + steep, bound, largest)?;
            for z in &points {
                let change = (Pair::new(r, z).angle() - Pair::new(moved, z).angle()).abs();
                check("D5 against a third point", change, 2.0 * angle_error_bound(d) + steep, bound, largest)?;
            }
            let (a, b) = (norm(r), norm(moved));
            if a == 0.0 || b == 0.0 {
                continue;
            }
            let unit = |x: &[f64], norm: f64| x.iter().map(|v| v / norm).collect::<Vec<f64>>();
            let apart = norm(&difference(&unit(r, a), &unit(moved, b)));
            // Each unit vector errs by d + 6 roundings of its length 1, their distance by d + 7 of its length, at most 2.
            let error = 4.0 * rounding_factor((d + 8) as f64);
            check("D6", apart, error, share * unit_vector_change_bound(distance, a, b).unwrap(), largest)?;
            if distance < a {
                let angle = direction_angle_bound(distance, a).unwrap();
                let (bound, steep) = (share * 2.0 * (0.5 * angle).sin(), share * arcsine_error(2.0 * angle));
                check("D6, second part", apart, error + steep, bound, largest)?;
            }
        }
    }
    Ok(())
}

//= test D5@64d6b4f8
//= test D6@aa7af61c
#[test]
fn angles_and_unit_vectors_change_by_at_most_their_bounds() {
    let largest = Cell::new(0.0);
    always(CASES, with_test_points(), |case| angles(case, 1.0, &largest));
    say(format_args!("D5, D6: observed/bound at most {:.9}", largest.get()));
}

//= power D5@64d6b4f8
//= power D6@aa7af61c
#[test]
fn bounds_on_angles_that_are_a_tenth_smaller_are_exceeded() {
    let largest = Cell::new(0.0);
    let taken = caught(CASES, with_test_points(), |case| angles(case, 0.9, &largest));
    assert!(taken.is_some(), "bounds that are too small pass");
}

/// The boundary term's own rounding: a summand (1−γ)²/(2πd) C_k (x_k − (1+c)x/s²)/(s s_k sin θ) errs by its relative
/// error in the sine (R3, proof) and the roundings of the difference.
fn boundary_error(train: &TrainingSet, slope: Slope, x: &[f64]) -> f64 {
    let d = x.len() as f64;
    let square = 1.0 + norm(x).powi(2) / d;
    let terms = train.points().iter().filter(|point| *point != x).map(|point| {
        let sine = norm(&difference(point, x)) / d.sqrt();
        let (long, length) = (norm(point).max(norm(x)), norm(point) * norm(x));
        let roundings = rounding_factor(132.0 * d + train.count() as f64 + 600.0) * (1.0 + long / d.sqrt());
        (length + 1.0) * roundings * (norm(point) + (1.0 + length / d) * norm(x) / square) / sine
    });
    (1.0 - slope.value()).powi(2) / (2.0 * PI * d) * terms.sum::<f64>() / train.count() as f64
}

/// P2 at the test points; `share` below 1 is a fault.
fn boundary((train, test): &(TrainingSet, Points), slope: f64, share: f64, largest: &Cell<f64>) -> Result<(), String> {
    let slope = Slope::new(slope).unwrap();
    let term = Predictor::identity(train, slope, 1.0).unwrap().boundary_term(test).unwrap();
    let bounds = boundary_term_bound(train, slope, test).unwrap();
    for ((x, bound), column) in test.iter().zip(bounds).zip(term.column_iter()) {
        let observed = norm(column.as_slice());
        check("P2", observed, boundary_error(train, slope, x), share * bound, largest)?;
    }
    Ok(())
}

//= test P2@511439b2
#[test]
fn boundary_terms_are_at_most_their_bound() {
    let largest = Cell::new(0.0);
    let strategy = (with_test_points(), 0.0..0.99_f64);
    always(CASES, strategy, |(case, slope)| boundary(case, *slope, 1.0, &largest));
    say(format_args!("P2 boundary term: observed/bound at most {:.6}", largest.get()));
}

//= power P2@511439b2
#[test]
fn bounds_on_the_boundary_term_that_are_a_tenth_smaller_are_exceeded() {
    let largest = Cell::new(0.0);
    let check = |(case, slope): &((TrainingSet, Points), f64)| boundary(case, *slope, 0.9, &largest);
    assert!(caught(CASES, (with_test_points(), 0.0..0.99_f64), check).is_some());
}
