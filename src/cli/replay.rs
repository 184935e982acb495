//! `countersign replay`.

use super::check::{git_dir, violation_json};
use super::common::write_table;
use super::explain::principal;
use super::{CliError, Format};
use crate::audit::{Outcome, rfc3339_ms};
use crate::domain::{RefName, RepositoryId, Timestamp, text};
use crate::policy::{Decision, Violation};
use crate::service::{
    BranchWindow, Change, LogWindow, Now, ReplayFault, Replayed, Snapshot, replay_branch, replay_log,
};
use crate::store::{Mode, Store};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(500);
/// Pushes of each kind that are listed, unless somebody says another number.
const FIRST: usize = 20;
/// Pushers that are listed, unless somebody says another number.
const TOP: usize = 10;
/// Violations of one push that are listed in JSON; all of them are counted.
const LISTED: usize = 20;

/// Hold a proposed configuration against what was decided, or against the way of a branch: who would have been
/// refused, and by which rule.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
--config names the proposed configuration. No daemon is asked; nothing is recorded, and nothing counts as judged
afterwards.

With --log, every decided push of the audit log is judged again, as it was: at the time of its receipt, with the pusher
and the values of refs that the record has. What covered refs held at that moment counts as judged. What cannot be
judged again is counted and named: refused pushes, above all, whose objects went with them.

With --commits, each of the last N steps of a ref along first parents is taken for a push of its own.

Exits 0 whatever is found, unless --fail-on says otherwise: then 1. 2: arguments or configuration. 3: the record or the
repository cannot be read.

Examples:
  countersign --config proposed.toml replay --log --since 2026-01-01T00:00:00Z
  countersign --config proposed.toml replay --log --repo infra/app --last 1000 --fail-on new-refusals
  countersign --config proposed.toml replay --repo . --ref refs/heads/main --commits 200 --format json")]
#[command(group = clap::ArgGroup::new("source").required(true).args(["log", "commits"]))]
pub struct ReplayArgs {
    /// Judge the decisions of the audit log again
    #[arg(long)]
    log: bool,
    /// With --log: the state directory [default: `state` of the proposed configuration]
    #[arg(long, value_name = "DIR", requires = "log")]
    state: Option<PathBuf>,
    /// With --log: only from this time on (RFC 3339, UTC)
    #[arg(long, value_name = "TIME", requires = "log")]
    since: Option<String>,
    /// With --log: the last so many decisions
    #[arg(long, value_name = "N", requires = "log", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// With --log: only of this repository, by its name below the root or its id. With --commits: its directory
    #[arg(long, value_name = "REPO", required_unless_present = "log")]
    repo: Option<String>,
    /// With --commits: the full name of the ref
    #[arg(long = "ref", value_name = "REF", requires = "commits", required_unless_present = "log")]
    reference: Option<String>,
    /// Judge the last so many steps of a ref
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    commits: Option<u64>,
    /// With --commits: whom to take for the pusher of all of them
    #[arg(long = "as", value_name = "PRINCIPAL", requires = "commits")]
    pusher: Option<String>,
    /// With --commits: the repository's name, for rulesets [default: its path below the configured root, or its own
    /// name]
    #[arg(long, value_name = "NAME", requires = "commits")]
    repository: Option<String>,
    /// Exit with 1 if there are any of these
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = FAIL_ON)]
    fail_on: Vec<String>,
    /// How many pushes of each kind the text lists; JSON lists all [default: 20]
    #[arg(long, value_name = "N")]
    first: Option<usize>,
}

const FAIL_ON: [&str; 3] = ["new-refusals", "new-acceptances", "unjudged"];

/// Replays and reports; gives the exit code.
pub fn run(
    args: &ReplayArgs,
    config: &Path,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let (snapshot, _) = Snapshot::load(config).map_err(CliError::usage)?;
    let mut tally = Tally::default();
    let terminal = io::stderr().is_terminal();
    let mut shown = Instant::now();
    let mut each = |push: &Replayed| {
        tally.add(push);
        if terminal && shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            // Whoever does not see it misses nothing.
            let _ = write!(err, "\r{} pushes ", tally.pushes);
            let _ = err.flush();
        }
        Ok(())
    };
    let replayed =
        if args.log { from_log(args, &snapshot, &mut each) } else { from_branch(args, &snapshot, &mut each) };
    if terminal {
        let _ = write!(err, "\r\x1b[K");
    }
    replayed?;
    match format {
        Format::Json => writeln!(out, "{:#}", tally.document(args.log, &snapshot))?,
        Format::Text => tally.print(out, args.log, args.first.unwrap_or(FIRST))?,
    }
    let _ = writeln!(err, "replayed only: no daemon was asked and nothing was recorded");
    let fails = args.fail_on.iter().any(|what| match what.as_str() {
        "new-refusals" => tally.count(Change::NewlyRefused) > 0,
        "new-acceptances" => tally.count(Change::NewlyAccepted) > 0,
        _ => tally.count(Change::Unjudged) > 0,
    });
    Ok(u8::from(fails))
}

fn usage(text: String) -> CliError {
    CliError::usage(format!("error: {text}"))
}

fn failed(fault: ReplayFault) -> CliError {
    let shown = text::escape(fault.to_string().as_bytes());
    match fault {
        ReplayFault::Named(_) => usage(shown),
        ReplayFault::Output(error) => CliError::output(error),
        _ => CliError { message: format!("error: nothing could be replayed: {shown}"), code: 3 },
    }
}

fn from_log(
    args: &ReplayArgs,
    snapshot: &Snapshot,
    each: &mut crate::service::Each<'_>,
) -> Result<(), CliError> {
    let wrong = |option: &str, value: &str, why: String| {
        usage(format!("{option} `{}`: {why}", text::escape_short(value.as_bytes(), 200)))
    };
    let since = args.since.as_ref().map(|time| {
        time.parse::<Timestamp>().map_err(|e| wrong("--since", time, text::escape(e.to_string().as_bytes())))
    });
    let since = since.transpose()?;
    let state = args.state.as_ref().unwrap_or(&snapshot.config.daemon.state);
    if !Store::exists(state) {
        let shown = text::escape(state.as_os_str().as_encoded_bytes());
        return Err(CliError { message: format!("error: there is no record in {shown}"), code: 3 });
    }
    let store = Store::open(state, Mode::ReadOnly).map_err(|e| failed(e.into()))?;
    let repositories = match &args.repo {
        None => None,
        Some(wanted) => {
            let known = store.repositories().map_err(|e| failed(e.into()))?;
            let known = known.into_iter().filter(|one| one.name == *wanted || one.id.0 == *wanted);
            let found: BTreeSet<RepositoryId> = known.map(|one| one.id).collect();
            if found.is_empty() {
                return Err(wrong("--repo", wanted, "the record knows no such repository".to_owned()));
            }
            Some(found)
        }
    };
    let last = args.last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
    replay_log(snapshot, &store, &LogWindow { since, repositories, last }, each).map_err(failed)
}

fn from_branch(
    args: &ReplayArgs,
    snapshot: &Snapshot,
    each: &mut crate::service::Each<'_>,
) -> Result<(), CliError> {
    let (repo, reference) = (args.repo.as_deref().unwrap_or("."), args.reference.as_deref().unwrap_or(""));
    let git_dir = git_dir(Path::new(repo)).map_err(usage)?;
    let window = BranchWindow {
        git_dir: &git_dir,
        repository: args.repository.as_deref(),
        reference: RefName::parse(reference.as_bytes()).map_err(|e| usage(e.to_string()))?,
        commits: usize::try_from(args.commits.unwrap_or(1)).unwrap_or(usize::MAX),
        pusher: args.pusher.as_deref().map(|name| principal(&snapshot.keyring, name)).transpose()?,
    };
    replay_branch(snapshot, &window, each).map_err(failed)
}

/// What a rule would have done.
#[derive(Default)]
struct RuleTally {
    rulesets: BTreeSet<String>,
    pushes: u64,
    newly: u64,
    violations: u64,
    evaluated: u64,
}

/// How somebody's pushes fare.
#[derive(Default)]
struct PusherTally {
    pushes: u64,
    newly_refused: u64,
    newly_accepted: u64,
}

/// What is added up while pushes come in.
#[derive(Default)]
struct Tally {
    pushes: u64,
    changes: BTreeMap<Change, u64>,
    waived: u64,
    reasons: BTreeMap<&'static str, u64>,
    rules: BTreeMap<&'static str, RuleTally>,
    pushers: BTreeMap<Option<String>, PusherTally>,
    changed: Vec<Value>,
    unjudged: Vec<Value>,
}

/// The word for a change, in output.
fn word(change: Change) -> &'static str {
    match change {
        Change::NewlyRefused => "newly-refused",
        Change::NewlyAccepted => "newly-accepted",
        Change::StillAccepted => "still-accepted",
        Change::StillRefused => "still-refused",
        Change::Unjudged => "unjudged",
    }
}

impl Tally {
    fn count(&self, change: Change) -> u64 {
        self.changes.get(&change).copied().unwrap_or(0)
    }

    fn add(&mut self, push: &Replayed) {
        let change = push.change();
        self.pushes += 1;
        *self.changes.entry(change).or_default() += 1;
        let pusher = self.pushers.entry(push.pusher.clone()).or_default();
        pusher.pushes += 1;
        pusher.newly_refused += u64::from(change == Change::NewlyRefused);
        pusher.newly_accepted += u64::from(change == Change::NewlyAccepted);
        match &push.now {
            Now::Unjudged(why) => {
                *self.reasons.entry(why.code).or_default() += 1;
                let mut value = line(push);
                value["reason"] = json!(why.code);
                value["why"] = json!(why.why);
                self.unjudged.push(value);
            }
            Now::Judged { decision, violations, violation_count, advisory, waived } => {
                self.waived += u64::from(*waived > 0 && *decision == Decision::Accept);
                for (list, enforced) in [(violations, true), (advisory, false)] {
                    self.count_rules(list, enforced, change == Change::NewlyRefused);
                }
                if [Change::NewlyRefused, Change::NewlyAccepted].contains(&change) {
                    let mut value = line(push);
                    let rules: BTreeSet<&str> = violations.iter().map(|one| one.rule).collect();
                    value["change"] = json!(word(change));
                    value["now"] = json!(decision.name());
                    value["rules"] = json!(rules);
                    value["violation_count"] = json!(violation_count);
                    value["violations"] = violations.iter().take(LISTED).map(violation_json).collect();
                    self.changed.push(value);
                }
            }
        }
    }

    fn count_rules(&mut self, list: &[Violation], enforced: bool, newly: bool) {
        let mut seen = BTreeSet::new();
        for violation in list {
            let rule = self.rules.entry(violation.rule).or_default();
            rule.rulesets.extend(violation.rulesets.iter().cloned());
            rule.violations += u64::from(enforced);
            if seen.insert(violation.rule) {
                rule.pushes += u64::from(enforced);
                rule.newly += u64::from(enforced && newly);
                rule.evaluated += u64::from(!enforced);
            }
        }
    }

    /// The rules, those that refuse most first.
    fn rules(&self) -> Vec<(&'static str, &RuleTally)> {
        let mut rules: Vec<_> = self.rules.iter().map(|(name, rule)| (*name, rule)).collect();
        rules.sort_by_key(|(_, rule)| std::cmp::Reverse((rule.newly, rule.pushes, rule.evaluated)));
        rules
    }

    /// The pushers, those who would be refused most first.
    fn pushers(&self) -> Vec<(Option<&str>, &PusherTally)> {
        let mut pushers: Vec<_> = self.pushers.iter().map(|(name, one)| (name.as_deref(), one)).collect();
        pushers
            .sort_by_key(|(_, one)| std::cmp::Reverse((one.newly_refused, one.newly_accepted, one.pushes)));
        pushers
    }

    /// The report; its keys are a contract.
    fn document(&self, log: bool, snapshot: &Snapshot) -> Value {
        let rules: Vec<Value> = self
            .rules()
            .iter()
            .map(|(name, rule)| {
                json!({
                    "rule": name, "rulesets": rule.rulesets, "pushes": rule.pushes, "newly_refused": rule.newly,
                    "violations": rule.violations, "evaluated_pushes": rule.evaluated,
                })
            })
            .collect();
        let pushers: Vec<Value> = self
            .pushers()
            .iter()
            .map(|(name, one)| {
                json!({
                    "pusher": name, "pushes": one.pushes, "newly_refused": one.newly_refused,
                    "newly_accepted": one.newly_accepted,
                })
            })
            .collect();
        json!({
            "schema": 1,
            "source": if log { "log" } else { "branch" },
            "configuration": snapshot.config.digest,
            "keyring": snapshot.keyring.digest(),
            "pushes": self.pushes,
            "newly_refused": self.count(Change::NewlyRefused),
            "newly_accepted": self.count(Change::NewlyAccepted),
            "still_accepted": self.count(Change::StillAccepted),
            "still_refused": self.count(Change::StillRefused),
            "unjudged": self.count(Change::Unjudged),
            "accepted_by_bypass": self.waived,
            "unjudged_by_reason": self.reasons,
            "rules": rules,
            "pushers": pushers,
            "changes": self.changed,
            "unjudged_pushes": self.unjudged,
        })
    }

    fn print(&self, out: &mut dyn Write, log: bool, first: usize) -> io::Result<()> {
        let what = if log { "decisions on record" } else { "steps of the branch, each as one push" };
        writeln!(out, "{} {what}", self.pushes)?;
        let mut rows = Vec::new();
        let mut row = |label: &str, count: u64| rows.push(vec![format!("  {label}"), count.to_string()]);
        row("newly refused", self.count(Change::NewlyRefused));
        row("newly accepted", self.count(Change::NewlyAccepted));
        row("still accepted", self.count(Change::StillAccepted));
        row("still refused", self.count(Change::StillRefused));
        row("cannot be judged again", self.count(Change::Unjudged));
        for (code, count) in &self.reasons {
            row(&format!("  {code}"), *count);
        }
        if self.waived > 0 {
            row("accepted by a bypass", self.waived);
        }
        write_table(out, &rows)?;
        if !self.rules.is_empty() {
            writeln!(out)?;
            let head = ["RULE", "PUSHES", "NEWLY REFUSED", "VIOLATIONS", "EVALUATED ONLY", "RULESETS"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            rows.extend(self.rules().iter().map(|(name, rule)| {
                let sets: Vec<&str> = rule.rulesets.iter().map(String::as_str).collect();
                let counts =
                    [rule.pushes, rule.newly, rule.violations, rule.evaluated].map(|n| n.to_string());
                let mut row = vec![(*name).to_owned()];
                row.extend(counts);
                row.push(sets.join(", "));
                row
            }));
            write_table(out, &rows)?;
        }
        let pushers = self.pushers();
        let concerned = pushers.iter().filter(|(_, one)| one.newly_refused + one.newly_accepted > 0);
        let mut rows = Vec::new();
        rows.extend(concerned.take(TOP).map(|(name, one)| {
            let name = name.unwrap_or("unknown").to_owned();
            let counts = [one.newly_refused, one.newly_accepted, one.pushes].map(|count| count.to_string());
            [vec![name], counts.to_vec()].concat()
        }));
        if !rows.is_empty() {
            // A commit's committer is whom the commit names.
            let who = if log { "PUSHER" } else { "COMMITTER (CLAIMED) OR --as" };
            let head = [who, "NEWLY REFUSED", "NEWLY ACCEPTED", "PUSHES"];
            rows.insert(0, head.map(str::to_owned).to_vec());
            writeln!(out)?;
            write_table(out, &rows)?;
        }
        for (title, list) in [("changed", &self.changed), ("cannot be judged again", &self.unjudged)] {
            if list.is_empty() {
                continue;
            }
            writeln!(out, "\n{title}")?;
            list.iter().take(first).try_for_each(|value| print_push(out, value))?;
            if list.len() > first {
                writeln!(
                    out,
                    "  ... and {} more; --first lists more, --format json all",
                    list.len() - first
                )?;
            }
        }
        Ok(())
    }
}

/// What is listed of every push.
fn line(push: &Replayed) -> Value {
    let refs: Vec<Value> =
        push.refs.iter().map(|(name, old, new)| json!({ "ref": name, "old": old, "new": new })).collect();
    let was = match push.was {
        Outcome::Accept => "accept",
        Outcome::Refuse => "refuse",
        Outcome::Undecided => "undecided",
    };
    json!({
        "seq": push.seq, "request_id": push.request_id, "at": rfc3339_ms(push.at),
        "receipt": push.receipt.name(), "repository": push.repository, "pusher": push.pusher,
        "refs": refs, "was": was,
    })
}

fn print_push(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    let text = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
    let change = value["change"].as_str().or(value["reason"].as_str()).unwrap_or_default();
    let pusher = value["pusher"].as_str().unwrap_or("unknown");
    writeln!(out, "  {change}  {}  {} by {pusher}", text("at"), text("repository"))?;
    if let (Some(seq), Some(request)) = (value["seq"].as_u64(), value["request_id"].as_str()) {
        writeln!(out, "    record {seq}, request {request}")?;
    }
    let short = |id: &Value| id.as_str().and_then(|id| id.get(..10)).unwrap_or("-").to_owned();
    for one in value["refs"].as_array().into_iter().flatten() {
        let name = one["ref"].as_str().unwrap_or_default();
        writeln!(out, "    {name} {}..{}", short(&one["old"]), short(&one["new"]))?;
    }
    if let Some(why) = value["why"].as_str() {
        writeln!(out, "    {why}")?;
    }
    let violations = value["violations"].as_array().map_or(&[][..], Vec::as_slice);
    for violation in violations.iter().take(3) {
        let seen = violation["seen"].as_str().unwrap_or_default();
        writeln!(out, "    {}: {seen}", violation["rule"].as_str().unwrap_or_default())?;
    }
    let more = value["violation_count"].as_u64().unwrap_or(0).saturating_sub(3);
    if more > 0 {
        writeln!(out, "    ... and {more} more violations")?;
    }
    Ok(())
}
