//! The engine under anything that may happen, made up by a property test that knows what is likely to
//! hurt: more failures than a fuzzer draws, answers that come twice, hosts that go down and come back.
//! What must hold at all times, once all is well, and when all is gone is in the checks, which the fuzz
//! targets share. What is found here is shrunk, and a seed of theirs need not be made of it.

use crate::checks;
use crate::checks::steps::{Ack, Answer, Nodes, Run, Start, Step, Stray};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn nodes() -> impl Strategy<Value = Nodes> {
    (0..4_u8, prop::option::of(0..4_u8), prop::option::of(0..4_u8))
        .prop_map(|(first, second, third)| Nodes(first, second, third))
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => (1..50_u8, any::<u8>(), 0..3_u8, any::<bool>()).prop_map(
            |(edges, seconds, pages_of_bytes, acked_first)| {
                Answer::Page { edges, seconds, pages_of_bytes, acked_first }
            }
        ),
        3 => Just(Answer::Empty),
        2 => any::<u8>().prop_map(Answer::Ahead),
        1 => Just(Answer::Opaque),
        1 => any::<u8>().prop_map(Answer::Unasked),
        2 => Just(Answer::TooSlow),
        8 => (any::<u8>(), prop::option::weighted(0.2, 1..=120_u8))
            .prop_map(|(class, retry_after)| Answer::Failed { class, retry_after }),
    ]
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        1 => Just(Start::Unresolved),
        2 => Just(Start::Earliest),
        1 => any::<u8>().prop_map(Start::After),
        1 => Just(Start::Opaque),
    ]
}

fn ack() -> impl Strategy<Value = Ack> {
    prop_oneof![Just(Ack::Page), Just(Ack::All), any::<u8>().prop_map(Ack::Some), Just(Ack::Again)]
}

fn stray() -> impl Strategy<Value = Stray> {
    prop_oneof![
        Just(Stray::Poll),
        Just(Stray::Saved),
        any::<u64>().prop_map(Stray::Acked),
        nodes().prop_map(Stray::Moved),
        Just(Stray::Removed),
        Just(Stray::Fetched),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    // A page of 1, of a few, of as many as there may be; a walk after a second, or a minute.
    let limits = prop::sample::select(vec![0_u8, 10, 200]);
    let walks = prop::sample::select(vec![0_u8, 60]);
    let which = any::<u8>;
    prop_oneof![
        3 => (start(), prop::bool::weighted(0.8), any::<u8>(), nodes(), limits, walks).prop_map(
            |(start, durable, rate, nodes, page_limit, walk_after)| {
                Step::Register { start, durable, rate, nodes, page_limit, walk_after }
            }
        ),
        6 => which().prop_map(Step::Poll),
        3 => (which(), ack()).prop_map(|(which, ack)| Step::Acked(which, ack)),
        1 => (which(), nodes()).prop_map(|(which, nodes)| Step::Moved(which, nodes)),
        1 => which().prop_map(Step::Removed),
        1 => which().prop_map(Step::Saved),
        14 => (which(), answer()).prop_map(|(which, answer)| Step::Fetched(which, answer)),
        1 => (which(), answer()).prop_map(|(which, answer)| Step::Twice(which, answer)),
        1 => (0..20_000_u16).prop_map(Step::Wait),
        1 => (0..20_000_u16).prop_map(Step::Late),
        8 => Just(Step::Due),
        2 => (0..4_u8, any::<bool>()).prop_map(|(host, down)| Step::Down(host, down)),
        1 => stray().prop_map(Step::Stray),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 500 },
        rng_seed: RngSeed::Fixed(23),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn engine_after_anything_keeps_its_bounds_and_serves_all_once_all_is_well(
        steps in prop::collection::vec(step(), 1..250),
        max_inflight in 1..9_u8,
        max_buffered in prop::sample::select(vec![0, 1, 3, 255]),
        checkpoint in any::<bool>(),
        seed in any::<u8>(),
    ) {
        checks::engine::check(&Run { max_inflight, max_buffered, checkpoint, seed, steps });
    }
}
