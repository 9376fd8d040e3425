//! While a job of a pool waits for the network, at any point of its request, the next job starts.
//! Name resolution is tested in `resolver.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

#[allow(dead_code, reason = "each test crate uses its own part")]
mod util;

use cron_io::{Client, Job, Pool};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use util::{LIMITS, Peer, Server, client, get, ok};

/// Shorter than a request's time limit.
const SOON: Duration = Duration::from_secs(10);

struct Ask {
    client: Client,
    url: String,
    answered: Option<Sender<Vec<u8>>>,
}

impl Job for Ask {
    type Scratch = ();

    fn run(self, (): &mut ()) {
        let answer = get(&self.client, &self.url, &LIMITS);
        if let (Some(answered), Ok(answer)) = (self.answered, answer) {
            let _ = answered.send(answer);
        }
    }

    fn refuse(self, error: &std::io::Error) {
        unreachable!("{error}");
    }
}

/// A server that runs `script` on each connection, sends the connection's number to the test, and
/// then hangs.
fn server(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Server, Receiver<usize>) {
    let (came, comes) = channel();
    let came = Mutex::new(came);
    let server = Server::new(move |peer| {
        script(peer);
        came.lock().unwrap().send(peer.number).unwrap();
        peer.hang();
    });
    (server, comes)
}

fn all_come(client: &Client, url: &str, comes: &Receiver<usize>) {
    let pool = Pool::new("test").lease(8);
    for _ in 0..5 {
        let (client, url) = (client.clone(), url.to_owned());
        pool.submit(Ask { client, url, answered: None });
    }
    for _ in 0..5 {
        comes.recv_timeout(SOON).expect("a job was held up by a waiting job");
    }
}

#[test]
fn requests_whose_answers_do_not_come_all_set_out() {
    let (server, comes) = server(|peer| assert!(peer.request().is_some()));
    all_come(&client(), &server.url(), &comes);
}

#[test]
fn connections_whose_handshakes_do_not_end_all_set_out() {
    let (server, comes) = server(|_| {});
    all_come(&client(), &server.url().replace("http:", "https:"), &comes);
}

#[test]
fn request_on_a_kept_connection_whose_answer_does_not_come_lets_the_next_set_out() {
    let (server, comes) = server(|peer| {
        if peer.number == 1 {
            assert!(peer.request().is_some());
            assert!(peer.send(ok("kept")));
        }
        assert!(peer.request().is_some());
    });
    let client = client();
    let pool = Pool::new("test").lease(8);
    let ask = |answered| Ask { client: client.clone(), url: server.url(), answered };
    let (answered, answers) = channel();
    pool.submit(ask(Some(answered)));
    assert_eq!(answers.recv_timeout(SOON).unwrap(), b"kept");
    pool.submit(ask(None));
    pool.submit(ask(None));
    let mut came = [comes.recv_timeout(SOON).unwrap(), comes.recv_timeout(SOON).unwrap()];
    came.sort_unstable();
    assert_eq!(came, [1, 2]);
}
