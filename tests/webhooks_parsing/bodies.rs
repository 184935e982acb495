//! Bodies that are authentic, and odd: what a forge with a mistake, or somebody who has the secret, might send.

use crate::{ONE, TWO, ZERO, claim, event, headers, now, push, secrets};
use countersign::forge::{Event, ForgeKind, MOST_CLAIMS, ParseError, Push, authenticate, parse};
use serde_json::{Value, json};

const GITHUB: ForgeKind = ForgeKind::GitHub;

fn parsed(forge: ForgeKind, name: &str, body: &[u8]) -> Result<Event, ParseError> {
    let headers = headers(forge, name, body);
    parse(&authenticate(forge, &secrets(forge), &headers, body, now()).unwrap())
}

/// A push to `refs/heads/main`, as text that can be tampered with before it is signed.
fn text() -> String {
    format!(
        r#"{{"ref":"refs/heads/main","before":"{ONE}","after":"{TWO}","repository":{{"id":42,"full_name":"acme/infra"}},"sender":{{"login":"ada","id":7}}}}"#
    )
}

fn moved(reference: Value, before: Value, after: Value) -> Push {
    let body = json!({
        "ref": reference, "before": before, "after": after,
        "repository": { "id": 42, "full_name": "acme/infra" },
    });
    push(event(GITHUB, "push", &body.to_string()))
}

#[test]
fn what_is_no_json_object_is_an_error() {
    for forge in ForgeKind::ALL {
        for body in [
            "",
            " ",
            "{",
            "{}}",
            "{} x",
            "nul",
            "{'a':1}",
            "{\"a\":1,}",
            "\u{feff}{}",
            "{\"a\":NaN}",
            "payload={}",
        ] {
            let found = parsed(*forge, "push", body.as_bytes());
            assert!(matches!(found, Err(ParseError::Json { .. })), "{forge:?} {body:?} {found:?}");
        }
        for body in ["[]", "5", "\"{}\"", "null", "true"] {
            assert!(parsed(*forge, "push", body.as_bytes()).is_err(), "{forge:?} {body:?}");
        }
        let found = parsed(*forge, "push", b"{\"x\":\"\xff\"}");
        assert_eq!(found, Err(ParseError::Encoding), "also where nothing is used");
    }
}

#[test]
fn a_byte_order_mark_is_not_json() {
    let body = [b"\xef\xbb\xbf", text().as_bytes()].concat();
    assert!(matches!(parsed(GITHUB, "push", &body), Err(ParseError::Json { line: 1, column: 1, .. })));
}

#[test]
fn a_used_field_that_is_there_twice_is_an_error() {
    let right = text();
    assert!(parsed(GITHUB, "push", right.as_bytes()).is_ok());
    let whole = [
        right.replacen('{', r#"{"ref":"refs/heads/other","#, 1),
        right.replacen('{', r#"{"\u0072ef":"refs/heads/other","#, 1),
        right.replacen('{', r#"{"repository":{"id":1,"full_name":"x/y"},"#, 1),
        right.replacen('{', &format!(r#"{{"after":"{ONE}","#), 1),
        right.replacen('{', r#"{"ref":null,"#, 1),
    ];
    for body in whole {
        let found = parsed(GITHUB, "push", body.as_bytes());
        assert!(matches!(found, Err(ParseError::Json { .. })), "{body} {found:?}");
    }
    let inner = [
        right.replace(r#""id":42"#, r#""id":41,"id":42"#),
        right.replace(r#""full_name""#, r#""full_name":"x/y","full_name""#),
    ];
    for body in inner {
        assert_eq!(parsed(GITHUB, "push", body.as_bytes()), Err(ParseError::Field("repository")), "{body}");
    }
    // Nobody is named by two names.
    let body = right.replace(r#""login":"ada""#, r#""login":"eve","login":"ada""#);
    assert_eq!(push(parsed(GITHUB, "push", body.as_bytes())).actor, None);
    // What is not used is not looked at.
    let body = right.replacen('{', r#"{"zenith":1,"zenith":2,"#, 1);
    assert!(parsed(GITHUB, "push", body.as_bytes()).is_ok());
    // In one change of several, only that one is lost.
    let change = format!(r#"{{"ref":"refs/heads/a","ref":"refs/heads/b","before":"{ONE}","after":"{TWO}"}}"#);
    let good = format!(r#"{{"ref":"refs/heads/c","before":"{ONE}","after":"{TWO}"}}"#);
    let body = format!(r#"{{"repository":{{"id":1,"path":"a/b"}},"changes":[{change},{good}]}}"#);
    let found = push(parsed(ForgeKind::Generic, "", body.as_bytes()));
    assert_eq!((found.claims, found.unreadable.len()), (vec![claim("refs/heads/c", ONE, TWO)], 1));
}

#[test]
fn depth_and_size_are_survived() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    for value in [deep("[", "]"), deep(r#"{"a":"#, "}").replace(r#":}"#, ":1}")] {
        // Where it is not used it does not matter.
        let body = text().replacen('{', &format!(r#"{{"commits":{value},"#), 1);
        let found = parsed(GITHUB, "push", body.as_bytes());
        assert!(matches!(found, Ok(Event::Push(_)) | Err(ParseError::Json { .. })));
        for field in ["ref", "before", "repository", "sender", "changes", "project", "push", "pullrequest"] {
            for forge in ForgeKind::ALL {
                let body = format!(r#"{{"{field}":{value}}}"#);
                let _ = parsed(*forge, "push", body.as_bytes());
            }
        }
    }
    let found = parsed(GITHUB, "push", "[".repeat(5_000_000).as_bytes());
    assert!(matches!(found, Err(ParseError::Json { .. })));
}

#[test]
fn numbers_beyond_all_bounds_are_no_ids() {
    for number in
        ["1e400", "-1", "1.5", "18446744073709551616", "99999999999999999999999999999999", "1e2", "-0"]
    {
        let body = text().replace(r#""id":42"#, &format!(r#""id":{number}"#));
        let found = parsed(GITHUB, "push", body.as_bytes());
        assert_eq!(found, Err(ParseError::Field("repository")), "{number}");
        let body = text().replacen('{', &format!(r#"{{"number":{number},"#), 1);
        assert!(parsed(GITHUB, "push", body.as_bytes()).is_ok(), "not used here");
    }
    let body = text().replace(r#""id":42"#, r#""id":18446744073709551615"#);
    assert_eq!(push(parsed(GITHUB, "push", body.as_bytes())).repository.id, u64::MAX.to_string());
}

#[test]
fn a_repository_that_cannot_be_named_is_an_error() {
    let long = format!("\"{}\"", "a".repeat(65));
    for wrong in [
        "null",
        "\"\"",
        "\"a/b\"",
        "\"../x\"",
        "\"a b\"",
        "\"{}\"",
        "\"{a\"",
        "\"ä\"",
        "\"a\\u0000\"",
        "[]",
        long.as_str(),
    ] {
        let body = text().replace(r#""id":42"#, &format!(r#""id":{wrong}"#));
        assert_eq!(parsed(GITHUB, "push", body.as_bytes()), Err(ParseError::Field("repository")), "{wrong}");
    }
    for wrong in ["null", "\"\"", "\"a\\nb\"", "\"a\\u0007\"", "7", "\"a\\ud800\""] {
        let body = text().replace(r#""acme/infra""#, wrong);
        assert_eq!(parsed(GITHUB, "push", body.as_bytes()), Err(ParseError::Field("repository")), "{wrong}");
    }
    let two = json!({
        "object_kind": "push", "ref": "refs/heads/main", "before": ONE, "after": TWO,
        "project_id": 41, "project": { "id": 42, "path_with_namespace": "acme/infra" },
    });
    let found = event(ForgeKind::GitLab, "Push Hook", &two.to_string());
    assert_eq!(found, Err(ParseError::Field("project_id")));
}

#[test]
fn a_name_that_is_no_refs_is_told_and_hides_nothing() {
    for odd in [
        "main",
        "",
        "refs/heads/",
        "refs/heads/../x",
        "refs/heads/a..b",
        "refs/heads/a\u{0}b",
        "refs/heads/a\nb",
        "refs/heads/a\u{7f}",
        "refs/heads/a b",
        "refs/heads/a.lock",
        "refs/heads//a",
        "/refs/heads/a",
        "refs/heads/@{x",
        "HEAD",
        "--upload-pack=x",
    ] {
        let found = moved(json!(odd), json!(ONE), json!(TWO));
        assert_eq!((found.claims.len(), found.unreadable.len()), (0, 1), "{odd:?}");
        assert_eq!(found.repository.path, "acme/infra", "it is looked at all the same");
        assert!(!found.unreadable[0].bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{odd:?}");
    }
    let long = format!("refs/heads/{}", "x".repeat(2000));
    assert_eq!(moved(json!(long), json!(ONE), json!(TWO)).claims, []);
    for odd in [json!(5), json!([]), json!({}), json!(true)] {
        let found = moved(odd.clone(), json!(ONE), json!(TWO));
        assert_eq!((found.claims.len(), found.unreadable.len()), (0, 1), "{odd}");
    }
    // Half of a pair is no character.
    let body = text().replace("refs/heads/main", "refs/heads/\\ud800");
    assert_eq!(push(parsed(GITHUB, "push", body.as_bytes())).unreadable.len(), 1);
    // What only looks odd is a name, and is told escaped.
    let found = moved(json!("refs/heads/x\u{202e}y"), json!(ONE), json!(TWO));
    assert_eq!(found.claims[0].reference.to_string(), "refs/heads/x\\u{202e}y");
}

#[test]
fn an_id_that_is_none_is_told_and_hides_nothing() {
    let odd = [
        json!(""),
        json!("HEAD"),
        json!("1".repeat(39)),
        json!("1".repeat(41)),
        json!("1".repeat(63)),
        json!("1".repeat(65)),
        json!("A".repeat(40)),
        json!("g".repeat(40)),
        json!(format!(" {}", "1".repeat(39))),
        json!(format!("{}\n", "1".repeat(40))),
        json!("1".repeat(64)),
        json!(5),
        json!([]),
    ];
    for odd in odd {
        for (before, after) in [(odd.clone(), json!(TWO)), (json!(ONE), odd.clone())] {
            let found = moved(json!("refs/heads/main"), before, after);
            assert_eq!((found.claims.len(), found.unreadable.len()), (0, 1), "{odd}");
        }
    }
    let found = moved(json!("refs/heads/main"), json!(ZERO), json!(ZERO));
    assert_eq!((found.claims.len(), found.unreadable.len()), (0, 1), "from nothing to nothing");
    let wide = "0".repeat(64);
    let found = moved(json!("refs/heads/main"), json!(wide), json!(wide));
    assert_eq!((found.claims.len(), found.unreadable.len()), (0, 1));
}

#[test]
fn a_name_of_an_event_promises_what_the_body_must_hold() {
    let repository = json!({ "id": 42, "full_name": "acme/infra" });
    let ping = json!({ "zen": "x", "hook_id": 1, "repository": repository }).to_string();
    let star = json!({ "action": "created", "repository": repository }).to_string();
    // The other way round, nothing hides a push.
    for name in ["ping", "star", "issues", "pull_request", "create", "delete", "anything"] {
        assert_eq!(push(event(GITHUB, name, &text())).claims, [claim("refs/heads/main", ONE, TWO)]);
    }
    for (name, body) in
        [("push", &ping), ("push", &star), ("create", &star), ("pull_request", &ping), ("ping", &star)]
    {
        assert_eq!(event(GITHUB, name, body), Err(ParseError::NotWhatItSays(name.to_owned())), "{name}");
    }
    // A push with a field missing is not ignored.
    for field in ["ref", "before", "after"] {
        let mut body: Value = serde_json::from_str(&text()).unwrap();
        body[field] = Value::Null;
        let found = event(GITHUB, "push", &body.to_string());
        assert_eq!(found, Err(ParseError::NotWhatItSays("push".to_owned())), "{field}");
    }
    // A body that was made over by somebody's template.
    let made_over = json!({ "text": "somebody pushed" }).to_string();
    for (forge, name) in [
        (ForgeKind::GitLab, "Push Hook"),
        (ForgeKind::GitLab, "Tag Push Hook"),
        (ForgeKind::GitLab, "Merge Request Hook"),
        (ForgeKind::BitbucketCloud, "repo:push"),
        (ForgeKind::BitbucketDc, "repo:refs_changed"),
        (ForgeKind::Gitea, "push"),
    ] {
        assert_eq!(event(forge, name, &made_over), Err(ParseError::NotWhatItSays(name.to_owned())));
    }
    assert_eq!(
        event(ForgeKind::GitLab, "System Hook", &made_over),
        Ok(Event::Ignored("System Hook".to_owned()))
    );
    assert_eq!(event(GITHUB, "watch", &star), Ok(Event::Ignored("watch".to_owned())));
}

#[test]
fn the_name_of_an_ignored_event_is_short_and_escaped() {
    let name = "x".repeat(200);
    let Ok(Event::Ignored(found)) = event(GITHUB, &name, "{}") else { panic!() };
    assert!(found.chars().count() <= 65);
    let body = json!({ "event_name": "a\u{1b}[31mb" }).to_string();
    let headers = headers(ForgeKind::GitLab, "x", body.as_bytes());
    let fields =
        crate::fields(&headers).into_iter().filter(|(name, _)| name != "x-gitlab-event").collect::<Vec<_>>();
    let one = crate::believed(ForgeKind::GitLab, &fields, body.as_bytes()).unwrap();
    assert_eq!(parse(&one), Ok(Event::Ignored("a\\x1b[31mb".to_owned())));
}

#[test]
fn a_flood_of_moves_has_an_end() {
    let change = |n: usize| json!({ "ref": format!("refs/heads/{n}"), "before": ONE, "after": TWO });
    let changes: Vec<Value> = (0..MOST_CLAIMS + 10).map(change).collect();
    let body = json!({ "repository": { "id": 1, "path": "a/b" }, "changes": changes }).to_string();
    let found = push(event(ForgeKind::Generic, "", &body));
    assert_eq!(found.claims.len(), MOST_CLAIMS);
    assert_eq!(found.unreadable, ["10 more moves are left out"]);
    let body = json!({ "repository": { "id": 1, "path": "a/b" }, "changes": vec![5; 1000] }).to_string();
    let found = push(event(ForgeKind::Generic, "", &body));
    assert_eq!(found.unreadable.len(), Push::MOST_UNREADABLE);
}

#[test]
fn no_error_repeats_what_the_body_holds() {
    let body = r#"{"secret":"hunter2","ref":"hunter2","before":"hunter2","after":{"hunter2":1},"repository":"hunter2"}"#;
    for forge in ForgeKind::ALL {
        let found = parsed(*forge, "push", body.as_bytes());
        assert!(!format!("{:?}", found.as_ref().err()).contains("hunter2"), "{forge:?} {found:?}");
        let found = parsed(*forge, "push", body.replace("}}", "hunter2").as_bytes());
        assert!(!format!("{found:?}").contains("hunter2"), "{forge:?} {found:?}");
    }
}
