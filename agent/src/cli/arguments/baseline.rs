//! What can be asked for of baseline files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, ScanArguments, SourceArguments, TrustArguments, When};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BaselineCommand {
    /// Tell two baselines, images or roots apart, as release notes
    Diff(DiffArguments),
    /// Write a baseline for other tools: its files as an mtree, its packages as an SBOM
    Export(ExportArguments),
    /// Make a baseline of an mtree that another tool wrote
    Import(ImportArguments),
    /// Make a key to sign baselines with
    Keygen {
        /// Where the private key goes; the public one goes beside it, with `.pub` behind its name
        file: PathBuf,
    },
    /// Lay overlays over a baseline, the last one on top
    Merge(MergeArguments),
    /// Write the overlay that makes one baseline of another
    Overlay(OverlayArguments),
    /// Print what a baseline holds: its summary, a section, one entry
    Show(ShowArguments),
    /// Sign a baseline
    Sign(SignArguments),
    /// Check that a baseline is whole and sound, and what its signatures are worth
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArguments {
    /// The baseline
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) trust: TrustArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    /// The baseline
    pub(in crate::cli) file: OsString,
    /// All entries, and not the summary
    #[arg(long, conflicts_with_all = ["section", "key"])]
    pub(in crate::cli) all: bool,
    /// Only entries of this section
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) section: Option<String>,
    /// Only entries with this key, e.g. the path of a file
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) key: Option<OsString>,
    /// How to write it; entries as JSON are the lines of the baseline as they stand
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) format: Format,
    /// Whether to colour the text
    #[arg(long, visible_alias = "color", value_enum, default_value_t = When::Auto)]
    pub(in crate::cli) colour: When,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArguments {
    /// The old state: a baseline, an image, or a directory
    pub(in crate::cli) old: OsString,
    /// The new state, likewise
    pub(in crate::cli) new: OsString,
    /// How to write the notes
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) format: Format,
    /// Where to write the notes, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: Option<OsString>,
    /// Whether to colour the text
    #[arg(long, visible_alias = "color", value_enum, default_value_t = When::Auto)]
    pub(in crate::cli) colour: When,
    #[command(flatten)]
    pub(in crate::cli) source: SourceArguments,
    #[command(flatten)]
    pub(in crate::cli) scan: ScanArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MergeArguments {
    /// The base, and then what is laid over it
    #[arg(required = true, num_args = 2.., value_name = "BASELINE")]
    pub(in crate::cli) inputs: Vec<OsString>,
    /// The baseline to write; `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: OsString,
    #[command(flatten)]
    pub(in crate::cli) name: NameArguments,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct OverlayArguments {
    /// The baseline that the overlay will be laid over
    pub(in crate::cli) base: OsString,
    /// The baseline that this gives
    pub(in crate::cli) target: OsString,
    /// The overlay to write; `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: OsString,
    #[command(flatten)]
    pub(in crate::cli) name: NameArguments,
}

/// What a baseline that is made of others is called.
#[derive(Debug, Args)]
pub(in crate::cli) struct NameArguments {
    /// Name of the image [default: as the inputs say]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) name: Option<String>,
    /// Version of the image
    #[arg(long, value_name = "VERSION")]
    pub(in crate::cli) image_version: Option<String>,
    /// What hosts of the image are for
    #[arg(long, visible_alias = "profile", value_name = "TEXT")]
    pub(in crate::cli) purpose: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SignArguments {
    /// The baseline
    pub(in crate::cli) file: PathBuf,
    /// The private key: PKCS#8 PEM, Ed25519
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) key: PathBuf,
    /// Put the signature beside the baseline, into FILE.sig, and not into the baseline's own file
    #[arg(long)]
    pub(in crate::cli) beside: bool,
    /// When the baseline is issued, e.g. `2026-11-24T12:00:00Z` [default: the environment's `SOURCE_DATE_EPOCH`, or now]
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) issued: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArguments {
    /// The baseline
    pub(in crate::cli) file: OsString,
    /// What to write
    #[arg(long = "as", value_enum)]
    pub(in crate::cli) kind: Export,
    /// Where to write it; `-` for standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub(in crate::cli) output: OsString,
    /// Leave this keyword out of an mtree, e.g. `time`; may be repeated. Some tools compare nanoseconds, which a
    /// baseline does not have, and refuse names of users that they do not know
    #[arg(long, value_name = "KEYWORD")]
    pub(in crate::cli) without: Vec<String>,
}

/// What a baseline can be written as.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum Export {
    /// `packages` as an SBOM: `CycloneDX` 1.6, JSON
    Cyclonedx,
    /// `files` as an mtree(5)
    Mtree,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArguments {
    /// The mtree; `-` for standard input
    pub(in crate::cli) file: OsString,
    /// The baseline to write; `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: OsString,
    #[command(flatten)]
    pub(in crate::cli) name: NameArguments,
}
