//! The slow theory, program and flow without a fault against the library: they are the naive oracles of the fast routines.
//!
//! Tolerance: both sides sum at most N² = 144 (theory) or steps·N·m (program) terms of size 1 that are accurate to a few ε
//! each; 10⁻¹¹ relative to the largest value. The squared loss solves with a matrix of condition number below 10³.

use nalgebra::DMatrix;
use perturbation_learning::network::{Initialisation, Weights};
use perturbation_learning::problem::Scenario;
use perturbation_learning::random::Streams;
use perturbation_learning::theory::bound::{Geometry, Tail, kernel_deviation_bound};

use crate::bounds::naive_kernel_bound;
use crate::flow::{FlowCase, distance, naive_flow};
use crate::lab::{Attack, DIM, First, Lab, PAIRED, PAIRED_GAUSSIAN, Recipe, STANDARD, STANDARD_GAUSSIAN, streams};
use crate::program::Program;
use crate::theory::{Library, Naive, Theory};

const RECIPE: Recipe = Recipe { rate: 0.3, steps: 20, momentum: 0.5 };

fn assert_agree(what: &str, fast: &[f64], slow: &[f64]) {
    assert_eq!(fast.len(), slow.len(), "{what}");
    let scale = fast.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    for (fast, slow) in fast.iter().zip(slow) {
        assert!((fast - slow).abs() <= 1e-11 * scale, "{what}: library {fast:e}, slow {slow:e}");
    }
}

#[test]
fn the_slow_theory_agrees_with_the_library() {
    let (lab, naive) = (Lab::new(), Naive(None));
    let Lab { train, test, slope } = &lab;
    assert_agree("limit", &Library.limit(train, *slope, test), &naive.limit(train, *slope, test));
    for law in [STANDARD, STANDARD_GAUSSIAN, PAIRED, PAIRED_GAUSSIAN] {
        let (fast, slow) = (Library.variance(train, *slope, test, law), naive.variance(train, *slope, test, law));
        assert_agree("variance", &fast, &slow);
    }
    for init in [Initialisation::Standard, Initialisation::Antisymmetric] {
        assert_agree("start", &Library.start(*slope, test, init), &naive.start(*slope, test, init));
    }
    let gradients: [DMatrix<f64>; 2] = [Library.gradient(train, *slope), naive.gradient(train, *slope)];
    assert_agree("gradient", gradients[0].as_slice(), gradients[1].as_slice());
    let start: Vec<f64> = (0..train.count()).map(|n| (n as f64).sin()).collect();
    let squared = |theory: &dyn Theory| theory.squared(train, *slope, 3.0, &start, test);
    assert_agree("squared loss", &squared(&Library), &squared(&naive));
    assert_agree("time", &[Library.flow_time(RECIPE)], &[naive.flow_time(RECIPE)]);

    let geometry = Geometry::new(train, *slope, test).unwrap();
    let bound = kernel_deviation_bound(&geometry, STANDARD.of_width(50), 0.01, Tail::Both).unwrap();
    assert_agree("W4", &bound, &naive_kernel_bound(&lab, 50, 200.0_f64.ln(), 1.0));
}

#[test]
fn the_slow_program_agrees_with_the_library() {
    let (lab, naive) = (Lab::new(), Naive(None));
    let Lab { train, test, slope } = &lab;
    for law in [STANDARD, STANDARD_GAUSSIAN, PAIRED, PAIRED_GAUSSIAN] {
        let draw = |program: &dyn Program| -> Weights { program.draw(DIM, 30, law, streams("oracle", 0)) };
        let start = draw(&Library);
        assert_agree("readout", start.readout(), draw(&naive).readout());
        assert_agree("hidden", start.hidden(), draw(&naive).hidden());
        assert_agree("rate", &Library.rate(&start, train, *slope, test), &naive.rate(&start, train, *slope, test));
        let trained = Library.descend(&start, train, *slope, RECIPE);
        assert_agree("descent", trained.hidden(), naive.descend(&start, train, *slope, RECIPE).hidden());
        let outputs = |program: &dyn Program| program.outputs(&trained, *slope, test);
        assert_agree("outputs", &outputs(&Library), &outputs(&naive));
        let purpose = Streams::new(1, "power/oracle/targets");
        let targets = Library.targets(train.labels(), &purpose);
        assert_eq!(targets, naive.targets(train.labels(), &purpose));
        let first = First { initial: start, trained };
        for scenario in [Scenario::PerturbationOnly, Scenario::OnImage] {
            let attack = Attack { epsilon: 0.3, scenario };
            let inputs = |program: &dyn Program| program.perturbed(&first, train, *slope, &targets, attack);
            assert_agree("inputs", inputs(&Library).as_columns().as_slice(), inputs(&naive).as_columns().as_slice());
        }
    }
}

#[test]
fn the_slow_flow_agrees_with_the_library() {
    let case = FlowCase::new();
    let (exact, decided, _) = case.exact();
    let slow = naive_flow(&case.train, case.slope, &case.weights, case.time, None);
    for i in decided {
        let row = i * (DIM + 1)..(i + 1) * (DIM + 1);
        let error = distance(&exact[row.clone()], &slow[row]);
        assert!(error < 1e-11, "neuron {i}: {error:e}");
    }
}
