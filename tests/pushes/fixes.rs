//! What a refusal says to do does what it says: the commands in it, run as they stand.

use crate::support::clone::Clone;
use crate::support::gate::Gate;
use crate::support::sandbox::run;
use std::fs;

fn policy(refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [\"refs/heads/main\"]\n[ruleset.refuse]\n{refuse}\n"
    )
}

/// Two lines of commits with an empty one on each, a merge of them, and one on top.
fn history(work: &Clone<'_>) {
    let write = |name: &str| {
        fs::write(work.path.join(name), name).unwrap();
        work.git(&["add", "--all"]).ok();
        work.commit(None, name);
    };
    write("one");
    work.commit(None, "empty");
    work.branch("side", "HEAD");
    write("two");
    work.commit(None, "empty again");
    work.git(&["checkout", "--quiet", "main"]).ok();
    write("three");
    work.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]).ok();
    write("four");
}

/// Pushes, runs the first command that the refusal names, and so on until nothing is refused; gives the commands.
fn obey(gate: &Gate, work: &Clone<'_>, environment: &[(&str, &str)]) -> Vec<String> {
    let mut ran: Vec<String> = Vec::new();
    loop {
        let push = work.push(&["main"]);
        if push.ran.status.success() {
            return ran;
        }
        let help = push.remote.iter().filter(|line| line.starts_with("  help: "));
        let mut commands = help.flat_map(|line| line.split('`').skip(1).step_by(2));
        let found = commands.find(|one| one.starts_with("git commit") || one.starts_with("git rebase"));
        let Some(command) = found else { panic!("no command in {}", push.text()) };
        assert!(ran.len() < 6, "{ran:?} did not help: {}", push.text());
        let mut shell = gate.sandbox.command("sh", &work.path);
        shell.envs(environment.iter().copied()).args(["-c", command]);
        ran.push(command.to_owned());
        run(shell, b"").ok();
    }
}

#[test]
fn a_sign_off_is_added_to_merges_too() {
    let gate = Gate::running(&policy("missing-signoff = true"));
    let work = gate.clone_of(&gate.repository("app"));
    history(&work);
    let ran = obey(
        &gate,
        &work,
        &[("GIT_COMMITTER_NAME", "Test Author"), ("GIT_COMMITTER_EMAIL", "author@example.com")],
    );
    assert!(ran[0].starts_with("git rebase --rebase-merges --signoff"), "{ran:?}");
}

#[test]
fn an_address_is_changed_in_all_commits_the_empty_ones_too() {
    let gate = Gate::running(&policy("email-domain = { domains = [\"example.org\"] }"));
    let work = gate.clone_of(&gate.repository("app"));
    history(&work);
    let own = [("GIT_AUTHOR_EMAIL", "me@example.org"), ("GIT_COMMITTER_EMAIL", "me@example.org")];
    assert_eq!(obey(&gate, &work, &own).len(), 1, "one command does it");
}

#[test]
fn a_signature_is_put_on_merges_and_empty_commits_too() {
    let (gate, alice) = Gate::with_alice(&policy("unsigned-commit = true"));
    let work = gate.clone_of(&gate.repository("app"));
    history(&work);
    let mut options = gate.sandbox.command("git", &work.path);
    alice.configure(&mut options);
    for option in options.get_args().filter_map(|option| option.to_str()?.split_once('=')) {
        work.git(&["config", option.0, option.1]).ok();
    }
    let ran = obey(&gate, &work, &[]);
    assert!(ran.len() == 1 && ran[0].contains("--gpg-sign"), "one command does it: {ran:?}");
}
