//! The part of every id that makes it unique.

use std::fmt;

/// Digits of a token: capitals and digits that cannot be mistaken for one another (no I, L, O, U).
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKMNPQRSTVWXYZ0123456789";

/// Payments of one world, at most: what fits into the token's index part.
const INDEX_BITS: u32 = 40;

/// Multiplier that scatters consecutive indexes. Odd, so that multiplying modulo 2^40 maps no two to one.
const SCATTER: u64 = 0x9E_3779_B97F;

/// Fifteen characters that every id of one payment contains, in capitals or in lower case.
///
/// Invariant: one world gives no two payments the same token; worlds of another seed or another start differ in 30
/// bits, so that running the simulator again does not repeat the event ids of the run before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; Token::CHARS]);

impl Token {
    /// Length.
    pub const CHARS: usize = 15;

    /// The token of payment `index` in the world `run`.
    pub(crate) fn new(run: u32, index: u64) -> Self {
        let scattered = index.wrapping_mul(SCATTER) & ((1 << INDEX_BITS) - 1);
        // A leading letter: a token is never all digits, so it is never taken for a number.
        let mut token = [b'T'; Self::CHARS];
        encode(u64::from(run), &mut token[1..7]);
        encode(scattered, &mut token[7..]);
        Self(token)
    }

    /// In capitals.
    pub fn as_str(&self) -> &str {
        // Invariant: only characters of the alphabet, which is ASCII.
        str::from_utf8(&self.0).unwrap_or("")
    }

    /// In capitals, as bytes.
    pub fn upper(&self) -> &[u8; Self::CHARS] {
        &self.0
    }

    /// In lower case, as bytes.
    pub fn lower(&self) -> [u8; Self::CHARS] {
        self.0.map(|character| character.to_ascii_lowercase())
    }
}

fn encode(mut value: u64, out: &mut [u8]) {
    for character in out {
        *character = ALPHABET[usize::try_from(value & 31).unwrap_or(0)];
        value >>= 5;
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_payments_share_a_token() {
        let tokens: HashSet<Token> = (0..100_000).map(|index| Token::new(7, index)).collect();
        assert_eq!(tokens.len(), 100_000);
        assert_ne!(Token::new(7, 0), Token::new(8, 0));
    }
}
