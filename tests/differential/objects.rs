//! Signed objects in pieces, and every way in which they are damaged here.

use data_encoding::BASE64;

/// Numbers that are the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commit,
    Tag,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Commit => "commit",
            Kind::Tag => "tag",
        }
    }
}

/// An object that a key signed, not yet put together.
#[derive(Clone)]
pub struct Signed {
    /// Who and what, for people.
    pub name: String,
    pub kind: Kind,
    pub payload: Vec<u8>,
    pub armor: Vec<u8>,
}

impl Signed {
    pub fn is_pgp(&self) -> bool {
        self.armor.starts_with(b"-----BEGIN PGP")
    }

    pub fn assemble(&self) -> Vec<u8> {
        match self.kind {
            Kind::Tag => [&self.payload[..], &self.armor].concat(),
            Kind::Commit => insert(&self.payload, header_end(&self.payload), &header("gpgsig", &self.armor)),
        }
    }

    /// The bytes inside the armor.
    pub fn blob(&self) -> Vec<u8> {
        let text = String::from_utf8_lossy(&self.armor).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with("-----") && !line.contains(": "));
        let data: String = lines.filter(|line| !line.starts_with('=')).collect();
        BASE64.decode(data.as_bytes()).unwrap_or_default()
    }

    /// The same object with other bytes in its armor.
    fn with_blob(&self, blob: &[u8]) -> Vec<u8> {
        self.with_armor(armored(self.label(), blob, 64, Checksum::Right))
    }

    fn label(&self) -> &'static str {
        if self.is_pgp() { "PGP SIGNATURE" } else { "SSH SIGNATURE" }
    }

    fn with_armor(&self, armor: Vec<u8>) -> Vec<u8> {
        Signed { armor, ..self.clone() }.assemble()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Right,
    Wrong,
    Absent,
}

fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00b7_04ce, |mut crc: u32, byte| {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
        crc & 0x00ff_ffff
    })
}

pub fn armored(label: &str, blob: &[u8], width: usize, checksum: Checksum) -> Vec<u8> {
    let text = BASE64.encode(blob);
    let mut out = format!("-----BEGIN {label}-----\n");
    let pgp = label.starts_with("PGP");
    if pgp {
        out.push('\n');
    }
    for line in text.as_bytes().chunks(width) {
        out.push_str(std::str::from_utf8(line).unwrap());
        out.push('\n');
    }
    if pgp && checksum != Checksum::Absent {
        let crc = crc24(blob) ^ u32::from(checksum == Checksum::Wrong);
        out.push_str(&format!("={}\n", BASE64.encode(&crc.to_be_bytes()[1..])));
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out.into_bytes()
}

/// Where the header part ends, its last line feed included.
pub fn header_end(raw: &[u8]) -> usize {
    raw.windows(2).position(|pair| pair == b"\n\n").map_or(raw.len(), |at| at + 1)
}

/// The lines of a header that holds `armor`.
pub fn header(name: &str, armor: &[u8]) -> Vec<u8> {
    let mut out = format!("{name} ").into_bytes();
    for byte in armor.strip_suffix(b"\n").unwrap_or(armor) {
        out.push(*byte);
        if *byte == b'\n' {
            out.push(b' ');
        }
    }
    out.push(b'\n');
    out
}

fn insert(raw: &[u8], at: usize, what: &[u8]) -> Vec<u8> {
    [&raw[..at], what, &raw[at..]].concat()
}

fn replaced(raw: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    if from.is_empty() {
        return raw.to_vec();
    }
    match raw.windows(from.len()).position(|window| window == from) {
        Some(at) => [&raw[..at], to, &raw[at + from.len()..]].concat(),
        None => raw.to_vec(),
    }
}

fn flipped(raw: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = raw.to_vec();
    if !out.is_empty() {
        let at = random.below(out.len());
        out[at] ^= 1 << random.below(8);
    }
    out
}

fn crlf(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect()
}

/// A line of the header part, by its number among those that begin with `name`.
fn header_line<'a>(raw: &'a [u8], name: &str) -> &'a [u8] {
    let head = &raw[..header_end(raw)];
    head.split_inclusive(|byte| *byte == b'\n').find(|line| line.starts_with(name.as_bytes())).unwrap_or(b"")
}

/// What can be done to any signed object.
const COMMON: &[&str] = &[
    "as it is",
    "a bit flipped anywhere",
    "a bit flipped in the payload",
    "a bit flipped in the signature's text",
    "a bit flipped in the signature's bytes",
    "cut short",
    "text after END",
    "a blank after END",
    "empty lines after END",
    "a second armor after END",
    "text before BEGIN",
    "text on the BEGIN line",
    "CR at the armor's line ends",
    "CR at the payload's line ends",
    "CR at the body's line ends",
    "narrow lines",
    "one long line",
    "spaces in the base64",
    "an empty line in the base64",
    "the label PGP MESSAGE",
    "the label SIGNED MESSAGE",
    "the label of the other kind",
    "another END label",
    "another's signature",
    "another time",
    "a NUL in the message",
    "a word more in the message",
    "the blob cut short",
    "a byte after the blob",
    "a byte of the blob dropped",
    "no content",
    "no END line",
    "a header repeated",
    "a header dropped",
    "an unknown header added",
    "signature removed",
    "padding removed from the base64",
    "another number in the identity's line",
    "a line doubled",
    "a line dropped",
    "two lines exchanged",
    "the head of another",
    "the body of another",
    "lines of another from somewhere on",
];

const COMMIT: &[&str] = &[
    "gpgsigfoo before",
    "gpgsigfoo after",
    "gpgsig-sha256 before",
    "gpgsig-sha256 with the signature itself",
    "the signature header twice",
    "another's signature header before",
    "another's signature header after",
    "garbage header first, the signature second",
    "signature header before author",
    "signature header first",
    "signature header after an unknown header",
    "two spaces on continuation lines",
    "a tab for the space",
    "GPGSIG in capitals",
    "a gpgsig header without value",
    "every line its own header",
    "the signature in the message",
    "also a signature in the message",
    "another parent",
    "the signature of a tag",
    "a mergetag with a signed tag",
];

const TAG: &[&str] = &[
    "a gpgsig header",
    "a gpgsig-sha256 header",
    "a gpgsig-evil header",
    "another's signature before",
    "a marker in the message",
    "CR before BEGIN",
    "another name",
    "the signature of a commit",
    "a blank before BEGIN",
];

const PGP: &[&str] = &[
    "no checksum",
    "a wrong checksum",
    "a Comment in the armor",
    "a Version in the armor",
    "a broken armor header",
    "no empty line after the armor's head",
    "a new packet header",
    "a long packet header",
    "an indeterminate length",
    "a partial length",
    "a marker packet before",
    "a marker packet after",
    "a user id packet after",
    "the packet twice",
    "another's packet before",
    "another's packet after",
    "an unhashed notation",
    "an unhashed critical notation",
    "an unhashed unknown subpacket",
    "an unhashed creation time",
    "an unhashed second issuer",
    "an unhashed issuer fingerprint of another",
    "no unhashed subpackets",
    "the unhashed issuer changed",
    "the hashed issuer changed",
    "version 3",
    "version 5",
    "version 6",
    "type text",
    "type standalone",
    "another hash algorithm",
    "another key algorithm",
    "another prefix",
    "a zero number",
    "a number with leading zeros",
    "a bit flipped in the hashed part",
    "a bit flipped in the unhashed part",
    "a bit flipped in the numbers",
    "a hashed subpacket moved out",
    "the hashed part of another",
    "the numbers of another",
    "everything unhashed twice",
];

const SSH: &[&str] = &[
    "version 0",
    "version 2",
    "something reserved",
    "another namespace",
    "an empty namespace",
    "another hash",
    "hash sha384",
    "another's key",
    "algorithm ssh-rsa",
    "algorithm rsa-sha2-256",
    "bytes in the signature's blob",
    "s of the other sign",
    "a wider number",
    "a certificate's type",
    "wrong magic",
    "a bit flipped in the key",
    "a bit flipped in the two numbers",
    "the last byte changed",
    "the fifth byte from the end changed",
    "five bytes dropped",
    "five bytes more",
    "the key without its certificate",
    "the signature of another",
    "the algorithm of another",
    "sha256 said, sha512 meant",
];

/// Everything that can be done to that object.
pub fn mutations(base: &Signed) -> Vec<&'static str> {
    let own = if base.kind == Kind::Commit { COMMIT } else { TAG };
    let kind = if base.is_pgp() { PGP } else { SSH };
    [COMMON, own, kind].concat()
}

/// The object `base`, damaged; `pool` has the others, whose pieces are taken where a second object is
/// needed.
pub fn mutate(name: &str, base: &Signed, pool: &[Signed], random: &mut Random) -> Vec<u8> {
    let alike: Vec<&Signed> =
        pool.iter().filter(|one| one.kind == base.kind && one.is_pgp() == base.is_pgp()).collect();
    let other = *random.pick(&alike);
    let raw = base.assemble();
    let armor = |armor: Vec<u8>| base.with_armor(armor);
    let edited = |from: &[u8], to: &[u8]| base.with_armor(replaced(&base.armor, from, to));
    let payload = |payload: Vec<u8>| Signed { payload, ..base.clone() }.assemble();
    let begin = format!("-----BEGIN {}-----\n", base.label()).into_bytes();
    match name {
        "as it is" => raw,
        "a bit flipped anywhere" => flipped(&raw, random),
        "a bit flipped in the payload" => payload(flipped(&base.payload, random)),
        "a bit flipped in the signature's text" => armor(flipped(&base.armor, random)),
        "a bit flipped in the signature's bytes" => base.with_blob(&flipped(&base.blob(), random)),
        "cut short" => raw[..random.below(raw.len())].to_vec(),
        "text after END" => armor([&base.armor[..], b"more text\n"].concat()),
        "a blank after END" => armor([base.armor.trim_ascii_end(), b" \n"].concat()),
        "empty lines after END" => armor([&base.armor[..], b"\n\n"].concat()),
        "a second armor after END" => armor([&base.armor[..], &other.armor].concat()),
        "text before BEGIN" => armor([b"some text\n", &base.armor[..]].concat()),
        "text on the BEGIN line" => edited(b"-----\n", b"----- \n"),
        "CR at the armor's line ends" => armor(crlf(&base.armor)),
        "CR at the payload's line ends" => payload(crlf(&base.payload)),
        "CR at the body's line ends" => {
            let (head, body) = base.payload.split_at(header_end(&base.payload));
            payload([head, b"\n", &crlf(body.get(1..).unwrap_or_default())].concat())
        }
        "narrow lines" => armor(armored(base.label(), &base.blob(), 40, Checksum::Right)),
        "one long line" => armor(armored(base.label(), &base.blob(), 100_000, Checksum::Right)),
        "spaces in the base64" => {
            let at = base.armor.len() / 2;
            armor(insert(&base.armor, at, b"  "))
        }
        "an empty line in the base64" => {
            let at = base.armor.len() / 2;
            let at = at + base.armor[at..].iter().position(|byte| *byte == b'\n').unwrap();
            armor(insert(&base.armor, at, b"\n"))
        }
        "the label PGP MESSAGE" => armor(relabelled(base, "PGP MESSAGE")),
        "the label SIGNED MESSAGE" => armor(relabelled(base, "SIGNED MESSAGE")),
        "the label of the other kind" => {
            armor(relabelled(base, if base.is_pgp() { "SSH SIGNATURE" } else { "PGP SIGNATURE" }))
        }
        "another END label" => edited(b"-----END ", b"-----END OTHER "),
        "another's signature" => armor(other.armor.clone()),
        "another time" => {
            let line =
                header_line(&base.payload, if base.kind == Kind::Commit { "committer" } else { "tagger" });
            let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let time = words[words.len().saturating_sub(2)];
            let step =
                *random.pick(&["0", "-5", "1000000000", "99999999999999", "18446744073709551616", "01"]);
            payload(replaced(&base.payload, time, step.as_bytes()))
        }
        "a NUL in the message" => payload([&base.payload[..], b"\0more\n"].concat()),
        "a word more in the message" => payload([&base.payload[..], b"more\n"].concat()),
        "the blob cut short" => {
            let blob = base.blob();
            base.with_blob(&blob[..blob.len() - 1 - random.below(blob.len() - 1)])
        }
        "a byte after the blob" => base.with_blob(&[&base.blob()[..], b"\0"].concat()),
        "a byte of the blob dropped" => {
            let mut blob = base.blob();
            blob.remove(random.below(blob.len()));
            base.with_blob(&blob)
        }
        "no content" => armor([&begin[..], format!("-----END {}-----\n", base.label()).as_bytes()].concat()),
        "no END line" => {
            let end = base.armor.windows(8).position(|window| window == b"-----END").unwrap_or(0);
            armor(base.armor[..end].to_vec())
        }
        "a header repeated" => {
            let names: &[&str] = match base.kind {
                Kind::Commit => &["tree", "parent", "author", "committer"],
                Kind::Tag => &["object", "type", "tag ", "tagger"],
            };
            let line = header_line(&base.payload, random.pick::<&str>(names));
            payload(insert(&base.payload, header_end(&base.payload), line))
        }
        "a header dropped" => {
            let names: &[&str] = match base.kind {
                Kind::Commit => &["tree", "author", "committer"],
                Kind::Tag => &["object", "type", "tag ", "tagger"],
            };
            let line = header_line(&base.payload, random.pick::<&str>(names)).to_vec();
            payload(replaced(&base.payload, &line, b""))
        }
        "an unknown header added" => {
            payload(insert(&base.payload, header_end(&base.payload), b"x-unknown value\n"))
        }
        "signature removed" => base.payload.clone(),
        "padding removed from the base64" => edited(b"=\n-----END", b"\n-----END"),
        "another number in the identity's line" => payload(replaced(
            &base.payload,
            b" +0000\n",
            random.pick::<&[u8]>(&[&b" +0900\n"[..], b" -0000\n", b" +00\n", b"\n"]),
        )),
        "a line doubled" | "a line dropped" | "two lines exchanged" => {
            let mut lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
            let (at, other) = (random.below(lines.len()), random.below(lines.len()));
            match name {
                "a line doubled" => lines.insert(at, lines[at]),
                "a line dropped" => drop(lines.remove(at)),
                _ => lines.swap(at, other),
            }
            lines.concat()
        }
        "the head of another" | "the body of another" => {
            let (head, body) = base.payload.split_at(header_end(&base.payload));
            let (others_head, others_body) = other.payload.split_at(header_end(&other.payload));
            payload(match name {
                "the head of another" => [others_head, body].concat(),
                _ => [head, others_body].concat(),
            })
        }
        "lines of another from somewhere on" => {
            let others = other.assemble();
            let lines: Vec<&[u8]> = raw.split_inclusive(|byte| *byte == b'\n').collect();
            let others: Vec<&[u8]> = others.split_inclusive(|byte| *byte == b'\n').collect();
            let at = random.below(lines.len().min(others.len()));
            [lines[..at].concat(), others[at..].concat()].concat()
        }
        _ if COMMIT.contains(&name) => of_commit(name, base, pool, other, &raw),
        _ if TAG.contains(&name) => of_tag(name, base, pool, other),
        _ if PGP.contains(&name) => of_pgp(name, base, other, random),
        _ if SSH.contains(&name) => of_ssh(name, base, other, random),
        _ => panic!("no such mutation: {name}"),
    }
}

fn relabelled(base: &Signed, label: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(&base.armor).into_owned();
    text.replace(base.label(), label).into_bytes()
}

fn of_commit(name: &str, base: &Signed, pool: &[Signed], other: &Signed, raw: &[u8]) -> Vec<u8> {
    let end = header_end(&base.payload);
    let at_end = |what: &[u8]| insert(&base.payload, end, what);
    let own = header("gpgsig", &base.armor);
    let others = header("gpgsig", &other.armor);
    let foreign =
        |kind: Kind| pool.iter().find(|one| one.kind == kind && one.is_pgp() == base.is_pgp()).unwrap();
    match name {
        "gpgsigfoo before" => at_end(&[b"gpgsigfoo smuggled\n more\n", &own[..]].concat()),
        "gpgsigfoo after" => at_end(&[&own[..], b"gpgsigfoo smuggled\n more\n"].concat()),
        "gpgsig-sha256 before" => at_end(&[b"gpgsig-sha256 smuggled\n", &own[..]].concat()),
        "gpgsig-sha256 with the signature itself" => {
            at_end(&[&own[..], &header("gpgsig-sha256", &base.armor)].concat())
        }
        "the signature header twice" => at_end(&[&own[..], &own].concat()),
        "another's signature header before" => at_end(&[&others[..], &own].concat()),
        "another's signature header after" => at_end(&[&own[..], &others].concat()),
        "garbage header first, the signature second" => at_end(&[b"gpgsig garbage\n", &own[..]].concat()),
        "signature header before author" => {
            let at =
                base.payload.windows(8).position(|window| window == b"\nauthor ").map_or(end, |at| at + 1);
            insert(&base.payload, at, &own)
        }
        "signature header first" => insert(&base.payload, 0, &own),
        "signature header after an unknown header" => at_end(&[b"x-unknown value\n", &own[..]].concat()),
        "two spaces on continuation lines" => {
            let text = String::from_utf8_lossy(&own).replace("\n ", "\n  ");
            at_end(text.as_bytes())
        }
        "a tab for the space" => at_end(&replaced(&own, b"gpgsig ", b"gpgsig\t")),
        "GPGSIG in capitals" => at_end(&replaced(&own, b"gpgsig ", b"GPGSIG ")),
        "a gpgsig header without value" => at_end(b"gpgsig\n"),
        "every line its own header" => {
            let text = String::from_utf8_lossy(&own).replace("\n ", "\ngpgsig ");
            at_end(text.as_bytes())
        }
        "the signature in the message" => [&base.payload[..], &base.armor].concat(),
        "also a signature in the message" => [raw, &other.armor[..]].concat(),
        "another parent" => {
            let line = b"\nauthor ";
            let parent = b"\nparent 83baae61804e65cc73a7201a7252750c76066a30\nauthor ";
            Signed { payload: replaced(&base.payload, line, parent), ..base.clone() }.assemble()
        }
        "the signature of a tag" => base.with_armor(foreign(Kind::Tag).armor.clone()),
        "a mergetag with a signed tag" => {
            let tag = header("mergetag", &foreign(Kind::Tag).assemble());
            Signed { payload: at_end(&tag), ..base.clone() }.assemble()
        }
        _ => panic!("no such mutation of a commit: {name}"),
    }
}

fn of_tag(name: &str, base: &Signed, pool: &[Signed], other: &Signed) -> Vec<u8> {
    let end = header_end(&base.payload);
    let with = |what: &[u8]| Signed { payload: insert(&base.payload, end, what), ..base.clone() }.assemble();
    match name {
        "a gpgsig header" => with(&header("gpgsig", &other.armor)),
        "a gpgsig-sha256 header" => with(b"gpgsig-sha256 smuggled\n more\n"),
        "a gpgsig-evil header" => with(b"gpgsig-evil smuggled\n"),
        "another's signature before" => [&base.payload[..], &other.armor, &base.armor].concat(),
        "a marker in the message" => {
            [&base.payload[..], b"-----BEGIN PGP MESSAGE-----\n", &base.armor].concat()
        }
        "CR before BEGIN" => [&base.payload[..], b"\r", &base.armor].concat(),
        "another name" => {
            Signed { payload: replaced(&base.payload, b"\ntag ", b"\ntag x"), ..base.clone() }.assemble()
        }
        "the signature of a commit" => {
            let is = |one: &&Signed| one.kind == Kind::Commit && one.is_pgp() == base.is_pgp();
            base.with_armor(pool.iter().find(is).unwrap().armor.clone())
        }
        "a blank before BEGIN" => base.with_armor([b" ", &base.armor[..]].concat()),
        _ => panic!("no such mutation of a tag: {name}"),
    }
}

/// The pieces of a signature packet.
pub struct Pgp {
    /// Version, type, algorithm, hash.
    pub head: [u8; 4],
    pub hashed: Vec<u8>,
    pub unhashed: Vec<u8>,
    /// The two octets of the digest, in version 6 the salt, and the numbers.
    pub rest: Vec<u8>,
    /// How many octets say how long an area is: four in version 6.
    pub width: usize,
}

impl Pgp {
    /// `None` for what is cut short.
    pub fn read(blob: &[u8]) -> Option<Self> {
        // GnuPG writes packets in the old format, this suite in the new one, with lengths of all kinds.
        let head = match (*blob.first()?, *blob.get(1)?) {
            (0xc0.., 255) => 6,
            (0xc0.., 192..) => 3,
            (0xc0.., _) => 2,
            (old, _) => [2, 3, 5, 1][usize::from(old & 3)],
        };
        let body = blob.get(head..)?;
        let width = if *body.first()? == 6 { 4 } else { 2 };
        let area = |at: usize| {
            let octets = body.get(at..at + width)?;
            let length = octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
            Some((body.get(at + width..at + width + length)?.to_vec(), at + width + length))
        };
        let (hashed, at) = area(4)?;
        let (unhashed, at) = area(at)?;
        let rest = body.get(at..).filter(|rest| rest.len() > 3)?.to_vec();
        Some(Pgp { head: body[..4].try_into().ok()?, hashed, unhashed, rest, width })
    }

    fn length(&self, area: &[u8]) -> Vec<u8> {
        u32::try_from(area.len()).unwrap().to_be_bytes()[4 - self.width..].to_vec()
    }

    /// What is hashed of the packet itself.
    pub fn hashed_part(&self) -> Vec<u8> {
        [&self.head[..], &self.length(&self.hashed), &self.hashed].concat()
    }

    fn body(&self) -> Vec<u8> {
        [&self.hashed_part()[..], &self.length(&self.unhashed), &self.unhashed, &self.rest].concat()
    }

    /// The subpackets of an area, each whole.
    pub fn subpackets(area: &[u8]) -> Vec<&[u8]> {
        let mut rest = area;
        let mut out = Vec::new();
        while let Some(first) = rest.first() {
            let whole = match first {
                255 => 5 + u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize,
                192.. => 2 + (usize::from(*first) - 192) * 256 + usize::from(rest[1]) + 192,
                short => 1 + usize::from(*short),
            };
            let (one, tail) = rest.split_at(whole);
            out.push(one);
            rest = tail;
        }
        out
    }
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0x80 | tag << 2 | 1][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn subpacket(kind: u8, data: &[u8]) -> Vec<u8> {
    [&[u8::try_from(data.len() + 1).unwrap(), kind][..], data].concat()
}

fn of_pgp(name: &str, base: &Signed, other: &Signed, random: &mut Random) -> Vec<u8> {
    let blob = base.blob();
    let armor = |text: Vec<u8>| base.with_armor(text);
    let edited = |from: &[u8], to: &[u8]| base.with_armor(replaced(&base.armor, from, to));
    let mut pgp = Pgp::read(&blob).unwrap();
    let notation = [&[0x80, 0, 0, 0, 0, 13, 0, 1][..], b"n@example.orgx"].concat();
    let others = Pgp::read(&other.blob()).unwrap();
    match name {
        "no checksum" => return armor(armored(base.label(), &blob, 64, Checksum::Absent)),
        "a wrong checksum" => return armor(armored(base.label(), &blob, 64, Checksum::Wrong)),
        "a Comment in the armor" => return edited(b"-----\n\n", b"-----\nComment: unsigned\n\n"),
        "a Version in the armor" => return edited(b"-----\n\n", b"-----\nVersion: GnuPG v1\n\n"),
        "a broken armor header" => return edited(b"-----\n\n", b"-----\nno colon here\n\n"),
        "no empty line after the armor's head" => return edited(b"-----\n\n", b"-----\n"),
        _ => {}
    }
    let body = pgp.body();
    let short = u8::try_from(body.len()).unwrap_or(0);
    let whole = match name {
        "a new packet header" if short > 0 && short < 192 => Some([&[0xc2, short][..], &body].concat()),
        "a new packet header" | "a long packet header" => {
            Some([&[0xc2, 0xff][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat())
        }
        "an indeterminate length" => Some([&[0x8b][..], &body].concat()),
        "a partial length" => {
            let left = u8::try_from((body.len() - 64) % 128).unwrap();
            let mut out = [&[0xc2, 0xe6][..], &body[..64]].concat();
            let rest = &body[64..];
            if rest.len() >= 128 {
                // 2 ^ 7 octets more before the last piece.
                out.extend([&[0xe7][..], &rest[..128]].concat());
                if rest.len() >= 256 {
                    return base.with_blob(&out);
                }
            }
            out.extend([&[left][..], &rest[rest.len() - usize::from(left)..]].concat());
            Some(out)
        }
        "a marker packet before" => Some([packet(10, b"PGP"), blob.clone()].concat()),
        "a marker packet after" => Some([blob.clone(), packet(10, b"PGP")].concat()),
        "a user id packet after" => Some([blob.clone(), packet(13, b"nobody")].concat()),
        "the packet twice" => Some([&blob[..], &blob].concat()),
        "another's packet before" => Some([other.blob(), blob.clone()].concat()),
        "another's packet after" => Some([blob.clone(), other.blob()].concat()),
        _ => None,
    };
    if let Some(whole) = whole {
        return base.with_blob(&whole);
    }
    match name {
        "an unhashed notation" => pgp.unhashed.extend(subpacket(20, &notation)),
        "an unhashed critical notation" => pgp.unhashed.extend(subpacket(0x80 | 20, &notation)),
        "an unhashed unknown subpacket" => pgp.unhashed.extend(subpacket(0x80 | 99, b"?")),
        "an unhashed creation time" => pgp.unhashed.extend(subpacket(2, &[0x40, 0, 0, 0])),
        "an unhashed second issuer" => {
            pgp.unhashed.extend(subpacket(16, b"\x01\x02\x03\x04\x05\x06\x07\x08"))
        }
        "an unhashed issuer fingerprint of another" => {
            pgp.unhashed.extend(subpacket(33, &[&[4][..], &[7; 20]].concat()));
        }
        "no unhashed subpackets" => pgp.unhashed.clear(),
        "the unhashed issuer changed" => pgp.unhashed = others.unhashed,
        "the hashed issuer changed" => pgp.hashed = others.hashed,
        "version 3" => pgp.head[0] = 3,
        "version 5" => pgp.head[0] = 5,
        "version 6" => pgp.head[0] = 6,
        "type text" => pgp.head[1] = 1,
        "type standalone" => pgp.head[1] = 2,
        "another hash algorithm" => pgp.head[3] = if pgp.head[3] == 8 { 10 } else { 8 },
        "another key algorithm" => pgp.head[2] = if pgp.head[2] == 1 { 22 } else { 1 },
        "another prefix" => pgp.rest[0] ^= 1,
        "a zero number" => {
            pgp.rest.truncate(2);
            pgp.rest.extend([0, 0, 0, 0]);
        }
        "a number with leading zeros" => {
            let bits = u16::from_be_bytes([pgp.rest[2], pgp.rest[3]]).next_multiple_of(8) + 8;
            let number = [&bits.to_be_bytes()[..], &[0]].concat();
            pgp.rest.splice(2..4, number);
        }
        "a bit flipped in the hashed part" => pgp.hashed = flipped(&pgp.hashed, random),
        "a bit flipped in the unhashed part" => pgp.unhashed = flipped(&pgp.unhashed, random),
        "a bit flipped in the numbers" => {
            let numbers = flipped(&pgp.rest[2..], random);
            pgp.rest.splice(2.., numbers);
        }
        "a hashed subpacket moved out" => {
            let all = Pgp::subpackets(&pgp.hashed);
            let at = random.below(all.len());
            let left = all.iter().enumerate().filter(|(index, _)| *index != at);
            let moved = all[at].to_vec();
            pgp.hashed = left.flat_map(|(_, one)| one.to_vec()).collect();
            pgp.unhashed.extend(moved);
        }
        "the hashed part of another" => (pgp.head, pgp.hashed) = (others.head, others.hashed),
        "the numbers of another" => pgp.rest = others.rest,
        "everything unhashed twice" => pgp.unhashed = pgp.unhashed.repeat(2),
        _ => panic!("no such mutation of an OpenPGP signature: {name}"),
    }
    base.with_blob(&packet(2, &pgp.body()))
}

fn string(data: &[u8]) -> Vec<u8> {
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat()
}

/// The fields of an SSHSIG: key, namespace, reserved, hash, signature.
fn ssh_fields(blob: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &blob[10..];
    let mut out = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (field, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        out.push(field.to_vec());
        rest = tail;
    }
    out
}

fn ssh_blob(version: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    let all: Vec<u8> = fields.iter().flat_map(|field| string(field)).collect();
    [&b"SSHSIG"[..], &version.to_be_bytes(), &all].concat()
}

fn two_strings(inner: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let first = 4 + u32::from_be_bytes(inner[..4].try_into().unwrap()) as usize;
    (inner[4..first].to_vec(), inner[first + 4..].to_vec())
}

/// The public key in a certificate; any other key as it is.
fn certified(blob: &[u8]) -> Vec<u8> {
    let mut rest = blob;
    let mut next = || {
        let (length, tail) = rest.split_first_chunk::<4>().unwrap();
        let (field, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        rest = tail;
        field.to_vec()
    };
    let name = String::from_utf8(next()).unwrap();
    let Some(name) = name.strip_suffix("-cert-v01@openssh.com") else { return blob.to_vec() };
    let (fields, suffix) = match name {
        "sk-ssh-ed25519" => (2, "@openssh.com"),
        "sk-ecdsa-sha2-nistp256" => (3, "@openssh.com"),
        "ssh-ed25519" => (1, ""),
        _ => (2, ""),
    };
    // The nonce.
    next();
    let mut out = string(format!("{name}{suffix}").as_bytes());
    out.extend((0..fields).flat_map(|_| string(&next())));
    out
}

fn of_ssh(name: &str, base: &Signed, other: &Signed, random: &mut Random) -> Vec<u8> {
    let blob = base.blob();
    let mut fields = ssh_fields(&blob);
    let (algorithm, numbers) = two_strings(&fields[4]);
    let mut version = 1;
    match name {
        "version 0" => version = 0,
        "version 2" => version = 2,
        "something reserved" => fields[2] = b"x".to_vec(),
        "another namespace" => fields[1] = b"file".to_vec(),
        "an empty namespace" => fields[1] = Vec::new(),
        "another hash" => {
            fields[3] = if fields[3] == b"sha512" { b"sha256".to_vec() } else { b"sha512".to_vec() };
        }
        "hash sha384" => fields[3] = b"sha384".to_vec(),
        "another's key" => fields[0] = ssh_fields(&other.blob())[0].clone(),
        "algorithm ssh-rsa" => fields[4] = [string(b"ssh-rsa"), string(&numbers)].concat(),
        "algorithm rsa-sha2-256" => fields[4] = [string(b"rsa-sha2-256"), string(&numbers)].concat(),
        "bytes in the signature's blob" => fields[4].extend([1, 0, 0, 0, 7]),
        "s of the other sign" => {
            fields[4] = [string(&algorithm), string(&other_form(&algorithm, &numbers))].concat()
        }
        "a wider number" => {
            fields[4] = [string(&algorithm), string(&[&[0][..], &numbers].concat())].concat();
        }
        "a certificate's type" => {
            let (kind, rest) = two_strings(&[&fields[0][..], &[0; 4]].concat());
            let kind = [&kind[..], b"-cert-v01@openssh.com"].concat();
            fields[0] = [string(&kind), string(b"nonce"), rest].concat();
        }
        "wrong magic" => {
            let mut out = ssh_blob(1, &fields);
            out[0] = b'X';
            return base.with_blob(&out);
        }
        "a bit flipped in the key" => fields[0] = flipped(&fields[0], random),
        "a bit flipped in the two numbers" => {
            fields[4] = [string(&algorithm), string(&flipped(&numbers, random))].concat();
        }
        // Of an authenticator's signature, the counter and the flags.
        "the last byte changed" => *fields[4].last_mut().unwrap() ^= 1,
        "the fifth byte from the end changed" => {
            let at = fields[4].len() - 5;
            fields[4][at] ^= *random.pick(&[1, 4, 5, 0x40, 0x80]);
        }
        "five bytes dropped" => {
            let left = fields[4].len() - 5;
            fields[4].truncate(left);
        }
        "five bytes more" => fields[4].extend([1, 0, 0, 0, 1]),
        "the key without its certificate" => fields[0] = certified(&fields[0]),
        "the signature of another" => fields[4] = ssh_fields(&other.blob())[4].clone(),
        "the algorithm of another" => {
            let (algorithm, _) = two_strings(&ssh_fields(&other.blob())[4]);
            fields[4] = [string(&algorithm), string(&numbers)].concat();
        }
        "sha256 said, sha512 meant" => fields[3] = b"sha256".to_vec(),
        _ => panic!("no such mutation of an SSH signature: {name}"),
    }
    base.with_blob(&ssh_blob(version, &fields))
}

/// The order of the group of Ed25519, little endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The order of the group of P-256, big endian.
const P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Another way to write the same signature: `S + L` for Ed25519, which strict verifiers refuse, and
/// `n - s` for ECDSA, which nobody can tell from the first.
fn other_form(algorithm: &[u8], numbers: &[u8]) -> Vec<u8> {
    if algorithm == b"ssh-ed25519" {
        let mut out = numbers.to_vec();
        let mut carry = 0_u16;
        for (byte, add) in out[32..].iter_mut().zip(ORDER) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry.to_le_bytes()[0];
            carry >>= 8;
        }
        return out;
    }
    if algorithm != b"ecdsa-sha2-nistp256" {
        return numbers.to_vec();
    }
    let (r, s) = two_strings(numbers);
    let mut wide = [0_u8; 32];
    let digits = &s[s.len().saturating_sub(32)..];
    wide[32 - digits.len()..].copy_from_slice(digits);
    let mut borrow = 0_i16;
    let mut out = [0_u8; 32];
    for at in (0..32).rev() {
        let mut digit = i16::from(P256[at]) - i16::from(wide[at]) - borrow;
        borrow = i16::from(digit < 0);
        digit += 256 * borrow;
        out[at] = digit.to_le_bytes()[0];
    }
    let start = out.iter().position(|byte| *byte != 0).unwrap_or(31);
    let sign = if out[start] & 0x80 == 0 { &[][..] } else { &[0] };
    [string(&r), string(&[sign, &out[start..]].concat())].concat()
}
