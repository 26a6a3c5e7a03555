//! The test suite, shown to be able to fail: wrong theories and wrong programs that its instruments must reject.
//!
//! An *instrument* (`instrument.rs`) is a test of the suite as a function of theory and program: it has the program do
//! something, and says how far that lies from what the theory states: a mean in standard errors, a count of exceedances,
//! or a deterministic excess (`evidence.rs`). It rejects at its share of `stats::budget`. Each instrument is applied
//! - to the library's theory and program, which it must not reject;
//! - to a slow theory and program by double loops (`theory.rs`, `program.rs`, `flow.rs`), which agree with the library to
//!   rounding (`oracle.rs`), and which it must not reject either;
//! - to the same with one fault, which it must reject with a power of at least 0.999. One rejection shows no power: what
//!   is asserted is a lower confidence limit of the power, from the size of the effect and its standard error or from the
//!   observed count, at confidence 1 − 10⁻⁷ (`evidence.rs`). Deterministic verdicts have power 1.
//!
//! Faults of bounds are wrong arguments of the library's bounds, or wrong factors on them (`bounds.rs`, `attained.rs`).
//!
//! How to add a fault:
//! 1. In `fault.rs` add a value to the enum, in the section of its place, with a line that says what is wrong and a
//!    `//= power ID@stamp` mark for each statement that it contradicts. The table's column of statements is read from the
//!    marks.
//! 2. Where the slow theory, program or flow computes the thing, compute it wrongly `if self.has(Fault::…)`. A fault of a
//!    bound goes into the `match` of the function that examines this bound.
//! 3. Add it to the list of an instrument below (or in `bounds.rs`, `attained.rs`). If none rejects it, the suite has a gap:
//!    write the instrument, apply it to the library first, and give it a row in the budget.
//! 4. `cargo test --test power` prints the table: instrument, fault (statements), evidence, power.

#[path = "power/attained.rs"]
mod attained;
#[path = "power/bounds.rs"]
mod bounds;
mod common;
#[path = "power/direction.rs"]
mod direction;
#[path = "power/evidence.rs"]
mod evidence;
#[path = "power/fault.rs"]
mod fault;
#[path = "power/flow.rs"]
mod flow;
#[path = "power/instrument.rs"]
mod instrument;
#[path = "power/kernel.rs"]
mod kernel;
#[path = "power/lab.rs"]
mod lab;
#[path = "power/oracle.rs"]
mod oracle;
#[path = "power/program.rs"]
mod program;
#[path = "power/rate.rs"]
mod rate;
#[path = "common/skewed.rs"]
mod skewed;
#[path = "power/theory.rs"]
mod theory;

use direction::{Inputs, LimitGradient, PairOfNetworks, Targets, TrainedGradient};
use fault::{FAULTS, Fault};
use instrument::examine;
use kernel::{InitialKernel, Moments, SquaredLoss, Start, Trained};
use lab::{Lab, Recipe};

const RECIPE: Recipe = Recipe { rate: 0.012, steps: 8, momentum: 0.5 };

const KERNEL_MEAN: &[Fault] = &[
    Fault::BiasDroppedFromDual,
    Fault::BiasDroppedFromKernel,
    Fault::BiasDroppedFromBoth,
    Fault::SlopeUnsquared,
    Fault::AngleForSupplement,
    Fault::FanInForgotten,
    Fault::SumForMean,
    Fault::LabelsFlippedInTheory,
    Fault::BothLayersForOne,
    Fault::StandardisedTwice,
    Fault::ReadoutVarianceOne,
    Fault::ReadoutVarianceSquared,
    Fault::WeightsWithoutFanIn,
    Fault::BiasNotDrawn,
    Fault::BiasFrozen,
    Fault::LabelsFlippedInTraining,
    Fault::LossSummed,
    Fault::DerivativeOfTheOtherSide,
    Fault::LeakForgottenInTraining,
];

#[test]
fn wrong_kernels_are_rejected_by_the_mean_of_the_initial_kernel() {
    let instrument = InitialKernel {
        lab: Lab::new(),
        name: "power: mean of the initial kernel",
        networks: 6000,
        copies: 16,
        moments: Moments::First,
    };
    examine(&instrument, KERNEL_MEAN);
}

const KERNEL_VARIANCE: &[Fault] = &[
    Fault::VarianceTenPercentLow,
    Fault::VarianceTenPercentHigh,
    Fault::FourthMomentOne,
    Fault::PairsAsIndependent,
    Fault::SecondMomentForVariance,
];

#[test]
fn wrong_variances_are_rejected_by_the_variance_of_the_initial_kernel() {
    let instrument = InitialKernel {
        lab: Lab::new(),
        name: "power: variance of the initial kernel",
        networks: 60_000,
        copies: 32,
        moments: Moments::Second,
    };
    examine(&instrument, KERNEL_VARIANCE);
}

const DRAWN_VARIANCE: &[Fault] = &[Fault::ReadoutsNotOfSizeOne, Fault::PairsNotPaired];

#[test]
fn wrongly_drawn_networks_are_rejected_by_the_variance_of_the_initial_kernel() {
    let instrument = InitialKernel {
        lab: Lab::new(),
        name: "power: variance of the drawn kernel",
        networks: 6000,
        copies: 32,
        moments: Moments::Second,
    };
    examine(&instrument, DRAWN_VARIANCE);
}

const START: &[Fault] = &[
    Fault::StartForgotten,
    Fault::ScaleDroppedFromStart,
    Fault::ReadoutsOfOneSign,
    Fault::PairsNotPaired,
    Fault::WeightsWithoutFanIn,
    Fault::ReadoutVarianceOne,
];

#[test]
fn wrong_starts_are_rejected_by_the_output_at_initialisation() {
    examine(&Start { lab: Lab::new(), networks: 4000 }, START);
}

const TRAINED: &[Fault] = &[
    Fault::MomentumIgnored,
    Fault::MomentumAlwaysSteady,
    Fault::TimeOffByOneStep,
    Fault::OneStepTooMany,
    Fault::OneStepTooFew,
    Fault::MomentumNotApplied,
    Fault::LabelsFlippedInTraining,
    Fault::LossSummed,
    Fault::BiasFrozen,
    Fault::DerivativeOfTheOtherSide,
    Fault::LeakForgottenInTraining,
    Fault::ReadoutTrained,
];

#[test]
fn wrong_times_and_steps_are_rejected_by_the_change_through_training() {
    examine(&Trained { lab: Lab::new(), networks: 4000, recipe: RECIPE }, TRAINED);
}

const SQUARED_LOSS: &[Fault] = &[Fault::SquaredLacksCount, Fault::SquaredForgetsStart, Fault::BothLayersForOne];

#[test]
fn wrong_formulas_of_the_squared_loss_are_rejected_by_its_equation() {
    examine(&SquaredLoss { lab: Lab::new() }, SQUARED_LOSS);
}

const GRADIENT: &[Fault] = &[Fault::BoundaryDropped, Fault::BoundaryReversed, Fault::TangentKernelInDirection];

#[test]
fn wrong_directions_are_rejected_by_differences_of_the_limit() {
    examine(&LimitGradient { lab: Lab::new() }, GRADIENT);
}

#[test]
fn wrong_directions_are_rejected_by_trained_networks() {
    let instrument = TrainedGradient { lab: Lab::new(), networks: 240, width: 1 << 13, time: 0.15 };
    examine(&instrument, GRADIENT);
}

#[test]
fn a_wrong_rate_of_the_gradient_is_rejected_by_networks_of_four_widths() {
    rate::examine_rate();
}

const INPUTS: &[Fault] = &[
    Fault::PerturbationAgainstTarget,
    Fault::PerturbationWithoutTarget,
    Fault::PerturbationNotNormalised,
    Fault::PerturbationOfLargestCoordinate,
    Fault::PerturbationScaledByDimension,
    Fault::AttackOnUntrained,
    Fault::ScenariosSwapped,
];

#[test]
fn wrong_perturbations_are_rejected_by_differences_of_outputs() {
    examine(&Inputs { lab: Lab::new(), recipe: RECIPE }, INPUTS);
}

const TARGETS: &[Fault] = &[Fault::TargetsAreLabels, Fault::TargetsAreOppositeLabels, Fault::TargetsAllEqual];

#[test]
fn wrong_targets_are_rejected_by_their_counts() {
    examine(&Targets { lab: Lab::new(), draws: 40 }, TARGETS);
}

const PAIR: &[Fault] =
    &[Fault::SecondStartsAsFirst, Fault::SecondContinuesFirst, Fault::SecondOnTrueLabels, Fault::SecondTrainedAsLong];

#[test]
fn wrong_second_networks_are_rejected_by_their_limit_given_the_first() {
    let second = Recipe { rate: 0.02, ..RECIPE };
    examine(&PairOfNetworks { lab: Lab::new(), networks: 6000, first: RECIPE, second }, PAIR);
}

const FLOW: &[Fault] =
    &[Fault::SlidingIgnored, Fault::StoppedAtFirstEvent, Fault::VelocityFrozen, Fault::EventTimesFromRange];

#[test]
fn wrong_flows_are_rejected_by_descent_with_shrinking_steps() {
    flow::examine_flow(FLOW);
}

#[test]
fn wrong_bounds_on_the_initial_kernel_are_rejected_by_exceedances() {
    bounds::examine_kernel();
    bounds::examine_union();
    bounds::examine_attained();
}

#[test]
fn wrong_bounds_on_trained_networks_are_rejected_by_exceedances() {
    bounds::examine_error();
    bounds::examine_start();
    bounds::examine_certificate();
}

#[test]
fn wrong_bounds_on_the_drift_are_rejected_by_its_mean_and_variance() {
    bounds::examine_drift();
}

#[test]
fn wrong_deterministic_bounds_are_rejected_where_the_right_ones_are_attained() {
    attained::examine_geometry();
    attained::examine_tails();
    attained::examine_targets();
}

#[test]
fn every_fault_is_judged_by_an_instrument() {
    let judged = [
        KERNEL_MEAN,
        KERNEL_VARIANCE,
        DRAWN_VARIANCE,
        START,
        TRAINED,
        SQUARED_LOSS,
        GRADIENT,
        rate::RATE,
        INPUTS,
        TARGETS,
        PAIR,
        FLOW,
        bounds::KERNEL,
        bounds::UNION,
        bounds::ATTAINED,
        bounds::ERROR,
        bounds::START,
        bounds::CERTIFICATE,
        bounds::DRIFT,
        attained::GEOMETRY,
        attained::TAILS,
        attained::TARGETS,
    ]
    .concat();
    assert_eq!(FAULTS.len(), 86, "CHANGELOG.md states how many faults there are");
    for (fault, _) in FAULTS {
        assert!(judged.contains(fault), "{fault:?} is judged by no instrument");
        assert!(!fault.statements().is_empty(), "{fault:?} contradicts no statement");
    }
}
