//! Statements of `proofs/` checked one by one where no larger test does: small, exact, each able to fail.

#[path = "identities/agreement.rs"]
mod agreement;
#[path = "identities/closed_forms.rs"]
mod closed_forms;
mod common;
#[path = "identities/drift.rs"]
mod drift;
#[path = "common/skewed.rs"]
mod skewed;
#[path = "identities/training.rs"]
mod training;

use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::{Streams, random_signs};
use rand_distr::{Distribution, StandardNormal};

const SEED: u64 = 2410_23677;

fn slope(value: f64) -> Slope {
    Slope::new(value).unwrap()
}

fn gaussian_points(purpose: &str, count: usize, dim: usize) -> Points {
    let mut rng = Streams::new(SEED, purpose).stream(0);
    let values = (0..count * dim).map(|_| StandardNormal.sample(&mut rng)).collect();
    Points::from_rows("x", count, dim, values).unwrap()
}

fn gaussian_set(purpose: &str, count: usize, dim: usize) -> TrainingSet {
    let labels = random_signs(&Streams::new(SEED, &format!("{purpose}/labels")), count);
    TrainingSet::new(gaussian_points(purpose, count, dim), labels).unwrap()
}

fn rows(dim: usize, values: &[f64]) -> Points {
    Points::from_rows("x", values.len() / dim, dim, values.to_vec()).unwrap()
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
