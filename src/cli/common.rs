//! What the subcommands share.

use std::fmt;
use std::io;

/// How a subcommand prints its result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document.
    Json,
}

/// Why a subcommand ends without doing its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// For the person at the terminal; escaped, no final newline.
    pub message: String,
    /// The exit code (N24).
    pub code: u8,
}

impl CliError {
    /// Usage or configuration: exit code 2 (N24).
    pub fn usage(message: impl fmt::Display) -> Self {
        CliError { message: message.to_string(), code: 2 }
    }

    /// Output that cannot be written, a closed pipe for example.
    pub(super) fn output(error: io::Error) -> Self {
        CliError::from(error)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<io::Error> for CliError {
    /// Output that cannot be written, a closed pipe for example.
    fn from(error: io::Error) -> Self {
        CliError::usage(format!("cannot write the output: {error}"))
    }
}

/// Writes rows as a table with aligned columns and no trailing spaces.
pub(crate) fn write_table(out: &mut dyn io::Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width - cell.chars().count();
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', padding + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
