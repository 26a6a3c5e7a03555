//! Whether one group of values is smaller than another, by exchanging their members at random.

use rand::RngExt;

use crate::random::Streams;

/// How often a random exchange of members makes mean(a) − mean(b) as small as it is, and as large: two p-values, for fewer and for more, of
/// the hypothesis that all values are independent and of one law. They are valid for any law and number of values, and at least
/// 1/(1 + `draws`). Without values in a group both are 1.
#[must_use]
pub fn permutation_tails(a: &[f64], b: &[f64], draws: u32, streams: &Streams) -> (f64, f64) {
    if a.is_empty() || b.is_empty() {
        return (1.0, 1.0);
    }
    // As the sum of all stays, the sum of the smaller group decides.
    let swapped = a.len() > b.len();
    let (few, many) = if swapped { (b, a) } else { (a, b) };
    let mut values = [few, many].concat();
    let found: f64 = few.iter().sum();
    // Sums of the same members in another order count as equal.
    let slack = 1e-12 * values.iter().map(|value| value.abs()).sum::<f64>();
    let mut stream = streams.stream(0);
    let (mut below, mut above) = (1_u32, 1_u32);
    for _ in 0..draws {
        for place in 0..few.len() {
            let other = stream.random_range(place..values.len());
            values.swap(place, other);
        }
        let sum: f64 = values[..few.len()].iter().sum();
        below += u32::from(sum <= found + slack);
        above += u32::from(sum >= found - slack);
    }
    let [below, above] = [below, above].map(|count| f64::from(count) / (1.0 + f64::from(draws)));
    if swapped { (above, below) } else { (below, above) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_shares_of_the_exchanges() {
        let tails = |a: &[f64], b: &[f64]| permutation_tails(a, b, 100_000, &Streams::new(1, "stats/permutation"));
        // Two of {0, 1, 2, 3, 4}: ten pairs, of which one has the sum 1 and two at most 2.
        let near = |found: f64, share: f64| (found - share).abs() < 0.006;
        let (fewer, more) = tails(&[0.0, 1.0], &[2.0, 3.0, 4.0]);
        assert!(near(fewer, 0.1) && near(more, 1.0), "{fewer} {more}");
        let (fewer, more) = tails(&[0.0, 2.0], &[1.0, 3.0, 4.0]);
        assert!(near(fewer, 0.2) && near(more, 0.9), "{fewer} {more}");
        // The larger group first.
        let (fewer, more) = tails(&[2.0, 3.0, 4.0], &[0.0, 1.0]);
        assert!(near(fewer, 1.0) && near(more, 0.1), "{fewer} {more}");
        // Equal values, whose sums round differently, say nothing; nor does nothing.
        assert_eq!(tails(&[0.1, 0.1, 0.1], &[0.1; 7]), (1.0, 1.0));
        assert_eq!(tails(&[], &[1.0]), (1.0, 1.0));
        // What never happens by chance is no impossibility.
        assert_eq!(tails(&[0.0; 20], &[1.0; 20]).0, 1.0 / 100_001.0);
    }
}
