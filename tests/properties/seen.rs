//! A trained network as the checks need it: every neuron's start, path and flips, with the slack of R5.

use nalgebra::DMatrix;
use perturbation_learning::network::flow::{Block, Observer};
use perturbation_learning::network::{FlowOutcome, GradientFlow};
use perturbation_learning::theory::bound::{
    FlowArithmetic, FlowScale, FlowSlack, Start, flow_rounding_slack, signed_gram_matrix, velocity_magnitude,
};

use super::case::Case;

/// One neuron at one point.
pub struct At {
    /// u at time 0 and T.
    pub preactivation: (f64, f64),
    /// V at time 0.
    pub velocity: f64,
    pub first_flip: f64,
}

impl At {
    pub fn start(&self, slack: FlowSlack) -> Start {
        Start { preactivation: self.preactivation.0, velocity: self.velocity, slack: slack.start }
    }
}

pub struct Neuron {
    pub readout: f64,
    pub weights: Vec<f64>,
    pub moves: u64,
    /// (time, training point, derivative).
    pub changes: Vec<(f64, usize, f64)>,
    pub updates: u64,
    pub train: Vec<At>,
    pub test: Vec<At>,
    /// u̇ at the test points at time T, and φ' at the training points.
    pub final_speeds: Vec<f64>,
    pub final_derivatives: Vec<f64>,
}

impl Neuron {
    pub fn weight_norm(&self) -> f64 {
        self.weights.iter().map(|w| w * w).sum::<f64>().sqrt()
    }
}

struct Watcher {
    counts: (usize, usize),
    neurons: Vec<Neuron>,
}

impl Observer for Watcher {
    fn block(&mut self, block: &Block<'_>) {
        let (train, test) = self.counts;
        for k in 0..block.size() {
            let log = block.derivative_changes(k);
            let at_site = |site| (0..train).filter(move |&n| block.site_train(n) == site);
            let changes = log.iter().flat_map(|c| at_site(c.site).map(|n| (c.time, n, c.derivative))).collect();
            let on_train = |n| At {
                preactivation: block.preactivation_train(k, n),
                velocity: block.initial_velocity_train(k, n),
                first_flip: block.first_flip_train(k, n),
            };
            let on_test = |j| At {
                preactivation: block.preactivation_test(k, j),
                velocity: block.initial_velocity_test(k, j),
                first_flip: block.first_flip_test(k, j),
            };
            self.neurons.push(Neuron {
                readout: block.readout(k),
                weights: block.initial_hidden(k).to_vec(),
                moves: block.moves(k),
                changes,
                updates: log.len() as u64,
                train: (0..train).map(on_train).collect(),
                test: (0..test).map(on_test).collect(),
                final_speeds: (0..test).map(|j| block.speed_test(k, j)).collect(),
                final_derivatives: (0..train).map(|n| block.derivative_train(k, n)).collect(),
            });
        }
    }

    fn merge(&mut self, mut later: Self) {
        self.neurons.append(&mut later.neurons);
    }
}

/// A trained network, its data's signed Gram matrices, and the sizes of the numbers behind them.
pub struct Seen {
    pub outcome: FlowOutcome,
    pub neurons: Vec<Neuron>,
    pub gram: DMatrix<f64>,
    pub gram_test: DMatrix<f64>,
    /// ‖(x, 1)‖ and κ* at the training and the test points.
    pub scales: Vec<(f64, f64)>,
    pub scales_test: Vec<(f64, f64)>,
}

impl Seen {
    pub fn new(case: &Case) -> Self {
        let flow = GradientFlow::new(&case.train, case.slope, case.time).unwrap().with_test(&case.test).unwrap();
        let counts = (case.train.count(), case.test.count());
        let observer = || Watcher { counts, neurons: Vec::new() };
        let (outcome, seen) = flow.watch_test().run_observed(&case.neurons(), &observer).unwrap();
        let points = case.train.points();
        let scale = |x: &[f64]| {
            let square: f64 = x.iter().map(|v| v * v).sum();
            ((square + 1.0).sqrt(), velocity_magnitude(points, x))
        };
        Seen {
            outcome,
            neurons: seen.neurons,
            gram: signed_gram_matrix(&case.train, points).unwrap(),
            gram_test: signed_gram_matrix(&case.train, &case.test).unwrap(),
            scales: points.iter().map(scale).collect(),
            scales_test: case.test.iter().map(scale).collect(),
        }
    }

    pub fn slack(&self, case: &Case, neuron: &Neuron, scale: (f64, f64)) -> FlowSlack {
        let arithmetic = FlowArithmetic {
            input_dim: case.train.input_dim(),
            train_count: case.train.count(),
            width: case.width,
            moves: neuron.moves,
            updates: neuron.updates,
        };
        slack(arithmetic, neuron, scale, case.time)
    }
}

pub fn slack(arithmetic: FlowArithmetic, neuron: &Neuron, scale: (f64, f64), time: f64) -> FlowSlack {
    let (point_norm, velocity) = scale;
    let weight_norm = neuron.weight_norm();
    flow_rounding_slack(arithmetic, FlowScale { readout: neuron.readout, weight_norm, point_norm, velocity, time })
}
