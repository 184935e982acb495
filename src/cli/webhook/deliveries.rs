//! `countersign webhook deliveries`.

use super::super::common::{CliError, Format, write_table};
use super::{print_json, source};
use crate::config::Config;
use crate::domain::text;
use crate::store::{Delivery, Mode, Store, StoreError};
use serde_json::{Value, json};
use std::io::Write;

/// Which deliveries.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
A delivery is shown by what is used of it; bodies are not kept. `waiting` ones say why they wait.

Examples:
  countersign webhook deliveries --source github --state waiting
  countersign webhook deliveries --limit 100 --format json | jq '.deliveries[].note'

Exit codes: 0 listed, 2 usage or configuration, 3 the record cannot be read.")]
pub struct DeliveriesArgs {
    /// Only of this source
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Only those that wait, or that are done
    #[arg(long, value_enum, value_name = "STATE")]
    pub state: Option<DeliveryState>,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DeliveryState {
    /// In the queue.
    Waiting,
    /// Judged, or of no use.
    Done,
}

/// Most deliveries that are looked through.
const MOST: usize = 100_000;

pub(super) fn run(
    args: &DeliveriesArgs,
    config: &Config,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    if let Some(name) = &args.source {
        source(config, name)?;
    }
    let failed = |error: StoreError| CliError { message: format!("error: {error}"), code: 3 };
    let state = &config.daemon.state;
    let mut found: Vec<Delivery> = Vec::new();
    if Store::exists(state) {
        let store = Store::open(state, Mode::ReadOnly).map_err(failed)?;
        let wanted = |one: &Delivery| match args.state {
            None => true,
            Some(DeliveryState::Waiting) => one.done.is_none(),
            Some(DeliveryState::Done) => one.done.is_some(),
        };
        let (mut below, mut looked) = (None, 0);
        let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
        while found.len() < limit && looked < MOST {
            let page = store.deliveries(args.source.as_deref(), below, 500).map_err(failed)?;
            let Some(last) = page.last() else { break };
            below = Some(last.number);
            looked += page.len();
            found.extend(page.into_iter().filter(wanted));
        }
        found.truncate(limit);
    }
    if format == Format::Json {
        let all: Vec<Value> = found.iter().map(document).collect();
        print_json(&json!({ "deliveries": all }), out)?;
        return Ok(0);
    }
    if found.is_empty() {
        writeln!(out, "no such delivery")?;
        return Ok(0);
    }
    let mut rows = vec![
        ["ID", "SOURCE", "REPOSITORY", "RECEIVED", "STATE", "TRIES", "NOTE"].map(str::to_owned).to_vec(),
    ];
    for one in &found {
        rows.push(vec![
            one.number.to_string(),
            one.source.clone(),
            text::escape(one.repository.0.as_bytes()),
            format!("{:.0}", one.received),
            state_of(one).to_owned(),
            one.attempts.to_string(),
            one.note.as_deref().map_or(String::new(), |note| text::escape_short(note.as_bytes(), 120)),
        ]);
    }
    write_table(out, &rows)?;
    Ok(0)
}

fn state_of(delivery: &Delivery) -> &'static str {
    if delivery.done.is_some() { "done" } else { "waiting" }
}

fn document(one: &Delivery) -> Value {
    // Names in it were chosen by whoever pushed.
    let event: Value = serde_json::from_str(&one.event).unwrap_or(Value::Null);
    json!({
        "id": one.number,
        "source": one.source,
        "forge_id": one.id.as_ref().map(|id| text::escape(id.as_bytes())),
        "repository": text::escape(one.repository.0.as_bytes()),
        "received": one.received.to_string(),
        "state": state_of(one),
        "done": one.done.map(|at| at.to_string()),
        "attempts": one.attempts,
        "note": one.note.as_ref().map(|note| text::escape(note.as_bytes())),
        "event": escaped(event),
    })
}

fn escaped(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(text::escape(string.as_bytes())),
        Value::Array(list) => list.into_iter().map(escaped).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (text::escape(name.as_bytes()), escaped(value))).collect()
        }
        other => other,
    }
}
