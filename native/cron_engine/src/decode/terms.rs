//! A writer of Erlang's external term format, for what JSON can express: maps, lists, binaries,
//! numbers, and the atoms `true`, `false` and `null`. It cannot write any other atom, so input
//! cannot create one. The BEAM decodes a whole page from this format in one allocation, which is
//! faster than building it term by term.

/// The first byte of every external term.
const VERSION: u8 = 131;
const NEW_FLOAT: u8 = 70;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
const NIL: u8 = 106;
const LIST: u8 = 108;
const BINARY: u8 = 109;
const SMALL_BIG: u8 = 110;
const LARGE_BIG: u8 = 111;
const MAP: u8 = 116;
const SMALL_ATOM_UTF8: u8 = 119;

/// The most digits of an integer. Converting decimal digits takes time in the square of their
/// number; 1024 digits take microseconds.
const MAX_DIGITS: usize = 1024;

/// The beginning of a list or map whose length is not known yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(usize);

/// The place of a map's entry in the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) key: usize,
    pub(crate) value: usize,
    pub(crate) end: usize,
}

/// Writes external terms.
#[derive(Debug, Default)]
pub(crate) struct TermWriter {
    out: Vec<u8>,
    /// The size of the term, in bytes; more if something was taken back.
    memory: u64,
    /// How much of that lies outside of the heap.
    outside: u64,
}

/// Bytes of a word of the BEAM.
const WORD: u64 = 8;

/// Longer binaries lie outside of the heap.
const MAX_HEAP_BINARY: u64 = 64;

impl TermWriter {
    /// A writer that uses `buffer`'s memory for its output.
    pub(crate) fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { out: buffer, memory: 0, outside: 0 }
    }

    /// Begins another external term.
    pub(crate) fn begin_term(&mut self) {
        self.out.clear();
        self.out.push(VERSION);
    }

    /// The term that was begun, in memory of its own.
    pub(crate) fn end_term(&mut self) -> Vec<u8> {
        self.out.as_slice().to_vec()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The approximate size of the term once it is decoded, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// The bytes of that which lie on the heap of its process, roughly.
    pub(crate) fn heap(&self) -> u64 {
        self.memory.saturating_sub(self.outside)
    }

    fn takes(&mut self, words: u64) {
        self.memory = self.memory.saturating_add(words.saturating_mul(WORD));
    }

    /// The end of the output so far.
    pub(crate) fn position(&self) -> usize {
        self.out.len()
    }

    /// Removes everything that was written after `position`.
    pub(crate) fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.atom(if value { "true" } else { "false" });
    }

    pub(crate) fn null(&mut self) {
        self.atom("null");
    }

    fn atom(&mut self, name: &'static str) {
        self.out.push(SMALL_ATOM_UTF8);
        self.out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.out.extend_from_slice(name.as_bytes());
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // A header and a size; outside of the heap also a handle in the heap and a header.
        let words = length.div_ceil(WORD);
        if length > MAX_HEAP_BINARY {
            self.takes(words + 9);
            self.outside = self.outside.saturating_add(words.saturating_mul(WORD));
        } else {
            self.takes(words + 2);
        }
        let [a, b, c, d] = length_bytes(bytes.len());
        self.out.extend_from_slice(&[BINARY, a, b, c, d]);
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn float(&mut self, value: f64) {
        self.takes(2);
        self.out.push(NEW_FLOAT);
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes the integer with these decimal digits, without a sign. `None` if there are too many.
    pub(crate) fn integer(&mut self, negative: bool, digits: &str) -> Option<()> {
        match digits.parse::<i64>().map(|value| if negative { -value } else { value }) {
            Ok(value) => self.signed(value),
            Err(_) if digits.len() <= MAX_DIGITS => self.big_integer(negative, digits),
            Err(_) => return None,
        }
        Some(())
    }

    pub(crate) fn unsigned(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.signed(value),
            Err(_) => self.magnitude(false, &value.to_le_bytes()),
        }
    }

    pub(crate) fn signed(&mut self, value: i64) {
        if let Ok(byte) = u8::try_from(value) {
            self.out.extend_from_slice(&[SMALL_INTEGER, byte]);
        } else if let Ok(word) = i32::try_from(value) {
            self.out.push(INTEGER);
            self.out.extend_from_slice(&word.to_be_bytes());
        } else {
            self.magnitude(value < 0, &value.unsigned_abs().to_le_bytes());
        }
    }

    fn big_integer(&mut self, negative: bool, digits: &str) {
        let mut bytes: Vec<u8> = Vec::with_capacity(digits.len() / 2);
        for digit in digits.bytes() {
            let mut carry = u16::from(digit.wrapping_sub(b'0'));
            for byte in &mut bytes {
                let [low, high] = (u16::from(*byte) * 10 + carry).to_le_bytes();
                *byte = low;
                carry = u16::from(high);
            }
            if carry > 0 {
                bytes.extend_from_slice(&carry.to_le_bytes()[..1]);
            }
        }
        self.magnitude(negative, &bytes);
    }

    fn magnitude(&mut self, negative: bool, little_endian: &[u8]) {
        let used = little_endian.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let bytes = little_endian.get(..used).unwrap_or_default();
        self.takes(u64::try_from(used).unwrap_or(u64::MAX).div_ceil(WORD) + 1);
        if let Ok(short) = u8::try_from(bytes.len()) {
            self.out.extend_from_slice(&[SMALL_BIG, short]);
        } else {
            self.out.push(LARGE_BIG);
            self.length(bytes.len());
        }
        self.out.push(u8::from(negative));
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn begin_list(&mut self) -> Mark {
        self.begin(LIST)
    }

    pub(crate) fn end_list(&mut self, mark: Mark, length: usize) {
        if length == 0 {
            self.truncate(mark.0);
        } else {
            self.set_length(mark, length);
            self.takes(u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(2));
        }
        self.out.push(NIL);
    }

    pub(crate) fn begin_map(&mut self) -> Mark {
        self.begin(MAP)
    }

    /// Ends a map of these entries, in the order of writing. If a key is repeated, its last entry
    /// counts; the BEAM refuses maps with repeated keys.
    pub(crate) fn end_map(&mut self, mark: Mark, entries: &mut Vec<Entry>) {
        if self.has_duplicates(entries) {
            self.drop_duplicates(entries);
        }
        self.set_length(mark, entries.len());
        // A header, a size, a tuple of keys and the values; a tree if there are many.
        self.takes(u64::try_from(entries.len()).unwrap_or(u64::MAX).saturating_mul(2) + 4);
    }

    /// Most objects have a handful of keys: comparing each with each is fastest.
    fn has_duplicates(&self, entries: &[Entry]) -> bool {
        if entries.len() <= 12 {
            return entries.iter().enumerate().any(|(index, entry)| {
                entries.iter().take(index).any(|other| self.key(entry) == self.key(other))
            });
        }
        let mut keys: Vec<&[u8]> = entries.iter().map(|entry| self.key(entry)).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair.first() == pair.last())
    }

    fn drop_duplicates(&mut self, entries: &mut Vec<Entry>) {
        let Some(start) = entries.first().map(|entry| entry.key) else { return };
        let tail: Vec<u8> = self.out.get(start..).unwrap_or_default().to_vec();
        let slice = |from: usize, to: usize| tail.get(from - start..to - start).unwrap_or_default();
        let mut seen = std::collections::HashSet::new();
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        kept.extend(
            entries.iter().rev().filter(|entry| seen.insert(slice(entry.key, entry.value))),
        );
        kept.reverse();
        self.truncate(start);
        for entry in &kept {
            self.out.extend_from_slice(slice(entry.key, entry.end));
        }
        *entries = kept;
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        self.out.get(entry.key..entry.value).unwrap_or_default()
    }

    fn begin(&mut self, tag: u8) -> Mark {
        let mark = Mark(self.out.len());
        self.out.extend_from_slice(&[tag, 0, 0, 0, 0]);
        mark
    }

    fn length(&mut self, length: usize) {
        self.out.extend_from_slice(&length_bytes(length));
    }

    pub(crate) fn set_length(&mut self, mark: Mark, length: usize) {
        if let Some(field) = self.out.get_mut(mark.0 + 1..mark.0 + 5) {
            field.copy_from_slice(&length_bytes(length));
        }
    }
}

/// A length as the format has it.
fn length_bytes(length: usize) -> [u8; 4] {
    // A body has at most 4 GiB (`cron_max_page_bytes`), so nothing in it is longer.
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;
