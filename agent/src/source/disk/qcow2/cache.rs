//! What several threads have read lately, in bounded memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A fixed number of slots; a key has one, and shares it with every key as many slots away. Keys count up along
/// the virtual disk, so that what is read in a row never competes, and each slot has a lock of its own.
pub(super) struct Slots<T: ?Sized> {
    slots: Box<[Slot<T>]>,
}

type Slot<T> = Mutex<Option<(u64, Arc<T>)>>;

impl<T: ?Sized> Slots<T> {
    /// With at least one slot.
    pub(super) fn new(count: usize) -> Self {
        Self {
            slots: (0..count.max(1)).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// What has this key, loaded if it is not there. Who wants the same at the same time waits for it.
    pub(super) fn get(&self, key: u64, load: impl FnOnce() -> io::Result<Arc<T>>) -> io::Result<Arc<T>> {
        let at = usize::try_from(key % self.slots.len() as u64).unwrap_or(0);
        let mut slot = self.slots[at].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, value)) = &*slot
            && *held == key
        {
            return Ok(Arc::clone(value));
        }
        let value = load()?;
        *slot = Some((key, Arc::clone(&value)));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_not_kept_and_a_value_is() {
        let slots: Slots<u64> = Slots::new(2);
        assert!(slots.get(1, || Err(io::ErrorKind::Other.into())).is_err());
        for (key, expected) in [(1, 10), (1, 10), (3, 11), (1, 12), (2, 13), (1, 12)] {
            let value = slots.get(key, || Ok(Arc::new(expected))).unwrap();
            assert_eq!(*value, expected, "{key}");
        }
    }
}
