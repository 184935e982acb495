//! Who pushes: what the configured server says, and whom the keyring takes that for (N18).

use super::fault::Fault;
use crate::domain::{Proof, Pusher, ServerKind, Timestamp, text};
use crate::hook::auth_info;
use crate::hook::wire::{Exposed, Request};
use crate::keyring::{Keyring, LoginKey};
use crate::signature::{Rules, SignatureStatus, ssh};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest detail that is kept, in characters.
const MAX_DETAIL: usize = 200;

/// Who pushes, as `server` says in `request`. Only the variables of this one kind are looked at.
///
/// # Errors
/// The server does not say it, or says it in a way that it would not: undecided.
pub(super) fn identify(
    server: Option<ServerKind>,
    request: &Request,
    keyring: &Keyring,
    rules: &Rules,
    now: Timestamp,
) -> Result<Pusher, Fault> {
    match server {
        None => Ok(Pusher::Unknown),
        Some(ServerKind::SshdKey) => by_key(request, keyring, rules, now),
        Some(server) => by_account(server, request, keyring),
    }
}

fn missing(server: ServerKind) -> Fault {
    Fault::NoPusher { server: server.name(), variable: server.variable(), hint: server.hint() }
}

fn unclear(server: ServerKind, why: String) -> Fault {
    Fault::UnclearPusher { server: server.name(), why }
}

fn by_account(server: ServerKind, request: &Request, keyring: &Keyring) -> Result<Pusher, Fault> {
    let variable = |name: &str| request.environment.get(name).filter(|value| !value.is_empty());
    let account = variable(server.variable()).ok_or_else(|| missing(server))?;
    let mut details = BTreeMap::new();
    for name in server.details() {
        if let Some(value) = variable(name) {
            details.insert(*name, value.chars().take(MAX_DETAIL).collect());
        }
    }
    let (mut name, mut source, mut id) = (account.clone(), server.variable(), None);
    match server {
        ServerKind::Gitea | ServerKind::Forgejo => {
            // With a deploy key, name and number are those of the repository's owner, who has not pushed.
            if let Some(key) = deploy_key(server, variable("GITEA_DEPLOY_KEY_ID"))? {
                name = format!("#deploy-key-{key}");
                source = "GITEA_DEPLOY_KEY_ID";
            } else {
                id = variable("GITEA_PUSHER_ID").map(|id| format!("#{id}"));
            }
        }
        ServerKind::GitLab => id = variable("GL_ID").map(|id| format!("#{id}")),
        ServerKind::SoftServe => {
            if let Some(key) = variable("SOFT_SERVE_PUBLIC_KEY") {
                // The whole key is long, and says no more.
                let shown = ssh::parse_public_key(key).map(|key| key.fingerprint());
                details
                    .insert("SOFT_SERVE_PUBLIC_KEY", shown.unwrap_or_else(|_| "not understood".to_owned()));
            }
        }
        _ => {}
    }
    // Accounts can be renamed and their names taken by others; numbers stay.
    let by_id = id.and_then(|id| keyring.account_holder(server, &id));
    let principal = by_id.or_else(|| keyring.account_holder(server, &name)).map(Arc::clone);
    Ok(Pusher::Known { name, source, principal, proof: Proof::Server, details })
}

/// The number of the deploy key that pushes. `0` stands for none.
fn deploy_key(server: ServerKind, value: Option<&String>) -> Result<Option<u64>, Fault> {
    let Some(value) = value else { return Ok(None) };
    match value.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let shown = text::escape_short(value.as_bytes(), 60);
            Err(unclear(server, format!("GITEA_DEPLOY_KEY_ID is `{shown}` and not a number")))
        }
    }
}

fn by_key(request: &Request, keyring: &Keyring, rules: &Rules, now: Timestamp) -> Result<Pusher, Fault> {
    let server = ServerKind::SshdKey;
    let unusable = |why: &str| {
        unclear(server, format!("the file that SSH_USER_AUTH names does not say who pushes: {why}"))
    };
    let bytes = match &request.ssh_user_auth {
        None => return Err(missing(server)),
        Some(Exposed::Unusable(why)) => return Err(unusable(why)),
        Some(Exposed::Content(bytes)) => &bytes.0,
    };
    let methods = auth_info::parse(bytes).map_err(|why| unusable(&why))?;
    let keys: Vec<LoginKey> = methods
        .iter()
        .filter_map(|method| method.key.as_ref())
        .map(|blob| keyring.login(blob, now, rules))
        .collect();
    for key in &keys {
        if let Err(SignatureStatus::Malformed { why, .. }) = &key.holder {
            return Err(unusable(why));
        }
    }
    let Some(first) = keys.first() else {
        let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
        return Err(unusable(&format!("the login took no key, only {}", names.join(", "))));
    };
    let held = || keys.iter().filter_map(|key| Some((key, key.holder.as_ref().ok()?)));
    let chosen = held().next();
    if let Some((_, one)) = chosen
        && let Some((_, other)) = held().find(|(_, other)| other.name != one.name)
    {
        return Err(unusable(&format!("the login took keys of `{}` and of `{}`", one.name, other.name)));
    }
    let (key, principal) = match chosen {
        Some((key, principal)) => (key, Some(Arc::clone(principal))),
        None => (first, None),
    };
    let mut details = BTreeMap::new();
    if let Err(status) = &key.holder {
        details.insert("key.status", status.name().to_owned());
    }
    if let Some(certificate) = &key.certificate {
        details.insert("key.authority", certificate.authority.clone());
        details.insert("key.certificate", certificate.key_id.chars().take(MAX_DETAIL).collect());
        details.insert("key.serial", certificate.serial.to_string());
    }
    if methods.len() > 1 {
        let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
        details.insert("key.methods", names.join(", "));
    }
    let (name, source) = (key.fingerprint.clone(), server.variable());
    Ok(Pusher::Known { name, source, principal, proof: Proof::Key, details })
}
