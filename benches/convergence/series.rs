//! From measurements of many networks to curves.

use perturbation_learning::report::plot::{Curve, CurvePoint, Role};
use perturbation_learning::stats::{fit_rate, quantile};

/// One number per network: (width, value).
pub type Measured = Vec<(f64, f64)>;

/// Even powers of two, or all of them, from 2^`first` to 2^`last`.
pub fn widths(first: u32, last: u32, step: usize) -> Vec<usize> {
    (first..=last).step_by(step).map(|exponent| 1 << exponent).collect()
}

/// How many networks a width gets: `neurons` shared among them, within limits.
pub fn networks(width: usize, neurons: usize, least: usize, most: usize) -> usize {
    (neurons / width).clamp(least, most)
}

/// Median and 5–95 % band per width; values of one width stand together.
pub fn bands(values: &[(f64, f64)]) -> Vec<CurvePoint> {
    values
        .chunk_by(|a, b| a.0 == b.0)
        .map(|group| {
            let of_width: Vec<f64> = group.iter().map(|p| p.1).collect();
            let at = |share| quantile(&of_width, share);
            CurvePoint { x: group[0].0, y: at(0.5), band: Some((at(0.05), at(0.95))) }
        })
        .collect()
}

/// "slope −0.498 ± 0.006": least squares on the logarithms of all networks' values, 95 % interval.
pub fn slope(values: &[(f64, f64)]) -> String {
    match fit_rate(values) {
        Some(fit) => {
            let half = 0.5 * (fit.interval(0.05).1 - fit.interval(0.05).0);
            format!("slope {:.3} ± {half:.3}", fit.slope).replace('-', "−")
        }
        None => "no slope".into(),
    }
}

/// The slope over all widths, which the next power of m bends, and over those from 2¹² on.
pub fn slopes(values: &[(f64, f64)]) -> String {
    let wide: Measured = values.iter().copied().filter(|(m, _)| *m >= 4096.0).collect();
    if wide.iter().map(|(m, _)| m.to_bits()).collect::<std::collections::HashSet<_>>().len() < 3 {
        return slope(values);
    }
    format!("{}, from m = 2¹² on {}", slope(values), slope(&wide).trim_start_matches("slope "))
}

/// A measured curve with its fitted slopes in the legend.
pub fn measured(colour: usize, what: &str, values: &[(f64, f64)]) -> Curve {
    Curve::measured(colour, format!("{what}; {}", slopes(values)), bands(values))
}

/// A line m^`exponent` over `decades` of width, a factor `lift` away from the first point of a curve.
pub fn guide(label: &str, exponent: f64, (lift, decades): (f64, f64), curve: &Curve) -> Curve {
    let (first, last) = (curve.points[0], curve.points[curve.points.len() - 1]);
    let at = |x: f64| (x, lift * first.y * (x / first.x).powf(exponent));
    let end = last.x.min(first.x * 10.0_f64.powf(decades));
    Curve::line(Role::Guide, None, label, &[at(first.x), at(end)])
}

/// A horizontal line from theory.
pub fn level(colour: Option<usize>, label: impl Into<String>, height: f64, widths: &[usize]) -> Curve {
    let ends = [widths[0] as f64, widths[widths.len() - 1] as f64];
    Curve::line(Role::Theory, colour, label, &ends.map(|x| (x, height)))
}
