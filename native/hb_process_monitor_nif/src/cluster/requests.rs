//! What Erlang asks of the database of the cluster, and the answers as terms: see
//! `hb_cron_cluster_request` in Erlang.

use crate::atoms;
use crate::inquiry::next_question;
use crate::options::{binaries, position};
use crate::outbox::OUTBOX;
use crate::terms::{bytes_term, position_term};
use cron_checkpoint::{decode_position, encode_position};
use cron_engine::{Position, ProcessId};
use cron_postgres::{
    Answer, Cluster, Known, Located, NewLetter, Request, RequestError, SavedLetter, Start,
    WishState,
};
use rustler::types::tuple::get_tuple;
use rustler::{Atom, Binary, Decoder, Encoder, Env, Error, LocalPid, NifResult, Term};

/// Sends a request. The process gets `{hb_cron_answer, Number, Answer}`.
pub(crate) fn send(env: Env<'_>, cluster: &Cluster, request: Term<'_>) -> NifResult<u64> {
    let request = read(request)?;
    let (number, pid) = (next_question(), env.pid());
    let form = match request {
        Request::Letter(..) => Form::OneLetter,
        Request::Tidy(_)
        | Request::Stop(_)
        | Request::AskToPoll(_)
        | Request::Ended(..)
        | Request::Settle { .. } => Form::Done,
        _ => Form::Other,
    };
    cluster.request(request, move |answer| reply(pid, number, form, answer));
    Ok(number)
}

/// How the answer to a request is shown.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `ok`, whether something changed or not
    Done,
    /// `{ok, Letter, IsWished}`
    OneLetter,
    /// By the answer alone.
    Other,
}

fn reply(pid: LocalPid, number: u64, form: Form, answer: Result<Answer, RequestError>) {
    OUTBOX.send(pid, move |env| {
        let answer = match &answer {
            Ok(answer) => answer_term(env, form, answer),
            Err(error) => (atoms::error(), error.to_string()).encode(env),
        };
        (atoms::hb_cron_answer(), number, answer).encode(env)
    });
}

/// Reads starts: a list of `{Process, Options, Cursor}`. `leaves`: processes that are known are left.
fn starts(list: Term<'_>, leaves: bool) -> NifResult<Vec<Start>> {
    list.list_length()?;
    let starts: Vec<(Binary<'_>, Binary<'_>, Term<'_>)> = list.decode()?;
    let read =
        |(process, options, cursor): (Binary<'_>, Binary<'_>, Term<'_>)| -> NifResult<Start> {
            let process = ProcessId::new(&process).ok_or(Error::BadArg)?;
            let position = position(cursor)?;
            let known = match position {
                _ if leaves => Known::Leave,
                Position::Unresolved => Known::Continue,
                _ => Known::Restart,
            };
            let position = encode_position(&position);
            Ok(Start { process, options: options.to_vec(), position, known })
        };
    starts.into_iter().map(read).collect()
}

/// Reads a request: `marks`, or a tuple of its name, a process, and more.
fn read(term: Term<'_>) -> NifResult<Request> {
    if term.decode::<Atom>().is_ok_and(|name| name == atoms::marks()) {
        return Ok(Request::Marks);
    }
    let parts = get_tuple(term)?;
    let [name, process, rest @ ..] = parts.as_slice() else { return Err(Error::BadArg) };
    let name: Atom = name.decode()?;
    if name == atoms::tidy() {
        let before: i64 = process.decode()?;
        return Ok(Request::Tidy((before > 0).then_some(before)));
    }
    if name == atoms::find() {
        let processes = binaries(*process)?;
        let ids = processes.iter().map(|it| ProcessId::new(it).ok_or(Error::BadArg));
        return Ok(Request::Find(ids.collect::<NifResult<_>>()?));
    }
    if name == atoms::start() || name == atoms::add() {
        return Ok(Request::Start(starts(*process, name == atoms::add())?));
    }
    let process = ProcessId::new(&process.decode::<Binary<'_>>()?).ok_or(Error::BadArg)?;
    let request = match rest {
        [] if name == atoms::stop() => Request::Stop(process),
        [] if name == atoms::forget() => Request::Forget(process),
        [] if name == atoms::tick() => Request::AskToPoll(process),
        [generation] if name == atoms::ended() => Request::Ended(process, generation.decode()?),
        [id] if name == atoms::letter() => Request::Letter(process, id.decode()?),
        [id] if name == atoms::redeliver() => Request::Redeliver(process, id.decode()?),
        [id] if name == atoms::discard() => Request::Discard(process, vec![id.decode()?]),
        [generation, options] if name == atoms::set_options() => {
            let (generation, options) = (generation.decode()?, bytes(*options)?);
            Request::SetOptions { process, generation, options }
        }
        [after, most] if name == atoms::letters() => {
            let (letters, bytes): (u16, u32) = most.decode()?;
            Request::Letters { process, after: after.decode()?, letters, bytes }
        }
        [id, wish] if name == atoms::wish() => {
            Request::WishState { process, id: id.decode()?, wish: wish.decode()? }
        }
        [id, wish, outcome] if name == atoms::settle() => {
            let outcome = match outcome.decode::<Atom>() {
                Ok(done) if done == atoms::ok() => Ok(()),
                _ => Err(bytes(outcome.decode::<(Atom, Term<'_>)>()?.1)?),
            };
            Request::Settle { process, id: id.decode()?, wish: wish.decode()?, outcome }
        }
        _ => return Err(Error::BadArg),
    };
    Ok(request)
}

fn bytes(term: Term<'_>) -> NifResult<Vec<u8>> {
    Ok(Binary::decode(term)?.to_vec())
}

fn answer_term<'a>(env: Env<'a>, form: Form, answer: &Answer) -> Term<'a> {
    let ok = || atoms::ok().encode(env);
    let not_found = || (atoms::error(), atoms::not_found()).encode(env);
    match (form, answer) {
        (Form::Done, Answer::Changed(_)) | (_, Answer::Changed(true)) => ok(),
        (_, Answer::Changed(false) | Answer::Wished(None)) => not_found(),
        (_, Answer::ChangedEach(each)) => (atoms::ok(), each).encode(env),
        (_, Answer::Marks(marks)) => (atoms::ok(), marks).encode(env),
        (_, Answer::Wished(Some(wish))) => (atoms::ok(), wish).encode(env),
        (_, Answer::Wish(state)) => (atoms::ok(), wish_term(env, state)).encode(env),
        (Form::OneLetter, Answer::Letters { letters, .. }) => match letters.as_slice() {
            [saved, ..] => {
                (atoms::ok(), letter_term(env, &saved.letter), saved.is_wished).encode(env)
            }
            [] => not_found(),
        },
        (_, Answer::Letters { letters, more, all }) => {
            let letters: Vec<_> =
                letters.iter().map(|SavedLetter { letter, .. }| letter_term(env, letter)).collect();
            (atoms::ok(), letters, more, all).encode(env)
        }
        (_, Answer::Processes(processes)) => {
            let rows: Vec<_> = processes.iter().map(|located| located_term(env, located)).collect();
            (atoms::ok(), rows).encode(env)
        }
        (_, _) => (atoms::error(), "unexpected answer").encode(env),
    }
}

fn wish_term<'a>(env: Env<'a>, state: &WishState) -> Term<'a> {
    match state {
        WishState::Open => atoms::open().encode(env),
        WishState::Gone => atoms::gone().encode(env),
        WishState::Replaced => atoms::replaced().encode(env),
        WishState::Refused(reason) => (atoms::refused(), bytes_term(env, reason)).encode(env),
    }
}

fn letter_term<'a>(env: Env<'a>, letter: &NewLetter) -> Term<'a> {
    let [cursor, result, error] =
        [&letter.cursor, &letter.result, &letter.error].map(|part| bytes_term(env, part));
    (letter.id, letter.at, letter.attempts, cursor, result, error).encode(env)
}

fn located_term<'a>(env: Env<'a>, Located { row, owner, mine }: &Located) -> Term<'a> {
    let position = decode_position(&row.position).unwrap_or(Position::Unresolved);
    let owner = match owner {
        Some((_, name)) => name.encode(env),
        None => atoms::undefined().encode(env),
    };
    let pairs = [
        (atoms::process(), bytes_term(env, row.process.as_str().as_bytes())),
        (atoms::watched(), row.watched.encode(env)),
        (atoms::ended(), row.ended.encode(env)),
        (atoms::options(), bytes_term(env, &row.options)),
        (atoms::generation(), row.generation.encode(env)),
        (atoms::cursor(), position_term(env, &position)),
        (atoms::at(), row.at.encode(env)),
        (atoms::mine(), mine.encode(env)),
        (atoms::owner(), owner),
    ];
    Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| atoms::undefined().encode(env))
}
