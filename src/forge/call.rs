//! Calls of a forge's API as plain data; carrying them is somebody else's task.

use super::{ForgeKind, Secret};
use crate::domain::text;
use data_encoding::BASE64;
use ring::digest;

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
}

impl Method {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
        }
    }
}

/// One request to the forge's API.
#[derive(Clone, Debug)]
pub struct Call {
    /// How.
    pub method: Method,
    /// Path and query below the configured base address, escaped for a URL; begins with `/`.
    pub path: String,
    /// Header fields that everybody may see.
    pub headers: Vec<(&'static str, String)>,
    /// The field that authenticates, its value shown to nobody.
    pub authorization: Option<(&'static str, Secret)>,
    /// JSON, or nothing.
    pub body: Option<String>,
}

impl Call {
    /// SHA-256 of where it goes and what it says, whoever says it: two calls with the same one tell the same.
    pub fn sum(&self) -> Vec<u8> {
        let text =
            format!("{} {}\n{}", self.method.name(), self.path, self.body.as_deref().unwrap_or_default());
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
    }
}

/// What an API is authenticated with.
#[derive(Clone, Debug)]
pub struct ApiToken {
    /// The account, for Bitbucket Cloud's API tokens, which go with an address; `None` otherwise.
    pub user: Option<String>,
    /// The token, of any length.
    pub token: Secret,
}

/// Shorter ones would be found in any text, and are guessed anyway.
const SHORTEST_HIDDEN: usize = 4;

/// Bytes with three dots in place of a part of them.
fn without(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(part) {
            out.extend_from_slice(b"...");
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

/// Why there is no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The configured name has not the form that this forge's names have.
    #[error("`{name}` is not a repository's name for `{}`: {form}", forge.name())]
    Repository {
        /// What is called.
        forge: ForgeKind,
        /// The name, escaped.
        name: String,
        /// What it has to be.
        form: &'static str,
    },
    /// This forge has no such call.
    #[error("`{}` has no call for this", .0.name())]
    Unsupported(ForgeKind),
    /// This forge takes a status only with a link.
    #[error("`{}` needs a link to the decision: set `link`", .0.name())]
    Link(ForgeKind),
    /// A token that no header can carry.
    #[error("the token is not visible ASCII")]
    Token,
}

impl ForgeKind {
    /// The API's base where there is but one; others have to be configured.
    pub const fn public_api(self) -> Option<&'static str> {
        match self {
            ForgeKind::GitHub => Some("https://api.github.com"),
            ForgeKind::GitLab => Some("https://gitlab.com/api/v4"),
            ForgeKind::BitbucketCloud => Some("https://api.bitbucket.org/2.0"),
            _ => None,
        }
    }

    /// What a configured base looks like, for messages and documentation.
    pub const fn api_form(self) -> &'static str {
        match self {
            ForgeKind::GitHub => "https://api.github.com, or https://HOST/api/v3",
            ForgeKind::GitLab => "https://HOST/api/v4",
            ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs => "https://HOST/api/v1",
            ForgeKind::BitbucketCloud => "https://api.bitbucket.org/2.0",
            ForgeKind::BitbucketDc => "https://HOST/rest",
            ForgeKind::Generic => "https://HOST",
        }
    }
}

/// A call without a body yet.
pub(super) fn call(
    forge: ForgeKind,
    method: Method,
    path: String,
    token: &ApiToken,
    body: Option<serde_json::Value>,
) -> Result<Call, CallError> {
    let mut headers = vec![("accept", "application/json".to_owned())];
    if forge == ForgeKind::GitHub {
        headers = vec![
            ("accept", "application/vnd.github+json".to_owned()),
            ("x-github-api-version", "2022-11-28".to_owned()),
        ];
    }
    if body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let authorization = Some(authorization(forge, token)?);
    Ok(Call { method, path, headers, authorization, body: body.map(|body| body.to_string()) })
}

fn authorization(forge: ForgeKind, token: &ApiToken) -> Result<(&'static str, Secret), CallError> {
    let secret = token.token.expose();
    if !secret.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Err(CallError::Token);
    }
    let after = |prefix: &[u8], value: &[u8]| {
        Secret::new([prefix, value].concat()).map(|value| ("authorization", value)).ok_or(CallError::Token)
    };
    match (forge, &token.user) {
        (ForgeKind::GitLab, _) => Ok(("private-token", token.token.clone())),
        (ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs, _) => after(b"token ", secret),
        (ForgeKind::BitbucketCloud, Some(user)) => {
            let both = [user.as_bytes(), b":", secret].concat();
            after(b"Basic ", BASE64.encode(&both).as_bytes())
        }
        _ => after(b"Bearer ", secret),
    }
}

/// The path of a repository in the API, of its configured name.
pub(super) fn repository_path(forge: ForgeKind, name: &str) -> Result<String, CallError> {
    let wrong = |form| CallError::Repository { forge, name: text::escape_short(name.as_bytes(), 100), form };
    let parts: Vec<&str> = name.split('/').collect();
    // Escaped or not, a dot or two would be a step in the path.
    if parts.iter().any(|part| part.is_empty() || matches!(*part, "." | "..")) {
        return Err(wrong("its parts are neither empty nor dots"));
    }
    let escaped: Vec<String> = parts.iter().map(|part| escape_segment(part)).collect();
    Ok(match (forge, escaped.as_slice()) {
        (ForgeKind::GitLab, [_, _, ..]) => format!("/projects/{}", escaped.join("%2F")),
        (ForgeKind::GitLab, _) => return Err(wrong("it is a group and a project, or more groups")),
        (ForgeKind::BitbucketCloud, [workspace, slug]) => format!("/repositories/{workspace}/{slug}"),
        (ForgeKind::BitbucketDc, [project, slug]) => format!("/api/latest/projects/{project}/repos/{slug}"),
        (ForgeKind::Generic, _) => String::new(),
        (_, [owner, name]) => format!("/repos/{owner}/{name}"),
        (ForgeKind::BitbucketDc, _) => return Err(wrong("it is a project's key and a name")),
        _ => return Err(wrong("it is an owner and a name")),
    })
}

/// Whether `name` can be a repository's name at such a forge: one that cannot is never delivered and never reported on.
///
/// # Errors
/// What the names of this forge are.
pub fn check_name(forge: ForgeKind, name: &str) -> Result<(), CallError> {
    repository_path(forge, name).map(drop)
}

/// One segment of a path, or one value of a query.
pub(super) fn escape_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code. A redirect is not followed, and comes back as what it is (N31).
    pub status: u16,
    /// `Retry-After`, `X-RateLimit-Remaining`, `X-RateLimit-Reset` and the like, names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most 1 MiB of the body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Takes a secret that was sent out of what the forge says about a refusal: that is logged. So does an
    /// authorization's credential, without its scheme, and a pair of name and password in its plain form.
    pub fn hide(&mut self, secret: &Secret) {
        if (200..300).contains(&self.status) {
            return;
        }
        let whole = secret.expose().trim_ascii();
        let bare = whole.splitn(2, |byte| *byte == b' ').last().unwrap_or(whole).trim_ascii();
        let pair = BASE64.decode(bare).unwrap_or_default();
        let password = pair.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
        for secret in [whole, bare, pair.as_slice(), password] {
            if secret.len() >= SHORTEST_HIDDEN {
                self.body = without(&self.body, secret);
            }
        }
    }

    /// The first value of a header, its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.trim())
    }
}
