//! Maps: two-colour fills with zero contours and samples, as SVG and PNG.
//!
//! Drawn with `kuva`'s primitives, because its own heat maps and contours do not share axes.

mod contour;

use std::path::{Path, PathBuf};

use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::picture;
use crate::error::{Error, Result};
use contour::{pieces, polylines};

/// Side of a panel's square and the space around it.
const SIDE: f64 = 330.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 44.0;
const CELL: (f64, f64) = (LEFT + SIDE + 20.0, TOP + SIDE + 58.0);
const LEGEND_LINE: f64 = 24.0;

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    /// Colour.
    pub colour: &'static str,
    /// Whether it is dashed.
    pub dashed: bool,
    /// Width; the lines of a panel are drawn in their order, so that a thin one can be seen on a wide one.
    pub width: f64,
}

/// A zero contour.
#[derive(Debug, Clone)]
pub struct Contour {
    /// Its function on the raster, row after row from the smallest y, like the fill.
    pub values: Vec<f64>,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// One map.
#[derive(Debug, Clone)]
pub struct MapPanel {
    /// Title above.
    pub title: String,
    /// Raster coordinates along both axes, ascending.
    pub axis: Vec<f64>,
    /// Which raster points get the colour.
    pub filled: Vec<bool>,
    /// Zero contours.
    pub contours: Vec<Contour>,
    /// Samples (x, y, label).
    pub samples: Vec<(f64, f64, f64)>,
}

/// Maps in rows, with one legend.
#[derive(Debug, Clone)]
pub struct MapFigure {
    /// Files are called `name.svg` and `name.png`.
    pub name: String,
    /// Labels of the axes.
    pub labels: (String, String),
    /// The panels, row by row.
    pub panels: Vec<MapPanel>,
    /// Panels per row.
    pub columns: usize,
    /// What colours and lines mean.
    pub legend: Vec<LegendItem>,
}

/// An entry of the legend.
#[derive(Debug, Clone)]
pub enum LegendItem {
    /// A filled square.
    Fill(&'static str, String),
    /// A line.
    Line(Stroke, String),
    /// A sample with label +1 or −1.
    Sample(f64, String),
}

/// Fill where the functions agree.
pub const AGREE: &str = "#FFFFFF";
/// Fill where they do not.
pub const DISAGREE: &str = "#D3D3D3";
/// Filled dots for label +1, open ones for −1: without colour they differ, too.
const SAMPLE_COLOURS: [&str; 2] = ["#0072B2", "#D55E00"];

impl MapFigure {
    /// Writes SVG and PNG into an existing directory.
    ///
    /// # Errors
    /// No panel; arrays that do not fit the raster, an axis that does not ascend; a directory that cannot be written to.
    pub fn write(&self, directory: &Path) -> Result<[PathBuf; 2]> {
        let refused = |reason: String| Error::Drawing { figure: self.name.clone(), reason };
        if self.panels.is_empty() || self.columns == 0 {
            return Err(refused("no panel; expected at least one".into()));
        }
        for panel in &self.panels {
            let points = panel.axis.len() * panel.axis.len();
            let fits = panel.axis.len() > 1
                && panel.filled.len() == points
                && panel.contours.iter().all(|contour| contour.values.len() == points);
            if !fits {
                return Err(refused(format!("map \"{}\": expected {points} values per array", panel.title)));
            }
            let ascends = panel.axis.windows(2).all(|pair| pair[0] < pair[1]);
            if !(ascends && (panel.axis[panel.axis.len() - 1] - panel.axis[0]).is_finite()) {
                return Err(refused(format!("map \"{}\": expected an axis of ascending numbers", panel.title)));
            }
        }
        picture::write(&self.scene(), &self.name, directory)
    }

    fn scene(&self) -> Scene {
        let rows = self.panels.len().div_ceil(self.columns);
        let legend_rows = self.legend.len().div_ceil(2);
        let height = rows as f64 * CELL.1 + LEGEND_LINE * (legend_rows as f64 + 0.6);
        let mut scene = Scene::new(self.columns as f64 * CELL.0, height);
        scene.font_family = Some(picture::FAMILIES.into());
        for (index, panel) in self.panels.iter().enumerate() {
            let origin = ((index % self.columns) as f64 * CELL.0 + LEFT, (index / self.columns) as f64 * CELL.1 + TOP);
            panel.draw(&mut scene, origin, &self.labels);
        }
        for (index, item) in self.legend.iter().enumerate() {
            let x = LEFT + (index % 2) as f64 * scene.width / 2.0;
            item.draw(&mut scene, (x, rows as f64 * CELL.1 + LEGEND_LINE * (0.6 + (index / 2) as f64)));
        }
        scene
    }
}

fn text(scene: &mut Scene, (x, y): (f64, f64), content: &str, size: u32, anchor: TextAnchor, rotate: Option<f64>) {
    let content = content.to_string();
    scene.add(Primitive::Text { x, y, content, size, anchor, rotate, bold: false, color: None });
}

fn rectangle(scene: &mut Scene, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
    let fill = fill.into();
    scene.add(Primitive::Rect { x, y, width, height, fill, stroke: None, stroke_width: None, opacity: None });
}

fn sample(scene: &mut Scene, (cx, cy): (f64, f64), label: f64) {
    let [positive, negative] = SAMPLE_COLOURS;
    let (fill, stroke, r) = if label > 0.0 { (positive, "#FFFFFF", 2.5) } else { ("#FFFFFF", negative, 2.2) };
    let (fill_opacity, stroke_width) = (None, Some(if label > 0.0 { 0.4 } else { 1.1 }));
    scene.add(Primitive::Circle {
        cx,
        cy,
        r,
        fill: fill.into(),
        fill_opacity,
        stroke: Some(stroke.into()),
        stroke_width,
    });
}

impl Stroke {
    fn draw(self, scene: &mut Scene, points: Vec<(f64, f64)>) {
        for points in pieces(points, self.dashed) {
            let (stroke, stroke_width) = (self.colour.into(), self.width);
            scene.add(Primitive::PolyLine { points, stroke, stroke_width, stroke_dasharray: None });
        }
    }
}

impl LegendItem {
    fn draw(&self, scene: &mut Scene, (x, y): (f64, f64)) {
        let label = match self {
            LegendItem::Fill(colour, label) => {
                // With an edge, as one of the fills is white.
                rectangle(scene, (x, y - 7.0), (28.0, 14.0), "#000000");
                rectangle(scene, (x + 0.5, y - 6.5), (27.0, 13.0), colour);
                label
            }
            LegendItem::Line(stroke, label) => {
                stroke.draw(scene, vec![(x, y), (x + 34.0, y)]);
                label
            }
            LegendItem::Sample(value, label) => {
                sample(scene, (x + 14.0, y), *value);
                label
            }
        };
        text(scene, (x + 44.0, y + 5.0), label, 14, TextAnchor::Start, None);
    }
}

impl MapPanel {
    fn draw(&self, scene: &mut Scene, (left, top): (f64, f64), (x_label, y_label): &(String, String)) {
        let (low, high) = (self.axis[0], self.axis[self.axis.len() - 1]);
        let x = |v: f64| left + SIDE * (v - low) / (high - low);
        let y = |v: f64| top + SIDE * (high - v) / (high - low);
        rectangle(scene, (left, top), (SIDE, SIDE), DISAGREE);
        self.fill(scene, &x, &y);
        for (sx, sy, label) in &self.samples {
            if (low..=high).contains(sx) && (low..=high).contains(sy) {
                sample(scene, (x(*sx), y(*sy)), *label);
            }
        }
        for contour in &self.contours {
            for points in polylines(&self.axis, &contour.values) {
                let points: Vec<(f64, f64)> = points.iter().map(|(px, py)| (x(*px), y(*py))).collect();
                contour.stroke.draw(scene, points);
            }
        }
        self.frame(scene, (left, top), (&x, &y), (x_label, y_label));
    }

    /// One rectangle per run of filled points in a row.
    fn fill(&self, scene: &mut Scene, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
        let n = self.axis.len();
        let (low, high) = (self.axis[0], self.axis[n - 1]);
        let half = 0.5 * (high - low) / (n - 1) as f64;
        let clip = |v: f64| v.clamp(low, high);
        for (row, cells) in self.filled.chunks_exact(n).enumerate() {
            let (bottom, above) = (y(clip(self.axis[row] - half)), y(clip(self.axis[row] + half)));
            let mut begin = 0;
            for run in cells.chunk_by(|a, b| a == b) {
                let end = begin + run.len();
                if run[0] {
                    let (from, to) = (x(clip(self.axis[begin] - half)), x(clip(self.axis[end - 1] + half)));
                    // A hair higher than the row, so that no seams shine through.
                    rectangle(scene, (from, above), (to - from, bottom - above + 0.3), AGREE);
                }
                begin = end;
            }
        }
    }

    fn frame(
        &self,
        scene: &mut Scene,
        (left, top): (f64, f64),
        (x, y): (&dyn Fn(f64) -> f64, &dyn Fn(f64) -> f64),
        (x_label, y_label): (&str, &str),
    ) {
        let (right, bottom) = (left + SIDE, top + SIDE);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        for pair in corners.windows(2) {
            let (x1, y1) = pair[0];
            let (x2, y2) = pair[1];
            let stroke = "#000000".into();
            scene.add(Primitive::Line { x1, y1, x2, y2, stroke, stroke_width: 1.0, stroke_dasharray: None });
        }
        let (low, high) = (self.axis[0], self.axis[self.axis.len() - 1]);
        for tick in ticks(low, high) {
            // Adding 0 turns −0 into 0.
            let label = format!("{}", tick + 0.0).replace('-', "−");
            text(scene, (x(tick), bottom + 18.0), &label, 13, TextAnchor::Middle, None);
            text(scene, (left - 8.0, y(tick) + 4.5), &label, 13, TextAnchor::End, None);
        }
        text(scene, (left + SIDE / 2.0, top - 12.0), &self.title, 16, TextAnchor::Middle, None);
        text(scene, (left + SIDE / 2.0, bottom + 40.0), x_label, 14, TextAnchor::Middle, None);
        text(scene, (left - 40.0, top + SIDE / 2.0), y_label, 14, TextAnchor::Middle, Some(-90.0));
    }
}

/// The multiples of 2 or 5 from `low` to `high`, of ten times as much where they would be too many.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    const MOST: f64 = 100.0;
    let mut step = if high - low > 10.0 { 5.0 } else { 2.0 };
    while high - low > MOST * step {
        step *= 10.0;
    }
    let first = (low / step).ceil();
    let count = (high / step).floor() - first;
    let mut ticks: Vec<f64> = (0..=MOST as u32).map(f64::from).take_while(|k| *k <= count).collect();
    ticks.iter_mut().for_each(|k| *k = (first + *k) * step);
    // Far from 0 two of them may be one number.
    ticks.dedup();
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raster(f: impl Fn(f64, f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let axis: Vec<f64> = (0..21).map(|k| -1.0 + 0.1 * f64::from(k)).collect();
        let values = axis.iter().flat_map(|y| axis.iter().map(|x| f(*x, *y)).collect::<Vec<f64>>()).collect();
        (axis, values)
    }

    #[test]
    fn both_files_are_written_and_arrays_that_do_not_fit_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (axis, values) = raster(|x, y| x - y);
        let filled = values.iter().map(|v| *v > 0.3).collect();
        let contours = vec![Contour { values, stroke: Stroke { colour: "#000000", dashed: true, width: 2.0 } }];
        let panel =
            MapPanel { title: "t".into(), axis, filled, contours, samples: vec![(0.1, 0.2, 1.0), (9.0, 0.0, -1.0)] };
        let legend = vec![LegendItem::Fill(AGREE, "agree".into()), LegendItem::Sample(1.0, "sample".into())];
        let labels = ("x".to_string(), "y".to_string());
        let figure = MapFigure { name: "map".into(), labels, panels: vec![panel.clone()], columns: 1, legend };
        let [svg, png] = figure.write(directory.path()).unwrap();
        assert!(std::fs::read_to_string(svg).unwrap().trim_end().ends_with("</svg>"));
        assert_eq!(std::fs::read(png).unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
        let short = MapPanel { filled: vec![true], ..panel.clone() };
        assert!(MapFigure { panels: vec![short], ..figure.clone() }.write(directory.path()).is_err());
        for bad in [f64::NAN, f64::INFINITY, -2.0] {
            let mut crooked = panel.clone();
            crooked.axis[20] = bad;
            let refused = MapFigure { panels: vec![crooked], ..figure.clone() }.write(directory.path());
            assert!(refused.unwrap_err().to_string().contains("ascending"), "{bad}");
        }
        assert!(MapFigure { panels: vec![], ..figure }.write(directory.path()).is_err());
    }

    #[test]
    fn ticks_are_few_on_any_axis() {
        assert_eq!(ticks(-4.0, 5.0), [-4.0, -2.0, 0.0, 2.0, 4.0]);
        assert_eq!(ticks(-2.0, 13.0), [0.0, 5.0, 10.0]);
        assert!(ticks(0.1, 0.9).is_empty());
        let far = ticks(1e17, 1e17 + 100.0);
        assert!(far.len() > 1 && far.windows(2).all(|pair| pair[0] < pair[1]), "{far:?}");
        for high in [1e3, 1e9, 1e300] {
            let wide = ticks(-high, high);
            assert!(wide.len() > 10 && wide.len() <= 101 && wide.iter().all(|t| t.abs() <= high), "{wide:?}");
        }
    }
}
