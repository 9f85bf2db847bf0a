//! What can be asked for.

use std::ffi::OsString;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use super::exit::TABLE;

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
    /// Record a baseline of a directory tree
    Record(RecordArguments),
    /// Look at baseline files
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

#[derive(Debug, Subcommand)]
pub(super) enum BaselineCommand {
    /// Check that a baseline is whole and sound
    Verify {
        /// The baseline
        file: OsString,
    },
    /// Print a baseline's entries, one JSON array a line
    Show {
        /// The baseline
        file: OsString,
        /// Only this section
        #[arg(long)]
        section: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SchemaName {
    /// A baseline's header, entries and trailer
    Baseline,
    /// A report
    Report,
}

#[derive(Debug, Args)]
pub(super) struct AuditArguments {
    /// What to compare with: a baseline file, or `vendor` for what the installed packages declare
    #[arg(long, value_name = "FILE|vendor")]
    pub(super) baseline: Option<OsString>,
    /// The root to look at
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: OsString,
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
    pub(super) scan: ScanArguments,
}

#[derive(Debug, Args)]
pub(super) struct RecordArguments {
    /// The root to record
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) from: OsString,
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
    #[arg(long, value_name = "TEXT")]
    pub(super) purpose: Option<String>,
    #[command(flatten)]
    pub(super) scan: ScanArguments,
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

/// A number of workers: each has a thread and buffers, and more than this many helps no disk.
fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=256) => Ok(number),
        _ => Err("it must be a number from 1 to 256".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// For programs: `driftcheck.report/1`
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
