//! Renders driftcheck reports.
