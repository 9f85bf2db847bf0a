//! Globs of `--include`, `--exclude` and of a baseline's header, and what they say of paths.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use baseline_format::header;
use driftcheck_agent::scan::Scope;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

/// The first line is a glob that leaves out, the second one that narrows; the rest is a path.
pub(crate) fn run(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut globs = || {
        let glob = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        if glob.is_empty() { Vec::new() } else { vec![glob] }
    };
    let (exclude, include) = (globs(), globs());
    let path = lines.next().unwrap_or(b"/");
    let recorded = header::Scope {
        include: Vec::new(),
        exclude: Scope::built_in(),
        ..header::Scope::default()
    };
    if let Ok(scope) = Scope::new(&recorded, &exclude, &include, &[]) {
        black_box(scope.judge(path));
        black_box(scope.below(path));
        black_box(scope.may_include_below(path));
        black_box(scope.leaves_out(path));
        assert!(Scope::new(&scope.to_header(), &[], &[], &[]).is_ok());
    }
}
