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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Record {
        let mut status = parse_status(text.as_bytes());
        assert!(status.faults.is_empty(), "{:?}", status.faults);
        assert_eq!(status.records.len(), 1);
        status.records.remove(0)
    }

    #[test]
    fn a_cut_file_is_known_by_its_last_line() {
        let whole = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
        assert!(parse_status(whole.as_bytes()).faults.is_empty());
        assert!(parse_status(b"").faults.is_empty());
        for end in 1..whole.len() {
            let cut = &whole[..end];
            assert_eq!(
                parse_status(cut.as_bytes()).faults.is_empty(),
                cut.ends_with('\n'),
                "{cut:?}"
            );
        }
    }

    #[test]
    fn states_in_words() {
        let record = |status: &str| {
            one(&format!(
                "Package: a\nStatus: {status}\nArchitecture: all\nVersion: 1\n"
            ))
        };
        for (status, words, presence, held) in [
            ("install ok installed", None, Presence::Installed, false),
            ("hold ok installed", None, Presence::Installed, true),
            (
                "deinstall ok config-files",
                Some("config-files"),
                Presence::ConfigFiles,
                false,
            ),
            (
                "purge ok config-files",
                Some("purge ok config-files"),
                Presence::ConfigFiles,
                false,
            ),
            (
                "install ok unpacked",
                Some("unpacked"),
                Presence::Installed,
                false,
            ),
            (
                "hold ok half-configured",
                Some("half-configured"),
                Presence::Installed,
                true,
            ),
            (
                "install reinstreq half-installed",
                Some("install reinstreq half-installed"),
                Presence::Installed,
                false,
            ),
            (
                "deinstall ok installed",
                Some("deinstall ok installed"),
                Presence::Installed,
                false,
            ),
            (
                "purge ok not-installed",
                Some("purge ok not-installed"),
                Presence::NotInstalled,
                false,
            ),
        ] {
            let record = record(status);
            assert!(record.faults.is_empty(), "{status}");
            assert_eq!(
                record.package.status.as_deref(),
                words.map(str::as_bytes),
                "{status}"
            );
            assert_eq!(
                (record.presence, record.package.held),
                (presence, held),
                "{status}"
            );
        }
        for status in [
            "install ok",
            "install ok installed now",
            "install ok well",
            "wish ok installed",
            "",
        ] {
            assert_eq!(record(status).faults.iter().count(), 1, "{status}");
        }
    }

    #[test]
    fn conffiles_with_their_flags() {
        let record = one(
            "Package: a\nStatus: install ok installed\nVersion: 1\nConffiles:\n \
             /etc/a b 0123456789abcdef0123456789ABCDEF\n \
             /etc/o 0123456789abcdef0123456789abcdef obsolete\n \
             /etc/r newconffile obsolete remove-on-upgrade\n \
             /etc/none\n \
             etc/relative 0123456789abcdef0123456789abcdef\n \
             /etc/../up 0123456789abcdef0123456789abcdef\n \
             /etc/short 0123\n",
        );
        let found: Vec<_> = record
            .conffiles
            .iter()
            .map(|c| {
                (
                    str::from_utf8(&c.path).unwrap(),
                    c.digest.is_some(),
                    c.obsolete,
                    c.remove_on_upgrade,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("/etc/a b", true, false, false),
                ("/etc/o", true, true, false),
                ("/etc/r", false, true, true)
            ]
        );
        assert_eq!(
            record.conffiles[0].digest.as_deref(),
            Some("md5:0123456789abcdef0123456789abcdef")
        );
        assert_eq!(
            record
                .conffile_faults
                .iter()
                .map(|fault| fault.line)
                .collect::<Vec<_>>(),
            [8, 9, 10, 11]
        );
        assert!(record.faults.is_empty());
    }

    #[test]
    fn one_bad_paragraph_does_not_end_the_file() {
        let status = parse_status(
            b"Version: 1\n\nPackage: a/b\n\nPackage: good\nStatus: install ok installed\nVersion: 2\n\n\
              garbage\n\nPackage: x\nArchitecture: ../..\n",
        );
        assert_eq!(status.records.len(), 1);
        assert_eq!(status.records[0].package.name, b"good");
        assert_eq!(
            status.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(),
            [1, 3, 9, 9, 11]
        );
    }

    #[test]
    fn a_long_line_is_a_fault_of_its_package() {
        let mut text = b"Package: a\nStatus: install ok installed\nVersion: 1\nDescription: ".to_vec();
        text.resize(text.len() + (3 << 20), b'x');
        text.extend_from_slice(b"\n\nPackage: b\nStatus: install ok installed\nVersion: 1\n");
        let status = parse_status(&text);
        assert_eq!(status.records.len(), 2);
        assert_eq!(
            status.records[0]
                .faults
                .iter()
                .map(|fault| fault.line)
                .collect::<Vec<_>>(),
            [4]
        );
        assert!(status.records[1].faults.is_empty());
    }

    #[test]
    fn control_files_of_an_image_are_installed() {
        let status = parse_status_d(b"Package: tzdata\nVersion: 1\nArchitecture: all\n");
        assert_eq!(status.records[0].presence, Presence::Installed);
        assert!(status.records[0].faults.is_empty());
    }

    #[test]
    fn extended_states_by_name_and_architecture() {
        let states = parse_extended_states(
            b"Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: a\nArchitecture: i386\n\
              Auto-Installed: 0\n\nPackage: b\nAuto-Installed: yes\n\nAuto-Installed: 1\n\nPackage: c\n",
        );
        assert!(states.automatic[&b"a"[..]][&b"amd64"[..]]);
        assert!(!states.automatic[&b"a"[..]][&b"i386"[..]]);
        assert_eq!(states.automatic.len(), 1);
        assert_eq!(
            states.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(),
            [9, 12]
        );
    }

    /// Writes a record as dpkg would, for the round trip.
    fn write(record: &Record, out: &mut Vec<u8>) {
        let mut field = |name: &str, value: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.push(b'\n');
        };
        let package = &record.package;
        field("Package", &package.name);
        let want = if package.held { "hold ok " } else { "install ok " };
        let state = package.status.as_deref().unwrap_or(b"installed");
        field("Status", &[want.as_bytes(), state].concat());
        field("Version", &package.version);
        field("Architecture", &package.architecture);
        package.source.iter().for_each(|source| field("Source", source));
        package
            .vendor
            .iter()
            .for_each(|vendor| field("Maintainer", vendor));
        if record.multi_arch_same {
            field("Multi-Arch", b"same");
        }
        field("Description", b"short\n long\n .");
        if !record.conffiles.is_empty() {
            out.extend_from_slice(b"Conffiles:\n");
        }
        for conffile in &record.conffiles {
            let digest = conffile
                .digest
                .as_deref()
                .map_or("newconffile", |digest| &digest[4..]);
            let obsolete = if conffile.obsolete { " obsolete" } else { "" };
            let remove = if conffile.remove_on_upgrade {
                " remove-on-upgrade"
            } else {
                ""
            };
            out.push(b' ');
            out.extend_from_slice(&conffile.path);
            out.extend_from_slice(format!(" {digest}{obsolete}{remove}\n").as_bytes());
        }
        out.push(b'\n');
    }

    prop_compose! {
        fn any_conffile()(
            path in "/etc/[a-z][ -~]{0,8}[a-z]",
            digest in proptest::option::of("md5:[0-9a-f]{32}"),
            obsolete: bool,
            remove_on_upgrade: bool,
        ) -> Conffile {
            Conffile { path: path.into(), digest, obsolete, remove_on_upgrade }
        }
    }

    prop_compose! {
        fn any_record()(
            name in "[a-z0-9][a-z0-9+.-]{1,9}",
            version in "([0-9]:)?[0-9][0-9a-z.~+]{0,8}(-[0-9]{1,2})?",
            architecture in "all|amd64|arm64",
            source in proptest::option::of("[a-z]{2,8}( \\([0-9.]{1,5}\\))?"),
            vendor in proptest::option::of("[A-Z][a-z\u{e0}-\u{ff}]{1,8} <[a-z]{1,8}@[a-z]{1,8}>"),
            status in proptest::option::of("unpacked|half-configured|triggers-pending"),
            held: bool,
            multi_arch_same: bool,
            conffiles in proptest::collection::vec(any_conffile(), 0..4),
        ) -> Record {
            Record {
                package: Package {
                    name: name.into(),
                    version: version.into(),
                    architecture: architecture.into(),
                    source: source.map(Into::into),
                    vendor: vendor.map(Into::into),
                    status: status.map(Into::into),
                    held,
                    ..Package::default()
                },
                conffiles,
                multi_arch_same,
                ..Record::default()
            }
        }
    }

    proptest! {
        #[test]
        fn records_round_trip(records in proptest::collection::vec(any_record(), 0..5)) {
            let mut text = Vec::new();
            for record in &records {
                write(record, &mut text);
            }
            let status = parse_status(&text);
            prop_assert!(status.faults.is_empty());
            prop_assert_eq!(status.records, records);
        }

        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse_status(&bytes).records.len() <= bytes.len());
            prop_assert!(parse_status_d(&bytes).records.len() <= bytes.len());
            prop_assert!(parse_extended_states(&bytes).automatic.len() <= bytes.len());
        }

        #[test]
        fn any_near_miss_is_parsed(text in "((Package|Status|Version|Conffiles|A)?:? ?(a|install ok installed|/x [0-9a-f]{32})?\n? ?){0,20}") {
            let status = parse_status(text.as_bytes());
            prop_assert!(status.records.len() <= text.len());
            prop_assert!(parse_extended_states(text.as_bytes()).automatic.len() <= text.len());
        }
    }
}
