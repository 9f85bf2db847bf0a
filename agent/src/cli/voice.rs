//! What is said to people: results on standard output, the rest on standard error.

use std::io::{self, Write as _};

use driftcheck_report::{Colour, TextStyle};

use super::arguments::When;
use super::exit::Exit;

/// Writes to standard output.
pub(super) fn tell(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    answered(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What it means that an answer was written, or was not.
pub(super) fn answered(written: io::Result<()>) -> Exit {
    match written {
        Ok(()) => Exit::Clean,
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(why) => complain(&format!("standard output: {why}"), Exit::Internal),
    }
}

/// Says something beside the result. There is nobody to tell if standard error is closed.
pub(super) fn say(text: &str) {
    writeln!(io::stderr(), "driftcheck: {}", escape(text)).ok();
}

/// Says what went wrong.
pub(super) fn complain(text: &str, exit: Exit) -> Exit {
    writeln!(io::stderr(), "driftcheck: error: {}", escape(text)).ok();
    exit
}

/// How text for people is written.
pub(super) fn style(colour: When, to_terminal: bool) -> TextStyle<'static> {
    TextStyle {
        width: if to_terminal { terminal_width() } else { 80 },
        colour: match colour {
            When::Always => Colour::Always,
            When::Auto if to_terminal && std::env::var_os("NO_COLOR").is_none() => Colour::Always,
            When::Auto | When::Never => Colour::Never,
        },
        ..TextStyle::default()
    }
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col).clamp(40, 200))
}

/// A terminal gets no control characters, also not from a file name in an error.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}
