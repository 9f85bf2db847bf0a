//! Tables that sfdisk and sgdisk make, against what sfdisk and partx (libblkid) say of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use driftcheck_agent::source::bytes::{Bytes, FileBytes};
use driftcheck_agent::source::disk::partitions::{Partition, Scheme, Table, Type, table};

use super::{Random, have, have_root, run, run_with_input, tool, work};

fn blank(path: &Path, size: u64) {
    fs::File::create(path).unwrap().set_len(size).unwrap();
}

fn bytes(path: &Path) -> Bytes {
    Arc::new(FileBytes::new(fs::File::open(path).unwrap()).unwrap())
}

fn read(path: &Path) -> Table {
    table(&*bytes(path)).unwrap().unwrap()
}

/// What sfdisk says, a line for each partition: number, start, size, type, GUID, name.
fn of_sfdisk(path: &Path) -> Vec<String> {
    let dump = run(tool("sfdisk").arg("--dump").arg(path));
    let sector: u64 = dump
        .lines()
        .find_map(|line| line.strip_prefix("sector-size: "))
        .unwrap()
        .parse()
        .unwrap();
    let prefix = path.display().to_string();
    let mut lines = Vec::new();
    for line in dump.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let (number, fields) = line.split_once(" : ").unwrap();
        let field = |key: &str| {
            let value = fields
                .split(", ")
                .find_map(|field| field.trim().strip_prefix(key)?.strip_prefix('='))?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let bytes = |key| field(key).unwrap().parse::<u64>().unwrap() * sector;
        let kind = field("type").unwrap();
        if matches!(kind.as_str(), "5" | "f" | "85") {
            continue;
        }
        lines.push(format!(
            "{} {} {} {kind} {} {}",
            number.trim_start_matches(|c: char| !c.is_ascii_digit()).trim(),
            bytes("start"),
            bytes("size"),
            field("uuid").unwrap_or_default(),
            field("name").unwrap_or_default(),
        ));
    }
    lines
}

fn of_ours(table: &Table) -> Vec<String> {
    let line = |it: &Partition| {
        let kind = match it.kind {
            Type::Gpt(guid) => guid.to_string(),
            Type::Mbr(kind) => format!("{kind:x}"),
        };
        let id = it.id.map(|id| id.to_string()).unwrap_or_default();
        // As sfdisk prints it.
        let mut name = String::new();
        for byte in it.name.bytes() {
            match byte {
                0x20..0x7f => name.push(byte.into()),
                _ => write!(name, "\\x{byte:02x}").unwrap(),
            }
        }
        format!("{} {} {} {kind} {id} {name}", it.number, it.start, it.size)
    };
    table.partitions.iter().map(line).collect()
}

#[test]
fn tables_are_read_as_sfdisk_does() {
    if !have(&["sfdisk"]) {
        return;
    }
    let work = work("sfdisk");
    let disk = work.path("disk");
    let mut random = Random(9);
    for round in 0..4 {
        for label in ["gpt", "dos"] {
            blank(&disk, 220 << 20);
            let mut script = format!("label: {label}\n");
            let extended = label == "dos" && round % 2 == 1;
            let (mut at, mut number) = (2048 + random.below(5000), 1);
            while at < 400_000 && number < 60 {
                let size = 100 + random.below(20_000);
                let kind = match (label, random.below(3)) {
                    ("gpt", 0) => "type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=\"root fs\",",
                    ("gpt", 1) => "type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=EFI,",
                    ("gpt", _) => "name=\"größe\",",
                    (_, 0) => "type=82,",
                    _ => "type=83,",
                };
                if extended && number == 3 {
                    writeln!(script, "3: start={at}, size={}, type=5", 440_000 - at).unwrap();
                    number = 5;
                } else if label == "dos" && !extended && number > 4 {
                    break;
                } else {
                    // Logical partitions need room for their record.
                    let gap = if number >= 5 { 2048 } else { random.below(2) * 77 };
                    writeln!(script, "{number}: {kind} start={}, size={size}", at + gap).unwrap();
                    at += gap + size;
                    // Holes in the numbers.
                    let holes = if label == "gpt" { random.below(3) } else { 0 };
                    number += 1 + u32::try_from(holes).unwrap();
                }
            }
            run_with_input(tool("sfdisk").arg("-q").arg(&disk), &script);
            let ours = read(&disk);
            let scheme = if label == "gpt" { Scheme::Gpt } else { Scheme::Mbr };
            assert_eq!((ours.scheme, &ours.remarks), (scheme, &Vec::new()));
            assert_eq!(of_ours(&ours), of_sfdisk(&disk), "{script}");
            assert!(ours.partitions.len() > 2);
        }
    }
}

/// sgdisk writes other tables: entries in other places, hybrid MBRs, attributes.
#[test]
fn tables_are_read_as_sgdisk_writes_them() {
    if !have(&["sgdisk", "sfdisk"]) {
        return;
    }
    let work = work("sgdisk");
    let disk = work.path("disk");
    let sgdisk = |arguments: &[&str]| {
        run(tool("sgdisk").args(arguments).arg(&disk));
    };
    blank(&disk, 64 << 20);
    sgdisk(&[
        "-S",
        "200",
        "-n",
        "1:0:+1M",
        "-n",
        "150:0:+2M",
        "-t",
        "150:8304",
        "-A",
        "150:set:60",
    ]);
    let ours = read(&disk);
    assert_eq!(of_ours(&ours), of_sfdisk(&disk));
    assert_eq!(ours.root(None).unwrap().number, 150);
    assert_eq!(ours.partitions[1].attributes, 1 << 60);
    // A disk that grew keeps its backup where the end was; sgdisk moves it.
    fs::OpenOptions::new()
        .write(true)
        .open(&disk)
        .unwrap()
        .set_len(96 << 20)
        .unwrap();
    assert_eq!(of_ours(&read(&disk)), of_ours(&ours));
    sgdisk(&["-e"]);
    assert_eq!(read(&disk), ours);
    sgdisk(&["-j", "100"]);
    assert_eq!(read(&disk), ours);
    // The start is gone, the backup is whole: no guess.
    let mut damaged = fs::read(&disk).unwrap();
    damaged[520] ^= 1;
    let why = table(&damaged).unwrap_err().0;
    assert!(why.contains("gdisk"), "{why}");
    // The advice works.
    fs::write(&disk, damaged).unwrap();
    sgdisk(&["-e"]);
    assert_eq!(read(&disk), ours);
    sgdisk(&["-h", "1"]);
    let hybrid = read(&disk);
    assert_eq!((hybrid.partitions, hybrid.remarks.len()), (ours.partitions, 1));
}

/// Sectors of 4096 bytes too, which only a device can tell the tools of.
#[test]
fn partx_sees_the_same_partitions() {
    if !have(&["sfdisk", "losetup", "partx"]) || !have_root() {
        return;
    }
    let work = work("partx");
    let disk = work.path("disk");
    for (sector, script) in [
        (512, "label: gpt\n1: size=3M\n4: size=5M\n"),
        (
            4096,
            "label: gpt\n1: size=3M\n2: size=1M, type=uefi\n9: size=5M\n",
        ),
        (
            512,
            "label: dos\n1: size=3M\n3: size=40M, type=5\n5: size=4M\n6: size=5M\n4: size=1M\n",
        ),
    ] {
        blank(&disk, 64 << 20);
        let mut attach = tool("losetup");
        attach.args(["--find", "--show", "--sector-size", &sector.to_string()]);
        let device = run(attach.arg(&disk)).trim().to_owned();
        // Whatever goes wrong, the device is detached.
        let listed = std::panic::catch_unwind(|| {
            run_with_input(tool("sfdisk").args(["-q", &device]), script);
            let mut partx = tool("partx");
            run(partx.args([
                "--raw",
                "--noheadings",
                "--output",
                "NR,START,SECTORS,TYPE",
                &device,
            ]))
        });
        run(tool("losetup").args(["--detach", &device]));
        let listed = listed.unwrap();
        let mut theirs = Vec::new();
        for line in listed.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let number = |at: usize| fields[at].parse::<u64>().unwrap();
            if fields[3] != "0x5" {
                theirs.push((number(0), number(1) * 512, number(2) * 512));
            }
        }
        let ours = read(&disk);
        assert_eq!(ours.sector, sector);
        let ours = ours.partitions.iter();
        let ours: Vec<_> = ours.map(|it| (u64::from(it.number), it.start, it.size)).collect();
        assert_eq!(ours, theirs, "{script}");
        assert!(ours.len() > 1, "{script}");
    }
}

#[test]
fn the_types_of_root_partitions_are_those_that_sfdisk_lists() {
    if !have(&["sfdisk"]) {
        return;
    }
    let work = work("types");
    let disk = work.path("disk");
    let listed = run(tool("sfdisk").args(["--label", "gpt", "--list-types"]));
    let types = listed.lines().filter_map(|line| line.split_once("  "));
    let types: Vec<_> = types.filter(|(guid, _)| guid.len() == 36).collect();
    assert!(types.len() > 100, "{listed}");
    let mut roots = 0;
    for some in types.chunks(100) {
        blank(&disk, 110 << 20);
        let mut script = "label: gpt\n".to_owned();
        for (guid, _) in some {
            writeln!(script, "size=1M, type={guid}").unwrap();
        }
        run_with_input(tool("sfdisk").arg("-q").arg(&disk), &script);
        for (partition, (guid, name)) in read(&disk).partitions.into_iter().zip(some) {
            assert_eq!(partition.kind.to_string(), guid.to_uppercase());
            let alone = Table {
                scheme: Scheme::Gpt,
                sector: 512,
                partitions: vec![partition],
                remarks: Vec::new(),
            };
            let is_root = name.starts_with("Linux root (") || *name == "Linux filesystem";
            assert_eq!(alone.root(None).is_ok(), is_root, "{name}");
            roots += usize::from(is_root);
        }
    }
    // Those of the architectures that it knows, and the one of all.
    assert!(roots > 15, "{roots}");
}
