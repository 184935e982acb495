//! Payloads of our own making, one of each kind of event: what the forges' documentation says, in as few fields
//! as are used.

use crate::{ONE, TWO, ZERO, claim, event, id, name, now, push, secrets};
use countersign::forge::{
    Actor, Claim, Event, ForgeKind, ForgeRepository, ParseError, Proposal, ProposalState, authenticate,
    parse, sample,
};
use serde_json::{Value, json};

const HUBS: [ForgeKind; 4] = [ForgeKind::GitHub, ForgeKind::Gitea, ForgeKind::Forgejo, ForgeKind::Gogs];

fn infra() -> ForgeRepository {
    ForgeRepository { id: "42".to_owned(), path: "acme/infra".to_owned() }
}

fn actor(login: &str, id: &str) -> Option<Actor> {
    Some(Actor { login: login.to_owned(), id: Some(id.to_owned()) })
}

/// The repository as GitHub and its like write it, with more than is used.
fn hub(more: Value) -> String {
    let mut body = json!({
        "repository": { "id": 42, "name": "infra", "full_name": "acme/infra", "private": true },
        "sender": { "id": 7, "login": "ada", "type": "User" },
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

#[test]
fn pushes_of_github_and_its_like() {
    let moves = [
        ("refs/heads/main", ONE, TWO),
        ("refs/heads/new", ZERO, TWO),
        ("refs/heads/gone", ONE, ZERO),
        ("refs/tags/v1.0", ZERO, ONE),
        ("refs/tags/v1.0", ONE, ZERO),
        ("refs/heads/äöü/\u{1f600}", ONE, TWO),
        ("refs/notes/commits", ONE, TWO),
    ];
    for forge in HUBS {
        for (reference, before, after) in moves {
            let body = hub(json!({
                "ref": reference, "before": before, "after": after, "forced": true, "base_ref": null,
                "created": before == ZERO, "deleted": after == ZERO, "commits": [{ "id": "x" }],
                "pusher": { "id": 7, "login": "ada", "name": "ada", "email": "ada@example.org" },
            }));
            let found = push(event(forge, "push", &body));
            assert_eq!(found.repository, infra());
            assert_eq!(found.claims, [claim(reference, before, after)]);
            assert_eq!(found.actor, actor("ada", "7"), "{forge:?}");
            assert!(found.unreadable.is_empty());
        }
        // The other object format, by the length of its ids.
        let (one, zero) = ("a".repeat(64), "0".repeat(64));
        let body = hub(json!({ "ref": "refs/heads/main", "before": zero, "after": one }));
        assert_eq!(push(event(forge, "push", &body)).claims, [claim("refs/heads/main", &zero, &one)]);
    }
}

#[test]
fn who_pushed_is_told_only_by_those_who_agree() {
    let told = |forge, pusher: Value, sender: Value| {
        let body = hub(json!({
            "ref": "refs/heads/main", "before": ONE, "after": TWO, "pusher": pusher, "sender": sender,
        }));
        push(event(forge, "push", &body)).actor
    };
    let ada = json!({ "id": 7, "login": "ada", "name": "Ada" });
    let eve = json!({ "id": 8, "login": "eve", "name": "Eve" });
    assert_eq!(told(ForgeKind::GitHub, json!({ "name": "ada" }), ada.clone()), actor("ada", "7"));
    assert_eq!(told(ForgeKind::GitHub, json!({ "name": "eve" }), ada.clone()), None);
    assert_eq!(told(ForgeKind::GitHub, json!({}), ada.clone()), None);
    assert_eq!(told(ForgeKind::GitHub, Value::Null, ada.clone()), actor("ada", "7"));
    let by_name = Some(Actor { login: "ada".to_owned(), id: None });
    assert_eq!(told(ForgeKind::GitHub, json!({ "name": "ada" }), Value::Null), by_name);
    assert_eq!(told(ForgeKind::GitHub, Value::Null, Value::Null), None);
    for odd in [
        json!(5),
        json!("ada"),
        json!([]),
        json!({ "login": 5 }),
        json!({ "login": "a\nb" }),
        json!({ "login": "" }),
    ] {
        assert_eq!(told(ForgeKind::GitHub, Value::Null, odd), None);
    }
    for forge in [ForgeKind::Gitea, ForgeKind::Forgejo, ForgeKind::Gogs] {
        assert_eq!(told(forge, ada.clone(), ada.clone()), actor("ada", "7"));
        assert_eq!(told(forge, ada.clone(), eve.clone()), None);
        assert_eq!(told(forge, ada.clone(), Value::Null), actor("ada", "7"));
        let old = json!({ "id": 7, "username": "ada" });
        assert_eq!(told(forge, old, Value::Null), actor("ada", "7"));
        let renumbered = json!({ "id": 8, "login": "ada" });
        assert_eq!(told(forge, ada.clone(), renumbered), None);
    }
}

#[test]
fn what_was_made_or_went_away_says_where_to_look() {
    for forge in HUBS {
        for header in ["create", "delete"] {
            for (kind, short) in [("branch", "topic"), ("tag", "v1")] {
                let body = hub(json!({ "ref": short, "ref_type": kind, "pusher_type": "user" }));
                let found = push(event(forge, header, &body));
                assert_eq!((found.repository, found.claims), (infra(), vec![]));
                assert!(found.unreadable.is_empty());
            }
        }
        let body = hub(json!({ "ref": "v1", "ref_type": "tag", "sha": TWO }));
        assert_eq!(push(event(forge, "create", &body)).claims, [claim("refs/tags/v1", ZERO, TWO)]);
        let body = hub(json!({ "ref": "topic", "ref_type": "branch", "sha": TWO }));
        assert_eq!(push(event(forge, "create", &body)).claims, [claim("refs/heads/topic", ZERO, TWO)]);
        let body = hub(json!({ "ref": "x", "ref_type": "sort of", "sha": TWO }));
        let found = push(event(forge, "create", &body));
        assert_eq!((found.claims.len(), found.unreadable.len()), (0, 1), "{:?}", found.unreadable);
    }
}

#[test]
fn gitea_tries_a_hook_out_with_a_push_that_moves_nothing() {
    let body = hub(json!({ "ref": "refs/heads/main", "before": ONE, "after": ONE }));
    for forge in [ForgeKind::Gitea, ForgeKind::Forgejo] {
        let found = push(event(forge, "push", &body));
        assert_eq!((found.claims.len(), found.unreadable.len()), (0, 0));
    }
}

#[test]
fn pings() {
    let body = hub(json!({ "zen": "Keep it.", "hook_id": 1, "hook": {} }));
    assert_eq!(event(ForgeKind::GitHub, "ping", &body), Ok(Event::Ping(Some(infra()))));
    let body = r#"{ "zen": "Keep it.", "hook_id": 1, "organization": { "id": 1 } }"#;
    assert_eq!(event(ForgeKind::GitHub, "ping", body), Ok(Event::Ping(None)));
    assert_eq!(event(ForgeKind::BitbucketDc, "diagnostics:ping", r#"{"test":true}"#), Ok(Event::Ping(None)));
    assert_eq!(event(ForgeKind::Generic, "", r#"{"ping":true}"#), Ok(Event::Ping(None)));
}

fn pull(action: &str, head_repository: u64) -> Value {
    json!({
        "action": action,
        "number": 3,
        "pull_request": {
            "number": 3, "state": "open", "title": "x",
            "head": { "ref": "topic", "sha": TWO, "repo": { "id": head_repository }, "repo_id": head_repository },
            "base": { "ref": "main", "sha": ONE, "repo": { "id": 42 }, "repo_id": 42 },
        },
    })
}

fn proposed(state: ProposalState, source: Option<&str>) -> Result<Event, ParseError> {
    Ok(Event::Proposal(Proposal {
        repository: infra(),
        number: 3,
        state,
        head: id(TWO),
        source: source.map(name),
        target: name("refs/heads/main"),
    }))
}

#[test]
fn pull_requests_of_github_and_its_like() {
    const TOPIC: Option<&str> = Some("refs/heads/topic");
    for forge in HUBS {
        let told = |action: &str| event(forge, "pull_request", &hub(pull(action, 42)));
        for action in ["opened", "reopened", "edited", "synchronize", "synchronized", "ready_for_review"] {
            assert_eq!(told(action), proposed(ProposalState::Open, TOPIC), "{action}");
        }
        assert_eq!(told("closed"), proposed(ProposalState::Closed, TOPIC));
        for action in ["labeled", "assigned", "review_requested", "locked", "", "opene"] {
            assert_eq!(told(action), Ok(Event::Ignored("pull_request".to_owned())), "{action}");
        }
        // From another repository, and from one that is gone.
        let fork = hub(pull("opened", 43));
        assert_eq!(event(forge, "pull_request", &fork), proposed(ProposalState::Open, None));
        let mut gone = pull("opened", 43);
        gone["pull_request"]["head"]["repo"] = Value::Null;
        gone["pull_request"]["head"]["repo_id"] = Value::Null;
        assert_eq!(event(forge, "pull_request", &hub(gone)), proposed(ProposalState::Open, None));
        // To another repository than the one that tells of it.
        let mut astray = pull("opened", 42);
        astray["pull_request"]["base"]["repo"]["id"] = json!(43);
        astray["pull_request"]["base"]["repo_id"] = json!(43);
        let found = event(forge, "pull_request", &hub(astray));
        assert_eq!(found, Err(ParseError::Field("pull_request.base")));
    }
    // A later name of the header.
    let body = hub(pull("synchronized", 42));
    assert_eq!(event(ForgeKind::Gitea, "pull_request_sync", &body), proposed(ProposalState::Open, TOPIC));
    // Gogs tells no ids.
    let body = hub(json!({
        "action": "opened", "number": 3,
        "pull_request": {
            "head_branch": "topic", "base_branch": "main", "head_repo": { "id": 42 }, "base_repo": { "id": 42 },
        },
    }));
    let Ok(Event::Proposal(found)) = event(ForgeKind::Gogs, "pull_request", &body) else { panic!() };
    assert_eq!((found.head, found.source), (None, TOPIC.map(name)));
}

#[test]
fn a_merge_queue_proposes() {
    let told = |action: &str, head: &str| {
        let body = hub(json!({
            "action": action,
            "merge_group": { "head_sha": TWO, "head_ref": head, "base_sha": ONE, "base_ref": "refs/heads/main" },
        }));
        event(ForgeKind::GitHub, "merge_group", &body)
    };
    let reference = format!("refs/heads/gh-readonly-queue/main/pr-3-{ONE}");
    assert_eq!(told("checks_requested", &reference), proposed(ProposalState::Open, Some(&reference)));
    assert_eq!(told("destroyed", &reference), proposed(ProposalState::Closed, Some(&reference)));
    assert_eq!(told("else", &reference), Ok(Event::Ignored("merge_group".to_owned())));
    let Ok(Event::Proposal(found)) = told("checks_requested", "refs/heads/other") else { panic!() };
    assert_eq!(found.number, 0);
    assert_eq!(told("checks_requested", "other"), Err(ParseError::Field("merge_group")));
}

fn gitlab(more: Value) -> String {
    let mut body = json!({
        "project_id": 42,
        "project": { "id": 42, "path_with_namespace": "acme/infra", "name": "infra" },
        "user_id": 7,
        "user_username": "ada",
        "user_name": "Ada",
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

#[test]
fn pushes_of_gitlab() {
    for (header, kind, reference) in [
        ("Push Hook", "push", "refs/heads/main"),
        ("Tag Push Hook", "tag_push", "refs/tags/v1"),
        ("System Hook", "push", "refs/heads/main"),
        ("System Hook", "tag_push", "refs/tags/v1"),
    ] {
        for (before, after) in [(ONE, TWO), (ZERO, TWO), (ONE, ZERO)] {
            let body = gitlab(json!({
                "object_kind": kind, "event_name": kind, "ref": reference, "before": before, "after": after,
                "commits": [], "total_commits_count": 400, "checkout_sha": null,
            }));
            let found = push(event(ForgeKind::GitLab, header, &body));
            assert_eq!(found.repository, infra());
            assert_eq!(found.claims, [claim(reference, before, after)]);
            assert_eq!(found.actor, actor("ada", "7"));
        }
    }
}

#[test]
fn several_changes_of_gitlab_in_one_delivery() {
    let body = gitlab(json!({
        "event_name": "repository_update",
        "user_username": null,
        "refs": ["refs/heads/main"],
        "changes": [
            { "before": ONE, "after": TWO, "ref": "refs/heads/main" },
            { "before": ONE, "after": TWO, "ref": "refs/heads/a..b" },
            { "before": ZERO, "after": TWO, "ref": "refs/tags/v1" },
            { "before": ONE, "after": ZERO, "ref": "refs/heads/gone" },
            7,
        ],
    }));
    let found = push(event(ForgeKind::GitLab, "System Hook", &body));
    let expected = [
        claim("refs/heads/main", ONE, TWO),
        claim("refs/tags/v1", ZERO, TWO),
        claim("refs/heads/gone", ONE, ZERO),
    ];
    assert_eq!(found.claims, expected);
    assert_eq!(found.unreadable.len(), 2, "{:?}", found.unreadable);
    assert_eq!(found.actor, None, "a number alone is nobody");
}

#[test]
fn other_system_hooks_are_ignored() {
    for name in ["project_rename", "key_create", "user_add_to_team", "project_create"] {
        let body = json!({ "event_name": name, "project_id": 42, "path_with_namespace": "acme/infra" });
        let found = event(ForgeKind::GitLab, "System Hook", &body.to_string());
        assert_eq!(found, Ok(Event::Ignored("System Hook".to_owned())));
    }
}

#[test]
fn merge_requests() {
    let told = |header: &str, attributes: Value| {
        let mut all = json!({
            "iid": 3, "id": 900, "source_branch": "topic", "target_branch": "main",
            "source_project_id": 42, "target_project_id": 42, "last_commit": { "id": TWO }, "state": "opened",
        });
        for (name, value) in attributes.as_object().unwrap() {
            all[name] = value.clone();
        }
        let body = gitlab(json!({ "object_kind": "merge_request", "object_attributes": all, "changes": {} }));
        event(ForgeKind::GitLab, header, &body)
    };
    const TOPIC: Option<&str> = Some("refs/heads/topic");
    for header in ["Merge Request Hook", "System Hook"] {
        for action in ["open", "reopen", "update"] {
            let found = told(header, json!({ "action": action }));
            assert_eq!(found, proposed(ProposalState::Open, TOPIC));
        }
        for action in ["merge", "close"] {
            let found = told(header, json!({ "action": action }));
            assert_eq!(found, proposed(ProposalState::Closed, TOPIC));
        }
        for action in ["approved", "unapproved", "approval"] {
            assert_eq!(told(header, json!({ "action": action })), Ok(Event::Ignored(header.to_owned())));
        }
        assert_eq!(told(header, json!({})), proposed(ProposalState::Open, TOPIC));
        assert_eq!(told(header, json!({ "state": "merged" })), proposed(ProposalState::Closed, TOPIC));
    }
    let fork = told("Merge Request Hook", json!({ "action": "open", "source_project_id": 43 }));
    assert_eq!(fork, proposed(ProposalState::Open, None));
    let astray = told("Merge Request Hook", json!({ "action": "open", "target_project_id": 43 }));
    assert_eq!(astray, Err(ParseError::Field("object_attributes.target_project_id")));
}

fn cloud(changes: Value) -> String {
    json!({
        "push": { "changes": changes },
        "repository": { "uuid": "{0aa1-b}", "full_name": "acme/infra", "name": "infra" },
        "actor": { "uuid": "{77-a}", "nickname": "ada", "display_name": "Ada" },
    })
    .to_string()
}

fn side(kind: &str, name: &str, hash: &str) -> Value {
    json!({ "type": kind, "name": name, "target": { "hash": hash, "type": "commit" } })
}

#[test]
fn pushes_of_bitbucket_cloud() {
    let body = cloud(json!([
        { "old": side("branch", "main", ONE), "new": side("branch", "main", TWO), "forced": true, "truncated": true },
        { "old": null, "new": side("branch", "a/b", TWO), "created": true },
        { "old": side("branch", "gone", ONE), "new": null, "closed": true },
        { "old": null, "new": side("tag", "v1", TWO) },
        { "old": null, "new": side("annotated_tag", "v2", TWO) },
    ]));
    let found = push(event(ForgeKind::BitbucketCloud, "repo:push", &body));
    assert_eq!(found.repository.id, "0aa1-b");
    assert_eq!(found.repository.path, "acme/infra");
    assert_eq!(found.actor, actor("ada", "77-a"));
    let expected = [
        claim("refs/heads/main", ONE, TWO),
        claim("refs/heads/a/b", ZERO, TWO),
        claim("refs/heads/gone", ONE, ZERO),
        claim("refs/tags/v1", ZERO, TWO),
        claim("refs/tags/v2", ZERO, TWO),
    ];
    assert_eq!(found.claims, expected);
    assert!(found.unreadable.is_empty());
}

#[test]
fn a_change_of_bitbucket_cloud_that_cannot_be_read_is_told_and_not_guessed() {
    let odd = [
        json!({ "old": null, "new": side("bookmark", "main", TWO) }),
        json!({ "old": null, "new": { "name": "main", "target": { "hash": TWO } } }),
        json!({ "old": side("branch", "main", ONE), "new": side("tag", "main", TWO) }),
        json!({ "old": side("branch", "main", ONE), "new": side("branch", "other", TWO) }),
        json!({ "old": null, "new": null }),
        json!({}),
        json!(null),
        json!({ "old": null, "new": side("branch", "../x", TWO) }),
        json!({ "old": null, "new": side("branch", "main", "1234567") }),
        json!({ "old": null, "new": side("branch", "main", ZERO) }),
        json!({ "old": null, "new": side("branch", "refs/heads/a b", TWO) }),
    ];
    for change in odd {
        let right = json!({ "old": null, "new": side("tag", "v1", TWO) });
        let body = cloud(json!([change, right]));
        let found = push(event(ForgeKind::BitbucketCloud, "repo:push", &body));
        assert_eq!(found.claims, [claim("refs/tags/v1", ZERO, TWO)], "{change}");
        assert_eq!(found.unreadable.len(), 1, "{change}");
    }
}

#[test]
fn pull_requests_of_bitbucket_cloud() {
    let told = |header: &str, state: &str, hash: &str, more: Value| {
        let mut body = json!({
            "repository": { "uuid": "{42}", "full_name": "acme/infra" },
            "pullrequest": {
                "id": 3, "state": state,
                "source": {
                    "commit": { "hash": hash }, "branch": { "name": "topic" }, "repository": { "uuid": "{42}" },
                },
                "destination": { "branch": { "name": "main" }, "repository": { "uuid": "{42}" } },
            },
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        event(ForgeKind::BitbucketCloud, header, &body.to_string())
    };
    const TOPIC: Option<&str> = Some("refs/heads/topic");
    for header in ["pullrequest:created", "pullrequest:updated"] {
        assert_eq!(told(header, "OPEN", TWO, json!({})), proposed(ProposalState::Open, TOPIC));
    }
    for (header, state) in [("pullrequest:fulfilled", "MERGED"), ("pullrequest:rejected", "DECLINED")] {
        assert_eq!(told(header, state, TWO, json!({})), proposed(ProposalState::Closed, TOPIC));
    }
    let Ok(Event::Proposal(found)) = told("pullrequest:created", "OPEN", "222222222222", json!({})) else {
        panic!()
    };
    assert_eq!((found.head, found.source), (None, TOPIC.map(name)), "twelve digits are no id");
    // What would go to another repository is not a matter of the one that tells.
    let elsewhere = json!({
        "id": 3, "state": "OPEN",
        "source": { "branch": { "name": "topic" }, "repository": { "uuid": "{42}" } },
        "destination": { "branch": { "name": "main" }, "repository": { "uuid": "{43}" } },
    });
    assert_eq!(
        told("pullrequest:created", "OPEN", TWO, json!({ "pullrequest": elsewhere })),
        Err(ParseError::Field("pullrequest.destination"))
    );
    for (header, field) in [("pullrequest:comment_created", "comment"), ("pullrequest:approved", "approval")]
    {
        let found = told(header, "OPEN", TWO, json!({ field: {} }));
        assert_eq!(found, Ok(Event::Ignored(header.to_owned())));
    }
}

#[test]
fn pushes_of_bitbucket_data_center() {
    let change = |reference: &str, before: &str, after: &str| json!({ "ref": { "id": reference, "type": "BRANCH" }, "refId": reference, "fromHash": before, "toHash": after });
    let mut two_names = change("refs/heads/main", ONE, TWO);
    two_names["ref"]["id"] = json!("refs/heads/other");
    let body = json!({
        "eventKey": "repo:refs_changed",
        "actor": { "id": 7, "name": "ada", "emailAddress": "ada@example.org" },
        "repository": { "id": 42, "slug": "infra", "project": { "key": "acme" } },
        "changes": [
            change("refs/heads/main", ONE, TWO), change("refs/tags/v1", ZERO, TWO), two_names,
            change("refs/heads/gone", ONE, ZERO), change("refs/heads/x", ZERO, ZERO),
        ],
    });
    let found = push(event(ForgeKind::BitbucketDc, "repo:refs_changed", &body.to_string()));
    assert_eq!((found.repository, found.actor), (infra(), actor("ada", "7")));
    let expected = [
        claim("refs/heads/main", ONE, TWO),
        claim("refs/tags/v1", ZERO, TWO),
        claim("refs/heads/gone", ONE, ZERO),
    ];
    assert_eq!(found.claims, expected);
    assert_eq!(found.unreadable.len(), 2);
}

#[test]
fn pull_requests_of_bitbucket_data_center() {
    let told = |header: &str, key: &str| {
        let repository = json!({ "id": 42, "slug": "infra", "project": { "key": "acme" } });
        let body = json!({
            "eventKey": key,
            "pullRequest": {
                "id": 3, "state": "OPEN",
                "fromRef": { "id": "refs/heads/topic", "latestCommit": TWO, "repository": repository },
                "toRef": { "id": "refs/heads/main", "latestCommit": ONE, "repository": repository },
            },
        });
        event(ForgeKind::BitbucketDc, header, &body.to_string())
    };
    const TOPIC: Option<&str> = Some("refs/heads/topic");
    for key in ["pr:opened", "pr:modified", "pr:from_ref_updated"] {
        assert_eq!(told(key, key), proposed(ProposalState::Open, TOPIC));
    }
    for key in ["pr:merged", "pr:declined", "pr:deleted"] {
        assert_eq!(told(key, key), proposed(ProposalState::Closed, TOPIC));
    }
    let key = "pr:comment:added";
    assert_eq!(told(key, key), Ok(Event::Ignored(key.to_owned())));
    // The body is signed, the header is not.
    assert_eq!(told("pr:merged", "pr:opened"), proposed(ProposalState::Open, TOPIC));
}

#[test]
fn the_generic_form() {
    let told = |more: Value| {
        let mut body = json!({ "repository": { "id": "42", "path": "acme/infra" } });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        event(ForgeKind::Generic, "", &body.to_string())
    };
    let found = push(told(json!({
        "actor": { "login": "ada", "id": "7" },
        "changes": [
            { "ref": "refs/heads/main", "before": ONE, "after": TWO },
            { "ref": "refs/heads/new", "before": null, "after": TWO },
            { "ref": "refs/heads/gone", "before": ONE },
            { "ref": "refs/tags/v1", "before": ZERO, "after": TWO },
            { "ref": "refs/heads/odd", "before": "x", "after": TWO },
            { "ref": "refs/heads/none" },
        ],
    })));
    assert_eq!((found.repository.clone(), found.actor.clone()), (infra(), actor("ada", "7")));
    let expected = [
        claim("refs/heads/main", ONE, TWO),
        claim("refs/heads/new", ZERO, TWO),
        claim("refs/heads/gone", ONE, ZERO),
        claim("refs/tags/v1", ZERO, TWO),
    ];
    assert_eq!(found.claims, expected);
    assert_eq!(found.unreadable.len(), 2);
    let found = push(told(json!({ "changes": [] })));
    assert_eq!((found.claims.len(), found.actor), (0, None));
    let proposal = |state: &str| {
        told(json!({ "proposal": {
            "number": 3, "state": state, "head": TWO, "source": "refs/heads/topic", "target": "refs/heads/main",
        } }))
    };
    assert_eq!(proposal("open"), proposed(ProposalState::Open, Some("refs/heads/topic")));
    assert_eq!(proposal("closed"), proposed(ProposalState::Closed, Some("refs/heads/topic")));
    assert_eq!(proposal("else"), Err(ParseError::Field("proposal.state")));
    assert_eq!(told(json!({ "change": [] })), Err(ParseError::Field("changes")), "there are no other events");
}

#[test]
fn samples_are_believed_and_understood() {
    let claims = [
        claim("refs/heads/main", ONE, TWO),
        claim("refs/tags/v1", ZERO, TWO),
        claim("refs/heads/x", ONE, ZERO),
    ];
    for forge in ForgeKind::ALL {
        let (headers, body) = sample(*forge, &secrets(*forge), &infra(), &claims, now());
        let one = authenticate(*forge, &secrets(*forge), &headers, &body, now()).unwrap();
        let found = push(parse(&one));
        assert_eq!(found.repository, infra(), "{forge:?}");
        let alone = HUBS.contains(forge);
        let expected: &[Claim] = if alone { &claims[..1] } else { &claims };
        assert_eq!(found.claims, expected, "{forge:?}");
        assert_eq!(found.actor.unwrap().login, "countersign-test");
        // The same again is the same delivery; without claims it asks for nothing.
        let again = sample(*forge, &secrets(*forge), &infra(), &claims, now());
        assert_eq!(again, (headers, body));
        let (headers, body) = sample(*forge, &secrets(*forge), &infra(), &[], now());
        let one = authenticate(*forge, &secrets(*forge), &headers, &body, now()).unwrap();
        match parse(&one).unwrap() {
            Event::Ping(_) => {}
            Event::Push(push) => assert!(push.claims.is_empty() && push.unreadable.is_empty()),
            other => panic!("{forge:?} {other:?}"),
        }
    }
}
