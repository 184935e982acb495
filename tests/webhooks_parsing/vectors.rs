//! The vectors that others publish.

use crate::{now, of, secret};
use countersign::domain::Timestamp;
use countersign::forge::{AuthError, ForgeKind, Headers, SecretKind, Secrets, authenticate};

#[test]
fn the_vector_of_github() {
    const RIGHT: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secrets = of(ForgeKind::GitHub, &["It's a Secret to Everybody"]);
    let told = |signature: String, body: &[u8]| {
        let headers = Headers::new([("X-Hub-Signature-256", signature)]);
        authenticate(ForgeKind::GitHub, &secrets, &headers, body, now()).map(|one| one.payload().to_vec())
    };
    assert_eq!(told(format!("sha256={RIGHT}"), b"Hello, World!"), Ok(b"Hello, World!".to_vec()));
    let wrong = Err(AuthError::Mismatch("x-hub-signature-256"));
    assert_eq!(told(format!("sha256={RIGHT}"), b"Hello, World?"), wrong);
    assert_eq!(told(format!("sha256={}8", &RIGHT[..63]), b"Hello, World!"), wrong);
}

#[test]
fn the_vector_of_standard_webhooks() {
    let mut secrets = Secrets::new();
    let key = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    secrets.add(ForgeKind::Generic, SecretKind::Signing, &key).unwrap();
    let body: &[u8] = br#"{"test": 2432232314}"#;
    let told = |id: &str, time: &str, signature: &str, at: i64| {
        let headers = Headers::new([
            ("webhook-id", id.as_bytes()),
            ("webhook-timestamp", time.as_bytes()),
            ("webhook-signature", signature.as_bytes()),
        ]);
        let at = Timestamp::from_second(at).unwrap();
        let one = authenticate(ForgeKind::Generic, &secrets, &headers, body, at)?;
        assert!(one.is_signed());
        Ok::<_, AuthError>(one.delivery().unwrap().to_owned())
    };
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const TIME: i64 = 1_614_265_330;
    let time = TIME.to_string();
    for at in [TIME - 300, TIME, TIME + 300] {
        assert_eq!(told(ID, &time, SIGNED, at), Ok(ID.to_owned()));
    }
    for away in [-301, 301, 86_400] {
        assert_eq!(told(ID, &time, SIGNED, TIME + away), Err(AuthError::Time(away)));
    }
    let wrong = Err(AuthError::Mismatch("webhook-signature"));
    assert_eq!(told("msg_p5jXN8AQM9LWM0D4loKWxJeK", &time, SIGNED, TIME), wrong, "the id is signed");
    assert_eq!(told(ID, "1614265331", SIGNED, TIME), wrong, "the time is signed");
    // An old key's signature before it, and versions that we do not know around it.
    let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(told(ID, &time, &format!("{other} v1a,xyz {SIGNED} v9,?"), TIME), Ok(ID.to_owned()));
    assert_eq!(told(ID, &time, other, TIME), wrong);
}
