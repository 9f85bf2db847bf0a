//! Exit codes.

use std::process::ExitCode;

/// What the process ends with. Bit 0: drift was found. Bit 1: something could not be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Complete, and nothing differs; an image keeps all rules.
    Clean = 0,
    /// Complete, and something differs; an image breaks a rule.
    Drift = 1,
    /// Nothing is known to differ, but something could not be checked.
    Incomplete = 2,
    /// Something differs, and something could not be checked.
    DriftAndIncomplete = 3,
    /// The command line is wrong.
    Usage = 64,
    /// The baseline or the image is unreadable, invalid or not trusted.
    Baseline = 65,
    /// An error in driftcheck or in its surroundings, e.g. the report could not be written.
    Internal = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table for `--help` and the man page.
pub(super) const TABLE: &str = "\
Exit codes:
   0  complete and clean; an image keeps all rules
   1  drift was found; an image breaks a rule
   2  nothing is known to be wrong, but something could not be checked
   3  something is wrong, and something could not be checked
  64  the command line or a policy is wrong
  65  the baseline or the image is unreadable, invalid or not trusted
  70  internal error, or the report could not be written";
