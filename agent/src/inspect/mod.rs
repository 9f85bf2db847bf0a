//! Looking at baselines: what one holds ([`show`]), how two states differ ([`diff`]), one made of several ([`merge`]),
//! and what must be laid over one to get another ([`overlay`]).
//!
//! Everything here passes over baselines entry by entry and holds a few of them. Nothing here looks at a host; a live
//! root or an image is told apart by feeding its entries to [`diff::Differ`].

pub mod diff;
pub mod merge;
pub mod overlay;
mod scopes;
pub mod show;
#[cfg(test)]
mod testing;

/// Section of a merged baseline that says where its entries come from. It is about the baseline and not about what
/// the baseline describes, so nobody compares it. See `docs/overlays.md`.
pub const PROVENANCE: &str = "provenance";
/// Revision of the section's attributes.
pub const PROVENANCE_REVISION: u32 = 1;
/// What the keys of its entries about the inputs begin with; no section has such a name.
const INPUTS: &str = "#input/";
/// `image.source-kind` of a baseline that only makes sense laid over another one.
pub const OVERLAY: &str = "overlay";
/// `image.source-kind` of a baseline that was merged from others.
pub const MERGED: &str = "merged";
/// In an overlay: what the entry names must not be there.
pub const ABSENT: &str = "absent";
