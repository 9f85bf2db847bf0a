//! Streams that are whole, cut, damaged, followed by something, and larger than they may be.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

/// Runs a program with something on its standard input; `None` if it is not there.
fn filtered(program: &str, options: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new(program)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: {program} is missing");
        let required = std::env::var_os("DRIFTCHECK_REQUIRE_ORACLES").is_some_and(|v| !v.is_empty());
        assert!(!required, "{program} is missing");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program} {options:?}");
    Some(output.stdout)
}

/// Text that can be compressed, but not to nothing.
fn plain(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes = Vec::with_capacity(size + 16);
    while bytes.len() < size {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend(format!("{:x},", state >> 18).bytes());
    }
    bytes.truncate(size);
    bytes
}

fn unpack(stream: &[u8]) -> io::Result<Vec<u8>> {
    let (_, mut reader) = decompress_recognised(stream).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    if read.is_err() {
        // It stays an error.
        assert!(reader.read(&mut [0; 9]).is_err());
    } else {
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    }
    read.map(|_| bytes)
}

/// Streams of `input` by every program, with its name.
fn streams(input: &[u8]) -> Vec<(String, Compression, Vec<u8>)> {
    let mut streams = Vec::new();
    for (compression, program, options) in [
        (Compression::Gzip, "gzip", &["-c"][..]),
        (Compression::Gzip, "gzip", &["-1c"]),
        (Compression::Xz, "xz", &["-c"]),
        (Compression::Xz, "xz", &["-0c", "--check=sha256"]),
        (
            Compression::Xz,
            "xz",
            &["-0c", "--check=crc32", "--block-size=1000"],
        ),
        (Compression::Xz, "xz", &["-c", "--x86", "--lzma2=preset=1"]),
        (
            Compression::Xz,
            "xz",
            &["-c", "--delta=dist=4", "--lzma2=preset=1"],
        ),
        (Compression::Zstd, "zstd", &["-qc"]),
        (Compression::Zstd, "zstd", &["-qc", "-19", "--long=27", "--check"]),
    ] {
        if let Some(stream) = filtered(program, options, input) {
            streams.push((format!("{program} {options:?}"), compression, stream));
        }
    }
    streams
}

#[test]
fn whole_streams_are_read() {
    for size in [0, 1, 1000, 300_000] {
        let input = plain(size);
        for (name, compression, stream) in streams(&input) {
            assert_eq!(recognise(&stream), Ok(compression), "{name}");
            assert_eq!(unpack(&stream).unwrap(), input, "{name}");
            // Members, streams and frames one behind the other are one stream.
            assert_eq!(unpack(&stream.repeat(3)).unwrap(), input.repeat(3), "{name}");
        }
    }
    let input = plain(300_000);
    assert_eq!(unpack(&input).unwrap(), input);
    assert_eq!(unpack(b"").unwrap(), b"");
}

#[test]
fn cut_streams_are_told() {
    let input = plain(1500);
    for (name, _, stream) in streams(&input) {
        for cut in RECOGNISED_BY..stream.len() {
            assert!(unpack(&stream[..cut]).is_err(), "{name} cut at {cut}");
            // Also behind a whole one.
            let second = [&stream[..], &stream[..cut]].concat();
            assert!(unpack(&second).is_err(), "{name} cut at {cut} of the second");
        }
        for cut in 1..RECOGNISED_BY {
            let second = [&stream[..], &stream[..cut]].concat();
            assert!(unpack(&second).is_err(), "{name} cut at {cut} of the second");
        }
    }
}

#[test]
fn what_follows_is_told() {
    for (name, compression, stream) in streams(&plain(3000)) {
        for more in [&b"\0"[..], b"x", b"garbage behind it", &[0; 511]] {
            let followed = [&stream[..], more].concat();
            assert!(
                unpack(&followed).is_err(),
                "{name} followed by {} bytes",
                more.len()
            );
        }
        let padded = unpack(&[&stream[..], &[0; 512]].concat());
        // The .xz format has such padding.
        assert_eq!(padded.is_ok(), compression == Compression::Xz, "{name}");
    }
}

/// Every bit of a stream counts, but for a few in headers that are about nothing.
#[test]
fn flipped_bits_are_told() {
    let input = plain(1000);
    for (name, compression, stream) in streams(&input) {
        let checked = compression != Compression::Zstd || filtered_has_check(&stream);
        let mut missed = 0;
        for byte in 0..stream.len() {
            for bit in 0..8 {
                let mut damaged = stream.clone();
                damaged[byte] ^= 1 << bit;
                if recognise(&damaged) != Ok(compression) {
                    continue;
                }
                if let Ok(found) = unpack(&damaged) {
                    assert_eq!(found, input, "{name} bit {bit} of byte {byte}");
                    missed += 1;
                }
            }
        }
        // gzip: time, flags for text, operating system.
        assert!(checked && missed <= 60, "{name}: {missed}");
    }
}

/// Whether the first frame has a checksum (RFC 8878, 3.1.1.1.1).
fn filtered_has_check(stream: &[u8]) -> bool {
    stream.get(4).is_some_and(|descriptor| descriptor & 4 != 0)
}

#[test]
fn frames_to_be_skipped_are_skipped() {
    let input = plain(3000);
    let Some(stream) = filtered("zstd", &["-qc"], &input) else {
        return;
    };
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let framed = [&skipped[..], &stream, &skipped, &stream, &skipped].concat();
    assert_eq!(recognise(&framed), Ok(Compression::Zstd));
    assert_eq!(unpack(&framed).unwrap(), input.repeat(2));
    assert!(unpack(&framed[..framed.len() - 1]).is_err());
}

/// Memory that a stream asks for is bounded, and the message says what would not ask for so much.
#[test]
fn large_windows_are_refused() {
    let input = plain(3000);
    for (program, options, way) in [
        ("xz", &["-c", "--lzma2=preset=1,dict=65MiB"][..], Some("xz -9")),
        ("xz", &["-9c"], None),
        (
            "zstd",
            &["-qc", "--ultra", "--long=28", "--no-content-size"],
            Some("--long=27"),
        ),
        ("zstd", &["-qc", "--long=27", "--no-content-size"], None),
    ] {
        let Some(stream) = filtered(program, options, &input) else {
            continue;
        };
        match (unpack(&stream), way) {
            (Ok(found), None) => assert_eq!(found, input),
            (Err(why), Some(way)) => assert!(why.to_string().contains(way), "{why}"),
            (found, _) => panic!("{program} {options:?}: {found:?}"),
        }
    }
}

#[test]
fn other_compressions_are_refused_by_name() {
    for (first, name) in [
        (&b"BZh91AY&SY"[..], "bzip2"),
        (b"BZh9\x17\x72\x45\x38\x50\x90", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"LZIP\x01", "lzip"),
        (b"\x89LZO\0\r\n\x1a\n", "lzop"),
        (b"\x1f\x9d\x90", "compress"),
    ] {
        let why = recognise(first).unwrap_err().0;
        assert!(why.starts_with(&format!("compressed with {name},")), "{why}");
    }
    for first in [&b""[..], b"BZh9 is a file", b"etc/passwd", b"\x1f", b"\xfd7z"] {
        assert_eq!(recognise(first), Ok(Compression::None));
    }
}

/// A wrong digest comes through every decoder as an error in place of the end.
#[test]
fn verified_streams_end_only_if_they_are_right() {
    use sha2::{Digest as _, Sha256};
    let input = plain(3000);
    let mut all = streams(&input);
    all.push(("none".into(), Compression::None, input.clone()));
    for (name, compression, stream) in all {
        let digest: [u8; 32] = Sha256::digest(&stream).into();
        let size = stream.len() as u64;
        for (size, digest, right) in [
            (size, digest, true),
            (size + 1, digest, false),
            (size - 1, digest, false),
            (size, [7; 32], false),
        ] {
            let verified = Verified::new(&stream[..], size, digest);
            let mut reader = decompress(verified, compression).unwrap();
            let mut found = Vec::new();
            let read = reader.read_to_end(&mut found);
            assert_eq!(read.is_ok(), right, "{name}");
            if let Err(why) = read {
                let why = why.to_string();
                assert!(why.contains("bytes"), "{name}: {why}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_end(first in 0..4_usize, bytes: Vec<u8>) {
        let magic: &[u8] = [b"\x1f\x8b\x08", &b"\xfd7zXZ\0"[..], b"\x28\xb5\x2f\xfd", b"\x5a\x2a\x4d\x18"][first];
        let stream = [magic, &bytes].concat();
        let (_, reader) = decompress_recognised(&stream[..]).unwrap();
        io::copy(&mut reader.take(1 << 20), &mut io::sink()).ok();
    }
}
