//! The driftcheck agent: sources, probes, the walk, the audit and the command line.

pub mod probes;
pub mod tree;
pub mod packages;
