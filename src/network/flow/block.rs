//! A block of neurons: drawing, initial products, the event loops, and what observers may look at.

use super::neuron::{DerivativeChange, Events, Neuron, Workspace, integrate};
use super::sites::Sites;
use crate::error::Result;
use crate::linalg::{Store, larger, multiply, norm_squared, view, view_mut};
use crate::network::lookup::{self, Lookup, Sums};
use crate::network::neurons::Neurons;
use crate::problem::Slope;

/// A block of trained neurons, as an [`Observer`](super::Observer) sees it. Matrices are column-major with one column
/// per neuron.
pub struct Block<'a> {
    pub(super) sites: &'a Sites,
    pub(super) slope: Slope,
    pub(super) time: f64,
    pub(super) first: usize,
    pub(super) size: usize,
    /// How many consecutive neurons share a column of what belongs to time 0.
    pub(super) multiplicity: usize,
    pub(super) readout: Vec<f64>,
    pub(super) hidden: Vec<f64>,
    /// Distinct hidden weights at time 0.
    pub(super) initial_hidden: Vec<f64>,
    /// Preactivations at time 0, sites × distinct neurons.
    pub(super) initial: Vec<f64>,
    /// Preactivations at time T, sites × neurons.
    pub(super) preactivation: Vec<f64>,
    /// u̇/a at time 0, sites × distinct neurons.
    pub(super) initial_velocity: Vec<f64>,
    pub(super) velocity: Vec<f64>,
    pub(super) derivative: Vec<f64>,
    pub(super) integral: Vec<f64>,
    pub(super) first_flip: Vec<f64>,
    pub(super) events: u64,
    pub(super) sliding: u64,
    pub(super) undecided: Vec<bool>,
    /// Per neuron: how often its lines were moved, and where its derivative changes end in the workspace's list.
    moves: Vec<u64>,
    changes_end: Vec<usize>,
    work: Workspace,
}

impl<'a> Block<'a> {
    pub(super) fn new(sites: &'a Sites, slope: Slope, time: f64, capacity: usize) -> Self {
        let everywhere = vec![0.0; sites.count * capacity];
        let driving = vec![0.0; sites.active * capacity];
        Block {
            sites,
            slope,
            time,
            first: 0,
            size: 0,
            multiplicity: 1,
            readout: vec![0.0; capacity],
            hidden: vec![0.0; sites.stride * capacity],
            initial_hidden: vec![0.0; sites.stride * capacity],
            initial: everywhere.clone(),
            preactivation: everywhere.clone(),
            initial_velocity: everywhere.clone(),
            velocity: everywhere.clone(),
            derivative: driving.clone(),
            integral: driving,
            first_flip: everywhere,
            events: 0,
            sliding: 0,
            undecided: Vec::new(),
            moves: Vec::new(),
            changes_end: Vec::new(),
            work: Workspace::default(),
        }
    }

    /// Draws and trains neurons `first .. first + size`.
    pub(super) fn run(&mut self, neurons: &Neurons, first: usize, size: usize) -> Result<()> {
        let Sites { stride, active, count, .. } = *self.sites;
        (self.first, self.size) = (first, size);
        self.multiplicity = neurons.multiplicity();
        neurons.fill(first, &mut self.hidden[..stride * size], &mut self.readout[..size]);
        let distinct = self.distinct();
        for k in 0..distinct {
            let from = stride * k * self.multiplicity;
            self.initial_hidden[stride * k..][..stride].copy_from_slice(&self.hidden[from..][..stride]);
        }
        let hidden = view(&self.initial_hidden[..stride * distinct], stride, distinct);
        let augmented = view(&self.sites.augmented, stride, count);
        let initial = &mut self.initial[..count * distinct];
        multiply(view_mut(initial, count, distinct), Store::Replace, 1.0, augmented.transpose(), hidden);
        if active == 0 {
            // All labels cancel: nothing moves.
            self.initial_velocity.fill(0.0);
        } else {
            self.start_velocities(distinct);
        }
        (self.events, self.sliding) = (0, 0);
        self.undecided.clear();
        self.moves.clear();
        self.changes_end.clear();
        self.work.changes.clear();
        for index in 0..size {
            let events = self.integrate_one(index)?;
            self.events += events.count;
            self.sliding += events.sliding;
            self.undecided.push(events.undecided);
            self.moves.push(events.count + 1);
            self.changes_end.push(self.work.changes.len());
        }
        Ok(())
    }

    /// How many neurons of the block have hidden weights of their own.
    pub(super) fn distinct(&self) -> usize {
        self.size.div_ceil(self.multiplicity)
    }

    /// Preactivation of the k-th neuron at a site at time 0.
    pub(super) fn initial_at(&self, k: usize, site: usize) -> f64 {
        self.initial[self.sites.count * (k / self.multiplicity) + site]
    }

    /// Velocities K(β∘φ') at time 0.
    fn start_velocities(&mut self, distinct: usize) {
        let Sites { active, count, .. } = *self.sites;
        if lookup::pays(distinct) {
            let (columns, factors, slope) = (&self.sites.gram, &self.sites.weights, self.slope.value());
            let sides = &f64::sides(&self.initial[..count * distinct], count, active);
            let scales = &vec![1.0; distinct];
            let velocities = &mut self.initial_velocity[..count * distinct];
            velocities.fill(0.0);
            f64::add_sums(&Sums { columns, stride: count, factors, slope, sides, scales }, velocities);
            return;
        }
        // `integral` serves as scratch here; the event loop overwrites it.
        let columns = self.initial.chunks_exact(count).zip(self.integral.chunks_exact_mut(active));
        for (u, weighted) in columns.take(distinct) {
            for ((u, weighted), weight) in u.iter().zip(weighted).zip(&self.sites.weights) {
                *weighted = weight * self.slope.derivative(*u);
            }
        }
        let gram = view(&self.sites.gram, count, active);
        let weighted = view(&self.integral[..active * distinct], active, distinct);
        let target = view_mut(&mut self.initial_velocity[..count * distinct], count, distinct);
        multiply(target, Store::Replace, 1.0, gram, weighted);
    }

    fn integrate_one(&mut self, index: usize) -> Result<Events> {
        let Sites { stride, active, count, .. } = *self.sites;
        let own = count * index..count * (index + 1);
        let shared = count * (index / self.multiplicity)..count * (index / self.multiplicity + 1);
        self.preactivation[own.clone()].copy_from_slice(&self.initial[shared.clone()]);
        self.velocity[own].copy_from_slice(&self.initial_velocity[shared.clone()]);
        let derivative = self.derivative[active * index..][..active].iter_mut();
        derivative.zip(&self.initial[shared]).for_each(|(d, u)| *d = self.slope.derivative(*u));
        let mut neuron = Neuron {
            readout: self.readout[index],
            norm: norm_squared(&self.hidden[stride * index..][..stride]).sqrt(),
            preactivation: &mut self.preactivation[count * index..][..count],
            velocity: &mut self.velocity[count * index..][..count],
            derivative: &mut self.derivative[active * index..][..active],
            integral: &mut self.integral[active * index..][..active],
            first_flip: &mut self.first_flip[count * index..][..count],
        };
        integrate(self.sites, self.slope.value(), self.time, &mut neuron, &mut self.work)
    }

    /// The neurons of this block have the indices `first() .. first() + size()`.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first
    }

    /// How many neurons the block has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// a of the block's k-th neuron.
    #[must_use]
    pub fn readout(&self, k: usize) -> f64 {
        self.readout[k]
    }

    /// The time of the k-th neuron's first sign change at training point n, ∞ if there is none up to T. An arrival on
    /// u = 0 counts, whether the neuron then crosses or slides.
    #[must_use]
    pub fn first_flip_train(&self, k: usize, n: usize) -> f64 {
        self.first_flip[self.sites.count * k + self.sites.of_train[n]]
    }

    /// The same at watched test point j; only if the run [watches](super::GradientFlow::watch_test) them.
    ///
    /// # Panics
    /// If test points are not watched.
    #[must_use]
    pub fn first_flip_test(&self, k: usize, j: usize) -> f64 {
        self.first_flip[self.sites.count * k + self.watched(j)]
    }

    /// u of the k-th neuron at training point n, at time 0 and at time T.
    #[must_use]
    pub fn preactivation_train(&self, k: usize, n: usize) -> (f64, f64) {
        let site = self.sites.of_train[n];
        (self.initial_at(k, site), self.preactivation[self.sites.count * k + site])
    }

    /// u̇/a of the k-th neuron at training point n at time 0: (1/N) Σ_k y_k φ'(u_k) K_k(x_n).
    #[must_use]
    pub fn initial_velocity_train(&self, k: usize, n: usize) -> f64 {
        self.initial_velocity[self.sites.count * (k / self.multiplicity) + self.sites.of_train[n]]
    }

    /// φ'(u) of the k-th neuron at training point n at time T; strictly between γ and 1 while it slides there.
    #[must_use]
    pub fn derivative_train(&self, k: usize, n: usize) -> f64 {
        let site = self.sites.of_train[n];
        if site < self.sites.active {
            self.derivative[self.sites.active * k + site]
        } else {
            self.slope.derivative(self.preactivation[self.sites.count * k + site])
        }
    }

    /// u of the k-th neuron at watched test point j, at time 0 and at time T.
    ///
    /// # Panics
    /// If test points are not watched.
    #[must_use]
    pub fn preactivation_test(&self, k: usize, j: usize) -> (f64, f64) {
        let site = self.watched(j);
        (self.initial_at(k, site), self.preactivation[self.sites.count * k + site])
    }

    /// u̇/a of the k-th neuron at watched test point j at time 0.
    ///
    /// # Panics
    /// If test points are not watched.
    #[must_use]
    pub fn initial_velocity_test(&self, k: usize, j: usize) -> f64 {
        self.initial_velocity[self.sites.count * (k / self.multiplicity) + self.watched(j)]
    }

    /// u̇ of the k-th neuron at watched test point j at time T.
    ///
    /// # Panics
    /// If test points are not watched.
    #[must_use]
    pub fn speed_test(&self, k: usize, j: usize) -> f64 {
        self.velocity[self.sites.count * k + self.watched(j)]
    }

    fn watched(&self, j: usize) -> usize {
        assert!(self.sites.train + j < self.sites.count, "test points are not watched in this run");
        self.sites.train + j
    }

    /// w̃ = (w, b) of the k-th neuron at time 0.
    #[must_use]
    pub fn initial_hidden(&self, k: usize) -> &[f64] {
        &self.initial_hidden[self.sites.stride * (k / self.multiplicity)..][..self.sites.stride]
    }

    /// How often the k-th neuron's lines were moved: once per event and once to the end.
    #[must_use]
    pub fn moves(&self, k: usize) -> u64 {
        self.moves[k]
    }

    /// All changes of the k-th neuron's derivatives in the order of time. With φ'(u(0)) at the start they are its path.
    #[must_use]
    pub fn derivative_changes(&self, k: usize) -> &[DerivativeChange] {
        let first = if k == 0 { 0 } else { self.changes_end[k - 1] };
        &self.work.changes[first..self.changes_end[k]]
    }

    /// The number of training point n among the distinct ones; equal points share it.
    #[must_use]
    pub fn site_train(&self, n: usize) -> usize {
        self.sites.of_train[n]
    }

    /// Whether the k-th neuron came to rest on a repelling kink: its path is then one of several possible ones (the one
    /// of smallest velocity), and descent with ever smaller steps may follow another.
    #[must_use]
    pub fn undecided(&self, k: usize) -> bool {
        self.undecided[k]
    }

    /// The largest difference between u(T) and u(0) + a K(β∘∫φ') over the block's neurons and sites, in units of ε
    /// times the sum of the magnitudes of the terms: a check that the event loop solved its own integral equation. NaN if
    /// a path is not made of numbers.
    #[must_use]
    pub fn integral_equation_residual(&self) -> f64 {
        let Sites { stride, active, count, .. } = *self.sites;
        let mut worst = 0.0_f64;
        for k in 0..self.size {
            let integral = &self.integral[active * k..][..active];
            for site in 0..count {
                let at = count * k + site;
                let point = &self.sites.augmented[stride * site..][..stride];
                let weights = &self.initial_hidden[stride * (k / self.multiplicity)..][..stride];
                let mut magnitude: f64 = point.iter().zip(weights).map(|(x, w)| (x * w).abs()).sum();
                let mut expected = self.initial_at(k, site);
                for (n, integral) in integral.iter().enumerate() {
                    let factor = self.readout[k] * self.sites.weights[n] * self.sites.column(n)[site];
                    expected += factor * integral;
                    // Between the events the path may have been longer than its end: each sample's push counts in full.
                    magnitude += factor.abs() * self.time;
                }
                let error = (self.preactivation[at] - expected).abs();
                // A neuron without weights and readout is exactly where it was.
                worst = larger(worst, if error == 0.0 { 0.0 } else { error / magnitude });
            }
        }
        worst / f64::EPSILON
    }
}
