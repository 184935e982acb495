//! What operators ask a running gate about its webhooks, and have it do. Secrets never leave the daemon: it registers
//! at forges and signs samples itself.

use super::carry::{Carrier, CarryError, Endpoint};
use super::live::lock;
use super::outbox::{api_token, endpoint};
use super::watched::{Unwatchable, Watched};
use crate::config::{self, Config, Source, SourceRepository};
use crate::domain::text;
use crate::forge::{
    self, ApiToken, CallError, ForgeKind, ForgeRepository, Hook, HookError, NewHook, Page, SecretKind,
    Secrets,
};
use crate::service::Gate;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where an operator has repositories looked at; the body is a [`Sweep`].
pub const WEBHOOK_SWEEP_PATH: &str = "/webhooks/v1/sweep";
/// Where an operator has a delivery judged again; the body is a [`Redeliver`].
pub const WEBHOOK_REDELIVER_PATH: &str = "/webhooks/v1/redeliver";
/// Where an operator has a webhook made at the forge; the body is a [`Register`].
pub const WEBHOOK_REGISTER_PATH: &str = "/webhooks/v1/register";
/// Where an operator has a sample sent; the body is a [`Try`].
pub const WEBHOOK_TEST_PATH: &str = "/webhooks/v1/test";

/// How long one call on behalf of an operator may take.
const DEADLINE: Duration = Duration::from_secs(6);
/// How long an operator's question about a sweep waits for what is found; it can be asked again.
const SWEEP_PATIENCE: Duration = Duration::from_secs(3);
/// Most pages of webhooks that are looked at.
const MAX_PAGES: usize = 20;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// What was asked is not JSON of the kind that is wanted.
    #[error("the request is not understood: {0}")]
    Request(#[from] serde_json::Error),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It cannot be done as things are configured.
    #[error("{0}")]
    Impossible(String),
    /// Nobody answered as needed.
    #[error("{0}")]
    Failed(String),
    /// The record.
    #[error("the state cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// Asks for a look at repositories, or how far one is that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// `SOURCE` or `SOURCE/REPOSITORY`; otherwise all.
    pub of: Option<String>,
    /// The number of a sweep that was asked for before.
    pub number: Option<u64>,
}

/// How far a sweep is. All texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Its number, to ask again with.
    pub number: u64,
    /// What is looked at.
    pub repositories: Vec<SweptRepository>,
}

/// What a sweep has found in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptRepository {
    /// `<source>/<path>`.
    pub name: String,
    /// Whether it was looked at since.
    pub looked_at: bool,
    /// Refs that were not where they were judged last.
    pub moved: usize,
    /// In how many seconds those of them are judged that nobody has told of yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_in_seconds: Option<u64>,
    /// Why it is not up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

/// Asks for another look at a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redeliver {
    /// Its number here.
    pub delivery: u64,
}

/// Asks for a webhook at the forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The source.
    pub source: String,
    /// The configured name of the repository.
    pub repository: String,
    /// The address of this gate as the forge reaches it; otherwise `link` of the source.
    pub url: Option<String>,
}

/// Asks for a sample to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Try {
    /// The source.
    pub source: String,
    /// The address to send it to; otherwise the gate's own listener.
    pub url: Option<String>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Did {
    /// In a sentence, escaped.
    pub text: String,
}

/// A webhook at the forge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Whether there was none to this address before.
    pub created: bool,
    /// Its id at the forge, escaped.
    pub id: String,
    /// Where it sends to.
    pub url: String,
}

/// What came back for a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Where it was sent to.
    pub url: String,
    /// The status of the answer.
    pub status: u16,
    /// The answer, escaped and cut.
    pub answer: String,
    /// The status of the answer to the same sample with another body, which nobody has signed.
    pub tampered_status: u16,
    /// Whether both are what they have to be.
    pub works: bool,
}

impl Gate {
    /// Has repositories looked at, as if it were time for it, and waits a moment for what is found.
    ///
    /// # Errors
    /// No such source or repository.
    pub fn operate_sweep(&self, body: &[u8]) -> Result<Swept, OperateError> {
        let asked: Sweep = serde_json::from_slice(body)?;
        let config = Arc::clone(&self.current().config);
        let wanted = named(&config, asked.of.as_deref())?;
        let all = wanted.into_iter().map(|(source, one)| Watched::of(&config, &self.store, source, one));
        let all: Vec<(String, Result<Watched, Unwatchable>)> = all.collect();
        let ids = || all.iter().filter_map(|(_, one)| Some(one.as_ref().ok()?.id.clone()));
        let number = asked.number.unwrap_or_else(|| self.sweep_forges(ids()));
        let until = Instant::now() + SWEEP_PATIENCE;
        loop {
            let repositories: Vec<SweptRepository> =
                all.iter().map(|(name, one)| self.swept(name, one.as_ref(), number)).collect();
            let over = Instant::now() >= until;
            if over || repositories.iter().all(|one| one.looked_at || one.waits.is_some()) {
                return Ok(Swept { number, repositories });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn swept(&self, name: &str, one: Result<&Watched, &Unwatchable>, number: u64) -> SweptRepository {
        let mut swept =
            SweptRepository { name: text::escape_short(name.as_bytes(), 300), ..Default::default() };
        match one {
            Ok(watched) => {
                let look = lock(&self.webhooks.sweeps).looks.get(&watched.id).cloned();
                if let Some(look) = look.filter(|look| look.number >= number) {
                    swept.looked_at = true;
                    (swept.moved, swept.judged_in_seconds) = (look.moved, look.again);
                    swept.waits = look.waits.map(|why| text::escape_short(why.as_bytes(), 300));
                }
            }
            Err(error) => swept.waits = Some(text::escape_short(error.to_string().as_bytes(), 300)),
        }
        swept
    }

    /// Puts a delivery into the queue again.
    ///
    /// # Errors
    /// There is none of this number that is done.
    pub fn operate_redeliver(&self, body: &[u8]) -> Result<Did, OperateError> {
        let asked: Redeliver = serde_json::from_slice(body)?;
        let number = asked.delivery;
        let Some(known) = self.store.delivery(number)? else {
            let text =
                format!("there is no delivery {number}, or none any more: judged ones are kept for a week");
            return Err(OperateError::Unknown(text));
        };
        if known.done.is_none() {
            return Ok(Did { text: format!("delivery {number} waits already") });
        }
        self.store.requeue_delivery(number)?;
        tracing::info!(delivery = number, source = known.source, "an operator has queued a delivery again");
        self.ring();
        Ok(Did {
            text: format!("delivery {number} is queued again; a move that was judged is not judged twice"),
        })
    }

    /// Makes a webhook at the forge, or makes the one to the same address what it should be.
    ///
    /// # Errors
    /// It cannot be done, or the forge does not do it.
    pub fn operate_register(&self, body: &[u8]) -> Result<Registered, OperateError> {
        let asked: Register = serde_json::from_slice(body)?;
        let config = Arc::clone(&self.current().config);
        let source = source(&config, &asked.source)?;
        let repository = repository(source, &asked.repository)?;
        let Some(reporting) = &source.report else {
            let why = format!("source `{}` has no [source.report], and so no token for the API", source.name);
            return Err(OperateError::Impossible(why));
        };
        let url = hook_url(source, asked.url.as_deref())?;
        let secret =
            source.secrets.first().ok_or_else(|| OperateError::Impossible("no secret".to_owned()))?;
        let read = secret.place.read().map_err(|error| OperateError::Failed(error.to_string()))?;
        let kind = secret.kind.unwrap_or_else(|| Secrets::usual_kind(source.forge, &read));
        not_in_the_clear(source, kind, &url)?;
        let hook = NewHook { url: url.clone(), secret: read, kind };
        let carrier = self.carrier()?;
        let (carrier, to) = (carrier.as_ref(), endpoint(reporting));
        let token =
            api_token(self, carrier, source, reporting).map_err(|ended| OperateError::Failed(ended.why()))?;
        let name = repository.name.as_str();
        let carry = |call: Result<forge::Call, CallError>| {
            let call = call.map_err(|error| OperateError::Impossible(error.to_string()))?;
            let mut reply = carrier.carry(&to, &call, DEADLINE).map_err(|error| failed(&error))?;
            reply.hide(&hook.secret);
            Ok::<_, OperateError>(reply)
        };
        let refused = |error: HookError| OperateError::Failed(error.to_string());
        let known = find_hook((source.forge, name), &url, &token, &carry)?;
        let reply = match &known {
            Some(known) => carry(forge::update_hook(source.forge, name, &known.id, &hook, &token))?,
            None => carry(forge::create_hook(source.forge, name, &hook, &token))?,
        };
        let made = forge::read_hook(&reply).map_err(refused)?;
        tracing::info!(source = source.name, repository = name, "an operator has registered the webhook");
        Ok(Registered { created: known.is_none(), id: text::escape_short(made.id.as_bytes(), 80), url })
    }

    /// Sends a signed sample, and the same with another body. It is about a repository that nobody watches, so nothing
    /// is judged for it.
    ///
    /// # Errors
    /// It cannot be sent, or nobody answers.
    pub fn operate_test(&self, body: &[u8]) -> Result<Tried, OperateError> {
        let asked: Try = serde_json::from_slice(body)?;
        let config = Arc::clone(&self.current().config);
        let source = source(&config, &asked.source)?;
        let base = match &asked.url {
            Some(url) => checked(url)?,
            None => own_address(&config)?,
        };
        let to = Endpoint {
            base: base.clone(),
            authority: config
                .daemon
                .tls
                .as_ref()
                .filter(|_| base.starts_with("https:"))
                .map(|tls| tls.certificate.clone()),
        };
        let nobody = ForgeRepository { id: "0".to_owned(), path: "countersign/sample".to_owned() };
        let known = self.webhooks.known.load();
        let secrets = known.secrets.get(&source.name).ok_or_else(|| {
            OperateError::Failed("the secrets of the source cannot be read; see `webhook status`".to_owned())
        })?;
        let (headers, body) = forge::sample(source.forge, secrets, &nobody, &[], Gate::now());
        let token = headers.any("x-gitlab-token");
        if asked.url.is_some() && token && !config::is_private_way(&base) {
            let why = format!(
                "a sample of source `{}` has its secret token in it, and http shows that to everybody on the way: give \
                 an https address",
                source.name
            );
            return Err(OperateError::Impossible(why));
        }
        let carrier = self.carrier()?;
        // In front of the listener may be somebody whose certificate is of an authority that everybody knows.
        let usual = Endpoint { authority: None, ..to.clone() };
        let send = |body: &[u8]| {
            let deliver = |to: &Endpoint| carrier.deliver(to, &source.path, &headers, body, DEADLINE);
            let sent = match deliver(&to) {
                Err(CarryError::Untrusted(_) | CarryError::Authority(_)) if to.authority.is_some() => {
                    deliver(&usual)
                }
                sent => sent,
            };
            sent.map_err(|error| failed(&error))
        };
        let reply = send(&body)?;
        let tampered = send(&[body.as_slice(), b" "].concat())?;
        // A plain token signs nothing of the body.
        let plain = token && !headers.any("webhook-signature");
        let told_apart = plain || tampered.status == 401;
        Ok(Tried {
            url: format!("{base}{}", source.path),
            status: reply.status,
            answer: text::escape_short(reply.body.trim_ascii(), 200),
            tampered_status: tampered.status,
            works: (200..300).contains(&reply.status) && told_apart,
        })
    }

    pub(super) fn carrier(&self) -> Result<Arc<dyn Carrier>, OperateError> {
        self.outbox.carrier().ok_or_else(|| OperateError::Failed("the daemon is not ready yet".to_owned()))
    }
}

fn failed(error: &CarryError) -> OperateError {
    OperateError::Failed(error.to_string())
}

pub(super) fn source<'c>(config: &'c Config, name: &str) -> Result<&'c Source, OperateError> {
    config.sources.iter().find(|source| source.name == name).ok_or_else(|| {
        let name = text::escape_short(name.as_bytes(), 80);
        let there = listed(config.sources.iter().map(|source| source.name.as_str()));
        OperateError::Unknown(format!("the configuration in force has no source `{name}`; {there}"))
    })
}

pub(super) fn repository<'s>(source: &'s Source, name: &str) -> Result<&'s SourceRepository, OperateError> {
    source.repository(name).ok_or_else(|| {
        let name = text::escape_short(name.as_bytes(), 80);
        let there = listed(source.repositories.iter().map(|one| one.name.as_str()));
        OperateError::Unknown(format!("source `{}` has no repository `{name}`; {there}", source.name))
    })
}

/// What there is instead, as much of it as one line holds.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SOME: usize = 10;
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => "it has none".to_owned(),
        names if names.len() <= SOME => format!("there is {}", names.join(", ")),
        names => format!("there is {}, and {} more", names[..SOME].join(", "), names.len() - SOME),
    }
}

/// The repositories that `SOURCE` or `SOURCE/REPOSITORY` names; all without.
///
/// # Errors
/// [`OperateError::Unknown`], which says what there is.
pub fn named<'c>(
    config: &'c Config,
    of: Option<&str>,
) -> Result<Vec<(&'c Source, &'c SourceRepository)>, OperateError> {
    let every = |source: &'c Source| source.repositories.iter().map(move |one| (source, one));
    let Some(of) = of else { return Ok(config.sources.iter().flat_map(every).collect()) };
    let (name, path) = of.split_once('/').map_or((of, None), |(name, path)| (name, Some(path)));
    let source = source(config, name)?;
    match path {
        Some(path) => Ok(vec![(source, repository(source, path)?)]),
        None => Ok(every(source).collect()),
    }
}

/// Where a forge is to deliver to: below the given address, or that of links to decisions.
///
/// # Errors
/// No address is known, or it is none.
pub fn hook_url(source: &Source, given: Option<&str>) -> Result<String, OperateError> {
    let base = match given {
        Some(url) => checked(url)?,
        None => source.report.as_ref().and_then(|report| report.link.clone()).ok_or_else(|| {
            let why = "nobody knows at which address the forge reaches this gate: give it with --url, or set `link` in \
                       [source.report]";
            OperateError::Impossible(why.to_owned())
        })?,
    };
    Ok(format!("{base}{}", source.path))
}

/// A token is in each delivery as it is; what signs deliveries is in none.
fn not_in_the_clear(source: &Source, kind: SecretKind, url: &str) -> Result<(), OperateError> {
    if kind != SecretKind::Token || config::is_private_way(url) {
        return Ok(());
    }
    Err(OperateError::Impossible(format!(
        "deliveries of source `{}` have its secret token in them, and http shows that to everybody on the way: give an \
         https address, or have GitLab sign them with a signing token",
        source.name
    )))
}

/// An address as an operator gives it, without a final slash.
fn checked(url: &str) -> Result<String, OperateError> {
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:/[]".contains(&byte);
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(plain) => Ok(url.to_owned()),
        _ => {
            let url = text::escape_short(url.as_bytes(), 100);
            Err(OperateError::Impossible(format!("`{url}` is no address such as https://gate.example.org")))
        }
    }
}

/// The gate's own listener, as it is reached on this machine.
fn own_address(config: &Config) -> Result<String, OperateError> {
    let impossible = |why: &str| OperateError::Impossible(why.to_owned());
    let Some(listen) = config.daemon.listen else {
        return Err(impossible("`listen` is not set in [daemon]: there is no listener to send it to"));
    };
    if config.daemon.tls.is_some() {
        return Err(impossible(
            "the listener speaks TLS, and its certificate is for a name: give the address with --url https://NAME:PORT",
        ));
    }
    let mut address = listen;
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        address.set_ip(loopback);
    }
    Ok(format!("http://{address}"))
}

/// What has to be entered at the forge where nobody has a token for its API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToEnter {
    /// Where its pages have it.
    pub page: String,
    /// The address to deliver to.
    pub url: String,
    /// The form of bodies.
    pub content_type: String,
    /// Where the secret stands that is to be entered.
    pub secret: String,
    /// In which field.
    pub secret_field: String,
    /// The events to choose.
    pub events: Vec<String>,
}

/// What has to be entered for a source.
///
/// # Errors
/// No address is known.
pub fn to_enter(source: &Source, url: Option<&str>) -> Result<ToEnter, OperateError> {
    let secret = source.secrets.first();
    let kind = secret.and_then(|one| one.kind).or_else(|| {
        // What the form of a secret tells where it can be read.
        let read = secret?.place.read().ok()?;
        Some(Secrets::usual_kind(source.forge, &read))
    });
    let field = match kind {
        Some(SecretKind::Signing) => "Signing token",
        Some(SecretKind::Token) => "Secret token",
        _ => "Secret",
    };
    let url = hook_url(source, url)?;
    if let Some(kind) = kind {
        not_in_the_clear(source, kind, &url)?;
    }
    Ok(ToEnter {
        page: forge::hook_page(source.forge).to_owned(),
        url,
        content_type: "application/json".to_owned(),
        secret: secret.map_or_else(String::new, |one| one.place.to_string()),
        secret_field: field.to_owned(),
        events: forge::hook_events(source.forge).iter().map(|event| (*event).to_owned()).collect(),
    })
}

/// The webhook of a repository that sends to `url`, if the forge has one.
pub(super) fn find_hook(
    (kind, name): (ForgeKind, &str),
    url: &str,
    token: &ApiToken,
    carry: &dyn Fn(Result<forge::Call, CallError>) -> Result<forge::Reply, OperateError>,
) -> Result<Option<Hook>, OperateError> {
    let (mut page, mut seen) = (Page::default(), Vec::new());
    for _ in 0..MAX_PAGES {
        let found = forge::read_hooks(&carry(forge::list_hooks(kind, name, page, token))?)
            .map_err(|error| OperateError::Failed(error.to_string()))?;
        let hook = forge::hook_for(&found.hooks, url);
        // A forge that knows no pages says the same again.
        if hook.is_some() || found.last || (!seen.is_empty() && found.hooks == seen) {
            return Ok(hook.cloned());
        }
        page = Page { number: page.number + 1, before: page.before + found.count };
        seen = found.hooks;
    }
    Err(OperateError::Failed(format!(
        "the repository has more than {} webhooks, too many to see whether this one is among them: remove some at the forge",
        page.before
    )))
}
