//! `GET /metrics` of a running daemon: that its text is what OpenMetrics says, that it counts what happens, and that
//! nobody who pushes can choose a label.

use crate::support::gate::{Gate, PRODUCTION};
use crate::support::receive_pack::{self, Update};
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use crate::support::wait_for;
use countersign::domain::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ZERO: &str = "0000000000000000000000000000000000000000";

/// Every sample by its name and labels as they are written.
type Samples = BTreeMap<String, f64>;

/// Reads the text as strictly as OpenMetrics 1.0 has it, as far as it is used here.
#[track_caller]
fn parsed(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF and a line feed");
    let mut samples = Samples::new();
    let mut family: Option<(&str, &str)> = None;
    let (mut seen, mut helped) = (BTreeSet::new(), BTreeSet::new());
    for line in body.lines() {
        assert!(!line.is_empty() && line.is_ascii() && !line.contains('\r'), "{line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<&str> = rest.splitn(3, ' ').collect();
            let [word, name, what] = words[..] else { panic!("{line:?}") };
            match word {
                "HELP" => assert!(helped.insert(name) && !what.is_empty(), "{line:?}"),
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram", "info"].contains(&what), "{line:?}");
                    assert!(seen.insert(name), "{name} is there twice");
                    family = Some((name, what));
                }
                "UNIT" => assert!(name.ends_with(&format!("_{what}")), "{line:?}"),
                _ => panic!("{line:?}"),
            }
            continue;
        }
        let (name, kind) = family.expect("a sample belongs to a family");
        let (sample, value) = line.rsplit_once(' ').expect("a sample has a value");
        let bare = sample.split('{').next().unwrap();
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        let known = bare.strip_prefix(name).is_some_and(|end| ends.contains(&end));
        assert!(known && name.starts_with("countersign_"), "{line:?} in the family {name}");
        assert!(
            samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(),
            "{sample} is there twice"
        );
    }
    assert_eq!(seen, helped, "each family has its help");
    samples
}

#[track_caller]
fn samples(gate: &Gate) -> Samples {
    let (status, text) = gate.get("/metrics");
    assert_eq!(status, 200);
    parsed(&text)
}

fn decisions(outcome: &str, mode: &str) -> String {
    format!("countersign_decisions_total{{outcome=\"{outcome}\",mode=\"{mode}\"}}")
}

/// Names and values of all labels.
fn labels(samples: &Samples) -> BTreeSet<String> {
    let inside =
        |sample: &String| sample.split_once('{').map(|(_, rest)| rest.trim_end_matches('}').to_owned());
    let all = samples.keys().filter_map(inside);
    all.flat_map(|labels| labels.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn both_listeners_say_it_in_the_format_of_openmetrics() {
    let (gate, _) = Gate::production();
    let now = samples(&gate);
    let version = format!("countersign_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(now[&version], 1.0);
    assert_eq!((now["countersign_ready"], now["countersign_reload_rejected"]), (1.0, 0.0));
    assert_eq!((now["countersign_keyring_principals"], now["countersign_keyring_keys"]), (1.0, 1.0));
    assert_eq!(now["countersign_decision_duration_seconds_count"], 0.0);
    assert!(now["countersign_uptime_seconds"] > 0.0);
    for outcome in ["accept", "refuse", "undecided"] {
        assert_eq!(now[&decisions(outcome, "enforce")], 0.0, "there from the start");
    }
    // The hook socket says the same, and says which format it is.
    let mut stream = UnixStream::connect(gate.socket()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    let names = |samples: &Samples| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&parsed(body)), names(&now));
}

#[test]
fn what_happens_is_counted() {
    let policy = format!(
        "{PRODUCTION}\n[[ruleset]]\nname = \"later\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/topic\"]\n\
         enforcement = \"evaluate\"\n[ruleset.refuse]\nunsigned-commit = true\n"
    );
    let (gate, alice) = Gate::with_alice(&policy);
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: signed");
    work.accepted(&["main"]);
    work.commit(None, "OPS-2: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    // The ruleset under evaluation would have refused what the policy lets in.
    work.accepted(&["main:topic"]);
    let now = samples(&gate);
    assert_eq!(now[&decisions("accept", "enforce")], 2.0);
    assert_eq!(now[&decisions("refuse", "enforce")], 1.0);
    assert_eq!(now[&decisions("refuse", "evaluate")], 1.0);
    assert_eq!(now[&decisions("accept", "evaluate")], 0.0);
    assert_eq!(now["countersign_decision_duration_seconds_count"], 3.0);
    assert_eq!(now["countersign_decision_duration_seconds_bucket{le=\"+Inf\"}"], 3.0);
    assert!(now["countersign_decision_duration_seconds_sum"] > 0.0);
    let records = |gate: &Gate| gate.audit().len() as f64;
    wait_for("the numbers of the record", Duration::from_secs(10), || {
        let now = samples(&gate);
        (now["countersign_pending_updates"] == 0.0 && now["countersign_audit_log_records"] == records(&gate))
            .then_some(())
    });

    // Accepted, and git does not make it: its own `update` hook says no.
    let hook = bare.join("hooks/update");
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    let mut chmod = gate.sandbox.command("chmod", gate.sandbox.root());
    chmod.arg("755").arg(&hook);
    run(chmod, b"").ok();
    work.git(&["push", work.url(), "main:elsewhere"]);
    wait_for("the pending update", Duration::from_secs(10), || {
        (samples(&gate)["countersign_pending_updates"] == 1.0).then_some(())
    });
    fs::remove_file(hook).unwrap();

    // No identity: undecided, by its cause.
    let before = samples(&gate);
    fs::remove_file(bare.join("countersign-id")).unwrap();
    work.git(&["push", work.url(), "main:again"]);
    let now = samples(&gate);
    let fault = "countersign_undecided_total{fault=\"repository-identity\"}";
    assert_eq!(now[fault], before[fault] + 1.0);
    assert_eq!(now[&decisions("undecided", "enforce")], 1.0);
}

#[test]
fn n15_a_rejected_reload_and_keys_that_end_are_there() {
    let (gate, _) = Gate::production();
    let until = |days: i64| Timestamp::from_second(Timestamp::now().as_second() + days * 86_400).unwrap();
    for (name, days) in [("ann", 3), ("bob", 20), ("cy", 300), ("dan", -3)] {
        let key = Signer::ssh(&gate.sandbox, name, &["ed25519"]);
        let public = fs::read_to_string(&key.public).unwrap();
        let text = format!(
            "name = \"{name}\"\n[[key]]\nssh = \"{}\"\nvalid-until = {}\n",
            public.trim(),
            until(days)
        );
        fs::write(gate.home.join(format!("keyring/{name}.toml")), text).unwrap();
    }
    gate.reload();
    let now = samples(&gate);
    assert_eq!(now["countersign_keyring_keys"], 5.0);
    assert_eq!(now["countersign_keyring_keys_ending{days=\"7\"}"], 1.0);
    assert_eq!(now["countersign_keyring_keys_ending{days=\"30\"}"], 2.0, "those above among them");
    assert_eq!(now["countersign_keyring_keys_ended"], 1.0);

    gate.configure("[policy]\nuncovered = \"perhaps\"\n");
    gate.reload();
    let first = samples(&gate);
    assert_eq!(first["countersign_reload_rejected"], 1.0);
    assert_eq!(first["countersign_ready"], 1.0, "the last good one decides");
    wait_for("the age to grow", Duration::from_secs(10), || {
        let now = samples(&gate)["countersign_reload_rejected_age_seconds"];
        (now > first["countersign_reload_rejected_age_seconds"]).then_some(())
    });
    gate.reconfigure(PRODUCTION);
    let now = samples(&gate);
    assert_eq!(
        (now["countersign_reload_rejected"], now["countersign_reload_rejected_age_seconds"]),
        (0.0, 0.0)
    );
}

#[test]
fn whoever_pushes_chooses_no_label() {
    let gate = Gate::prepared(PRODUCTION);
    gate.repository_keys.replace("server = \"sshd\"".to_owned());
    gate.configure(PRODUCTION);
    gate.start();
    let before = samples(&gate);
    let evil = "x\",fault=\"forged\"} 7\n# EOF\ncountersign_forged 1";
    let bare = gate.repository("a\"b{c}");
    let work = gate.clone_of(&bare);
    let tip = work.commit(None, evil);
    let names: [&[u8]; 4] =
        [b"refs/heads/a\"},evil=\"1", b"refs/heads/x\ny", b"refs/heads/\xff\xfe\"", b"refs/heads/main"];
    for name in names {
        let updates: [Update<'_>; 1] = [(ZERO, &tip, name)];
        for who in [("GATE_USER", "mallory\"} 1"), ("GIT_NAMESPACE", "a\"b"), ("GATE_USER", "")] {
            receive_pack::push(&gate.sandbox, &bare, &work.path, &updates, &[tip.as_str()], &[who]);
        }
    }
    // Words of the protocol are not believed either.
    for body in [
        "{}".to_owned(),
        format!("{{\"protocol\":99,\"request_id\":{evil:?}}}"),
        format!("{{\"outcome\":{evil:?},\"code\":{evil:?}}}"),
    ] {
        let mut stream = UnixStream::connect(gate.socket()).unwrap();
        let head = "POST /hook/v1/pre-receive HTTP/1.1\r\nhost: gate\r\nconnection: close\r\ncontent-length:";
        write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
    }
    let now = samples(&gate);
    assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>(), "not one series more");
    assert!(now["countersign_undecided_total{fault=\"namespace\"}"] >= 1.0, "{now:#?}");
    assert_eq!(now["countersign_undecided_total{fault=\"protocol\"}"], 3.0);
    let allowed = ["outcome", "mode", "fault", "le", "days", "version"];
    for label in labels(&now) {
        let (name, value) = label.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
        assert!(allowed.contains(&name), "{label}");
        assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+".contains(&b)), "{label}");
    }
}

#[test]
fn every_metric_is_documented_and_every_one_that_is_named_there_exists() {
    let gate = Gate::prepared(PRODUCTION);
    let secret = gate.home.join("hook.secret");
    fs::write(&secret, "a secret of the tests, long enough").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    gate.configure(&format!(
        "{PRODUCTION}\n[[source]]\nname = \"hub\"\nforge = \"github\"\nsecrets = [{{ file = \"{}\" }}]\n\
         sweep = \"0s\"\nrepositories = [\"acme/infra\"]\nurl = \"file:///nonexistent/{{repository}}.git\"\n",
        secret.display()
    ));
    gate.start();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).unwrap();
    let word =
        |text: &str| -> String { text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect() };
    let named: BTreeSet<String> =
        page.match_indices("countersign_").map(|(at, _)| word(&page[at..])).collect();
    let bare = |sample: &String| sample.split('{').next().unwrap().to_owned();
    let there: BTreeSet<String> = samples(&gate).keys().map(bare).collect();
    let parts = ["_bucket", "_sum", "_count"];
    let family =
        |name: &String| parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned();
    let families: BTreeSet<String> = there.iter().map(family).collect();
    let missing: Vec<_> = families.iter().filter(|name| !named.contains(*name)).collect();
    assert!(missing.is_empty(), "not in docs/operations.md: {missing:?}");
    let unknown: Vec<_> =
        named.iter().filter(|name| !families.contains(*name) && !there.contains(*name)).collect();
    assert!(unknown.is_empty(), "in docs/operations.md, and not there: {unknown:?}");
}
