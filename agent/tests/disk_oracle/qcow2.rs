//! Every byte of the virtual disk against `qemu-img convert -O raw`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use driftcheck_agent::source::disk::qcow2::Format;
use driftcheck_agent::source::disk::qcow2::chain::{Allowed, open};

use super::{Random, Work, disk_like, have, run, tool, work};

const SIZE: usize = 5 << 20;

fn qemu_img(arguments: &[&str]) {
    run(tool("qemu-img").args(arguments));
}

/// Changes an image in the middle, as a guest would.
fn write(image: &Path, size: u64, seed: u64) {
    let mut random = Random(seed);
    let mut script = tool("qemu-io");
    script.args(["-d", "unmap", "-f", "qcow2"]);
    for _ in 0..40 {
        let at = random.below(size) & !511;
        let length = (random.below(200_000) & !511).clamp(512, size - at);
        let command = match random.below(6) {
            0 => format!("write -z {at} {length}"),
            1 => format!("write -z -u {at} {length}"),
            2 => format!("discard {at} {length}"),
            _ => format!("write -P {} {at} {length}", random.below(256)),
        };
        script.args(["-c", &command]);
    }
    run(script.arg(image));
}

fn allowed(path: &Path) -> Allowed {
    Allowed {
        path: path.to_owned(),
        format: None,
    }
}

/// Reads the whole disk in large pieces, then pieces of all sizes by several threads, and compares.
fn compare(work: &Work, image: &Path, backing: &[Allowed], what: &str) {
    let raw = work.path("converted.raw");
    qemu_img(&[
        "convert",
        "-f",
        "qcow2",
        "-O",
        "raw",
        image.to_str().unwrap(),
        raw.to_str().unwrap(),
    ]);
    let expected = fs::read(&raw).unwrap();
    let disk = open(image, backing)
        .unwrap_or_else(|why| panic!("{what}: {why}"))
        .disk;
    // What qemu adds, so that a disk has whole sectors.
    let size = usize::try_from(disk.size()).unwrap();
    assert_eq!(size.next_multiple_of(512), expected.len(), "{what}");
    for piece in [1 << 20, 48 << 10, 4096 + 512] {
        let mut buffer = vec![0xaa; piece];
        let mut at = 0;
        while at < size {
            let length = piece.min(size - at);
            disk.read_exact_at(&mut buffer[..length], at as u64).unwrap();
            assert!(
                buffer[..length] == expected[at..at + length],
                "{what}: {piece} bytes at {at}"
            );
            at += length;
        }
    }
    std::thread::scope(|threads| {
        for seed in 1..=3 {
            let (disk, expected) = (&disk, &expected);
            threads.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..200 {
                    let at = usize::try_from(random.below(size as u64)).unwrap();
                    let length = usize::try_from(random.below(150_000)).unwrap().min(size - at);
                    let mut buffer = vec![0xaa; length];
                    disk.read_exact_at(&mut buffer, at as u64).unwrap();
                    assert!(
                        buffer == expected[at..at + length],
                        "{what}: {length} bytes at {at}"
                    );
                }
            });
        }
    });
    let beyond = disk.read_exact_at(&mut [0; 2], disk.size() - 1).unwrap_err();
    assert_eq!(beyond.kind(), std::io::ErrorKind::UnexpectedEof, "{what}");
}

#[test]
fn every_cluster_size_version_and_compression_is_read_as_qemu_does() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let work = work("matrix");
    let raw = work.path("disk.raw");
    // No whole number of clusters.
    let size = SIZE + 1536;
    fs::write(&raw, disk_like(size, 1)).unwrap();
    let image = work.path("image.qcow2");
    for cluster in ["512", "1k", "4k", "64k", "256k", "2M"] {
        for (version, compression) in [
            ("0.10", None),
            ("0.10", Some("zlib")),
            ("1.1", None),
            ("1.1", Some("zlib")),
            ("1.1", Some("zstd")),
        ] {
            let mut options = format!("cluster_size={cluster},compat={version}");
            let mut arguments = vec!["convert", "-f", "raw", "-O", "qcow2"];
            if let Some(kind) = compression {
                arguments.push("-c");
                if version == "1.1" {
                    write!(options, ",compression_type={kind}").unwrap();
                }
            }
            arguments.extend(["-o", &options, raw.to_str().unwrap(), image.to_str().unwrap()]);
            qemu_img(&arguments);
            let what = format!("{options} {compression:?}");
            compare(&work, &image, &[], &what);
            write(&image, size as u64, 7);
            compare(&work, &image, &[], &format!("{what}, written to"));
        }
    }
}

#[test]
fn other_ways_of_making_an_image_make_no_difference() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let work = work("options");
    let image = work.path("image.qcow2");
    let path = image.to_str().unwrap();
    for options in [
        "preallocation=off",
        "preallocation=metadata",
        "preallocation=falloc",
        "preallocation=full",
        "refcount_bits=1",
        "refcount_bits=64",
        "lazy_refcounts=on",
    ] {
        for size in ["0", "512", "65536", "3146240"] {
            qemu_img(&["create", "-f", "qcow2", "-o", options, path, size]);
            let what = format!("{options}, {size} bytes");
            if size == "0" {
                assert_eq!(open(&image, &[]).unwrap().disk.size(), 0);
                continue;
            }
            compare(&work, &image, &[], &what);
            write(&image, size.parse().unwrap(), 11);
            compare(&work, &image, &[], &format!("{what}, written to"));
        }
    }
    // Internal snapshots share clusters with the active state, which alone is read.
    qemu_img(&["snapshot", "-c", "before", path]);
    write(&image, 3_146_240, 12);
    compare(&work, &image, &[], "with a snapshot");
    qemu_img(&["bitmap", "--add", path, "changes"]);
    compare(&work, &image, &[], "with a bitmap");
    qemu_img(&["resize", path, "20M"]);
    compare(&work, &image, &[], "grown");
}

/// An image of a terabyte, of which little is there.
#[test]
fn a_large_disk_needs_little() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let work = work("large");
    let image = work.path("image.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", image.to_str().unwrap(), "8T"]);
    let last = (8_u64 << 40) - 4096;
    let command = format!("write -P 5 {last} 4096");
    run(tool("qemu-io").args(["-f", "qcow2", "-c", &command]).arg(&image));
    let disk = open(&image, &[]).unwrap().disk;
    let mut buffer = vec![1; 8192];
    disk.read_exact_at(&mut buffer, last - 4096).unwrap();
    assert!(buffer[..4096].iter().all(|byte| *byte == 0) && buffer[4096..].iter().all(|byte| *byte == 5));
    // A run of nothing is told in one go.
    let mut long = vec![1; 64 << 20];
    disk.read_exact_at(&mut long, 3 << 40).unwrap();
    assert!(long.iter().all(|byte| *byte == 0));
}

#[test]
fn a_crash_leaves_data_that_can_be_read() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let work = work("dirty");
    let image = work.path("image.qcow2");
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        "lazy_refcounts=on",
        image.to_str().unwrap(),
        "4M",
    ]);
    // Ends without a word: the dirty bit stays, and the reference counts on disk are old.
    let mut crash = tool("qemu-io");
    crash.args([
        "-f",
        "qcow2",
        "-c",
        "write -P 9 100k 300k",
        "-c",
        "flush",
        "-c",
        "abort",
    ]);
    // Its core is not wanted.
    crash.current_dir(&work.0).arg(&image).output().unwrap();
    assert_eq!(fs::read(&image).unwrap()[79] & 1, 1, "the dirty bit");
    let disk = open(&image, &[]).unwrap().disk;
    let mut buffer = vec![0; 300 << 10];
    disk.read_exact_at(&mut buffer, 100 << 10).unwrap();
    assert!(buffer.iter().all(|byte| *byte == 9));
}

#[test]
fn overlays_are_read_through_allowed_files_only() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let work = work("overlay");
    let (raw, middle, top) = (work.path("base.raw"), work.path("middle"), work.path("top"));
    fs::write(&raw, disk_like(SIZE, 3)).unwrap();
    let create = |image: &Path, below: &str, format: &str, size: &str| {
        let image = image.to_str().unwrap();
        qemu_img(&[
            "create", "-q", "-f", "qcow2", "-b", below, "-F", format, image, size,
        ]);
    };
    // Larger than what is below, with other clusters, and smaller again.
    create(&middle, "base.raw", "raw", "8M");
    write(&middle, 8 << 20, 21);
    create(&top, middle.to_str().unwrap(), "qcow2", "7M");
    write(&top, 7 << 20, 22);
    let both = [allowed(&raw), allowed(&middle)];
    compare(&work, &top, &both, "three layers");
    let chain = open(&top, &both).unwrap();
    assert_eq!(chain.files, [top.clone(), middle.clone(), raw.clone()]);

    let refusal = |allowed: &[Allowed]| open(&top, allowed).err().unwrap().0;
    let all = work.0.display();
    assert_eq!(
        refusal(&[]),
        format!(
            "{all}/top: qcow2: the backing file `{all}/middle` is not allowed: if it belongs to the image, add \
             `--backing {all}/middle`"
        )
    );
    assert_eq!(
        refusal(&both[1..]),
        format!(
            "{all}/middle: qcow2: the backing file `base.raw` is not allowed: if it belongs to the image, add \
             `--backing {all}/base.raw`"
        )
    );
    let wrong = Allowed::parse(format!("qcow2:{all}/base.raw").as_ref());
    assert_eq!(
        refusal(&[wrong, allowed(&middle)]),
        format!(
            "{all}/middle: qcow2: the backing file `base.raw` is raw by the image, but qcow2 by `--backing`"
        )
    );
    // Through a link, the same file; a missing one is named.
    std::os::unix::fs::symlink(&middle, work.path("link")).unwrap();
    let by_link = [allowed(&work.path("link")), allowed(&raw)];
    assert_eq!(open(&top, &by_link).unwrap().files.len(), 3);
    fs::remove_file(&raw).unwrap();
    assert_eq!(
        refusal(&both[1..]),
        format!("{all}/middle: qcow2: the backing file `base.raw` is not there")
    );
    assert_eq!(
        refusal(&both),
        format!("{all}/base.raw: no such file or directory")
    );
}

/// An image that says no format of what is below: it is asked for, never found out by looking. A raw base that
/// begins as a qcow2 image does stays raw.
#[test]
fn a_format_is_never_guessed() {
    if !have(&["qemu-img"]) {
        return;
    }
    let work = work("format");
    let (base, top) = (work.path("base"), work.path("top"));
    qemu_img(&["create", "-q", "-f", "qcow2", base.to_str().unwrap(), "1M"]);
    let bytes = fs::read(&base).unwrap();
    let path = top.to_str().unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", path]);
    let disk = open(&top, &[allowed(&base)]).unwrap().disk;
    let mut start = vec![0; 512];
    disk.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(start, bytes[..512]);

    // Take the statement away: an extension of another type may be ignored.
    let mut image = fs::read(&top).unwrap();
    let at = image
        .windows(4)
        .position(|word| word == 0xe279_2aca_u32.to_be_bytes())
        .unwrap();
    image[at] = 1;
    fs::write(&top, image).unwrap();
    let why = open(&top, &[allowed(&base)]).err().unwrap().0;
    let all = work.0.display();
    assert!(
        why.ends_with(&format!(
            "add `--backing raw:{all}/base` or `--backing qcow2:{all}/base`"
        )),
        "{why}"
    );
    let stated = Allowed::parse(format!("raw:{all}/base").as_ref());
    assert_eq!(stated.format, Some(Format::Raw));
    assert!(open(&top, &[stated]).is_ok());
}

#[test]
fn what_cannot_be_read_is_refused() {
    if !have(&["qemu-img"]) {
        return;
    }
    let work = work("refused");
    let image = work.path("image");
    let path = image.to_str().unwrap();
    let data = format!("data_file={}", work.path("data").display());
    let secret = "secret,id=key,data=abc";
    for (arguments, reason) in [
        (
            vec!["-o", "extended_l2=on"],
            "it has extended L2 entries: convert it with `qemu-img convert -O raw IMAGE OUT`",
        ),
        (
            vec!["-o", &data],
            "its data is in another file: convert it with `qemu-img convert -O raw IMAGE OUT`",
        ),
        (
            vec![
                "--object",
                secret,
                "-o",
                "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10",
            ],
            "it is encrypted (LUKS): convert it with `qemu-img convert -O raw IMAGE OUT`",
        ),
    ] {
        let mut create = tool("qemu-img");
        create.args(["create", "-q", "-f", "qcow2"]).args(&arguments);
        run(create.args([path, "1M"]));
        let why = open(&image, &[]).err().unwrap().0;
        assert_eq!(why, format!("{path}: qcow2: {reason}"), "{arguments:?}");
    }
    // A loop, and a name that is no name of a file.
    qemu_img(&["create", "-q", "-f", "qcow2", path, "1M"]);
    qemu_img(&["rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", path, path]);
    let why = open(&image, &[allowed(&image)]).err().unwrap().0;
    assert!(why.ends_with("is below itself"), "{why}");
    // Advice that is pasted does nothing but name a file.
    let name = "/x/$(reboot) \u{1b}[2J";
    qemu_img(&["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", name, path]);
    let why = open(&image, &[]).err().unwrap().0;
    assert!(why.ends_with("add `--backing '/x/$(reboot) ?[2J'`"), "{why}");
    for name in ["nbd://localhost/x", "json:{\"driver\":\"null-co\"}", "fat:/etc"] {
        qemu_img(&["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", name, path]);
        let why = open(&image, &[allowed(&image)]).err().unwrap().0;
        assert!(why.contains("is not a plain file name"), "{why}");
    }
}

/// Wherever an image is cut, either nothing of it that a guest can see is missing, or that is said.
#[test]
fn a_cut_image_is_told() {
    if !have(&["qemu-img"]) {
        return;
    }
    let work = work("cut");
    let raw = work.path("disk.raw");
    let content = disk_like(1 << 20, 5);
    fs::write(&raw, &content).unwrap();
    for options in [
        &["-o", "cluster_size=4k"][..],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
    ] {
        let image = work.path("image");
        let mut convert = tool("qemu-img");
        convert
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .args(options);
        run(convert.args([&raw, &image]));
        let whole = fs::metadata(&image).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&image).unwrap();
        let (mut cut, mut told, mut unseen) = (whole, 0, 0);
        while cut > 0 {
            cut = cut.saturating_sub(1777);
            file.set_len(cut).unwrap();
            let mut disk = vec![0; content.len()];
            let read = open(&image, &[]).map_err(|why| why.0).and_then(|chain| {
                chain
                    .disk
                    .read_exact_at(&mut disk, 0)
                    .map_err(|why| why.to_string())
            });
            match read {
                Ok(()) => {
                    assert!(disk == content, "{options:?}: cut at {cut}");
                    unseen += 1;
                }
                Err(why) => {
                    assert!(why.contains("qcow2: "), "{why}");
                    told += 1;
                }
            }
        }
        println!("{options:?}: {told} cuts told, {unseen} missed nothing");
        assert!(told > 10 * unseen, "{told} {unseen}");
    }
}
