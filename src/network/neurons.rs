//! Initial networks: drawn from named streams neuron by neuron, or given.

use nalgebra::DMatrix;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::random::Streams;

/// How the hidden layer is paired at initialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Initialisation {
    /// All neurons independent: f_0 is random and does not shrink with width.
    Standard,
    /// Neurons in pairs with equal hidden weights and opposite readouts: f ≡ 0 and ∇f ≡ 0 at initialisation. The width
    /// is even, and only half of the neurons are independent.
    Antisymmetric,
}

/// The distribution of the frozen readout a_i.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// a_i ~ N(0, 1/m).
    Gaussian,
    /// a_i = ±1/√m with equal probability.
    Rademacher,
}

/// All weights of a network: `hidden` holds w̃_i = (w_i, b_i), neuron after neuron, `readout` holds a_i.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    input_dim: usize,
    hidden: Vec<f64>,
    readout: Vec<f64>,
}

impl Weights {
    /// Weights from a `d × m` matrix of hidden weights (one neuron per column: NumPy's `m × d`), biases and readouts.
    ///
    /// # Errors
    /// Lengths that do not fit; no neuron; an entry that is NaN or infinite.
    pub fn new(hidden: &DMatrix<f64>, bias: &[f64], readout: Vec<f64>) -> Result<Self> {
        let (input_dim, width) = hidden.shape();
        if width == 0 || input_dim == 0 {
            return Err(Error::Empty { name: "hidden weights".into(), expected: "one neuron with one input" });
        }
        for (name, found) in [("bias", bias.len()), ("readout weights", readout.len())] {
            if found != width {
                let expected = format!("{width}, one per neuron");
                return Err(Error::Shape { name: name.into(), found: found.to_string(), expected });
            }
        }
        let mut augmented = Vec::with_capacity(width * (input_dim + 1));
        for (weights, bias) in hidden.column_iter().zip(bias) {
            augmented.extend(weights.iter());
            augmented.push(*bias);
        }
        Self::from_augmented(input_dim, augmented, readout)
    }

    /// Weights from augmented rows (w_i, b_i), neuron after neuron, and readouts.
    ///
    /// # Errors
    /// `hidden.len() ≠ readout.len()·(input_dim + 1)`; no neuron; an entry that is NaN or infinite.
    pub fn from_augmented(input_dim: usize, hidden: Vec<f64>, readout: Vec<f64>) -> Result<Self> {
        if readout.is_empty() || input_dim == 0 {
            return Err(Error::Empty { name: "network".into(), expected: "one neuron with one input" });
        }
        if input_dim.checked_add(1).and_then(|stride| stride.checked_mul(readout.len())) != Some(hidden.len()) {
            return Err(Error::Shape {
                name: "hidden weights".into(),
                found: format!("{} values", hidden.len()),
                expected: format!("{} neurons × ({input_dim} weights and a bias)", readout.len()),
            });
        }
        for (name, values, stride) in [("hidden weights", &hidden, input_dim + 1), ("readout weights", &readout, 1)] {
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                let (row, column, value) = (i / stride, i % stride, values[i]);
                return Err(Error::NotFinite { name: name.into(), row, column, value });
            }
        }
        Ok(Weights { input_dim, hidden, readout })
    }

    /// m.
    #[must_use]
    pub fn width(&self) -> usize {
        self.readout.len()
    }

    /// d.
    #[must_use]
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }

    /// w̃_i = (w_i, b_i), neuron after neuron: m·(d+1) values.
    #[must_use]
    pub fn hidden(&self) -> &[f64] {
        &self.hidden
    }

    /// The readouts a_i.
    #[must_use]
    pub fn readout(&self) -> &[f64] {
        &self.readout
    }
}

/// An initial network, described rather than stored: any block of its neurons can be made at any time, so that a
/// network of 10⁸ neurons takes no memory.
#[derive(Debug, Clone)]
pub struct Neurons {
    input_dim: usize,
    width: usize,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Readouts have the scale of a network of `scale` neurons.
    Drawn {
        streams: Streams,
        initialisation: Initialisation,
        readout: Readout,
        scale: usize,
    },
    Given(Weights),
}

impl Neurons {
    //= N1@de793693
    /// A random network: w_i ~ N(0, I/d), b_i ~ N(0, 1), readout as asked. Neuron i (for `Antisymmetric`: pair i)
    /// uses stream i of `streams`, so a wider network begins with the narrower one's hidden weights.
    ///
    /// # Errors
    /// `input_dim = 0`; `width = 0`; an odd width with `Antisymmetric`.
    pub fn draw(
        input_dim: usize,
        width: usize,
        initialisation: Initialisation,
        readout: Readout,
        streams: Streams,
    ) -> Result<Self> {
        if input_dim == 0 {
            return Err(Error::Scalar { name: "input dimension", value: 0.0, expected: "at least 1" });
        }
        let odd = initialisation == Initialisation::Antisymmetric && !width.is_multiple_of(2);
        if width == 0 || odd {
            let expected = if odd { "an even number for antisymmetric pairs" } else { "at least 1" };
            return Err(Error::Scalar { name: "width", value: width as f64, expected });
        }
        Ok(Neurons { input_dim, width, source: Source::Drawn { streams, initialisation, readout, scale: width } })
    }

    /// These neurons as a sample of the neurons of a network of another width: readouts of variance 1/`width`.
    ///
    /// # Errors
    /// `width = 0`; given weights, which have no law.
    pub fn sampled_from_width(mut self, width: usize) -> Result<Self> {
        match &mut self.source {
            Source::Drawn { scale, .. } if width > 0 => *scale = width,
            Source::Drawn { .. } => {
                return Err(Error::Scalar { name: "width", value: 0.0, expected: "at least 1" });
            }
            Source::Given(_) => {
                let reason = "given weights are no sample of wider networks".into();
                return Err(Error::Numerical { routine: "sampling of neurons", reason });
            }
        }
        Ok(self)
    }

    /// A network with given weights.
    #[must_use]
    pub fn given(weights: Weights) -> Self {
        Neurons { input_dim: weights.input_dim(), width: weights.width(), source: Source::Given(weights) }
    }

    /// m.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// d.
    #[must_use]
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }

    /// How many consecutive neurons share their hidden weights: 2 for antisymmetric pairs, else 1.
    #[must_use]
    pub fn multiplicity(&self) -> usize {
        match &self.source {
            Source::Drawn { initialisation: Initialisation::Antisymmetric, .. } => 2,
            _ => 1,
        }
    }

    /// Writes neurons `first .. first + readout.len()`: `hidden` receives (w_i, b_i) per neuron, `readout` a_i.
    ///
    /// # Panics
    /// If the range leaves the network or `hidden.len() ≠ readout.len()·(d+1)`.
    pub fn fill(&self, first: usize, hidden: &mut [f64], readout: &mut [f64]) {
        let stride = self.input_dim + 1;
        assert_eq!(hidden.len(), readout.len() * stride, "a block of hidden weights");
        assert!(first + readout.len() <= self.width, "neurons beyond the width");
        match &self.source {
            Source::Given(weights) => {
                hidden.copy_from_slice(&weights.hidden[first * stride..][..hidden.len()]);
                readout.copy_from_slice(&weights.readout[first..][..readout.len()]);
            }
            Source::Drawn { streams, initialisation, readout: distribution, scale } => {
                let weight_scale = 1.0 / (self.input_dim as f64).sqrt();
                let readout_scale = 1.0 / (*scale as f64).sqrt();
                for (offset, (row, a)) in hidden.chunks_exact_mut(stride).zip(readout).enumerate() {
                    let index = first + offset;
                    let (stream, sign) = match initialisation {
                        Initialisation::Standard => (index, 1.0),
                        Initialisation::Antisymmetric => (index / 2, if index.is_multiple_of(2) { 1.0 } else { -1.0 }),
                    };
                    let mut rng = streams.stream(stream as u64);
                    // The readout first, so that it does not depend on the input dimension.
                    let z: f64 = StandardNormal.sample(&mut rng);
                    let unit = match distribution {
                        Readout::Gaussian => z,
                        Readout::Rademacher => 1.0_f64.copysign(z),
                    };
                    *a = sign * readout_scale * unit;
                    let (bias, weights) = row.split_last_mut().expect("a neuron has at least a bias");
                    *bias = StandardNormal.sample(&mut rng);
                    for w in weights {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        *w = weight_scale * z;
                    }
                }
            }
        }
    }

    /// All weights at once (m·(d+2) numbers).
    #[must_use]
    pub fn weights(&self) -> Weights {
        let mut hidden = vec![0.0; self.width * (self.input_dim + 1)];
        let mut readout = vec![0.0; self.width];
        self.fill(0, &mut hidden, &mut readout);
        Weights { input_dim: self.input_dim, hidden, readout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, initialisation: Initialisation, readout: Readout) -> Weights {
        Neurons::draw(3, width, initialisation, readout, Streams::new(1, "test")).unwrap().weights()
    }

    #[test]
    fn blocks_agree_with_the_whole() {
        let neurons =
            Neurons::draw(3, 10, Initialisation::Antisymmetric, Readout::Gaussian, Streams::new(1, "t")).unwrap();
        let whole = neurons.weights();
        let (mut hidden, mut readout) = (vec![0.0; 5 * 4], vec![0.0; 5]);
        neurons.fill(3, &mut hidden, &mut readout);
        assert_eq!(hidden, whole.hidden()[12..32]);
        assert_eq!(readout, whole.readout()[3..8]);
    }

    #[test]
    fn lengths_that_would_overflow_do_not_fit() {
        for (hidden, readout) in [(vec![], vec![1.0]), (vec![0.0; 2], vec![1.0; 2])] {
            let found = Weights::from_augmented(usize::MAX, hidden, readout);
            assert!(matches!(found, Err(Error::Shape { .. })));
        }
    }

    //= test N1@de793693
    #[test]
    fn antisymmetric_pairs_share_hidden_weights_and_cancel() {
        let weights = drawn(6, Initialisation::Antisymmetric, Readout::Gaussian);
        for pair in 0..3 {
            assert_eq!(weights.hidden()[8 * pair..][..4], weights.hidden()[8 * pair + 4..][..4]);
            assert_eq!(weights.readout()[2 * pair], -weights.readout()[2 * pair + 1]);
        }
    }

    //= test N1@de793693
    #[test]
    fn readouts_have_the_stated_scale() {
        let weights = drawn(16, Initialisation::Standard, Readout::Rademacher);
        assert!(weights.readout().iter().all(|a| a.abs() == 0.25));
        assert!(weights.readout().iter().any(|a| *a > 0.0) && weights.readout().iter().any(|a| *a < 0.0));
    }

    #[test]
    fn a_sample_has_the_readouts_of_the_wider_network() {
        let draw = || Neurons::draw(3, 4, Initialisation::Antisymmetric, Readout::Rademacher, Streams::new(1, "t"));
        let sample = draw().unwrap().sampled_from_width(100).unwrap().weights();
        assert!(sample.readout().iter().all(|a| a.abs() == 0.1));
        assert_eq!(sample.hidden(), draw().unwrap().weights().hidden());
        assert!(draw().unwrap().sampled_from_width(0).is_err());
        assert!(Neurons::given(sample).sampled_from_width(5).is_err());
    }

    #[test]
    fn odd_antisymmetric_and_empty_networks_are_rejected() {
        let draw = |width, init| Neurons::draw(3, width, init, Readout::Gaussian, Streams::new(1, "t"));
        assert!(draw(3, Initialisation::Antisymmetric).is_err());
        assert!(draw(0, Initialisation::Standard).is_err());
        assert!(draw(3, Initialisation::Standard).is_ok());
    }
}
