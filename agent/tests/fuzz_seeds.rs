//! Runs the fuzz targets' seeds through the targets' own functions with the stable toolchain, so that the targets
//! keep compiling and the seeds keep passing where nobody fuzzes.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "targets and tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// To add a target: its file in `fuzz/src/bin`, its seeds, and its name here.
macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        #[path = "../../fuzz/src/bin"]
        mod targets {
            $(pub(crate) mod $name;)+
        }

        /// A target: the name of its file and of its directory of seeds, and what it does with an input.
        const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), targets::$name::run)),+];
    };
}

targets! {
    alternatives,
    apk_installed,
    archive,
    authorized_keys,
    baseline_line,
    baseline_reader,
    baseline_round_trip,
    baseline_text,
    compression,
    dpkg_diversions,
    dpkg_list,
    dpkg_md5sums,
    dpkg_statoverride,
    dpkg_status,
    envelope,
    ext4,
    globs,
    mounts,
    mtree,
    oci,
    os_text,
    pacman_desc,
    pacman_files,
    pacman_gunzip,
    pacman_mtree,
    partitions,
    passwd,
    qcow2,
    rpm_databases,
    rpm_header,
    sudoers,
    tar,
    trust,
    versions,
    xattr_acl,
    xattr_capabilities,
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"))
}

/// The names in a directory of `fuzz`, without extensions.
fn names(directory: &str) -> BTreeSet<String> {
    let names = fs::read_dir(fuzz().join(directory)).unwrap();
    names
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_target_is_listed_and_has_seeds() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("src/bin"), listed);
    assert_eq!(names("seeds"), listed);
}

#[test]
fn every_seed_passes() {
    for (name, run) in TARGETS {
        let mut seeds = 0;
        for seed in fs::read_dir(fuzz().join("seeds").join(name)).unwrap() {
            let path = seed.unwrap().path();
            let data = fs::read(&path).unwrap();
            println!("{}", path.display());
            run(&data);
            // What a fuzzer does first: the same, cut anywhere.
            for end in (0..data.len()).step_by(1 + data.len() / 64) {
                run(&data[..end]);
            }
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}
