//! `driftcheck baseline keygen`, `sign` and `verify`.

use std::path::Path;
use std::time::SystemTime;

use crate::cli::arguments::baseline::{SignArguments, VerifyArguments};
use crate::cli::exit::Exit;
use crate::cli::voice::{complain, tell};
use crate::trust::commands::{self, Failure, SignSettings};
use crate::trust::sign::Place;

pub(super) fn keygen(file: &Path) -> Exit {
    answer(commands::keygen(file))
}

pub(super) fn sign(arguments: &SignArguments) -> Exit {
    let epoch = std::env::var_os("SOURCE_DATE_EPOCH");
    let settings = SignSettings {
        file: &arguments.file,
        key: &arguments.key,
        place: if arguments.beside {
            Place::Beside
        } else {
            Place::Attached
        },
        issued: arguments.issued.as_deref(),
        epoch: epoch.as_deref(),
    };
    answer(commands::sign_file(&settings, SystemTime::now()))
}

pub(super) fn verify(arguments: &VerifyArguments) -> Exit {
    let settings = arguments.trust.settings();
    answer(commands::verify(&arguments.file, settings, SystemTime::now()))
}

fn answer(done: Result<String, Failure>) -> Exit {
    match done {
        Ok(text) => tell(&text),
        Err(why) => {
            let exit = match why {
                Failure::Baseline(_) => Exit::Baseline,
                Failure::Internal(_) => Exit::Internal,
                Failure::Usage(_) => Exit::Usage,
            };
            complain(&why.to_string(), exit)
        }
    }
}
