//! The same order as in [`super::walk`], through the directories of an image.
//!
//! Nothing changes while it is walked, nothing is mounted in it, and its readers follow no links.

use std::sync::Arc;

use super::scope::{Judgement, Scope};
use super::walk::{BATCH, Batch, WalkTally, What};
use crate::source::file_system::{Child, FileSystem, Node};
use crate::sys::Kind;

/// A walk over one image.
pub(super) struct ImageWalk {
    image: Arc<dyn FileSystem>,
    frames: Vec<Frame>,
    /// Path of the innermost frame's directory, without a slash at its end, but for the root.
    path: Vec<u8>,
    started: bool,
    scope: Arc<Scope>,
    pub(super) tally: WalkTally,
}

struct Frame {
    children: std::vec::IntoIter<Child>,
    /// Length of the directory's path.
    path: usize,
    ordinary: Option<usize>,
}

impl ImageWalk {
    pub(super) fn new(image: Arc<dyn FileSystem>, scope: Arc<Scope>) -> Self {
        let tally = WalkTally::of(&scope);
        Self {
            image,
            frames: Vec::new(),
            path: Vec::new(),
            started: false,
            scope,
            tally,
        }
    }

    /// Fills an empty batch with what comes next; it stays empty at the end.
    pub(super) fn fill(&mut self, batch: &mut Batch) {
        if !self.started {
            self.started = true;
            self.path.push(b'/');
            let told = !self.scope.is_narrowed() || self.scope.judge(&self.path) == Judgement::Take;
            self.enter(self.image.root(), 0, None, told, batch);
        }
        while batch.items.len() < BATCH {
            let Some(frame) = self.frames.last_mut() else {
                return;
            };
            self.path.truncate(frame.path);
            let Some(child) = frame.children.next() else {
                self.frames.pop();
                continue;
            };
            if frame.path > 1 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&child.name);
            let (length, mut ordinary) = (child.name.len(), frame.ordinary);
            let directory = child.kind == Kind::Directory;
            let mut told = true;
            match self.scope.judge(&self.path) {
                Judgement::Take => {}
                Judgement::Ordinary(rule) => ordinary = ordinary.or(Some(rule)),
                Judgement::Skip(rule) => {
                    self.tally.skipped[rule] += 1;
                    continue;
                }
                Judgement::NotIncluded if directory && self.scope.may_include_below(&self.path) => {
                    told = false;
                }
                Judgement::NotIncluded => continue,
            }
            if directory {
                self.enter(child.node, length, ordinary, told, batch);
            } else {
                self.tell(child.node, length, ordinary, None, batch);
            }
        }
    }

    /// Lists a directory, tells it, and makes it the innermost.
    fn enter(
        &mut self,
        node: Node,
        name_length: usize,
        ordinary: Option<usize>,
        told: bool,
        batch: &mut Batch,
    ) {
        let mut below = ordinary;
        let listed = match self.scope.below(&self.path) {
            Judgement::Skip(rule) => {
                self.tally.skipped[rule] += 1;
                None
            }
            judgement => {
                if let Judgement::Ordinary(rule) = judgement {
                    below = below.or(Some(rule));
                }
                Some(self.image.children(node))
            }
        };
        let (children, failure) = match listed {
            Some(Ok(children)) => (children, None),
            Some(Err(why)) => (Vec::new(), Some(format!("below: {why}"))),
            None => return self.tell_if(told, node, name_length, ordinary, batch),
        };
        if children.is_empty()
            && failure.is_none()
            && let Some(rule) = self.scope.empty(&self.path)
        {
            self.tally.skipped[rule] += 1;
            return;
        }
        // A place that could not be looked into is told even if only something below it was asked for.
        if told || failure.is_some() {
            self.tell(node, name_length, ordinary, failure, batch);
        }
        self.frames.push(Frame {
            children: children.into_iter(),
            path: self.path.len(),
            ordinary: below,
        });
    }

    fn tell_if(
        &self,
        told: bool,
        node: Node,
        name_length: usize,
        ordinary: Option<usize>,
        batch: &mut Batch,
    ) {
        if told {
            self.tell(node, name_length, ordinary, None, batch);
        }
    }

    fn tell(
        &self,
        node: Node,
        name_length: usize,
        ordinary: Option<usize>,
        unseen: Option<String>,
        batch: &mut Batch,
    ) {
        let what = What::Node(Arc::clone(&self.image), node);
        batch.push(&self.path, name_length, what, ordinary, unseen);
    }
}
