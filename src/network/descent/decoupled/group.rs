//! Groups of neurons: how many are under way, and which of a group's neurons walk together.

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::block::Block;
use super::changes::preactivations;
use super::confined::{FIRST_BLOCK, LONGEST_BLOCK, SHORTEST_BLOCK};
use super::part::{MOST_OWED, Neuron, Part};
use super::schedule::{ALONE_STEPS, Schedule};
use super::triangles::TRIANGLE_STEPS;
use super::{BLOCK, Problem};
use crate::network::descent::gram::Gram;
use crate::network::descent::real::Real;
use crate::network::descent::sweep::{Change, ROWS};
use crate::network::neurons::Neurons;

/// Steps between two decisions whether neurons walk together or alone: while they walk together.
const TOGETHER_STEPS: usize = 8;
/// Sign changes per neuron and step above which neurons walk together.
const FREQUENT: f64 = 3.0;
/// Bytes of u, p, q and weights that are held at a time, and of all that goes with them.
const STATE_BYTES: usize = 1 << 26;
const HELD_BYTES: usize = 1 << 27;
/// Groups under way, however long their histories are: enough to share.
const FEWEST_GROUPS: usize = 8;
/// Groups that start before it is known whether the Gram matrix pays.
pub(super) const SCOUTS: usize = 16;
/// Fewest and most neurons of a group where threads share the neurons: the state of 32 on 1000 samples fits into a second-level cache of
/// 512 KiB in single precision.
const SMALLEST_GROUP: usize = 8;
const LARGEST_GROUP: usize = 32;

/// Some neurons under way.
pub(super) struct Group<R> {
    readout: Vec<f64>,
    hidden: Vec<R>,
    /// Neurons that walk together, and those that walk alone.
    pub(super) parts: Vec<Part<R>>,
    /// The next step, and the one at which it is decided anew whether neurons walk together.
    pub(super) step: usize,
    pause: usize,
    /// The step from which on it is tried to follow few samples, and how long to wait if that fails.
    attempt: usize,
    wait: usize,
    losses: Vec<f64>,
}

/// Where a group of neurons ends: its trained weights and readout, and, while it is on its way, itself.
pub(super) struct Slot<'a, R> {
    pub(super) hidden: &'a mut [f64],
    pub(super) readout: &'a mut [f64],
    /// A group that has stopped for want of the Gram matrix.
    pub(super) group: Option<Group<R>>,
    /// The terms of the losses of one that has ended.
    pub(super) losses: Vec<f64>,
}

impl<R: Real> Problem<R> {
    /// Neurons of a group, and groups under way at a time.
    pub(super) fn groups(&self, width: usize, steps: usize) -> (usize, usize) {
        let held = (STATE_BYTES / ((4 * self.count + 2 * self.weight_count) * size_of::<R>())).max(1);
        if self.shares_tiles() {
            return (width.min(held), 1);
        }
        let size = width.div_ceil(8).clamp(SMALLEST_GROUP, LARGEST_GROUP);
        let group = size * self.neuron_bytes() + steps * size_of::<f64>();
        (size, (held / size).min((HELD_BYTES / group).max(FEWEST_GROUPS)).max(1))
    }

    /// Bytes of a neuron under way, without the Gram matrix's columns that it may keep.
    fn neuron_bytes(&self) -> usize {
        let tiles = self.count.div_ceil(ROWS);
        let in_type = (3 * tiles * ROWS + self.stride + self.weight_count) * size_of::<R>();
        let owed = (self.count / MOST_OWED + 1) * size_of::<(u32, R)>();
        // C_n, sides, terms of the loss, and, where few samples are followed, their places.
        let booked = (self.count + tiles + 1 + ALONE_STEPS) * size_of::<f64>() + self.count * size_of::<u32>();
        in_type + owed + booked + size_of::<Part<R>>() + size_of::<Neuron<R>>() + size_of::<Change<R>>()
    }

    /// Neurons at the start.
    pub(super) fn group(&self, neurons: &Neurons, first: usize, size: usize, schedule: &Schedule<'_>) -> Group<R> {
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
    pub(super) fn advance(&self, group: &mut Group<R>, gram: Option<&Gram<R>>, schedule: &Schedule<'_>, width: usize) {
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
        let recent = |parts: &[Part<R>]| -> usize {
            parts.iter().flat_map(|part| &part.neurons).map(|neuron| neuron.recent).sum()
        };
        let frequent = |parts: &[Part<R>]| {
            let size: usize = parts.iter().map(Part::size).sum();
            recent(parts) as f64 > FREQUENT * (size * period) as f64
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
        if gram.is_some()
            && self.shares_tiles()
            && ready.is_empty()
            && self.is_worth_going_ahead(recent(&parts) / period)
        {
            walking = TRIANGLE_STEPS;
        }
        match (frequent(&parts), parts.len()) {
            (true, 2..) => parts = vec![Part::join(Part::singles(parts))],
            (false, 1..) => {
                parts = Part::singles(parts);
                if ready.is_empty() {
                    // Not for long at first: sign changes may become frequent again. (No more than the steps taken so far costs
                    // the wide settings a twentieth.)
                    walking = ALONE_STEPS.min(4 * step);
                }
            }
            _ => {}
        }
        parts.iter_mut().flat_map(|part| &mut part.neurons).for_each(|neuron| neuron.recent = 0);
        ready.append(&mut parts);
        group.parts = ready;
        group.pause = steps.min(step + walking);
    }

    /// Writes the trained weights and the readout of a group; the terms of its losses.
    pub(super) fn finish(&self, group: Group<R>, trained: &mut [f64], readout: &mut [f64]) -> Vec<f64> {
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
        trained.iter_mut().zip(&hidden).for_each(|(trained, w)| *trained = w.to_f64());
        readout.copy_from_slice(&group.readout);
        group.losses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Initialisation, Readout};
    use crate::problem::Points;
    use crate::problem::{Slope, TrainingSet};
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
                let force = neuron
                    .on_weights
                    .as_ref()
                    .map_or(0, |known| size_of_val(&known.force[..]) + known.owed.capacity() * size_of::<(u32, f32)>());
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
