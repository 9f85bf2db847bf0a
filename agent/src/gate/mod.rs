//! The gate: holds an image against a policy before it is published.
//!
//! The same walk and the same probes as for a baseline, with rules at their end instead of a writer. What breaks a rule
//! is a finding; what could not be looked at makes the check incomplete, and an incomplete check never passes. The
//! content of files is looked at where a rule asks for it, and never told.

pub mod attestation;
mod facts;
mod file;
mod files;
mod index;
mod packaged;
pub mod policy;
mod results;
mod rule;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;

use baseline_format::header::{self, Exclusion, ExclusionReach};
use baseline_format::image_check::{CheckedImage, IMAGE_CHECK_SCHEMA, ImageCheck, ImageVerdict, RuleOutcome};
use baseline_format::report::Tool;
use baseline_format::{OsText, ReadError};

use crate::audit::{Everything, facts as facts_of};
use crate::host;
use crate::output::partial_name;
use crate::probes::PROBES;
use crate::scan::scope::BadGlob;
use crate::scan::{Algorithm, Depth, Observer, Plan, Progress, Scope};
use crate::source::{self, ScanSettings, Source, SourceError};
use crate::stamp;
use crate::tree::Tree;
use crate::vendor::VendorPlan;
use crate::vendor::declared::Declared;
use facts::Facts;
use files::{Comparing, Files};
use packaged::{Comparison, Owners};
use policy::{Policy, PolicyError, meant};
use results::{Outcome, Results};
use rule::{FILES, Rule, Test};

/// What is checked, and against what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image: a directory, or any other source.
    pub image: Vec<u8>,
    /// How an image is read.
    pub source: source::Options,
    /// Policies: files of this machine, or [`policy::GOLDEN_IMAGE`]; without any, that one.
    pub policies: Vec<Vec<u8>>,
    /// Files of this machine that are written with the result; where they lie in the image they are no part of it.
    pub own: Vec<Vec<u8>>,
    /// Threads and reads under way.
    pub depth: Depth,
    /// Content longer than this is not read. Bytes.
    pub size_limit: u64,
}

/// Checks an image.
pub fn run(settings: &Settings, progress: &Progress) -> Result<ImageCheck, Failure> {
    check(policy::load(&settings.policies)?, settings, progress)
}

fn check(policy: Policy, settings: &Settings, progress: &Progress) -> Result<ImageCheck, Failure> {
    let started = now();
    let options = source::Options {
        digest: true,
        weak_digests: true,
        ..settings.source.clone()
    };
    let source = Source::open(&settings.image, &options, progress).map_err(Failure::Source)?;
    let tree = source.tree();
    let asks = |test: fn(&Test) -> bool| policy.rules.iter().any(|rule| test(&rule.test));
    let declared = if asks(Test::needs_declarations) {
        Declared::read(tree)
    } else {
        Declared::default()
    };
    let mut results = Results::new(&policy);
    databases(&policy, &declared, &mut results);
    let mut facts = Facts::new(&policy.rules);
    sections(&policy, tree, &mut facts, &mut results);

    let own: Vec<Vec<u8>> = settings
        .own
        .iter()
        .flat_map(|path| [path.clone(), partial_name(path)])
        .filter_map(|path| host::path_below(&settings.image, &path))
        .collect();
    let scope = Arc::new(Scope::new(&scope(), &[], &[], &own).map_err(Failure::Glob)?);
    let scan = |plan: &dyn Plan, observer: &mut dyn Observer| {
        let scan = ScanSettings {
            plan,
            scope: Arc::clone(&scope),
            depth: settings.depth,
            progress,
        };
        source.scan(&scan, observer)
    };
    // Files are recorded by SHA-256. Where packages declare other digests, the comparison has a pass of its own.
    let compares = asks(|test| matches!(test, Test::Altered { .. }));
    let at_once = compares && !declared.has_other_than(Algorithm::Sha256);
    results.section(FILES);
    let mut files = Files::new(
        &policy,
        tree,
        source.is_running_system(),
        Owners::new(&declared, tree),
        at_once.then(|| Comparison::new(&declared)),
        facts,
        results,
    )
    .map_err(Failure::Glob)?;
    let size_limit = settings.size_limit;
    let scanned = scan(&Everything { size_limit }, &mut files).map_err(Failure::Scan)?;
    if let Some(why) = files.broken.take() {
        return Err(Failure::Packages(why));
    }
    scanned.whole(false).map_err(Failure::Scan)?;
    let mut results = files.finish().map_err(Failure::Packages)?;
    if compares && !at_once {
        let mut comparing = Comparing::new(&policy, Comparison::new(&declared), results);
        let plan = VendorPlan {
            declared: &declared,
            size_limit,
        };
        let scanned = scan(&plan, &mut comparing).map_err(Failure::Scan)?;
        if let Some(why) = comparing.broken.take() {
            return Err(Failure::Packages(why));
        }
        scanned.whole(false).map_err(Failure::Scan)?;
        results = comparing.finish().map_err(Failure::Packages)?;
    }
    let outcome = results.finish();
    Ok(concluded(outcome, policy, &source, started))
}

/// Everything is looked at, also what lies in scratch directories; but for the empty directory that a file system comes
/// with, which is no part of an image.
fn scope() -> header::Scope {
    let is_own = |exclusion: &Exclusion| exclusion.what == ExclusionReach::Empty;
    header::Scope {
        include: Vec::new(),
        exclude: Scope::built_in().into_iter().filter(is_own).collect(),
        ..header::Scope::default()
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

/// Tells what of the package managers' databases could not be read, and that there are none where a rule needs one.
fn databases(policy: &Policy, declared: &Declared, results: &mut Results<'_>) {
    for (key, why) in &declared.trouble {
        results.unseen(rule::PACKAGES, &OsText::new(key), &OsText::from(&why[..]));
    }
    let is_needed = |(at, rule): (usize, &Rule)| rule.test.needs_packages() && !results.is_waived(at);
    if declared.is_empty() && declared.trouble.is_empty() && policy.rules.iter().enumerate().any(is_needed) {
        let why = "all: no package database (dpkg, rpm, apk or pacman) says where files come from; waive the rules that \
                   need one if that is meant";
        results.unseen(rule::PACKAGES, &OsText::from(""), &OsText::from(why));
    }
}

/// Holds the entries of all sections but `files` against the rules.
fn sections(policy: &Policy, tree: &dyn Tree, facts: &mut Facts<'_>, results: &mut Results<'_>) {
    for probe in PROBES {
        results.section(probe.section());
        let concerned = facts.concern(probe.section());
        for entry in facts_of(*probe, tree) {
            let bytes = entry.to_line();
            results.seen(probe.section(), &bytes);
            if let Some(baseline_format::Value::List(notes)) = entry.get(baseline_format::UNSEEN) {
                for note in notes {
                    results.unseen(probe.section(), &entry.key, note);
                }
            }
            if concerned {
                facts.entry(&entry, results);
            }
        }
    }
    let known = |name: &str| name == FILES || PROBES.iter().any(|probe| probe.section() == name);
    let asked = policy.rules.iter().flat_map(|rule| rule.test.sections());
    let unknown: std::collections::BTreeSet<&str> = asked.filter(|name| !known(name)).collect();
    for section in unknown {
        let hint = meant(section, PROBES.iter().map(|probe| probe.section()));
        let why = format!("all: this release does not read such a section{hint}");
        results.unseen(section, &OsText::from(""), &OsText::from(why));
    }
}

/// The result as it is told.
fn concluded(outcome: Outcome, policy: Policy, source: &Source, started: String) -> ImageCheck {
    let tree = source.tree();
    let stamp = stamp::read(tree).ok().flatten().unwrap_or_default().identity;
    let failed = outcome
        .rules
        .iter()
        .filter(|rule| rule.outcome == RuleOutcome::Failed)
        .count();
    let mut check = ImageCheck {
        schema: IMAGE_CHECK_SCHEMA.to_owned(),
        verdict: ImageVerdict::of(failed as u64, outcome.complete),
        statement: String::new(),
        tool: Tool {
            name: "driftcheck".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        image: CheckedImage {
            source: source.name.clone(),
            source_kind: source.kind.to_owned(),
            digest: source.digest.clone(),
            entries: outcome.entries,
            name: stamp.name,
            version: stamp.version,
            os: host::system(tree),
        },
        policies: policy.used,
        started,
        finished: now(),
        coverage: outcome.coverage,
        rules: outcome.rules,
        findings: outcome.findings,
        waivers: outcome.waivers,
    };
    check.statement = driftcheck_report::image_check::statement(&check);
    check
}

/// Why an image could not be checked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// A policy cannot be used.
    Policy(PolicyError),
    /// The image cannot be read.
    Source(SourceError),
    /// A glob cannot be used.
    Glob(BadGlob),
    /// What packages declare cannot be compared with.
    Packages(ReadError),
    /// The scan could not be done.
    Scan(io::Error),
}

impl From<PolicyError> for Failure {
    fn from(why: PolicyError) -> Self {
        Self::Policy(why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(why) => write!(f, "{why}"),
            Self::Source(why) => write!(f, "{why}"),
            Self::Glob(why) => write!(f, "{why}"),
            Self::Packages(why) => write!(f, "what the packages declare: {why}"),
            Self::Scan(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}
