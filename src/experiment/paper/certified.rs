//! Where a proof says that g has the sign of f.

use super::parameters::Parameters;
use crate::error::Result;
use crate::loss::StandardLoss;
use crate::network::Initialisation;
use crate::problem::{Points, Slope, TrainingSet};
use crate::theory::bound::{NetworkLaw, ReadoutLaw, certificate_given_f};

/// Probability that any certified sign is wrong, over the draw of g.
pub const FAILURE_PROBABILITY: f64 = 0.01;
/// Narrower networks are given none: at the times of the paper's figures they are far from any.
const NARROWEST: usize = 1000;
/// Training points up to which a certificate is computed: it takes matrices of N² numbers and as many arctangents.
const TRAIN_COUNT_MAX: usize = 500;

/// Whether a certificate is computed for runs of these parameters. `Standard` networks are given none: besides all that
/// antisymmetric ones need, their bound pays for the start of g (W11), which does not shrink with the width.
#[must_use]
pub fn has_certificate(run: &Parameters) -> bool {
    run.loss == StandardLoss::Identity
        && run.initialisation == Initialisation::Antisymmetric
        && run.width >= NARROWEST
        && run.train_count <= TRAIN_COUNT_MAX
        && run.epsilon > 0.0
}

/// The share of test points at which sgn g = sgn f was certain, up to [`FAILURE_PROBABILITY`] for all of them together,
/// when f had been trained and g not yet drawn (A2); for a g trained by exact gradient flow for the run's time T'.
///
/// Inputs: the run, the perturbed training set, f at the test points, T'. `None` where [`has_certificate`] says so.
///
/// # Errors
/// Shapes that do not fit; a time that is negative or not finite.
pub fn certified_share(
    run: &Parameters,
    perturbed: &TrainingSet,
    test: &Points,
    first: &[f64],
    time_perturbed: f64,
) -> Result<Option<f64>> {
    if !has_certificate(run) {
        return Ok(None);
    }
    let law = NetworkLaw::antisymmetric(run.width, ReadoutLaw::Gaussian)?;
    let slope = Slope::new(run.slope)?;
    let found = certificate_given_f(perturbed, slope, test, first, law, time_perturbed, FAILURE_PROBABILITY)?;
    Ok(Some(found.share()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Synthetic, synthetic};
    use crate::experiment::paper::parameters::DataName;
    use crate::experiment::paper::tests::example;
    use crate::network::outputs;
    use crate::theory::perturbed_points;

    /// A run of `width`, with f trained and the points of g made, certified for a g that is trained for `time`.
    fn share(initialisation: Initialisation, width: usize, time: f64) -> Option<f64> {
        let sizes = Parameters { data: DataName::ShiftedGauss, input_dim: 20, train_count: 60, width, ..example() };
        let run = Parameters { initialisation, epsilon: 0.5, ..sizes };
        let data = synthetic(Synthetic::ShiftedGauss, 20, 60, 40, 0).unwrap();
        let (recipe, targets) = (run.recipe().unwrap(), run.draw_targets());
        let f = recipe.train_f(&run.neurons("f/neurons").unwrap(), &data.train).unwrap().trained.weights;
        let moved = recipe.perturb(&f, data.train.points(), &targets).unwrap();
        let perturbed = perturbed_points(data.train.points(), &moved, run.scenario).unwrap();
        let first = outputs(&f, recipe.slope, &data.test).unwrap();
        let set = TrainingSet::new(perturbed, targets).unwrap();
        certified_share(&run, &set, &data.test, &first, time).unwrap()
    }

    #[test]
    fn wide_antisymmetric_networks_are_certified_for_short_times_only() {
        let antisymmetric = Initialisation::Antisymmetric;
        assert!(share(antisymmetric, 20_000, 0.1).unwrap() > 0.5);
        assert_eq!(share(antisymmetric, 1000, 1000.0), Some(0.0));
        assert_eq!(share(Initialisation::Standard, 20_000, 0.1), None);
        assert_eq!(share(antisymmetric, 100, 0.1), None);
    }
}
