//! Parses the lines of a chunked body: the sizes of chunks and the trailers.

use thiserror::Error;

/// Why a chunked body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FramingError {
    #[error("the size of a chunk is not a number, or its line is too long")]
    Size,
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    #[error("chunks have more extensions than data")]
    Excess,
    #[error("too many trailers")]
    Trailers,
    #[error("unexpected bytes after a response")]
    Unasked,
}

impl From<FramingError> for ureq::Error {
    fn from(error: FramingError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// A line, and the input after it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// Splits off the first line with its line end; `None` if it is incomplete. Returns `error` if the
/// line is longer than `max` or does not end in CR and LF.
pub(crate) fn line(
    input: &[u8],
    max: usize,
    error: FramingError,
) -> Result<Option<Split<'_>>, FramingError> {
    let Some(end) = input.iter().take(max).position(|byte| *byte == b'\n') else {
        return if input.len() >= max { Err(error) } else { Ok(None) };
    };
    let (line, rest) = input.split_at(end + 1);
    if line.ends_with(b"\r\n") { Ok(Some((line, rest))) } else { Err(error) }
}

/// Parses a chunk's size: hexadecimal digits, then spaces and a semicolon.
pub(crate) fn size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?;
    if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return None;
    }
    let number = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let mut size = (!number.is_empty()).then_some(0_u64)?;
    for byte in number {
        let digit = char::from(*byte).to_digit(16)?;
        size = size.checked_mul(16)?.checked_add(digit.into())?;
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_a_chunk_is_what_the_rfc_says() {
        for (line, expected) in [
            ("0\r\n", 0),
            ("1a\r\n", 26),
            ("FFFFFFFFFFFFFFFF\r\n", u64::MAX),
            ("00000000000000000000000000000000002\r\n", 2),
            ("5;x=\"y;z\"\r\n", 5),
            ("5 \t; x\r\n", 5),
            ("5  \r\n", 5),
        ] {
            assert_eq!(size(line.as_bytes()), Some(expected), "{line:?}");
        }
        for bad in [
            "\r\n",
            ";x\r\n",
            " 5\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "5g\r\n",
            "5.\r\n",
            "5",
            "5\n",
            "10000000000000000\r\n",
            "5;a\0\r\n",
            "5;a\rb\r\n",
            "5\u{b}\r\n",
        ] {
            assert_eq!(size(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
