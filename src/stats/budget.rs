//! The error budget of the test suite: every statistical test's false-alarm probability stands here, and nowhere else.

/// Probability with which each test of the suite rejects a program without fault. The sum is at most 10⁻⁶.
pub const BUDGET: &[(&str, f64)] = &[
    ("kernel mean and variance, standard", 1e-7),
    ("kernel mean and variance, antisymmetric", 1e-7),
    ("output variance at initialisation", 1e-7),
    ("gradient norm at initialisation", 1e-7),
    ("function rate", 1e-7),
    ("gradient rate", 1e-7),
    ("direction rate", 1e-7),
    ("boundary term", 1e-7),
    ("duals by Monte Carlo", 9e-8),
    ("kernel variance by Monte Carlo", 9e-8),
    ("bounds at finite width", 1e-8),
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
        // The rows add up to 9.9·10⁻⁷, with one rounding each.
        assert!(total <= 1e-6 * (1.0 + 16.0 * f64::EPSILON), "{total}");
        for (index, (name, _)) in BUDGET.iter().enumerate() {
            assert!(BUDGET[..index].iter().all(|row| row.0 != *name), "{name} twice");
        }
    }
}
