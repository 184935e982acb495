//! What holds for every body, every event and every ref.

use crate::{now, secrets};
use countersign::domain::{ObjectId, RefName};
use countersign::forge::{
    Actor, Claim, Event, ForgeKind, ForgeRepository, Headers, Proposal, ProposalState, Push, authenticate,
    context, parse, sign,
};
use proptest::prelude::*;
use proptest::sample::select;

fn parsed(forge: ForgeKind, event: &str, body: &[u8]) -> Option<Event> {
    let headers = sign(forge, &secrets(forge), event, "delivery-1", body, now());
    parse(&authenticate(forge, &secrets(forge), &headers, body, now()).unwrap()).ok()
}

/// Keys that mean something to some forge, and one that does not.
const KEYS: &[&str] = &[
    "ref",
    "ref_type",
    "before",
    "after",
    "sha",
    "action",
    "number",
    "pull_request",
    "merge_group",
    "repository",
    "sender",
    "pusher",
    "zen",
    "hook_id",
    "object_kind",
    "event_name",
    "object_attributes",
    "project",
    "project_id",
    "user_id",
    "user_username",
    "changes",
    "push",
    "pullrequest",
    "actor",
    "eventKey",
    "pullRequest",
    "test",
    "ping",
    "proposal",
    "id",
    "full_name",
    "path_with_namespace",
    "path",
    "uuid",
    "slug",
    "key",
    "head",
    "base",
    "repo",
    "iid",
    "state",
    "source",
    "destination",
    "branch",
    "name",
    "commit",
    "hash",
    "old",
    "new",
    "type",
    "target",
    "fromHash",
    "toHash",
    "refId",
    "fromRef",
    "toRef",
    "latestCommit",
    "last_commit",
    "target_branch",
    "source_branch",
    "login",
    "nickname",
    "other",
];

const EVENTS: &[&str] = &[
    "push",
    "create",
    "delete",
    "pull_request",
    "ping",
    "Push Hook",
    "Merge Request Hook",
    "System Hook",
    "repo:push",
    "pullrequest:created",
    "repo:refs_changed",
    "pr:opened",
    "diagnostics:ping",
    "else",
];

fn json() -> impl Strategy<Value = serde_json::Value> {
    let texts = select(
        &[
            "refs/heads/main",
            "main",
            "refs/heads/a..b",
            "branch",
            "tag",
            "push",
            "tag_push",
            "repository_update",
            "merge_request",
            "opened",
            "closed",
            "open",
            "OPEN",
            "pr:opened",
            "acme/infra",
            "{42}",
            "42",
            "",
            "0000000000000000000000000000000000000000",
            "1111111111111111111111111111111111111111",
            "2222222222222222222222222222222222222222",
            "x\u{0}\u{202e}",
        ][..],
    );
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        texts.prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let object = prop::collection::vec((select(KEYS), inner.clone()), 0..12).prop_map(|fields| {
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            serde_json::Value::Object(fields.collect())
        });
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(serde_json::Value::Array), object]
    })
}

fn reference() -> impl Strategy<Value = RefName> {
    prop::collection::vec(any::<u8>(), 1..40)
        .prop_filter_map("no ref's name", |bytes| RefName::parse(&[b"refs/heads/", &bytes[..]].concat()).ok())
}

fn object() -> impl Strategy<Value = ObjectId> {
    let of = |bytes: Vec<u8>| ObjectId::from_bytes(&bytes).ok();
    prop_oneof![prop::collection::vec(any::<u8>(), 20), prop::collection::vec(any::<u8>(), 32)]
        .prop_filter_map("zeros", of)
}

fn repository() -> impl Strategy<Value = ForgeRepository> {
    ("[a-zA-Z0-9._-]{1,64}", any::<String>()).prop_map(|(id, path)| ForgeRepository { id, path })
}

fn claim() -> impl Strategy<Value = Claim> {
    let ids = (prop::option::of(object()), prop::option::of(object()));
    (reference(), ids).prop_map(|(reference, (before, after))| Claim { reference, before, after })
}

fn event() -> impl Strategy<Value = Event> {
    let actor =
        (any::<String>(), prop::option::of(any::<String>())).prop_map(|(login, id)| Actor { login, id });
    let push = (
        repository(),
        prop::collection::vec(claim(), 0..4),
        prop::collection::vec(any::<String>(), 0..3),
        prop::option::of(actor),
    )
        .prop_map(|(repository, claims, unreadable, actor)| {
            Event::Push(Push { repository, claims, unreadable, actor })
        });
    let proposal = (
        (repository(), any::<u64>(), any::<bool>()),
        (prop::option::of(object()), prop::option::of(reference()), reference()),
    )
        .prop_map(|((repository, number, open), (head, source, target))| {
            let state = if open { ProposalState::Open } else { ProposalState::Closed };
            Event::Proposal(Proposal { repository, number, state, head, source, target })
        });
    prop_oneof![
        push,
        proposal,
        prop::option::of(repository()).prop_map(Event::Ping),
        any::<String>().prop_map(Event::Ignored),
    ]
}

proptest! {
    #[test]
    fn no_body_is_too_odd(body in prop::collection::vec(any::<u8>(), 0..300), name in select(EVENTS)) {
        for forge in ForgeKind::ALL {
            parsed(*forge, name, &body);
        }
    }

    #[test]
    fn no_json_is_too_odd(body in json(), name in select(EVENTS)) {
        let text = body.to_string();
        for forge in ForgeKind::ALL {
            let Some(event) = parsed(*forge, name, text.as_bytes()) else { continue };
            let kept = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&kept).unwrap(), &event);
            let shown = match &event {
                Event::Push(push) => {
                    prop_assert!(!push.repository.id.is_empty() && push.repository.id.is_ascii());
                    for claim in &push.claims {
                        prop_assert!(claim.before != claim.after);
                    }
                    push.unreadable.concat()
                }
                Event::Ignored(name) => name.clone(),
                _ => continue,
            };
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }

    #[test]
    fn what_is_kept_in_the_queue_comes_back(event in event()) {
        let kept = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&kept).unwrap(), event);
    }

    #[test]
    fn headers_of_any_bytes_are_survived_and_not_believed(
        forge in select(ForgeKind::ALL),
        changed in any::<prop::sample::Index>(),
        value in prop::collection::vec(any::<u8>(), 0..80),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let right = sign(forge, &secrets(forge), "push", "delivery-1", &body, now());
        let mut fields: Vec<(String, Vec<u8>)> =
            right.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        let proofs = ["signature", "token"];
        let of_proof: Vec<usize> = fields.iter().enumerate()
            .filter(|(_, (name, _))| proofs.iter().any(|proof| name.contains(proof)))
            .map(|(at, _)| at)
            .collect();
        let at = of_proof[changed.index(of_proof.len())];
        let same = fields[at].1 == value;
        fields[at].1 = value;
        let found = authenticate(forge, &secrets(forge), &Headers::new(fields), &body, now());
        prop_assert_eq!(found.is_ok(), same);
    }

    #[test]
    fn n28_two_refs_never_share_a_context(one in reference(), other in reference()) {
        let mut capitals = one.as_bytes().to_vec();
        capitals[11..].make_ascii_uppercase();
        let capitals = RefName::parse(&capitals).unwrap_or_else(|_| one.clone());
        for forge in ForgeKind::ALL {
            let made = context(*forge, &one);
            prop_assert!(made.starts_with("countersign/refs/"));
            prop_assert!(!made.chars().any(char::is_control));
            let longest = if *forge == ForgeKind::BitbucketCloud { 40 } else { 255 };
            prop_assert!(made.len() <= longest);
            for another in [&other, &capitals] {
                // Without case, as GitHub compares.
                let same = made.to_lowercase() == context(*forge, another).to_lowercase();
                prop_assert_eq!(same, one == *another, "{} {}", one, another);
            }
        }
    }
}
