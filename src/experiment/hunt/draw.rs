//! Independent neurons and networks of a case, followed exactly.

use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::case::Case;
use crate::error::Result;
use crate::linalg::norm_squared;
use crate::network::flow::{Block, Observer};
use crate::network::{FlowOutcome, GradientFlow, Neurons, Readout, Weights};
use crate::random::Streams;
use crate::theory::bound::rounding::rounding_factor;
use crate::theory::bound::{FlowArithmetic, FlowScale, FlowSlack, flow_rounding_slack, velocity_magnitude};

/// Where random numbers come from, and how many are drawn.
#[derive(Debug, Clone)]
pub struct Draw {
    /// Seed of all streams.
    pub seed: u64,
    /// Names the streams, so that a confirmation is independent of the search.
    pub purpose: String,
    /// Pairs of neurons a and −a, for expectations.
    pub pairs: usize,
    /// Networks, for quantiles and for expectations of whole networks.
    pub networks: usize,
}

/// Under which law |α| is drawn if readouts are Gaussian; 1 for ±1/√m.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadoutSize {
    /// That of a network: density ∝ e^{−x²/2}.
    Plain,
    /// Density ∝ x² e^{−x²/2}: E[ω r] is the plain mean of r, which is bounded (W10).
    Squared,
    /// Density ∝ x⁴ e^{−x²/2}: E[ω² r] is 3 times the plain mean of r.
    Fourth,
    /// |α| = 1 for either readout: statements given |a|.
    One,
}

impl ReadoutSize {
    /// The number of normals whose norm has the law.
    fn freedom(self) -> usize {
        match self {
            ReadoutSize::Plain => 1,
            ReadoutSize::Squared => 3,
            ReadoutSize::Fourth => 5,
            ReadoutSize::One => 0,
        }
    }
}

/// What a neuron did at a test point.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// a.
    pub readout: f64,
    /// u at time 0 and at time T.
    pub initial: f64,
    /// See `initial`.
    pub trained: f64,
    /// u̇/a at time 0.
    pub velocity: f64,
    /// The first sign change, ∞ if there is none up to T.
    pub first_flip: f64,
    /// What rounding may have done to it (R5).
    pub slack: FlowSlack,
}

/// Neurons per run of the flow: an even number.
const CHUNK: usize = 2048;

/// Follows `draw.pairs` pairs of neurons with equal hidden weights and readouts ±|α|/√m: for each test point, the paths of
/// the pairs in order, +|α| first.
///
/// # Errors
/// As [`GradientFlow::run`].
pub fn follow_pairs(case: &Case, size: ReadoutSize, draw: &Draw) -> Result<Vec<Vec<[Path; 2]>>> {
    let flow = GradientFlow::new(&case.train, case.slope, case.time)?.with_test(&case.test)?.watch_test().prepare();
    let streams = Streams::new(draw.seed, &format!("{}/pairs", draw.purpose));
    let slacks = &Slacks::new(case);
    let chunks: Vec<Result<Vec<Vec<Path>>>> = (0..(2 * draw.pairs).div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let count = CHUNK.min(2 * draw.pairs - chunk * CHUNK);
            let neurons = Neurons::given(pairs(case, size, count, &mut streams.stream(chunk as u64))?);
            let tests = case.test.count();
            let (_, seen) = flow.run_observed(&neurons, &|| Paths { slacks, of_test: vec![Vec::new(); tests] })?;
            Ok(seen.of_test)
        })
        .collect();
    let mut all = vec![Vec::with_capacity(draw.pairs); case.test.count()];
    for chunk in chunks {
        for (all, more) in all.iter_mut().zip(chunk?) {
            all.extend(more.chunks_exact(2).map(|pair| [pair[0], pair[1]]));
        }
    }
    Ok(all)
}

/// Hidden weights N(0, I/d), biases N(0, 1), shared by a neuron and its mirror image.
fn pairs(case: &Case, size: ReadoutSize, count: usize, rng: &mut impl rand::Rng) -> Result<Weights> {
    let d = case.train.input_dim();
    let mut normal = || -> f64 { StandardNormal.sample(rng) };
    let (weight_scale, readout_scale) = (1.0 / (d as f64).sqrt(), 1.0 / (case.width as f64).sqrt());
    let (mut hidden, mut readout) = (Vec::with_capacity(count * (d + 1)), Vec::with_capacity(count));
    for _ in 0..count / 2 {
        let norm = (0..size.freedom()).map(|_| normal().powi(2)).sum::<f64>().sqrt();
        let unit = if case.readout == Readout::Rademacher || size == ReadoutSize::One { 1.0 } else { norm };
        readout.extend([readout_scale * unit, -readout_scale * unit]);
        let start = hidden.len();
        hidden.extend((0..d).map(|_| weight_scale * normal()));
        hidden.push(normal());
        hidden.extend_from_within(start..);
    }
    Weights::from_augmented(d, hidden, readout)
}

struct Paths<'a> {
    slacks: &'a Slacks<'a>,
    of_test: Vec<Vec<Path>>,
}

impl Observer for Paths<'_> {
    fn block(&mut self, block: &Block<'_>) {
        let slacks = self.slacks;
        for (j, paths) in self.of_test.iter_mut().enumerate() {
            paths.extend((0..block.size()).map(|k| {
                let (initial, trained) = block.preactivation_test(k, j);
                let (velocity, first_flip) = (block.initial_velocity_test(k, j), block.first_flip_test(k, j));
                let slack = slacks.of(block, k, slacks.test[j]);
                Path { readout: block.readout(k), initial, trained, velocity, first_flip, slack }
            }));
        }
    }

    fn merge(&mut self, later: Self) {
        for (mine, theirs) in self.of_test.iter_mut().zip(later.of_test) {
            mine.extend(theirs);
        }
    }
}

/// R5 for the neurons of a case.
pub(super) struct Slacks<'a> {
    case: &'a Case,
    /// ‖(x, 1)‖ and κ*(x) at the training points, and at the test points.
    pub train: Vec<(f64, f64)>,
    pub test: Vec<(f64, f64)>,
}

impl<'a> Slacks<'a> {
    pub fn new(case: &'a Case) -> Self {
        let train = case.train.points();
        let scale = |x: &[f64]| ((norm_squared(x) + 1.0).sqrt(), velocity_magnitude(train, x));
        Slacks { case, train: train.iter().map(scale).collect(), test: case.test.iter().map(scale).collect() }
    }

    /// The slack of the block's k-th neuron at a point of the given scale.
    pub fn of(&self, block: &Block<'_>, k: usize, (point_norm, velocity): (f64, f64)) -> FlowSlack {
        let (input_dim, train_count) = (self.case.train.input_dim(), self.case.train.count());
        let (moves, updates) = (block.moves(k), block.derivative_changes(k).len() as u64);
        let arithmetic = FlowArithmetic { input_dim, train_count, width: self.case.width, moves, updates };
        let weight_norm = norm_squared(block.initial_hidden(k)).sqrt();
        let scale = FlowScale { readout: block.readout(k), weight_norm, point_norm, velocity, time: self.case.time };
        flow_rounding_slack(arithmetic, scale)
    }
}

/// Trains `draw.networks` independent networks of the case; the results in order.
///
/// # Errors
/// As [`GradientFlow::run`] and [`Neurons::draw`].
pub fn train_networks(case: &Case, gradients: bool, draw: &Draw) -> Result<Vec<FlowOutcome>> {
    let flow = GradientFlow::new(&case.train, case.slope, case.time)?.with_test(&case.test)?.watch_test();
    let flow = if gradients { flow.with_gradients() } else { flow }.prepare();
    (0..draw.networks)
        .into_par_iter()
        .map(|index| {
            let streams = Streams::new(draw.seed, &format!("{}/network {index}", draw.purpose));
            let dimension = case.train.input_dim();
            flow.run(&Neurons::draw(dimension, case.width, case.initialisation, case.readout, streams)?)
        })
        .collect()
}

/// The norm of (w, b) that no neuron exceeds, but with a probability below 10⁻²⁰: E‖(w,b)‖² = 2, and b is normal.
const HIDDEN_NORM: f64 = 12.0;

/// How far rounding may take the output of a network of the case at z, less T·F: R5 with Σ|a| ≤ √m (Σa²)^½ and Σa² ≤ 16, which
/// is exceeded with a probability below 10⁻¹⁰ only (Σa² is a mean of χ²₁ or 1), and R4.
pub(super) fn output_rounding(case: &Case, z: &[f64]) -> f64 {
    // A neuron's moves are counted as four per sample.
    let steps = 8 * (case.train.input_dim() + 5 * case.train.count() + case.width + 64);
    let point = (norm_squared(z) + 1.0).sqrt();
    let sums = 4.0 * (case.width as f64).sqrt() * HIDDEN_NORM * point
        + 16.0 * case.time * velocity_magnitude(case.train.points(), z);
    2.0 * rounding_factor(steps as f64) * sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Synthetic, synthetic};
    use crate::network::Initialisation;
    use crate::problem::{Scenario, Slope};

    fn case(readout: Readout) -> Case {
        let data = synthetic(Synthetic::Gauss, 3, 8, 2, 1).unwrap();
        Case {
            train: data.train,
            slope: Slope::new(0.1).unwrap(),
            test: data.test,
            time: 0.8,
            width: 16,
            readout,
            initialisation: Initialisation::Standard,
            failure_probability: 0.1,
            epsilon: 0.5,
            scenario: Scenario::PerturbationOnly,
        }
    }

    fn draw(pairs: usize) -> Draw {
        Draw { seed: 1, purpose: "hunt/draw".into(), pairs, networks: 3 }
    }

    #[test]
    fn pairs_share_their_start_and_the_first_ones_do_not_depend_on_how_many_follow() {
        let case = case(Readout::Gaussian);
        let (few, many) = (
            follow_pairs(&case, ReadoutSize::Squared, &draw(10)).unwrap(),
            follow_pairs(&case, ReadoutSize::Squared, &draw(3000)).unwrap(),
        );
        assert_eq!((few.len(), few[0].len(), many[1].len()), (2, 10, 3000));
        for (few, many) in few[1].iter().zip(&many[1]) {
            assert_eq!((few[0].readout, few[0].initial), (-few[1].readout, few[1].initial));
            assert_eq!((few[0].initial, few[1].readout), (many[0].initial, many[1].readout));
        }
    }

    #[test]
    fn readout_sizes_have_their_second_moments() {
        // E|α|² is 1, 3, 5: the degrees of freedom. 3000 values: standard errors of 0.026 to 0.058.
        for (size, moment) in [(ReadoutSize::Plain, 1.0), (ReadoutSize::Squared, 3.0), (ReadoutSize::Fourth, 5.0)] {
            let paths = follow_pairs(&case(Readout::Gaussian), size, &draw(3000)).unwrap();
            let found = paths[0].iter().map(|p| 16.0 * p[0].readout.powi(2)).sum::<f64>() / 3000.0;
            assert!((found - moment).abs() < 0.35, "{size:?}: {found}");
        }
        for (readout, size) in [(Readout::Rademacher, ReadoutSize::Fourth), (Readout::Gaussian, ReadoutSize::One)] {
            let paths = follow_pairs(&case(readout), size, &draw(2)).unwrap();
            assert!(paths[0].iter().all(|p| p[0].readout == 0.25 && p[1].readout == -0.25));
        }
    }
}
