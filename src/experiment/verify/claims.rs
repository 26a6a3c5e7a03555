//! The claims and how they are decided.
//!
//! Every claim is about one number, computed from independent networks, against the range that theory allows. Rates are decided twice: by
//! fitting one power to the means at all widths, which must lie nearer to theory's leading power than half a power, and by fitting the two
//! leading powers, with free constants, which must not lack fit.

use serde::Serialize;

use super::{Cell, Limits, StandardCell, Verification};
use crate::random::Streams;
use crate::report::significant;
use crate::stats::{Squares, fit_power_of_mean, fit_two_powers, mean, mean_square_interval, permutation_tails};

/// What a test says about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The data agree with the claim, and would not with its contrary.
    Held,
    /// The data contradict the claim at the stated error probability.
    Rejected,
    /// The data contradict neither: more networks or widths are needed, or nothing can be measured (the detail says so).
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
    /// The number that decides it; null where none can be formed, and the claim is undecided.
    pub estimate: Option<f64>,
    /// Its interval that misses with the claim's error probability; null where a permutation test decides, or nothing.
    pub interval: Option<[f64; 2]>,
    /// The range that theory allows; null for an open end.
    pub expected: [Option<f64>; 2],
    /// Probability with which this test rejects the claim if it is true.
    pub error_probability: f64,
    /// The verdict.
    pub verdict: Verdict,
}

/// A range or a rate is called held only if its contrary would look like this so rarely; else it is undecided. (No claim is rejected for
/// it: this is no part of the false-alarm probability.)
const EVIDENCE: f64 = 1e-3;

/// What two intervals for a number say of an open range: rejected if the `surer` one lies outside, held if the other lies inside.
fn within(range: (f64, f64), surer: (f64, f64), likely: (f64, f64)) -> Verdict {
    if surer.1 < range.0 || surer.0 > range.1 {
        Verdict::Rejected
    } else if likely.0 > range.0 && likely.1 < range.1 {
        Verdict::Held
    } else {
        Verdict::Undecided
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
    let mut claims = vec![
        rate("function_rate", "(f_T − T·F)² falls like A/m + B/m^(3/2)", -1.0, |c| c.deviation_f.powi(2)),
        rate("gradient_rate", "(∇f_T − T·∇F)² falls like A/m^(1/2) + B/m", -0.5, |c| {
            c.deviation_gradient.powi(2)
        }),
        rate("direction_rate", "1 − cos(perturbation, ∇F) falls like A/m^(1/2) + B/m", -0.5, |c| {
            1.0 - c.cosine_limit_gradient
        }),
    ];
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
        ("g_rate_alone", "perturbation alone", (|c| c.alone.deviation.powi(2)) as fn(&Cell) -> f64),
        ("g_rate_on_image", "on the image", |c| c.on_image.deviation.powi(2)),
    ] {
        let statement = format!("(g − T'·G)² falls like A/m^(1/2) + B/m ({scenario})");
        claims.push(power_claim(id, &statement, &grouped(run, cells, figure), G_EXPONENTS, share));
    }

    let starts = start_ratios(run, limits, cells, standard);
    let statement = "(∂f/∂t at t = 0 − F)² has the variance of W1 at every width, both initialisations: mean ratio";
    claims.push(mean_square_claim("start_variance", statement, &starts, share));
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
        claims.push(mean_square_claim(id, statement, &groups, share));
    }
    claims
}

/// (∂_t f_0 − F)² over its variance, of all networks: 1 in the mean at every width, so that one mean serves for all. At narrow widths few
/// neurons that feel the data scatter more than normal variables do.
fn start_ratios(run: &Verification, limits: &Limits, cells: &[Cell], standard: &[StandardCell]) -> Vec<Squares> {
    let of = |&width: &usize| {
        let paired = cells.iter().filter(|cell| cell.width == width).map(|cell| cell.start_ratio).collect();
        let single = standard.iter().filter(|cell| cell.width == width).map(|cell| cell.start_ratio).collect();
        [(0.5, paired), (1.0, single)]
            .map(|(share, values)| Squares { freedom: limits.start_freedom(share * width as f64), values })
    };
    run.widths.iter().flat_map(of).collect()
}

/// That squares over their predicted expectations have the mean 1: held if an interval for the mean holds 1.
fn mean_square_claim(id: &'static str, statement: &str, groups: &[Squares], share: f64) -> Claim {
    let range = (1.0, 1.0);
    let Some((mean, interval)) = mean_square_interval(groups, share) else {
        return undecidable(id, statement, range, share, "there is nothing to take a mean of");
    };
    Claim {
        id,
        statement: statement.into(),
        detail: format!("measured {}; theory: 1", measured(mean, interval)),
        estimate: Some(mean),
        interval: Some([interval.0, interval.1]),
        expected: [Some(range.0), Some(range.1)],
        error_probability: share,
        verdict: if interval.0 <= 1.0 && interval.1 >= 1.0 { Verdict::Held } else { Verdict::Rejected },
    }
}

/// A claim about which the networks say nothing at all.
fn undecidable(id: &'static str, statement: &str, range: (f64, f64), share: f64, why: &str) -> Claim {
    Claim {
        id,
        statement: statement.into(),
        detail: format!("cannot be decided: {why}"),
        estimate: None,
        interval: None,
        expected: [Some(range.0), Some(range.1)],
        error_probability: share,
        verdict: Verdict::Undecided,
    }
}

fn measured(value: f64, (low, high): (f64, f64)) -> String {
    format!("{} in {} … {}", significant(value, 3), significant(low, 3), significant(high, 3))
}

/// One figure of all cells, grouped by width.
fn grouped(run: &Verification, cells: &[Cell], figure: fn(&Cell) -> f64) -> Vec<(f64, Vec<f64>)> {
    let of = |width: usize| cells.iter().filter(|cell| cell.width == width).map(figure).collect();
    run.widths.iter().map(|&width| (width as f64, of(width))).collect()
}

/// How far from the leading power the one that is fitted may lie, for the next power, smaller by m^(−1/2): less than half of what lies between
/// the powers of theorems with another rate.
const OTHER_POWER: f64 = 0.5;

/// Powers for g: between those of its two parts (G12), m^(−1) of the kernel and m^(−1/2) of the inputs, of which at the widths at hand either
/// may prevail, and half as far beyond as they lie apart.
const G_EXPONENTS: (f64, f64) = (-1.25, -0.25);

/// Why no power is fitted: with one input coordinate, for instance, all directions of gradients agree.
const NO_POWER: &str = "no power of m can be fitted, as the deviations at some width are 0 or rounding";

/// That the power of m fitted to the means lies in `range`.
fn power_claim(id: &'static str, statement: &str, groups: &[(f64, Vec<f64>)], range: (f64, f64), share: f64) -> Claim {
    let Some(fit) = fit_power_of_mean(groups) else {
        return undecidable(id, statement, range, share, NO_POWER);
    };
    let (surer, likely) = (fit.interval(share), fit.interval(EVIDENCE));
    Claim {
        id,
        statement: statement.into(),
        detail: format!("exponent {}; expected in {} … {}", measured(fit.slope, likely), range.0, range.1),
        estimate: Some(fit.slope),
        interval: Some([surer.0, surer.1]),
        expected: [Some(range.0), Some(range.1)],
        error_probability: share,
        verdict: within(range, surer, likely),
    }
}

/// Theory gives the leading power, and that the next one is smaller by m^(−1/2): for values by W5, for gradients by P10, for directions by
/// expanding in D_T − d, whose third and fourth moments are O(1/m). Their constants are fitted. Rejected if the one power that is
/// fitted is another's, or the two powers do not fit; held if it is no other's and the leading term clearly positive.
fn rate_claim(id: &'static str, statement: &str, groups: &[(f64, Vec<f64>)], leading: f64, share: f64) -> Claim {
    let range = (leading - OTHER_POWER, leading + OTHER_POWER);
    let mut claim = power_claim(id, statement, groups, range, share / 2.0);
    claim.error_probability = share;
    if claim.estimate.is_none() {
        return claim;
    }
    let Some(fit) = fit_two_powers(groups, leading, leading - 0.5) else {
        // What one power has refuted stays so.
        if claim.verdict == Verdict::Held {
            claim.verdict = Verdict::Undecided;
        }
        claim.detail.push_str("; two powers cannot be fitted, as the deviations at some width are all equal");
        return claim;
    };
    claim.detail.push_str(&format!(
        "; A = {} ± {}, B = {}, p-value of the fit {}",
        significant(fit.leading, 3),
        significant(fit.leading_error, 2),
        significant(fit.next, 2),
        significant(fit.p_value, 2),
    ));
    if fit.p_value < share / 2.0 {
        claim.verdict = Verdict::Rejected;
    } else if claim.verdict == Verdict::Held && fit.leading_p_value > EVIDENCE {
        claim.verdict = Verdict::Undecided;
    }
    claim
}

/// Five rates, a variance, two agreements, two constants.
const CLAIMS: usize = 10;

/// Permutations that a p-value is counted from: the smallest possible is a tenth of a claim's share on two data sets.
const PERMUTATIONS: u32 = 200_000;

/// Agreement of f and g approaches that of F and G: the share of points at which they differ is smaller at the largest
/// width than at the smallest. Few counts are far from normal, so that networks of both widths are exchanged at random.
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
    let streams = Streams::new(run.seed, &format!("verify/{id}/permutations"));
    let (fewer, more) = permutation_tails(&last, &first, PERMUTATIONS, &streams);
    let difference = mean(&last) - mean(&first);
    Claim {
        id,
        statement: format!("agreement of f and g approaches that of F and G ({scenario}): change in mismatches"),
        detail: format!(
            "{} from {} to {} of the points; as many fewer by chance: p = {}",
            significant(difference, 3),
            significant(mean(&first), 3),
            significant(mean(&last), 3),
            significant(fewer, 2)
        ),
        estimate: Some(difference),
        interval: None,
        expected: [None, Some(0.0)],
        error_probability: share,
        verdict: match (fewer, more) {
            (_, more) if more < share => Verdict::Rejected,
            (fewer, _) if fewer < EVIDENCE => Verdict::Held,
            _ => Verdict::Undecided,
        },
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::data::{Synthetic, synthetic};
    use crate::experiment::verify::{FALSE_ALARM, Setting};
    use crate::network::Readout;
    use crate::problem::Slope;

    #[test]
    fn verdicts_follow_from_intervals_and_range() {
        let verdict = |surer, likely| within((-1.5, -0.5), surer, likely);
        assert_eq!(verdict((-1.6, -0.6), (-1.4, -0.7)), Verdict::Held);
        assert_eq!(verdict((-1.6, -0.4), (-1.4, -0.5)), Verdict::Undecided);
        assert_eq!(verdict((-1.7, -0.7), (-1.6, -0.8)), Verdict::Undecided);
        assert_eq!(verdict((-0.4, 0.1), (-0.3, 0.0)), Verdict::Rejected);
        assert_eq!(verdict((-1.9, -1.51), (-1.8, -1.6)), Verdict::Rejected);
    }

    /// As with one input coordinate, where every direction is exact: the claim is in the list, and says why it is not decided.
    #[test]
    fn claims_about_no_deviation_at_all_are_undecided_and_not_left_out() {
        let some = |values: [f64; 4]| [64.0, 256.0, 1024.0].map(|m| (m, values.map(|value| value / m).to_vec()));
        let mut none = some([1.0, 2.0, 3.0, 4.0]);
        none[1].1.fill(0.0);
        for claim in [rate_claim("x", "x", &none, -0.5, 0.01), power_claim("x", "x", &none, G_EXPONENTS, 0.01)] {
            assert!(claim.verdict == Verdict::Undecided && claim.estimate.is_none() && claim.interval.is_none());
            assert!(claim.detail.contains("are 0 or rounding") && claim.error_probability == 0.01, "{}", claim.detail);
        }
        // Without scatter at one width only the one power is fitted, which may still refute the claim.
        let mut equal = some([1.0, 2.0, 3.0, 4.0]);
        equal[2].1.fill(2.5 / 1024.0);
        for (leading, verdict) in [(-1.0, Verdict::Undecided), (0.5, Verdict::Rejected)] {
            let claim = rate_claim("x", "x", &equal, leading, 0.01);
            assert!(claim.verdict == verdict && claim.estimate.is_some() && claim.detail.contains("all equal"));
        }
        let empty = mean_square_claim("x", "x", &[Squares { freedom: 1.0, values: vec![] }], 0.01);
        assert!(empty.verdict == Verdict::Undecided && empty.detail.contains("nothing"));
        let found = rate_claim("x", "x", &some([1.0, 2.0, 3.0, 4.0]), -1.0, 0.01);
        assert!((found.estimate.unwrap() + 1.0).abs() < 1e-9 && found.error_probability == 0.01);
    }

    /// Values of another law than the one claimed: the mean of n squares of normal variables times `level` at each of the default widths, with
    /// the default numbers of networks or `times` as many.
    fn invented(level: impl Fn(f64) -> f64, squares: usize, times: usize, network: u64) -> Vec<(f64, Vec<f64>)> {
        let mut stream = Streams::new(9, "verify/invented").stream(network);
        let mut square = || {
            let normals = (0..squares).map(|_| StandardNormal.sample(&mut stream));
            normals.map(|normal: f64| normal * normal).sum::<f64>() / squares as f64
        };
        let widths: [(f64, usize); 4] = [(64.0, 64), (256.0, 32), (1024.0, 16), (4096.0, 8)];
        widths.map(|(m, count)| (m, (0..times * count).map(|_| level(m) * square()).collect())).into()
    }

    /// How often the rate is held, rejected and undecided.
    fn verdicts(level: impl Fn(f64) -> f64, leading: f64, squares: usize, times: usize) -> [usize; 3] {
        let mut found = [0; 3];
        for trial in 0..100 {
            let groups = invented(&level, squares, times, trial);
            let claim = rate_claim("x", "x", &groups, leading, FALSE_ALARM / 20.0);
            found[claim.verdict as usize] += 1;
        }
        println!("held, rejected, undecided: {found:?} of 100");
        found
    }

    /// Faults: other powers, none at all, and a limit that is wrong by the deviation at the geometric mean of the widths. Values nearly of single
    /// squares, as of f, and of many, as of gradients.
    #[test]
    fn rates_of_other_theorems_are_not_held_and_with_enough_networks_rejected() {
        let [held, rejected, _] = verdicts(|m| 12.0 / m * (1.0 - 2.0 * m.powf(-0.5)), -1.0, 1, 2);
        assert!(held >= 80 && rejected == 0);
        let [held, rejected, _] = verdicts(|m| m.powf(-0.5) + 0.5 / m, -0.5, 80, 1);
        assert!(held >= 95 && rejected == 0);
        let wrong = [
            verdicts(|m| m.powf(-0.5), -1.0, 1, 1),
            verdicts(|m| m.powf(-1.5), -1.0, 1, 1),
            verdicts(|_| 1.0, -1.0, 1, 1),
            verdicts(|m| 1.0 / m, -0.5, 80, 1),
            verdicts(|_| 1.0, -0.5, 80, 1),
            verdicts(|m| 1.0 / m + 1.0 / 512.0, -1.0, 1, 1),
        ];
        assert!(wrong.iter().all(|[held, _, _]| *held <= 2), "{wrong:?}");
        let enough = [
            verdicts(|_| 1.0, -1.0, 1, 20),
            verdicts(|m| m.powf(-0.25), -1.0, 1, 20),
            verdicts(|m| m.powf(-1.75), -1.0, 1, 20),
        ];
        assert!(enough.iter().all(|[_, rejected, _]| *rejected >= 95), "{enough:?}");
    }

    fn setting(time: f64) -> Setting {
        Setting {
            data: synthetic(Synthetic::Gauss, 20, 10, 10, 1).unwrap(),
            time,
            time_perturbed: 1.0,
            epsilon_alone: 0.1,
            epsilon_on_image: 0.1,
        }
    }

    /// At the start constants are decided, with either readout and a slope at which they are others. Faults: a variance twice and half as
    /// large, as where pairs are counted as single neurons or the reverse; and ½ and Σ(z,z) of slope 0 for every slope, larger by
    /// 1 + γ² and more.
    #[test]
    fn constants_at_the_start_are_held_and_half_or_twice_of_them_rejected() {
        let slope = Slope::new(0.9).unwrap();
        let cases = [(Readout::Gaussian, Slope::RELU), (Readout::Rademacher, Slope::RELU), (Readout::Gaussian, slope)];
        for (readout, slope) in cases {
            let run = Verification { widths: vec![64, 128, 256], networks: 150, slope, readout, seed: 1 };
            let report = run.run(&setting(1.0), 1, &|| {}).unwrap();
            for id in ["start_variance", "initial_gradient", "initial_output"] {
                let claim = report.claims.iter().find(|claim| claim.id == id).unwrap();
                assert_eq!(claim.verdict, Verdict::Held, "{id}: {}", claim.detail);
                // A constant that is wrong by a factor divides the ratios, and their interval with them, by it.
                let [low, high] = claim.interval.unwrap();
                for fault in [0.5, 1.81, 2.0] {
                    assert!(low / fault > 1.0 || high / fault < 1.0, "{id} {readout:?} {fault}: {}", claim.detail);
                }
            }
        }
    }

    /// Two points on a line, which few neurons tell apart: ratios scatter far more than squares of normal variables, 2, and about as much as the
    /// freedom at their width says; on more data they do not.
    #[test]
    fn few_neurons_that_feel_the_data_are_allowed_for() {
        let (readout, slope) = (Readout::Gaussian, Slope::new(0.5).unwrap());
        let run = Verification { widths: vec![32, 64, 128], networks: 150, slope, readout, seed: 1 };
        let line = synthetic(Synthetic::ShiftedGauss, 1, 2, 10, 1102).unwrap();
        let narrow = Setting { data: line, ..setting(1.0) };
        let of = |setting: &Setting| {
            let limits = Limits::new(&run, setting).unwrap();
            let report = run.run(setting, 1, &|| {}).unwrap();
            let groups = start_ratios(&run, &limits, &report.cells, &report.standard_cells);
            // On a line every direction is exact: that claim is listed, and not decided.
            assert_eq!(report.claims.len(), CLAIMS);
            let direction = report.claims.iter().find(|claim| claim.id == "direction_rate").unwrap();
            assert_eq!(direction.estimate.is_none(), setting.data.train.input_dim() == 1, "{}", direction.detail);
            (2.0 / groups[0].freedom, crate::stats::variance(&groups[0].values))
        };
        let (allowed, found) = of(&narrow);
        println!("variance {found} of {allowed}");
        assert!(found > 4.0 && allowed > found / 1.5 && allowed < 10.0 * found, "{found} {allowed}");
        let (allowed, found) = of(&setting(1.0));
        println!("variance {found} of {allowed}");
        assert!(found < 2.0 && allowed < 5.0 && allowed > found, "{found} {allowed}");
    }

    /// All claims on all data sets share one error probability.
    #[test]
    fn claims_and_data_sets_share_the_error_probability() {
        let readout = Readout::Gaussian;
        let run = Verification { widths: vec![32, 64, 128], networks: 4, slope: Slope::RELU, readout, seed: 1 };
        for data_sets in [1, 3] {
            let report = run.run(&setting(1.0), data_sets, &|| {}).unwrap();
            assert_eq!(report.claims.len(), CLAIMS);
            let sum: f64 = report.claims.iter().map(|claim| claim.error_probability).sum();
            let whole = sum * data_sets as f64;
            assert!(whole <= FALSE_ALARM * (1.0 + 1e-12) && whole > 0.99 * FALSE_ALARM, "{data_sets}: {whole:e}");
        }
        assert!(run.run(&setting(1.0), 0, &|| {}).is_err());
    }

    /// Constants belong to the time that networks are trained for: f_T − T·F scatters like T, and ∇f_T − T·∇F, relative to T·∇F, like
    /// T^(−1/2). A time of ¼ moves no bit.
    #[test]
    fn constants_follow_the_training_time() {
        let readout = Readout::Gaussian;
        let run = Verification { widths: vec![32, 64, 128], networks: 4, slope: Slope::RELU, readout, seed: 1 };
        let [whole, quarter] = [1.0, 0.25].map(|time| run.run(&setting(time), 1, &|| {}).unwrap().limits);
        let data = setting(1.0).data;
        let variance = crate::theory::kernel_variance(&data.train, Slope::RELU, &data.test, 3.0).unwrap();
        let expected = crate::stats::mean(&variance).sqrt();
        assert!((whole.predicted_deviation - expected).abs() < 1e-14 * expected);
        assert_eq!(quarter.predicted_deviation, 0.25 * whole.predicted_deviation);
        assert_eq!(quarter.margin_f, 0.25 * whole.margin_f);
        assert_eq!(quarter.margin_g_alone, whole.margin_g_alone);
        assert_eq!(quarter.gradient_constant, 4.0 * whole.gradient_constant);
        assert_eq!(quarter.gradient_constant_error, 4.0 * whole.gradient_constant_error);
    }
}
