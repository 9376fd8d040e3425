//! What users ask for, on a node that owns the process and on one that does not.

use crate::node::{Node, fresh, process, until};
use cron_postgres::{Answer, Import, Known, NewLetter, Request, Start, WishState};

fn letter(id: i64, result: &[u8]) -> NewLetter {
    NewLetter {
        id,
        at: 5,
        attempts: 3,
        cursor: b"c".into(),
        error: b"e".into(),
        result: result.into(),
    }
}

#[test]
fn wishes_reach_the_owner() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    let one = process(1);
    node.begin(one);
    let (_, first) = node.seen(one, |row| row.watched);
    assert_eq!((first.options.as_slice(), first.position.as_slice()), (&b"options"[..], &b"0"[..]));
    let done = Ok(Answer::Changed(true));
    let set_options = |generation| {
        node.ask(Request::SetOptions { process: one, generation, options: b"paused".into() })
    };
    assert_eq!(set_options(first.generation ^ 1), Ok(Answer::Changed(false)));
    assert_eq!(set_options(first.generation), done);
    node.seen(one, |row| row.options == b"paused");
    assert_eq!(node.ask(Request::AskToPoll(one)), done);
    node.seen(one, |row| row.asked != 0);
    let start = |known| {
        let start = Start { process: one, options: b"o".into(), position: b"9".into(), known };
        node.ask(Request::Start(vec![start]))
    };
    let (started, left) =
        (Ok(Answer::ChangedEach(vec![true])), Ok(Answer::ChangedEach(vec![false])));
    for known in [Known::Leave, Known::Continue, Known::Restart] {
        assert_eq!(start(known), left, "it is watched");
    }
    assert_eq!(node.ask(Request::Stop(one)), done);
    node.seen(one, |row| !row.watched);
    assert_eq!(start(Known::Leave), left);
    assert_eq!(start(Known::Continue), started);
    let (_, row) = node.seen(one, |row| row.watched);
    assert_eq!((row.generation, row.position.as_slice()), (first.generation, &b"0"[..]));
    assert_eq!(node.ask(Request::Stop(one)), done);
    assert_eq!(start(Known::Restart), started);
    let (_, row) = node.seen(one, |row| row.generation != first.generation);
    assert_eq!(row.position, b"9");
}

#[test]
fn process_is_forgotten_once_its_monitor_has_ended() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    let one = process(1);
    node.begin(one);
    let (_, row) = node.seen(one, |row| row.watched);
    let (done, left) = (Ok(Answer::Changed(true)), Ok(Answer::Changed(false)));
    let ended = |generation| node.ask(Request::Ended(one, generation));
    assert_eq!(node.ask(Request::Forget(one)), left);
    assert_eq!(ended(row.generation), left, "it is watched");
    assert_eq!(node.ask(Request::Stop(one)), done);
    assert_eq!(node.ask(Request::Forget(one)), left);
    assert_eq!(ended(row.generation ^ 1), left, "that is another start");
    assert_eq!(ended(row.generation), done);
    assert_eq!(node.ask(Request::Forget(one)), done);
    until("it is gone", || node.row(one).is_none());
    assert_eq!(node.ask(Request::Stop(one)), Ok(Answer::Changed(false)));
}

#[test]
fn redelivery_is_settled_by_the_owner() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    let one = process(1);
    node.begin(one);
    let mut acked = node.acked(one, 2);
    acked.letters = vec![letter(1, b"r"), letter(2, b"rr")];
    node.cluster.commit(vec![acked]).unwrap();
    assert_eq!(node.ask(Request::Redeliver(one, 7)), Ok(Answer::Wished(None)));
    let Ok(Answer::Wished(Some(wish))) = node.ask(Request::Redeliver(one, 1)) else { panic!() };
    let state = |id, wish| node.ask(Request::WishState { process: one, id, wish });
    assert_eq!(state(1, wish), Ok(Answer::Wish(WishState::Open)));
    node.seen(one, |row| row.wishes == [(1, wish)]);
    let settle = |id, wish, outcome| node.ask(Request::Settle { process: one, id, wish, outcome });
    assert_eq!(settle(1, wish, Err(b"no".into())), Ok(Answer::Changed(true)));
    assert_eq!(state(1, wish), Ok(Answer::Wish(WishState::Refused(b"no".into()))));
    let Ok(Answer::Wished(Some(again))) = node.ask(Request::Redeliver(one, 1)) else { panic!() };
    assert_eq!(state(1, wish), Ok(Answer::Wish(WishState::Refused(b"no".into()))));
    assert_eq!(state(1, wish ^ 1), Ok(Answer::Wish(WishState::Replaced)));
    assert_eq!(settle(1, wish, Ok(())), Ok(Answer::Changed(false)), "an older wish");
    assert_eq!(settle(1, again, Ok(())), Ok(Answer::Changed(true)));
    assert_eq!(state(1, again), Ok(Answer::Wish(WishState::Gone)));
    assert_eq!(node.ask(Request::Discard(one, vec![2])), Ok(Answer::Changed(true)));
    assert_eq!(node.ask(Request::Discard(one, vec![2])), Ok(Answer::Changed(false)));
}

#[test]
fn letters_are_read_in_ranges() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    let one = process(1);
    let letters: Vec<_> = (1..=5).map(|id| letter(id, &[7; 98])).collect();
    let import = Import {
        process: one,
        watched: true,
        options: b"o".into(),
        position: b"5".into(),
        at: 7,
        letters: letters.clone(),
    };
    let done = Ok(Answer::Changed(true));
    assert_eq!(node.ask(Request::Import(Box::new(import))), done);
    assert_eq!(node.seen(one, |_| true).1.last_letter, 5);
    let read = |after, count, bytes| {
        let range = Request::Letters { process: one, after, letters: count, bytes };
        let Ok(Answer::Letters { letters, more, all: 5 }) = node.ask(range) else { panic!() };
        (letters.into_iter().map(|it| it.letter).collect::<Vec<_>>(), more)
    };
    assert_eq!(read(0, 10, 10_000), (letters.clone(), false));
    assert_eq!(read(0, 2, 10_000), (letters[..2].to_vec(), true));
    assert_eq!(read(2, 10, 200), (letters[2..4].to_vec(), true));
    assert_eq!(read(4, 1, 1), (letters[4..].to_vec(), false));
    let Ok(Answer::Letters { letters, .. }) = node.ask(Request::Letter(one, 3)) else { panic!() };
    assert_eq!((letters.len(), letters[0].is_wished), (1, false));
    let count = Answer::LetterCount { letters: 5, bytes: 500 };
    assert_eq!(node.ask(Request::CountLetters), Ok(count));
}

#[test]
fn import_of_many_letters_takes_several_statements() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    let letters: Vec<_> = (1..=2500).map(|id| letter(id, b"r")).collect();
    let import = Import {
        process: process(1),
        watched: false,
        options: Vec::new(),
        position: Vec::new(),
        at: 7,
        letters,
    };
    let done = Ok(Answer::Changed(true));
    assert_eq!(node.ask(Request::Import(Box::new(import.clone()))), done);
    let count = |letters, bytes| Ok(Answer::LetterCount { letters, bytes });
    assert_eq!(node.ask(Request::CountLetters), count(2500, 7500));
    let few = Import { letters: vec![letter(2, b"r")], ..import };
    assert_eq!(node.ask(Request::Import(Box::new(few))), done);
    assert_eq!(node.ask(Request::CountLetters), count(1, 3));
}

#[test]
fn process_is_found_from_any_node() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    for number in 0..5 {
        node.begin(process(number));
    }
    let find = Request::Find(vec![process(3), process(9)]);
    let Ok(Answer::Processes(found)) = node.ask(find.clone()) else { panic!() };
    assert!(found[0].mine);
    assert_eq!(found[0].owner.as_ref().unwrap().1, "alone");
    let other = Node::start(&url, "other");
    let Ok(Answer::Processes(found)) = other.ask(find) else { panic!() };
    assert_eq!((found.len(), found[0].row.process), (1, process(3)));
    assert_eq!(other.ask(Request::Find(vec![process(9)])), Ok(Answer::Processes(vec![])));
    let list = |after, processes| {
        let Ok(Answer::Processes(found)) = other.ask(Request::List { after, processes }) else {
            panic!()
        };
        found.into_iter().map(|located| located.row.process).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 2), [process(0), process(1)]);
    assert_eq!(list(Some(process(1)), 10), [process(2), process(3), process(4)]);
}
