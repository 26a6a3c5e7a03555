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
}
