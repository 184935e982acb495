//! Conformance cases M: Merged tags.

use crate::keys::*;
use crate::objects::*;
use crate::support::gate::{Gate, PRODUCTION};
use countersign::domain::ObjectFormat;
use countersign::signature::mergetag::{self, MergedTag};
use countersign::signature::object::parse_commit;
use countersign::signature::{self, MergeTags, Rules, Times, Trace};

/// A commit on `main`, and a tagged one on each of these branches; git has merged all tags.
fn merged(scene: &Scene, topics: &[&str], sign_tag: fn(&Scene, &[&str])) -> Vec<u8> {
    scene.git_ssh(&["commit", "-q", "-S", "--allow-empty", "-m", "base"]);
    for topic in topics {
        scene.git(&["checkout", "-q", "-b", topic, "main"]);
        scene.git_ssh(&["commit", "-q", "-S", "--allow-empty", "-m", topic]);
        sign_tag(scene, &["tag", "-s", "-m", topic, &format!("v-{topic}")]);
    }
    scene.git(&["checkout", "-q", "main"]);
    // So that the first parent is not an ancestor of the others.
    scene.git_ssh(&["commit", "-q", "-S", "--allow-empty", "-m", "meanwhile"]);
    let names: Vec<String> = topics.iter().map(|topic| format!("v-{topic}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    scene.git_ssh(&[&["merge", "-q", "-S", "-s", "ours", "-m", "merge"][..], &names].concat());
    let raw = scene.cat("commit", "HEAD");
    let headers = String::from_utf8_lossy(&raw).matches("\nmergetag object ").count();
    assert_eq!(headers, topics.len());
    raw
}

fn by_ssh(scene: &Scene, args: &[&str]) {
    scene.git_ssh(args);
}

/// The commit's own word and what its merged tags are, under this setting.
fn judged(scene: &Scene, raw: &[u8], keys: &KeyBox, merge_tags: MergeTags) -> (String, Vec<String>) {
    let rules = Rules { merge_tags, ..Rules::default() };
    let commit = parse_commit(scene.format, raw).unwrap();
    let mut trace = Trace::on();
    let times = |object| Times::introduced(object, at(NOW));
    let (field, payload) = (&commit.signature, &commit.payload);
    let status = signature::judge(field, payload, keys, times(commit.committer.time), &rules, &mut trace);
    let tags = mergetag::judge(scene.format, &commit, &rules, &mut trace, &mut |tag, trace| {
        signature::judge(&tag.signature, &tag.payload, keys, times(tag.time()), &rules, trace)
    });
    let status = mergetag::veto(status, &tags, &rules);
    let told = tags.iter().map(|tag| match tag {
        MergedTag::Good { name } => format!("good {name}"),
        MergedTag::Odd(finding) => finding.code.to_owned(),
    });
    let noted = trace.checks().iter().filter(|check| check.name == "merged-tag").count();
    assert_eq!(noted, tags.len());
    let word = match &status {
        signature::SignatureStatus::Malformed { code, .. } => (*code).to_owned(),
        other => other.name().to_owned(),
    };
    (word, told.collect())
}

/// Signs a merge again after its text was changed.
fn signed_again(scene: &Scene, raw: &[u8]) -> Vec<u8> {
    let commit = parse_commit(scene.format, raw).unwrap();
    scene.ssh_signed(&[commit.payload.before, commit.payload.after].concat())
}

/// What every setting makes of a merge whose tag is not good.
#[track_caller]
fn assert_odd(scene: &Scene, raw: &[u8], keys: &KeyBox, code: &str) {
    let told = vec![code.to_owned()];
    assert_eq!(judged(scene, raw, keys, MergeTags::Report), ("verified".to_owned(), told.clone()));
    assert_eq!(judged(scene, raw, keys, MergeTags::Refuse), ("mergetag.bad".to_owned(), told));
    assert_eq!(judged(scene, raw, keys, MergeTags::Ignore), ("verified".to_owned(), vec![]));
}

#[test]
fn m001_m008_signed_tags_that_git_merged() {
    for topics in [&["one"][..], &["one", "two"]] {
        for sign_tag in [by_ssh as fn(&Scene, &[&str]), |scene, args| drop(scene.git_pgp(args))] {
            let scene = Scene::new();
            let raw = merged(&scene, topics, sign_tag);
            let good: Vec<String> = topics.iter().map(|topic| format!("good v-{topic}")).collect();
            for merge_tags in [MergeTags::Report, MergeTags::Refuse] {
                let found = judged(&scene, &raw, &scene.keys(), merge_tags);
                assert_eq!(found, ("verified".to_owned(), good.clone()));
            }
            assert!(scene.git_verifies(&raw).good);
        }
    }
}

#[test]
fn m008_one_of_two_is_bad() {
    let scene = Scene::new();
    let raw = merged(&scene, &["one", "two"], by_ssh);
    let changed = signed_again(&scene, &replaced(&raw, "\n two\n", "\n too\n"));
    let found = judged(&scene, &changed, &scene.keys(), MergeTags::Refuse);
    let told = vec!["good v-one".to_owned(), "mergetag.bad".to_owned()];
    assert_eq!(found, ("mergetag.bad".to_owned(), told));
}

#[test]
fn m002_the_key_of_the_tag_is_unknown() {
    let scene = Scene::new();
    let raw = merged(&scene, &["one"], |scene, args| drop(scene.git_pgp(args)));
    let keys = KeyBox::ssh(&Ssh::public(&scene.ssh_key));
    assert_odd(&scene, &raw, &keys, "mergetag.unknown_key");
}

#[test]
fn m003_the_signature_of_the_tag_is_bad() {
    let scene = Scene::new();
    let raw = merged(&scene, &["one"], by_ssh);
    let changed = signed_again(&scene, &replaced(&raw, "\n one\n", "\n 0ne\n"));
    assert_odd(&scene, &changed, &scene.keys(), "mergetag.bad");
    // The merged tag is covered by the commit's signature: without signing again, the commit is bad.
    let (word, _) = judged(&scene, &replaced(&raw, "\n one\n", "\n 0ne\n"), &scene.keys(), MergeTags::Report);
    assert_eq!(word, "bad");
}

#[test]
fn m004_m005_it_is_of_no_parent_or_of_the_first() {
    let scene = Scene::new();
    let raw = merged(&scene, &["one"], by_ssh);
    let (first, second) = (scene.line(&["rev-parse", "HEAD^1"]), scene.line(&["rev-parse", "HEAD^2"]));
    let parents = |one: &str, two: &str| format!("parent {one}\nparent {two}\n");
    let now = parents(&first, &second);
    for (other, code) in [
        (parents(&first, &scene.line(&["rev-parse", "HEAD^2^"])), "mergetag.not_parent"),
        (parents(&second, &first), "mergetag.first_parent"),
        (parents(&second, &second), "mergetag.first_parent"),
    ] {
        let changed = signed_again(&scene, &replaced(&raw, &now, &other));
        assert_odd(&scene, &changed, &scene.keys(), code);
    }
}

/// A merge whose tag names a parent that nobody has. Git does not send it, the gate would not take it.
#[test]
fn m006_a_parent_that_is_missing() {
    let (gate, alice) = Gate::production();
    let work = gate.clone_of(&gate.repository("infra/live"));
    let base = work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    let tree = work.id("HEAD^{tree}");
    let missing = "00112233445566778899aabbccddeeff00112233";
    let raw = format!("tree {tree}\nparent {base}\nparent {missing}\n{AUTHOR}{COMMITTER}\nOPS-2: merge\n");
    let hash = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
    let id = gate.sandbox.git_with_input(&work.path, &hash, raw.as_bytes()).ok().line().to_owned();
    let push = work.push(&[&format!("{id}:refs/heads/main")]);
    assert!(!push.ran.status.success(), "{}", push.ran.stderr);
    assert_eq!(work.server("refs/heads/main"), Some(base));
}

/// CMS is recognised and not verified yet: such a tag is not good.
#[test]
fn m007_an_x509_signed_tag() {
    let scene = Scene::new();
    let raw = merged(&scene, &["one"], by_ssh);
    let text = String::from_utf8(raw).unwrap();
    let (start, rest) = text.split_once(" -----BEGIN SSH SIGNATURE-----\n").unwrap();
    let (_, end) = rest.split_once(" -----END SSH SIGNATURE-----\n").unwrap();
    let cms = " -----BEGIN SIGNED MESSAGE-----\n MIIB\n -----END SIGNED MESSAGE-----\n";
    let changed = signed_again(&scene, format!("{start}{cms}{end}").as_bytes());
    assert_odd(&scene, &changed, &scene.keys(), "mergetag.bad");
}

#[test]
fn m009_a_good_merged_tag_does_not_sign_the_merge() {
    let scene = Scene::new();
    let raw = merged(&scene, &["one"], by_ssh);
    let commit = parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    let unsigned = [commit.payload.before, commit.payload.after].concat();
    let good = vec!["good v-one".to_owned()];
    for merge_tags in [MergeTags::Report, MergeTags::Refuse] {
        let found = judged(&scene, &unsigned, &scene.keys(), merge_tags);
        assert_eq!(found, ("unsigned".to_owned(), good.clone()));
    }
    assert!(!scene.git_verifies(&unsigned).good);
}

/// The setting at the gate: a merged tag by somebody unknown is told, or vetoes.
#[test]
fn m002_m009_at_the_gate() {
    for (setting, refused) in [("report", false), ("refuse", true)] {
        let policy = format!("[signatures]\nmerge-tags = \"{setting}\"\n\n{PRODUCTION}");
        let (gate, alice) = Gate::with_alice(&policy);
        let mallory = crate::support::signers::Signer::ssh(&gate.sandbox, "mallory", &["ed25519"]);
        let work = gate.clone_of(&gate.repository("infra/live"));
        work.commit(Some(&alice), "OPS-1: base");
        work.accepted(&["main"]);
        for (signer, fine) in [(&alice, true), (&mallory, !refused)] {
            work.git(&["checkout", "-q", "-B", "topic", "main"]).ok();
            work.commit(Some(&alice), "OPS-2: topic");
            let name = format!("v-{}", signer.name);
            work.sign(Some(signer), &["tag", "-s", "-m", "release", &name]);
            work.git(&["checkout", "-q", "main"]).ok();
            work.commit(Some(&alice), "OPS-3: meanwhile");
            work.sign(Some(&alice), &["merge", "-q", "-S", "-s", "ours", "-m", "OPS-4: merge", &name]);
            let raw = work.git(&["cat-file", "commit", "HEAD"]).ok().stdout;
            assert!(raw.contains("\nmergetag object "), "{raw}");
            let push = work.push(&["main"]);
            if fine {
                push.assert_accepted();
            } else {
                let push = push.assert_refused(&["bad-signature"]);
                assert!(push.text().contains("mergetag.bad"), "{}", push.text());
            }
        }
        // No merged tag stands in for a signature.
        work.git(&["checkout", "-q", "-B", "topic", "main"]).ok();
        work.commit(Some(&alice), "OPS-5: topic");
        work.sign(Some(&alice), &["tag", "-s", "-m", "release", "v-last"]);
        work.git(&["checkout", "-q", "main"]).ok();
        work.sign(None, &["merge", "-q", "--no-ff", "-m", "OPS-6: merge", "v-last"]);
        assert!(work.push(&["main"]).rules().contains("unsigned-commit"));
    }
}
