//! Angles, duals, the limit predictors: D4, D7, D8, W1, K3, K8.

use std::f64::consts::PI;

use nalgebra::DMatrix;
use perturbation_learning::network::{GradientFlow, Neurons, Weights, outputs};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::theory::bound::angle_change_bound;
use perturbation_learning::theory::{
    Kernel, Pair, Predictor, kernel_variance, perturbations, perturbed_points, reference,
};

use crate::{gaussian_points, gaussian_set, inner, rows, slope};

/// s(x), the norm of A(x) = (x/√d, 1).
fn s(x: &[f64]) -> f64 {
    (1.0 + inner(x, x) / x.len() as f64).sqrt()
}

/// γ_k = ku/(1 − ku).
fn gamma(k: usize) -> f64 {
    let ku = k as f64 * 0.5 * f64::EPSILON;
    ku / (1.0 - ku)
}

//= test D4@4f89269b
/// D4's three forms, evaluated as they stand, within the rounding that R3 proves for them.
#[test]
fn the_angle_is_that_of_differences_and_sums_of_unit_vectors() {
    for dim in [1, 3, 10] {
        let points = gaussian_points("angle/points", 40, dim);
        for (n, x) in points.iter().enumerate() {
            let scale = 2.0_f64.powi(-(n as i32) / 2);
            // Differences that are powers of two times small integers: r − x is exact.
            let r: Vec<f64> = x.iter().enumerate().map(|(i, v)| v + scale * ((i + n) % 3) as f64).collect();
            let p: Vec<f64> = r.iter().zip(x).map(|(r, x)| r - x).collect();
            let unit = |x: &[f64]| -> Vec<f64> {
                x.iter().map(|v| v / (dim as f64).sqrt()).chain([1.0]).map(|v| v / s(x)).collect()
            };
            let (a, b) = (unit(x), unit(&r));
            let norm = |sign: f64| a.iter().zip(&b).map(|(a, b)| (a + sign * b).powi(2)).sum::<f64>().sqrt();
            let (angle, supplement) = (2.0 * norm(-1.0).atan2(norm(1.0)), 2.0 * norm(1.0).atan2(norm(-1.0)));
            let pair = Pair::new(x, &r);
            let allowed = 6.0 * gamma(dim + 12) + 1e-14 * PI;
            assert!((angle - pair.angle()).abs() <= allowed, "{angle} {}", pair.angle());
            assert!((supplement - pair.supplement()).abs() <= allowed, "{supplement} {}", pair.supplement());
            let sum: Vec<f64> = r.iter().zip(x).map(|(r, x)| r + x).collect();
            let across = dim as f64 * (s(x) + s(&r));
            let (e, h) = (inner(&p, &p).sqrt() / (dim as f64).sqrt(), inner(&p, &sum) / across);
            if e > 0.0 {
                let absolute = p.iter().zip(&sum).map(|(p, s)| (p * s).abs()).sum::<f64>() / across;
                let close = (e * e - h * h) / (s(x) * s(&r));
                let condition = 1.0 + 2.0 * (e * e + absolute * absolute) / (e * e - h * h);
                let ratio = 4.0 * (0.5 * pair.angle()).sin().powi(2) / close;
                assert!((ratio - 1.0).abs() <= gamma(4 * dim + 30) * condition + 4e-14, "{dim} {n}: {ratio}");
            }
        }
    }
}

/// Mean over one Gaussian vector in the plane of a function of the signs of u at the points (d = 1), exactly: the direction
/// is uniform and the signs change at finitely many angles.
fn mean_over_signs(points: &[f64], f: impl Fn(&dyn Fn(f64) -> bool) -> f64) -> f64 {
    let direction = |x: f64| 1.0_f64.atan2(x);
    let both = |x: &f64| [direction(*x) + 0.5 * PI, direction(*x) - 0.5 * PI].map(|angle| angle.rem_euclid(2.0 * PI));
    let mut changes: Vec<f64> = points.iter().flat_map(both).chain([0.0, 2.0 * PI]).collect();
    changes.sort_by(f64::total_cmp);
    let sector = |pair: &[f64]| {
        let middle = 0.5 * (pair[0] + pair[1]);
        (pair[1] - pair[0]) / (2.0 * PI) * f(&|x| (middle - direction(x)).cos() >= 0.0)
    };
    changes.windows(2).map(sector).sum()
}

//= test D7@e5361188
//= test W1@23ae4143
/// D7 and W1 in the plane, where sectors can be enumerated, and for three orthogonal points, whose signs are independent.
#[test]
fn the_variance_of_one_neuron_is_that_of_enumerated_signs() {
    let (x, y, z) = ([0.3, -1.2, 2.0, 0.9], [1.0, -1.0, 1.0, -1.0], 0.7);
    let train = TrainingSet::new(rows(1, &x), y.to_vec()).unwrap();
    for g in [0.0, 0.35] {
        let derivative = |positive: bool| if positive { 1.0 } else { g };
        let neuron = |side: &dyn Fn(f64) -> bool| {
            let summands = x.iter().zip(&y).map(|(x, y)| 0.25 * y * (x * z + 1.0) * derivative(side(*x)));
            derivative(side(z)) * summands.sum::<f64>()
        };
        let all = [x[0], x[1], x[2], x[3], z];
        let mean = mean_over_signs(&all, neuron);
        let square = mean_over_signs(&all, |side| neuron(side).powi(2));
        for fourth in [1.0, 3.0] {
            let found = kernel_variance(&train, slope(g), &rows(1, &[z]), fourth).unwrap()[0];
            // Both are sums of some ten terms of size 1.
            assert!((found - (fourth * square - mean * mean)).abs() < 100.0 * f64::EPSILON, "{found}");
        }
        // Norm 2 at 120° in d = 2: 1 + ⟨x,z⟩/d = 0, ⟨x,z⟩ + 1 = −1.
        let corner = |turn: f64| [2.0 * (turn * PI / 3.0).cos(), 2.0 * (turn * PI / 3.0).sin()];
        let orthogonal = TrainingSet::new(rows(2, &[corner(0.0), corner(2.0)].concat()), vec![1.0, 1.0]).unwrap();
        let found = kernel_variance(&orthogonal, slope(g), &rows(2, &corner(4.0)), 1.0).unwrap()[0];
        let (first, second) = (0.5 * (1.0 + g), 0.5 * (1.0 + g * g));
        // B = −φ'_z(φ'_1 + φ'_2)/2 with independent φ': E B² = E φ'²(E φ'² + (E φ')²)/2.
        let exact = 0.5 * second * (second + first * first) - first.powi(4);
        assert!((found - exact).abs() < 100.0 * f64::EPSILON, "{found} {exact}");
    }
}

//= test D5@64d6b4f8
//= test D8@77dec425
/// D8 through the library's boundary term: with one training point and unit time it is y K ∇Φ.
#[test]
fn the_gradient_of_the_derivative_dual_has_its_closed_form_its_bound_and_its_kink() {
    let (xs, zs) = (gaussian_points("dual/x", 6, 3), gaussian_points("dual/z", 6, 3));
    for g in [0.0, 0.4] {
        let step = (1.0 - g) * (1.0 - g) / (2.0 * PI);
        for (x, z) in xs.iter().zip(zs.iter()) {
            let set = TrainingSet::new(rows(3, x), vec![1.0]).unwrap();
            let limit = Predictor::identity(&set, slope(g), 1.0).unwrap();
            let pair = Pair::new(x, z);
            let found = limit.boundary_term(&rows(3, z)).unwrap() / pair.augmented_product();
            let closed = |i: usize| {
                let direction = x[i] / (s(x) * s(z)) - pair.rho() * z[i] / (s(z) * s(z));
                step / (3.0 * pair.angle().sin()) * direction
            };
            let dual = |i: usize, h: f64| {
                let mut moved = z.to_vec();
                moved[i] += h;
                Pair::new(x, &moved).derivative_dual(slope(g))
            };
            for i in 0..3 {
                // The difference of two terms of size step/d, divided by sin θ.
                assert!((found[i] - closed(i)).abs() <= 1e-14 / pair.angle().sin(), "{} {}", found[i], closed(i));
                // Central differences: the error falls by four when the step is halved.
                let error = |h: f64| (dual(i, h) - dual(i, -h)) / (2.0 * h) - found[i];
                let order = (error(4e-3) / error(2e-3)).log2();
                assert!((1.9..2.1).contains(&order), "order {order}");
            }
            assert!(found.norm() <= step / (3.0_f64.sqrt() * s(z)) * (1.0 + 1e-13));
            // At θ = 0: a kink, even to first order.
            let kink = |h: f64| {
                let moved: Vec<f64> = x.iter().zip(z).map(|(x, z)| x + h * z).collect();
                let pair = Pair::new(x, &moved);
                let fall = 0.5 * (1.0 + g * g) - pair.derivative_dual(slope(g));
                assert!((fall - step * pair.angle()).abs() < 4.0 * f64::EPSILON);
                pair.angle() / h.abs()
            };
            let asymmetry = |h: f64| (kink(h) - kink(-h)).abs();
            assert!(kink(1e-3) > 0.1 && asymmetry(1e-3) < 0.2 * kink(1e-3) && asymmetry(1e-4) < 0.2 * asymmetry(1e-3));
            // Lipschitz with D5's angle.
            for r in zs.iter() {
                let difference: Vec<f64> = x.iter().zip(r).map(|(x, r)| x - r).collect();
                let alpha = angle_change_bound(inner(&difference, &difference).sqrt(), 3, s(x), s(r)).unwrap();
                let change = pair.derivative_dual(slope(g)) - Pair::new(r, z).derivative_dual(slope(g));
                assert!(change.abs() <= step * alpha + 4.0 * f64::EPSILON);
            }
        }
    }
}

//= test K3@d7254348
/// K3: neurons with equally spaced directions and E‖w̃‖² = d + 1 = 2 in the plane realise expectations by the midpoint rule.
/// The readout's part of the tangent kernel is Σ φ(u_i(x))φ(u_i(z)): the output at z of a network with readouts φ(u_i(x)).
#[test]
fn training_the_readout_at_unit_rate_adds_width_times_the_value_dual() {
    let width = 1 << 14;
    let spacing = 2.0 * PI / width as f64;
    let hidden: Vec<f64> = (0..width)
        .flat_map(|i| {
            let angle = (i as f64 + 0.5) * spacing;
            [2.0_f64.sqrt() * angle.cos(), 2.0_f64.sqrt() * angle.sin()]
        })
        .collect();
    let network = |readout| Weights::from_augmented(1, hidden.clone(), readout).unwrap();
    let frozen = Neurons::given(network(vec![1.0 / (width as f64).sqrt(); width]));
    for (x, z, g) in [(0.4, -1.1, 0.0), (0.4, 0.5, 0.3), (-2.0, 1.5, 0.2)] {
        let (pair, one) = (Pair::new(&[x], &[z]), TrainingSet::new(rows(1, &[x]), vec![1.0]).unwrap());
        let test = rows(1, &[z]);
        let flow = GradientFlow::new(&one, slope(g), 0.0).unwrap().with_test(&test).unwrap().watch_test();
        let hidden_part = flow.run(&frozen).unwrap().initial_rate_test[0];
        // φ'φ' has four jumps of at most 1 on the circle, each costs a neuron at most.
        let allowed = 4.0 * pair.augmented_product().abs() / width as f64;
        assert!((hidden_part - pair.ntk(slope(g))).abs() <= allowed, "{hidden_part}");
        let derivatives = hidden.chunks(2).map(|w| slope(g).activation(w[0] * x + w[1])).collect();
        let readout_part = outputs(&network(derivatives), slope(g), &test).unwrap()[0];
        // Midpoint rule: s s' h² covers the second derivative (at most 4 s s') and four kinks (at most 2 s s').
        let allowed = s(&[x]) * s(&[z]) * spacing * spacing;
        let (unit_rate, sigma) = (readout_part / width as f64, pair.value_dual(slope(g)));
        assert!((unit_rate - sigma).abs() <= allowed, "{unit_rate} {sigma}");
        assert_eq!(Kernel::NtkBothLayers.of(slope(g), &pair), pair.ntk(slope(g)) + sigma, "a rate of 1/m");
    }
}

//= test K8@ef5665d7
/// K8: what the authors' statistics leave out of F and G, term by term.
#[test]
fn the_authors_statistics_differ_from_the_limits_by_the_stated_terms() {
    let (train, test, epsilon) = (gaussian_set("authors/train", 7, 3), gaussian_points("authors/test", 4, 3), 0.6);
    let (n, relu) = (7.0, Slope::RELU);
    let phi = |a: &[f64], b: &[f64]| Pair::new(a, b).derivative_dual(relu);
    let f = Predictor::identity(&train, relu, 1.0).unwrap();
    let (values, hat) = (f.values(&test).unwrap(), reference::authors_f(&train, relu, &test).unwrap());
    let targets = [1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0];
    let moves = perturbations(&f.gradient(train.points()).unwrap(), &targets, epsilon).unwrap();
    let v: DMatrix<f64> = f.weighted_sum(train.points()).unwrap();
    for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
        let r: Points = perturbed_points(train.points(), &moves, scenario).unwrap();
        let set = TrainingSet::new(r.clone(), targets.to_vec()).unwrap();
        let g = Predictor::identity(&set, relu, 1.0).unwrap().values(&test).unwrap();
        let g_hat = reference::authors_g(&train, &r, relu, &test).unwrap();
        for (j, z) in test.iter().enumerate() {
            let sum = |term: &dyn Fn(usize, &[f64]) -> f64| (0..7).map(|k| term(k, r.point(k))).sum::<f64>() / n;
            let bias = (0..7).map(|k| train.labels()[k] * phi(train.points().point(k), z)).sum::<f64>() / n;
            let own = |k: usize| if scenario == Scenario::OnImage { inner(train.points().point(k), z) } else { 0.0 };
            let offset = sum(&|k, r| targets[k] * phi(r, z) * (1.0 + own(k)));
            // εq_n = y'_n p_n.
            let signal = sum(&|k, r| phi(r, z) * targets[k] * inner(moves.column(k).as_slice(), z));
            let statistic = sum(&|k, r| phi(r, z) * inner(v.column(k).as_slice(), z));
            let close = |a: f64, b: f64| (a - b).abs() < 200.0 * f64::EPSILON;
            assert!(close(values[j] - hat[j], bias) && close(g[j], offset + signal) && close(g_hat[j], statistic));
            // Terms that are left out are not small.
            assert!(bias.abs() > 1e-3 && offset.abs() > 1e-3, "{bias} {offset}");
        }
    }
}
