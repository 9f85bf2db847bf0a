//! The audit against the vendor: the reference is what the installed packages say they installed.
//!
//! No file is needed and nothing is learned: the package managers' databases below the root declare digests,
//! modes, owners and links, as far as each of them does, and only what is declared is compared. What no package
//! declares is told where it matters: code and units in system directories, setid files anywhere.

pub(crate) mod declared;
pub(crate) mod excuses;
mod findings;

use std::sync::Arc;

use baseline_format::compare::{Attributes, Comparer};
use baseline_format::header;
use baseline_format::report::{self, BaselineKind};
use baseline_format::{Line, OsText, ReadError};

use crate::audit::{Collected, Failure, Outcome, Settings, finish};
use crate::scan::{Algorithm, FILES, Observer, Plan, Progress, Scope, Stop};
use crate::source::{self, ScanSettings, Source};
use declared::{Declared, DeclaredStream};
use findings::VendorFindings;

/// Audits a root against what its own packages declare.
pub fn audit(settings: &Settings, progress: &Progress) -> Result<Outcome, Failure> {
    let started = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    if let Some(name) = settings.sections.iter().find(|name| *name != FILES) {
        return Err(Failure::VendorSection(name.clone()));
    }
    let options = source::Options {
        weak_digests: true,
        ..settings.source.clone()
    };
    let source = Source::open(&settings.root, &options, progress).map_err(Failure::Source)?;
    let tree = source.tree();
    let declared = Declared::read(tree);
    if declared.is_empty() && declared.trouble.is_empty() {
        return Err(Failure::NoPackages(OsText::new(&settings.root)));
    }
    let built_in = header::Scope {
        include: Vec::new(),
        exclude: Scope::built_in(),
        ..header::Scope::default()
    };
    let scope = Arc::new(Scope::new(&built_in, &settings.exclude, &settings.include, &[])?);
    let mut collected = Collected::new(Arc::clone(&scope), source.is_running_system());
    let scanned = {
        let mut auditing = Auditing {
            comparer: Comparer::new(DeclaredStream::new(&declared), Attributes::Declared, &[]),
            findings: VendorFindings::new(&declared, tree, &mut collected),
            failed: None,
        };
        let plan = VendorPlan {
            declared: &declared,
            size_limit: settings.size_limit,
        };
        let scan = ScanSettings {
            plan: &plan,
            scope: Arc::clone(&scope),
            depth: settings.depth,
            progress,
        };
        let scanned = source.scan(&scan, &mut auditing).map_err(Failure::Scan)?;
        let Auditing {
            comparer,
            mut findings,
            failed,
        } = auditing;
        let baseline = |why| Failure::Baseline {
            path: "vendor".into(),
            why,
        };
        if let Some(why) = failed {
            return Err(baseline(why));
        }
        let scanned = scanned.whole(false).map_err(Failure::Scan)?;
        comparer.finish(&mut findings).map_err(baseline)?;
        findings.finish();
        scanned
    };
    collected.scanned(&scanned);
    collected.coverage(FILES).expected = declared.len() as u64;
    for (key, why) in &declared.trouble {
        collected.unseen(FILES, &OsText::new(key), why);
    }
    let reference = report::Baseline {
        kind: BaselineKind::Vendor,
        path: None,
        digest: None,
        image: None,
        signature: None,
        trust: declared.trust(),
    };
    finish(collected, reference, &source, started)
}

/// Content is read where a package declares a digest, by that digest's algorithm.
pub(crate) struct VendorPlan<'a> {
    pub(crate) declared: &'a Declared,
    /// Content longer than this is not read. Bytes.
    pub(crate) size_limit: u64,
}

impl Plan for VendorPlan<'_> {
    fn content(&self, path: &[u8]) -> Algorithm {
        self.declared.algorithm(path)
    }

    fn size_limit(&self) -> u64 {
        self.size_limit
    }
}

struct Auditing<'a> {
    comparer: Comparer<DeclaredStream<'a>>,
    findings: VendorFindings<'a>,
    failed: Option<ReadError>,
}

impl Observer for Auditing<'_> {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.findings.observed(line);
        self.comparer.observe(line, &mut self.findings).map_err(|why| {
            self.failed = Some(why);
            Stop
        })
    }
}
