//! A block of steps by the tangent kernel.

use rayon::prelude::*;

use super::super::Step;
use super::neuron::{self, Crossing, Neuron};
use super::tangent::{Tangent, padded};
use super::{Moves, NEURONS_PER_TASK, Start};
use crate::network::descent::real::Real;

/// Steps that a look at all pairs is to serve.
const HORIZON: usize = 16;
/// Samples whose forces are one task: exponentials and logarithms.
const SAMPLES_PER_TASK: usize = 256;
/// Neurons whose outputs are added in the type of the steps; their sums are added in double precision.
const NEURONS_AT_ONCE: usize = 256;

/// What a start velocity of 1, a constant force of 1 and one that grows by 1 a step have moved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Motion {
    pub drift: f64,
    pub push: f64,
    pub trend: f64,
    /// The velocities.
    pub drifting: f64,
    pub pushing: f64,
    pub trending: f64,
    pub age: usize,
}

impl Motion {
    pub fn start() -> Self {
        Motion { drifting: 1.0, ..Motion::default() }
    }

    pub fn step(&mut self, momentum: f64, rate: f64) {
        self.drifting *= momentum;
        self.pushing = momentum * self.pushing + 1.0;
        self.trending = momentum * self.trending + self.age as f64;
        self.drift += rate * self.drifting;
        self.push += rate * self.pushing;
        self.trend += rate * self.trending;
        self.age += 1;
    }
}

/// What has been moved by forces: their velocity, and the sum of its steps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moved {
    pub velocity: f64,
    pub sum: f64,
}

impl Moved {
    pub fn step(&mut self, force: f64, momentum: f64, rate: f64) {
        self.velocity = momentum * self.velocity + force;
        self.sum += rate * self.velocity;
    }
}

/// Steps without sign changes but few.
pub(super) struct Block<R> {
    pub start: Start<R>,
    neurons: Vec<Neuron>,
    outputs: Vec<f64>,
    velocities: Vec<f64>,
    /// c at the beginning, what it is taken to change by in a step, and c now.
    pub first_forces: Vec<f64>,
    pub trend: Vec<f64>,
    forces: Vec<f64>,
    /// c at two earlier steps, the older one first.
    earlier: [(usize, Vec<f64>); 2],
    /// What the forces on each sample have moved since the beginning.
    moved: Vec<Moved>,
    /// Σ_k ‖x̃_k‖ |D_k|, bounded.
    unforeseen: Moved,
    /// What it is taken for until the next look.
    most_unforeseen: f64,
    pub motion: Motion,
    /// The step at which all pairs are looked at next, the motion until then, and that of so many steps from rest.
    next_look: usize,
    at_next_look: Motion,
    fresh: Motion,
    pub spent: f64,
}

/// What a step needs apart from the block.
pub(super) struct Shared<'a, R> {
    pub tangent: &'a mut Tangent<R>,
    pub lengths: &'a [R],
    pub readout: &'a [R],
    pub slope: R,
    pub momentum: f64,
    pub rate: f64,
}

impl<R: Real> Block<R> {
    /// Without q and r.
    pub fn new(start: Start<R>, trend: Vec<f64>, step: &Step<'_, R>, readout: &[R]) -> Self {
        let (count, slope) = (step.count(), step.slope);
        let len = padded(count);
        // The outputs Σ a φ(u), and their velocities Σ a φ'(u) p.
        let blocks: Vec<[Vec<R>; 2]> = start
            .u
            .par_chunks(len * NEURONS_AT_ONCE)
            .zip(start.p.par_chunks(len * NEURONS_AT_ONCE))
            .zip(readout.par_chunks(NEURONS_AT_ONCE))
            .map(|((u, p), readout)| {
                let mut sums = [vec![R::default(); len], vec![R::default(); len]];
                R::add_outputs(u, readout, slope, &mut sums[0]);
                for ((u, p), a) in u.chunks_exact(len).zip(p.chunks_exact(len)).zip(readout) {
                    for ((sum, u), p) in sums[1].iter_mut().zip(u).zip(p) {
                        *sum += *a * (if *u >= R::default() { *p } else { slope * *p });
                    }
                }
                sums
            })
            .collect();
        let total = |which: usize| {
            let mut total = vec![0.0; count];
            blocks.iter().for_each(|sums| total.iter_mut().zip(&sums[which]).for_each(|(t, s)| *t += s.to_f64()));
            total
        };
        let mut block = Block {
            neurons: readout.iter().map(|_| Neuron::default()).collect(),
            outputs: total(0),
            velocities: total(1),
            start,
            first_forces: Vec::new(),
            trend,
            forces: vec![0.0; count],
            earlier: [(0, Vec::new()), (0, Vec::new())],
            moved: vec![Moved::default(); count],
            unforeseen: Moved::default(),
            most_unforeseen: 0.0,
            motion: Motion::start(),
            next_look: 0,
            at_next_look: Motion::start(),
            fresh: Motion::start(),
            spent: 0.0,
        };
        block.look(step);
        block.first_forces = block.forces.clone();
        block
    }

    /// Forces of the present outputs; returns the mean loss.
    pub fn look(&mut self, step: &Step<'_, R>) -> f64 {
        let chunks = self.outputs.par_chunks(SAMPLES_PER_TASK).zip(self.forces.par_chunks_mut(SAMPLES_PER_TASK));
        let sums = chunks.enumerate().map(|(index, (outputs, forces))| {
            let mut rounded = vec![R::default(); outputs.len()];
            let sum = step.forces(index * SAMPLES_PER_TASK, outputs, &mut rounded);
            forces.iter_mut().zip(&rounded).for_each(|(to, force)| *to = force.to_f64());
            sum
        });
        sums.collect::<Vec<f64>>().iter().sum::<f64>() / step.count() as f64
    }

    /// One step; returns how many pairs were computed from all samples, and how many of them had changed side.
    pub fn take(&mut self, shared: Shared<'_, R>) -> (usize, usize) {
        let Shared { tangent, lengths, readout, slope, momentum, rate } = shared;
        let len = tangent.len;
        let before = self.motion;
        if before.age.is_power_of_two() {
            self.earlier.swap(0, 1);
            self.earlier[1] = (before.age, self.forces.clone());
        }
        let foreseen =
            self.first_forces.iter().zip(&self.trend).map(|(first, trend)| first + before.age as f64 * trend);
        let pairs = self.forces.iter().zip(foreseen).zip(lengths);
        // With what rounding in products of so many terms amounts to.
        let stray = |now: f64, foreseen: f64| (now - foreseen).abs() + 2.0 * R::EPSILON * now.abs();
        let news: f64 = pairs.map(|((now, foreseen), length)| length.to_f64() * stray(*now, foreseen)).sum();
        self.motion.step(momentum, rate);
        let unforeseen = self.unforeseen;
        self.unforeseen.step(news, momentum, rate);
        for (moved, force) in self.moved.iter_mut().zip(&self.forces) {
            moved.step(*force, momentum, rate);
        }
        let is_new = self.next_look == before.age || self.unforeseen.sum > self.most_unforeseen;
        if is_new {
            // Rates only fall. News are taken to grow no faster than twice as fast as in the mean so far.
            let horizon = HORIZON.min(1 + before.age);
            let mut moved = unforeseen;
            (self.at_next_look, self.fresh) = (before, Motion::start());
            for ahead in 0..horizon {
                self.at_next_look.step(momentum, rate);
                self.fresh.step(momentum, rate);
                let growth = if ahead == 0 { 1.0 } else { 2.0 + 2.0 * ahead as f64 / before.age.max(1) as f64 };
                moved.step(growth * news, momentum, rate);
            }
            self.next_look = before.age + horizon;
            self.most_unforeseen = moved.sum;
        }
        let factor = |values: &mut dyn Iterator<Item = f64>| {
            let mut factors: Vec<R> = values.map(R::of).collect();
            factors.resize(len, R::default());
            factors
        };
        let forces = factor(&mut self.forces.iter().copied());
        let sums = factor(&mut self.moved.iter().map(|moved| moved.sum));
        let velocities = factor(&mut self.moved.iter().map(|moved| moved.velocity));
        let look = neuron::Look {
            gram: &tangent.gram,
            lengths,
            slope,
            forces: &self.forces,
            sums: &sums,
            velocities: &velocities,
            unforeseen: self.unforeseen.sum,
            most_unforeseen: self.most_unforeseen,
            is_new,
            before,
            motion: self.motion,
            next: self.at_next_look,
            fresh: self.fresh,
            momentum,
            rate,
        };
        let Start { u, p, q, r } = &self.start;
        let [u, p, q, r] = [u, p, q, r].map(|values| values.par_chunks_exact(len));
        let neurons =
            self.neurons.par_iter_mut().zip(u.zip(p).zip(q.zip(r))).zip(readout).with_min_len(NEURONS_PER_TASK);
        let (pushes, found): (_, Vec<(usize, Vec<Crossing>)>) = rayon::join(
            || tangent.times(&forces),
            || neurons.map(|((neuron, ((u, p), (q, r))), a)| neuron.step([u, p, q, r], *a, &look)).collect(),
        );
        for ((velocity, push), output) in self.velocities.iter_mut().zip(&pushes).zip(&mut self.outputs) {
            *velocity = momentum * *velocity + push.to_f64();
            *output += rate * *velocity;
        }
        let (mut exact, mut crossings) = (0, 0);
        for (index, (computed, crossed)) in found.into_iter().enumerate() {
            exact += computed;
            crossings += crossed.len();
            let a = readout[index].to_f64();
            for Crossing { sample, u, p } in crossed {
                let change = a * tangent.switch(index, sample, a);
                self.outputs[sample] += change * u;
                self.velocities[sample] += change * p;
                self.neurons[index].crossed(sample, change);
            }
        }
        (exact, crossings)
    }

    /// What c has changed by in a step, from at least a quarter of the block on.
    pub fn seen_trend(&self) -> Vec<f64> {
        let (age, forces) = &self.earlier[0];
        let steps = (self.motion.age - 1 - age) as f64;
        // None in a block of a few steps.
        forces.iter().zip(&self.forces).map(|(before, now)| (now - before) / steps).collect()
    }

    pub fn moves(&self, slope: R, readout: &[R]) -> Moves<R> {
        let count = self.forces.len();
        let columns = |which: &(dyn Fn(&Moved) -> f64 + Sync)| {
            let factors: Vec<R> = self.moved.iter().map(|moved| R::of(which(moved))).collect();
            let mut columns = self.start.multiples(&factors, readout, slope);
            columns.par_chunks_exact_mut(count).zip(&self.neurons).for_each(|(column, neuron)| {
                neuron.add_crossings(column, which);
            });
            columns
        };
        Moves {
            drift: R::of(self.motion.drift),
            drifting: R::of(self.motion.drifting),
            sums: columns(&|moved| moved.sum),
            velocities: columns(&|moved| moved.velocity),
        }
    }
}
