use proptest::prelude::*;

use super::*;

const FAULTS: [Fault; 6] =
    [Fault::Unclear, Fault::Lags, Fault::Fails, Fault::Dissents, Fault::DoesNotFit, Fault::Stranger];

proptest! {
    #[test]
    fn is_set_aside_for_a_bounded_time_and_comes_back(faults in prop::collection::vec(prop::option::of(0usize..6), 1..80)) {
        let now = Instant::now();
        let mut standing = Standing { proven: true, ..Standing::default() };
        for fault in faults {
            match fault {
                Some(fault) => {
                    standing.disappointed(FAULTS[fault], now);
                }
                None => standing.answered(),
            }
            prop_assert!((0.0..=1.0).contains(&standing.fault_rate));
            prop_assert!(standing.aside_until(now + Duration::from_secs(60)).is_none());
            prop_assert!(standing.cost_ms(0).is_finite());
        }
    }
}

#[test]
fn a_chain_that_just_changed_is_borne_twice_and_a_lie_never() {
    let now = Instant::now();
    let mut honest = Standing::default();
    assert_eq!([(); 3].map(|()| honest.disappointed(Fault::Unclear, now).is_some()), [false, false, true]);
    honest.answered();
    assert_eq!(honest.disappointed(Fault::Unclear, now), None);
    let mut liar = Standing { proven: true, ..Standing::default() };
    assert_eq!(liar.disappointed(Fault::DoesNotFit, now), Some(Duration::from_secs(2)));
    assert_eq!(liar.disappointed(Fault::DoesNotFit, now), Some(Duration::from_secs(4)));
    liar.answered();
    assert_eq!(liar.disappointed(Fault::DoesNotFit, now), Some(Duration::from_secs(8)), "an answer excuses no lie");
    let later = now + Duration::from_secs(600);
    assert_eq!(liar.disappointed(Fault::DoesNotFit, later), Some(Duration::from_secs(2)));
    assert!(liar.proven);
    liar.disappointed(Fault::Stranger, now);
    assert!(!liar.proven);
}

#[test]
fn the_better_endpoint_costs_less() {
    let answered = |millis| {
        let mut standing = Standing { head: Some(100), ..Standing::default() };
        (0..50).for_each(|_| standing.timed(Duration::from_millis(millis)));
        standing
    };
    let (quick, slow) = (answered(10), answered(60));
    assert!(quick.cost_ms(100) < slow.cost_ms(100));
    let mut faulty = quick.clone();
    for _ in 0..20 {
        faulty.disappointed(Fault::Unclear, Instant::now());
    }
    assert!(faulty.cost_ms(100) > slow.cost_ms(100));
    let lagging = Standing { head: Some(99), ..quick.clone() };
    assert!(lagging.cost_ms(100) > slow.cost_ms(100));
}

#[test]
fn a_head_that_only_one_tells_moves_nobody() {
    assert_eq!(reliable_head(vec![10, 1_000_000, 11]), Some(11));
    assert_eq!(reliable_head(vec![10, 12]), Some(12));
    assert_eq!(reliable_head(vec![7]), Some(7));
    assert_eq!(reliable_head(vec![]), None);
}

#[test]
fn a_head_that_goes_back_is_noticed() {
    let mut standing = Standing::default();
    assert_eq!([5, 6, 6, 4, 5].map(|head| standing.told_head(head)), [None, None, None, Some(6), None]);
}
