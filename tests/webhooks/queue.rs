//! Deliveries are judged exactly once, whatever happens in between.

use crate::forge::Forge;
use crate::judging::queue;
use crate::support::wait_for;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often each delivery is in the record.
fn judged(forge: &Forge) -> BTreeMap<u64, usize> {
    let mut all = BTreeMap::new();
    for one in forge.decisions() {
        for number in one["deliveries"].as_array().into_iter().flatten() {
            *all.entry(number.as_u64().unwrap()).or_default() += 1;
        }
    }
    all
}

#[test]
fn n29_a_kill_while_judging_loses_no_delivery_and_judges_none_twice() {
    const COUNT: usize = 60;
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    forge.gate.stop();
    let mut ids = vec![work.id("HEAD")];
    for n in 0..COUNT {
        let signer = (n % 3 != 0).then_some(&forge.alice);
        ids.push(work.commit(signer, &format!("OPS-{n}: one of many")));
    }
    forge.push(&work, &["main"]);
    let moves: Vec<_> = ids.windows(2).map(|pair| (&pair[0], &pair[1], "alice")).collect();
    queue(&forge, &moves);
    let left = || forge.store().queued_deliveries(&forge.id()).unwrap().len();
    let mut kills = 0;
    for _ in 0..4 {
        let before = left();
        forge.gate.start();
        wait_for("some to be judged", Duration::from_secs(60), || (left() < before).then_some(()));
        forge.gate.kill();
        // Some are judged, and not all of them.
        kills += usize::from(left() > 0);
    }
    forge.gate.start();
    forge.wait_idle();
    assert!(kills > 0, "it was never interrupted");
    let all = judged(&forge);
    assert_eq!(all.len(), COUNT);
    assert!(all.values().all(|count| *count == 1), "{all:?}");
    let decisions: Vec<_> = forge
        .decisions()
        .into_iter()
        .filter(|one| one["outcome"] != "undecided")
        .map(|one| one["refs"][0]["new"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(decisions, ids[1..], "each once, in order");
    forge.gate.countersign(&["audit", "verify"]).ok();
}
