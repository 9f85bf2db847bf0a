//! Whole reports, rendered.

mod golden;
mod image_check;
mod properties;
mod samples;
