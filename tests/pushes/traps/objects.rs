//! Traps about commits, tags and messages: signatures that verify and should not count, text that is not what it
//! looks like, and pushes that cost too much.

use super::{Site, ZERO, recorded, ruleset};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::history;
use crate::support::sandbox::run;
use crate::support::signers::Signer;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn trap_12_a_signature_has_one_form() {
    let site = Site::new();
    let work = site.work();
    let id = work.commit(Some(&site.alice), "OPS-3: signed");
    let raw = work.git(&["cat-file", "commit", &id]).ok().stdout;
    let start = raw.find("gpgsig ").unwrap();
    let end = raw.find("-----END SSH SIGNATURE-----\n").unwrap() + "-----END SSH SIGNATURE-----\n".len();
    let (head, header, rest) = (&raw[..start], &raw[start..end], &raw[end..]);
    let twice = format!("{head}{header}{header}{rest}");
    let both = format!("{head}{header}{}{rest}", header.replacen("gpgsig ", "gpgsig-sha256 ", 1));
    let blank = format!("{head}{}{rest}", header.replacen("SIGNATURE-----\n ", "SIGNATURE-----\n \n ", 1));
    let key = fs::read_to_string(&site.alice.public).unwrap();
    let signers = site.gate.sandbox.path("allowed");
    fs::write(&signers, format!("alice@example.com {key}")).unwrap();
    let allowed = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let mut seen = vec![id.clone()];
    for variant in [twice, both, blank] {
        assert_ne!(variant, raw);
        let other = site.object("commit", variant.as_bytes());
        assert!(!seen.contains(&other), "it is another commit");
        let git = work.git(&["-c", &allowed, "verify-commit", &other]);
        assert!(git.status.success(), "git takes it for good: {}", git.stderr);
        let push = work.push(&[&format!("{other}:refs/heads/main")]);
        let rules = push.rules();
        assert!(rules.contains("malformed-object") || rules.contains("bad-signature"), "{}", push.text());
        assert_eq!(site.gate.last_decision()["outcome"], "refuse");
        seen.push(other);
    }
    work.accepted(&["main"]);
    // That the one is in makes the others no better.
    for other in &seen[1..] {
        let push = work.push(&[&format!("{other}:refs/heads/release/1")]);
        assert!(!push.rules().is_empty(), "{}", push.ran.stderr);
    }
}

#[test]
fn trap_13_a_date_that_is_set_back_revives_no_key() {
    let site = Site::new();
    let work = site.work();
    crate::history::edit_key(&site.gate, "alice", "valid-until = 2026-01-01T00:00:00Z");
    site.gate.reload();
    for date in ["2025-06-01T00:00:00Z", "2020-01-01T00:00:00Z"] {
        work.branch("main", &site.tip);
        work.sign_at(
            Some(&site.alice),
            date,
            &["commit", "--quiet", "--allow-empty", "-m", "OPS-3: dated back"],
        );
        let push = work.push(&["main"]).assert_refused(&["bad-signature"]);
        assert!(push.text().contains("2026-01-01"), "{}", push.text());
        let record = site.recorded("refuse", &["bad-signature"]);
        assert!(record["commits"][0]["status"] == "expired", "{record}");
    }
    // What came in while it was good stays where it is.
    work.accepted(&[&format!("{}:refs/heads/release/1", site.tip)]);
}

#[test]
fn trap_14_a_signature_says_nothing_of_where_it_may_go() {
    let refuse = "unsigned-commit = true\nforce-push = true\nstale-signature = { days = 30 }\n\
                  untrusted-signer = { refs = { \"refs/heads/release/**\" = [\"group:release\"] } }";
    let site = Site::with(&ruleset("\"refs/heads/main\", \"refs/heads/release/**\"", refuse));
    let work = site.work();
    let olga = Signer::ssh(&site.gate.sandbox, "olga", &["ed25519"]);
    site.gate.trust(&olga, "release");
    site.gate.reload();
    // A development commit is no release, though it verifies and is on `main` already.
    work.push(&["main:release/1"]).assert_refused(&["untrusted-signer"]);
    work.branch("release", &site.tip);
    work.commit(Some(&olga), "a release on top of it");
    work.push(&["release:release/1"]).assert_refused(&["untrusted-signer"]);
    // An old release does not come back in place of the new one.
    work.git(&["checkout", "--quiet", "--orphan", "line"]).ok();
    let old = work.commit(Some(&olga), "release 1.0, with the hole");
    work.commit(Some(&olga), "release 1.1");
    work.accepted(&["line:release/1"]);
    work.push(&["--force", &format!("{old}:refs/heads/release/1")]).assert_refused(&["force-push"]);
    site.recorded("refuse", &["force-push"]);
    // What was signed long ago, for something else, does not begin a new line.
    work.git(&["checkout", "--quiet", "--orphan", "older"]).ok();
    work.sign_at(
        Some(&olga),
        "2024-05-01T00:00:00Z",
        &["commit", "--quiet", "--allow-empty", "-m", "release 0.9"],
    );
    work.push(&["older:release/0"]).assert_refused(&["stale-signature"]);
}

#[test]
fn trap_15_text_that_readers_see_and_rules_do_not() {
    let refuse = "unsafe-message = true\nmissing-ticket = { projects = [\"OPS\"], where = [\"anywhere\"] }";
    let site = Site::with(&ruleset("\"refs/heads/main\"", refuse));
    let work = site.work();
    let tree = work.id("HEAD^{tree}");
    let commit = |header: &str, message: &[u8]| {
        let who = "A <a@example.org> 1748736000 +0000";
        let head = format!("tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\n{header}\n", site.tip);
        site.object("commit", &[head.as_bytes(), message].concat())
    };
    let who = "author B <b@example.org> 1748736000 +0000\n";
    for (header, message, rules) in [
        // What stands behind a NUL is there, and is not shown.
        ("", &b"OPS-3: x\0hidden\n"[..], &["malformed-object"][..]),
        (who, b"OPS-3: x\n", &["malformed-object"]),
        ("encoding UTF-16\n", b"OPS-3: x", &["missing-ticket", "unsafe-message"]),
        ("encoding utf-7\n", b"OPS-3: x\n", &["missing-ticket", "unsafe-message"]),
        ("encoding windows-1252\n", "OPS-3: gain \u{202e}drawer\n".as_bytes(), &["unsafe-message"]),
        ("encoding ISO-2022-JP\n", b"\x1b$BOPS-3 \x1b(B", &["missing-ticket", "unsafe-message"]),
    ] {
        let id = commit(header, message);
        let push = work.push(&[&format!("{id}:refs/heads/main")]).assert_refused(rules);
        assert!(!push.ran.stderr.contains(['\u{1b}', '\u{202e}', '\0']), "{:?}", push.ran.stderr);
        site.recorded("refuse", rules);
    }
    work.accepted(&[&format!("{}:refs/heads/main", commit("encoding ISO-8859-1\n", b"OPS-3: caf\xe9\n"))]);
}

/// Each ends in a refusal that names the figures, before the commits are judged.
#[test]
fn trap_19_what_costs_too_much_is_refused_with_figures() {
    let site = Site::with(&format!("{PRODUCTION}\n[limits]\nrefs = 200\ncommits = 500\n"));
    let work = site.work();
    let tree = work.id("HEAD^{tree}");
    let who = "A <a@example.org> 1748736000 +0000";
    let commit = |parents: &str, message: &str| {
        site.object(
            "commit",
            format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\n{message}").as_bytes(),
        )
    };
    let began = Instant::now();
    let too_large = |refspecs: &[&str], figures: &[&str]| {
        let push = work.push(refspecs);
        assert!(push.rules().contains("push-too-large"), "{}", push.ran.stderr);
        for figure in figures {
            assert!(push.text().contains(figure), "no `{figure}` in\n{}", push.text());
        }
        let record = site.gate.last_decision();
        assert!(record["outcome"] == "refuse" && record.to_string().contains("push-too-large"), "{record}");
    };
    let ids = history::line(&site.gate.sandbox, &work.path, "refs/heads/long", 501);
    too_large(&["+long:main"], &["more than 500 commits"]);
    let updates: String = (0..201).map(|n| format!("create refs/heads/r/{n} {}\n", ids[n])).collect();
    site.gate.sandbox.git_with_input(&work.path, &["update-ref", "--stdin"], updates.as_bytes()).ok();
    too_large(&["refs/heads/r/*:refs/heads/r/*"], &["201 refs", "at most 200"]);
    // Twenty thousand parents, of which most are one commit.
    let parents: String = std::iter::repeat_n(format!("parent {}\n", site.tip), 20_000).collect();
    let many = commit(&parents, "OPS-3: a merge of a crowd\n");
    let push = run(work.push_command(&[&format!("{many}:refs/heads/main")]), b"");
    assert!(!push.status.success() && push.stderr.contains("error[push-too-large]"), "{}", push.stderr);
    assert!(push.stderr.contains("20000 parents") || push.stderr.contains("bytes"), "{}", push.stderr);
    let message = commit(&format!("parent {}\n", site.tip), &format!("OPS-3: {}\n", "x".repeat(1 << 17)));
    too_large(&[&format!("{message}:refs/heads/main")], &["the message has 131080 bytes", "at most 65536"]);
    let huge = commit(&format!("parent {}\n", site.tip), &"OPS-3 ".repeat(1 << 18));
    too_large(&[&format!("{huge}:refs/heads/main")], &["the commit has 1573046 bytes", "at most 1048576"]);
    // Tags of tags of tags.
    let mut inner = site.tip.clone();
    for n in 0..6 {
        work.sign(None, &["tag", "-a", "-m", "x", &format!("t{n}"), &inner]);
        inner = work.id(&format!("refs/tags/t{n}"));
    }
    too_large(&["t5"], &["at most 4"]);
    work.accepted(&["t3"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    // And nobody else waits for it: the next push is judged as ever.
    work.branch("main", &site.tip);
    work.commit(Some(&site.alice), "OPS-4: as ever");
    work.accepted(&["main"]);
}

#[test]
fn n12_what_another_repository_has_is_neither_let_in_nor_told() {
    let (gate, alice) = Gate::production();
    let pool = gate.bare("pools/secret", &[]);
    let origin = gate.clone_of(&pool);
    origin.commit(Some(&alice), "OPS-1: the merger of Ash and Birch");
    origin.git(&["push", "--quiet", pool.to_str().unwrap(), "main"]).ok();
    let secret = origin.id("main");
    let bare = gate.repository("infra/fork");
    let work = gate.clone_of(&bare);
    let send = |name: &str| {
        let updates = [(ZERO, secret.as_str(), name.as_bytes())];
        crate::support::receive_pack::push(&gate.sandbox, &bare, &work.path, &updates, &[], &[])
    };
    // However the pool is named, and however it stores its objects.
    let absolute = pool.join("objects").display().to_string();
    let relative = "../../../pools/secret.git/objects".to_owned();
    for (turn, name) in
        ["refs/heads/mine", "refs/heads/main", "refs/tags/mine", "refs/heads/last"].iter().enumerate()
    {
        let named = if turn % 2 == 0 { &absolute } else { &relative };
        fs::write(bare.join("objects/info/alternates"), format!("{named}\n")).unwrap();
        if turn == 2 {
            gate.sandbox.git(&pool, &["repack", "-a", "-d", "--quiet"]).ok();
        }
        let answer = send(name);
        assert_eq!(answer.rules(), ["foreign-object"].into(), "{}", answer.text);
        assert!(answer.text.contains(&secret[..10]), "{}", answer.text);
        let record = recorded(&gate, "refuse", &["foreign-object"]).to_string();
        for word in ["merger", "Ash", "author@example.com", "Test Committer"] {
            assert!(
                !answer.text.contains(word) && !record.contains(word),
                "{word}: {}\n{record}",
                answer.text
            );
        }
        assert_eq!(work.server(name), None);
    }
    // What the repository has of its own is not borrowed, though no ref reaches it: loose, or packed.
    fs::remove_file(bare.join("objects/info/alternates")).unwrap();
    let brought = gate.clone_of(&bare);
    let own = brought.commit(Some(&alice), "OPS-2: own");
    brought.accepted(&["main:topic"]);
    brought.accepted(&[":topic"]);
    fs::write(bare.join("objects/info/alternates"), format!("{absolute}\n")).unwrap();
    let updates = [(ZERO, own.as_str(), &b"refs/heads/again"[..])];
    let answer = crate::support::receive_pack::push(&gate.sandbox, &bare, &work.path, &updates, &[], &[]);
    assert!(answer.moved("refs/heads/again"), "{}", answer.text);
    gate.sandbox.git(&bare, &["repack", "-a", "-d", "-l", "--quiet"]).ok();
    let updates =
        [(own.as_str(), ZERO, &b"refs/heads/again"[..]), (ZERO, own.as_str(), b"refs/heads/packed")];
    let answer = crate::support::receive_pack::push(&gate.sandbox, &bare, &work.path, &updates, &[], &[]);
    assert!(answer.moved("refs/heads/packed"), "{}", answer.text);
}

#[test]
fn n20_only_a_merge_that_adds_nothing_is_excused() {
    let refuse = "missing-ticket = { projects = [\"OPS\"], merges = \"skip\" }";
    let site = Site::with(&ruleset("\"refs/heads/main\"", refuse));
    let work = site.work();
    let write = |name: &str, text: &str| {
        fs::write(work.path.join(name), text).unwrap();
        work.git(&["add", name]).ok();
    };
    work.branch("side", &site.base);
    write("side", "s\n");
    let side = work.commit(None, "OPS-3: on the side");
    let merge = |change: bool| {
        work.branch("main", &site.tip);
        work.git(&["merge", "--quiet", "--no-ff", "--no-commit", &side]).ok();
        if change {
            write("planted", "not in either parent\n");
        }
        work.git(&["commit", "--quiet", "-m", "Merge branch 'side'"]).ok();
        work.id("main")
    };
    let evil = merge(true);
    work.push(&["main"]).assert_refused(&["missing-ticket"]);
    site.recorded("refuse", &["missing-ticket"]);
    // Two parents of which one is behind the other, and one parent twice: merges of nothing.
    let tree = work.id(&format!("{evil}^{{tree}}"));
    let who = "A <a@example.org> 1748736000 +0000";
    for parents in [[&site.tip, &site.base], [&site.tip, &site.tip]] {
        let [one, two] = parents;
        let raw =
            format!("tree {tree}\nparent {one}\nparent {two}\nauthor {who}\ncommitter {who}\n\nMerge\n");
        let fake = site.object("commit", raw.as_bytes());
        let push = work.push(&[&format!("{fake}:refs/heads/main")]);
        assert!(!push.rules().is_empty(), "{}", push.ran.stderr);
    }
    merge(false);
    work.accepted(&["main"]);
}

/// Below a tip that the push brings, a commit may stand that only another repository has: its id is the pusher's, and
/// what it holds is not theirs to read.
#[test]
fn n12_no_refusal_quotes_what_only_another_repository_has() {
    let (gate, _) = Gate::production();
    let pool = gate.bare("pools/secret", &[]);
    let origin = gate.clone_of(&pool);
    let named = [("GIT_AUTHOR_EMAIL", "ash@birch.example"), ("GIT_AUTHOR_NAME", "Ash")];
    origin.sign_with(None, &named, &["commit", "--quiet", "--allow-empty", "-m", "the merger with Birch"]);
    let secret = origin.id("main");
    origin.git(&["push", "--quiet", pool.to_str().unwrap(), "main"]).ok();
    let bare = gate.repository("infra/fork");
    fs::write(bare.join("objects/info/alternates"), format!("{}\n", pool.join("objects").display())).unwrap();
    let tree = origin.id("main^{tree}");
    let who = "A <a@example.org> 1748736000 +0000";
    let raw = format!("tree {tree}\nparent {secret}\nauthor {who}\ncommitter {who}\n\nno ticket of mine\n");
    let arguments = ["hash-object", "-t", "commit", "-w", "--stdin"];
    let mine = gate.sandbox.git_with_input(&origin.path, &arguments, raw.as_bytes()).ok().line().to_owned();
    let updates = [(ZERO, mine.as_str(), &b"refs/heads/main"[..])];
    let revisions = [mine.as_str(), &format!("^{secret}")];
    let answer =
        crate::support::receive_pack::push(&gate.sandbox, &bare, &origin.path, &updates, &revisions, &[]);
    assert!(answer.rules().contains("missing-ticket"), "{}", answer.text);
    assert!(
        answer.text.contains(&secret[..10]) && answer.text.contains("no ticket of mine"),
        "{}",
        answer.text
    );
    let record = gate.last_decision().to_string();
    assert!(answer.text.contains("not shown, since only another repository has it"), "{}", answer.text);
    for word in ["merger", "Birch", "Ash", "birch.example"] {
        assert!(!answer.text.contains(word) && !record.contains(word), "{word}: {}\n{record}", answer.text);
    }
    // What the push brings is quoted, and what the repository has by itself.
    gate.sandbox
        .git(&bare, &["fetch", "--quiet", origin.path.to_str().unwrap(), "main:refs/heads/theirs"])
        .ok();
    gate.sandbox.git(&bare, &["repack", "-a", "-d", "--quiet"]).ok();
    let answer =
        crate::support::receive_pack::push(&gate.sandbox, &bare, &origin.path, &updates, &revisions, &[]);
    assert!(answer.text.contains("the merger with Birch"), "{}", answer.text);
}

/// What a commit changes against a parent tells what is in the parent.
#[test]
fn n12_no_refusal_tells_paths_of_what_only_another_repository_has() {
    let refuse = "forbidden-path = { paths = [\"**\"], changes = [\"delete\"] }\nmerge-commit = true";
    let (gate, _) = Gate::with_alice(&ruleset("\"refs/heads/main\"", refuse));
    let pool = gate.bare("pools/secret", &[]);
    let origin = gate.clone_of(&pool);
    fs::write(origin.path.join("birch-merger.pdf"), "x").unwrap();
    origin.git(&["add", "."]).ok();
    let secret = origin.commit(None, "in the pool");
    origin.git(&["push", "--quiet", pool.to_str().unwrap(), "main"]).ok();
    let bare = gate.repository("infra/fork");
    fs::write(bare.join("objects/info/alternates"), format!("{}\n", pool.join("objects").display())).unwrap();
    // All that is known of it is its id.
    let tree = gate.sandbox.git_with_input(&origin.path, &["mktree"], b"").ok().line().to_owned();
    let mine = origin.git(&["commit-tree", "-m", "empty", "-p", &secret, &tree]).ok().line().to_owned();
    let updates = [(ZERO, mine.as_str(), &b"refs/heads/main"[..])];
    let revisions = [mine.as_str(), &format!("^{secret}")];
    let answer =
        crate::support::receive_pack::push(&gate.sandbox, &bare, &origin.path, &updates, &revisions, &[]);
    assert_eq!(answer.rules(), ["foreign-object", "forbidden-path"].into(), "{}", answer.text);
    let record = gate.last_decision().to_string();
    assert!(!answer.text.contains("birch") && !record.contains("birch"), "{}\n{record}", answer.text);
    assert!(answer.text.contains(&mine[..10]), "{}", answer.text);
}
