//! The eight maps of the paper.

use super::Setting;
use crate::experiment::paper::parameters::{DataName, PIPELINE, Parameters, Targets};
use crate::experiment::paper::plan::Scale;
use crate::loss::StandardLoss;
use crate::network::{Initialisation, Precision};
use crate::problem::Scenario;

/// The paper's eight maps; `small` ones have smaller sets, widths and rasters. `images` gives digest, d and N.
#[must_use]
pub fn settings(
    scale: Scale,
    precision: Precision,
    images: &dyn Fn(DataName) -> (String, usize, usize),
) -> Vec<Setting> {
    let (a, b) = (Scenario::PerturbationOnly, Scenario::OnImage);
    let small = scale == Scale::Small;
    let resolution = if small { 120 } else { 400 };
    let pick = |full: usize, few: usize| if small { few } else { full };
    let synthetic = |data, scenario, (d, m, n), (rate, steps), epsilon, seed| Parameters {
        pipeline: PIPELINE,
        data,
        data_digest: None,
        input_dim: d,
        train_count: n,
        scenario,
        loss: StandardLoss::Identity,
        slope: 0.0,
        width: m,
        initialisation: Initialisation::Standard,
        epsilon,
        steps,
        steps_perturbed: steps,
        learning_rate: rate,
        learning_rate_perturbed: rate,
        targets: Targets::Random,
        precision,
        seed,
    };
    let pictures = |data: DataName, scenario, (rate, steps), epsilon, seed| {
        let (digest, d, n) = images(data);
        let run = synthetic(data, scenario, (d, pick(1000, 300), n), (rate, steps), epsilon, seed);
        Parameters { data_digest: Some(digest), ..run }
    };
    let (shifted, gauss) = (DataName::ShiftedGauss, DataName::Gauss);
    let sizes_a = (1000, pick(1000, 200), pick(2000, 1000));
    let sizes_b = (1000, pick(1000, 200), pick(10_000, 1000));
    let all = [
        ("Shifted Gauss (a)", synthetic(shifted, a, (100, 100, 1000), (1.0, 100), 0.01, 0), (-7.0, 7.0)),
        ("Shifted Gauss (b)", synthetic(shifted, b, (100, 100, pick(5000, 1000)), (1.0, 100), 0.1, 1), (-8.0, 8.0)),
        ("Gauss (a)", synthetic(gauss, a, sizes_a, (1.0, pick(1000, 300)), 0.031, 0), (-4.0, 5.0)),
        ("Gauss (b)", synthetic(gauss, b, sizes_b, (0.1, pick(1000, 300)), 0.31, 0), (-4.0, 5.0)),
        ("MNIST (a)", pictures(DataName::Mnist, a, (0.01, 100), 0.14, 0), (0.0, 10.0)),
        ("MNIST (b)", pictures(DataName::Mnist, b, (0.01, 1000), 0.14, 1), (0.0, 10.0)),
        ("Fashion-MNIST (a)", pictures(DataName::Fashion, a, (0.01, 100), 0.14, 0), (-2.0, 13.0)),
        ("Fashion-MNIST (b)", pictures(DataName::Fashion, b, (0.001, 100), 1.4, 2), (-2.0, 13.0)),
    ];
    all.map(|(title, run, window)| Setting { title, run, window, resolution }).into()
}
