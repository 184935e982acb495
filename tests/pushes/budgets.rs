//! Pushes of a few bytes that stand for very much: they end in a refusal with figures, and soon (N23).

use crate::support::clone::{Clone, Push};
use crate::support::gate::Gate;
use crate::support::history;
use crate::support::sandbox::run;
use std::fs;
use std::time::{Duration, Instant};

/// What a hostile push may take at most: the default deadline is 30 s, and beyond it nothing is refused.
const SOON: Duration = Duration::from_secs(25);

fn ruleset(refuse: &str, limits: &str) -> String {
    format!(
        "{limits}\n[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"paths\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

const PATHS: &str = "forbidden-path = { paths = [\"**/secret\"] }";

/// Ten levels of trees, each with ten times the one below it, and a commit of the uppermost.
fn bomb(work: &Clone<'_>, gate: &Gate, lowest: &str) -> String {
    let mut line = lowest.to_owned();
    for _ in 0..10 {
        let tree: String = (0..10).map(|n| format!("{line}\tn{n}\n")).collect();
        let mut command = gate.sandbox.command("git", &work.path);
        command.args(["mktree", "--missing"]);
        line = format!("040000 tree {}", run(command, tree.as_bytes()).ok().line());
    }
    let tree = line.rsplit(' ').next().unwrap().to_owned();
    work.git(&["commit-tree", "-m", "bomb", "-p", "HEAD", &tree]).ok().line().to_owned()
}

/// How many bytes a push of this would send.
fn bytes(work: &Clone<'_>, gate: &Gate, tip: &str) -> u64 {
    let mut command = gate.sandbox.command("sh", &work.path);
    command.args(["-c", "printf '%s\\n^base\\n' $0 | git pack-objects -q --revs --stdout | wc -c", tip]);
    run(command, b"").ok().line().trim().parse().unwrap()
}

/// The most memory that the daemon has had, MiB.
fn peak(gate: &Gate) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gate.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

#[track_caller]
fn soon(gate: &Gate, work: &Clone<'_>, tip: &str) -> Push {
    let size = bytes(work, gate, tip);
    let before = peak(gate);
    let started = Instant::now();
    let push = work.push(&["--force", &format!("{tip}:main")]).assert_refused(&["push-too-large"]);
    let took = started.elapsed();
    eprintln!("{size} bytes pushed, refused in {took:?}, peak {before} -> {} MiB", peak(gate));
    assert!(took < SOON, "{took:?}");
    assert!(push.text().contains("1 violation,"), "{}", push.text());
    push
}

fn standing(gate: &Gate) -> Clone<'_> {
    let bare = gate.repository("app");
    let work = gate.clone_of(&bare);
    work.commit(None, "base");
    work.git(&["tag", "base"]).ok();
    work.accepted(&["main"]);
    work
}

#[test]
fn t19_a_tree_bomb_of_a_few_kibibytes() {
    let (gate, _) = Gate::with_alice(&ruleset(PATHS, ""));
    let work = standing(&gate);
    let file = run(
        {
            let mut command = gate.sandbox.command("git", &work.path);
            command.args(["hash-object", "-w", "--stdin"]);
            command
        },
        b"x",
    );
    let tip = bomb(&work, &gate, &format!("100644 blob {}", file.ok().line()));
    assert!(bytes(&work, &gate, &tip) < 8192);
    let push = soon(&gate, &work, &tip);
    for word in ["1000001 changed paths or more", "at most 1000000 changed paths", "`[limits] changed-paths`"]
    {
        assert!(push.text().contains(word), "{}", push.text());
    }
    // Where nobody asks for paths, nobody looks: it is an ordinary push there.
    work.accepted(&[&format!("{tip}:refs/heads/scratch")]);
    // And the gate goes on.
    work.commit(None, "next");
    work.accepted(&["main"]);
}

#[test]
fn t19_a_bomb_without_a_file_and_one_that_is_only_deep() {
    let (gate, _) = Gate::with_alice(&ruleset(PATHS, "[limits]\ntree-entries = 200000\n"));
    let work = standing(&gate);
    let mut command = gate.sandbox.command("git", &work.path);
    command.args(["mktree"]);
    let empty = format!("040000 tree {}", run(command, b"").ok().line());
    let tip = bomb(&work, &gate, &empty);
    let push = soon(&gate, &work, &tip);
    assert!(push.text().contains("at most 200000 tree entries"), "{}", push.text());
    let mut line = empty;
    for _ in 0..300 {
        let mut command = gate.sandbox.command("git", &work.path);
        command.args(["mktree"]);
        line = format!("040000 tree {}", run(command, format!("{line}\td\n").as_bytes()).ok().line());
    }
    let tree = line.rsplit(' ').next().unwrap();
    let tip = work.git(&["commit-tree", "-m", "deep", "-p", "HEAD", tree]).ok().line().to_owned();
    let push = soon(&gate, &work, &tip);
    assert!(push.text().contains("directories above one path"), "{}", push.text());
}

#[test]
fn t19_many_commits_of_one_bomb_are_told_once() {
    let (gate, _) = Gate::with_alice(&ruleset(PATHS, "[limits]\nchanged-paths = 1000\n"));
    let work = standing(&gate);
    let ids = history::line(&gate.sandbox, &work.path, "refs/heads/long", 1500);
    let push = soon(&gate, &work, ids.last().unwrap());
    assert!(push.text().contains("1001 changed paths or more"), "{}", push.text());
}

#[test]
fn t19_a_commit_of_twenty_thousand_parents() {
    let (gate, _) = Gate::with_alice(&ruleset(&format!("{PATHS}\nunclean-merge = true"), ""));
    let work = standing(&gate);
    let who = "A <a@example.com> 1700000000 +0000";
    let base = work.id("HEAD");
    let one = |n: usize| {
        let message = format!("parent {n}");
        format!(
            "commit refs/heads/p\nmark :{n}\ncommitter {who}\ndata {}\n{message}\nfrom {base}\n",
            message.len()
        )
    };
    let stream: String = (1..=20_000).map(one).collect();
    let marks = gate.sandbox.path("many");
    let option = format!("--export-marks={}", marks.display());
    gate.sandbox
        .git_with_input(&work.path, &["fast-import", "--quiet", "--force", &option], stream.as_bytes())
        .ok();
    let marks = fs::read_to_string(marks).unwrap();
    let ids = marks.lines().map(|line| line.split_once(' ').unwrap().1);
    let parents: String = ids.map(|id| format!("parent {id}\n")).collect();
    let tree = work.id("HEAD^{tree}");
    let raw = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nmany\n");
    let mut command = gate.sandbox.command("git", &work.path);
    command.args(["hash-object", "-t", "commit", "-w", "--literally", "--stdin"]);
    let tip = run(command, raw.as_bytes()).ok().line().to_owned();
    let push = soon(&gate, &work, &tip);
    assert!(push.text().contains("the commit has 20000 parents"), "{}", push.text());
    assert!(push.text().contains("at most 64 parents"), "{}", push.text());
}

#[test]
fn t19_files_that_unpack_to_very_much() {
    let rule = "large-file = { max = \"10 MiB\" }";
    let (gate, _) = Gate::with_alice(&ruleset(rule, "[limits]\nblob-bytes = \"64 MiB\"\n"));
    let work = standing(&gate);
    for n in 0..70 {
        fs::write(work.path.join(format!("zeros-{n}")), vec![b'0' + (n % 10) as u8; (1 << 20) - n]).unwrap();
    }
    work.git(&["add", "."]).ok();
    let tip = work.commit(None, "70 MiB of nothing");
    let push = soon(&gate, &work, &tip);
    for word in ["bytes of files that are read or more", "at most 67108864 ", "`[limits] blob-bytes`"] {
        assert!(push.text().contains(word), "{}", push.text());
    }
}
