//! `driftcheck baseline keygen|sign|verify`: what each does, and the text that it prints.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use super::gate::{self, Gate, Memory, Refusal};
use super::issued::Issued;
use super::key::PrivateKey;
use super::sign::{Place, sign};
use crate::source::file_system::Fault;

/// Makes a key: `path`, mode 0600, and `path` with `.pub` behind it. Neither may be there yet.
pub fn keygen(path: &Path) -> Result<String, Failure> {
    let key = PrivateKey::generate().map_err(Failure::Internal)?;
    key.save(path).map_err(Failure::Usage)?;
    let id = key.public().map_err(Failure::Internal)?.id();
    let path = path.display();
    Ok(format!(
        "private key: {path} (keep it off the hosts)\npublic key:  {path}.pub (for their {})\nkey id:      {id}\n",
        super::anchors::DIRECTORY
    ))
}

/// How a baseline is signed.
#[derive(Clone, Copy, Debug)]
pub struct SignSettings<'a> {
    /// The baseline.
    pub file: &'a Path,
    /// The file with the private key.
    pub key: &'a Path,
    /// Where the signature goes.
    pub place: Place,
    /// Time of issue, `YYYY-MM-DDTHH:MM:SSZ`, if somebody gave one.
    pub issued: Option<&'a str>,
    /// `SOURCE_DATE_EPOCH` of the environment.
    pub epoch: Option<&'a OsStr>,
}

/// Signs a baseline.
pub fn sign_file(settings: &SignSettings<'_>, now: SystemTime) -> Result<String, Failure> {
    let issued = Issued::choose(settings.issued, settings.epoch, now).map_err(Failure::Usage)?;
    let key = PrivateKey::load(settings.key).map_err(Failure::Usage)?;
    let signed = sign(settings.file, &key, settings.place, issued, now).map_err(Failure::Baseline)?;
    Ok(format!(
        "{}: signed {} by key {}, issued {}\n",
        signed.file.display(),
        signed.digest,
        signed.key,
        signed.issued
    ))
}

/// Checks that a baseline is whole, and what its signatures are worth. Nothing is remembered of it.
pub fn verify(file: &Path, mut settings: gate::Settings, now: SystemTime) -> Result<String, Failure> {
    settings.memory = Memory::Look;
    let gate = Gate::open(settings).map_err(Failure::Baseline)?;
    let named = |why: Refusal| Failure::Baseline(Fault::new(format!("{}: {why}", file.display())));
    let admitted = gate.check(file, now).map_err(named)?;
    let end = &admitted.sealed.end;
    let mut text = format!(
        "{}: sound: {} entries, {}\n",
        file.display(),
        end.entries,
        end.digest
    );
    for sentence in &admitted.sentences {
        // Writing to a string does not fail.
        writeln!(text, "{}: {sentence}", file.display()).ok();
    }
    Ok(text)
}

/// Why a command did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The baseline is unreadable, invalid or not trusted, or what decides that is: exit code 65.
    Baseline(Fault),
    /// An error in driftcheck or in its surroundings: exit code 70.
    Internal(Fault),
    /// What was named on the command line cannot be used: exit code 64.
    Usage(Fault),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(why) | Self::Internal(why) | Self::Usage(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}
