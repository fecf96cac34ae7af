//! Traffic that can wait, in front of traffic that cannot.

use std::time::Duration;

use bitcraps_coordinator::SendOptions;
use bitcraps_sim::{LinkModel, SendId, Simulation};
use bitcraps_types::{Kbps, TrafficClass, TransportType};

use super::scene::{MS, SECOND, data_sent, each_seed, settle, single, transit};

/// Rolls of dice, one each 20 ms, beside `flood` messages of chat; the 99th percentile of what the
/// rolls took.
fn rolls(seed: u64, model: LinkModel, flood: usize, len: usize) -> Duration {
    let mut sim = Simulation::new(seed);
    let (a, b) = (sim.add_node(), sim.add_node());
    sim.add_link(a, b, model);
    sim.run_for(2 * SECOND);
    for _ in 0..flood {
        sim.send(a, b, len, SendOptions::new(TrafficClass::Background), None);
    }
    let from = sim.now();
    let sent: Vec<SendId> = (0..1_000)
        .map(|i| {
            // Not in step with anything.
            let at = from + 20 * MS * i + Duration::from_micros(u64::from(i) * 7_919 % 20_000);
            sim.send_at(at, a, b, 100, single(TrafficClass::Realtime), None)
        })
        .collect();
    settle(&mut sim);
    let mut took: Vec<Duration> = sent.iter().map(|id| transit(&sim, *id).unwrap()).collect();
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

#[test]
fn fault_30_a_flood_of_chat_shifts_dice_by_less_than_one_fragment() {
    let steady = |model: LinkModel| model.loss(0.0).jitter(Duration::ZERO);
    let bluetooth = steady(LinkModel::bluetooth_le());
    let slow_wifi = steady(LinkModel::wifi()).rate(Kbps::at_least_one(2_000));
    let wifi = steady(LinkModel::wifi());
    for (model, flood, len) in
        [(bluetooth, 800, 1_000), (slow_wifi, 5_000, 1_000), (wifi, 1_000, 100_000)]
    {
        let fragment = model.rate.air_time(model.max_frame);
        each_seed(|seed| {
            let quiet = rolls(seed, model, 0, len);
            let loud = rolls(seed, model, flood, len);
            let shift = loud.saturating_sub(quiet);
            assert!(shift < fragment, "{:?}: {shift:?} of {fragment:?}", model.transport);
        });
    }
}

#[test]
fn fault_31_dice_pass_between_the_fragments_of_a_state_sync_on_bluetooth() {
    each_seed(|seed| {
        let model = LinkModel::perfect(TransportType::Bluetooth)
            .latency(15 * MS)
            .rate(LinkModel::bluetooth_le().rate)
            .max_frame(LinkModel::bluetooth_le().max_frame);
        let mut sim = Simulation::new(seed);
        let (a, b) = (sim.add_node(), sim.add_node());
        let link = sim.add_link(a, b, model);
        sim.run_for(2 * SECOND);
        sim.record(link, a);
        let state = sim.send(a, b, 64 << 10, SendOptions::new(TrafficClass::Bulk), None);
        let from = sim.now();
        let dice: Vec<SendId> = (0..30)
            .map(|i| {
                let at = from + MS + 50 * MS * i;
                sim.send_at(at, a, b, 100, single(TrafficClass::Realtime), None)
            })
            .collect();
        settle(&mut sim);
        assert!(sim.messages().iter().all(bitcraps_sim::Message::is_delivered));
        // Own air time, at most one fragment before it, and the way.
        let fragment = model.rate.air_time(model.max_frame);
        let bound = fragment + model.rate.air_time(100 + 51) + model.latency;
        for id in &dice {
            let took = transit(&sim, *id).unwrap();
            assert!(took <= bound, "{took:?} of {bound:?}");
        }
        assert!(transit(&sim, state).unwrap() > SECOND, "it was under way all the time");
        let order: Vec<TrafficClass> =
            data_sent(&sim, link, a).iter().map(|data| data.class).collect();
        let turns = order.windows(2).filter(|two| two[0] != two[1]).count();
        assert_eq!(turns, 2 * dice.len(), "each roll stands between two fragments");
    });
}
