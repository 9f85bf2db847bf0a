//! Whether a baseline may be used: what the signatures are worth, what the operator demands, what was used before.

use std::fmt;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use baseline_format::envelope::{BadEnvelopes, Envelopes, LIMIT};
use baseline_format::{BaselineReader, ReadError, Sealed};

use super::anchors::{self, Anchors, Missing};
use super::doubt::{Doubt, shown};
use super::judge::{Trust, Trusted, judge};
use super::marks::{self, Age, Mark, State};
use crate::source::file_system::Fault;

/// What the operator said of trust.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The trust directory; [`anchors::DIRECTORY`], which need not be there, if nobody named one.
    pub trust: Option<PathBuf>,
    /// The state directory; [`marks::DIRECTORY`], which need not be there, if nobody named one.
    pub state: Option<PathBuf>,
    /// What a baseline must have.
    pub demand: Demand,
    /// The image that the baseline must be of, if somebody said so.
    pub image: Option<String>,
    /// What becomes of an older baseline.
    pub rollback: Rollback,
    /// Whether what is trusted is remembered.
    pub memory: Memory,
}

/// Which baselines may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Trusted ones alone, whether or not there are trust anchors: what runs unattended.
    Always,
    /// All, with a mark on every report: `--allow-unsigned`.
    Never,
    /// Trusted ones alone where there are trust anchors; where nobody set any up, all, with a mark.
    #[default]
    WhereAnchored,
}

/// What becomes of a trusted baseline that is older than one of the same image that was trusted here before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollback {
    /// It is used, with a mark on every report: `--allow-rollback`. What was trusted before stays remembered.
    Allow,
    /// It is refused.
    #[default]
    Refuse,
}

/// Whether a trusted baseline is remembered as the newest of its image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// It is only compared with what is remembered.
    Look,
    /// It is remembered.
    #[default]
    Raise,
}

/// Decides which baselines may be used.
#[derive(Debug)]
pub struct Gate {
    anchors: Anchors,
    /// What is wrong with the state directory matters only to a baseline that is trusted.
    state: Result<Option<State>, Fault>,
    settings: Settings,
}

/// A baseline that may be used.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// What was read to its end. Whoever reads the file again must find the same digest in its trailer.
    pub sealed: Sealed,
    /// What its signatures are worth.
    pub trust: Trust,
    /// What every report must say of it.
    pub sentences: Vec<String>,
}

impl Gate {
    /// Reads the trust anchors.
    pub fn open(settings: Settings) -> Result<Self, Fault> {
        let anchors = match &settings.trust {
            Some(named) => Anchors::read(named, Missing::Refused),
            None => Anchors::read(Path::new(anchors::DIRECTORY), Missing::NoAnchors),
        }?;
        let state = match &settings.state {
            Some(named) => State::open(named).and_then(|found| {
                let absent = || {
                    let path = named.display();
                    Fault::new(format!("{path}: not found; make it: install -d -m 0700 {path}"))
                };
                found.ok_or_else(absent).map(Some)
            }),
            None => State::open(Path::new(marks::DIRECTORY)),
        };
        Ok(Self {
            anchors,
            state,
            settings,
        })
    }

    /// Reads a baseline to its end, and the signatures beside it, and decides.
    pub fn check(&self, file: &Path, now: SystemTime) -> Result<Admitted, Refusal> {
        let sealed = super::open_regular(file)
            .map_err(ReadError::Io)
            .and_then(|file| BaselineReader::open(BufReader::with_capacity(128 << 10, file))?.seal())
            .map_err(Refusal::Baseline)?;
        let beside = read_beside(&super::beside(file))?;
        self.decide(sealed, &beside, now)
    }

    /// Decides on a baseline that was read.
    pub fn decide(&self, sealed: Sealed, beside: &Envelopes, now: SystemTime) -> Result<Admitted, Refusal> {
        if let Some(wanted) = &self.settings.image
            && sealed.header.image.name.as_ref() != Some(wanted)
        {
            return Err(Refusal::OtherImage {
                wanted: wanted.clone(),
                found: sealed.header.image.name,
            });
        }
        let trust = judge(&sealed, beside, &self.anchors, now);
        let mut sentences = trust.sentences();
        let demanded = match self.settings.demand {
            Demand::Always => true,
            Demand::Never => false,
            Demand::WhereAnchored => !self.anchors.is_empty(),
        };
        match &trust {
            Trust::Trusted(trusted) => sentences.extend(self.age(&sealed, trusted)?),
            Trust::Unsigned if demanded => return Err(Refusal::Unsigned),
            Trust::Untrusted(why) if demanded => return Err(Refusal::Untrusted(why.clone())),
            Trust::Unsigned | Trust::Untrusted(_) if !self.anchors.is_empty() => {
                sentences.push("it is used all the same, because --allow-unsigned was given".to_owned());
            }
            Trust::Unsigned | Trust::Untrusted(_) => {}
        }
        Ok(Admitted {
            sealed,
            trust,
            sentences,
        })
    }

    /// Compares with what was trusted before. What a report must say of it.
    fn age(&self, sealed: &Sealed, trusted: &Trusted) -> Result<Option<String>, Refusal> {
        // A trusted baseline has a name: otherwise no key could be for it.
        let name = sealed.header.image.name.as_deref().unwrap_or_default();
        let mark = Mark {
            issued: trusted.issued,
            digest: sealed.end.digest.clone(),
        };
        let age = match &self.state {
            Ok(Some(state)) => match self.settings.memory {
                Memory::Look => state.look(name, &mark),
                Memory::Raise => state.raise(name, &mark),
            },
            Ok(None) => {
                let path = marks::DIRECTORY;
                let why = "an older baseline of the same image would not be noticed";
                return Ok(Some(format!("there is no state directory {path}: {why}")));
            }
            Err(why) => Err(why.clone()),
        };
        let told = match (age, self.settings.rollback) {
            (Ok(Age::Current), _) => return Ok(None),
            (Ok(Age::First), _) => {
                let name = shown(name);
                return Ok(Some(format!(
                    "no baseline of `{name}` was trusted here before: nothing says that this is the newest"
                )));
            }
            (Ok(Age::Older(mark)), Rollback::Refuse) => return Err(Refusal::Older(mark)),
            (Ok(Age::Rival(mark)), Rollback::Refuse) => return Err(Refusal::Rival(mark)),
            (Err(why), Rollback::Refuse) => return Err(Refusal::State(why)),
            (Ok(Age::Older(mark)), Rollback::Allow) => Refusal::Older(mark).to_string(),
            (Ok(Age::Rival(mark)), Rollback::Allow) => Refusal::Rival(mark).to_string(),
            (Err(why), Rollback::Allow) => Refusal::State(why).to_string(),
        };
        let told = told.split("; ").next().unwrap_or_default();
        Ok(Some(format!(
            "{told}; it is used all the same, because --allow-rollback was given"
        )))
    }
}

/// The signatures in a file beside a baseline; none if there is no such file.
pub(super) fn read_beside(path: &Path) -> Result<Envelopes, Refusal> {
    let unreadable = |why: &dyn fmt::Display| Refusal::Beside(format!("{}: {why}", path.display()));
    let file = match super::open_regular(path) {
        Ok(file) => file,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Envelopes::default()),
        Err(why) => return Err(unreadable(&super::told(&why))),
    };
    let mut text = Vec::new();
    file.take(LIMIT as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|why| unreadable(&super::told(&why)))?;
    Envelopes::parse(&text).map_err(|why: BadEnvelopes| unreadable(&why))
}

/// Why a baseline may not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not a sound baseline.
    Baseline(ReadError),
    /// The file with its signatures cannot be read.
    Beside(String),
    /// It is older than this one, which was trusted here before.
    Older(Mark),
    /// It is of another image.
    OtherImage {
        /// The image that it must be of.
        wanted: String,
        /// The one that it is of.
        found: Option<String>,
    },
    /// It has the time of issue of this other one, which was trusted here before.
    Rival(Mark),
    /// What was trusted before cannot be told.
    State(Fault),
    /// It is not signed.
    Unsigned,
    /// Its signatures are not enough.
    Untrusted(Vec<Doubt>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(why) => write!(f, "{why}"),
            Self::Beside(why) => f.write_str(why),
            Self::Older(mark) => write!(
                f,
                "it is older than the baseline of this image that was trusted here before, issued {}, {}; to go back \
                 to it, sign it again, or give --allow-rollback",
                mark.issued, mark.digest
            ),
            Self::OtherImage { wanted, found } => match found {
                Some(found) => write!(f, "it is of the image `{}`, not of `{wanted}`", shown(found)),
                None => write!(f, "it does not name its image, which must be `{wanted}`"),
            },
            Self::Rival(mark) => write!(
                f,
                "it was issued at the same time as another baseline of this image that was trusted here before, {}; \
                 sign the right one again, or give --allow-rollback",
                mark.digest
            ),
            Self::State(why) => write!(
                f,
                "whether it is older than one that was trusted here before cannot be told: {why}; run it as root, or give a \
                 directory of your own (--state)"
            ),
            Self::Unsigned => f.write_str("it is not signed; sign it, or give --allow-unsigned"),
            Self::Untrusted(why) => {
                let why: Vec<String> = why.iter().map(ToString::to_string).collect();
                write!(f, "it is not trusted: {}", why.join("; "))
            }
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Baseline(why) => Some(why),
            Self::State(why) => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
