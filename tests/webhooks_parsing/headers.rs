//! Who is believed: hostile headers.

use crate::{SECRET, SIGNING, believed, event, fields, headers, now, of, secrets};
use countersign::domain::Timestamp;
use countersign::forge::{
    AuthError, ForgeKind, HeaderError, Headers, Secrets, as_form, authenticate, parse, sign,
};

const BODY: &[u8] = br#"{"zen": "A test.", "hook_id": 1}"#;

/// The header that proves it.
fn proof(forge: ForgeKind) -> &'static str {
    match forge {
        ForgeKind::GitHub => "x-hub-signature-256",
        ForgeKind::GitLab => "x-gitlab-token",
        ForgeKind::Gitea => "x-gitea-signature",
        ForgeKind::Forgejo => "x-forgejo-signature",
        ForgeKind::Gogs => "x-gogs-signature",
        ForgeKind::BitbucketCloud | ForgeKind::BitbucketDc => "x-hub-signature",
        ForgeKind::Generic => "webhook-signature",
    }
}

fn hmac_forges() -> impl Iterator<Item = ForgeKind> {
    let others = [ForgeKind::GitLab, ForgeKind::Generic];
    ForgeKind::ALL.iter().copied().filter(move |forge| !others.contains(forge))
}

/// The headers with one of them replaced, or left out.
fn with(forge: ForgeKind, name: &str, value: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let mut fields = fields(&headers(forge, "ping", BODY));
    fields.retain(|(field, _)| field != name);
    fields.extend(value.map(|value| (name.to_owned(), value.as_bytes().to_vec())));
    fields
}

fn value(forge: ForgeKind, name: &str) -> String {
    let fields = fields(&headers(forge, "ping", BODY));
    let found = fields.into_iter().find(|(field, _)| field == name).unwrap();
    String::from_utf8(found.1).unwrap()
}

#[test]
fn each_forge_is_believed_as_it_speaks() {
    for forge in ForgeKind::ALL {
        let fields = fields(&headers(*forge, "ping", BODY));
        let one = believed(*forge, &fields, BODY).unwrap_or_else(|error| panic!("{forge:?}: {error}"));
        assert_eq!(one.forge(), *forge);
        assert_eq!(one.payload(), BODY);
        assert_eq!(one.delivery(), Some("delivery-1"), "{forge:?}");
        assert_eq!(one.event(), (*forge != ForgeKind::Generic).then_some("ping"));
        assert_eq!(one.is_signed(), *forge == ForgeKind::Generic);
    }
}

#[test]
fn a_tampered_body_is_not_believed() {
    for forge in hmac_forges().chain([ForgeKind::Generic]) {
        let fields = fields(&headers(forge, "ping", BODY));
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            let found = believed(forge, &fields, &body);
            assert!(matches!(found, Err(AuthError::Mismatch(_))), "{forge:?} {at} {found:?}");
        }
        for body in [&BODY[..BODY.len() - 1], &[BODY, b" "].concat(), b""] {
            assert!(believed(forge, &fields, body).is_err(), "{forge:?}");
        }
    }
}

#[test]
fn without_a_secret_nothing_is_believed() {
    for forge in ForgeKind::ALL {
        let none = Secrets::new();
        for signer in [&none, &secrets(*forge)] {
            let headers = sign(*forge, signer, "ping", "delivery-1", BODY, now());
            assert!(authenticate(*forge, &none, &headers, BODY, now()).is_err(), "{forge:?}");
        }
    }
}

#[test]
fn a_hook_without_a_secret_is_not_believed() {
    for forge in ForgeKind::ALL {
        let headers = sign(*forge, &Secrets::new(), "ping", "delivery-1", BODY, now());
        let found = authenticate(*forge, &secrets(*forge), &headers, BODY, now());
        assert!(matches!(found, Err(AuthError::Form(_) | AuthError::Missing(_))), "{forge:?} {found:?}");
        assert!(authenticate(*forge, &secrets(*forge), &Headers::default(), BODY, now()).is_err());
    }
}

#[test]
fn another_secret_is_not_believed_and_of_several_any_is() {
    for forge in hmac_forges().chain([ForgeKind::GitLab]) {
        let signed = |by: &str| sign(forge, &of(forge, &[by]), "ping", "delivery-1", BODY, now());
        let both = of(forge, &["the old one", SECRET]);
        for by in ["the old one", SECRET] {
            assert!(authenticate(forge, &both, &signed(by), BODY, now()).is_ok(), "{forge:?}");
        }
        for by in ["the older one", "the old on", "the old onee", "test secret, not a real onE"] {
            let found = authenticate(forge, &both, &signed(by), BODY, now()).map(|_| ());
            let any = matches!(found, Err(AuthError::Mismatch(_)));
            assert!(any, "{forge:?} {by} {found:?}");
        }
    }
    let new = "whsec_b3RoZXIga2V5LCBub3QgYSByZWFsIG9uZSEhISEhISE=";
    for forge in [ForgeKind::Generic, ForgeKind::GitLab] {
        let signed = sign(forge, &of(forge, &[new]), "Push Hook", "delivery-1", BODY, now());
        assert!(authenticate(forge, &of(forge, &[SIGNING, new]), &signed, BODY, now()).is_ok());
        let found = authenticate(forge, &of(forge, &[SIGNING]), &signed, BODY, now()).map(|_| ());
        assert_eq!(found, Err(AuthError::Mismatch("webhook-signature")));
    }
}

#[test]
fn a_signature_has_one_exact_form() {
    for forge in hmac_forges() {
        let name = proof(forge);
        let right = value(forge, name);
        let (prefix, hex) = right.split_at(right.len() - 64);
        let wrong = [
            String::new(),
            prefix.to_owned(),
            "sha256=".to_owned(),
            format!("{prefix}{}", hex.to_uppercase()),
            format!("{}{hex}", prefix.to_uppercase()).replace("SHA256=", "SHA256= "),
            format!("SHA256={hex}"),
            format!("sha1={hex}"),
            format!("sha512={hex}"),
            format!("sha256:{hex}"),
            format!("sha256=sha256={hex}"),
            format!(" {right}"),
            format!("{right} "),
            format!("{prefix} {hex}"),
            format!("{right}\t"),
            format!("{right},{right}"),
            format!("{prefix}{}", &hex[..63]),
            format!("{prefix}{}", &hex[..62]),
            format!("{right}0"),
            format!("{right}00"),
            format!("{prefix}{}", &hex[..40]),
            format!("{prefix}{}g", &hex[..63]),
            format!("{prefix}0x{}", &hex[..62]),
            if prefix.is_empty() { format!("sha256={hex}") } else { hex.to_owned() },
        ];
        for value in wrong.into_iter().filter(|value| *value != right) {
            let found = believed(forge, &with(forge, name, Some(&value)), BODY).map(|_| ());
            let expected = matches!(
                found,
                Err(AuthError::Form(at)) if at == name
            ) || matches!(found, Err(AuthError::Header(HeaderError::NotText(at))) if at == name);
            assert!(expected, "{forge:?} {value:?} {found:?}");
        }
        let zeros = format!("{prefix}{}", "0".repeat(64));
        let found = believed(forge, &with(forge, name, Some(&zeros)), BODY).map(|_| ());
        assert_eq!(found, Err(AuthError::Mismatch(name)));
        let found = believed(forge, &with(forge, name, None), BODY).map(|_| ());
        let missing = matches!(found, Err(AuthError::Missing(_) | AuthError::OnlySha1));
        assert!(missing, "{forge:?} {found:?}");
    }
}

#[test]
fn a_header_that_is_there_twice_is_not_believed() {
    for forge in ForgeKind::ALL {
        let mut twice = fields(&headers(*forge, "ping", BODY));
        let right = value(*forge, proof(*forge));
        for second in [right.as_str(), "", "sha256="] {
            twice.push((proof(*forge).to_ascii_uppercase(), second.as_bytes().to_vec()));
            let found = believed(*forge, &twice, BODY).map(|_| ());
            assert_eq!(found, Err(AuthError::Header(HeaderError::Twice(proof(*forge)))), "{forge:?}");
            twice.pop();
        }
    }
}

#[test]
fn another_forges_headers_are_not_believed() {
    for forge in ForgeKind::ALL {
        for other in ForgeKind::ALL {
            let headers = headers(*other, "push", BODY);
            // The same secret, so that nothing but the family tells them apart.
            let secrets =
                if *forge == ForgeKind::Generic { of(*forge, &[SIGNING]) } else { of(*forge, &[SECRET]) };
            let found = authenticate(*forge, &secrets, &headers, BODY, now()).map(|_| ());
            // A signature of Bitbucket Cloud is one of Data Center's as well; only the delivery's id differs.
            let alike =
                forge == other || (*forge, *other) == (ForgeKind::BitbucketCloud, ForgeKind::BitbucketDc);
            let alike = alike || (*forge, *other) == (ForgeKind::BitbucketDc, ForgeKind::BitbucketCloud);
            assert_eq!(found.is_ok(), alike, "{other:?} at {forge:?}: {found:?}");
        }
    }
}

#[test]
fn one_header_of_another_family_is_one_too_many() {
    let foreign = [
        (ForgeKind::GitHub, "x-gitea-event", "x-gitea-"),
        (ForgeKind::GitHub, "x-gitlab-token", "x-gitlab-"),
        (ForgeKind::GitHub, "webhook-id", "webhook-"),
        (ForgeKind::GitLab, "x-hub-signature-256", "x-hub-"),
        (ForgeKind::GitLab, "x-github-event", "x-github-"),
        (ForgeKind::Gitea, "x-forgejo-signature", "x-forgejo-"),
        (ForgeKind::Gogs, "x-gitea-signature", "x-gitea-"),
        (ForgeKind::BitbucketCloud, "x-github-event", "x-github-"),
        (ForgeKind::BitbucketDc, "x-gitlab-event", "x-gitlab-"),
        (ForgeKind::Generic, "x-hub-signature-256", "x-hub-"),
    ];
    for (forge, name, family) in foreign {
        let found = believed(forge, &with(forge, name, Some("x")), BODY).map(|_| ());
        assert_eq!(found, Err(AuthError::Foreign(family)), "{forge:?}");
    }
}

#[test]
fn families_that_disagree_are_not_believed_by_either() {
    for forge in [ForgeKind::Gitea, ForgeKind::Forgejo] {
        let names = ["x-gitea-signature", "x-gogs-signature", "x-hub-signature-256", "x-hub-signature"];
        for name in names {
            let right = value(forge, name);
            let last = if right.ends_with('0') { "1" } else { "0" };
            let wrong = format!("{}{last}", &right[..right.len() - 1]);
            let found = believed(forge, &with(forge, name, Some(&wrong)), BODY).map(|_| ());
            assert_eq!(found, Err(AuthError::Mismatch(name)), "{forge:?}");
            for empty in ["", "sha256=", "sha1="] {
                let found = believed(forge, &with(forge, name, Some(empty)), BODY).map(|_| ());
                assert_eq!(found, Err(AuthError::Form(name)), "{forge:?} {empty:?}");
            }
        }
        // Each by another of two secrets that are both configured: not one delivery.
        let both = of(forge, &["the old one", SECRET]);
        let old = fields(&sign(forge, &of(forge, &["the old one"]), "ping", "delivery-1", BODY, now()));
        let mut mixed = fields(&headers(forge, "ping", BODY));
        for (name, value) in &mut mixed {
            if name == "x-gogs-signature" {
                value.clone_from(&old.iter().find(|(field, _)| field == name).unwrap().1);
            }
        }
        let found = authenticate(forge, &both, &Headers::new(mixed), BODY, now()).map(|_| ());
        assert!(matches!(found, Err(AuthError::Mismatch(_))), "{found:?}");
        // Nor may they name another event or delivery.
        for (name, header) in [("x-github-event", "push"), ("x-gogs-delivery", "delivery-2")] {
            let found = believed(forge, &with(forge, name, Some(header)), BODY).map(|_| ());
            assert_eq!(found, Err(AuthError::Disagree(name)));
        }
    }
}

#[test]
fn sha1_alone_proves_nothing() {
    let sha1 = value(ForgeKind::GitHub, "x-hub-signature");
    let only = |forge| {
        let headers = Headers::new([("x-hub-signature", sha1.as_str())]);
        authenticate(forge, &secrets(forge), &headers, BODY, now()).map(|_| ())
    };
    assert_eq!(only(ForgeKind::GitHub), Err(AuthError::OnlySha1));
    assert_eq!(only(ForgeKind::Gitea), Err(AuthError::OnlySha1));
    assert_eq!(only(ForgeKind::Forgejo), Err(AuthError::OnlySha1));
    assert_eq!(only(ForgeKind::BitbucketCloud), Err(AuthError::Form("x-hub-signature")));
    assert_eq!(only(ForgeKind::BitbucketDc), Err(AuthError::Form("x-hub-signature")));
}

#[test]
fn gitlab_never_falls_back_from_a_signature_to_the_token() {
    const FORGE: ForgeKind = ForgeKind::GitLab;
    let both = of(FORGE, &[SECRET, SIGNING]);
    let right = fields(&sign(FORGE, &both, "Push Hook", "delivery-1", BODY, now()));
    let told = |fields: &[(String, Vec<u8>)], secrets: &Secrets| {
        authenticate(FORGE, secrets, &Headers::new(fields.to_vec()), BODY, now()).map(|one| one.is_signed())
    };
    let changed = |name: &str, value: &str| {
        let mut fields = right.clone();
        fields.iter_mut().find(|(field, _)| field == name).unwrap().1 = value.as_bytes().to_vec();
        fields
    };
    let without = |name: &str| {
        let mut fields = right.clone();
        fields.retain(|(field, _)| field != name);
        fields
    };
    assert_eq!(told(&right, &both), Ok(true));
    // The token is right in each of these.
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(
        told(&changed("webhook-signature", wrong), &both),
        Err(AuthError::Mismatch("webhook-signature"))
    );
    for odd in ["", " ", "v1", "v1,", "v1,AAAA", ",", "g0hM9SsE", "v2,AAAA", "v1a,AAAA"] {
        let found = told(&changed("webhook-signature", odd), &both);
        assert_eq!(found, Err(AuthError::Form("webhook-signature")), "{odd:?}");
    }
    assert_eq!(told(&without("webhook-id"), &both), Err(AuthError::Missing("webhook-id")));
    assert_eq!(told(&without("webhook-timestamp"), &both), Err(AuthError::Missing("webhook-timestamp")));
    for odd in [
        "",
        "-1772366400",
        "+1772366400",
        "1772366400 ",
        "1772366400.0",
        "0x69A42240",
        "99999999999999999999",
    ] {
        let found = told(&changed("webhook-timestamp", odd), &both);
        assert_eq!(found, Err(AuthError::Form("webhook-timestamp")), "{odd:?}");
    }
    for odd in ["", "a.b", "a b", &"x".repeat(300)] {
        assert_eq!(told(&changed("webhook-id", odd), &both), Err(AuthError::Form("webhook-id")), "{odd:?}");
    }
    // Several are old and new keys; more than any forge has are somebody's tries.
    let signature = right.iter().find(|(field, _)| field == "webhook-signature").unwrap();
    let signature = String::from_utf8(signature.1.clone()).unwrap();
    let several = |count: usize| [vec![wrong; count - 1], vec![signature.as_str()]].concat().join(" ");
    assert_eq!(told(&changed("webhook-signature", &several(8)), &both), Ok(true));
    let found = told(&changed("webhook-signature", &several(9)), &both);
    assert_eq!(found, Err(AuthError::Form("webhook-signature")));
    assert_eq!(
        told(&changed("idempotency-key", "other"), &both),
        Err(AuthError::Disagree("idempotency-key"))
    );
    assert_eq!(told(&changed("x-gitlab-token", "wrong"), &both), Err(AuthError::Mismatch("x-gitlab-token")));
    assert_eq!(
        told(&right, &of(FORGE, &[SECRET])),
        Err(AuthError::NoSecret),
        "signed, and nothing to check it by"
    );
    // Migration, step by step: the token alone, both, the signature alone.
    assert_eq!(told(&right, &of(FORGE, &[SIGNING])), Ok(true));
    assert_eq!(told(&without("x-gitlab-token"), &of(FORGE, &[SIGNING])), Ok(true));
    assert_eq!(told(&without("webhook-signature"), &of(FORGE, &[SECRET])), Ok(false));
    let found = told(&without("webhook-signature"), &of(FORGE, &[SIGNING]));
    assert_eq!(found, Err(AuthError::Missing("webhook-signature")));
}

#[test]
fn an_old_signature_is_not_believed() {
    for forge in [ForgeKind::Generic, ForgeKind::GitLab] {
        let secrets = of(forge, &[SIGNING]);
        let headers = sign(forge, &secrets, "Push Hook", "delivery-1", BODY, now());
        let told = |away: i64| {
            let at = Timestamp::from_second(now().as_second() + away).unwrap();
            authenticate(forge, &secrets, &headers, BODY, at).map(|_| ())
        };
        assert_eq!((told(-300), told(300)), (Ok(()), Ok(())));
        assert_eq!((told(-301), told(301)), (Err(AuthError::Time(-301)), Err(AuthError::Time(301))));
    }
}

#[test]
fn a_replay_under_another_id_is_the_same_bytes() {
    for forge in hmac_forges() {
        let digest = |delivery: &str| {
            let headers = sign(forge, &secrets(forge), "ping", delivery, BODY, now());
            let one = authenticate(forge, &secrets(forge), &headers, BODY, now()).unwrap();
            (one.delivery().unwrap().to_owned(), one.digest())
        };
        let (first, again) = (digest("delivery-1"), digest("delivery-2"));
        assert_ne!(first.0, again.0, "nothing signs the id");
        assert_eq!(first.1, again.1, "{forge:?}");
    }
}

#[test]
fn a_form_is_signed_as_each_forge_does_it() {
    let typed = |headers: &Headers| {
        let mut fields = fields(headers);
        fields.retain(|(name, _)| name != "content-type");
        fields
            .push(("Content-Type".to_owned(), b"application/x-www-form-urlencoded; charset=utf-8".to_vec()));
        fields
    };
    let form = as_form(BODY);
    // GitHub signs the form.
    let fields = typed(&headers(ForgeKind::GitHub, "ping", &form));
    let one = believed(ForgeKind::GitHub, &fields, &form).unwrap();
    assert_eq!(one.payload(), BODY);
    assert!(matches!(parse(&one), Ok(countersign::forge::Event::Ping(None))));
    let inner = typed(&headers(ForgeKind::GitHub, "ping", BODY));
    assert!(believed(ForgeKind::GitHub, &inner, &form).is_err());
    for forge in [ForgeKind::Gitea, ForgeKind::Forgejo, ForgeKind::Gogs] {
        // They sign what is in it.
        let fields = typed(&headers(forge, "ping", BODY));
        let one = believed(forge, &fields, &form).unwrap();
        assert_eq!(one.payload(), BODY);
        // However it is wrapped, it is the same message.
        let plain = crate::fields(&headers(forge, "ping", BODY));
        assert_eq!(one.digest(), believed(forge, &plain, BODY).unwrap().digest());
        let mut wrapped = b"payload=".to_vec();
        BODY.iter().for_each(|byte| wrapped.extend(format!("%{byte:02x}").bytes()));
        assert_eq!(believed(forge, &fields, &wrapped).unwrap().digest(), one.digest());
        // A second field is somebody else's.
        let second = [&form[..], b"&payload=%7B%7D"].concat();
        assert_eq!(believed(forge, &fields, &second).map(|_| ()), Err(AuthError::NotForm));
        assert!(believed(forge, &typed(&headers(forge, "ping", &form)), &form).is_err());
    }
    for forge in [ForgeKind::GitLab, ForgeKind::BitbucketCloud, ForgeKind::BitbucketDc, ForgeKind::Generic] {
        let found = believed(forge, &typed(&headers(forge, "ping", &form)), &form).map(|_| ());
        assert!(matches!(found, Err(AuthError::ContentType(_))), "{forge:?}");
    }
    let mut odd = crate::fields(&headers(ForgeKind::GitHub, "ping", BODY));
    odd.retain(|(name, _)| name != "content-type");
    assert!(believed(ForgeKind::GitHub, &odd, BODY).is_ok(), "without a type it is JSON");
    odd.push(("content-type".to_owned(), b"text/plain".to_vec()));
    let found = believed(ForgeKind::GitHub, &odd, BODY).map(|_| ());
    assert_eq!(found, Err(AuthError::ContentType("text/plain".to_owned())));
}

#[test]
fn what_is_told_of_a_failure_has_no_value_in_it() {
    let mut wrong = fields(&headers(ForgeKind::GitLab, "Push Hook", BODY));
    for (name, value) in &mut wrong {
        if name == "x-gitlab-token" {
            *value = b"almost-the-secret".to_vec();
        }
    }
    let error = believed(ForgeKind::GitLab, &wrong, BODY).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("almost"));
    // The one value that is told is escaped.
    let mut odd = fields(&headers(ForgeKind::GitHub, "ping", BODY));
    odd[0].1 = b"text/\x1b[31m".to_vec();
    let error = believed(ForgeKind::GitHub, &odd, BODY).unwrap_err();
    assert!(!error.to_string().contains('\x1b'));
}

#[test]
fn a_name_that_no_forge_would_send_is_not_believed() {
    for odd in ["", &"x".repeat(300)] {
        let found =
            believed(ForgeKind::GitHub, &with(ForgeKind::GitHub, "x-github-delivery", Some(odd)), BODY);
        assert_eq!(found.map(|_| ()), Err(AuthError::Form("x-github-delivery")));
    }
    // Headers are optional where the forge might leave them out: the body says what it is.
    let bare = with(ForgeKind::GitHub, "x-github-event", None);
    assert_eq!(believed(ForgeKind::GitHub, &bare, BODY).unwrap().event(), None);
    assert!(matches!(
        event(ForgeKind::GitHub, "ping", std::str::from_utf8(BODY).unwrap()),
        Ok(countersign::forge::Event::Ping(None))
    ));
}
