//! A deviation as a criterion measurement, so that its statistics and plots are about errors, not about time.

use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter};

/// A measurement whose value is the number that the benchmark returns: `iter_custom` must be used, there is nothing to
/// start or to stop.
pub struct Deviation;

impl Measurement for Deviation {
    type Intermediate = ();
    type Value = f64;

    fn start(&self) {}

    /// Only reached by benchmarks that do not use `iter_custom`; they measure nothing.
    fn end(&self, (): ()) -> f64 {
        0.0
    }

    fn add(&self, a: &f64, b: &f64) -> f64 {
        a + b
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Plain
    }
}

/// Numbers without a unit.
struct Plain;

impl ValueFormatter for Plain {
    fn format_value(&self, value: f64) -> String {
        format!("{value:.3e}")
    }

    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "deviation"
    }

    fn scale_throughputs(&self, _typical: f64, _throughput: &Throughput, _values: &mut [f64]) -> &'static str {
        "deviation"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "deviation"
    }
}
