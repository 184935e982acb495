//! `countersign keyring export`.

use super::super::common::{CliError, Format};
use super::apply::Ground;
use super::{load, print_json};
use crate::config::Config;
use crate::domain::{Principal, RefName, Timestamp, text};
use crate::keyring::export::{self, Export, Manifest, Note, Selection, Target};
use crate::policy::{Enforcement, Ruleset};
use crate::signature::Rules;
use serde_json::{Value, json};

/// What to export, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring export --to allowed-signers > allowed_signers
  countersign keyring export --to openpgp --group release > release.asc
  countersign keyring export --to allowed-signers --repo infra/app.git --ref refs/heads/main
  countersign keyring export --to argocd | kubectl apply -f -
  countersign keyring export --to argocd-appproject --url 'https://git.example.org/infra/*' --mode strict
  countersign keyring export --to flux-secret --name signers --namespace flux-system
  countersign keyring export --to flux-gitrepository --name app --secret signers --mode HEAD

Formats (--to): allowed-signers, openpgp, argocd, argocd-appproject, flux-secret, flux-gitrepository.

The same keyring gives the same bytes until a key comes, goes, begins or ends: export anew after every change
and once a day. Keys that the other program would accept more of than the keyring says are left out, and all
that a format cannot say is told on standard error. --wider lets them in.")]
pub struct ExportArgs {
    /// The format.
    #[arg(long = "to", value_name = "FORMAT", value_parser = target_of)]
    pub target: Option<Target>,
    /// Only keys of members of this group.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Only this principal's keys.
    #[arg(long, value_name = "NAME")]
    pub principal: Option<String>,
    /// Only keys that the enforced rulesets accept in this repository, by its name below the root.
    #[arg(long, value_name = "REPOSITORY", requires = "reference")]
    pub repo: Option<String>,
    /// And on this ref, by its full name.
    #[arg(long = "ref", value_name = "REF", requires = "repo")]
    pub reference: Option<String>,
    /// Keys that count then, instead of now: RFC 3339, with `Z` or an offset.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Export keys, too, of which the other program accepts more than the keyring says.
    #[arg(long)]
    pub wider: bool,
    /// For `openpgp`: in binary instead of armor.
    #[arg(long)]
    pub binary: bool,
    /// For manifests: the name [default: `default` for an AppProject, `countersign-keys` otherwise].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// For manifests: the namespace [default: `argocd` or `flux-system`].
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// For `argocd-appproject` the repositories that it is about, a glob, `!` in front for those that it is not; may
    /// be repeated. For `flux-gitrepository` the one repository.
    #[arg(long = "url", value_name = "URL")]
    pub urls: Vec<String>,
    /// What is verified: `strict` or `head` of Argo CD, `HEAD`, `Tag` or `TagAndHEAD` of Flux [default: `strict`,
    /// `HEAD`].
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// For `flux-gitrepository`: the Secret with the keys.
    #[arg(long, value_name = "NAME", default_value = "countersign-keys")]
    pub secret: String,
}

fn target_of(word: &str) -> Result<Target, String> {
    let found = Target::ALL.into_iter().find(|target| target.name() == word);
    found.ok_or_else(|| {
        let names: Vec<&str> = Target::ALL.iter().map(|target| target.name()).collect();
        format!("the formats are {}", names.join(", "))
    })
}

pub(super) fn run(args: &ExportArgs, ground: &mut Ground<'_>) -> Result<u8, CliError> {
    let Some(target) = args.target else {
        return Err(CliError::usage("say for whom: `--to FORMAT`, see `--help`"));
    };
    let at = match &args.at {
        None => ground.now,
        Some(written) => written.parse::<Timestamp>().map_err(|_| {
            let shown = text::escape_short(written.as_bytes(), 60);
            CliError::usage(format!("`{shown}` is no time: write 2026-01-31T12:00:00Z"))
        })?,
    };
    let manifest = manifest(args, target)?;
    let keyring = load(&ground.sources, ground.err)?;
    let default = Rules::default();
    let rules = ground.config.as_ref().map_or(&default, |config| &config.signatures);
    let covering = match (&args.repo, &args.reference) {
        (Some(repository), Some(reference)) => covering(ground.config.as_ref(), repository, reference)?,
        _ => Vec::new(),
    };
    if let Some(group) = &args.group
        && !keyring.principals().iter().any(|one| one.groups.contains(group))
    {
        let shown = text::escape_short(group.as_bytes(), 60);
        return Err(CliError::usage(format!("nobody is in the group `{shown}`")));
    }
    if let Some(name) = &args.principal {
        keyring.principal(name).map_err(|near| {
            let shown = text::escape_short(name.as_bytes(), 60);
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            CliError::usage(format!("`{shown}` is not in the keyring{near}"))
        })?;
    }
    let accepts = |principal: &Principal| {
        let mut rules = covering.iter().flat_map(|set| set.rules());
        rules.all(|rule| rule.rule.accepts_signer(principal) != Some(false))
    };
    let asked = asked(&covering);
    let selection = Selection {
        target,
        at,
        group: args.group.as_deref(),
        principal: args.principal.as_deref(),
        rules,
        asked: &asked,
        restricted: !covering.is_empty(),
        wider: args.wider,
    };
    let mut chosen = keyring.export(&selection, &accepts);
    if target == Target::FluxGitRepository {
        // It names the Secret and none of the keys.
        chosen.notes.clear();
    }
    let bytes = match target {
        Target::AllowedSigners => Some(export::allowed_signers(&mut chosen).into_bytes()),
        Target::OpenPgp => Some(export::openpgp(&chosen, args.binary)),
        Target::ArgoCd => Some(export::argocd(&mut chosen, &manifest).into_bytes()),
        Target::ArgoCdAppProject => export::argocd_appproject(&chosen, &manifest).map(String::into_bytes),
        Target::FluxSecret => Some(export::flux_secret(&chosen, &manifest).into_bytes()),
        Target::FluxGitRepository => Some(export::flux_gitrepository(&manifest).into_bytes()),
    };
    for note in &chosen.notes {
        let whose = note.principal.as_deref().map_or("an authority".to_owned(), |name| format!("`{name}`"));
        let what = if note.left_out { "left out" } else { "exported" };
        let whose = text::escape(whose.as_bytes());
        writeln!(ground.err, "{what}: {} of {whose}: {}", note.fingerprint, note.why)?;
    }
    let Some(bytes) = bytes else {
        let message =
            "no key is left, and an empty list would not mean that nobody is accepted: nothing is written";
        return Err(CliError { message: message.to_owned(), code: 1 });
    };
    match ground.format {
        Format::Text => ground.out.write_all(&bytes)?,
        Format::Json => {
            let document = document(target, at, &bytes, &chosen);
            print_json(&document, ground.out)?;
        }
    }
    Ok(0)
}

fn document(target: Target, at: Timestamp, bytes: &[u8], chosen: &Export<'_>) -> Value {
    let note = |note: &Note| {
        json!({
            "fingerprint": note.fingerprint,
            "principal": note.principal,
            "left_out": note.left_out,
            "why": note.why,
        })
    };
    let key = |exported: &export::Exported<'_>| {
        json!({
            "fingerprint": exported.key.material.fingerprint(),
            "principal": exported.key.principal.name,
        })
    };
    json!({
        "to": target.name(),
        "at": at.to_string(),
        "keys": chosen.keys.iter().map(key).collect::<Vec<_>>(),
        "authorities": chosen.authorities.iter().map(|one| one.authority.key.fingerprint()).collect::<Vec<_>>(),
        "notes": chosen.notes.iter().map(note).collect::<Vec<_>>(),
        "text": std::str::from_utf8(bytes).ok(),
        "base64": data_encoding::BASE64.encode(bytes),
    })
}

/// The enforced rulesets of a ref, among them those that are for the default branch: which one that is, is not
/// asked, and a ruleset more only takes away.
fn covering<'c>(
    config: Option<&'c Config>,
    repository: &str,
    reference: &str,
) -> Result<Vec<&'c Ruleset>, CliError> {
    let Some(config) = config else {
        return Err(CliError::usage("`--repo` and `--ref` need a configuration, and `--keyring` names none"));
    };
    let shown = text::escape_short(reference.as_bytes(), 100);
    let reference = RefName::parse(reference.as_bytes())
        .map_err(|error| CliError::usage(format!("`{shown}` is no ref: {error}")))?;
    let sets = config.policy.rulesets.iter().filter(|set| {
        set.enforcement == Enforcement::Enforce
            && (set.covers(repository, &reference, None)
                || set.covers(repository, &reference, Some(&reference)))
    });
    let sets: Vec<&Ruleset> = sets.collect();
    let about_signers = |set: &&&Ruleset| set.rules().iter().any(|rule| rule.rule.is_about_signatures());
    if !sets.iter().any(|set| about_signers(&set)) {
        let repository = text::escape_short(repository.as_bytes(), 100);
        let message = format!("no enforced ruleset asks who signed on `{shown}` of `{repository}`");
        return Err(CliError { message, code: 1 });
    }
    Ok(sets)
}

/// What the rulesets ask of signatures besides whose they are.
fn asked(covering: &[&Ruleset]) -> Vec<String> {
    const PLAIN: [&str; 4] = ["bad-signature", "unsigned-commit", "unsigned-tag", "untrusted-signer"];
    let rules = covering.iter().flat_map(|set| set.rules()).map(|rule| rule.rule.as_ref());
    let more = rules.filter(|rule| rule.is_about_signatures() && !PLAIN.contains(&rule.name()));
    let mut names: Vec<String> = more.map(|rule| rule.name().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

fn manifest(args: &ExportArgs, target: Target) -> Result<Manifest, CliError> {
    let argo = matches!(target, Target::ArgoCd | Target::ArgoCdAppProject);
    let modes: &[&str] = match target {
        Target::ArgoCdAppProject => &["strict", "head"],
        Target::FluxGitRepository => &["HEAD", "Tag", "TagAndHEAD"],
        _ => &[],
    };
    let mode = match (&args.mode, modes.first()) {
        (None, first) => first.copied().unwrap_or_default().to_owned(),
        (Some(mode), Some(_)) if modes.contains(&mode.as_str()) => mode.clone(),
        (Some(_), Some(_)) => return Err(CliError::usage(format!("the modes are {}", modes.join(", ")))),
        (Some(_), None) => return Err(CliError::usage(format!("`--mode` is not for `{}`", target.name()))),
    };
    if target == Target::ArgoCdAppProject && args.urls.is_empty() {
        return Err(CliError::usage("say which repositories: `--url 'https://git.example.org/infra/*'`"));
    }
    if target == Target::FluxGitRepository && args.urls.len() > 1 {
        return Err(CliError::usage("a GitRepository has one `--url`"));
    }
    if target == Target::ArgoCd && args.name.is_some() {
        return Err(CliError::usage("Argo CD reads one ConfigMap of keys, and its name is given"));
    }
    if args.binary && target != Target::OpenPgp {
        return Err(CliError::usage("`--binary` is for `--to openpgp`"));
    }
    let manifest = Manifest {
        name: args.name.clone().unwrap_or_else(|| match target {
            Target::ArgoCdAppProject => "default".to_owned(),
            _ => "countersign-keys".to_owned(),
        }),
        namespace: args
            .namespace
            .clone()
            .unwrap_or_else(|| if argo { "argocd" } else { "flux-system" }.to_owned()),
        mode,
        urls: args.urls.clone(),
        secret: args.secret.clone(),
    };
    // As Kubernetes has it for names: labels of DNS.
    let dns = |name: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        name.len() <= 253 && name.bytes().all(fits) && edge(name.bytes().next()) && edge(name.bytes().last())
    };
    for name in [&manifest.name, &manifest.namespace, &manifest.secret] {
        if !dns(name) {
            let shown = text::escape_short(name.as_bytes(), 60);
            return Err(CliError::usage(format!("`{shown}` cannot name anything in Kubernetes")));
        }
    }
    Ok(manifest)
}
