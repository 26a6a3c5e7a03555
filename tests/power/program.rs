//! The program, twice: the library's, and a slow one with loops over neurons and points into which a fault can be put.

use nalgebra::DMatrix;
use perturbation_learning::loss::StandardLoss;
use perturbation_learning::network::{
    Descent, GradientFlow, Initialisation, Neurons, Readout, Weights, adversarial_perturbations, input_gradients,
    outputs,
};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use perturbation_learning::theory::perturbed_points;
use rand_distr::{Distribution, StandardNormal};

use crate::fault::Fault;
use crate::lab::{Attack, First, Law, Recipe};
use crate::theory::{Library, Naive, inner};

/// What a program does, and a theory is judged by.
pub trait Program: Sync {
    /// An initial network.
    fn draw(&self, input_dim: usize, width: usize, law: Law, streams: Streams) -> Weights;
    /// F̂₀ at the test points: the rate at which training begins to change the outputs.
    fn rate(&self, weights: &Weights, train: &TrainingSet, slope: Slope, test: &Points) -> Vec<f64>;
    /// The network after descent of the identity loss.
    fn descend(&self, weights: &Weights, train: &TrainingSet, slope: Slope, recipe: Recipe) -> Weights;
    /// f at some points.
    fn outputs(&self, weights: &Weights, slope: Slope, points: &Points) -> Vec<f64>;
    /// The targets of an attack.
    fn targets(&self, labels: &[f64], streams: &Streams) -> Vec<f64>;
    /// The inputs of the second network.
    fn perturbed(&self, first: &First, train: &TrainingSet, slope: Slope, targets: &[f64], attack: Attack) -> Points;
    /// The second network before its training, given a freshly drawn one.
    fn second_start(&self, _first: &First, fresh: Weights) -> Weights {
        fresh
    }
    /// What the second network is trained towards.
    fn second_labels(&self, _labels: &[f64], targets: &[f64]) -> Vec<f64> {
        targets.to_vec()
    }
    /// How the second network is trained.
    fn second_recipe(&self, _first: Recipe, second: Recipe) -> Recipe {
        second
    }
}

impl Program for Library {
    fn draw(&self, input_dim: usize, width: usize, law: Law, streams: Streams) -> Weights {
        Neurons::draw(input_dim, width, law.init, law.readout, streams).unwrap().weights()
    }

    fn rate(&self, weights: &Weights, train: &TrainingSet, slope: Slope, test: &Points) -> Vec<f64> {
        let flow = GradientFlow::new(train, slope, 0.0).unwrap().with_test(test).unwrap().watch_test();
        flow.run(&Neurons::given(weights.clone())).unwrap().initial_rate_test
    }

    fn descend(&self, weights: &Weights, train: &TrainingSet, slope: Slope, recipe: Recipe) -> Weights {
        let descent = Descent::new(recipe.rate, recipe.steps).unwrap().with_momentum(recipe.momentum).unwrap();
        descent.train(&Neurons::given(weights.clone()), slope, train, &StandardLoss::Identity).unwrap().weights
    }

    fn outputs(&self, weights: &Weights, slope: Slope, points: &Points) -> Vec<f64> {
        outputs(weights, slope, points).unwrap()
    }

    fn targets(&self, labels: &[f64], streams: &Streams) -> Vec<f64> {
        random_signs(streams, labels.len())
    }

    fn perturbed(&self, first: &First, train: &TrainingSet, slope: Slope, targets: &[f64], attack: Attack) -> Points {
        let gradients = input_gradients(&first.trained, slope, train.points()).unwrap();
        let values = outputs(&first.trained, slope, train.points()).unwrap();
        let loss = StandardLoss::Identity;
        let moves = adversarial_perturbations(&gradients, &values, targets, &loss, attack.epsilon).unwrap();
        perturbed_points(train.points(), &moves, attack.scenario).unwrap()
    }
}

/// (w, b) and a of every neuron.
pub fn neurons(weights: &Weights) -> impl Iterator<Item = (&[f64], f64, f64)> {
    let rows = weights.hidden().chunks_exact(weights.input_dim() + 1).zip(weights.readout());
    rows.map(|(row, a)| {
        let (bias, w) = row.split_last().unwrap();
        (w, *bias, *a)
    })
}

impl Naive {
    fn is(&self, fault: Fault) -> bool {
        self.0 == Some(fault)
    }

    /// φ'.
    fn derivative(&self, slope: Slope, u: f64) -> f64 {
        let leak = if self.is(Fault::LeakForgottenInTraining) { 0.0 } else { slope.value() };
        let positive = (u >= 0.0) != self.is(Fault::DerivativeOfTheOtherSide);
        if positive { 1.0 } else { leak }
    }

    fn gradient(&self, weights: &Weights, slope: Slope, x: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; x.len()];
        for (w, bias, a) in neurons(weights) {
            let u = inner(w, x) + bias;
            let factor = a * if u >= 0.0 { 1.0 } else { slope.value() };
            gradient.iter_mut().zip(w).for_each(|(g, w)| *g += factor * w);
        }
        gradient
    }

    /// The force on (w, b) of one neuron: (a/N) Σ y φ'(u) (x, 1).
    fn force(&self, train: &TrainingSet, slope: Slope, row: &[f64], a: f64) -> Vec<f64> {
        let (bias, w) = row.split_last().unwrap();
        let n = if self.is(Fault::LossSummed) { 1.0 } else { train.count() as f64 };
        let sign = if self.is(Fault::LabelsFlippedInTraining) { -1.0 } else { 1.0 };
        let one = if self.is(Fault::BiasFrozen) { 0.0 } else { 1.0 };
        let mut force = vec![0.0; row.len()];
        for (x, y) in train.points().iter().zip(train.labels()) {
            let factor = sign * a * y * self.derivative(slope, inner(w, x) + bias) / n;
            force.iter_mut().zip(x.iter().chain([&one])).for_each(|(f, x)| *f += factor * x);
        }
        force
    }
}

impl Program for Naive {
    fn draw(&self, input_dim: usize, width: usize, law: Law, streams: Streams) -> Weights {
        let paired = law.init == Initialisation::Antisymmetric;
        let (mut hidden, mut readout) = (Vec::new(), Vec::new());
        for i in 0..width {
            let stream = if paired && !self.is(Fault::PairsNotPaired) { i / 2 } else { i };
            let mut rng = streams.stream(stream as u64);
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            let alpha = normal();
            let unit = match law.readout {
                Readout::Gaussian => alpha,
                Readout::Rademacher if self.is(Fault::ReadoutsNotOfSizeOne) => 3.0_f64.sqrt() * uniform(alpha),
                Readout::Rademacher if self.is(Fault::ReadoutsOfOneSign) => 1.0,
                Readout::Rademacher => 1.0_f64.copysign(alpha),
            };
            let scale = match self.0 {
                Some(Fault::ReadoutVarianceOne) => 1.0,
                Some(Fault::ReadoutVarianceSquared) => 1.0 / width as f64,
                _ => 1.0 / (width as f64).sqrt(),
            };
            readout.push(if paired && i % 2 == 1 { -scale * unit } else { scale * unit });
            let bias = normal();
            let fan_in = if self.is(Fault::WeightsWithoutFanIn) { 1.0 } else { (input_dim as f64).sqrt() };
            hidden.extend((0..input_dim).map(|_| normal() / fan_in));
            hidden.push(if self.is(Fault::BiasNotDrawn) { 0.0 } else { bias });
        }
        Weights::from_augmented(input_dim, hidden, readout).unwrap()
    }

    fn rate(&self, weights: &Weights, train: &TrainingSet, slope: Slope, test: &Points) -> Vec<f64> {
        // ∂_t f(z) = Σ_i a_i φ'(u_i(z)) ⟨force_i, (z, 1)⟩.
        let mut rate = vec![0.0; test.count()];
        for (row, &a) in weights.hidden().chunks_exact(weights.input_dim() + 1).zip(weights.readout()) {
            let force = self.force(train, slope, row, a);
            for (rate, z) in rate.iter_mut().zip(test.iter()) {
                let u = inner(&row[..z.len()], z) + row[z.len()];
                let derivative = if u >= 0.0 { 1.0 } else { slope.value() };
                *rate += a * derivative * (inner(&force[..z.len()], z) + force[z.len()]);
            }
        }
        rate
    }

    fn descend(&self, weights: &Weights, train: &TrainingSet, slope: Slope, recipe: Recipe) -> Weights {
        let steps = match self.0 {
            Some(Fault::OneStepTooMany) => recipe.steps + 1,
            Some(Fault::OneStepTooFew) => recipe.steps - 1,
            _ => recipe.steps,
        };
        let momentum = if self.is(Fault::MomentumNotApplied) { 0.0 } else { recipe.momentum };
        let mut hidden = weights.hidden().to_vec();
        for (row, &a) in hidden.chunks_exact_mut(weights.input_dim() + 1).zip(weights.readout()) {
            let mut velocity = vec![0.0; row.len()];
            for _ in 0..steps {
                let force = self.force(train, slope, row, a);
                for ((w, v), f) in row.iter_mut().zip(&mut velocity).zip(&force) {
                    *v = momentum * *v + f;
                    *w += recipe.rate * *v;
                }
            }
        }
        let mut readout = weights.readout().to_vec();
        if self.is(Fault::ReadoutTrained) {
            // One step of the whole time: enough for a fault.
            let time = recipe.rate * steps as f64;
            for ((w, bias, _), a) in neurons(weights).zip(&mut readout) {
                let points = train.points().iter().zip(train.labels());
                let force: f64 = points.map(|(x, y)| y * slope.activation(inner(w, x) + bias)).sum();
                *a += time * force / (train.count() * weights.width()) as f64;
            }
        }
        Weights::from_augmented(weights.input_dim(), hidden, readout).unwrap()
    }

    fn outputs(&self, weights: &Weights, slope: Slope, points: &Points) -> Vec<f64> {
        let value = |x: &[f64]| neurons(weights).map(|(w, bias, a)| a * slope.activation(inner(w, x) + bias)).sum();
        points.iter().map(value).collect()
    }

    fn targets(&self, labels: &[f64], streams: &Streams) -> Vec<f64> {
        match self.0 {
            Some(Fault::TargetsAreLabels) => labels.to_vec(),
            Some(Fault::TargetsAreOppositeLabels) => labels.iter().map(|y| -y).collect(),
            Some(Fault::TargetsAllEqual) => vec![1.0; labels.len()],
            _ => random_signs(streams, labels.len()),
        }
    }

    fn perturbed(&self, first: &First, train: &TrainingSet, slope: Slope, targets: &[f64], attack: Attack) -> Points {
        let network = if self.is(Fault::AttackOnUntrained) { &first.initial } else { &first.trained };
        let on_image = (attack.scenario == Scenario::OnImage) != self.is(Fault::ScenariosSwapped);
        let (d, count) = train.points().as_columns().shape();
        let mut moved = DMatrix::zeros(d, count);
        for (n, (x, target)) in train.points().iter().zip(targets).enumerate() {
            let gradient = self.gradient(network, slope, x);
            let norm = match self.0 {
                Some(Fault::PerturbationNotNormalised) => 1.0,
                Some(Fault::PerturbationOfLargestCoordinate) => gradient.iter().fold(0.0, |m: f64, g| m.max(g.abs())),
                Some(Fault::PerturbationScaledByDimension) => inner(&gradient, &gradient).sqrt() / (d as f64).sqrt(),
                _ => inner(&gradient, &gradient).sqrt(),
            };
            let sign = match self.0 {
                Some(Fault::PerturbationAgainstTarget) => -target,
                Some(Fault::PerturbationWithoutTarget) => 1.0,
                _ => *target,
            };
            for row in 0..d {
                let base = if on_image { x[row] } else { 0.0 };
                moved[(row, n)] = base + attack.epsilon * sign * gradient[row] / norm;
            }
        }
        Points::from_columns("perturbed", moved).unwrap()
    }

    fn second_start(&self, first: &First, fresh: Weights) -> Weights {
        match self.0 {
            Some(Fault::SecondStartsAsFirst) => first.initial.clone(),
            Some(Fault::SecondContinuesFirst) => first.trained.clone(),
            _ => fresh,
        }
    }

    fn second_labels(&self, labels: &[f64], targets: &[f64]) -> Vec<f64> {
        if self.is(Fault::SecondOnTrueLabels) { labels.to_vec() } else { targets.to_vec() }
    }

    fn second_recipe(&self, first: Recipe, second: Recipe) -> Recipe {
        if self.is(Fault::SecondTrainedAsLong) { first } else { second }
    }
}

/// A standard normal value as one that is uniform on [−1, 1].
fn uniform(normal: f64) -> f64 {
    use statrs::distribution::{ContinuousCDF, Normal};
    2.0 * Normal::standard().cdf(normal) - 1.0
}
