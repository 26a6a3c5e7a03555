//! The data that all instruments share, and the words that theories and programs are asked in.

use perturbation_learning::experiment::network_law;
use perturbation_learning::network::{Initialisation, Readout, Weights};
use perturbation_learning::problem::{Points, Scenario, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use perturbation_learning::theory::bound::NetworkLaw;
use rand_distr::{Distribution, StandardNormal};

pub const SEED: u64 = 2410_23677;
pub const DIM: usize = 4;

/// The law of an initial network, apart from its width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Law {
    pub init: Initialisation,
    pub readout: Readout,
}

pub const STANDARD: Law = Law { init: Initialisation::Standard, readout: Readout::Rademacher };
pub const STANDARD_GAUSSIAN: Law = Law { init: Initialisation::Standard, readout: Readout::Gaussian };
pub const PAIRED: Law = Law { init: Initialisation::Antisymmetric, readout: Readout::Rademacher };
pub const PAIRED_GAUSSIAN: Law = Law { init: Initialisation::Antisymmetric, readout: Readout::Gaussian };

impl Law {
    /// The same law in the words of the bounds.
    pub fn of_width(self, width: usize) -> NetworkLaw {
        network_law(width, self.init, self.readout).unwrap()
    }

    pub fn is_paired(self) -> bool {
        self.init == Initialisation::Antisymmetric
    }
}

/// Descent with heavy-ball momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    pub rate: f64,
    pub steps: usize,
    pub momentum: f64,
}

/// The first network before and after its training.
pub struct First {
    pub initial: Weights,
    pub trained: Weights,
}

/// How perturbations are made.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    pub epsilon: f64,
    pub scenario: Scenario,
}

/// Data and slope of an experiment.
pub struct Lab {
    pub train: TrainingSet,
    pub test: Points,
    pub slope: Slope,
}

impl Lab {
    /// Twelve points off the origin, whose labels follow a direction with a quarter of noise; three test points.
    pub fn new() -> Self {
        let train = normal_points("power/train", 12, 1.3, 0.4);
        let mut rng = Streams::new(SEED, "power/labels").stream(0);
        let label = |x: &[f64]| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            (x[0] - x[1] + 0.5 * noise).signum()
        };
        let labels = train.iter().map(label).collect();
        let test = normal_points("power/test", 3, 1.3, 0.4);
        Lab { train: TrainingSet::new(train, labels).unwrap(), test, slope: Slope::new(0.3).unwrap() }
    }

    /// One training point, and test points at 0, 40 and 120 degrees from it: the drift of a neuron has no cancellation.
    pub fn single() -> Self {
        let train = Points::from_rows("x", 1, DIM, vec![2.0, 0.0, 0.0, 0.0]).unwrap();
        let test = [2.0, 0.0, 0.0, 0.0, 1.0, 1.5, 0.0, 0.0, -2.0, 2.0, 0.0, 0.0];
        let test = Points::from_rows("z", 3, DIM, test.to_vec()).unwrap();
        Lab { train: TrainingSet::new(train, vec![1.0]).unwrap(), test, slope: Slope::RELU }
    }
}

pub fn normal_points(purpose: &str, count: usize, scale: f64, offset: f64) -> Points {
    let mut rng = Streams::new(SEED, purpose).stream(0);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let values = (0..count * DIM).map(|_| scale * normal() + offset).collect();
    Points::from_rows("x", count, DIM, values).unwrap()
}

/// The streams of one network of an instrument.
pub fn streams(purpose: &str, index: usize) -> Streams {
    Streams::new(SEED, &format!("power/{purpose}/network {index}"))
}

/// Values per network, turned into the values of each test point.
pub fn by_point(values: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..values[0].len()).map(|j| values.iter().map(|v| v[j]).collect()).collect()
}
