//! Whole reports, rendered.

mod golden;
mod properties;
mod samples;
