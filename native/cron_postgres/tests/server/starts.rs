//! Many starts by few statements, also on a server that is killed in the middle of them.

use crate::node::{Node, fresh, process, until, url};
use cron_postgres::{Answer, Known, Request, RequestError, Start};
use postgres_server::Server;

fn start(number: usize, position: &[u8], known: Known) -> Start {
    Start { process: process(number), options: b"o".into(), position: position.into(), known }
}

fn starts(numbers: impl Iterator<Item = usize>) -> Request {
    Request::Start(numbers.map(|number| start(number, b"0", Known::Restart)).collect())
}

#[test]
fn many_starts_reach_the_owner_with_an_answer_for_each() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    node.begin(process(3));
    let each = Ok(Answer::ChangedEach((0..600).map(|number| number != 3).collect()));
    assert_eq!(node.ask(starts(0..600)), each);
    for number in 0..600 {
        node.seen(process(number), |row| row.watched);
    }
    let unchanged = Ok(Answer::ChangedEach(vec![false; 600]));
    assert_eq!(node.ask(starts(0..600)), unchanged, "all are watched");
    assert_eq!(node.ask(Request::Start(vec![])), Ok(Answer::ChangedEach(vec![])));
}

#[test]
fn many_starts_treat_each_known_process_as_wanted() {
    let (_server, url) = fresh();
    let node = Node::alone(&url);
    for number in 0..3 {
        node.begin(process(number));
        assert_eq!(node.ask(Request::Stop(process(number))), Ok(Answer::Changed(true)));
    }
    let (_, before) = node.seen(process(1), |row| !row.watched);
    let wanted = vec![
        start(0, b"7", Known::Restart),
        start(1, b"7", Known::Continue),
        start(2, b"7", Known::Leave),
        start(3, b"7", Known::Leave),
        // Of one process the first start counts.
        start(0, b"8", Known::Continue),
        start(3, b"8", Known::Restart),
    ];
    let each = Ok(Answer::ChangedEach(vec![true, true, false, true, false, false]));
    assert_eq!(node.ask(Request::Start(wanted)), each);
    assert_eq!(node.seen(process(0), |row| row.watched).1.position, b"7");
    let (_, row) = node.seen(process(1), |row| row.watched);
    assert_eq!((row.generation, row.position.as_slice()), (before.generation, &b"0"[..]));
    assert_eq!(node.seen(process(3), |row| row.watched).1.position, b"7");
    assert!(!node.row(process(2)).unwrap().1.watched);
}

#[test]
fn starts_of_two_nodes_at_once_start_each_process_once() {
    let (_server, url) = fresh();
    let nodes = [Node::alone(&url), Node::start(&url, "other")];
    let answers = std::thread::scope(|scope| {
        let asking: Vec<_> = nodes
            .iter()
            .map(|node| {
                scope.spawn(|| {
                    (0..5).map(|n| node.ask(starts(n * 100..n * 100 + 300))).collect::<Vec<_>>()
                })
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let changed = answers.iter().flatten().map(|answer| {
        let Ok(Answer::ChangedEach(each)) = answer else { panic!("{answer:?}") };
        each.iter().filter(|changed| **changed).count()
    });
    assert_eq!(changed.sum::<usize>(), 700);
}

/// The caller repeats what has no answer, and each process is started once.
#[test]
fn starts_on_a_server_that_is_killed_meanwhile_are_repeated() {
    let server = Server::start(&[], &[]);
    let node = Node::alone(&url(&server, &server.create_database()));
    let mut failed = 0;
    for part in 0..20 {
        if part == 10 {
            server.kill();
        }
        let numbers = part * 50..part * 50 + 50;
        until("the part is started", || match node.ask(starts(numbers.clone())) {
            Ok(Answer::ChangedEach(each)) => each.len() == 50,
            Err(RequestError::Database(_)) => {
                failed += 1;
                if failed == 1 {
                    server.run();
                }
                false
            }
            other => panic!("{other:?}"),
        });
    }
    assert!(failed > 0, "the server was gone");
    for number in 0..1000 {
        node.seen(process(number), |row| row.watched);
    }
}
