//! Comparing trees, beside `git diff-tree --stdin` on the same repository: one commit that changes ten
//! files of 50,000, and a line of 1,000 such commits. Prints times and their ratio; what is to be kept is
//! the ratio.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, dead_code, unreachable_pub)]

#[path = "../support/sandbox.rs"]
mod sandbox;

use countersign::domain::ObjectId;
use countersign::git::{ChangeBudget, Comparison, Differ, GitError, Merger, Repository};
use sandbox::Sandbox;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const COMMITS: usize = 1000;
const ROUNDS: usize = 15;

fn path(index: usize) -> String {
    format!("top-{:02}/sub-{:02}/file-{index:05}.txt", index % 50, index / 50 % 10)
}

/// One commit of 50,000 files and a line of commits after it, packed as a server has it. Gives their ids.
fn history(sandbox: &Sandbox, repository: &Path) -> Vec<String> {
    let mut stream = String::new();
    let mut state = 1_u64;
    for commit in 0..=COMMITS {
        writeln!(
            stream,
            "commit refs/heads/main\ncommitter C <c@example.com> {} +0000\ndata 1\nx",
            1_600_000_000 + commit
        )
        .unwrap();
        let files: Vec<usize> = if commit == 0 {
            (0..50_000).collect()
        } else {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                usize::try_from(state >> 33).unwrap() % 50_000
            };
            (0..10).map(|_| next()).collect()
        };
        for index in files {
            let content = format!("{index} {commit}");
            writeln!(stream, "M 100644 inline {}\ndata {}\n{content}", path(index), content.len()).unwrap();
        }
    }
    sandbox.git_with_input(repository, &["fast-import", "--quiet"], stream.as_bytes()).ok();
    sandbox.git(repository, &["repack", "-q", "-a", "-d", "-f"]).ok();
    let listed = sandbox.git(repository, &["rev-list", "--reverse", "main"]).ok().stdout;
    listed.lines().map(str::to_owned).collect()
}

fn id(hex: &str) -> ObjectId {
    ObjectId::parse(hex.as_bytes()).unwrap()
}

/// Processor time of this process and of the children that it has waited for. On a machine that others
/// use as well, it is what can be compared.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // User and system time, own and of children, in hundredths of a second.
    let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Processor time of one of many rounds, and the smallest time by the clock.
fn cost(mut what: impl FnMut()) -> (Duration, Duration) {
    let before = spent();
    let mut shortest = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        what();
        shortest = shortest.min(started.elapsed());
    }
    ((spent() - before) / u32::try_from(ROUNDS).unwrap(), shortest)
}

type Cost = (Duration, Duration);

fn row(what: &str, ours: Cost, git: Cost) {
    for (kind, ours, git) in [("processor", ours.0, git.0), ("clock", ours.1, git.1)] {
        let ratio = ours.as_secs_f64() / git.as_secs_f64();
        println!("{what:42} {kind:>10} {ours:>10.2?} {git:>10.2?} {ratio:>6.2}");
    }
}

fn main() {
    let sandbox = Sandbox::new();
    let bare = sandbox.bare("r.git", &[]);
    let commits = history(&sandbox, &bare);
    let listed = sandbox.git(&bare, &["log", "--reverse", "--format=%T", "main"]).ok().stdout;
    let trees: Vec<ObjectId> = listed.lines().map(id).collect();
    let git = |commits: &[String]| {
        let input = commits.join("\n") + "\n";
        let arguments = ["diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--no-abbrev"];
        let ran = sandbox.git_with_input(&bare, &arguments, input.as_bytes()).ok();
        assert!(!ran.stdout.is_empty());
    };
    let ours = |trees: &[ObjectId], collisions: bool| {
        let repository = Repository::open(&bare, None).unwrap();
        let mut differ = Differ::new(repository.objects(), ChangeBudget::default());
        if collisions {
            differ = differ.look_for_collisions();
        }
        let mut changes = 0;
        for pair in trees.windows(2) {
            match differ.compare::<GitError>(Some(pair[0]), Some(pair[1]), &|| Ok(())).unwrap() {
                Comparison::Complete(difference) => changes += difference.changes.len(),
                other => panic!("{other:?}"),
            }
        }
        assert!(changes >= 9 * (trees.len() - 1));
    };
    println!("{:53} {:>10} {:>10} {:>6}", "", "ours", "git", "ratio");
    let nothing = cost(|| drop(sandbox.git(&bare, &["version"])));
    row(
        "one commit, git's start included",
        cost(|| ours(&trees[500..502], false)),
        cost(|| git(&commits[501..502])),
    );
    row("1,000 commits", cost(|| ours(&trees, false)), cost(|| git(&commits[1..])));
    row("1,000 commits, collisions looked for", cost(|| ours(&trees, true)), cost(|| git(&commits[1..])));
    let whole = cost(|| {
        let repository = Repository::open(&bare, None).unwrap();
        let mut differ = Differ::new(repository.objects(), ChangeBudget::default()).look_for_collisions();
        assert!(matches!(
            differ.compare::<GitError>(None, Some(trees[0]), &|| Ok(())).unwrap(),
            Comparison::Complete(difference) if difference.changes.len() == 50_000
        ));
    });
    let root = || {
        let arguments =
            ["diff-tree", "--root", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", &commits[0]];
        drop(sandbox.git(&bare, &arguments).ok());
    };
    row("the first commit, 50,000 files", whole, cost(root));
    println!("(git that does nothing: {:.2?})", nothing.1);
    let repository = Repository::open(&bare, None).unwrap();
    let side = sandbox
        .git(&bare, &["commit-tree", "-m", "x", "-p", &commits[500], &format!("{}^{{tree}}", commits[501])])
        .ok();
    let side = id(side.line());
    let merger = Merger::new(repository.objects()).unwrap();
    let until = Instant::now() + Duration::from_secs(600);
    let merge = cost(|| drop(merger.recompute(id(&commits[1000]), side, until).unwrap()));
    println!("a merge recomputed: {:.2?}", merge.1);
}
