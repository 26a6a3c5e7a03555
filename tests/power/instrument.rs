//! What every instrument is, and how it is applied to the truth and to the faults.

use crate::common::say;
use crate::evidence::{Evidence, strongest};
use crate::fault::{Fault, Place};
use crate::program::Program;
use crate::theory::{Library, Naive, Theory};

/// The least power that a fault may be rejected with.
pub const LEAST_POWER: f64 = 0.999;

/// A test of the suite, as a function of theory and program.
pub trait Instrument: Sync {
    /// What the program is seen to do.
    type Sample;
    fn name(&self) -> &'static str;
    fn sample(&self, program: &dyn Program) -> Self::Sample;
    fn judge(&self, theory: &dyn Theory, sample: &Self::Sample) -> Vec<Evidence>;
}

/// Applies an instrument to the library (which it must not reject), to the slow theory and program without a fault, and
/// with each of the faults (which it must reject). A faulty theory is confronted with the library's program, a faulty
/// program with the library's theory.
///
/// The slow program draws the library's random numbers and agrees with it to rounding (`oracle`), so its verdict is the
/// library's and spends nothing more of the error budget.
pub fn examine<I: Instrument>(instrument: &I, faults: &[Fault]) {
    let name = instrument.name();
    let truth = instrument.sample(&Library);
    accept(name, "the library", &instrument.judge(&Library, &truth));
    let naive = Naive(None);
    accept(name, "the slow theory and program", &instrument.judge(&naive, &instrument.sample(&naive)));
    for &fault in faults {
        let wrong = Naive(Some(fault));
        let evidence = match fault.place() {
            Place::Theory => instrument.judge(&wrong, &truth),
            Place::Program => instrument.judge(&Library, &instrument.sample(&wrong)),
            Place::Flow | Place::Bound => panic!("{fault:?} is no matter of a theory and a program"),
        };
        reject(name, fault, &evidence);
    }
}

/// Prints and asserts that nothing speaks against the truth.
pub fn accept(instrument: &str, what: &str, evidence: &[Evidence]) {
    let exact =
        evidence.iter().filter_map(|part| if let Evidence::Exact { excess } = part { Some(*excess) } else { None });
    let (excess, count) = (exact.fold(0.0, f64::max), evidence.len());
    let least = evidence.iter().map(Evidence::p_value).fold(1.0, f64::min);
    let found = if evidence.iter().all(|part| matches!(part, Evidence::Exact { .. })) {
        format!("{excess:.2} of what is allowed")
    } else {
        format!("least p of {count}: {least:.2}")
    };
    say(format_args!("power | {} | no fault: {what} | {found} | not rejected", short(instrument)));
    for part in evidence {
        assert!(!part.rejects(), "{instrument} rejects {what}: {part}");
    }
}

/// The name without the budget's prefix.
fn short(instrument: &str) -> &str {
    instrument.trim_start_matches("power: ")
}

/// Prints and asserts that a fault is rejected, and would be again.
pub fn reject(instrument: &str, fault: Fault, evidence: &[Evidence]) {
    let best = strongest(evidence);
    let power = best.power();
    // Rounded down, so that no power is overstated.
    let shown = match best {
        Evidence::Exact { .. } => "1, exactly".to_string(),
        _ => format!("> {}", ((power * 1e6).floor() / 1e6).min(0.999_999)),
    };
    let statements = fault.statements().join(" ");
    say(format_args!("power | {} | {} ({statements}) | {best} | power {shown}", short(instrument), fault.words()));
    assert!(best.rejects(), "{instrument} does not reject {fault:?}: {best}");
    assert!(power >= LEAST_POWER, "{instrument} rejects {fault:?} with power {power} only: {best}");
}
