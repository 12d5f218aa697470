//! From an operation's token to what a driver holds for it. Only cancelling takes this way.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::op::Token;
use super::slots::Key;

/// Where each token's operation is.
pub(super) type Tokens = HashMap<Token, Key, BuildHasherDefault<TokenHasher>>;

/// Mixes a token's number. Tokens are ours, so there is no adversary to be kept from choosing them, and the default
/// hasher would cost more than all else that happens to an operation in user space.
#[derive(Default)]
pub(super) struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing; the table looks at both ends of the hash, and the multiplication fills the upper one.
        let product = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
