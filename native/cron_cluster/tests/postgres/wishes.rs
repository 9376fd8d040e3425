//! What users wish of processes and of dead letters, and what they read.

use crate::world::{A, B, World, claim, commit, commit_with};

/// The process `p` has two dead letters.
fn world_with_letters() -> World {
    let mut world = World::new();
    let letters = ["{p,p}", "{1,2}", "{5,6}", "{3,3}", "{1,2}", "{e,e}", "{r,rr}"];
    assert_eq!(world.other.run(&commit_with(A, 1, 2, letters)), "p");
    world
}

#[test]
fn beats_show_the_mark_of_a_wish() {
    let mut world = World::new();
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    world.other.run(&format!("EXECUTE renew_('{B}', true)"));
    let seen = world.other.run("EXECUTE watch_");
    let mut rows: Vec<&str> = seen.lines().collect();
    rows.sort_unstable();
    assert_eq!(rows, [format!("{A}|0|f|12"), format!("{B}|1|t|0")]);
}

/// The mark of shard 7, and those of the nodes A and B.
fn marks(world: &mut World) -> String {
    world.other.run(
        "SELECT mark, (SELECT string_agg(mark::text, ',' ORDER BY name) FROM hb_cron.node)
         FROM hb_cron.shard WHERE shard = 7",
    )
}

#[test]
fn each_wish_changes_the_marks_of_the_shard_and_of_its_owner() {
    let mut world = world_with_letters();
    for (mark, wish) in [
        (12, "EXECUTE stop_('p', 7, 12, 9)"),
        (13, "EXECUTE set_options_('p', 7, 13, 'x', 1)"),
        (14, "EXECUTE ask_to_poll_('p', 7, 14)"),
        (15, "EXECUTE wish_('p', 7, 15, 2)"),
        (16, "EXECUTE import_('p', 7, 16, true, '', '', 0, 5, '{}', '{}', '{}', '{}', '{}', '{}')"),
        (17, "EXECUTE forget_('p', 7, 17)"),
    ] {
        assert_eq!(world.other.run(wish), "", "{wish}");
        assert_eq!(marks(&mut world), format!("{mark}|{mark},0"), "{wish}");
    }
}

#[test]
fn wish_that_waits_for_a_commit_does_not_delay_a_renewal() {
    let mut world = World::new();
    let (mut committing, mut user) = (world.session(), world.session());
    committing.run("BEGIN");
    assert_eq!(committing.run(&commit(A, 1, 1)), "p");
    user.send("EXECUTE set_options_('p', 7, 13, 'x', 1)");
    world.blocked(&user);
    assert_eq!(world.other.run(&format!("EXECUTE renew_('{A}', false)")), "1");
    committing.run("COMMIT");
    assert_eq!(user.answer(), "");
    assert_eq!(marks(&mut world), "13|13,0");
}

#[test]
fn wish_does_not_wait_for_the_row_of_the_owner() {
    let mut world = World::new();
    let mut renewing = world.session();
    renewing.run("BEGIN");
    renewing.run(&format!("EXECUTE renew_('{A}', false)"));
    assert_eq!(world.other.run("EXECUTE stop_('p', 7, 12, 9)"), "");
    renewing.run("COMMIT");
    assert_eq!(marks(&mut world), "12|1,0", "its mark is only a hint");
}

#[test]
fn wish_to_redeliver_is_read_by_the_owner_until_it_is_settled() {
    let mut world = world_with_letters();
    world.other.run("EXECUTE wish_('p', 7, 20, 1)");
    world.other.run("EXECUTE wish_('p', 7, 21, 2)");
    let read = "EXECUTE read_('{7}')";
    assert!(world.other.run(read).ends_with("|{1,2}|{20,21}"));
    // Not by another node, and not with an earlier wish.
    assert_eq!(world.other.run(&format!("EXECUTE redelivered_('{B}', 'p', 1, 20)")), "");
    assert_eq!(world.other.run(&format!("EXECUTE redelivered_('{A}', 'p', 1, 19)")), "");
    assert_eq!(world.other.run(&format!("EXECUTE refuse_('{B}', 'p', 2, 21, 'no')")), "");
    assert_eq!(world.other.run(&format!("EXECUTE redelivered_('{A}', 'p', 1, 20)")), "1");
    assert_eq!(world.other.run(&format!("EXECUTE refuse_('{A}', 'p', 2, 21, 'no')")), "2");
    assert!(world.other.run(read).ends_with("|0|f||"));
    assert_eq!(world.other.run("EXECUTE wished_('p', 1)"), "");
    assert_eq!(world.other.run("EXECUTE wished_('p', 2)"), "21|21|\\x6e6f");
    world.other.run("EXECUTE wish_('p', 7, 22, 2)");
    assert!(world.other.run(read).ends_with("|{2}|{22}"));
    assert_eq!(world.other.run("EXECUTE wished_('p', 2)"), "22|21|\\x6e6f");
}

#[test]
fn letters_are_read_in_ranges_of_rows_and_bytes() {
    let mut world = world_with_letters();
    let mut ids = |after: u32, rows: u32, bytes: u32| {
        let read = world.other.run(&format!("EXECUTE letters_('p', {after}, {rows}, {bytes})"));
        let id = |row: &str| {
            let (first, last) = (row.split('|').next(), row.split('|').next_back());
            format!("{}:{}", first.expect("an id"), last.expect("a rest"))
        };
        read.lines().map(id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(0, 10, 1000), "1:2 2:1");
    assert_eq!(ids(0, 1, 1000), "1:2");
    assert_eq!(ids(0, 2, 1000), "1:2 2:1");
    // One has three bytes, two have seven.
    assert_eq!(ids(0, 10, 3), "1:2");
    assert_eq!(ids(0, 10, 0), "1:2");
    assert_eq!(ids(0, 10, 4), "1:2 2:1");
    assert_eq!(ids(1, 10, 4), "2:1");
    assert_eq!(ids(2, 10, 4), "");
}

#[test]
fn letters_of_owned_shards_are_counted() {
    let mut world = world_with_letters();
    let owned = |node| format!("EXECUTE owned_('{node}')");
    assert_eq!(world.other.run(&owned(A)), "2|7");
    assert_eq!(world.other.run(&owned(B)), "0|0");
    world.other.run("EXECUTE discard_('p', '{1,7}')");
    assert_eq!(world.other.run(&owned(A)), "1|4");
}

#[test]
fn marks_are_those_of_the_last_changes() {
    let mut world = World::new();
    assert_eq!(world.other.run("EXECUTE marks_"), "7|1");
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    world.other.run("EXECUTE start_('{q}', '{8}', 13, array[''::bytea], '{1}', 5)");
    let marks = world.other.run("EXECUTE marks_");
    let mut marks: Vec<&str> = marks.lines().collect();
    marks.sort_unstable();
    assert_eq!(marks, ["7|12", "8|13"]);
}

#[test]
fn process_is_found_with_the_node_that_owns_it() {
    let mut world = World::new();
    world.other.run("EXECUTE start_('{q}', '{8}', 3, array[''::bytea], '{1}', 5)");
    let row = "p|7|t|\\x|1|0|\\x30|0|5|0|f";
    let find = |me| format!("EXECUTE find_('{me}', '{{p,x}}')");
    assert_eq!(world.other.run(&find(A)), format!("{row}|{A}|a|t"));
    assert_eq!(world.other.run(&find(B)), format!("{row}|{A}|a|f"));
    world.other.run(&format!("EXECUTE bury_('{A}', 0, '1s')"));
    assert_eq!(world.other.run(&find(B)), format!("{row}|{A}||f"));
    let list = world.other.run(&format!("EXECUTE list_('{A}', '', 10)"));
    assert_eq!(list.lines().count(), 2);
    let list = world.other.run(&format!("EXECUTE list_('{A}', 'p', 10)"));
    assert_eq!(list, "q|8|t|\\x|3|0|\\x31|0|5|0|f|||f");
    assert_eq!(world.other.run(&claim(B, 8, 0)), "8|1");
    assert_eq!(world.other.run("EXECUTE nodes_"), format!("{B}|b|0|f|1"));
}

#[test]
fn import_replaces_the_process_and_its_letters() {
    let mut world = world_with_letters();
    world.other.run("EXECUTE wish_('p', 7, 20, 2)");
    let arrays = "'{2,9}', '{1,1}', '{1,1}', '{c,c}', '{e,e}', '{new,new}'";
    let import = format!("EXECUTE import_('p', 7, 30, false, 'o', 'x', 9, 8, {arrays})");
    assert_eq!(world.other.run(&import), "");
    let row =
        "SELECT watched, options, generation, seq, position, last_letter FROM hb_cron.process";
    assert_eq!(world.other.run(row), "f|\\x6f|30|0|\\x78|9");
    let letters = "SELECT id, encode(result, 'escape'), wish FROM hb_cron.letter ORDER BY id";
    assert_eq!(world.other.run(letters), "2|new|0\n9|new|0");
    // The rest of many, and one of an older import.
    let more = |generation| {
        format!(
            "EXECUTE import_letters_('p', {generation}, '{{10}}', '{{1}}', '{{1}}', '{{c}}', \
                 '{{e}}', '{{more}}')"
        )
    };
    world.other.run(&more(29));
    assert_eq!(world.other.run(letters), "2|new|0\n9|new|0");
    world.other.run(&more(30));
    assert_eq!(world.other.run(letters), "2|new|0\n9|new|0\n10|more|0");
    // The old monitor's commit.
    assert_eq!(world.other.run(&commit(A, 1, 3)), "");
}

#[test]
fn import_of_an_unknown_process_inserts_it() {
    let mut world = World::new();
    let arrays = "'{2}', '{1}', '{1}', '{c}', '{e}', '{r}'";
    let import = format!("EXECUTE import_('q', 7, 30, true, 'o', 'x', 2, 8, {arrays})");
    assert_eq!(world.other.run(&import), "");
    assert_eq!(world.other.run("SELECT process, id FROM hb_cron.letter"), "q|2");
}

#[test]
fn watched_position_is_as_young_as_the_cluster() {
    let mut world = World::new();
    let at = |world: &mut World| {
        world.other.run("EXECUTE read_('{7}')").split('|').nth(9).map(str::to_owned)
    };
    world.other.run("EXECUTE seen_(100000)");
    assert_eq!(at(&mut world).as_deref(), Some("100000"));
    world.other.run("EXECUTE seen_(100001)");
    assert_eq!(at(&mut world).as_deref(), Some("100000"), "it was noted a moment ago");
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    assert_eq!(at(&mut world).as_deref(), Some("9"));
}

#[test]
fn process_stopped_long_ago_expires_without_letters_alone() {
    let mut world = World::new();
    let expire = |world: &mut World, me: &str, before: u32| {
        world.other.run(&format!("EXECUTE expire_('{me}', {before})"));
        world.other.run("SELECT count(*) FROM hb_cron.process")
    };
    assert_eq!(expire(&mut world, A, 50), "1", "it is watched");
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    assert_eq!(expire(&mut world, A, 50), "1", "its monitor has not ended");
    world.other.run("EXECUTE ended_('p', 1)");
    assert_eq!(expire(&mut world, A, 9), "1", "it was stopped later");
    assert_eq!(expire(&mut world, B, 50), "1", "another node owns it");
    assert_eq!(expire(&mut world, A, 50), "0");
    let mut world = world_with_letters();
    world.other.run("EXECUTE stop_('p', 7, 12, 9)");
    world.other.run("EXECUTE ended_('p', 1)");
    assert_eq!(expire(&mut world, A, 50), "1", "it has dead letters");
}
