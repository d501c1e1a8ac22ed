//! What must not change a comparison: the unit, the order of blocks, which arm is called baseline.

use proptest::prelude::*;

use super::compare::speedup;
use super::metric::Better;

fn pairs() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((1e-3..1e3, 1e-3..1e3), 2..40)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn scaling_all_times_changes_nothing(pairs in pairs(), c in 1e-6..1e6) {
        let scaled: Vec<_> = pairs.iter().map(|(b, v)| (b * c, v * c)).collect();
        let (a, b) = (speedup(&pairs, Better::Lower, 0.95), speedup(&scaled, Better::Lower, 0.95));
        prop_assert_eq!(a.is_some(), b.is_some());
        if let (Some(a), Some(b)) = (a, b) {
            prop_assert!(near(a.estimate.point, b.estimate.point));
            prop_assert!(near(a.estimate.low, b.estimate.low));
            prop_assert!(near(a.estimate.high, b.estimate.high));
            prop_assert!(near(a.p_value, b.p_value) && near(a.mde, b.mde));
        }
    }

    #[test]
    fn swapping_the_arms_inverts_the_speedup(pairs in pairs()) {
        let swapped: Vec<_> = pairs.iter().map(|(b, v)| (*v, *b)).collect();
        let (a, b) = (speedup(&pairs, Better::Lower, 0.95), speedup(&swapped, Better::Lower, 0.95));
        if let (Some(a), Some(b)) = (a, b) {
            prop_assert!(near(a.estimate.point * b.estimate.point, 1.0));
            prop_assert!(near(a.estimate.low * b.estimate.high, 1.0));
            prop_assert_eq!(a.estimate.method, b.estimate.method);
            prop_assert!(near(a.p_value, b.p_value));
        }
    }

    #[test]
    fn block_order_does_not_matter_at_all(pairs in pairs().prop_shuffle(), by in 0usize..40) {
        let mut turned = pairs.clone();
        turned.rotate_left(by % pairs.len());
        turned.reverse();
        prop_assert_eq!(
            speedup(&pairs, Better::Higher, 0.95),
            speedup(&turned, Better::Higher, 0.95)
        );
    }

    #[test]
    fn every_pair_twice_keeps_the_point_and_lowers_the_detectable_effect(pairs in pairs()) {
        let twice: Vec<_> = pairs.iter().flat_map(|p| [*p, *p]).collect();
        let (a, b) = (speedup(&pairs, Better::Lower, 0.95), speedup(&twice, Better::Lower, 0.95));
        if let (Some(a), Some(b)) = (a, b) {
            let n = pairs.len() as f64;
            prop_assert!(near(a.estimate.point, b.estimate.point));
            prop_assert!(near(a.sd_log * ((2.0 * n - 2.0) / (2.0 * n - 1.0)).sqrt(), b.sd_log));
            prop_assert!(b.mde <= a.mde);
        }
    }

    #[test]
    fn any_numbers_at_all_never_panic(
        pairs in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20),
        level in any::<f64>(),
    ) {
        if let Some(c) = speedup(&pairs, Better::Lower, level) {
            let e = c.estimate;
            prop_assert!(0.0 < e.low && e.low <= e.point && e.point <= e.high);
            prop_assert!(e.high.is_finite() && (0.0..=1.0).contains(&c.p_value));
        }
    }
}
