//! The page behind the link of a report.

use crate::support::gate::{Gate, PRODUCTION};
use countersign::audit::{Coverage, Decision, ObjectEntry, Outcome, Record, RefEntry, ViolationEntry};
use countersign::domain::{
    ObjectId, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef, RequestId, Timestamp,
    UpdateKind, text,
};
use countersign::store::{Mode, Store};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

const HIDDEN: &str = "hidden-from-everybody";
const REF: &str = "refs/heads/<img/src=x/onerror=alert(1)>'\"";

fn configured(gate: &Gate, report: &str) {
    let secret = gate.home.join("hook.secret");
    fs::write(&secret, "a secret of the tests, long enough").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let file = secret.display();
    let report =
        report.replace("@", &format!("api = \"http://localhost:1\"\ntoken = {{ file = \"{file}\" }}\n"));
    gate.configure(&format!(
        "{PRODUCTION}\n[[source]]\nname = \"hub\"\nforge = \"github\"\nsecrets = [{{ file = \"{file}\" }}]\nsweep = \"0s\"\n\
         [[source.repository]]\nname = \"acme/infra\"\nid = \"1\"\nurl = \"file:///nonexistent/infra.git\"\n{report}"
    ));
}

/// Puts a refusal about `repository` on record; what a hostile pusher chose is in it.
fn decided(store: &Store, request: &str, repository: &str) {
    let id = ObjectId::from_bytes(&[7; 20]).unwrap();
    let name = RefName::parse(REF.as_bytes()).unwrap();
    let context = PushContext {
        request_id: RequestId::parse(request).unwrap(),
        repository: RepositoryRef {
            id: RepositoryId(repository.to_owned()),
            name: "hub/acme/infra".to_owned(),
        },
        pusher: Pusher::Unknown,
        push_options: vec![HIDDEN.into()],
        received_at: Timestamp::now(),
    };
    let mut decision = Decision::new(&context, Outcome::Refuse, "c", "k");
    let update = RefUpdate { name: name.clone(), old: None, new: Some(id) };
    decision.refs = vec![RefEntry::new(&update, Some(UpdateKind::Create), Coverage::Ruleset).judged_by(
        "production",
        "enforce",
        1,
        1,
    )];
    let seen = text::escape(b"the message \"</dd><script>alert(1)</script>\x1b[31m\"");
    decision.violations = vec![
        ViolationEntry::new("missing-ticket", &seen, "a ticket", &["production".to_owned()])
            .on_ref(&name)
            .on_commit(&id),
    ];
    decision.commits = vec![ObjectEntry::new(&id, "unsigned")];
    store.record_decision(Record::decision(decision), Vec::new(), Vec::new()).unwrap();
}

/// Status, head and body of a request with more fields.
fn get(gate: &Gate, path: &str, fields: &str) -> (u16, String, String) {
    let port = gate.port();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n{fields}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    // The date is all that differs between two answers that are the same.
    let head: Vec<&str> =
        head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:")).collect();
    (status, head.join("\n").to_ascii_lowercase(), body.to_owned())
}

const ID: &str = "0123456789abcdef0123456789abcdef";
const PUSHED: &str = "11111111111111111111111111111111";

fn scene(report: &str) -> Gate {
    let gate = Gate::prepared(PRODUCTION);
    configured(&gate, report);
    let store = Store::open(&gate.state(), Mode::ReadWrite).unwrap();
    decided(&store, ID, "hub:1");
    decided(&store, PUSHED, "0f0f0f0f0f0f0f0f");
    decided(&store, &"0".repeat(32), "hub:1");
    drop(store);
    gate.start();
    gate
}

#[test]
fn whoever_has_the_link_reads_what_was_judged_and_nothing_else_happens() {
    let gate = scene("[source.report]\n@link = \"https://gate.example.org\"\n");
    let (status, head, body) = get(&gate, &format!("/decisions/{ID}"), "accept: text/html\r\n");
    assert_eq!(status, 200, "{body}");
    for field in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "content-security-policy: default-src 'none';",
        "x-frame-options: deny",
    ] {
        assert!(head.contains(field), "{field} in {head}");
    }
    assert!(!head.contains("set-cookie") && !head.contains("unsafe-inline"), "{head}");
    for wrong in ["<script", "<img", "\u{1b}", HIDDEN] {
        assert!(!body.contains(wrong), "{wrong:?} in {body}");
    }
    for wanted in [
        "hub/acme/infra",
        "refused",
        "missing-ticket",
        "production",
        "&lt;script&gt;",
        "&lt;img/src=x/onerror=alert(1)&gt;",
        &"07".repeat(20),
    ] {
        assert!(body.contains(wanted), "{wanted:?} in {body}");
    }
    for (path, fields) in [
        (format!("/decisions/{ID}?format=json"), ""),
        (format!("/decisions/{ID}"), "accept: application/json\r\n"),
    ] {
        let (status, head, body) = get(&gate, &path, fields);
        assert!(status == 200 && head.contains("content-type: application/json"), "{head}");
        let page: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&page["outcome"], &page["violations"][0]["rule"]),
            (&"refuse".into(), &"missing-ticket".into())
        );
        assert!(!body.contains(HIDDEN), "{body}");
    }
}

#[test]
fn all_that_is_not_shown_looks_the_same() {
    let gate = scene("[source.report]\n@link = \"https://gate.example.org\"\n");
    let (status, head, body) = get(&gate, &format!("/decisions/{}", "f".repeat(32)), "");
    assert_eq!(status, 404);
    let zero = "0".repeat(32);
    let long = "a".repeat(4000);
    for other in
        [PUSHED, &zero, "x", "..", "%2e%2e", "%00", "%ff", &long, &ID.to_uppercase(), "a/../b", &ID[..31]]
    {
        let path = format!("/decisions/{other}");
        let found = get(&gate, &path, "");
        if other.contains('/') {
            assert_eq!(found.0, 404, "{other}");
            continue;
        }
        assert_eq!(found, (status, head.clone(), body.clone()), "{other}");
    }
}

#[test]
fn without_a_link_in_the_configuration_there_is_no_page() {
    let with_link = scene("[source.report]\n@link = \"https://gate.example.org\"\n");
    let unknown = get(&with_link, &format!("/decisions/{}", "f".repeat(32)), "");
    for report in ["", "[source.report]\n@"] {
        let gate = scene(report);
        assert_eq!(get(&gate, &format!("/decisions/{ID}"), ""), unknown, "{report}");
    }
}

#[test]
fn who_asks_too_often_waits() {
    let gate = scene("[source.report]\n@link = \"https://gate.example.org\"\n");
    let answers: Vec<u16> = (0..400).map(|n| get(&gate, &format!("/decisions/{n:032x}"), "").0).collect();
    assert!(answers.contains(&429) && answers[0] == 404, "{answers:?}");
    // Everybody else is served.
    assert_eq!(gate.get("/health").0, 200);
}
