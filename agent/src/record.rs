//! Recording a baseline: the walk with the writer at its end.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use baseline_format::header::{self, End, FORMAT_VERSION, Header, Image, SectionInfo};
use baseline_format::report::Unseen;
use baseline_format::{BaselineWriter, Line, OsText, WriteError};

use crate::audit::{Everything, check_sections, facts, header_scope};
use crate::host;
use crate::output::{Output, partial_name};
use crate::probes::PROBES;
use crate::scan::{self, BadGlob, Depth, FILES, Observer, Progress, Scope, Stop};
use crate::source::{self, ScanSettings, Source, SourceError};
use crate::stamp;
use crate::tree::Tree;

/// What is recorded, and where to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is recorded: a directory, or an image.
    pub from: Vec<u8>,
    /// How an image is read.
    pub source: source::Options,
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
    /// Whether what was recorded has any of the directories that every system has.
    pub is_system: bool,
    /// What is odd about the source; see [`Source::remarks`].
    pub remarks: Vec<String>,
}

/// Directories of which a system has at least one.
const SYSTEM: [&str; 3] = ["/bin", "/etc", "/usr"];
/// Blind spots and mounts that are named.
const NAMED: usize = 200;

/// Records a baseline. The file appears under its name only when it is complete and on disk.
pub fn run(settings: &Settings, progress: &Progress) -> Result<Recorded, Failure> {
    let failed = |why| Failure::Write {
        path: OsText::new(&settings.output),
        why: WriteError::Io(why),
    };
    // Whether the file can be written at all is known before hours are spent.
    let output = Output::create(&settings.output).map_err(failed)?;
    let (output, recorded) = record(settings, progress, output)?;
    output.commit().map_err(failed)?;
    Ok(recorded)
}

/// Records a baseline into `output`.
pub fn record<W: Write + Send>(
    settings: &Settings,
    progress: &Progress,
    output: W,
) -> Result<(W, Recorded), Failure> {
    let known = |name: &str| name == FILES || PROBES.iter().any(|probe| probe.section() == name);
    check_sections(&settings.sections, known).map_err(|why| Failure::Usage(why.to_string()))?;
    // Neither what is being written nor what it replaces is part of the image.
    let own: Vec<Vec<u8>> = [settings.output.clone(), partial_name(&settings.output)]
        .iter()
        .filter_map(|path| host::path_below(&settings.from, path))
        .collect();
    let built_in = header::Scope {
        include: Vec::new(),
        exclude: Scope::built_in(),
        ..header::Scope::default()
    };
    let scope = Scope::new(&built_in, &settings.exclude, &settings.include, &own).map_err(Failure::Glob)?;
    let source = Source::open(
        &settings.from,
        &source::Options {
            digest: true,
            ..settings.source.clone()
        },
        progress,
    )
    .map_err(Failure::Source)?;
    let header = Header {
        format: FORMAT_VERSION,
        image: Image {
            source_kind: source.kind.to_owned(),
            digest: source.digest.clone(),
            os: host::system(source.tree()).map(|os| os.to_string()),
            ..identity(&settings.image, source.tree())?
        },
        sections: sections(&settings.sections),
        scope: header_scope(&scope),
    };
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
    let scope = Arc::new(scope);
    for section in &header.sections {
        match PROBES.iter().find(|probe| probe.section() == section.name) {
            Some(probe) => {
                for entry in facts(*probe, source.tree()) {
                    let bytes = entry.to_line();
                    let line = Line::parse(&bytes).map_err(|why| Failure::Usage(why.to_string()))?;
                    recording.entry(&line).ok();
                }
            }
            None => recording.files(settings, &source, &scope, progress)?,
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
    let recorded = Recorded {
        end,
        unseen,
        unseen_total,
        mounts,
        remarks: source.remarks.clone(),
        is_system: SYSTEM
            .iter()
            .any(|path| source.tree().lstat(path.as_bytes()).is_ok()),
    };
    Ok((output, recorded))
}

/// The image's identity: what the operator says, and where nothing is said, what the image's own stamp says. The two
/// must not contradict each other: a baseline under a wrong name is compared with the wrong hosts.
fn identity(given: &Image, tree: &dyn Tree) -> Result<Image, Failure> {
    // One that cannot be read is told as a blind spot of the section `image`.
    let Ok(Some(stamp)) = stamp::read(tree) else {
        return Ok(given.clone());
    };
    let (source, stamp) = (stamp.source, stamp.identity);
    for (option, given, stamped) in [
        ("--name", &given.name, &stamp.name),
        ("--image-version", &given.version, &stamp.version),
    ] {
        if let (Some(given), Some(stamped)) = (given, stamped)
            && given != stamped
        {
            return Err(Failure::Usage(format!(
                "{option} says `{given}`, but the image says of itself that it is `{stamped}` ({source}): is this the \
                 right image? If so, leave out {option}, or stamp the image again (`driftcheck stamp`)"
            )));
        }
    }
    Ok(Image {
        name: given.name.clone().or(stamp.name),
        version: given.version.clone().or(stamp.version),
        purpose: given.purpose.clone().or(stamp.purpose),
        parent: given.parent.clone().or(stamp.parent),
        supersedes: given.supersedes.clone().or(stamp.supersedes),
        built: given.built.clone().or(stamp.built),
        ..given.clone()
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

struct Recording<W: Write> {
    writer: BaselineWriter<W>,
    failed: Option<WriteError>,
    unseen: Vec<(String, Unseen)>,
    unseen_total: u64,
    mounts: Vec<String>,
}

impl<W: Write + Send> Recording<W> {
    fn files(
        &mut self,
        settings: &Settings,
        source: &Source,
        scope: &Arc<Scope>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let plan = Everything {
            size_limit: settings.size_limit,
        };
        let scan = ScanSettings {
            plan: &plan,
            scope: Arc::clone(scope),
            depth: settings.depth,
            progress,
        };
        let scanned = source.scan(&scan, self).map_err(Failure::Scan)?;
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

impl<W: Write + Send> Observer for Recording<W> {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.note(line);
        self.writer.push(*line).map_err(|why| {
            self.failed = Some(why);
            Stop
        })
    }
}

/// Why nothing was recorded.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// What is to be recorded cannot be read.
    Source(SourceError),
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
            Self::Source(why) => write!(f, "{why}"),
            Self::Write { path, why } => write!(f, "cannot write `{path}`: {why}"),
            Self::Glob(why) => write!(f, "{why}"),
            Self::Usage(why) => f.write_str(why),
            Self::Scan(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}
