//! Quantiles of what was measured.

/// The smallest value that this share of all does not exceed (nearest rank); `None` of nothing.
pub(crate) fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<Duration> = (1..=60).map(Duration::from_millis).collect();
        let told = [0.5, 0.99, 1.0].map(|share| quantile(&sorted, share).map(|value| value.as_millis()));
        assert_eq!(told, [Some(30), Some(60), Some(60)]);
        assert_eq!(quantile(&sorted[..1], 0.5), Some(Duration::from_millis(1)));
    }
}
