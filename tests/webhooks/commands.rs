//! `countersign webhook …`, against a daemon that runs, and a forge's API.

use crate::forge::Forge;
use crate::support::forge_api::{Answer, Asked, ForgeApi};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::Ran;
use countersign::domain::{RepositoryId, Timestamp};
use countersign::store::{Accepted, Mode, NewDelivery, Store};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const TOKEN: &str = "token-of-a-test-that-nobody-may-see";
const SECRET: &str = "a secret of the tests, long enough";

/// A gate with the sources `hub` and, without an API, `lab`.
fn gate(api: &str) -> Gate {
    let gate = Gate::prepared(PRODUCTION);
    let secret = |name: &str, text: &str| {
        let path = gate.home.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (hook, token) = (secret("hook.secret", SECRET), secret("api.token", TOKEN));
    let source = |name: &str, forge: &str| {
        format!(
            "\n[[source]]\nname = \"{name}\"\nforge = \"{forge}\"\nsecrets = [{{ file = \"{hook}\" }}]\nsweep = \"0s\"\n\
             repositories = [\"acme/infra\", \"acme/web\"]\nurl = \"file:///nonexistent/{{repository}}.git\"\n"
        )
    };
    let report = format!(
        "[source.report]\napi = \"{api}\"\nlink = \"https://gate.example.org\"\ntoken = {{ file = \"{token}\" }}\n"
    );
    gate.configure(&format!("{PRODUCTION}{}{report}{}", source("hub", "github"), source("lab", "gitlab")));
    gate
}

fn document(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

#[track_caller]
fn hides(ran: &Ran) {
    for secret in [TOKEN, SECRET] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{ran:?}");
    }
}

#[test]
fn add_makes_a_webhook_once_and_changes_the_one_that_is_there() {
    let forge = ForgeApi::plain(|_, asked: &Asked| {
        let hook = json!({ "id": 77, "config": { "url": "https://gate.example.org/hooks/hub" } });
        let there = asked.path.contains("/acme/web/");
        match asked.method.as_str() {
            "GET" if there => Answer::new(200, &json!([hook]).to_string()),
            "GET" => Answer::new(200, "[]"),
            _ => Answer::new(201, &hook.to_string()),
        }
    });
    let gate = gate(&forge.base());
    gate.start();
    let ran = gate.countersign(&["webhook", "add", "hub", "--format", "json"]);
    hides(&ran);
    assert_eq!(ran.code(), Some(0), "{ran:?}");
    let results: Vec<_> =
        document(&ran)["repositories"].as_array().unwrap().iter().map(|one| one["result"].clone()).collect();
    assert_eq!(results, ["made", "changed"]);
    let asked = forge.asked();
    let calls: Vec<String> = asked.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    let wanted = [
        "GET /repos/acme/infra/hooks?per_page=100",
        "POST /repos/acme/infra/hooks",
        "GET /repos/acme/web/hooks?per_page=100",
        "PATCH /repos/acme/web/hooks/77",
    ];
    assert_eq!(calls, wanted);
    for one in [&asked[1], &asked[3]] {
        assert_eq!(one.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(one.body["config"]["url"], "https://gate.example.org/hooks/hub");
        assert_eq!(one.body["config"]["secret"], SECRET);
        assert!(one.body["events"].as_array().unwrap().contains(&json!("push")), "{:?}", one.body);
    }
    assert!(!gate.log().contains(SECRET) && !gate.log().contains(TOKEN));
    // What the forge refuses for one is told, and the others are made all the same.
    let other = gate.countersign(&["webhook", "add", "hub", "--repository", "acme/nothing"]);
    assert_eq!(other.code(), Some(2), "{other:?}");
}

#[test]
fn add_finds_the_webhook_on_a_later_page_and_does_not_look_for_ever() {
    let forge = ForgeApi::plain(|_, asked: &Asked| {
        let hook = |id: u64, url: &str| json!({ "id": id, "config": { "url": url } });
        let ours = hook(77, "https://gate.example.org/hooks/hub");
        let page: u64 = asked.path.split("&page=").nth(1).map_or(1, |page| page.parse().unwrap());
        let others: Vec<Value> =
            (0..50).map(|n| hook(page * 100 + n, "https://elsewhere.example.org/")).collect();
        match (asked.method.as_str(), asked.path.contains("/acme/web/"), page) {
            ("GET", false, 3) => Answer::new(200, &json!([ours]).to_string()),
            ("GET", _, _) => Answer::new(200, &json!(others).to_string())
                .with("link", "<https://evil.example.org/x>; rel=\"next\""),
            _ => Answer::new(200, &ours.to_string()),
        }
    });
    let gate = gate(&forge.base());
    gate.start();
    let ran = gate.countersign(&["webhook", "add", "hub", "--repository", "acme/infra", "--format", "json"]);
    assert_eq!(document(&ran)["repositories"][0]["result"], "changed", "{ran:?}");
    let asked = forge.asked();
    assert_eq!((asked.len(), asked[3].method.as_str()), (4, "PATCH"), "{asked:?}");
    let ran = gate.countersign(&["webhook", "add", "hub", "--repository", "acme/web"]);
    assert!(ran.code() == Some(1) && ran.stdout.contains("too many"), "{ran:?}");
    assert!(forge.asked()[4..].iter().all(|one| one.method == "GET"), "none is made twice");
}

#[test]
fn add_says_what_a_forge_refused_and_what_is_to_be_entered_by_hand() {
    let forge = ForgeApi::plain(|_, asked: &Asked| match asked.path.contains("/acme/web/") {
        true => Answer::new(200, "[]"),
        false => {
            let said = format!("{{\"message\":\"Not Found \\u001b[31m for {TOKEN}, {SECRET}\"}}");
            Answer::new(404, &said)
        }
    });
    let gate = gate(&forge.base());
    gate.start();
    let ran = gate.countersign(&["webhook", "add", "hub"]);
    assert_eq!(ran.code(), Some(1), "{ran:?}");
    assert!(ran.stdout.contains("acme/infra: not made: the forge answered 404"), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'));
    hides(&ran);
    // Without an API there is nothing to ask, not even the daemon.
    gate.stop();
    let ran = gate.countersign(&["webhook", "add", "lab", "--url", "https://gate.example.org"]);
    assert_eq!(ran.code(), Some(0), "{ran:?}");
    for wanted in [
        "https://gate.example.org/hooks/lab",
        "application/json",
        "push_events",
        "Secret token",
        "hook.secret",
    ] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {ran:?}");
    }
    hides(&ran);
    let nowhere = gate.countersign(&["webhook", "add", "lab"]);
    assert!(nowhere.code() == Some(2) && nowhere.stderr.contains("--url"), "{nowhere:?}");
    // GitLab sends its token along, so it does not go over a network in the clear.
    let clear = gate.countersign(&["webhook", "add", "lab", "--url", "http://gate.example.org"]);
    assert!(clear.code() == Some(2) && clear.stderr.contains("https"), "{clear:?}");
    let near = gate.countersign(&["webhook", "add", "lab", "--url", "http://127.0.0.1:8080"]);
    assert_eq!(near.code(), Some(0), "{near:?}");
    for url in ["gate.example.org", "https://", "https://a b", "https://x/?q", "file:///x"] {
        let odd = gate.countersign(&["webhook", "add", "lab", "--url", url]);
        assert_eq!(odd.code(), Some(2), "{url}: {odd:?}");
    }
    let absent = gate.countersign(&["webhook", "add", "hub"]);
    assert!(absent.code() == Some(3) && absent.stderr.contains("no daemon runs"), "{absent:?}");
}

#[test]
fn a_sample_goes_over_the_listener_and_moves_nothing() {
    let gate = gate("http://localhost:1");
    gate.start();
    for source in ["hub", "lab"] {
        let ran = gate.countersign(&["webhook", "test", source, "--format", "json"]);
        hides(&ran);
        let found = document(&ran);
        assert_eq!((ran.code(), &found["works"]), (Some(0), &json!(true)), "{source}: {ran:?}");
        assert_eq!(found["status"].as_u64().map(|status| status / 100), Some(2));
        assert_eq!(found["url"], format!("http://127.0.0.1:{}/hooks/{source}", gate.port()));
    }
    let hub = document(&gate.countersign(&["webhook", "test", "hub", "--format", "json"]));
    assert_eq!(hub["tampered_status"], 401, "what nobody signed is refused");
    let store = Store::open(&gate.state(), Mode::ReadOnly).unwrap();
    assert!(store.forge_repositories().unwrap().is_empty(), "no repository was learnt from it");
    assert!(store.deliveries(None, None, 10).unwrap().is_empty(), "and none waits to be judged");
    // A proxy in front that answers everything is no gate.
    let other = ForgeApi::plain(|_, _| Answer::new(200, "welcome"));
    let ran = gate.countersign(&["webhook", "test", "hub", "--url", &other.base()]);
    assert_eq!(ran.code(), Some(1), "{ran:?}");
    assert_eq!(gate.countersign(&["webhook", "test", "hub", "--url", "http://localhost:1"]).code(), Some(3));
    assert_eq!(gate.countersign(&["webhook", "test", "nobody"]).code(), Some(2));
    // GitLab's token is in every sample: it does not go over a network in the clear.
    let far = gate.countersign(&["webhook", "test", "lab", "--url", "http://192.0.2.1:8443"]);
    assert!(far.code() == Some(2) && far.stderr.contains("https"), "{far:?}");
    let near = gate.countersign(&["webhook", "test", "lab", "--url", &other.base()]);
    assert_eq!(near.code(), Some(0), "{near:?}");
}

#[test]
fn deliveries_are_listed_and_queued_again() {
    let gate = gate("http://localhost:1");
    let store = Store::open(&gate.state(), Mode::ReadWrite).unwrap();
    let mut numbers = Vec::new();
    for n in 1..=3_u8 {
        let delivery = NewDelivery {
            source: "hub".to_owned(),
            id: Some(format!("guid-{n}\u{1b}[31m")),
            id_signed: false,
            digest: [n; 32],
            repository: RepositoryId("hub:1".to_owned()),
            event: "{\"text\":\"\\u001b[31m\"}".to_owned(),
            received: Timestamp::now(),
        };
        let Accepted::Queued(number) = store.accept_delivery(delivery).unwrap() else { panic!() };
        numbers.push(number);
    }
    store.finish_deliveries(vec![numbers[1]], Timestamp::now(), "judged \u{1b}[31m").unwrap();
    drop(store);
    let list = |arguments: &[&str]| {
        let ran = gate.countersign(&[&["webhook", "deliveries"], arguments].concat());
        assert!(ran.code() == Some(0) && !ran.stdout.contains('\u{1b}'), "{ran:?}");
        ran
    };
    let all = document(&list(&["--format", "json"]));
    let ids: Vec<u64> =
        all["deliveries"].as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [numbers[2], numbers[1], numbers[0]], "newest first");
    let waiting =
        document(&list(&["--format", "json", "--state", "waiting", "--limit", "1", "--source", "hub"]));
    assert_eq!(waiting["deliveries"][0]["id"].as_u64(), Some(numbers[2]));
    assert_eq!(waiting["deliveries"].as_array().unwrap().len(), 1);
    assert!(list(&["--source", "lab"]).stdout.contains("no such delivery"));
    assert!(list(&[]).stdout.contains("judged \\x1b[31m"));

    let again = numbers[1].to_string();
    let absent = gate.countersign(&["webhook", "redeliver", &again]);
    assert_eq!(absent.code(), Some(3), "{absent:?}");
    gate.start();
    let ran = gate.countersign(&["webhook", "redeliver", &again]).ok();
    assert!(ran.stdout.contains("queued again"), "{ran:?}");
    let unknown = gate.countersign(&["webhook", "redeliver", "4711"]);
    assert!(unknown.code() == Some(2) && unknown.stderr.contains("no delivery 4711"), "{unknown:?}");
}

#[test]
fn a_forge_is_asked_for_what_did_not_arrive() {
    let forge = ForgeApi::plain(|_, asked: &Asked| {
        let path = asked.path.as_str();
        let hook = |url: &str, id: u64| json!({ "id": id, "config": { "url": url } });
        let one = |id: u64, guid: &str, status: u64| json!({ "id": id, "guid": guid, "event": "push", "status_code": status, "delivered_at": Timestamp::now().to_string() });
        if path.ends_with("/attempts") {
            return match path.contains("/acme/web/") {
                true => Answer::new(403, "{\"message\":\"Resource not accessible \u{1b}[31m\"}"),
                false => Answer::new(202, "{}"),
            };
        }
        if path.ends_with("/deliveries?per_page=100") {
            let mut old = one(2, "old", 500);
            old["delivered_at"] = json!("2020-01-01T00:00:00Z");
            let all = [one(9, "a", 202), one(7, "b", 0), one(6, "c", 502), one(5, "a", 504), old];
            return Answer::new(200, &json!(all).to_string());
        }
        let hooks =
            [hook("https://other.example.org/hooks/hub", 76), hook("https://gate.example.org/hooks/hub", 77)];
        Answer::new(200, &json!(hooks).to_string())
    });
    let gate = gate(&forge.base());
    gate.start();
    let ran =
        gate.countersign(&["webhook", "redeliver", "--from-forge", "hub/acme/infra", "--format", "json"]);
    hides(&ran);
    assert_eq!(ran.code(), Some(0), "{ran:?}");
    let found = document(&ran);
    assert_eq!(
        (&found["listed"], &found["failed"], &found["asked"]),
        (&json!(5), &json!(2), &json!(["c", "b"]))
    );
    let posts = |forge: &ForgeApi| {
        let all = forge.asked().into_iter().filter(|one| one.method == "POST");
        all.map(|one| one.path).collect::<Vec<_>>()
    };
    let wanted = [6, 7].map(|id| format!("/repos/acme/infra/hooks/77/deliveries/{id}/attempts"));
    assert_eq!(posts(&forge), wanted, "what arrived, what is old and other hooks are left alone");
    // The forge says no.
    let ran = gate.countersign(&["webhook", "redeliver", "--from-forge", "hub/acme/web", "--since", "6h"]);
    assert!(
        ran.code() == Some(1) && ran.stdout.contains("answered 403") && !ran.stdout.contains('\u{1b}'),
        "{ran:?}"
    );
    assert_eq!(posts(&forge).len(), 3, "it is not asked for the next then");
    for (arguments, says) in [
        (&["--from-forge", "hub"][..], "SOURCE/REPOSITORY"),
        (&["--from-forge", "hub/acme/nothing"], "acme/infra, acme/web"),
        (&["--from-forge", "lab/acme/infra"], "no [source.report]"),
        (
            &["--from-forge", "hub/acme/infra", "--url", "https://elsewhere.example.org"],
            "no webhook that sends to",
        ),
        (&["--from-forge", "hub/acme/infra", "--since", "1y"], "write 90s"),
        (&["--from-forge", "hub/acme/infra", "7"], "cannot be used with"),
        (&[], "required"),
    ] {
        let ran = gate.countersign(&[&["webhook", "redeliver"], arguments].concat());
        assert!(ran.code() == Some(2) && ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn a_sweep_looks_at_what_is_named_and_says_what_it_found() {
    let mut forge = Forge::prepared();
    let secret = forge.gate.sandbox.path("secret").display().to_string();
    forge.policy.push_str(&format!(
        "\n[[source]]\nname = \"other\"\nforge = \"gitea\"\nsecrets = [{{ file = \"{secret}\" }}]\nsweep = \"0s\"\n\
         [[source.repository]]\nname = \"acme/web\"\nid = \"1\"\nurl = \"file:///nonexistent/web.git\"\n"
    ));
    forge.configure();
    // Nobody looks by themselves.
    let text = fs::read_to_string(forge.gate.config()).unwrap().replace("sweep = \"1s\"", "sweep = \"0s\"");
    fs::write(forge.gate.config(), text).unwrap();
    forge.gate.start();
    let sweep = |of: &[&str]| {
        let ran = forge.gate.countersign(&[&["webhook", "sweep", "--format", "json"], of].concat());
        (ran.code(), document(&ran)["repositories"].clone())
    };
    let (code, found) = sweep(&["forge/acme/infra"]);
    assert_eq!((code, found.as_array().map(Vec::len)), (Some(3), Some(1)), "{found}");
    assert!(found[0]["waits"].as_str().unwrap().contains("adopt"), "{found}");
    forge.adopt();
    assert_eq!(
        sweep(&["forge"]),
        (Some(0), json!([{ "name": "forge/acme/infra", "looked_at": true, "moved": 0 }]))
    );
    let work = forge.gate.clone_at(&forge.bare, "main");
    work.commit(Some(&forge.alice), "OPS-2: nobody tells");
    forge.push(&work, &["main"]);
    let (code, found) = sweep(&["forge/ACME/infra"]);
    assert_eq!((code, &found[0]["moved"]), (Some(1), &json!(1)), "{found}");
    assert!(found[0]["judged_in_seconds"].as_u64().is_some_and(|wait| wait <= 60), "{found}");
    // All of them, of which one cannot be looked at.
    let (code, found) = sweep(&[]);
    assert_eq!((code, found.as_array().map(Vec::len)), (Some(3), Some(2)), "{found}");
    let other = found.as_array().unwrap().iter().find(|one| one["name"] == "other/acme/web").unwrap();
    assert!(other["waits"].is_string(), "{found}");
}

#[test]
fn what_is_watched_and_what_is_wrong_is_told() {
    let gate = gate("http://localhost:1");
    let ran = gate.countersign(&["webhook", "list"]).ok();
    for wanted in ["hub: github, delivers to /hooks/hub", "acme/infra", "waits for its first delivery"] {
        assert!(ran.stdout.contains(wanted), "{wanted}: {ran:?}");
    }
    let listed = document(&gate.countersign(&["webhook", "list", "--format", "json"]));
    assert_eq!(
        listed["sources"][0]["repositories"][1],
        json!({
            "name": "acme/web", "id": null, "adopted": false, "url": "file:///nonexistent/acme/web.git", "unsound": []
        })
    );
    assert_eq!(gate.countersign(&["webhook", "status"]).code(), Some(3), "nobody can tell");
    gate.start();
    let ran = gate.countersign(&["webhook", "status"]).ok();
    assert!(
        ran.stdout.contains("hub (github) at /hooks/hub") && ran.stdout.contains("deliveries:  none yet"),
        "{ran:?}"
    );
    let ran = gate.countersign(&["webhook", "sweep", "hub"]);
    assert!(ran.code() == Some(3) && ran.stdout.contains("hub/acme/web: waits: "), "{ran:?}");
    assert!(!ran.stdout.contains("lab/"), "nobody asked for that: {ran:?}");
    for (unknown, there) in [("nobody", "hub, lab"), ("hub/acme/nothing", "acme/infra, acme/web")] {
        let ran = gate.countersign(&["webhook", "sweep", unknown]);
        assert!(ran.code() == Some(2) && ran.stderr.contains(there), "{ran:?}");
    }
    fs::remove_file(gate.home.join("hook.secret")).unwrap();
    let ran =
        crate::support::wait_for("the missing secret to be seen", std::time::Duration::from_secs(30), || {
            Some(gate.countersign(&["webhook", "status"])).filter(|ran| ran.code() == Some(1))
        });
    assert!(ran.stdout.contains("secrets cannot be used"), "{ran:?}");
}
