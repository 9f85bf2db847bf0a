//! The command line: what was asked for, done, and told.

mod arguments;
mod audit;
mod baseline;
mod exit;
mod progress;
mod record;
mod stamp;
mod verify_image;
mod voice;

use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::Parser as _;

pub use arguments::{Arguments, command};
pub use exit::Exit;

use arguments::{Command, SchemaName};
use voice::{answered, tell};

/// Runs the program with its arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(why) => {
            // Help and version are asked for, everything else is a mistake.
            if why.use_stderr() {
                why.print().ok();
                return Exit::Usage;
            }
            return answered(why.print().and_then(|()| io::stdout().flush()));
        }
    };
    crate::sys::raise_open_files();
    match arguments.command {
        None => audit::run(&arguments.audit),
        Some(Command::Record(arguments)) => record::run(&arguments),
        Some(Command::Stamp(arguments)) => stamp::run(arguments),
        Some(Command::VerifyImage(arguments)) => verify_image::run(&arguments),
        Some(Command::Baseline { command }) => baseline::run(&command),
        Some(Command::Schema { name }) => schema(name),
    }
}

fn schema(name: SchemaName) -> Exit {
    let text = match name {
        SchemaName::Baseline => baseline_format::schema::baseline(),
        SchemaName::Diff => driftcheck_report::diff::schema(),
        SchemaName::ImageCheck => baseline_format::schema::image_check(),
        SchemaName::Report => baseline_format::schema::report(),
    };
    tell(&text)
}
