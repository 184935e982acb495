//! Running a program that is not trusted with anything: without a shell, with an environment made here,
//! in a private directory that goes away, for a limited time, and with what it prints cut.

use data_encoding::HEXLOWER;
use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, kill_process_group, prlimit, waitid,
};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How large a file a program may write, how much memory it may take for data, bytes.
const FILE_BYTES: u64 = 1 << 30;
const DATA_BYTES: u64 = 4 << 30;

/// What the names of [`Room`]s begin with.
const ROOM: &str = "countersign-";

/// A directory that nobody else can look into, and that goes away. It is locked for as long as it is used, so that what
/// a kill has left behind can be told from what is in use.
#[derive(Debug)]
pub(crate) struct Room {
    path: PathBuf,
    _lock: File,
}

impl Room {
    pub(crate) fn new() -> io::Result<Self> {
        let room = loop {
            let mut random = [0_u8; 8];
            getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
            let path = std::env::temp_dir().join(format!("{ROOM}{}", HEXLOWER.encode(&random)));
            DirBuilder::new().mode(0o700).create(&path)?;
            // Whoever removes what was left behind may take it for that until it is locked.
            match File::open(&path).and_then(|lock| lock.lock().map(|()| lock)) {
                Ok(lock) if path.is_dir() => break Room { path, _lock: lock },
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let _ = fs::remove_dir(&path);
                    return Err(error);
                }
            }
        };
        let physical = room.path.canonicalize()?;
        // git and gpg read paths in settings and messages: a plain one is one that is read alike.
        if physical.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
            return Err(io::Error::other("its path has control characters"));
        }
        Ok(room)
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes, once in the life of a process, the rooms of processes that were killed. There may be credentials in them.
pub(crate) fn remove_left_behind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| remove_left_behind_in(&std::env::temp_dir()));
}

fn remove_left_behind_in(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let own = rustix::process::geteuid().as_raw();
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(ROOM));
        let ours = |name: &str| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Others write into such directories, too: nothing of theirs is opened, and no link is followed.
        let is_room = |seen: fs::Metadata| seen.is_dir() && seen.uid() == own;
        if !name.is_some_and(ours) || !fs::symlink_metadata(&path).is_ok_and(is_room) {
            continue;
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(lock) = rustix::fs::open(&path, flags, Mode::empty()).map(File::from) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    /// Whether `stdout` was longer than what is kept of it.
    pub(crate) cut: bool,
    pub(crate) stderr: Vec<u8>,
}

/// Why there is no end to speak of.
#[derive(Debug)]
pub(crate) enum RunError {
    /// It cannot be run.
    Failed(String),
    /// It did not end in time, and was ended.
    Time,
    /// It was asked to stop, and was ended.
    Stopped,
}

/// How a program is run, beside what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    /// When it is ended at the latest.
    pub(crate) until: Instant,
    /// How much of what it prints is kept, bytes.
    pub(crate) keep: usize,
    /// What it reads.
    pub(crate) input: &'a [u8],
    /// How large a file it may write, bytes.
    pub(crate) file_bytes: u64,
    /// How many processors it may keep busy until then.
    pub(crate) processors: u64,
    /// It is ended once this is set.
    pub(crate) stop: Option<&'a AtomicBool>,
}

impl Manner<'_> {
    /// Without input.
    pub(crate) fn new(until: Instant, keep: usize) -> Self {
        Manner { until, keep, input: &[], file_bytes: FILE_BYTES, processors: 1, stop: None }
    }

    fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// An absolute path of a program that is installed.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runs = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|seen| seen.is_file() && seen.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(runs)
        .ok_or_else(|| format!("{name} is not installed"))
}

/// A program with nothing of our environment but where programs are.
pub(crate) fn command(room: &Room, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &room.path)
        .env("XDG_CONFIG_HOME", room.path("none"))
        .env("TMPDIR", &room.path)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .current_dir(&room.path);
    command
}

/// Runs a program without input until it ends or `until`, and then ends it with all that it has started.
/// At most `keep` bytes of what it prints are kept.
pub(crate) fn run(command: &mut Command, until: Instant, keep: usize) -> Result<Ended, RunError> {
    run_as(command, &Manner::new(until, keep))
}

/// [`run`], with input and other limits.
pub(crate) fn run_as(command: &mut Command, manner: &Manner<'_>) -> Result<Ended, RunError> {
    let name = command_name(command);
    let failed = |e: io::Error| RunError::Failed(format!("{name} cannot be run: {e}"));
    if manner.stopped() {
        return Err(RunError::Stopped);
    }
    if Instant::now() >= manner.until {
        return Err(RunError::Time);
    }
    let stdin = if manner.input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    confine(&child, manner);
    let keep = manner.keep;
    let stdout = child.stdout.take().map(|pipe| std::thread::spawn(move || kept(pipe, keep)));
    let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || kept(pipe, 16 << 10)));
    let stdin = child.stdin.take().map(|mut pipe| {
        let input = manner.input.to_vec();
        // Whoever does not read to the end has its reasons, and says so by how it ends.
        std::thread::spawn(move || drop(pipe.write_all(&input)))
    });
    let ended = until_it_ends(&child, manner);
    // Also after a good end: nothing that it has started outlives it or holds its pipes open. It is not
    // reaped before, so that its number cannot be somebody else's by now.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait().map_err(|e| RunError::Failed(format!("its end cannot be waited for: {e}")))?;
    let collect = |worker: Option<std::thread::JoinHandle<(Vec<u8>, bool)>>| {
        worker.and_then(|worker| worker.join().ok()).unwrap_or_default()
    };
    let ((stdout, cut), (stderr, _)) = (collect(stdout), collect(stderr));
    if let Some(worker) = stdin {
        let _ = worker.join();
    }
    if !ended {
        return Err(if manner.stopped() { RunError::Stopped } else { RunError::Time });
    }
    Ok(Ended { code: status.code(), stdout, cut, stderr })
}

fn command_name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Limits of the kernel, beside the deadline. Where they cannot be set, the deadline is what there is.
fn confine(child: &Child, manner: &Manner<'_>) {
    let pid = Some(Pid::from_child(child));
    let seconds = manner.until.saturating_duration_since(Instant::now()).as_secs() + 2;
    let limits = [
        (Resource::Fsize, manner.file_bytes),
        (Resource::Data, DATA_BYTES),
        (Resource::Core, 0),
        (Resource::Cpu, seconds.saturating_mul(manner.processors)),
    ];
    for (resource, most) in limits {
        let _ = prlimit(pid, resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

/// Whether a program ends in time. It stays to be reaped.
fn until_it_ends(child: &Child, manner: &Manner<'_>) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let mut pause = Duration::from_micros(200);
    loop {
        match waitid(WaitId::Pid(Pid::from_child(child)), options) {
            Ok(Some(_)) => return true,
            Ok(None) if Instant::now() < manner.until && !manner.stopped() => std::thread::sleep(pause),
            Ok(None) | Err(_) => return false,
        }
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

/// Reads to the end and keeps the beginning; tells whether there was more.
fn kept(mut pipe: impl Read, most: usize) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut cut = false;
    let mut chunk = [0_u8; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut chunk) {
        let room = most.saturating_sub(all.len()).min(count);
        all.extend_from_slice(&chunk[..room]);
        cut |= room < count;
    }
    (all, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(room: &Room, script: &str) -> Command {
        let mut command = command(room, &program("sh").unwrap());
        command.args(["-c", script]);
        command
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_all_that_it_started() {
        let room = Room::new().unwrap();
        let started = Instant::now();
        let until = started + Duration::from_millis(500);
        let ended = run(&mut shell(&room, "sleep 600 & sleep 600"), until, 100);
        assert!(matches!(ended, Err(RunError::Time)), "{ended:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
        // Too late to begin with.
        let ended = run(&mut shell(&room, "touch began"), Instant::now(), 100);
        assert!(matches!(ended, Err(RunError::Time)) && !room.path("began").exists());
    }

    #[test]
    fn a_program_reads_what_it_is_given_and_is_ended_when_it_shall_stop() {
        let room = Room::new().unwrap();
        let input = vec![b'x'; 1 << 20];
        let manner = Manner { input: &input, ..Manner::new(soon(), 100) };
        let ended = run_as(&mut shell(&room, "wc -c"), &manner).unwrap();
        assert_eq!(ended.stdout.trim_ascii(), b"1048576");
        // Who does not read it is not waited for.
        let ended = run_as(&mut shell(&room, "exit 4"), &manner).unwrap();
        assert_eq!(ended.code, Some(4));
        let stop = AtomicBool::new(false);
        let manner = Manner { stop: Some(&stop), ..Manner::new(soon(), 100) };
        let started = Instant::now();
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                stop.store(true, Ordering::Relaxed);
            });
            run_as(&mut shell(&room, "sleep 600 & sleep 600"), &manner)
        });
        assert!(matches!(ended, Err(RunError::Stopped)), "{ended:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_a_program_leaves_behind_does_not_outlive_it() {
        let room = Room::new().unwrap();
        let started = Instant::now();
        let ended = run(&mut shell(&room, "sleep 600 & echo done; exit 3"), soon(), 100).unwrap();
        assert_eq!((ended.code, ended.stdout.as_slice(), ended.cut), (Some(3), b"done\n".as_slice(), false));
        assert!(started.elapsed() < Duration::from_secs(10), "it waited for what was left behind");
    }

    #[test]
    fn what_it_prints_is_cut_and_what_it_sees_is_made_here() {
        let room = Room::new().unwrap();
        let long = "i=0; while [ $i -lt 300 ]; do echo 0123456789; i=$((i+1)); done";
        let ended = run(&mut shell(&room, long), soon(), 100).unwrap();
        assert_eq!((ended.stdout.len(), ended.cut), (100, true));
        let ended = run(&mut shell(&room, "echo $HOME; env | grep -c CARGO"), soon(), 1000).unwrap();
        assert_eq!(
            ended.stdout,
            format!("{}\n0\n", room.path("").display()).replace("/\n", "\n").into_bytes()
        );
    }

    #[test]
    fn a_program_cannot_fill_the_disk() {
        let room = Room::new().unwrap();
        let ended = run(&mut shell(&room, "sleep 0.2; ulimit -f; ulimit -c"), soon(), 1000).unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stdout), format!("{}\n0\n", FILE_BYTES / 512));
    }

    #[test]
    fn programs_that_are_not_there_are_named() {
        assert_eq!(program("no-such-program-here").unwrap_err(), "no-such-program-here is not installed");
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let left = place.path().join(format!("{ROOM}0123456789abcdef"));
        let used = place.path().join(format!("{ROOM}0123456789abcde0"));
        let (other, link) =
            (place.path().join(format!("{ROOM}notes")), place.path().join(format!("{ROOM}{:016}", 1)));
        for directory in [&left, &used, &other] {
            fs::create_dir_all(directory.join("sub")).unwrap();
            fs::write(directory.join(".git-credentials"), "x").unwrap();
        }
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let lock = File::open(&used).unwrap();
        lock.lock().unwrap();
        remove_left_behind_in(place.path());
        assert!(!left.exists());
        assert!(
            other.join(".git-credentials").exists()
                && link.exists()
                && used.join(".git-credentials").exists()
        );
        drop(lock);
        remove_left_behind_in(place.path());
        assert!(!used.exists());
        // One that is in use is locked.
        let room = Room::new().unwrap();
        assert!(File::open(room.directory()).unwrap().try_lock().is_err());
    }

    #[test]
    fn the_private_room_is_private_and_goes_away() {
        let room = Room::new().unwrap();
        let path = room.path("");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(room.path("x"), "x").unwrap();
        drop(room);
        assert!(!path.exists());
    }
}
