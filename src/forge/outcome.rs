//! What a forge's reply means for what was sent.

use super::{ForgeKind, Reply};
use crate::domain::{Timestamp, text};
use serde_json::Value;

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The forge took it.
    Sent,
    /// Not now. Sending it again may help, not before `at`; a longer back-off of one's own is welcome.
    RetryAt {
        /// When, at most [`LONGEST_WAIT`] ahead.
        at: Timestamp,
        /// Why, for people; escaped.
        why: String,
        /// Whether everything waits that the same token sends: a limit of the rate, or a token that nobody takes.
        all: bool,
    },
    /// The forge will never take this: sending it again changes nothing. The reason, escaped.
    Rejected(String),
    /// The forge takes no more statuses of this commit and context, whatever they say. The reason, escaped.
    Full(String),
}

/// The longest wait that a forge can ask for, in seconds: an hour, in which every limit is renewed. One that
/// asks for more is asked again by then.
pub const LONGEST_WAIT: i64 = 3600;

/// The wait where the forge names none, in seconds.
const USUAL_WAIT: i64 = 60;

/// The wait where somebody has to do something, in seconds: a token that is expired, a right that is missing.
const DENIED_WAIT: i64 = 600;

/// Understands a reply to [`status`](super::status()) and the like.
pub fn outcome(forge: ForgeKind, reply: &Reply, now: Timestamp) -> Outcome {
    let limited = limit(reply, now);
    let code = reply.status;
    let all = limited.is_some() || matches!(code, 401 | 429) || (code == 403 && says_limit(reply));
    let retry =
        |usual: i64, why: String| Outcome::RetryAt { at: after(now, limited.unwrap_or(usual)), why, all };
    match code {
        200..=299 => Outcome::Sent,
        300..=399 => {
            Outcome::Rejected(format!("the forge answered {code}, a redirect, which is not followed"))
        }
        400 if forge == ForgeKind::GitLab && is_no_change(reply) => Outcome::Sent,
        401 | 403 if limited.is_none() && !says_limit(reply) => {
            retry(DENIED_WAIT, said("the forge does not accept the token, or not for this", reply))
        }
        401 | 403 | 429 => retry(USUAL_WAIT, said("the forge limits the rate", reply)),
        408 | 425 | 500..=599 => retry(USUAL_WAIT, said("the forge is in trouble", reply)),
        422 if forge == ForgeKind::GitHub && is_full(reply) => Outcome::Full(format!(
            "the forge takes no more statuses of this commit and context, and shows an older one ({code})"
        )),
        _ => Outcome::Rejected(said("the forge refused it", reply)),
    }
}

/// Whether the call may still take effect after this reply: it comes from somebody in between who did not wait for
/// the forge.
pub const fn is_unsure(reply: &Reply) -> bool {
    matches!(reply.status, 408 | 502 | 504 | 520..=599)
}

/// GitHub takes a thousand statuses of one commit and context.
fn is_full(reply: &Reply) -> bool {
    String::from_utf8_lossy(&reply.body[..reply.body.len().min(4096)])
        .to_ascii_lowercase()
        .contains("maximum number of statuses")
}

/// How many seconds to wait, as the forge says it.
fn limit(reply: &Reply, now: Timestamp) -> Option<i64> {
    if let Some(value) = reply.header("retry-after") {
        return match value.parse::<u64>() {
            Ok(seconds) => Some(i64::try_from(seconds).unwrap_or(LONGEST_WAIT)),
            Err(_) => date(value).map(|at| at.as_second() - now.as_second()),
        };
    }
    let empty = |name| reply.header(name).is_some_and(|left| left == "0");
    if !empty("x-ratelimit-remaining") && !empty("ratelimit-remaining") {
        return None;
    }
    let reset = reply.header("x-ratelimit-reset").or_else(|| reply.header("ratelimit-reset"))?;
    // Seconds since 1970, as GitHub and GitLab have it.
    Some(reset.parse::<i64>().ok()?.saturating_sub(now.as_second()))
}

/// GitHub's secondary limits have no header.
fn says_limit(reply: &Reply) -> bool {
    let text = String::from_utf8_lossy(&reply.body[..reply.body.len().min(4096)]).to_ascii_lowercase();
    text.contains("rate limit")
}

/// A date of HTTP, in its one current form: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(value: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = value.split(' ');
    let (_, day, month, year, time) =
        (words.next()?.strip_suffix(',')?, words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    let seconds = now.as_second().saturating_add(seconds.clamp(1, LONGEST_WAIT));
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// GitLab refuses a state that the status has already, as a transition that does not exist. A transition from
/// another state that it refuses is none of these.
fn is_no_change(reply: &Reply) -> bool {
    let Some(message) = message(reply) else { return false };
    [("enqueue", "pending"), ("run", "running"), ("succeed", "success"), ("drop", "failed")].into_iter().any(
        |(event, state)| message.contains(&format!("Cannot transition status via :{event} from :{state}")),
    )
}

/// What the forge says for people, in any of the ways that forges have.
fn message(reply: &Reply) -> Option<String> {
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let found = body
        .get("message")
        .or_else(|| body.pointer("/error/message"))
        .or_else(|| body.pointer("/errors/0/message"))
        .or_else(|| body.get("error"))?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

fn said(what: &str, reply: &Reply) -> String {
    let code = reply.status;
    match message(reply) {
        Some(message) => format!("{what} ({code}): {}", text::escape_short(message.as_bytes(), 200)),
        None => format!("{what} ({code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Reply { status, headers: headers.collect(), body: body.as_bytes().to_vec() }
    }

    fn wait(reply: &Reply) -> i64 {
        match outcome(ForgeKind::GitHub, reply, now()) {
            Outcome::RetryAt { at, .. } => at.as_second() - now().as_second(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn taken_is_taken() {
        for code in [200, 201, 202, 204] {
            assert_eq!(outcome(ForgeKind::Gitea, &reply(code, &[], ""), now()), Outcome::Sent);
        }
    }

    #[test]
    fn n31_a_redirect_is_not_followed() {
        for code in [301, 302, 303, 307, 308, 304] {
            let reply = reply(code, &[("location", "https://evil.example/")], "");
            let Outcome::Rejected(why) = outcome(ForgeKind::GitHub, &reply, now()) else { panic!("{code}") };
            assert!(why.contains("not followed") && !why.contains("evil"), "{why}");
        }
    }

    #[test]
    fn limits_are_kept_and_have_an_end() {
        assert_eq!(wait(&reply(429, &[("retry-after", "17")], "")), 17);
        assert_eq!(wait(&reply(503, &[("retry-after", "Sun, 01 Mar 2026 12:02:00 GMT")], "")), 120);
        assert_eq!(wait(&reply(403, &[("retry-after", "999999999999999999999999")], "")), DENIED_WAIT);
        assert_eq!(wait(&reply(403, &[("retry-after", "18446744073709551615")], "")), LONGEST_WAIT);
        assert_eq!(wait(&reply(429, &[("retry-after", "-5")], "")), USUAL_WAIT);
        assert_eq!(wait(&reply(429, &[("retry-after", "Sun, 01 Mar 2020 12:02:00 GMT")], "")), 1);
        let reset = (now().as_second() + 90).to_string();
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
        assert_eq!(wait(&reply(403, &spent, "")), 90);
        assert_eq!(wait(&reply(401, &spent, "")), 90);
        let left = [("x-ratelimit-remaining", "10"), ("x-ratelimit-reset", reset.as_str())];
        assert_eq!(wait(&reply(403, &left, "")), DENIED_WAIT);
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(wait(&reply(403, &[], secondary)), USUAL_WAIT);
        assert_eq!(wait(&reply(401, &[], r#"{"message":"Bad credentials"}"#)), DENIED_WAIT);
        for code in [500, 502, 503, 504, 408] {
            assert_eq!(wait(&reply(code, &[], "<html>")), USUAL_WAIT);
        }
    }

    #[test]
    fn what_concerns_the_token_holds_up_all_that_it_sends() {
        let all = |code: u16, headers: &[(&str, &str)], body: &str| match outcome(
            ForgeKind::GitHub,
            &reply(code, headers, body),
            now(),
        ) {
            Outcome::RetryAt { all, .. } => all,
            other => panic!("{other:?}"),
        };
        assert!(all(401, &[], "") && all(429, &[], "") && all(503, &[("retry-after", "9")], ""));
        assert!(all(403, &[], "{\"message\":\"You have exceeded a secondary rate limit\"}"));
        assert!(!all(403, &[], "{\"message\":\"Resource not accessible\"}"), "another repository may be");
        assert!(!all(502, &[], ""));
    }

    #[test]
    fn a_refusal_is_told_escaped_and_short() {
        for code in [400, 404, 409, 410, 422] {
            let body = format!("{{\"message\":\"\\u001b[31m{}\"}}", "x".repeat(5000));
            let Outcome::Rejected(why) = outcome(ForgeKind::GitHub, &reply(code, &[], &body), now()) else {
                panic!("{code}")
            };
            assert!(why.contains(&code.to_string()) && why.contains("\\x1b[31mxx"), "{why}");
            assert!(why.chars().count() < 300);
        }
        let spread = reply(400, &[], r#"{"error":{"message":"one"},"errors":[{"message":"two"}]}"#);
        assert_eq!(
            outcome(ForgeKind::BitbucketCloud, &spread, now()),
            Outcome::Rejected("the forge refused it (400): one".to_owned())
        );
    }

    #[test]
    fn a_forge_without_room_is_told_from_one_that_refuses() {
        let full = r#"{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom",
            "message":"This SHA and context has reached the maximum number of statuses."}]}"#;
        assert!(matches!(outcome(ForgeKind::GitHub, &reply(422, &[], full), now()), Outcome::Full(_)));
        let other = r#"{"message":"No commit found for SHA"}"#;
        assert!(matches!(outcome(ForgeKind::GitHub, &reply(422, &[], other), now()), Outcome::Rejected(_)));
    }

    #[test]
    fn an_answer_from_in_between_leaves_the_end_unknown() {
        for (code, unsure) in
            [(201, false), (404, false), (429, false), (500, false), (502, true), (504, true)]
        {
            assert_eq!(is_unsure(&reply(code, &[], "")), unsure, "{code}");
        }
    }

    #[test]
    fn only_the_same_state_again_is_no_change_for_gitlab() {
        let told = |from: &str, event: &str| {
            let body = format!(
                r#"{{"message":"Cannot transition status via :{event} from :{from} (Reason(s): Status cannot transition via \"{event}\")"}}"#
            );
            outcome(ForgeKind::GitLab, &reply(400, &[], &body), now())
        };
        assert_eq!(told("pending", "enqueue"), Outcome::Sent);
        assert_eq!(told("success", "succeed"), Outcome::Sent);
        assert_eq!(told("failed", "drop"), Outcome::Sent);
        assert!(matches!(told("success", "drop"), Outcome::Rejected(_)), "a refusal has not arrived");
        assert!(matches!(told("success", "enqueue"), Outcome::Rejected(_)));
    }
}
