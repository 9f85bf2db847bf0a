//! Harness of the end-to-end tests: runs the real `driftcheck`, on roots made for the purpose, and reads what it
//! says as a stranger would. It uses nothing of the product's own code, so that a mistake in the code cannot
//! hide itself in the test.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a harness that cannot do its work fails the test, and says why"
)]

mod need;
mod report;
mod root;
mod run;
mod scratch;

pub use need::{Need, images, met};
pub use report::{Drift, Report, Want, entries, sort_key, unspell};
pub use root::{Tree, make_node, set_times, sha256, tool};
pub use run::{Ran, Run, binary};
pub use scratch::Scratch;
