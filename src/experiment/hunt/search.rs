//! The optimiser of a hunt: Nelder and Mead's method (argmin) on a few numbers of a case at a time.
//!
//! Ratios are continuous but have kinks, many flat directions and, for random observations, noise: a method without
//! derivatives that looks at differences of the size of its simplex fits. Each pass moves some numbers and leaves the
//! others, because the method is weak in many dimensions.

use std::cell::RefCell;

use argmin::core::{CostFunction, Executor};
use argmin::solver::neldermead::NelderMead;
use argmin_math::{ArgminAdd, ArgminMul, ArgminSub};
use rand::{Rng, RngExt};

use super::draw::Draw;
use super::genome::Genome;
use super::registry::Entry;

/// Numbers moved together in a pass, and evaluations of a pass.
const MOVED: usize = 6;
const PASS: usize = 32;

/// What a search saw.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub best: Option<(f64, Genome)>,
    pub failed: usize,
}

impl Search {
    /// Takes in what came later; of equal ratios the first stays.
    pub fn merge(&mut self, later: Search) {
        self.failed += later.failed;
        if let Some((ratio, genome)) = later.best {
            self.offer(ratio, genome);
        }
    }

    fn offer(&mut self, ratio: f64, genome: Genome) {
        if ratio > self.best.as_ref().map_or(0.0, |best| best.0) {
            self.best = Some((ratio, genome));
        }
    }
}

/// A point of the optimiser's space.
#[derive(Clone, Debug)]
struct Numbers(Vec<f64>);

impl Numbers {
    fn with(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Numbers(self.0.iter().zip(&other.0).map(|(a, b)| f(*a, *b)).collect())
    }
}

impl ArgminAdd<Numbers, Numbers> for Numbers {
    fn add(&self, other: &Numbers) -> Numbers {
        self.with(other, |a, b| a + b)
    }
}

impl ArgminSub<Numbers, Numbers> for Numbers {
    fn sub(&self, other: &Numbers) -> Numbers {
        self.with(other, |a, b| a - b)
    }
}

impl ArgminMul<f64, Numbers> for Numbers {
    fn mul(&self, factor: &f64) -> Numbers {
        Numbers(self.0.iter().map(|a| a * factor).collect())
    }
}

/// The cost of a pass: less the ratio, as a function of some of the numbers. It knows the evaluations left, and what was
/// seen.
struct Cost<'a> {
    entry: &'a Entry,
    draw: &'a Draw,
    growth: f64,
    start: &'a Genome,
    moved: &'a [usize],
    seen: &'a RefCell<(usize, Search)>,
}

impl Cost<'_> {
    fn genome(&self, numbers: &Numbers) -> Genome {
        let mut genome = self.start.clone();
        for (index, number) in self.moved.iter().zip(&numbers.0) {
            genome.numbers[*index] = number.clamp(-1.0, 1.0);
        }
        genome
    }
}

impl CostFunction for Cost<'_> {
    type Param = Numbers;
    type Output = f64;

    fn cost(&self, numbers: &Numbers) -> std::result::Result<f64, argmin::core::Error> {
        let genome = self.genome(numbers);
        let mut seen = self.seen.borrow_mut();
        if seen.0 == 0 {
            // Worse than anything; the pass ends by its number of steps.
            return Ok(0.0);
        }
        seen.0 -= 1;
        match genome.case().and_then(|case| self.entry.promise(&case, self.draw, self.growth)) {
            Ok(ratio) => {
                seen.1.offer(ratio, genome);
                Ok(-ratio)
            }
            Err(_) => {
                seen.1.failed += 1;
                Ok(0.0)
            }
        }
    }
}

/// Climbs from a genome of the given ratio with `evaluations` evaluations, all of which are used.
pub(super) fn climb(
    entry: &Entry,
    (draw, growth): (&Draw, f64),
    (ratio, genome): (f64, Genome),
    evaluations: usize,
    rng: &mut impl Rng,
) -> Search {
    let mut found = Search::default();
    found.offer(ratio, genome.clone());
    let mut left = evaluations;
    while left > 0 {
        let start = found.best.as_ref().map_or(&genome, |best| &best.1).clone();
        let moved = distinct(rng, start.numbers.len());
        // From a fifth of the range down to a thousandth: far and near improvements are tried in turn.
        let size = 10_f64.powf(rng.random_range(-2.7..-0.4));
        let origin = Numbers(moved.iter().map(|index| start.numbers[*index]).collect());
        let mut simplex = vec![origin.clone()];
        for axis in 0..moved.len() {
            let mut corner = origin.clone();
            corner.0[axis] += if rng.random::<bool>() { size } else { -size };
            simplex.push(corner);
        }
        let pass = PASS.min(left);
        let seen = RefCell::new((pass, Search::default()));
        let cost = Cost { entry, draw, growth, start: &start, moved: &moved, seen: &seen };
        // Costs are no errors, and what was seen is kept even if argmin should find one.
        let _ = Executor::new(cost, NelderMead::new(simplex)).configure(|state| state.max_iters(PASS as u64)).run();
        let (unused, pass_found) = seen.into_inner();
        // A pass on a plateau may use few evaluations, but at least one.
        left -= (pass - unused).max(1);
        found.merge(pass_found);
    }
    found
}

/// Up to [`MOVED`] different indices below `count`.
fn distinct(rng: &mut impl Rng, count: usize) -> Vec<usize> {
    let mut moved: Vec<usize> = rand::seq::index::sample(rng, count, MOVED.min(count)).into_vec();
    moved.sort_unstable();
    moved
}
