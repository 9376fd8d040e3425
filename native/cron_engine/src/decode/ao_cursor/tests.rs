//! Parsing of AO cursors in both ways: by their usual form, and as JSON.

use super::*;

fn read(json: &str) -> Option<AoCursor> {
    Reader::default().read(BASE64_STANDARD.encode(json).as_bytes())
}

#[test]
fn cursors_read_one_after_the_other_say_what_each_says_by_itself() {
    let times = [
        "7",
        "8",
        "1760000001000",
        "0",
        "07",
        "",
        "-1",
        "1.5",
        "1e3",
        "\"9\"",
        "null",
        "18446744073709551616",
    ];
    let rests = [
        r#","ordinate":"1","cron":"0-1-second","sort":"ASC"}"#,
        r#","ordinate":"2","cron":"0-1-second","sort":"ASC"}"#,
        r#","ordinate":"2"}"#,
        "}",
        r#","timestamp":5}"#,
        r#","cron":7}"#,
        "",
        ",",
    ];
    let mut reader = Reader::default();
    for (time, rest) in times.iter().flat_map(|time| rests.map(|rest| (time, rest))) {
        for json in ["8", time, "8"].map(|time| format!("{{\"timestamp\":{time}{rest}")) {
            let bytes = BASE64_STANDARD.encode(&json);
            assert_eq!(reader.read(bytes.as_bytes()), AoCursor::parse(json.as_bytes()), "{json}");
        }
    }
}

proptest::proptest! {
    // Miri takes minutes for many, and has no working directory to keep failures in.
    #![proptest_config(proptest::test_runner::Config {
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn any_cursors_read_one_after_the_other_say_what_each_says_by_itself(
        cursors in proptest::collection::vec(("[0-9]{0,21}", "[,}.e]", "(\"ordinate\":\"[12]\")?", "[},]?"), 1..20),
    ) {
        let mut reader = Reader::default();
        for (time, then, ordinate, end) in cursors {
            let json = format!("{{\"timestamp\":{time}{then}{ordinate}{end}");
            let bytes = BASE64_STANDARD.encode(&json);
            proptest::prop_assert_eq!(reader.read(bytes.as_bytes()), AoCursor::parse(json.as_bytes()), "{}", json);
        }
    }
}

#[test]
fn cursor_of_a_cron_result_says_its_time_and_schedule() {
    let json = r#"{"timestamp":1760000001000,"ordinate":"1","cron":"0-1-second","sort":"ASC"}"#;
    let cursor = read(json).unwrap();
    assert_eq!(cursor.timestamp, 1_760_000_001_000);
    assert!(cursor.cron.is_some());
    let cron = Cron::of(BASE64_STANDARD.encode(json).as_bytes()).unwrap();
    assert_eq!((cron.schedules, cron.interval), (1, Interval::Seconds(1)));
}

#[test]
fn cursor_with_its_time_as_text_and_another_sort_is_the_same_result() {
    let new = read(r#"{"timestamp":7,"ordinate":"1","cron":"0-1-second","sort":"ASC"}"#);
    let old = read(r#"{"timestamp":"7","ordinate":1,"cron":"0-1-second","sort":"DESC"}"#);
    assert_eq!(new, old);
    assert_ne!(new, read(r#"{"timestamp":7,"ordinate":"1","cron":"1-1-second"}"#));
    assert_ne!(new, read(r#"{"timestamp":7,"ordinate":"2","cron":"0-1-second"}"#));
}

#[test]
fn cursors_whose_ordinates_are_other_texts_are_of_other_results() {
    let ordinate = |json: &str| read(&format!(r#"{{"timestamp":7,"ordinate":{json}}}"#)).unwrap();
    assert_ne!(ordinate(r#""a""#), ordinate(r#""b""#));
    assert_ne!(ordinate(r#""a""#), ordinate("null"));
    assert_eq!(ordinate(r#""a""#), ordinate(r#""\u0061""#));
}

#[test]
fn cursor_of_a_scheduled_result_has_no_schedule() {
    for json in [r#"{"timestamp":7,"ordinate":"3"}"#, r#"{"timestamp":7,"cron":null}"#] {
        assert_eq!(read(json).unwrap().cron, None);
    }
}

#[test]
fn cursor_that_is_anything_else_is_opaque() {
    for bytes in ["", "1760000001000", "c1", "e30=", "!", "bnVsbA==", &"A".repeat(1000)] {
        assert_eq!(Reader::default().read(bytes.as_bytes()), None, "{bytes}");
    }
    for json in ["{}", r#"{"timestamp":-1}"#, r#"{"timestamp":1.5}"#, r#"{"timestamp":"x"}"#] {
        assert_eq!(read(json), None, "{json}");
    }
    assert_eq!(read(r#"{"timestamp":99999999999999999999}"#), None);
}

#[test]
fn schedule_names_say_their_interval_as_the_tag_does() {
    let interval = |name: &str| Cron::named(name).interval;
    for (name, read) in [
        ("0-10-minutes", Interval::Seconds(600)),
        ("3-1-hour", Interval::Seconds(3600)),
        ("1-1 hour", Interval::Seconds(3600)),
        ("0- 2 - h", Interval::Seconds(7200)),
        ("0-1-year", Interval::Seconds(31_557_600)),
        ("0-10-blocks", Interval::Blocks),
        ("0-1-month", Interval::Unreadable),
    ] {
        assert_eq!(interval(name), read, "{name}");
    }
    assert_eq!(Cron::named("3-1-hour").schedules, 4);
    for odd in ["", "0", "x-1-minute", "-1-minute", "0-0-seconds", "0->>>?~~", "0--1-day"] {
        assert_eq!(interval(odd), Interval::Unreadable, "{odd}");
    }
}
