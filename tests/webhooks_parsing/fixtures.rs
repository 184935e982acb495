//! Real payloads, which are not kept here: `COUNTERSIGN_WEBHOOKS` names their directory, or they lie beside
//! the repository. Where they are not, the payloads of `events.rs` have to do.

use crate::real::directory;
use crate::{SECRET, SIGNING, now, of, secrets};
use countersign::forge::{
    Event, ForgeKind, Headers, Proposal, ProposalState, Push, as_form, authenticate, parse, sign,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// File, what the header calls it, what it has to be understood as: `push` with ref, old, new and login, or with
/// `nothing` and the login where no ids are told; `open` or `closed` with number, head, target and source of a
/// proposal; `ignored`. Ids by their first seven digits, `-` for none.
const EXPECTED: &str = include_str!("expected.txt");

/// File without its ending, event, what is expected.
fn expected() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    EXPECTED.lines().map(|line| {
        let mut parts = line.split(" | ");
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
    })
}

/// Who sends what lies in a folder.
fn senders(file: &str) -> &'static [ForgeKind] {
    match file.split('/').next().unwrap() {
        "github" => &[ForgeKind::GitHub],
        "gitlab" => &[ForgeKind::GitLab],
        "gitea" => &[ForgeKind::Gitea, ForgeKind::Forgejo],
        "gogs" => &[ForgeKind::Gogs, ForgeKind::Gitea, ForgeKind::Forgejo],
        "bitbucket" => &[ForgeKind::BitbucketCloud],
        "stash" => &[ForgeKind::BitbucketDc],
        other => panic!("nobody sends {other}"),
    }
}

fn understood(forge: ForgeKind, event: &str, body: &[u8]) -> Event {
    let headers = sign(forge, &secrets(forge), event, "delivery-1", body, now());
    let one = authenticate(forge, &secrets(forge), &headers, body, now()).unwrap();
    parse(&one).unwrap_or_else(|error| panic!("{forge:?} {event}: {error}"))
}

fn told(event: &Event) -> String {
    let id = |id: &Option<countersign::domain::ObjectId>| {
        id.map_or_else(|| "-".to_owned(), |id| id.to_string()[..7].to_owned())
    };
    match event {
        Event::Push(Push { claims, unreadable, actor, .. }) => {
            assert!(unreadable.is_empty(), "{unreadable:?}");
            assert!(claims.len() <= 1, "these have one change each");
            let moved = claims.first().map_or_else(
                || "nothing".to_owned(),
                |claim| format!("{} {} {}", claim.reference, id(&claim.before), id(&claim.after)),
            );
            format!("push {moved} {}", actor.as_ref().unwrap().login)
        }
        Event::Proposal(Proposal { number, state, head, source, target, .. }) => {
            let state = if *state == ProposalState::Open { "open" } else { "closed" };
            let source = source.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            format!("{state} {number} {} {target} {source}", id(head))
        }
        Event::Ping(_) => "ping".to_owned(),
        Event::Ignored(_) => "ignored".to_owned(),
    }
}

fn read(root: &Path, file: &str) -> Vec<u8> {
    fs::read(root.join(format!("{file}.json"))).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_payload_of_a_real_forge_is_understood() {
    let Some(root) = directory() else { return };
    let mut files = BTreeSet::new();
    for folder in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = format!(
                "{}/{}",
                folder.file_name().unwrap().to_str().unwrap(),
                file.file_stem().unwrap().to_str().unwrap()
            );
            files.insert(name);
        }
    }
    let listed: BTreeSet<String> = expected().map(|(file, ..)| file.to_owned()).collect();
    assert_eq!(files, listed, "each file has a line here");
    for (file, event, expected) in expected() {
        let body = read(&root, file);
        for forge in senders(file) {
            let found = told(&understood(*forge, event, &body));
            // GitHub's examples of proposals have a source that is told by the payload itself.
            let expected = match expected.strip_suffix(" SOURCE") {
                Some(start) => {
                    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let head = &json["pull_request"]["head"];
                    let same = head["repo"]["id"] == json["repository"]["id"];
                    assert!(same, "{file}: from another repository");
                    format!("{start} refs/heads/{}", head["ref"].as_str().unwrap())
                }
                None => expected.to_owned(),
            };
            assert_eq!(found, expected, "{file} by {forge:?}");
        }
    }
}

#[test]
fn no_name_of_an_event_hides_a_push() {
    let Some(root) = directory() else { return };
    for (file, event, expected) in expected().filter(|(.., expected)| expected.starts_with("push ")) {
        let body = read(&root, file);
        for forge in senders(file) {
            let right = understood(*forge, event, &body);
            let others = expected_events(file).into_iter().chain(["ping", "nonsense", "issues", "push"]);
            for other in others {
                assert_eq!(understood(*forge, other, &body), right, "{file} as {other}, {expected}");
            }
        }
    }
}

fn expected_events(file: &str) -> BTreeSet<&'static str> {
    let folder = file.split('/').next().unwrap();
    expected().filter(|(one, ..)| one.starts_with(folder)).map(|(_, event, _)| event).collect()
}

#[test]
fn payloads_are_understood_in_every_wrapping() {
    let Some(root) = directory() else { return };
    for (file, event, _) in expected() {
        let body = read(&root, file);
        for forge in senders(file) {
            let right = understood(*forge, event, &body);
            // What is kept in the queue is what was understood.
            let kept = serde_json::to_string(&right).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&kept).unwrap(), right, "{file}");
            if *forge == ForgeKind::GitLab {
                for secrets in [of(*forge, &[SIGNING]), of(*forge, &[SECRET, SIGNING])] {
                    for event in [event, "System Hook"] {
                        let headers = sign(*forge, &secrets, event, "delivery-1", &body, now());
                        let one = authenticate(*forge, &secrets, &headers, &body, now()).unwrap();
                        assert!(one.is_signed());
                        let found = parse(&one).unwrap();
                        assert!(
                            found == right
                                || matches!((&found, &right), (Event::Ignored(_), Event::Ignored(_)))
                        );
                    }
                }
            }
            let formed = [ForgeKind::GitHub, ForgeKind::Gitea, ForgeKind::Forgejo, ForgeKind::Gogs];
            if formed.contains(forge) {
                let form = as_form(&body);
                let signed = if *forge == ForgeKind::GitHub { &form } else { &body };
                let headers = sign(*forge, &secrets(*forge), event, "delivery-1", signed, now());
                let fields = headers.iter().map(|(name, value)| {
                    let form = b"application/x-www-form-urlencoded".to_vec();
                    (name.to_owned(), if name == "content-type" { form } else { value.to_vec() })
                });
                let headers = Headers::new(fields);
                let one = authenticate(*forge, &secrets(*forge), &headers, &form, now()).unwrap();
                assert_eq!(parse(&one).unwrap(), right, "{file} as a form");
            }
        }
    }
}
