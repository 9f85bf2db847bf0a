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
