//! What the lines of a file hold, and their checksums.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::experiment::paper::parameters::{Parameters, digest};
use crate::experiment::paper::pipeline::Merits;
use crate::experiment::paper::plan::{ImageSet, Plan, Request};

/// One part of a sweep: number `index` of `count`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    /// How many parts there are.
    pub count: usize,
}

impl Shard {
    /// The whole sweep.
    pub const WHOLE: Shard = Shard { index: 1, count: 1 };
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// From "I/K" with 1 ≤ I ≤ K.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(i, k)| Some((i.parse().ok()?, k.parse().ok()?)));
        match parsed {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err("expected I/K with 1 <= I <= K, for instance 2/8".into()),
        }
    }
}

/// The first line: what the file belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// What is run.
    pub sweep: Request,
    /// Which part of it the file holds.
    pub shard: Shard,
    /// Runs of the whole sweep.
    pub runs: usize,
    /// Digest of the ids of the whole sweep.
    pub digest: String,
}

impl Header {
    /// The header of a shard of a planned request.
    #[must_use]
    pub fn new(request: &Request, plan: &Plan, shard: Shard) -> Self {
        Header { sweep: request.clone(), shard, runs: plan.runs.len(), digest: plan.digest() }
    }

    /// Which options a file with this header was made with that differ from those of the present call.
    pub(super) fn differences(&self, call: &Header) -> String {
        let differing = self.options().into_iter().zip(call.options()).filter(|(a, b)| a != b);
        let (mut of_file, mut of_call): (Vec<String>, Vec<String>) = differing.unzip();
        // Other figures and another scale mean other images.
        if of_file.is_empty() && self.sweep.images != call.sweep.images {
            of_file.push(format!("the images {}", self.images()));
            of_call.push(format!("the images {}", call.images()));
        }
        if of_file.is_empty() {
            return "was made with another list of runs, by another version of this program".into();
        }
        format!("was made with {}; this call has {}", of_file.join(", "), of_call.join(", "))
    }

    /// The options that define it, as on the command line.
    fn options(&self) -> [String; 8] {
        let Request { figures, panels, first_seed, seeds, scale, precision, limits, images: _ } = &self.sweep;
        let Shard { index, count } = self.shard;
        [
            if self.shard == Shard::WHOLE { "no --shard".into() } else { format!("--shard {index}/{count}") },
            figures.iter().map(word).collect::<Vec<_>>().join(" "),
            match &panels[..] {
                [] => "no --panel".into(),
                panels => format!("--panel {}", panels.iter().map(word).collect::<Vec<_>>().join(" --panel ")),
            },
            format!("--scale {}", word(scale)),
            format!("--seed {first_seed}"),
            format!("--seeds {seeds}"),
            format!("--precision {}", word(precision)),
            if *limits { "no --without-theory" } else { "--without-theory" }.into(),
        ]
    }

    fn images(&self) -> String {
        let image =
            |set: &ImageSet| format!("{} {} ({} × {})", word(&set.name), set.digest, set.train_count, set.input_dim);
        self.sweep.images.iter().map(image).collect::<Vec<_>>().join(", ")
    }
}

/// A value of an option as on the command line.
fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_string()));
    text.unwrap_or_default()
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`Parameters::id`].
    pub id: String,
    /// What defines the run.
    pub parameters: Parameters,
    /// What came out, unless the run failed.
    pub merits: Option<Merits>,
    /// Why it failed (a descent that diverged).
    pub failure: Option<String>,
}

impl Record {
    /// A record of a run that ended.
    ///
    /// # Errors
    /// As [`Parameters::id`].
    pub fn new(parameters: Parameters, outcome: std::result::Result<Merits, String>) -> Result<Self> {
        let (merits, failure) = match outcome {
            Ok(merits) => (Some(merits), None),
            Err(failure) => (None, Some(failure)),
        };
        Ok(Record { id: parameters.id()?, parameters, merits, failure })
    }
}

/// A value with the digest of its JSON form.
#[derive(Serialize)]
struct Checked<'a, T> {
    #[serde(flatten)]
    value: &'a T,
    check: String,
}

/// A line with its checksum, newline included.
pub(super) fn to_line<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let check = digest(serde_json::to_string(value)?.as_bytes());
    Ok(format!("{}\n", serde_json::to_string(&Checked { value, check })?))
}

/// The value of a line; the reason if it is damaged.
pub(super) fn from_line<T: Serialize + for<'de> Deserialize<'de>>(line: &str) -> std::result::Result<T, String> {
    let (text, check) = line
        .strip_suffix("\"}")
        .and_then(|rest| rest.rsplit_once(",\"check\":\""))
        .ok_or("no checksum at its end; expected a line of JSON that ends with one")?;
    let text = format!("{text}}}");
    let found = digest(text.as_bytes());
    if found != check {
        return Err(format!("its content has checksum {found}; expected {check}"));
    }
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_written_as_fractions() {
        assert_eq!("2/8".parse(), Ok(Shard { index: 2, count: 8 }));
        for bad in ["0/3", "4/3", "1", "a/b", "1/0", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
