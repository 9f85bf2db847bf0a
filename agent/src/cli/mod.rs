//! The command line: what was asked for, done, and told.

mod arguments;
mod exit;
mod progress;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Write};
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::header::Image;
use baseline_format::report::Verdict;
use baseline_format::{BaselineReader, ReadError, Reference};
use clap::Parser as _;
use driftcheck_report::{Colour, TextStyle, write_json, write_text};

pub use arguments::{Arguments, command};
pub use exit::Exit;

use crate::audit::{self, Outcome};
use crate::host;
use crate::record;
use crate::scan::{Depth, Progress};
use crate::vendor;
use arguments::{
    AuditArguments, BaselineCommand, Command, Format, RecordArguments, ScanArguments, SchemaName, When,
};

/// Runs the program with its arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(why) => {
            // Help and version are asked for, everything else is a mistake.
            if why.use_stderr() {
                why.print().ok();
                return Exit::Usage;
            }
            return answered(why.print().and_then(|()| io::stdout().flush()));
        }
    };
    crate::sys::raise_open_files();
    match arguments.command {
        None => audit(&arguments.audit),
        Some(Command::Record(record)) => self::record(&record),
        Some(Command::Baseline {
            command: BaselineCommand::Verify { file },
        }) => verify(&file),
        Some(Command::Baseline {
            command: BaselineCommand::Show { file, section },
        }) => show(&file, section.as_deref()),
        Some(Command::Schema { name }) => schema(name),
    }
}

fn audit(arguments: &AuditArguments) -> Exit {
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
        sections: arguments.scan.sections.clone(),
        include: arguments.scan.include.clone(),
        exclude: arguments.scan.exclude.clone(),
        depth: depth(&arguments.scan),
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
                audit::Failure::Baseline { .. } => Exit::Baseline,
                audit::Failure::Section(_)
                | audit::Failure::VendorSection(_)
                | audit::Failure::Glob(_)
                | audit::Failure::Root { .. } => Exit::Usage,
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
    let mut out: Box<dyn Write> = match &arguments.output {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(stdout.lock()),
    };
    match arguments.format {
        Format::Json => write_json(&head, drifts, &mut out)?,
        Format::Text => {
            let colour = match arguments.colour {
                When::Always => Colour::Always,
                When::Auto if to_terminal && std::env::var_os("NO_COLOR").is_none() => Colour::Always,
                When::Auto | When::Never => Colour::Never,
            };
            let width = if to_terminal { terminal_width() } else { 80 };
            let style = TextStyle {
                width,
                colour,
                limit: arguments.list,
                ..TextStyle::default()
            };
            write_text(&head, drifts, &style, &mut out)?;
        }
    }
    out.flush()
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col).clamp(40, 200))
}

fn record(arguments: &RecordArguments) -> Exit {
    let settings = record::Settings {
        root: arguments.from.as_bytes().to_vec(),
        output: arguments.output.as_bytes().to_vec(),
        image: Image {
            name: arguments.name.clone(),
            version: arguments.image_version.clone(),
            digest: None,
            source_kind: "directory".to_owned(),
            purpose: arguments.purpose.clone(),
        },
        sections: arguments.scan.sections.clone(),
        include: arguments.scan.include.clone(),
        exclude: arguments.scan.exclude.clone(),
        depth: depth(&arguments.scan),
        size_limit: arguments.scan.max_file_size,
    };
    let shown = Progress::default();
    let recorded = progress::shown("recorded", &shown, arguments.scan.progress, || {
        record::run(&settings, &shown)
    });
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(why) => {
            let exit = match why {
                record::Failure::Usage(_) | record::Failure::Glob(_) | record::Failure::Root { .. } => {
                    Exit::Usage
                }
                _ => Exit::Internal,
            };
            return complain(&why.to_string(), exit);
        }
    };
    for mount in &recorded.mounts {
        say(&format!(
            "not covered: {mount}: another file system is mounted there"
        ));
    }
    for (section, unseen) in &recorded.unseen {
        say(&format!("not seen: {section} {}: {}", unseen.key, unseen.why));
    }
    let named = recorded.unseen.len() as u64;
    if recorded.unseen_total > named {
        say(&format!("not seen: {} more", recorded.unseen_total - named));
    }
    let sections: Vec<String> = recorded
        .end
        .sections
        .iter()
        .map(|section| format!("{} {}", section.entries, section.name))
        .collect();
    say(&format!(
        "recorded {} entries ({}) as {}",
        recorded.end.entries,
        sections.join(", "),
        recorded.end.digest
    ));
    if recorded.unseen_total > 0 {
        say(&format!(
            "INCOMPLETE: blind spots in this baseline: {}",
            recorded.unseen_total
        ));
        return Exit::Incomplete;
    }
    Exit::Clean
}

fn verify(file: &OsString) -> Exit {
    match open(file).and_then(BaselineReader::verify) {
        Ok(end) => tell(&format!(
            "{}: sound: {} entries, {}\n",
            file.to_string_lossy(),
            end.entries,
            end.digest
        )),
        Err(why) => complain(&format!("{}: {why}", file.to_string_lossy()), Exit::Baseline),
    }
}

fn show(file: &OsString, section: Option<&str>) -> Exit {
    // Trouble with the baseline and trouble with the output are not the same thing.
    let mut written = Ok(());
    let shown = open(file).and_then(|mut reader| {
        let mut out = io::BufWriter::new(io::stdout().lock());
        if section.is_none() {
            written = writeln!(out, "{}", reader.header_line());
        }
        while let Some(line) = reader.current() {
            if written.is_ok() && section.is_none_or(|section| line.section() == section) {
                written = writeln!(out, "{}", line.as_str());
            }
            if written.is_err() {
                break;
            }
            reader.advance()?;
        }
        if written.is_ok() {
            written = out.flush();
        }
        if written.is_ok() {
            reader.verify().map(drop)
        } else {
            Ok(())
        }
    });
    match (shown, written) {
        (Err(why), _) => complain(&format!("{}: {why}", file.to_string_lossy()), Exit::Baseline),
        (Ok(()), Err(why)) if why.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("standard output: {why}"), Exit::Internal)
        }
        (Ok(()), _) => Exit::Clean,
    }
}

fn open(file: &OsString) -> Result<BaselineReader<BufReader<File>>, ReadError> {
    BaselineReader::open(BufReader::with_capacity(
        64 << 10,
        File::open(host::as_path(file.as_bytes()))?,
    ))
}

fn schema(name: SchemaName) -> Exit {
    let text = match name {
        SchemaName::Baseline => baseline_format::schema::baseline(),
        SchemaName::Report => baseline_format::schema::report(),
    };
    tell(&text)
}

fn depth(arguments: &ScanArguments) -> Depth {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Depth {
        threads: arguments.threads.unwrap_or(cores).max(1),
        io_depth: arguments.io_depth,
    }
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

/// Writes to standard output.
fn tell(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    answered(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What it means that an answer was written, or was not.
fn answered(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Clean,
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(why) => complain(&format!("standard output: {why}"), Exit::Internal),
    }
}

/// Says something beside the result. There is nobody to tell if standard error is closed.
fn say(text: &str) {
    writeln!(io::stderr(), "driftcheck: {}", escape(text)).ok();
}

/// Says what went wrong.
fn complain(text: &str, exit: Exit) -> Exit {
    writeln!(io::stderr(), "driftcheck: error: {}", escape(text)).ok();
    exit
}

/// A terminal gets no control characters, also not from a file name in an error.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}
