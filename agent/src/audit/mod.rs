//! The audit: a reference and a root are merged, and what differs is judged and kept for the report.
//!
//! The same walk as `record`, with the comparer at its end instead of the writer.

mod drift_log;
mod findings;
mod links;
mod policy;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::SystemTime;

use baseline_format::compare::{Attributes, Comparer};
use baseline_format::header::{self, SectionInfo, Stated};
use baseline_format::report::{self, BaselineKind, REPORT_SCHEMA, Report, SignatureStatus, Tool};
use baseline_format::{BaselineReader, Entry, Line, OsText, ReadError, Reference, Value};

pub use drift_log::{DriftLog, Drifts};
pub use findings::Collected;
pub(crate) use findings::MOUNT_POINTS;
pub(crate) use policy::judge;

use crate::host;
use crate::inspect::{OVERLAY, PROVENANCE};
use crate::probes::{Facts, PROBES, Probe};
use crate::scan::{self, Algorithm, BadGlob, Depth, FILES, Observer, Plan, Progress, Scope, Stop};
use crate::source::file_system::Fault;
use crate::source::{self, ScanSettings, Source, SourceError};
use crate::stamp::{self, Identity};
use crate::tree::Tree;
use crate::trust::Trust;
use crate::trust::gate::{self, Gate, Refusal};

/// Attributes of `files` that are recorded and shown, but whose difference alone is no drift.
pub(crate) const INFORMATIVE: &[&str] = &["group", "mtime", "user"];

/// What is audited, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The root: a directory, or an image.
    pub root: Vec<u8>,
    /// How an image is read.
    pub source: source::Options,
    /// Which baselines may be used.
    pub trust: gate::Settings,
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

/// An audit's result: the report without its drifts, and the drifts.
#[derive(Debug)]
pub struct Outcome {
    /// Everything but the drifts.
    pub head: Report,
    /// The drifts, worst first, then in THE order.
    pub drifts: DriftLog,
}

/// Audits against a baseline file.
pub fn against_file(path: &[u8], settings: &Settings, progress: &Progress) -> Result<Outcome, Failure> {
    let started = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let name = OsText::new(path);
    let unusable = |why: ReadError| Failure::Baseline {
        path: name.clone(),
        why,
    };
    let refused = |why| Failure::Refused {
        path: name.clone(),
        why,
    };
    let admitted = Gate::open(settings.trust.clone())
        .map_err(Failure::Trust)?
        .check(host::as_path(path), SystemTime::now())
        .map_err(|why| match why {
            Refusal::Baseline(why) => unusable(why),
            why => refused(why.to_string()),
        })?;
    let file = File::open(host::as_path(path)).map_err(|why| unusable(ReadError::Io(why)))?;
    let reader = BaselineReader::open(BufReader::with_capacity(64 << 10, file)).map_err(unusable)?;
    let header = reader.header().clone();
    if header.image.source_kind == OVERLAY {
        return Err(refused(
            "it is an overlay, which says only what differs from its base: merge it with its base first"
                .to_owned(),
        ));
    }
    let (attributes, digests) = match header.scope.attributes {
        Stated::All => (Attributes::All, HashMap::new()),
        Stated::Declared => (Attributes::Declared, digests_of(path).map_err(unusable)?),
    };
    let source = Source::open(&settings.root, &settings.source, progress).map_err(Failure::Source)?;
    let known = |name: &str| name == FILES || PROBES.iter().any(|probe| probe.section() == name);
    check_sections(&settings.sections, |name| {
        known(name) || header.sections.iter().any(|s| s.name == name)
    })?;

    let own = host::path_below(&settings.root, path)
        .into_iter()
        .collect::<Vec<_>>();
    let scope = Arc::new(Scope::new(
        &header.scope,
        &settings.exclude,
        &settings.include,
        &own,
    )?);
    let mut audit = Audit {
        comparer: Comparer::new(reader, attributes, INFORMATIVE),
        collected: Collected::new(Arc::clone(&scope), source.is_running_system()),
        failed: None,
        plan: Digests {
            size_limit: settings.size_limit,
            digests,
        },
    };
    for section in &header.sections {
        audit.section(section, settings, &source, &scope, progress, &name)?;
    }
    for section in PROBES
        .iter()
        .map(|probe| probe.section())
        .filter(|_| settings.sections.is_empty())
    {
        if !header.sections.iter().any(|known| known.name == section) {
            audit.collected.skipped(
                section,
                "not in the baseline",
                "the baseline has no such section",
                0,
            );
        }
    }
    let Audit {
        comparer,
        mut collected,
        ..
    } = audit;
    let reader = comparer.finish(&mut collected).map_err(unusable)?;
    let end = reader
        .end()
        .ok_or(ReadError::Truncated { after: 0 })
        .map_err(unusable)?;
    if end.digest != admitted.sealed.end.digest {
        return Err(refused("it was replaced while it was read".to_owned()));
    }
    for sum in end.sections.iter().filter(|sum| sum.name != PROVENANCE) {
        collected.coverage(&sum.name).expected = sum.entries;
    }
    collected.nothing_left(&settings.sections);
    let stamps = end.sections.iter().find(|sum| sum.name == IMAGE);
    let mut trust = admitted.sentences;
    trust.extend(origin(
        &header.image,
        stamps.is_some_and(|sum| sum.entries > 0),
        source.tree(),
    ));
    let baseline = report::Baseline {
        kind: BaselineKind::File,
        path: Some(name),
        digest: Some(end.digest.clone()),
        image: Some(header.image),
        signature: Some(signature(&admitted.trust)),
        trust,
    };
    finish(collected, baseline, &source, started)
}

fn signature(trust: &Trust) -> report::Signature {
    let (status, trusted) = match trust {
        Trust::Trusted(trusted) => (SignatureStatus::Trusted, Some(trusted)),
        Trust::Unsigned => (SignatureStatus::Unsigned, None),
        Trust::Untrusted(_) => (SignatureStatus::Untrusted, None),
    };
    report::Signature {
        status,
        by: trusted.map(|trusted| trusted.by.clone()).unwrap_or_default(),
        issued: trusted.map(|trusted| trusted.issued.to_string()),
    }
}

/// The section that says which image a root is.
const IMAGE: &str = "image";

/// What speaks against this baseline being the right one for this host, where no drift says it: a baseline without a
/// stamp that all the same names its image. `stamped`: it has one, which the comparison has looked at.
fn origin(image: &header::Image, stamped: bool, tree: &dyn Tree) -> Option<String> {
    let known = Identity {
        name: image.name.clone(),
        version: image.version.clone(),
        ..Identity::default()
    };
    if stamped || known.name.is_none() {
        return None;
    }
    match stamp::read(tree) {
        Ok(None) => Some(format!(
            "nothing on this host says which image it came from: that a baseline of {known} is the right one is taken on \
             trust; `driftcheck stamp` writes it into the image"
        )),
        Ok(Some(stamp)) if stamp.identity.name != known.name || stamp.identity.version != known.version => {
            Some(format!(
                "this host says it came from {}, the baseline says that it is of {known}",
                stamp.identity
            ))
        }
        Ok(Some(_)) => None,
        Err(why) => Some(format!(
            "which image this host says it came from cannot be read: {why}"
        )),
    }
}

/// The report of what was collected.
pub(crate) fn finish(
    collected: Collected,
    baseline: report::Baseline,
    source: &Source,
    started: String,
) -> Result<Outcome, Failure> {
    let (coverage, drifts) = collected.finish().map_err(Failure::Spill)?;
    let summary = drifts.summary().clone();
    let head = Report {
        schema: REPORT_SCHEMA.to_owned(),
        verdict: driftcheck_report::statement::verdict(&coverage, &summary),
        statement: driftcheck_report::statement::statement(&coverage, &summary),
        tool: Tool {
            name: "driftcheck".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        host: host::describe(source),
        baseline,
        started,
        finished: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        coverage,
        summary,
        drifts: Vec::new(),
    };
    Ok(Outcome { head, drifts })
}

/// Refuses the name of a section that nothing knows.
pub(crate) fn check_sections(wanted: &[String], known: impl Fn(&str) -> bool) -> Result<(), Failure> {
    match wanted.iter().find(|name| !known(name)) {
        Some(name) => Err(Failure::Section(name.clone())),
        None => Ok(()),
    }
}

/// The merge under way.
struct Audit<R> {
    comparer: Comparer<R>,
    collected: Collected,
    failed: Option<ReadError>,
    plan: Digests,
}

impl<R: Reference + Send> Audit<R> {
    fn section(
        &mut self,
        section: &SectionInfo,
        settings: &Settings,
        source: &Source,
        scope: &Arc<Scope>,
        progress: &Progress,
        baseline: &OsText,
    ) -> Result<(), Failure> {
        let name = section.name.as_str();
        if name == PROVENANCE {
            // It is about the baseline, and no host has it.
            let passed = self.comparer.pass(name, &mut self.collected);
            passed.map_err(|why| Failure::Baseline {
                path: baseline.clone(),
                why,
            })?;
            return Ok(());
        }
        self.collected.coverage(name);
        let unusable = |why: ReadError| Failure::Baseline {
            path: baseline.clone(),
            why,
        };
        if !settings.sections.is_empty() && !settings.sections.iter().any(|wanted| wanted == name) {
            let entries = self.comparer.pass(name, &mut self.collected).map_err(unusable)?;
            self.collected
                .skipped(name, "--section", "not asked for", entries);
            return Ok(());
        }
        let probe = PROBES.iter().find(|probe| probe.section() == name);
        let revision = if name == FILES {
            Some(scan::REVISION)
        } else {
            probe.map(|probe| probe.revision())
        };
        if revision != Some(section.revision) {
            self.comparer.pass(name, &mut self.collected).map_err(unusable)?;
            let why = match revision {
                None => "this release does not know the section".to_owned(),
                Some(own) => format!(
                    "recorded in revision {}, this release looks at revision {own}: record the baseline again",
                    section.revision
                ),
            };
            self.collected.unseen_section(name, &why);
            return Ok(());
        }
        match probe {
            Some(probe) => self.probe(*probe, source.tree()),
            None => self.files(settings, source, scope, progress)?,
        }
        match self.failed.take() {
            Some(why) => Err(unusable(why)),
            None => Ok(()),
        }
    }

    fn probe(&mut self, probe: &dyn Probe, tree: &dyn Tree) {
        for entry in facts(probe, tree) {
            let bytes = entry.to_line();
            if let Some(line) = std::str::from_utf8(&bytes).ok().and_then(Line::trusted)
                && self.entry(&line).is_err()
            {
                return;
            }
        }
    }

    fn files(
        &mut self,
        settings: &Settings,
        source: &Source,
        scope: &Arc<Scope>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let plan = self.plan.clone();
        let scan = ScanSettings {
            plan: &plan,
            scope: Arc::clone(scope),
            depth: settings.depth,
            progress,
        };
        let scanned = source.scan(&scan, self).map_err(Failure::Scan)?;
        let scanned = scanned.whole(self.failed.is_some()).map_err(Failure::Scan)?;
        self.collected.scanned(&scanned);
        Ok(())
    }
}

impl<R: Reference + Send> Observer for Audit<R> {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.collected.observed(line);
        self.comparer.observe(line, &mut self.collected).map_err(|why| {
            self.failed = Some(why);
            Stop
        })
    }
}

/// A probe's facts in THE order; one that is too long for a baseline becomes a blind spot.
pub(crate) fn facts(probe: &dyn Probe, tree: &dyn Tree) -> Vec<Entry> {
    let mut facts = Facts::default();
    probe.read(tree, &mut facts);
    let mut entries = facts.into_sorted();
    for entry in &mut entries {
        if entry.to_line().len() > baseline_format::LINE_LIMIT {
            let blank = Entry::new(entry.section.clone(), entry.key.clone());
            *entry = blank.unseen(baseline_format::ALL, "more than a baseline can hold in one entry");
        }
    }
    entries
}

/// Content by the digests that a baseline made elsewhere has.
#[derive(Clone)]
struct Digests {
    size_limit: u64,
    /// Of the paths whose digest is not SHA-256.
    digests: HashMap<Vec<u8>, Algorithm>,
}

impl Plan for Digests {
    fn content(&self, path: &[u8]) -> Algorithm {
        self.digests.get(path).copied().unwrap_or(Algorithm::Sha256)
    }

    fn size_limit(&self) -> u64 {
        self.size_limit
    }
}

/// The algorithms of the digests in a baseline that are not SHA-256, by path.
fn digests_of(path: &[u8]) -> Result<HashMap<Vec<u8>, Algorithm>, ReadError> {
    let file = BufReader::with_capacity(64 << 10, File::open(host::as_path(path))?);
    let mut reader = BaselineReader::open(file)?;
    let mut digests = HashMap::new();
    while let Some(line) = reader.current() {
        if line.section() == FILES
            && let Some(key) = OsText::parse(&line.key())
        {
            // What states no digest, or one that is not known, is not read.
            let algorithm = match line.get("digest").map(|digest| digest.decode()) {
                Some(Value::Text(digest)) => Algorithm::of(digest.as_str()),
                _ => None,
            };
            match algorithm.unwrap_or(Algorithm::None) {
                Algorithm::Sha256 => {}
                other => {
                    digests.insert(key.to_bytes().into_owned(), other);
                }
            }
        }
        reader.advance()?;
    }
    Ok(digests)
}

/// All content, by SHA-256.
pub(crate) struct Everything {
    pub(crate) size_limit: u64,
}

impl Plan for Everything {
    fn content(&self, _: &[u8]) -> Algorithm {
        Algorithm::Sha256
    }

    fn size_limit(&self) -> u64 {
        self.size_limit
    }
}

/// Why an audit could not be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The baseline cannot be read, is broken, or is not one.
    Baseline {
        /// The file.
        path: OsText,
        /// Why.
        why: ReadError,
    },
    /// The baseline is sound, but may not be used: it is not signed, not trusted, or older than one that was.
    Refused {
        /// The file.
        path: OsText,
        /// Why.
        why: String,
    },
    /// The operator's trust anchors cannot be read.
    Trust(Fault),
    /// The root cannot be looked at.
    Source(SourceError),
    /// A glob on the command line, or in the baseline's header, cannot be used.
    Glob(BadGlob),
    /// A section was asked for of which packages declare nothing.
    VendorSection(String),
    /// A section was asked for that nothing knows.
    Section(String),
    /// The walk could not be started.
    Scan(io::Error),
    /// There are more drifts than memory holds, and no place to put them.
    Spill(io::Error),
    /// No package database below the root.
    NoPackages(OsText),
}

impl From<BadGlob> for Failure {
    fn from(why: BadGlob) -> Self {
        Self::Glob(why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline { path, why } => write!(f, "{path}: {why}"),
            Self::Refused { path, why } => write!(f, "{path}: {why}"),
            Self::Trust(why) => write!(f, "{why}"),
            Self::Source(why) => write!(f, "{why}"),
            Self::Glob(why) => write!(f, "{why}"),
            Self::VendorSection(name) => {
                write!(
                    f,
                    "packages declare files only: `--baseline vendor` has no section `{name}`"
                )
            }
            Self::Section(name) => {
                let known: Vec<&str> = std::iter::once(FILES)
                    .chain(PROBES.iter().map(|probe| probe.section()))
                    .collect();
                write!(f, "there is no section `{name}`; there are: {}", known.join(", "))
            }
            Self::Scan(why) => write!(f, "{why}"),
            Self::Spill(why) => write!(
                f,
                "more drifts than memory is kept for, and they cannot be put aside: {why}"
            ),
            Self::NoPackages(root) => write!(
                f,
                "no package database below `{root}` (dpkg, rpm, apk or pacman): there is nothing to audit against"
            ),
        }
    }
}

impl std::error::Error for Failure {}

/// The header's scope of a baseline that leaves out what `scope` leaves out.
pub(crate) fn header_scope(scope: &Scope) -> header::Scope {
    scope.to_header()
}
