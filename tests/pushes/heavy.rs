//! Pushes that are small to send and much to judge (N23): they end at the deadline, and are never accepted for it.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::sandbox::run;
use std::fmt::Write as _;

const POLICY: &str = r#"
[policy]
uncovered = "accept"

[[ruleset]]
name = "only"
repositories = ["**"]
refs = ["refs/heads/main"]
enforcement = "enforce"

[ruleset.refuse]
forbidden-path = { paths = ["**/*.pem"] }
"#;

/// Reads a stream of `git fast-import` into a work tree.
fn import(gate: &Gate, work: &Clone<'_>, stream: &str) {
    let mut command = gate.sandbox.command("git", &work.path);
    command.args(["fast-import", "--quiet"]);
    run(command, stream.as_bytes()).ok();
}

const WHO: &str = "committer Test <test@example.com> 1750000000 +0000\ndata 1\nx\n";

/// A gate that gives a push so much time.
fn gate_with(deadline: &str) -> Gate {
    Gate::running(&limited(deadline))
}

fn limited(deadline: &str) -> String {
    format!("{POLICY}\n[limits]\ndeadline = \"{deadline}\"\n")
}

#[test]
fn n23_a_list_of_paths_that_many_commits_share_ends_at_the_deadline() {
    let gate = gate_with("3s");
    let work = gate.clone_of(&gate.repository("infra/live"));
    let mut stream = format!("blob\nmark :1\ndata 1\nx\ncommit refs/heads/all\n{WHO}");
    for file in 0..3_000 {
        let _ = writeln!(stream, "M 100644 :1 d{}/f{file}", file % 50);
    }
    import(&gate, &work, &stream);
    let all = work.id("all^{tree}");
    let mut stream = String::new();
    for turn in 0..4_000 {
        let _ = write!(stream, "commit refs/heads/long\n{WHO}");
        let _ =
            if turn % 2 == 0 { writeln!(stream, "M 040000 {all} ") } else { writeln!(stream, "deleteall") };
    }
    import(&gate, &work, &stream);
    // The worker itself gives up: it does not go on when nobody hears of it any more.
    let push = work.push(&["long:main"]).assert_undecided("cause[deadline]: the deadline of 3 s passed");
    assert!(push.text().contains("help: nothing was changed; push the history in several parts"));
}

#[test]
fn n23_merges_that_take_too_long_to_compute_again_are_undecided() {
    let gate = gate_with("100ms");
    let work = gate.clone_of(&gate.repository("infra/live"));
    let mut stream =
        format!("blob\nmark :1\ndata 1\nx\ncommit refs/heads/long\nmark :2\n{WHO}M 100644 :1 base\n");
    let mut tip = 2;
    for turn in 0..100 {
        let (left, right, merge) = (tip + 1, tip + 2, tip + 3);
        for (branch, mark, file) in [("long", left, 'l'), ("side", right, 'r')] {
            let _ = write!(stream, "commit refs/heads/{branch}\nmark :{mark}\n{WHO}from :{tip}\n");
            let _ = writeln!(stream, "M 100644 :1 {file}{turn}");
        }
        let _ = write!(stream, "commit refs/heads/long\nmark :{merge}\n{WHO}from :{left}\nmerge :{right}\n");
        let _ = writeln!(stream, "M 100644 :1 r{turn}");
        tip = merge;
    }
    import(&gate, &work, &stream);
    work.push(&["long:main"]).assert_undecided("cause[deadline]");
    assert_eq!(work.server("refs/heads/main"), None);
    gate.reconfigure(&limited("10m"));
    work.accepted(&["long:main"]);
}
