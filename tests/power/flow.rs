//! The exact flow: a slow one by events, with faults, and the instrument that judges flows by descent with shrinking steps.

use nalgebra::{DMatrix, DVector};
use perturbation_learning::network::flow::{Block, Observer};
use perturbation_learning::network::{GradientFlow, Initialisation, Neurons, Readout, Weights};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::random_signs;

use crate::evidence::Evidence;
use crate::fault::Fault;
use crate::instrument::{accept, reject};
use crate::lab::{normal_points, streams};
use crate::theory::inner;

/// Where a pre-activation stands.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Above,
    Below,
    Slides,
    /// Only under a fault: the sample's side is not looked at any more.
    Ignored(f64),
}

/// The flow of one neuron, event by event (M2).
struct Neuron<'a> {
    /// y_k/N·⟨x̃_j, x̃_k⟩, in row j and column k.
    forces: &'a DMatrix<f64>,
    slope: f64,
    a: f64,
    u: DVector<f64>,
    sides: Vec<Side>,
}

impl Neuron<'_> {
    fn derivative(&self, side: Side) -> f64 {
        match side {
            Side::Above => 1.0,
            Side::Below => self.slope,
            Side::Slides => 0.0,
            Side::Ignored(value) => value,
        }
    }

    /// φ' of all samples: sliding ones have the values that keep their velocities at 0; one that would need a value
    /// outside [γ, 1] leaves to the side it is pushed to.
    fn derivatives(&mut self) -> DVector<f64> {
        loop {
            let mut phi = DVector::from_iterator(self.sides.len(), self.sides.iter().map(|s| self.derivative(*s)));
            let sliding: Vec<usize> = (0..self.sides.len()).filter(|&j| self.sides[j] == Side::Slides).collect();
            if sliding.is_empty() {
                return phi;
            }
            let push = self.forces * &phi;
            let matrix = DMatrix::from_fn(sliding.len(), sliding.len(), |r, c| self.forces[(sliding[r], sliding[c])]);
            let right = DVector::from_fn(sliding.len(), |r, _| -push[sliding[r]]);
            let solved = matrix.lu().solve(&right).expect("sliding samples in general position");
            let outside = |r: &usize| (solved[*r] - 1.0).max(self.slope - solved[*r]);
            let worst = (0..sliding.len()).max_by(|a, b| outside(a).total_cmp(&outside(b))).unwrap();
            if outside(&worst) <= 0.0 {
                sliding.iter().zip(&solved).for_each(|(j, value)| phi[*j] = *value);
                return phi;
            }
            self.sides[sliding[worst]] = if solved[worst] > 1.0 { Side::Above } else { Side::Below };
        }
    }

    /// The next sign change under constant velocities: when, and of which sample.
    fn next_event(&self, velocity: &DVector<f64>, fastest: Option<&[f64]>) -> Option<(f64, usize)> {
        let event = |j: usize| {
            let approaching = match self.sides[j] {
                Side::Above => velocity[j] < 0.0,
                Side::Below => velocity[j] > 0.0,
                Side::Slides | Side::Ignored(_) => false,
            };
            let speed = fastest.map_or(velocity[j].abs(), |range| self.a.abs() * range[j]);
            approaching.then(|| (self.u[j].abs() / speed, j))
        };
        (0..self.sides.len()).filter_map(event).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Sample j has arrived at 0: it crosses if the velocity beyond has the same direction, and slides otherwise.
    fn arrive(&mut self, j: usize, velocity: f64, fault: Option<Fault>) {
        self.u[j] = 0.0;
        let beyond = if velocity > 0.0 { Side::Above } else { Side::Below };
        self.sides[j] = beyond;
        if fault == Some(Fault::SlidingIgnored) {
            self.sides[j] = Side::Ignored(self.derivative(beyond));
            return;
        }
        let phi = self.derivatives();
        if self.a * (self.forces.row(j) * phi)[0] * velocity <= 0.0 {
            self.sides[j] = Side::Slides;
        }
    }

    /// ∫₀ᵀ φ' dt for every sample.
    fn run(mut self, time: f64, fault: Option<Fault>) -> DVector<f64> {
        let range: Vec<f64> = self.forces.row_iter().map(|row| row.iter().map(|c| c.abs()).sum()).collect();
        let fastest = (fault == Some(Fault::EventTimesFromRange)).then_some(&range[..]);
        let (mut now, mut integral) = (0.0, DVector::zeros(self.sides.len()));
        for _ in 0..10_000 {
            let phi = self.derivatives();
            let velocity = self.forces * &phi * self.a;
            let frozen = fault == Some(Fault::VelocityFrozen);
            let event = self.next_event(&velocity, fastest).filter(|(wait, _)| !frozen && now + wait < time);
            let step = event.map_or(time - now, |(wait, _)| wait);
            integral += &phi * step;
            self.u += &velocity * step;
            now += step;
            match event {
                None => return integral,
                Some(_) if fault == Some(Fault::StoppedAtFirstEvent) => return integral,
                Some((_, j)) => self.arrive(j, velocity[j], fault),
            }
        }
        assert!(fault.is_some(), "the flow of a neuron does not end");
        integral
    }
}

/// The hidden weights after the exact flow, neuron by neuron.
pub fn naive_flow(train: &TrainingSet, slope: Slope, weights: &Weights, time: f64, fault: Option<Fault>) -> Vec<f64> {
    let n = train.count();
    let augmented: Vec<Vec<f64>> = train.points().iter().map(|x| x.iter().copied().chain([1.0]).collect()).collect();
    let force = |j: usize, k: usize| train.labels()[k] / n as f64 * inner(&augmented[j], &augmented[k]);
    let forces = DMatrix::from_fn(n, n, force);
    let mut hidden = weights.hidden().to_vec();
    for (row, &a) in hidden.chunks_exact_mut(train.input_dim() + 1).zip(weights.readout()) {
        let u = DVector::from_fn(n, |j, _| inner(&augmented[j], row));
        let sides = u.iter().map(|u| if *u >= 0.0 { Side::Above } else { Side::Below }).collect();
        let integral = Neuron { forces: &forces, slope: slope.value(), a, u, sides }.run(time, fault);
        for (k, x) in augmented.iter().enumerate() {
            let factor = a * train.labels()[k] / n as f64 * integral[k];
            row.iter_mut().zip(x).for_each(|(w, x)| *w += factor * x);
        }
    }
    hidden
}

/// Data, network and time of the instrument: so long that many neurons slide.
pub struct FlowCase {
    pub train: TrainingSet,
    pub slope: Slope,
    pub time: f64,
    pub weights: Weights,
}

impl FlowCase {
    pub fn new() -> Self {
        let points: Points = normal_points("power/flow", 6, 1.0, 0.0);
        let labels = random_signs(&streams("flow/labels", 0), 6);
        let train = TrainingSet::new(points, labels).unwrap();
        let draw = |width| Neurons::draw(4, width, Initialisation::Standard, Readout::Gaussian, streams("flow", 0));
        FlowCase { train, slope: Slope::new(0.1).unwrap(), time: 8.0, weights: draw(40).unwrap().weights() }
    }

    /// The library's result, and which neurons have a unique flow.
    pub fn exact(&self) -> (Vec<f64>, Vec<usize>, u64) {
        let flow = GradientFlow::new(&self.train, self.slope, self.time).unwrap().keep_weights();
        let neurons = Neurons::given(self.weights.clone());
        let (outcome, decided) = flow.run_observed(&neurons, &|| Decided(Vec::new())).unwrap();
        (outcome.weights.unwrap().hidden().to_vec(), decided.0, outcome.sliding)
    }

    /// Descent in that many steps, the slow route that needs no events.
    fn descent(&self, steps: usize) -> Vec<f64> {
        use crate::lab::Recipe;
        use crate::program::Program;
        let recipe = Recipe { rate: self.time / steps as f64, steps, momentum: 0.0 };
        crate::theory::Naive(None).descend(&self.weights, &self.train, self.slope, recipe).hidden().to_vec()
    }
}

/// The neurons whose flow is unique.
struct Decided(Vec<usize>);

impl Observer for Decided {
    fn block(&mut self, block: &Block<'_>) {
        self.0.extend((0..block.size()).filter(|&k| !block.undecided(k)).map(|k| block.first() + k));
    }
    fn merge(&mut self, mut later: Self) {
        self.0.append(&mut later.0);
    }
}

/// Descent with step η stays within C·η of the flow of a piecewise linear energy: from 2000 to 32000 steps the error falls
/// 16 times, to an order between 0.8 and 1.2. A wrong flow keeps its error. Exact: nothing is random but the data.
pub fn examine_flow(faults: &[Fault]) {
    let case = FlowCase::new();
    let (exact, decided, sliding) = case.exact();
    assert!(sliding >= 5 && decided.len() >= 35, "{sliding} sliding, {} decided", decided.len());
    let descents = [2000, 32_000].map(|steps| case.descent(steps));
    let order = |hidden: &[f64]| {
        let error = |descent: &Vec<f64>| -> f64 {
            let rows = decided.iter().map(|i| i * 5..(i + 1) * 5);
            rows.map(|row| distance(&descent[row.clone()], &hidden[row])).sum()
        };
        let order = (error(&descents[0]) / error(&descents[1])).log2() / 4.0;
        vec![Evidence::Exact { excess: (order - 1.0).abs() / 0.2 }]
    };
    let name = "flow against descent with shrinking steps";
    accept(name, "the library", &order(&exact));
    let naive = |fault| naive_flow(&case.train, case.slope, &case.weights, case.time, fault);
    accept(name, "the slow flow", &order(&naive(None)));
    for &fault in faults {
        reject(name, fault, &order(&naive(Some(fault))));
    }
}

pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}
