//! Keys of every kind by the real tools, what they signed, and the same key material for everybody who
//! judges.

use crate::keys::{DAY, Gpg, Ssh};
use crate::objects::{Kind, Signed};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the judges are given.
pub struct Trust {
    /// Certificates, armored or not, for gpg and sqv, each in its last state.
    pub certificates: Vec<Vec<u8>>,
    /// An `allowed_signers` file.
    pub allowed_signers: String,
    /// Public keys that OpenSSH shall take for revoked.
    pub revoked_ssh: String,
    /// Our keyring: names and texts of its files.
    pub keyring: Vec<(String, String)>,
    /// OpenPGP keys that neither gpg nor sqv can read, for OpenSSL.
    pub plain: Vec<Plain>,
}

/// A bare public key.
#[derive(Clone)]
pub struct Plain {
    pub fingerprint: Vec<u8>,
    /// 27 is Ed25519, 28 is Ed448.
    pub algorithm: u8,
    pub point: Vec<u8>,
}

impl Plain {
    /// As OpenSSL reads it.
    pub fn der(&self) -> Vec<u8> {
        let head: &[u8] = match self.algorithm {
            27 => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
            _ => b"\x30\x43\x30\x05\x06\x03\x2b\x65\x71\x03\x3a\x00",
        };
        [head, &self.point].concat()
    }
}

/// The armored OpenPGP signatures need keys that live here while the objects are made.
pub struct Workshop {
    pub(crate) now: i64,
    gpg: Gpg,
    pub(crate) ssh: Ssh,
    pub(crate) trust: Trust,
}

/// An object is a bit older than now: nothing arrives in the second in which it was made.
pub const AGE: i64 = 600;

impl Workshop {
    pub fn new(now: i64) -> Self {
        let trust = Trust {
            certificates: Vec::new(),
            allowed_signers: String::new(),
            revoked_ssh: String::new(),
            keyring: Vec::new(),
            plain: Vec::new(),
        };
        Workshop { now, gpg: Gpg::new(), ssh: Ssh::new(), trust }
    }

    pub fn born(&self) -> i64 {
        self.now - 400 * DAY
    }

    fn pgp_key(&self, name: &str, algorithm: &str, usage: &str, expire: &str) -> String {
        let id = format!("Test Key {name} (not a real one) <{name}@example.org>");
        self.gpg.run(self.born(), &["--quick-gen-key", &id, algorithm, usage, expire], b"");
        let address = format!("<{name}@example.org>");
        self.fingerprints(&address).remove(0)
    }

    fn fingerprints(&self, of: &str) -> Vec<String> {
        let listing =
            self.gpg.run(self.now, &["--with-colons", "--with-subkey-fingerprint", "--list-keys", of], b"");
        let text = String::from_utf8(listing).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("fpr:"));
        lines.map(|line| line.trim_matches(':').to_owned()).collect()
    }

    fn subkey(&self, fingerprint: &str, algorithm: &str, expire: &str) -> String {
        self.gpg.run(self.born(), &["--quick-add-key", fingerprint, algorithm, "sign", expire], b"");
        self.fingerprints(fingerprint).pop().unwrap()
    }

    /// Lists a certificate everywhere; `more` is a revocation certificate to append.
    fn list_pgp(&mut self, name: &str, fingerprint: &str, more: &[u8], entry: &str) {
        let export = self.gpg.export(fingerprint);
        let both = [&export[..], more].concat();
        let text = String::from_utf8(both.clone()).unwrap();
        self.trust.certificates.push(export);
        if !more.is_empty() {
            self.trust.certificates.push(more.to_vec());
        }
        let file = format!("name = \"{name}\"\n\n[[key]]\nopenpgp = \"\"\"\n{text}\"\"\"\n{entry}");
        self.trust.keyring.push((format!("{name}.toml"), file));
    }

    fn list_ssh(&mut self, name: &str, key: &Path, options: &str, entry: &str) {
        let line = Ssh::public(key);
        let line = line.trim();
        writeln!(self.trust.allowed_signers, "{name}@example.org namespaces=\"git\"{options} {line}")
            .unwrap();
        let file = format!("name = \"{name}\"\n\n[[key]]\nssh = \"{line}\"\n{entry}");
        self.trust.keyring.push((format!("{name}.toml"), file));
    }

    /// An object of `kind` that claims `time`.
    pub fn payload(kind: Kind, time: i64, message: &str) -> Vec<u8> {
        let who = format!("Test Key <test@example.org> {time} +0000");
        let parent = "5f549aa2f78314ac37bbd436c8f80aea4c752e07";
        match kind {
            Kind::Commit => {
                let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
                format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\n{message}\n")
            }
            Kind::Tag => format!("object {parent}\ntype commit\ntag v1\ntagger {who}\n\n{message}\n"),
        }
        .into_bytes()
    }

    fn pgp(&self, all: &mut Vec<Signed>, name: &str, key: &str, time: i64, more: &[&str]) {
        for kind in [Kind::Commit, Kind::Tag] {
            let payload = Self::payload(kind, time, name);
            let armor = self.gpg.sign(time, key, more, &payload);
            all.push(Signed { name: format!("{name} {}", kind.name()), kind, payload, armor });
        }
    }

    fn ssh(all: &mut Vec<Signed>, name: &str, key: &Path, namespace: &str, time: i64, more: &[&str]) {
        for kind in [Kind::Commit, Kind::Tag] {
            let payload = Self::payload(kind, time, name);
            let armor = Ssh::sign(key, namespace, more, &payload);
            all.push(Signed { name: format!("{name} {}", kind.name()), kind, payload, armor });
        }
    }

    /// Objects that nobody should have made, signed as they are.
    fn odd(kind: Kind, time: i64) -> Vec<(&'static str, Vec<u8>)> {
        let plain = String::from_utf8(Self::payload(kind, time, "odd")).unwrap();
        let date = format!(" {time} +0000\n");
        let last = match kind {
            Kind::Commit => format!("committer Test Key <test@example.org>{date}"),
            Kind::Tag => format!("tagger Test Key <test@example.org>{date}"),
        };
        let after = |what: &str| plain.replacen(&last, &format!("{last}{what}"), 1);
        let dated = |what: &str| plain.replacen(&last, &last.replacen(&time.to_string(), what, 1), 1);
        let mut all = vec![
            ("an encoding header", after("encoding ISO-8859-1\n")),
            ("an unknown header", after("change-id abc\n")),
            ("a gpgsigfoo header, signed", after("gpgsigfoo x\n")),
            ("a NUL in the body", format!("{plain}a\0b\n")),
            ("a NUL in the head", plain.replacen("Test Key", "Test\0Key", 1)),
            ("no message", plain.replacen("\nodd\n", "", 1) + "\n"),
            ("no line feed at the end", plain.trim_end().to_owned()),
            ("CR in the body", plain.replace("odd\n", "odd\r\nmore\r\n")),
            ("CR in the head", plain.replacen(" +0000\n", " +0000\r\n", 1)),
            ("time zero", dated("0")),
            ("a negative time", dated("-1")),
            ("a time with a leading zero", dated(&format!("0{time}"))),
            ("a time far away", dated("99999999999")),
            ("a time that overflows", dated("18446744073709551617")),
            ("no time", plain.replacen(&last, &last.replacen(&date, "\n", 1), 1)),
            ("an odd zone", dated(&format!("{time} +9999")).replacen(" +0000", "", 1)),
            ("two addresses", plain.replacen("<test@example.org>", "<a@example.org> <test@example.org>", 1)),
            ("escapes in the name", plain.replacen("Test Key", "Test\u{1b}[31m Key", 1)),
            ("no last line", plain.replacen(&last, "", 1)),
            ("the last line twice", after(&last)),
            ("a marker in the body", format!("{plain}-----BEGIN PGP SIGNATURE-----\n\nmore\n")),
            ("a long message", format!("{plain}{}", "line after line\n".repeat(2_000))),
        ];
        match kind {
            Kind::Commit => {
                let line = |name: &str| plain.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
                let tree = line("tree");
                all.push(("two trees", plain.replacen(&tree, &format!("{tree}\n{tree}"), 1)));
                all.push((
                    "an upper case id",
                    plain.replacen(&tree, &tree.to_uppercase().replace("TREE", "tree"), 1),
                ));
                all.push(("a parent at the end", after(&format!("{}\n", line("parent")))));
                all.push(("a second author", after(&format!("{}\n", line("author")))));
                all.push(("no author", plain.replacen(&format!("{}\n", line("author")), "", 1)));
                all.push(("a root", plain.replacen(&format!("{}\n", line("parent")), "", 1)));
                all.push(("a folded header", after("x-note a\n b\n c\n")));
                all.push(("a continuation first", format!(" x\n{plain}")));
            }
            Kind::Tag => {
                all.push(("two names", plain.replacen("tag v1\n", "tag v1\ntag v2\n", 1)));
                all.push((
                    "another order",
                    plain.replacen("type commit\ntag v1\n", "tag v1\ntype commit\n", 1),
                ));
                all.push(("a tag of a tree", plain.replacen("type commit", "type tree", 1)));
                all.push(("a tag of nothing known", plain.replacen("type commit", "type comet", 1)));
            }
        }
        all.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
    }

    /// Everything signed, and what the judges get.
    pub fn work(mut self) -> (Vec<Signed>, Trust) {
        let mut all = Vec::new();
        self.openpgp(&mut all);
        self.openssh(&mut all);
        self.crafted(&mut all);
        self.authenticators(&mut all);
        self.certified(&mut all);
        (all, self.trust)
    }

    fn openpgp(&mut self, all: &mut Vec<Signed>) {
        let time = self.now - AGE;
        let whole = |fingerprint: &str| format!("{fingerprint}!");
        for (name, algorithm) in [
            ("ed25519", "ed25519"),
            ("rsa2048", "rsa2048"),
            ("p256", "nistp256"),
            ("p384", "nistp384"),
            ("p521", "nistp521"),
            ("rsa1024", "rsa1024"),
            ("dsa", "dsa2048"),
        ] {
            let key = self.pgp_key(name, algorithm, "sign", "never");
            self.pgp(all, name, &whole(&key), time, &[]);
            self.list_pgp(name, &key, b"", "");
            if matches!(name, "ed25519" | "rsa2048") {
                self.variations(all, name, &whole(&key), time);
            }
        }
        // One certificate with several subkeys.
        let primary = self.pgp_key("subkeys", "ed25519", "cert", "never");
        let subkeys = [
            ("a subkey", self.subkey(&primary, "ed25519", "never")),
            ("an RSA subkey", self.subkey(&primary, "rsa2048", "never")),
            ("an expired subkey", self.subkey(&primary, "ed25519", "100d")),
            ("a revoked subkey", self.subkey(&primary, "ed25519", "never")),
        ];
        for (name, key) in &subkeys {
            let at = if name.contains("expired") { self.now - 350 * DAY } else { time };
            self.pgp(all, name, &whole(key), at, &[]);
        }
        self.gpg.converse(self.now - 30 * DAY, &["--edit-key", &primary], "key 4\nrevkey\ny\n0\n\ny\nsave\n");
        self.list_pgp("subkeys", &primary, b"", "");

        // Keys that ended, and whose signatures are older or newer than that.
        let key = self.pgp_key("expired", "ed25519", "sign", "100d");
        self.pgp(all, "a key expired since", &whole(&key), self.now - 350 * DAY, &[]);
        self.list_pgp("expired", &key, b"", "");
        let key = self.pgp_key("compromised", "ed25519", "sign", "never");
        self.pgp(all, "a key revoked for no reason", &whole(&key), time, &[]);
        let revocation = self.gpg.prepared_revocation(&key);
        self.list_pgp("compromised", &key, &revocation, "");
        let key = self.pgp_key("superseded", "ed25519", "sign", "never");
        self.pgp(all, "a superseded key, long ago", &whole(&key), self.now - 300 * DAY, &[]);
        self.pgp(all, "a superseded key, today", &whole(&key), time, &[]);
        let revocation = self.gpg.revocation(self.now - 30 * DAY, &key, 2);
        self.list_pgp("superseded", &key, &revocation, "");
        let key = self.pgp_key("kept-out", "ed25519", "sign", "never");
        self.pgp(all, "a key that the keyring revokes", &whole(&key), time, &[]);
        self.list_pgp(
            "kept-out",
            &key,
            b"",
            "revoked = { at = 2020-01-01T00:00:00Z, reason = \"compromised\" }\n",
        );
        let key = self.pgp_key("window", "ed25519", "sign", "never");
        self.pgp(all, "a key whose entry ended", &whole(&key), time, &[]);
        self.list_pgp("window", &key, b"", "valid-until = 2020-01-01T00:00:00Z\n");
        let key = self.pgp_key("stranger", "ed25519", "sign", "never");
        self.pgp(all, "a stranger", &whole(&key), time, &[]);
    }

    /// Signatures by one good key, each odd in its own way.
    fn variations(&self, all: &mut Vec<Signed>, name: &str, key: &str, time: i64) {
        for (what, more) in [
            ("text mode", &["--textmode"][..]),
            ("SHA-1", &["--digest-algo", "SHA1"]),
            ("SHA-224", &["--digest-algo", "SHA224"]),
            ("RIPEMD-160", &["--digest-algo", "RIPEMD160"]),
            ("SHA-384", &["--digest-algo", "SHA384"]),
            ("SHA-512", &["--digest-algo", "SHA512"]),
            ("a notation", &["--sig-notation", "n@example.org=x"]),
            ("a critical notation", &["--sig-notation", "!n@example.org=x"]),
            ("a policy", &["--sig-policy-url", "https://example.org/"]),
            ("a critical policy", &["--sig-policy-url", "!https://example.org/"]),
            ("an expiry to come", &["--default-sig-expire", "30d"]),
            ("a comment", &["--comment", "unsigned text"]),
        ] {
            self.pgp(all, &format!("{name} with {what}"), key, time, more);
        }
        let old = self.now - 10 * DAY;
        self.pgp(all, &format!("{name}, expired since"), key, old, &["--default-sig-expire", "1d"]);
        // The signature's time is not the object's.
        for (what, at) in [
            ("an hour ahead", self.now + 3_600),
            ("two minutes ahead", self.now + 120),
            ("days late", self.now - 2 * DAY),
        ] {
            for kind in [Kind::Commit, Kind::Tag] {
                let payload = Self::payload(kind, time, what);
                let armor = self.gpg.sign(at, key, &[], &payload);
                all.push(Signed { name: format!("{name} {what} {}", kind.name()), kind, payload, armor });
            }
        }
        for kind in [Kind::Commit, Kind::Tag] {
            for (what, payload) in Self::odd(kind, time) {
                let armor = self.gpg.sign(time, key, &[], &payload);
                all.push(Signed { name: format!("{name} {what} {}", kind.name()), kind, payload, armor });
            }
        }
    }

    fn openssh(&mut self, all: &mut Vec<Signed>) {
        let time = self.now - AGE;
        for (name, kind, bits) in [
            ("ssh-ed25519", "ed25519", "256"),
            ("ssh-p256", "ecdsa", "256"),
            ("ssh-p384", "ecdsa", "384"),
            ("ssh-p521", "ecdsa", "521"),
            ("ssh-rsa2048", "rsa", "2048"),
            ("ssh-rsa1024", "rsa", "1024"),
        ] {
            let key = self.ssh.generate(name, kind, bits);
            Self::ssh(all, name, &key, "git", time, &[]);
            let sha256 = format!("{name} with SHA-256");
            Self::ssh(all, &sha256, &key, "git", time, &["-O", "hashalg=sha256"]);
            if name == "ssh-ed25519" {
                Self::ssh(all, "ssh for files", &key, "file", time, &[]);
                Self::ssh(all, "ssh an hour ahead", &key, "git", self.now + 3_600, &[]);
                for kind in [Kind::Commit, Kind::Tag] {
                    for (what, payload) in Self::odd(kind, time) {
                        let armor = Ssh::sign(&key, "git", &[], &payload);
                        all.push(Signed {
                            name: format!("{name} {what} {}", kind.name()),
                            kind,
                            payload,
                            armor,
                        });
                    }
                }
            }
            self.list_ssh(name, &key, "", "");
        }
        let day = |seconds: i64| crate::keys::at(seconds).strftime("%Y%m%d%H%M%SZ").to_string();
        let rfc = |seconds: i64| crate::keys::at(seconds).to_string();
        let end = self.now - 10 * DAY;
        let key = self.ssh.generate("ended", "ed25519", "256");
        Self::ssh(all, "an ssh key that ended, today", &key, "git", time, &[]);
        Self::ssh(all, "an ssh key that ended, before", &key, "git", self.now - 20 * DAY, &[]);
        let entry = format!("valid-until = {}\n", rfc(end));
        self.list_ssh("ended", &key, &format!(",valid-before=\"{}\"", day(end)), &entry);
        let key = self.ssh.generate("begins", "ed25519", "256");
        Self::ssh(all, "an ssh key that has not begun", &key, "git", time, &[]);
        let begin = self.now + DAY;
        let entry = format!("valid-from = {}\n", rfc(begin));
        self.list_ssh("begins", &key, &format!(",valid-after=\"{}\"", day(begin)), &entry);
        let key = self.ssh.generate("revoked-ssh", "ed25519", "256");
        Self::ssh(all, "a revoked ssh key", &key, "git", time, &[]);
        self.trust.revoked_ssh.push_str(&Ssh::public(&key));
        self.list_ssh(
            "revoked-ssh",
            &key,
            "",
            "revoked = { at = 2020-01-01T00:00:00Z, reason = \"compromised\" }\n",
        );
        let key: PathBuf = self.ssh.generate("stranger", "ed25519", "256");
        Self::ssh(all, "an ssh stranger", &key, "git", time, &[]);
    }
}
