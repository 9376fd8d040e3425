//! Escapes of half a character. JavaScript, and so a CU, can write a string with one half of a
//! surrogate pair, as `\ud83d` alone. That is JSON, but not text. The process would stop if its
//! page was refused, so each such half becomes U+FFFD, as decoders of text do.

/// The escape of U+FFFD, as long as the escape that it replaces.
const REPLACEMENT: &[u8; 6] = b"\\ufffd";

/// `text` with every lone half replaced; `None` if there is none.
pub(crate) fn repair(text: &str) -> Option<String> {
    let body = text.as_bytes();
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(offset) = body.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'\\')) {
        at += offset;
        let Some(unit) = escaped_unit(body, at) else {
            // Any other escape: the backslash and what it escapes, which may be a backslash.
            at += 2;
            continue;
        };
        match unit {
            0xd800..=0xdbff if matches!(escaped_unit(body, at + 6), Some(0xdc00..=0xdfff)) => {
                at += 12;
            }
            0xd800..=0xdfff => {
                let repaired = repaired.get_or_insert_with(|| body.to_vec());
                if let Some(escape) = repaired.get_mut(at..at + 6) {
                    escape.copy_from_slice(REPLACEMENT);
                }
                at += 6;
            }
            _ => at += 6,
        }
    }
    // ASCII replaces ASCII, so the text stays valid.
    repaired.and_then(|repaired| String::from_utf8(repaired).ok())
}

/// The UTF-16 code unit that is escaped at `at`, if there is one.
fn escaped_unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + 6)?.strip_prefix(b"\\u")?;
    // `from_str_radix` would accept a sign.
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_without_lone_halves_is_left_alone() {
        for body in ["", "x", r"\", r"\u", r"\ud83", r"\ud83d\ude00", r"\\ud83d", r"\u00e9", r"\n"]
        {
            assert_eq!(repair(body), None, "{body}");
        }
    }

    #[test]
    fn lone_halves_are_replaced_and_nothing_else() {
        for (body, wanted) in [
            (r"a\ud83db", r"a\ufffdb"),
            (r"\uDE00", r"\ufffd"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\ud83d\n", r"\ufffd\n"),
            (r"\\\ud83d", r"\\\ufffd"),
            (r"\ud83d\u0041", r"\ufffd\u0041"),
            (r"\ude00\ud83d", r"\ufffd\ufffd"),
        ] {
            assert_eq!(repair(body).as_deref(), Some(wanted), "{body}");
        }
    }
}
