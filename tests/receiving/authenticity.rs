//! Who is believed.

use crate::support::deliveries::{self, SECRET, push, with, without};
use crate::support::wait_for;
use crate::{INFRA, Site};
use countersign::domain::Timestamp;
use countersign::forge::{self, ForgeKind, ForgeRepository, Headers};

#[test]
fn every_kind_of_forge_is_heard() {
    for forge in ForgeKind::ALL {
        let site = Site::of(*forge);
        let secret = deliveries::usual_secret(*forge);
        let (headers, body) = push(*forge, secret, INFRA, 1);
        assert_eq!(site.post(&headers, &body), 202, "{forge:?}: {}", site.gate.log());
        let queue = site.queue();
        assert_eq!(queue.len(), 1, "{forge:?}");
        assert!(queue[0].repository.0.starts_with("forge:"), "{:?}", queue[0]);
        assert!(queue[0].event.contains("refs/heads/main"), "{:?}", queue[0]);
        // With the secret of somebody else it is not.
        let other =
            if secret == SECRET { "something else" } else { "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
        let (headers, body) = push(*forge, other, INFRA, 2);
        assert_eq!(site.post(&headers, &body), 401, "{forge:?}");
        assert_eq!(site.queue().len(), 1, "{forge:?}");
    }
}

/// Nothing of it is queued, and nothing of it is in the audit log (N26).
#[track_caller]
fn refused(site: &Site, what: &str, headers: &Headers, body: &[u8]) {
    let records = site.gate.audit().len();
    assert_eq!(site.post(headers, body), 401, "{what}");
    assert!(site.queue().is_empty(), "{what}");
    assert_eq!(site.gate.audit().len(), records, "{what}");
}

#[test]
fn a_tampered_body_is_refused() {
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    for at in [0, body.len() / 2, body.len() - 1] {
        let mut changed = body.clone();
        changed[at] ^= 1;
        refused(&site, "one bit", &headers, &changed);
    }
    refused(&site, "cut", &headers, &body[..body.len() - 1]);
    refused(&site, "longer", &headers, &[body.as_slice(), b" "].concat());
    refused(&site, "empty", &headers, b"");
    assert_eq!(site.post(&headers, &body), 202, "as it was");
}

#[test]
fn a_tampered_signature_is_refused() {
    const NAME: &str = "x-hub-signature-256";
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    let right = headers.one(NAME).unwrap().unwrap().to_owned();
    let hex = right.strip_prefix("sha256=").unwrap();
    let first = if hex.starts_with('0') { "1" } else { "0" };
    let flipped = format!("{first}{}", &hex[1..]);
    let sha1 = headers.one("x-hub-signature").unwrap().unwrap().to_owned();
    for (what, value) in [
        ("other digits", format!("sha256={flipped}")),
        ("upper case", format!("sha256={}", hex.to_uppercase())),
        ("upper-case prefix", format!("SHA256={hex}")),
        ("no prefix", hex.to_owned()),
        ("only the prefix", "sha256=".to_owned()),
        ("empty", String::new()),
        ("short", format!("sha256={}", &hex[..62])),
        ("long", format!("sha256={hex}00")),
        ("half", format!("sha256={}", &hex[..32])),
        ("another algorithm's name", format!("sha1={hex}")),
        ("another algorithm", sha1),
        ("a list", format!("{right},{right}")),
        ("quoted", format!("\"{right}\"")),
        ("zeros", format!("sha256={}", "0".repeat(64))),
    ] {
        refused(&site, what, &with(&headers, NAME, &value), &body);
    }
    refused(&site, "none", &without(&headers, NAME), &body);
    // Twice, right and wrong, in either order: which of them another reader takes, nobody knows.
    let wrong = format!("sha256={flipped}");
    for pair in [[&right, &wrong], [&wrong, &right], [&right, &right]] {
        let once = without(&headers, NAME);
        let fields = once.iter().map(|(name, value)| (name.to_owned(), value.to_vec()));
        let twice =
            Headers::new(fields.chain(pair.map(|value| (NAME.to_owned(), value.clone().into_bytes()))));
        refused(&site, "twice", &twice, &body);
    }
    assert_eq!(site.post(&headers, &body), 202, "as it was");
}

#[test]
fn other_forges_headers_are_refused_even_if_they_are_right() {
    let site = Site::github();
    let (right, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    for forge in ForgeKind::ALL.iter().filter(|forge| **forge != ForgeKind::GitHub) {
        let secret = deliveries::usual_secret(*forge);
        let (headers, theirs) = push(*forge, secret, INFRA, 1);
        assert_eq!(site.post(&headers, &theirs), 401, "{forge:?}");
    }
    for (name, value) in [
        ("x-gitea-signature", "0".repeat(64)),
        ("x-gitlab-token", SECRET.to_owned()),
        ("webhook-id", "1".to_owned()),
        ("x-event-key", "repo:push".to_owned()),
    ] {
        refused(&site, name, &with(&right, name, &value), &body);
    }
    assert_eq!(site.post(&right, &body), 202);
}

#[test]
fn gitlabs_two_kinds_of_secrets() {
    let site = Site::prepared(ForgeKind::GitLab);
    site.write_secret("signing", deliveries::SIGNING);
    site.configure(&site.source("forge", ForgeKind::GitLab, "{ file = \"secret\" }, { file = \"signing\" }"));
    site.gate.start();
    let (token, body) = push(ForgeKind::GitLab, SECRET, INFRA, 1);
    assert_eq!(site.post(&token, &body), 202);
    let (signed, body) = push(ForgeKind::GitLab, deliveries::SIGNING, INFRA, 2);
    assert_eq!(site.post(&signed, &body), 202);
    // A signature that is there must be right, whatever else is.
    let (headers, body) = push(ForgeKind::GitLab, deliveries::SIGNING, INFRA, 3);
    let right = headers.one("webhook-signature").unwrap().unwrap().to_owned();
    let zeros = format!("v1,{}=", "A".repeat(43));
    for wrong in
        ["v1,AAAA", "", "v1,", "v1a,AAAA", "v2,AAAA", "nonsense", &zeros, &right.replace("v1,", "v1a,")]
    {
        let both = with(&with(&headers, "x-gitlab-token", SECRET), "webhook-signature", wrong);
        assert_eq!(site.post(&both, &body), 401, "{wrong}: no falling back to the token");
    }
    for name in ["webhook-id", "webhook-timestamp"] {
        let both = without(&with(&headers, "x-gitlab-token", SECRET), name);
        assert_eq!(site.post(&both, &body), 401, "signed, and without {name}");
    }
    // What was signed long ago is a replay.
    let (_, body) = push(ForgeKind::GitLab, deliveries::SIGNING, INFRA, 4);
    let secrets = deliveries::secrets(ForgeKind::GitLab, deliveries::SIGNING);
    for seconds in [-600, 600] {
        let then = Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap();
        let headers = forge::sign(ForgeKind::GitLab, &secrets, "Push Hook", "old", &body, then);
        assert_eq!(site.post(&headers, &body), 401, "{seconds}");
    }
    assert_eq!(site.queue().len(), 2);
    // Who is believed by the token alone is counted, until the token can go.
    let by_token = || site.health()["webhooks"]["sources"]["forge"]["by_token"].clone();
    let one = wait_for("the count", std::time::Duration::from_secs(10), || {
        Some(by_token()).filter(|one| one["count"] == 1)
    });
    assert!(one["last"].is_string(), "{one}");
    let said = site.gate.countersign(&["webhook", "status"]);
    assert!(
        said.stdout.contains("1 believed by their token although signing is configured"),
        "{}",
        said.stdout
    );
    let warned = site.gate.countersign(&["config", "check"]);
    assert!(warned.stdout.contains("a token beside a signing secret"), "{}", warned.stdout);
    site.configure(&site.source("forge", ForgeKind::GitLab, "{ file = \"signing\" }"));
    site.gate.reload();
    let (token, body) = push(ForgeKind::GitLab, SECRET, INFRA, 5);
    assert_eq!(site.post(&token, &body), 401, "the token is gone");
    wait_for("nothing to count", std::time::Duration::from_secs(10), || by_token().is_null().then_some(()));
}

#[test]
fn a_replay_changes_nothing() {
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    assert_eq!(site.post(&headers, &body), 202);
    assert_eq!(site.post(&headers, &body), 200, "the same");
    let fresh = with(&headers, "x-github-delivery", "11111111-2222-3333-4444-555555555555");
    assert_eq!(site.post(&fresh, &body), 200, "under a fresh id, which nobody signs");
    assert_eq!(site.post(&without(&headers, "x-github-delivery"), &body), 200, "without an id");
    for event in ["create", "delete", "pull_request", "ping", "status", "nonsense"] {
        let other = with(&fresh, "x-github-event", event);
        assert_eq!(site.post(&other, &body), 200, "as `{event}`, which nobody signs");
    }
    let queue = site.queue();
    assert_eq!(queue.len(), 1);
    // Nor after a restart, nor in another wrapping.
    site.gate.stop();
    site.gate.start();
    assert_eq!(site.post(&fresh, &body), 200);
    let now = site.queue();
    assert_eq!((now.len(), now[0].number, &now[0].event), (1, queue[0].number, &queue[0].event));
    site.counted("queued", 1);
}

/// Whoever can make the forge deliver something could otherwise take the id of a delivery of the future, and keep that
/// one from being heard. So no id that is not signed stands in the way of another body.
#[test]
fn an_id_that_was_used_silences_no_other_delivery() {
    for forge in [ForgeKind::GitHub, ForgeKind::Forgejo, ForgeKind::BitbucketCloud, ForgeKind::GitLab] {
        let site = Site::of(forge);
        let secrets = deliveries::secrets(forge, SECRET);
        let post = |n: u64| {
            let (_, body) = push(forge, SECRET, INFRA, n);
            let event = if forge == ForgeKind::GitLab { "Push Hook" } else { "push" };
            let headers = forge::sign(forge, &secrets, event, "an-id-of-the-future", &body, Timestamp::now());
            site.post(&headers, &body)
        };
        assert_eq!(post(1), 202, "{forge:?}");
        assert_eq!(post(2), 202, "{forge:?}: another body under an id that was used");
        // The same id and the same body: the forge sends it again.
        assert_eq!((post(1), post(2)), (200, 200), "{forge:?}");
        assert_eq!(site.queue().len(), 2, "{forge:?}");
        // Where ids are signed, one is used once.
        if forge == ForgeKind::GitLab {
            site.write_secret("signing", deliveries::SIGNING);
            let both = "{ file = \"secret\" }, { file = \"signing\" }";
            site.configure(&site.source("forge", forge, both));
            site.gate.reload();
            let secrets = deliveries::secrets(forge, deliveries::SIGNING);
            let post = |n: u64| {
                let (_, body) = push(forge, SECRET, INFRA, n);
                let now = Timestamp::now();
                let headers = forge::sign(forge, &secrets, "Push Hook", "an-id-of-the-future", &body, now);
                site.post(&headers, &body)
            };
            assert_eq!(post(3), 202, "nobody has signed that id before");
            assert_eq!((post(3), post(4)), (200, 200));
            assert_eq!(site.queue().len(), 3);
        }
    }
}

#[test]
fn an_event_under_another_name_is_what_its_body_says() {
    // The very first delivery, renamed on its way by whoever can do that: it is not lost.
    let site = Site::github();
    let (headers, body) = push(ForgeKind::GitHub, SECRET, INFRA, 1);
    assert_eq!(site.post(&with(&headers, "x-github-event", "status"), &body) / 100, 2);
    let after = site.queue().len();
    assert_eq!(site.post(&headers, &body) / 100, 2);
    assert_eq!(site.queue().len(), 1, "queued by the first or by the second ({after})");
}

#[test]
fn forms_are_read_as_github_and_gitea_send_them() {
    for forge in [ForgeKind::GitHub, ForgeKind::Gitea] {
        let site = Site::of(forge);
        let (json_headers, json) = push(forge, SECRET, INFRA, 1);
        let form = forge::as_form(&json);
        let secrets = deliveries::secrets(forge, SECRET);
        // GitHub signs the form, Gitea what is in it.
        let signed = if forge == ForgeKind::GitHub { &form } else { &json };
        let headers = forge::sign(forge, &secrets, "push", "form-1", signed, Timestamp::now());
        let headers = with(&headers, "content-type", "application/x-www-form-urlencoded");
        assert_eq!(site.post(&headers, &form), 202, "{forge:?}");
        let mut changed = form.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert_eq!(site.post(&headers, &changed), 401, "{forge:?}");
        let plain = with(&json_headers, "content-type", "text/plain");
        assert_eq!(site.post(&plain, &json), 401, "{forge:?}: as text");
    }
}

/// The forge calls it by the same id and another name, or by the same name and another id (N3).
#[test]
fn n03_a_repository_is_its_id() {
    let site = Site::github();
    let post = |id: &str, path: &str, n: u64| {
        let (headers, body) = push(ForgeKind::GitHub, SECRET, (id, path), n);
        site.post(&headers, &body)
    };
    assert_eq!(post("41", "Acme/INFRA", 1), 202, "names are compared without case");
    assert_eq!(post("41", "elsewhere/renamed", 2), 202, "renamed at the forge");
    assert_eq!(post("99", "acme/infra", 3), 200, "another one under its name");
    assert_eq!(post("99", "acme/other", 4), 200, "one that is not watched");
    let queue = site.queue();
    assert!(queue.len() == 2 && queue.iter().all(|one| one.repository.0 == "forge:41"), "{queue:?}");
    site.counted("other-repository", 1);
    site.counted("unlisted", 1);
    let log = site.gate.log();
    assert!(log.contains("another repository (99, known is 41) has taken the place"), "{log}");
    // A configured id is not learnt from anybody.
    let text = site
        .source("forge", ForgeKind::GitHub, "{ file = \"secret\" }")
        .replace("repositories = [\"acme/infra\"]\n", "");
    site.configure(&format!("{text}[[source.repository]]\nname = \"acme/infra\"\nid = 7\n"));
    site.gate.reload();
    assert_eq!(post("41", "acme/infra", 5), 200);
    assert_eq!(post("7", "whatever/it-is-called", 6), 202);
}

#[test]
fn what_is_authentic_and_of_no_interest_is_acknowledged() {
    let site = Site::github();
    let secrets = deliveries::secrets(ForgeKind::GitHub, SECRET);
    let post = |event: &str, body: &str| {
        let headers =
            forge::sign(ForgeKind::GitHub, &secrets, event, event, body.as_bytes(), Timestamp::now());
        site.post(&headers, body.as_bytes())
    };
    // A 4xx makes some forges disable the hook.
    assert_eq!(post("star", "{\"action\":\"created\"}"), 200);
    assert_eq!(post("push", "{\"ref\": 7}"), 200);
    assert_eq!(post("push", "this is no JSON"), 200);
    assert_eq!(post("push", "[]"), 200);
    assert_eq!(post("push", "\u{0}"), 200);
    let repository = ForgeRepository { id: "41".to_owned(), path: "acme/infra".to_owned() };
    let (headers, body) = forge::sample(ForgeKind::GitHub, &secrets, &repository, &[], Timestamp::now());
    assert_eq!(site.post(&headers, &body), 200);
    assert!(site.queue().is_empty());
    site.counted("ping", 1);
    // The hook exists, which is known after a restart, too.
    site.gate.stop();
    site.gate.start();
    let health = site.health();
    assert!(health["webhooks"]["sources"]["forge"]["last_ping"].is_string(), "{health}");
    site.counted("ping", 1);
}
