//! What can be asked for.

pub(super) mod baseline;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use super::exit::TABLE;
use super::stamp::StampArguments;
use super::verify_image::VerifyImageArguments;
use crate::scan::Depth;
use crate::source;
use crate::trust::gate::{self, Demand, Memory, Rollback};
pub(super) use baseline::BaselineCommand;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "driftcheck",
    version,
    about = "Tells how a Linux host differs from the image it was deployed from",
    long_about = "Tells how a Linux host differs from the image it was deployed from.\n\n\
        Record a baseline of an image or a host with `driftcheck record`, then compare any root with it: \
        `driftcheck --baseline FILE`. `--baseline vendor` needs no file: it compares with what the installed \
        packages declare. Nothing is changed, and nothing leaves the machine.",
    after_help = TABLE,
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) audit: AuditArguments,
}

/// The command, for making its man page.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Record a baseline of an image or a directory
    Record(RecordArguments),
    /// Write into an image which image it is
    Stamp(StampArguments),
    /// Hold an image against a policy before it is published
    VerifyImage(VerifyImageArguments),
    /// Show, sign, verify, compare, merge and convert baselines
    Baseline {
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// Print a JSON Schema
    Schema {
        /// Which one
        name: SchemaName,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SchemaName {
    /// A baseline's header, entries and trailer
    Baseline,
    /// What tells two baselines, images or roots apart
    Diff,
    /// The result of an image check
    ImageCheck,
    /// A report
    Report,
}

#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    /// What to compare with: a baseline file, or `vendor` for what the installed packages declare
    #[arg(long, value_name = "FILE|vendor")]
    pub(super) baseline: Option<OsString>,
    /// What to look at: a directory, or an image
    #[arg(long, value_name = "SOURCE", default_value = "/")]
    pub(super) root: OsString,
    #[command(flatten)]
    pub(super) source: SourceArguments,
    /// How to write the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Where to write the report, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<OsString>,
    /// Drifts to list of each severity, section and kind of change in the text report; 0: all
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(super) list: usize,
    /// Whether to colour the text report
    #[arg(long, visible_alias = "color", value_enum, default_value_t = When::Auto)]
    pub(super) colour: When,
    #[command(flatten)]
    pub(super) trust: TrustArguments,
    #[command(flatten)]
    pub(super) scan: ScanArguments,
}

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    /// What to record: a directory; a root file system as a tar (gzip, xz and zstd, too), `-` for one from standard
    /// input; an OCI image layout or archive; a `docker save` archive; a disk (raw or qcow2)
    #[arg(long, value_name = "SOURCE", default_value = "/")]
    pub(super) from: OsString,
    #[command(flatten)]
    pub(super) source: SourceArguments,
    /// The baseline to write; `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: OsString,
    /// Name of the image, e.g. `web`
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Version of the image, e.g. `1.4`
    #[arg(long, value_name = "VERSION")]
    pub(super) image_version: Option<String>,
    /// What hosts of the image are for, e.g. `web server`
    #[arg(long, visible_alias = "profile", value_name = "TEXT")]
    pub(super) purpose: Option<String>,
    /// The image that this one was built on, e.g. `base:12.7`
    #[arg(long, value_name = "IMAGE")]
    pub(super) parent: Option<String>,
    /// The image that this one takes the place of, e.g. `web:1.3`
    #[arg(long, value_name = "IMAGE")]
    pub(super) supersedes: Option<String>,
    /// When the image was built, RFC 3339, e.g. `2026-11-24T12:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) built: Option<String>,
    #[command(flatten)]
    pub(super) scan: ScanArguments,
}

/// How an image is read, where that is not plain from the image itself.
#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// What the source is, if that should not be found out from its content
    #[arg(long = "as", value_name = "KIND", value_enum)]
    pub(super) kind: Option<source::Kind>,
    /// Which image of an OCI index, e.g. `linux/arm64` [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(super) platform: Option<String>,
    /// Which of several images in an OCI layout or archive: its tag or reference
    #[arg(long, value_name = "NAME")]
    pub(super) reference: Option<String>,
    /// Which partition of a disk: its number [default: the root by its type]
    #[arg(long, value_name = "N")]
    pub(super) partition: Option<u32>,
    /// A file that a qcow2 image may be backed by; may be repeated. None is opened because an image says so
    #[arg(long, value_name = "FILE")]
    pub(super) backing: Vec<OsString>,
    /// Let the kernel read the file system, mounted read-only where nobody else sees it (xfs, btrfs, erofs, squashfs;
    /// needs root): its drivers were not made for hostile images
    #[arg(long)]
    pub(super) mount: bool,
}

impl SourceArguments {
    /// The options that these arguments mean. `size_limit`: content that is longer is not read. Bytes.
    pub(super) fn options(&self, size_limit: u64) -> source::Options {
        source::Options {
            kind: self.kind,
            platform: self.platform.clone(),
            reference: self.reference.clone(),
            partition: self.partition,
            backing: self.backing.iter().map(|file| file.as_bytes().to_vec()).collect(),
            mount: self.mount,
            size_limit,
            digest: false,
            weak_digests: false,
        }
    }
}

/// Which baselines may be used.
#[derive(Debug, Args)]
pub(super) struct TrustArguments {
    /// The keys to trust [default: /etc/driftcheck/trust.d, if it is there]
    #[arg(long = "trust", value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Where it is remembered which baseline of an image is the newest [default: /var/lib/driftcheck, if it is there]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Refuse a baseline that is not signed by a trusted key, also where no keys are set up
    #[arg(long, conflicts_with = "allow_unsigned")]
    pub(super) require_signature: bool,
    /// Use a baseline that is not signed by a trusted key; the report says so
    #[arg(long)]
    pub(super) allow_unsigned: bool,
    /// Use a baseline that is older than one of the same image that was used before; the report says so
    #[arg(long)]
    pub(super) allow_rollback: bool,
    /// Refuse a baseline of any other image
    #[arg(long, value_name = "NAME")]
    pub(super) image: Option<String>,
}

impl TrustArguments {
    /// The settings that these arguments mean.
    pub(super) fn settings(&self) -> gate::Settings {
        gate::Settings {
            trust: self.directory.clone(),
            state: self.state.clone(),
            demand: match (self.require_signature, self.allow_unsigned) {
                (true, _) => Demand::Always,
                (_, true) => Demand::Never,
                _ => Demand::default(),
            },
            image: self.image.clone(),
            rollback: if self.allow_rollback {
                Rollback::Allow
            } else {
                Rollback::Refuse
            },
            memory: Memory::default(),
        }
    }
}

/// A time as in RFC 3339.
pub(super) fn time(text: &str) -> Result<String, String> {
    match humantime::parse_rfc3339(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(format!("{why}; write it like 2026-11-24T12:00:00Z")),
    }
}

/// What every scan can be told.
#[derive(Debug, Args)]
pub(super) struct ScanArguments {
    /// Only this section; may be repeated
    #[arg(long = "section", value_name = "NAME")]
    pub(super) sections: Vec<String>,
    /// Only files that match; may be repeated. `*` within a component, `**` across
    #[arg(long, value_name = "GLOB")]
    pub(super) include: Vec<String>,
    /// Leave out files that match, and what is below them; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,
    /// Processors to use [default: all]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(super) threads: Option<usize>,
    /// Reads under way at once [default: chosen by watching how much the disk makes us wait]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(super) io_depth: Option<usize>,
    /// Content of longer files is not read, and reported as not seen. Bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 30)]
    pub(super) max_file_size: u64,
    /// Whether to show progress on standard error; `auto`: on a terminal
    #[arg(long, value_enum, default_value_t = When::Auto)]
    pub(super) progress: When,
}

impl ScanArguments {
    /// How much is done at once.
    pub(super) fn depth(&self) -> Depth {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Depth {
            threads: self.threads.unwrap_or(cores).max(1),
            io_depth: self.io_depth,
        }
    }
}

/// A number of workers: each has a thread and buffers, and more than this many helps no disk.
pub(super) fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=256) => Ok(number),
        _ => Err("it must be a number from 1 to 256".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs; `driftcheck schema` tells its form
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    Always,
    Auto,
    Never,
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
