//! Closed forms and predictors: known answers from 60-digit arithmetic, properties, and independent slow routes.

#[path = "common/skewed.rs"]
mod skewed;

use nalgebra::{DMatrix, DVector};
use perturbation_learning::error::Error;
use perturbation_learning::loss::{Loss, StandardLoss};
use perturbation_learning::problem::{Horizon, Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::{mean_interval, student_quantile};
use perturbation_learning::theory::predict::DEFAULT_TOLERANCE;
use perturbation_learning::theory::{
    Kernel, Pair, Predictor, SquaredLossFlow, cross_gram, gram, kernel_variance, limit_training_set, perturbations,
    reference,
};
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

const KERNELS: [Kernel; 4] = [Kernel::DerivativeDual, Kernel::ValueDual, Kernel::Ntk, Kernel::NtkBothLayers];

fn gaussian_points(seed: u64, count: usize, dim: usize, scale: f64) -> Points {
    let mut rng = Streams::new(seed, "theory test data").stream(0);
    let values = (0..count * dim).map(|_| scale * Distribution::<f64>::sample(&StandardNormal, &mut rng)).collect();
    Points::from_rows("x", count, dim, values).unwrap()
}

fn gaussian_set(seed: u64, count: usize, dim: usize, scale: f64) -> TrainingSet {
    let mut rng = Streams::new(seed, "theory test labels").stream(0);
    let labels = (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
    TrainingSet::new(gaussian_points(seed, count, dim, scale), labels).unwrap()
}

fn slope(value: f64) -> Slope {
    Slope::new(value).unwrap()
}

/// Skewness allowed for, above what is found: products of activations 5.1, squares of what a neuron adds to the kernel 2.9.
const OF_PRODUCTS: f64 = 8.0;
const OF_SQUARES: f64 = 4.0;

struct KnownAnswer {
    kind: String,
    x: Vec<f64>,
    z: Vec<f64>,
    answers: Vec<f64>,
}

/// A hexadecimal float as Python prints it, exactly.
fn hexadecimal(text: &str) -> f64 {
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (mantissa, exponent) = text.strip_prefix("0x").unwrap().split_once('p').unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).unwrap();
    let scale = exponent.parse::<i32>().unwrap() - 4 * fraction.len() as i32;
    sign * digits as f64 * 2.0_f64.powi(scale)
}

fn known_answers() -> Vec<KnownAnswer> {
    let parse = |field: &str| field.split(' ').map(hexadecimal).collect::<Vec<_>>();
    include_str!("vectors/theory.csv")
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let answers = fields[3..].iter().map(|f| f.parse().unwrap()).collect();
            KnownAnswer { kind: fields[0].into(), x: parse(fields[1]), z: parse(fields[2]), answers }
        })
        .collect()
}

//= test D4@4f89269b
/// The accuracy that [`Pair`] states: 10⁻¹⁴ relative for angle and supplement, over norms 10⁻⁸ … 10⁸, for generic,
/// opposite, collinear and nearly equal inputs (relative distance down to 10⁻¹²).
#[test]
fn angle_and_supplement_keep_their_relative_accuracy_over_the_whole_range() {
    let mut worst = (0.0_f64, 0.0_f64);
    for known in known_answers() {
        let pair = Pair::new(&known.x, &known.z);
        let error = |found: f64, exact: f64| if exact == 0.0 { found } else { (found / exact - 1.0).abs() };
        let errors = (error(pair.angle(), known.answers[0]), error(pair.supplement(), known.answers[1]));
        assert!(errors.0 <= 1e-14 && errors.1 <= 1e-14, "{}: {errors:?} at {:?} {:?}", known.kind, known.x, known.z);
        worst = (worst.0.max(errors.0), worst.1.max(errors.1));
    }
    println!("largest relative error of the angle {:.1e}, of the supplement {:.1e}", worst.0, worst.1);
}

//= test D1@97175bee
//= test D3@f2096504
/// Φ: relative error of a few ε on top of the angles'. Σ: relative for γ = 0; relative to s s' for γ > 0.
#[test]
fn duals_match_known_answers() {
    for known in known_answers() {
        let pair = Pair::new(&known.x, &known.z);
        let d = known.x.len() as f64;
        let s = |v: &[f64]| (1.0 + v.iter().map(|v| v * v).sum::<f64>() / d).sqrt();
        for (i, gamma) in [0.0, 0.3, 0.9].into_iter().enumerate() {
            let (phi, sigma) = (pair.derivative_dual(slope(gamma)), pair.value_dual(slope(gamma)));
            let (exact_phi, exact_sigma) = (known.answers[2 + 2 * i], known.answers[3 + 2 * i]);
            assert!((phi / exact_phi - 1.0).abs() <= 1e-14, "Φ {} γ={gamma}: {phi} {exact_phi}", known.kind);
            // Inner products of d ≤ 30 terms: at most (d + 6) ε of s s'; γ = 0 keeps 1e−13 relative (ψ³/3 triples the
            // error of ψ, and the direct form above the series loses a factor 50).
            let scale = if gamma == 0.0 { exact_sigma } else { s(&known.x) * s(&known.z) };
            assert!((sigma - exact_sigma).abs() <= 1e-13 * scale, "Σ {} γ={gamma}: {sigma} {exact_sigma}", known.kind);
        }
    }
}

//= test D2@843b7da3
//= power D2@843b7da3
/// D2: Φ has the relative error of the angle and its supplement and seven roundings more. Fault: a supplement that is formed
/// as π − θ, near θ = π.
#[test]
fn the_derivative_dual_loses_nothing_but_a_supplement_formed_by_subtraction_does() {
    let unit = 0.5 * f64::EPSILON;
    let mut worst = (0.0_f64, 0.0_f64);
    for known in known_answers() {
        let pair = Pair::new(&known.x, &known.z);
        // Known answers are rounded to double precision: one unit each.
        let error = |found: f64, exact: f64| if found == exact { 0.0 } else { (found / exact - 1.0).abs() };
        let angles = error(pair.angle(), known.answers[0]).max(error(pair.supplement(), known.answers[1])) + 2.0 * unit;
        let bound = (1.0 + angles) * (1.0 + 7.0 * unit / (1.0 - 7.0 * unit)) - 1.0 + 2.0 * unit;
        for (i, gamma) in [0.0, 0.3, 0.9].into_iter().enumerate() {
            let ratio = error(pair.derivative_dual(slope(gamma)), known.answers[2 + 2 * i]) / bound;
            assert!(ratio <= 1.0, "{} γ={gamma}: {ratio}", known.kind);
            worst.0 = worst.0.max(ratio);
        }
        let subtracted = (std::f64::consts::PI - pair.angle()) / (2.0 * std::f64::consts::PI);
        worst.1 = worst.1.max(error(subtracted, known.answers[2]) / bound);
    }
    assert!(worst.0 > 0.1 && worst.1 > 1e3, "{worst:?}");
}

/// The usual forms lose what [`Pair`] keeps: at a relative distance of 10⁻⁶ the arccosine of the rounded cosine keeps no
/// more than four digits of the angle, and the arctangent of difference and sum norms of *normalised* vectors ten.
#[test]
fn the_usual_angle_formulas_are_less_accurate_near_zero() {
    let (mut by_cosine, mut by_norms) = (0.0_f64, 0.0_f64);
    let far = |k: &&KnownAnswer| k.kind == "near" && k.answers[0] > 1e-7 && k.answers[0] < 1e-5 && k.x.len() > 1;
    for known in known_answers().iter().filter(far) {
        let d = known.x.len() as f64;
        let augment = |x: &[f64]| DVector::from_iterator(x.len() + 1, x.iter().map(|v| v / d.sqrt()).chain([1.0]));
        let (a, b) = (augment(&known.x), augment(&known.z));
        let (a, b) = (&a / a.norm(), &b / b.norm());
        let relative = |angle: f64| (angle / known.answers[0] - 1.0).abs();
        by_cosine = by_cosine.max(relative(a.dot(&b).min(1.0).acos()));
        by_norms = by_norms.max(relative(2.0 * (&a - &b).norm().atan2((&a + &b).norm())));
    }
    assert!(by_cosine > 1e-5, "arccosine: {by_cosine:e}");
    assert!(by_norms > 1e-11, "normalised vectors: {by_norms:e}");
}

#[test]
fn gram_matrices_match_the_scalar_route() {
    for (dim, count, other, scale) in
        [(1, 5, 3, 1.0), (20, 300, 270, 1.0), (784, 40, 30, 0.4), (3, 50, 20, 1e-3), (2, 30, 9, 1e4)]
    {
        let mut rows = gaussian_points(1, count, dim, scale).as_columns().as_slice().to_vec();
        // Near and exact duplicates.
        let (first, rest) = rows.split_at_mut(dim);
        rest[..dim].copy_from_slice(first);
        rest[dim..2 * dim].iter_mut().zip(first).for_each(|(r, f)| *r = *f * (1.0 + 1e-7));
        let x = Points::from_rows("x", count, dim, rows).unwrap();
        let z = gaussian_points(2, other, dim, scale);
        for kernel in KERNELS {
            for gamma in [0.0, 0.4] {
                let (square, cross) = (gram(kernel, slope(gamma), &x), cross_gram(kernel, slope(gamma), &x, &z));
                assert_eq!(square, square.transpose(), "bitwise symmetric");
                // Documented: 32(d+6)ε for the angle of a pair that is not recomputed; kernels scale with s s' and K.
                let bound = |a: &[f64], b: &[f64]| {
                    let pair = |u: &[f64], v: &[f64]| Pair::new(u, v);
                    let size = (pair(a, a).augmented_product() * pair(b, b).augmented_product()).sqrt() + 1.0;
                    32.0 * (dim as f64 + 6.0) * f64::EPSILON * size
                };
                for (matrix, points) in [(&square, &x), (&cross, &z)] {
                    for j in 0..points.count() {
                        for i in 0..count {
                            let exact = kernel.of(slope(gamma), &Pair::new(x.point(i), points.point(j)));
                            let error = (matrix[(i, j)] - exact).abs();
                            assert!(
                                error <= bound(x.point(i), points.point(j)),
                                "{kernel:?} ({i},{j}) d={dim}: {error:e}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn kernels_do_not_depend_on_the_number_of_threads() {
    let x = gaussian_points(3, 600, 15, 1.0);
    let set = gaussian_set(3, 300, 5, 1.0);
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let flow = SquaredLossFlow::new(&set, Slope::RELU, Kernel::Ntk).unwrap();
            let f = flow.at(Horizon::Finite(3.0), None).unwrap();
            let logistic = Predictor::any_loss(&set, Slope::RELU, 2.0, &StandardLoss::Logistic, None, 1e-8).unwrap();
            let gradient = f.gradient(set.points()).unwrap();
            let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            [
                bits(gram(Kernel::Ntk, Slope::RELU, &x).as_slice()),
                bits(f.coefficients()),
                bits(logistic.coefficients()),
                bits(gradient.as_slice()),
            ]
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(7));
}

/// Standard errors that a mean of so many draws of this skewness exceeds with the budget's probability, shared by `comparisons`.
fn allowed_errors(budget: &str, comparisons: usize, draws: usize, skewness: f64) -> f64 {
    let level = skewed::student_level(draws, skewness, alpha(budget) / comparisons as f64);
    student_quantile(draws as f64 - 1.0, 0.5 * level)
}

//= test D1@97175bee
//= test D3@f2096504
/// Monte Carlo is the independent witness for the formulas themselves.
#[test]
fn duals_are_the_expectations_they_claim_to_be() {
    let draws = 400_000;
    let allowed = allowed_errors("duals by Monte Carlo", 5 * 3 * 2, draws, OF_PRODUCTS);
    let mut rng = Streams::new(9, "dual expectations").stream(0);
    for case in 0..5 {
        let points = gaussian_points(20 + case, 2, 3, 1.5);
        let (x, z) = (points.point(0), points.point(1));
        let pair = Pair::new(x, z);
        let mut sums = [[0.0; 2]; 6];
        for _ in 0..draws {
            let w: [f64; 4] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
            let u = |p: &[f64]| (w[0] * p[0] + w[1] * p[1] + w[2] * p[2]) / 3.0_f64.sqrt() + w[3];
            let (u, v) = (u(x), u(z));
            for (i, gamma) in [0.0, 0.3, 0.9].into_iter().enumerate() {
                let s = slope(gamma);
                for (j, value) in
                    [s.derivative(u) * s.derivative(v), s.activation(u) * s.activation(v)].into_iter().enumerate()
                {
                    sums[2 * i + j][0] += value;
                    sums[2 * i + j][1] += value * value;
                }
            }
        }
        for (i, gamma) in [0.0, 0.3, 0.9].into_iter().enumerate() {
            for (j, exact) in
                [pair.derivative_dual(slope(gamma)), pair.value_dual(slope(gamma))].into_iter().enumerate()
            {
                let mean = sums[2 * i + j][0] / draws as f64;
                let error = ((sums[2 * i + j][1] / draws as f64 - mean * mean) / draws as f64).sqrt();
                assert!(
                    (mean - exact).abs() <= allowed * error,
                    "case {case} γ={gamma}: {mean} ± {error}, exact {exact}"
                );
            }
        }
    }
}

//= test D7@e5361188
//= test W1@23ae4143
/// Var X by its definition: Monte Carlo over single neurons. X = ωY with ω = a² independent of Y, E ω = 1: of (X − F)² the
/// expectation over ω is taken exactly, E ω²·Y² − 2FY + F². (Squares of fourth powers of normal variables would have a skewness of 30.)
#[test]
fn kernel_variance_is_the_variance_of_one_neuron() {
    let draws = 300_000;
    let level = skewed::student_level(draws, OF_SQUARES, alpha("kernel variance by Monte Carlo") / (3.0 * 2.0));
    for (gamma, fourth_moment) in [(0.0, 1.0), (0.4, 1.0), (0.25, 3.0)] {
        let (train, test) = (gaussian_set(31, 7, 3, 1.0), gaussian_points(32, 2, 3, 1.0));
        let predicted = kernel_variance(&train, slope(gamma), &test, fourth_moment).unwrap();
        let limit = Predictor::identity(&train, slope(gamma), 1.0).unwrap().values(&test).unwrap();
        let mut rng = Streams::new(33, "kernel variance").stream(0);
        let mut squares = [vec![], vec![]];
        for _ in 0..draws {
            let w: [f64; 4] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
            let u = |p: &[f64]| (w[0] * p[0] + w[1] * p[1] + w[2] * p[2]) / 3.0_f64.sqrt() + w[3];
            for (j, z) in test.iter().enumerate() {
                let sum: f64 = train
                    .points()
                    .iter()
                    .zip(train.labels())
                    .map(|(x, y)| {
                        y * (1.0 + x.iter().zip(z).map(|(a, b)| a * b).sum::<f64>()) * slope(gamma).derivative(u(x))
                    })
                    .sum();
                let value = slope(gamma).derivative(u(z)) * sum / 7.0;
                squares[j].push(fourth_moment * value * value - 2.0 * limit[j] * value + limit[j] * limit[j]);
            }
        }
        for j in 0..2 {
            let (low, high) = mean_interval(&squares[j], level);
            assert!(
                low <= predicted[j] && predicted[j] <= high,
                "γ={gamma}: [{low}, {high}], predicted {}",
                predicted[j]
            );
        }
    }
}

//= test K4@e1ba67e9
#[test]
fn squared_loss_matches_the_matrix_exponential_and_the_integrator() {
    let (train, test) = (gaussian_set(41, 9, 3, 1.0), gaussian_points(42, 4, 3, 1.0));
    let n = train.count() as f64;
    let initial: Vec<f64> = (0..9).map(|i| (i as f64).sin()).collect();
    for (gamma, time) in [(0.0, 0.5), (0.3, 20.0)] {
        let predictor = Predictor::squared(&train, slope(gamma), Horizon::Finite(time), Some(&initial)).unwrap();
        // f_T(z) = ∫₀ᵀ Θ(z,X)/N e^{−tΘ/N} dt (y − f_0), with the exponential by nalgebra and ∫ e^{−tA} dt = A⁻¹(I − e^{−TA}).
        let theta = gram(Kernel::Ntk, slope(gamma), train.points());
        let exponential = (&theta * (-time / n)).exp();
        let residual = DVector::from_iterator(9, train.labels().iter().zip(&initial).map(|(y, f)| y - f));
        let solved = theta.clone().lu().solve(&((DMatrix::identity(9, 9) - exponential) * &residual)).unwrap();
        let expected = cross_gram(Kernel::Ntk, slope(gamma), train.points(), &test).transpose() * solved;
        let by_steps =
            Predictor::any_loss(&train, slope(gamma), time, &StandardLoss::Squared, Some(&initial), DEFAULT_TOLERANCE)
                .unwrap();
        let (found, stepped) = (predictor.values(&test).unwrap(), by_steps.values(&test).unwrap());
        for j in 0..4 {
            // The oracle's own error: condition number (≈ 10³ here) times ε, and the integrator's tolerance times steps.
            assert!((found[j] - expected[j]).abs() < 1e-10, "γ={gamma}: {} {}", found[j], expected[j]);
            assert!((found[j] - stepped[j]).abs() < 1e-8, "γ={gamma}: {} {}", found[j], stepped[j]);
        }
    }
}

//= test K4@e1ba67e9
#[test]
fn infinite_time_interpolates_and_singular_kernels_average() {
    let train = gaussian_set(51, 12, 4, 1.0);
    let f = Predictor::squared(&train, Slope::RELU, Horizon::Infinite, None).unwrap();
    for (value, label) in f.values(train.points()).unwrap().iter().zip(train.labels()) {
        assert!((value - label).abs() < 1e-8, "{value} {label}");
    }
    // A duplicated input with contradicting labels: the limit is their mean, 0, and nothing is NaN.
    let points = Points::from_rows("x", 3, 2, vec![1.0, 0.0, 1.0, 0.0, -1.0, 2.0]).unwrap();
    let twins = TrainingSet::new(points, vec![1.0, -1.0, 1.0]).unwrap();
    let f = Predictor::squared(&twins, Slope::RELU, Horizon::Infinite, None).unwrap().values(twins.points()).unwrap();
    assert!(f[0].abs() < 1e-12 && f[1].abs() < 1e-12 && (f[2] - 1.0).abs() < 1e-12, "{f:?}");
    // Large finite times approach it.
    let late =
        Predictor::squared(&twins, Slope::RELU, Horizon::Finite(1e6), None).unwrap().values(twins.points()).unwrap();
    assert!(f.iter().zip(&late).all(|(a, b)| (a - b).abs() < 1e-10));
}

/// The integrator on a problem with a closed form: one sample, exponential loss, f(x) = ln(1 + ΘT).
#[test]
fn the_integrator_keeps_its_tolerance_on_known_solutions() {
    let train = TrainingSet::new(Points::from_rows("x", 1, 1, vec![0.7]).unwrap(), vec![-1.0]).unwrap();
    let theta = Pair::new(&[0.7], &[0.7]).ntk(Slope::RELU);
    for time in [1e-3, 1.0, 1e3, 1e6] {
        let f = Predictor::any_loss(&train, Slope::RELU, time, &StandardLoss::Exponential, None, DEFAULT_TOLERANCE)
            .unwrap();
        let (value, exact) = (f.values(train.points()).unwrap()[0], -(1.0 + theta * time).ln());
        // Error per step ≤ tolerance·(1 + |α|), and fewer than 10³ steps.
        assert!((value - exact).abs() < 1e3 * DEFAULT_TOLERANCE * (1.0 + exact.abs()), "T={time}: {value} {exact}");
    }
    let set = gaussian_set(61, 6, 3, 1.0);
    let by_formula = Predictor::identity(&set, Slope::RELU, 2.5).unwrap();
    let by_steps =
        Predictor::any_loss(&set, Slope::RELU, 2.5, &StandardLoss::Identity, None, DEFAULT_TOLERANCE).unwrap();
    for (a, b) in by_formula.coefficients().iter().zip(by_steps.coefficients()) {
        assert!((a - b).abs() < 1e-10);
    }
}

#[test]
fn losses_without_a_limit_and_bad_arguments_are_refused() {
    let train = gaussian_set(1, 4, 2, 1.0);
    for loss in [StandardLoss::Identity, StandardLoss::Logistic, StandardLoss::Exponential] {
        let refused = Predictor::train(&train, Slope::RELU, Horizon::Infinite, loss, None);
        assert!(matches!(refused, Err(Error::NoInfiniteTimeLimit { .. })), "{}", loss.name());
    }
    assert!(Predictor::identity(&train, Slope::RELU, -1.0).is_err());
    assert!(Predictor::squared(&train, Slope::RELU, Horizon::Finite(1.0), Some(&[0.0])).is_err());
    let f = Predictor::identity(&train, Slope::RELU, 1.0).unwrap();
    assert!(matches!(f.values(&gaussian_points(1, 2, 3, 1.0)), Err(Error::Shape { .. })));
    let zero = DMatrix::zeros(2, 4);
    assert!(matches!(perturbations(&zero, &[1.0; 4], 0.1), Err(Error::ZeroGradient { index: 0, count: 4, .. })));
}

//= test P1@e5c64ecb
/// ∇F by central differences of F, at points away from the training points (where F is smooth). The difference errs by
/// h²/6·F''' + ε|F|/h: halving h from a step where the first dominates must quarter the error, so Richardson's
/// extrapolation is compared, with the extrapolation's own last change as its error estimate.
#[test]
fn gradient_is_the_gradient_of_the_values() {
    let (train, points) = (gaussian_set(71, 8, 3, 1.0), gaussian_points(72, 5, 3, 1.3));
    for gamma in [0.0, 0.5] {
        let f = Predictor::identity(&train, slope(gamma), 1.7).unwrap();
        let gradient = f.gradient(&points).unwrap();
        let difference = |n: usize, row: usize, h: f64| {
            let mut moved = [points.point(n).to_vec(), points.point(n).to_vec()];
            moved[0][row] += h;
            moved[1][row] -= h;
            let values = f.values(&Points::from_rows("x", 2, 3, moved.concat()).unwrap()).unwrap();
            (values[0] - values[1]) / (2.0 * h)
        };
        for n in 0..5 {
            for row in 0..3 {
                let (coarse, fine, finest) =
                    (difference(n, row, 4e-3), difference(n, row, 2e-3), difference(n, row, 1e-3));
                let (first, second) = ((4.0 * fine - coarse) / 3.0, (4.0 * finest - fine) / 3.0);
                let error = (second - first).abs() + 1e-12;
                assert!(
                    (second - gradient[(row, n)]).abs() <= error,
                    "γ={gamma} {n},{row}: {second} {}",
                    gradient[(row, n)]
                );
            }
        }
    }
}

/// The boundary term obeys its bound ‖b(x)‖ ≤ (1−γ)² κ(x)/(2π√d s(x)) and vanishes at a lone training point.
#[test]
fn boundary_term_is_bounded_and_vanishes_at_a_lone_training_point() {
    let (train, points) = (gaussian_set(81, 10, 4, 1.0), gaussian_points(82, 20, 4, 2.0));
    for gamma in [0.0, 0.6] {
        let f = Predictor::identity(&train, slope(gamma), 1.0).unwrap();
        let b = f.boundary_term(&points).unwrap();
        for (x, b) in points.iter().zip(b.column_iter()) {
            let kappa = train.points().iter().map(|z| Pair::new(z, x).augmented_product().abs()).sum::<f64>() / 10.0;
            let s = (1.0 + x.iter().map(|v| v * v).sum::<f64>() / 4.0).sqrt();
            assert!(b.norm() <= (1.0 - gamma).powi(2) * kappa / (2.0 * std::f64::consts::PI * 2.0 * s));
        }
    }
    let lone = TrainingSet::new(Points::from_rows("x", 1, 2, vec![0.3, -2.0]).unwrap(), vec![1.0]).unwrap();
    let f = Predictor::identity(&lone, Slope::RELU, 1.0).unwrap();
    assert_eq!(f.boundary_term(lone.points()).unwrap().norm(), 0.0);
    assert_eq!(f.gradient(lone.points()).unwrap(), f.weighted_sum(lone.points()).unwrap());
}

//= test K8@ef5665d7
#[test]
fn authors_statistics_match_their_definition() {
    let (train, test) = (gaussian_set(91, 6, 3, 1.0), gaussian_points(92, 4, 3, 1.0));
    let r = gaussian_points(93, 6, 3, 0.1);
    let inner = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let phi = |a: &[f64], b: &[f64]| Pair::new(a, b).derivative_dual(slope(0.2));
    let (f, g) = (
        reference::authors_f(&train, slope(0.2), &test).unwrap(),
        reference::authors_g(&train, &r, slope(0.2), &test).unwrap(),
    );
    let x = |n: usize| train.points().point(n);
    for (j, z) in test.iter().enumerate() {
        let f_hat = (0..6).map(|n| train.labels()[n] * phi(x(n), z) * inner(x(n), z)).sum::<f64>() / 6.0;
        let g_hat = (0..6)
            .map(|n| {
                let sum = (0..6).map(|k| train.labels()[k] * phi(x(n), x(k)) * inner(x(k), z)).sum::<f64>() / 6.0;
                phi(r.point(n), z) * sum
            })
            .sum::<f64>()
            / 6.0;
        // Sums of 36 terms of size up to 10.
        assert!((f[j] - f_hat).abs() < 360.0 * f64::EPSILON && (g[j] - g_hat).abs() < 360.0 * f64::EPSILON);
    }
}

//= test N3@b26cb1af
//= test G1@081005ba
#[test]
fn limit_training_set_has_perturbations_of_the_stated_length_and_sign() {
    let train = gaussian_set(95, 10, 6, 1.0);
    let f = Predictor::identity(&train, Slope::RELU, 1.0).unwrap();
    let targets: Vec<f64> = (0..10).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
    let set = limit_training_set(&f, train.points(), &targets, 0.25, Scenario::OnImage, None).unwrap();
    let gradient = f.gradient(train.points()).unwrap();
    for (n, target) in targets.iter().enumerate() {
        let p = DVector::from_column_slice(set.points().point(n)) - DVector::from_column_slice(train.points().point(n));
        // Adding to a point of norm ≈ 3 and subtracting again rounds at 3ε per coordinate.
        assert!((p.norm() - 0.25).abs() < 20.0 * f64::EPSILON);
        let aligned = p.dot(&gradient.column(n)) / (0.25 * gradient.column(n).norm());
        assert!((aligned - target).abs() < 200.0 * f64::EPSILON);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(24), ..ProptestConfig::default() })]

    /// Symmetry, bounds and monotonicity of the duals, for any pair.
    #[test]
    fn duals_are_symmetric_bounded_and_monotone_in_the_slope(
        x in prop::collection::vec(-1e3..1e3_f64, 1..6), seed in 0..1000_u64, gamma in 0.0..0.99_f64,
    ) {
        let z: Vec<f64> = gaussian_points(seed, 1, x.len(), 10.0).point(0).to_vec();
        let (pair, swapped) = (Pair::new(&x, &z), Pair::new(&z, &x));
        prop_assert!((pair.angle() - swapped.angle()).abs() <= 1e-14 * pair.angle());
        let phi = pair.derivative_dual(slope(gamma));
        prop_assert!(phi >= gamma * (1.0 - 2.0 * f64::EPSILON) && phi <= 0.5 * (1.0 + gamma * gamma) * (1.0 + 4.0 * f64::EPSILON));
        prop_assert!(pair.derivative_dual(slope(0.995)) >= phi);
        prop_assert!(pair.value_dual(Slope::RELU) >= 0.0);
    }

    /// Every kernel matrix is positive semidefinite: eigenvalues above −(bound of the entries' errors, in norm).
    #[test]
    fn kernels_are_positive_semidefinite(seed in 0..1000_u64, dim in 1..6_usize, count in 2..25_usize, scale in -3.0..3.0_f64, gamma in 0.0..0.99_f64) {
        let x = gaussian_points(seed, count, dim, 10_f64.powf(scale));
        for kernel in KERNELS {
            let matrix = gram(kernel, slope(gamma), &x);
            let smallest = matrix.clone().symmetric_eigenvalues().min();
            let rounding = 32.0 * (dim as f64 + 6.0) * f64::EPSILON * matrix.trace();
            prop_assert!(smallest >= -rounding, "{kernel:?}: {smallest:e} against {rounding:e}");
        }
    }

    /// Kernels depend on inner products only: a rotation of all inputs changes nothing but rounding.
    #[test]
    fn kernels_are_invariant_under_rotations(seed in 0..1000_u64, gamma in 0.0..0.99_f64) {
        let x = gaussian_points(seed, 6, 3, 1.0);
        let rotation = nalgebra::Rotation3::new(nalgebra::Vector3::new(0.3, seed as f64, 1.0)).into_inner();
        let turned = DMatrix::from_fn(3, 6, |i, n| (0..3).map(|j| rotation[(i, j)] * x.point(n)[j]).sum::<f64>());
        let turned = Points::from_columns("x", turned).unwrap();
        for kernel in KERNELS {
            let difference = gram(kernel, slope(gamma), &x) - gram(kernel, slope(gamma), &turned);
            // The rotation itself rounds each coordinate by 3ε‖x‖: angles of nearly equal points feel it as √ε at worst,
            // these Gaussian points as a few ε; entries are of size ≤ 30.
            prop_assert!(difference.amax() <= 1e-12);
        }
    }
}
