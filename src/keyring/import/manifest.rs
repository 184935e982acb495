//! Keys in manifests: Argo CD's ConfigMap and the Secrets of Flux.

use super::super::document::{Diagnostic, Source, looks_private};
use super::super::is_name;
use super::authorized_keys::{self, Reading};
use super::entry::{At, Entry, Whose, private};
use super::yaml::{self, Node, Value};
use super::{FileFormat, certificates};
use crate::domain::text;
use jiff::tz::TimeZone;

/// The one name that Argo CD reads.
pub(crate) const ARGOCD_NAME: &str = "argocd-gpg-keys-cm";

/// The keys of a file of manifests.
pub(super) fn read(
    bytes: &[u8],
    format: FileFormat,
    zone: Option<&TimeZone>,
    source: &Source,
) -> Result<Vec<Entry>, Vec<Diagnostic>> {
    let at = |line: usize, column: usize| At { line, column, shown: false };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(vec![Diagnostic::not_utf8(source.file(), bytes, utf8_len(bytes))]);
    };
    if looks_private(text) {
        let before = text.lines().take_while(|line| !looks_private(line)).count();
        return Err(vec![private(source, at(before + 1, 1))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents =
        yaml::parse(text).map_err(|fault| vec![at(fault.line, fault.column).fault(source, fault.message)])?;
    let mut reader = Manifests { source, zone, entries: Vec::new(), faults: Vec::new() };
    // A separator at the end begins a document with nothing in it.
    let empty = |node: &Node| matches!(&node.value, Value::Scalar(text) if text.is_empty() || text == "~");
    let documents: Vec<Node> = documents.into_iter().filter(|node| !empty(node)).collect();
    if documents.is_empty() {
        return Err(vec![Diagnostic::whole(source.file(), "there is no manifest in the file")]);
    }
    for document in &documents {
        reader.document(document, format);
    }
    if reader.faults.is_empty() { Ok(reader.entries) } else { Err(reader.faults) }
}

fn utf8_len(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len)
}

struct Manifests<'a> {
    source: &'a Source,
    zone: Option<&'a TimeZone>,
    entries: Vec<Entry>,
    faults: Vec<Diagnostic>,
}

fn at(node: &Node) -> At {
    At { line: node.line, column: node.column, shown: false }
}

impl Manifests<'_> {
    fn fault(&mut self, node: &Node, message: impl Into<String>, help: &str) {
        let found = at(node).fault(self.source, message);
        self.faults.push(if help.is_empty() { found } else { found.suggest(help) });
    }

    fn document(&mut self, document: &Node, format: FileFormat) {
        let word = |name: &str| document.get(name).and_then(Node::text).unwrap_or_default();
        let (version, kind) = (word("apiVersion"), word("kind"));
        let wanted = if format == FileFormat::ArgoCd { "ConfigMap" } else { "Secret" };
        if (version, kind) != ("v1", wanted) {
            let shown = text::escape_short(kind.as_bytes(), 40);
            let message = format!("this is `{shown}`, and a `v1` `{wanted}` is read here");
            return self.fault(document, message, "give the manifest with the keys alone");
        }
        let name = document.get("metadata").and_then(|node| node.get("name")).and_then(Node::text);
        if format == FileFormat::ArgoCd && name != Some(ARGOCD_NAME) {
            let message = format!("this is not `{ARGOCD_NAME}`, the one that Argo CD reads keys from");
            return self.fault(document, message, "");
        }
        for (key, value) in document.entries() {
            let Some(field) = key.text() else { continue };
            match (field, format) {
                ("data", FileFormat::ArgoCd) => self.data(value, |all, key, name, text| {
                    all.argocd(key, name, text);
                }),
                ("stringData", FileFormat::Flux) => self.data(value, |all, key, name, text| {
                    all.flux(key, name, text.as_bytes());
                }),
                ("data", _) => self.data(value, |all, key, name, text| {
                    let packed: String = text.split_ascii_whitespace().collect();
                    match data_encoding::BASE64.decode(packed.as_bytes()) {
                        Ok(bytes) => all.flux(key, name, &bytes),
                        Err(_) => all.fault(key, "the value is not base64", "text stands in `stringData`"),
                    }
                }),
                ("apiVersion" | "kind" | "metadata" | "immutable" | "type", _) => {}
                (other, _) => {
                    let shown = text::escape_short(other.as_bytes(), 40);
                    self.fault(key, format!("`{shown}` is not read here"), "");
                }
            }
        }
    }

    fn data(&mut self, value: &Node, mut one: impl FnMut(&mut Self, &Node, &str, &str)) {
        match &value.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    match (key.text(), value.text()) {
                        (Some(name), Some(text)) => one(self, key, name, text),
                        _ => self.fault(value, "this is not text", ""),
                    }
                }
            }
            Value::Scalar(text) if text.is_empty() || text == "~" || text == "null" => {}
            _ => self.fault(value, "this is not a mapping of names to texts", ""),
        }
    }

    /// An armored certificate by its key id.
    fn argocd(&mut self, key: &Node, name: &str, armor: &str) {
        let is_id = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            let shown = text::escape_short(name.as_bytes(), 40);
            return self.fault(key, format!("`{shown}` is not a key id of 16 hexadecimal digits"), "");
        }
        match certificates::read(armor.as_bytes(), at(key), self.source) {
            Ok(entries) => match <[Entry; 1]>::try_from(entries) {
                Ok([entry]) if entry.labels[1].eq_ignore_ascii_case(name) => self.entries.push(entry),
                Ok([entry]) => {
                    let message =
                        format!("this is the key {}, and not the one it is called", entry.labels[1]);
                    self.fault(key, message, "Argo CD reads a key under its own id only");
                }
                Err(all) => self.fault(
                    key,
                    format!("there are {} certificates in this value", all.len()),
                    "Argo CD reads one a value",
                ),
            },
            Err(faults) => self.faults.extend(faults),
        }
    }

    fn flux(&mut self, key: &Node, name: &str, bytes: &[u8]) {
        if looks_private(&String::from_utf8_lossy(bytes)) {
            return self.faults.push(private(self.source, at(key)));
        }
        let read = if let Some(stem) = name.strip_suffix(".sshpub") {
            let reading = Reading {
                options: false,
                ignored: &[],
                zone: self.zone,
                whose: Whose::Called(stem.to_owned()),
                at: Some(at(key)),
            };
            authorized_keys::read(bytes, &reading, self.source)
        } else if name.ends_with(".asc") {
            certificates::read(bytes, at(key), self.source)
        } else {
            let shown = text::escape_short(name.as_bytes(), 60);
            let help = "`.asc` is an OpenPGP key and `.sshpub` an SSH one; take away what is neither";
            return self.fault(key, format!("`{shown}` is neither `.asc` nor `.sshpub`"), help);
        };
        match read {
            Ok(entries) if entries.is_empty() => self.fault(key, "there is no key in this value", ""),
            Ok(entries) => self.entries.extend(entries.into_iter().map(|entry| labelled(entry, name))),
            Err(faults) => self.faults.extend(faults),
        }
    }
}

/// Adds the name in the Secret to what the entry can be called by. A name that ends in the key's own
/// fingerprint, as those that are exported do, is the owner's in front of it.
fn labelled(mut entry: Entry, name: &str) -> Entry {
    if let Whose::Called(stem) = &entry.whose {
        let own = super::super::export_name_suffix(&entry.material);
        let plain = stem.strip_suffix(&own).and_then(|rest| rest.strip_suffix('-')).unwrap_or(stem);
        entry.whose = if is_name(plain) { Whose::Called(plain.to_owned()) } else { Whose::Unsaid };
    }
    entry.labels.push(name.to_owned());
    entry
}
