//! The bytes of each kind of term, and what the term is counted to take.

use super::*;

fn integer(negative: bool, digits: &str) -> Vec<u8> {
    let mut writer = TermWriter::default();
    writer.integer(negative, digits).unwrap();
    writer.into_bytes()
}

#[test]
fn integer_of_each_width_uses_its_shortest_form() {
    assert_eq!(integer(false, "0"), [97, 0]);
    assert_eq!(integer(false, "255"), [97, 255]);
    assert_eq!(integer(false, "256"), [98, 0, 0, 1, 0]);
    assert_eq!(integer(true, "1"), [98, 255, 255, 255, 255]);
    assert_eq!(integer(false, "2147483648"), [110, 4, 0, 0, 0, 0, 128]);
    assert_eq!(integer(true, "4294967296"), [110, 5, 1, 0, 0, 0, 0, 1]);
}

#[test]
fn integer_wider_than_64_bits_keeps_every_digit() {
    // 2^72 and 2^64
    assert_eq!(
        integer(false, "4722366482869645213696"),
        [110, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    );
    assert_eq!(integer(true, "18446744073709551616"), [110, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let large = integer(false, &"9".repeat(MAX_DIGITS));
    assert_eq!(large.first(), Some(&LARGE_BIG));
}

#[test]
fn integer_of_too_many_digits_is_refused() {
    let mut writer = TermWriter::default();
    assert_eq!(writer.integer(false, &"1".repeat(MAX_DIGITS + 1)), None);
}

/// What a term takes on a heap, in words.
fn words(write: impl FnOnce(&mut TermWriter)) -> u64 {
    let mut writer = TermWriter::default();
    write(&mut writer);
    assert_eq!(writer.memory() % WORD, 0);
    writer.memory() / WORD
}

#[test]
fn memory_of_a_term_is_counted_in_words_of_the_beam() {
    assert_eq!(words(|writer| writer.binary(b"")), 2);
    assert_eq!(words(|writer| writer.binary(&[b'x'; 64])), 8 + 2);
    assert_eq!(words(|writer| writer.binary(&[b'x'; 65])), 9 + 9);
    assert_eq!(words(|writer| writer.float(1.5)), 2);
    assert_eq!(words(|writer| writer.signed(1)), 0);
    assert_eq!(words(|writer| writer.signed(i64::MAX)), 1 + 1);
    assert_eq!(words(|writer| writer.integer(false, &"9".repeat(30)).unwrap()), 2 + 1);
    let list = |length| {
        move |writer: &mut TermWriter| {
            let mark = writer.begin_list();
            writer.end_list(mark, length);
        }
    };
    assert_eq!((words(list(0)), words(list(3))), (0, 6));
    let map = |writer: &mut TermWriter| {
        let mark = writer.begin_map();
        let mut entries: Vec<Entry> = Vec::new();
        for key in [b"a", b"b", b"c"] {
            let start = writer.position();
            writer.binary(key);
            entries.push(Entry { key: start, value: writer.position(), end: writer.position() });
        }
        writer.end_map(mark, &mut entries);
    };
    assert_eq!(words(map), 3 * 3 + 3 * 2 + 4, "three keys, and the map");
}

#[test]
fn list_without_elements_is_nil() {
    let mut writer = TermWriter::default();
    let mark = writer.begin_list();
    writer.end_list(mark, 0);
    assert_eq!(writer.into_bytes(), [106]);
}

fn map_of(keys: &[&str]) -> Vec<u8> {
    let mut writer = TermWriter::default();
    let mut entries = Vec::new();
    let mark = writer.begin_map();
    for (value, key) in keys.iter().enumerate() {
        let start = writer.position();
        writer.binary(key.as_bytes());
        let value_at = writer.position();
        writer.integer(false, &value.to_string()).unwrap();
        entries.push(Entry { key: start, value: value_at, end: writer.position() });
    }
    writer.end_map(mark, &mut entries);
    writer.into_bytes()
}

#[test]
fn map_with_a_key_twice_keeps_the_last_value() {
    assert_eq!(
        map_of(&["a", "b", "a"]),
        [116, 0, 0, 0, 2, 109, 0, 0, 0, 1, b'b', 97, 1, 109, 0, 0, 0, 1, b'a', 97, 2]
    );
}

#[test]
fn map_of_many_keys_with_one_twice_loses_just_that_one() {
    let mut keys: Vec<String> = (0..50).map(|key| key.to_string()).collect();
    keys.push("7".into());
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let written = map_of(&keys);
    assert_eq!(written.get(1..5), Some(&50_u32.to_be_bytes()[..]));
}
