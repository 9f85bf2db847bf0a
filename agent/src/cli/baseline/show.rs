//! `driftcheck baseline show`.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::SystemTime;

use super::{named, open};
use crate::cli::arguments::Format;
use crate::cli::arguments::baseline::ShowArguments;
use crate::cli::exit::Exit;
use crate::cli::voice::{answered, complain, say, style};
use crate::inspect::show::{self, Failure, Filter};
use crate::trust::gate::{self, Demand, Gate, Memory, Rollback};

pub(super) fn run(arguments: &ShowArguments) -> Exit {
    if arguments.all || arguments.section.is_some() || arguments.key.is_some() {
        entries(arguments)
    } else {
        summary(arguments)
    }
}

fn entries(arguments: &ShowArguments) -> Exit {
    let filter = Filter {
        section: arguments.section.clone(),
        key: arguments.key.as_ref().map(|key| key.as_bytes().to_vec()),
    };
    let format = match arguments.format {
        Format::Json => show::Format::Lines,
        Format::Text => show::Format::Text,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = open(&arguments.file)
        .map_err(Failure::Baseline)
        .and_then(|reader| show::entries(reader, &filter, format, &mut out));
    match shown {
        Ok(shown) if shown.entries == 0 && arguments.key.is_some() => match shown.not_covered {
            Some(why) => say(&format!("no such entry, and that says nothing: {why}")),
            None => say("no such entry"),
        },
        Ok(_) => {}
        Err(Failure::Output(why)) => return answered(Err(why)),
        Err(why @ Failure::Section { .. }) => return complain(&why.to_string(), Exit::Usage),
        Err(why) => {
            return complain(
                &format!("{}: {why}", arguments.file.to_string_lossy()),
                Exit::Baseline,
            );
        }
    }
    Exit::Clean
}

fn summary(arguments: &ShowArguments) -> Exit {
    // What is only looked at may be anything.
    let settings = gate::Settings {
        demand: Demand::Never,
        memory: Memory::Look,
        rollback: Rollback::Allow,
        ..gate::Settings::default()
    };
    let signatures = match Gate::open(settings) {
        Ok(gate) => match gate.check(Path::new(&arguments.file), SystemTime::now()) {
            Ok(admitted) => admitted.sentences,
            Err(why) => {
                return complain(
                    &format!("{}: {why}", arguments.file.to_string_lossy()),
                    Exit::Baseline,
                );
            }
        },
        Err(why) => vec![format!("its signatures were not checked: {why}")],
    };
    let inventory = open(&arguments.file)
        .and_then(|reader| show::inventory(reader, Some(named(&arguments.file)), signatures));
    let inventory = match inventory {
        Ok(inventory) => inventory,
        Err(why) => {
            return complain(
                &format!("{}: {why}", arguments.file.to_string_lossy()),
                Exit::Baseline,
            );
        }
    };
    let to_terminal = io::stdout().is_terminal();
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match arguments.format {
        Format::Json => show::summary_json(&inventory, &mut out),
        Format::Text => show::summary(&inventory, &style(arguments.colour, to_terminal), &mut out),
    };
    answered(written.and_then(|()| out.flush()))
}
