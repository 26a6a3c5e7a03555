//! Instruments on gradients and perturbations.

use nalgebra::DMatrix;
use perturbation_learning::network::{GradientFlow, Neurons, Weights, outputs};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::stats::budget::alpha;
use perturbation_learning::stats::mean;
use perturbation_learning::theory::Predictor;
use perturbation_learning::theory::bound::{Geometry, mean_drift_bound};
use rayon::prelude::*;

use crate::evidence::Evidence;
use crate::instrument::Instrument;
use crate::lab::{Attack, DIM, First, Lab, PAIRED, PAIRED_GAUSSIAN, Recipe, SEED, STANDARD, streams};
use crate::program::{Program, neurons};
use crate::theory::{Library, Theory};

/// ∇F at the training points against central differences of F (P1: the symmetric gradient), exact.
///
/// Differences at h and h/2 give the error's order without a picked constant: it is O(h), so the error at h/2 stays below
/// three quarters of the error at h unless the gradient is wrong. The first is small enough if it is O(h²) already.
pub struct LimitGradient {
    pub lab: Lab,
}

impl Instrument for LimitGradient {
    type Sample = ();

    fn name(&self) -> &'static str {
        "gradient of the limit against differences"
    }

    fn sample(&self, _: &dyn Program) {}

    fn judge(&self, theory: &dyn Theory, (): &()) -> Vec<Evidence> {
        let Lab { train, slope, .. } = &self.lab;
        let gradient = theory.gradient(train, *slope);
        let error = |h: f64| (differences(train, *slope, h) - &gradient).norm();
        vec![Evidence::Exact { excess: error(5e-4) / (0.75 * error(1e-3)) }]
    }
}

fn differences(train: &TrainingSet, slope: Slope, h: f64) -> DMatrix<f64> {
    let limit = Predictor::identity(train, slope, 1.0).unwrap();
    DMatrix::from_fn(DIM, train.count(), |row, n| {
        let mut ends = [train.points().point(n).to_vec(), train.points().point(n).to_vec()];
        ends[0][row] += h;
        ends[1][row] -= h;
        let values = limit.values(&Points::from_rows("x", 2, DIM, ends.concat()).unwrap()).unwrap();
        (values[0] - values[1]) / (2.0 * h)
    })
}

/// (∇f_T − ∇f₀)/T of wide networks against ∇F, along v and along b (P3), as `the_boundary_term_is_there` has it.
///
/// The equality is one of limits: P3 leaves a bias of order T/√m = 0.0017 for these networks, and nothing is allowed for it.
/// It is small against the standard error, which has the term (T√m)^{−1/2} of P4.
pub struct TrainedGradient {
    pub lab: Lab,
    pub networks: usize,
    pub width: usize,
    pub time: f64,
}

impl Instrument for TrainedGradient {
    type Sample = Vec<DMatrix<f64>>;

    fn name(&self) -> &'static str {
        "power: gradient after training"
    }

    /// The exact flow, whichever program: none of the faults of programs is judged here.
    fn sample(&self, _: &dyn Program) -> Self::Sample {
        let flow = GradientFlow::new(&self.lab.train, self.lab.slope, self.time).unwrap().with_gradients().prepare();
        let one = |index| {
            let (init, readout) = (PAIRED_GAUSSIAN.init, PAIRED_GAUSSIAN.readout);
            let neurons = Neurons::draw(DIM, self.width, init, readout, streams("gradient", index)).unwrap();
            flow.run(&neurons).unwrap().gradients.unwrap() / self.time
        };
        (0..self.networks).map(one).collect()
    }

    fn judge(&self, theory: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence> {
        let Lab { train, slope, .. } = &self.lab;
        let limit = Predictor::identity(train, *slope, 1.0).unwrap();
        let expected = theory.gradient(train, *slope);
        let error = alpha(self.name()) / 2.0;
        let along = |direction: DMatrix<f64>| {
            let values: Vec<f64> = sample.iter().map(|gradient| gradient.dot(&direction)).collect();
            Evidence::mean(&values, expected.dot(&direction), 0.0, error)
        };
        let (v, b) = (limit.weighted_sum(train.points()).unwrap(), limit.boundary_term(train.points()).unwrap());
        vec![along(v), along(b)]
    }
}

/// The second network's inputs against the first network, exact (N3): r_n less x_n or 0 is ε y'_n times the unit gradient
/// of f_T at x_n, measured by differences of outputs so short that no neuron changes sign in between.
pub struct Inputs {
    pub lab: Lab,
    pub recipe: Recipe,
}

const EPSILON: f64 = 0.7;

impl Instrument for Inputs {
    type Sample = Vec<f64>;

    fn name(&self) -> &'static str {
        "inputs of the second network"
    }

    fn sample(&self, program: &dyn Program) -> Self::Sample {
        let Lab { train, slope, .. } = &self.lab;
        let mut excess = Vec::new();
        for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
            let drawn = || program.draw(DIM, 128, STANDARD, streams("inputs", 0));
            let first = First { trained: program.descend(&drawn(), train, *slope, self.recipe), initial: drawn() };
            let targets = program.targets(train.labels(), &Streams::new(SEED, "power/inputs/targets"));
            let attack = Attack { epsilon: EPSILON, scenario };
            let inputs = program.perturbed(&first, train, *slope, &targets, attack);
            for (n, x) in train.points().iter().enumerate() {
                let (gradient, rounding) = differences_of_outputs(&first.trained, *slope, x);
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                let image = if scenario == Scenario::OnImage { 1.0 } else { 0.0 };
                let deviation = (0..DIM).map(|row| {
                    let expected = image * x[row] + EPSILON * targets[n] * gradient[row] / norm;
                    (inputs.point(n)[row] - expected).abs()
                });
                // D6 for the gradient's error, √d times the largest coordinate's.
                let allowed = EPSILON * 2.0 * (DIM as f64).sqrt() * rounding / norm;
                excess.push(deviation.fold(0.0, f64::max) / allowed);
            }
        }
        excess
    }

    fn judge(&self, _: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence> {
        sample.iter().map(|&excess| Evidence::Exact { excess }).collect()
    }
}

/// ∇f by differences over half the way to the nearest kink, and the largest rounding error of a coordinate: outputs of
/// m terms with d + 1 products each err by at most (m + d + 3)ε Σ|a|(‖w‖₁ max|x| + |b|).
fn differences_of_outputs(weights: &Weights, slope: Slope, x: &[f64]) -> (Vec<f64>, f64) {
    let largest = |v: &[f64]| v.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let kink = |(w, bias, _): (&[f64], f64, f64)| {
        let u = w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
        u.abs() / largest(w)
    };
    let step = 0.5 * neurons(weights).map(kink).fold(1.0, f64::min);
    let magnitude = |(w, bias, a): (&[f64], f64, f64)| {
        a.abs() * (w.iter().map(|w| w.abs()).sum::<f64>() * (largest(x) + step) + bias.abs())
    };
    let terms = (weights.width() + x.len() + 3) as f64;
    let rounding = terms * f64::EPSILON * neurons(weights).map(magnitude).sum::<f64>() / step;
    let coordinate = |row: usize| {
        let mut ends = [x.to_vec(), x.to_vec()];
        ends[0][row] += step;
        ends[1][row] -= step;
        let way = ends[0][row] - ends[1][row];
        let values = outputs(weights, slope, &Points::from_rows("x", 2, x.len(), ends.concat()).unwrap()).unwrap();
        (values[0] - values[1]) / way
    };
    ((0..x.len()).map(coordinate).collect(), rounding)
}

/// Targets are fair coins, independent of the labels (N3): how often they agree with the labels, how often they are +1.
pub struct Targets {
    pub lab: Lab,
    pub draws: usize,
}

impl Instrument for Targets {
    type Sample = [u64; 2];

    fn name(&self) -> &'static str {
        "power: targets"
    }

    fn sample(&self, program: &dyn Program) -> Self::Sample {
        let labels = self.lab.train.labels();
        let mut counts = [0, 0];
        for index in 0..self.draws {
            let targets = program.targets(labels, &streams("targets", index));
            counts[0] += targets.iter().zip(labels).filter(|(target, y)| target == y).count() as u64;
            counts[1] += targets.iter().filter(|target| **target > 0.0).count() as u64;
        }
        counts
    }

    fn judge(&self, _: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence> {
        let trials = (self.draws * self.lab.train.count()) as u64;
        let two_sided =
            |count| [count, trials - count].map(|c| Evidence::count(c, trials, 0.5, alpha(self.name()) / 4.0));
        sample.iter().flat_map(|&count| two_sided(count)).collect()
    }
}

/// What one pair of networks shows at each test point.
pub struct PairSample {
    /// g_{T'} − T'·G_r, G_r the limit given the inputs, and W5's bound on its mean.
    second: Vec<Vec<f64>>,
    drift: Vec<Vec<f64>>,
    /// f_T − T·F times the same, and |f_T − T·F| times the bound.
    product: Vec<Vec<f64>>,
    product_drift: Vec<Vec<f64>>,
}

/// Two networks one after the other: given f and the inputs, g_{T'} has mean T'·G_r up to the mean drift (G2), and so it is
/// uncorrelated with f's deviation from its own limit, up to the same.
pub struct PairOfNetworks {
    pub lab: Lab,
    pub networks: usize,
    pub first: Recipe,
    pub second: Recipe,
}

const PAIR_WIDTH: usize = 64;

impl PairOfNetworks {
    /// Deviation of f, deviation of g, bound on the mean of the latter; per test point.
    fn one(&self, program: &dyn Program, index: usize) -> [Vec<f64>; 3] {
        let Lab { train, test, slope } = &self.lab;
        let draw = |name: &str| program.draw(DIM, PAIR_WIDTH, PAIRED, streams(name, index));
        let initial = draw("pair/f");
        let first = First { trained: program.descend(&initial, train, *slope, self.first), initial };
        let targets = program.targets(train.labels(), &streams("pair/targets", index));
        let attack = Attack { epsilon: 1.5, scenario: Scenario::PerturbationOnly };
        let inputs = program.perturbed(&first, train, *slope, &targets, attack);
        let labels = program.second_labels(train.labels(), &targets);
        let trained_on = TrainingSet::new(inputs.clone(), labels).unwrap();
        let start = program.second_start(&first, draw("pair/g"));
        let recipe = program.second_recipe(self.first, self.second);
        let second = program.descend(&start, &trained_on, *slope, recipe);

        let deviation = |network: &Weights, set: &TrainingSet, recipe: Recipe| -> Vec<f64> {
            let (time, limit) = (Library.flow_time(recipe), Library.limit(set, *slope, test));
            let values = program.outputs(network, *slope, test);
            values.iter().zip(limit).map(|(f, limit)| f - time * limit).collect()
        };
        let stated = TrainingSet::new(inputs, targets).unwrap();
        let geometry = Geometry::new(&stated, *slope, test).unwrap();
        let drift = mean_drift_bound(&geometry, PAIRED.of_width(PAIR_WIDTH), Library.flow_time(self.second)).unwrap();
        [deviation(&first.trained, train, self.first), deviation(&second, &stated, self.second), drift]
    }
}

impl Instrument for PairOfNetworks {
    type Sample = PairSample;

    fn name(&self) -> &'static str {
        "power: second network given the first"
    }

    fn sample(&self, program: &dyn Program) -> PairSample {
        let all: Vec<_> = (0..self.networks).into_par_iter().map(|index| self.one(program, index)).collect();
        let per_point = |f: &dyn Fn(&[Vec<f64>; 3], usize) -> f64| -> Vec<Vec<f64>> {
            (0..self.lab.test.count()).map(|j| all.iter().map(|pair| f(pair, j)).collect()).collect()
        };
        PairSample {
            second: per_point(&|[_, g, _], j| g[j]),
            drift: per_point(&|[_, _, drift], j| drift[j]),
            product: per_point(&|[f, g, _], j| f[j] * g[j]),
            product_drift: per_point(&|[f, _, drift], j| f[j].abs() * drift[j]),
        }
    }

    fn judge(&self, _: &dyn Theory, sample: &PairSample) -> Vec<Evidence> {
        let error = alpha(self.name()) / (2 * self.lab.test.count()) as f64;
        let zero = |values: &Vec<Vec<f64>>, drift: &Vec<Vec<f64>>| -> Vec<Evidence> {
            let points = values.iter().zip(drift);
            let excess = |(values, drift): (&Vec<f64>, &Vec<f64>)| within(values, drift, error);
            points.map(excess).collect()
        };
        [zero(&sample.second, &sample.drift), zero(&sample.product, &sample.product_drift)].concat()
    }
}

/// Whether |E values| ≤ E drift: both signs of the values are judged with the drift taken off, value by value, so that the
/// drift's own randomness is in the standard error.
fn within(values: &[f64], drift: &[f64], error: f64) -> Evidence {
    let sign = mean(values).signum();
    let beyond: Vec<f64> = values.iter().zip(drift).map(|(v, drift)| sign * v - drift).collect();
    let centre = mean(&beyond);
    if centre <= 0.0 {
        // Inside the allowed range: nothing to reject.
        return Evidence::mean(&beyond, centre, 0.0, error);
    }
    Evidence::mean(&beyond, 0.0, 0.0, error)
}
