//! The floor under a file-integrity auditor: the least work that still hashes
//! every regular file below a root.
//!
//! One file costs `openat`, `read` until it returns 0, `close`, and SHA-256 of
//! its bytes; one directory costs `openat`, `fstat` (for the file-system
//! check), `getdents64` until it returns 0, and `close`. Nothing else is
//! asked of the kernel: no `statx` while `d_type` tells the type, no metadata,
//! no sorting, no output but one line at the end. An auditor that hashes
//! with the same implementation cannot use less CPU than this; how little
//! more it uses is what the benchmark measures.
//!
//! Usage: `driftcheck-floor [--threads N] ROOT`

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::io::{Errno, read};
use sha2::{Digest, Sha256};
use std::ffi::{CStr, CString, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const READ_BUFFER: usize = 128 * 1024;
const DIRENT_BUFFER: usize = 32 * 1024;
const USAGE: &str = "usage: driftcheck-floor [--threads N] ROOT";

/// A directory still to be walked: its name, and the directory that holds it.
///
/// The parent is kept open rather than a path kept, so that no path is ever
/// resolved from the root. The queue is a stack, so the descriptors held open
/// number about one per level and thread.
struct Dir {
    parent: Arc<OwnedFd>,
    name: CString,
}

/// The stack of directories, and how many are queued or being walked.
struct State {
    stack: Vec<Dir>,
    unfinished: usize,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn new(first: Dir) -> Self {
        Self {
            state: Mutex::new(State {
                stack: vec![first],
                unfinished: 1,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next directory, or `None` once every directory has been walked.
    fn next(&self) -> Option<Dir> {
        let mut state = self.lock();
        loop {
            if let Some(dir) = state.stack.pop() {
                return Some(dir);
            }
            if state.unfinished == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Marks one directory walked, and queues the directories found in it.
    fn finish(&self, found: &mut Vec<Dir>) {
        let mut state = self.lock();
        state.unfinished += found.len();
        state.unfinished -= 1;
        let wake = state.unfinished == 0 || !found.is_empty();
        state.stack.append(found);
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }
}

/// What one thread has seen; summed over the threads at the end.
#[derive(Default)]
struct Totals {
    files: u64,
    bytes: u64,
    dirs: u64,
    errors: u64,
    /// All digests XORed together: the same whatever the order or the number
    /// of threads, and proof that every digest was computed.
    digest: [u8; 32],
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.dirs += other.dirs;
        self.errors += other.errors;
        self.fold(&other.digest);
    }

    fn fold(&mut self, digest: &[u8]) {
        for (sum, byte) in self.digest.iter_mut().zip(digest) {
            *sum ^= byte;
        }
    }
}

struct Worker<'a> {
    queue: &'a Queue,
    root_device: u64,
    buffer: Vec<u8>,
    totals: Totals,
}

impl<'a> Worker<'a> {
    fn new(queue: &'a Queue, root_device: u64) -> Self {
        Self {
            queue,
            root_device,
            buffer: vec![0; READ_BUFFER],
            totals: Totals::default(),
        }
    }

    fn run(mut self) -> Totals {
        let mut entries = vec![MaybeUninit::uninit(); DIRENT_BUFFER];
        let mut found = Vec::new();
        while let Some(dir) = self.queue.next() {
            if self.directory(&dir, &mut entries, &mut found).is_err() {
                self.totals.errors += 1;
            }
            drop(dir);
            self.queue.finish(&mut found);
        }
        self.totals
    }

    fn directory(
        &mut self,
        dir: &Dir,
        entries: &mut [MaybeUninit<u8>],
        found: &mut Vec<Dir>,
    ) -> Result<(), Errno> {
        let fd = open_noatime(dir.parent.as_fd(), &dir.name, OFlags::DIRECTORY)?;
        if fstat(&fd)?.st_dev != self.root_device {
            return Ok(());
        }
        self.totals.dirs += 1;
        let fd = Arc::new(fd);
        let mut listing = RawDir::new(&*fd, entries);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name();
            let kind = match entry.file_type() {
                FileType::Unknown => statat(&*fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |stat| {
                        FileType::from_raw_mode(stat.st_mode)
                    }),
                known => known,
            };
            match kind {
                FileType::RegularFile => {
                    self.totals.errors += u64::from(self.file(fd.as_fd(), name).is_err());
                }
                FileType::Directory if name != c"." && name != c".." => found.push(Dir {
                    parent: Arc::clone(&fd),
                    name: name.to_owned(),
                }),
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        let fd = open_noatime(dir, name, OFlags::empty())?;
        let mut hasher = Sha256::new();
        loop {
            let count = match read(&fd, &mut self.buffer[..]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            hasher.update(&self.buffer[..count]);
            self.totals.bytes += count as u64;
        }
        self.totals.fold(&hasher.finalize());
        self.totals.files += 1;
        Ok(())
    }
}

/// Opens without touching the access time, or plainly where that is refused.
fn open_noatime(dir: BorrowedFd<'_>, name: &CStr, extra: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(dir, name, flags, Mode::empty()),
        result => result,
    }
}

fn walk(root: OsString, threads: usize) -> Result<Totals, Errno> {
    let root = CString::new(root.into_vec()).map_err(|_| Errno::INVAL)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, &root, flags, Mode::empty())?;
    let root_device = fstat(&root)?.st_dev;
    let queue = Queue::new(Dir {
        parent: Arc::new(root),
        name: c".".to_owned(),
    });
    // This thread is one of the workers: with one thread the process stays
    // single-threaded, and the kernel's cheaper descriptor look-up with it.
    Ok(std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| Worker::new(&queue, root_device).run()))
            .collect();
        let mut totals = Worker::new(&queue, root_device).run();
        for other in others {
            totals.add(&other.join().expect("a worker does not panic"));
        }
        totals
    }))
}

/// What the process has used so far, as the kernel tells it.
struct Usage {
    user: f64,
    system: f64,
    peak_rss_kib: u64,
}

impl Usage {
    fn now() -> std::io::Result<Self> {
        // The kernel splits CPU time by ticks but sums it exactly: take the
        // sum from the clock, and only the split from the ticks.
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu = clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9;
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        // The fields after the parenthesised name start with the third.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let ticks = |number: usize| fields.get(number - 3).copied().unwrap_or(0) as f64;
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        let system = (ticks(15) / per_second).min(cpu);
        let status = std::fs::read_to_string("/proc/self/status")?;
        let peak_rss_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|value| value.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            user: cpu - system,
            system,
            peak_rss_kib,
        })
    }
}

fn arguments() -> Option<(OsString, usize)> {
    let mut threads = 1;
    let mut root = None;
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--threads" {
            threads = args.next()?.to_str()?.parse().ok().filter(|n| *n > 0)?;
        } else if root.replace(arg).is_some() {
            return None;
        }
    }
    Some((root?, threads))
}

fn main() -> ExitCode {
    let Some((root, threads)) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let totals = match walk(root, threads) {
        Ok(totals) => totals,
        Err(error) => {
            eprintln!("driftcheck-floor: {error}");
            return ExitCode::FAILURE;
        }
    };
    let wall = start.elapsed().as_secs_f64();
    let usage = match Usage::now() {
        Ok(usage) => usage,
        Err(error) => {
            eprintln!("driftcheck-floor: {error}");
            return ExitCode::FAILURE;
        }
    };
    let digest: String = totals.digest.iter().map(|b| format!("{b:02x}")).collect();
    println!(
        "{{\"threads\":{threads},\"files\":{},\"bytes\":{},\"dirs\":{},\"errors\":{},\
         \"user_s\":{:.3},\"system_s\":{:.3},\"wall_s\":{wall:.3},\"peak_rss_kib\":{},\
         \"digest_xor\":\"{digest}\"}}",
        totals.files,
        totals.bytes,
        totals.dirs,
        totals.errors,
        usage.user,
        usage.system,
        usage.peak_rss_kib,
    );
    if totals.errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
