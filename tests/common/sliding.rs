//! Gradients by the convention φ'(0) = 1 of neurons that slide at a training point, for which the exact flow has its own
//! derivative; and data in which one point is repeated.

use perturbation_learning::network::flow::{Block, Observer};
use perturbation_learning::network::{Neurons, PreparedFlow};
use perturbation_learning::problem::{Points, Slope, TrainingSet};

/// x = 0 `own` times with label +1 and x = 1 `others` times with label −1: a neuron at the boundary of 0 slides, or rests
/// there, and the force of 0 on itself is that of all its copies.
pub fn repeated_point(own: usize, others: usize) -> TrainingSet {
    let copies = |own_value: f64, value: f64| [vec![own_value; own], vec![value; others]].concat();
    let points = Points::from_rows("x", own + others, 1, copies(0.0, 1.0)).unwrap();
    TrainingSet::new(points, copies(1.0, -1.0)).unwrap()
}

/// Neurons on the boundary of the first training point at time T, and by how much φ'(0) = 1 exceeds their derivative.
struct OnBoundary {
    slope: Slope,
    found: Vec<(usize, f64)>,
}

impl Observer for OnBoundary {
    fn block(&mut self, block: &Block<'_>) {
        for k in 0..block.size() {
            let end = block.preactivation_train(k, 0).1;
            // The flow holds them at exactly 0.
            if end == 0.0 {
                self.found.push((block.first() + k, self.slope.derivative(end) - block.derivative_train(k, 0)));
            }
        }
    }

    fn merge(&mut self, mut later: Self) {
        self.found.append(&mut later.found);
    }
}

/// ∇f_T at the first training point with the flow's own derivative of sliding neurons, and with φ'(0) = 1, of a flow that
/// keeps gradients and weights.
pub fn both_gradients(flow: &PreparedFlow<'_>, slope: Slope, neurons: &Neurons) -> [Vec<f64>; 2] {
    let (outcome, boundary) = flow.run_observed(neurons, &|| OnBoundary { slope, found: vec![] }).unwrap();
    let of_flow: Vec<f64> = outcome.gradients.unwrap().column(0).iter().copied().collect();
    let (mut one, weights) = (of_flow.clone(), outcome.weights.unwrap());
    for (i, excess) in boundary.found {
        let w = &weights.hidden()[(one.len() + 1) * i..];
        one.iter_mut().zip(w).for_each(|(g, w)| *g += weights.readout()[i] * excess * w);
    }
    [of_flow, one]
}
