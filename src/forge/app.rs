//! GitHub Apps: who the gate is there, proven by a key, and the tokens that it gets for that.

use super::call::call;
use super::{ApiToken, Call, CallError, ForgeKind, Method, Reply, Secret};
use crate::domain::Timestamp;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde::Deserialize;
use serde_json::json;
use std::fmt;

/// How far a token's time of issue lies back, in seconds: clocks differ, and one from the future is refused.
const BACK: i64 = 60;

/// How long a token is good, from its time of issue, in seconds. GitHub takes ten minutes from *its* now.
const LIFE: i64 = 600;

/// The private key of a GitHub App.
pub struct AppKey(RsaKeyPair);

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey(..)")
    }
}

/// Why there is no App or no token of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// Not one PEM block.
    #[error("the App's key is not one PEM block `RSA PRIVATE KEY` or `PRIVATE KEY`")]
    Pem,
    /// A key that cannot sign this: not RSA, encrypted, or of a size other than 2048 to 4096 bits.
    #[error("the App's key is not an RSA key of 2048 to 4096 bits: {0}")]
    Key(String),
    /// An App's or installation's id that is none.
    #[error("`{0}` is not an id: letters, digits and `.` `-` `_` only")]
    Id(String),
    /// The signature could not be made.
    #[error("the App's key did not sign")]
    Sign,
    /// The answer is not a token.
    #[error("the forge's answer has no token and time")]
    Reply,
    /// The call cannot be made.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl AppKey {
    /// Reads a key as GitHub gives it (PKCS#1), or as OpenSSL turns it into (PKCS#8).
    ///
    /// # Errors
    /// No such key.
    pub fn from_pem(pem: &Secret) -> Result<Self, AppError> {
        let text = std::str::from_utf8(pem.expose()).map_err(|_| AppError::Pem)?.trim();
        for label in ["RSA PRIVATE KEY", "PRIVATE KEY"] {
            let inside = text
                .strip_prefix(&format!("-----BEGIN {label}-----"))
                .and_then(|rest| rest.strip_suffix(&format!("-----END {label}-----")));
            let Some(inside) = inside else { continue };
            let base64: String = inside.split_ascii_whitespace().collect();
            let der = BASE64.decode(base64.as_bytes()).map_err(|_| AppError::Pem)?;
            let key = match label {
                "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
                _ => RsaKeyPair::from_der(&der),
            };
            return key.map(AppKey).map_err(|why| AppError::Key(why.to_string()));
        }
        Err(AppError::Pem)
    }

    /// What proves to GitHub, for some minutes, that the caller is the App `issuer`: its id, or client id.
    ///
    /// # Errors
    /// An id that is none.
    pub fn token(&self, issuer: &str, now: Timestamp) -> Result<ApiToken, AppError> {
        let issued = now.as_second() - BACK;
        let claims = json!({ "iat": issued, "exp": issued + LIFE, "iss": id(issuer)? });
        let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| AppError::Sign)?;
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)).into_bytes();
        Ok(ApiToken { user: None, token: Secret::new(token).ok_or(AppError::Sign)? })
    }
}

/// An id as it may stand in a path or a claim.
fn id(text: &str) -> Result<&str, AppError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "." | "..");
    if fits { Ok(text) } else { Err(AppError::Id(crate::domain::text::escape_short(text.as_bytes(), 64))) }
}

/// A token of an installation, which everything else is called with.
#[derive(Clone, Debug)]
pub struct InstallationToken {
    /// The token; of no certain length or form.
    pub token: ApiToken,
    /// Until when it is good; an hour, usually.
    pub expires: Timestamp,
}

/// The call that asks for a token of the installation, which may see `repositories` (names without the owner),
/// or all that the App may where there are none.
///
/// # Errors
/// An id that is none.
pub fn installation_token(
    installation: &str,
    repositories: &[&str],
    app: &ApiToken,
) -> Result<Call, AppError> {
    let path = format!("/app/installations/{}/access_tokens", id(installation)?);
    let body = if repositories.is_empty() { json!({}) } else { json!({ "repositories": repositories }) };
    Ok(call(ForgeKind::GitHub, Method::Post, path, app, Some(body))?)
}

/// Reads the answer to [`installation_token`] of status 201.
///
/// # Errors
/// It is none.
pub fn read_installation_token(reply: &Reply) -> Result<InstallationToken, AppError> {
    #[derive(Deserialize)]
    struct Answer {
        token: String,
        expires_at: String,
    }
    let answer: Answer = serde_json::from_slice(&reply.body).map_err(|_| AppError::Reply)?;
    let token = Secret::new(answer.token.into_bytes()).ok_or(AppError::Reply)?;
    let expires = answer.expires_at.parse().map_err(|_| AppError::Reply)?;
    if reply.status != 201 || !token.expose().iter().all(u8::is_ascii_graphic) {
        return Err(AppError::Reply);
    }
    Ok(InstallationToken { token: ApiToken { user: None, token }, expires })
}
