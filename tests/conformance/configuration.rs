//! Conformance cases Z: Configuration and denial of service.

use crate::keys;
use crate::support::bulk::{self, BulkKey};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::scene::Scene;
use crate::support::signers::Signer;
use crate::support::wait_for;
use countersign::domain::ObjectFormat;
use countersign::signature::{SignatureStatus, object};
use data_encoding::BASE64;
use rustix::process::{Resource, Signal};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// One enforcing ruleset on `refs/heads/main` with these rules; other refs move freely.
pub(crate) fn ruleset(refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\"]\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

/// A configuration with this rule does not load, and says so in these words; no daemon starts by it.
#[track_caller]
pub(crate) fn assert_does_not_load(refuse: &str, says: &str) {
    assert_refused_configuration(&ruleset(&format!("force-push = true\n{refuse}")), says);
}

#[track_caller]
fn assert_refused_configuration(policy: &str, says: &str) {
    let gate = Gate::prepared(policy);
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(2), "{policy}\nloads\n{}", ran.stdout);
    assert!(ran.stdout.contains(says), "no `{says}` in\n{}", ran.stdout);
    let ran = gate.serve_fails();
    assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
    assert!(!gate.socket().exists());
}

#[test]
fn z001_an_unknown_key_is_an_error_in_every_table() {
    for (from, to, says) in [
        ("[policy]", "enforce = true\n[policy]", "unknown key `enforce`"),
        ("uncovered = ", "strict = true\nuncovered = ", "unknown key `strict` in [policy]"),
        (
            "name = \"only\"",
            "name = \"only\"\nenforcment = \"enforce\"",
            "unknown key `enforcment` in [[ruleset]]",
        ),
        ("unsigned-commit", "unsigned-comit", "there is no rule `unsigned-comit`"),
        ("unsigned-commit = true", "untrusted-signer = { alow = [\"group:sre\"] }", "unknown field `alow`"),
        (
            "unsigned-commit = true",
            "unsigned-commit = true\n[signatures]\ntuch = \"any\"",
            "unknown key `tuch`",
        ),
        ("unsigned-commit = true", "unsigned-commit = true\n[limits]\nref = 5", "unknown key `ref`"),
        ("unsigned-commit = true", "unsigned-commit = true\n[extra]\nx = 1", "unknown key `extra`"),
    ] {
        let good = ruleset("unsigned-commit = true");
        assert!(good.contains(from), "{from}");
        assert_refused_configuration(&good.replacen(from, to, 1), says);
    }
    // A daemon that runs goes on with what it had.
    let (gate, alice) = Gate::with_alice(&ruleset("unsigned-commit = true"));
    let bare = gate.repository("infra/live");
    gate.reconfigure(&ruleset("unsigned-comit = true"));
    assert!(gate.log().contains("there is no rule `unsigned-comit`"), "{}", gate.log());
    let work = gate.clone_of(&bare);
    work.commit(None, "unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "signed");
    work.accepted(&["main"]);
}

#[test]
fn z002_a_list_that_allows_nobody_is_an_error_and_an_empty_keyring_lets_nobody_in() {
    assert_does_not_load("untrusted-signer = { allow = [] }", "`allow = []` would refuse everybody");
    assert_does_not_load("identity-mismatch = { except = [] }", "`except = []` exempts nobody");
    // Nobody in the keyring is a state that every gate begins in: it is told, and refuses every signature.
    let gate = Gate::running(&ruleset("untrusted-signer = true"));
    let ran = gate.countersign(&["config", "check"]).ok();
    assert!(ran.stdout.contains("is empty: every signature is by an unknown key"), "{}", ran.stdout);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let bare = gate.repository("infra/live");
    for signer in [Some(&alice), None] {
        let work = gate.clone_of(&bare);
        work.commit(signer, "by nobody who is known");
        work.push(&["main"]).assert_refused(&["untrusted-signer"]);
    }
}

#[test]
fn z003_a_policy_that_cannot_be_read_leaves_the_last_good_one_for_a_while() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let (config, away) = (gate.config(), gate.home.join("away.toml"));
    let break_it = || {
        fs::rename(&config, &away).unwrap();
        fs::create_dir(&config).unwrap();
        gate.reload();
    };
    let mend_it = || {
        fs::remove_dir(&config).unwrap();
        fs::rename(&away, &config).unwrap();
        gate.reload();
    };
    break_it();
    let (status, body) = gate.get("/health");
    assert!(status == 200 && body.contains("degraded") && body.contains("not a regular file"), "{body}");
    assert!(gate.log().contains("the last good one stays in force"), "{}", gate.log());
    // What was in force is, for good pushes and for bad ones.
    scene.push().assert_accepted();
    let work = scene.clone();
    work.commit(None, "OPS-3: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    mend_it();
    let records = gate.audit();
    let failed = records.iter().filter(|record| record["kind"] == "reload" && record["error"].is_string());
    assert_eq!(failed.count(), 1, "the alarm is on record");

    gate.daemon_keys.replace("last-good = \"1s\"".to_owned());
    gate.reconfigure(PRODUCTION);
    break_it();
    wait_for("the last good one to be too old", Duration::from_secs(20), || {
        (gate.get("/health").0 == 503).then_some(())
    });
    work.commit(Some(&scene.alice), "OPS-4: as good as ever");
    let push = scene.push().assert_undecided("stale-configuration");
    assert!(push.text().contains("is not mended yet"), "{}", push.text());
    mend_it();
    scene.push().assert_accepted();
}

#[test]
fn z004_a_configuration_inside_a_repository_does_not_count() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let inside = scene.bare.join("countersign.toml");
    let original = fs::read(gate.config()).unwrap();
    let refused = |says: &str| {
        let ran = gate.countersign(&["config", "check"]);
        assert_eq!(ran.code(), Some(2), "{}", ran.stdout);
        assert!(ran.stdout.contains(says), "no `{says}` in\n{}", ran.stdout);
        gate.reload();
        assert!(gate.get("/health").1.contains(says), "{}", gate.get("/health").1);
        let work = gate.clone_at(&scene.bare, "main");
        work.commit(None, "OPS-3: unsigned");
        work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    };
    // The file itself by a link, one level down, and through a link to the directory.
    let lax = String::from_utf8(original.clone()).unwrap().replace("unsigned-commit = true\n", "");
    for place in [&inside, &scene.bare.join("objects/info/x.toml")] {
        fs::write(place, &lax).unwrap();
        fs::remove_file(gate.config()).unwrap();
        symlink(place, gate.config()).unwrap();
        refused("lies inside a git directory");
        fs::remove_file(gate.config()).unwrap();
        fs::write(gate.config(), &original).unwrap();
    }
    // An included one.
    fs::create_dir(gate.home.join("rulesets.d")).unwrap();
    let more = "[[ruleset]]\nname = \"more\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/x\"]\n\
                [ruleset.refuse]\nforce-push = true\n";
    fs::write(&inside, more).unwrap();
    symlink(&inside, gate.home.join("rulesets.d/more.toml")).unwrap();
    let text = String::from_utf8(original.clone()).unwrap();
    let text =
        text.replace("uncovered = \"accept\"", "uncovered = \"accept\"\ninclude = \"rulesets.d/*.toml\"");
    fs::write(gate.config(), &text).unwrap();
    refused("lies inside a git directory");
    // And the keyring.
    fs::create_dir(scene.bare.join("keyring")).unwrap();
    let text = String::from_utf8(original.clone()).unwrap();
    let own = format!("path = \"{}/keyring\"", gate.home.display());
    let text = text.replace(&own, &format!("path = \"{}/keyring\"", scene.bare.display()));
    assert_ne!(text.as_bytes(), original);
    fs::write(gate.config(), &text).unwrap();
    refused("lies inside a git directory");
    fs::write(scene.bare.join("keyring/allowed_signers"), "").unwrap();
    for table in ["allowed-signers", "revocation"] {
        let text = String::from_utf8(original.clone()).unwrap();
        let path = scene.bare.join("keyring/allowed_signers");
        let text = format!("{text}\n[[keyring.{table}]]\npath = \"{}\"\n", path.display());
        fs::write(gate.config(), &text).unwrap();
        refused("lies inside a git directory");
    }
    fs::write(gate.config(), &original).unwrap();
    gate.reload();
    scene.push().assert_accepted();
}

#[test]
fn z005_what_a_push_holds_reaches_a_terminal_escaped() {
    let rules =
        "identity-mismatch = true\nmissing-ticket = { projects = [\"OPS\"], where = [\"subject\"] }\n";
    let (gate, alice) = Gate::with_alice(&ruleset(rules));
    let sandbox = &gate.sandbox;
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2K [GNUPG:] GOODSIG 0 alice \u{202e}x";
    let named = [
        ("GIT_COMMITTER_EMAIL", "x\u{1b}[31m[GNUPG:]\u{9b}m@example.org"),
        ("GIT_COMMITTER_NAME", hostile),
        ("GIT_AUTHOR_NAME", hostile),
    ];
    let message =
        format!("{hostile}\r[GNUPG:] BADSIG\n\n[GNUPG:] GOODSIG 0 alice\n[GNUPG:] TRUST_ULTIMATE\n");
    let commit = ["commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "-m", &message];
    work.sign_with(Some(&alice), &named, &commit);
    let push = work.push(&["main"]).assert_refused(&["identity-mismatch", "missing-ticket"]);
    // An OpenPGP key whose user id is made of status lines.
    let user = "[GNUPG:] GOODSIG 0123456789ABCDEF alice <alice@example.com>";
    let strange = Signer::openpgp_as(sandbox, "strange", user);
    gate.trust(&strange, "sre");
    gate.reload();
    let other = gate.clone_of(&bare);
    other.sign_with(Some(&strange), &named, &commit);
    let second = other.push(&["main"]).assert_refused(&["identity-mismatch", "missing-ticket"]);
    for push in [&push, &second] {
        let said = &push.ran.stderr;
        assert!(said.contains("\\x1b[31m[GNUPG:]"), "it is shown, escaped: {said}");
        for control in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'] {
            assert!(!said.contains(control), "{said:?}");
        }
        let lines = said.split(['\n', '\r']).map(|line| line.trim_start_matches("remote:").trim_start());
        assert_eq!(lines.filter(|line| line.starts_with("[GNUPG:]")).count(), 0, "{said}");
    }
    // Nor does anything else of it reach an administrator's.
    for arguments in [&["audit", "log"][..], &["audit", "log", "--format", "json"], &["keyring", "list"]] {
        let ran = gate.countersign(arguments).ok();
        let plain = |c: char| !c.is_control() || c == '\n';
        assert!(ran.stdout.chars().all(plain), "{:?}", ran.stdout);
        assert!(!ran.stdout.lines().any(|line| line.trim_start().starts_with("[GNUPG:]")), "{}", ran.stdout);
    }
    assert!(gate.log().chars().all(|c| !c.is_control() || c == '\n'), "{:?}", gate.log());
}

/// Real failures in the middle of verifying, by taking memory away from the daemon: with less left than a
/// thread's stack, the verifier panics where it shares the work out; with nothing left, it fails where it happens to be.
#[test]
fn z006_a_verifier_that_panics_or_fails_lets_nobody_in() {
    let scene = Scene::new();
    let gate = &scene.gate;
    let work = scene.clone();
    work.branch("long", "main");
    for n in 3..43 {
        work.commit(Some(&scene.alice), &format!("OPS-{n}: signed"));
    }
    let before = work.server("refs/heads/main");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // On a machine with one core nothing is shared out, so that nothing panics.
    let panics = (cores > 1).then_some((1500, "cause[internal]"));
    for (n, (spare, cause)) in panics.into_iter().chain([(0, "")]).enumerate() {
        // From the start, so that no memory lies ready; and after one push, so that a thread does that takes the next.
        gate.stop();
        gate.start();
        work.accepted(&[&format!("main:topic-{n}")]);
        let status = fs::read_to_string(format!("/proc/{}/status", gate.pid().as_raw_nonzero())).unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kib: u64 = size.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        gate.limit(Resource::As, Some((kib + spare) * 1024));
        work.push(&["long:main"]).assert_undecided(cause);
        assert_eq!(work.server("refs/heads/main"), before);
        assert!(spare == 0 || gate.log().contains("panicked"), "{}", gate.log());
        // Failing for want of memory may end the daemon.
        match UnixStream::connect(gate.socket()) {
            Ok(_) => gate.limit(Resource::As, None),
            Err(_) => {
                gate.ended();
                gate.start();
            }
        }
    }
    work.accepted(&["long:main"]);
    gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn z007_a_verifier_that_takes_too_long_lets_nobody_in() {
    let scene = Scene::new();
    let gate = &scene.gate;
    // The daemon's own deadline.
    gate.reconfigure(&format!("{PRODUCTION}\n[limits]\ndeadline = \"1ms\"\n"));
    history::line(&gate.sandbox, &scene.work, "refs/heads/long", 3000);
    scene.clone().push(&["long:release/1"]).assert_undecided("cause[deadline]");
    assert_eq!(gate.last_decision()["outcome"], "undecided");
    gate.reconfigure(PRODUCTION);
    // And the hook's, for a daemon that does not come back at all.
    scene.wait_at_most(2);
    gate.signal(Signal::STOP);
    scene.push().assert_undecided("did not answer within 2 s");
    gate.signal(Signal::CONT);
    scene.push().assert_accepted();
}

#[test]
fn z008_a_full_disk_lets_nobody_in() {
    let scene = Scene::new();
    let gate = &scene.gate;
    gate.restart_for_limits();
    gate.limit_files(Some(0));
    scene.push().assert_undecided("audit");
    let work = scene.clone();
    work.commit(None, "unsigned");
    for refspec in ["main", "main:topic"] {
        work.push(&[refspec]).assert_undecided("audit");
    }
    gate.limit_files(None);
    work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    scene.push().assert_accepted();
    gate.countersign(&["audit", "verify"]).ok();
}

#[test]
fn z009_ten_thousand_signed_commits_in_one_push() {
    let gate = Gate::prepared(&ruleset(
        "unsigned-commit = true\nuntrusted-signer = { allow = [\"group:sre\"] }\nidentity-mismatch = true\n",
    ));
    let (listed, stranger) = (BulkKey::new(1), BulkKey::new(2));
    gate.trust(&bulk::as_signer(&gate.sandbox, "test", &listed), "sre");
    gate.start();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let count = 10_000;
    let ids = bulk::signed_line(&gate.sandbox, &work.path, "refs/heads/long", count, |_| Some(&listed));
    let started = Instant::now();
    work.accepted(&["long:main"]);
    // The gate's own deadline, which is the default, has held; what git did besides is not counted in it.
    let record = gate.last_decision();
    let took = Duration::from_micros(record["duration_us"].as_u64().unwrap());
    assert!(took < Duration::from_secs(30) && took < started.elapsed(), "{took:?}");
    assert_eq!(work.server("refs/heads/main").as_ref(), ids.last());
    let judged = &record["refs"][0]["rulesets"][1];
    assert_eq!(
        (&judged["name"], judged["introduced"].as_u64()),
        (&"only".into(), Some(count as u64)),
        "{judged}"
    );
    // Each of them is verified: of as many, the one that is another's is found.
    let other = gate.repository("infra/other");
    let work = gate.clone_of(&other);
    let odd = |n| Some(if n == 1_234 { &stranger } else { &listed });
    let ids = bulk::signed_line(&gate.sandbox, &work.path, "refs/heads/long", 2_000, odd);
    let push = work.push(&["long:main"]).assert_refused(&["untrusted-signer"]);
    assert!(
        push.text().contains(&ids[1_234][..10]) && push.text().contains("1 violation,"),
        "{}",
        push.text()
    );
}

/// Bytes of an armored OpenPGP signature by gpg, with more key ids in its unhashed part, which proves nothing.
fn with_issuers(armor: &str, ids: impl Iterator<Item = [u8; 8]>) -> String {
    let body: String = armor
        .lines()
        .skip_while(|line| !line.is_empty())
        .filter(|line| !line.starts_with(['-', '=']))
        .collect();
    let bytes = BASE64.decode(body.as_bytes()).unwrap();
    // An old-format header with one or two bytes of length.
    let packet = &bytes[match bytes[0] & 3 {
        0 => 2,
        1 => 3,
        other => panic!("a header of kind {other}"),
    }..];
    let at = 6 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let length = usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    let (unhashed, rest) = packet[at + 2..].split_at(length);
    let more: Vec<u8> = ids.flat_map(|id| [&[9, 16][..], &id].concat()).collect();
    let unhashed = [&more, unhashed].concat();
    let total = u16::try_from(unhashed.len()).unwrap().to_be_bytes();
    let packet = [&packet[..at], &total, &unhashed, rest].concat();
    let header = [&[0xc2, 0xff][..], &u32::try_from(packet.len()).unwrap().to_be_bytes()].concat();
    let text = BASE64.encode(&[header, packet].concat());
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n", lines.join("\n"))
}

#[test]
fn z010_one_commit_that_names_a_hundred_keys() {
    // A signature may name its key in an index only (O6); one that names several is not tried with any.
    let gpg = keys::Gpg::new();
    let key = gpg.generate(keys::BORN, "ed25519", "sign", "never");
    let own: [u8; 8] = data_encoding::HEXUPPER.decode(&key.as_bytes()[24..]).unwrap().try_into().unwrap();
    let listed = keys::KeyBox::openpgp(&gpg.export(&key));
    let payload = keys::commit(keys::NOW, "x\n");
    let armor = String::from_utf8(gpg.sign(keys::NOW, &key, &[], &payload)).unwrap();
    let signed = |ids: &mut dyn Iterator<Item = [u8; 8]>| {
        keys::verify(&keys::signed(&payload, with_issuers(&armor, ids).as_bytes()), &listed)
    };
    // The same key once more is no other key: taking the packet apart has broken nothing.
    let again = signed(&mut std::iter::once(own));
    assert!(matches!(again, SignatureStatus::Verified(_)), "{again}");
    let hundred = || (0..100_u8).map(|n| [n; 8]);
    for status in [
        signed(&mut hundred()),
        signed(&mut hundred().chain([own])),
        signed(&mut [own].into_iter().chain(hundred())),
    ] {
        assert!(matches!(status, SignatureStatus::Malformed { .. }), "{status}");
    }
    // A hundred signatures are not tried one by one either.
    let split = payload.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
    let header = format!("gpgsig {}\n", armor.trim_end().replace('\n', "\n "));
    let many = [&payload[..split], header.repeat(100).as_bytes(), &payload[split..]].concat();
    match object::parse_commit(ObjectFormat::Sha1, &many) {
        Ok(commit) => {
            let status = keys::verify(&many, &listed);
            assert!(matches!(status, SignatureStatus::Malformed { .. }), "{status}");
            assert!(matches!(commit.signature, object::SignatureField::Malformed { .. }));
        }
        Err(error) => assert!(error.code.starts_with("sig."), "{error}"),
    }

    // A keyring of a hundred keys makes no signature slower: an SSH signature names its key.
    let scene = Scene::new();
    for seed in 0..100 {
        let key = bulk::as_signer(&scene.gate.sandbox, &format!("key-{seed}"), &BulkKey::new(seed));
        let line = fs::read_to_string(&key.public).unwrap();
        let text = format!("name = \"key-{seed}\"\n[[key]]\nssh = \"{}\"\n", line.trim_end());
        fs::write(scene.gate.home.join(format!("keyring/key-{seed}.toml")), text).unwrap();
    }
    scene.gate.reload();
    scene.push().assert_accepted();
}

#[test]
fn z011_of_pushes_to_one_ref_at_the_same_time_one_wins() {
    let scene = Scene::new();
    let gate = &scene.gate;
    scene.push().assert_accepted();
    let applied = || {
        let records = gate.audit();
        let applied = records.into_iter().filter(|record| record["kind"] == "applied");
        let on_main = |record: &serde_json::Value| {
            let refs = record["refs"].as_array().unwrap();
            refs.iter().find(|one| one["ref"] == "refs/heads/main").map(|one| one["new"].clone())
        };
        applied.filter_map(|record| on_main(&record)).collect::<Vec<_>>()
    };
    // Git does not make the pusher wait until it is noted.
    let noted = |count: usize| {
        wait_for("what was applied to be noted", Duration::from_secs(20), || {
            let applied = applied();
            (applied.len() >= count).then_some(applied)
        })
    };
    let before = noted(2).len();
    let start = scene.clone().server("refs/heads/main").unwrap();
    let works: Vec<_> = (0..8).map(|_| gate.clone_at(&scene.bare, "main")).collect();
    let tips: Vec<String> = works
        .iter()
        .enumerate()
        .map(|(n, work)| work.commit(Some(&scene.alice), &format!("OPS-{}: one of eight", n + 1)))
        .collect();
    let children: Vec<_> = works
        .iter()
        .map(|work| {
            let mut command = work.push_command(&["main"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ended: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let said = || ended.iter().map(|one| String::from_utf8_lossy(&one.stderr)).collect::<String>();
    let winners: Vec<&String> =
        tips.iter().zip(&ended).filter(|(_, one)| one.status.success()).map(|(tip, _)| tip).collect();
    assert_eq!(winners.len(), 1, "{}", said());
    let main = scene.clone().server("refs/heads/main").unwrap();
    assert_eq!((&main, &start), (winners[0], &works[0].id("main~1")));
    let news = noted(before + 1);
    assert_eq!(news[before..], [serde_json::Value::from(main.as_str())], "{}", said());
    // What was decided for the others and not applied stays so, and counts for nothing.
    let work = gate.clone_at(&scene.bare, "main");
    work.commit(Some(&scene.alice), "OPS-9: after them");
    work.accepted(&["main"]);
    let last = serde_json::Value::from(work.id("main").as_str());
    assert_eq!(noted(before + 2)[before..], [serde_json::Value::from(main.as_str()), last]);
    let loser = tips.iter().position(|tip| *tip != main).unwrap();
    works[loser].push(&["--force", "main"]).assert_refused(&["force-push"]);
    gate.countersign(&["audit", "verify"]).ok();
}
