//! Figures: panels with bands, predictions and bounds, written as SVG, PNG and CSV.
//!
//! A thin layer over `kuva` that fixes what all figures of the project share. Colours are those of Okabe and Ito, which
//! survive colour blindness; every measured series also has its own marker, and every kind of curve its own dash, so that
//! rows of panels ([`Figure::row`]) survive grey printing as well. Letters of a row are at least 6 points high (those that
//! count the panels 5.5) where it is as wide as a page's text (5.5 inches for two panels), or a single panel half of that.
//! In grids ([`Figure::grid`]) of that width ticks and the legend have 5.8 points; bands and thin dotted curves are told apart
//! by colour alone.

mod curve;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kuva::plot::legend::{LegendEntry, LegendPosition};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use super::picture;
use crate::data::write_atomically;
use crate::error::{Error, Result};
use curve::blank;
pub use curve::{Curve, CurvePoint, Role};

/// Logical size of a panel; PNG files have twice as many pixels.
const PANEL_WIDTH: f64 = 560.0;
const PLOT_HEIGHT: f64 = 430.0;
const LEGEND_LINE: f64 = 22.0;
const UNUSED_BELOW: f64 = 24.0;
/// Letters of a shared legend, and blanks per letter of a label that widen the box, which `kuva` makes for letters of size 12.
const SHARED_LEGEND_SIZE: u32 = 17;
const BLANKS_PER_LETTER: f64 = 0.75;
/// How much larger letters and lines are than `kuva` makes them: in a figure of one row, and in a grid.
const ROW_SCALE: f64 = 1.4;
const GRID_SCALE: f64 = 1.2;
/// What letters twice as large take from the height of a plot.
const ROOM_FOR_LETTERS: f64 = 130.0;
/// One pair of axes.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Title above the axes.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: String,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// Label of the vertical axis.
    pub y_label: String,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// Ends of the vertical axis; from the data if `None`.
    pub y_range: Option<(f64, f64)>,
    /// The curves, in the order of the legend.
    pub curves: Vec<Curve>,
}

impl Panel {
    /// The ends of the horizontal axis: a little beyond the points.
    fn x_range(&self) -> (f64, f64) {
        let drawn_at = |curve: &Curve, p: &CurvePoint| [p.x, curve.bars.unwrap_or(1.0) * p.x];
        let (low, high) = ends(self.curves.iter().flat_map(|c| c.points.iter().flat_map(move |p| drawn_at(c, p))));
        if self.log_x {
            return (low / 1.3, high * 1.3);
        }
        // A single point gets an axis of its own size.
        let margin = if high > low { 0.04 * (high - low) } else { 0.5 * low.abs().max(1.0) };
        (low - margin, high + margin)
    }

    fn legend_curves(&self) -> impl Iterator<Item = &Curve> {
        self.curves.iter().filter(|curve| curve.in_legend)
    }

    /// `legend_lines`: those that every panel of the figure leaves room for.
    fn layout(&self, plots: &[Plot], legend_lines: usize, scale: f64) -> Layout {
        let (low_x, high_x) = self.x_range();
        let (low_y, high_y) = self.y_range.unwrap_or_else(|| {
            let points = self.curves.iter().flat_map(|curve| &curve.points);
            let (low, high) = ends(points.flat_map(|p| p.band.map_or([p.y; 3], |(a, b)| [a, b, p.y])));
            if self.log_y { (low / 1.3, high * 1.3) } else { (low, high) }
        });
        // Panels beside each other get legends of equal height, so that their axes are level.
        let mut legend: Vec<LegendEntry> = self.legend_curves().flat_map(Curve::legend_entries).collect();
        legend.resize_with(legend_lines, || blank(" ".into()));
        let layout = Layout::auto_from_plots(plots)
            .with_title(&self.title)
            .with_x_label(&self.x_label)
            .with_y_label(&self.y_label)
            .with_x_axis_min(low_x)
            .with_x_axis_max(high_x)
            .with_y_axis_min(low_y)
            .with_y_axis_max(high_y)
            .with_title_size(17)
            .with_label_size(16)
            .with_tick_size(14)
            .with_body_size(14)
            .with_scale(scale)
            .with_width(PANEL_WIDTH)
            .with_height(panel_height(legend_lines, scale));
        // Up to three decades have ticks at 1, 2 and 5, which read best as plain numbers.
        let ticks = |low: f64, high: f64| {
            let decades = high.log10().ceil() - low.log10().floor();
            if decades <= 3.0 && low > 1e-4 { plain } else { power_of_ten }
        };
        let layout = if self.log_x {
            layout.with_log_x().with_x_tick_format(TickFormat::Custom(Arc::new(ticks(low_x, high_x))))
        } else {
            layout.with_x_tick_format(TickFormat::Custom(Arc::new(plain)))
        };
        let layout = if legend.is_empty() {
            layout
        } else {
            layout
                .with_legend_entries(legend)
                .with_legend_position(LegendPosition::OutsideBottomColumns)
                .with_legend_col_limit(1)
                .with_legend_box(false)
        };
        if self.log_y {
            layout.with_log_y().with_y_tick_format(TickFormat::Custom(Arc::new(ticks(low_y, high_y))))
        } else {
            layout
        }
    }
}

/// The smallest and the largest of some values.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// Of a panel with so many lines of a legend below it.
fn panel_height(legend_lines: usize, scale: f64) -> f64 {
    PLOT_HEIGHT + (scale - 1.0) * ROOM_FOR_LETTERS + scale * LEGEND_LINE * legend_lines as f64
}

/// A figure of one or more panels.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Its name: files are called `name.svg`, `name.png` and `name.csv`.
    pub name: String,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
    /// Panels per row.
    pub columns: usize,
    /// One legend below the figure, of all entries that occur, instead of one below each panel.
    pub shared_legend: bool,
}

impl Figure {
    /// Panels side by side, each with its legend.
    #[must_use]
    pub fn row(name: &str, panels: Vec<Panel>) -> Self {
        Figure { name: name.into(), columns: panels.len().max(1), panels, shared_legend: false }
    }

    /// Panels in rows of `columns`, with one legend.
    #[must_use]
    pub fn grid(name: &str, panels: Vec<Panel>, columns: usize) -> Self {
        Figure { name: name.into(), columns: columns.clamp(1, panels.len().max(1)), panels, shared_legend: true }
    }

    /// Writes SVG, PNG and CSV into an existing directory, each whole or not at all; returns their paths.
    ///
    /// # Errors
    /// No panel; a panel without curves or a curve without points; a coordinate that its axis cannot show; a directory
    /// that cannot be written to.
    pub fn write(&self, directory: &Path) -> Result<[PathBuf; 3]> {
        self.check()?;
        let [svg, png] = picture::write(&self.scene(), &self.name, directory)?;
        let csv = directory.join(format!("{}.csv", self.name));
        write_atomically(&csv, self.csv(&csv)?.as_slice())?;
        Ok([svg, png, csv])
    }

    fn refused(&self, reason: String) -> Error {
        Error::Drawing { figure: self.name.clone(), reason }
    }

    fn check(&self) -> Result<()> {
        if self.panels.is_empty() {
            return Err(self.refused("no panel; expected at least one".into()));
        }
        for panel in &self.panels {
            if panel.curves.is_empty() {
                return Err(self.refused(format!("panel \"{}\" has no curve; expected at least one", panel.title)));
            }
            for curve in &panel.curves {
                if curve.points.is_empty() {
                    return Err(self.refused(format!("curve \"{}\" has no point; expected at least one", curve.label)));
                }
                for (index, point) in curve.points.iter().enumerate() {
                    let (low, high) = point.band.unwrap_or((point.y, point.y));
                    let fits = |v: f64, log: bool| v.is_finite() && (!log || v > 0.0);
                    for (value, log) in
                        [(point.x, panel.log_x), (point.y, panel.log_y), (low, panel.log_y), (high, panel.log_y)]
                    {
                        if !fits(value, log) {
                            let expected = if log { "a positive finite number" } else { "a finite number" };
                            let label = &curve.label;
                            let reason = format!("curve \"{label}\": point {index} is at {value}; expected {expected}");
                            return Err(self.refused(reason));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn scene(&self) -> kuva::render::render::Scene {
        let lines = |panel: &Panel| panel.legend_curves().map(|curve| curve.legend_entries().len()).sum();
        let most = self.panels.iter().map(lines).max().unwrap_or(0);
        let (legend_lines, scale) = if self.shared_legend { (0, GRID_SCALE) } else { (most, ROW_SCALE) };
        let mut all_plots = Vec::new();
        let mut layouts = Vec::new();
        for panel in &self.panels {
            let mut plots = Vec::new();
            panel.curves.iter().for_each(|curve| curve.draw_band(&mut plots));
            panel.curves.iter().for_each(|curve| curve.draw(&mut plots, scale));
            let layout = panel.layout(&plots, legend_lines, scale);
            layouts.push(if self.shared_legend { layout.with_body_size(SHARED_LEGEND_SIZE) } else { layout });
            all_plots.push(plots);
        }
        let rows = self.panels.len().div_ceil(self.columns);
        let figure = kuva::render::figure::Figure::new(rows, self.columns)
            .with_plots(all_plots)
            .with_layouts(layouts)
            // Only cells that have a panel: an empty one would get a letter too.
            .with_structure((0..self.panels.len()).map(|index| vec![index]).collect())
            .with_cell_size(PANEL_WIDTH, panel_height(legend_lines, scale));
        let figure = if self.panels.len() > 1 { figure.with_labels_lowercase() } else { figure };
        if self.shared_legend {
            return figure.with_shared_legend_bottom().with_shared_legend_entries(self.all_entries()).render();
        }
        let mut scene = figure.render();
        // The space that kuva keeps below a legend, in case a title followed.
        scene.height -= scale * UNUSED_BELOW;
        scene
    }

    /// The legend entries of all panels, each once.
    fn all_entries(&self) -> Vec<LegendEntry> {
        let mut entries: Vec<LegendEntry> = Vec::new();
        for entry in self.panels.iter().flat_map(Panel::legend_curves).map(Curve::legend_entry) {
            if entries.iter().all(|known| known.label != entry.label) {
                entries.push(entry);
            }
        }
        for LegendEntry { label, .. } in &mut entries {
            let blanks = (BLANKS_PER_LETTER * label.chars().count() as f64).ceil() as usize;
            label.extend(std::iter::repeat_n('\u{a0}', blanks));
        }
        entries
    }

    /// The plotted data: one line per point.
    fn csv(&self, path: &Path) -> Result<Vec<u8>> {
        let failed = |e: csv::Error| Error::Io { path: path.into(), source: e.into() };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["panel", "curve", "role", "x", "y", "band_low", "band_high"]).map_err(failed)?;
        for panel in &self.panels {
            for curve in &panel.curves {
                for point in &curve.points {
                    let (low, high) = match point.band {
                        Some((low, high)) => (Some(low), Some(high)),
                        None => (None, None),
                    };
                    let line = (&panel.title, &curve.label, curve.role, point.x, point.y, low, high);
                    writer.serialize(line).map_err(failed)?;
                }
            }
        }
        writer.into_inner().map_err(|e| Error::Io { path: path.into(), source: e.into_error() })
    }
}

/// A tick without an exponent, rid of rounding errors.
fn plain(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

/// 1000 → 10³, 0.02 → 2·10⁻², 0.1 → 10⁻¹; plain between 1 and 50.
fn power_of_ten(value: f64) -> String {
    let exponent = value.log10().floor();
    let mantissa = value / 10_f64.powf(exponent);
    // A tick of a logarithmic axis is 1, 2 or 5 times a power of ten; rounding may put 0.9999… in the decade below.
    let (mantissa, exponent) =
        if mantissa > 9.5 { (1.0, exponent as i32 + 1) } else { (mantissa.round(), exponent as i32) };
    if (0..2).contains(&exponent) {
        return format!("{}", mantissa * 10_f64.powi(exponent)).chars().take(6).collect();
    }
    let power = format!("10{}", superscript(exponent));
    if mantissa == 1.0 { power } else { format!("{mantissa}·{power}") }
}

/// An integer as an exponent.
fn superscript(value: i32) -> String {
    let raise = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁰' as u32 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    };
    value.to_string().chars().map(raise).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(points: &[(f64, f64)]) -> Figure {
        let curve = Curve::line(Role::Theory, None, "T·F, \"exact\"", points);
        let panel = Panel {
            title: "panel".into(),
            x_label: "m".into(),
            log_x: true,
            y_label: "|f − T·F|".into(),
            log_y: true,
            y_range: None,
            curves: vec![curve],
        };
        Figure::row("test", vec![panel])
    }

    #[test]
    fn all_three_files_are_written_and_the_table_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let [svg, png, csv] = figure(&[(64.0, 0.5), (4096.0, 0.1)]).write(directory.path()).unwrap();
        assert!(std::fs::read_to_string(svg).unwrap().trim_end().ends_with("</svg>"));
        assert_eq!(std::fs::read(png).unwrap()[..8], *b"\x89PNG\r\n\x1a\n");
        let mut reader = csv::Reader::from_path(csv).unwrap();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[1][1], &rows[1][3], &rows[1][4], &rows[1][5]), ("T·F, \"exact\"", "4096.0", "0.1", ""));
    }

    #[test]
    fn what_a_logarithmic_axis_cannot_show_is_refused_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = figure(&[(64.0, 1.0), (128.0, bad)]).write(directory.path()).unwrap_err();
            assert!(error.to_string().contains("point 1"), "{error}");
        }
        assert!(figure(&[]).write(directory.path()).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let missing = figure(&[(1.0, 1.0), (2.0, 1.0)]).write(&directory.path().join("none"));
        assert!(matches!(missing, Err(Error::Io { .. })));
    }

    #[test]
    fn linear_axes_show_zero_and_figures_have_rows() {
        let directory = tempfile::tempdir().unwrap();
        let mut panel = figure(&[(0.0, 0.5), (0.01, 1.0)]).panels.remove(0);
        assert!(Figure::row("log", vec![panel.clone()]).write(directory.path()).is_err());
        (panel.log_x, panel.log_y) = (false, false);
        let one = Figure::grid("one", vec![panel.clone()], 2);
        let three = Figure::grid("three", vec![panel.clone(), panel.clone(), panel], 2);
        let size = |figure: &Figure| (figure.scene().width, figure.scene().height);
        let ((width, height), (wide, high)) = (size(&one), size(&three));
        assert!(wide > 1.8 * width && high > 1.6 * height, "{width} {height} {wide} {high}");
        // Three equal legends are one.
        assert_eq!(three.all_entries().len(), 1);
        one.write(directory.path()).unwrap();
    }

    #[test]
    fn bars_that_are_moved_stay_within_the_axis() {
        let mut panel = figure(&[(10.0, 0.5), (100.0, 0.1)]).panels.remove(0);
        assert!(panel.x_range().1 < 200.0);
        panel.curves[0] = panel.curves[0].clone().with_bars(2.0);
        assert!(panel.x_range().0 < 10.0 && panel.x_range().1 > 200.0);
    }

    #[test]
    fn ticks_read_as_powers_of_ten() {
        let ticks = [1e3, 2e-3, 1e-10, 0.5, 1.0, 10.0, 100.0];
        assert_eq!(ticks.map(power_of_ten), ["10³", "2·10⁻³", "10⁻¹⁰", "5·10⁻¹", "1", "10", "10²"]);
    }
}
