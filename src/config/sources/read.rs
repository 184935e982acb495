//! Reading `[[source]]`, with every fault in its place and no secret in any of them.

use super::sense::{reaches, without_effect};
use super::{Fetch, ReportIdentity, Reporting, Source, SourceRepository, SourceSecret};
use crate::config::secrets;
use crate::config::{Warning, values};
use crate::domain::text;
use crate::forge::{ForgeKind, Secret, SecretError, SecretKind, Secrets, check_name};
use crate::keyring::document::{Diagnostic, Item, Place, Table};
use std::collections::HashMap;
use std::path::Path;

/// What of a URL stands for the configured name of a repository.
const NAME: &str = "{repository}";
/// Longest name of a repository, in bytes.
const MAX_NAME: usize = 400;

/// Reads all sources; those with faults are left out.
pub(in crate::config) fn read(
    tables: Vec<Table<'_, '_>>,
    base: &Path,
    listen: bool,
    warnings: &mut Vec<Warning>,
) -> Vec<Source> {
    let mut all: Vec<Source> = Vec::new();
    let mut names: HashMap<String, Place> = HashMap::new();
    let mut paths: HashMap<String, Place> = HashMap::new();
    for table in tables {
        let reader = table.reader();
        let begin = reader.place(table.span());
        let name = table.require("name", "write `name = \"github\"`");
        let name = name.and_then(|item| {
            let name = source_name(&item)?;
            if let Some(other) = names.insert(name.clone(), reader.place(&item.span)) {
                item.error_with(
                    format!("two sources are called `{name}`"),
                    format!("the other one stands at {other}"),
                );
                return None;
            }
            Some(name)
        });
        let kinds: Vec<(&'static str, ForgeKind)> =
            ForgeKind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
        let forge = table.require("forge", "write `forge = \"github\"`");
        let forge = forge.and_then(|item| item.word(&kinds));
        let path = match table.get("path") {
            Some(item) => url_path(&item).map(|path| (path, reader.place(&item.span))),
            None => name.as_ref().map(|name| (format!("/hooks/{name}"), begin.clone())),
        };
        let path = path.and_then(|(path, place)| match paths.insert(path.clone(), place.clone()) {
            None => Some(path),
            Some(other) => {
                let message = format!("two sources listen at `{path}`");
                let help = format!("the other one stands at {other}");
                reader.push(Diagnostic::at(place, message).suggest(help));
                None
            }
        });
        let secrets = table.require(
            "secrets",
            "write `secrets = [{ file = \"/etc/countersign/github.secret\" }]`: a source without a secret \
             would believe everybody",
        );
        let secrets = secrets.and_then(|item| source_secrets(&item, forge, base));
        let repositories = repositories(&table, forge);
        let max_body = table.get("max-body").map_or(Some(Source::MAX_BODY), |item| max_body(&item));
        let fetch = match table.table("fetch", "[source.fetch]") {
            Some(table) => fetch(table, base),
            None => Some(Fetch::default()),
        };
        let report = match table.table("report", "[source.report]") {
            Some(table) => reporting(table, forge, base).map(Some),
            None => Some(None),
        };
        let sweep = match table.get("sweep") {
            Some(item) => values::span(&item).map(|span| (!span.is_zero()).then_some(span)),
            None => Some(Some(Source::SWEEP)),
        };
        let restore = table.get("restore").map_or(Some(false), |item| item.boolean());
        let restore_created = table.get("restore-created").map_or(Some(false), |item| item.boolean());
        let administrators = table.get("administrators").map(|item| administrators(&item, forge));
        let administrators = administrators.unwrap_or_else(|| Some(Vec::new()));
        table.finish_unseen();
        let build = || {
            Some(Source {
                name: name?,
                forge: forge?,
                path: path?,
                secrets: secrets?,
                repositories: repositories?,
                max_body: max_body?,
                fetch: fetch?,
                report: report?,
                sweep: sweep?,
                restore: restore?,
                restore_created: restore_created?,
                administrators: administrators?,
                place: begin.clone(),
            })
        };
        let Some(source) = build() else { continue };
        let wrong = reaches(&source);
        if !wrong.is_empty() {
            for (message, help) in wrong {
                reader.push(Diagnostic::at(begin.clone(), message).suggest(help));
            }
            continue;
        }
        let mut warn = |message: String| warnings.push(Warning::at(begin.clone(), message));
        without_effect(&source).into_iter().for_each(&mut warn);
        if source.sweep.is_none() {
            warn(format!(
                "`sweep` is off for source `{}`: a pusher can keep its forge from telling",
                source.name
            ));
        }
        if !listen {
            warn(format!(
                "`listen` is not set in [daemon]: source `{}` can tell nothing, and is only swept",
                source.name
            ));
        }
        all.push(source);
    }
    all
}

fn administrators(item: &Item<'_, '_>, forge: Option<ForgeKind>) -> Option<Vec<String>> {
    let before = item.reader.count();
    let names: Vec<String> = item.strings().into_iter().map(|(name, _)| name.to_owned()).collect();
    if names.iter().any(|name| name.is_empty() || name == "#" || name.trim() != name) {
        item.error_with(
            "an administrator is the login of an account at the forge",
            "write `administrators = [\"ada\"]`, or [\"#7\"] with its number",
        );
    }
    if names.iter().any(|name| !name.starts_with('#')) && forge == Some(ForgeKind::BitbucketCloud) {
        item.error_with(
            "an administrator on Bitbucket Cloud is an account's UUID: a nickname is anybody's to take",
            "write `administrators = [\"#{f0e1d2c3-…}\"]`; the API tells it, and so does each delivery, as `actor.uuid`",
        );
    }
    (item.reader.count() == before).then_some(names)
}

fn source_name(item: &Item<'_, '_>) -> Option<String> {
    let name = item.string()?;
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if !first || name.len() > 64 || !name.bytes().all(plain) {
        item.error_with(
            "the name of a source is lower-case letters, digits, `.`, `_` and `-`, at most 64 of them",
            "write `name = \"github\"`",
        );
        return None;
    }
    Some(name.to_owned())
}

/// A path that is compared byte by byte: nothing in it can be written in two ways.
fn url_path(item: &Item<'_, '_>) -> Option<String> {
    const HELP: &str = "write `path = \"/hooks/github\"`";
    let path = item.string()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-/".contains(&byte);
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let odd = !path.starts_with('/')
        || path.len() > 200
        || !path.bytes().all(plain)
        || parts.iter().any(|part| part.is_empty() || part.bytes().all(|byte| byte == b'.'));
    if odd {
        item.error_with("this is not the plain path of a URL", HELP);
        return None;
    }
    if ["health", "metrics", "decisions"].contains(&parts[0]) {
        item.error_with(format!("`/{}` is the gate's own", parts[0]), HELP);
        return None;
    }
    Some(path.to_owned())
}

fn source_secrets(item: &Item<'_, '_>, forge: Option<ForgeKind>, base: &Path) -> Option<Vec<SourceSecret>> {
    const KINDS: [(&str, SecretKind); 3] =
        [("hmac", SecretKind::Hmac), ("token", SecretKind::Token), ("signing", SecretKind::Signing)];
    let before = item.reader.count();
    // A text here is the secret itself, and one table was meant as a list of one.
    let items = match item.value {
        toml::de::DeValue::Array(_) => item.array("a list")?,
        _ => vec![item.clone()],
    };
    let mut made: Vec<SourceSecret> = Vec::new();
    for one in items {
        let mut kind = None;
        let place = secrets::place(&one, base, &mut |table| {
            if let Some(item) = table.get("kind") {
                kind = item.word(&KINDS);
            }
        });
        let Some(place) = place else { continue };
        let at = item.reader.place(&one.span);
        if let (Some(forge), Some(kind)) = (forge, kind)
            && !has_kind(forge, kind)
        {
            one.error(format!("{} has no secrets of the kind `{}`", forge.name(), kind.name()));
            continue;
        }
        if made.iter().any(|other| other.place == place) {
            one.error(format!("{place} is named twice"));
            continue;
        }
        made.push(SourceSecret { place, kind, at });
    }
    if made.is_empty() && item.reader.count() == before {
        item.error_with(
            "a source without a secret would believe everybody",
            "write `secrets = [{ file = \"/etc/countersign/github.secret\" }]`",
        );
    }
    (!made.is_empty() && item.reader.count() == before).then_some(made)
}

fn has_kind(forge: ForgeKind, kind: SecretKind) -> bool {
    let any = Secret::new(b"any".to_vec());
    !any.is_some_and(|any| matches!(Secrets::new().add(forge, kind, &any), Err(SecretError::Kind(..))))
}

/// `repositories` with `url`, and `[[source.repository]]`.
fn repositories(table: &Table<'_, '_>, forge: Option<ForgeKind>) -> Option<Vec<SourceRepository>> {
    let reader = table.reader();
    let before = reader.count();
    let template = table.get("url");
    let template = template.and_then(|item| {
        let written = item.string()?;
        if written.matches(NAME).count() != 1 {
            item.error_with(
                format!(
                    "the `url` of a source has `{NAME}` in it once, where the name of each repository goes"
                ),
                format!("write `url = \"https://github.com/{NAME}.git\"`"),
            );
            return None;
        }
        // The name is plain, so what holds for one holds for all.
        checked_url(&item, &written.replacen(NAME, "name", 1))?;
        Some(written.to_owned())
    });
    let mut made: Vec<(SourceRepository, Place)> = Vec::new();
    let mut add = |item: &Item<'_, '_>, id: Option<String>, url: Option<String>| {
        let Some(name) = repository_name(item) else { return };
        if let Some(Err(error)) = forge.map(|forge| check_name(forge, &name)) {
            item.error_with(error.to_string(), "write it as in the forge's URLs, such as \"acme/infra\"");
            return;
        }
        let at = reader.place(&item.span);
        if let Some((_, other)) = made.iter().find(|(one, _)| one.name.eq_ignore_ascii_case(&name)) {
            item.error_with(
                format!("`{name}` is listed twice; names are compared without case"),
                format!("the other one stands at {other}"),
            );
            return;
        }
        if let Some(id) = &id
            && let Some((other, _)) = made.iter().find(|(one, _)| one.id.as_ref() == Some(id))
        {
            item.error(format!("`{}` has the same id", other.name));
            return;
        }
        let url = url.or_else(|| template.as_ref().map(|template| template.replacen(NAME, &name, 1)));
        let Some(url) = url else {
            if reader.count() == before {
                item.error_with(
                    format!("nothing says where `{name}` is fetched from"),
                    format!("write `url = \"https://github.com/{NAME}.git\"` in [[source]]"),
                );
            }
            return;
        };
        made.push((SourceRepository { name, id, url }, at));
    };
    let list = table.get("repositories");
    for (_, item) in list.iter().flat_map(Item::strings) {
        add(&item, None, None);
    }
    for table in table.tables("repository", "[[source.repository]]") {
        let name = table.require("name", "write `name = \"acme/infra\"`");
        let id = table.get("id").map(|item| repository_id(&item));
        let url = table.get("url").map(|item| {
            let written = item.string()?;
            checked_url(&item, written)
        });
        table.finish_unseen();
        let (Some(name), Some(id), Some(url)) = (name, flat(id), flat(url)) else { continue };
        add(&name, id, url);
    }
    if made.is_empty() && reader.count() == before {
        reader.error_with(
            table.span(),
            "this source watches no repository",
            "write `repositories = [\"acme/infra\"]`, or [[source.repository]] tables",
        );
    }
    (reader.count() == before).then(|| made.into_iter().map(|(one, _)| one).collect())
}

/// What is not there is fine, what is there and wrong is not.
fn flat<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    match found {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn repository_name(item: &Item<'_, '_>) -> Option<String> {
    const HELP: &str = "write it as in the forge's URLs, such as \"acme/infra\"";
    let name = item.string()?;
    let shown = text::escape_short(name.as_bytes(), 80);
    if let Some(bare) = name.strip_suffix(".git") {
        let bare = text::escape_short(bare.as_bytes(), 80);
        item.error_with(format!("`{shown}`: names are without `.git`"), format!("write \"{bare}\""));
        return None;
    }
    if name.contains(['*', '?']) {
        item.error_with(format!("`{shown}` is a pattern; repositories are listed by name"), HELP);
        return None;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let odd = |part: &str| {
        part.is_empty()
            || part.starts_with('-')
            || part.bytes().all(|byte| byte == b'.')
            || !part.bytes().all(plain)
    };
    if name.len() > MAX_NAME || name.split('/').any(odd) {
        item.error_with(format!("`{shown}` is not the name of a repository"), HELP);
        return None;
    }
    Some(name.to_owned())
}

fn repository_id(item: &Item<'_, '_>) -> Option<String> {
    if let toml::de::DeValue::Integer(_) = item.value {
        return item.number().map(|number| number.to_string());
    }
    let id = item.string()?;
    // Bitbucket shows its UUIDs in braces; what a delivery tells is kept without them.
    let bare = id.strip_prefix('{').and_then(|id| id.strip_suffix('}')).unwrap_or(id);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    // As long as those of deliveries: a longer one is nobody's.
    if bare.is_empty() || bare.len() > 64 || !bare.bytes().all(plain) {
        item.error_with("the id of a repository is the forge's number or UUID of it", "write `id = \"123\"`");
        return None;
    }
    Some(bare.to_owned())
}

/// A URL of a repository: nothing that git would take for something else (N31). Its line is not shown where it may
/// hold a password.
fn checked_url(item: &Item<'_, '_>, url: &str) -> Option<String> {
    let fault = |message: &str, help: &str| {
        item.reader.push(Diagnostic::at(item.reader.place(&item.span), message).suggest(help));
        None
    };
    const HELP: &str = "write \"https://HOST/…\", \"ssh://git@HOST/…\" or \"file:///…\"";
    let Some((scheme, rest)) = url.split_once("://") else {
        return fault("this is not a URL", HELP);
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match (scheme, authority.rsplit_once('@')) {
        ("file", _) if authority.is_empty() => "",
        ("file", _) => return fault("a file URL names no host", "write \"file:///srv/git/infra.git\""),
        ("https" | "http", Some(_)) => {
            return fault(
                "the URL holds a user or a password",
                "leave it out, and write `user` and `credential` in [source.fetch]",
            );
        }
        ("ssh", Some((user, host))) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if user.is_empty() || user.starts_with('-') || !user.bytes().all(plain) {
                return fault("the user in the URL is not a plain name", HELP);
            }
            host
        }
        ("https" | "http" | "ssh", None) => authority,
        _ => return fault("repositories are fetched by https, ssh or file", HELP),
    };
    if scheme != "file" && !is_host(host) {
        return fault("the URL has no plain host in it, with or without a port", HELP);
    }
    if scheme == "http" && !is_this_machine(host) {
        return fault("http shows what is fetched, and with what, to everybody on the way", "write https");
    }
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\\".contains(&byte);
    if path.len() < 2 || !path.bytes().all(plain) || path.split('/').skip(1).any(odd) {
        return fault("the URL's path is empty, or has `?`, `#`, spaces, `//` or `..` in it", HELP);
    }
    Some(url.to_owned())
}

/// `host`, `host:port` or `[address]:port`.
fn is_host(authority: &str) -> bool {
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<std::net::Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        }),
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, "1"));
            !host.is_empty() && !host.starts_with(['-', '.']) && host.bytes().all(plain) && is_port(port)
        }
    }
}

/// Whether what is sent to an address is seen by nobody on the way: over TLS, or never leaves this machine.
pub fn is_private_way(address: &str) -> bool {
    match address.split_once("://") {
        Some(("https", _)) => true,
        Some(("http", rest)) => is_this_machine(rest.split('/').next().unwrap_or_default()),
        _ => false,
    }
}

fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn max_body(item: &Item<'_, '_>) -> Option<usize> {
    let size = values::count(item, "max-body", true)?;
    if size > 100 << 20 {
        item.error("`max-body` is at most 100 MiB: it is held in memory");
        return None;
    }
    Some(size)
}

fn fetch(table: Table<'_, '_>, base: &Path) -> Option<Fetch> {
    let reader = table.reader();
    let before = reader.count();
    let credential = table.get("credential").and_then(|item| secrets::place(&item, base, &mut |_| {}));
    let user = table.get("user").and_then(|item| user(&item));
    let known_hosts = table.get("known-hosts").and_then(|item| values::path_outside(&item, base));
    let authority = table.get("authority").and_then(|item| values::path_outside(&item, base));
    let deadline = table.get("deadline").and_then(|item| {
        let span = values::span(&item)?;
        if span.is_zero() {
            item.error("no fetch can be done in no time");
            return None;
        }
        Some(span)
    });
    let quota = table.get("quota").and_then(|item| values::cap(&item, "quota", true));
    table.finish_unseen();
    (reader.count() == before).then(|| Fetch {
        credential,
        user,
        known_hosts,
        authority,
        deadline: deadline.unwrap_or(Fetch::DEADLINE),
        quota: quota.unwrap_or(Fetch::QUOTA),
    })
}

fn user(item: &Item<'_, '_>) -> Option<String> {
    let user = item.string()?;
    let plain = |byte: u8| byte.is_ascii_graphic();
    if user.is_empty() || user.len() > 100 || user.contains(':') || !user.bytes().all(plain) {
        item.error("a user is plain text without spaces or `:`");
        return None;
    }
    Some(user.to_owned())
}

fn reporting(table: Table<'_, '_>, forge: Option<ForgeKind>, base: &Path) -> Option<Reporting> {
    let reader = table.reader();
    let before = reader.count();
    if forge == Some(ForgeKind::Generic) {
        reader.error(table.span(), "nobody knows how to report to a generic forge");
    }
    let api = table.require(
        "api",
        "write the base address of the forge's API, such as `api = \"https://api.github.com\"`",
    );
    let api = api.and_then(|item| address(&item));
    let token = table
        .get("token")
        .and_then(|item| secrets::place(&item, base, &mut |_| {}).map(ReportIdentity::Token));
    let app = table.get("app").map(|item| {
        let app = item.table("[source.report.app]").and_then(|table| app(table, base));
        if forge.is_some_and(|forge| forge != ForgeKind::GitHub) {
            item.error("only GitHub has apps; write `token`");
        }
        app
    });
    let check_runs = table.get("check-runs").and_then(|item| {
        let wanted = item.boolean()?;
        if wanted && app.is_none() {
            item.error_with("check runs are made by apps of GitHub only", "write [source.report.app]");
        }
        Some(wanted)
    });
    let link = table.get("link").and_then(|item| address(&item));
    let user = table.get("user").and_then(|item| user(&item));
    let authority = table.get("authority").and_then(|item| values::path_outside(&item, base));
    let deadline = table.get("deadline").map(|item| values::duration(&item));
    let span = table.span().clone();
    if matches!(forge, Some(ForgeKind::BitbucketCloud | ForgeKind::BitbucketDc))
        && table.get("link").is_none()
    {
        reader.error_with(
            &span,
            "Bitbucket refuses a build status without an address, and `link` is missing in [source.report]",
            "write `link = \"https://gate.example.org\"`, where people reach the listener",
        );
    }
    table.finish_unseen();
    let identity = match (token, app.flatten()) {
        (Some(_), Some(_)) => {
            reader.error_with(&span, "`token` and `app` are both given", "keep one of them");
            None
        }
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => {
            if reader.count() == before {
                reader.error_with(&span, "nothing says who reports", "write `token = { file = \"…\" }`");
            }
            None
        }
    };
    let (api, identity) = (api?, identity?);
    let check_runs = check_runs.unwrap_or(false);
    let deadline = deadline.flatten().unwrap_or(Reporting::DEADLINE);
    (reader.count() == before).then_some(Reporting {
        api,
        identity,
        user,
        check_runs,
        link,
        authority,
        deadline,
    })
}

fn app(table: Table<'_, '_>, base: &Path) -> Option<ReportIdentity> {
    let id = table.require("id", "write the app's id").and_then(|item| plain_id(&item));
    let installation =
        table.require("installation", "write the installation's id").and_then(|item| plain_id(&item));
    let key = table.require("key", "write `key = { file = \"…\" }`, the app's private key");
    let key = key.and_then(|item| secrets::place(&item, base, &mut |_| {}));
    table.finish_unseen();
    Some(ReportIdentity::App { id: id?, installation: installation?, key: key? })
}

fn plain_id(item: &Item<'_, '_>) -> Option<String> {
    if let toml::de::DeValue::Integer(_) = item.value {
        return item.number().map(|number| number.to_string());
    }
    let id = item.string()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.is_empty() || id.len() > 100 || !id.bytes().all(plain) {
        item.error("this is no id: letters, digits, `.`, `_` and `-`");
        return None;
    }
    Some(id.to_owned())
}

/// An address that paths are put behind: https, or http of this machine.
fn address(item: &Item<'_, '_>) -> Option<String> {
    let written = item.string()?;
    let fault = |message: &str| {
        item.reader.push(
            Diagnostic::at(item.reader.place(&item.span), message)
                .suggest("write \"https://HOST\" or \"https://HOST/PATH\""),
        );
        None
    };
    let Some((scheme, rest)) = written.split_once("://") else { return fault("this is not a URL") };
    let rest = rest.trim_end_matches('/');
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return fault("an address holds no user and no password");
    }
    if !["https", "http"].contains(&scheme) || !is_host(authority) {
        return fault("this is not an https address");
    }
    if scheme == "http" && !is_this_machine(authority) {
        return fault("http shows tokens to everybody on the way");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-/".contains(&byte);
    if !path.bytes().all(plain) || path.split('/').skip(1).any(|part| part.is_empty() || part == "..") {
        return fault("the path of this address is not plain");
    }
    Some(format!("{scheme}://{rest}"))
}
