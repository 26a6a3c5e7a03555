//! Between sign changes: outputs that move by the tangent kernel.
//!
//! While no sample changes its side of a neuron, the network is linear in its weights: outputs move by v ← βv + Θc, f ← f + ηv, where
//! c_n = y_n g(y_n f_n)/N are the forces and Θ_nk = ⟨x̃_n, x̃_k⟩ Σ_i a_i² φ'(u_in) φ'(u_ik). That is N² operations a step, whatever the
//! width and the dimension. A sign change adds two rows to Θ, u to f and a velocity to v.
//!
//! That none is missed: with p_in, q_in the velocity and the force on u_in at the beginning of a block of steps, r_in what the force was
//! seen to change by in a step, and b, B, R what a start velocity, a constant force and one that grows as the steps move,
//! u_in + b p_in + B q_in + R r_in is off by what the forces on the samples have moved beyond that, D_k, hence by at most
//! |a_i| ‖x̃_n‖ Σ_k ‖x̃_k‖ |D_k| and the sign changes of the neuron since. A pair that this cannot decide is computed from all samples.
//! At the end of a block one product gives the weights what their samples have pushed in sum.

mod loops;
mod neuron;
mod tangent;

use faer::{MatMut, MatRef};
use rayon::prelude::*;

pub(in crate::network::descent) use loops::Loops;
use neuron::{Crossing, Neuron};
use tangent::{Tangent, padded};

use super::{Step, to_real};
use crate::network::descent::gram::LARGEST;
use crate::network::descent::real::Real;
use crate::network::lookup;

/// Pairs of neuron and sample that a block keeps at most.
const MOST_PAIRS: usize = 1 << 25;
/// Steps before the first block, as most sides change in the first ones; and between blocks that have not paid.
const FIRST: usize = 16;
const LONGEST_PATIENCE: usize = 256;
/// Steps of a block at most: f is the sum of so many movements.
const LONGEST_BLOCK: usize = 1024;
/// Steps that a look at all pairs is to serve.
const HORIZON: usize = 16;
/// Neurons of a task.
const NEURONS_PER_TASK: usize = 32;
/// Neurons whose outputs are added in the type of the steps; their sums are added in double precision.
const NEURONS_AT_ONCE: usize = 256;

/// Where all neurons stand at the beginning of a block: u, the velocities p of u, the forces q on it and their trend, each [`padded`] ×
/// neurons, padded with u = 1 and else 0.
pub(super) struct Start<R> {
    pub u: Vec<R>,
    pub p: Vec<R>,
    pub q: Vec<R>,
    pub r: Vec<R>,
}

impl<R: Real> Start<R> {
    /// Preactivations and their velocities, padded; forces are still missing.
    pub fn new(count: usize, width: usize) -> Self {
        let zeros = || vec![R::default(); padded(count) * width];
        let mut u = zeros();
        u.par_chunks_exact_mut(padded(count)).for_each(|u| u[count..].fill(R::of(1.0)));
        Start { u, p: zeros(), q: zeros(), r: Vec::new() }
    }

    /// From the weights of all neurons and their velocities, each stride × neurons.
    pub fn from_weights(step: &Step<'_, R>, weights: &[R], velocities: &[R]) -> Self {
        let count = step.count();
        let (len, stride) = (padded(count), step.stride());
        let mut start = Start::new(count, weights.len() / stride);
        multiply(&mut start.u, len, step.inputs().transpose(), weights);
        multiply(&mut start.p, len, step.inputs().transpose(), velocities);
        start
    }
}

/// Of some neurons at a time: the product of a matrix with their columns, in the first rows of columns of `len` numbers.
pub(super) fn multiply<R: Real>(target: &mut [R], len: usize, matrix: MatRef<'_, R>, columns: &[R]) {
    let (rows, height) = (matrix.nrows(), matrix.ncols());
    let blocks = target.par_chunks_mut(len * NEURONS_PER_TASK).zip(columns.par_chunks(height * NEURONS_PER_TASK));
    blocks.for_each(|(target, columns)| {
        let neurons = columns.len() / height;
        let target = MatMut::from_column_major_slice_mut(target, len, neurons).subrows_mut(0, rows);
        R::multiply(target, false, matrix, MatRef::from_column_major_slice(columns, height, neurons));
    });
}

/// What a start velocity of 1, a constant force of 1 and one that grows by 1 a step have moved.
#[derive(Debug, Clone, Copy, Default)]
struct Motion {
    drift: f64,
    push: f64,
    trend: f64,
    /// The velocities.
    drifting: f64,
    pushing: f64,
    trending: f64,
    age: usize,
}

impl Motion {
    fn start() -> Self {
        Motion { drifting: 1.0, ..Motion::default() }
    }

    fn step(&mut self, momentum: f64, rate: f64) {
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
struct Moved {
    velocity: f64,
    sum: f64,
}

impl Moved {
    fn step(&mut self, force: f64, momentum: f64, rate: f64) {
        self.velocity = momentum * self.velocity + force;
        self.sum += rate * self.velocity;
    }
}

/// What a block has moved: the weights of neuron i by b times their velocity and Σ_n sums_in x̃_n, their velocity to β^k times itself and
/// Σ_n velocities_in x̃_n.
pub(super) struct Moves<R> {
    pub drift: R,
    pub drifting: R,
    /// count × neurons.
    pub sums: Vec<R>,
    pub velocities: Vec<R>,
}

impl<R: Real> Moves<R> {
    /// Moves some neurons, from the one with this number on, by their samples.
    pub fn apply(&self, step: &Step<'_, R>, first: usize, weights: &mut [R], velocity: &mut [R]) {
        let count = step.count();
        let (stride, inputs) = (step.stride(), step.inputs());
        let neurons = weights.len() / stride;
        weights.iter_mut().zip(&*velocity).for_each(|(w, v)| *w += self.drift * *v);
        velocity.iter_mut().for_each(|v| *v *= self.drifting);
        for (values, multiples) in [(weights, &self.sums), (velocity, &self.velocities)] {
            let multiples = &multiples[first * count..][..neurons * count];
            let multiples = MatRef::from_column_major_slice(multiples, count, neurons);
            R::multiply(MatMut::from_column_major_slice_mut(values, stride, neurons), true, inputs, multiples);
        }
    }
}

/// Steps without sign changes but few.
struct Block<R> {
    start: Start<R>,
    neurons: Vec<Neuron>,
    outputs: Vec<f64>,
    velocities: Vec<f64>,
    /// c at the beginning, what it is taken to change by in a step, and c now.
    first_forces: Vec<f64>,
    trend: Vec<f64>,
    forces: Vec<f64>,
    /// c at two earlier steps, the older one first.
    earlier: [(usize, Vec<f64>); 2],
    /// What the forces on each sample have moved since the beginning.
    moved: Vec<Moved>,
    /// Σ_k ‖x̃_k‖ |D_k|, bounded.
    unforeseen: Moved,
    /// What it is taken for until the next look.
    most_unforeseen: f64,
    motion: Motion,
    /// The step at which all pairs are looked at next, the motion until then, and that of so many steps from rest.
    next_look: usize,
    at_next_look: Motion,
    fresh: Motion,
    spent: f64,
}

/// Estimated nanoseconds on one core, of a step on the other route, of one by the kernel, and of a block's beginning and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Costs {
    pub other: f64,
    pub step: f64,
    pub block: f64,
    /// Of a pair that is computed from all samples.
    pub pair: f64,
}

/// Decides when steps go by the kernel, and takes them.
pub(super) struct Route<R> {
    pub costs: Costs,
    by_gram: bool,
    tangent: Option<Tangent<R>>,
    lengths: Vec<R>,
    readout: Vec<R>,
    block: Option<Block<R>>,
    /// What c changed by in a step of the last block, and the step that follows this.
    trend: (usize, Vec<f64>),
    /// The step before which no block begins.
    pub next: usize,
    patience: usize,
    /// Steps taken by the kernel so far, and sign changes in them.
    pub taken: (usize, usize),
}

impl<R: Real> Route<R> {
    /// `by_gram`: whether other steps go by the Gram matrix, which is then used in place of the inputs.
    pub fn new(readout: &[f64], step: &Step<'_, R>, by_gram: bool) -> Self {
        let count = step.count();
        let stride = step.stride();
        let squared = |x: &[R]| x.iter().map(|v| v.to_f64().powi(2)).sum::<f64>();
        let mut lengths: Vec<R> = step.augmented.chunks_exact(stride).map(|x| R::of(squared(x).sqrt())).collect();
        lengths.resize(padded(count), R::default());
        let readout: Vec<R> = to_real(readout);
        let costs = Costs::new(count, stride, readout.len(), size_of::<R>(), by_gram);
        let (next, patience, trend) = (FIRST, FIRST, (0, Vec::new()));
        Route { costs, by_gram, tangent: None, lengths, readout, block: None, trend, next, patience, taken: (0, 0) }
    }

    /// The mean loss, if a block is under way.
    pub fn look(&mut self, step: &Step<'_, R>) -> Option<f64> {
        self.block.as_mut().map(|block| block.look(step))
    }

    /// Whether a block is to begin at a step; `remaining`: steps from this one on.
    pub fn begins(&self, step: &Step<'_, R>, at: usize, remaining: usize) -> bool {
        let (count, width) = (step.count(), self.readout.len());
        let Costs { other, step, block, .. } = self.costs;
        self.block.is_none()
            && at >= self.next
            && count * count <= LARGEST
            && padded(count) * width <= MOST_PAIRS
            && 2.0 * step < other
            && remaining as f64 * (other - step) > 2.0 * block
    }

    pub fn begin(&mut self, start: Start<R>, step: &Step<'_, R>, at: usize) {
        let tangent = self.tangent.get_or_insert_with(|| Tangent::new(step));
        tangent.follow(&start.u, &self.readout);
        let trend = if self.trend.0 == at { std::mem::take(&mut self.trend.1) } else { Vec::new() };
        let mut block = Block::new(start, trend, step, &self.readout);
        // The forces on u, by way of those on the weights or of the Gram matrix.
        let (count, len) = (step.count(), padded(step.count()));
        let forces_on_u = |forces: &[f64]| {
            let mut multiples = vec![R::default(); count * self.readout.len()];
            let forces: Vec<R> = to_real(forces);
            let neurons = block.start.u.par_chunks_exact(len).zip(self.readout.par_chunks(1));
            multiples.par_chunks_exact_mut(count).zip(neurons).for_each(|(multiples, (u, a))| {
                multiples.copy_from_slice(&u[..count]);
                R::to_forces(multiples, a, step.slope, &forces);
            });
            let mut forces = vec![R::default(); len * self.readout.len()];
            if self.by_gram {
                let gram = MatRef::from_column_major_slice(&tangent.gram, len, count).subrows(0, count);
                multiply(&mut forces, len, gram, &multiples);
            } else {
                let mut on_weights = vec![R::default(); step.stride() * self.readout.len()];
                multiply(&mut on_weights, step.stride(), step.inputs(), &multiples);
                multiply(&mut forces, len, step.inputs().transpose(), &on_weights);
            }
            forces
        };
        let q = forces_on_u(&block.first_forces);
        let r = if block.trend.is_empty() { vec![R::default(); q.len()] } else { forces_on_u(&block.trend) };
        (block.start.q, block.start.r) = (q, r);
        block.trend.resize(count, 0.0);
        self.block = Some(block);
    }

    pub fn is_under_way(&self) -> bool {
        self.block.is_some()
    }

    /// Takes a step of the block that is under way; what the block has moved if it ends by that.
    pub fn take(&mut self, step: &Step<'_, R>, rate: f64, at: usize, remaining: usize) -> Option<Moves<R>> {
        let (block, tangent) = (self.block.as_mut()?, self.tangent.as_mut()?);
        let (momentum, slope) = (step.momentum.to_f64(), step.slope);
        let shared = Shared { tangent, lengths: &self.lengths, readout: &self.readout, slope, momentum, rate };
        let (exact, crossings) = block.take(shared);
        block.spent += self.costs.pair * (exact + 4 * crossings) as f64;
        self.taken = (self.taken.0 + 1, self.taken.1 + crossings);
        if block.spent <= self.costs.block && block.motion.age < LONGEST_BLOCK && remaining > 1 {
            return None;
        }
        let moves = block.moves(slope, &self.readout);
        let saved = block.motion.age as f64 * (self.costs.other - self.costs.step) - block.spent - self.costs.block;
        self.patience = if saved > 0.0 { 1 } else { (2 * self.patience).clamp(FIRST, LONGEST_PATIENCE) };
        self.next = at + self.patience;
        self.trend = (at + 1, block.seen_trend());
        self.block = None;
        Some(moves)
    }
}

impl Costs {
    fn new(count: usize, stride: usize, width: usize, bytes: usize, by_gram: bool) -> Self {
        let [count, stride, width, bytes] = [count, stride, width, bytes].map(|v| v as f64);
        // Of a product, per multiplication and addition.
        let operation = 0.045 * bytes / 8.0;
        let product = count * (if by_gram { count } else { stride }) * width * operation;
        let gradients = match (by_gram, lookup::pays(width as usize)) {
            (true, _) => 0.0,
            (false, true) => 0.6,
            (false, false) => 1.0,
        };
        let kernel = count * count * bytes;
        // From the cache that the cores share, or from memory.
        let per_byte = if kernel <= 16e6 { 0.015 } else { 0.06 };
        let few = 10_000.0 + 20.0 * count;
        Costs {
            other: (1.0 + gradients) * product,
            step: few + kernel * per_byte,
            block: few + 8.0 * product + count * count * width * operation,
            pair: count * operation + 100.0,
        }
    }
}

/// What a step needs apart from the block.
struct Shared<'a, R> {
    tangent: &'a mut Tangent<R>,
    lengths: &'a [R],
    readout: &'a [R],
    slope: R,
    momentum: f64,
    rate: f64,
}

impl<R: Real> Block<R> {
    /// Without q and r.
    fn new(start: Start<R>, trend: Vec<f64>, step: &Step<'_, R>, readout: &[R]) -> Self {
        let (count, slope) = (step.count(), step.slope);
        let len = padded(count);
        // a φ'(u) p is φ's difference along p.
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
    fn look(&mut self, step: &Step<'_, R>) -> f64 {
        let mut forces = vec![R::default(); self.forces.len()];
        let sum = step.forces(0, &self.outputs, &mut forces);
        self.forces.iter_mut().zip(&forces).for_each(|(to, force)| *to = force.to_f64());
        sum / step.count() as f64
    }

    /// One step; returns how many pairs were computed from all samples, and how many of them had changed side.
    fn take(&mut self, shared: Shared<'_, R>) -> (usize, usize) {
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
        let news: f64 = pairs.map(|((now, foreseen), length)| length.to_f64() * (now - foreseen).abs()).sum();
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
        let rows = [u, p, q, r].map(|values| values.par_chunks_exact(len));
        let [u, p, q, r] = rows;
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
    fn seen_trend(&self) -> Vec<f64> {
        let (age, forces) = &self.earlier[0];
        let steps = (self.motion.age - 1 - age) as f64;
        // None in a block of a few steps.
        forces.iter().zip(&self.forces).map(|(before, now)| (now - before) / steps).collect()
    }

    fn moves(&self, slope: R, readout: &[R]) -> Moves<R> {
        let count = self.forces.len();
        let columns = |which: &(dyn Fn(&Moved) -> f64 + Sync)| {
            let factors: Vec<R> = self.moved.iter().map(|moved| R::of(which(moved))).collect();
            let mut columns = vec![R::default(); count * readout.len()];
            let neurons = self.start.u.par_chunks_exact(padded(count)).zip(&self.neurons).zip(readout.par_chunks(1));
            columns.par_chunks_exact_mut(count).zip(neurons).for_each(|(column, ((u, neuron), a))| {
                column.copy_from_slice(&u[..count]);
                R::to_forces(column, a, slope, &factors);
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
