//! What was refused once is refused again, although the mirror has it by then.

use crate::forge::{Forge, rules};
use crate::support::clone::Clone;
use crate::support::gate::PRODUCTION;
use serde_json::json;

const MAIN: &str = "refs/heads/main";

/// The newest decision about a move of `main` from one value to another.
#[track_caller]
fn step(forge: &Forge, old: &str, new: &str, nth: usize) -> serde_json::Value {
    crate::support::wait_for(
        &format!("move {nth} from {old} to {new}"),
        std::time::Duration::from_secs(60),
        || {
            let all = forge.decisions().into_iter();
            all.filter(|one| {
                let entry = &one["refs"][0];
                (&entry["ref"], &entry["old"], &entry["new"]) == (&json!(MAIN), &json!(old), &json!(new))
            })
            .nth(nth)
        },
    )
}

fn object(forge: &Forge, work: &Clone<'_>, kind: &str, raw: &[u8]) -> String {
    let arguments = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"];
    forge.gate.sandbox.git_with_input(&work.path, &arguments, raw).ok().line().to_owned()
}

fn running(policy: String) -> Forge {
    let mut forge = Forge::prepared();
    forge.policy = policy;
    forge.start();
    forge.adopt();
    forge
}

/// A second author line is none that git's own check minds.
fn malformed(forge: &Forge, work: &Clone<'_>, parent: &str) -> String {
    let who = "A <a@example.org> 1748736000 +0000";
    let tree = work.id(&format!("{parent}^{{tree}}"));
    let raw = format!(
        "tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\nauthor {who}\n\nOPS-2: two authors\n"
    );
    object(forge, work, "commit", raw.as_bytes())
}

#[test]
fn n05_a_malformed_tip_is_refused_again_where_no_rule_looks_at_commits() {
    let start = PRODUCTION.find("[ruleset.refuse]").unwrap();
    let forge = running(format!("{}[ruleset.refuse]\nforce-push = true\n", &PRODUCTION[..start]));
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let bad = malformed(&forge, &work, &first);
    // On a ref that nobody protects, on the one that is, and there again.
    forge.push(&work, &[&format!("{bad}:refs/heads/elsewhere")]);
    assert_eq!(rules(&forge.decided("refs/heads/elsewhere", &bad)), ["malformed-object"]);
    forge.wait_judged("refs/heads/elsewhere", Some(&bad));
    forge.wait_idle();
    std::thread::sleep(std::time::Duration::from_secs(1));
    forge.push(&work, &[&format!("{bad}:{MAIN}")]);
    assert_eq!(rules(&step(&forge, &first, &bad, 0)), ["malformed-object"]);
    forge.push(&work, &["--force", &format!("{first}:{MAIN}")]);
    assert_eq!(step(&forge, &bad, &first, 0)["outcome"], "accept");
    forge.push(&work, &[&format!("{bad}:{MAIN}")]);
    assert_eq!(rules(&step(&forge, &first, &bad, 1)), ["malformed-object"]);
    // What was let in is no trap: whoever adopts it, can put another branch there.
    forge.gate.countersign(&["adopt", crate::forge::NAME, "--yes"]).ok();
    forge.push(&work, &[&format!("{bad}:refs/heads/release/1")]);
    assert_eq!(rules(&forge.decided("refs/heads/release/1", &bad)), [""; 0]);
}

#[test]
fn n05_a_malformed_tag_is_refused_again_where_nobody_judges_it() {
    let forge = running(PRODUCTION.to_owned());
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let raw = format!(
        "object {first}\ntype commit\ntag v1\ntagger A <a@example.org> 1748736000 +0000\ngpgsig x\ncolour red\n\nx\n"
    );
    let bad = object(&forge, &work, "tag", raw.as_bytes());
    for name in ["refs/tags/v1", "refs/tags/v2"] {
        forge.push(&work, &[&format!("{bad}:{name}")]);
        assert_eq!(rules(&forge.decided(name, &bad)), ["malformed-object"], "{name}");
        forge.wait_judged(name, Some(&bad));
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

#[test]
fn n05_a_malformed_tree_is_refused_again() {
    let policy = PRODUCTION.replace(
        "force-push = true",
        "force-push = true\ntoo-many-files = { max = 2, paths = [\"deploy/**\"], scope = \"net\" }",
    );
    let forge = running(policy);
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let blob = object(&forge, &work, "blob", b"x");
    let raw = data_encoding::HEXLOWER.decode(blob.as_bytes()).unwrap();
    // A mode that git's own check only mentions.
    let tree = object(&forge, &work, "tree", &[&b"106644 odd\0"[..], &raw].concat());
    let mut command = forge.gate.sandbox.command("git", &work.path);
    forge.alice.configure(&mut command);
    command.args(["commit-tree", "-S", "-p", &first, "-m", "OPS-2: odd", &tree]);
    let bad = crate::support::sandbox::run(command, b"").ok().line().to_owned();
    forge.push(&work, &[&format!("{bad}:{MAIN}")]);
    assert_eq!(rules(&step(&forge, &first, &bad, 0)), ["malformed-object"]);
    forge.push(&work, &["--force", &format!("{first}:{MAIN}")]);
    assert_eq!(step(&forge, &bad, &first, 0)["outcome"], "accept");
    std::thread::sleep(std::time::Duration::from_secs(1));
    forge.push(&work, &[&format!("{bad}:{MAIN}")]);
    assert_eq!(rules(&step(&forge, &first, &bad, 1)), ["malformed-object"]);
}

#[test]
fn n30_a_commit_that_cannot_be_read_blocks_no_other_ref() {
    let forge = running(PRODUCTION.to_owned());
    let work = forge.gate.clone_at(&forge.bare, "main");
    let first = work.id("HEAD");
    let (who, tree) = ("A <a@example.org> 1748736000 +0000", work.id("HEAD^{tree}"));
    let head = format!("tree {tree}\nparent {first}\nauthor {who}\ncommitter {who}\n\nOPS-2: ");
    let huge = object(&forge, &work, "commit", &[head.as_bytes(), &vec![b'x'; 70 << 20]].concat());
    forge.gate.stop();
    forge.push(&work, &[&format!("{huge}:refs/heads/huge")]);
    let next = work.commit(Some(&forge.alice), "OPS-3: signed");
    forge.push(&work, &["main"]);
    forge.gate.start();
    forge.tell("refs/heads/huge", crate::forge::ZERO, &first, "mallory");
    forge.tell("refs/heads/huge", &first, &huge, "mallory");
    assert_eq!(forge.decided(MAIN, &next)["outcome"], "accept");
    forge.wait_idle();
    // Nor does it stay in the way where it was put right.
    forge.push(&work, &["--force", &format!("{huge}:{MAIN}")]);
    assert_eq!(step(&forge, &next, &huge, 0)["outcome"], "refuse");
    work.git(&["reset", "--quiet", "--hard", &next]).ok();
    let mended = work.commit(Some(&forge.alice), "OPS-4: signed");
    forge.push(&work, &["--force", "main"]);
    assert_eq!(step(&forge, &huge, &mended, 0)["outcome"], "accept");
}
