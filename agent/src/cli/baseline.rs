//! `driftcheck baseline`: what can be done with baseline files.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::{BaselineReader, ReadError, Reference};

use super::arguments::BaselineCommand;
use super::exit::Exit;
use super::voice::{complain, tell};
use crate::host;

pub(super) fn run(command: BaselineCommand) -> Exit {
    match command {
        BaselineCommand::Verify { file } => verify(&file),
        BaselineCommand::Show { file, section } => show(&file, section.as_deref()),
    }
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
