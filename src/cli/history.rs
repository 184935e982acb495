//! `countersign check --history`.

use super::common::write_table;
use super::{CliError, Format};
use crate::hook::wire::Outcome;
use crate::service::{HistoryFault, HistoryRequest, Judged, Scope, Snapshot, history};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Signers and keys that are told apart; a hostile history can name any number of keys.
const MAX_SIGNERS: usize = 1_000;
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(500);

/// Counts of commits that count, and of others.
type Pair = (u64, u64);

/// What is added up while verdicts come in.
#[derive(Default)]
struct Tally {
    total: u64,
    good: u64,
    statuses: BTreeMap<&'static str, u64>,
    anchors: BTreeMap<&'static str, u64>,
    signers: BTreeMap<String, Pair>,
    years: BTreeMap<String, Pair>,
    findings: BTreeMap<&'static str, u64>,
    first: Vec<Judged>,
}

impl Tally {
    fn add(&mut self, judged: &Judged, keep: usize) {
        let good = judged.counts();
        self.total += 1;
        self.good += u64::from(good);
        *self.statuses.entry(judged.status).or_default() += 1;
        *self.anchors.entry(judged.anchor.name()).or_default() += 1;
        for code in &judged.findings {
            *self.findings.entry(code).or_default() += 1;
        }
        let signer = match (&judged.signer, &judged.key) {
            (Some(signer), _) => signer.clone(),
            (None, Some(key)) => format!("key {key}"),
            (None, None) => "nobody".to_owned(),
        };
        let signer = if self.signers.len() < MAX_SIGNERS || self.signers.contains_key(&signer) {
            signer
        } else {
            "other keys".to_owned()
        };
        count(&mut self.signers, signer, good);
        count(&mut self.years, judged.time.map_or_else(|| "unknown".to_owned(), year), good);
        if !good && self.first.len() < keep {
            self.first.push(judged.clone());
        }
    }
}

fn count(into: &mut BTreeMap<String, Pair>, key: String, good: bool) {
    let (yes, no) = into.entry(key).or_default();
    *if good { yes } else { no } += 1;
}

/// The year of a time that an object claims, four digits, whatever the object claims.
fn year(seconds: i64) -> String {
    // Days since 0000-03-01 in the proleptic Gregorian calendar, whose 400 years have 146,097 days.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    // From March on; January and February are the end of it.
    let year = era * 400 + of_era + i64::from(of_year >= 306);
    format!("{year:04}")
}

/// Judges and reports; exit code 0 if every commit counts, 1 if one does not (N24).
pub(super) fn run(
    snapshot: &Snapshot,
    request: &HistoryRequest<'_>,
    first: usize,
    format: Format,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, CliError> {
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut lines = Sha256::new();
    let terminal = std::io::stderr().is_terminal();
    let mut shown = started;
    let scope = history(snapshot, request, &mut |judged| {
        tally.add(judged, first);
        if format == Format::Json {
            let line = format!("{}\n", line(judged));
            lines.update(line.as_bytes());
            out.write_all(line.as_bytes())?;
        }
        if terminal && shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            // Whoever does not see it misses nothing.
            let _ = write!(err, "\r{} commits ", tally.total);
            let _ = err.flush();
        }
        Ok(())
    });
    if terminal {
        let _ = write!(err, "\r\x1b[K");
    }
    let scope = match scope {
        Ok(scope) => scope,
        Err(HistoryFault::Reference(text)) => return Err(CliError::usage(format!("error: {text}"))),
        Err(HistoryFault::Output(error)) => return Err(CliError::output(error)),
        Err(fault) => return undecided(&fault, format, out),
    };
    if let Some(why) = &scope.unrecorded {
        let _ = writeln!(err, "note: no record of receipts is used, so nothing is anchored: {why}");
    }
    match format {
        Format::Json => {
            let digest = data_encoding::HEXLOWER.encode(&lines.finalize());
            writeln!(out, "{}", summary(snapshot, &scope, &tally, &digest))
        }
        Format::Text => print(out, &scope, &tally, started.elapsed()),
    }
    .map_err(CliError::output)?;
    Ok(if tally.good == tally.total { Outcome::Accept } else { Outcome::Refuse }.exit_code())
}

fn undecided(fault: &HistoryFault, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let code = Outcome::Undecided.exit_code();
    let message =
        format!("countersign could not judge this history. This is no verdict on it.\n  cause: {fault}");
    if format == Format::Json {
        // In place of the summary, so that nobody takes the lines before it for all.
        let line = json!({ "outcome": "undecided", "fault": fault.to_string() });
        writeln!(out, "{line}").map_err(CliError::output)?;
        return Ok(code);
    }
    Err(CliError { message, code })
}

/// The verdict on one commit; its keys are a contract.
fn line(judged: &Judged) -> serde_json::Value {
    let mut value = json!({
        "commit": judged.commit.to_string(), "status": judged.status, "anchor": judged.anchor.name(),
        "signer": judged.signer, "key": judged.key, "time": judged.time, "findings": judged.findings,
    });
    if let Some(why) = &judged.why {
        value["why"] = json!(why);
    }
    value
}

/// The last line; its keys are a contract.
fn summary(snapshot: &Snapshot, scope: &Scope, tally: &Tally, digest: &str) -> serde_json::Value {
    let pairs = |pairs: &BTreeMap<String, Pair>| {
        let one = |(key, (good, bad)): (&String, &Pair)| (key.clone(), json!({ "good": good, "bad": bad }));
        pairs.iter().map(one).collect::<serde_json::Map<_, _>>()
    };
    json!({ "summary": {
        "repository": scope.repository, "ref": scope.reference.to_string(), "tip": scope.tip.to_string(),
        "commit": scope.commit.to_string(), "total": tally.total, "good": tally.good,
        "statuses": tally.statuses, "anchors": tally.anchors, "signers": pairs(&tally.signers),
        "years": pairs(&tally.years), "findings": tally.findings, "unrecorded": scope.unrecorded,
        "keyring": snapshot.keyring.digest(), "configuration": snapshot.config.digest,
        "version": env!("CARGO_PKG_VERSION"), "sha256": digest,
    } })
}

fn print(out: &mut dyn Write, scope: &Scope, tally: &Tally, took: Duration) -> std::io::Result<()> {
    writeln!(out, "{} {} at {}", scope.repository, scope.reference, scope.tip)?;
    if scope.tip != scope.commit {
        writeln!(
            out,
            "the ref holds an annotated tag of {}; the tag itself is not judged here",
            scope.commit
        )?;
    }
    let counts = |title: &str, counts: &BTreeMap<&'static str, u64>| {
        let mut rows = vec![vec![title.to_owned(), "commits".to_owned()]];
        rows.extend(counts.iter().map(|(key, count)| vec![(*key).to_owned(), count.to_string()]));
        rows
    };
    let pairs = |title: &str, pairs: &BTreeMap<String, Pair>| {
        let mut rows = vec![vec![title.to_owned(), "good".to_owned(), "not".to_owned()]];
        rows.extend(
            pairs.iter().map(|(key, (good, bad))| vec![key.clone(), good.to_string(), bad.to_string()]),
        );
        rows
    };
    let mut tables = vec![
        counts("status", &tally.statuses),
        counts("anchor", &tally.anchors),
        pairs("signer", &tally.signers),
        pairs("year", &tally.years),
    ];
    if !tally.findings.is_empty() {
        tables.push(counts("finding", &tally.findings));
    }
    for rows in &tables {
        writeln!(out)?;
        write_table(out, rows)?;
    }
    if !tally.first.is_empty() {
        let more = tally.total - tally.good - tally.first.len() as u64;
        writeln!(out, "\nnot good, from the tip on:")?;
        for judged in &tally.first {
            let why = judged.why.as_deref().unwrap_or_default();
            writeln!(out, "  {} {}: {why}", judged.commit, judged.status)?;
        }
        if more > 0 {
            writeln!(out, "  ... and {more} more; --format json lists all")?;
        }
    }
    let seconds = took.as_secs_f64();
    writeln!(out, "\n{} commits, {} good, {:.1} s", tally.total, tally.good, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_those_of_the_calendar() {
        let of = |text: &str| year(text.parse::<crate::domain::Timestamp>().unwrap().as_second());
        for (time, wanted) in [
            ("1970-01-01T00:00:00Z", "1970"),
            ("1999-12-31T23:59:59Z", "1999"),
            ("2000-01-01T00:00:00Z", "2000"),
            ("2000-02-29T12:00:00Z", "2000"),
            ("2023-12-31T23:59:59Z", "2023"),
            ("2024-01-01T00:00:00Z", "2024"),
            ("2024-02-29T00:00:00Z", "2024"),
            ("2024-12-31T23:59:59Z", "2024"),
            ("2100-03-01T00:00:00Z", "2100"),
        ] {
            assert_eq!(of(time), wanted, "{time}");
        }
        // The latest that an identity line may claim.
        assert_eq!(year(253_402_300_799), "9999");
    }

    #[test]
    fn a_history_that_names_any_number_of_keys_takes_no_more_memory() {
        let mut tally = Tally::default();
        let judged = |n: u32| Judged {
            commit: crate::domain::ObjectId::from_bytes(&[1; 20]).unwrap(),
            status: "unknown-key",
            anchor: crate::service::Anchor::Unanchored,
            signer: None,
            key: Some(format!("{n:016X}")),
            time: Some(1_700_000_000),
            findings: Vec::new(),
            why: Some("who is it".to_owned()),
        };
        for n in 0..5_000 {
            tally.add(&judged(n), 10);
        }
        assert_eq!(tally.first.len(), 10);
        assert_eq!(tally.signers.len(), MAX_SIGNERS + 1);
        assert_eq!(tally.signers["other keys"], (0, 4_000));
    }
}
