//! Real payloads, which are not kept here: `COUNTERSIGN_WEBHOOKS` names their directory, or they lie beside
//! the repository. Where they are not, the payloads of `events.rs` have to do.

use crate::{SECRET, SIGNING, now, of, secrets};
use countersign::forge::{
    Event, ForgeKind, Headers, Proposal, ProposalState, Push, as_form, authenticate, parse, sign,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// File, what the header calls it, what it has to be understood as: `push` with ref, old, new and login, or with
/// `nothing` and the login where no ids are told; `open` or `closed` with number, head, target and source of a
/// proposal; `ignored`. Ids by their first seven digits, `-` for none.
const EXPECTED: &str = "\
github/branch_create | create | push nothing bradrydzewski
github/branch_delete | delete | push nothing bradrydzewski
github/check_run | check_run | ignored
github/comment | issue_comment | ignored
github/deployment | deployment | ignored
github/deployment_commit | deployment | ignored
github/merge_group_checks_requested | merge_group | open 2 aeafa0e refs/heads/master refs/heads/gh-readonly-queue/master/pr-2-f95f852bd8fca8fcc58a9a2d6c842781e32a215e
github/merge_group_destroyed | merge_group | closed 3 bcafa0e refs/heads/master refs/heads/gh-readonly-queue/master/pr-3-f95f852bd8fca8fcc58a9a2d6c842781e32a215e
github/pipeline_hook | workflow_run | ignored
github/pr_closed | pull_request | closed 1 d2b75aa refs/heads/bradrydzewski-patch-1 SOURCE
github/pr_edited | pull_request | open 1 d2b75aa refs/heads/bradrydzewski-patch-1 SOURCE
github/pr_labeled | pull_request | ignored
github/pr_opened | pull_request | open 1 d2b75aa refs/heads/bradrydzewski-patch-1 SOURCE
github/pr_ready_for_review | pull_request | open 38 212015f refs/heads/main SOURCE
github/pr_reopened | pull_request | open 1 d2b75aa refs/heads/bradrydzewski-patch-1 SOURCE
github/pr_review_edited | pull_request_review | ignored
github/pr_review_submitted | pull_request_review | ignored
github/pr_sync | pull_request | open 1 8102e37 refs/heads/bradrydzewski-patch-1 SOURCE
github/pr_unlabeled | pull_request | ignored
github/push | push | push refs/heads/master a10867b 199eddf Codertocat
github/push_branch_create | push | push refs/heads/feature-branch - d2b75aa bradrydzewski
github/push_branch_delete | push | push refs/heads/feature-branch d2b75aa - bradrydzewski
github/push_tag | push | push refs/tags/v0.0.1 - d2b75aa bradrydzewski
github/push_tag_delete | push | push refs/tags/v0.0.1 d2b75aa - bradrydzewski
github/release_created | release | ignored
github/release_deleted | release | ignored
github/release_edited | release | ignored
github/release_prereleased | release | ignored
github/release_published | release | ignored
github/release_released | release | ignored
github/release_unpublished | release | ignored
github/status | status | ignored
github/tag_create | create | push nothing bradrydzewski
github/tag_delete | delete | push nothing bradrydzewski
gitea/branch_create | create | push nothing unknwon
gitea/branch_delete | delete | push nothing unknwon
gitea/issue_comment_created | issue_comment | ignored
gitea/issue_comment_deleted | issue_comment | ignored
gitea/issue_comment_edited | issue_comment | ignored
gitea/issues_closed | issues | ignored
gitea/issues_opened | issues | ignored
gitea/pull_request_closed | pull_request | closed 1 2eba238 refs/heads/master refs/heads/feature
gitea/pull_request_comment_created | issue_comment | ignored
gitea/pull_request_comment_deleted | issue_comment | ignored
gitea/pull_request_comment_edited | issue_comment | ignored
gitea/pull_request_edited | pull_request | open 1 2eba238 refs/heads/master refs/heads/feature
gitea/pull_request_merged | pull_request | closed 1 2eba238 refs/heads/master refs/heads/feature
gitea/pull_request_opened | pull_request | open 1 2eba238 refs/heads/master refs/heads/feature
gitea/pull_request_reopened | pull_request | open 1 2eba238 refs/heads/master refs/heads/feature
gitea/pull_request_synchronized | pull_request | open 1 2eba238 refs/heads/master refs/heads/feature
gitea/push | push | push refs/heads/master 9836a96 4522cbc unknwon
gitea/tag_create | create | push refs/tags/v1.0.0 - 599d25c unknwon
gitea/tag_delete | delete | push nothing unknwon
gogs/branch_create | create | push nothing unknwon
gogs/branch_delete | delete | push nothing unknwon
gogs/issue_comment_created | issue_comment | ignored
gogs/issue_comment_deleted | issue_comment | ignored
gogs/issue_comment_edited | issue_comment | ignored
gogs/issues_closed | issues | ignored
gogs/issues_opened | issues | ignored
gogs/pull_request_closed | pull_request | closed 2 - refs/heads/master refs/heads/feature
gogs/pull_request_comment_created | issue_comment | ignored
gogs/pull_request_comment_deleted | issue_comment | ignored
gogs/pull_request_comment_edited | issue_comment | ignored
gogs/pull_request_edited | pull_request | open 2 - refs/heads/master refs/heads/feature
gogs/pull_request_opened | pull_request | open 2 - refs/heads/master refs/heads/feature
gogs/pull_request_synchronized | pull_request | open 2 - refs/heads/master refs/heads/feature
gogs/push | push | push refs/heads/master 9836a96 4522cbc unknwon
gogs/tag_create | create | push refs/tags/v1.0.0 - 599d25c unknwon
gogs/tag_delete | delete | push nothing unknwon
gitlab/branch_create | Push Hook | push refs/heads/feature - c4c7922 sytses
gitlab/branch_delete | Push Hook | push refs/heads/feature c4c7922 - sytses
gitlab/branch_delete_subgroup | Push Hook | push refs/heads/feature c4c7922 - sytses
gitlab/issue_closed | Issue Hook | ignored
gitlab/issue_comment_create | Note Hook | ignored
gitlab/issue_create | Issue Hook | ignored
gitlab/issue_edited | Issue Hook | ignored
gitlab/issue_labeled | Issue Hook | ignored
gitlab/issue_reopen | Issue Hook | ignored
gitlab/merge_request_comment_create | Note Hook | ignored
gitlab/merge_request_comment_subgroup | Note Hook | ignored
gitlab/merge_request_subgroup | Merge Request Hook | open 1 c4c7922 refs/heads/master refs/heads/feature
gitlab/pipeline_hook | Pipeline Hook | ignored
gitlab/pipeline_subgroup | Pipeline Hook | ignored
gitlab/pull_request_close | Merge Request Hook | closed 1 c4c7922 refs/heads/master refs/heads/feature
gitlab/pull_request_create | Merge Request Hook | open 1 c4c7922 refs/heads/master refs/heads/feature
gitlab/pull_request_merge | Merge Request Hook | closed 1 c4c7922 refs/heads/master refs/heads/feature
gitlab/pull_request_reopen | Merge Request Hook | open 1 c4c7922 refs/heads/master refs/heads/feature
gitlab/pull_request_review_ready | Merge Request Hook | open 3 ffd7152 refs/heads/main refs/heads/main1234
gitlab/push | Push Hook | push refs/heads/master 9217710 2adc946 sytses
gitlab/push_merge | Push Hook | push refs/heads/master 2adc946 78a76ee sytses
gitlab/push_subgroup | Push Hook | push refs/heads/master 9217710 2adc946 sytses
gitlab/review_comment_create | Note Hook | ignored
gitlab/tag_create | Tag Push Hook | push refs/tags/v1.0.0 - 2adc946 sytses
gitlab/tag_delete | Tag Push Hook | push refs/tags/v1.0.0 2adc946 - sytses
gitlab/tag_delete_subgroup | Tag Push Hook | push refs/tags/v1.0.0 2adc946 - sytses
bitbucket/pipeline_hook_created | repo:commit_status_created | ignored
bitbucket/pipeline_hook_update | repo:commit_status_updated | ignored
bitbucket/pr_comment_created | pullrequest:comment_created | ignored
bitbucket/pr_comment_deleted | pullrequest:comment_deleted | ignored
bitbucket/pr_created | pullrequest:created | open 1 - refs/heads/master refs/heads/develop
bitbucket/pr_declined | pullrequest:rejected | closed 2 - refs/heads/master refs/heads/develop
bitbucket/pr_fulfilled | pullrequest:fulfilled | closed 1 - refs/heads/master refs/heads/develop
bitbucket/pr_updated | pullrequest:updated | open 1 - refs/heads/master refs/heads/develop
bitbucket/push | repo:push | push refs/heads/master 40e7580 141977f brydzewski
bitbucket/push_branch_create | repo:push | push refs/heads/develop - 141977f brydzewski
bitbucket/push_branch_delete | repo:push | push refs/heads/develop 141977f - brydzewski
bitbucket/push_tag_create | repo:push | push refs/tags/feature/x - 141977f brydzewski
bitbucket/push_tag_delete | repo:push | push refs/tags/feature/x 141977f - brydzewski
stash/pr_declined | pr:declined | closed 2 b9eaed5 refs/heads/master refs/heads/develop
stash/pr_declined_iso_dates | pr:declined | closed 2 b9eaed5 refs/heads/master refs/heads/develop
stash/pr_deleted | pr:deleted | closed 2 b9eaed5 refs/heads/master refs/heads/develop
stash/pr_from_ref_updated | pr:from_ref_updated | open 2 c00d0f2 refs/heads/master refs/heads/feature-2
stash/pr_merged | pr:merged | closed 3 b9eaed5 refs/heads/master refs/heads/develop
stash/pr_merged_iso_dates | pr:merged | closed 3 b9eaed5 refs/heads/master refs/heads/develop
stash/pr_modified_meta | pr:modified | open 6 a268fca refs/heads/master -
stash/pr_modified_toref | pr:modified | open 2 c00d0f2 refs/heads/master refs/heads/feature-2
stash/pr_open | pr:opened | open 2 208b0a5 refs/heads/master refs/heads/develop
stash/pr_open_iso_dates | pr:opened | open 2 208b0a5 refs/heads/master refs/heads/develop
stash/push | repo:refs_changed | push refs/heads/master 5c64a07 823b223 jcitizen
stash/push_branch_create | repo:refs_changed | push refs/heads/develop - 208b0a5 jcitizen
stash/push_branch_delete | repo:refs_changed | push refs/heads/develop 208b0a5 - jcitizen
stash/push_tag_create | repo:refs_changed | push refs/tags/v1.1.0 - 823b223 jcitizen
stash/push_tag_delete | repo:refs_changed | push refs/tags/v1.1.0 823b223 - jcitizen
stash/push_v5 | repo:refs_changed | push refs/heads/trangineni/devtfvars-1685475548410 b2b7102 51a3366 trangineni
";

fn directory() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("COUNTERSIGN_WEBHOOKS") {
        assert!(Path::new(&named).is_dir(), "COUNTERSIGN_WEBHOOKS names no directory");
        return Some(named.into());
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/webhooks");
    if !beside.is_dir() {
        eprintln!("the payloads of real forges are not here: {} is missing", beside.display());
        return None;
    }
    Some(beside)
}

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
