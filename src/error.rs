//! The one error type of the library: every variant says which predicate failed, and on which value.

use std::path::PathBuf;

/// What can be wrong with an input. No function of this crate panics on bad input or returns NaN for it, but where its
/// documentation says so: a caller's mistake, such as lengths that differ, may be a panic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// slope < 0, slope ≥ 1 or NaN.
    #[error("slope is {value}; expected a number in [0, 1)")]
    Slope {
        /// The rejected slope.
        value: f64,
    },
    /// A scalar argument lies outside its domain.
    #[error("{name} is {value}; expected {expected}")]
    Scalar {
        /// The argument's name, as in the documentation.
        name: &'static str,
        /// The rejected value.
        value: f64,
        /// The domain, in words.
        expected: &'static str,
    },
    /// A word that is none of those expected.
    #[error("{name} is '{value}'; expected one of {expected}")]
    Unknown {
        /// What was chosen.
        name: &'static str,
        /// The word found.
        value: String,
        /// The words expected.
        expected: String,
    },
    /// An entry of an array is NaN or infinite.
    #[error("{name}: row {row}, column {column} is {value}; expected a finite number")]
    NotFinite {
        /// Which array.
        name: String,
        /// Zero-based row (the data point).
        row: usize,
        /// Zero-based column (the coordinate).
        column: usize,
        /// The rejected value.
        value: f64,
    },
    /// A point is so long that products of four of its norms would overflow.
    #[error("{name}: row {row} has Euclidean norm {norm:e}; expected at most {limit:e}")]
    NormTooLarge {
        /// Which array.
        name: String,
        /// Zero-based row.
        row: usize,
        /// The norm found.
        norm: f64,
        /// The largest norm accepted.
        limit: f64,
    },
    /// An array has the wrong shape.
    #[error("{name} has shape {found}; expected {expected}")]
    Shape {
        /// Which array.
        name: String,
        /// The shape found.
        found: String,
        /// The shape expected, in words.
        expected: String,
    },
    /// A collection that must not be empty is empty.
    #[error("{name} is empty; expected at least {expected}")]
    Empty {
        /// Which collection.
        name: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A label is not one of the two expected values.
    #[error("{name}: row {row} has label {value}; expected {expected}")]
    Label {
        /// Which array.
        name: String,
        /// Zero-based row.
        row: usize,
        /// The rejected label.
        value: f64,
        /// The labels expected.
        expected: String,
    },
    /// The labels do not form two classes.
    #[error("{name} has {found} distinct labels ({listing}); expected exactly two classes")]
    Classes {
        /// Which array.
        name: String,
        /// How many distinct labels there are.
        found: usize,
        /// The first few of them.
        listing: String,
    },
    /// A statement does not cover the networks asked for.
    #[error("{what} does not cover {found}; expected {expected}")]
    NotCovered {
        /// Which statement.
        what: &'static str,
        /// The readouts, or whatever else, asked for.
        found: &'static str,
        /// What it covers.
        expected: &'static str,
    },
    /// A gradient vanishes (or is not finite), so that its direction, and the perturbation, is undefined.
    #[error(
        "the gradient of the {network} at training point {index} is zero or not finite (norm {norm:e}; {count} such point(s)): its perturbation is undefined"
    )]
    ZeroGradient {
        /// Which function's gradient.
        network: &'static str,
        /// The first such point.
        index: usize,
        /// Its gradient norm.
        norm: f64,
        /// How many points are concerned.
        count: usize,
    },
    /// The predictor has no finite limit as time grows.
    #[error("the {loss} loss has no finite limit at infinite time; give a finite time")]
    NoInfiniteTimeLimit {
        /// The loss's name.
        loss: String,
    },
    /// The adaptive integrator gave up.
    #[error("the dual equation could not be integrated beyond time {time:?} of {horizon:?}: {reason}")]
    Integration {
        /// The time reached.
        time: f64,
        /// The time asked for.
        horizon: f64,
        /// What went wrong.
        reason: &'static str,
    },
    /// A numerical routine failed on valid input.
    #[error("{routine} failed: {reason}")]
    Numerical {
        /// Which routine.
        routine: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// A computation would overflow or diverged.
    #[error("{what} diverged at step {step}: value {value}; reduce the learning rate or the time")]
    Diverged {
        /// What diverged.
        what: &'static str,
        /// The first step at which a value was not finite.
        step: usize,
        /// The value seen.
        value: f64,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file's content is not what its format requires.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file (or the name of the embedded file).
        path: PathBuf,
        /// Position, value found and value expected.
        problem: String,
    },
    /// A figure that cannot be drawn.
    #[error("figure {figure}: {reason}")]
    Drawing {
        /// The figure's name.
        figure: String,
        /// Position, value found and value expected.
        reason: String,
    },
    /// An error about the content of a file, with the file's name.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Error>,
    },
}

impl Error {
    /// The same error, naming the file it is about.
    #[must_use]
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Error::InFile { path: path.into(), source: Box::new(self) }
    }
}

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;
