//! Running the real program.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// No test scans anything that takes this long: whatever does, hangs.
const PATIENCE: Duration = Duration::from_mins(3);

/// The program under test: `DRIFTCHECK_BIN`, or the one that was built beside the tests.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("DRIFTCHECK_BIN") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "DRIFTCHECK_BIN={}: there is no such file",
            path.display()
        );
        return path;
    }
    let own = std::env::current_exe().expect("a program knows its own path");
    let path = own
        .ancestors()
        .nth(2)
        .expect("cargo puts tests into target/PROFILE/deps")
        .join("driftcheck");
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build -p driftcheck`, or name one in DRIFTCHECK_BIN",
        path.display()
    );
    path
}

/// One run to come.
#[derive(Debug)]
pub struct Run {
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    stdout: Option<PathBuf>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// Most memory that was resident, as last seen before the end. Bytes.
    pub peak: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl Run {
    /// Of `driftcheck` with these arguments.
    pub fn new<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            wrapper: Vec::new(),
            arguments: arguments.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            directory: None,
            stdout: None,
        }
    }

    /// Records `root` into the file `baseline`.
    #[must_use]
    pub fn record(root: &Path, baseline: &Path) -> Self {
        Self::new([OsStr::new("record"), "--from".as_ref(), root.as_ref()])
            .and([OsStr::new("-o"), baseline.as_ref()])
    }

    /// Audits `root` against `baseline`, with a report in JSON.
    #[must_use]
    pub fn audit(root: &Path, baseline: &Path) -> Self {
        Self::text(root, baseline).and(["--format", "json"])
    }

    /// Audits `root` against `baseline`, with a report for people.
    #[must_use]
    pub fn text(root: &Path, baseline: &Path) -> Self {
        Self::new([OsStr::new("--baseline"), baseline.as_ref()]).and([OsStr::new("--root"), root.as_ref()])
    }

    /// With more arguments.
    #[must_use]
    pub fn and<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Started by another program, e.g. `unshare -m`, which gets the whole command as its arguments.
    #[must_use]
    pub fn within<A: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Self {
        self.wrapper = wrapper.into_iter().map(|a| a.as_ref().to_owned()).collect();
        self
    }

    /// After a shell script, in a mount namespace of its own: its mounts are gone when the run ends, however it
    /// ends. The script gets `places` as `$1`, `$2`, ... before they are shifted away.
    #[must_use]
    pub fn after_mounting(self, script: &str, places: &[&Path]) -> Self {
        let script = format!("set -e; {script}; shift {}; exec \"$@\"", places.len());
        let fixed = [
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
            "sh",
        ];
        let wrapper: Vec<OsString> = fixed
            .iter()
            .map(OsString::from)
            .chain(places.iter().map(|place| place.as_os_str().to_owned()))
            .collect();
        self.within(wrapper)
    }

    /// As a user without any rights.
    #[must_use]
    pub fn as_nobody(self) -> Self {
        self.within(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    }

    /// In this working directory.
    #[must_use]
    pub fn within_directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// With standard output to this file, e.g. `/dev/full`.
    #[must_use]
    pub fn to(mut self, file: &Path) -> Self {
        self.stdout = Some(file.to_owned());
        self
    }

    /// The command, for tests that want to drive it themselves.
    #[must_use]
    pub fn command(&self) -> Command {
        let all: Vec<OsString> = self
            .wrapper
            .iter()
            .cloned()
            .chain([binary().into_os_string()])
            .chain(self.arguments.iter().cloned())
            .collect();
        let mut command = Command::new(&all[0]);
        command
            .args(&all[1..])
            .stdin(Stdio::null())
            .env_remove("NO_COLOR");
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// Runs it. A run that does not end is killed and fails the test.
    #[must_use]
    pub fn run(self) -> Ran {
        let mut command = self.command();
        match &self.stdout {
            None => command.stdout(Stdio::piped()),
            Some(path) => command.stdout(fs::File::options().write(true).open(path).expect("output opens")),
        };
        let began = Instant::now();
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().map(reader);
        let stderr = child.stderr.take().map(reader);
        let (code, peak) = wait(&mut child, began, &self.arguments);
        let bytes = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
            reader.map_or_else(Vec::new, |reader| reader.join().expect("a reader does not fail"))
        };
        Ran {
            code,
            stdout: bytes(stdout),
            stderr: String::from_utf8_lossy(&bytes(stderr)).into_owned(),
            peak,
            elapsed: began.elapsed(),
        }
    }
}

fn reader(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

fn wait(child: &mut Child, began: Instant, arguments: &[OsString]) -> (i32, u64) {
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The mark only rises, so the last look before the end misses at most what came in two milliseconds.
        peak = fs::read_to_string(&status_file).map_or(peak, |status| peak.max(high_water(&status)));
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            let code = status.code();
            return (
                code.unwrap_or_else(|| panic!("{arguments:?} was killed: {status}")),
                peak,
            );
        }
        if began.elapsed() > PATIENCE {
            child.kill().ok();
            child.wait().ok();
            panic!("{arguments:?} hangs: not ended after {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// `VmHWM` of `/proc/PID/status`, in bytes.
fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next());
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

impl Ran {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails the test unless the exit code is this one.
    #[expect(
        clippy::return_self_not_must_use,
        clippy::must_use_candidate,
        reason = "often the check is all that is wanted"
    )]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "exit code\nstandard error: {}\nstandard output: {}",
            self.stderr,
            self.text().chars().take(4000).collect::<String>()
        );
        self
    }
}
