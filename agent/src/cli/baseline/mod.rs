//! `driftcheck baseline`: what can be done with baseline files.

mod diff;
mod exchange;
mod merge;
mod show;
mod sign;

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufReader;
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::{BaselineReader, OsText, ReadError};

use super::arguments::BaselineCommand;
use super::exit::Exit;
use crate::host;

/// A baseline's file, open for reading.
type Reader = BaselineReader<BufReader<File>>;

pub(super) fn run(command: &BaselineCommand) -> Exit {
    match command {
        BaselineCommand::Diff(arguments) => diff::run(arguments),
        BaselineCommand::Export(arguments) => exchange::export(arguments),
        BaselineCommand::Import(arguments) => exchange::import(arguments),
        BaselineCommand::Keygen { file } => sign::keygen(file),
        BaselineCommand::Merge(arguments) => merge::merge(arguments),
        BaselineCommand::Overlay(arguments) => merge::overlay(arguments),
        BaselineCommand::Show(arguments) => show::run(arguments),
        BaselineCommand::Sign(arguments) => sign::sign(arguments),
        BaselineCommand::Verify(arguments) => sign::verify(arguments),
    }
}

fn open_file(file: &OsStr) -> std::io::Result<BufReader<File>> {
    let file = File::open(host::as_path(file.as_bytes()))?;
    Ok(BufReader::with_capacity(64 << 10, file))
}

fn open(file: &OsStr) -> Result<Reader, ReadError> {
    BaselineReader::open(open_file(file)?)
}

/// A place as it was given.
fn named(file: &OsStr) -> OsText {
    OsText::new(file.as_bytes())
}
