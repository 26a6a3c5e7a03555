//! Data sets, networks and times of every kind, and the runner that draws them.

use perturbation_learning::network::{Initialisation, Neurons, Readout};
use perturbation_learning::problem::{Points, Slope, TrainingSet};
use perturbation_learning::random::Streams;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, RngSeed, TestCaseError, TestRunner};

/// One network to be trained, and where it is looked at.
#[derive(Debug, Clone)]
pub struct Case {
    pub train: TrainingSet,
    pub test: Points,
    pub slope: Slope,
    pub time: f64,
    pub width: usize,
    pub init: Initialisation,
    pub readout: Readout,
    pub seed: u64,
}

impl Case {
    pub fn neurons(&self) -> Neurons {
        let streams = Streams::new(self.seed, "properties/neurons");
        Neurons::draw(self.train.input_dim(), self.width, self.init, self.readout, streams).unwrap()
    }
}

/// Plain, zero, whole, heavy-tailed, tiny and huge coordinates.
fn coordinate() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -2.0..2.0_f64,
        2 => Just(0.0),
        1 => (-3..4_i32).prop_map(f64::from),
        1 => (-1.0..1.0_f64, -5.0..5.0_f64).prop_map(|(sign, log)| sign.signum() * 10_f64.powf(log)),
        1 => -1e-9..1e-9_f64,
    ]
}

/// Rows after the first: most are fresh, some are copies, multiples or near copies of an earlier one.
fn rows(dim: usize, count: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let fresh = prop::collection::vec(prop::collection::vec(coordinate(), dim), count);
    let recipe = prop::collection::vec((0..8_u8, any::<prop::sample::Index>()), count);
    (fresh, recipe, prop_oneof![8 => Just(0), 1 => Just(-8), 1 => Just(8), 1 => Just(25)]).prop_map(
        move |(mut rows, recipe, scale)| {
            for n in 1..count {
                let earlier = rows[recipe[n].1.index(n)].clone();
                match recipe[n].0 {
                    0 => rows[n] = earlier,
                    1 => rows[n] = earlier.iter().map(|v| -2.0 * v).collect(),
                    2 => rows[n] = earlier.iter().map(|v| v * (1.0 + 1e-9)).collect(),
                    _ => {}
                }
            }
            rows.iter().map(|row| row.iter().map(|v| v * 10_f64.powi(scale)).collect()).collect()
        },
    )
}

/// Training sets with N below and above d, balanced, unbalanced and one-sided labels.
pub fn training_set() -> impl Strategy<Value = TrainingSet> {
    (1..7_usize, 1..11_usize).prop_flat_map(|(dim, count)| {
        let share = prop_oneof![2 => Just(0.5), 1 => Just(0.1), 1 => Just(1.0)];
        (rows(dim, count), prop::collection::vec(0.0..1.0_f64, count), share).prop_map(move |(rows, draws, share)| {
            let labels = draws.iter().map(|draw| if *draw < share { 1.0 } else { -1.0 }).collect();
            TrainingSet::new(Points::from_rows("x", count, dim, rows.concat()).unwrap(), labels).unwrap()
        })
    })
}

/// A training set with test points, some of which are training points.
pub fn with_test_points() -> impl Strategy<Value = (TrainingSet, Points)> {
    training_set().prop_flat_map(|train| {
        let dim = train.input_dim();
        let fresh = prop::collection::vec(prop::collection::vec(coordinate(), dim), 1..4);
        (Just(train), fresh, any::<prop::sample::Index>()).prop_map(move |(train, mut rows, index)| {
            rows.push(train.points().point(index.index(train.count())).to_vec());
            let points = Points::from_rows("z", rows.len(), dim, rows.concat()).unwrap();
            (train, points)
        })
    })
}

pub fn any_case() -> impl Strategy<Value = Case> {
    let slope = prop_oneof![2 => Just(0.0), 1 => 0.0..0.99_f64, 1 => Just(0.99)];
    let init = prop_oneof![Just(Initialisation::Standard), Just(Initialisation::Antisymmetric)];
    let readout = prop_oneof![Just(Readout::Gaussian), Just(Readout::Rademacher)];
    let time = (-3.0..3.5_f64).prop_map(|log| 10_f64.powf(log));
    (with_test_points(), slope, time, 1..9_usize, init, readout, 0..1000_u64).prop_map(
        |((train, test), slope, time, pairs, init, readout, seed)| Case {
            train,
            test,
            slope: Slope::new(slope).unwrap(),
            time,
            width: 2 * pairs,
            init,
            readout,
            seed,
        },
    )
}

pub fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(2410_23677),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.regressions"))),
        ..ProptestConfig::default()
    })
}

/// The check holds for every case drawn.
pub fn always<S: Strategy>(cases: u32, strategy: S, check: impl Fn(&S::Value) -> Result<(), String>) {
    let result = runner(cases).run(&strategy, |case| check(&case).map_err(TestCaseError::fail));
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// The check, given a wrong theory, fails for one of the cases drawn; returns how many that took.
pub fn caught<S: Strategy>(cases: u32, strategy: S, check: impl Fn(&S::Value) -> Result<(), String>) -> Option<u32> {
    let mut runner = runner(cases);
    (1..=cases).find(|_| check(&strategy.new_tree(&mut runner).unwrap().current()).is_err())
}
