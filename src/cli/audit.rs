//! `countersign audit`.

use super::{CliError, Format};
use crate::audit::chain::{Hash, Head};
use crate::audit::{
    Decision, Event, KeyringAuthor, KeyringChangeEntry, KeyringFileEntry, KeyringFoundEntry,
    KeyringSourceEntry, Outcome, PusherEntry, RefEntry, ServiceEntry,
};
use crate::config;
use crate::domain::{RefName, RepositoryId, RequestId, Timestamp, text};
use crate::store::{Filter, LogEntry, Mode, Store, StoreError};
use clap::Subcommand;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// What to do with the log.
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Print records, oldest first
    Log(LogArgs),
    /// Check the hash chain from the first record to the last one known
    Verify(VerifyArgs),
}

/// Which records.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "With --format json each record is one line, exactly as the hash chain covers it.\n\n\
                        Example: countersign audit log --repository infra/app --outcome refuse --limit 20"
)]
pub struct LogArgs {
    /// Only of this repository, by its name below the root or by its id
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// Only about this ref, by its full name
    #[arg(long = "ref", value_name = "REF")]
    reference: Option<String>,
    /// Only with this outcome
    #[arg(long, value_parser = ["accept", "refuse", "undecided"])]
    outcome: Option<String>,
    /// Only of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only from this time on (RFC 3339, UTC)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only up to this time (RFC 3339, UTC)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The last so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// What to check against.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The last line of the output names the head of the log. Kept on another machine, it shows later\n\
                        whether somebody wrote the log anew.\n\n\
                        Example: countersign audit verify --known 4711:9f86d081884c7d65..."
)]
pub struct VerifyArgs {
    /// A record that is known to have existed [default: the high-water mark beside the log]
    #[arg(long, value_name = "SEQ:HASH")]
    known: Option<String>,
}

/// Prints or verifies the log.
pub fn run(
    command: &AuditCommand,
    config_path: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let config = config::load(config_path).map_err(|e| CliError::usage(e.to_string()))?.config;
    let open = || Store::open(&config.daemon.state, Mode::ReadOnly).map_err(|e| failed(&e));
    match command {
        AuditCommand::Log(args) => {
            let filter = filter(args)?;
            log(args, filter, &open()?, format, out)
        }
        AuditCommand::Verify(args) => {
            let known = args.known.as_deref().map(known).transpose()?;
            verify(known, &open()?, format, out)
        }
    }
}

fn failed(error: &dyn Display) -> CliError {
    CliError { message: format!("error: {error}"), code: 3 }
}

fn wrong(option: &str, value: &str, why: &dyn Display) -> CliError {
    CliError::usage(format!("error: {option} `{}`: {why}", text::escape(value.as_bytes())))
}

/// Everything but the repository, whose name the store has to resolve.
fn filter(args: &LogArgs) -> Result<Filter, CliError> {
    let time = |option: &str, value: &Option<String>| {
        let parse = |text: &String| text.parse::<Timestamp>().map_err(|e| wrong(option, text, &e));
        value.as_ref().map(parse).transpose()
    };
    let reference = |text: &String| RefName::parse(text.as_bytes()).map_err(|e| wrong("--ref", text, &e));
    let request = |text: &String| {
        RequestId::parse(text).ok_or_else(|| wrong("--request", text, &"not 32 hexadecimal digits"))
    };
    Ok(Filter {
        since: time("--since", &args.since)?,
        until: time("--until", &args.until)?,
        repository: None,
        reference: args.reference.as_ref().map(reference).transpose()?,
        outcome: args.outcome.as_deref().and_then(outcome),
        request_id: args.request.as_ref().map(request).transpose()?,
        beyond: None,
        limit: args.limit,
        // The last ones are found from the end.
        reverse: args.limit.is_some(),
    })
}

fn outcome(word: &str) -> Option<Outcome> {
    [Outcome::Accept, Outcome::Refuse, Outcome::Undecided].into_iter().find(|one| one.name() == word)
}

fn log(
    args: &LogArgs,
    filter: Filter,
    store: &Store,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let mut write = |entry: &LogEntry| {
        match format {
            Format::Json => writeln!(out, "{}", entry.json),
            Format::Text => print(out, entry),
        }
        .map_err(CliError::output)
    };
    let repositories = match &args.repository {
        None => vec![None],
        Some(name) => named(store, name)?.into_iter().map(Some).collect(),
    };
    if filter.limit.is_none() && repositories.len() == 1 {
        let filter = Filter { repository: repositories.into_iter().next().flatten(), ..filter };
        for entry in store.log(filter).map_err(|e| failed(&e))? {
            write(&entry.map_err(|e| failed(&e))?)?;
        }
        return Ok(0);
    }
    // One name may have stood for several repositories, one after the other.
    let mut entries = Vec::new();
    for repository in repositories {
        let found = store.log(Filter { repository, ..filter.clone() }).map_err(|e| failed(&e))?;
        entries.extend(found.collect::<Result<Vec<_>, StoreError>>().map_err(|e| failed(&e))?);
    }
    entries.sort_unstable_by_key(|entry| entry.seq);
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let first = entries.len().saturating_sub(limit);
    entries[first..].iter().try_for_each(write)?;
    Ok(0)
}

/// The identities of the repositories that a name stands for.
fn named(store: &Store, name: &str) -> Result<Vec<RepositoryId>, CliError> {
    let known = store.repositories().map_err(|e| failed(&e))?;
    let found: Vec<_> =
        known.into_iter().filter(|one| one.name == name || one.id.0 == name).map(|one| one.id).collect();
    if found.is_empty() {
        return Err(wrong("--repository", name, &"the record knows no such repository"));
    }
    Ok(found)
}

fn known(text: &str) -> Result<Head, CliError> {
    let head = text.split_once(':').and_then(|(seq, hash)| {
        let (seq, hash) = (seq.parse().ok()?, Hash::parse(hash)?);
        (seq > 0).then_some(Head { seq, hash })
    });
    head.ok_or_else(|| wrong("--known", text, &"not the number of a record, a colon and its 64 digits"))
}

fn verify(known: Option<Head>, store: &Store, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let report = store.verify_log(known).map_err(|e| failed(&e))?;
    let mut why = report.broken.map(|broken| broken.to_string());
    if why.is_none() && known.is_none() {
        // The chain may hold in itself and still not be the one that was written here last.
        why = store.rolled_back();
    }
    let (intact, head) = (report.records, format!("{}:{}", report.head.seq, report.head.hash));
    let at = report.broken.map(|broken| broken.seq());
    match (&why, format) {
        (_, Format::Json) => {
            let value = serde_json::json!({ "intact": intact, "head": head, "broken_at": at, "why": why });
            writeln!(out, "{value}")
        }
        (None, Format::Text) => writeln!(out, "{intact} records hold, head {head}"),
        (Some(why), Format::Text) => writeln!(out, "{intact} records hold, head {head}\nbroken: {why}"),
    }
    .map_err(CliError::output)?;
    Ok(u8::from(why.is_some()))
}

fn print(out: &mut dyn Write, entry: &LogEntry) -> std::io::Result<()> {
    let Ok(record) = entry.record() else {
        let shown = text::escape_short(entry.json.as_bytes(), 200);
        return writeln!(out, "{:>6}  not understood: {shown}", entry.seq);
    };
    write!(out, "{:>6}  {}  ", entry.seq, record.at)?;
    let digest = |digest: &Option<String>| digest.as_deref().map_or("-", |one| short(one, 12)).to_owned();
    match &record.event {
        Event::Decision(decision) => print_decision(out, decision),
        Event::Applied(applied) => {
            writeln!(out, "applied   {}, request {}", applied.repository.name, applied.request_id)?;
            applied.refs.iter().try_for_each(|one| {
                let new = one.new.as_deref().map_or("deleted", |id| short(id, 10));
                writeln!(out, "        {} {new}", one.name)
            })
        }
        Event::Adopt(adopt) => writeln!(
            out,
            "adopt     {} for ruleset `{}` by {}: {} tips, {} commits, {}",
            adopt.repository.name,
            adopt.ruleset,
            adopt.who,
            adopt.tips_total,
            adopt.commits,
            match adopt.evidence.len() {
                0 => "no evidence".to_owned(),
                count => format!("evidence about {count} tips"),
            }
        ),
        Event::TaintAccepted(taint) => writeln!(
            out,
            "taint-accepted {} by {}: {} commits let stand: {}",
            taint.repository.name, taint.who, taint.commits_total, taint.reason
        ),
        Event::Start(service) => {
            let (version, configuration) = (&service.version, digest(&service.configuration));
            let tenants = faulty_tenants(service);
            writeln!(out, "start     version {version}, configuration {configuration}{tenants}")
        }
        Event::Stop(service) => writeln!(out, "stop      version {}", service.version),
        Event::Reload(service) => match &service.error {
            None => {
                let (configuration, tenants) = (digest(&service.configuration), faulty_tenants(service));
                writeln!(out, "reload    configuration {configuration}{tenants}")
            }
            Some(error) => writeln!(out, "reload    rejected: {error}"),
        },
        Event::Recovered(entry) => writeln!(out, "recovered by {}: {}", entry.who, entry.finding),
        Event::KeyringChanged(change) => print_keyring_change(out, change),
        Event::KeyringFound(found) => print_keyring_found(out, found),
        Event::KeyringSource(taken) => print_keyring_source(out, taken),
        Event::Restore(entry) => {
            let short = |id: &Option<String>| {
                id.as_deref().map_or("nothing", |id| id.get(..12).unwrap_or(id)).to_owned()
            };
            let (name, step) = (&entry.repository.name, entry.step.name());
            write!(
                out,
                "restore {step}: {name} {} {} -> {}",
                entry.reference,
                short(&entry.bad),
                short(&entry.good)
            )?;
            if let Some(recovery) = &entry.recovery {
                write!(out, ", kept as {recovery}")?;
            }
            writeln!(out, "{}", entry.why.as_ref().map_or(String::new(), |why| format!(": {why}")))
        }
    }
}

fn print_keyring_change(out: &mut dyn Write, change: &KeyringChangeEntry) -> std::io::Result<()> {
    let signer = change.by.signer.as_ref().map_or_else(String::new, |signer| format!(", signed by {signer}"));
    let reason = change.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    writeln!(
        out,
        "keyring   {}{} {} by {}{signer}{reason}",
        change.action,
        if change.local { " (local)" } else { "" },
        change.principals.join(", "),
        author(&change.by)
    )?;
    for key in &change.keys {
        writeln!(out, "        key {key}")?;
    }
    print_files(out, &change.files)?;
    if change.left_out > 0 {
        writeln!(out, "        ... {} more entries were left out", change.left_out)?;
    }
    Ok(())
}

fn print_keyring_source(out: &mut dyn Write, taken: &KeyringSourceEntry) -> std::io::Result<()> {
    let reason = taken.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let rulesets = match taken.rulesets {
        0 => String::new(),
        count => format!(", {count} files of rulesets"),
    };
    writeln!(
        out,
        "keyring   {} {} of {} {}{rulesets}, by {}{reason}",
        taken.how.name(),
        short(&taken.commit, 12),
        taken.repository.name,
        taken.reference,
        author(&taken.by)
    )
}

fn print_keyring_found(out: &mut dyn Write, found: &KeyringFoundEntry) -> std::io::Result<()> {
    let (before, after) = (short(&found.keyring_before, 12), short(&found.keyring_after, 12));
    writeln!(out, "keyring   found changed, and no command told of it: {before}..{after}")?;
    print_files(out, &found.files)?;
    match found.files_total.saturating_sub(found.files.len() as u64) {
        0 => Ok(()),
        more => writeln!(out, "        ... {more} more files differ"),
    }
}

fn print_files(out: &mut dyn Write, files: &[KeyringFileEntry]) -> std::io::Result<()> {
    let digest = |digest: &Option<String>| digest.as_deref().map_or("-", |one| short(one, 12)).to_owned();
    files.iter().try_for_each(|file| {
        writeln!(out, "        {} {}..{}", file.name, digest(&file.before), digest(&file.after))
    })
}

/// Whom the kernel names; what somebody says of himself stands in brackets.
fn author(by: &KeyringAuthor) -> String {
    let account = by.account.as_ref().map_or_else(|| format!("uid {}", by.uid), Clone::clone);
    let session = by.session.as_ref().filter(|session| Some(*session) != by.account.as_ref());
    let session = session.map_or_else(String::new, |session| format!(", logged in as {session}"));
    let login = by.login.as_ref().map_or_else(String::new, |login| format!(" ({login})"));
    format!("{account}{session}{login}")
}

fn faulty_tenants(service: &ServiceEntry) -> String {
    if service.faulty_tenants.is_empty() {
        return String::new();
    }
    format!(", undecided for want of usable files: tenants {}", service.faulty_tenants.join(", "))
}

fn short(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}

fn print_decision(out: &mut dyn Write, decision: &Decision) -> std::io::Result<()> {
    let pusher = pusher(&decision.pusher);
    writeln!(
        out,
        "{:<9} {} by {pusher}, {:.1} ms, request {}",
        decision.outcome.name(),
        decision.repository.name,
        decision.duration_us as f64 / 1000.0,
        decision.request_id
    )?;
    if let PusherEntry::Known { details, .. } = &decision.pusher
        && !details.is_empty()
    {
        let details: Vec<String> = details.iter().map(|(name, value)| format!("{name}={value}")).collect();
        writeln!(out, "        pusher {}", details.join(" "))?;
    }
    decision.refs.iter().try_for_each(|entry| print_ref(out, entry))?;
    for (kind, objects) in [("commit", &decision.commits), ("tag", &decision.tags)] {
        for object in objects {
            let who = object.signer.as_deref().unwrap_or("nobody known");
            writeln!(out, "        {kind} {} {} ({who})", short(&object.id, 10), object.status)?;
        }
    }
    for (note, violations) in [("", &decision.violations), (" (evaluated only)", &decision.advisory)] {
        for violation in violations {
            let reference = violation.reference.as_deref().unwrap_or("the push");
            let subject = [("commit", &violation.commit), ("tag", &violation.tag)];
            let subject = subject.iter().find_map(|(kind, id)| Some((kind, id.as_ref()?)));
            let subject = subject.map_or_else(String::new, |(kind, id)| format!(" {kind} {}", short(id, 10)));
            writeln!(out, "        {}{note}: {reference}{subject}: {}", violation.rule, violation.seen)?;
        }
    }
    let left_out = decision.truncated.total();
    if left_out > 0 {
        writeln!(out, "        ... {left_out} more entries were left out")?;
    }
    match &decision.fault {
        Some(fault) => writeln!(out, "        cause[{}]: {}", fault.code, fault.message),
        None => Ok(()),
    }
}

/// The account, who of the keyring that is, and why anybody should believe it.
fn pusher(entry: &PusherEntry) -> String {
    let PusherEntry::Known { name, source, principal, proof, .. } = entry else {
        return "unknown pusher".to_owned();
    };
    let whom = match (principal, proof) {
        (Some(principal), _) => format!("principal {principal}, "),
        (None, Some(_)) => "nobody of the keyring, ".to_owned(),
        // Written before the keyring knew accounts.
        (None, None) => String::new(),
    };
    let proof = match proof.as_deref() {
        Some("key") => "by key",
        _ => "the server's word",
    };
    format!("{name} ({whom}{proof}, {source})")
}

fn print_ref(out: &mut dyn Write, entry: &RefEntry) -> std::io::Result<()> {
    let id = |id: &Option<String>| id.as_deref().map_or("-", |id| short(id, 10)).to_owned();
    let names: Vec<&str> = entry.rulesets.iter().map(|ruleset| ruleset.name.as_str()).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    writeln!(
        out,
        "        {} {} {}..{} [{}{names}]",
        entry.kind.as_deref().unwrap_or("move"),
        entry.name,
        id(&entry.old),
        id(&entry.new),
        entry.coverage.name()
    )?;
    let Some(from) = &entry.judged_from else { return Ok(()) };
    let (sound, old) = (id(&from.id), id(&entry.old));
    writeln!(
        out,
        "        judged from {sound}: the move to {old} was refused as decision {}",
        from.refused_by
    )
}
