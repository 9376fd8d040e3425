//! The identity of one life of a node.

use std::fmt;

/// A random UUID that a node takes each time it joins. It is never used for a second row, so no row
/// of an earlier life can be mistaken for a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incarnation_is_shown_as_a_uuid() {
        let bytes = std::array::from_fn(|index| u8::try_from(index * 16 + 1).unwrap());
        let shown = "01112131-4151-6171-8191-a1b1c1d1e1f1";
        assert_eq!(Incarnation(bytes).to_string(), shown);
    }
}
