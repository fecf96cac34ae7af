use super::*;

fn healed() -> HealingReport {
    HealingReport {
        alerts_fired: 7,
        links_added: 1,
        links_optimum: 1,
        split_after_kill: false,
        repair_ms: Some(REPAIR_MS),
    }
}

#[test]
fn every_broken_promise_is_told() {
    assert_eq!(healed().failures(), Vec::<String>::new());
    let broken = [
        HealingReport { alerts_fired: 0, ..healed() },
        HealingReport { links_added: 0, ..healed() },
        HealingReport { links_added: 2, ..healed() },
        HealingReport { repair_ms: None, ..healed() },
        HealingReport { repair_ms: Some(REPAIR_MS + 0.1), ..healed() },
        HealingReport { split_after_kill: true, ..healed() },
    ];
    for report in broken {
        assert_eq!(report.failures().len(), 1, "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barbell_heals_before_its_relay_is_killed() {
    // One after the other: how soon a link is made is told only by a machine that does nothing else.
    for seed in 1..=2 {
        let report = play(seed).await.unwrap();
        assert_eq!(report.failures(), Vec::<String>::new(), "seed {seed}: {report:?}");
    }
}
