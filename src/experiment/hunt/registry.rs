//! The statements that can be hunted: for each, what is observed and what bounds it.
//!
//! A new bound is one [`Entry`]: its id, a line on what it says, a function from a case to what is observed at each test
//! point, and a function from a case to the bound there. Observations come from [`draw`](super::draw) (simulation), bounds
//! from [`theory::bound`](crate::theory::bound).

mod dynamics;
mod enclosure;
mod gradient;
mod limit;
mod pairs;
mod tails;
mod target;
mod width;

use std::sync::Arc;

use super::case::Case;
use super::draw::Draw;
use super::measure::{Measurement, Observed};
use crate::error::Result;

/// What sort of statement a bound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Holds for every input or network.
    Certain,
    /// Bounds an expectation or a probability.
    Expectation,
    /// Holds with probability ≥ 1−δ.
    Probability,
}

type Observe = Arc<dyn Fn(&Case, &Draw) -> Result<Vec<Observed>> + Send + Sync>;
type Bound = Arc<dyn Fn(&Case) -> Result<Vec<f64>> + Send + Sync>;

/// A statement as the hunter sees it.
#[derive(Clone)]
pub struct Entry {
    id: &'static str,
    about: &'static str,
    kind: Kind,
    width_limit: usize,
    observe: Observe,
    bound: Bound,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Entry {
    /// A statement. Both functions give one item per test point, or none at all where the statement says nothing; a bound
    /// of ∞, and nothing else, says nothing about its test point: NaN is refuted by whatever is observed (R6).
    pub fn new(
        id: &'static str,
        kind: Kind,
        about: &'static str,
        observe: impl Fn(&Case, &Draw) -> Result<Vec<Observed>> + Send + Sync + 'static,
        bound: impl Fn(&Case) -> Result<Vec<f64>> + Send + Sync + 'static,
    ) -> Self {
        // Whole networks are trained for quantiles; single neurons, of which most expectations are, cost the same at any
        // width.
        let width_limit = if kind == Kind::Probability { 64 } else { 4096 };
        Entry { id, about, kind, width_limit, observe: Arc::new(observe), bound: Arc::new(bound) }
    }

    /// Looks at networks up to this width only, a power of 2.
    #[must_use]
    fn up_to_width(self, width_limit: usize) -> Self {
        Entry { width_limit, ..self }
    }

    /// The same observation against another bound: what `change` makes of the case and the right bound. This is how tests
    /// plant faults.
    #[must_use]
    pub fn with_bound(
        &self,
        change: impl Fn(&Case, &dyn Fn(&Case) -> Result<Vec<f64>>) -> Result<Vec<f64>> + Send + Sync + 'static,
    ) -> Self {
        let right = Arc::clone(&self.bound);
        Entry { bound: Arc::new(move |case| change(case, &*right)), ..self.clone() }
    }

    /// The statement's id in `proofs/`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// What it bounds, in one line.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// What sort of statement it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The largest width at which the hunter looks; a power of 2.
    pub(super) fn width_limit(&self) -> usize {
        self.width_limit
    }

    /// Observes and bounds: one measurement per point at which the statement says something. `error` is the probability with
    /// which a lower confidence limit may be wrong, for all of them together.
    ///
    /// # Errors
    /// Those of simulation and theory.
    pub fn measure(&self, case: &Case, draw: &Draw, error: f64) -> Result<Vec<Measurement>> {
        let seen = self.observe(case, draw)?;
        let share = error / seen.len().max(1) as f64;
        Ok(seen.into_iter().map(|(seen, bound)| seen.measure(bound, share)).collect())
    }

    /// The largest ratio that a sample `growth` times as large may be expected to show; 0 where the statement says nothing.
    pub(super) fn promise(&self, case: &Case, draw: &Draw, growth: f64) -> Result<f64> {
        let seen = self.observe(case, draw)?;
        Ok(seen.into_iter().map(|(seen, bound)| seen.promise(bound, growth)).fold(0.0, f64::max))
    }

    fn observe(&self, case: &Case, draw: &Draw) -> Result<Vec<(Observed, f64)>> {
        let bounds = (self.bound)(case)?;
        let says_something = |bound: &f64| *bound != f64::INFINITY;
        if !bounds.iter().any(says_something) {
            return Ok(Vec::new());
        }
        let observed = (self.observe)(case, draw)?.into_iter().zip(bounds);
        Ok(observed.filter(|(_, bound)| says_something(bound)).collect())
    }
}

/// All statements, in the order of `proofs/`.
#[must_use]
pub fn entries() -> Vec<Entry> {
    [
        pairs::entries(),
        dynamics::entries(),
        enclosure::entries(),
        tails::entries(),
        width::entries(),
        limit::entries(),
        gradient::entries(),
        target::entries(),
    ]
    .concat()
}

/// The statement with the given id.
#[must_use]
pub fn find(id: &str) -> Option<Entry> {
    entries().into_iter().find(|entry| entry.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::hunt::genome::Genome;
    use crate::random::Streams;

    #[test]
    fn ids_are_unique_and_lines_short() {
        let all = entries();
        for (index, entry) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.id != entry.id), "{} twice", entry.id);
            assert!(entry.about.chars().count() <= 90 && entry.width_limit.is_power_of_two(), "{}", entry.id);
        }
        assert!(find("M3").is_some() && find("m3").is_none());
    }

    #[test]
    fn a_bound_that_is_not_a_number_is_refuted_and_an_infinite_one_says_nothing() {
        let case = Genome::draw(&mut Streams::new(1, "hunt/registry").stream(0), 64).case().unwrap();
        let draw = Draw { seed: 1, purpose: "hunt/registry".into(), pairs: 2, networks: 2 };
        let entry = |value: f64, bound: f64| {
            let observe = move |_: &Case, _: &Draw| Ok(vec![Observed::Certain { value, rounding: 0.0 }]);
            Entry::new("one", Kind::Certain, "a number", observe, move |_| Ok(vec![bound]))
        };
        for (value, bound) in [(0.5, f64::NAN), (f64::NAN, 1.0), (0.5, f64::NEG_INFINITY), (2.0, 1.0)] {
            let entry = entry(value, bound);
            let measured = entry.measure(&case, &draw, 0.1).unwrap();
            assert!(measured.len() == 1 && measured[0].violates(), "{value} {bound}");
            assert!(entry.promise(&case, &draw, 1.0).unwrap() > 1.0, "{value} {bound}: the search passes by");
        }
        assert!(!entry(0.5, 1.0).measure(&case, &draw, 0.1).unwrap()[0].violates());
        assert!(entry(f64::NAN, f64::INFINITY).measure(&case, &draw, 0.1).unwrap().is_empty());
    }
}
