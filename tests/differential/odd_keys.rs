//! Keys that no tool makes, or that need hardware: certificates of OpenPGP with one thing wrong, keys of
//! version 6, authenticators in software, and OpenSSH certificates.

use crate::crafted::{
    self, CraftedKey, CraftedSignature, ED448, ED25519, EDDSA_LEGACY, bind, certify, number, subpacket,
    user_id,
};
use crate::keys::{DAY, Ssh};
use crate::objects::{Checksum, Kind, Signed, armored};
use crate::signers::{AGE, Plain, Workshop};
use crate::ssh_craft::{self, Cert, Key};
use std::fmt::Write as _;
use std::process::Command;

/// Puts an object of each kind into `all`.
fn both(all: &mut Vec<Signed>, name: &str, time: i64, sign: impl Fn(&[u8]) -> Vec<u8>) {
    for kind in [Kind::Commit, Kind::Tag] {
        let payload = Workshop::payload(kind, time, name);
        let armor = sign(&payload);
        all.push(Signed { name: format!("{name} {}", kind.name()), kind, payload, armor });
    }
}

/// The issuer by its key id, which gpg looks for.
fn issuer(key: &CraftedKey) -> Vec<u8> {
    subpacket(16, &key.key_id())
}

/// A signature as gpg makes it.
fn plainly(key: &CraftedKey, time: i64) -> CraftedSignature {
    CraftedSignature::new(0, time).unhashed(issuer(key))
}

/// In an armor with the checksum that gpg wants.
fn over(signature: &CraftedSignature, key: &CraftedKey, payload: &[u8]) -> Vec<u8> {
    armored("PGP SIGNATURE", &signature.packet(key, &[payload]), 64, Checksum::Right)
}

impl Workshop {
    /// A keyring's file, and the certificate for the others where they can read it.
    fn list_crafted(&mut self, name: &str, packets: &[u8], others: bool) {
        let armor = String::from_utf8(crafted::key_armor(packets)).unwrap();
        let name = name.replace(' ', "-").to_lowercase();
        if others {
            // Not in armor: gpg wants a checksum there.
            self.trust.certificates.push(packets.to_vec());
        }
        let file = format!("name = \"{name}\"\n\n[[key]]\nopenpgp = \"\"\"\n{armor}\"\"\"\n");
        self.trust.keyring.push((format!("{name}.toml"), file));
    }

    /// OpenPGP, byte by byte.
    pub fn crafted(&mut self, all: &mut Vec<Signed>) {
        let (born, time) = (self.born(), self.now - AGE);
        let mut seed = 10;
        let mut key = || {
            seed += 1;
            CraftedKey::of(EDDSA_LEGACY, seed, 4, born)
        };

        // Certificates with one thing wrong, or none. The subkey is there where it is the one that signs.
        type Make<'a> = &'a dyn Fn(&CraftedKey, &CraftedKey, &CraftedKey) -> Vec<u8>;
        let head = |primary: &CraftedKey, flags: u8| {
            [primary.primary(), user_id(), certify(primary, born, flags, issuer(primary))].concat()
        };
        let gone = |one: &CraftedKey, by: &CraftedKey, reason: u8| {
            let revocation = crafted::revocation(born + 200 * DAY, Some(reason)).with(issuer(one));
            [head(one, 3), revocation.packet(by, &[&one.framed()])].concat()
        };
        let bound = |one: &CraftedKey, sub: &CraftedKey, flags: u8, more: Vec<u8>| {
            let binding = bind(one, sub, born, flags, [issuer(one), more].concat());
            [head(one, 1), sub.subkey(), binding].concat()
        };
        let certificates: [(&str, bool, Make<'_>); 13] = [
            ("a crafted key", false, &|one, _, _| head(one, 3)),
            ("a key that may only certify", false, &|one, _, _| head(one, 1)),
            ("a crafted key revoked", false, &|one, _, _| gone(one, one, 2)),
            ("a crafted key retired long ago", false, &|one, _, _| gone(one, one, 3)),
            ("a revocation by another", false, &|one, _, other| gone(one, other, 2)),
            ("a crafted subkey", true, &|one, sub, _| bound(one, sub, 2, vec![])),
            ("a subkey without a back signature", true, &|one, sub, _| {
                let binding = CraftedSignature::new(0x18, born).with(crafted::flags(2)).with(issuer(one));
                let binding = binding.packet(one, &[&one.framed(), &sub.framed()]);
                [head(one, 1), sub.subkey(), binding].concat()
            }),
            ("a back signature by another", true, &|one, sub, other| {
                let parts: [&[u8]; 2] = [&one.framed(), &sub.framed()];
                let back = CraftedSignature::new(0x19, born).body(other, &parts);
                let binding = CraftedSignature::new(0x18, born).with(crafted::flags(2)).with(issuer(one));
                let binding = binding.unhashed(subpacket(32, &back)).packet(one, &parts);
                [head(one, 1), sub.subkey(), binding].concat()
            }),
            ("a subkey that encrypts", true, &|one, sub, _| bound(one, sub, 0x0c, vec![])),
            ("a subkey bound by another", true, &|one, sub, other| {
                [head(one, 1), sub.subkey(), bind(other, sub, born, 2, issuer(one))].concat()
            }),
            ("a subkey bound for a while", true, &|one, sub, _| bound(one, sub, 2, number(9, 100 * DAY))),
            ("a subkey revoked as compromised", true, &|one, sub, _| {
                let revoked = CraftedSignature::new(0x28, born + 200 * DAY).with(subpacket(29, &[2]));
                let revoked = revoked.with(issuer(one)).packet(one, &[&one.framed(), &sub.framed()]);
                [bound(one, sub, 2, vec![]), revoked].concat()
            }),
            ("a subkey bound with an unknown critical subpacket", true, &|one, sub, _| {
                bound(one, sub, 2, subpacket(0x80 | 99, b"?"))
            }),
        ];
        for (name, by_subkey, make) in certificates {
            let (one, sub, other) = (key(), key(), key());
            let signer = if by_subkey { &sub } else { &one };
            both(all, name, time, |payload| over(&plainly(signer, time), signer, payload));
            self.list_crafted(name, &make(&one, &sub, &other), true);
        }

        // Signatures with one thing odd, by a good key.
        let good = key();
        self.list_crafted("crafted-good", &head(&good, 3), true);
        type Odd<'a> = &'a dyn Fn(CraftedSignature) -> CraftedSignature;
        let odd: [(&str, Odd<'_>); 9] = [
            ("a hashed unknown subpacket", &|one| one.with(subpacket(99, b"?"))),
            ("a hashed unknown critical subpacket", &|one| one.with(subpacket(0x80 | 99, b"?"))),
            ("no fingerprint of the issuer", &CraftedSignature::anonymous),
            ("nothing hashed", &|one| one.bare().anonymous()),
            ("two times", &|one| one.with(number(2, time - DAY))),
            ("an expiry that has passed", &|one| one.with(number(3, 60))),
            ("an expiry of zero", &|one| one.with(number(3, 0))),
            ("a lie about its version", &|mut one| {
                one.version = Some(5);
                one
            }),
            ("a wrong digest prefix", &|mut one| {
                one.breaks_prefix = true;
                one
            }),
        ];
        for (name, change) in odd {
            both(all, &format!("crafted, {name}"), time, |payload| {
                over(&change(plainly(&good, time)), &good, payload)
            });
        }
        for (name, kind) in [("a certification", 0x13), ("a timestamp", 0x40), ("a revocation", 0x20)] {
            both(all, &format!("{name} over an object"), time, |payload| {
                let mut signature = plainly(&good, time);
                signature.kind = kind;
                over(&signature, &good, payload)
            });
        }
        self.unreadable(all);
    }

    /// Keys that gpg 2.2 and sqv 1.1 do not know: OpenSSL judges their numbers.
    fn unreadable(&mut self, all: &mut Vec<Signed>) {
        let (born, time) = (self.born(), self.now - AGE);
        for (name, algorithm, version, seed) in [
            ("native Ed25519", ED25519, 4, 101),
            ("version 6 Ed25519", ED25519, 6, 102),
            ("version 6 Ed448", ED448, 6, 103),
        ] {
            let key = CraftedKey::of(algorithm, seed, version, born);
            let length = if algorithm == ED448 { 57 } else { 32 };
            let point = key.body[key.body.len() - length..].to_vec();
            self.trust.plain.push(Plain { fingerprint: key.fingerprint(), algorithm, point });
            self.list_crafted(name, &crafted::simple(&key, born), false);
            let add = |signature: CraftedSignature, name: &str, all: &mut Vec<Signed>| {
                both(all, name, time, |payload| over(&signature, &key, payload));
            };
            let new = |kind: u8| CraftedSignature::new(kind, time);
            add(new(0), name, all);
            add(new(0).with(crafted::notation(false)), &format!("{name}, a notation"), all);
            add(new(0).with(crafted::notation(true)), &format!("{name}, a critical notation"), all);
            add(new(1), &format!("{name}, text"), all);
            add(new(0).with(number(3, 60)), &format!("{name}, expired"), all);
        }
    }

    fn list_key(&mut self, name: &str, key: &Key, entry: &str) {
        let line = key.line();
        writeln!(self.trust.allowed_signers, "{name}@example.org namespaces=\"git\" {line}").unwrap();
        let file = format!("name = \"{name}\"\n\n[[key]]\nssh = \"{line}\"\n{entry}");
        self.trust.keyring.push((format!("{name}.toml"), file));
    }

    /// FIDO authenticators.
    pub fn authenticators(&mut self, all: &mut Vec<Signed>) {
        let time = self.now - AGE;
        for (name, seed) in [("sk-ed25519", 120), ("sk-p256", 125)] {
            let make = if name == "sk-p256" { Key::p256 } else { Key::ed25519 };
            let key = make(seed).fido("ssh:");
            self.list_key(name, &key, "");
            for (what, flags, counter) in [
                ("touched", 1, 7),
                ("touched, by a known user", 5, 8),
                ("touched, and more flags", 0x41, 9),
                ("not touched", 0, 10),
                ("a user and no touch", 4, 11),
            ] {
                let key = key.clone().with(flags, counter);
                both(all, &format!("{name} {what}"), time, |payload| key.sshsig(payload));
            }
            let key = make(seed + 1).fido("ssh:");
            self.list_key(&format!("{name}-pin"), &key, "user-verification = \"required\"\n");
            both(all, &format!("{name} without its PIN"), time, |payload| key.sshsig(payload));
            let key = make(seed + 2).fido("https://example.org");
            self.list_key(&format!("{name}-web"), &key, "");
            both(all, &format!("{name} of a website"), time, |payload| key.sshsig(payload));
            // An authenticator's key and a signature without flags, and the other way round.
            let (bare, token) = (make(seed + 3), make(seed + 3).fido("ssh:"));
            self.list_key(&format!("{name}-mixed"), &token, "");
            both(all, &format!("{name} that did not frame"), time, |payload| {
                ssh_craft::sshsig(&token.blob(), &bare, payload)
            });
        }
    }

    /// OpenSSH certificates.
    pub fn certified(&mut self, all: &mut Vec<Signed>) {
        let (now, time) = (self.now, self.now - AGE);
        let authority = Key::ed25519(140);
        let mut list = |name: &str, line: &str, entry: &str| {
            let trust = &mut self.trust;
            writeln!(trust.allowed_signers, "*@example.org cert-authority,namespaces=\"git\" {line}")
                .unwrap();
            let file = format!(
                "name = \"{name}\"\n\n[[authority]]\nssh = \"{line}\"\nprincipals = [\"*@example.org\"]\n{entry}"
            );
            trust.keyring.push((format!("{name}.toml"), file));
        };
        list("authority", &authority.line(), "");
        let limited = Key::p256(141);
        list("authority-limited", &limited.line(), "serials = [\"100-200\"]\n");
        let gone = Key::ed25519(142);
        let revoked = "revoked = { at = 2020-01-01T00:00:00Z, reason = \"compromised\" }\n";
        list("authority-gone", &gone.line(), revoked);
        let stranger = Key::ed25519(143);

        let user = Key::ed25519(150);
        let plain = Cert { principals: vec![b"holder@example.org"], ..Cert::new(now - 30 * DAY, now + DAY) };
        let option = |name: &'static [u8]| vec![(name, ssh_craft::strings(&[b"x"]))];
        let of = |cert: Cert<'static>| (cert, user.clone(), authority.clone());
        let touched = Key::p256(151).fido("ssh:");
        let cases: Vec<(&str, (Cert<'static>, Key, Key))> = vec![
            ("a certificate", of(plain.clone())),
            ("a certificate of P-256", (plain.clone(), Key::p256(152), authority.clone())),
            ("a certificate of an authenticator", (plain.clone(), touched.clone(), authority.clone())),
            (
                "a certificate of one nobody touched",
                (plain.clone(), touched.clone().with(0, 3), authority.clone()),
            ),
            (
                "a certificate within its serials",
                (Cert { serial: 150, ..plain.clone() }, user.clone(), limited.clone()),
            ),
            ("a certificate outside of its serials", (plain.clone(), user.clone(), limited)),
            ("a certificate by an authority that is gone", (plain.clone(), user.clone(), gone)),
            ("a certificate by a stranger", (plain.clone(), user.clone(), stranger.clone())),
            (
                "a certificate forged",
                (Cert { authority: Some(authority.blob()), ..plain.clone() }, user.clone(), stranger),
            ),
            (
                "a certificate that ended",
                of(Cert { before: (now - 2 * DAY).unsigned_abs(), ..plain.clone() }),
            ),
            (
                "a certificate that ended since",
                of(Cert { before: (now - AGE / 2).unsigned_abs(), ..plain.clone() }),
            ),
            ("a certificate to come", of(Cert { after: (now + DAY / 2).unsigned_abs(), ..plain.clone() })),
            ("a certificate for ever", of(Cert { before: u64::MAX, ..plain.clone() })),
            ("a host's certificate", of(Cert { kind: 2, ..plain.clone() })),
            ("a certificate for nobody", of(Cert { principals: vec![], ..plain.clone() })),
            (
                "a certificate for somebody else",
                of(Cert { principals: vec![b"x@example.com"], ..plain.clone() }),
            ),
            (
                "a certificate for two",
                of(Cert { principals: vec![b"x@example.com", b"holder@example.org"], ..plain.clone() }),
            ),
            (
                "a certificate with a command",
                of(Cert { critical: option(b"force-command"), ..plain.clone() }),
            ),
            (
                "a certificate with an option",
                of(Cert { critical: option(b"x@example.org"), ..plain.clone() }),
            ),
            (
                "a certificate with an extension",
                of(Cert { extensions: option(b"\xff\x00"), ..plain.clone() }),
            ),
            ("a certificate with more behind it", of(Cert { trailing: b"x", ..plain.clone() })),
            ("a certificate with something reserved", of(Cert { reserved: b"x", ..plain.clone() })),
        ];
        for (name, (cert, key, authority)) in cases {
            let blob = cert.make(&key, &authority);
            both(all, name, time, |payload| ssh_craft::sshsig(&blob, &key, payload));
        }
        // The certificate of one, the signature by another.
        let blob = plain.make(&user, &authority);
        both(all, "a certificate, stolen", time, |payload| {
            ssh_craft::sshsig(&blob, &Key::ed25519(153), payload)
        });

        // And by ssh-keygen, for the kinds that are not made here.
        let mut number = 0;
        for (kind, bits) in [("rsa", "2048"), ("ecdsa", "384"), ("ecdsa", "521")] {
            number += 1;
            let name = format!("authority-{kind}-{bits}");
            let path = self.ssh.generate(&name, kind, bits);
            let key = self.ssh.generate(&format!("holder-{kind}-{bits}"), kind, bits);
            let mut command = Command::new("ssh-keygen");
            command.arg("-q").arg("-s").arg(&path).args(["-I", "a test", "-n", "holder@example.org", "-z"]);
            command.arg(number.to_string()).args(["-V", "-1d:+1d"]);
            crate::keys::run(command.arg(key.with_extension("pub")), b"");
            let certificate = key.with_file_name(format!("holder-{kind}-{bits}-cert.pub"));
            both(all, &format!("a certificate by {kind} {bits}"), time, |payload| {
                Ssh::sign(&certificate, "git", &[], payload)
            });
            let line = Ssh::public(&path).trim().to_owned();
            let trust = &mut self.trust;
            writeln!(trust.allowed_signers, "*@example.org cert-authority,namespaces=\"git\" {line}")
                .unwrap();
            let file = format!(
                "name = \"{name}\"\n\n[[authority]]\nssh = \"{line}\"\nprincipals = [\"*@example.org\"]\n"
            );
            trust.keyring.push((format!("{name}.toml"), file));
        }
    }
}
