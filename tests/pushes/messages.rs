//! Rules about messages, and messages that git itself has written.

use crate::support::clone::Clone;
use crate::support::gate::Gate;

/// One ruleset on branches and tags with these rules.
fn ruleset(refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/**\", \"refs/tags/**\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

/// Makes an object of any bytes on top of what the branch holds, and gives its id.
fn crafted(gate: &Gate, work: &Clone<'_>, kind: &str, raw: &[u8]) -> String {
    let arguments = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
    gate.sandbox.git_with_input(&work.path, &arguments, raw).ok().line().to_owned()
}

/// A commit with these header lines before the message, and this author.
fn commit(gate: &Gate, work: &Clone<'_>, author: &[u8], header: &str, message: &[u8]) -> String {
    let (tree, parent) = (work.id("HEAD^{tree}"), work.id("HEAD"));
    let mut raw = format!("tree {tree}\nparent {parent}\nauthor ").into_bytes();
    raw.extend(author);
    raw.extend(b" <a@example.org> 1748736000 +0000\ncommitter C <c@example.org> 1748736000 +0000\n");
    raw.extend(header.as_bytes());
    raw.push(b'\n');
    raw.extend(message);
    crafted(gate, work, "commit", &raw)
}

#[test]
fn trap_15_encodings_and_escapes_in_messages_and_names() {
    let gate = Gate::running(&ruleset("unsafe-message = true"));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "base");
    work.accepted(&["main"]);
    // Git declares what it was told, and the bytes are that.
    work.git(&["-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--quiet", "--allow-empty", "-m", "plain"])
        .ok();
    work.accepted(&["main"]);
    let declared = commit(&gate, &work, b"A", "encoding ISO-8859-1\n", b"caf\xe9\n");
    work.accepted(&[&format!("{declared}:refs/heads/declared")]);
    for (author, header, message, said) in [
        (&b"A"[..], "", &b"caf\xe9\n"[..], "bytes in the message that are not UTF-8"),
        (b"Ren\xe9", "", b"x\n", "bytes in the author's name that are not UTF-8"),
        (b"A", "encoding klingon\n", b"x\n", "with a name that is not known: \"klingon\""),
        (b"A", "encoding UTF-16\n", b"x\n", "the encoding `UTF-16`, in which ASCII is not ASCII"),
        (b"A", "encoding EUC-JP\n", b"\xc6\n", "that are not `EUC-JP`, as its header says"),
        (b"A", "encoding GB18030\n", b"x \x81\x36\xa7\x31\n", "U+202E, a bidirectional control"),
        (b"A", "", b"x \x1b]0;title\x07\n", "U+001B, an escape"),
        (b"A\x1b[2J", "", b"x\n", "in the author's name"),
        (b"A", "", "x\n\nif \u{202e}x\n".as_bytes(), "in line 3 of the message"),
    ] {
        let id = commit(&gate, &work, author, header, message);
        let push = work.push(&[&format!("{id}:refs/heads/x")]).assert_refused(&["unsafe-message"]);
        let text = push.text();
        assert!(text.contains(said), "{text}");
        assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    }
    let target = work.id("HEAD");
    let raw = format!(
        "object {target}\ntype commit\ntag v1\ntagger T\u{202e} <t@example.org> 1748736000 +0000\n\na\rb\n"
    );
    let tag = crafted(&gate, &work, "tag", raw.as_bytes());
    let push = work.push(&[&format!("{tag}:refs/tags/v1")]).assert_refused(&["unsafe-message"]);
    assert!(push.text().contains("U+000D, a control character, in line 1 of the message"), "{}", push.text());
    assert!(push.text().contains("in the tagger's name"), "{}", push.text());
}

#[test]
fn messages_that_git_writes_itself() {
    let refuse = "missing-ticket = { projects = [\"OPS\"], reverts = \"skip-by-message\" }\nwork-in-progress = true\n\
                  missing-signoff = true\n[ruleset.refuse.message-format]\nsubject-max = 60\nblank-second-line = true";
    let gate = Gate::running(&ruleset(refuse));
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    // The author of these tests is not their committer, whose line git would write.
    let own = ["-c", "user.name=x", "commit", "--quiet", "--allow-empty"];
    let author = "--author=Test Committer <committer@example.com>";
    let commit = |arguments: &[&str]| work.git(&[&own[..], &[author], arguments].concat()).ok();
    commit(&["--signoff", "-m", "OPS-1: begin", "-m", "It has to begin somewhere."]);
    work.accepted(&["main"]);
    // A change, and its revert as git writes it; signed off by whoever reverts.
    std::fs::write(work.path.join("file"), "x").unwrap();
    work.git(&["add", "file"]).ok();
    commit(&["--signoff", "-m", "OPS-2: add a file"]);
    work.git(&["revert", "--no-edit", "HEAD"]).ok();
    commit(&["--amend", "--no-edit", "--signoff"]);
    work.accepted(&["main"]);
    let subject = work.git(&["log", "-1", "--format=%s"]).ok();
    assert_eq!(subject.line(), "Revert \"OPS-2: add a file\"");
    for (arguments, rules) in [
        (&["--signoff", "-m", "no ticket"][..], &["missing-ticket"][..]),
        (&["-m", "OPS-3: not signed off"], &["missing-signoff"]),
        (&["--signoff", "--fixup=HEAD"], &["work-in-progress"]),
        (&["--signoff", "-m", "OPS-4: first\nsecond"], &["message-format"]),
        (&["-m", "WIP"], &["missing-signoff", "missing-ticket", "work-in-progress"]),
    ] {
        commit(arguments);
        work.push(&["main"]).assert_refused(rules);
        work.git(&["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    }
    // The author's name alone is not enough, whatever the line says.
    commit(&["-m", "OPS-5: x", "-m", "Signed-off-by: Test Committer <other@example.com>"]);
    work.push(&["main"]).assert_refused(&["missing-signoff"]);
}
