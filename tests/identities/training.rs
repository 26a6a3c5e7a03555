//! One network and its training: K1, K5, K7, M1, M3.

use perturbation_learning::loss::{Loss, StandardLoss};
use perturbation_learning::network::{
    Descent, GradientFlow, Initialisation, Neurons, Readout, Weights, adversarial_perturbations, input_gradients,
    outputs,
};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::theory::bound::velocity_range;

use crate::{SEED, gaussian_points, gaussian_set, inner, rows, slope};

fn network(purpose: &str, dim: usize, width: usize) -> Weights {
    let streams = Streams::new(SEED, purpose);
    Neurons::draw(dim, width, Initialisation::Standard, Readout::Gaussian, streams).unwrap().weights()
}

fn preactivation(neuron: &[f64], x: &[f64]) -> f64 {
    inner(neuron, x) + neuron[x.len()]
}

fn flow(train: &TrainingSet, slope: Slope, start: &Weights, time: f64) -> Weights {
    let flow = GradientFlow::new(train, slope, time).unwrap().keep_weights();
    flow.run(&Neurons::given(start.clone())).unwrap().weights.unwrap()
}

/// The right-hand side of K1 along a path of weights, by the left-point rule in time, what that rule can miss, and the size of
/// its summands.
///
/// Between two moments at which a neuron's sign at z is the same, its output at z changes by the product of derivative and
/// path exactly; where the sign changes, by at most that times (1 − γ) more. The path itself is a sum of forces held for a
/// step; for the flow they may change within the step, by (1 − γ) of a summand for each sample that changes sign.
fn path_kernel(train: &TrainingSet, slope: Slope, loss: &dyn Loss, path: &[Weights], step: f64, z: &[f64]) -> [f64; 3] {
    let (n, stride) = (train.count() as f64, z.len() + 1);
    let [mut total, mut missed, mut size] = [0.0; 3];
    for pair in path.windows(2) {
        let values = outputs(&pair[0], slope, train.points()).unwrap();
        let neurons = pair[0].hidden().chunks(stride).zip(pair[1].hidden().chunks(stride));
        for ((now, next), a) in neurons.zip(pair[0].readout()) {
            let (before, after) = (preactivation(now, z), preactivation(next, z));
            let mut sum = 0.0;
            for ((x, y), f) in train.points().iter().zip(train.labels()).zip(&values) {
                let term = y * (inner(x, z) + 1.0) / n * loss.force(y * f) * a * a;
                let (u, later) = (preactivation(now, x), preactivation(next, x));
                sum += term * slope.derivative(u) * slope.derivative(before);
                size += step * term.abs();
                if (u >= 0.0) != (later >= 0.0) {
                    missed += step * term.abs() * (1.0 - slope.value());
                }
            }
            total += step * sum;
            if (before >= 0.0) != (after >= 0.0) {
                missed += a.abs() * (after - before).abs() * (1.0 - slope.value());
            }
        }
    }
    [total, missed, size]
}

//= test K1@b4690933
/// K1 for exact flow and for descent with every loss: what is missed is bounded step by step, and small.
#[test]
fn the_trained_function_is_the_integral_of_the_path_kernel() {
    let (train, test, slope) = (gaussian_set("path/train", 6, 2), gaussian_points("path/test", 3, 2), slope(0.3));
    let (start, time, steps) = (network("path/network", 2, 20), 1.0, 200);
    let step = time / steps as f64;
    let check = |name: &str, loss: &dyn Loss, path: &[Weights]| {
        let (before, after) = (&path[0], &path[path.len() - 1]);
        let change = |w: &Weights| outputs(w, slope, &test).unwrap();
        for (z, (f0, f)) in test.iter().zip(change(before).iter().zip(change(after))) {
            let [integral, missed, size] = path_kernel(&train, slope, loss, path, step, z);
            // Rounding: 200 steps of 20 neurons with sums of size 10.
            let error = (f - f0 - integral).abs();
            assert!(error <= missed + 1e-11, "{name}: {error} {missed}");
            assert!(missed <= 0.02 * size, "{name}: {missed} of {size}");
        }
    };
    let path: Vec<Weights> = (0..=steps).map(|k| flow(&train, slope, &start, k as f64 * step)).collect();
    check("flow", &StandardLoss::Identity, &path);
    for loss in [StandardLoss::Identity, StandardLoss::Logistic, StandardLoss::Exponential, StandardLoss::Squared] {
        let descent = |k: usize| {
            if k == 0 {
                return start.clone();
            }
            let descent = Descent::new(step, k).unwrap();
            descent.train(&Neurons::given(start.clone()), slope, &train, &loss).unwrap().weights
        };
        check(loss.name(), &loss, &(0..=steps).map(descent).collect::<Vec<_>>());
    }
}

//= test K5@5687c941
/// K5: a neuron far from every boundary feels a constant gradient.
#[test]
fn momentum_moves_a_constant_gradient_by_the_flow_time() {
    let one = TrainingSet::new(rows(1, &[0.5]), vec![1.0]).unwrap();
    let (a, rate, beta, steps) = (0.5, 0.1, 0.9_f64, 50);
    let start = Weights::from_augmented(1, vec![0.0, 8.0], vec![a]).unwrap();
    let descent = Descent::new(rate, steps).unwrap().with_momentum(beta).unwrap();
    let trained = descent.train(&Neurons::given(start.clone()), Slope::RELU, &one, &StandardLoss::Identity).unwrap();
    let n = steps as f64;
    let time = rate / (1.0 - beta) * (n - beta * (1.0 - beta.powf(n)) / (1.0 - beta));
    assert!((trained.flow_time / time - 1.0).abs() < 100.0 * f64::EPSILON);
    // The descended loss is −f: ∇ = −a (0.5, 1).
    for ((before, after), x) in start.hidden().iter().zip(trained.weights.hidden()).zip([0.5, 1.0]) {
        // 50 additions to a weight of at most 30.
        assert!((after - before - time * a * x).abs() < 50.0 * 30.0 * f64::EPSILON, "{after} {before}");
    }
}

//= test K7@dea0f6f5
/// K7: the perturbation is the normalised descent step of ℓ(y'f) in the input; g ≥ 0 is all that the loss adds.
#[test]
fn the_loss_leaves_the_sign_of_its_force_in_the_perturbation() {
    let points = gaussian_points("loss/points", 5, 3);
    let narrow = network("loss/network", 3, 9);
    // Larger readouts, so that some margins exceed 1.
    let readout = narrow.readout().iter().map(|a| 6.0 * a).collect();
    let weights = Weights::from_augmented(3, narrow.hidden().to_vec(), readout).unwrap();
    let f = |x: &[f64]| outputs(&weights, Slope::RELU, &rows(3, x)).unwrap()[0];
    let gradients = input_gradients(&weights, Slope::RELU, &points).unwrap();
    let values = outputs(&weights, Slope::RELU, &points).unwrap();
    let mut reversed = 0;
    for loss in [StandardLoss::Identity, StandardLoss::Logistic, StandardLoss::Exponential, StandardLoss::Squared] {
        for target in [1.0, -1.0] {
            let moves = adversarial_perturbations(&gradients, &values, &[target; 5], &loss, 1.0).unwrap();
            for (n, x) in points.iter().enumerate() {
                let step = 1e-5;
                let fall: Vec<f64> = (0..3)
                    .map(|i| {
                        let at = |h: f64| {
                            let mut moved = x.to_vec();
                            moved[i] += h;
                            loss.value(target * f(&moved))
                        };
                        (at(-step) - at(step)) / (2.0 * step)
                    })
                    .collect();
                let norm = inner(&fall, &fall).sqrt();
                let direction = gradients.column(n).normalize() * target;
                let flips = loss == StandardLoss::Squared && target * values[n] > 1.0;
                reversed += usize::from(flips);
                for i in 0..3 {
                    // Central differences: h² ℓ''' and ε ℓ/h, relative to a slope that is not tiny here.
                    assert!((moves[(i, n)] - fall[i] / norm).abs() < 1e-5, "{}: {fall:?}", loss.name());
                    let expected = if flips { -direction[i] } else { direction[i] };
                    assert!((moves[(i, n)] - expected).abs() < 4.0 * f64::EPSILON, "{}", loss.name());
                }
            }
        }
    }
    assert!(reversed > 0, "no margin exceeds 1");
}

//= test M1@25975a58
/// M1: where all samples push a neuron down, two solutions approach each other, and no pre-activation is faster than qκ.
#[test]
fn attracted_neurons_never_part_and_keep_the_speed_limit() {
    let points = gaussian_points("contraction/points", 8, 3);
    let pushing = |label: f64| TrainingSet::new(points.clone(), vec![label; 8]).unwrap();
    let z = [0.4, -1.0, 0.3];
    let mut parted = 0;
    for case in 0..30 {
        let start = network(&format!("contraction/{case}"), 3, 2);
        let start = Weights::from_augmented(3, start.hidden().to_vec(), vec![0.7, 0.7]).unwrap();
        let distance = |weights: &Weights| {
            let (one, other) = weights.hidden().split_at(4);
            one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        let kappa = points.iter().map(|x| (inner(x, &z) + 1.0).abs() / 8.0).sum::<f64>();
        for (label, attracted) in [(-1.0, true), (1.0, false)] {
            let path: Vec<Weights> =
                (0..60).map(|k| flow(&pushing(label), slope(0.1), &start, 0.2 * f64::from(k))).collect();
            for pair in path.windows(2) {
                let grows = distance(&pair[1]) > distance(&pair[0]) * (1.0 + 1e-12) + 1e-12;
                assert!(!(attracted && grows), "case {case}: {} {}", distance(&pair[0]), distance(&pair[1]));
                parted += usize::from(grows);
                let u = |weights: &Weights, i: usize| preactivation(&weights.hidden()[4 * i..][..4], &z);
                let fastest = (0..2).map(|i| (u(&pair[1], i) - u(&pair[0], i)).abs()).fold(0.0, f64::max);
                assert!(fastest <= 0.7 * kappa * 0.2 * (1.0 + 1e-12) + 1e-12, "{fastest}");
            }
        }
    }
    assert!(parted > 0, "repelled neurons should part: this test could not fail");
}

//= test M3@0eb36093
//= power M3@0eb36093
/// M3: all corners of the box. Fault: the range of a larger slope.
#[test]
fn no_corner_leaves_the_range_of_velocities_and_two_attain_it() {
    let (set, at): (TrainingSet, Points) = (gaussian_set("corners", 9, 2), gaussian_points("corners/at", 4, 2));
    for z in at.iter() {
        let c: Vec<f64> = set.points().iter().zip(set.labels()).map(|(x, y)| y * (inner(x, z) + 1.0) / 9.0).collect();
        let corner = |bits: u32| (0..9).map(|k| c[k] * if bits >> k & 1 == 1 { 1.0 } else { 0.2 }).sum::<f64>();
        let (low, high) = velocity_range(&c, slope(0.2));
        let (faulty_low, faulty_high) = velocity_range(&c, slope(0.25));
        let corners: Vec<f64> = (0..1 << 9).map(corner).collect();
        let (least, most) = corners.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        // Sums of nine terms of size 1.
        assert!((least - low).abs() < 1e-14 && (most - high).abs() < 1e-14, "{least} {low} {most} {high}");
        assert!(least < faulty_low - 1e-6 && most > faulty_high + 1e-6, "a range that is too small passes");
    }
}
