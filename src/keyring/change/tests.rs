//! The writer killed at every step. Some tests start this program again as another process.

use super::*;
use crate::keyring::{Membership, Origin, Taken, regroup, remove, rename, take};
use rustix::process::{Signal, getpid, kill_process};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

const ANN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJaXzR/ywf7UudEZKOnGRUNAVLhzkP24lyaYdM5k4CS";
const BOB: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdCKdpbqvoIHJXbkSGZDXQ8jYZGNdIs4T1v0UTrO+UD";

/// Which process is killed, and at which of its steps.
const VICTIM: &str = "KEYRING_TEST_DIRECTORY";
const STEP: &str = "KEYRING_TEST_STEP";
const EDIT: &str = "KEYRING_TEST_EDIT";

static STEPS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static VICTIM_THREAD: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn fault(_point: &str) {
    if !VICTIM_THREAD.get() {
        return;
    }
    let step: usize = std::env::var(STEP).unwrap().parse().unwrap();
    if STEPS.fetch_add(1, Ordering::SeqCst) + 1 == step {
        kill_process(getpid(), Signal::KILL).unwrap();
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
}

fn principal(name: &str, key: &str) -> String {
    format!("# about {name}\nname = \"{name}\"\ngroups = [\"all\"]\n\n[[key]]\nssh = \"{key}\"\n")
}

fn ring() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    write(dir.path(), "ann.toml", &principal("ann", ANN));
    write(dir.path(), "bob.toml", &principal("bob", BOB));
    dir
}

fn digest_now(dir: &Path) -> String {
    Keyring::load(dir).unwrap_or_else(|error| panic!("{error}")).keyring.digest().to_owned()
}

fn now() -> Timestamp {
    "2026-03-01T09:00:00Z".parse().unwrap()
}

/// The edits: of two files, of one that goes and one that comes, of one, of all by what somebody else's commit holds.
fn edit(which: usize, dir: &Path, recorder: Option<&Recorder<'_>>) -> Result<(), EditError> {
    let sources = Sources::directory(dir);
    let mut options = ChangeOptions::unrecorded("test", now());
    options.recorder = recorder;
    match which {
        0 => {
            let both = ["ann".to_owned(), "bob".to_owned()];
            regroup(&sources, "sre", &both, Membership::Join, &options).map(|_| ())
        }
        1 => rename(&sources, "ann", "ann.smith", &options).map(|_| ()),
        2 => remove(&sources, "bob", "left", &options).map(|_| ()),
        _ => {
            let text = |name, key| principal(name, key).replace("all", "taken");
            let files = [("ann".to_owned(), text("ann", ANN)), ("bob".to_owned(), text("bob", BOB))].into();
            let origin = Origin {
                repository_id: "r".to_owned(),
                repository: "infra/trust".to_owned(),
                reference: "refs/heads/main".to_owned(),
                path: "keyring".to_owned(),
                rulesets_path: Some("rules".to_owned()),
            };
            let rulesets = [("one.toml".to_owned(), "# rules".to_owned())].into();
            let marker = Taken::new(&origin, COMMIT, &files, rulesets);
            take(&sources, &files, &marker, &options).map(|_| ())
        }
    }
}

const EDITS: usize = 4;
const COMMIT: &str = "3f786850e387550fdab836ed7e6dc881de23001b";

/// From which commit the directory says that it was taken over.
fn taken(dir: &Path) -> Option<String> {
    Taken::read(dir).unwrap().map(|(taken, _)| taken.commit)
}

/// Not a test by itself: the process that is killed.
#[test]
fn child_edits_and_is_killed() {
    let Some(dir) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    let which: usize = std::env::var(EDIT).unwrap().parse().unwrap();
    VICTIM_THREAD.set(true);
    let recorder = |record: &ChangeRecord| {
        let path = dir.join(".recorded");
        fs::write(path, &record.id).map_err(|error| error.to_string())
    };
    edit(which, &dir, Some(&recorder)).unwrap();
}

/// Whether it was killed.
fn victim(dir: &Path, which: usize, step: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "keyring::change::tests::child_edits_and_is_killed", "--nocapture"]);
    child.env(VICTIM, dir).env(STEP, step.to_string()).env(EDIT, which.to_string());
    let output = child.output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    killed
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml") || name == JOURNAL)
        .collect();
    names.sort();
    names
}

#[test]
fn a_writer_killed_at_any_step_leaves_the_old_state_or_the_new_one() {
    let old = digest_now(ring().path());
    let new: Vec<String> = (0..EDITS)
        .map(|which| {
            let dir = ring();
            edit(which, dir.path(), None).unwrap();
            digest_now(dir.path())
        })
        .collect();
    let (mut kills, mut seen_old, mut seen_new, mut unfinished) = (0, 0, 0, 0);
    while kills < 200 {
        for (which, new) in new.iter().enumerate() {
            for step in 1.. {
                let dir = ring();
                let dir = dir.path();
                if !victim(dir, which, step) {
                    assert!(step > 8, "an edit has more steps than {step}");
                    break;
                }
                kills += 1;
                let found = digest_now(dir);
                assert!(found == old || found == *new, "edit {which}, step {step}");
                // Where the files are from is said in the same step.
                let from = (which == 3 && found == *new).then(|| COMMIT.to_owned());
                assert_eq!(taken(dir), from, "edit {which}, step {step}");
                if found == old {
                    seen_old += 1;
                } else {
                    seen_new += 1;
                }
                unfinished += usize::from(dir.join(JOURNAL).exists());
                // What reads without writing, in the old state and the new one, sees the same.
                assert_eq!(digest_now(dir), found);
                // The next edit finishes it, and does its own.
                let recorded = Cell::new(dir.join(".recorded").exists());
                let recorder = |_: &ChangeRecord| {
                    recorded.set(true);
                    Ok(())
                };
                let options =
                    ChangeOptions { recorder: Some(&recorder), ..ChangeOptions::unrecorded("next", now()) };
                let done = crate::keyring::resume(&Sources::directory(dir), "zoe", &options);
                assert!(matches!(done, Err(EditError::Refused(_))), "there is no zoe: {done:?}");
                assert_eq!(digest_now(dir), found, "edit {which}, step {step}");
                assert_eq!(taken(dir), from, "edit {which}, step {step}");
                assert!(!dir.join(JOURNAL).exists());
                assert_eq!(
                    recorded.get(),
                    found == *new,
                    "what happened is on record, edit {which}, step {step}"
                );
                let files = names(dir);
                if found == old || which != 1 {
                    assert_eq!(files, ["ann.toml", "bob.toml"]);
                } else {
                    assert_eq!(files, ["ann.smith.toml", "bob.toml"]);
                }
                edit(which, dir, None).map_or_else(
                    |error| assert!(found == *new && which == 1, "{error}"),
                    |()| assert_eq!(digest_now(dir), *new, "edit {which} again after step {step}"),
                );
            }
        }
    }
    assert!(seen_old > 20 && seen_new > 20 && unfinished > 20, "{seen_old} {seen_new} {unfinished}");
}

/// Leaves the directory as a crash right behind the commit does.
fn interrupted(which: usize) -> (tempfile::TempDir, String) {
    let done = ring();
    edit(which, done.path(), None).unwrap();
    for step in 1.. {
        let dir = ring();
        assert!(victim(dir.path(), which, step), "there is such a step");
        if dir.path().join(JOURNAL).exists() {
            return (dir, digest_now(done.path()));
        }
    }
    unreachable!()
}

#[test]
fn a_file_that_was_changed_since_stops_everything_until_somebody_looks() {
    let (dir, new) = interrupted(0);
    let dir = dir.path();
    assert_eq!(digest_now(dir), new);
    let text = fs::read_to_string(dir.join("bob.toml")).unwrap();
    write(dir, "bob.toml", &format!("{text}# by hand\n"));
    let error = Keyring::load(dir).unwrap_err().to_string();
    assert!(
        error.contains("an edit of the keyring was interrupted") && error.contains("bob.toml"),
        "{error}"
    );
    let error = edit(0, dir, None).unwrap_err();
    assert!(matches!(error, EditError::Keyring(_)), "{error}");
    fs::remove_file(dir.join(JOURNAL)).unwrap();
    edit(0, dir, None).unwrap();
}

#[test]
fn a_journal_must_be_as_safe_as_a_file_and_be_one() {
    let (dir, _) = interrupted(0);
    let path = dir.path().join(JOURNAL);
    let text = fs::read_to_string(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let error = Keyring::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("can be written by its group and everybody else"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    for (broken, why) in [
        (text.replace("\"schema\":1", "\"schema\":2"), "its schema is 2"),
        (text.replace("ann.toml", "../ann.toml"), "no principal's"),
        (text[..text.len() / 2].to_owned(), "no edit of a keyring"),
        (String::new(), "no edit of a keyring"),
    ] {
        write(dir.path(), JOURNAL, &broken);
        let error = Keyring::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.contains("do not remove it yet") && error.contains("`files` in it"), "{error}");
        assert!(edit(0, dir.path(), None).is_err());
    }
}

/// Whoever removed the journal at once would keep half of a change, and nobody would know of the other half.
#[test]
fn the_advice_about_a_journal_loses_no_half_of_a_change() {
    let (dir, _) = interrupted(1);
    let dir = dir.path();
    let ann = fs::read_to_string(dir.join("ann.toml")).unwrap();
    write(dir, "ann.toml", &format!("{ann}# by hand\n"));
    let told = Keyring::load(dir).unwrap_err().to_string();
    for part in [
        "do not remove `.change` yet",
        "It is `test` of 2026-03-01T09:00:00Z",
        "`ann.toml`: changed since",
        "`ann.smith.toml`: not made yet",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // What it says to do: the files become what the journal has, and then it goes.
    let journal: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join(JOURNAL)).unwrap()).unwrap();
    for file in journal["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        match file["after"].as_str() {
            Some(text) => write(dir, name, text),
            None => fs::remove_file(dir.join(name)).unwrap(),
        }
        let told = Keyring::load(dir).map(|_| ()).map_err(|error| error.to_string());
        assert!(told.as_ref().err().is_none_or(|told| told.contains(&format!("`{name}`: done"))), "{told:?}");
    }
    fs::remove_file(dir.join(JOURNAL)).unwrap();
    // Run again, the command says that it is done.
    let error = edit(1, dir, None).unwrap_err().to_string();
    assert!(error.contains("is it done already?"), "{error}");
    assert_eq!(names(dir), ["ann.smith.toml", "bob.toml"]);
}

#[test]
fn n15_what_a_journal_of_another_release_revokes_is_revoked() {
    let clean = ring();
    let good = Keyring::load(clean.path()).unwrap().keyring;
    let (dir, _) = interrupted(2);
    let text = fs::read_to_string(dir.path().join(JOURNAL)).unwrap();
    write(dir.path(), JOURNAL, &text.replace("\"schema\":1", "\"schema\":2"));
    assert!(Keyring::load(dir.path()).is_err());
    let (saved, news) = good.with_revocations_from(dir.path());
    let bob = saved.keys().iter().find(|key| key.principal.name == "bob").unwrap();
    assert!(news > 0 && bob.revoked.is_some(), "{bob:?}");
}

#[test]
fn n15_a_revocation_that_is_on_its_way_counts_in_a_rejected_keyring() {
    let dir = ring();
    let good = Keyring::load(dir.path()).unwrap().keyring;
    let victim_dir = dir.path();
    let mut step = 1;
    while !victim_dir.join(JOURNAL).exists() {
        assert!(victim(victim_dir, 2, step));
        step += 1;
    }
    write(victim_dir, "carol.toml", "name = \"somebody else\"\n");
    assert!(Keyring::load(victim_dir).is_err());
    let (saved, news) = good.with_revocations_from(victim_dir);
    assert!(news > 0);
    let bob = saved.keys().iter().find(|key| key.principal.name == "bob").unwrap();
    assert!(bob.revoked.is_some() && bob.suspended.is_some(), "{bob:?}");
}

#[test]
fn what_cannot_be_recorded_stands_and_is_told() {
    let dir = ring();
    let recorder = |_: &ChangeRecord| Err("the disk is full".to_owned());
    let options = ChangeOptions { recorder: Some(&recorder), ..ChangeOptions::unrecorded("test", now()) };
    let sources = Sources::directory(dir.path());
    let done = regroup(&sources, "sre", &["ann".to_owned()], Membership::Join, &options).unwrap();
    assert_eq!(done.recorded, Recorded::Failed("the disk is full".to_owned()));
    assert!(!dir.path().join(JOURNAL).exists());
    // One that a crash interrupted is not forgotten for want of a record, unless it is urgent.
    let (dir, _) = interrupted(0);
    let sources = Sources::directory(dir.path());
    let error = rename(&sources, "ann", "eve", &options).unwrap_err();
    assert!(matches!(error, EditError::Unrecorded(_)), "{error}");
    assert!(dir.path().join(JOURNAL).exists());
    let options = ChangeOptions { urgent: true, ..options };
    let done = rename(&sources, "ann", "eve", &options).unwrap();
    assert!(matches!(done.finished, Some((_, Recorded::Failed(_)))));
}

#[test]
fn a_change_says_what_it_was() {
    let dir = ring();
    let sources = Sources::directory(dir.path());
    let kept = std::cell::RefCell::new(Vec::new());
    let recorder = |record: &ChangeRecord| {
        kept.borrow_mut().push(record.clone());
        Ok(())
    };
    let mut options =
        ChangeOptions { recorder: Some(&recorder), ..ChangeOptions::unrecorded("remove", now()) };
    options.purpose.reason = Some("left\u{1b}".to_owned());
    let before = digest_now(dir.path());
    let file_before = digest(&fs::read(dir.path().join("bob.toml")).unwrap());
    remove(&sources, "bob", "left", &options).unwrap();
    let kept = kept.into_inner();
    let [record] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((record.action.as_str(), record.reason.as_deref()), ("remove", Some("left\\x1b")));
    assert_eq!(record.principals, ["bob"]);
    assert_eq!(record.keys, [crate::keyring::Material::ssh(BOB).unwrap().fingerprint()]);
    let file_after = digest(&fs::read(dir.path().join("bob.toml")).unwrap());
    let wanted = FileDigests { name: "bob.toml".into(), before: Some(file_before), after: Some(file_after) };
    assert_eq!(record.files, [wanted]);
    assert_eq!((&record.keyring_before, &record.keyring_after), (&before, &digest_now(dir.path())));
    // Nothing to do is nothing to put on record.
    let never = |_: &ChangeRecord| -> Result<(), String> { panic!("nothing changed") };
    let options = ChangeOptions { recorder: Some(&never), ..ChangeOptions::unrecorded("remove", now()) };
    assert_eq!(remove(&sources, "bob", "left", &options).unwrap().recorded, Recorded::Nothing);
}
