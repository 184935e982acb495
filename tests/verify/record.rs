//! The gate's record of when something came in.

use crate::bench::{Bench, OPEN};
use crate::support::gate::{Gate, PRODUCTION};
use std::fs;

#[test]
fn what_the_gate_let_in_is_judged_as_received_then() {
    let (gate, alice) = Gate::with_alice(&PRODUCTION.replace("refs/heads/release/**", "refs/tags/**"));
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    let first = work.commit(Some(&alice), "OPS-1 first");
    let last = work.commit(Some(&alice), "OPS-2 last");
    work.sign(Some(&alice), &["tag", "-m", "OPS-3 release", "v1"]);
    work.accepted(&["main", "v1"]);
    let later = work.commit(Some(&alice), "OPS-4 never pushed");
    let path = work.path.clone();
    drop(work);
    let bench = Bench { work: bare, alice, gate };
    for object in [&first, &last, "v1"] {
        let made = bench.explain(object, &[]);
        assert_eq!((made.status(), made.text("/times/receipt")), ("verified", "recorded"), "{object}");
        assert!(made.value["times"]["unrecorded"].is_null());
    }
    // The key is given up: what was received before stays, what comes in now does not.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let now = jiff_now();
    bench.keyring_entry(&format!("revoked = {{ at = {now}, reason = \"superseded\" }}"));
    assert_eq!(bench.explain(&first, &[]).status(), "verified");
    assert_eq!(bench.explain("v1", &[]).status(), "verified");
    assert_eq!(bench.explain(&first, &["--at", &now]).status(), "revoked");
    // A copy elsewhere is no repository of the gate: nothing is known about it.
    let elsewhere = Bench { work: path, alice: bench.alice.clone(), gate: bench.gate };
    let made = elsewhere.explain(&later, &[]);
    assert_eq!((made.status(), made.text("/times/receipt")), ("revoked", "now"));
    assert!(made.text("/times/unrecorded").contains("not below the configured root"), "{:#}", made.value);
}

fn jiff_now() -> String {
    let now = countersign::domain::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn a_record_that_cannot_be_used_is_said_and_not_guessed() {
    let (gate, alice) = Gate::with_alice(PRODUCTION);
    let bare = gate.repository("infra/app");
    let work = gate.clone_of(&bare);
    let id = work.commit(Some(&alice), "OPS-1 first");
    work.accepted(&["main"]);
    drop(work);
    gate.stop();
    let bench = Bench { work: bare, alice, gate };
    assert_eq!(bench.explain(&id, &[]).text("/times/receipt"), "recorded");
    let database = fs::read_dir(bench.gate.state()).unwrap().map(|entry| entry.unwrap().path());
    for file in database.filter(|file| file.extension().is_none_or(|kind| kind != "lock")) {
        fs::write(file, "damaged").unwrap();
    }
    let made = bench.explain(&id, &[]);
    assert_eq!((made.code, made.text("/times/receipt")), (Some(0), "now"));
    assert!(made.text("/times/unrecorded").contains("record"), "{:#}", made.value);
    assert!(bench.program(&id, &[]).stdout.contains("as if it came in now: "), "it is told to people, too");
}

#[test]
fn without_a_record_it_is_judged_as_if_it_came_in_now() {
    let bench = Bench::new();
    bench.gate.configure(OPEN);
    bench.commit(Some(&bench.alice), None);
    let made = bench.explain("HEAD", &[]);
    assert_eq!(made.text("/times/receipt"), "now");
    assert!(!bench.gate.state().join("state.db").exists() && made.value["times"]["unrecorded"].is_null());
}
