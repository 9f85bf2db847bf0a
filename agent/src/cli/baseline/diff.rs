//! `driftcheck baseline diff`: release notes of an image.

use std::ffi::OsStr;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Seek as _};
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::header::Image;
use baseline_format::report::Verdict;
use baseline_format::{BaselineReader, ReadError};
use driftcheck_report::diff::Diff;
use driftcheck_report::{DiffJson, DiffText};

use super::{Reader, named, open};
use crate::cli::arguments::Format;
use crate::cli::arguments::baseline::DiffArguments;
use crate::cli::exit::Exit;
use crate::cli::progress;
use crate::cli::voice::{complain, say, style};
use crate::inspect::diff::{self, Failure};
use crate::output::{self, Output};
use crate::record;
use crate::scan::Progress;
use crate::source::SourceError;

pub(super) fn run(arguments: &DiffArguments) -> Exit {
    let states =
        state(&arguments.old, arguments).and_then(|old| Ok((old, state(&arguments.new, arguments)?)));
    let (old, new) = match states {
        Ok(states) => states,
        Err((why, exit)) => return complain(&why, exit),
    };
    let to_terminal = arguments.output.is_none() && io::stdout().is_terminal();
    let out = Output::create(arguments.output.as_ref().map_or(b"-", |path| path.as_bytes()));
    let compared = out.map_err(Failure::Output).and_then(|mut out| {
        let (old, new) = ((named(&arguments.old), old), (named(&arguments.new), new));
        let head = match arguments.format {
            Format::Json => {
                let mut notes = DiffJson::new(&diff::tool(), &mut out).map_err(Failure::Output)?;
                let head = diff::baselines(old, new, &mut notes)?;
                notes.finish(&head).map_err(Failure::Output)?;
                head
            }
            Format::Text => {
                let mut notes = DiffText::new(style(arguments.colour, to_terminal));
                let head = diff::baselines(old, new, &mut notes)?;
                notes.finish(&head, &mut out).map_err(Failure::Output)?;
                head
            }
        };
        out.commit().map_err(Failure::Output)?;
        Ok(head)
    });
    match compared {
        Ok(Diff { verdict, .. }) => Verdict::from(verdict).into(),
        Err(Failure::Output(why)) if why.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(why @ Failure::Output(_)) => {
            complain(&format!("the notes could not be written: {why}"), Exit::Internal)
        }
        Err(why) => complain(&why.to_string(), Exit::Baseline),
    }
}

/// A state to compare: a baseline as it is, anything else recorded into a file without a name.
fn state(given: &OsStr, arguments: &DiffArguments) -> Result<Reader, (String, Exit)> {
    let unusable = |why: ReadError| (format!("{}: {why}", given.to_string_lossy()), Exit::Baseline);
    match open(given) {
        Ok(reader) => return Ok(reader),
        // What is no baseline is an image, or a directory.
        Err(ReadError::Foreign(_)) => {}
        Err(ReadError::Io(why)) if why.kind() == io::ErrorKind::IsADirectory => {}
        Err(why) => return Err(unusable(why)),
    }
    let settings = record::Settings {
        from: given.as_bytes().to_vec(),
        source: arguments.source.options(arguments.scan.max_file_size),
        output: Vec::new(),
        image: Image::default(),
        sections: arguments.scan.sections.clone(),
        include: arguments.scan.include.clone(),
        exclude: arguments.scan.exclude.clone(),
        depth: arguments.scan.depth(),
        size_limit: arguments.scan.max_file_size,
    };
    let temporary =
        output::temporary().map_err(|why| (format!("a temporary file: {why}"), Exit::Internal))?;
    let shown = Progress::default();
    let recorded = progress::shown("read", &shown, arguments.scan.progress, || {
        record::record(&settings, &shown, BufWriter::new(temporary))
    });
    let (file, recorded) = recorded.map_err(|why| {
        let exit = match why {
            record::Failure::Source(SourceError::Refused { .. }) => Exit::Baseline,
            record::Failure::Write { .. } | record::Failure::Scan(_) => Exit::Internal,
            _ => Exit::Usage,
        };
        (why.to_string(), exit)
    })?;
    for mount in &recorded.mounts {
        say(&format!(
            "not covered: {mount}: another file system is mounted there"
        ));
    }
    let rewound = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|mut file| {
            file.rewind()?;
            Ok(BufReader::with_capacity(64 << 10, file))
        });
    rewound
        .map_err(ReadError::Io)
        .and_then(BaselineReader::open)
        .map_err(unusable)
}
