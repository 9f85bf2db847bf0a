//! End-to-end tests: the real program, on roots made for the purpose.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod baselines;
mod canonical;
mod falsely_clean;
mod gate;
mod hidden;
mod hostile;
mod images;
mod matrix;
mod no_trace;
mod output;
mod packages;
mod signed;
mod stamp;
mod unreadable;

mod accounts;
