//! The grids: which values each panel of each figure shows. Those of [`Scale::Full`] are facts about the paper's code.

use super::{Draft, FigureName, ImageSet, PanelDraft, PanelName, Request, Scale};
use crate::error::{Error, Result};
use crate::experiment::paper::parameters::{DataName, PIPELINE, Parameters, Targets};
use crate::loss::StandardLoss;
use crate::network::{Initialisation, Precision};
use crate::problem::Scenario;

/// Learning rates of f and of g.
type Rates = (&'static [f64], &'static [f64]);

/// What a panel varies.
#[derive(Clone, Copy)]
enum Axis {
    Dim,
    Epsilon,
    Width,
    Slope,
    Count,
    Steps,
    StepsPerturbed,
}

/// A figure's default point, and the grids around it.
struct Base {
    parameters: Parameters,
    /// The exponent p of ε = 10^p √d, cut to two digits; synthetic data only.
    epsilon_exponent: i32,
    rates: Rates,
    logistic_rates: Rates,
    steps_f_rates: Rates,
    steps_g_rates: Rates,
    /// Steps of both networks in the panel with logistic loss.
    logistic_steps: usize,
    dims: Vec<usize>,
    logistic_dims: Vec<usize>,
    epsilons: Vec<f64>,
    logistic_epsilons: Vec<f64>,
    widths: Vec<usize>,
    slopes: Vec<f64>,
    counts: Vec<usize>,
    steps_f: Vec<usize>,
    steps_g: Vec<usize>,
}

/// 1-2-…-10 per decade, from `first` to `last`.
fn decades(first: usize, last: usize) -> Vec<usize> {
    let mut values = Vec::new();
    let (mut value, mut step) = (first, 10_usize.pow(first.ilog10()));
    while value <= last {
        values.push(value);
        if value == 10 * step {
            step *= 10;
        }
        value += step;
    }
    values
}

/// k·step for k = from … to, as the nearest double to that decimal (step = mantissa·10^exponent).
fn multiples(from: u32, to: u32, (mantissa, exponent): (u32, i32)) -> Vec<f64> {
    (from..=to).map(|k| decimal(k * mantissa, exponent)).collect()
}

/// The double nearest to mantissa·10^exponent.
fn decimal(mantissa: u32, exponent: i32) -> f64 {
    // A power that division expresses exactly is correctly rounded.
    let power = 10_f64.powi(exponent.abs());
    if exponent < 0 { f64::from(mantissa) / power } else { f64::from(mantissa) * power }
}

/// 10^p √d, cut (not rounded) to two digits as in the paper's scripts.
fn scaled_epsilon(input_dim: usize, exponent: i32) -> f64 {
    let root = (input_dim as f64).sqrt();
    let power = root.log10().floor() as i32;
    // √d of a square is exact; the small lift protects it from the division.
    let digits = (root / 10_f64.powi(power - 1) + 1e-9).floor() as u32;
    decimal(digits, power - 1 + exponent)
}

fn axis_values(values: &[usize]) -> Vec<f64> {
    values.iter().map(|v| *v as f64).collect()
}

/// The panels of a figure.
pub(super) fn panels(figure: FigureName, request: &Request) -> Result<Vec<PanelDraft>> {
    match figure {
        FigureName::Cosine => cosine(request),
        FigureName::Width => Ok(vec![width_figure(request)]),
        _ => {
            let base = base(figure, request)?;
            Ok(accuracy(&base))
        }
    }
}

fn accuracy(base: &Base) -> Vec<PanelDraft> {
    let logistic = |p: &mut Parameters| {
        p.loss = StandardLoss::Logistic;
        (p.steps, p.steps_perturbed) = (base.logistic_steps, base.logistic_steps);
    };
    let balanced = |p: &mut Parameters| p.targets = Targets::Balanced;
    let same = |_: &mut Parameters| ();
    let panel = |name, axis, values: Vec<f64>, rates, change: &dyn Fn(&mut Parameters)| {
        panel(base, name, axis, &values, rates, change)
    };
    let synthetic = !base.parameters.data.is_images();
    let mut all = Vec::new();
    if synthetic {
        all.push(panel(PanelName::Dim, Axis::Dim, axis_values(&base.dims), base.rates, &same));
        let dims = axis_values(&base.logistic_dims);
        all.push(panel(PanelName::DimLogistic, Axis::Dim, dims, base.logistic_rates, &logistic));
    }
    all.push(panel(PanelName::Epsilon, Axis::Epsilon, base.epsilons.clone(), base.rates, &same));
    if !synthetic {
        let epsilons = base.logistic_epsilons.clone();
        all.push(panel(PanelName::EpsilonLogistic, Axis::Epsilon, epsilons, base.logistic_rates, &logistic));
    }
    all.push(panel(PanelName::Width, Axis::Width, axis_values(&base.widths), base.rates, &same));
    all.push(panel(PanelName::Slope, Axis::Slope, base.slopes.clone(), base.rates, &same));
    if synthetic {
        all.push(panel(PanelName::Count, Axis::Count, axis_values(&base.counts), base.rates, &same));
    }
    all.push(panel(PanelName::StepsF, Axis::Steps, axis_values(&base.steps_f), base.steps_f_rates, &same));
    all.push(panel(PanelName::StepsG, Axis::StepsPerturbed, axis_values(&base.steps_g), base.steps_g_rates, &same));
    if synthetic {
        all.push(panel(PanelName::Balanced, Axis::Dim, axis_values(&base.dims), base.rates, &balanced));
    } else {
        all.push(panel(PanelName::Balanced, Axis::Epsilon, base.epsilons.clone(), base.rates, &balanced));
    }
    all.push(panel(PanelName::Default, Axis::Slope, vec![base.parameters.slope], base.rates, &same));
    all
}

fn panel(
    base: &Base,
    name: PanelName,
    axis: Axis,
    values: &[f64],
    rates: Rates,
    change: &dyn Fn(&mut Parameters),
) -> PanelDraft {
    let cells = values
        .iter()
        .map(|&x| {
            let mut parameters = base.parameters.clone();
            set(&mut parameters, axis, x, base.epsilon_exponent);
            change(&mut parameters);
            Draft { series: 0, x, parameters, rates: rates.0.into(), rates_perturbed: rates.1.into() }
        })
        .collect();
    let (title, x_label) = title(name, axis);
    // Axes that begin at 0 or span less than a decade are linear; so are the steps of up to 10.
    let wide = values.first().zip(values.last()).is_some_and(|(first, last)| *first > 0.0 && last / first > 10.0);
    PanelDraft { panel: name, title: title.into(), x_label, log_x: wide, series: Vec::new(), cells }
}

fn set(parameters: &mut Parameters, axis: Axis, x: f64, epsilon_exponent: i32) {
    match axis {
        Axis::Dim => {
            parameters.input_dim = x as usize;
            parameters.epsilon = scaled_epsilon(parameters.input_dim, epsilon_exponent);
        }
        Axis::Epsilon => parameters.epsilon = x,
        Axis::Width => parameters.width = x as usize,
        Axis::Slope => parameters.slope = x,
        Axis::Count => parameters.train_count = x as usize,
        Axis::Steps => parameters.steps = x as usize,
        Axis::StepsPerturbed => parameters.steps_perturbed = x as usize,
    }
}

fn title(name: PanelName, axis: Axis) -> (&'static str, &'static str) {
    let x_label = match axis {
        Axis::Dim => "input dimension d",
        Axis::Epsilon => "perturbation length ε",
        Axis::Width => "width m",
        Axis::Slope => "slope γ",
        Axis::Count => "training points N",
        Axis::Steps => "steps of f",
        Axis::StepsPerturbed => "steps of g",
    };
    let title = match name {
        PanelName::Dim => "Input dimension",
        PanelName::DimLogistic => "Input dimension, logistic loss",
        PanelName::Epsilon => "Perturbation length",
        PanelName::EpsilonLogistic => "Perturbation length, logistic loss",
        PanelName::Width => "Width",
        PanelName::Slope => "Slope",
        PanelName::Count => "Training points",
        PanelName::StepsF => "Training time of f",
        PanelName::StepsG => "Training time of g",
        PanelName::Balanced => "Balanced targets (not in the paper)",
        PanelName::Default => "Default point",
    };
    (title, x_label)
}

fn parameters(data: DataName, scenario: Scenario, precision: Precision) -> Parameters {
    Parameters {
        pipeline: PIPELINE,
        data,
        data_digest: None,
        input_dim: 100,
        train_count: 1000,
        scenario,
        loss: StandardLoss::Identity,
        slope: 0.0,
        width: 100,
        initialisation: Initialisation::Standard,
        epsilon: 0.01,
        steps: 1000,
        steps_perturbed: 1000,
        learning_rate: 0.0,
        learning_rate_perturbed: 0.0,
        targets: Targets::Random,
        precision,
        seed: 0,
    }
}

const ONE_AND_TENTH: &[f64] = &[1.0, 0.1];

fn base(figure: FigureName, request: &Request) -> Result<Base> {
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

fn counts(small: bool) -> Vec<usize> {
    if small {
        return vec![10, 100, 300, 1000];
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
        logistic_dims: pick(&[10, 30, 50], (2..=10).map(|k| 5 * k).collect()),
        epsilons: if small { vec![0.0, 0.002, 0.004, 0.007, 0.01] } else { multiples(0, 10, (1, -3)) },
        logistic_epsilons: Vec::new(),
        widths: widths(small),
        slopes: slopes(small),
        counts: counts(small),
        steps_f: pick(&[1, 2, 4, 7, 10], (1..=10).collect()),
        steps_g: steps(small),
    }
}

fn shifted_gauss_b(parameters: Parameters, small: bool) -> Base {
    let (input_dim, train_count) = if small { (500, 500) } else { (5000, 10_000) };
    let epsilon = scaled_epsilon(input_dim, -2);
    let all = decades(10, 5000);
    let five: &[f64] = if small { &[10.0, 1.0, 0.1] } else { &[10.0, 5.0, 1.0, 0.1, 0.01] };
    Base {
        parameters: Parameters { input_dim, train_count, epsilon, ..parameters },
        epsilon_exponent: -2,
        rates: (ONE_AND_TENTH, ONE_AND_TENTH),
        logistic_rates: (five, five),
        steps_f_rates: (&[0.01], ONE_AND_TENTH),
        steps_g_rates: (ONE_AND_TENTH, &[0.01]),
        logistic_steps: if small { 300 } else { 1000 },
        dims: if small { vec![10, 50, 150, 500] } else { all.clone() },
        logistic_dims: if small { vec![10, 50, 150] } else { all },
        epsilons: if small { multiples(0, 4, (55, -3)) } else { multiples(0, 7, (1, -1)) },
        logistic_epsilons: Vec::new(),
        widths: widths(small),
        slopes: slopes(small),
        counts: counts(small),
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
        counts: counts(small),
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
        logistic_epsilons: grid(if on_image { (14, -2) } else { (14, -3) }),
        widths: if small { vec![10, 30, 100, 300] } else { decades(10, 1000) },
        slopes: slopes(small),
        counts: Vec::new(),
        steps_f: steps(small),
        steps_g: if figure == FigureName::MnistB { steps(small) } else { tens },
    })
}

/// The cosine figure: the runs of the accuracy figures (a), seen from another side.
fn cosine(request: &Request) -> Result<Vec<PanelDraft>> {
    let sources = [
        (FigureName::ShiftedGaussA, "shifted Gauss", [PanelName::Dim, PanelName::StepsF].as_slice()),
        (FigureName::GaussA, "Gauss", &[PanelName::Dim, PanelName::StepsF]),
        (FigureName::MnistA, "MNIST", &[PanelName::StepsF]),
        (FigureName::FashionA, "Fashion-MNIST", &[PanelName::StepsF]),
    ];
    let mut all = Vec::new();
    for (figure, name, panels) in sources {
        for mut draft in accuracy(&base(figure, request)?) {
            if panels.contains(&draft.panel) {
                draft.title = format!("{}, {name}", draft.title);
                all.push(draft);
            }
        }
    }
    Ok(all)
}

/// Agreement against width for shifted Gauss (a), lr 0.1/0.1: two initialisations, two times.
fn width_figure(request: &Request) -> PanelDraft {
    let small = request.scale == Scale::Small;
    let base = parameters(DataName::ShiftedGauss, Scenario::PerturbationOnly, request.precision);
    let series = ["standard, 100 steps", "antisymmetric, 100 steps", "standard, 1000 steps"];
    let choices = [
        (Initialisation::Standard, 100, if small { 10_000 } else { 100_000 }),
        (Initialisation::Antisymmetric, 100, if small { 10_000 } else { 100_000 }),
        (Initialisation::Standard, 1000, if small { 1000 } else { 10_000 }),
    ];
    let mut cells = Vec::new();
    for (series, (initialisation, steps, widest)) in choices.into_iter().enumerate() {
        let widths = [100, 300, 1000, 3000, 10_000, 30_000, 100_000].into_iter().filter(|m| *m <= widest);
        cells.extend(widths.map(|width| Draft {
            series,
            x: width as f64,
            parameters: Parameters { width, initialisation, steps, steps_perturbed: steps, ..base.clone() },
            rates: vec![0.1],
            rates_perturbed: vec![0.1],
        }));
    }
    let title = "Agreement against width, shifted Gauss (a), learning rates 0.1".into();
    PanelDraft { panel: PanelName::Width, title, x_label: "width m", log_x: true, series: series.into(), cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_and_cut_epsilons_are_those_of_the_scripts() {
        assert_eq!(decades(8, 30), [8, 9, 10, 20, 30]);
        assert_eq!(decades(100, 5000)[8..], [900, 1000, 2000, 3000, 4000, 5000]);
        assert_eq!(scaled_epsilon(100, -3), 0.01);
        assert_eq!(scaled_epsilon(15, -3), 0.0038);
        assert_eq!((scaled_epsilon(5000, -2), scaled_epsilon(10_000, -1)), (0.7, 10.0));
        assert_eq!(multiples(0, 3, (14, -3)), [0.0, 0.014, 0.028, 0.042]);
    }
}
