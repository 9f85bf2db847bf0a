//! The driftcheck agent: sources, probes, the walk, the audit and the command line.

pub mod packages;
pub mod probes;
pub mod sys;
pub mod tree;
pub mod scan;
