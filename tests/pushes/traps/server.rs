//! Traps about what stands around a push: quarantines, other writers, hooks that are off, configuration, and what is
//! not built yet, of which the tests hold what is there instead.

use super::{Site, ZERO, ruleset};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::run;
use crate::support::snapshot::Snapshot;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn trap_10_a_refused_push_leaves_nothing_and_its_quarantine_is_no_way_out() {
    let site = Site::new();
    let work = site.work();
    fs::write(work.path.join("file"), "content of a refused push").unwrap();
    work.git(&["add", "file"]).ok();
    let bad = work.commit(None, "OPS-3: unsigned");
    let blob = work.id("HEAD:file");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    for object in [&bad, &blob] {
        assert!(!site.gate.sandbox.git(&site.bare, &["cat-file", "-e", object]).status.success());
    }
    // The hook is started with other places for objects than git would give it: it does not decide, and nothing moves.
    let other = site.gate.repository("infra/other");
    let before = Snapshot::of(&site.gate.sandbox, &site.bare);
    let update = format!("{} {bad} refs/heads/main\n", site.tip);
    let objects = |of: &Path| of.join("objects").display().to_string();
    let places = [
        objects(&work.path.join(".git")),
        objects(&other),
        objects(&site.bare),
        "/".to_owned(),
        "/tmp".to_owned(),
    ];
    for place in &places {
        for variables in [
            &[("GIT_QUARANTINE_PATH", place), ("GIT_OBJECT_DIRECTORY", place)][..],
            &[("GIT_OBJECT_DIRECTORY", place)],
            &[("GIT_QUARANTINE_PATH", place)],
        ] {
            let mut command = site.gate.sandbox.command(site.bare.join("hooks/pre-receive"), &site.bare);
            command.env("GIT_DIR", ".").envs(variables.iter().copied());
            let ran = run(command, update.as_bytes());
            assert_eq!(ran.code(), Some(3), "{variables:?}: {}", ran.stderr);
        }
    }
    // Without any, the objects are nowhere: refused, and never skipped.
    let mut command = site.gate.sandbox.command(site.bare.join("hooks/pre-receive"), &site.bare);
    command.env("GIT_DIR", ".");
    let ran = run(command, update.as_bytes());
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    // Another repository's objects, by the variables for alternates, are not looked at.
    let mut command = site.gate.sandbox.command(site.bare.join("hooks/pre-receive"), &site.bare);
    command.env("GIT_DIR", ".").env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &places[0]);
    let ran = run(command, update.as_bytes());
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("error[malformed-update]"), "{}", ran.stderr);
    assert_eq!(before, Snapshot::of(&site.gate.sandbox, &site.bare));
}

/// Nothing stops these writers (docs/limits.md); what they leave is nobody's decision, and counts for nothing.
#[test]
fn trap_16_what_other_writers_leave_is_not_taken_for_judged() {
    for writer in ["fetch", "update-ref", "file"] {
        let site = Site::new();
        let work = site.work();
        let bad = work.commit(None, "OPS-3: unsigned");
        let decisions = site.gate.audit().len();
        match writer {
            "fetch" => {
                let from = work.path.display().to_string();
                site.git(&["fetch", "--quiet", "--force", &from, "main:main"]);
            }
            "update-ref" => {
                work.accepted(&["main:topic"]);
                site.git(&["update-ref", "refs/heads/main", &bad]);
            }
            _ => {
                work.accepted(&["main:topic"]);
                fs::write(site.bare.join("refs/heads/main"), format!("{bad}\n")).unwrap();
            }
        }
        assert!(site.gate.audit().len() <= decisions + 2, "nobody asked the gate");
        // The next push is judged from what the gate let in, and the drift is told.
        work.commit(Some(&site.alice), "OPS-4: signed on top");
        let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
        assert!(push.text().contains(&bad[..10]), "{writer}: {}", push.text());
        assert!(site.gate.log().contains("moved past the gate"), "{writer}: {}", site.gate.log());
        // On another ref it is as new as ever.
        work.push(&[&format!("{bad}:refs/heads/release/1")]).assert_refused(&["unsigned-commit"]);
        // Until somebody with the right to it takes the ref back, or vouches for what is there, by name.
        site.git(&["update-ref", "refs/heads/main", &site.tip]);
        work.branch("main", &site.tip);
        work.commit(Some(&site.alice), "OPS-5: from where the gate left it");
        work.accepted(&["main"]);
    }
}

/// Nothing tells while it is so (docs/limits.md); `install` sees it, and what came in meanwhile counts for nothing.
#[test]
fn trap_17_a_hook_that_was_off_has_decided_nothing() {
    let site = Site::new();
    let work = site.work();
    let hook = site.bare.join("hooks/pre-receive");
    let silent = site.gate.sandbox.path("no-hooks");
    fs::create_dir(&silent).unwrap();
    for way in ["mode", "path", "gone"] {
        let installed = fs::read(&hook).unwrap();
        let good = work.server("refs/heads/main").unwrap();
        match way {
            "mode" => fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap(),
            "path" => site.git(&["config", "core.hooksPath", silent.to_str().unwrap()]),
            _ => fs::remove_file(&hook).unwrap(),
        }
        work.branch("main", &good);
        let bad = work.commit(None, "OPS-3: unsigned");
        let decisions = site.gate.audit().iter().filter(|one| one["kind"] == "decision").count();
        run(work.push_command(&["main"]), b"").ok();
        let after = site.gate.audit().iter().filter(|one| one["kind"] == "decision").count();
        assert_eq!(decisions, after, "{way}: nobody was asked");
        if way == "path" {
            let ran = site.gate.countersign(&["install", site.bare.to_str().unwrap()]);
            assert_eq!(ran.code(), Some(2), "{}", ran.stdout);
            assert!(format!("{}{}", ran.stdout, ran.stderr).contains("core.hooksPath"));
            site.git(&["config", "--unset", "core.hooksPath"]);
        }
        // Installing again puts it right.
        site.gate.install(&site.bare);
        assert_eq!(fs::read(&hook).unwrap(), installed, "{way}");
        assert_ne!(fs::metadata(&hook).unwrap().permissions().mode() & 0o111, 0, "{way}");
        work.commit(Some(&site.alice), "OPS-4: signed on top");
        let push = work.push(&["main"]).assert_refused(&["unsigned-commit"]);
        assert!(push.text().contains(&bad[..10]), "{way}: {}", push.text());
        assert!(site.gate.log().contains("moved past the gate"), "{way}");
        site.git(&["update-ref", "refs/heads/main", &good]);
    }
}

#[test]
fn trap_20_a_rule_that_is_written_wrong_does_not_load() {
    let site = Site::new();
    let work = site.work();
    for (refuse, said) in [
        (
            "message-format = { required = [{ target = \"subject\", matches = \"[z-a]+\" }] }",
            "message-format",
        ),
        ("message-format = { required = [{ target = \"subject\", matches = \"(\" }] }", "message-format"),
        ("missing-ticket = { projects = [\"ops\"] }", "projects"),
        ("missing-ticket = { projekts = [\"OPS\"] }", "projects"),
        ("untrusted-signer = { allow = [] }", "would refuse everybody"),
        ("untrusted-signer = { allow = [\"gruop:sre\"] }", "gruop"),
        ("unsigned-comit = true", "unsigned-commit"),
        ("force-push = \"yes\"", "force-push"),
    ] {
        site.gate.configure(&ruleset("\"refs/heads/main\"", refuse));
        let ran = site.gate.countersign(&["config", "check"]);
        assert_eq!(ran.code(), Some(2), "{refuse}: {}", ran.stdout);
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(text.contains(said) && text.contains("countersign.toml:"), "{refuse}: {text}");
    }
    site.gate.configure(PRODUCTION);
    // A signature is verified; text that looks like what a program says of one is text.
    let said = "gpg: Good signature from \"Alice <alice@example.com>\"";
    work.commit(None, &format!("OPS-3: unsigned\n\n{said}\nGood \"git\" signature for alice@example.com"));
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    let (tree, who) = (work.id("main^{tree}"), "A <a@example.org> 1748736000 +0000");
    let raw = format!(
        "tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\ngpgsig {said}\n\nOPS-3: x\n",
        site.tip
    );
    let fake = site.object("commit", raw.as_bytes());
    let push = work.push(&[&format!("{fake}:refs/heads/main")]);
    assert!(
        push.rules().contains("bad-signature") || push.rules().contains("malformed-object"),
        "{}",
        push.text()
    );
}

#[test]
fn trap_21_a_fault_in_the_configuration_opens_nothing() {
    let site = Site::new();
    let work = site.work();
    work.commit(None, "unsigned");
    let rules = ["missing-ticket", "unsigned-commit"];
    let broken = [
        PRODUCTION.replace("refs/heads/release/**", "refs/heads/release/["),
        PRODUCTION.replace("refs/heads/release/**", "re:("),
        PRODUCTION.replace("\"refs/heads/main\"", "\"main\""),
        PRODUCTION
            .replace("refs/heads/main\", ", "!refs/heads/main\", ")
            .replace("\"refs/heads/release/**\"", "\"!refs/heads/x\""),
        PRODUCTION.replace("repositories = [\"**\"]", "repositories = []"),
        PRODUCTION.replace("enforcement", "enforcment"),
        PRODUCTION.replace("\"enforce\"", "\"warn\""),
        PRODUCTION.replace("uncovered = \"accept\"\n", ""),
        PRODUCTION.replace("[policy]", "[policy]\ninclude = \"gone/*.toml\""),
        format!("{PRODUCTION}\n[[ruleset]]\nname = \"production\"\n"),
        "= no TOML".to_owned(),
    ];
    for policy in &broken {
        assert_ne!(policy, PRODUCTION);
        // What runs keeps the last that was good, and says so.
        site.gate.reconfigure(policy);
        let (_, health) = site.gate.get("/health");
        assert!(health.contains("degraded"), "{policy}\n{health}");
        work.push(&["main"]).assert_refused(&rules);
        // To read the record takes a configuration that loads.
        site.gate.configure(PRODUCTION);
        site.recorded("refuse", &rules);
    }
    // What does not run does not start, and then nobody gets in.
    site.gate.stop();
    for policy in &broken {
        site.gate.configure(policy);
        let ran = site.gate.serve_fails();
        assert_eq!(ran.code(), Some(2), "{policy}\n{}", ran.stderr);
    }
    work.push(&["main"]).assert_undecided("");
}

#[test]
fn trap_29_what_is_pushed_changes_no_policy() {
    let site = Site::new();
    let work = site.work();
    let open = "[policy]\nuncovered = \"accept\"\n";
    for name in [
        "countersign.toml",
        ".countersign.toml",
        ".countersign/countersign.toml",
        ".github/rulesets.json",
        ".gitattributes",
        ".gitmodules",
        "keyring/mallory.toml",
        ".commit-check.yml",
    ] {
        let path = work.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, open).unwrap();
    }
    work.git(&["add", "--all", "--force"]).ok();
    work.commit(Some(&site.alice), "OPS-3: a policy of one's own");
    let before = site.gate.last_decision();
    work.accepted(&["main", "main:topic"]);
    work.push(&["main:refs/meta/config"]).assert_refused(&["unknown-namespace"]);
    // On every branch, the default one among them, and in the repository's own directory.
    fs::write(site.bare.join("countersign.toml"), open).unwrap();
    work.commit(None, "unsigned");
    work.push(&["main"]).assert_refused(&["missing-ticket", "unsigned-commit"]);
    let record = site.recorded("refuse", &["missing-ticket", "unsigned-commit"]);
    for key in ["configuration", "keyring"] {
        assert_eq!(before[key], record[key], "judged by the same {key}");
    }
}

#[test]
fn trap_30_one_decision_for_all_of_a_push_and_before_anything_is_kept() {
    let site = Site::new();
    let work = site.work();
    for hook in ["update", "reference-transaction", "proc-receive"] {
        assert!(!site.bare.join("hooks").join(hook).exists(), "{hook} decides nothing here");
    }
    let good = work.commit(Some(&site.alice), "OPS-3: good");
    work.branch("bad", &site.tip);
    let bad = work.commit(None, "OPS-4: unsigned");
    // One bad ref, wherever it stands: no ref moves, and no object stays, that of the good ones included.
    for refspecs in [["main:main", "bad:release/1"], ["bad:release/1", "main:main"]] {
        work.push(&refspecs).assert_refused(&["unsigned-commit"]);
        let record = site.recorded("refuse", &["unsigned-commit"]);
        assert_eq!(record["refs"].as_array().unwrap().len(), 2, "{record}");
        for object in [&good, &bad] {
            assert!(!site.gate.sandbox.git(&site.bare, &["cat-file", "-e", object]).status.success());
        }
    }
    // An update hook of somebody else's comes after it, when objects are in; its refusals are its own, and nothing
    // that it refused counts as let in.
    script(&site.bare.join("hooks/update"), "#!/bin/sh\nexit 1\n");
    let push = run(work.push_command(&["main"]), b"");
    assert!(!push.status.success() && !push.stderr.contains("error["), "{}", push.stderr);
    let request = site.recorded("accept", &[])["request_id"].clone();
    let applied = site.gate.audit().into_iter().filter(|one| one["kind"] == "applied");
    assert!(!applied.into_iter().any(|one| one["request_id"] == request));
}

/// Nobody's word on a push is taken at a path where no source listens. What sources say is judged in `tests/webhooks`
/// (N28 to N31).
#[test]
fn trap_31_no_status_is_believed_or_made() {
    let site = Site::new();
    let records = site.gate.audit().len();
    for path in [
        "/webhook",
        "/webhooks/github",
        "/hooks/gitlab",
        "/api/v1/statuses",
        "/v1/pre-receive",
        "/hook/pre-receive",
    ] {
        let body = format!(
            "{{\"ref\":\"refs/heads/main\",\"before\":\"{ZERO}\",\"after\":\"{}\",\"state\":\"success\"}}",
            site.tip
        );
        assert_eq!(post(&site.gate, path, &body), 404, "{path}");
    }
    assert_eq!(post(&site.gate, "/health", "{}"), 405);
    assert_eq!(site.gate.audit().len(), records, "nothing of it is a decision");
    let (status, body) = site.gate.get("/health");
    assert_eq!(status, 200, "{body}");
}

/// N28 to N31 are about forges: a configuration that names one by half, or in words that are not known, does not load,
/// so that nobody relies on it.
#[test]
fn n28_n29_n30_n31_a_forge_cannot_be_configured_by_half() {
    let site = Site::new();
    const SOURCE: &str = "[[source]]\nname = \"hub\"\nforge = \"github\"\nsecrets = [{ env = \"HUB\" }]\n\
        repositories = [\"acme/infra\"]\nurl = \"https://github.com/{repository}.git\"\n";
    site.gate.configure(&format!("{PRODUCTION}\n{SOURCE}"));
    site.gate.countersign(&["config", "check"]).ok();
    for (from, to) in [
        ("secrets = [{ env = \"HUB\" }]\n", ""),
        ("[{ env = \"HUB\" }]", "[]"),
        ("[{ env = \"HUB\" }]", "[\"hunter2\"]"),
        ("\"github\"", "\"sourceforge\""),
        ("[\"acme/infra\"]", "[]"),
        ("[\"acme/infra\"]", "[\"acme/**\"]"),
        ("https://github.com/{repository}.git", "http://github.com/{repository}.git"),
        ("https://github.com/{repository}.git", "ext::sh -c '{repository}'"),
        ("https://github.com/{repository}.git", "ssh://git@github.com/{repository}.git"),
        ("url = \"https://github.com/{repository}.git\"\n", ""),
    ] {
        assert!(SOURCE.contains(from), "{from}");
        site.gate.configure(&format!("{PRODUCTION}\n{}", SOURCE.replacen(from, to, 1)));
        let ran = site.gate.countersign(&["config", "check"]);
        assert_eq!(ran.code(), Some(2), "{to}: {}", ran.stdout);
        assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
    }
    for table in ["[webhooks]", "[webhook]", "[[webhook]]", "[status]", "[mirror]", "[[mirror]]", "[fetch]"] {
        site.gate.configure(&format!("{PRODUCTION}\n{table}\nurl = \"https://example.org\"\n"));
        let ran = site.gate.countersign(&["config", "check"]);
        assert_eq!(ran.code(), Some(2), "{table}: {}", ran.stdout);
    }
}

/// Behind a hook nothing is taken back: the gate moves no ref of a server, whatever was moved past it. Of forges it does if
/// that is configured; see the tests of webhooks.
#[test]
fn n32_the_gate_moves_no_ref() {
    let site = Site::new();
    let work = site.work();
    let bad = work.commit(None, "OPS-3: unsigned");
    work.accepted(&["main:topic"]);
    site.git(&["update-ref", "refs/heads/main", &bad]);
    work.commit(Some(&site.alice), "OPS-4: signed on top");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
    site.gate.reload();
    site.gate.stop();
    site.gate.start();
    assert_eq!(work.server("refs/heads/main"), Some(bad), "it is told, and left to a person");
    site.gate.configure(&format!("{PRODUCTION}\n[restore]\nenabled = true\n"));
    assert_eq!(site.gate.countersign(&["config", "check"]).code(), Some(2));
}

#[test]
fn trap_32_nothing_from_a_push_speaks_to_a_terminal() {
    let refs = "\"refs/heads/**\", \"refs/tags/**\"";
    let site = Site::with(&ruleset(refs, "unsigned-commit = true"));
    let refuse = "missing-ticket = { projects = [\"OPS\"], tags = true }\nmissing-signoff = true\n\
                  unknown-identity = true\ntag-name-mismatch = true";
    site.gate.reconfigure(&ruleset(refs, refuse));
    let bad = ['\u{1b}', '\u{7}', '\u{8}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{ad}'];
    let nasty: String = bad.iter().chain(&['r', 'e', 'd']).collect();
    let work = site.work();
    let name = format!("Eve{nasty}");
    let claim = [("GIT_AUTHOR_NAME", name.as_str()), ("GIT_COMMITTER_NAME", &name)];
    let email = format!("--author={name} <e{nasty}@example.org>");
    let message = format!("title {nasty}\n\n\u{1b}]0;owned\u{7} \u{1b}[2J");
    work.sign_with(None, &claim, &["commit", "--quiet", "--allow-empty", &email, "-m", &message]);
    let branch = format!("main:refs/heads/x{}", "\u{202e}\u{9b}");
    work.sign(None, &["tag", "-a", "-m", &message, "v1"]);
    let clean = |text: &str| {
        assert!(!text.contains(bad), "{text:?}");
    };
    for refspecs in [&["main"][..], &[&branch], &["v1:refs/tags/v2"]] {
        // A client that masks nothing.
        let mut command = site.gate.sandbox.command("git", &work.path);
        command.args(["-c", "sideband.allowControlCharacters=true", "push", work.url()]).args(refspecs);
        let push = run(command, b"");
        assert!(!push.status.success(), "{}", push.stderr);
        let remote: String = push.stderr.lines().filter(|line| line.starts_with("remote: ")).collect();
        assert!(remote.contains("error[missing-ticket]"), "{}", push.stderr);
        assert!(
            remote.contains("\\x1b") || remote.contains("\\u{1b}") || remote.contains("\\u{202e}"),
            "{remote}"
        );
        clean(&remote);
        // Nor to that of whoever reads the record, however it is shown.
        let id = recorded_id(&site.gate);
        for arguments in [
            &["audit", "log"][..],
            &["audit", "log", "--format", "json"],
            &["audit", "log", "--request", &id],
        ] {
            let ran = site.gate.countersign(arguments);
            clean(&ran.ok().stdout);
        }
        clean(&site.gate.log());
    }
}

fn recorded_id(gate: &Gate) -> String {
    gate.last_decision()["request_id"].as_str().unwrap().to_owned()
}

/// `POST` on the daemon's HTTP address: the status.
fn post(gate: &Gate, path: &str, body: &str) -> u16 {
    let config = fs::read_to_string(gate.config()).unwrap();
    let address =
        config.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"').to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}
