//! Recording a baseline: the walk with the writer at its end.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use baseline_format::header::{self, End, FORMAT_VERSION, Header, Image, SectionInfo};
use baseline_format::report::Unseen;
use baseline_format::{BaselineWriter, Line, OsText, WriteError};

use crate::audit::{Everything, check_sections, facts, header_scope};
use crate::host;
use crate::probes::PROBES;
use crate::scan::{self, BadGlob, Depth, FILES, Observer, Progress, Scope, Stop};
use crate::tree::{LiveTree, TreeError};

/// What is recorded, and where to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The root.
    pub root: Vec<u8>,
    /// The file to write; `-` for standard output.
    pub output: Vec<u8>,
    /// Identity of the image.
    pub image: Image,
    /// Only these sections, if any are named.
    pub sections: Vec<String>,
    /// Only files that match one of these globs, if any are given.
    pub include: Vec<String>,
    /// Files that match one of these globs are left out.
    pub exclude: Vec<String>,
    /// Threads and reads under way.
    pub depth: Depth,
    /// Content longer than this is not read. Bytes.
    pub size_limit: u64,
}

/// What was recorded.
#[derive(Debug)]
pub struct Recorded {
    /// Counts and digests.
    pub end: End,
    /// Blind spots in the baseline; the first ones by name.
    pub unseen: Vec<(String, Unseen)>,
    /// All of them.
    pub unseen_total: u64,
    /// Mounts that were met and not entered.
    pub mounts: Vec<String>,
}

/// Blind spots and mounts that are named.
const NAMED: usize = 200;

/// Records a baseline. The file appears under its name only when it is complete and on disk.
pub fn run(settings: &Settings, progress: &Progress) -> Result<Recorded, Failure> {
    let tree = LiveTree::open(&settings.root).map_err(|why| Failure::Root {
        path: OsText::new(&settings.root),
        why,
    })?;
    let known = |name: &str| name == FILES || PROBES.iter().any(|probe| probe.section() == name);
    check_sections(&settings.sections, known).map_err(|why| Failure::Usage(why.to_string()))?;
    // Neither what is being written nor what it replaces is part of the image.
    let own: Vec<Vec<u8>> = [settings.output.clone(), partial_name(&settings.output)]
        .iter()
        .filter_map(|path| host::path_below(&settings.root, path))
        .collect();
    let built_in = header::Scope {
        include: Vec::new(),
        exclude: Scope::built_in(),
    };
    let scope = Scope::new(&built_in, &settings.exclude, &settings.include, &own).map_err(Failure::Glob)?;
    let header = Header {
        format: FORMAT_VERSION,
        image: settings.image.clone(),
        sections: sections(&settings.sections),
        scope: header_scope(&scope),
    };
    let output = Output::create(&settings.output)?;
    let failed = |why| Failure::Write {
        path: OsText::new(&settings.output),
        why,
    };
    let mut recording = Recording {
        writer: BaselineWriter::new(&header, output).map_err(failed)?,
        failed: None,
        unseen: Vec::new(),
        unseen_total: 0,
        mounts: Vec::new(),
    };
    progress.expected.store(tree.inodes_in_use(), Ordering::Relaxed);
    let scope = Arc::new(scope);
    for section in &header.sections {
        match PROBES.iter().find(|probe| probe.section() == section.name) {
            Some(probe) => {
                for entry in facts(*probe, &tree) {
                    let bytes = entry.to_line();
                    let line = Line::parse(&bytes).map_err(|why| Failure::Usage(why.to_string()))?;
                    recording.entry(&line).ok();
                }
            }
            None => recording.files(settings, &tree, &scope, progress)?,
        }
        if let Some(why) = recording.failed.take() {
            return Err(failed(why));
        }
    }
    let Recording {
        writer,
        unseen,
        unseen_total,
        mounts,
        ..
    } = recording;
    let (output, end) = writer.finish().map_err(failed)?;
    output.commit().map_err(|why| failed(WriteError::Io(why)))?;
    Ok(Recorded {
        end,
        unseen,
        unseen_total,
        mounts,
    })
}

/// All sections, or those that were asked for, sorted by name.
fn sections(wanted: &[String]) -> Vec<SectionInfo> {
    let files = SectionInfo {
        name: FILES.to_owned(),
        revision: scan::REVISION,
    };
    let mut sections: Vec<SectionInfo> = PROBES
        .iter()
        .map(|probe| SectionInfo {
            name: probe.section().to_owned(),
            revision: probe.revision(),
        })
        .chain([files])
        .filter(|section| wanted.is_empty() || wanted.contains(&section.name))
        .collect();
    sections.sort_by(|a, b| a.name.cmp(&b.name));
    sections
}

struct Recording {
    writer: BaselineWriter<Output>,
    failed: Option<WriteError>,
    unseen: Vec<(String, Unseen)>,
    unseen_total: u64,
    mounts: Vec<String>,
}

impl Recording {
    fn files(
        &mut self,
        settings: &Settings,
        tree: &LiveTree,
        scope: &Arc<Scope>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let plan = Everything {
            size_limit: settings.size_limit,
        };
        let scan = scan::Settings {
            plan: &plan,
            scope: Arc::clone(scope),
            owners: host::owners(tree),
            depth: settings.depth,
            progress,
        };
        let root = tree.root().map_err(|why| Failure::Root {
            path: OsText::new(&settings.root),
            why,
        })?;
        let scanned = scan::run(root, &scan, self).map_err(Failure::Scan)?;
        scanned.whole(self.failed.is_some()).map_err(Failure::Scan)?;
        Ok(())
    }

    fn note(&mut self, line: &Line<'_>) {
        for note in line.unseen() {
            self.unseen_total += 1;
            if self.unseen.len() < NAMED {
                let key = OsText::parse(&line.key()).unwrap_or_default();
                self.unseen
                    .push((line.section().to_owned(), Unseen { key, why: note }));
            }
        }
        if line.as_str().contains("\"mount\":")
            && let Some(kind) = line.get(baseline_format::MOUNT)
            && self.mounts.len() < NAMED
        {
            self.mounts.push(format!("{} ({})", line.key(), kind.decode()));
        }
    }
}

impl Observer for Recording {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.note(line);
        self.writer.push(*line).map_err(|why| {
            self.failed = Some(why);
            Stop
        })
    }
}

/// Where a baseline goes: standard output, or a file that is named when it is complete.
enum Output {
    Standard(io::Stdout),
    File {
        file: BufWriter<File>,
        /// Where the file is meanwhile; `None` if it has no name yet, and vanishes by itself.
        partial: Option<PathBuf>,
        path: PathBuf,
    },
}

/// The name of a file that is not complete yet: beside the target, so that the rename is one step.
fn partial_name(path: &[u8]) -> Vec<u8> {
    let name_at = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(name_at);
    [
        directory,
        b".",
        name,
        format!(".{}.partial", std::process::id()).as_bytes(),
    ]
    .concat()
}

/// The directory that holds a file of this name.
fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

impl Output {
    fn create(path: &[u8]) -> Result<Self, Failure> {
        if path == b"-" {
            return Ok(Self::Standard(io::stdout()));
        }
        let failed = |why| Failure::Write {
            path: OsText::new(path),
            why: WriteError::Io(why),
        };
        // What is replaced must be a file: never a device, and of a link the file that it leads to.
        let target = match fs::canonicalize(host::as_path(path)) {
            Ok(real) if real.is_file() => real,
            Ok(real) if real.is_dir() => {
                return Err(failed(io::Error::other("it is a directory; name a file")));
            }
            Ok(_) => {
                return Err(failed(io::Error::other(
                    "it is not a regular file; write to `-` and redirect",
                )));
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => host::as_path(path).to_path_buf(),
            Err(why) => return Err(failed(why)),
        };
        if target.file_name().is_none() {
            return Err(failed(io::Error::other("it names no file")));
        }
        let (file, partial) = Self::nameless(&target)
            .or_else(|_| Self::named(&target))
            .map_err(failed)?;
        Ok(Self::File {
            file: BufWriter::with_capacity(128 << 10, file),
            partial,
            path: target,
        })
    }

    /// A file without a name: nothing stays behind, however this process ends. Not every file system has them. Only
    /// the owner may read it: a baseline says which passwords age how, and who may do what.
    fn nameless(target: &Path) -> io::Result<(File, Option<PathBuf>)> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = rustix::fs::open(directory_of(target), flags, Mode::RUSR | Mode::WUSR)?;
        Ok((File::from(fd), None))
    }

    fn named(target: &Path) -> io::Result<(File, Option<PathBuf>)> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let partial = host::as_path(&partial_name(target.as_os_str().as_encoded_bytes())).to_path_buf();
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        Ok((file, Some(partial)))
    }

    /// Puts the file on disk and gives it its name, and the mode of the file that it replaces.
    fn commit(mut self) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        match &mut self {
            Self::Standard(out) => out.flush(),
            Self::File { file, partial, path } => {
                file.flush()?;
                let file = file.get_ref();
                if let Ok(replaced) = File::open(&*path).and_then(|replaced| replaced.metadata()) {
                    file.set_permissions(replaced.permissions())?;
                }
                file.sync_all()?;
                if partial.is_none() {
                    let name =
                        host::as_path(&partial_name(path.as_os_str().as_encoded_bytes())).to_path_buf();
                    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                    let cwd = rustix::fs::CWD;
                    rustix::fs::linkat(cwd, own, cwd, &name, rustix::fs::AtFlags::SYMLINK_FOLLOW)?;
                    *partial = Some(name);
                }
                if let Some(name) = &*partial {
                    fs::rename(name, &*path)?;
                }
                *partial = None;
                File::open(directory_of(path))?.sync_all()
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Output {
    /// An incomplete file does not stay.
    fn drop(&mut self) {
        if let Self::File {
            partial: Some(partial),
            ..
        } = self
        {
            fs::remove_file(partial).ok();
        }
    }
}

/// Why nothing was recorded.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The root cannot be looked at.
    Root {
        /// The directory.
        path: OsText,
        /// Why.
        why: TreeError,
    },
    /// The file cannot be written.
    Write {
        /// The file.
        path: OsText,
        /// Why.
        why: WriteError,
    },
    /// A glob cannot be used.
    Glob(BadGlob),
    /// The command line asks for something that is not there.
    Usage(String),
    /// The walk could not be started.
    Scan(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { path, why } => write!(f, "cannot look at the root `{path}`: {why}"),
            Self::Write { path, why } => write!(f, "cannot write `{path}`: {why}"),
            Self::Glob(why) => write!(f, "{why}"),
            Self::Usage(why) => f.write_str(why),
            Self::Scan(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}
