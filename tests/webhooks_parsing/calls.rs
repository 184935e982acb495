//! What is sent back: statuses, check runs, webhooks, and who the gate is at GitHub.

use crate::{ONE, id, name, now, secret};
use countersign::domain::RefName;
use countersign::forge::{
    ApiToken, AppError, AppKey, Call, CallError, ForgeKind, Hook, HookError, Hooks, Method, NewHook, Page,
    Reply, Secret, SecretKind, State, Status, can_redeliver, check_run, context, create_hook, deliveries,
    hook_for, installation_token, list_hooks, read_deliveries, read_hook, read_hooks,
    read_installation_token, redeliver, status, update_hook,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value, json};
use std::process::Command;

fn token() -> ApiToken {
    ApiToken { user: None, token: secret("a-token") }
}

fn told(forge: ForgeKind, reference: &str, state: State) -> Status {
    Status {
        commit: id(ONE).unwrap(),
        context: context(forge, &name(reference)),
        state,
        description: "2 commits, all signed".to_owned(),
        link: Some("https://gate.example/decisions/7".to_owned()),
        reference: name(reference),
        branch: Some(name(reference)),
    }
}

fn body(call: &Call) -> Value {
    serde_json::from_str(call.body.as_deref().unwrap()).unwrap()
}

fn authorization(call: &Call) -> (&'static str, String) {
    let (field, value) = call.authorization.as_ref().unwrap();
    (field, String::from_utf8(value.expose().to_vec()).unwrap())
}

fn repository(forge: ForgeKind) -> &'static str {
    match forge {
        ForgeKind::GitLab => "acme/teams/infra",
        _ => "acme/infra",
    }
}

#[test]
fn a_status_in_each_forges_words() {
    const MAIN: &str = "refs/heads/main";
    const CONTEXT: &str = "countersign/refs/heads/main";
    const LINK: &str = "https://gate.example/decisions/7";
    const TEXT: &str = "2 commits, all signed";
    for state in State::ALL {
        for forge in ForgeKind::ALL {
            let call = status(*forge, repository(*forge), &told(*forge, MAIN, state), &token());
            let (path, field, value, sent) = match forge {
                ForgeKind::Gogs => {
                    assert_eq!(call.unwrap_err(), CallError::Unsupported(ForgeKind::Gogs));
                    continue;
                }
                ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo => {
                    let github = *forge == ForgeKind::GitHub;
                    let value = if github { "Bearer a-token" } else { "token a-token" };
                    let sent = json!({
                        "state": state.name(), "context": CONTEXT, "description": TEXT, "target_url": LINK,
                    });
                    (format!("/repos/acme/infra/statuses/{ONE}"), "authorization", value, sent)
                }
                ForgeKind::GitLab => {
                    let word = ["pending", "success", "failed", "failed"][state as usize];
                    let sent = json!({
                        "state": word, "name": CONTEXT, "description": TEXT, "target_url": LINK, "ref": "main",
                    });
                    (
                        format!("/projects/acme%2Fteams%2Finfra/statuses/{ONE}"),
                        "private-token",
                        "a-token",
                        sent,
                    )
                }
                ForgeKind::BitbucketCloud | ForgeKind::BitbucketDc => {
                    let word = ["INPROGRESS", "SUCCESSFUL", "FAILED", "FAILED"][state as usize];
                    let mut sent = json!({
                        "key": CONTEXT, "state": word, "name": CONTEXT, "description": TEXT, "url": LINK,
                    });
                    let path = if *forge == ForgeKind::BitbucketCloud {
                        sent["refname"] = json!("main");
                        format!("/repositories/acme/infra/commit/{ONE}/statuses/build")
                    } else {
                        sent["ref"] = json!(MAIN);
                        sent["parent"] = json!("countersign");
                        format!("/api/latest/projects/acme/repos/infra/commits/{ONE}/builds")
                    };
                    (path, "authorization", "Bearer a-token", sent)
                }
                ForgeKind::Generic => {
                    let sent = json!({
                        "repository": "acme/infra", "commit": ONE, "ref": MAIN, "context": CONTEXT,
                        "state": state.name(), "description": TEXT, "link": LINK,
                    });
                    ("/statuses".to_owned(), "authorization", "Bearer a-token", sent)
                }
            };
            let call = call.unwrap();
            assert_eq!((call.method, &call.path), (Method::Post, &path), "{forge:?}");
            assert_eq!(body(&call), sent, "{forge:?}");
            assert_eq!(authorization(&call), (field, value.to_owned()), "{forge:?}");
            assert!(call.headers.contains(&("content-type", "application/json".to_owned())));
            assert!(!format!("{call:?}").contains("a-token"), "a token is not shown");
        }
    }
}

#[test]
fn unknown_is_never_green() {
    for forge in ForgeKind::ALL.iter().filter(|forge| **forge != ForgeKind::Gogs) {
        let sent = |state| {
            let call = status(*forge, repository(*forge), &told(*forge, "refs/heads/main", state), &token());
            body(&call.unwrap())["state"].clone()
        };
        let green = sent(State::Success);
        for state in [State::Pending, State::Failure, State::Error] {
            assert_ne!(sent(state), green, "{forge:?}");
        }
    }
}

#[test]
fn n28_a_context_is_one_refs() {
    let of = |reference: &str| context(ForgeKind::GitHub, &name(reference));
    assert_eq!(of("refs/heads/main"), "countersign/refs/heads/main");
    assert_eq!(of("refs/tags/v1.0"), "countersign/refs/tags/v1.0");
    let capital = of("refs/heads/MAIN");
    assert!(capital.starts_with("countersign/refs/heads/MAIN~") && capital.len() == 28 + 20, "{capital}");
    assert_ne!(capital.to_lowercase(), of("refs/heads/Main").to_lowercase());
    assert!(of("refs/heads/ma\u{131}n").contains('~') && of("refs/heads/maïn").contains('~'));
    let bytes = RefName::parse(b"refs/heads/\xff").unwrap();
    assert!(context(ForgeKind::Gitea, &bytes).starts_with("countersign/refs/heads/\\xff~"));
    let (long, longer) =
        (format!("refs/heads/{}a", "x".repeat(900)), format!("refs/heads/{}b", "x".repeat(900)));
    for forge in ForgeKind::ALL {
        let made = context(*forge, &name(&long));
        assert_eq!(made.len(), if *forge == ForgeKind::BitbucketCloud { 40 } else { 255 });
        assert_ne!(made, context(*forge, &name(&longer)));
    }
    // What fits Bitbucket Cloud is not shortened.
    assert_eq!(context(ForgeKind::BitbucketCloud, &name("refs/heads/main")), "countersign/refs/heads/main");
}

#[test]
fn a_description_is_escaped_and_fits() {
    for forge in ForgeKind::ALL.iter().filter(|forge| **forge != ForgeKind::Gogs) {
        let most = if *forge == ForgeKind::GitHub { 140 } else { 255 };
        for text in ["ü".repeat(5000), "\u{1b}[31m\u{202e}".repeat(200), "x".repeat(most)] {
            let mut one = told(*forge, "refs/heads/main", State::Failure);
            one.description = text;
            let call = status(*forge, repository(*forge), &one, &token()).unwrap();
            let sent = body(&call)["description"].as_str().unwrap().to_owned();
            assert!(sent.chars().count() <= most, "{forge:?} {}", sent.chars().count());
            assert!(!sent.chars().any(|c| c.is_control() || c == '\u{202e}'));
        }
    }
}

#[test]
fn n31_a_path_is_made_of_a_well_formed_name_alone() {
    let call = |forge: ForgeKind, name: &str| {
        let one = told(forge, "refs/heads/main", State::Success);
        status(forge, name, &one, &token()).map(|call| call.path)
    };
    for forge in ForgeKind::ALL.iter().filter(|forge| !matches!(forge, ForgeKind::Gogs | ForgeKind::Generic))
    {
        for wrong in
            ["", "/", "acme", "acme/", "/infra", "acme//infra", "../infra", "acme/..", "./infra", "acme/."]
        {
            let found = call(*forge, wrong);
            assert!(matches!(found, Err(CallError::Repository { .. })), "{forge:?} {wrong:?} {found:?}");
        }
        if *forge != ForgeKind::GitLab {
            assert!(call(*forge, "a/b/c").is_err(), "{forge:?}");
        }
        let odd = call(*forge, "a?b#c/d%2e &\u{e4}\r\n").unwrap();
        assert!(odd.contains("a%3Fb%23c") && odd.contains("d%252e%20%26%C3%A4%0D%0A"), "{odd}");
    }
    assert_eq!(
        call(ForgeKind::BitbucketDc, "~ada/infra").unwrap(),
        format!("/api/latest/projects/~ada/repos/infra/commits/{ONE}/builds")
    );
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let mut one = told(ForgeKind::GitHub, "refs/heads/main", State::Success);
    one.link = None;
    one.branch = None;
    for forge in [ForgeKind::BitbucketCloud, ForgeKind::BitbucketDc] {
        assert_eq!(status(forge, "acme/infra", &one, &token()).unwrap_err(), CallError::Link(forge));
    }
    let sent = body(&status(ForgeKind::GitLab, "acme/infra", &one, &token()).unwrap());
    assert!(sent.get("target_url").is_none() && sent.get("ref").is_none(), "nothing is sent as null");
    for wrong in ["a b", "a\n", "a\u{e4}"] {
        let token = ApiToken { user: None, token: secret(wrong) };
        assert_eq!(status(ForgeKind::GitHub, "acme/infra", &one, &token).unwrap_err(), CallError::Token);
    }
    let basic = ApiToken { user: Some("ada@example.org".to_owned()), token: secret("a-token") };
    let call = list_hooks(ForgeKind::BitbucketCloud, "acme/infra", Page::default(), &basic).unwrap();
    let expected = format!("Basic {}", BASE64.encode(b"ada@example.org:a-token"));
    assert_eq!(authorization(&call), ("authorization", expected));
}

#[test]
fn check_runs() {
    for state in State::ALL {
        let mut one = told(ForgeKind::GitHub, "refs/heads/main", state);
        one.description = "x\u{1b}".repeat(5000);
        let call = check_run(ForgeKind::GitHub, "acme/infra", &one, &token()).unwrap();
        assert_eq!((call.method, call.path.as_str()), (Method::Post, "/repos/acme/infra/check-runs"));
        let sent = body(&call);
        assert_eq!(sent["name"], one.context);
        assert_eq!(sent["head_sha"], ONE);
        let (progress, conclusion) = match state {
            State::Pending => ("in_progress", Value::Null),
            State::Success => ("completed", json!("success")),
            State::Failure => ("completed", json!("failure")),
            State::Error => ("completed", json!("action_required")),
        };
        assert_eq!((&sent["status"], &sent["conclusion"]), (&json!(progress), &conclusion));
        assert!(sent["output"]["title"].as_str().unwrap().chars().count() <= 140);
        assert!(!sent["output"]["summary"].as_str().unwrap().contains('\u{1b}'));
    }
    let one = told(ForgeKind::Gitea, "refs/heads/main", State::Success);
    let found = check_run(ForgeKind::Gitea, "acme/infra", &one, &token());
    assert_eq!(found.unwrap_err(), CallError::Unsupported(ForgeKind::Gitea));
}

/// A key of our own making, in both forms that there are, and its public half as `ssh-keygen` writes it.
fn app_key(bits: &str) -> (String, String, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let run = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let comment = "test key, not a real one";
    run(&["-q", "-t", "rsa", "-b", bits, "-m", "PEM", "-N", "", "-C", comment]);
    let first = std::fs::read_to_string(&path).unwrap();
    let public = run(&["-e", "-m", "PEM"]);
    let public: String = public.lines().filter(|line| !line.starts_with('-')).collect();
    run(&["-q", "-p", "-m", "PKCS8", "-N", "", "-P", ""]);
    let second = std::fs::read_to_string(&path).unwrap();
    (first, second, BASE64.decode(public.as_bytes()).unwrap())
}

#[test]
fn an_app_proves_who_it_is_by_a_key_of_either_form() {
    let (first, second, public) = app_key("2048");
    assert!(first.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(second.starts_with("-----BEGIN PRIVATE KEY-----"));
    for pem in [first.clone(), second, format!("\n{}\r\n", first.trim()), first.replace('\n', "\r\n")] {
        let key = AppKey::from_pem(&secret(&pem)).unwrap();
        assert_eq!(format!("{key:?}"), "AppKey(..)");
        let token = key.token("12345", now()).unwrap().token;
        let text = std::str::from_utf8(token.expose()).unwrap();
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let verifier =
            ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, &public);
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        verifier.verify(signed.as_bytes(), &signature).unwrap();
        assert!(verifier.verify(&signed.as_bytes()[1..], &signature).is_err());
        let parts: Vec<Value> = signed
            .split('.')
            .map(|part| serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap())
            .collect();
        let at = now().as_second();
        assert_eq!(parts[0], json!({ "alg": "RS256", "typ": "JWT" }));
        assert_eq!(parts[1], json!({ "iss": "12345", "iat": at - 60, "exp": at + 540 }));
        for wrong in ["", "a b", "a\"b", "../x", "..", &"1".repeat(65)] {
            assert!(matches!(key.token(wrong, now()), Err(AppError::Id(_))), "{wrong:?}");
        }
    }
}

#[test]
fn what_is_no_apps_key_is_not_taken() {
    let (first, second, _) = app_key("2048");
    let (small, ..) = app_key("1024");
    for wrong in [
        "x".to_owned(),
        first.replace("RSA PRIVATE", "PRIVATE"),
        second.replace("PRIVATE", "RSA PRIVATE"),
        second.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        first.replace("-----END RSA PRIVATE KEY-----", ""),
        format!("{first}{first}"),
        first.replacen("MII", "MI!", 1),
        small,
    ] {
        let error = AppKey::from_pem(&secret(&wrong)).unwrap_err();
        assert!(matches!(error, AppError::Pem | AppError::Key(_)), "{error:?}");
        assert!(!error.to_string().contains("MII"), "a key is not shown");
    }
    assert_eq!(AppKey::from_pem(&Secret::new(vec![0xff]).unwrap()).unwrap_err(), AppError::Pem);
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

#[test]
fn a_token_of_an_installation_has_any_length() {
    let call = installation_token("77", &["infra"], &token()).unwrap();
    assert_eq!((call.method, call.path.as_str()), (Method::Post, "/app/installations/77/access_tokens"));
    assert_eq!(body(&call), json!({ "repositories": ["infra"] }));
    assert_eq!(body(&installation_token("77", &[], &token()).unwrap()), json!({}));
    assert!(matches!(installation_token("77/../x", &[], &token()), Err(AppError::Id(_))));
    for token in
        ["ghs_16C7e42F292c6912E7710c838347Ae178B4a".to_owned(), format!("ghs_12345_{}", "e".repeat(900))]
    {
        let answer = json!({ "token": token, "expires_at": "2026-03-01T13:00:00Z", "permissions": {} });
        let found = read_installation_token(&reply(201, &answer.to_string())).unwrap();
        assert_eq!(found.token.token.expose(), token.as_bytes());
        assert_eq!(found.expires.as_second() - now().as_second(), 3600);
        assert!(!format!("{found:?}").contains("ghs_"));
    }
    for (code, wrong) in [
        (200, r#"{"token":"a","expires_at":"2026-03-01T13:00:00Z"}"#),
        (201, r#"{"token":"","expires_at":"2026-03-01T13:00:00Z"}"#),
        (201, r#"{"token":"a b","expires_at":"2026-03-01T13:00:00Z"}"#),
        (201, r#"{"token":"a","expires_at":"soon"}"#),
        (201, r#"{"token":"a"}"#),
        (201, "<html>"),
        (401, r#"{"message":"no"}"#),
    ] {
        let found = read_installation_token(&reply(code, wrong));
        assert_eq!(found.unwrap_err(), AppError::Reply, "{code} {wrong}");
    }
}

fn new_hook(kind: SecretKind) -> NewHook {
    NewHook { url: "https://gate.example/hooks/x".to_owned(), secret: secret("whsec_x"), kind }
}

#[test]
fn webhooks_are_made_and_changed_in_each_forges_words() {
    for forge in ForgeKind::ALL {
        let hook = new_hook(SecretKind::Hmac);
        let create = create_hook(*forge, repository(*forge), &hook, &token());
        if *forge == ForgeKind::Generic {
            assert_eq!(create.unwrap_err(), CallError::Unsupported(*forge));
            continue;
        }
        let (create, update) =
            (create.unwrap(), update_hook(*forge, repository(*forge), "5/../6", &hook, &token()).unwrap());
        let list = list_hooks(*forge, repository(*forge), Page::default(), &token()).unwrap();
        assert_eq!((create.method, list.method), (Method::Post, Method::Get));
        assert!(list.body.is_none() && list.path.starts_with(&format!("{}?", create.path)));
        assert_eq!(update.path, format!("{}/5%2F..%2F6", create.path), "{forge:?}");
        assert_eq!(body(&update), body(&create));
        let sent = body(&create);
        let (secret, method) = match forge {
            ForgeKind::GitHub | ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => {
                assert_eq!(sent["config"]["url"], hook.url);
                assert_eq!(sent["config"]["content_type"], "json");
                (&sent["config"]["secret"], Method::Patch)
            }
            ForgeKind::GitLab => {
                assert!(sent["push_events"] == json!(true) && sent["tag_push_events"] == json!(true));
                assert_eq!(sent["enable_ssl_verification"], true);
                (&sent["token"], Method::Put)
            }
            ForgeKind::BitbucketDc => (&sent["configuration"]["secret"], Method::Put),
            _ => (&sent["secret"], Method::Put),
        };
        assert_eq!((secret, update.method), (&json!("whsec_x"), method), "{forge:?}");
        assert!(!format!("{:?}", create.authorization).contains("a-token"));
    }
    let signing =
        create_hook(ForgeKind::GitLab, "acme/infra", &new_hook(SecretKind::Signing), &token()).unwrap();
    assert_eq!(body(&signing)["signing_token"], "whsec_x");
    assert!(body(&signing).get("token").is_none());
}

#[test]
fn webhooks_are_read_from_each_forges_answer() {
    let github = r#"[{"id":5,"name":"web","config":{"url":"https://gate.example/hooks/x","content_type":"json"},
        "url":"https://api.github.com/repos/acme/infra/hooks/5"},{"id":6,"config":{}}]"#;
    let gitlab = r#"[{"id":5,"url":"https://gate.example/hooks/x"}]"#;
    let cloud = r#"{"values":[{"uuid":"{5}","url":"https://gate.example/hooks/x"}]}"#;
    let dc = r#"{"size":1,"values":[{"id":5,"url":"https://gate.example/hooks/x/","configuration":{}}]}"#;
    for (answer, id) in [(github, "5"), (gitlab, "5"), (cloud, "{5}"), (dc, "5")] {
        let Hooks { hooks, last, .. } = read_hooks(&reply(200, answer)).unwrap();
        assert_eq!(last, answer.contains("\"values\""), "only Bitbucket says so");
        assert_eq!(hooks.len(), 1, "{answer}");
        assert_eq!(hook_for(&hooks, "https://gate.example/hooks/x").unwrap().id, id);
        assert_eq!(hook_for(&hooks, "https://gate.example/hooks/y"), None);
    }
    let made = read_hook(&reply(201, r#"{"id":5,"url":"https://gate.example/hooks/x"}"#)).unwrap();
    assert_eq!(made, Hook { id: "5".to_owned(), url: "https://gate.example/hooks/x".to_owned() });
    let refused = read_hooks(&reply(404, "{\"message\":\"Not\u{1b} Found\"}"));
    let Err(HookError::Refused(404, why)) = refused else { panic!() };
    assert!(!why.contains('\u{1b}'));
    for wrong in ["", "{}", "5", "{\"values\":5}"] {
        assert_eq!(read_hooks(&reply(200, wrong)), Err(HookError::Reply), "{wrong}");
        assert_eq!(read_hook(&reply(200, wrong)), Err(HookError::Reply), "{wrong}");
    }
}

#[test]
fn n31_pages_are_asked_for_by_numbers_of_ours() {
    let path =
        |forge: ForgeKind, page: Page| list_hooks(forge, repository(forge), page, &token()).unwrap().path;
    let third = Page { number: 2, before: 55 };
    assert!(path(ForgeKind::GitHub, third).ends_with("/hooks?per_page=100&page=3"));
    assert!(path(ForgeKind::GitLab, third).ends_with("/hooks?per_page=100&page=3"));
    assert!(path(ForgeKind::Gitea, third).ends_with("/hooks?limit=100&page=3"));
    assert!(path(ForgeKind::BitbucketCloud, third).ends_with("/hooks?pagelen=100&page=3"));
    assert!(path(ForgeKind::BitbucketDc, third).ends_with("/webhooks?limit=100&start=55"));
    let last = |answer: &str| read_hooks(&reply(200, answer)).unwrap().last;
    assert!(last("[]") && last(r#"{"values":[]}"#));
    assert!(!last(r#"{"values":[{"uuid":"{5}"}],"next":"https://evil.example/"}"#));
    assert!(last(r#"{"values":[{"id":5}],"isLastPage":true}"#));
    assert!(!last(r#"{"values":[{"id":5}],"isLastPage":false}"#));
}

#[test]
fn a_secret_that_a_forge_says_back_is_taken_out() {
    for (sent, said) in [
        ("Bearer glpat-s3cr3t", "glpat-s3cr3t"),
        ("Basic YWRhOnMzY3IzdA==", "ada:s3cr3t"),
        ("Basic YWRhOnMzY3IzdA==", "s3cr3t"),
        ("Basic YWRhOnMzY3IzdA==", "YWRhOnMzY3IzdA=="),
        ("s3cr3t of two words", "s3cr3t of two words"),
    ] {
        for status in [302, 400, 401, 500] {
            let mut answer = reply(status, &format!("{{\"message\":\"x {said}{said} y\"}}"));
            answer.hide(&secret(sent));
            assert_eq!(answer.body, b"{\"message\":\"x ...... y\"}", "{sent}");
        }
    }
}

#[test]
fn deliveries_of_github_are_listed_and_sent_again() {
    let call = deliveries(ForgeKind::GitHub, "acme/infra", "5", 1, &token()).unwrap().unwrap();
    assert_eq!(call.path, "/repos/acme/infra/hooks/5/deliveries?per_page=100");
    let call = redeliver(ForgeKind::GitHub, "acme/infra", "5", 9, &token()).unwrap();
    assert_eq!(
        (call.method, call.path.as_str()),
        (Method::Post, "/repos/acme/infra/hooks/5/deliveries/9/attempts")
    );
    assert!(deliveries(ForgeKind::GitHub, "acme/infra", "5", 2, &token()).unwrap().is_none());
    for forge in ForgeKind::ALL.iter().filter(|forge| !can_redeliver(**forge)) {
        let found = deliveries(*forge, "acme/infra", "5", 1, &token());
        assert_eq!(found.unwrap_err(), CallError::Unsupported(*forge));
    }
    let answer = r#"[{"id":9,"guid":"0b989ba4","delivered_at":"2026-03-01T11:59:00Z","redelivery":false,
        "status":"timed out","status_code":0,"event":"push","action":null}]"#;
    let found = read_deliveries(ForgeKind::GitHub, &reply(200, answer)).unwrap();
    assert_eq!((found[0].number, found[0].delivery.as_str(), found[0].status), (9, "0b989ba4", 0));
    for forge in [ForgeKind::GitHub, ForgeKind::GitLab] {
        assert_eq!(read_deliveries(forge, &reply(200, "[{}]")), Err(HookError::Reply));
    }
}

#[test]
fn events_of_gitlab_are_listed_and_sent_again() {
    let call = deliveries(ForgeKind::GitLab, "acme/infra", "5", 2, &token()).unwrap().unwrap();
    assert_eq!(call.path, "/projects/acme%2Finfra/hooks/5/events?per_page=20&page=2");
    let call = redeliver(ForgeKind::GitLab, "acme/infra", "5", 9, &token()).unwrap();
    assert_eq!(
        (call.method, call.path.as_str()),
        (Method::Post, "/projects/acme%2Finfra/hooks/5/events/9/resend")
    );
    let answer = r#"[{"id":9,"trigger":"push_hooks","request_headers":{"Idempotency-Key":"k"},"response_status":"500"},
        {"id":8,"trigger":"push_hooks","request_headers":{},"response_status":"internal error"},
        {"id":7,"trigger":"push_hooks","request_headers":{"Idempotency-Key":"k"},"response_status":200}]"#;
    let found = read_deliveries(ForgeKind::GitLab, &reply(200, answer)).unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.number, one.delivery.as_str(), one.status)).collect();
    assert_eq!(found, [(9, "k", 500), (8, "8", 0), (7, "k", 200)]);
}
