//! The command line: the only module that names clap, and the only one that prints.

pub mod adopt;
pub mod audit;
pub mod bypass;
pub mod check;
pub mod common;
pub mod config_check;
pub mod config_import;
pub mod config_match;
pub mod config_schema;
pub mod config_show;
pub mod config_test;
pub mod explain;
mod history;
pub mod hook;
pub mod init;
pub mod install;
pub mod keyring;
mod policy;
pub mod replay;
mod self_check;
pub mod serve;
pub mod setup;
pub mod shell;
pub mod taint;
pub mod verify;
pub mod webhook;

pub use common::{CliError, Format};

use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

/// Where the configuration is looked for when nobody says.
const DEFAULT_CONFIG: &str = "/etc/countersign/countersign.toml";

/// A Git push gatekeeper: decides whether a ref may move, from who signed the commits, who pushed,
/// what the commits say and which ref they move.
#[derive(Parser, Debug)]
#[command(
    name = "countersign",
    version,
    about,
    long_about,
    max_term_width = 100,
    after_help = "Exit codes: 0 accepted or done, 1 refused, 2 usage or configuration, 3 undecided.\n\n\
                  A first gate in four commands:\n  \
                  countersign init gate\n  \
                  countersign --config gate/countersign.toml keyring add alice --email alice@example.org --key alice.pub\n  \
                  countersign --config gate/countersign.toml serve &\n  \
                  countersign --config gate/countersign.toml install gate/repositories/app.git"
)]
pub struct Cli {
    /// The configuration file [env: COUNTERSIGN_CONFIG] [default: /etc/countersign/countersign.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How to print
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a directory with a commented configuration and an empty keyring
    Init(init::InitArgs),
    /// Run the daemon
    Serve(serve::ServeArgs),
    /// What git runs on a push; `install` sets it up
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Put the hooks into repositories; what was there runs first
    Install(install::InstallArgs),
    /// Take the hooks out of repositories and put back what was there
    Uninstall(install::UninstallArgs),
    /// Trust the history that a repository has now, as the base that pushes are judged from
    Adopt(adopt::AdoptArgs),
    /// Manage who may sign
    Keyring(keyring::KeyringArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Find a signing key on this machine and have git sign with it
    Setup(setup::SetupArgs),
    /// Judge a range of commits, or a whole history, here and now; nothing is recorded
    Check(check::CheckArgs),
    /// Show which rules judge a push to a ref, what each saw, and why it passed or not
    Explain(explain::ExplainArgs),
    /// Hold a proposed configuration against the decisions on record, or against the way of a branch
    Replay(replay::ReplayArgs),
    /// See who may break which rules
    #[command(subcommand)]
    Bypass(bypass::BypassCommand),
    /// Print the whole reasoning about one commit or tag, and what git says of it
    Verify(verify::VerifyArgs),
    /// See what compromised keys left behind, and decide about it
    #[command(subcommand)]
    Taint(taint::TaintCommand),
    /// See to the webhooks of forges, and what they are told
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Read the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print a completion script for a shell
    Completions(shell::CompletionsArgs),
    /// Write the manual pages into a directory
    Man(shell::ManArgs),
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Load configuration and keyring and say what is wrong: 0 with warnings, 2 with errors
    Check(config_check::CheckArgs),
    /// Show the rules in effect for a ref: options, where each is written, bypasses
    Show(config_show::ShowArgs),
    /// Hold the configuration against files that describe pushes and what is expected of them
    Test(config_test::TestArgs),
    /// Print the JSON schema of the configuration file
    Schema(config_schema::SchemaArgs),
    /// Turn rules of GitHub, GitLab or gitolite into rulesets; what has no equal is said
    Import(config_import::ImportArgs),
    /// Show which refs of a repository patterns match, or which rulesets cover which refs
    Match(config_match::MatchArgs),
}

/// Parses the arguments, runs the command and gives the exit code (N24).
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let mut out = std::io::stdout().lock();
    let result = run(&cli, &mut out);
    let _ = out.flush();
    match result {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "{}", error.message.trim_end());
            error.code
        }
    }
}

fn run(cli: &Cli, out: &mut dyn Write) -> Result<u8, CliError> {
    let config = || configuration(cli);
    let err = &mut std::io::stderr();
    match &cli.command {
        Command::Init(args) => init::run(args.clone(), out),
        Command::Serve(args) => serve::run(args, &config()),
        // Git runs this one: no variable that a pusher might set may choose its configuration (N22).
        Command::Hook(command) => hook::run(command, cli.config.as_deref()),
        Command::Install(args) => install::install(args, &config(), cli.format, out),
        Command::Uninstall(args) => install::uninstall(args, cli.format, out),
        Command::Adopt(args) => adopt::run(args, &config(), cli.format, out),
        Command::Keyring(args) => keyring::run(args, &config(), cli.format, out, err),
        Command::Config(ConfigCommand::Check(args)) => {
            config_check::run(args, &config(), cli.format, out, err)
        }
        Command::Config(ConfigCommand::Show(args)) => config_show::run(args, &config(), cli.format, out),
        Command::Config(ConfigCommand::Test(args)) => config_test::run(args, &config(), cli.format, out),
        Command::Config(ConfigCommand::Schema(args)) => config_schema::run(args, out),
        Command::Config(ConfigCommand::Import(args)) => config_import::run(args, cli.format, out, err),
        Command::Config(ConfigCommand::Match(args)) => config_match::run(args, &config(), cli.format, out),
        Command::Explain(args) => explain::run(args, &config(), cli.format, out),
        Command::Replay(args) => replay::run(args, &config(), cli.format, out, err),
        Command::Bypass(command) => bypass::run(command, &config(), cli.format, out),
        Command::Setup(args) => setup::run(args, cli.format, out, err),
        Command::Check(args) if args.is_self() => {
            // The gate's own place for a configuration says nothing about a developer's machine.
            let named =
                cli.config.clone().or_else(|| std::env::var_os("COUNTERSIGN_CONFIG").map(PathBuf::from));
            self_check::run(args, named.as_deref(), cli.format, out)
        }
        Command::Check(args) => check::run(args, &config(), cli.format, out, err),
        Command::Verify(args) => verify::run(args, &config(), cli.format, out),
        Command::Taint(command) => taint::run(command, &config(), cli.format, out),
        Command::Webhook(command) => webhook::run(command, &config(), cli.format, out),
        Command::Audit(command) => audit::run(command, &config(), cli.format, out),
        Command::Completions(args) => shell::completions(args, out),
        Command::Man(args) => shell::man(args, out),
    }
}

fn configuration(cli: &Cli) -> PathBuf {
    let named = cli.config.clone().or_else(|| std::env::var_os("COUNTERSIGN_CONFIG").map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))
}
