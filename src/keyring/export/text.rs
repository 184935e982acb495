//! The formats themselves: the same keys always give the same bytes.

use super::super::{Material, material, principal_file};
use super::{Export, Note};
use crate::domain::{Principal, Timestamp, text};
use crate::signature::ssh;
use data_encoding::BASE64;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// What a manifest is called and where it lives.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// What is verified: `strict` and `head` of Argo CD, `HEAD`, `Tag` and `TagAndHEAD` of Flux.
    pub mode: String,
    /// The repositories that an AppProject is about: globs, those not meant with `!` in front.
    pub urls: Vec<String>,
    /// The Secret that a GitRepository names.
    pub secret: String,
}

/// An `allowed_signers` file: for each key all addresses of its owner, without any the owner's name, and its
/// windows in UTC. Tells of addresses that the format would take for something else.
pub fn allowed_signers(export: &mut Export<'_>) -> String {
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    for exported in &export.keys {
        let key = exported.key;
        let Material::Ssh(public) = &key.material else { continue };
        let (words, dropped) = words_of(&key.principal);
        if !dropped.is_empty() {
            let shown = text::escape_short(dropped.join(", ").as_bytes(), 120);
            notes.push(Note {
                fingerprint: public.fingerprint(),
                principal: Some(key.principal.name.clone()),
                left_out: false,
                why: format!("the format would take these addresses for patterns: {shown}"),
            });
        }
        for (from, last) in &exported.spans {
            let options = options(false, *from, *last);
            let comment = text::escape(key.principal.name.as_bytes());
            lines.push(format!("{} {options} {} {comment}\n", words.join(","), public_line(public)));
        }
    }
    for super::ExportedAuthority { authority, scope, spans } in &export.authorities {
        let patterns = scope.patterns.join(",");
        let unsayable = patterns.contains('"') || text::escape(patterns.as_bytes()) != patterns;
        if unsayable {
            notes.push(Note {
                fingerprint: authority.key.fingerprint(),
                principal: None,
                left_out: true,
                why: "the format has no way to write its patterns".to_owned(),
            });
            continue;
        }
        let quoted = patterns.contains([' ', '\t', '#']);
        let patterns = if quoted { format!("\"{patterns}\"") } else { patterns };
        for (from, last) in spans {
            let options = options(true, *from, *last);
            lines.push(format!("{patterns} {options} {}\n", public_line(&authority.key)));
        }
    }
    export.notes.append(&mut notes);
    lines.concat()
}

/// What an owner goes by in a line, and the addresses that cannot stand there.
fn words_of(principal: &Principal) -> (Vec<String>, Vec<String>) {
    let plain = |word: &str| {
        !word.starts_with('#')
            && !word.contains(['*', '?', '!', '"', ',', ' ', '\t', '\\'])
            && text::escape(word.as_bytes()) == word
    };
    let (mut words, mut dropped) = (BTreeSet::new(), Vec::new());
    for email in &principal.emails {
        if plain(email) {
            words.insert(email.clone());
        } else {
            dropped.push(email.clone());
        }
    }
    if words.is_empty() {
        let name = &principal.name;
        words.insert(if plain(name) { name.clone() } else { slug(name) });
    }
    (words.into_iter().collect(), dropped)
}

fn options(authority: bool, from: Option<i64>, last: Option<i64>) -> String {
    let mut all = Vec::new();
    if authority {
        all.push("cert-authority".to_owned());
    }
    all.push(format!("namespaces=\"{}\"", ssh::NAMESPACE));
    for (name, second) in [("valid-after", from), ("valid-before", last)] {
        let time = second.and_then(|second| Timestamp::from_second(second).ok());
        all.extend(time.map(|time| format!("{name}=\"{}\"", time.strftime("%Y%m%d%H%M%SZ"))));
    }
    all.join(",")
}

fn public_line(key: &ssh::PublicKey) -> String {
    format!("{} {}", key.algorithm(), BASE64.encode(key.blob()))
}

/// The certificates with nothing but what counts, one after the other, by fingerprint; in one block of armor,
/// or in binary. Nothing where there is none.
pub fn openpgp(export: &Export<'_>, binary: bool) -> Vec<u8> {
    let mut all = BTreeMap::new();
    for exported in &export.keys {
        if let Material::OpenPgp(certificate) = &exported.key.material {
            all.insert(certificate.fingerprint(), certificate.minimal());
        }
    }
    let bytes: Vec<u8> = all.into_values().flatten().collect();
    if binary || bytes.is_empty() { bytes } else { material::armored(&bytes).into_bytes() }
}

/// Argo CD's ConfigMap: certificates by the id of their primary key. Two with one id cannot both be there, so
/// neither is.
pub fn argocd(export: &mut Export<'_>, manifest: &Manifest) -> String {
    let mut by_id: BTreeMap<String, Vec<(String, String, String)>> = BTreeMap::new();
    for exported in &export.keys {
        if let Material::OpenPgp(certificate) = &exported.key.material {
            let armor = material::armored(&certificate.minimal());
            let name = exported.key.principal.name.clone();
            by_id.entry(certificate.key_id()).or_default().push((certificate.fingerprint(), name, armor));
        }
    }
    let mut out = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {}\n  namespace: {}\n  labels:\n    \
         app.kubernetes.io/name: {0}\n    app.kubernetes.io/part-of: argocd\n",
        super::super::import::manifest::ARGOCD_NAME,
        scalar(&manifest.namespace),
    );
    let mut data = String::new();
    for (id, all) in by_id {
        match &all[..] {
            [(_, _, armor)] => {
                let _ = write!(data, "  {}: |\n{}", quoted(&id), indented(armor, 4));
            }
            _ => export.notes.extend(all.iter().map(|(fingerprint, name, _)| Note {
                fingerprint: fingerprint.clone(),
                principal: Some(name.clone()),
                left_out: true,
                why: format!(
                    "another certificate has its key id {id}, and Argo CD tells keys apart by that alone"
                ),
            })),
        }
    }
    out.push_str(&if data.is_empty() { "data: {}\n".to_owned() } else { format!("data:\n{data}") });
    out
}

/// The part of an AppProject: the ids of the keys that sign, subkeys among them, because Argo CD compares the
/// id that stands in the signature. `None` where there is none: an empty list is not one that refuses all.
pub fn argocd_appproject(export: &Export<'_>, manifest: &Manifest) -> Option<String> {
    let signers = export.keys.iter().flat_map(|exported| &exported.signers);
    let ids: BTreeSet<&String> = signers.map(|signer| &signer.key_id).collect();
    if ids.is_empty() {
        return None;
    }
    let mut out = format!(
        "# To be merged into the AppProject. Repositories that no policy names are not verified.\n\
         apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  \
         sourceIntegrity:\n    git:\n      policies:\n        - repos:\n",
        scalar(&manifest.name),
        scalar(&manifest.namespace),
    );
    for url in &manifest.urls {
        let _ = writeln!(out, "            - url: {}", quoted(url));
    }
    let _ = write!(out, "          gpg:\n            mode: {}\n            keys:\n", scalar(&manifest.mode));
    for id in ids {
        let _ = writeln!(out, "              - {}", quoted(id));
    }
    Some(out)
}

/// A Secret of Flux: a field for each key.
pub fn flux_secret(export: &Export<'_>, manifest: &Manifest) -> String {
    let mut fields = BTreeMap::new();
    for exported in &export.keys {
        let key = exported.key;
        let stem =
            format!("{}-{}", slug(&key.principal.name), super::super::export_name_suffix(&key.material));
        match &key.material {
            Material::Ssh(public) => {
                let name = text::escape(key.principal.name.as_bytes());
                fields.insert(format!("{stem}.sshpub"), format!("{} {name}\n", public_line(public)));
            }
            Material::OpenPgp(certificate) => {
                fields.insert(format!("{stem}.asc"), material::armored(&certificate.minimal()));
            }
        }
    }
    let mut out = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {}\n  namespace: {}\ntype: Opaque\n",
        scalar(&manifest.name),
        scalar(&manifest.namespace),
    );
    if fields.is_empty() {
        out.push_str("stringData: {}\n");
        return out;
    }
    out.push_str("stringData:\n");
    for (name, value) in fields {
        let _ = write!(out, "  {}: |\n{}", scalar(&name), indented(&value, 4));
    }
    out
}

/// The part of a GitRepository that names the Secret.
pub fn flux_gitrepository(manifest: &Manifest) -> String {
    let mut out = format!(
        "# To be merged into the GitRepository.\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\n\
         metadata:\n  name: {}\n  namespace: {}\nspec:\n",
        scalar(&manifest.name),
        scalar(&manifest.namespace),
    );
    if let Some(url) = manifest.urls.first() {
        let _ = writeln!(out, "  url: {}", quoted(url));
    }
    let (mode, secret) = (scalar(&manifest.mode), scalar(&manifest.secret));
    let _ = write!(out, "  verify:\n    mode: {mode}\n    secretRef:\n      name: {secret}\n");
    out
}

fn indented(value: &str, by: usize) -> String {
    // An empty line of a block has no blanks.
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:by$}{line}\n", "") };
    value.lines().map(line).collect()
}

/// A word as it is, where YAML takes it for text; in quotation marks otherwise.
fn scalar(word: &str) -> String {
    let first = word.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let special = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let upper = word.bytes().all(|byte| byte.is_ascii_alphabetic());
    if plain && (first || upper) && !word.is_empty() && !special.contains(&word.to_ascii_lowercase().as_str())
    {
        word.to_owned()
    } else {
        quoted(word)
    }
}

/// In double quotation marks: JSON's text is YAML's.
fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}

/// A name in the letters that fields and lines may have.
fn slug(name: &str) -> String {
    if principal_file::is_name(name) {
        return name.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    name.chars().map(plain).collect::<String>().to_ascii_lowercase()
}
