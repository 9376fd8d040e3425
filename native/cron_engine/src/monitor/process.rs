//! The id of an AO process as it appears in a URL. No other text can be made into one.

use std::fmt;

/// The length of an AO process id: 32 bytes in base64url without padding.
const LENGTH: usize = 43;

/// A checked AO process id: 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId([u8; LENGTH]);

impl ProcessId {
    /// Makes a process id of 43 characters of the base64url alphabet; `None` for anything else.
    #[must_use]
    pub fn new(id: &[u8]) -> Option<Self> {
        let id: [u8; LENGTH] = id.try_into().ok()?;
        let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        id.iter().all(in_alphabet).then_some(Self(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `new` accepts ASCII only, so the fallback is never used.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_id_of_43_base64url_characters_is_taken() {
        let text = b"AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZaz09-_AZa";
        assert_eq!(ProcessId::new(text).unwrap().as_str().as_bytes(), text);
    }

    #[test]
    fn process_id_of_other_length_or_alphabet_is_refused() {
        assert!(ProcessId::new(&[b'A'; 42]).is_none());
        assert!(ProcessId::new(&[b'A'; 44]).is_none());
        for bad in *b"/+=. %\0\xc3" {
            let mut id = [b'A'; 43];
            id[7] = bad;
            assert!(ProcessId::new(&id).is_none(), "{bad}");
        }
    }

    #[test]
    fn process_id_in_a_log_is_shown_as_text() {
        let id = ProcessId::new(&[b'A'; 43]).unwrap();
        assert_eq!(format!("{id:?}"), format!("ProcessId({})", "A".repeat(43)));
    }
}
