//! Numbered places for values: what a driver holds for an operation is found by number, in constant time.

/// Values in numbered slots. A slot is used again, under a new generation, so that an old key finds nothing.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    /// Counts the values that were here.
    generation: u32,
    value: Option<T>,
}

/// Leads to one value for as long as it is there, and to nothing later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: u32,
    /// At most [`GENERATION_MAX`].
    pub(super) generation: u32,
}

/// A key has 62 bits, so that a driver has two to mark what it is the key of.
pub(super) const GENERATION_MAX: u32 = u32::MAX >> 2;

/// Makes one number of two, for systems that hand back a number.
pub(super) fn join(upper: u32, lower: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(lower)
}

/// The opposite of [`join`].
#[expect(
    clippy::cast_possible_truncation,
    reason = "each half is one of the numbers"
)]
pub(super) const fn split(number: u64) -> (u32, u32) {
    ((number >> 32) as u32, number as u32)
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                value: None,
            });
            u32::try_from(self.slots.len() - 1).expect("a driver has fewer than 2^32 operations")
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        Key {
            index,
            generation: slot.generation,
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        let value = slot.value.take()?;
        slot.generation = (slot.generation + 1) & GENERATION_MAX;
        self.free.push(key.index);
        Some(value)
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let slot = self
            .slots
            .get(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        slot.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        slot.value.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_finds_nothing() {
        let mut slots = Slots::new();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second");
        assert_eq!(second.index, first.index, "the slot is used again");
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!(slots.len(), 1);
    }
}
