//! What forges are told: in the right order, never faster than they allow, and after a crash.

use crate::forge::{Forge, ZERO, private};
use crate::support::forge_api::{Answer, Asked, ForgeApi, silent};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::wait_for;
use countersign::domain::{ObjectId, RefName, RepositoryId, RequestId, Timestamp};
use countersign::store::{Again, Held, Mode, NewReport, ReportProgress, ReportState, Store};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TOKEN: &str = "token-of-a-test-that-nobody-may-see";
const SOON: Duration = Duration::from_secs(30);

/// A gate whose source `hub` reports to `forge`, and its outbox.
fn gate(forge: &str, kind: &str, more: &str) -> (Gate, Store) {
    let gate = Gate::prepared(PRODUCTION);
    let secret = |name: &str, text: &str| {
        let path = gate.home.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let hook = secret("hook.secret", "a secret of the tests, long enough");
    let token = secret("api.token", TOKEN);
    let identity = if more.contains("[source.report.app]") {
        String::new()
    } else {
        format!("token = {{ file = \"{token}\" }}\n")
    };
    let source = |name: &str, api: &str, more: &str| {
        format!(
            "\n[[source]]\nname = \"{name}\"\nforge = \"{kind}\"\nsecrets = [{{ file = \"{hook}\" }}]\nsweep = \"0s\"\n\
             [[source.repository]]\nname = \"acme/infra\"\nid = \"1\"\nurl = \"file:///nonexistent/infra.git\"\n\
             [source.report]\napi = \"{api}\"\nlink = \"https://gate.example.org\"\n{identity}{more}"
        )
    };
    let (listener, other) = silent();
    // It is there until the test's process ends.
    Box::leak(Box::new(listener));
    gate.configure(&format!("{PRODUCTION}{}{}", source("hub", forge, more), source("other", &other, more)));
    let store = Store::open(&gate.state(), Mode::ReadWrite).unwrap();
    for source in ["hub", "other"] {
        store.pin_forge_repository(source, "1", "acme/infra", Timestamp::now()).unwrap();
    }
    (gate, store)
}

fn commit(n: u8) -> ObjectId {
    ObjectId::from_bytes(&[n; 20]).unwrap()
}

fn report(n: u8, state: ReportState) -> NewReport {
    NewReport {
        source: "hub".to_owned(),
        repository: RepositoryId("hub:1".to_owned()),
        commit: commit(n),
        context: "countersign/refs/heads/main".to_owned(),
        reference: RefName::parse(b"refs/heads/main").ok(),
        state,
        description: "why".to_owned(),
        proposed: false,
        request_id: RequestId::parse(&format!("{n:032x}")),
        at: Timestamp::now(),
    }
}

fn taken(_: usize, _: &Asked) -> Answer {
    Answer::new(201, "{}")
}

#[track_caller]
fn states(forge: &ForgeApi, wanted: usize) -> Vec<String> {
    wait_for("the statuses", SOON, || {
        let found = forge.statuses();
        (found.len() >= wanted).then(|| found.into_iter().map(|(_, _, state)| state).collect())
    })
}

fn health(gate: &Gate) -> Value {
    let ran = gate.countersign(&["webhook", "status", "hub", "--format", "json"]);
    let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    status["sources"][0]["reports"].clone()
}

#[test]
fn a_status_is_set_over_tls_with_the_token_and_a_link() {
    let place = tempfile::tempdir().unwrap();
    let forge = ForgeApi::tls(place.path(), taken);
    let authority = format!("authority = \"{}\"\n", forge.certificate.as_ref().unwrap().display());
    let (gate, store) = gate(&format!("{}/api/v3", forge.base()), "github", &authority);
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Pending)]).unwrap();
    states(&forge, 1);
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    assert_eq!(states(&forge, 2), ["pending", "failure"]);
    let asked = forge.asked();
    assert_eq!(
        (asked[1].method.as_str(), asked[1].path.as_str()),
        ("POST", format!("/api/v3/repos/acme/infra/statuses/{}", commit(1)).as_str())
    );
    assert_eq!(asked[1].headers["authorization"], format!("Bearer {TOKEN}"));
    let body = json!({
        "state": "failure",
        "context": "countersign/refs/heads/main",
        "description": "why",
        "target_url": "https://gate.example.org/decisions/00000000000000000000000000000001",
    });
    assert_eq!(asked[1].body, body);
    wait_for("both to be taken", SOON, || (health(&gate)["sent"] == 2).then_some(()));
    let found = health(&gate);
    assert_eq!(
        (found["sent"].as_u64(), found["due"].as_u64(), found["given_up"].as_u64()),
        (Some(2), Some(0), Some(0))
    );
    assert!(!gate.log().contains(TOKEN) && !gate.get("/health").1.contains(TOKEN));
}

#[test]
fn n31_a_forge_that_cannot_prove_itself_is_told_nothing() {
    let place = tempfile::tempdir().unwrap();
    let forge = ForgeApi::tls(place.path(), taken);
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Success)]).unwrap();
    let why = wait_for("the fault", SOON, || health(&gate)["error"].as_str().map(str::to_owned));
    assert!(why.contains("not to be trusted"), "{why}");
    assert!(forge.asked().is_empty());
    assert_eq!(health(&gate)["due"], 1, "it is kept");
}

#[test]
fn the_newest_state_wins_also_over_one_that_is_on_its_way() {
    let slow = |count: usize, _: &Asked| {
        let mut answer = Answer::new(201, "{}");
        answer.wait = if count == 0 { Duration::from_secs(2) } else { Duration::ZERO };
        answer
    };
    let forge = ForgeApi::plain(slow);
    let (gate, store) = gate(&forge.base(), "gitea", "");
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Pending)]).unwrap();
    states(&forge, 1);
    // While that is on its way, two more are made of which one is never to be seen.
    store.queue_reports(vec![report(1, ReportState::Success)]).unwrap();
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    assert_eq!(states(&forge, 2), ["pending", "failure"]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(forge.statuses().len(), 2, "and nothing comes after it");
    assert!(matches!(store.reports(10).unwrap()[0].progress, ReportProgress::Sent(_)));
}

/// A forge that takes its time for what comes first of each commit, and does it all the same.
fn late(waits: &'static [(u8, u64)]) -> ForgeApi {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    ForgeApi::plain(move |_, asked| {
        let mut answer = Answer::new(201, "{}");
        let late = waits.iter().find(|(n, _)| asked.path.ends_with(&commit(*n).to_string()));
        if let Some((n, wait)) = late
            && seen.lock().unwrap().insert(*n)
        {
            answer.wait = Duration::from_millis(*wait);
        }
        answer
    })
}

#[test]
fn a_call_that_takes_effect_after_its_deadline_has_not_the_last_word() {
    // Beyond the deadline, and even beyond the time when no call should be under way any more.
    let forge = late(&[(1, 2500), (2, 7000)]);
    let (gate, store) = gate(&forge.base(), "github", "deadline = \"1s\"\n");
    gate.start();
    for n in [1, 2] {
        let before = forge.asked().len();
        store.queue_reports(vec![report(n, ReportState::Success)]).unwrap();
        wait_for("the call to be under way", SOON, || (forge.asked().len() > before).then_some(()));
        store.queue_reports(vec![report(n, ReportState::Failure)]).unwrap();
    }
    wait_for("the first late one", SOON, || {
        (forge.shown(&commit(1).to_string()).as_deref() == Some("success")).then_some(())
    });
    wait_for("the second late one", SOON, || {
        (forge.shown(&commit(2).to_string()).as_deref() == Some("success")).then_some(())
    });
    for n in [1, 2] {
        wait_for("the newest", Duration::from_secs(60), || {
            (forge.shown(&commit(n).to_string()).as_deref() == Some("failure")).then_some(())
        });
    }
    // There is an end to it.
    wait_for("all to be settled", Duration::from_secs(60), || {
        store.reports(10).unwrap().iter().all(|one| one.held.again.is_none()).then_some(())
    });
    let sent = forge.asked().len();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(forge.asked().len(), sent);
    assert_eq!(health(&gate)["due"], 0);
}

#[test]
fn a_call_that_was_on_its_way_in_a_crash_has_not_the_last_word() {
    let forge = late(&[(1, 3000)]);
    let (gate, store) = gate(&forge.base(), "github", "deadline = \"1s\"\n");
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Success)]).unwrap();
    states(&forge, 1);
    gate.kill();
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    gate.start();
    let shown = |state: &str| {
        wait_for(state, SOON, || {
            (forge.shown(&commit(1).to_string()).as_deref() == Some(state)).then_some(())
        })
    };
    shown("failure");
    shown("success");
    shown("failure");
}

#[test]
fn what_the_forge_has_is_not_sent_again() {
    let forge = ForgeApi::plain(taken);
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    wait_for("it to be taken", SOON, || (health(&gate)["sent"] == 1).then_some(()));
    gate.kill();
    // Another state, of which the forge never hears, and then the same again.
    store.queue_reports(vec![report(1, ReportState::Pending)]).unwrap();
    store.queue_reports(vec![report(1, ReportState::Failure), report(2, ReportState::Success)]).unwrap();
    gate.start();
    wait_for("the outbox to be empty", SOON, || {
        (health(&gate)["sent"] == 1 && health(&gate)["due"] == 0).then_some(())
    });
    let sent: Vec<String> = forge.statuses().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(sent, [commit(1).to_string(), commit(2).to_string()]);
    // With another link it says something else.
    let other =
        NewReport { request_id: RequestId::parse(&"b".repeat(32)), ..report(1, ReportState::Failure) };
    store.queue_reports(vec![other]).unwrap();
    states(&forge, 3);
}

#[test]
fn a_forge_without_room_for_statuses_is_named_and_not_asked_for_ever() {
    let forge = ForgeApi::plain(|_, asked| {
        if asked.path.ends_with(&commit(1).to_string()) {
            // In GitHub's form.
            let why = "This SHA and context has reached the maximum number of statuses.";
            let body = json!({ "message": "Validation Failed", "errors": [{ "message": why }] });
            return Answer::new(422, &body.to_string());
        }
        Answer::new(201, "{}")
    });
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    wait_for("it to be given up", SOON, || (health(&gate)["full"] == 1).then_some(()));
    store.queue_reports(vec![report(1, ReportState::Failure), report(2, ReportState::Success)]).unwrap();
    states(&forge, 2);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(forge.statuses().len(), 2);
    let status = gate.countersign(&["webhook", "status"]);
    assert_eq!(status.code(), Some(1), "{status:?}");
    assert!(
        status.stdout.contains("shows an older") && status.stdout.contains("given up"),
        "{}",
        status.stdout
    );
    let metrics = gate.get("/metrics").1;
    assert!(metrics.contains("countersign_webhook_reports_full{source=\"hub\"} 1"), "{metrics}");
}

#[test]
fn what_was_decided_before_a_crash_is_told_after_it() {
    let up = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&up);
    let forge = ForgeApi::plain(move |_, _| {
        let mut answer = Answer::new(201, "{}");
        answer.cut = !seen.load(Ordering::Relaxed);
        answer
    });
    let (gate, store) = gate(&forge.base(), "github", "");
    store.queue_reports(vec![report(1, ReportState::Pending), report(2, ReportState::Success)]).unwrap();
    gate.start();
    states(&forge, 1);
    gate.kill();
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    drop(store);
    up.store(true, Ordering::Relaxed);
    let before = forge.statuses().len();
    gate.start();
    wait_for("both verdicts", SOON, || {
        let found = forge.statuses().split_off(before);
        let has =
            |n: u8, state: &str| found.iter().any(|(id, _, is)| *id == commit(n).to_string() && is == state);
        (has(1, "failure") && has(2, "success")).then_some(())
    });
    assert!(
        !forge.statuses()[before..].iter().any(|(_, _, state)| state == "pending"),
        "the older one is not sent"
    );
    wait_for("the outbox to be empty", SOON, || (health(&gate)["due"] == 0).then_some(()));
}

#[test]
fn limits_of_the_rate_are_kept_for_everything_of_the_token() {
    let limited = |count: usize, _: &Asked| match count {
        0 => Answer::new(429, "{}").with("retry-after", 4),
        1 => {
            let reset = Timestamp::now().as_second() + 4;
            Answer::new(403, "{\"message\":\"API rate limit exceeded\"}")
                .with("x-ratelimit-remaining", 0)
                .with("x-ratelimit-reset", reset)
        }
        _ => Answer::new(201, "{}"),
    };
    let forge = ForgeApi::plain(limited);
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    store.queue_reports((1..=3).map(|n| report(n, ReportState::Success)).collect()).unwrap();
    wait_for("the pause to be told", SOON, || health(&gate)["paused_until"].as_str().map(str::to_owned));
    let found = health(&gate);
    assert!(found["error"].as_str().unwrap().contains("limits the rate (429)"), "{found}");
    states(&forge, 5);
    let asked = forge.asked();
    for (earlier, later) in [(0, 1), (1, 2)] {
        let waited = asked[later].at - asked[earlier].at;
        assert!(waited >= Duration::from_millis(2900), "{waited:?} after the limit {earlier}");
    }
    wait_for("the outbox to be empty", SOON, || (health(&gate)["due"] == 0).then_some(()));
    assert_eq!(health(&gate)["error"], Value::Null, "what is over is not told any more");
}

#[test]
fn one_report_that_is_refused_does_not_hold_up_others() {
    let refuse = |_: usize, asked: &Asked| {
        if asked.path.contains(&commit(1).to_string()) {
            return Answer::new(422, "{\"message\":\"No commit found for SHA: \\u001b[31m\"}");
        }
        Answer::new(201, "{}")
    };
    let forge = ForgeApi::plain(refuse);
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    store.queue_reports((1..=4).map(|n| report(n, ReportState::Success)).collect()).unwrap();
    states(&forge, 4);
    wait_for("three to be taken", SOON, || (health(&gate)["sent"] == 3).then_some(()));
    let waiting = store.reports(10).unwrap().into_iter().find(|one| one.report.commit == commit(1)).unwrap();
    assert!(waiting.note.as_deref().unwrap().contains("No commit found"), "{waiting:?}");
    assert!(!waiting.note.unwrap().contains('\u{1b}') && !gate.log().contains("\u{1b}[31mNo"));
}

#[test]
fn n31_a_redirect_is_not_followed() {
    let elsewhere = ForgeApi::plain(taken);
    let to = elsewhere.base();
    let forge = ForgeApi::plain(move |_, _| Answer::new(308, "").with("location", format!("{to}/taken")));
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Success)]).unwrap();
    let why = wait_for("the refusal", SOON, || health(&gate)["error"].as_str().map(str::to_owned));
    assert!(why.contains("not followed"), "{why}");
    assert!(elsewhere.asked().is_empty(), "the token went to nobody else");
}

#[test]
fn huge_replies_are_cut_and_a_silent_forge_holds_up_nobody_else() {
    let forge = ForgeApi::plain(|_, _| {
        let mut answer = Answer::new(201, "");
        answer.body = vec![b'x'; 8 << 20];
        answer
    });
    let (gate, store) = gate(&forge.base(), "github", "");
    gate.start();
    // `other` takes connections and says nothing.
    let other = NewReport {
        source: "other".to_owned(),
        repository: RepositoryId("other:1".to_owned()),
        ..report(9, ReportState::Success)
    };
    store.queue_reports(vec![other]).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    store.queue_reports((1..=3).map(|n| report(n, ReportState::Success)).collect()).unwrap();
    wait_for("all to be taken", Duration::from_secs(15), || (health(&gate)["sent"] == 3).then_some(()));
    // Nor does it hold up judging.
    let repository = gate.repository("app");
    gate.adopt(&repository).ok();
    let work = gate.clone_of(&repository);
    let base = work.commit(None, "nothing to do with the forge");
    work.push(&[&format!("{base}:refs/heads/topic")]).assert_accepted();
}

/// The configuration of an App, with a key below `place`.
fn app(place: &std::path::Path) -> String {
    let key = place.join("app.pem");
    let made = std::process::Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(&key)
        .arg("2048")
        .output()
        .unwrap();
    assert!(made.status.success());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "check-runs = true\n[source.report.app]\nid = \"4711\"\ninstallation = \"99\"\nkey = {{ file = \"{}\" }}\n",
        key.display()
    )
}

/// GitHub's check runs: each has a number, is what was said of it last, and may be gone, or refuse to be opened again.
fn check_runs(gone: Arc<AtomicBool>, sticky: Arc<AtomicBool>) -> ForgeApi {
    let runs = std::sync::Mutex::new(std::collections::BTreeMap::<u64, Value>::new());
    ForgeApi::plain(move |_, asked| {
        if asked.path.ends_with("/access_tokens") {
            let expires = Timestamp::from_second(Timestamp::now().as_second() + 3600).unwrap();
            return Answer::new(201, &format!("{{\"token\":\"ghs_x\",\"expires_at\":\"{expires}\"}}"));
        }
        let Some(rest) = asked.path.split("/check-runs").nth(1) else { return Answer::new(201, "{}") };
        let mut runs = runs.lock().unwrap();
        let (code, id) = match rest.strip_prefix('/') {
            None => (201, 1000 + runs.len() as u64),
            Some(id) if !gone.load(Ordering::Relaxed) => (200, id.parse().unwrap()),
            Some(_) => return Answer::new(404, "{\"message\":\"Not Found\"}"),
        };
        let run = runs.entry(id).or_insert_with(|| json!({ "id": id, "conclusion": null }));
        if code == 201 || !sticky.load(Ordering::Relaxed) {
            run["status"] = asked.body["status"].clone();
            run["conclusion"] = asked.body["conclusion"].clone();
        }
        Answer::new(code, &run.to_string())
    })
}

#[test]
fn a_check_run_is_changed_and_made_anew_where_it_is_gone() {
    let (gone, sticky) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let forge = check_runs(Arc::clone(&gone), Arc::clone(&sticky));
    let place = tempfile::tempdir().unwrap();
    let (gate, store) = gate(&forge.base(), "github", &app(place.path()));
    gate.start();
    let told = |state: ReportState, n: u8| -> Vec<String> {
        let before = forge.asked().len();
        store.queue_reports(vec![report(n, state)]).unwrap();
        let sent = || {
            let all = store.reports(10).unwrap();
            let one = all.into_iter().find(|one| one.report.commit == commit(n)).unwrap();
            (matches!(one.progress, ReportProgress::Sent(_)) && one.report.state == state).then_some(())
        };
        wait_for("it to be taken", SOON, sent);
        let asked = forge.asked().split_off(before).into_iter();
        let runs = asked.filter(|one| one.path.contains("/check-runs"));
        runs.map(|one| {
            let end = one.path.split("/check-runs").nth(1).unwrap();
            format!("{} {end} {} {}", one.method, one.text("status"), one.text("conclusion"))
        })
        .collect()
    };
    assert_eq!(told(ReportState::Pending, 1), ["POST  in_progress "]);
    assert_eq!(told(ReportState::Failure, 1), ["PATCH /1000 completed failure"]);
    // Another commit has another run, and after a restart they are known.
    assert_eq!(told(ReportState::Pending, 2), ["POST  in_progress "]);
    gate.kill();
    gate.start();
    assert_eq!(told(ReportState::Success, 1), ["PATCH /1000 completed success"]);
    assert_eq!(told(ReportState::Success, 2), ["PATCH /1001 completed success"]);
    let patched = forge.asked().into_iter().find(|one| one.method == "PATCH").unwrap();
    assert_eq!(patched.path, "/repos/acme/infra/check-runs/1000");
    assert_eq!(patched.text("name"), "countersign/refs/heads/main");
    // One that stays green although it was opened again is not relied on.
    sticky.store(true, Ordering::Relaxed);
    assert_eq!(told(ReportState::Pending, 1), ["PATCH /1000 in_progress ", "POST  in_progress "]);
    sticky.store(false, Ordering::Relaxed);
    assert_eq!(told(ReportState::Failure, 1), ["PATCH /1002 completed failure"]);
    gone.store(true, Ordering::Relaxed);
    assert_eq!(told(ReportState::Success, 1), ["PATCH /1002 completed success", "POST  completed success"]);
    // Nor is one that a call of unknown end may have been about: there may be a newer one, and the newest counts.
    let one = store.reports(10).unwrap().into_iter().find(|one| one.report.commit == commit(2)).unwrap();
    let later = Timestamp::from_second(Timestamp::now().as_second() + 3600).unwrap();
    let unsure = Held { again: Some(Again { times: 1, at: later }), ..one.held };
    store.report_held(&one.report, unsure).unwrap();
    assert_eq!(told(ReportState::Failure, 2), ["POST  completed failure"]);
}

#[test]
fn an_app_asks_for_a_token_and_renews_it() {
    let forge = ForgeApi::plain(|_, asked| {
        if asked.path.ends_with("/access_tokens") {
            // One that is about to end is renewed before it does.
            let expires = Timestamp::from_second(Timestamp::now().as_second() + 200).unwrap();
            let token = format!("{{\"token\":\"ghs_{}\",\"expires_at\":\"{expires}\"}}", "x".repeat(300));
            return Answer::new(201, &token);
        }
        Answer::new(201, "{}")
    });
    let place = tempfile::tempdir().unwrap();
    let (gate, store) = gate(&forge.base(), "github", &app(place.path()));
    gate.start();
    store.queue_reports(vec![report(1, ReportState::Failure)]).unwrap();
    wait_for("it to be taken", SOON, || (health(&gate)["sent"] == 1).then_some(()));
    store.queue_reports(vec![report(2, ReportState::Pending)]).unwrap();
    wait_for("the next to be taken", SOON, || (health(&gate)["sent"] == 2).then_some(()));
    let asked = forge.asked();
    let paths: Vec<&str> = asked.iter().map(|one| one.path.split('/').next_back().unwrap()).collect();
    let (first, second) = (commit(1).to_string(), commit(2).to_string());
    assert_eq!(paths, ["access_tokens", &first, "check-runs", "access_tokens", &second, "check-runs"]);
    let jwt = asked[0].headers["authorization"].strip_prefix("Bearer ").unwrap();
    assert_eq!(jwt.split('.').count(), 3, "{jwt}");
    assert_eq!(asked[0].path, "/app/installations/99/access_tokens");
    assert_eq!(asked[1].headers["authorization"], format!("Bearer ghs_{}", "x".repeat(300)));
    assert_eq!((asked[2].text("conclusion"), asked[2].text("head_sha")), ("failure", first.as_str()));
    assert_eq!(
        (asked[5].text("status"), asked[5].body.get("conclusion")),
        ("in_progress", None),
        "unknown is not green"
    );
    assert!(!gate.log().contains("ghs_") && !gate.log().contains(jwt));
}

#[test]
fn a_report_of_a_source_that_is_gone_is_not_sent_anywhere() {
    let forge = ForgeApi::plain(taken);
    let (gate, store) = gate(&forge.base(), "github", "");
    let report =
        NewReport { repository: RepositoryId("hub:2".to_owned()), ..report(1, ReportState::Success) };
    store.queue_reports(vec![report]).unwrap();
    gate.start();
    let why = wait_for("the refusal", SOON, || health(&gate)["error"].as_str().map(str::to_owned));
    assert!(why.contains("not known any more"), "{why}");
    assert!(forge.asked().is_empty());
}

#[test]
fn n28_each_tip_is_pending_and_then_judged_for_each_of_its_targets() {
    let api = ForgeApi::plain(taken);
    let place = tempfile::tempdir().unwrap();
    let token = place.path().join("token");
    private(&token, TOKEN);
    let mut forge = Forge::prepared();
    forge.source = format!(
        "[source.report]\napi = \"{}\"\nlink = \"https://gate.example.org\"\ntoken = {{ file = \"{}\" }}\n",
        api.base(),
        token.display()
    );
    forge.start();
    forge.adopt();
    let (main, release) = ("refs/heads/main", "refs/heads/release/1");
    let said = |commit: &str, reference: &str| -> Vec<String> {
        let context = format!("countersign/{reference}");
        let all = api.statuses().into_iter();
        all.filter(|(id, of, _)| id == commit && *of == context).map(|(_, _, state)| state).collect()
    };
    let wait = |commit: &str, reference: &str, state: &str| {
        wait_for(&format!("{state} of {reference}"), Duration::from_secs(60), || {
            (said(commit, reference).last().map(String::as_str) == Some(state)).then_some(())
        });
    };
    let work = forge.gate.clone_at(&forge.bare, "main");
    let before = work.id("HEAD");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    forge.push(&work, &["main"]);
    forge.push(&work, &["main:topic"]);
    forge.tell(main, &before, &good, "alice");
    forge.tell("refs/heads/topic", ZERO, &good, "alice");
    wait(&good, main, "success");
    assert_eq!(said(&good, main), ["pending", "success"]);
    forge.wait_judged("refs/heads/topic", Some(&good));
    // Nobody judges `topic`, and for `release/1` the commit was not judged yet: it has no verdict there.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((said(&good, "refs/heads/topic").len(), said(&good, release).len()), (0, 0));
    forge.push(&work, &[&format!("main:{release}")]);
    forge.tell(release, ZERO, &good, "alice");
    wait(&good, release, "success");
    assert_eq!(said(&good, release), ["pending", "success"]);
    let bad = work.commit(None, "<b>unsigned</b>");
    forge.push(&work, &["main"]);
    forge.tell(main, &good, &bad, "mallory");
    wait(&bad, main, "failure");
    assert_eq!(said(&bad, main), ["pending", "failure"]);
    assert_eq!(said(&good, main), ["pending", "success"], "what was judged of another commit stands");
    // The link leads to what was judged.
    let asked = api.asked();
    let link = asked.iter().rfind(|one| one.path.ends_with(&bad)).unwrap().text("target_url").to_owned();
    let path = link.strip_prefix("https://gate.example.org").unwrap();
    let (status, page) = forge.gate.get(path);
    assert_eq!(status, 200, "{page}");
    assert!(
        page.contains("refused") && page.contains("unsigned-commit") && !page.contains("<b>unsigned"),
        "{page}"
    );
}
