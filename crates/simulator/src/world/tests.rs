use super::*;

const START: UnixMillis = UnixMillis(1_795_316_820_000);
const PROVIDERS: [Provider; 4] = [Provider::Stripe, Provider::Adyen, Provider::Checkout, Provider::Canonical];

fn payments(world: &World, disturbance: Option<Disturbance>, count: u64) -> Vec<Payment> {
    (0..count).map(|index| world.payment(index, START, disturbance)).collect()
}

#[test]
fn the_same_seed_and_start_give_the_same_payments_in_any_order() {
    let [one, other] = [1, 1].map(|seed| World::new(seed, START, &PROVIDERS));
    let forwards = payments(&one, None, 500);
    let mut backwards: Vec<Payment> = (0..500).rev().map(|index| other.payment(index, START, None)).collect();
    backwards.reverse();
    assert_eq!(format!("{forwards:?}"), format!("{backwards:?}"));
}

#[test]
fn another_start_changes_the_ids_and_nothing_else() {
    let now = World::new(1, START, &PROVIDERS).payment(5, START, None);
    let mut later = World::new(1, UnixMillis(START.0 + 1), &PROVIDERS).payment(5, START, None);
    assert_ne!(later.token, now.token);
    later.token = now.token;
    assert_eq!(format!("{later:?}"), format!("{now:?}"));
}

#[test]
fn another_seed_is_another_world() {
    let [one, other] = [1, 2].map(|seed| World::new(seed, START, &PROVIDERS));
    assert_ne!(format!("{:?}", one.payment(0, START, None)), format!("{:?}", other.payment(0, START, None)));
}

#[test]
fn ordinary_times_decline_about_one_payment_in_fourteen() {
    let world = World::new(3, START, &PROVIDERS);
    let all = payments(&world, None, 6_000);
    let refused = all.iter().filter(|payment| payment.answer != Answer::Approved).count();
    let share = refused as f64 / all.len() as f64;
    assert!((0.04..0.10).contains(&share), "{share}");
    for (source, provider) in PROVIDERS.iter().enumerate() {
        assert!(all.iter().any(|payment| payment.source == source), "{provider} gets no payments");
    }
}

#[test]
fn an_outage_touches_its_issuer_and_nobody_else() {
    let world = World::new(4, START, &PROVIDERS);
    let calm = payments(&world, None, 6_000);
    let disturbed = payments(&world, Some(Disturbance::IssuerDown { rank: 2, share: 0.9 }), 6_000);
    let (mut of_issuer, mut down) = (0, 0);
    for (before, after) in calm.iter().zip(&disturbed) {
        if after.card.issuer.rank == 2 {
            of_issuer += 1;
            down += i32::from(after.answer == Answer::Refused(DeclineReason::IssuerUnavailable));
        } else {
            assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
    }
    let share = f64::from(down) / f64::from(of_issuer);
    assert!((0.85..0.95).contains(&share), "{share}");
}

#[test]
fn a_world_without_sources_is_no_reason_to_panic() {
    let _ = World::new(1, START, &[]).payment(0, START, None);
}
