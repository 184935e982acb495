//! From the push at the forge to its status and its page: nothing in between is left out.

use crate::forge::{Forge, NAME, SECRET, ZERO, private, rules};
use crate::servers::{Nginx, nginx};
use crate::support::clone::Clone;
use crate::support::deliveries::{Wire, request, secrets};
use crate::support::forge_api::{Answer, Asked, ForgeApi};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::wait_for;
use countersign::domain::{ObjectId, RefName, RepositoryId, Timestamp};
use countersign::forge::{Claim, ForgeKind, ForgeRepository, Headers};
use countersign::store::{Mode, Store};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const MAIN: &str = "refs/heads/main";
const CONTEXT: &str = "countersign/refs/heads/main";
const SOON: Duration = Duration::from_secs(60);

/// A forge with a server for git and an API, and a gate that watches it.
struct Scene {
    forge: Forge,
    api: ForgeApi,
    server: Nginx,
}

impl Scene {
    fn new() -> Self {
        let mut forge = Forge::prepared();
        let server = nginx(&forge, "robot", "password");
        let api = ForgeApi::plain(|_, _: &Asked| Answer::new(201, "{}"));
        let (fetch, token) = (forge.gate.sandbox.path("fetch"), forge.gate.sandbox.path("token"));
        private(&fetch, "password");
        private(&token, "a-test-token");
        forge.url = format!("http://127.0.0.1:{}/forge.git", server.port);
        forge.source = format!(
            "[source.fetch]\nuser = \"robot\"\ncredential = {{ file = \"{}\" }}\n[source.report]\napi = \"{}\"\n\
             link = \"https://gate.example.org\"\ntoken = {{ file = \"{}\" }}\n",
            fetch.display(),
            api.base(),
            token.display()
        );
        forge.start();
        forge.adopt();
        Scene { forge, api, server }
    }

    /// Pushes over HTTP, as everybody does there.
    fn push(&self, work: &Clone<'_>, arguments: &[&str]) {
        let url = format!("http://robot:password@127.0.0.1:{}/forge.git", self.server.port);
        work.git(&[&["push", "--quiet", &url], arguments].concat()).ok();
    }

    /// Waits until a commit has a final status for `main`; all states that it had, and the last call.
    #[track_caller]
    fn told(&self, commit: &str, last: &str) -> (Vec<String>, Asked) {
        let about = |one: &Asked| {
            one.path == format!("/repos/acme/infra/statuses/{commit}") && one.text("context") == CONTEXT
        };
        wait_for(&format!("{last} for {commit}"), SOON, || {
            let all: Vec<Asked> = self.api.asked().into_iter().filter(about).collect();
            let call = all.last().filter(|one| one.text("state") == last)?.clone();
            Some((all.iter().map(|one| one.text("state").to_owned()).collect(), call))
        })
    }

    /// The page behind the link of a status.
    #[track_caller]
    fn page(&self, call: &Asked) -> (String, String) {
        let link = call.text("target_url");
        let path = link.strip_prefix("https://gate.example.org").unwrap_or_else(|| panic!("{link:?}"));
        let (status, page) = self.forge.gate.get(path);
        assert_eq!(status, 200, "{path}: {page}");
        (path.strip_prefix("/decisions/").unwrap().to_owned(), page)
    }
}

#[test]
fn a_push_is_fetched_judged_recorded_reported_and_explained() {
    let scene = Scene::new();
    let forge = &scene.forge;
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    // Signed, and told of.
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    scene.push(&work, &["main"]);
    forge.tell(MAIN, &start, &good, "alice");
    let one = forge.decided(MAIN, &good);
    assert_eq!((&one["outcome"], &one["mode"]), (&json!("accept"), &json!("detected")), "{one}");
    assert_eq!((&one["pusher"]["name"], &one["deliveries"]), (&json!("alice"), &json!([1])));
    let (states, call) = scene.told(&good, "success");
    assert_eq!(states, ["pending", "success"], "pending comes first");
    assert_eq!(
        (call.method.as_str(), call.headers["authorization"].as_str()),
        ("POST", "Bearer a-test-token")
    );
    let (request, page) = scene.page(&call);
    assert_eq!(one["request_id"], request);
    assert!(page.contains(&good) && page.contains(NAME) && !page.contains("unsigned-commit"), "{page}");
    // Unsigned.
    let bad = work.commit(None, "OPS-3: unsigned");
    scene.push(&work, &["main"]);
    forge.tell(MAIN, &good, &bad, "mallory");
    let one = forge.decided(MAIN, &bad);
    assert_eq!((&one["outcome"], &one["mode"]), (&json!("refuse"), &json!("detected")), "{one}");
    assert_eq!(
        (rules(&one), &one["pusher"]["name"]),
        (vec!["unsigned-commit".to_owned()], &json!("mallory"))
    );
    let (states, call) = scene.told(&bad, "failure");
    assert_eq!(states, ["pending", "failure"]);
    let (request, page) = scene.page(&call);
    assert_eq!(one["request_id"], request);
    for wanted in [bad.as_str(), "unsigned-commit", "refused", MAIN] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    // Nobody tells of this one.
    let hidden = work.commit(None, "hidden");
    scene.push(&work, &["main"]);
    let one = forge.decided(MAIN, &hidden);
    assert_eq!((&one["outcome"], &one["mode"]), (&json!("refuse"), &json!("unannounced")), "{one}");
    assert_eq!((&one["pusher"]["identity"], &one["deliveries"]), (&json!("unknown"), &Value::Null));
    let (states, call) = scene.told(&hidden, "failure");
    assert_eq!(states, ["pending", "failure"]);
    let (_, page) = scene.page(&call);
    assert!(page.contains("unsigned-commit") && page.contains("missing-ticket"), "{page}");
    // This one is gone, with all that it brought, before anybody can look.
    forge.gate.stop();
    let gone = work.commit(None, "gone");
    scene.push(&work, &["main"]);
    scene.push(&work, &["--force", &format!("{hidden}:main")]);
    forge.git(&["reflog", "expire", "--expire=now", "--all"]);
    forge.git(&["prune", "--expire=now"]);
    forge.gate.start();
    forge.tell(MAIN, &hidden, &gone, "mallory");
    forge.tell(MAIN, &gone, &hidden, "mallory");
    let one = forge.decided(MAIN, &gone);
    assert_eq!((&one["outcome"], &one["mode"]), (&json!("undecided"), &json!("transient")), "{one}");
    assert_eq!((&one["fault"]["code"], &one["pusher"]["name"]), (&json!("gap"), &json!("mallory")));
    forge.wait_idle();
    assert_eq!(forge.judged(MAIN), Some(hidden));
    assert!(!scene.api.statuses().iter().any(|(commit, _, state)| *commit == gone && state == "success"));
    forge.gate.countersign(&["audit", "verify"]).ok();
    for secret in [SECRET, "a-test-token"] {
        assert!(!forge.gate.log().contains(secret));
    }
}

#[test]
fn n29_a_rewind_to_what_was_judged_and_back_is_on_record_once() {
    let forge = Forge::running();
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let mut tips = vec![first.clone()];
    for n in 2..=4 {
        let next = work.commit(Some(&forge.alice), &format!("OPS-{n}: signed"));
        forge.push(&work, &["main"]);
        forge.tell(MAIN, tips.last().unwrap(), &next, "alice");
        forge.wait_judged(MAIN, Some(&next));
        tips.push(next);
    }
    forge.wait_idle();
    let count = forge.decisions().len();
    let tip = tips[3].clone();
    // To what was judged before, and to what was adopted; each time it is back when we look.
    for (n, earlier) in [&tips[1], &first].into_iter().enumerate() {
        forge.gate.stop();
        forge.push(&work, &["--force", &format!("{earlier}:main")]);
        forge.push(&work, &[&format!("{tip}:main")]);
        forge.gate.start();
        forge.tell(MAIN, &tip, earlier, "mallory");
        forge.tell(MAIN, earlier, &tip, "mallory");
        let one = forge.decision("the rewind", |one| {
            one["refs"][0]["new"] == **earlier && one["refs"][0]["old"] == *tip
        });
        assert_eq!((&one["outcome"], &one["mode"]), (&json!("refuse"), &json!("transient")), "{one}");
        assert_eq!((rules(&one), &one["pusher"]["name"]), (vec!["force-push".to_owned()], &json!("mallory")));
        forge.wait_idle();
        assert_eq!(forge.judged(MAIN).as_ref(), Some(&tip), "that moves nothing");
        assert_eq!(forge.decisions().len(), count + n + 1);
    }
    // That it was gone for a while, too.
    let count = count + 2;
    forge.tell(MAIN, &tip, ZERO, "mallory");
    forge.wait_idle();
    assert_eq!(forge.decisions().len(), count + 1);
    // What is on record is not said again, in whatever order it comes, and late copies say nothing.
    for start_anew in [false, true] {
        if start_anew {
            forge.gate.stop();
            forge.gate.start();
        }
        forge.tell(MAIN, &tips[1], &tip, "mallory");
        forge.tell(MAIN, &tip, ZERO, "mallory");
        forge.tell(MAIN, &tip, &tips[1], "mallory");
        forge.tell(MAIN, &tip, &first, "mallory");
        forge.tell(MAIN, ZERO, &first, "alice");
        for pair in tips.windows(2) {
            forge.tell(MAIN, &pair[0], &pair[1], "alice");
        }
        forge.wait_idle();
        assert_eq!(forge.decisions().len(), count + 1, "{:#?}", forge.decisions().last());
    }
    assert_eq!(forge.judged(MAIN), Some(tip));
}

#[test]
fn the_commands_work_on_a_daemon_that_judges() {
    let scene = Scene::new();
    let forge = &scene.forge;
    let run = |arguments: &[&str]| {
        let ran = forge.gate.countersign(&[&["webhook"], arguments, &["--format", "json"]].concat());
        let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        (ran.code(), document)
    };
    let (code, tried) = run(&["test", "forge"]);
    assert_eq!((code, &tried["works"]), (Some(0), &json!(true)), "{tried}");
    let work = forge.gate.clone_at(&forge.bare, "main");
    let start = work.id("HEAD");
    let good = work.commit(Some(&forge.alice), "OPS-2: signed");
    scene.push(&work, &["main"]);
    forge.tell(MAIN, &start, &good, "alice");
    forge.decided(MAIN, &good);
    scene.told(&good, "success");
    forge.wait_idle();
    let (code, all) = run(&["deliveries"]);
    let found = &all["deliveries"][0];
    assert_eq!((code, found["id"].as_u64()), (Some(0), Some(1)), "{all}");
    assert_eq!(all["deliveries"].as_array().map(Vec::len), Some(1), "the sample is none");
    let note = |all: &Value| all["deliveries"][0]["note"].as_str().unwrap_or_default().to_owned();
    assert!(note(&all).contains("accept as decision"), "{all}");
    let (code, status) = run(&["status", "forge"]);
    let source = &status["sources"][0];
    assert_eq!((code, &source["name"]), (Some(0), &json!("forge")), "{status}");
    assert!(source["reports"]["sent"].as_u64() >= Some(2) && source["reports"]["due"] == 0, "{status}");
    // Looked at again: nothing is judged twice.
    let count = forge.decisions().len();
    forge.gate.countersign(&["webhook", "redeliver", "1"]).ok();
    forge.wait_idle();
    let (_, all) = run(&["deliveries"]);
    assert!(note(&all).contains("nothing was left to judge"), "{all}");
    assert_eq!(forge.decisions().len(), count);
    // What nobody told of is found by a sweep that is asked for.
    forge.gate.stop();
    let text = std::fs::read_to_string(forge.gate.config()).unwrap();
    std::fs::write(forge.gate.config(), text.replace("sweep = \"1s\"", "sweep = \"1h\"")).unwrap();
    forge.gate.start();
    forge.gate.countersign(&["webhook", "sweep", "forge"]).ok();
    let hidden = work.commit(None, "hidden");
    scene.push(&work, &["main"]);
    let swept = forge.gate.countersign(&["webhook", "sweep", "forge"]);
    assert!(swept.code() == Some(1) && swept.stdout.contains("1 ref has moved"), "{swept:?}");
    let one = wait_for("what was hidden", Duration::from_secs(120), || {
        forge.decisions().into_iter().find(|one| one["refs"][0]["new"] == *hidden)
    });
    assert_eq!((&one["outcome"], &one["mode"]), (&json!("refuse"), &json!("unannounced")), "{one}");
}

const REPOSITORIES: usize = 4;
const REFS: usize = 125;

/// Signed deliveries, one a ref, of several repositories that a gate watches and somebody adopted.
fn many(gate: &Gate) -> Vec<(Headers, Vec<u8>)> {
    let secret = gate.sandbox.path("secret");
    private(&secret, SECRET);
    let bares: Vec<PathBuf> =
        (0..REPOSITORIES).map(|n| gate.sandbox.bare(&format!("forge-{n}.git"), &[])).collect();
    let import = |bare: &PathBuf, text: String| {
        gate.sandbox.git_with_input(bare, &["fast-import", "--quiet"], text.as_bytes()).ok();
    };
    let commit = |reference: &str, n: usize| {
        format!(
            "commit {reference}\ncommitter a <a@example.org> {} +0000\ndata 5\nhello\n\n",
            1_700_000_000 + n
        )
    };
    for bare in &bares {
        import(bare, commit(MAIN, 0));
    }
    let repositories: String = (0..REPOSITORIES)
        .map(|n| {
            format!(
                "[[source.repository]]\nname = \"acme/r{n}\"\nid = \"{n}\"\nurl = \"file://{}\"\n",
                bares[n].display()
            )
        })
        .collect();
    gate.configure(&format!(
        "{PRODUCTION}\n[[source]]\nname = \"forge\"\nforge = \"github\"\nsecrets = [{{ file = \"{}\" }}]\n\
         sweep = \"1h\"\n{repositories}",
        secret.display()
    ));
    gate.start();
    for n in 0..REPOSITORIES {
        wait_for("a repository to be seen", SOON, || {
            let seen = |one: &Value| one["repository"]["name"] == format!("forge/acme/r{n}");
            gate.audit().iter().any(seen).then_some(())
        });
        gate.countersign(&["adopt", &format!("forge/acme/r{n}"), "--yes"]).ok();
    }
    let signing = secrets(ForgeKind::GitHub, SECRET);
    let mut all = Vec::new();
    for (n, bare) in bares.iter().enumerate() {
        // Some refs are covered by a ruleset, and some are not.
        let name = |at: usize| match at % 2 {
            0 => format!("refs/heads/release/{at}"),
            _ => format!("refs/heads/topic/{at}"),
        };
        import(bare, (0..REFS).map(|at| commit(&name(at), at + 1)).collect());
        for at in 0..REFS {
            let id = gate.sandbox.git(bare, &["rev-parse", &name(at)]).ok().line().to_owned();
            let claim = Claim {
                reference: RefName::parse(name(at).as_bytes()).unwrap(),
                before: None,
                after: Some(ObjectId::parse(id.as_bytes()).unwrap()),
            };
            let repository = ForgeRepository { id: n.to_string(), path: format!("acme/r{n}") };
            let now = Timestamp::now();
            all.push(countersign::forge::sample(ForgeKind::GitHub, &signing, &repository, &[claim], now));
        }
    }
    // Of all repositories at the same time.
    (0..all.len()).map(|at| all[at % REPOSITORIES * REFS + at / REPOSITORIES].clone()).collect()
}

/// Sends those that were not taken yet, and kills the daemon when so many more are; which are taken then.
fn burst(gate: &Gate, all: &[(Headers, Vec<u8>)], taken: &mut BTreeSet<usize>, kill_at: Option<usize>) {
    let left: Vec<usize> = (0..all.len()).filter(|at| !taken.contains(at)).collect();
    let (port, pid) = (gate.port(), gate.pid());
    let (next, count, answered) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut wire = Wire::plain(port);
                while let Some(at) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (headers, body) = &all[*at];
                    let sent = wire.send(&request("/hooks/forge", headers, body));
                    let Some(answer) = sent.ok().and_then(|()| wire.answer()) else {
                        assert!(kill_at.is_some(), "{at} was not answered");
                        break;
                    };
                    // 200 is a duplicate: taken, and killed before it could say so.
                    assert!([200, 202].contains(&answer.status), "{at}: {answer:?}");
                    answered.lock().unwrap().push(*at);
                    if kill_at == Some(count.fetch_add(1, Ordering::Relaxed) + 1) {
                        kill_process(pid, Signal::KILL).unwrap();
                    }
                }
            });
        }
    });
    taken.extend(answered.into_inner().unwrap());
}

#[test]
fn n29_kills_in_a_burst_of_deliveries_lose_none_and_judge_none_twice() {
    let gate = Gate::prepared(PRODUCTION);
    let all = many(&gate);
    assert_eq!(all.len(), 500);
    let decided = || gate.audit().into_iter().filter(|one| one["deliveries"].is_array()).collect::<Vec<_>>();
    let mut taken = BTreeSet::new();
    for kill_at in [90, 170] {
        burst(&gate, &all, &mut taken, Some(kill_at));
        gate.ended();
        gate.start();
    }
    assert!(taken.len() >= 260 && taken.len() < all.len(), "{}", taken.len());
    burst(&gate, &all, &mut taken, None);
    assert_eq!(taken.len(), all.len());
    let store = Store::open(&gate.state(), Mode::ReadOnly).unwrap();
    let waiting = || -> usize {
        let of = |n: usize| store.queued_deliveries(&RepositoryId(format!("forge:{n}"))).unwrap().len();
        (0..REPOSITORIES).map(of).sum()
    };
    // Once more while they are judged.
    let before = waiting();
    wait_for("some to be judged", SOON, || (before == 0 || waiting() < before).then_some(()));
    gate.kill();
    gate.start();
    wait_for("all to be judged", Duration::from_secs(240), || (waiting() == 0).then_some(()));
    let (mut numbers, mut refs) = (BTreeMap::<u64, usize>::new(), BTreeMap::<String, usize>::new());
    for one in decided() {
        assert_eq!(one["mode"], "detected", "{one}");
        for number in one["deliveries"].as_array().unwrap() {
            *numbers.entry(number.as_u64().unwrap()).or_default() += 1;
        }
        let reference = one["refs"][0]["ref"].as_str().unwrap();
        *refs.entry(format!("{} {reference}", one["repository"]["name"])).or_default() += 1;
        let outcome = if reference.contains("/release/") { "refuse" } else { "accept" };
        assert_eq!(one["outcome"], outcome, "{one}");
    }
    let queued: BTreeSet<u64> =
        store.deliveries(None, None, 5_000).unwrap().iter().map(|one| one.number).collect();
    assert_eq!(queued.len(), all.len(), "each was taken once");
    assert_eq!(numbers.keys().copied().collect::<BTreeSet<_>>(), queued, "none is lost");
    assert!(numbers.values().all(|count| *count == 1), "none is judged twice");
    assert!(refs.len() == all.len() && refs.values().all(|count| *count == 1), "nor is what it tells of");
    gate.countersign(&["audit", "verify"]).ok();
}
