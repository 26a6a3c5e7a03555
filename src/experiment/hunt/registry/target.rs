//! Statements on random targets: G6, G7.

use rand::RngExt;

use super::{Entry, Kind};
use crate::error::Result;
use crate::experiment::hunt::case::Case;
use crate::experiment::hunt::draw::Draw;
use crate::experiment::hunt::measure::{Observed, exact_quantile};
use crate::linalg::norm_squared;
use crate::problem::Scenario;
use crate::random::Streams;
use crate::theory::bound::rounding::rounding_factor;
use crate::theory::bound::{label_noise_bound, target_offset, target_offset_remainder_bound};
use crate::theory::{Kernel, cross_gram, perturbed_points};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::new(
            "G6",
            Kind::Probability,
            "what random targets add to the limit of g: |G − Ā|",
            label_noise,
            |case| Ok(noise(case)?.deviation),
        ),
        Entry::new("G7", Kind::Certain, "the offset of unbalanced targets (scenario a): remainder", offsets, |case| {
            target_offset_remainder_bound(case.slope, case.epsilon, &case.test)
        }),
    ]
}

fn noise(case: &Case) -> Result<crate::theory::bound::LabelNoise> {
    let plus = case.limit_perturbations()?;
    let delta = case.failure_probability;
    label_noise_bound(case.train.points(), &plus, case.scenario, case.slope, &case.test, delta)
}

/// Θ(c_n + εq_n, z) and Θ(c_n − εq_n, z): one column per test point each.
fn both_kernels(case: &Case, scenario: Scenario) -> Result<[Vec<Vec<f64>>; 2]> {
    let plus = case.limit_perturbations()?;
    let kernel = |moves| -> Result<Vec<Vec<f64>>> {
        let points = perturbed_points(case.train.points(), &moves, scenario)?;
        let gram = cross_gram(Kernel::Ntk, case.slope, &points, &case.test);
        Ok(gram.as_slice().chunks_exact(points.count()).map(<[f64]>::to_vec).collect())
    };
    let minus = -&plus;
    Ok([kernel(plus)?, kernel(minus)?])
}

/// Training points up to which all targets are enumerated.
const ENUMERATED: usize = 10;

/// |G − Ā| for all targets of a small set, each with its probability, else for random targets.
fn label_noise(case: &Case, draw: &Draw) -> Result<Vec<Observed>> {
    let (n, delta) = (case.train.count(), case.failure_probability);
    let [plus, minus] = both_kernels(case, case.scenario)?;
    let signal = noise(case)?.signal;
    let streams = Streams::new(draw.seed, &format!("{}/targets", draw.purpose));
    let at_point = |j: usize| {
        let value = |mut positive: Box<dyn FnMut(usize) -> bool>| {
            let terms = (0..n).map(|k| if positive(k) { plus[j][k] } else { -minus[j][k] });
            (terms.sum::<f64>() / n as f64 - signal[j]).abs()
        };
        let size: f64 = plus[j].iter().chain(&minus[j]).map(|k| k.abs()).sum::<f64>() / n as f64;
        let rounding = rounding_factor((16 * case.train.input_dim() + 4 * n + 128) as f64) * size;
        if n <= ENUMERATED {
            let law =
                (0..1_usize << n).map(|bits| (value(Box::new(move |k| bits >> k & 1 == 1)), 0.5_f64.powi(n as i32)));
            return exact_quantile(law.collect(), delta, rounding);
        }
        let values = (0..draw.networks as u64).map(|index| {
            let mut rng = streams.stream(index);
            value(Box::new(move |_| rng.random::<bool>()))
        });
        Observed::Tail { values: values.collect(), probability: delta, rounding }
    };
    Ok((0..case.test.count()).map(at_point).collect())
}

/// |(1/N) Σ y'_n B_n(z) − ȳ'Φ(0,z)| with the labels as targets.
fn offsets(case: &Case, _: &Draw) -> Result<Vec<Observed>> {
    let [plus, minus] = both_kernels(case, Scenario::PerturbationOnly)?;
    let offset = target_offset(case.train.labels(), case.slope, &case.test)?;
    let n = case.train.count() as f64;
    let at_point = |(j, z): (usize, &[f64])| {
        let halves = plus[j].iter().zip(&minus[j]).map(|(p, m)| 0.5 * (p + m));
        let mean = halves.zip(case.train.labels()).map(|(b, y)| b * y).sum::<f64>() / n;
        // Kernels of size up to 1 + ε‖z‖, each with its angle's error (10⁻¹⁴ relative of at most π).
        let size = 1.0 + case.epsilon * norm_squared(z).sqrt();
        let rounding = (rounding_factor((4 * case.train.input_dim() + case.train.count() + 32) as f64) + 2e-14) * size;
        Observed::Certain { value: (mean - offset[j]).abs(), rounding }
    };
    Ok(case.test.iter().enumerate().map(at_point).collect())
}
