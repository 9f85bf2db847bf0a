//! Whole reports, rendered.

mod diff;
mod golden;
mod image_check;
mod properties;
mod samples;
