//! The values of `system.posix_acl_access` and `system.posix_acl_default`.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::scan::acl;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    if let Some(list) = acl(data) {
        assert_eq!(list.len(), (data.len() - 4) / 8);
    }
}
