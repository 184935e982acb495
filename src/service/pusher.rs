//! Who pushes: what the configured server says, and whom the keyring takes that for (N18).

use super::fault::Fault;
use crate::domain::{Principal, Proof, Pusher, ServerKind, Timestamp, text};
use crate::hook::auth_info;
use crate::hook::wire::{Exposed, Request};
use crate::keyring::{Account, Keyring, LoginKey};
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
        Some(server) => by_account(server, request, keyring, now),
    }
}

fn missing(server: ServerKind) -> Fault {
    Fault::NoPusher { server: server.name(), variable: server.variable(), hint: server.hint() }
}

fn unclear(server: ServerKind, why: String) -> Fault {
    Fault::UnclearPusher { server: server.name(), why }
}

fn by_account(
    server: ServerKind,
    request: &Request,
    keyring: &Keyring,
    now: Timestamp,
) -> Result<Pusher, Fault> {
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
        // Over SSH the key's number says it, and the name is that of whoever put the key there: a deploy key comes
        // under the name of its creator, who may not know of the push.
        ServerKind::GitLab => match variable("GL_ID") {
            Some(key) if key.starts_with("key-") => {
                details.insert("GL_USERNAME", account.chars().take(MAX_DETAIL).collect());
                name = format!("#{key}");
                source = "GL_ID";
            }
            other => id = other.map(|id| format!("#{id}")),
        },
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
    // Accounts can be renamed and their names taken by others; numbers stay. Whoever lists a number here is
    // known by that alone, where the server tells one.
    let numbered = |holder: &&Arc<Principal>| {
        let mut accounts = keyring.accounts_of(&holder.name);
        let here = |one: &Account| one.name.starts_with('#') && one.server == Some(server);
        id.is_some() && accounts.any(here)
    };
    let by_id = id.as_ref().and_then(|id| keyring.account_holder(server, id));
    let by_name = || keyring.account_holder(server, &name).filter(|holder| !numbered(holder));
    let holder = by_id.or_else(by_name);
    // Nobody of the keyring: every ruleset is for such a pusher, and nothing lets it in (N18).
    let suspended = |one: &&Arc<Principal>| {
        keyring.suspension(&one.name).is_some_and(|suspension| suspension.applies(now))
    };
    if let Some(holder) = holder.filter(suspended) {
        details.insert("account.status", format!("{} is suspended", holder.name));
    }
    let principal = holder.filter(|one| !suspended(one)).map(Arc::clone);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::wire::{Bytes, PROTOCOL, Place};

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHt/gekdZBP6w6zAI00bJvEt0bEQaLT7MP0mPLMkK/qO";

    fn request(environment: &[(&str, &str)], exposed: Option<Exposed>) -> Request {
        Request {
            protocol: PROTOCOL,
            version: String::new(),
            request_id: "a".repeat(32),
            git_dir: Place { path: "/x".into(), device: 0, inode: 0 },
            quarantine: None,
            updates: Bytes(Vec::new()),
            push_options: Vec::new(),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ssh_user_auth: exposed,
        }
    }

    fn by(server: Option<ServerKind>, request: &Request) -> Result<Pusher, Fault> {
        identify(server, request, &Keyring::empty(), &Rules::default(), Timestamp::now())
    }

    fn login(written: impl AsRef<[u8]>) -> Result<Pusher, String> {
        let exposed = Exposed::Content(Bytes(written.as_ref().to_vec()));
        by(Some(ServerKind::SshdKey), &request(&[("GATE_USER", "alice")], Some(exposed))).map_err(|fault| {
            assert_eq!(fault.code(), "unknown-pusher");
            fault.to_string()
        })
    }

    #[test]
    fn n18_a_login_that_shows_no_key_is_undecided() {
        let why = |written: &str| login(written).unwrap_err();
        assert!(
            why("password\nkeyboard-interactive/pam\n").contains("took no key, only password, keyboard-")
        );
        assert!(why(&format!("hostbased {KEY}\n")).contains("took no key, only hostbased"));
        assert!(why("").contains("it is empty"));
        assert!(why(&format!("publickey {KEY}")).contains("not ended"));
        // One line that sshd would not write, and nothing of the file counts.
        assert!(why(&format!("publickey {KEY}\npublickey\n")).contains("line 2"));
        // The type is right, the key is none.
        assert!(why("publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAA==\n").contains("broken"));
        let unusable = Exposed::Unusable("it is a symbolic link".into());
        let fault = by(Some(ServerKind::SshdKey), &request(&[], Some(unusable))).unwrap_err();
        assert!(fault.to_string().contains("it is a symbolic link"), "{fault}");
    }

    #[test]
    fn n18_a_key_of_a_kind_that_is_not_supported_is_nobodys() {
        // A type, and something behind it.
        let kind = "ssh-new";
        let blob = [&[0, 0, 0, 7], kind.as_bytes(), &[1, 2, 3]].concat();
        let line = format!("publickey {kind} {}\n", data_encoding::BASE64.encode(&blob));
        let Pusher::Known { name, principal, details, .. } = login(line).unwrap() else {
            panic!("it is known")
        };
        assert!(name.starts_with("SHA256:") && principal.is_none());
        assert_eq!(details["key.status"], "unsupported");
    }

    #[test]
    fn n18_no_server_no_pusher_whatever_is_set() {
        let exposed = Exposed::Content(Bytes(format!("publickey {KEY}\n").into_bytes()));
        let all = [("GATE_USER", "alice"), ("GL_USER", "alice"), ("REMOTE_USER", "alice")];
        assert_eq!(by(None, &request(&all, Some(exposed))).unwrap(), Pusher::Unknown);
    }

    #[test]
    fn n18_what_is_missing_comes_with_a_hint() {
        for kind in ServerKind::ALL {
            let fault = by(Some(*kind), &request(&[], None)).unwrap_err();
            let text = fault.to_string();
            assert_eq!(fault.code(), "unknown-pusher");
            assert!(text.contains(kind.variable()) && text.contains(kind.hint()), "{text}");
        }
    }
}
