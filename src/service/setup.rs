//! What a developer's machine needs so that git signs: which key, and which settings. Decided from what
//! was found there; nothing is read and nothing is set here.

use crate::domain::text;
use crate::keyring::Material;

/// Shortest RSA key that is proposed, in bits. Shorter ones may count, and are not worth a new start.
const RSA_BITS: usize = 3072;

/// How git is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// With an SSH key.
    Ssh,
    /// With an OpenPGP key.
    OpenPgp,
}

impl Signing {
    /// The value of `gpg.format`.
    pub const fn name(self) -> &'static str {
        match self {
            Signing::Ssh => "ssh",
            Signing::OpenPgp => "openpgp",
        }
    }
}

/// Where a key was found, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Whoever asked has named it.
    Named,
    /// `user.signingkey` names it already.
    Configured,
    /// A file below `~/.ssh`.
    File,
    /// ssh-agent has it.
    Agent,
    /// GnuPG has its secret part.
    GnuPg,
}

impl Origin {
    /// Words for people.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Named => "named",
            Origin::Configured => "user.signingkey",
            Origin::File => "~/.ssh",
            Origin::Agent => "ssh-agent",
            Origin::GnuPg => "GnuPG",
        }
    }
}

/// A key that could sign.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it was found.
    pub origin: Origin,
    /// What `user.signingkey` has to be for it.
    pub value: String,
    /// The key.
    pub material: Material,
    /// Its public part, as it is handed to the keyring's keeper.
    pub public: String,
}

impl Candidate {
    /// SSH or OpenPGP.
    pub fn signing(&self) -> Signing {
        match self.material {
            Material::Ssh(_) => Signing::Ssh,
            Material::OpenPgp(_) => Signing::OpenPgp,
        }
    }

    /// The lower the better; `None` for one that is not proposed.
    fn rank(&self) -> Option<u8> {
        let Material::Ssh(key) = &self.material else { return Some(0) };
        if key.weakness().is_some() {
            return None;
        }
        match key.algorithm() {
            "sk-ssh-ed25519@openssh.com" => Some(0),
            "ssh-ed25519" => Some(1),
            "sk-ecdsa-sha2-nistp256@openssh.com" => Some(2),
            "ssh-rsa" if key.bits() < RSA_BITS => None,
            "ssh-rsa" => Some(4),
            _ => Some(3),
        }
    }
}

/// The best of what was found. A key that somebody named is taken whatever else there is, unless no
/// signature by it would count; the same for one that is configured, which git uses anyway.
pub fn choose(candidates: &[Candidate], signing: Option<Signing>) -> Option<&Candidate> {
    let fits = candidates.iter().filter(|one| signing.is_none_or(|wanted| one.signing() == wanted));
    let ranked = fits.filter_map(|one| {
        let rank = match one.origin {
            Origin::Named | Origin::Configured => one.material.weakness().is_none().then_some(0),
            _ => one.rank(),
        };
        Some(((one.origin, rank?), one))
    });
    // A key file is no better than the agent's key only because it lies in a file.
    let order = |origin: Origin, rank: u8| match origin {
        Origin::Named => (0, 0, origin),
        Origin::Configured => (1, 0, origin),
        Origin::File | Origin::Agent => (2, rank, origin),
        Origin::GnuPg => (3, rank, origin),
    };
    ranked.min_by_key(|((origin, rank), _)| order(*origin, *rank)).map(|(_, one)| one)
}

/// What git says now about one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// The value at the level that is to be set.
    pub here: Option<String>,
    /// The value in effect, of whatever level.
    pub effective: Option<String>,
}

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is so already.
    Same,
    /// Nothing is there.
    New,
    /// Something else is there.
    Different,
}

/// A setting of git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it has to be.
    pub value: String,
    /// What it is.
    pub existing: Existing,
}

impl Setting {
    /// What becomes of it.
    pub fn state(&self) -> State {
        let same = |old: &str| {
            let truth = |text: &str| match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => "true".to_owned(),
                _ => text.to_owned(),
            };
            if self.value == "true" { truth(old) == "true" } else { old == self.value }
        };
        match &self.existing.here {
            None => State::New,
            Some(old) if same(old) => State::Same,
            Some(_) => State::Different,
        }
    }

    /// The value of another level that would win over the one that is set.
    pub fn overruled(&self) -> Option<&str> {
        let effective = self.existing.effective.as_deref()?;
        let wins = self.existing.here.as_deref() != Some(effective) && effective != self.value;
        wins.then_some(effective)
    }

    /// The command that sets it.
    pub fn command(&self, scope: &str) -> String {
        format!("git config {scope} {} {}", self.name, quoted(&self.value))
    }
}

/// The settings for a key, in the order in which they are set: what switches signing on comes last, so
/// that git never signs with nothing.
pub fn settings(
    candidate: &Candidate,
    allowed_signers: Option<&str>,
    mut existing: impl FnMut(&'static str) -> Existing,
) -> Vec<Setting> {
    let mut wanted = vec![
        ("gpg.format", candidate.signing().name().to_owned()),
        ("user.signingkey", candidate.value.clone()),
    ];
    if let Some(path) = allowed_signers {
        wanted.push(("gpg.ssh.allowedSignersFile", path.to_owned()));
    }
    wanted.extend(["commit.gpgsign", "tag.gpgsign"].map(|name| (name, "true".to_owned())));
    wanted.into_iter().map(|(name, value)| Setting { name, value, existing: existing(name) }).collect()
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    // What would not stay on its line is shown and cannot be pasted, which is better than the reverse.
    format!("'{}'", text::escape(word.as_bytes()).replace('\'', "'\\''"))
}

/// Fingerprints of the keys in `gpg --with-colons --list-secret-keys` that can sign now.
pub fn secret_keys(listing: &str) -> Vec<String> {
    // Upper case is what the whole key can do, its subkeys included.
    fingerprints(listing, |validity, can| can.contains('S') && !["e", "r", "i", "d", "n"].contains(&validity))
}

/// Those that could sign, had they not ended.
pub fn ended_keys(listing: &str) -> Vec<String> {
    fingerprints(listing, |validity, _| validity == "e")
}

fn fingerprints(listing: &str, wanted: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut usable = false;
    for line in listing.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match field(0) {
            "sec" => usable = wanted(field(1), field(11)),
            "fpr" if usable => {
                out.push(field(9).to_owned());
                usable = false;
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJaXzR/ywf7UudEZKOnGRUNAVLhzkP24lyaYdM5k4CS";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdCKdpbqvoIHJXbkSGZDXQ8jYZGNdIs4T1v0UTrO+UD";

    fn candidate(origin: Origin, line: &str, value: &str) -> Candidate {
        let material = Material::ssh(line).unwrap();
        Candidate { origin, value: value.to_owned(), material, public: line.to_owned() }
    }

    #[test]
    fn what_is_named_goes_before_what_is_configured_and_that_before_what_is_found() {
        let mut all = vec![
            candidate(Origin::Agent, OTHER, "agent"),
            candidate(Origin::File, ED25519, "file"),
            candidate(Origin::Configured, ED25519, "configured"),
            candidate(Origin::Named, OTHER, "named"),
        ];
        for wanted in ["named", "configured", "file", "agent"] {
            assert_eq!(choose(&all, None).unwrap().value, wanted);
            assert!(choose(&all, Some(Signing::OpenPgp)).is_none());
            all.retain(|one| one.value != wanted);
        }
        assert!(choose(&all, None).is_none());
    }

    #[test]
    fn a_key_on_hardware_goes_before_one_in_a_file_whoever_offers_it() {
        use data_encoding::BASE64;
        let blob = BASE64.decode(ED25519.split(' ').nth(1).unwrap().as_bytes()).unwrap();
        let fields: [&[u8]; 3] = [b"sk-ssh-ed25519@openssh.com", &blob[blob.len() - 32..], b"ssh:"];
        let blob = fields.map(|field| [&(field.len() as u32).to_be_bytes()[..], field].concat()).concat();
        let line = format!("sk-ssh-ed25519@openssh.com {}", BASE64.encode(&blob));
        for origin in [Origin::File, Origin::Agent] {
            let all = [candidate(Origin::File, ED25519, "file"), candidate(origin, &line, "hardware")];
            assert_eq!(choose(&all, Some(Signing::Ssh)).unwrap().value, "hardware");
        }
    }

    #[test]
    fn signing_is_switched_on_last_and_what_differs_is_told() {
        let key = candidate(Origin::File, ED25519, "/home/a b/.ssh/id.pub");
        let made = settings(&key, None, |name| match name {
            "gpg.format" => Existing { here: Some("openpgp".into()), effective: Some("openpgp".into()) },
            "tag.gpgsign" => Existing { here: Some("Yes".into()), effective: Some("Yes".into()) },
            "commit.gpgsign" => Existing { here: None, effective: Some("false".into()) },
            _ => Existing::default(),
        });
        let states: Vec<_> = made.iter().map(|one| (one.name, one.state())).collect();
        let wanted = [
            ("gpg.format", State::Different),
            ("user.signingkey", State::New),
            ("commit.gpgsign", State::New),
            ("tag.gpgsign", State::Same),
        ];
        assert_eq!(states, wanted);
        assert_eq!(made[2].overruled(), Some("false"));
        assert_eq!(made[0].overruled(), None);
        assert_eq!(
            made[1].command("--global"),
            "git config --global user.signingkey '/home/a b/.ssh/id.pub'"
        );
    }

    #[test]
    fn words_are_quoted_so_that_no_shell_reads_more() {
        assert_eq!(quoted("plain/path.pub"), "plain/path.pub");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a'b; $(x)"), "'a'\\''b; $(x)'");
        assert!(!quoted("a\nb").contains('\n'));
    }

    #[test]
    fn only_keys_that_can_sign_are_listed() {
        let listing = "sec:u:255:22:AAAA:1:::u:::scESC:::+::ed25519:::0:\nfpr:::::::::GOOD:\nssb:u:::::::::::\nfpr:::::::::SUB:\n\
                       sec:e:255:22:BBBB:1:::u:::scESC:\nfpr:::::::::OLD:\nsec:u:255:22:CCCC:1:::u:::eE:\nfpr:::::::::CANNOT:\n";
        assert_eq!(secret_keys(listing), ["GOOD"]);
        assert_eq!(ended_keys(listing), ["OLD"]);
    }
}
