//! The `driftcheck` command. Everything is in the library, where tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    driftcheck_agent::cli::run(std::env::args_os()).into()
}
