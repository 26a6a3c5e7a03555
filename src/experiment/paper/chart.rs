//! Finished runs as figures.
//!
//! The paper shows, for each figure of merit separately, the largest value over the grid of learning rates, for one seed.
//! Here that selection is made within each seed; curves are medians over seeds, bands reach from the smallest to the
//! largest. The mean over the same grid is drawn beside, because the maximum of several noisy values is biased upwards.

use std::collections::HashMap;

use super::certified::FAILURE_PROBABILITY;
use super::pipeline::Merits;
use super::plan::{Cell, FigureName, PanelName, PanelPlan, Plan};
use super::store::Record;
use crate::report::plot::{Curve, CurvePoint, Figure, Panel, Role};
use crate::stats::quantile;

/// Above this share of neuron–point pairs that changed sides, or above this relative change of a tangent kernel (medians
/// over seeds), a cell is marked: theory describes networks of which few neurons do, and whose kernels stay.
pub const CHANGE_MARKED: f64 = 0.1;

/// Runs by id.
pub type Records<'a> = HashMap<&'a str, &'a Record>;

/// The records by id.
#[must_use]
pub fn by_id(records: &[Record]) -> Records<'_> {
    records.iter().map(|record| (record.id.as_str(), record)).collect()
}

/// A figure of merit of a cell: per seed its largest value and its mean over the learning rates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// The largest per seed: the paper's selection.
    pub largest: Vec<f64>,
    /// The mean per seed.
    pub mean: Vec<f64>,
}

/// Collects a figure of merit; seeds without a value (failed runs, no theory) are left out.
#[must_use]
pub fn select(cell: &Cell, records: &Records<'_>, merit: impl Fn(&Merits) -> Option<f64>) -> Selection {
    let mut selection = Selection::default();
    for ids in &cell.runs {
        let found = ids.iter().filter_map(|id| records.get(id.as_str())?.merits.as_ref());
        let values: Vec<f64> = found.filter_map(&merit).collect();
        if !values.is_empty() {
            selection.largest.push(values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            selection.mean.push(values.iter().sum::<f64>() / values.len() as f64);
        }
    }
    selection
}

/// Median and range of a seed's values as a point; `None` without values.
fn point(x: f64, values: &[f64]) -> Option<CurvePoint> {
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    let band = (values.len() > 1).then_some((low, high));
    Some(CurvePoint { x, y: quantile(values, 0.5), band })
}

/// What marks take of a panel's height, and how far apart, as a factor of the abscissa, the bars of two series stand.
const MARKS_SHARE: f64 = 0.08;
const BESIDE: f64 = 1.12;

type Merit = fn(&Merits) -> Option<f64>;

/// The curve of one figure of merit over the cells of one series.
struct Drawn<'a> {
    panel: &'a PanelPlan,
    records: &'a Records<'a>,
    series: usize,
}

impl Drawn<'_> {
    fn points(&self, merit: Merit, pick: fn(Selection) -> Vec<f64>) -> Vec<CurvePoint> {
        let cells = self.panel.cells.iter().filter(|cell| cell.series == self.series);
        cells.filter_map(|cell| point(cell.x, &pick(select(cell, self.records, merit)))).collect()
    }

    fn largest(&self, colour: usize, label: &str, merit: Merit) -> Curve {
        Curve::measured(colour, label, self.points(merit, |s| s.largest))
    }

    /// As `largest`, without the range.
    fn median(&self, colour: usize, label: &str, merit: Merit) -> Curve {
        let mut curve = self.largest(colour, label, merit);
        curve.points.iter_mut().for_each(|point| point.band = None);
        curve
    }

    fn line(&self, role: Role, colour: Option<usize>, label: &str, points: Vec<CurvePoint>) -> Curve {
        let pairs: Vec<(f64, f64)> = points.iter().map(|p| (p.x, p.y)).collect();
        Curve::line(role, colour, label, &pairs)
    }

    fn mean(&self, colour: usize, label: &str, merit: Merit) -> Curve {
        self.line(Role::Aside, Some(colour), label, self.points(merit, |s| s.mean))
    }

    fn theory(&self, colour: Option<usize>, label: &str, merit: Merit) -> Curve {
        self.line(Role::Theory, colour, label, self.points(merit, |s| s.largest))
    }

    /// Cells in which f or g left the regime of which theory speaks. [`assemble`] finds their height.
    fn marks(&self) -> Curve {
        let changes: [Merit; 2] =
            [|m| Some(m.flip_share_f.max(m.flip_share_g)), |m| Some(m.kernel_change_f.max(m.kernel_change_g))];
        let [flips, kernels] = changes.map(|merit| self.points(merit, |s| s.mean));
        let changed = flips.iter().zip(&kernels).filter(|(a, b)| a.y.max(b.y) > CHANGE_MARKED);
        let marked: Vec<(f64, f64)> = changed.map(|(flips, _)| (flips.x, 0.0)).collect();
        let percent = 100.0 * CHANGE_MARKED;
        let label = format!("over {percent:.0} % of neuron–point pairs changed sides, or of a kernel changed");
        Curve::line(Role::Mark, None, label, &marked)
    }
}

/// The figure of a plan's panels of that name; `None` if the plan has none, or no run of them is finished.
#[must_use]
pub fn figure(name: FigureName, plan: &Plan, records: &Records<'_>) -> Option<Figure> {
    let of_figure = plan.panels.iter().filter(|p| p.figure == name && !p.panel.is_point());
    let panels: Vec<Panel> = of_figure
        .map(|panel| match name {
            FigureName::Cosine => cosine_panel(panel, records),
            FigureName::Width if panel.panel == PanelName::Certified => certified_panel(panel, records),
            FigureName::Width => width_panel(panel, records),
            FigureName::Offset => offset_panel(panel, records),
            _ => accuracy_panel(panel, records),
        })
        .filter(|panel| !panel.curves.is_empty())
        .collect();
    (!panels.is_empty()).then(|| match name {
        FigureName::Width | FigureName::Offset => Figure::row(name.name(), panels),
        _ => Figure::grid(name.name(), panels, 2),
    })
}

/// A panel whose vertical axis has these ends, or begins below them if a curve or band does, and leaves room for marks below all of these.
fn assemble(plan: &PanelPlan, y_label: &str, (low, high): (f64, f64), mut curves: Vec<Curve>) -> Panel {
    let (marks, others): (Vec<_>, Vec<_>) = curves.iter_mut().partition(|curve| curve.role == Role::Mark);
    let points = others.iter().flat_map(|curve| &curve.points);
    let lowest = points.map(|point| point.band.map_or(point.y, |band| band.0)).fold(f64::INFINITY, f64::min);
    let low = low.min(lowest - 0.02);
    let room = MARKS_SHARE * (high - low);
    marks.into_iter().flat_map(|curve| &mut curve.points).for_each(|point| point.y = low - room / 2.0);
    let y_range = (if curves.iter().any(|curve| curve.role == Role::Mark) { low - room } else { low }, high);
    Panel {
        title: plan.title.clone(),
        x_label: plan.x_label.into(),
        log_x: plan.log_x,
        y_label: y_label.into(),
        log_y: false,
        y_range: Some(y_range),
        curves: curves.into_iter().filter(|curve| !curve.points.is_empty()).collect(),
    }
}

fn accuracy_panel(plan: &PanelPlan, records: &Records<'_>) -> Panel {
    let drawn = Drawn { panel: plan, records, series: 0 };
    let best = "largest over learning rates, median and range over seeds";
    let curves = vec![
        drawn.largest(0, &format!("accuracy of f: {best}"), |m| Some(m.accuracy_f)),
        drawn.largest(1, "accuracy of g on clean data: the same", |m| Some(m.accuracy_g)),
        drawn.largest(2, "agreement of f and g on fresh points: the same", |m| Some(m.agreement)),
        drawn.median(3, "agreement of f with g less its mean over training points: largest, median", |m| {
            Some(m.agreement_centred)
        }),
        Curve { in_legend: false, ..drawn.mean(0, "", |m| Some(m.accuracy_f)) },
        Curve { in_legend: false, ..drawn.mean(1, "", |m| Some(m.accuracy_g)) },
        drawn.mean(2, "thin and dotted: mean over learning rates, median over seeds", |m| Some(m.agreement)),
        drawn.theory(None, "theory: agreement at infinite width, same selection", |m| m.limit_agreement),
        drawn.marks(),
    ];
    assemble(plan, "accuracy, agreement", (0.35, 1.02), curves)
}

fn cosine_panel(plan: &PanelPlan, records: &Records<'_>) -> Panel {
    let drawn = Drawn { panel: plan, records, series: 0 };
    let curves = vec![
        drawn.largest(0, "accuracy of f: largest over learning rates, median and range over seeds", |m| {
            Some(m.accuracy_f)
        }),
        drawn.largest(1, "cosine of perturbation and weighted sum v: the same", |m| Some(m.cosine)),
        drawn.mean(1, "cosine: mean over learning rates, median over seeds", |m| Some(m.cosine)),
        drawn.theory(None, "theory: cosine of T∇F + ∇f₀ and v, same selection", |m| m.limit_cosine),
        drawn.marks(),
    ];
    assemble(plan, "accuracy, cosine", (0.02, 1.04), curves)
}

/// Ranges over seeds go from chance to certainty at every width: as bands they would cover each other.
fn width_panel(plan: &PanelPlan, records: &Records<'_>) -> Panel {
    let mut curves = Vec::new();
    for (series, name) in plan.series.iter().enumerate() {
        let drawn = Drawn { panel: plan, records, series };
        let label = format!("{name}: median and range over seeds");
        let beside = BESIDE.powi(series as i32);
        curves.push(drawn.largest(series, &label, |m| Some(m.agreement)).with_bars(beside));
        let label = format!("theory: infinite width, {name}");
        curves.push(drawn.theory(Some(series), &label, |m| m.limit_agreement));
    }
    assemble(plan, "agreement of f and g", (0.45, 1.02), curves)
}

/// Agreement, and below it the share of points at which it was certain before g was drawn.
fn certified_panel(plan: &PanelPlan, records: &Records<'_>) -> Panel {
    let mut curves = Vec::new();
    for (series, name) in plan.series.iter().enumerate() {
        let drawn = Drawn { panel: plan, records, series };
        let label = format!("{name}: agreement, median and range over seeds");
        curves.push(drawn.largest(series, &label, |m| Some(m.agreement)));
        let label = format!("{name}: certified share of points (A2, δ = {FAILURE_PROBABILITY})");
        let points = drawn.points(|m| m.certified_share, |s| s.largest);
        curves.push(drawn.line(Role::Bound, Some(series), &label, points));
    }
    assemble(plan, "share of fresh points", (-0.02, 1.02), curves)
}

/// Agreement of single seeds against |Σ y'|; seeds with the same sum share a point.
fn offset_panel(plan: &PanelPlan, records: &Records<'_>) -> Panel {
    let ids = plan.cells.iter().flat_map(|cell| cell.runs.iter().flatten());
    let mut runs: Vec<&Merits> = ids.filter_map(|id| records.get(id.as_str())?.merits.as_ref()).collect();
    runs.sort_by(|a, b| a.target_sum.abs().total_cmp(&b.target_sum.abs()));
    let points = |merit: Merit| -> Vec<CurvePoint> {
        let groups = runs.chunk_by(|a, b| a.target_sum.abs() == b.target_sum.abs());
        let at = |group: &[&Merits]| {
            let values: Vec<f64> = group.iter().filter_map(|m| merit(m)).collect();
            point(group[0].target_sum.abs(), &values)
        };
        groups.filter_map(at).map(|p| CurvePoint { band: None, ..p }).collect()
    };
    let theory = points(|m| m.limit_agreement).iter().map(|p| (p.x, p.y)).collect::<Vec<_>>();
    let curves = vec![
        Curve::measured(2, "f and g (median of seeds with equal sums)", points(|m| Some(m.agreement))),
        Curve::line(Role::Theory, None, "theory: infinite width, with the same targets", &theory),
        Curve::measured(3, "f and g less its mean over training points", points(|m| Some(m.agreement_centred))),
    ];
    assemble(plan, "agreement", (0.46, 1.02), curves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::paper::parameters::Parameters;
    use crate::experiment::paper::plan::Scale;
    use crate::experiment::paper::tests::{record, request, setting};

    #[test]
    fn the_selection_is_made_within_each_seed() {
        let (_, plan) = setting();
        let mut records: Vec<Record> = plan.runs.iter().take(4).map(|run| record(&run.1)).collect();
        for (record, value) in records.iter_mut().zip([0.5, 0.9, 0.6, 0.2]) {
            record.merits.as_mut().unwrap().agreement = value;
        }
        let ids: Vec<String> = records.iter().map(|r| r.id.clone()).collect();
        let cell = Cell { series: 0, x: 1.0, runs: vec![ids[..2].into(), ids[2..].into(), vec!["unknown".into()]] };
        let found = select(&cell, &by_id(&records), |m| Some(m.agreement));
        assert_eq!(found.largest, [0.9, 0.6]);
        assert!((found.mean[0] - 0.7).abs() < 1e-15 && (found.mean[1] - 0.4).abs() < 1e-15);
        let drawn = point(1.0, &found.largest).unwrap();
        assert_eq!((drawn.y, drawn.band), (0.75, Some((0.6, 0.9))));
        assert_eq!(point(1.0, &[0.3]).unwrap().band, None);
    }

    #[test]
    fn a_figure_has_a_curve_per_statistic_that_exists() {
        let (_, plan) = setting();
        let records: Vec<Record> = plan.runs.iter().map(|run| record(&run.1)).collect();
        let figure = figure(FigureName::Width, &plan, &by_id(&records)).unwrap();
        // The made-up records have no limit agreement: three measured curves, no theory; two with certificates.
        assert_eq!(figure.panels.iter().map(|p| p.curves.len()).collect::<Vec<_>>(), [3, 4]);
        assert!(super::figure(FigureName::MnistA, &plan, &by_id(&records)).is_none());
        assert!(super::figure(FigureName::Width, &plan, &Records::new()).is_none());
    }

    #[test]
    fn marks_stand_below_every_curve_and_inside_the_panel() {
        let plan = Plan::new(&request(&[FigureName::ShiftedGaussA], Scale::Small)).unwrap();
        let records: Vec<Record> = plan.runs.iter().map(|run| record(&run.1)).collect();
        let figure = figure(FigureName::ShiftedGaussA, &plan, &by_id(&records)).unwrap();
        for panel in &figure.panels {
            let (marks, others): (Vec<_>, Vec<_>) = panel.curves.iter().partition(|curve| curve.role == Role::Mark);
            let lowest = others.iter().flat_map(|curve| &curve.points).map(|p| p.y).fold(f64::INFINITY, f64::min);
            let heights: Vec<f64> = marks.iter().flat_map(|curve| &curve.points).map(|p| p.y).collect();
            // The made-up records have changes above the threshold, and accuracies down to 0.1.
            assert!(!heights.is_empty() && lowest == 0.1, "{}", panel.title);
            let (bottom, _) = panel.y_range.unwrap();
            assert!(heights.iter().all(|y| bottom < *y && *y < lowest - 0.02), "{}: {heights:?}", panel.title);
        }
    }

    /// Runs that can be told apart by every figure of merit, and these by their values: (place of the key + 1)/32, and less than a
    /// 32nd for the run. The targets have the sums 0, ±1 and ±2.
    fn telling(plan: &Plan) -> Vec<Record> {
        assert!(plan.runs.len() <= 1021, "{}", plan.runs.len());
        let of_run = |number: usize, parameters: &Parameters| {
            // Neither the first nor the last run of a cell is always its largest.
            let own = ((389 * number) % 1021) as f64 / 32_768.0;
            let mut merits = serde_json::to_value(record(parameters).merits.unwrap()).unwrap();
            for (place, (key, value)) in merits.as_object_mut().unwrap().iter_mut().enumerate() {
                *value = match key.as_str() {
                    "zero_gradients" => continue,
                    "target_sum" => (number % 5) as f64 - 2.0,
                    _ => (place + 1) as f64 / 32.0 + own,
                }
                .into();
            }
            Record::new(parameters.clone(), Ok(serde_json::from_value(merits).unwrap())).unwrap()
        };
        plan.runs.iter().enumerate().map(|(number, run)| of_run(number, &run.1)).collect()
    }

    /// A figure of merit of a run, by name.
    fn merit(records: &Records<'_>, id: &str, key: &str) -> f64 {
        serde_json::to_value(&records[id].merits).unwrap()[key].as_f64().unwrap()
    }

    /// What a curve is to show of a figure of merit.
    #[derive(Clone, Copy)]
    enum Statistic {
        /// Median and range over seeds of the largest over learning rates.
        Largest,
        /// The median alone.
        Median,
        /// The median over seeds of the mean over learning rates.
        Mean,
    }
    use Statistic::{Largest, Mean, Median};

    fn middle(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
    }

    fn shown(cell: &Cell, records: &Records<'_>, key: &str, statistic: Statistic) -> CurvePoint {
        let of_seed = |ids: &Vec<String>| {
            let values: Vec<f64> = ids.iter().map(|id| merit(records, id, key)).collect();
            match statistic {
                Mean => values.iter().sum::<f64>() / values.len() as f64,
                Largest | Median => values.iter().copied().fold(f64::MIN, f64::max),
            }
        };
        let mut seeds: Vec<f64> = cell.runs.iter().map(of_seed).collect();
        seeds.sort_by(f64::total_cmp);
        let range = (seeds[0], seeds[seeds.len() - 1]);
        let band = matches!(statistic, Largest).then_some(range);
        CurvePoint { x: cell.x, y: middle(seeds), band }
    }

    /// Label, role, colour, series, figure of merit and statistic of a curve.
    type Row<'a> = (&'a str, Role, Option<usize>, usize, &'a str, Statistic);

    /// The panel has these curves, and marks perhaps; every point of each shows what the row says.
    fn assert_curves(panel: &Panel, plan: &PanelPlan, records: &Records<'_>, rows: &[Row<'_>]) {
        let curves: Vec<&Curve> = panel.curves.iter().filter(|curve| curve.role != Role::Mark).collect();
        assert_eq!(curves.len(), rows.len(), "{}", panel.title);
        for (curve, (label, role, colour, series, key, statistic)) in curves.iter().zip(rows) {
            assert_eq!((curve.label.as_str(), curve.role, curve.colour), (*label, *role, *colour), "{}", panel.title);
            let cells = plan.cells.iter().filter(|cell| cell.series == *series);
            let expected: Vec<CurvePoint> = cells.map(|cell| shown(cell, records, key, *statistic)).collect();
            // Sums of a few multiples of 2⁻¹⁵, and halves of them: exact.
            assert_eq!(curve.points, expected, "{}: {label} ({key})", panel.title);
        }
    }

    /// A figure with all its panels' plans.
    fn drawn(name: FigureName) -> (Figure, Plan, Vec<Record>) {
        let plan = Plan::new(&request(&[name], Scale::Small)).unwrap();
        let records = telling(&plan);
        let figure = figure(name, &plan, &by_id(&records)).unwrap();
        assert_eq!(figure.panels.len(), plan.panels.len());
        (figure, plan, records)
    }

    #[test]
    fn curves_of_accuracy_show_what_their_labels_say() {
        let (figure, plan, records) = drawn(FigureName::ShiftedGaussA);
        let (measured, aside) = (Role::Measured, Role::Aside);
        let best = "accuracy of f: largest over learning rates, median and range over seeds";
        let fresh = "agreement of f and g on fresh points: the same";
        let centred = "agreement of f with g less its mean over training points: largest, median";
        let mean = "thin and dotted: mean over learning rates, median over seeds";
        let theory = "theory: agreement at infinite width, same selection";
        let rows: [Row<'_>; 8] = [
            (best, measured, Some(0), 0, "accuracy_f", Largest),
            ("accuracy of g on clean data: the same", measured, Some(1), 0, "accuracy_g", Largest),
            (fresh, measured, Some(2), 0, "agreement", Largest),
            (centred, measured, Some(3), 0, "agreement_centred", Median),
            ("", aside, Some(0), 0, "accuracy_f", Mean),
            ("", aside, Some(1), 0, "accuracy_g", Mean),
            (mean, aside, Some(2), 0, "agreement", Mean),
            (theory, Role::Theory, None, 0, "limit_agreement", Median),
        ];
        for (panel, plan) in figure.panels.iter().zip(&plan.panels) {
            assert_curves(panel, plan, &by_id(&records), &rows);
        }
    }

    #[test]
    fn curves_of_the_cosine_show_what_their_labels_say() {
        let (figure, plan, records) = drawn(FigureName::Cosine);
        let best = "accuracy of f: largest over learning rates, median and range over seeds";
        let own = "cosine of perturbation and weighted sum v: the same";
        let mean = "cosine: mean over learning rates, median over seeds";
        let theory = "theory: cosine of T∇F + ∇f₀ and v, same selection";
        let rows: [Row<'_>; 4] = [
            (best, Role::Measured, Some(0), 0, "accuracy_f", Largest),
            (own, Role::Measured, Some(1), 0, "cosine", Largest),
            (mean, Role::Aside, Some(1), 0, "cosine", Mean),
            (theory, Role::Theory, None, 0, "limit_cosine", Median),
        ];
        for (panel, plan) in figure.panels.iter().zip(&plan.panels) {
            assert_curves(panel, plan, &by_id(&records), &rows);
        }
    }

    #[test]
    fn curves_against_width_show_what_their_labels_say() {
        let (figure, plan, records) = drawn(FigureName::Width);
        let (measured, theory, bound) = (Role::Measured, Role::Theory, Role::Bound);
        let agreement = |series, label| (label, measured, Some(series), series, "agreement", Largest);
        let limit = |series, label| (label, theory, Some(series), series, "limit_agreement", Median);
        let certified = |series, label| (label, bound, Some(series), series, "certified_share", Median);
        let rows = [
            agreement(0, "standard, 100 steps: median and range over seeds"),
            limit(0, "theory: infinite width, standard, 100 steps"),
            agreement(1, "antisymmetric, 100 steps: median and range over seeds"),
            limit(1, "theory: infinite width, antisymmetric, 100 steps"),
            agreement(2, "standard, 1000 steps: median and range over seeds"),
            limit(2, "theory: infinite width, standard, 1000 steps"),
        ];
        assert_curves(&figure.panels[0], &plan.panels[0], &by_id(&records), &rows);
        let rows = [
            agreement(0, "10 steps at rate 0.01: agreement, median and range over seeds"),
            certified(0, "10 steps at rate 0.01: certified share of points (A2, δ = 0.01)"),
            agreement(1, "10 steps at rate 0.1: agreement, median and range over seeds"),
            certified(1, "10 steps at rate 0.1: certified share of points (A2, δ = 0.01)"),
        ];
        assert_curves(&figure.panels[1], &plan.panels[1], &by_id(&records), &rows);
    }

    #[test]
    fn curves_against_the_imbalance_show_what_their_labels_say() {
        let (figure, plan, records) = drawn(FigureName::Offset);
        let found = by_id(&records);
        let ids: Vec<&str> = plan.runs.iter().map(|run| run.0.as_str()).collect();
        let rows = [
            ("f and g (median of seeds with equal sums)", Role::Measured, Some(2), "agreement"),
            ("theory: infinite width, with the same targets", Role::Theory, None, "limit_agreement"),
            ("f and g less its mean over training points", Role::Measured, Some(3), "agreement_centred"),
        ];
        assert_eq!(figure.panels[0].curves.len(), rows.len());
        for (curve, (label, role, colour, key)) in figure.panels[0].curves.iter().zip(rows) {
            assert_eq!((curve.label.as_str(), curve.role, curve.colour), (label, role, colour));
            let at = |x: f64| {
                let same = ids.iter().filter(|id| merit(&found, id, "target_sum").abs() == x);
                let y = middle(same.map(|id| merit(&found, id, key)).collect());
                CurvePoint { x, y, band: None }
            };
            assert_eq!(curve.points, [0.0, 1.0, 2.0].map(at), "{label}");
        }
    }

    #[test]
    fn each_kind_of_change_is_marked_where_it_is_large() {
        let plan = Plan::new(&request(&[FigureName::ShiftedGaussA], Scale::Small)).unwrap();
        let changed = &plan.panels[0].cells[1];
        let marks = |change: &dyn Fn(&mut Merits)| {
            let mut records: Vec<Record> = plan.runs.iter().map(|run| record(&run.1)).collect();
            for record in &mut records {
                let merits = record.merits.as_mut().unwrap();
                (merits.flip_share_f, merits.flip_share_g) = (CHANGE_MARKED, CHANGE_MARKED);
                (merits.kernel_change_f, merits.kernel_change_g) = (CHANGE_MARKED, CHANGE_MARKED);
                if changed.runs.iter().flatten().any(|id| *id == record.id) {
                    change(merits);
                }
            }
            let figure = figure(FigureName::ShiftedGaussA, &plan, &by_id(&records)).unwrap();
            let marks = figure.panels[0].curves.iter().filter(|curve| curve.role == Role::Mark);
            marks.flat_map(|curve| &curve.points).map(|point| point.x).collect::<Vec<f64>>()
        };
        let changes: [&dyn Fn(&mut Merits); 4] =
            [&|m| m.flip_share_f = 0.11, &|m| m.flip_share_g = 0.11, &|m| m.kernel_change_f = 0.11, &|m| {
                m.kernel_change_g = 0.11
            }];
        for (kind, change) in changes.into_iter().enumerate() {
            assert_eq!(marks(change), [changed.x], "kind {kind}");
        }
        assert!(marks(&|_| ()).is_empty(), "what is no more than the threshold is not marked");
    }
}
