//! passwd(5), and group(5), gshadow(5), shadow(5) and subuid(5), which share its lines.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::accounts::{group, passwd, shadow, subid};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    black_box(passwd::parse(data).count());
    black_box(group::parse(data).count());
    black_box(group::parse_shadow(data).count());
    black_box(shadow::parse(data).count());
    black_box(subid::parse(data).count());
}
