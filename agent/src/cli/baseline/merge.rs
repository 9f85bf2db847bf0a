//! `driftcheck baseline merge` and `overlay`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::ReadError;

use super::{named, open, open_file};
use crate::cli::arguments::baseline::{MergeArguments, NameArguments, OverlayArguments};
use crate::cli::exit::Exit;
use crate::cli::voice::{complain, say};
use crate::inspect::merge::{self, Input, Settings};
use crate::inspect::overlay;
use crate::output::Output;

pub(super) fn merge(arguments: &MergeArguments) -> Exit {
    let inputs: Vec<Input<'_>> = arguments
        .inputs
        .iter()
        .map(|file| Input {
            place: named(file),
            open: Box::new(|| Ok(Box::new(open_file(file)?))),
        })
        .collect();
    let output = match create(&arguments.output) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    match merge::merge(&inputs, &settings(&arguments.name), output) {
        Ok((output, merged)) => {
            if let Err(why) = output.commit() {
                return unwritten(&arguments.output, &why);
            }
            for remark in &merged.remarks {
                say(remark);
            }
            let labels: Vec<&str> = merged
                .labels
                .iter()
                .map(baseline_format::OsText::as_str)
                .collect();
            say(&format!(
                "merged {}: {} entries, of which overlays added {}, replaced {} and removed {}, as {}",
                labels.join(" <- "),
                merged.end.entries,
                merged.added,
                merged.replaced,
                merged.removed,
                merged.end.digest
            ));
            if merged.idle > 0 {
                say(&format!(
                    "{} removals concerned entries that were not there",
                    merged.idle
                ));
            }
            Exit::Clean
        }
        Err(merge::Failure::Write(why)) => unwritten(&arguments.output, &why),
        Err(why) => complain(&why.to_string(), Exit::Baseline),
    }
}

pub(super) fn overlay(arguments: &OverlayArguments) -> Exit {
    let reader = |file: &OsStr| {
        let unusable =
            |why: ReadError| complain(&format!("{}: {why}", file.to_string_lossy()), Exit::Baseline);
        open(file).map(|reader| (named(file), reader)).map_err(unusable)
    };
    let (base, target) = match reader(&arguments.base).and_then(|base| Ok((base, reader(&arguments.target)?)))
    {
        Ok(both) => both,
        Err(exit) => return exit,
    };
    let output = match create(&arguments.output) {
        Ok(output) => output,
        Err(exit) => return exit,
    };
    match overlay::overlay(base, target, &settings(&arguments.name), output) {
        Ok((output, written)) => {
            if let Err(why) = output.commit() {
                return unwritten(&arguments.output, &why);
            }
            say(&format!(
                "overlay of {} entries, of which {} remove one, as {}",
                written.end.entries, written.removed, written.end.digest
            ));
            if written.unknown > 0 {
                say(&format!(
                    "INCOMPLETE: whether the target has {} entries of the base is not known; the overlay leaves them",
                    written.unknown
                ));
                return Exit::Incomplete;
            }
            Exit::Clean
        }
        Err(overlay::Failure::Write(why)) => unwritten(&arguments.output, &why),
        Err(why) => complain(&why.to_string(), Exit::Baseline),
    }
}

fn settings(arguments: &NameArguments) -> Settings {
    Settings {
        name: arguments.name.clone(),
        version: arguments.image_version.clone(),
        purpose: arguments.purpose.clone(),
    }
}

fn create(path: &OsStr) -> Result<Output, Exit> {
    Output::create(path.as_bytes()).map_err(|why: io::Error| unwritten(path, &why))
}

fn unwritten(path: &OsStr, why: &dyn std::fmt::Display) -> Exit {
    complain(
        &format!("cannot write `{}`: {why}", path.to_string_lossy()),
        Exit::Internal,
    )
}
