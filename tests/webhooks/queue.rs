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

/// What came before says nothing. But a ref that moves there, back and there again is told of in the same words, so
/// somebody looks; and not each time, because whoever has a delivery can send it again and again.
#[test]
fn a_delivery_that_came_before_leads_to_a_look_now_and_then_and_to_nothing_else() {
    let mut forge = Forge::prepared();
    let nginx = crate::servers::nginx(&forge, "robot", "a test password");
    crate::forge::private(&forge.gate.sandbox.path("token"), "a test password");
    forge.url = format!("http://127.0.0.1:{}/forge.git", nginx.port);
    forge.source = format!(
        "[source.fetch]\nuser = \"robot\"\ncredential = {{ file = \"{}\" }}\n",
        forge.gate.sandbox.path("token").display()
    );
    forge.start();
    forge.adopt();
    // No sweep from here on: only deliveries lead to a look.
    forge.gate.stop();
    let text = std::fs::read_to_string(forge.gate.config()).unwrap();
    std::fs::write(forge.gate.config(), text.replace("sweep = \"1s\"", "sweep = \"0s\"")).unwrap();
    forge.gate.start();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let (start, next) = (work.id("HEAD"), work.commit(Some(&forge.alice), "OPS-2: there"));
    forge.push(&work, &["main"]);
    let body = forge.body("refs/heads/main", &start, &next, "alice");
    assert_eq!(forge.deliver("push", &body), Some(202));
    forge.wait_judged("refs/heads/main", Some(&next));
    forge.wait_idle();
    let looks = || {
        let log = std::fs::read_to_string(forge.gate.sandbox.path("nginx").join("access.log")).unwrap();
        log.lines().filter(|line| line.contains("/info/refs") && line.contains("robot")).count()
    };
    let (before, records) = (looks(), forge.decisions().len());
    let begun = std::time::Instant::now();
    // A fresh id each, which nobody signs.
    for _ in 0..50 {
        assert_eq!(forge.deliver("push", &body), Some(200));
    }
    wait_for("a look", Duration::from_secs(40), || (looks() > before).then_some(()));
    assert!(
        begun.elapsed() > Duration::from_secs(10),
        "the last look was a moment ago: {:?}",
        begun.elapsed()
    );
    let mut sent = 0;
    while begun.elapsed() < Duration::from_secs(35) {
        assert_eq!(forge.deliver("push", &body), Some(200));
        sent += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(sent > 50, "{sent}");
    assert_eq!(looks(), before + 1, "{sent} more of them lead to no other look yet");
    assert_eq!(forge.decisions().len(), records);
    assert_eq!(forge.store().deliveries(None, None, 10).unwrap().len(), 1);
}

#[test]
fn a_delivery_of_a_part_of_a_longer_move_says_with_which_decision_it_was_judged() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    forge.gate.stop();
    let mut ids = vec![work.id("HEAD")];
    ids.extend((0..3).map(|n| work.commit(Some(&forge.alice), &format!("OPS-{n}: one of three"))));
    forge.push(&work, &["main"]);
    // The one in the middle is not told, so nothing leads there step by step.
    queue(&forge, &[(&ids[0], &ids[1], "alice"), (&ids[2], &ids[3], "alice")]);
    forge.gate.start();
    let one = forge.decided("refs/heads/main", &ids[3]);
    forge.wait_idle();
    let (request, all) =
        (one["request_id"].as_str().unwrap(), forge.store().deliveries(None, None, 10).unwrap());
    assert_eq!(one["deliveries"], serde_json::json!([all[0].number]));
    let notes: Vec<_> = all.iter().map(|one| one.note.as_deref().unwrap()).collect();
    assert_eq!(notes[0], format!("{} as decision {request}", one["outcome"].as_str().unwrap()));
    assert!(notes[1].ends_with(&format!("as part of decision {request}")), "{notes:?}");
}
