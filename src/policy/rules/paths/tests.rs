use super::*;
use crate::domain::{FileMode, ObjectId};
use crate::policy::facts::{MergeFacts, ParentChanges, SignatureFacts};
use crate::signature::SignatureStatus;
use std::sync::Arc;

fn id(n: u8) -> ObjectId {
    ObjectId::from_bytes(&[n; 20]).unwrap()
}

fn entry(n: u8) -> Option<Entry> {
    (n > 0).then(|| Entry { mode: FileMode::File, id: id(n) })
}

/// A merge of two, from what each path has in the first parent, in the second, and in the merge; 0 is nothing.
fn merge(paths: &[(&str, u8, u8, u8)], facts: Option<MergeFacts>) -> CommitFacts {
    let against = |parent: u8, of: fn(&(&str, u8, u8, u8)) -> u8| {
        let changed = paths.iter().filter(|path| of(path) != path.3);
        let change = |path: &(&str, u8, u8, u8)| Change {
            path: path.0.into(),
            old: entry(of(path)),
            new: entry(path.3),
        };
        ParentChanges {
            parent: Some(id(parent)),
            changes: changed.map(change).collect(),
            collisions: Arc::default(),
        }
    };
    let signature = SignatureFacts {
        status: SignatureStatus::Unsigned,
        principal: None,
        judged_at: crate::domain::Timestamp::from_second(0).unwrap(),
    };
    CommitFacts {
        parents: vec![id(201), id(202)],
        changes: vec![against(201, |path| path.1), against(202, |path| path.2)],
        merge: facts,
        ..CommitFacts::bare(id(200), signature)
    }
}

fn paths(commit: &CommitFacts, of: Of) -> Vec<String> {
    let changes = changes_of(commit, of).unwrap();
    let mut paths: Vec<String> =
        changes.iter().map(|one| String::from_utf8(one.path.clone()).unwrap()).collect();
    paths.sort();
    paths
}

/// What can become of a path in a merge: ours, theirs, merged.
const KINDS: [(&str, u8, u8, u8); 9] = [
    ("both-the-same", 1, 1, 1),
    ("dropped-by-both", 1, 2, 0),
    ("evil", 1, 1, 2),
    ("evil-new", 0, 0, 1),
    ("from-ours", 2, 1, 2),
    ("from-theirs", 1, 2, 2),
    ("gone-in-theirs", 1, 0, 0),
    ("merged", 1, 2, 3),
    ("moved-to", 0, 1, 2),
];

#[test]
fn content_of_merges_is_what_no_parent_has() {
    let any = Some(MergeFacts { real: true, clean: true, touched: Some(Vec::new().into()) });
    for facts in [None, any] {
        let merge = merge(&KINDS, facts);
        assert_eq!(paths(&merge, Of::Content), ["dropped-by-both", "evil", "evil-new", "merged", "moved-to"]);
    }
}

#[test]
fn n20_deeds_of_merges_are_what_merging_does_not_give() {
    let all = [
        "dropped-by-both",
        "evil",
        "evil-new",
        "from-ours",
        "from-theirs",
        "gone-in-theirs",
        "merged",
        "moved-to",
    ];
    let facts = |real, clean, touched: Option<&[&str]>| {
        let touched =
            touched.map(|all| all.iter().map(|path| path.as_bytes().to_vec()).collect::<Arc<[_]>>());
        Some(MergeFacts { real, clean, touched })
    };
    // Where nobody has merged the parents again, everything may be the merge's own.
    for unknown in [None, facts(true, false, None), facts(false, true, None), facts(false, false, None)] {
        assert_eq!(paths(&merge(&KINDS, unknown), Of::Deeds), all);
    }
    // A clean merge has put nothing where it was not, and taken nothing away.
    for clean in [facts(true, true, None), facts(false, false, Some(&[]))] {
        assert_eq!(paths(&merge(&KINDS, clean), Of::Deeds), ["evil-new", "moved-to"]);
    }
    let ours = facts(true, false, Some(&["from-ours", "gone-in-theirs", "nowhere"]));
    assert_eq!(
        paths(&merge(&KINDS, ours), Of::Deeds),
        ["evil-new", "from-ours", "gone-in-theirs", "moved-to"]
    );
}

#[test]
fn changes_have_to_be_there_for_every_parent() {
    let mut one = merge(&KINDS, None);
    one.changes.pop();
    assert_eq!(changes_of(&one, Of::Content), None);
    assert_eq!(changes_of(&one, Of::Deeds), None);
    one.parents.clear();
    assert!(changes_of(&one, Of::Content).is_some(), "a root commit has one list");
    one.changes.clear();
    assert_eq!(changes_of(&one, Of::Content), None);
}

fn select(paths: &[&str], alike: bool) -> Paths {
    let paths: Vec<String> = paths.iter().map(|one| (*one).to_owned()).collect();
    Paths::new(Some(&paths), None, alike).unwrap()
}

fn at(path: &str, mode: FileMode) -> Change {
    Change { path: path.into(), old: None, new: Some(Entry { mode, id: id(1) }) }
}

#[test]
fn patterns_match_what_file_systems_take_for_the_path() {
    let deploy = select(&["deploy/**"], true);
    for path in [
        "deploy/x",
        "DEPLOY/x/y",
        "deploy./x",
        "deploy /x",
        "deploy. ./x",
        "de\u{200c}ploy/x",
        "deploy\\x",
        "deploy/x:stream",
        "deploy::$DATA/x",
    ] {
        assert!(deploy.has(path.as_bytes()), "{path:?}");
        let exact = path.starts_with("deploy/");
        assert_eq!(select(&["deploy/**"], false).has(path.as_bytes()), exact, "{path:?} exactly");
    }
    for path in ["deplo/x", "deployment/x", "x/deploy/y", "deploy", ".deploy/x", "d eploy/x"] {
        assert!(!deploy.has(path.as_bytes()), "{path:?}");
    }
    let accents = select(&["caf\u{e9}/*.YML"], true);
    assert!(accents.has("CAFE\u{301}/a.yml".as_bytes()) && accents.has("caf\u{e9}/a.yml".as_bytes()));
    let expression = select(&["re:deploy/.*\\.ya?ml"], true);
    assert!(expression.has(b"Deploy/a.YAML") && !expression.has(b"deploy/a.yaml.x"));
    assert!(select(&["**/x"], true).has(b"\xff/X"));
}

#[test]
fn exclusions_are_exact() {
    let paths = select(&["deploy/**", "!deploy/doc/**"], true);
    assert!(!paths.has(b"deploy/doc/x") && paths.has(b"deploy/Doc/x") && paths.has(b"deploy/doc./x"));
}

#[test]
fn a_name_without_wildcards_is_a_file_or_a_directory() {
    let paths = select(&["deploy"], true);
    assert!(
        paths.has(b"deploy")
            && paths.has(b"deploy/a/b")
            && !paths.has(b"deploy.sh")
            && !paths.has(b"a/deploy")
    );
}

#[test]
fn what_stands_in_the_place_of_a_directory_concerns_what_would_lie_in_it() {
    use FileMode::{File, Submodule, Symlink};
    for (pattern, path, file, link) in [
        ("deploy/**", "deploy", true, true),
        ("deploy/prod/*.yml", "deploy", true, true),
        ("deploy/prod/*.yml", "Deploy/Prod", true, true),
        ("deploy/prod/*.yml", "deploy/test", false, false),
        ("*/secrets/**", "a", false, true),
        ("*/secrets/**", "a/secrets", false, true),
        ("**/secrets/**", "a/b/secrets", false, true),
        ("**/secrets/**", "README", false, false),
        ("{deploy,ops/x}/**", "ops/x", false, true),
        ("{deploy,ops/x}/**", "ops", false, false),
        ("*.pem", "a", false, false),
        ("re:deploy/.*", "deploy", false, true),
    ] {
        let paths = select(&[pattern], true);
        assert_eq!(paths.concern(&at(path, File)), file, "{pattern}: a file at {path}");
        assert_eq!(paths.concern(&at(path, Symlink)), link, "{pattern}: a link at {path}");
        assert_eq!(paths.concern(&at(path, Submodule)), link, "{pattern}: a submodule at {path}");
    }
    let gone = Change { old: at("deploy", Symlink).new, new: None, path: b"deploy".to_vec() };
    assert!(select(&["deploy/*/x"], true).concern(&gone));
}

#[test]
fn patterns_that_protect_nothing_are_errors() {
    let error = |sources: &[&str]| {
        let sources: Vec<String> = sources.iter().map(|one| (*one).to_owned()).collect();
        Paths::new(Some(&sources), None, true).unwrap_err()
    };
    assert!(error(&["/deploy"]).contains("write `deploy`"));
    assert!(error(&["./deploy"]).contains("write `deploy`"));
    assert!(error(&["deploy/"]).contains("write `deploy/**`"));
    for wrong in ["a//b", "../a", "a/../b", "a/.", "", "a[", "re:("] {
        assert!(!error(&[wrong]).is_empty(), "{wrong}");
    }
    assert!(error(&[]).contains("names no path"));
    assert!(error(&["!docs/**"]).contains("names no path"));
    assert!(Paths::new(None, Some(&[]), true).is_err());
    let all = Paths::new(None, Some(&["docs/**".to_owned()]), true).unwrap();
    assert!(all.has(b"x") && !all.has(b"docs/x") && all.listed() == "all but `docs/**`");
}

#[test]
fn sizes_have_units() {
    let bytes = |text: &str| Size::Text(text.to_owned()).bytes("max");
    assert_eq!(bytes("10MiB"), Ok(10 << 20));
    assert_eq!(bytes("64 KiB"), Ok(64 << 10));
    assert_eq!(bytes("1 GiB"), Ok(1 << 30));
    assert_eq!(bytes("7 B"), Ok(7));
    for wrong in ["", "10", "10MB", "10 mib", "-1 B", "1.5 MiB", "MiB", "99999999999 GiB", "0 B", "1 MiB "] {
        assert!(bytes(wrong).is_err(), "{wrong}");
    }
    assert_eq!(Size::Bytes(5).bytes("max"), Ok(5));
    assert!(Size::Bytes(0).bytes("max").is_err());
    assert_eq!([size(0), size(1), size(1023)], ["0 bytes", "1 byte", "1023 bytes"]);
    assert_eq!([size(1 << 20), size(3 << 30)], ["1 MiB", "3 GiB"]);
    assert_eq!(size((10 << 20) + 1), "10 MiB and more (10485761 bytes)");
}

#[test]
fn many_paths_are_counted() {
    let mut all = Listed::default();
    for n in 0..100 {
        all.add(|| Finding { seen: n.to_string(), wanted: "w".to_owned(), ..Finding::default() });
    }
    let all = all.finish();
    assert_eq!(all.len(), Listed::MOST + 1);
    assert_eq!((all[0].seen.as_str(), all[8].seen.as_str()), ("0", "92 more paths like these"));
    assert_eq!(all[8].wanted, "w");
}
