use super::*;
use crate::store::Mode;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn new(commit: u8, state: ReportState, second: i64) -> NewReport {
    NewReport {
        source: "github".to_owned(),
        repository: RepositoryId("github:1".to_owned()),
        commit: ObjectId::from_bytes(&[commit; 20]).unwrap(),
        context: "countersign/refs/heads/main".to_owned(),
        reference: RefName::parse(b"refs/heads/main").ok(),
        state,
        description: "why".to_owned(),
        proposed: false,
        request_id: RequestId::parse(&"a".repeat(32)),
        at: at(second),
    }
}

fn called(name: &str) -> Held {
    Held { remote: Some(name.to_owned()), ..Held::default() }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Mode::ReadWrite).unwrap();
    (dir, store)
}

#[test]
fn the_newest_state_wins_and_a_late_answer_does_not_hide_it() {
    let (_dir, store) = store();
    store.queue_reports(vec![new(1, ReportState::Pending, 0)]).unwrap();
    let due = store.due_reports(at(0), 10).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].report, new(1, ReportState::Pending, 0));
    // While it is being sent, the verdict is found.
    store.queue_reports(vec![new(1, ReportState::Failure, 1)]).unwrap();
    assert!(!store.report_sent(&due[0], at(2), Held::default()).unwrap(), "that one is gone");
    let due = store.due_reports(at(2), 10).unwrap();
    assert_eq!(due[0].report.state, ReportState::Failure);
    assert!(store.report_sent(&due[0], at(3), called("77")).unwrap());
    assert!(store.due_reports(at(9), 10).unwrap().is_empty());
    // The same again is not sent again; another one is, and knows what to change at the forge.
    store.queue_reports(vec![new(1, ReportState::Failure, 5)]).unwrap();
    assert!(store.due_reports(at(9), 10).unwrap().is_empty());
    store.queue_reports(vec![new(1, ReportState::Success, 6)]).unwrap();
    let due = store.due_reports(at(9), 10).unwrap();
    assert_eq!((due[0].report.state, due[0].held.remote.as_deref()), (ReportState::Success, Some("77")));
    let figures = store.report_figures().unwrap();
    assert_eq!((figures[0].due, figures[0].oldest, figures[0].sent), (1, Some(at(6)), 0));
}

#[test]
fn n28_what_is_unknown_of_a_ref_is_not_made_good_by_a_proposal_that_was_unknown_in_the_same_words() {
    let (_dir, store) = store();
    let unknown =
        |proposed, second| NewReport { proposed, request_id: None, ..new(1, ReportState::Pending, second) };
    store.queue_reports(vec![unknown(true, 0)]).unwrap();
    store.queue_reports(vec![unknown(false, 1)]).unwrap();
    let passed = NewReport { proposed: true, ..new(1, ReportState::Success, 2) };
    store.queue_reports(vec![passed]).unwrap();
    let due = store.due_reports(at(9), 10).unwrap();
    assert_eq!((due.len(), due[0].report.state), (1, ReportState::Pending));
}

#[test]
fn what_failed_waits_and_keeps_waiting_when_it_is_asked_for_again() {
    let (dir, store) = store();
    let all = [ReportState::Pending, ReportState::Success, ReportState::Failure, ReportState::Error];
    let reports = all.into_iter().zip(1..).map(|(state, commit)| new(commit, state, 0)).collect();
    store.queue_reports(reports).unwrap();
    let due = store.due_reports(at(0), 10).unwrap();
    assert_eq!(due.iter().map(|one| one.report.state).collect::<Vec<_>>(), all);
    assert!(store.report_failed(&due[0], at(1), "429", Ok(at(60)), Held::default()).unwrap());
    assert!(store.report_failed(&due[1], at(1), "404", Err(Ending::GivenUp), Held::default()).unwrap());
    store.queue_reports(vec![new(1, ReportState::Pending, 2)]).unwrap();
    drop(store);
    let store = Store::open(dir.path(), Mode::ReadWrite).unwrap();
    assert_eq!(store.due_reports(at(59), 10).unwrap().len(), 2);
    let due = store.due_reports(at(60), 10).unwrap();
    let first = due.iter().find(|one| one.report.state == ReportState::Pending).unwrap();
    assert_eq!((first.attempts, first.note.as_deref()), (1, Some("429")));
    let given_up: Vec<_> = store.reports(10).unwrap();
    let given_up = given_up.iter().find(|one| one.report.state == ReportState::Success).unwrap();
    assert_eq!(given_up.progress, ReportProgress::GivenUp(at(1)));
    // Somebody asks for it anew.
    store.queue_reports(vec![new(2, ReportState::Success, 70)]).unwrap();
    assert_eq!(store.due_reports(at(70), 10).unwrap().len(), 4);
}

#[test]
fn what_a_call_of_unknown_end_may_undo_is_due_again_whichever_report_is_newest_then() {
    let (dir, store) = store();
    store.queue_reports(vec![new(1, ReportState::Success, 0)]).unwrap();
    let sending = store.due_reports(at(0), 10).unwrap().remove(0);
    // The call goes out, and in the meantime the verdict is another one.
    let again = |times, second| Some(Again { times, at: at(second) });
    let unsure = Held { again: again(2, 60), ..called("1") };
    store.report_held(&sending.report, unsure.clone()).unwrap();
    store.queue_reports(vec![new(1, ReportState::Failure, 1)]).unwrap();
    assert!(
        !store.report_failed(&sending, at(20), "no reply", Ok(at(25)), unsure.clone()).unwrap(),
        "a newer one is there"
    );
    let newest = store.due_reports(at(20), 10).unwrap().remove(0);
    assert_eq!((newest.report.state, &newest.held), (ReportState::Failure, &unsure));
    assert!(store.report_sent(&newest, at(21), unsure).unwrap());
    assert!(
        store.due_sources(at(59)).unwrap().is_empty() && store.due_reports(at(59), 10).unwrap().is_empty()
    );
    drop(store);
    let store = Store::open(dir.path(), Mode::ReadWrite).unwrap();
    assert_eq!(store.due_sources(at(60)).unwrap(), ["github"]);
    let newest = store.due_reports_of("github", at(60), 10).unwrap().remove(0);
    assert_eq!(newest.progress, ReportProgress::Sent(at(21)), "it is not waiting, and sent all the same");
    // The forge is down just then: it waits like any other.
    store.report_failed(&newest, at(61), "502", Ok(at(66)), newest.held.clone()).unwrap();
    assert!(store.due_reports(at(65), 10).unwrap().is_empty());
    assert_eq!(store.report_figures().unwrap()[0].due, 1);
    let newest = store.due_reports(at(66), 10).unwrap().remove(0);
    store.report_sent(&newest, at(66), Held { again: again(1, 100), ..Held::default() }).unwrap();
    let newest = store.due_reports(at(100), 10).unwrap().remove(0);
    store.report_sent(&newest, at(100), Held::default()).unwrap();
    assert!(store.due_reports(at(9999), 10).unwrap().is_empty(), "and that was the last time");
}

#[test]
fn a_forge_without_room_is_told_apart_and_not_asked_again_for_the_same() {
    let (_dir, store) = store();
    store.queue_reports(vec![new(1, ReportState::Success, 0)]).unwrap();
    let one = store.due_reports(at(0), 10).unwrap().remove(0);
    store.report_failed(&one, at(0), "full", Err(Ending::Full), Held::default()).unwrap();
    assert_eq!(store.reports(1).unwrap()[0].progress, ReportProgress::Full(at(0)));
    let figures = store.report_figures().unwrap().remove(0);
    assert_eq!((figures.due, figures.given_up, figures.full), (0, 0, 1));
    store.queue_reports(vec![new(1, ReportState::Success, 5)]).unwrap();
    assert!(store.due_reports(at(9), 10).unwrap().is_empty());
    store.queue_reports(vec![new(1, ReportState::Failure, 5)]).unwrap();
    assert_eq!(store.due_reports(at(9), 10).unwrap().len(), 1, "another verdict is tried");
}

#[test]
fn a_hint_takes_no_verdict_back() {
    let (_dir, store) = store();
    let hints = || vec![new(1, ReportState::Pending, 5), new(2, ReportState::Pending, 5)];
    store.queue_reports(vec![new(1, ReportState::Success, 0)]).unwrap();
    store.queue_new_reports(hints()).unwrap();
    let states = |store: &Store| {
        let due = store.due_reports_of("github", at(9), 10).unwrap();
        due.iter().map(|one| one.report.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&store), [ReportState::Success, ReportState::Pending]);
    let due = store.due_reports(at(9), 10).unwrap();
    store.report_sent(&due[0], at(9), Held::default()).unwrap();
    store.report_failed(&due[1], at(9), "no", Err(Ending::GivenUp), Held::default()).unwrap();
    store.queue_new_reports(hints()).unwrap();
    assert!(states(&store).is_empty(), "sent and given up are known, too");
    assert!(store.due_sources(at(9)).unwrap().is_empty());
}

#[test]
fn n28_what_a_proposal_would_bring_hides_nothing_that_was_found_of_the_ref() {
    use ReportState::{Error, Failure, Pending, Success};
    let (_dir, store) = store();
    let state = |commit: u8| {
        let all = store.reports(100).unwrap();
        all.into_iter().find(|one| one.report.commit == new(commit, Pending, 0).commit).unwrap().report.state
    };
    let proposed = |commit, state| NewReport { proposed: true, ..new(commit, state, 1) };
    // Of the ref, then of a proposal, and what is said in the end.
    let cases = [
        (Failure, Success, Failure),
        (Failure, Pending, Failure),
        (Error, Success, Error),
        (Pending, Success, Pending),
        (Pending, Failure, Pending),
        (Success, Failure, Failure),
        (Success, Pending, Pending),
        (Success, Success, Success),
    ];
    for (number, (of_the_ref, of_a_proposal, said)) in (1..).zip(cases) {
        store.queue_reports(vec![new(number, of_the_ref, 0)]).unwrap();
        store.queue_reports(vec![proposed(number, of_a_proposal)]).unwrap();
        assert_eq!(state(number), said, "{of_the_ref:?}, then {of_a_proposal:?} of a proposal");
    }
    // What was only proposed is judged anew as often as it changes, and the ref itself comes before it.
    store.queue_reports(vec![proposed(50, Failure)]).unwrap();
    store.queue_reports(vec![proposed(50, Success)]).unwrap();
    assert_eq!(state(50), Success);
    store.queue_reports(vec![new(50, Pending, 2)]).unwrap();
    assert_eq!(state(50), Pending);
    store.queue_reports(vec![proposed(50, Success)]).unwrap();
    assert_eq!(state(50), Pending, "the ref is not judged yet");
    store.queue_reports(vec![new(50, Success, 3)]).unwrap();
    assert_eq!(state(50), Success);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_report_for_ever() {
    let (_dir, store) = store();
    const YEAR: i64 = 365 * 86_400;
    store.queue_reports((1..5).map(|commit| new(commit, ReportState::Failure, YEAR)).collect()).unwrap();
    let due = |second: i64| {
        let sources = store.due_sources(at(second)).unwrap().len();
        assert_eq!(sources, store.due_reports(at(second), 1).unwrap().len());
        let of = store.due_reports_of("github", at(second), 10).unwrap().len();
        assert_eq!(of, store.due_reports(at(second), 10).unwrap().len());
        of
    };
    assert_eq!(due(0), 4, "made in the future, and never tried");
    for one in store.due_reports(at(YEAR), 10).unwrap().iter().skip(1) {
        store.report_failed(one, at(YEAR), "503", Ok(at(YEAR + 1800)), Held::default()).unwrap();
    }
    assert_eq!(due(YEAR), 1, "the others wait for their time");
    assert_eq!(due(YEAR - 3600), 1, "and a little longer after a small step back");
    assert_eq!(due(YEAR - 12 * 3600), 4);
    assert_eq!(due(0), 4);
    assert_eq!(due(2 * YEAR), 4);
}

#[test]
fn sources_are_served_apart() {
    let (_dir, store) = store();
    let other = NewReport {
        source: "other".to_owned(),
        repository: RepositoryId("other:1".to_owned()),
        ..new(1, ReportState::Pending, 3)
    };
    store
        .queue_reports(vec![new(1, ReportState::Pending, 0), new(2, ReportState::Pending, 0), other])
        .unwrap();
    let due = &store.due_reports_of("other", at(3), 1).unwrap()[0];
    assert!(store.report_failed(due, at(3), "no", Ok(at(5)), Held::default()).unwrap());
    assert_eq!(store.due_sources(at(4)).unwrap(), ["github"]);
    assert_eq!(store.due_sources(at(5)).unwrap(), ["github", "other"]);
    assert_eq!(store.due_reports_of("other", at(5), 10).unwrap().len(), 1);
    assert_eq!(store.due_reports_of("github", at(3), 1).unwrap().len(), 1);
}

#[test]
fn contexts_commits_and_repositories_do_not_stand_in_for_each_other() {
    let (_dir, store) = store();
    let one = new(1, ReportState::Success, 0);
    let context = NewReport { context: "countersign/refs/heads/next".to_owned(), ..one.clone() };
    let repository = NewReport { repository: RepositoryId("github:2".to_owned()), ..one.clone() };
    store.queue_reports(vec![one, context, repository, new(2, ReportState::Success, 0)]).unwrap();
    assert_eq!(store.due_reports(at(0), 10).unwrap().len(), 4);
    assert_eq!(store.due_reports(at(0), 3).unwrap().len(), 3, "at most so many");
}

#[test]
fn what_was_sent_long_ago_is_forgotten() {
    let (_dir, store) = store();
    store.queue_reports(vec![new(1, ReportState::Success, 0), new(2, ReportState::Success, 0)]).unwrap();
    let due = store.due_reports(at(0), 10).unwrap();
    store.report_sent(&due[0], at(0), Held::default()).unwrap();
    store.queue_reports(vec![new(3, ReportState::Success, 91 * 24 * 3600)]).unwrap();
    assert_eq!(store.reports(10).unwrap().len(), 2, "the one that is not sent stays");
}
