//! The figures' default points and the values around them.

use super::{Base, decades, decimal, multiples, parameters, scaled_epsilon};
use crate::error::{Error, Result};
use crate::experiment::paper::parameters::{DataName, Parameters};
use crate::experiment::paper::plan::{FigureName, ImageSet, Request, Scale};
use crate::problem::Scenario;

const ONE_AND_TENTH: &[f64] = &[1.0, 0.1];

pub(super) fn base(figure: FigureName, request: &Request) -> Result<Base> {
    let (a, b) = (Scenario::PerturbationOnly, Scenario::OnImage);
    let precision = request.precision;
    let small = request.scale == Scale::Small;
    let base = match figure {
        FigureName::ShiftedGaussB => shifted_gauss_b(parameters(DataName::ShiftedGauss, b, precision), small),
        FigureName::GaussA => gauss(parameters(DataName::Gauss, a, precision), -3, small),
        FigureName::GaussB => gauss(parameters(DataName::Gauss, b, precision), -1, small),
        FigureName::MnistA => images(parameters(DataName::Mnist, a, precision), request, figure)?,
        FigureName::MnistB => images(parameters(DataName::Mnist, b, precision), request, figure)?,
        FigureName::FashionA => images(parameters(DataName::Fashion, a, precision), request, figure)?,
        FigureName::FashionB => images(parameters(DataName::Fashion, b, precision), request, figure)?,
        _ => shifted_gauss_a(parameters(DataName::ShiftedGauss, a, precision), small),
    };
    Ok(base)
}

fn slopes(small: bool) -> Vec<f64> {
    if small { vec![0.0, 0.5, 0.99] } else { vec![0.0, 0.25, 0.5, 0.75, 0.99] }
}

fn counts(small: bool, usual: usize) -> Vec<usize> {
    if small {
        return vec![10, 100, 300, usual];
    }
    [vec![2, 4, 6, 8], decades(10, 10_000)].concat()
}

fn widths(small: bool) -> Vec<usize> {
    if small { vec![1, 3, 10, 30, 100, 300] } else { decades(1, 1000) }
}

fn steps(small: bool) -> Vec<usize> {
    if small { vec![1, 3, 10, 30, 100] } else { decades(1, 100) }
}

fn shifted_gauss_a(parameters: Parameters, small: bool) -> Base {
    let pick = |few: &[usize], all: Vec<usize>| if small { few.to_vec() } else { all };
    Base {
        parameters,
        epsilon_exponent: -3,
        rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        logistic_rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        steps_f_rates: (&[0.1], ONE_AND_TENTH),
        steps_g_rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        logistic_steps: 1000,
        dims: pick(&[10, 40, 70, 100], (1..=10).map(|k| 10 * k).collect()),
        logistic_dims: pick(&[10, 50], (2..=10).map(|k| 5 * k).collect()),
        epsilons: if small { vec![0.0, 0.002, 0.004, 0.007, 0.01] } else { multiples(0, 10, (1, -3)) },
        logistic_epsilons: Vec::new(),
        widths: widths(small),
        slopes: slopes(small),
        counts: counts(small, 1000),
        steps_f: pick(&[1, 2, 4, 7, 10], (1..=10).collect()),
        steps_g: steps(small),
    }
}

fn shifted_gauss_b(parameters: Parameters, small: bool) -> Base {
    let (input_dim, train_count) = if small { (500, 500) } else { (5000, 10_000) };
    // The noise of random labels on the images falls like N^(−1/2) (G6), the signal is proportional to ε: with twenty times
    // fewer points and the paper's ε nothing would be learned.
    let epsilon_exponent = if small { -1 } else { -2 };
    let epsilon = scaled_epsilon(input_dim, epsilon_exponent);
    let all = decades(10, 5000);
    let five: &[f64] = if small { &[10.0, 1.0, 0.1] } else { &[10.0, 5.0, 1.0, 0.1, 0.01] };
    Base {
        parameters: Parameters { input_dim, train_count, epsilon, ..parameters },
        epsilon_exponent,
        rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        logistic_rates: (five, five),
        steps_f_rates: (&[0.01], ONE_AND_TENTH),
        steps_g_rates: (ONE_AND_TENTH, &[0.01]),
        logistic_steps: if small { 300 } else { 1000 },
        dims: if small { vec![10, 50, 150, 500] } else { all.clone() },
        logistic_dims: if small { vec![10, 50, 150] } else { all },
        epsilons: if small { multiples(0, 4, (55, -2)) } else { multiples(0, 7, (1, -1)) },
        logistic_epsilons: Vec::new(),
        widths: widths(small),
        slopes: slopes(small),
        counts: counts(small, 500),
        steps_f: if small { vec![1, 2, 4, 7, 10] } else { (1..=10).collect() },
        steps_g: steps(small),
    }
}

fn gauss(parameters: Parameters, exponent: i32, small: bool) -> Base {
    let size = if small { 500 } else { 10_000 };
    let epsilon = scaled_epsilon(size, exponent);
    let all = decades(100, 10_000);
    let on_image = parameters.scenario == Scenario::OnImage;
    Base {
        parameters: Parameters { input_dim: size, train_count: size, epsilon, ..parameters },
        epsilon_exponent: exponent,
        rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        logistic_rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        steps_f_rates: (&[0.1], ONE_AND_TENTH),
        steps_g_rates: (ONE_AND_TENTH, if on_image { &[0.1] } else { ONE_AND_TENTH }),
        logistic_steps: if small { 300 } else { 1000 },
        dims: if small { vec![50, 150, 500] } else { all.clone() },
        logistic_dims: if small { vec![50, 150] } else { all },
        epsilons: if small { multiples(0, 4, (55, exponent - 1)) } else { multiples(0, 10, (1, exponent + 1)) },
        logistic_epsilons: Vec::new(),
        widths: widths(small),
        slopes: slopes(small),
        counts: counts(small, 500),
        steps_f: steps(small),
        steps_g: steps(small),
    }
}

fn images(parameters: Parameters, request: &Request, figure: FigureName) -> Result<Base> {
    const RATES: &[f64] = &[0.01, 0.001];
    let small = request.scale == Scale::Small;
    let data = parameters.data;
    let missing = || Error::Empty { name: format!("image set {}", data.name()), expected: "its digest and size" };
    let ImageSet { digest, input_dim, train_count, .. } =
        request.images.iter().find(|set| set.name == data).cloned().ok_or_else(missing)?;
    let on_image = parameters.scenario == Scenario::OnImage;
    // MNIST (a) leaves out the two shortest perturbations.
    let shortest = if figure == FigureName::MnistA { 2 } else { 0 };
    let few = |first: u32, (mantissa, exponent): (u32, i32)| -> Vec<f64> {
        [first, 3, 6, 10].iter().map(|k| decimal(k * mantissa, exponent)).collect()
    };
    let grid = |unit: (u32, i32)| if small { few(shortest, unit) } else { multiples(shortest, 10, unit) };
    let tens = if small { vec![10, 30, 100] } else { (1..=10).map(|k| 10 * k).collect() };
    Ok(Base {
        parameters: Parameters {
            data_digest: Some(digest),
            input_dim,
            train_count,
            epsilon: 0.14,
            steps: 100,
            steps_perturbed: 100,
            ..parameters
        },
        epsilon_exponent: 0,
        rates: (RATES, RATES),
        logistic_rates: (RATES, RATES),
        steps_f_rates: (RATES, RATES),
        steps_g_rates: (RATES, RATES),
        logistic_steps: 100,
        dims: Vec::new(),
        logistic_dims: Vec::new(),
        epsilons: grid((14, -3)),
        logistic_epsilons: match (small, if on_image { (14, -2) } else { (14, -3) }) {
            (true, unit) => vec![decimal(3 * unit.0, unit.1), decimal(10 * unit.0, unit.1)],
            (false, unit) => multiples(shortest, 10, unit),
        },
        widths: if small { vec![10, 30, 100, 300] } else { decades(10, 1000) },
        slopes: slopes(small),
        counts: Vec::new(),
        steps_f: steps(small),
        steps_g: if figure == FigureName::MnistB { steps(small) } else { tens },
    })
}
