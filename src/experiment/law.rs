//! The law of a network, said in the words of theory.

use crate::error::Result;
use crate::network::{Initialisation, Readout};
use crate::theory::bound::{NetworkLaw, ReadoutLaw};

/// The distribution of the readouts, in the words of theory.
#[must_use]
pub fn readout_law(readout: Readout) -> ReadoutLaw {
    match readout {
        Readout::Gaussian => ReadoutLaw::Gaussian,
        Readout::Rademacher => ReadoutLaw::Rademacher,
    }
}

/// The law of an initial network of `width` neurons (N1), in the words of theory.
///
/// # Errors
/// A width that the initialisation does not allow: 0, or an odd one for antisymmetric pairs.
pub fn network_law(width: usize, initialisation: Initialisation, readout: Readout) -> Result<NetworkLaw> {
    match initialisation {
        Initialisation::Standard => NetworkLaw::standard(width, readout_law(readout)),
        Initialisation::Antisymmetric => NetworkLaw::antisymmetric(width, readout_law(readout)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_initialisations_and_readouts_keep_their_names() {
        for (init, paired) in [(Initialisation::Standard, false), (Initialisation::Antisymmetric, true)] {
            for (readout, law) in
                [(Readout::Gaussian, ReadoutLaw::Gaussian), (Readout::Rademacher, ReadoutLaw::Rademacher)]
            {
                let found = network_law(6, init, readout).unwrap();
                assert_eq!((found.width(), found.readout(), found.starts_at_zero()), (6, law, paired));
            }
        }
        assert!(network_law(5, Initialisation::Antisymmetric, Readout::Gaussian).is_err());
    }
}
