//! The `driftcheck` command. Everything is in the library, where tests can reach it.

fn main() {}
