//! Tests of the book: what each call changes, and which changes are durable.

use super::*;
use cron_engine::Cursor;

const LIMITS: LetterLimits = LetterLimits { count: 10, bytes: 1000, unwritten_bytes: 1000 };

fn process() -> ProcessId {
    ProcessId::new(&[b'p'; 43]).unwrap()
}

fn after(text: &str) -> Position {
    Position::After(Cursor::new(text.as_bytes()).unwrap())
}

fn record(position: Position) -> Record {
    Record { position, watched: true, at: 1, options: [].into() }
}

fn letter(bytes: usize) -> Letter {
    Letter { id: 0, at: 0, attempts: 1, cursor: vec![], result: vec![0; bytes], error: vec![] }
}

fn book() -> Book {
    Book::new(Contents::default())
}

/// Begins a registration of the process at this position.
fn begin(book: &mut Book, epoch: u64, position: Position) -> Arc<Track> {
    let track = Arc::new(Track::new(process(), epoch));
    book.begin(&track, record(position));
    track
}

#[test]
fn book_ignores_an_older_registration() {
    let mut book = book();
    begin(&mut book, 2, after("two"));
    book.moved(&process(), 1, after("one"), 5);
    book.ended(&process(), 1, false, 5);
    begin(&mut book, 1, after("one"));
    assert_eq!(book.find(&process(), 5), Some(&record(after("two"))));
}

#[test]
fn book_knows_a_start_as_durable_once_its_batch_is_written() {
    let mut book = book();
    let durable = |book: &Book, at: &str| book.is_durable(&process(), &after(at));
    begin(&mut book, 1, after("one"));
    assert!(!durable(&book, "one"));
    let (_, failed) = book.take_pending();
    assert!(!durable(&book, "one"), "it is only being written");
    let (_, number) = book.take_pending();
    assert!(failed < number);
    book.written(number);
    assert!(durable(&book, "one"), "the later batch has absorbed the one that failed");
    book.moved(&process(), 1, after("two"), 5);
    begin(&mut book, 2, after("two"));
    assert!(durable(&book, "two"), "it goes on: a crash leaves at least its start");
    let (_, number) = book.take_pending();
    begin(&mut book, 3, after("elsewhere"));
    book.written(number);
    assert!(!durable(&book, "elsewhere"), "that was not in the batch");
}

#[test]
fn book_of_a_file_without_a_start_does_not_take_a_later_one_for_durable() {
    let mut contents = Contents::default();
    contents.records.insert(process(), record(Position::Unresolved));
    let mut book = Book::new(contents);
    begin(&mut book, 1, Position::Unresolved);
    book.moved(&process(), 1, after("found"), 5);
    assert!(!book.is_durable(&process(), &after("found")));
}

#[test]
fn book_in_memory_is_always_durable_and_collects_nothing() {
    let mut book = Book::in_memory();
    let track = begin(&mut book, 1, after("one"));
    assert!(book.is_durable(&process(), &after("one")));
    assert_eq!(book.give_up(process(), 1, letter(1), LIMITS), Err(Full));
    track.note(1, Cursor::new(b"two").unwrap());
    assert_eq!(book.find(&process(), 5).map(|r| r.position.clone()), Some(after("two")));
    book.ended(&process(), 1, true, 6);
    assert!(!book.has_pending());
}

#[test]
fn process_with_a_live_registration_is_not_forgotten() {
    let mut book = book();
    let track = begin(&mut book, 1, Position::Earliest);
    track.note(1, Cursor::new(b"one").unwrap());
    assert_eq!(book.forget(process()), Err(Monitored));
    assert_eq!(book.find(&process(), 5).map(|r| r.position.clone()), Some(after("one")));
    book.ended(&process(), 1, true, 5);
    assert_eq!(book.forget(process()), Ok(0));
    assert_eq!(book.find(&process(), 5), None);
}

#[test]
fn forgotten_process_ignores_its_old_registration() {
    let mut book = book();
    begin(&mut book, 1, Position::Earliest);
    book.give_up(process(), 1, letter(7), LIMITS).unwrap();
    book.ended(&process(), 1, false, 5);
    assert_eq!(book.forget(process()).unwrap(), letter(7).bytes());
    book.moved(&process(), 1, after("late"), 5);
    book.give_up(process(), 1, letter(7), LIMITS).unwrap();
    assert_eq!(book.find(&process(), 5), None);
    assert_eq!((book.letters().count(), book.letters().bytes()), (0, 0));
}

#[test]
fn stopped_process_is_not_resumed_however_its_registration_ends() {
    let mut book = book();
    begin(&mut book, 4, Position::Earliest);
    book.stopped(&process(), 4, 5);
    assert!(book.find(&process(), 5).unwrap().watched, "the fence is older");
    book.stopped(&process(), 5, 5);
    book.ended(&process(), 4, true, 6);
    assert!(!book.find(&process(), 6).unwrap().watched);
    begin(&mut book, 7, Position::Earliest);
    book.ended(&process(), 7, true, 8);
    assert!(book.find(&process(), 8).unwrap().watched, "it was started again");
}

#[test]
fn options_of_a_live_registration_are_replaced_until_it_ends() {
    let mut book = book();
    begin(&mut book, 1, after("a"));
    let options = |text: &str| Arc::from(text.as_bytes());
    let kept = |book: &mut Book| book.find(&process(), 0).unwrap().options.to_vec();
    assert!(book.set_live_options(&process(), 1, options("paused")));
    assert_eq!(b"paused".to_vec(), kept(&mut book));
    assert!(book.has_pending());
    // A later registration has its own.
    begin(&mut book, 2, after("a"));
    assert!(!book.set_live_options(&process(), 1, options("late")));
    book.ended(&process(), 2, true, 0);
    assert!(!book.set_live_options(&process(), 2, options("late")));
    assert_ne!(b"late".to_vec(), kept(&mut book));
}

#[test]
fn letters_beyond_a_limit_in_number_or_bytes_are_refused() {
    let mut book = book();
    begin(&mut book, 1, Position::Earliest);
    let own = letter(0).bytes();
    let mut give_up = |bytes, limits| book.give_up(process(), 1, letter(bytes), limits);
    let few = LetterLimits { count: 1, ..LIMITS };
    assert_eq!(give_up(0, few), Ok(1));
    assert_eq!(give_up(0, few), Err(Full));
    let small = LetterLimits { bytes: 3 * own, ..LIMITS };
    assert_eq!(give_up(1 + usize::try_from(own).unwrap(), small), Err(Full));
    assert_eq!(give_up(usize::try_from(own).unwrap(), small), Ok(2));
    let unwritten = LetterLimits { unwritten_bytes: 3 * own, ..LIMITS };
    assert_eq!(give_up(0, unwritten), Err(Full));
    let (_, number) = book.take_pending();
    assert_eq!(book.give_up(process(), 1, letter(0), unwritten), Err(Full), "it is in memory");
    book.written(number);
    assert_eq!(book.give_up(process(), 1, letter(0), unwritten), Ok(3));
    assert_eq!(book.discard(process(), 2), Some(2 * own));
    assert_eq!(book.discard(process(), 2), None);
    assert_eq!(book.letters().bytes(), 2 * own);
    assert_eq!(book.give_up(process(), 1, letter(0), LIMITS), Ok(4), "no number comes twice");
}

#[test]
fn stopped_processes_expire_in_slices_and_others_do_not() {
    let mut contents = Contents { written: 0, ..Contents::default() };
    let processes: Vec<_> =
        (0..10).map(|n| ProcessId::new(format!("{n:0>43}").as_bytes()).unwrap()).collect();
    for (n, process) in processes.iter().enumerate() {
        let at = u64::try_from(n).unwrap();
        let record = Record { watched: n % 2 == 0, at, ..record(Position::Earliest) };
        contents.records.insert(*process, record);
    }
    contents.letters.insert((processes[1], 1), 5);
    let mut book = Book::new(contents);
    let (mut from, mut expired) = (None, 0);
    loop {
        let (count, next) = book.expire_from(from.as_ref(), 3, 6);
        expired += count;
        if next.is_none() {
            break;
        }
        from = next;
    }
    // Of the stopped processes 1, 3 and 5, only 1 has a dead letter.
    assert_eq!(expired, 2);
    let left = |n: usize, book: &mut Book| book.find(&processes[n], 9).is_some();
    let kept: Vec<_> = (0..10).filter(|n| left(*n, &mut book)).collect();
    assert_eq!(kept, [0, 1, 2, 4, 6, 7, 8, 9]);
}

#[test]
fn book_of_a_file_counts_a_watched_monitor_as_running_until_it_was_last_written() {
    let mut contents = Contents { written: 100, ..Contents::default() };
    let other = ProcessId::new(&[b'o'; 43]).unwrap();
    contents.records.insert(process(), record(Position::Earliest));
    contents.records.insert(other, Record { watched: false, ..record(Position::Earliest) });
    let mut book = Book::new(contents);
    assert_eq!(book.find(&process(), 5).unwrap().at, 100);
    assert_eq!(book.find(&other, 5).unwrap().at, 1);
}
