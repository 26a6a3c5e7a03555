//! The end of a block: where all samples have got to, and which of them may have changed side unseen ([`confined`](super::confined)).

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use super::Problem;
use super::block::{Block, Way};
use super::changes::SAMPLES_PER_TASK;
use super::near::Near;
use super::part::Part;
use crate::network::descent::follow::{Knot, Margin};
use crate::network::descent::real::Real;
use crate::network::descent::stretch::Stretch;
use crate::network::descent::sweep::{Flip, ROWS};

/// What rounding can do to a test, many times over.
pub(super) const SLACK: f64 = 64.0;

/// X̃ᵀ times the vectors of some neurons ([`Way::on_weights`]): task after task of samples, in a task neuron after neuron.
pub(super) struct Ends<R> {
    tasks: Vec<Vec<R>>,
    neurons: usize,
    /// Samples of the last task.
    last: usize,
}

impl<R: Real> Ends<R> {
    /// What sign changes of a neuron have added to u of a tile's samples at each knot, and to p and q at the end.
    pub fn tile(&self, neuron: usize, tile: usize) -> Vec<[R; ROWS]> {
        const TILES: usize = SAMPLES_PER_TASK / ROWS;
        let task = &self.tasks[tile / TILES];
        let samples = if tile / TILES + 1 < self.tasks.len() { SAMPLES_PER_TASK } else { self.last };
        let own = task.len() / self.neurons;
        let vectors = task[neuron * own..][..own].chunks_exact(samples);
        let part = vectors.map(|vector| {
            let vector = &vector[tile % TILES * ROWS..];
            let mut values = [R::default(); ROWS];
            let len = vector.len().min(ROWS);
            values[..len].copy_from_slice(&vector[..len]);
            values
        });
        part.collect()
    }
}

impl<R: Real> Problem<R> {
    /// What sign changes have added to u, p, q of all samples by the end of a block.
    pub(super) fn ends(&self, ways: &[Way<R>]) -> Ends<R> {
        let vectors: Vec<R> = ways.iter().flat_map(|way| &way.on_weights).copied().collect();
        let vectors = MatRef::from_column_major_slice(&vectors, self.stride, vectors.len() / self.stride);
        let tasks = self.augmented.par_chunks(SAMPLES_PER_TASK * self.stride);
        let tasks = tasks.map(|inputs| {
            let samples = inputs.len() / self.stride;
            let mut products = vec![R::default(); samples * vectors.ncols()];
            let target = MatMut::from_column_major_slice_mut(&mut products, samples, vectors.ncols());
            let inputs = MatRef::from_column_major_slice(inputs, self.stride, samples);
            R::multiply(target, false, inputs.transpose(), vectors);
            products
        });
        Ends { tasks: tasks.collect(), neurons: ways.len(), last: (self.count - 1) % SAMPLES_PER_TASK + 1 }
    }

    /// The samples that are not followed and not certain to have stayed on their side.
    pub(super) fn crossing(
        &self,
        part: &Part<R>,
        near: &Near<R>,
        way: &Way<R>,
        ends: impl Fn(usize) -> Vec<[R; ROWS]>,
        block: Block<'_, R>,
    ) -> Vec<u32> {
        let rate = block.rate();
        let passed: Vec<Stretch<f64>> = block.knots().map(|knot| block.schedule.stretches[knot]).collect();
        let knots = |tile: usize| {
            let knots = passed.iter().zip(ends(tile));
            knots.map(|(Stretch { s, c, .. }, added)| Knot { s: R::of(rate * s), c: R::of(rate * c), added }).collect()
        };
        let margin = Margin {
            near: R::of(way.deviation),
            bend: R::of(rate * block.bend()),
            epsilon: R::of(SLACK * R::EPSILON),
            largest: R::of(way.length),
        };
        self.uncertain(part, knots, margin).map(|n| n as u32).filter(|n| near.place(*n).is_none()).collect()
    }

    /// The samples that are not certain to keep a margin from the boundary at some knots, given tile by tile.
    pub(super) fn uncertain<'a>(
        &'a self,
        part: &'a Part<R>,
        knots: impl Fn(usize) -> Vec<Knot<R>> + 'a,
        margin: Margin<R>,
    ) -> impl Iterator<Item = usize> + 'a {
        let tiles = part.state.as_chunks::<ROWS>().0.as_chunks::<3>().0.iter();
        let tiles = tiles.zip(self.lengths.as_chunks::<ROWS>().0).enumerate();
        let found = tiles.flat_map(move |(tile, (state, lengths))| {
            let uncertain = R::uncertain(state, lengths, &knots(tile), margin);
            (0..ROWS).filter(move |row| uncertain >> row & 1 == 1).map(move |row| tile * ROWS + row)
        });
        found.filter(|n| *n < self.count)
    }

    /// Brings a neuron to the end of a block.
    pub(super) fn accept(
        &self,
        part: &mut Part<R>,
        near: &Near<R>,
        way: Way<R>,
        ends: impl Fn(usize) -> Vec<[R; ROWS]>,
        block: Block<'_, R>,
    ) {
        let (Stretch { s, c, d, b }, rate) = (block.stretch(), block.rate());
        part.neurons[0].recent = 0;
        let mut weights = self.weights.clone();
        near.samples.iter().for_each(|n| weights[*n as usize] = R::default());
        let whole = Stretch { s: R::of(rate * s), c: R::of(rate * c), d: R::of(d), b: R::of(b) };
        // What was followed is not taken from the products: its u decides on which side it is.
        let start: Vec<[R; 3]> = near.samples.iter().map(|n| part.values(*n as usize)).collect();
        let sums = R::leap(&mut part.state, &weights, self.slope, whole).map(R::to_f64);
        for (tile, state) in part.state.as_chunks_mut::<ROWS>().0.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let ends = ends(tile);
            let last = [ends.len() - 3, ends.len() - 2, ends.len() - 1].map(|vector| &ends[vector]);
            for (values, added) in state.iter_mut().zip(last) {
                values.iter_mut().zip(added).for_each(|(value, added)| *value += *added);
            }
        }
        for (place, (n, [_, p, q])) in near.samples.iter().zip(start).enumerate() {
            let [_, added_p, added_q] = way.followed.added.each_ref().map(|values| values[place]);
            part.set(*n as usize, [way.followed.u[place], whole.d * p + whole.b * q + added_p, q + added_q]);
        }
        let a = part.neurons[0].readout;
        for (step, found) in way.flips.iter().enumerate() {
            let passed = block.schedule.stretches[step];
            let others = sums[0] + rate * (passed.s * sums[1] + passed.c * sums[2]);
            part.losses.push(a * (others + way.outputs[step]) + way.added_outputs[step]);
            let flips: Vec<Flip> =
                found.iter().map(|flip| Flip { sample: near.samples[flip.sample as usize], ..*flip }).collect();
            part.neurons[0].age += part.changes[0].columns.len();
            part.changes[0].columns.clear();
            part.step += 1;
            part.switch(&flips);
            part.book(&flips, &self.weights, self.slope.to_f64(), block.schedule.reach[part.step]);
        }
    }
}
