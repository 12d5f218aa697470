//! Numbers that look random, and are the same in every run.

/// Xorshift. Never zero.
#[derive(Debug)]
pub(super) struct Entropy(u64);

impl Entropy {
    pub(super) const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    /// Those of a seed. Seeds that are close to each other have nothing else in common.
    pub(super) fn of_seed(seed: u64) -> Self {
        // SplitMix64's last step, which is a permutation.
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next().to_le_bytes()[7];
        }
    }

    /// Draws a number below `limit`, which is not zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let wide = u128::from(self.next()) * limit as u128;
        // The product's upper half is below the limit.
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Brings `items` into an order of which each is as likely as the others.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_the_order() {
        let order = |seed| {
            let mut items: Vec<_> = (0..20).collect();
            Entropy::of_seed(seed).shuffle(&mut items);
            items
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(9);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
