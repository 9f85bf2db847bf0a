//! `driftcheck baseline export` and `import`.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt as _;

use baseline_format::header::{ExclusionReach, Image};

use super::{open, open_file};
use crate::cli::arguments::baseline::{Export, ExportArguments, ImportArguments};
use crate::cli::exit::Exit;
use crate::cli::voice::{complain, say};
use crate::exchange::cyclonedx::{self, Distribution};
use crate::exchange::mtree::{self, Spec};
use crate::exchange::{Failure, Loss};
use crate::output::Output;
use crate::scan::Scope;

pub(super) fn export(arguments: &ExportArguments) -> Exit {
    let mut output = match Output::create(arguments.output.as_bytes()) {
        Ok(output) => output,
        Err(why) => return unwritten(&arguments.output, &why),
    };
    let exported = match arguments.kind {
        Export::Mtree => mtree::write(|| open_file(&arguments.file), &arguments.without, &mut output)
            .map(|losses| (losses, true)),
        Export::Cyclonedx => sbom(&arguments.file, &mut output),
    };
    let (losses, complete) = match exported {
        Ok(exported) => exported,
        Err(why) => return failed(&arguments.file, &arguments.output, &why),
    };
    if let Err(why) = output.commit() {
        return unwritten(&arguments.output, &why);
    }
    tell("not expressed", &losses);
    if complete {
        Exit::Clean
    } else {
        say("INCOMPLETE: a package database could not be read to its end");
        Exit::Incomplete
    }
}

fn sbom(file: &OsStr, output: &mut Output) -> Result<(Vec<Loss>, bool), Failure> {
    let reader = open(file).map_err(Failure::Baseline)?;
    let os = reader.header().image.os.clone();
    let distribution = os.map(|os| {
        let (id, version) = os.split_once(' ').unwrap_or((&os, ""));
        Distribution {
            id: id.to_owned(),
            version: (!version.is_empty()).then(|| version.to_owned()),
        }
    });
    let settings = cyclonedx::Settings {
        distribution,
        timestamp: None,
    };
    let exported = cyclonedx::write(reader, &settings, output)?;
    Ok((exported.losses, exported.complete))
}

pub(super) fn import(arguments: &ImportArguments) -> Exit {
    let input: io::Result<Box<dyn BufRead>> = match arguments.file.as_bytes() {
        b"-" => Ok(Box::new(BufReader::new(io::stdin()))),
        _ => open_file(&arguments.file).map(|file| Box::new(file) as Box<dyn BufRead>),
    };
    let spec = match input.map_err(Failure::Read).and_then(Spec::read) {
        Ok(spec) => spec,
        Err(why) => return failed(&arguments.file, &arguments.output, &why),
    };
    let mut header = spec.header(Image {
        name: arguments.name.name.clone(),
        version: arguments.name.image_version.clone(),
        purpose: arguments.name.purpose.clone(),
        ..Image::default()
    });
    // Whatever wrote the mtree had it, or had it not, as its file system happened to.
    let own = Scope::built_in()
        .into_iter()
        .filter(|rule| rule.what == ExclusionReach::Empty);
    header.scope.exclude.extend(own);
    let output = match Output::create(arguments.output.as_bytes()) {
        Ok(output) => output,
        Err(why) => return unwritten(&arguments.output, &why),
    };
    let end = match spec.write(&header, output) {
        Ok((output, end)) => match output.commit() {
            Ok(()) => end,
            Err(why) => return unwritten(&arguments.output, &why),
        },
        Err(why) => return failed(&arguments.file, &arguments.output, &why),
    };
    tell("not taken over", spec.losses());
    say(&format!("imported {} entries as {}", end.entries, end.digest));
    Exit::Clean
}

fn tell(what: &str, losses: &[Loss]) {
    for loss in losses {
        say(&format!("{what}: {loss}"));
    }
}

fn failed(file: &OsStr, output: &OsStr, why: &Failure) -> Exit {
    match why {
        Failure::Write(why) => unwritten(output, why),
        why => complain(&format!("{}: {why}", file.to_string_lossy()), Exit::Baseline),
    }
}

fn unwritten(path: &OsStr, why: &dyn Display) -> Exit {
    complain(
        &format!("cannot write `{}`: {why}", path.to_string_lossy()),
        Exit::Internal,
    )
}
