//! Statements on a network given its initial weights: M5, M6. What is observed is a share of what the statement allows this
//! network, so the bound is 1.

use rayon::prelude::*;

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::{Draw, Slacks};
use crate::experiment::hunt::measure::Observed;
use crate::linalg::larger;
use crate::network::flow::{Block, Observer};
use crate::network::{FlowOutcome, GradientFlow, Neurons};
use crate::random::Streams;
use crate::theory::bound::{Start, TrainedNeuron, flip_time_at, flip_times, network_enclosure, signed_gram_matrix};

pub(super) fn entries() -> Vec<Entry> {
    let one = |case: &Case| Ok(vec![1.0; case.test.count()]);
    vec![
        Entry::new("M5", Kind::Certain, "the bound on the first sign change over its time", flip_shares, one)
            .up_to_width(16),
        Entry::new("M6", Kind::Certain, "the deviation from linear growth over the enclosure's", shares, one)
            .up_to_width(16),
    ]
}

/// Networks that are looked at per case: many cases matter more.
const NETWORKS: usize = 4;
/// Iterations of M5.
const PASSES: usize = 3;

/// One neuron: its starts at the training and the test points, its first flips there, and its share of M6's slack.
struct Seen {
    readout: f64,
    train: Vec<Start>,
    test: Vec<Start>,
    flips: Vec<f64>,
    flips_test: Vec<f64>,
    outputs: Vec<f64>,
}

struct Watcher<'a> {
    slacks: &'a Slacks<'a>,
    seen: Vec<Seen>,
}

impl Observer for Watcher<'_> {
    fn block(&mut self, block: &Block<'_>) {
        let (train, test) = (self.slacks.train.len(), self.slacks.test.len());
        for k in 0..block.size() {
            let slack = |scale| self.slacks.of(block, k, scale);
            let on_train = |n: usize| Start {
                preactivation: block.preactivation_train(k, n).0,
                velocity: block.initial_velocity_train(k, n),
                slack: slack(self.slacks.train[n]).start,
            };
            let on_test = |j: usize| Start {
                preactivation: block.preactivation_test(k, j).0,
                velocity: block.initial_velocity_test(k, j),
                slack: slack(self.slacks.test[j]).start,
            };
            let seen = Seen {
                readout: block.readout(k),
                train: (0..train).map(on_train).collect(),
                test: (0..test).map(on_test).collect(),
                flips: (0..train).map(|n| block.first_flip_train(k, n)).collect(),
                flips_test: (0..test).map(|j| block.first_flip_test(k, j)).collect(),
                outputs: self.slacks.test.iter().map(|scale| slack(*scale).output).collect(),
            };
            self.seen.push(seen);
        }
    }

    fn merge(&mut self, mut later: Self) {
        self.seen.append(&mut later.seen);
    }
}

/// The networks of a case with everything that M5 and M6 ask for.
fn networks(case: &Case, draw: &Draw) -> Result<Vec<(FlowOutcome, Vec<Seen>)>> {
    let flow = GradientFlow::new(&case.train, case.slope, case.time)?.with_test(&case.test)?.watch_test().prepare();
    let slacks = &Slacks::new(case);
    let run = |index: usize| -> Result<(FlowOutcome, Vec<Seen>)> {
        let streams = Streams::new(draw.seed, &format!("{}/network {index}", draw.purpose));
        let dimension = case.train.input_dim();
        let neurons = Neurons::draw(dimension, case.width, case.initialisation, case.readout, streams)?;
        let (outcome, watcher) = flow.run_observed(&neurons, &|| Watcher { slacks, seen: Vec::new() })?;
        Ok((outcome, watcher.seen))
    };
    (0..NETWORKS.min(draw.networks)).into_par_iter().map(run).collect()
}

/// The largest τ/(first flip) at each test point, over the neurons that flip there or at a training point.
fn flip_shares(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let gram = signed_gram_matrix(&case.train, case.train.points())?;
    let towards = signed_gram_matrix(&case.train, &case.test)?;
    let mut largest = vec![0.0_f64; case.test.count()];
    for seen in networks(case, draw)?.iter().flat_map(|(_, seen)| seen) {
        let times = flip_times(seen.readout, &seen.train, &gram, case.slope, case.time, PASSES)?;
        let on_train = times.iter().zip(&seen.flips).map(|(bound, flip)| share_of_flip(*bound, *flip));
        let on_train = on_train.fold(0.0, f64::max);
        for (j, largest) in largest.iter_mut().enumerate() {
            let at = seen.test[j];
            let known = TrainedNeuron { readout: seen.readout, starts: &seen.train, flip_times: &times, at };
            let bound = flip_time_at(&known, towards.column(j).as_slice(), case.slope, case.time)?;
            *largest = largest.max(on_train).max(share_of_flip(bound, seen.flips_test[j]));
        }
    }
    // Rounding is in the starts' slack, which M5 takes.
    Ok(largest.into_iter().map(|value| Observed::Certain { value, rounding: 0.0 }).collect())
}

/// A flip that never comes is later than any bound; one at time 0 is not before a bound of 0. NaN is the largest number.
fn share_of_flip(bound: f64, flip: f64) -> f64 {
    if flip == f64::INFINITY || bound <= 0.0 { 0.0 } else { (bound / flip).min(f64::MAX) }
}

/// |f_T − f_0 − T F̂₀| over what the enclosure allows on that side, largest among the networks.
fn shares(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let gram = signed_gram_matrix(&case.train, case.train.points())?;
    let towards = signed_gram_matrix(&case.train, &case.test)?;
    let mut worst = vec![(0.0_f64, 0.0_f64); case.test.count()];
    for (outcome, seen) in networks(case, draw)? {
        let times = seen.iter().map(|s| flip_times(s.readout, &s.train, &gram, case.slope, case.time, PASSES));
        let times = times.collect::<Result<Vec<_>>>()?;
        for (j, worst) in worst.iter_mut().enumerate() {
            let known = seen.iter().zip(&times).map(|(seen, flip_times)| TrainedNeuron {
                readout: seen.readout,
                starts: &seen.train,
                flip_times,
                at: seen.test[j],
            });
            let (low, high) = network_enclosure(known, towards.column(j).as_slice(), case.slope, case.time)?;
            let change = outcome.test_values[j] - outcome.initial_test_values[j];
            let linear = case.time * outcome.initial_rate_test[j];
            let (deviation, side) =
                if change >= linear { (change - linear, high - linear) } else { (linear - change, linear - low) };
            // The linear growth lies within the enclosure up to the same slack.
            let slack: f64 = seen.iter().map(|seen| seen.outputs[j]).sum();
            let slack = 2.0 * slack + 4.0 * f64::EPSILON * (change.abs() + linear.abs() + low.abs() + high.abs());
            let side = larger(side, slack);
            let found = (deviation / side, slack / side);
            let beyond = (found.0 - found.1, worst.0 - worst.1);
            if beyond.0.is_nan() || beyond.0 > beyond.1 {
                *worst = found;
            }
        }
    }
    Ok(worst.into_iter().map(|(value, rounding)| Observed::Certain { value, rounding }).collect())
}
