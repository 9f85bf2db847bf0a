//! The driftcheck agent: sources, probes, the walk, the audit and the command line.
//!
//! Read it downwards: [`cli`] starts [`record`] or [`audit`], which run [`scan`] (the `files` section) and the
//! [`probes`] (all others) over a [`tree`], and hand what they see to the writer or the comparer of
//! `baseline-format`. Only [`sys`] makes system calls.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "tests look at what they made themselves"
    )
)]

pub mod accounts;
pub mod audit;
pub mod cli;
pub mod exchange;
pub mod gate;
pub mod host;
pub mod inspect;
pub mod output;
pub mod packages;
pub mod probes;
pub mod record;
pub mod scan;
pub mod source;
pub mod stamp;
pub mod sys;
pub mod tree;
pub mod trust;
pub mod vendor;
