//! Secrets, which are never shown.

use std::fmt;

/// Bytes that nobody may read in a log: not shown by `Debug`, not comparable with `==`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes as they are; an empty secret is none.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty()).then_some(Secret(bytes))
    }

    /// The bytes, for computing with.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
