//! The claims and how they are decided.
//!
//! Every claim is an interval for one number, computed from independent networks, against the range that theory allows.
//! Rates are decided by fitting the two leading powers that theory gives, with free constants, to the means at each width:
//! a wrong power shows as a lack of fit.

use serde::Serialize;

use super::{Cell, Limits, StandardCell, Verification};
use crate::report::significant;
use crate::stats::{
    Squares, difference_interval, fit_constant_of_squares, fit_rate, fit_two_powers, mean_square_interval,
};

/// What a test says about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The data agree with the claim, and would not with its contrary.
    Held,
    /// The data contradict the claim at the stated error probability.
    Rejected,
    /// The data contradict neither: more networks or widths are needed.
    Undecided,
}

/// A claim with what was measured, what theory says, and the verdict.
#[derive(Debug, Clone, Serialize)]
pub struct Claim {
    /// A short stable name.
    pub id: &'static str,
    /// The claim in words.
    pub statement: String,
    /// What was measured and what theory says, in words.
    pub detail: String,
    /// The number that decides it.
    pub estimate: f64,
    /// Its interval at the claim's error probability.
    pub interval: [f64; 2],
    /// The range that theory allows; null for an open end.
    pub expected: [Option<f64>; 2],
    /// Probability with which this test rejects the claim if it is true.
    pub error_probability: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// What the decision asks of the interval.
#[derive(Clone, Copy)]
enum Rule {
    /// Held if interval and range meet, rejected otherwise.
    Meets,
    /// Held if the whole interval lies in the range, rejected if they do not meet, undecided between.
    Inside,
}

impl Claim {
    fn new(
        id: &'static str,
        statement: &str,
        estimate: f64,
        interval: (f64, f64),
        expected: [Option<f64>; 2],
        error_probability: f64,
        rule: Rule,
    ) -> Self {
        let (low, high) = (expected[0].unwrap_or(f64::NEG_INFINITY), expected[1].unwrap_or(f64::INFINITY));
        let meets = interval.0 <= high && interval.1 >= low;
        let inside = interval.0 >= low && interval.1 <= high;
        let verdict = match rule {
            _ if !meets => Verdict::Rejected,
            Rule::Inside if !inside => Verdict::Undecided,
            _ => Verdict::Held,
        };
        let detail = format!(
            "measured {} in {} … {}; theory: {}",
            significant(estimate, 3),
            significant(interval.0, 3),
            significant(interval.1, 3),
            range_in_words(expected)
        );
        let (statement, interval) = (statement.to_string(), [interval.0, interval.1]);
        Claim { id, statement, detail, estimate, interval, expected, error_probability, verdict }
    }
}

fn range_in_words(range: [Option<f64>; 2]) -> String {
    match range {
        [Some(low), Some(high)] if low == high => significant(low, 3),
        [Some(low), Some(high)] => format!("{low} … {high}"),
        [None, Some(high)] => format!("below {high}"),
        [Some(low), None] => format!("above {low}"),
        [None, None] => "any".into(),
    }
}

/// Decides all claims; together they reject a true one with probability at most `error`.
pub(super) fn decide(
    run: &Verification,
    limits: &Limits,
    input_dim: usize,
    cells: &[Cell],
    standard: &[StandardCell],
    error: f64,
) -> Vec<Claim> {
    let share = error / CLAIMS as f64;
    let rate = |id, statement: &str, leading: f64, figure: fn(&Cell) -> f64| {
        rate_claim(id, statement, &grouped(run, cells, figure), leading, share)
    };
    let mut claims: Vec<Claim> = [
        rate("function_rate", "(f_T − T·F)² falls like A/m + B/m^(3/2)", -1.0, |c| c.deviation_f.powi(2)),
        rate("gradient_rate", "(∇f_T − T·∇F)² falls like A/m^(1/2) + B/m", -0.5, |c| {
            c.deviation_gradient.powi(2)
        }),
        rate("direction_rate", "1 − cos(perturbation, ∇F) falls like A/m^(1/2) + B/m", -0.5, |c| {
            1.0 - c.cosine_limit_gradient
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    // The constants are no part of the verdicts: at the smallest widths powers beyond the two that are fitted count as well.
    let (constant, constant_error) = limits.gradient_constant();
    let [constant, constant_error] =
        [(constant, 3), (constant_error, 2)].map(|(value, digits)| significant(value, digits));
    let of_function = significant(limits.function_constant(), 3);
    for claim in &mut claims {
        match claim.id {
            "function_rate" => claim.detail.push_str(&format!("; theory A = {of_function}")),
            "gradient_rate" => claim.detail.push_str(&format!("; theory A = {constant} ± {constant_error}")),
            _ => {}
        }
    }
    for (id, scenario, figure) in [
        ("g_falls_alone", "perturbation alone", (|c| c.alone.deviation) as fn(&Cell) -> f64),
        ("g_falls_on_image", "on the image", |c| c.on_image.deviation),
    ] {
        let statement = format!("g − T'·G falls with m ({scenario}): exponent of the fitted line");
        let points: Vec<(f64, f64)> = cells.iter().map(|cell| (cell.width as f64, figure(cell))).collect();
        let fitted = fit_rate(&points);
        claims.extend(fitted.map(|fit| {
            Claim::new(id, &statement, fit.slope, fit.interval(share), [None, Some(0.0)], share, Rule::Inside)
        }));
    }

    // Squares of normal variables in the limit (W8), averaged over the test points.
    let ratios: Vec<(f64, Squares)> = grouped(run, cells, |cell| cell.variance_ratio)
        .into_iter()
        .map(|(width, values)| (width, Squares { freedom: 1.0, values }))
        .collect();
    let constant = fit_constant_of_squares(&ratios, -0.5, share);
    claims.extend(constant.map(|(constant, (low, high))| {
        let mut claim = Claim::new(
            "function_variance",
            "(f_T − T·F)² over the predicted variance is A + B/m^(1/2) with A = 1",
            constant,
            (low.max(0.0), high),
            [Some(1.0), Some(1.0)],
            share,
            Rule::Meets,
        );
        // An interval that holds 0 holds about every constant.
        if claim.verdict == Verdict::Held && low <= 0.0 {
            claim.verdict = Verdict::Undecided;
        }
        claim
    }));
    let starts = Squares { freedom: 1.0, values: start_ratios(cells, standard) };
    let statement = "(∂f/∂t at t = 0 − F)² has the variance of W1 at every width, both initialisations: mean ratio";
    claims.extend(mean_square_claim("start_variance", statement, &[starts], share));
    claims.push(fewer_mismatches(run, "agreement_alone", "alone", cells, share, |c| c.alone.mismatch));
    claims.push(fewer_mismatches(run, "agreement_on_image", "on the image", cells, share, |c| c.on_image.mismatch));

    for (id, statement, figure, freedom) in [
        (
            "initial_gradient",
            "standard initialisation: ‖∇f_0‖² stays at (1+γ²)/2 for every width: mean ratio",
            (|cell| cell.initial_gradient_ratio) as fn(&StandardCell) -> f64,
            // Given the active neurons, m/2 or so, ∇f_0 is normal, and by Marchenko and Pastur no component has a larger share of its square
            // than (d^(−1/2) + (m/2)^(−1/2))².
            (|width, input_dim| (f64::sqrt(1.0 / input_dim) + f64::sqrt(2.0 / width)).powi(-2).max(1.0))
                as fn(f64, f64) -> f64,
        ),
        (
            "initial_output",
            "standard initialisation: f_0² stays at Σ(z,z) for every width: mean ratio",
            |cell| cell.initial_output_ratio,
            |_, _| 1.0,
        ),
    ] {
        let groups: Vec<Squares> = run
            .widths
            .iter()
            .map(|&width| Squares {
                freedom: freedom(width as f64, input_dim as f64),
                values: standard.iter().filter(|cell| cell.width == width).map(figure).collect(),
            })
            .collect();
        claims.extend(mean_square_claim(id, statement, &groups, share));
    }
    claims
}

/// (∂_t f_0 − F)² over its variance, of all networks: 1 in the mean at every width, so that one mean serves for all.
fn start_ratios(cells: &[Cell], standard: &[StandardCell]) -> Vec<f64> {
    cells.iter().map(|cell| cell.start_ratio).chain(standard.iter().map(|cell| cell.start_ratio)).collect()
}

/// That squares over their predicted expectations have the mean 1.
fn mean_square_claim(id: &'static str, statement: &str, groups: &[Squares], share: f64) -> Option<Claim> {
    let (mean, interval) = mean_square_interval(groups, share)?;
    Some(Claim::new(id, statement, mean, interval, [Some(1.0), Some(1.0)], share, Rule::Meets))
}

/// One figure of all cells, grouped by width.
fn grouped(run: &Verification, cells: &[Cell], figure: fn(&Cell) -> f64) -> Vec<(f64, Vec<f64>)> {
    let of = |width: usize| cells.iter().filter(|cell| cell.width == width).map(figure).collect();
    run.widths.iter().map(|&width| (width as f64, of(width))).collect()
}

/// A rate is called held only if its leading term is this unlikely to be absent; else it is undecided. (No claim is
/// rejected for it: this is no part of the false-alarm probability.)
const EVIDENCE: f64 = 1e-3;

/// Theory gives the leading power, and that the next one is smaller by m^(−1/2): for values by W5, for gradients by P10, for directions and
/// what is trained on them by expanding in D_T − d, whose third and fourth moments are O(1/m). Their constants are fitted. The claim is
/// decided by the lack of fit (its p-value is the estimate) and needs a leading term that is clearly positive.
fn rate_claim(
    id: &'static str,
    statement: &str,
    groups: &[(f64, Vec<f64>)],
    leading: f64,
    share: f64,
) -> Option<Claim> {
    let fit = fit_two_powers(groups, leading, leading - 0.5)?;
    let accepted = [Some(share / 2.0), Some(1.0)];
    let mut claim = Claim::new(id, statement, fit.p_value, (fit.p_value, fit.p_value), accepted, share, Rule::Meets);
    claim.detail = format!(
        "A = {} ± {}, B = {}; p-value of the fit {} (rejected below {})",
        significant(fit.leading, 3),
        significant(fit.leading_error, 2),
        significant(fit.next, 2),
        significant(fit.p_value, 2),
        significant(share / 2.0, 2)
    );
    if claim.verdict == Verdict::Held && fit.leading_p_value > EVIDENCE {
        claim.verdict = Verdict::Undecided;
    }
    Some(claim)
}

/// Five rates, two variances, two agreements, two constants.
const CLAIMS: usize = 11;

/// Agreement of f and g approaches that of F and G: the share of points at which they differ is smaller at the largest
/// width than at the smallest. Welch's interval for the difference of the two means.
fn fewer_mismatches(
    run: &Verification,
    id: &'static str,
    scenario: &str,
    cells: &[Cell],
    share: f64,
    mismatch: fn(&Cell) -> f64,
) -> Claim {
    let at = |width: usize| cells.iter().filter(|cell| cell.width == width).map(mismatch).collect::<Vec<_>>();
    let (first, last) = (at(run.widths[0]), at(run.widths[run.widths.len() - 1]));
    let statement = format!("agreement of f and g approaches that of F and G ({scenario}): change in mismatches");
    let (difference, interval) = difference_interval(&last, &first, share);
    Claim::new(id, &statement, difference, interval, [None, Some(0.0)], share, Rule::Inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Synthetic, synthetic};
    use crate::experiment::verify::{FALSE_ALARM, Setting};
    use crate::network::Readout;
    use crate::problem::Slope;

    #[test]
    fn verdicts_follow_from_interval_and_range() {
        let verdict = |interval, expected, rule| Claim::new("x", "x", 0.0, interval, expected, 0.01, rule).verdict;
        assert_eq!(verdict((-0.6, -0.4), [Some(-0.5), Some(-0.5)], Rule::Meets), Verdict::Held);
        assert_eq!(verdict((-0.4, -0.3), [Some(-0.5), Some(-0.5)], Rule::Meets), Verdict::Rejected);
        assert_eq!(verdict((-0.4, 0.1), [None, Some(0.0)], Rule::Inside), Verdict::Undecided);
        assert_eq!(verdict((-0.4, -0.1), [None, Some(0.0)], Rule::Inside), Verdict::Held);
        assert_eq!(verdict((0.1, 0.4), [None, Some(0.0)], Rule::Inside), Verdict::Rejected);
    }

    /// At the start the constant is decided, with either readout. Faults: a variance twice and half as large, as where pairs are counted as
    /// single neurons or the reverse.
    #[test]
    fn the_variance_at_the_start_is_held_and_half_or_twice_of_it_rejected() {
        for readout in [Readout::Gaussian, Readout::Rademacher] {
            let run = Verification { widths: vec![64, 128, 256], networks: 50, slope: Slope::RELU, readout, seed: 1 };
            let setting = Setting {
                data: synthetic(Synthetic::Gauss, 20, 10, 10, 1).unwrap(),
                time: 1.0,
                time_perturbed: 1.0,
                epsilon_alone: 0.1,
                epsilon_on_image: 0.1,
            };
            let report = run.run(&setting, 1, &|| {}).unwrap();
            let claim = report.claims.iter().find(|claim| claim.id == "start_variance").unwrap();
            assert_eq!(claim.verdict, Verdict::Held, "{}", claim.detail);
            assert_eq!(claim.error_probability, FALSE_ALARM / CLAIMS as f64);
            let values = start_ratios(&report.cells, &report.standard_cells);
            for fault in [0.5, 2.0] {
                let values = values.iter().map(|value| fault * value).collect();
                let wrong = mean_square_claim("x", "x", &[Squares { freedom: 1.0, values }], claim.error_probability);
                assert_eq!(wrong.unwrap().verdict, Verdict::Rejected, "{readout:?} {fault}: {}", claim.detail);
            }
        }
    }
}
