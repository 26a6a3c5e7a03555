//! The error budget of the test suite: every test with a stated probability of a false alarm has it from here alone.
//!
//! It covers the verdicts that refute a theory or a program: with other seeds throughout, a suite without fault would fail by one of them
//! with at most the sum of the probabilities, as far as the approximations named in the tests hold (the skewness of values, terms of higher order). Not covered
//! are demands on the tests themselves, which random numbers decide too: that a planted fault is rejected (its power), that a sample is
//! large or hard enough to tell anything, and the unit tests of intervals and streams. Seeds are fixed, so such a demand fails when it is written, or never.

/// Probability with which each such test of the suite rejects a program without fault. The sum is at most 10⁻⁶.
pub const BUDGET: &[(&str, f64)] = &[
    ("kernel mean and variance, standard", 4e-8),
    ("kernel mean and variance, antisymmetric", 4e-8),
    ("output variance at initialisation", 4e-8),
    ("gradient norm at initialisation", 4e-8),
    ("function rate", 4e-8),
    ("gradient rate", 4e-8),
    ("direction rate", 4e-8),
    ("boundary term", 4e-8),
    ("duals by Monte Carlo", 3e-8),
    ("kernel variance by Monte Carlo", 3e-8),
    ("bounds at finite width", 1e-8),
    ("certificates from samples", 5e-8),
    ("power: mean of the initial kernel", 2e-8),
    ("power: variance of the initial kernel", 2e-8),
    ("power: variance of the drawn kernel", 2e-8),
    ("power: output at initialisation", 2e-8),
    ("power: change by training", 2e-8),
    ("power: gradient after training", 2e-8),
    ("power: targets", 1e-8),
    ("power: second network given the first", 2e-8),
    ("power: bounds at finite width", 2e-8),
    ("power: drift", 2e-8),
    ("power: rate of the gradient", 1e-8),
    ("counterexample hunter", 5e-8),
    ("flip probability", 1e-8),
    ("coupled losses", 2e-8),
    ("gradients and pairs", 3e-8),
    ("width: Gaussian readouts", 1e-8),
    ("width: moments of the drift", 1e-8),
    ("width: limit of the mean drift", 1e-8),
    ("width: flips", 1e-8),
    ("width: covariance", 2e-8),
    ("gradients: moments", 3e-8),
    ("gradients: inputs of the second network", 1e-8),
    ("gradients: limit of the fluctuation", 1e-8),
    ("gradients: limit of the second network", 1e-8),
    ("gradients: second limit from pairs", 1e-8),
    ("expected deviations", 1e-8),
    ("signs of wide networks", 1e-8),
    ("start under standard initialisation", 2e-8),
];

/// The false-alarm probability of a test.
///
/// # Panics
/// If the table has no such test.
#[must_use]
pub fn alpha(test: &str) -> f64 {
    let row = BUDGET.iter().find(|(name, _)| *name == test);
    row.unwrap_or_else(|| panic!("no error budget for '{test}'")).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_adds_up_to_at_most_one_in_a_million_and_names_are_unique() {
        let total: f64 = BUDGET.iter().map(|row| row.1).sum();
        assert!(total <= 1e-6, "{total}");
        for (index, (name, _)) in BUDGET.iter().enumerate() {
            assert!(BUDGET[..index].iter().all(|row| row.0 != *name), "{name} twice");
        }
    }
}
