//! Steps of neurons that walk together, or of one that walks alone; where the Gram matrix comes from memory, of the latter only.

use super::Problem;
use super::part::Part;
use super::schedule::Schedule;
use crate::network::descent::gram::Gram;
use crate::network::descent::real::Real;
use crate::network::descent::stretch::Stretch;
use crate::network::descent::sweep::{Flip, Sweep};

/// Columns that a group adds at a step, per sample, above which it goes tile after tile: each column of a tile then serves several
/// neurons from the second-level cache.
const MOST_BY_NEURON: usize = 2;
/// Steps without sign changes that are worth a look, and how many steps pass at most until the next look.
const SHORTEST_STRETCH: usize = 6;
const LONGEST_PATIENCE: usize = 64;

impl<R: Real> Problem<R> {
    /// Takes steps until `end`, or until the Gram matrix is wanted and not there.
    pub(super) fn walk(
        &self,
        part: &mut Part<R>,
        gram: Option<&Gram<R>>,
        schedule: &Schedule<'_>,
        end: usize,
        share: f64,
    ) {
        if part.size() > 1 && self.shares_tiles() {
            return self.walk_by_triangles(part, gram, schedule, end, share);
        }
        let mut flips = Vec::new();
        while part.step < end {
            if part.size() == 1 && self.stretch(part, schedule, end) {
                continue;
            }
            if !self.settle(part, gram, share, 1) {
                return;
            }
            let rate = R::of(schedule.rates[part.step]);
            flips.clear();
            let loss = self.sweep(part, gram, rate, &mut flips);
            self.end_step(part, loss, &flips, schedule);
        }
    }

    /// Books what a step has done: its term of the loss, and the sign changes, which take the place of those it has applied.
    pub(super) fn end_step(&self, part: &mut Part<R>, loss: f64, flips: &[Flip], schedule: &Schedule<'_>) {
        part.losses.push(loss);
        for change in &mut part.changes {
            change.columns.clear();
            change.restart = None;
        }
        part.step += 1;
        part.book(flips, &self.weights, self.slope.to_f64(), schedule.reach[part.step]);
    }

    /// One step; appends the sign changes and returns the neurons' term of the loss before it (with the opposite sign).
    pub(super) fn sweep(&self, part: &mut Part<R>, gram: Option<&Gram<R>>, rate: R, flips: &mut Vec<Flip>) -> f64 {
        let columns: usize = part.changes.iter().map(|change| change.columns.len()).sum();
        let by_neuron = !self.shares_tiles()
            && columns <= MOST_BY_NEURON * self.count
            && gram.is_none_or(|gram| !gram.columns().is_empty());
        let task = Sweep {
            count: self.count,
            first: 0,
            gram: gram.map_or(&[], |gram| if by_neuron { gram.columns() } else { gram.tiles_from(0) }),
            by_neuron,
            all_above: &self.all_above,
            weights: &self.weights,
            changes: &part.changes,
            readout: &part.readout,
            slope: self.slope,
            momentum: self.momentum,
            rate,
        };
        R::sweep(&task, &mut part.state, &mut part.sides, flips).to_f64()
    }

    /// Crosses a stretch without sign changes in one step, if there is one of at least [`SHORTEST_STRETCH`] steps.
    fn stretch(&self, part: &mut Part<R>, schedule: &Schedule<'_>, end: usize) -> bool {
        let step = part.step;
        let change = &part.changes[0];
        if step < part.next_look || change.restart.is_some() || !change.columns.is_empty() {
            return false;
        }
        let longest = end.min(schedule.constant_until[step]) - step;
        let rate = schedule.rates[step];
        let mut steps = longest;
        while steps >= SHORTEST_STRETCH {
            let Stretch { s, c, d, b } = schedule.stretches[steps];
            let (s, c) = (R::of(rate * s), R::of(rate * c));
            if R::stays(&part.state, s, c) {
                let stretch = Stretch { s, c, d: R::of(d), b: R::of(b) };
                let sums = R::leap(&mut part.state, &self.weights, self.slope, stretch).map(R::to_f64);
                let a = part.neurons[0].readout;
                let loss = |k: &Stretch<f64>| a * (sums[0] + rate * (k.s * sums[1] + k.c * sums[2]));
                part.losses.extend(schedule.stretches[..steps].iter().map(loss));
                part.step += steps;
                part.patience = 1;
                return true;
            }
            steps = if steps > 4 * SHORTEST_STRETCH { steps / 4 } else { 0 };
        }
        part.next_look = step + part.patience;
        part.patience = (2 * part.patience).min(LONGEST_PATIENCE);
        false
    }
}
