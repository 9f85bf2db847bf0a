//! `/var/lib/dpkg/status`, `/var/lib/dpkg/status.d/*` and `/var/lib/apt/extended_states`; see dpkg(1),
//! dpkg-query(1) and deb-control(5).

use std::collections::BTreeMap;

use super::super::Package;
use super::super::lines::{Faults, MOST_PACKAGES, decimal, hex_digest, is_name, lines, path_fault};
use super::stanza::{Stanza, stanzas};

/// What a status file says.
#[derive(Debug, Default)]
pub struct Status {
    /// Its packages in file order, those that dpkg calls `not-installed` too.
    pub records: Vec<Record>,
    /// Faults in paragraphs that name no package.
    pub faults: Faults,
}

/// One package of a status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The package; [`Package::automatic`] is not known from here.
    pub package: Package,
    /// What is left of it.
    pub presence: Presence,
    /// Configuration files, in file order.
    pub conffiles: Vec<Conffile>,
    /// Whether several architectures of it may be installed (`Multi-Arch: same`); dpkg then puts the
    /// architecture into the names of its lists.
    pub multi_arch_same: bool,
    /// What is wrong with the paragraph, apart from its configuration files.
    pub faults: Faults,
    /// What is wrong with the list of configuration files.
    pub conffile_faults: Faults,
}

/// What is left of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// Removed, but its configuration files were kept.
    ConfigFiles,
    /// Installed, or on the way there.
    #[default]
    Installed,
    /// Known by name only.
    NotInstalled,
}

/// One configuration file of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conffile {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Digest of the content that the package brought, `md5:...`; `None` while dpkg has not settled it
    /// (`newconffile`).
    pub digest: Option<String>,
    /// The installed version of the package no longer has it.
    pub obsolete: bool,
    /// The package asked for its removal.
    pub remove_on_upgrade: bool,
}

/// Parses `/var/lib/dpkg/status` or a file of `/var/lib/dpkg/updates`. Never fails: what is malformed is in
/// the faults, the rest is in the records.
#[must_use]
pub fn parse_status(bytes: &[u8]) -> Status {
    let mut status = parse(bytes, Unmarked::Fault);
    // dpkg ends every line. Packages that the lost rest would have named are not gone, they are not seen.
    if bytes.last().is_some_and(|last| *last != b'\n') {
        let line = lines(bytes).last().map_or(1, |line| line.number);
        status.faults.push(
            line,
            "cut: the last line has no end, and what followed it is lost",
        );
    }
    status
}

/// Parses a file of `/var/lib/dpkg/status.d`, as images without dpkg have them: control files, which say
/// nothing of a state because all of them are installed.
#[must_use]
pub fn parse_status_d(bytes: &[u8]) -> Status {
    parse(bytes, Unmarked::Installed)
}

/// What a paragraph without a `Status` is.
#[derive(Clone, Copy)]
enum Unmarked {
    Fault,
    Installed,
}

fn parse(bytes: &[u8], unmarked: Unmarked) -> Status {
    let mut status = Status::default();
    for stanza in stanzas(bytes) {
        if status.records.len() == MOST_PACKAGES {
            status.faults.push(stanza.line, "more than 500,000 packages");
            break;
        }
        match record(&stanza, unmarked) {
            Ok(record) => status.records.push(record),
            Err(why) => {
                status.faults.extend(stanza.faults);
                status.faults.push(stanza.line, why);
            }
        }
    }
    status
}

fn record(stanza: &Stanza<'_>, unmarked: Unmarked) -> Result<Record, &'static str> {
    let owned = |name: &str| stanza.text(name).map(<[u8]>::to_vec);
    let name = owned("Package").ok_or("no Package field")?;
    let architecture = owned("Architecture").unwrap_or_default();
    if !is_name(&name) {
        return Err("Package is not a package name");
    }
    if !architecture.is_empty() && !is_name(&architecture) {
        return Err("Architecture is not an architecture");
    }
    let mut faults = stanza.faults.clone();
    let state = match (stanza.text("Status"), unmarked) {
        (Some(text), _) => State::parse(text),
        (None, Unmarked::Fault) => Err("no Status field"),
        (None, Unmarked::Installed) => Ok(State::default()),
    };
    let state = state.unwrap_or_else(|why| {
        faults.push(
            stanza.field("Status").map_or(stanza.line, |field| field.line),
            why,
        );
        State::default()
    });
    let version = owned("Version").unwrap_or_default();
    if version.is_empty() && state.presence != Presence::NotInstalled {
        faults.push(stanza.line, "no Version field");
    }
    let mut conffile_faults = Faults::default();
    Ok(Record {
        conffiles: conffiles(stanza, &mut conffile_faults),
        package: Package {
            name,
            version,
            architecture,
            source: owned("Source"),
            vendor: owned("Maintainer"),
            status: state.words,
            automatic: None,
            held: state.held,
            signature: None,
        },
        presence: state.presence,
        multi_arch_same: stanza.text("Multi-Arch") == Some(b"same"),
        faults,
        conffile_faults,
    })
}

/// A `Status` field: what is wanted, whether all is well, and how far dpkg got.
#[derive(Default)]
struct State {
    presence: Presence,
    held: bool,
    /// See [`Package::status`].
    words: Option<Vec<u8>>,
}

impl State {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let words: Vec<&[u8]> = text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .take(4)
            .collect();
        let &[want, flag, state] = words.as_slice() else {
            return Err("Status is not three words");
        };
        if !WANTS.contains(&want) || !FLAGS.contains(&flag) || !STATES.contains(&state) {
            return Err("Status has an unknown word");
        }
        let presence = match state {
            b"config-files" => Presence::ConfigFiles,
            b"not-installed" => Presence::NotInstalled,
            _ => Presence::Installed,
        };
        // The state alone says it all while the package is wanted, and when it was removed as wished. In
        // any other case dpkg's three words stand as they are: each of them is out of the ordinary.
        let expected = match want {
            b"install" | b"hold" => flag == b"ok",
            b"deinstall" => flag == b"ok" && presence == Presence::ConfigFiles,
            _ => false,
        };
        let words = match (expected, state) {
            (true, b"installed") => None,
            (true, _) => Some(state.to_vec()),
            (false, _) => Some(words.join(&b' ')),
        };
        Ok(Self {
            presence,
            held: want == b"hold",
            words,
        })
    }
}

const WANTS: [&[u8]; 5] = [b"unknown", b"install", b"hold", b"deinstall", b"purge"];
const FLAGS: [&[u8]; 2] = [b"ok", b"reinstreq"];
const STATES: [&[u8]; 8] = [
    b"not-installed",
    b"config-files",
    b"half-installed",
    b"unpacked",
    b"half-configured",
    b"triggers-awaited",
    b"triggers-pending",
    b"installed",
];

/// The `Conffiles` field: a line each, `PATH DIGEST` and flags, where the path may have blanks in it.
fn conffiles(stanza: &Stanza<'_>, faults: &mut Faults) -> Vec<Conffile> {
    let Some(field) = stanza.field("Conffiles") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for line in lines(field.value) {
        let text = line.bytes.trim_ascii();
        // A line that must not be interpreted is one of the paragraph's faults already.
        if text.is_empty() || line.fault().is_some() {
            continue;
        }
        match conffile(text) {
            Ok(conffile) => found.push(conffile),
            Err(why) => faults.push(field.line + line.number - 1, why),
        }
    }
    found
}

fn conffile(text: &[u8]) -> Result<Conffile, &'static str> {
    let mut conffile = Conffile::default();
    let mut rest = text;
    loop {
        let blank = rest
            .iter()
            .rposition(|byte| *byte == b' ')
            .ok_or("conffile without a digest")?;
        let word = &rest[blank + 1..];
        rest = rest[..blank].trim_ascii_end();
        match word {
            b"obsolete" => conffile.obsolete = true,
            b"remove-on-upgrade" => conffile.remove_on_upgrade = true,
            b"newconffile" => break,
            digest => {
                let digest = hex_digest("md5", digest, 32).ok_or("conffile's digest is not an MD5")?;
                conffile.digest = Some(digest);
                break;
            }
        }
    }
    path_fault(rest).map_or(Ok(()), Err)?;
    conffile.path = rest.to_vec();
    Ok(conffile)
}

/// What `/var/lib/apt/extended_states` says.
#[derive(Debug, Default)]
pub struct ExtendedStates {
    /// Whether a package was installed as a dependency, by name and then by architecture.
    pub automatic: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, bool>>,
    /// What could not be understood.
    pub faults: Faults,
}

/// Parses `/var/lib/apt/extended_states`. Never fails, as [`parse_status`].
#[must_use]
pub fn parse_extended_states(bytes: &[u8]) -> ExtendedStates {
    let mut states = ExtendedStates::default();
    for stanza in stanzas(bytes) {
        let Some(name) = stanza.text("Package") else {
            states.faults.push(stanza.line, "no Package field");
            continue;
        };
        let architecture = stanza.text("Architecture").unwrap_or_default();
        match stanza.text("Auto-Installed").map(decimal) {
            Some(Some(flag)) => {
                states
                    .automatic
                    .entry(name.to_vec())
                    .or_default()
                    .insert(architecture.to_vec(), flag != 0);
            }
            Some(None) => states.faults.push(stanza.line, "Auto-Installed is not a number"),
            // apt keeps other states here too.
            None => {}
        }
        states.faults.extend(stanza.faults);
    }
    states
}

#[cfg(test)]
mod tests;
