use super::*;
use crate::git::{Address, Credential};
use std::sync::atomic::AtomicBool;

const MOST: u64 = 1 << 30;

struct Ground {
    tmp: tempfile::TempDir,
    stop: AtomicBool,
}

impl Ground {
    fn new(format: &str) -> Self {
        let ground = Ground { tmp: tempfile::tempdir().unwrap(), stop: AtomicBool::new(false) };
        let path = ground.tmp.path().join("forge.git");
        let status = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(format!("--object-format={format}"))
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
        ground
    }

    fn git(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(self.tmp.path().join("forge.git"))
            .args(arguments)
            .envs([
                ("GIT_AUTHOR_NAME", "a"),
                ("GIT_AUTHOR_EMAIL", "a@x"),
                ("GIT_COMMITTER_NAME", "a"),
                ("GIT_COMMITTER_EMAIL", "a@x"),
            ])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{arguments:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// A commit with an own file on top of some parents.
    fn commit(&self, name: &str, parents: &[ObjectId]) -> ObjectId {
        let blob = self.git(&["hash-object", "-w", "--stdin"], name.as_bytes());
        let tree = self.git(&["mktree"], format!("100644 blob {blob}\tfile\n").as_bytes());
        let mut arguments = vec!["commit-tree".to_owned(), tree, "-m".into(), name.into()];
        for parent in parents {
            arguments.extend(["-p".into(), parent.to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ObjectId::parse(self.git(&arguments, b"").as_bytes()).unwrap()
    }

    fn set(&self, name: &str, id: ObjectId) {
        self.git(&["update-ref", name, &id.to_string()], b"");
    }

    fn remote(&self) -> Remote {
        let url = format!("file://{}", self.tmp.path().join("forge.git").display());
        Remote {
            address: Address::parse(&url).unwrap(),
            credential: Credential::None,
            known_hosts: None,
            authorities: None,
            proxy: None,
        }
    }

    fn patience(&self) -> Patience<'_> {
        Patience { until: Instant::now() + Duration::from_secs(60), stop: &self.stop }
    }

    fn place(&self) -> Place {
        Place::take(&self.tmp.path().join("mirrors"), &RepositoryId("forge:1".into()), self.patience())
            .unwrap()
    }
}

fn name(name: &str) -> RefName {
    RefName::parse(name.as_bytes()).unwrap()
}

#[test]
fn n30_objects_come_by_id_and_stay_in_quarantine_until_they_are_judged() {
    for format in ["sha1", "sha256"] {
        let ground = Ground::new(format);
        let first = ground.commit("one", &[]);
        let second = ground.commit("two", &[first]);
        ground.set("refs/heads/main", second);
        ground.git(&["tag", "-a", "-m", "x", "v1", &first.to_string()], b"");
        ground.set("refs/replace/0000000000000000000000000000000000000001", first);
        let listing = ground.remote().list(ground.patience()).unwrap();
        assert_eq!(listing.head, Some(name("refs/heads/main")));
        let tag = listing.refs.iter().find(|(one, _)| *one == name("refs/tags/v1")).unwrap().1;

        let place = ground.place();
        assert!(place.mirror().unwrap().is_none());
        let mirror = place.make(listing.format().unwrap()).unwrap();
        let missing = mirror.fetch(&ground.remote(), &[second, tag], MOST, ground.patience()).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
        let found = mirror.repository().unwrap().objects().find(&first).unwrap().unwrap();
        assert!(found.in_quarantine);
        assert!(mirror.judged().unwrap().objects().find(&first).unwrap().is_none());
        assert!(mirror.repository().unwrap().ref_names().unwrap().is_empty(), "nothing came in by a name");

        mirror.keep(&[first], &[], ground.patience()).unwrap();
        mirror.keep(&[first], &[], ground.patience()).unwrap();
        let judged = mirror.judged().unwrap();
        assert!(judged.objects().find(&first).unwrap().is_some());
        assert!(judged.objects().find(&second).unwrap().is_none(), "what was not judged stays out");
        mirror.keep(&[second, tag], &[first], ground.patience()).unwrap();
        mirror.discard().unwrap();
        let odd = RefName::parse(b"refs/heads/\xff--x").unwrap();
        let moves = [(name("refs/heads/main"), Some(second)), (odd.clone(), Some(first))];
        mirror.move_refs(&moves, ground.patience()).unwrap();
        mirror.set_head(&name("refs/heads/main")).unwrap();
        let repository = mirror.judged().unwrap();
        assert_eq!(repository.resolve(&odd).unwrap().value, Some(first));
        assert_eq!(repository.default_branch().unwrap(), Some(name("refs/heads/main")));
        // A branch makes way for one below it.
        let moves = [(name("refs/heads/main/x"), Some(first)), (name("refs/heads/main"), None)];
        mirror.move_refs(&moves, ground.patience()).unwrap();
        assert_eq!(mirror.judged().unwrap().references().unwrap().len(), 2);
        assert_eq!(place.mirror().unwrap().unwrap().format(), listing.format().unwrap());
    }
}

#[test]
fn n30_one_object_that_cannot_be_had_blocks_only_itself() {
    let ground = Ground::new("sha1");
    let fine: Vec<ObjectId> = (0..5).map(|n| ground.commit(&format!("{n}"), &[])).collect();
    for (n, id) in fine.iter().enumerate() {
        ground.set(&format!("refs/heads/b{n}"), *id);
    }
    let nowhere = ObjectId::parse("12".repeat(20).as_bytes()).unwrap();
    let other_format = ObjectId::parse("34".repeat(32).as_bytes()).unwrap();
    // No author: git's check refuses it.
    let tree = ground.git(&["mktree"], b"");
    let bad = format!("tree {tree}\ncommitter a <a@x> 1 +0000\n\nx\n");
    let bad = ground.git(&["hash-object", "-t", "commit", "-w", "--literally", "--stdin"], bad.as_bytes());
    let bad = ObjectId::parse(bad.as_bytes()).unwrap();
    std::fs::write(ground.tmp.path().join("forge.git/refs/heads/bad"), format!("{bad}\n")).unwrap();
    let place = ground.place();
    let mirror = place.make(ObjectFormat::Sha1).unwrap();
    let all: Vec<ObjectId> = fine.iter().copied().chain([nowhere, bad, other_format]).collect();
    let mut missing = mirror.fetch(&ground.remote(), &all, MOST, ground.patience()).unwrap();
    missing.sort_by_key(|(id, _)| *id);
    let mut wanted = vec![(nowhere, true), (other_format, true), (bad, false)];
    wanted.sort();
    let found: Vec<_> =
        missing.iter().map(|(id, error)| (*id, matches!(error, RemoteError::Gone(_)))).collect();
    assert_eq!(found, wanted, "{missing:?}");
    let repository = mirror.repository().unwrap();
    assert!(fine.iter().all(|id| repository.objects().find(id).unwrap().is_some()));
    // A base was accepted with whatever it has.
    assert!(mirror.fetch_base(&ground.remote(), &[bad], MOST, ground.patience()).unwrap().is_empty());
}

#[test]
fn n30_a_mirror_that_is_not_as_we_left_it_is_damaged_and_replaced() {
    let ground = Ground::new("sha1");
    let place = ground.place();
    let directory = place.directory.clone();
    type Damage<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let break_it: Vec<Damage<'_>> = vec![
        ("config", Box::new(|| write(&directory.join("config"), b"[core]\n\tbare = true\n").unwrap())),
        ("shallow", Box::new(|| write(&directory.join("shallow"), b"x").unwrap())),
        ("alternates", Box::new(|| write(&directory.join("objects/info/alternates"), b"/\n").unwrap())),
        (
            "grafts",
            Box::new(|| {
                fs::create_dir(directory.join("info")).unwrap();
                write(&directory.join("info/grafts"), b"x").unwrap();
            }),
        ),
        ("replace", Box::new(|| fs::create_dir(directory.join("refs/replace")).unwrap())),
        ("refs", Box::new(|| write(&directory.join("refs/heads/x"), b"garbage").unwrap())),
        ("packed", Box::new(|| write(&directory.join("packed-refs"), b"garbage\n").unwrap())),
        ("head", Box::new(|| fs::remove_file(directory.join("HEAD")).unwrap())),
        ("mode", Box::new(|| fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap())),
        (
            "file",
            Box::new(|| {
                fs::remove_dir_all(&directory).unwrap();
                fs::write(&directory, "x").unwrap();
            }),
        ),
    ];
    for (what, break_it) in break_it {
        place.make(ObjectFormat::Sha1).unwrap();
        assert!(place.mirror().unwrap().is_some(), "{what}");
        break_it();
        assert!(matches!(place.mirror(), Err(MirrorError::Damaged(_))), "{what}");
    }
    place.make(ObjectFormat::Sha256).unwrap();
    assert_eq!(place.mirror().unwrap().unwrap().format(), ObjectFormat::Sha256);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_mirror_has_a_quota_and_one_user() {
    let ground = Ground::new("sha1");
    // Random, so that it does not get smaller.
    let mut large = vec![0_u8; 3 << 20];
    getrandom::fill(&mut large).unwrap();
    let blob = ground.git(&["hash-object", "-w", "--stdin"], &large);
    let tree = ground.git(&["mktree"], format!("100644 blob {blob}\tfile\n").as_bytes());
    let large = ObjectId::parse(ground.git(&["commit-tree", &tree, "-m", "x"], b"").as_bytes()).unwrap();
    let small = ground.commit("small", &[]);
    ground.set("refs/heads/large", large);
    ground.set("refs/heads/small", small);
    let place = ground.place();
    let mirror = place.make(ObjectFormat::Sha1).unwrap();
    let missing = mirror.fetch(&ground.remote(), &[large, small], 1 << 20, ground.patience()).unwrap();
    assert!(matches!(missing.as_slice(), [(id, RemoteError::TooMuch(_))] if *id == large), "{missing:?}");
    assert!(mirror.repository().unwrap().objects().find(&small).unwrap().is_some());
    assert!(mirror.bytes().unwrap() < 1 << 20);
    let full = mirror.fetch(&ground.remote(), &[large], 10, ground.patience());
    assert!(matches!(full, Err(MirrorError::Git(RemoteError::TooMuch(_)))), "{full:?}");

    let soon = Patience { until: Instant::now() + Duration::from_millis(100), stop: &ground.stop };
    let root = ground.tmp.path().join("mirrors");
    let again = Place::take(&root, &RepositoryId("forge:1".into()), soon);
    assert!(matches!(again, Err(MirrorError::Busy)), "{again:?}");
    let other = Place::take(&root, &RepositoryId("../../forge:1".into()), ground.patience()).unwrap();
    assert_eq!(other.directory.parent(), Some(root.as_path()), "an identity is no path (N31)");
    drop(place);
    ground.place();
}

#[test]
fn n31_only_the_configured_scheme_is_spoken_and_it_is_cut_off_in_time() {
    let ground = Ground::new("sha1");
    // A server that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let remote = Remote {
        address: Address::parse(&format!("http://127.0.0.1:{port}/x.git")).unwrap(),
        ..ground.remote()
    };
    let started = Instant::now();
    let patience = Patience { until: started + Duration::from_millis(700), stop: &ground.stop };
    assert_eq!(remote.list(patience), Err(RemoteError::Time));
    assert!(started.elapsed() < Duration::from_secs(10));
    // There is nobody: that is no empty repository.
    drop(silent);
    assert!(matches!(remote.list(ground.patience()), Err(RemoteError::Failed(_))));
    let nowhere = Remote { address: Address::parse("file:///nowhere/x.git").unwrap(), ..ground.remote() };
    assert!(matches!(nowhere.list(ground.patience()), Err(RemoteError::Failed(_))));
}

/// Serves the files that it is given, over HTTP in the clear; gives the port, and how often it was asked.
fn files(
    answer: impl Fn(&str) -> Option<String> + Send + 'static,
) -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{BufRead, BufReader};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.find(String::is_empty);
            let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
            let (status, body) =
                answer(path).map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    (port, count)
}

/// A server of plain files can say that objects lie elsewhere, which is a redirect by another name.
#[test]
fn n31_nothing_is_fetched_from_where_a_forge_says_that_objects_are() {
    let ground = Ground::new("sha1");
    let id = ground.commit("one", &[]);
    let (elsewhere, stolen) = files(|_| None);
    let (port, asked) = files(move |path| {
        let below = path.strip_prefix("/x.git/")?;
        let there = format!("http://127.0.0.1:{elsewhere}/y.git/objects\n");
        match below {
            "info/refs" => Some(format!("{id}\trefs/heads/main\n")),
            "HEAD" => Some("ref: refs/heads/main\n".to_owned()),
            "objects/info/http-alternates" | "objects/info/alternates" => Some(there),
            _ => None,
        }
    });
    let url = format!("http://127.0.0.1:{port}/x.git");
    let remote = Remote { address: Address::parse(&url).unwrap(), ..ground.remote() };
    let listed = remote.list(ground.patience()).unwrap();
    assert_eq!(listed.refs, [(name("refs/heads/main"), id)]);
    let place = ground.place();
    let mirror = place.make(crate::domain::ObjectFormat::Sha1).unwrap();
    let found = mirror.fetch(&remote, &[id], MOST, ground.patience());
    assert!(!found.is_ok_and(|missing| missing.is_empty()), "it has nothing");
    assert!(asked.load(Ordering::Relaxed) > 2, "it was asked for objects");
    assert_eq!(stolen.load(Ordering::Relaxed), 0, "and nobody else was");
}

/// A server that speaks git's protocol as far as being asked for objects, and then answers `said`, whatever is wanted.
/// It ends with the process.
fn hostile(said: Vec<u8>) -> Remote {
    use std::io::{BufRead, BufReader, Read};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://127.0.0.1:{}/x.git", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let (mut line, mut get, mut length) = (String::new(), false, 0);
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                get |= line.starts_with("GET ");
                if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let greeting = || {
                let begin = [packet(b"# service=git-upload-pack\n"), b"0000".to_vec()].concat();
                let able = ["version 2\n", "ls-refs\n", "fetch=shallow\n", "object-format=sha1\n"];
                let able: Vec<u8> = able.iter().flat_map(|line| packet(line.as_bytes())).collect();
                [begin, able, b"0000".to_vec()].concat()
            };
            let (kind, answer) = match get {
                true => ("advertisement", greeting()),
                false if body.windows(7).any(|word| word == b"ls-refs") => ("result", b"0000".to_vec()),
                false => ("result", said.clone()),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/x-git-upload-pack-{kind}\r\n\
                 content-length: {}\r\n\r\n",
                answer.len()
            );
            let mut stream = reader.into_inner();
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer));
        }
    });
    Remote {
        address: Address::parse(&url).unwrap(),
        credential: Credential::None,
        known_hosts: None,
        authorities: None,
        proxy: None,
    }
}

fn packet(line: &[u8]) -> Vec<u8> {
    [format!("{:04x}", line.len() + 4).as_bytes(), line].concat()
}

#[test]
fn n29_what_a_server_wants_to_be_shown_makes_nothing_gone() {
    let id = ObjectId::from_bytes(&[7; 20]).unwrap();
    let other = ObjectId::from_bytes(&[8; 20]).unwrap();
    let ground = Ground::new("sha1");
    let place = ground.place();
    let mirror = place.make(ObjectFormat::Sha1).unwrap();
    let asked = |said: Vec<u8>| {
        let mut missing = mirror.fetch(&hostile(said), &[id], MOST, ground.patience()).unwrap();
        missing.pop().unwrap().1
    };
    let words = format!(
        "this is not valid\nfatal: remote error: upload-pack: not our ref {id}\r\
         fatal: remote error: want {id} not valid\n"
    );
    // As progress, and as the words with which a server breaks off.
    for band in [2_u8, 3] {
        let shown = packet(&[&[band], words.as_bytes()].concat());
        let error = asked([packet(b"packfile\n"), shown, b"0000".to_vec()].concat());
        let RemoteError::Failed(told) = &error else { panic!("{error:?}") };
        assert!(told.contains("remote: "), "git has shown it: {told}");
    }
    let refused = |why: &str| asked(packet(format!("ERR {why}").as_bytes()));
    let error = refused("your licence is not valid");
    assert!(matches!(&error, RemoteError::Failed(told) if told.contains("licence")), "{error:?}");
    assert!(matches!(refused(&format!("upload-pack: not our ref {other}")), RemoteError::Failed(_)));
    // What a server says about the object in so many words is its word.
    assert_eq!(refused(&format!("upload-pack: not our ref {id}")), RemoteError::Gone(id));
    assert_eq!(refused(&format!("want {id} not valid")), RemoteError::Gone(id));
}

#[test]
fn n30_many_packs_become_few_and_nothing_judged_is_lost() {
    for format in ["sha1", "sha256"] {
        let ground = Ground::new(format);
        let place = ground.place();
        let first = ground.commit("0", &[]);
        let mirror = place.make(first.format()).unwrap();
        let mut kept = Vec::new();
        for n in 0..40 {
            // Every other one has a history of its own, and no ref of the mirror ever holds it.
            let parents = if n % 2 == 0 { kept.last().copied().into_iter().collect() } else { Vec::new() };
            let commit = ground.commit(&format!("commit {n}"), &parents);
            ground.set("refs/heads/main", commit);
            assert!(mirror.fetch(&ground.remote(), &[commit], MOST, ground.patience()).unwrap().is_empty());
            mirror.keep(&[commit], &parents, ground.patience()).unwrap();
            mirror.discard().unwrap();
            kept.push(commit);
        }
        assert_eq!(mirror.packs().unwrap(), 40);
        // What is not judged is no part of it.
        let waiting = ground.commit("waits", &[]);
        ground.set("refs/heads/main", waiting);
        mirror.fetch(&ground.remote(), &[waiting], MOST, ground.patience()).unwrap();
        // Without room nothing is done, and nothing is lost either.
        let full = mirror.roll_up(mirror.bytes().unwrap() + 100, ground.patience());
        assert!(full.is_err(), "{full:?}");
        assert_eq!(mirror.packs().unwrap(), 40);
        mirror.roll_up(MOST, ground.patience()).unwrap();
        assert!(mirror.packs().unwrap() < 8, "{}", mirror.packs().unwrap());
        let judged = mirror.judged().unwrap();
        for commit in &kept {
            assert!(judged.objects().find(commit).unwrap().is_some(), "{commit}");
        }
        assert!(judged.objects().find(&waiting).unwrap().is_none());
        assert!(mirror.repository().unwrap().objects().find(&waiting).unwrap().is_some());
        mirror.set_head(&name("refs/heads/main")).unwrap();
        let directory = mirror.place.directory.clone();
        let loose = fs::read_dir(directory.join("objects")).unwrap();
        let loose: Vec<_> =
            loose.map(|one| one.unwrap().file_name()).filter(|name| name.len() == 2).collect();
        assert!(loose.is_empty(), "{loose:?}");
        let whole =
            Command::new("git").arg("--git-dir").arg(&directory).args(["fsck", "--full"]).output().unwrap();
        assert!(whole.status.success(), "{whole:?}");
        assert!(place.mirror().unwrap().is_some(), "it is still what we leave there");
    }
}
