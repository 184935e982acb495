//! Whether messages are read as git reads them: `git log` for subjects and bodies, `git
//! interpret-trailers` for trailers, over messages put together from pieces that matter to either.

#![allow(clippy::unwrap_used)]

mod support;

use countersign::policy::message;
use support::history::Random;
use support::sandbox::Sandbox;

/// Lines that mean something to one of the two readers, and their look-alikes.
const PIECES: [&str; 48] = [
    "\n",
    "\n",
    "\n",
    "\n",
    " \n",
    "\t \n",
    "\r\n",
    "\u{b}\n",
    "\u{a0}\n",
    "subject\n",
    "prose goes on\n",
    "  indented\n",
    "\tindented\n",
    "trailing blanks \t \n",
    "line\r\n",
    "Signed-off-by: Alice <alice@example.org>\n",
    "Signed-off-by: Alice <alice@example.org>\n",
    "Signed-off-by:Alice\n",
    "signed-off-by: bob\n",
    "Signed-off-by : spaced\n",
    " Signed-off-by: indented\n",
    "(cherry picked from commit 3f2a9c1d04b5e6f708192a3b4c5d6e7f80910213)\n",
    "Ticket: OPS-1\n",
    "Ticket: OPS-1\n",
    "Ticket:\n",
    "Ticket: \t padded \t\n",
    "Co-authored-by: \u{e9} <e@example.org>\n",
    "Not a trailer: really\n",
    "Key  \t: value\n",
    "Key= value\n",
    "K_y: underscore\n",
    "K\u{e9}y: letter\n",
    ": no key\n",
    "-: dash\n",
    "1: digit\n",
    "a:b:c\n",
    "https://example.org/x\n",
    "# comment\n",
    "#\n",
    " # no comment\n",
    "# ------------------------ >8 ------------------------\n",
    "# ------------------------ >8 ------------------------ \n",
    "---\n",
    "--- a/file\n",
    "Conflicts:\n",
    "Conflicts: x\n",
    "\tsrc/main.rs\n",
    "no line feed at the end",
];

fn messages(count: usize) -> Vec<String> {
    let mut random = Random(20_260_101);
    let mut out = vec![
        String::new(),
        "\n".to_owned(),
        "s".to_owned(),
        "s\n\nKey: value".to_owned(),
        "\nKey: value\n".to_owned(),
        "s\n\nConflicts:".to_owned(),
        "s\n\nKey: value\n\n".to_owned(),
        "s\n\nKey: value\n# ------------------------ >8 ------------------------".to_owned(),
    ];
    while out.len() < count {
        let mut message = String::new();
        // Half of them begin as people's do.
        if random.below(2) == 0 {
            message.push_str("subject\n\n");
        }
        for _ in 0..random.below(10) {
            message.push_str(PIECES[random.below(PIECES.len())]);
        }
        out.push(message);
    }
    out
}

#[test]
fn trailers_are_those_that_git_finds() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("git/r.git", &[]);
    let mut some = 0;
    for message in messages(400) {
        let arguments = ["interpret-trailers", "--parse", "--no-divider"];
        let git = sandbox.git_with_input(&bare, &arguments, message.as_bytes()).ok().stdout;
        let mut ours = String::new();
        for trailer in message::trailers(message.as_bytes()) {
            let (key, value) =
                (String::from_utf8_lossy(trailer.key), String::from_utf8_lossy(&trailer.value));
            ours.push_str(&format!("{key}: {value}\n"));
        }
        assert_eq!(ours, git, "{message:?}");
        some += usize::from(!git.is_empty());
    }
    assert!(some > 50, "only {some} of the messages have trailers");
}

#[test]
fn subjects_and_bodies_are_those_that_git_shows() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("git/r.git", &[]);
    let tree = sandbox.git_with_input(&bare, &["mktree"], b"").ok().line().to_owned();
    for message in messages(300) {
        let raw = format!(
            "tree {tree}\nauthor A <a@example.org> 1 +0000\ncommitter A <a@example.org> 1 +0000\n\n{message}"
        );
        let arguments = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
        let id = sandbox.git_with_input(&bare, &arguments, raw.as_bytes()).ok().line().to_owned();
        let shown = sandbox.git(&bare, &["show", "--no-patch", "--format=%s%x00%b%x00", &id]).ok().stdout;
        let mut parts = shown.split('\0');
        let (subject, body) = (parts.next().unwrap(), parts.next().unwrap());
        assert_eq!(String::from_utf8_lossy(&message::subject(message.as_bytes())), subject, "{message:?}");
        assert_eq!(String::from_utf8_lossy(message::body(message.as_bytes())), body, "{message:?}");
    }
}
