//! The counterexample hunter: searches for the case at which a proved bound is closest to being violated.
//!
//! - [`registry`]: the statements, with what is observed and what bounds it;
//! - [`case`](Case): data, network and training;
//! - [`draw`]: independent neurons and networks of a case; [`measure`]: confidence statements.
//!
//! A hunt proceeds in rounds of [`ROUND`] evaluations: random cases are screened, and the numbers of the best are moved
//! by Nelder and Mead's method. A search over random observations finds lucky ones, so its winner is observed again with
//! more and fresh random numbers: only this confirmation counts. The k-th confirmation of a hunt has the error probability
//! [`FALSE_ALARM`]/(k(k+1)), so that a hunt against a true bound claims a violation with probability at most
//! [`FALSE_ALARM`], however long it runs.

pub mod draw;
pub mod measure;
pub mod registry;

mod case;
mod genome;
mod search;

pub use case::Case;

use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::random::Streams;
use draw::Draw;
use genome::Genome;
use measure::Measurement;
use registry::{Entry, Kind};
use search::{Search, climb};

/// The probability with which a hunt claims that a true bound is violated.
pub const FALSE_ALARM: f64 = 1e-9;

/// Evaluations per round: 64 random cases, and 64 more around each of the best three.
pub const ROUND: usize = SCREENED + CLIMBS * CLIMBED;
const SCREENED: usize = 64;
const CLIMBS: usize = 3;
const CLIMBED: usize = 64;

/// When a hunt that finds nothing ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// After that many evaluations: the same hunt on every machine.
    Evaluations(usize),
    /// After the round in which this time ran out.
    After(Duration),
}

/// How many random numbers an observation takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Effort {
    /// Pairs of neurons in the search and in a confirmation.
    pub pairs: [usize; 2],
    /// Networks in the search and in a confirmation.
    pub networks: [usize; 2],
}

impl Default for Effort {
    fn default() -> Self {
        Effort { pairs: [1024, 100_000], networks: [100, 4000] }
    }
}

/// A hunt against one statement.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// Seed of all random numbers.
    pub seed: u64,
    /// When to end.
    pub stop: Stop,
    /// How much to draw.
    pub effort: Effort,
}

/// The worst case that a hunt confirmed: the largest ratio, for expectations the largest lower limit.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// observed/bound in the confirmation.
    pub ratio: f64,
    /// Its lower confidence limit; above 1 the bound is violated.
    pub lower_ratio: f64,
    /// The numbers.
    pub measurement: Measurement,
    /// The probability with which the lower limit is wrong.
    pub error_probability: f64,
    /// Where.
    pub case: Case,
    /// The confirmation's random streams.
    pub purpose: String,
}

/// What a hunt found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The statement.
    pub id: &'static str,
    /// Its sort.
    pub kind: Kind,
    /// Whether it is refuted.
    pub violated: bool,
    /// The worst case; None if the statement never said anything.
    pub best: Option<Finding>,
    /// Evaluations of the search.
    pub evaluations: usize,
    /// Among them those that ended in an error.
    pub failed: usize,
    /// Confirmations.
    pub confirmations: usize,
}

impl Hunt {
    /// Hunts the statement. The outcome depends on seed, effort and the number of evaluations, not on threads or time.
    ///
    /// # Errors
    /// Fewer than two pairs or networks, in the search or in a confirmation. If every evaluation of a round fails: the last
    /// reason.
    pub fn run(&self, entry: &Entry) -> Result<Outcome> {
        for (name, counts) in [("pairs", self.effort.pairs), ("networks", self.effort.networks)] {
            if let Some(count) = counts.into_iter().find(|count| *count < 2) {
                return Err(Error::Scalar { name, value: count as f64, expected: "at least 2, as a variance takes" });
            }
        }
        let start = Instant::now();
        let (id, kind) = (entry.id(), entry.kind());
        let mut outcome =
            Outcome { id, kind, violated: false, best: None, evaluations: 0, failed: 0, confirmations: 0 };
        let mut elite: Option<(f64, Genome)> = None;
        for round in 0_usize.. {
            let left = match self.stop {
                Stop::Evaluations(all) => ROUND.min(all - outcome.evaluations),
                Stop::After(limit) => {
                    if round == 0 || start.elapsed() < limit {
                        ROUND
                    } else {
                        0
                    }
                }
            };
            if left == 0 || outcome.violated {
                return Ok(outcome);
            }
            let found = self.search(entry, round, left, elite.take())?;
            outcome.evaluations += left;
            outcome.failed += found.failed;
            elite = found.best;
            if let Some((_, genome)) = &elite {
                self.confirm(entry, round, genome, &mut outcome)?;
            }
        }
        Ok(outcome)
    }

    fn draw(&self, entry: &Entry, part: &str, index: usize, column: usize) -> Draw {
        Draw {
            seed: self.seed,
            purpose: format!("falsify/{}/{part} {index}", entry.id()),
            pairs: self.effort.pairs[column],
            networks: self.effort.networks[column],
        }
    }

    /// One round of `left` evaluations. The best case so far is climbed on together with the best new ones.
    fn search(&self, entry: &Entry, round: usize, left: usize, elite: Option<(f64, Genome)>) -> Result<Search> {
        let draw = self.draw(entry, "search", round, 0);
        let streams = Streams::new(self.seed, &format!("falsify/{}/cases {round}", entry.id()));
        let growth = self.effort.pairs[1] as f64 / self.effort.pairs[0] as f64;
        let screened = SCREENED.min(left);
        let tried: Vec<(Genome, Result<f64>)> = (0..screened as u64)
            .into_par_iter()
            .map(|index| {
                let genome = Genome::draw(&mut streams.stream(index), entry.width_limit());
                let ratio = genome.case().and_then(|case| entry.promise(&case, &draw, growth));
                (genome, ratio)
            })
            .collect();
        let mut found = Search::default();
        let mut starts: Vec<(f64, Genome)> = Vec::new();
        let mut reason = None;
        for (genome, ratio) in tried {
            match ratio {
                Ok(ratio) => starts.push((ratio, genome)),
                Err(error) => {
                    found.failed += 1;
                    reason = Some(error);
                }
            }
        }
        if let (true, Some(reason)) = (starts.is_empty(), reason) {
            return Err(reason);
        }
        starts.sort_by(|a, b| b.0.total_cmp(&a.0));
        starts.truncate(CLIMBS);
        if let Some((_, genome)) = elite {
            // Observed anew, with this round's random numbers, so that luck does not last.
            starts.truncate(CLIMBS - 1);
            let promise = genome.case().and_then(|case| entry.promise(&case, &draw, growth));
            starts.push((promise.unwrap_or(0.0), genome));
        }
        let share = |index: usize| (left - screened) / CLIMBS + usize::from(index < (left - screened) % CLIMBS);
        let climbs: Vec<Search> = starts
            .into_par_iter()
            .enumerate()
            .map(|(index, start)| {
                climb(entry, (&draw, growth), start, share(index), &mut streams.stream((SCREENED + index) as u64))
            })
            .collect();
        climbs.into_iter().for_each(|climb| found.merge(climb));
        Ok(found)
    }

    /// Observes the search's winner again.
    fn confirm(&self, entry: &Entry, round: usize, genome: &Genome, outcome: &mut Outcome) -> Result<()> {
        outcome.confirmations += 1;
        let k = outcome.confirmations as f64;
        // The sum over all k is FALSE_ALARM.
        let error_probability = FALSE_ALARM / (k * (k + 1.0));
        // What holds for certain needs no second sample: one violation is enough.
        let draw = match entry.kind() {
            Kind::Certain => self.draw(entry, "search", round, 0),
            Kind::Expectation | Kind::Probability => self.draw(entry, "confirmation", round, 1),
        };
        let case = genome.case()?;
        let measured = entry.measure(&case, &draw, error_probability)?;
        // Quantiles are compared as such; for the others what is beyond doubt counts.
        let merit = |ratio: f64, lower_ratio: f64| if entry.kind() == Kind::Probability { ratio } else { lower_ratio };
        let of = |m: &Measurement| merit(m.ratio(), m.lower_ratio());
        let Some(measurement) = measured.into_iter().max_by(|a, b| of(a).total_cmp(&of(b))) else {
            return Ok(());
        };
        let violates = measurement.violates();
        outcome.violated |= violates;
        let best = outcome.best.as_ref().map(|best| merit(best.ratio, best.lower_ratio));
        if violates || best.is_none_or(|best| of(&measurement) > best) {
            outcome.best = Some(Finding {
                ratio: measurement.ratio(),
                lower_ratio: measurement.lower_ratio(),
                measurement,
                error_probability,
                case,
                purpose: draw.purpose,
            });
        }
        Ok(())
    }
}

/// An error that lists the ids, for an id that is not among them.
///
/// # Errors
/// An unknown id.
pub fn entry(id: &str) -> Result<Entry> {
    registry::find(id).ok_or_else(|| {
        let ids: Vec<&str> = registry::entries().iter().map(Entry::id).collect();
        Error::Unknown { name: "bound", value: id.into(), expected: ids.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Observed;

    /// Each round's confirmation observes more than the one before.
    fn growing() -> Entry {
        let observe = |_: &Case, draw: &Draw| {
            let round: f64 = draw.purpose.rsplit(' ').next().unwrap().parse().unwrap();
            Ok(vec![Observed::Certain { value: 0.1 * (round + 1.0), rounding: 0.0 }])
        };
        Entry::new("growing", Kind::Expectation, "a number that grows", observe, |_| Ok(vec![1.0]))
    }

    fn hunt(rounds: usize, effort: Effort) -> Result<Outcome> {
        Hunt { seed: 1, stop: Stop::Evaluations(rounds * ROUND), effort }.run(&growing())
    }

    #[test]
    fn confirmations_share_the_error_probability_however_many_there_are() {
        let mut spent = 0.0;
        for k in 1..=5 {
            let outcome = hunt(k, Effort { pairs: [2; 2], networks: [2; 2] }).unwrap();
            let best = outcome.best.unwrap();
            assert!(outcome.confirmations == k && best.purpose.ends_with(&format!(" {}", k - 1)), "{}", best.purpose);
            spent += best.error_probability;
            // 1/(1·2) + … + 1/(k(k+1)) = 1 − 1/(k+1).
            let budget = FALSE_ALARM * (1.0 - 1.0 / (k as f64 + 1.0));
            assert!((spent / budget - 1.0).abs() < 1e-12, "{k}: {spent:e}");
        }
    }

    #[test]
    fn an_effort_without_samples_is_refused() {
        for few in [[0, 0], [1, 1000], [1000, 1]] {
            let most = [1000; 2];
            for effort in [Effort { pairs: few, networks: most }, Effort { pairs: most, networks: few }] {
                let refused = hunt(1, effort).unwrap_err().to_string();
                assert!(refused.contains("expected at least 2"), "{refused}");
            }
        }
    }
}
