//! `driftcheck --baseline`: the audit.

use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::report::Verdict;
use driftcheck_report::{TextStyle, write_json, write_text};

use super::arguments::{AuditArguments, Format};
use super::exit::Exit;
use super::progress;
use super::voice::{complain, style};
use crate::audit::{self, Outcome};
use crate::output::Output;
use crate::scan::Progress;
use crate::source::SourceError;
use crate::vendor;

pub(super) fn run(arguments: &AuditArguments) -> Exit {
    let Some(baseline) = &arguments.baseline else {
        return complain(
            "say what to compare with: --baseline FILE, or --baseline vendor",
            Exit::Usage,
        );
    };
    if let Some(output) = &arguments.output
        && let (Ok(output), Ok(baseline)) = (std::fs::canonicalize(output), std::fs::canonicalize(baseline))
        && output == baseline
    {
        return complain(
            "--output is the baseline itself; the report would replace it",
            Exit::Usage,
        );
    }
    let settings = audit::Settings {
        root: arguments.root.as_bytes().to_vec(),
        source: arguments.source.options(arguments.scan.max_file_size),
        trust: arguments.trust.settings(),
        sections: arguments.scan.sections.clone(),
        include: arguments.scan.include.clone(),
        exclude: arguments.scan.exclude.clone(),
        depth: arguments.scan.depth(),
        size_limit: arguments.scan.max_file_size,
    };
    let shown = Progress::default();
    let outcome = progress::shown("audited", &shown, arguments.scan.progress, || {
        match baseline.as_bytes() {
            b"vendor" => vendor::audit(&settings, &shown),
            file => audit::against_file(file, &settings, &shown),
        }
    });
    match outcome {
        Ok(outcome) => report(outcome, arguments),
        Err(why) => {
            let exit = match why {
                audit::Failure::Baseline { .. }
                | audit::Failure::Refused { .. }
                | audit::Failure::Trust(_)
                | audit::Failure::Source(SourceError::Refused { .. }) => Exit::Baseline,
                audit::Failure::Section(_)
                | audit::Failure::VendorSection(_)
                | audit::Failure::Glob(_)
                | audit::Failure::NoPackages(_)
                | audit::Failure::Source(_) => Exit::Usage,
                _ => Exit::Internal,
            };
            complain(&why.to_string(), exit)
        }
    }
}

/// Writes the report; the verdict becomes the exit code only if the report has been written.
fn report(outcome: Outcome, arguments: &AuditArguments) -> Exit {
    let verdict = outcome.head.verdict;
    match write_report(outcome, arguments) {
        Ok(()) => verdict.into(),
        // Whoever closed the pipe has seen enough.
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => verdict.into(),
        Err(why) => {
            let place = arguments
                .output
                .as_ref()
                .map_or("standard output".into(), |path| path.to_string_lossy());
            complain(
                &format!("the report could not be written to {place}: {why}"),
                Exit::Internal,
            )
        }
    }
}

fn write_report(outcome: Outcome, arguments: &AuditArguments) -> io::Result<()> {
    let Outcome { head, drifts } = outcome;
    let drifts = drifts.into_drifts()?;
    let stdout = io::stdout();
    let to_terminal = arguments.output.is_none() && stdout.is_terminal();
    // A report tells who may do what, so only its owner may read it; and half of one is none.
    let mut out = Output::create(arguments.output.as_ref().map_or(b"-", |path| path.as_bytes()))?;
    match arguments.format {
        Format::Json => write_json(&head, drifts, &mut out)?,
        Format::Text => {
            let style = TextStyle {
                limit: arguments.list,
                ..style(arguments.colour, to_terminal)
            };
            write_text(&head, drifts, &style, &mut out)?;
        }
    }
    out.commit()
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Clean => Self::Clean,
            Verdict::Drift => Self::Drift,
            Verdict::Incomplete => Self::Incomplete,
            Verdict::DriftAndIncomplete => Self::DriftAndIncomplete,
        }
    }
}
