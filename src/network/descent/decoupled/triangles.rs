//! Steps of neurons that walk together where the Gram matrix comes from memory: one triangle of it a step.
//!
//! Samples are cut into strips. A pass over the strips, from the first to the last or back, takes a step: it completes the forces on a
//! strip's samples, moves them, and finds who has changed side, which is what the next step has to add. So while the rows of a strip
//! pass by, the columns of all strips that the pass has behind it serve both steps: what this step still lacks, and what is
//! known of the next one; the strip's own columns serve this step only. The other columns have been added by the pass before, which came from the other end. A pass thus
//! reads the tiles of one triangle, and the next one those of the other.
//!
//! The first of some steps reads all of the matrix; the last, and one that adds fewer than N columns, adds nothing ahead. What was added ahead is kept beside the forces, and
//! dropped where the changes of a step enter otherwise than by their columns (`settle`): it then reads all of the matrix as well.

use rayon::prelude::*;

use super::Problem;
use super::part::{Neuron, Part, factor};
use super::schedule::Schedule;
use crate::network::descent::gram::Gram;
use crate::network::descent::real::Real;
use crate::network::descent::strips::{Forces, InBlocks, STRIP, Strip};
use crate::network::descent::sweep::{Change, Flip, ROWS, Sweep};

/// Bytes of a Gram matrix of which caches keep no share worth mentioning. (One of 32 MiB was added no faster by triangles.)
const FROM_MEMORY: usize = 1 << 26;

/// Steps between two decisions whether neurons walk together or alone, while they go by triangles.
pub(super) const TRIANGLE_STEPS: usize = 32;

/// What a pass has done for the next step.
struct Ahead<R> {
    /// Strip after strip, the columns of the next step.
    columns: Vec<Option<InBlocks<R>>>,
    /// Columns of the next step, all in all.
    count: usize,
    /// Whether the pass went from the last strip to the first.
    backwards: bool,
}

impl<R: Real> Problem<R> {
    /// Takes steps until `end`, or until the Gram matrix is wanted and not there.
    pub(super) fn walk_by_triangles(
        &self,
        part: &mut Part<R>,
        gram: Option<&Gram<R>>,
        schedule: &Schedule<'_>,
        end: usize,
        share: f64,
    ) {
        let mut sums = Vec::new();
        let mut last: Option<Ahead<R>> = None;
        while part.step < end {
            // Forces that are due to be formed anew on the way are formed at the start, where all of the matrix is read anyway.
            let changed = part.changes.iter().map(|change| change.columns.len()).sum();
            let starts = gram.is_some() && last.is_none() && self.is_worth_going_ahead(changed);
            let steps = if starts { (end - part.step).min(TRIANGLE_STEPS) } else { 1 };
            if !self.settle(part, gram, share, steps) {
                return;
            }
            let count: usize = part.changes.iter().map(|change| change.columns.len()).sum();
            let by_columns = part.changes.iter().all(|change| change.restart.is_none());
            let usable = last.take().filter(|ahead| by_columns && count == ahead.count);
            let goes_ahead = part.step + 1 < end && self.is_worth_going_ahead(count);
            if goes_ahead {
                sums.resize(part.sides.len() * ROWS, R::default());
            }
            let rate = R::of(schedule.rates[part.step]);
            let (loss, flips, next) = self.pass(part, gram, rate, usable, goes_ahead, &mut sums);
            self.end_step(part, loss, &flips, schedule);
            last = next;
        }
    }

    /// Whether steps that add so many columns wait for the matrix: where each is used once or more, and hardly any is in a cache still from
    /// the step before.
    pub(super) fn is_worth_going_ahead(&self, columns: usize) -> bool {
        columns >= self.count && self.count * self.count * size_of::<R>() > FROM_MEMORY
    }

    /// One step: the neurons' term of the loss before it (with the opposite sign), the sign changes, and, if it goes ahead, what it has done
    /// for the next. `last`: what the step before has done, with its sums in `sums`, where those for the next step come to stand.
    fn pass(
        &self,
        part: &mut Part<R>,
        gram: Option<&Gram<R>>,
        rate: R,
        last: Option<Ahead<R>>,
        goes_ahead: bool,
        sums: &mut [R],
    ) -> (f64, Vec<Flip>, Option<Ahead<R>>) {
        debug_assert!(
            gram.is_some() || part.changes.iter().all(|change| change.columns.is_empty()),
            "columns of a matrix that is there"
        );
        let size = part.size();
        let strips = self.count.div_ceil(STRIP);
        let (resumes, backwards) = (last.is_some(), last.as_ref().is_some_and(|last| !last.backwards));
        let now = last.map_or_else(|| in_strips(&part.changes, strips), |last| last.columns);
        let restarts: Vec<Option<R>> = part.changes.iter().map(|change| change.restart).collect();
        let still = vec![Change { restart: None, columns: Vec::new() }; size];
        let Part { neurons, readout, state, sides, .. } = part;
        let mut next: Vec<Option<InBlocks<R>>> = (0..strips).map(|_| None).collect();
        let (mut found, mut count) = (vec![(0.0, Vec::new()); strips], 0);
        // All at once where no strip has to wait for another.
        let by_strips = resumes || goes_ahead;
        let together = if by_strips { 1 } else { strips };
        for turn in (0..strips).step_by(together) {
            let strip = if backwards { strips - 1 - turn } else { turn };
            let is_behind = |other: usize| if backwards { other > strip } else { other < strip };
            let added = now.iter().zip(&next).enumerate().map(|(other, (now, next))| Strip {
                now: now.as_ref().filter(|_| !resumes || other == strip || is_behind(other)),
                ahead: next.as_ref(),
            });
            let added: Vec<Strip<'_, R>> = added.collect();
            let task = |tile: usize, state: &mut [R], sides: &mut [u64], sums: &mut [R]| {
                let first = tile * ROWS;
                let all_above = &self.all_above[first..];
                let gram = gram.map_or(&[][..], |gram| &gram.tiles_from(tile)[..ROWS * self.count]);
                let forces = Forces { gram, strips: &added, all_above, restarts: &restarts, resumes };
                R::add_strips(&forces, state, sums);
                let sweep = Sweep {
                    count: self.count,
                    first,
                    gram: &[],
                    by_neuron: false,
                    all_above,
                    weights: &self.weights[first..],
                    changes: &still,
                    readout,
                    slope: self.slope,
                    momentum: self.momentum,
                    rate,
                };
                let mut flips = Vec::new();
                (R::sweep(&sweep, state, sides, &mut flips).to_f64(), flips)
            };
            let first = strip * STRIP / ROWS;
            let tiles = (together * STRIP / ROWS).min(sides.len() / size - first);
            let rows = |values: usize| first * size * values..(first + tiles) * size * values;
            let state = state[rows(3 * ROWS)].par_chunks_exact_mut(3 * ROWS * size);
            let sides = sides[rows(1)].par_chunks_exact_mut(size);
            // Not touched where they are not wanted: those of many neurons would drive the forces from the caches.
            let sums: Vec<&mut [R]> = if by_strips {
                sums[rows(ROWS)].chunks_exact_mut(ROWS * size).collect()
            } else {
                (0..tiles).map(|_| &mut [][..]).collect()
            };
            let results: Vec<(f64, Vec<Flip>)> = state
                .zip(sides)
                .zip(sums)
                .enumerate()
                .map(|(index, ((state, sides), sums))| task(first + index, state, sides, sums))
                .collect();
            let (loss, flips) = &mut found[strip];
            for (term, changed) in results {
                *loss += term;
                flips.extend(changed);
            }
            if goes_ahead {
                let columns = self.columns_of(flips, neurons);
                next[strip] = Some(InBlocks::sort(&columns, size));
                count += columns.len();
            }
        }
        let loss = found.iter().map(|(loss, _)| loss).sum();
        let flips = found.into_iter().flat_map(|(_, flips)| flips).collect();
        (loss, flips, goes_ahead.then_some(Ahead { columns: next, count, backwards }))
    }

    /// The columns of some sign changes: neuron, sample and factor of each.
    fn columns_of(&self, flips: &[Flip], neurons: &[Neuron<R>]) -> Vec<(u32, u32, R)> {
        let column = |flip: &Flip| {
            let (readout, weight) = (neurons[flip.neuron as usize].readout, self.weights[flip.sample as usize]);
            (flip.neuron, flip.sample, factor(readout, flip.above, self.slope.to_f64(), weight))
        };
        flips.iter().map(column).collect()
    }
}

/// The columns of some changes, strip after strip; nothing where there are none.
fn in_strips<R: Real>(changes: &[Change<R>], strips: usize) -> Vec<Option<InBlocks<R>>> {
    let mut columns = vec![Vec::new(); strips];
    for (neuron, change) in changes.iter().enumerate() {
        for &(sample, factor) in &change.columns {
            columns[sample as usize / STRIP].push((neuron as u32, sample, factor));
        }
    }
    columns.par_iter().map(|own| (!own.is_empty()).then(|| InBlocks::sort(own, changes.len()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::descent::decoupled::changes::REFRESH;
    use crate::network::{Initialisation, Neurons, Readout};
    use crate::problem::{Points, Slope, TrainingSet};
    use crate::random::{Streams, random_signs};

    /// Strips of noise, the last of them not full; so many that steps go ahead.
    const COUNT: usize = 2950;
    const RATE: f64 = 0.7;

    /// Neurons that have taken some steps and change sides often.
    fn start(schedule: &Schedule<'_>) -> (Problem<f64>, Gram<f64>, Part<f64>) {
        let (dim, size) = (1000, 200);
        let values = (0..COUNT * dim).map(|i| ((i * i + i) as f64 * 0.61).sin()).collect();
        let labels = random_signs(&Streams::new(0, "labels of a test"), COUNT);
        let train = TrainingSet::new(Points::from_rows("x", COUNT, dim, values).unwrap(), labels).unwrap();
        let problem = Problem::new(&train, Slope::new(0.2).unwrap(), 0.9);
        let gram = Gram::new(&problem.augmented, problem.stride, COUNT);
        let streams = Streams::new(0, "neurons of a test");
        let neurons = Neurons::draw(dim, size, Initialisation::Standard, Readout::Gaussian, streams).unwrap();
        let mut part = problem.group(&neurons, 0, size, schedule).parts.remove(0);
        for _ in 0..12 {
            let (loss, flips, _) = problem.pass(&mut part, Some(&gram), RATE, None, false, &mut []);
            problem.end_step(&mut part, loss, &flips, schedule);
        }
        (problem, gram, part)
    }

    /// Steps forth and back that read one triangle each against steps that read all, to rounding: q is a sum of 2950 terms, and of as many
    /// columns as its neuron has changed sides, none above (a/N)‖x̃‖² with ‖x̃‖² ≤ 1001, which the rates and the momentum take to u in 8 steps.
    #[test]
    fn steps_by_triangles_are_steps() {
        let schedule = Schedule::new(&[RATE; 64], 0.9);
        let (problem, gram, mut whole) = start(&schedule);
        let mut part = whole.clone();
        let mut sums = vec![f64::NAN; part.sides.len() * ROWS];
        let (mut last, mut ahead) = (None, 0);
        for step in 0..8 {
            let (expected, flips, _) = problem.pass(&mut whole, Some(&gram), RATE, None, false, &mut []);
            problem.end_step(&mut whole, expected, &flips, &schedule);
            let (loss, flips, next) = problem.pass(&mut part, Some(&gram), RATE, last, step < 7, &mut sums);
            problem.end_step(&mut part, loss, &flips, &schedule);
            assert_eq!(next.as_ref().map(|next| next.backwards), (step < 7).then_some(step % 2 == 1));
            ahead += next.as_ref().map_or(0, |next| next.count);
            last = next;
            let terms = |changed: usize| (COUNT + changed) as f64 * f64::EPSILON;
            let most = whole.neurons.iter().map(|neuron| neuron.recent).max().unwrap();
            assert!((loss - expected).abs() <= terms(most) * 10.0 * expected.abs(), "{step}: {loss} {expected}");
            for (neuron, values) in whole.state.chunks_exact(3 * ROWS).enumerate() {
                let Neuron { readout, recent, .. } = &whole.neurons[neuron % whole.size()];
                let slack = terms(*recent) * readout.abs() * 1001.0 * 36.0;
                let found = &part.state[neuron * 3 * ROWS..][..3 * ROWS];
                assert!(values.iter().zip(found).all(|(v, w)| (v - w).abs() <= slack), "{step} {neuron}");
            }
            assert!(part.sides == whole.sides);
            let columns =
                |part: &Part<f64>| part.changes.iter().map(|change| change.columns.clone()).collect::<Vec<_>>();
            assert_eq!(columns(&part), columns(&whole), "in the order of the samples, whichever way the pass went");
        }
        assert!(ahead > 200, "few sign changes: {ahead}");
    }

    /// Whole walks: steps that go ahead, forces that are formed anew on the way, and an end.
    #[test]
    fn a_walk_by_triangles_is_a_walk() {
        const END: usize = 90;
        let schedule = Schedule::new(&[RATE; END], 0.9);
        let (problem, gram, mut whole) = start(&schedule);
        // Steps that read all of the matrix, tile after tile; how many of them a walk by triangles would go ahead from.
        let walk = |part: &mut Part<f64>, end: usize| {
            let mut ahead = 0;
            while part.step < end {
                assert!(problem.settle(part, Some(&gram), 1.0, 1));
                let columns = part.changes.iter().map(|change| change.columns.len()).sum();
                ahead += usize::from(problem.is_worth_going_ahead(columns));
                let mut flips = Vec::new();
                let loss = problem.sweep(part, Some(&gram), RATE, &mut flips);
                problem.end_step(part, loss, &flips, &schedule);
            }
            ahead
        };
        walk(&mut whole, 15);
        // Some are due to be formed anew at once, some within the steps that are foreseen, and some later.
        for (place, neuron) in whole.neurons.iter_mut().enumerate() {
            neuron.age = REFRESH * COUNT - 25 * (place % 80);
            neuron.recent = 0;
        }
        let mut part = whole.clone();
        let ahead = walk(&mut whole, END);
        assert!(ahead > 50, "{ahead}");
        problem.walk_by_triangles(&mut part, Some(&gram), &schedule, END, 1.0);
        assert!(part.step == END && part.sides == whole.sides && part.losses.len() == whole.losses.len());
        // Formed anew after half of their sign changes: what was added ahead at that step was dropped.
        let late = part.neurons.iter().filter(|neuron| 2 * neuron.age < neuron.recent).count();
        assert!(late > 0 && late < part.size(), "{late}");
        let reach = |part: &Part<f64>| part.neurons.iter().map(|neuron| neuron.reach.clone()).collect::<Vec<_>>();
        assert_eq!(reach(&part), reach(&whole));
        let largest = whole.losses.iter().fold(0.0_f64, |largest, loss| largest.max(loss.abs()));
        assert!(
            part.losses
                .iter()
                .zip(&whole.losses)
                .all(|(a, b)| (a - b).abs() <= END as f64 * COUNT as f64 * f64::EPSILON * largest)
        );
    }
}
