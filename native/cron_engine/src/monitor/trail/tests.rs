use super::*;
use base64::prelude::{BASE64_STANDARD, Engine};

fn cursor(timestamp: u64, cron: &str) -> Vec<u8> {
    let json = format!(r#"{{"timestamp":{timestamp},"ordinate":"1","cron":"{cron}"}}"#);
    BASE64_STANDARD.encode(json).into_bytes()
}

fn go(trail: &mut Trail, cursor: &[u8]) -> Result<(), Refused> {
    trail.advance(&mut Reader::default(), cursor, false, u64::MAX).map(drop)
}

#[test]
fn trail_says_the_time_of_each_result_whose_cursor_shows_it() {
    let (mut trail, mut reader) = (Trail::default(), Reader::default());
    let mut time = |cursor: &[u8]| trail.advance(&mut reader, cursor, false, u64::MAX);
    assert_eq!(time(&cursor(5, "0-1-second")), Ok(Some(5)));
    assert_eq!(time(b"opaque"), Ok(None));
    assert_eq!(time(&cursor(6, "0-1-second")), Ok(Some(6)));
}

#[test]
fn trail_goes_forward_and_through_results_of_one_time() {
    let mut trail = Trail::default();
    for (timestamp, cron) in [(5, "0-1-second"), (5, "1-1-second"), (6, "0-1-second")] {
        assert_eq!(go(&mut trail, &cursor(timestamp, cron)), Ok(()));
    }
    assert_eq!(trail.timestamp(), Some(6));
}

#[test]
fn trail_refuses_what_lies_behind_and_what_comes_twice() {
    let mut trail = Trail::default();
    go(&mut trail, &cursor(5, "0-1-second")).unwrap();
    go(&mut trail, &cursor(5, "1-1-second")).unwrap();
    for (timestamp, cron) in [(4, "0-1-second"), (5, "0-1-second"), (5, "1-1-second")] {
        assert!(go(&mut trail, &cursor(timestamp, cron)).is_err());
    }
    go(&mut trail, &cursor(6, "0-1-second")).unwrap();
    assert!(go(&mut trail, &cursor(5, "2-1-second")).is_err());
}

#[test]
fn result_beyond_the_horizon_is_refused_and_not_gone_on_to() {
    let (mut trail, mut reader) = (Trail::default(), Reader::default());
    let mut go = |time| trail.advance(&mut reader, &cursor(time, "0-1-second"), false, 10);
    assert_eq!(go(10), Ok(Some(10)));
    assert_eq!(go(11), Err(Refused::Ahead(11)));
    assert_eq!(trail.timestamp(), Some(10));
}

#[test]
fn opaque_cursors_leave_no_trail() {
    let mut trail = Trail::default();
    for cursor in [b"b", b"a", b"a"] {
        assert_eq!(go(&mut trail, cursor), Ok(()));
    }
    assert_eq!(trail, Trail::default());
}

#[test]
fn step_is_short_while_no_schedule_is_known() {
    assert_eq!(Trail::default().step(1000), UNKNOWN_STEP);
    let mut trail = Trail::default();
    go(&mut trail, &cursor(1, "0-1-second")).unwrap();
    go(&mut trail, &cursor(2, "whenever")).unwrap();
    assert_eq!(trail.step(1000), UNKNOWN_STEP);
}

#[test]
fn step_is_what_the_known_schedules_fill_a_page_with() {
    let mut trail = Trail::default();
    go(&mut trail, &cursor(1, "0-1-second")).unwrap();
    assert_eq!(trail.step(51), 50_000);
    go(&mut trail, &cursor(2, "1-1-second")).unwrap();
    assert_eq!(trail.step(102), 50_000);
    // The fifth schedule says that there are four others.
    go(&mut trail, &cursor(3, "4-1-minute")).unwrap();
    assert_eq!(trail.step(105), 20_000);
    assert_eq!(trail.step(1), 1000);
    assert_eq!(trail.step(1000), MAX_STEP);
}

#[test]
fn next_result_is_due_an_interval_after_the_last_one_of_its_schedule() {
    let mut trail = Trail::default();
    assert_eq!(trail.due(), None);
    go(&mut trail, &cursor(100_700, "0-10-seconds")).unwrap();
    assert_eq!(trail.due(), Some(110));
    go(&mut trail, &cursor(107_000, "1-1-minute")).unwrap();
    assert_eq!(trail.due(), Some(110));
    go(&mut trail, &cursor(110_100, "0-10-seconds")).unwrap();
    assert_eq!(trail.due(), Some(120));
    // Those of 120 to 150 did not come, and cannot come any more.
    go(&mut trail, &cursor(167_000, "1-1-minute")).unwrap();
    assert_eq!(trail.due(), Some(170));
}

#[test]
fn result_of_a_second_in_which_another_came_is_still_due() {
    let mut trail = Trail::default();
    go(&mut trail, &cursor(100_000, "0-10-seconds")).unwrap();
    go(&mut trail, &cursor(100_000, "1-20-seconds")).unwrap();
    go(&mut trail, &cursor(110_000, "0-10-seconds")).unwrap();
    go(&mut trail, &cursor(120_000, "0-10-seconds")).unwrap();
    assert_eq!(trail.due(), Some(120));
    go(&mut trail, &cursor(120_000, "1-20-seconds")).unwrap();
    assert_eq!(trail.due(), Some(130));
    assert!(trail.is_of_one_time(2) && !trail.is_of_one_time(3));
}

#[test]
fn schedule_seen_ahead_is_due_from_the_position_on() {
    let mut trail = Trail::default();
    go(&mut trail, &cursor(100_000, "0-10-seconds")).unwrap();
    let mut ahead = Trail::default();
    go(&mut ahead, &cursor(163_000, "1-20-seconds")).unwrap();
    trail.learn_from(&ahead);
    assert_eq!(trail.due(), Some(103));
    go(&mut trail, &cursor(103_000, "1-20-seconds")).unwrap();
    assert_eq!(trail.due(), Some(110));
}

#[test]
fn schedules_of_which_nothing_tells_when_they_run_make_nothing_due() {
    for odd in ["1-10-blocks", "whenever", "1-1-month"] {
        let mut trail = Trail::default();
        go(&mut trail, &cursor(100_000, "0-10-seconds")).unwrap();
        assert!(trail.due().is_some());
        go(&mut trail, &cursor(105_000, odd)).unwrap();
        assert_eq!(trail.due(), None, "{odd}");
    }
}

#[test]
fn schedules_with_a_lower_number_than_one_seen_are_known_to_exist() {
    let mut trail = Trail::default();
    go(&mut trail, &cursor(100_000, "1-1-hour")).unwrap();
    assert!(trail.tells_of_unseen());
    go(&mut trail, &cursor(105_000, "0-5-minutes")).unwrap();
    assert!(!trail.tells_of_unseen());
    assert!(trail.covers(7200) && trail.covers(900) && !trail.covers(60));
}

#[test]
fn trail_keeps_no_more_results_of_one_time_than_it_may() {
    let mut trail = Trail::default();
    for result in 0..=MAX_RUN {
        go(&mut trail, &cursor(5, &format!("0-{}-second", result + 1))).unwrap();
    }
    assert!(go(&mut trail, &cursor(5, &format!("0-{MAX_RUN}-second"))).is_err());
    assert_eq!(go(&mut trail, &cursor(5, &format!("0-{}-second", MAX_RUN + 1))), Ok(()));
}

#[test]
fn step_of_more_schedules_than_are_told_apart_is_short() {
    let mut trail = Trail::default();
    let mut steps = Vec::new();
    for schedule in 0..=MAX_SCHEDULES {
        go(&mut trail, &cursor(5, &format!("{schedule}-1-second"))).unwrap();
        steps.push(trail.step(1000));
    }
    assert_eq!(steps[MAX_SCHEDULES - 2..], [14_000, 14_000, UNKNOWN_STEP]);
}

#[test]
fn trail_that_learns_of_schedules_takes_each_once_and_goes_nowhere() {
    let of = |names: &[&str]| {
        let mut trail = Trail::default();
        for name in names {
            go(&mut trail, &cursor(5, name)).unwrap();
        }
        trail
    };
    let mut trail = of(&["0-10-second"]);
    trail.learn_from(&of(&["0-10-second"]));
    assert_eq!((trail.step(9), trail.timestamp()), (80_000, Some(5)));
    trail.learn_from(&of(&["0-1-second"]));
    assert_eq!(trail.step(42), 20_000);
    trail.learn_from(&of(&["whenever"]));
    assert_eq!(trail.step(42), UNKNOWN_STEP);
}
