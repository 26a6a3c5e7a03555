//! Descent with the identity loss: neuron by neuron, in the preactivations.
//!
//! A neuron's force on its preactivations is q = (a/N) K (y∘φ'(u)), constant between sign changes. Its state is u, the
//! momentum p of u, and q; a step is p ← βp + q, u ← u + ηp ([`sweep`](super::sweep)), and for its sign changes the
//! cheapest of (`changes`):
//! - one Gram column per sign change;
//! - starting again from the forces with all samples above or below, one column per sample that is not;
//! - forming q anew by products with the inputs, without the Gram matrix: the force on the weights, X̃(a/N)(y∘φ'(u)), which
//!   is kept up to date sample by sample where it is known, and X̃ᵀ times it.
//!
//! Points that span a small space are replaced by their coordinates in it ([`subspace`](super::subspace)).
//!
//! The Gram matrix is made once half of its cost has been spent without it. Where a cache shared by the cores holds it, neurons are taken one
//! after another, each with the columns as they lie there (a copy of the matrix that stands column after column), or, where they change
//! sides so often that a tile of the matrix serves many of them from the second-level cache, tile after tile. They walk alone when sign
//! changes are rare, so that their state stays in the first-level cache; stretches without sign changes are then crossed in one step
//! ([`Problem::stretch`]).
//! Neurons that slide, a few samples changing side every few steps and all others never, follow these samples only, through
//! blocks of steps (`confined`).
//! All choices follow from counts, never from clocks. q is formed again at the latest after 10N columns, so that
//! rounding does not pile up.
//!
//! The weights are not followed: w̃ = w̃_0 + a Σ_n (y_n/N) C_n x̃_n at the end, with C_n = Σ_j D_j φ'(u_n at step j) and D_j
//! the displacement that a unit force of step j has caused by the end. With R_k = Σ_{j ≥ k} D_j, C_n starts as φ'_n R_0 and
//! changes by Δφ'_n R_k when sample n changes sign before step k.

mod arrival;
mod block;
mod changes;
mod confined;
mod near;
mod part;
mod schedule;

use std::cell::OnceCell;

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::gram::Gram;
use super::real::Real;
use super::stretch::Stretch;
use super::subspace::Subspace;
use super::sweep::{Change, Flip, ROWS, Sweep, by_column, forces_are_cached};
use crate::error::{Error, Result};
use crate::network::neurons::{Neurons, Weights};
use crate::problem::{Slope, TrainingSet};
use block::Block;
use changes::{forces_of, in_tiles, preactivations};
use confined::{FIRST_BLOCK, LONGEST_BLOCK, SHORTEST_BLOCK};
use part::{Neuron, Part};
use schedule::Schedule;

/// Steps between two decisions whether neurons walk together or alone.
const TOGETHER_STEPS: usize = 8;
const ALONE_STEPS: usize = 128;
/// Sign changes per neuron and step above which neurons walk together.
const FREQUENT: f64 = 3.0;
/// Bytes of u, p, q and weights that are held at a time, and of all that goes with them.
const STATE_BYTES: usize = 1 << 26;
const HELD_BYTES: usize = 1 << 27;
/// Groups under way, however long their histories are: enough to share.
const FEWEST_GROUPS: usize = 8;
/// Fewest and most neurons of a group where threads share the neurons: the state of 32 on 1000 samples fits into a second-level cache of
/// 512 KiB in single precision.
const SMALLEST_GROUP: usize = 8;
const LARGEST_GROUP: usize = 32;
/// Neurons per product.
const BLOCK: usize = 32;
/// Bytes of a Gram matrix that a cache shared by the cores keeps.
const SHARED_CACHE: usize = 1 << 24;
/// Columns that a group adds at a step, per sample, above which it goes tile after tile: each column of a tile then serves several
/// neurons from the second-level cache.
const MOST_BY_NEURON: usize = 2;
/// Neurons per sample, as its inverse, that are worth a Gram matrix in columns besides the one in tiles.
const FEW_NEURONS: usize = 4;
/// Tiles of one task when tiles are shared between threads.
const TILES_PER_TASK: usize = 1;
/// Steps without sign changes that are worth a look, and how many steps pass at most until the next look.
const SHORTEST_STRETCH: usize = 6;
const LONGEST_PATIENCE: usize = 64;

/// What all neurons share.
pub(super) struct Problem<R> {
    count: usize,
    stride: usize,
    slope: R,
    momentum: R,
    momentum_f64: f64,
    /// (x_n, 1), stride × count, in coordinates of the space that the points span if that is small.
    augmented: Vec<R>,
    /// The same once more, tile after tile, in a tile coordinate after coordinate, [`ROWS`] samples each, zero beyond the last.
    tiles: Vec<R>,
    subspace: Option<Subspace<R>>,
    /// Weights of a neuron.
    weight_count: usize,
    /// y_n/N, zero beyond the last sample.
    weights: Vec<R>,
    /// Forces of a neuron with all samples above and readout 1.
    all_above: Vec<R>,
    /// ‖x̃_n‖.
    lengths: Vec<R>,
}

/// Some neurons under way.
struct Group<R> {
    readout: Vec<f64>,
    hidden: Vec<R>,
    /// Neurons that walk together, and those that walk alone.
    parts: Vec<Part<R>>,
    /// The next step, and the one at which it is decided anew whether neurons walk together.
    step: usize,
    pause: usize,
    /// The step from which on it is tried to follow few samples, and how long to wait if that fails.
    attempt: usize,
    wait: usize,
    losses: Vec<f64>,
}

/// What a group of neurons ends with: hidden weights, readout and its terms of the losses.
type Outcome = (Vec<f64>, Vec<f64>, Vec<f64>);

impl<R: Real> Problem<R> {
    pub fn new(train: &TrainingSet, slope: Slope, momentum: f64) -> Self {
        let (count, weight_count) = (train.count(), train.input_dim() + 1);
        let mut subspace = Subspace::find(train);
        let augmented = match &mut subspace {
            Some(subspace) => std::mem::take(&mut subspace.augmented),
            None => super::augmented(train),
        };
        let stride = augmented.len() / count;
        let padded = count.next_multiple_of(ROWS);
        let mut weights: Vec<R> = train.labels().iter().map(|y| R::of(y / count as f64)).collect();
        let mut all_above = forces_of(&augmented, stride, &weights);
        weights.resize(padded, R::default());
        all_above.resize(padded, R::default());
        let (slope, momentum_f64, momentum) = (R::of(slope.value()), momentum, R::of(momentum));
        let length = |x: &[R]| x.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>().sqrt();
        let mut lengths: Vec<R> = augmented.par_chunks_exact(stride).map(|x| R::of(length(x))).collect();
        lengths.resize(padded, R::default());
        Problem {
            count,
            stride,
            slope,
            momentum,
            momentum_f64,
            tiles: in_tiles(&augmented, stride),
            augmented,
            subspace,
            weight_count,
            weights,
            all_above,
            lengths,
        }
    }

    /// Whether the tiles of a step are shared between threads, not the neurons: the Gram matrix is then read from memory,
    /// and once for all neurons.
    fn shares_tiles(&self) -> bool {
        self.count * self.count * size_of::<R>() > SHARED_CACHE
    }

    /// Whether so many neurons add so many columns that a copy of the Gram matrix pays, in which each is read as it lies.
    fn wants_columns(&self, width: usize) -> bool {
        !self.shares_tiles() && width * FEW_NEURONS >= self.count
    }

    /// Trains all neurons under a schedule of learning rates: the weights, and the loss before each step. The Gram matrix is made
    /// when it is asked for, unless another run has `made` it: it comes into use when it would if this run were the first.
    pub fn run(&self, neurons: &Neurons, rates: &[f64], made: &OnceCell<Gram<R>>) -> Result<(Weights, Vec<f64>)> {
        // A rate that is infinite in the type of the steps would move even the rows that stand for no sample.
        if let Some(step) = rates.iter().position(|rate| !R::of(*rate).to_f64().is_finite()) {
            return Err(Error::Diverged { what: "gradient descent", step, value: f64::INFINITY });
        }
        let schedule = Schedule::new(rates, self.momentum_f64);
        let width = neurons.width();
        let (size, at_once) = self.groups(width, rates.len());
        let firsts: Vec<usize> = (0..width).step_by(size).collect();
        let mut gram = None;
        let mut hidden = Vec::with_capacity(width * self.weight_count);
        let mut readout = Vec::with_capacity(width);
        let mut losses = vec![0.0; rates.len()];
        for wave in firsts.chunks(at_once) {
            let mut groups: Vec<Group<R>> =
                wave.par_iter().map(|&first| self.group(neurons, first, size.min(width - first), &schedule)).collect();
            loop {
                groups.par_iter_mut().for_each(|group| self.advance(group, gram, &schedule, width));
                if groups.iter().all(|group| group.step == rates.len()) {
                    break;
                }
                // A group that has stopped early asks for the Gram matrix.
                gram = Some(made.get_or_init(|| {
                    let gram = Gram::new(&self.augmented, self.stride, self.count);
                    if self.wants_columns(width) { gram.with_columns() } else { gram }
                }));
            }
            let outcomes: Vec<Outcome> = groups.into_par_iter().map(|group| self.finish(group)).collect();
            for (group_hidden, group_readout, group_losses) in outcomes {
                hidden.extend(group_hidden);
                readout.extend(group_readout);
                losses.iter_mut().zip(&group_losses).for_each(|(sum, term)| *sum -= term);
            }
        }
        let weights = super::reached(self.weight_count - 1, hidden, readout, &losses)?;
        Ok((weights, losses))
    }

    /// Neurons of a group, and groups under way at a time.
    fn groups(&self, width: usize, steps: usize) -> (usize, usize) {
        let held = (STATE_BYTES / ((4 * self.count + 2 * self.weight_count) * size_of::<R>())).max(1);
        if self.shares_tiles() {
            return (width.min(held), 1);
        }
        let size = width.div_ceil(8).clamp(SMALLEST_GROUP, LARGEST_GROUP);
        let group = size * self.neuron_bytes() + steps * size_of::<f64>();
        (size, (held / size).min((HELD_BYTES / group).max(FEWEST_GROUPS)).max(1))
    }

    /// Bytes of a neuron under way, without the Gram matrix's columns that it may keep and what is owed to its forces.
    fn neuron_bytes(&self) -> usize {
        let tiles = self.count.div_ceil(ROWS);
        let in_type = (3 * tiles * ROWS + self.stride + self.weight_count) * size_of::<R>();
        // C_n, sides, terms of the loss, and, where few samples are followed, their places.
        let booked = (self.count + tiles + 1 + ALONE_STEPS) * size_of::<f64>() + self.count * size_of::<u32>();
        in_type + booked + size_of::<Part<R>>() + size_of::<Neuron<R>>() + size_of::<Change<R>>()
    }

    /// Neurons at the start.
    fn group(&self, neurons: &Neurons, first: usize, size: usize, schedule: &Schedule<'_>) -> Group<R> {
        let (mut hidden, mut readout) = (vec![0.0; self.weight_count * size], vec![0.0; size]);
        neurons.fill(first, &mut hidden, &mut readout);
        let hidden: Vec<R> = hidden.iter().map(|w| R::of(*w)).collect();
        let blocks: Vec<Vec<R>> = hidden
            .par_chunks(BLOCK * self.weight_count)
            .map(|weights| match &self.subspace {
                Some(subspace) => preactivations(&self.augmented, self.stride, &subspace.project(weights)),
                None => preactivations(&self.augmented, self.stride, weights),
            })
            .collect();
        let u = blocks.iter().flat_map(|block| block.chunks_exact(self.count));
        let starting: Vec<(f64, &[R])> = readout.iter().copied().zip(u).collect();
        let mut part = Part::start(&starting, self.slope.to_f64(), schedule.reach[0]);
        self.form_anew(&mut part, &(0..size).collect::<Vec<_>>());
        let losses = vec![0.0; schedule.rates.len()];
        let pause = TOGETHER_STEPS.min(losses.len());
        Group { readout, hidden, parts: vec![part], step: 0, pause, attempt: FIRST_BLOCK, wait: SHORTEST_BLOCK, losses }
    }

    /// Takes steps until the schedule ends, or until the Gram matrix is wanted and not there.
    fn advance(&self, group: &mut Group<R>, gram: Option<&Gram<R>>, schedule: &Schedule<'_>, width: usize) {
        while group.step < schedule.rates.len() {
            let share = width as f64 / group.readout.len() as f64;
            let walk = |part: &mut Part<R>| self.walk(part, gram, schedule, group.pause, share);
            if self.shares_tiles() {
                group.parts.par_iter_mut().for_each(walk);
            } else {
                group.parts.iter_mut().for_each(walk);
            }
            if group.parts.iter().any(|part| part.step < group.pause) {
                return;
            }
            for part in &mut group.parts {
                group.losses[group.step..].iter_mut().zip(part.losses.drain(..)).for_each(|(sum, term)| *sum += term);
            }
            let period = group.pause - group.step;
            group.step = group.pause;
            self.regroup(group, gram, schedule, period, width);
            // Those that walk alone pay for their products together.
            if gram.is_none() && self.wants_gram(&group.parts, width) {
                return;
            }
        }
    }

    /// Decides which neurons walk together, and until when. `period`: the steps since the last time.
    fn regroup(
        &self,
        group: &mut Group<R>,
        gram: Option<&Gram<R>>,
        schedule: &Schedule<'_>,
        period: usize,
        width: usize,
    ) {
        let (step, steps) = (group.step, schedule.rates.len());
        if step == steps {
            return;
        }
        let frequent = |parts: &[Part<R>]| {
            let recent: usize = parts.iter().flat_map(|part| &part.neurons).map(|neuron| neuron.recent).sum();
            let size: usize = parts.iter().map(Part::size).sum();
            recent as f64 > FREQUENT * (size * period) as f64
        };
        let block = LONGEST_BLOCK.min((step / 4).max(SHORTEST_BLOCK)).min(schedule.constant_until[step] - step);
        let mut parts = std::mem::take(&mut group.parts);
        let mut walking = TOGETHER_STEPS;
        let mut ready = Vec::new();
        let worth = gram.is_none() || self.shares_tiles();
        if worth && step >= group.attempt && block >= SHORTEST_BLOCK && (parts[0].size() == 1 || frequent(&parts)) {
            parts = Part::singles(parts);
            let block = Block { schedule, first: step, steps: block, gram };
            let taken = self.confine(&mut parts, block, period, width);
            if taken.contains(&true) {
                (group.wait, walking) = (SHORTEST_BLOCK, block.steps);
            } else {
                group.attempt = step + group.wait;
                group.wait *= 2;
            }
            let (done, rest): (Vec<_>, Vec<_>) = parts.into_iter().zip(taken).partition(|(_, taken)| *taken);
            ready = done.into_iter().map(|(part, _)| part).collect();
            parts = rest.into_iter().map(|(part, _)| part).collect();
        }
        match (frequent(&parts), parts.len()) {
            (true, 2..) => parts = vec![Part::join(Part::singles(parts))],
            (false, 1..) => {
                parts = Part::singles(parts);
                if ready.is_empty() {
                    walking = ALONE_STEPS;
                }
            }
            _ => {}
        }
        parts.iter_mut().flat_map(|part| &mut part.neurons).for_each(|neuron| neuron.recent = 0);
        ready.append(&mut parts);
        group.parts = ready;
        group.pause = steps.min(step + walking);
    }

    /// Takes steps until `end`, or until the Gram matrix is wanted and not there.
    fn walk(&self, part: &mut Part<R>, gram: Option<&Gram<R>>, schedule: &Schedule<'_>, end: usize, share: f64) {
        let mut flips = Vec::new();
        while part.step < end {
            if part.size() == 1 && self.stretch(part, schedule, end) {
                continue;
            }
            if !self.settle(part, gram, share) {
                return;
            }
            let rate = R::of(schedule.rates[part.step]);
            flips.clear();
            let loss = self.sweep(part, gram, rate, &mut flips);
            part.losses.push(loss);
            for change in &mut part.changes {
                change.columns.clear();
                change.restart = None;
            }
            part.step += 1;
            part.book(&flips, &self.weights, self.slope.to_f64(), schedule.reach[part.step]);
        }
    }

    /// One step; appends the sign changes and returns the neurons' term of the loss before it (with the opposite sign).
    fn sweep(&self, part: &mut Part<R>, gram: Option<&Gram<R>>, rate: R, flips: &mut Vec<Flip>) -> f64 {
        let size = part.size();
        let tiles = if self.shares_tiles() && size > 1 { TILES_PER_TASK } else { self.count.div_ceil(ROWS) };
        let in_order = self.shares_tiles() && size > 1 && forces_are_cached::<R>(size);
        let additions = if in_order { by_column(&part.changes, self.count) } else { Vec::new() };
        let columns: usize = part.changes.iter().map(|change| change.columns.len()).sum();
        let by_neuron = !self.shares_tiles()
            && columns <= MOST_BY_NEURON * self.count
            && gram.is_none_or(|gram| !gram.columns().is_empty());
        let task = |index: usize, state: &mut [R], sides: &mut [u64], flips: &mut Vec<Flip>| {
            let first = index * tiles * ROWS;
            let task = Sweep {
                count: self.count,
                first,
                gram: gram.map_or(&[], |gram| if by_neuron { gram.columns() } else { gram.tiles_from(index * tiles) }),
                by_neuron,
                all_above: &self.all_above[first..],
                weights: &self.weights[first..],
                changes: &part.changes,
                additions: &additions,
                readout: &part.readout,
                slope: self.slope,
                momentum: self.momentum,
                rate,
            };
            R::sweep(&task, state, sides, flips).to_f64()
        };
        let (state_len, sides_len) = (tiles * ROWS * 3 * size, tiles * size);
        if part.state.len() <= state_len {
            return task(0, &mut part.state, &mut part.sides, flips);
        }
        let tasks = part.state.par_chunks_mut(state_len).zip(part.sides.par_chunks_mut(sides_len)).enumerate();
        let results: Vec<(f64, Vec<Flip>)> = tasks
            .map(|(index, (state, sides))| {
                let mut flips = Vec::new();
                (task(index, state, sides, &mut flips), flips)
            })
            .collect();
        results.into_iter().fold(0.0, |sum, (loss, found)| {
            flips.extend(found);
            sum + loss
        })
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

    /// The trained weights of a group.
    fn finish(&self, group: Group<R>) -> Outcome {
        let all = MatRef::from_column_major_slice(&self.augmented, self.stride, self.count);
        let mut hidden = group.hidden;
        let mut neurons: Vec<&Neuron<R>> = group.parts.iter().flat_map(|part| &part.neurons).collect();
        neurons.sort_by_key(|neuron| neuron.place);
        let blocks = hidden.par_chunks_mut(BLOCK * self.weight_count).zip(neurons.par_chunks(BLOCK));
        blocks.for_each(|(hidden, neurons)| {
            let mut impulses = Vec::with_capacity(self.count * neurons.len());
            for Neuron { readout: a, reach, .. } in neurons {
                impulses.extend(reach.iter().zip(&self.weights).map(|(c, weight)| R::of(a * weight.to_f64() * c)));
            }
            let impulses = MatRef::from_column_major_slice(&impulses, self.count, neurons.len());
            if let Some(subspace) = &self.subspace {
                let mut movements = vec![R::default(); self.stride * neurons.len()];
                let target = MatMut::from_column_major_slice_mut(&mut movements, self.stride, neurons.len());
                R::multiply(target, false, all, impulses);
                subspace.add(hidden, &movements);
            } else {
                let target = MatMut::from_column_major_slice_mut(hidden, self.stride, neurons.len());
                R::multiply(target, true, all, impulses);
            }
        });
        (hidden.iter().map(|w| w.to_f64()).collect(), group.readout, group.losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Initialisation, Readout};
    use crate::problem::Points;
    use crate::random::Streams;

    fn problem(count: usize, dim: usize) -> Problem<f32> {
        let values = (0..count * dim).map(|i| ((i * i + i) as f64 * 0.61).sin()).collect();
        let labels = (0..count).map(|n| if n % 3 == 0 { 1.0 } else { -1.0 }).collect();
        let train = TrainingSet::new(Points::from_rows("x", count, dim, values).unwrap(), labels).unwrap();
        Problem::new(&train, Slope::RELU, 0.9)
    }

    /// Bytes of all arrays of a group, and of what they stand in.
    fn bytes(group: &Group<f32>) -> usize {
        let doubles = group.readout.len() + group.losses.len();
        let parts = group.parts.iter().map(|part| {
            let neurons = part.neurons.iter().map(|neuron| {
                let force = neuron.on_weights.as_ref().map_or(0, |known| size_of_val(&known.force[..]));
                size_of_val(neuron) + size_of_val(&neuron.reach[..]) + force
            });
            let own = size_of_val(part) + size_of_val(&part.changes[..]) + size_of_val(&part.losses[..]);
            neurons.sum::<usize>() + own + size_of_val(&part.state[..]) + size_of_val(&part.sides[..])
        });
        doubles * size_of::<f64>() + size_of_val(&group.hidden[..]) + parts.sum::<usize>()
    }

    /// With few samples what goes with a neuron takes more than its state, and with many steps its group's losses do.
    #[test]
    fn groups_under_way_take_the_memory_that_is_counted() {
        let (steps, width) = (100_000, 1_000_000);
        for count in [10, 100] {
            let problem = problem(count, 5);
            let (size, at_once) = problem.groups(width, steps);
            let rates = vec![0.1; steps];
            let schedule = Schedule::new(&rates, 0.9);
            let neurons =
                Neurons::draw(5, size, Initialisation::Standard, Readout::Gaussian, Streams::new(0, "held")).unwrap();
            let group = problem.group(&neurons, 0, size, &schedule);
            let together = bytes(&group);
            let alone = bytes(&Group { parts: Part::singles(group.parts), ..group });
            let counted = size * problem.neuron_bytes() + steps * size_of::<f64>();
            assert!(together <= counted && alone <= counted && counted <= 2 * together, "{together} {alone} {counted}");
            assert!(at_once > FEWEST_GROUPS && at_once * counted <= HELD_BYTES, "{at_once} of {counted}");
        }
        // However long: so few that losses take no more than the schedule.
        assert_eq!(problem(10, 5).groups(width, 1 << 40).1, FEWEST_GROUPS);
        // Where the state is most of it, it alone counts.
        let problem = problem(1000, 20);
        assert_eq!(problem.groups(width, 1000).1, STATE_BYTES / ((4 * 1000 + 2 * 21) * 4) / LARGEST_GROUP);
    }
}
