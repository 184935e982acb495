//! Payloads of real forges, signed and delivered over HTTP. They are not kept here: `COUNTERSIGN_WEBHOOKS` names their
//! directory, or they lie beside the repository.

use crate::Site;
use crate::real::directory;
use crate::support::deliveries::{self, SECRET};
use countersign::domain::Timestamp;
use countersign::forge::{self, Event, ForgeKind, Headers};
use std::fs;

/// File, what the header calls it, what it has to be understood as.
const EXPECTED: &str = include_str!("../webhooks_parsing/expected.txt");

fn sender(file: &str) -> ForgeKind {
    match file.split('/').next().unwrap() {
        "github" => ForgeKind::GitHub,
        "gitlab" => ForgeKind::GitLab,
        "gitea" => ForgeKind::Gitea,
        "gogs" => ForgeKind::Gogs,
        "bitbucket" => ForgeKind::BitbucketCloud,
        "stash" => ForgeKind::BitbucketDc,
        other => panic!("nobody sends {other}"),
    }
}

fn event(forge: ForgeKind, headers: &Headers, body: &[u8]) -> Event {
    let secrets = deliveries::secrets(forge, SECRET);
    forge::parse(&forge::authenticate(forge, &secrets, headers, body, Timestamp::now()).unwrap()).unwrap()
}

#[test]
fn every_payload_of_a_real_forge_is_taken_for_what_it_is() {
    let Some(root) = directory() else { return };
    let site = Site::prepared(ForgeKind::GitHub);
    let mut sources = String::new();
    let mut all = Vec::new();
    for (n, line) in EXPECTED.lines().enumerate() {
        let mut parts = line.split(" | ");
        let (file, name, wanted) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let body = fs::read(root.join(format!("{file}.json"))).unwrap();
        let forge = sender(file);
        let secrets = deliveries::secrets(forge, SECRET);
        let headers = forge::sign(forge, &secrets, name, &format!("delivery-{n}"), &body, Timestamp::now());
        // Each has a source of its own, which watches just the repository that it is about.
        let path = match event(forge, &headers, &body) {
            Event::Push(push) => push.repository.path,
            Event::Proposal(proposal) => proposal.repository.path,
            Event::Ping(_) | Event::Ignored(_) => "acme/infra".to_owned(),
        };
        let source = site.source(&format!("s{n}"), forge, "{ file = \"secret\" }");
        sources.push_str(&source.replace("acme/infra", &path));
        all.push((n, file, headers, body, wanted));
    }
    assert!(all.len() > 100);
    site.configure(&sources);
    site.gate.start();
    let mut wire = site.wire();
    let mut queued = 0;
    for (n, file, headers, body, wanted) in &all {
        let answer = wire.post(&format!("/hooks/s{n}"), headers, body);
        let expected = if *wanted == "ignored" { 200 } else { 202 };
        assert_eq!(answer.status, expected, "{file}: {answer:?}");
        queued += usize::from(expected == 202);
        // What somebody changed on its way is not believed, whatever it is. Not more often than one may fail.
        if n % 5 == 0 {
            let mut changed = body.clone();
            let last = changed.len() - 1;
            changed[last] ^= 1;
            let unsigned = deliveries::with(headers, "x-gitlab-token", "another one");
            let headers = if headers.any("x-gitlab-") { &unsigned } else { headers };
            assert_eq!(wire.post(&format!("/hooks/s{n}"), headers, &changed).status, 401, "{file}");
        }
    }
    let taken = site.queue();
    assert_eq!(taken.len(), queued);
    // What is kept is what a parser of today reads back.
    for one in taken {
        let kept: Event = serde_json::from_str(&one.event).unwrap();
        assert!(matches!(kept, Event::Push(_) | Event::Proposal(_)), "{kept:?}");
    }
}
