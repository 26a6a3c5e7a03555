//! R1–R4 and D2: computed numbers against double-double arithmetic.

use std::cell::Cell;

use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::theory::bound::rounding::{derivative_dual_error_bound, rounding_factor};
use perturbation_learning::theory::bound::{
    Computed, angle_error_bound, closed_form_error_bound, dot_error_bound, parallel_angle_error_bound, refutes,
    variance_error_bound, velocity_error_bound, velocity_magnitude,
};
use perturbation_learning::theory::{Kernel, Pair, Predictor, cross_gram, kernel_variance};
use proptest::prelude::*;

use super::case::{Case, always, any_case, caught, with_test_points};
use super::common::say;
use super::double::{Double, angle, augmented_product, product};
use super::seen::Seen;

const CASES: u32 = 1000;

/// The largest observed/bound.
#[derive(Default)]
struct Largest(Cell<f64>);

impl Largest {
    /// An error if the observed value exceeds its bound; `reference` is the error of the reference itself.
    fn compare(&self, what: &str, observed: f64, bound: f64, reference: f64) -> Result<(), String> {
        let ratio = observed.abs() / bound;
        if ratio.is_finite() {
            self.0.set(self.0.get().max(ratio));
        }
        let observed = Computed { value: observed, error: reference };
        if refutes(observed, Computed { value: bound, error: 0.0 }).unwrap() {
            return Err(format!("{what}: {:e} against a bound of {bound:e}", observed.value));
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        say(format_args!("{what}: observed/bound at most {:.4}", self.0.get()));
    }
}

/// |x|ᵀ|z| + 1.
fn absolute_product(x: &[f64], z: &[f64]) -> f64 {
    x.iter().zip(z).map(|(x, z)| (x * z).abs()).sum::<f64>() + 1.0
}

/// R1 for ⟨x,z⟩ + 1 as the theory forms it, and for ⟨w̃,x̃⟩ as the network does.
fn dots(case: &Case, terms: f64, largest: &Largest) -> Result<(), String> {
    let points = case.train.points();
    let length = (terms * (points.input_dim() + 1) as f64) as usize;
    for z in case.test.iter() {
        for x in points.iter() {
            let error = (Double::from(Pair::new(x, z).augmented_product()) - augmented_product(x, z)).value();
            // The reference errs by 2⁻¹⁰⁰ of the magnitude, a share 2⁻⁴⁷ of u.
            let size = absolute_product(x, z);
            largest.compare("⟨x,z⟩ + 1", error, dot_error_bound(length, size), 2_f64.powi(-98) * size)?;
        }
    }
    let seen = Seen::new(case);
    for neuron in &seen.neurons {
        for (n, x) in points.iter().enumerate() {
            let (weights, bias) = (&neuron.weights[..x.len()], neuron.weights[x.len()]);
            let exact = x.iter().zip(weights).map(|(x, w)| product(*x, *w)).sum::<Double>() + bias.into();
            let error = (Double::from(neuron.train[n].preactivation.0) - exact).value();
            let size = absolute_product(x, weights) - 1.0 + bias.abs();
            largest.compare("⟨w̃,x̃⟩", error, dot_error_bound(length, size), 2_f64.powi(-98) * size)?;
        }
    }
    Ok(())
}

/// One large product and then many that each round away: as bad as sixteen running sums can be made.
fn adversarial_dot(length: usize, terms: usize) -> Result<f64, String> {
    let small = 0.9 * f64::EPSILON / 2.0;
    let mut x = vec![small; length];
    x[..16].fill(1.0);
    let z = vec![1.0; length];
    let error = (Double::from(Pair::new(&x, &z).augmented_product()) - augmented_product(&x, &z)).value();
    let bound = dot_error_bound(terms, absolute_product(&x, &z));
    if error.abs() <= bound { Ok(error.abs() / bound) } else { Err(format!("{error:e} against {bound:e}")) }
}

//= test R1@171716b3
#[test]
fn dot_products_err_by_less_than_their_bound() {
    let largest = Largest::default();
    always(CASES, any_case(), |case| dots(case, 1.0, &largest));
    largest.say("R1 dot products, any data");
    say(format_args!("R1 dot products, worst data: observed/bound {:.3}", adversarial_dot(4000, 4001).unwrap()));
}

//= power R1@171716b3
#[test]
fn dot_products_err_by_more_than_a_bound_without_their_length() {
    adversarial_dot(4000, 1).unwrap_err();
    // No rounding at all: any data refute that.
    assert!(caught(CASES, any_case(), |case| dots(case, 0.0, &Largest::default())).is_some());
}

/// R2: velocities at time 0 and, after all updates, at time T, at the test points.
fn velocities(case: &Case, share: f64, largest: &Largest) -> Result<(), String> {
    let seen = Seen::new(case);
    let (d, count) = (case.train.input_dim(), case.train.count());
    for (j, z) in case.test.iter().enumerate() {
        let products: Vec<Double> = case.train.points().iter().map(|x| augmented_product(x, z)).collect();
        let velocity = |derivative: &dyn Fn(usize) -> f64| -> Double {
            let terms = products.iter().zip(case.train.labels()).enumerate();
            terms.map(|(n, (k, y))| Double::from(y * derivative(n)) * *k).sum()
        };
        let size = seen.scales_test[j].1;
        for neuron in &seen.neurons {
            let initial = |n: usize| case.slope.derivative(neuron.train[n].preactivation.0);
            let error = product(neuron.test[j].velocity, count as f64) - velocity(&initial);
            let bound = share * velocity_error_bound(d, count, 0, size);
            largest.compare("V at time 0", error.value() / count as f64, bound, 2_f64.powi(-90) * size)?;
            let last = |n: usize| neuron.final_derivatives[n];
            let exact = velocity(&last) * neuron.readout.into();
            let error = product(neuron.final_speeds[j], count as f64) - exact;
            let q = neuron.readout.abs();
            let bound = share * q * velocity_error_bound(d, count, neuron.updates, size);
            largest.compare("a·V at time T", error.value() / count as f64, bound, 2_f64.powi(-90) * q * size)?;
        }
    }
    Ok(())
}

//= test R2@f9726a5a
#[test]
fn velocities_err_by_less_than_their_bound() {
    let largest = Largest::default();
    always(CASES, any_case(), |case| velocities(case, 1.0, &largest));
    largest.say("R2 velocities");
}

//= power R2@f9726a5a
#[test]
fn velocities_err_by_more_than_a_hundredth_of_their_bound() {
    assert!(caught(CASES, any_case(), |case| velocities(case, 0.01, &Largest::default())).is_some());
}

/// Points whose products do not overflow where the reference squares them.
fn moderate(train: &TrainingSet, test: &Points) -> bool {
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    train.points().iter().chain(test.iter()).all(|x| norm(x) < 1e30)
}

/// How the angle is computed.
type Angle<'a> = &'a dyn Fn(&[f64], &[f64]) -> (f64, f64);

/// R3 for pairs, and for the Gram matrices by Φ.
fn angles(train: &TrainingSet, test: &Points, route: Angle<'_>, largest: &Largest) -> Result<(), String> {
    if !moderate(train, test) {
        return Ok(());
    }
    let d = train.input_dim();
    // The reference is good to 16 units.
    let reference = 16.0 * f64::EPSILON;
    for slope in [0.0, 0.4] {
        let slope = Slope::new(slope).unwrap();
        let gram = cross_gram(Kernel::DerivativeDual, slope, train.points(), test);
        for (j, z) in test.iter().enumerate() {
            for (n, x) in train.points().iter().enumerate() {
                let (theta, supplement) = angle(x, z);
                let found = route(x, z);
                largest.compare("θ", found.0 - theta, angle_error_bound(d), reference)?;
                largest.compare("π − θ", found.1 - supplement, angle_error_bound(d), reference)?;
                let g = slope.value();
                let dual = g + (1.0 - g).powi(2) * supplement / (2.0 * std::f64::consts::PI);
                let bound = derivative_dual_error_bound(d, slope, dual);
                largest.compare("Φ", gram[(n, j)] - dual, bound, reference)?;
            }
        }
    }
    Ok(())
}

fn of_pair(x: &[f64], z: &[f64]) -> (f64, f64) {
    let pair = Pair::new(x, z);
    (pair.angle(), pair.supplement())
}

/// The fault: the arccosine of the rounded cosine.
fn of_arccosine(x: &[f64], z: &[f64]) -> (f64, f64) {
    let square = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64 + 1.0;
    let inner = x.iter().zip(z).map(|(x, z)| x * z).sum::<f64>() / x.len() as f64 + 1.0;
    let theta = (inner / (square(x) * square(z)).sqrt()).clamp(-1.0, 1.0).acos();
    (theta, std::f64::consts::PI - theta)
}

//= test R3@6caf78f1
#[test]
fn angles_err_by_less_than_their_bound() {
    let largest = Largest::default();
    always(CASES, with_test_points(), |(train, test)| angles(train, test, &of_pair, &largest));
    largest.say("R3 angles");
}

//= power R3@6caf78f1
#[test]
fn angles_by_the_arccosine_err_by_more() {
    let check = |(train, test): &(TrainingSet, Points)| angles(train, test, &of_arccosine, &Largest::default());
    assert!(caught(CASES, with_test_points(), check).is_some());
}

/// R3 for nearly parallel inputs: z = x(1 + η) plus a part perpendicular to x, of about the same effect on the angle.
fn parallel(
    (x, log_norm, log_step, log_part): &(Vec<f64>, f64, f64, f64),
    share: f64,
    largest: &Largest,
) -> Result<(), String> {
    let norm = |x: &[f64]| x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (d, size) = (x.len(), norm(x));
    if size < 1e-3 {
        return Ok(());
    }
    let x: Vec<f64> = x.iter().map(|v| v / size * 10_f64.powf(*log_norm) * (d as f64).sqrt()).collect();
    let (step, part) = (10_f64.powf(*log_step), 10_f64.powf(*log_step + *log_part - *log_norm));
    // (−x₂, x₁, 0, …) is perpendicular to x.
    let aside = |i: usize| {
        if i == 0 {
            -x[1]
        } else if i == 1 {
            x[0]
        } else {
            0.0
        }
    };
    let z: Vec<f64> = (0..d).map(|i| x[i] * (1.0 + step) + part * aside(i)).collect();
    let exact = angle(&x, &z).0;
    if exact == 0.0 {
        return Ok(());
    }
    let bound = share * parallel_angle_error_bound(d, norm(&x).max(norm(&z)));
    largest.compare("θ, relatively", Pair::new(&x, &z).angle() / exact - 1.0, bound, 16.0 * f64::EPSILON)
}

fn nearly_parallel() -> impl Strategy<Value = (Vec<f64>, f64, f64, f64)> {
    (2..6_usize)
        .prop_flat_map(|d| (prop::collection::vec(-1.0..1.0_f64, d), 0.0..8.0_f64, -9.0..-1.0_f64, -2.0..2.0_f64))
}

//= test R3@6caf78f1
#[test]
fn angles_of_nearly_parallel_inputs_keep_their_relative_accuracy() {
    let largest = Largest::default();
    always(CASES, nearly_parallel(), |case| parallel(case, 1.0, &largest));
    largest.say("R3 nearly parallel inputs, relatively");
}

//= power R3@6caf78f1
/// The fault: a bound that does not grow with the norm.
#[test]
fn angles_of_long_inputs_do_not_keep_the_accuracy_of_short_ones() {
    let check = |case: &(Vec<f64>, f64, f64, f64)| parallel(case, 10_f64.powf(-case.1), &Largest::default());
    assert!(caught(CASES, nearly_parallel(), check).is_some());
}

/// R4: F summed from exact products and angles.
fn limits(train: &TrainingSet, test: &Points, slope: f64, share: f64, largest: &Largest) -> Result<(), String> {
    if !moderate(train, test) {
        return Ok(());
    }
    let (slope, n) = (Slope::new(slope).unwrap(), train.count() as f64);
    let found = Predictor::identity(train, slope, 1.0).unwrap().values(test).unwrap();
    let bounds = closed_form_error_bound(train, slope, test).unwrap();
    let g = slope.value();
    for ((z, found), bound) in test.iter().zip(found).zip(bounds) {
        let terms = train.points().iter().zip(train.labels()).map(|(x, y)| {
            let dual = g + (1.0 - g).powi(2) * angle(x, z).1 / (2.0 * std::f64::consts::PI);
            Double::from(y * dual) * augmented_product(x, z)
        });
        let error = product(found, n) - terms.sum();
        // Each reference dual errs by 16ε/(2π) + 4u at most.
        let sizes = train.points().iter().map(|x| absolute_product(x, z));
        let reference = 5.0 * f64::EPSILON * sizes.sum::<f64>() / n;
        largest.compare("F", error.value() / n, share * bound, reference)?;
    }
    Ok(())
}

//= test R4@ddf1edc0
#[test]
fn limits_err_by_less_than_their_bound() {
    let largest = Largest::default();
    let strategy = (with_test_points(), 0.0..0.99_f64);
    always(CASES, strategy, |((train, test), slope)| limits(train, test, *slope, 1.0, &largest));
    largest.say("R4 limit of the function");
}

/// R4 for the variance: D7 with exact angles, summed in double-double.
fn variances(train: &TrainingSet, test: &Points, slope: f64, share: f64, largest: &Largest) -> Result<(), String> {
    if !moderate(train, test) {
        return Ok(());
    }
    let (slope, n, d) = (Slope::new(slope).unwrap(), train.count(), train.input_dim());
    let found = kernel_variance(train, slope, test, 3.0).unwrap();
    let (g, step) = (slope.value(), 1.0 - slope.value());
    let both = |x: &[f64], z: &[f64]| angle(x, z).1 / std::f64::consts::TAU;
    for (z, found) in test.iter().zip(found) {
        let points: Vec<&[f64]> = train.points().iter().collect();
        let on_z: Vec<f64> = points.iter().map(|x| both(x, z)).collect();
        let pull = |j: usize| augmented_product(points[j], z) * train.labels()[j].into();
        let (mut second, mut limit) = (Double::default(), Double::default());
        for j in 0..n {
            limit = limit + pull(j) * (g + step * step * on_z[j]).into();
            for k in 0..n {
                let pair = both(points[j], points[k]);
                let all = 0.5 * (pair + on_z[j] + on_z[k]) - 0.25;
                let positive = 0.5 * g * g + g * step * (on_z[j] + on_z[k]) + step * step * all;
                let moment = g * g * (g + step * step * pair) + (1.0 - g * g) * positive;
                second = second + pull(j) * pull(k) * moment.into();
            }
        }
        let error = product(found, (n * n) as f64) - (second * 3.0.into() - limit * limit);
        let size = velocity_magnitude(train.points(), z);
        // Reference moments err by 20ε, three angles of 16ε/(2π) and a dozen operations on numbers below 1.
        let reference = (3.0 + 2.0) * 20.0 * f64::EPSILON * size * size;
        largest.compare(
            "Var X",
            error.value() / (n * n) as f64,
            share * variance_error_bound(d, n, size, 3.0),
            reference,
        )?;
    }
    Ok(())
}

//= test R4@ddf1edc0
#[test]
fn variances_err_by_less_than_their_bound() {
    let largest = Largest::default();
    let strategy = (with_test_points(), 0.0..0.99_f64);
    always(CASES, strategy, |((train, test), slope)| variances(train, test, *slope, 1.0, &largest));
    largest.say("R4 variance of the kernel");
}

//= power R4@ddf1edc0
/// The fault: a limit whose angles come from the arccosine; and a bound that forgets the angles.
#[test]
fn limits_by_the_arccosine_err_by_more() {
    let check = |(train, test): &(TrainingSet, Points)| {
        if !moderate(train, test) {
            return Ok(());
        }
        let bounds = closed_form_error_bound(train, Slope::RELU, test).unwrap();
        let limit = |z: &[f64], route: Angle<'_>| -> f64 {
            let terms = train
                .points()
                .iter()
                .zip(train.labels())
                .map(|(x, y)| y * route(x, z).1 / (2.0 * std::f64::consts::PI) * augmented_product(x, z).value());
            terms.sum::<f64>() / train.count() as f64
        };
        for (z, bound) in test.iter().zip(bounds) {
            let error = limit(z, &of_arccosine) - limit(z, &angle);
            // The plain sums round as the crate's do.
            Largest::default().compare("F", error, bound, bound)?;
        }
        Ok(())
    };
    assert!(caught(CASES, with_test_points(), check).is_some());
}

/// D2: Φ from θ and π − θ, both with small relative error, keeps it.
fn conditioning(x: f64, log: f64, slope: f64, supplement: impl Fn(&Pair) -> f64) -> Result<f64, String> {
    // Nearly antiparallel augmented inputs in one dimension: x large, z = −x·10^log.
    let pair = Pair::new(&[x], &[-x * 10_f64.powf(log)]);
    let slope = Slope::new(slope).unwrap();
    let g = slope.value();
    let weight = Double::from(1.0) + product(g, g);
    let exact = weight * pair.supplement().into() + product(2.0 * g, pair.angle());
    // 2π to 106 bits.
    let full_turn = Double::from(std::f64::consts::TAU) + 2.449_293_598_294_706_4e-16.into();
    let found = if supplement(&pair) == pair.supplement() {
        pair.derivative_dual(slope)
    } else {
        ((1.0 + g * g) * supplement(&pair) + 2.0 * g * pair.angle()) / std::f64::consts::TAU
    };
    let error = (Double::from(found) * full_turn - exact).value() / exact.value();
    let bound = rounding_factor(7.0);
    if error.abs() <= bound { Ok(error.abs() / bound) } else { Err(format!("{error:e} relative, bound {bound:e}")) }
}

fn nearly_antiparallel() -> impl Strategy<Value = (f64, f64, f64)> {
    ((2.0..8.0_f64).prop_map(|log| 10_f64.powf(log)), -1.0..1.0_f64, prop_oneof![Just(0.0), 0.0..0.99_f64])
}

//= test D2@843b7da3
#[test]
fn duals_keep_the_relative_accuracy_of_both_angles() {
    let largest = Largest::default();
    always(CASES, nearly_antiparallel(), |&(x, log, slope)| {
        conditioning(x, log, slope, Pair::supplement).map(|ratio| largest.0.set(largest.0.get().max(ratio)))
    });
    largest.say("D2 conditioning");
}

//= power D2@843b7da3
#[test]
fn duals_of_a_subtracted_supplement_lose_it() {
    let subtracted = |pair: &Pair| std::f64::consts::PI - pair.angle();
    let check = |&(x, log, slope): &(f64, f64, f64)| conditioning(x, log, slope, subtracted).map(|_| ());
    assert!(caught(CASES, nearly_antiparallel(), check).is_some());
}
