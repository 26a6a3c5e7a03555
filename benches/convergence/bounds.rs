//! The proved bounds that the figures draw, each as a function of the width alone.
//!
//! They hold with probability 0.95: for the values of one test point (the largest bound over the test points stands for all
//! of them), for the gradients at all training points together. So the 95 % quantile of the networks must lie below.

use perturbation_learning::Result;
use perturbation_learning::experiment::network_law;
use perturbation_learning::network::{Initialisation, Readout};
use perturbation_learning::theory::bound::{
    Geometry, GradientGeometry, NetworkLaw, PerturbationRule, SlidingDerivative, Tail, TrainedGradient,
    direction_angle_bound, gradient_norm_bound, limit_deviation_bound, network_error_bound,
    uniform_network_error_bound,
};

use super::study::{SLOPE, Study};

/// The probability with which a bound may fail.
pub const FAILURE: f64 = 0.05;

/// The law of an antisymmetric network.
pub fn law(readout: Readout, width: usize) -> Result<NetworkLaw> {
    network_law(width, Initialisation::Antisymmetric, readout)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |a, b| a.max(*b))
}

/// W9: |f_T − T·F| at the test point with the largest bound.
pub fn function(study: &Study, widths: &[usize]) -> Result<Vec<(f64, f64)>> {
    let geometry = Geometry::new(&study.data.train, SLOPE, &study.data.test)?;
    let bound = |&width: &usize| {
        let bounds = network_error_bound(&geometry, law(study.readout, width)?, study.time, FAILURE, Tail::Both)?;
        Ok((width as f64, largest(&bounds)))
    };
    widths.iter().map(bound).collect()
}

/// P8 at each training point: the root mean square of ‖∇f_T − T·∇F‖, and, from the width on at which every direction is
/// bounded, the mean of 1 − cos(∇f_T, ∇F).
pub fn gradient(study: &Study, widths: &[usize]) -> Result<[Vec<(f64, f64)>; 2]> {
    let geometry = GradientGeometry::new(&study.data.train, SLOPE)?;
    let lengths: Vec<f64> = geometry.limits().column_iter().map(|limit| limit.norm()).collect();
    let (mut norms, mut directions) = (Vec::new(), Vec::new());
    for &width in widths {
        let law = law(study.readout, width)?;
        let trained = TrainedGradient::new(&geometry, law, study.time, SlidingDerivative::OfFlow)?;
        let distances = gradient_norm_bound(&trained, FAILURE / lengths.len() as f64)?;
        let square = distances.iter().map(|d| d * d).sum::<f64>() / lengths.len() as f64;
        norms.push((width as f64, study.time * square.sqrt()));
        if distances.iter().zip(&lengths).all(|(distance, length)| distance < length) {
            let angles = distances.iter().zip(&lengths).map(|(d, length)| direction_angle_bound(*d, *length));
            let angles = angles.collect::<Result<Vec<f64>>>()?;
            // 1 − cos α without cancellation.
            let mean = angles.iter().map(|angle| 2.0 * (0.5 * angle).sin().powi(2)).sum::<f64>() / angles.len() as f64;
            directions.push((width as f64, mean));
        }
    }
    Ok([norms, directions])
}

/// G8 and G11, half of the probability each: |g − T'·G| at the test point with the largest bound.
pub fn perturbed(study: &Study, widths: &[usize]) -> Result<Vec<(f64, f64)>> {
    let gradients = GradientGeometry::new(&study.data.train, SLOPE)?;
    let geometry = Geometry::without_merging(&study.perturbed, SLOPE, &study.data.test)?;
    let rule = PerturbationRule { targets: &study.targets, epsilon: study.epsilon, scenario: study.scenario };
    let (test, time) = (&study.data.test, study.time_perturbed);
    let bound = |&width: &usize| {
        let law = law(study.readout, width)?;
        let trained = TrainedGradient::new(&gradients, law, study.time, SlidingDerivative::OfFlow)?;
        let limit = limit_deviation_bound(&trained, rule, SLOPE, test, 0.5 * FAILURE, Tail::Both)?;
        let (distances, changes) = (&limit.distances, &limit.changes);
        let own = uniform_network_error_bound(&geometry, distances, changes, law, time, 0.5 * FAILURE, Tail::Both)?;
        let whole: Vec<f64> = limit.deviation.iter().zip(own).map(|(limit, own)| time * limit + own).collect();
        Ok((width as f64, largest(&whole)))
    };
    widths.iter().map(bound).collect()
}
