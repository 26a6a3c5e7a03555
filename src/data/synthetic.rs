//! The two synthetic data sets of the paper's experiments.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use super::DataSet;
use crate::error::{Error, Result};
use crate::problem::{Points, TrainingSet};
use crate::random::Streams;

/// Which distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synthetic {
    /// x ~ N(0, I_d), labels ±1 at random: nothing to generalise, agreement is the point.
    Gauss,
    /// x ~ N(+0.3·1, I) with label +1, N(−0.3·1, I) with label −1, alternating, so that any even number of points has
    /// equal classes and an odd one has one more +1.
    ShiftedGauss,
}

/// How far the two classes of [`Synthetic::ShiftedGauss`] lie from the origin in every coordinate.
const SHIFT: f64 = 0.3;

impl Synthetic {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Synthetic::Gauss => "gauss",
            Synthetic::ShiftedGauss => "shifted-gauss",
        }
    }

    /// Point n with its label: each has a stream of its own, so a larger set begins with the smaller one.
    fn sample(self, streams: &Streams, n: usize, input_dim: usize, values: &mut Vec<f64>) -> f64 {
        let mut rng = streams.stream(n as u64);
        let label = match self {
            Synthetic::Gauss => {
                if rng.random::<bool>() {
                    1.0
                } else {
                    -1.0
                }
            }
            Synthetic::ShiftedGauss => {
                if n.is_multiple_of(2) {
                    1.0
                } else {
                    -1.0
                }
            }
        };
        let shift = if self == Synthetic::ShiftedGauss { SHIFT * label } else { 0.0 };
        values.extend((0..input_dim).map(|_| {
            let z: f64 = StandardNormal.sample(&mut rng);
            shift + z
        }));
        label
    }

    fn draw(self, streams: &Streams, count: usize, input_dim: usize) -> Result<(Points, Vec<f64>)> {
        let mut values = Vec::with_capacity(count * input_dim);
        let labels = (0..count).map(|n| self.sample(streams, n, input_dim, &mut values)).collect();
        Ok((Points::from_rows("synthetic points", count, input_dim, values)?, labels))
    }
}

/// `train_count` training and `test_count` fresh test points with labels, from the streams of `seed`.
///
/// # Errors
/// d = 0, fewer than two training points, no test point; random labels that all agree (tiny `gauss` sets).
pub fn synthetic(
    kind: Synthetic,
    input_dim: usize,
    train_count: usize,
    test_count: usize,
    seed: u64,
) -> Result<DataSet> {
    if train_count < 2 {
        let value = train_count as f64;
        return Err(Error::Scalar { name: "number of training points", value, expected: "at least 2" });
    }
    if input_dim == 0 || test_count == 0 {
        let name = if input_dim == 0 { "input dimension" } else { "number of test points" };
        return Err(Error::Scalar { name, value: 0.0, expected: "at least 1" });
    }
    let name = kind.name();
    let (points, labels) = kind.draw(&Streams::new(seed, &format!("data/{name}/train")), train_count, input_dim)?;
    let (test, test_labels) = kind.draw(&Streams::new(seed, &format!("data/{name}/test")), test_count, input_dim)?;
    if labels.iter().all(|y| *y == labels[0]) {
        let listing = labels[0].to_string();
        return Err(Error::Classes { name: "random labels of this seed".into(), found: 1, listing });
    }
    let train = TrainingSet::new(points, labels)?;
    Ok(DataSet { name: name.into(), train, test, test_labels: Some(test_labels) })
}
