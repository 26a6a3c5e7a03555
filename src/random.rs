//! Named random streams: every random number comes from a ChaCha stream with a seed, a purpose and an index.
//!
//! The key of a stream is SHA-256 of the seed and the purpose's name, the index is ChaCha's stream number. Streams of
//! different purposes (`"f/neurons"`, `"targets"`, …) are therefore independent for all practical ends, and neuron 7 is
//! the same whatever the width, the block size or the number of threads.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// A family of ChaCha8 streams for one purpose.
#[derive(Debug, Clone)]
pub struct Streams {
    key: [u8; 32],
}

impl Streams {
    /// The streams of `purpose` under `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(purpose.as_bytes());
        Streams { key: hash.finalize().into() }
    }

    /// The generator with the given index, from its start.
    #[must_use]
    pub fn stream(&self, index: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::from_seed(self.key);
        rng.set_stream(index);
        rng
    }
}

/// n labels ±1, uniform and independent: the random targets y'_n of the perturbation experiment.
///
/// One stream gives all of them, so the first n targets do not depend on how many are drawn.
#[must_use]
pub fn random_signs(streams: &Streams, count: usize) -> Vec<f64> {
    use rand::RngExt;
    let mut rng = streams.stream(0);
    (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect()
}

/// n labels ±1 in uniformly random order, ⌈n/2⌉ of them +1: balanced targets.
#[must_use]
pub fn balanced_signs(streams: &Streams, count: usize) -> Vec<f64> {
    use rand::seq::SliceRandom;
    let mut signs: Vec<f64> = (0..count).map(|n| if n.is_multiple_of(2) { 1.0 } else { -1.0 }).collect();
    signs.shuffle(&mut streams.stream(0));
    signs
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_differ_by_seed_purpose_and_index_and_repeat_exactly() {
        let first = |seed, purpose, index| Streams::new(seed, purpose).stream(index).next_u64();
        let base = first(1, "a", 0);
        assert_eq!(base, first(1, "a", 0));
        assert!([first(2, "a", 0), first(1, "b", 0), first(1, "a", 1)].iter().all(|v| *v != base));
    }

    #[test]
    fn random_signs_are_prefix_stable() {
        let streams = Streams::new(3, "targets");
        assert_eq!(random_signs(&streams, 5), random_signs(&streams, 50)[..5]);
    }

    #[test]
    fn balanced_signs_cancel_and_are_shuffled() {
        let streams = Streams::new(3, "targets");
        let signs = balanced_signs(&streams, 1000);
        assert_eq!((signs.iter().sum::<f64>(), balanced_signs(&streams, 7).iter().sum::<f64>()), (0.0, 1.0));
        // An alternating order would have 999 changes; a random one has 500 ± 16.
        let changes = signs.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((400..600).contains(&changes), "{changes}");
    }
}
