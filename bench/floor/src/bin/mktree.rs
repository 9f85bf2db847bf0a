//! Generates the benchmark's trees: pseudo-random, and the same for the same
//! arguments on every machine.
//!
//! ```text
//! driftcheck-mktree small --files N --dirs N --min BYTES --max BYTES --seed N --output DIR
//! driftcheck-mktree large --files N --dirs N --size BYTES --seed N --output DIR
//! ```
//!
//! `small` spreads the files evenly over `--dirs` directories of the second
//! level (`03/0317/0031742.bin`), with sizes spread evenly over the range.
//! `large` puts files of one size in `--dirs` directories.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: driftcheck-mktree (small --min BYTES --max BYTES | large --size BYTES) \
                     --files N --dirs N --seed N --output DIR";
const CHUNK: u64 = 1 << 20;

/// SplitMix64: tiny, fast, and started afresh for every file, so that one
/// file's bytes depend on nothing but the seed and its number.
struct Random(u64);

impl Random {
    fn for_file(seed: u64, index: u64) -> Self {
        Self(Self(seed).next() ^ Self(!index).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

struct Plan {
    files: u64,
    dirs: u64,
    min: u64,
    max: u64,
    seed: u64,
    /// Whether the directories are of two levels.
    nested: bool,
    output: PathBuf,
}

impl Plan {
    fn from_args() -> Option<Self> {
        let mut args = std::env::args_os().skip(1);
        let nested = match args.next()?.to_str()? {
            "small" => true,
            "large" => false,
            _ => return None,
        };
        let (mut files, mut dirs, mut min, mut max, mut seed) = (None, None, None, None, None);
        let mut output = None;
        while let Some(option) = args.next() {
            let value = args.next()?;
            let option = option.to_str()?;
            if option == "--output" {
                output = Some(PathBuf::from(value));
                continue;
            }
            let number: u64 = value.to_str()?.parse().ok()?;
            match option {
                "--files" => files = Some(number),
                "--dirs" => dirs = Some(number),
                "--min" if nested => min = Some(number),
                "--max" if nested => max = Some(number),
                "--size" if !nested => (min, max) = (Some(number), Some(number)),
                "--seed" => seed = Some(number),
                _ => return None,
            }
        }
        let plan = Self {
            files: files?,
            dirs: dirs?,
            min: min?,
            max: max?,
            seed: seed?,
            nested,
            output: output?,
        };
        (plan.dirs > 0 && plan.files >= plan.dirs && plan.min <= plan.max).then_some(plan)
    }

    fn directory(&self, index: u64) -> PathBuf {
        if !self.nested {
            return self.output.join(format!("{index:02}"));
        }
        let per_top = self.dirs.isqrt().max(1);
        self.output
            .join(format!("{:02}", index / per_top))
            .join(format!("{index:04}"))
    }

    fn write_file(&self, path: &Path, index: u64, chunk: &mut [u8]) -> io::Result<u64> {
        let mut random = Random::for_file(self.seed, index);
        let size = self.min + random.next() % (self.max - self.min + 1);
        let mut file = File::create_new(path)?;
        let mut left = size;
        while left > 0 {
            let part = &mut chunk[..left.min(CHUNK) as usize];
            random.fill(part);
            file.write_all(part)?;
            left -= part.len() as u64;
        }
        Ok(size)
    }

    fn run(&self) -> io::Result<u64> {
        fs::create_dir(&self.output)?;
        let mut chunk = vec![0; CHUNK as usize];
        let mut bytes = 0;
        for dir in 0..self.dirs {
            let path = self.directory(dir);
            fs::create_dir_all(&path)?;
            let first = dir * self.files / self.dirs;
            let end = (dir + 1) * self.files / self.dirs;
            for index in first..end {
                let name = path.join(format!("{index:07}.bin"));
                bytes += self.write_file(&name, index, &mut chunk)?;
            }
        }
        Ok(bytes)
    }
}

fn main() -> ExitCode {
    let Some(plan) = Plan::from_args() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match plan.run() {
        Ok(bytes) => {
            println!("{} files, {bytes} bytes", plan.files);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("driftcheck-mktree: {}: {error}", plan.output.display());
            ExitCode::FAILURE
        }
    }
}
