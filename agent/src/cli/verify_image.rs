//! `driftcheck verify-image`: the gate.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use baseline_format::image_check::{ImageCheck, ImageVerdict};
use clap::Args;
use driftcheck_report::{TextStyle, write_image_check_json, write_image_check_text};

use super::arguments::{Format, SourceArguments, When, workers};
use super::exit::Exit;
use super::progress;
use super::voice::{complain, style};
use crate::gate::{self, Failure, attestation};
use crate::output::Output;
use crate::scan::{Depth, Progress};
use crate::source::SourceError;
use crate::trust::key::PrivateKey;
use crate::trust::sign::envelope;

#[derive(Debug, Args)]
pub(super) struct VerifyImageArguments {
    /// The image: a directory; a root file system as a tar; an OCI image layout or archive; a `docker save` archive; a
    /// disk (raw or qcow2)
    #[arg(value_name = "SOURCE")]
    image: OsString,
    /// What it is held against: a policy file, or `golden-image`, which is built in; may be repeated
    #[arg(long = "policy", value_name = "FILE|golden-image", default_value = gate::policy::GOLDEN_IMAGE)]
    policies: Vec<OsString>,
    #[command(flatten)]
    source: SourceArguments,
    /// How to write the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where to write the result, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<OsString>,
    /// Also write the result as an in-toto statement (test-result)
    #[arg(long, value_name = "FILE")]
    attestation: Option<OsString>,
    /// Sign the attestation with this private key: it is then a DSSE envelope
    #[arg(long, value_name = "FILE", requires = "attestation")]
    key: Option<PathBuf>,
    /// Findings to list of each rule in the text; 0: all
    #[arg(long, value_name = "N", default_value_t = 40)]
    list: usize,
    /// Whether to colour the text
    #[arg(long, visible_alias = "color", value_enum, default_value_t = When::Auto)]
    colour: When,
    /// Processors to use [default: all]
    #[arg(long, value_name = "N", value_parser = workers)]
    threads: Option<usize>,
    /// Content of longer files is not read, and reported as not seen. Bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 30)]
    max_file_size: u64,
    /// Whether to show progress on standard error; `auto`: on a terminal
    #[arg(long, value_enum, default_value_t = When::Auto)]
    progress: When,
}

pub(super) fn run(arguments: &VerifyImageArguments) -> Exit {
    if arguments.image == "-" {
        return complain(
            "the gate looks at contents more than once, which standard input cannot give: save the image to a file",
            Exit::Usage,
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let own = [&arguments.output, &arguments.attestation];
    // Whether the key can be used is known before the image is looked at.
    let key = match arguments.key.as_deref().map(PrivateKey::load).transpose() {
        Ok(key) => key,
        Err(why) => return complain(&why.to_string(), Exit::Usage),
    };
    let settings = gate::Settings {
        image: arguments.image.as_bytes().to_vec(),
        source: arguments.source.options(arguments.max_file_size),
        policies: arguments
            .policies
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect(),
        own: own
            .into_iter()
            .flatten()
            .map(|path| path.clone().into_vec())
            .collect(),
        depth: Depth {
            threads: arguments.threads.unwrap_or(cores).max(1),
            io_depth: None,
        },
        size_limit: arguments.max_file_size,
    };
    let shown = Progress::default();
    let checked = progress::shown("checked", &shown, arguments.progress, || {
        gate::run(&settings, &shown)
    });
    let check = match checked {
        Ok(check) => check,
        Err(why) => {
            let exit = match why {
                Failure::Source(SourceError::Refused { .. }) => Exit::Baseline,
                Failure::Policy(_) | Failure::Source(_) => Exit::Usage,
                _ => Exit::Internal,
            };
            return complain(&why.to_string(), exit);
        }
    };
    if let Some(path) = &arguments.attestation
        && let Err(why) = write_attestation(&check, key.as_ref(), path)
    {
        let place = path.to_string_lossy();
        return complain(
            &format!("the statement could not be written to {place}: {why}"),
            Exit::Internal,
        );
    }
    let exit = check.verdict.into();
    match write(&check, arguments) {
        Ok(()) => exit,
        // Whoever closed the pipe has seen enough.
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(why) => {
            let output = arguments.output.as_ref();
            let place = output.map_or("standard output".into(), |path| path.to_string_lossy());
            complain(
                &format!("the result could not be written to {place}: {why}"),
                Exit::Internal,
            )
        }
    }
}

fn write_attestation(check: &ImageCheck, key: Option<&PrivateKey>, path: &OsString) -> io::Result<()> {
    let statement = attestation::statement(check);
    let written = match key {
        Some(key) => envelope(&statement, key).map_err(io::Error::other)?.into_bytes(),
        None => statement,
    };
    let mut output = Output::create(path.as_bytes())?;
    output.write_all(&written)?;
    output.commit()
}

fn write(check: &ImageCheck, arguments: &VerifyImageArguments) -> io::Result<()> {
    let to_terminal = arguments.output.is_none() && io::stdout().is_terminal();
    let mut out = Output::create(arguments.output.as_ref().map_or(b"-", |path| path.as_bytes()))?;
    match arguments.format {
        Format::Json => write_image_check_json(check, &mut out)?,
        Format::Text => {
            let style = TextStyle {
                limit: arguments.list,
                ..style(arguments.colour, to_terminal)
            };
            write_image_check_text(check, &style, &mut out)?;
        }
    }
    out.commit()
}

impl From<ImageVerdict> for Exit {
    fn from(verdict: ImageVerdict) -> Self {
        match verdict {
            ImageVerdict::Fit => Self::Clean,
            ImageVerdict::Unfit => Self::Drift,
            ImageVerdict::Incomplete => Self::Incomplete,
            ImageVerdict::UnfitAndIncomplete => Self::DriftAndIncomplete,
        }
    }
}
