//! `countersign webhook list`.

use super::super::common::{CliError, Format, write_table};
use super::print_json;
use crate::config::Config;
use crate::domain::RepositoryId;
use crate::service::webhook::UnsoundRef;
use crate::store::{Mode, Store};
use serde_json::{Value, json};
use std::io::Write;

/// Nothing to choose.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
A repository is judged once it is adopted; its id is learnt from the first authentic delivery, or
configured. Refs that are refused as they stand are listed with the decision that refused them. Secrets are named by where they stand, and never shown.

Examples:
  countersign webhook list
  countersign webhook list --format json | jq '.sources[].repositories[] | select(.adopted | not)'

Exit codes: 0 listed, 2 usage or configuration, 3 the record cannot be read.")]
pub struct ListArgs {}

pub(super) fn run(config: &Config, format: Format, out: &mut dyn Write) -> Result<u8, CliError> {
    let failed = |error: crate::store::StoreError| CliError { message: format!("error: {error}"), code: 3 };
    let state = &config.daemon.state;
    // Before the daemon ran for the first time there is nothing to know.
    let store =
        if Store::exists(state) { Some(Store::open(state, Mode::ReadOnly).map_err(failed)?) } else { None };
    let learnt = match &store {
        Some(store) => store.forge_repositories().map_err(failed)?,
        None => Vec::new(),
    };
    let mut sources: Vec<Value> = Vec::new();
    let mut rows = vec![["SOURCE", "REPOSITORY", "ID", "STATE"].map(str::to_owned).to_vec()];
    let mut red: Vec<String> = Vec::new();
    for source in &config.sources {
        let mut repositories: Vec<Value> = Vec::new();
        for one in &source.repositories {
            let known = learnt
                .iter()
                .find(|entry| entry.source == source.name && entry.name.eq_ignore_ascii_case(&one.name));
            let id = one.id.clone().or_else(|| known.map(|entry| entry.id.clone()));
            let adopted = match (&store, &id) {
                (Some(store), Some(id)) => {
                    store.is_watched(&RepositoryId(format!("{}:{id}", source.name))).map_err(failed)?
                }
                _ => false,
            };
            let state = match (&id, adopted) {
                (_, true) => "judged",
                (Some(_), false) => "waits for `countersign adopt`",
                (None, false) => "waits for its first delivery, or an `id`",
            };
            rows.push(vec![
                source.name.clone(),
                one.name.clone(),
                id.clone().unwrap_or_else(|| "-".to_owned()),
                state.to_owned(),
            ]);
            let unsound = match (&store, &id) {
                (Some(store), Some(id)) => {
                    store.unsound_refs(&RepositoryId(format!("{}:{id}", source.name))).map_err(failed)?
                }
                _ => Vec::new(),
            };
            let unsound: Vec<UnsoundRef> =
                unsound.iter().map(|(name, one)| UnsoundRef::of(name, one)).collect();
            red.extend(unsound.iter().map(|shown| format!("{}/{}: {}", source.name, one.name, shown.line())));
            repositories.push(json!({
                "name": one.name, "id": id, "adopted": adopted, "url": one.url, "unsound": unsound,
            }));
        }
        let report = source.report.as_ref().map(|report| json!({ "api": report.api, "link": report.link }));
        sources.push(json!({
            "name": source.name,
            "forge": source.forge.name(),
            "path": source.path,
            "secrets": source.secrets.iter().map(|one| one.place.to_string()).collect::<Vec<_>>(),
            "sweep_seconds": source.sweep.map(|every| every.as_secs()),
            "report": report,
            "repositories": repositories,
        }));
    }
    if format == Format::Json {
        print_json(&json!({ "sources": sources }), out)?;
        return Ok(0);
    }
    if config.sources.is_empty() {
        writeln!(out, "the configuration has no [[source]]")?;
        return Ok(0);
    }
    for source in &config.sources {
        let sweep = source.sweep.map_or("never".to_owned(), |every| format!("every {} s", every.as_secs()));
        let told = source.report.as_ref().map_or("nobody", |report| report.api.as_str());
        writeln!(
            out,
            "{}: {}, delivers to {}, looked at {sweep}, told: {told}",
            source.name,
            source.forge.name(),
            source.path
        )?;
    }
    writeln!(out)?;
    write_table(out, &rows)?;
    if !red.is_empty() {
        writeln!(out)?;
    }
    red.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(0)
}
