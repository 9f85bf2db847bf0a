//! Whole reports, rendered.

mod diff;
mod golden;
mod properties;
mod samples;
