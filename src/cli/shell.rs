//! Completions and manual pages, made from the command definitions.

use super::{Cli, CliError};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: countersign completions bash > /etc/bash_completion.d/countersign")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example: countersign man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The directory to write to
    directory: PathBuf,
}

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs, out: &mut dyn Write) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "countersign", &mut script);
    out.write_all(&script).map_err(CliError::output)?;
    Ok(0)
}

/// Writes one manual page for each command.
pub fn man(args: &ManArgs, out: &mut dyn Write) -> Result<u8, CliError> {
    let error = |e: std::io::Error| {
        CliError::usage(format!("error: cannot write to {}: {e}", args.directory.display()))
    };
    std::fs::create_dir_all(&args.directory).map_err(error)?;
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(error)?;
    writeln!(out, "wrote the manual pages to {}", args.directory.display()).map_err(CliError::output)?;
    Ok(0)
}
