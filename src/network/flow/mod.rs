//! Exact gradient flow for the identity loss, neuron by neuron.
//!
//! With ℓ(u) = −u the hidden neurons do not feel each other: u̇_i = (a_i/N) K(y∘φ'(u_i)). Each neuron's path is
//! piecewise linear in time and is followed exactly, event by event (`neuron`). Neurons are drawn, trained and
//! forgotten block by block, so memory does not grow with the width (unless the trained weights are kept).
//!
//! Cost per neuron: for the start (d+1)N multiply-adds in a matrix product, and N² in another or, in blocks of 64 neurons and more, N²/4
//! additions of sums that are looked up (`lookup`); N per event; and for the outputs at M test points (d+1)M and either NM more, with N·M·(d+1) for a Gram matrix once, or
//! (d+1)(N + M) through the trained weights, whichever is less; for the gradients of f_0 and f_T dN more each, or with 64 training points
//! and more dN/4 additions of sums that are looked up, and the trained weights. Rounding: each preactivation carries an error of at most about (d + N + events)·ε times
//! ‖w̃‖‖x̃‖ + |a| T Σ|β_n|‖x̃_n‖‖x̃‖.
//!
//! Where a sample attracts a neuron from both sides of its boundary the neuron slides along u = 0 with a derivative
//! strictly between γ and 1 (`sliding`); gradients at such a training point use that derivative.

mod block;
mod neuron;
mod sample;
mod sites;
mod sliding;
mod sums;
mod totals;

pub use block::Block;
pub use neuron::DerivativeChange;
pub use sample::{Moments, PairMoments, PairSampling, Truncation};
pub use totals::FlowOutcome;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::network::neurons::Neurons;
use crate::problem::{Points, Slope, TrainingSet, finite_nonnegative};
use sites::Sites;
use totals::{Scratch, TestPoints, Totals};

/// Looks at every block of a run. One observer is made per lane (a contiguous range of neurons); the lanes' observers
/// are merged in order, so that the result does not depend on the number of threads.
pub trait Observer: Send {
    /// Takes note of a block.
    fn block(&mut self, block: &Block<'_>);
    /// Takes in the observer of the following lane.
    fn merge(&mut self, later: Self);
}

/// An observer that sees nothing.
impl Observer for () {
    fn block(&mut self, _: &Block<'_>) {}
    fn merge(&mut self, (): ()) {}
}

/// A gradient flow to run: (1/N) Σ −y_n f(x_n) descended for time T from given initial neurons.
///
/// ```
/// use perturbation_learning::network::{GradientFlow, Initialisation, Neurons, Readout};
/// use perturbation_learning::problem::{Points, Slope, TrainingSet};
/// use perturbation_learning::random::Streams;
///
/// let points = Points::from_rows("x", 2, 2, vec![1.0, 0.5, -0.5, 1.0])?;
/// let train = TrainingSet::new(points, vec![1.0, -1.0])?;
/// let streams = Streams::new(0, "neurons");
/// let neurons = Neurons::draw(2, 1_000, Initialisation::Antisymmetric, Readout::Gaussian, streams)?;
/// let outcome = GradientFlow::new(&train, Slope::RELU, 1.0)?.with_gradients().run(&neurons)?;
/// assert!(outcome.train_values[0] > 0.0 && outcome.train_values[1] < 0.0);
/// # Ok::<(), perturbation_learning::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct GradientFlow<'a> {
    train: &'a TrainingSet,
    slope: Slope,
    time: f64,
    test: Option<&'a Points>,
    watch_test: bool,
    gradients: bool,
    keep_weights: bool,
}

impl<'a> GradientFlow<'a> {
    /// Flow on `train` for `time` (gradient-flow time = Σ learning rates).
    ///
    /// # Errors
    /// time < 0, infinite or NaN.
    pub fn new(train: &'a TrainingSet, slope: Slope, time: f64) -> Result<Self> {
        let time = finite_nonnegative("time", time)?;
        Ok(GradientFlow { train, slope, time, test: None, watch_test: false, gradients: false, keep_weights: false })
    }

    /// Also evaluates the network at these points.
    ///
    /// # Errors
    /// A dimension that differs from the training points'.
    pub fn with_test(mut self, test: &'a Points) -> Result<Self> {
        self.train.points().same_dimension("test points", test)?;
        self.test = Some(test);
        Ok(self)
    }

    /// Also follows every neuron's first sign change at the test points and the kernel's initial mean there. Costs N
    /// multiply-adds per neuron and test point, and M more numbers per event.
    #[must_use]
    pub fn watch_test(mut self) -> Self {
        self.watch_test = true;
        self
    }

    /// Also computes ∇f_0 and ∇f_T at the training points.
    #[must_use]
    pub fn with_gradients(mut self) -> Self {
        self.gradients = true;
        self
    }

    /// Also keeps the trained weights: m·(d+2) numbers.
    #[must_use]
    pub fn keep_weights(mut self) -> Self {
        self.keep_weights = true;
        self
    }

    //= K1@b4690933
    //= N2@064d315e
    /// Runs the flow.
    ///
    /// # Errors
    /// Neurons with another input dimension; a result that is not finite; the safeguard of the event loop.
    pub fn run(&self, neurons: &Neurons) -> Result<FlowOutcome> {
        self.prepared_for(neurons.width() as f64).run(neurons)
    }

    /// Runs the flow and shows every block of neurons to an observer.
    ///
    /// # Errors
    /// As [`GradientFlow::run`].
    pub fn run_observed<O: Observer>(
        &self,
        neurons: &Neurons,
        observer: &(dyn Fn() -> O + Sync),
    ) -> Result<(FlowOutcome, O)> {
        self.prepared_for(neurons.width() as f64).run_observed(neurons, observer)
    }

    /// Forms the Gram matrices once, for many networks on the same data: N² numbers, and NM if trained values at test points
    /// are better formed from them than from trained weights.
    #[must_use]
    pub fn prepare(&self) -> PreparedFlow<'a> {
        self.prepared_for(f64::INFINITY)
    }

    /// For so many neurons in all.
    fn prepared_for(&self, neurons: f64) -> PreparedFlow<'a> {
        let sites = Sites::new(self.train, self.test.filter(|_| self.watch_test));
        let test = self.test.map(|points| TestPoints::new(points, &sites, neurons, self.forms_weights()));
        PreparedFlow { flow: self.clone(), sites, test }
    }

    /// Whether the trained weights are formed whatever the way to the test values.
    fn forms_weights(&self) -> bool {
        self.gradients || self.keep_weights
    }
}

/// A [`GradientFlow`] whose Gram matrices have been formed.
pub struct PreparedFlow<'a> {
    flow: GradientFlow<'a>,
    sites: Sites,
    test: Option<TestPoints>,
}

impl PreparedFlow<'_> {
    /// As [`GradientFlow::run`].
    ///
    /// # Errors
    /// As there.
    pub fn run(&self, neurons: &Neurons) -> Result<FlowOutcome> {
        self.run_observed(neurons, &|| ()).map(|(outcome, ())| outcome)
    }

    /// As [`GradientFlow::run_observed`].
    ///
    /// # Errors
    /// As [`GradientFlow::run`].
    pub fn run_observed<O: Observer>(
        &self,
        neurons: &Neurons,
        observer: &(dyn Fn() -> O + Sync),
    ) -> Result<(FlowOutcome, O)> {
        let (flow, sites, test) = (&self.flow, &self.sites, self.test.as_ref());
        if neurons.input_dim() != flow.train.input_dim() {
            return Err(Error::Shape {
                name: "network".into(),
                found: format!("{} inputs", neurons.input_dim()),
                expected: format!("{} inputs, as the training points", flow.train.input_dim()),
            });
        }
        let test_count = flow.test.map_or(0, Points::count);
        let gradient_size = flow.train.count() * flow.train.input_dim();
        let plan = Plan::new(sites, test_count, neurons.width(), flow.gradients, gradient_size);
        let storage = || (Block::new(sites, flow.slope, flow.time, plan.block), Scratch::new(sites, test, plan.block));
        // Handed from lane to lane: fresh memory is dear.
        let kept = Mutex::new(Vec::new());
        let lanes: Vec<Result<(Totals, O)>> = (0..plan.lanes)
            .into_par_iter()
            .map(|lane| {
                let (mut totals, mut observer) = (Totals::new(flow, sites, neurons.multiplicity()), observer());
                let (mut block, mut scratch) = locked(&kept).pop().unwrap_or_else(storage);
                for (first, size) in plan.blocks(lane) {
                    block.run(neurons, first, size)?;
                    observer.block(&block);
                    totals.add(flow, test, &mut block, &mut scratch);
                }
                locked(&kept).push((block, scratch));
                Ok((totals, observer))
            })
            .collect();
        let mut merged: Option<(Totals, O)> = None;
        for lane in lanes {
            let (totals, seen) = lane?;
            match &mut merged {
                None => merged = Some((totals, seen)),
                Some((all, observer)) => {
                    all.merge(totals);
                    observer.merge(seen);
                }
            }
        }
        let (totals, seen) = merged.expect("there is at least one lane");
        Ok((totals.finish(flow, neurons, sites)?, seen))
    }
}

/// What is kept, even if a thread that held it has panicked: whatever is there is overwritten before it is read.
fn locked<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the neurons are divided: a function of the problem alone, never of the number of threads.
struct Plan {
    width: usize,
    block: usize,
    lanes: usize,
}

impl Plan {
    fn new(sites: &Sites, test_count: usize, width: usize, gradients: bool, gradient_size: usize) -> Self {
        // Products read the inputs and the Gram matrix once per block: the more neurons, the better, up to 2¹⁸ preactivations at the
        // sites or at the test points, if two blocks can be had. 32 neurons at least keep products efficient. Even, so that no
        // antisymmetric pair is torn apart.
        let most = ((1 << 18) / sites.count.max(sites.stride).max(test_count)).min(256);
        let block = width.div_ceil(2).min(most).max(32).next_multiple_of(2);
        // Each lane has its own sums: eight lanes at least, to share evenly, and about 64 MB of sums if that allows more.
        let sums = if gradients { 2 * gradient_size } else { sites.count };
        let lanes = ((1 << 23) / sums.max(1)).clamp(8, 32).min(width.div_ceil(block));
        Plan { width, block, lanes }
    }

    /// First neuron and size of each block of a lane: contiguous, so that merging lanes in order keeps neurons in order.
    fn blocks(&self, lane: usize) -> impl Iterator<Item = (usize, usize)> {
        let blocks = self.width.div_ceil(self.block);
        (blocks * lane / self.lanes..blocks * (lane + 1) / self.lanes)
            .map(|index| (index * self.block, self.block.min(self.width - index * self.block)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_so_many_preactivations_at_sites_and_test_points() {
        let points = |count: usize| Points::from_rows("x", count, 1, (0..count).map(|n| n as f64).collect()).unwrap();
        let block = |train: usize, test: usize| {
            let train = TrainingSet::new(points(train), vec![1.0; train]).unwrap();
            let plan = Plan::new(&Sites::new(&train, None), test, 10_000, false, 0);
            assert_eq!(plan.blocks(0).map(|(_, size)| size).max(), Some(plan.block));
            plan.block
        };
        // Up to 2¹⁰ of either, 256 neurons, and 32 at least.
        assert_eq!([block(9, 0), block(9, 1 << 10), block(9, 1 << 11), block(1 << 11, 9)], [256, 256, 128, 128]);
        assert_eq!(block(9, 1 << 20), 32);
    }
}
