//! Reports of failures in a monitor's log: each kind at once, repeats ever less often, and the end of
//! it.

use crate::util::RATE;
use crate::util::watched::{Answer, Watched};
use crate::util::world::World;
use cron_engine::{Class, Failure, Report, Time};

#[test]
fn node_reports_ever_fewer_of_the_same_failures_and_then_the_recovery() {
    let mut watched = Watched::new(5, 10);
    watched.answers = (0..20).map(|_| Answer::Fail(Class::Timeout)).collect();
    watched.answers.extend([Answer::Good, Answer::Good, Answer::Fail(Class::Timeout)]);
    let mut world = World::new(1);
    let id = world.start(1, RATE, watched);
    world.run_until(Time::ZERO + RATE * 3600);
    let failed = |repeats| {
        let failure = Failure::new(Class::Timeout, "it went wrong");
        Report::Failed { failure, repeats }
    };
    let mut wanted: Vec<Report> = [1, 2, 4, 8, 16].map(failed).into();
    wanted.extend([
        Report::Recovered { failures: 20 },
        failed(1),
        Report::Recovered { failures: 1 },
    ]);
    assert_eq!(world.watched[&id].reports, wanted);
    assert_eq!(world.engine.counters().failures, 21);
}

#[test]
fn node_reports_a_failure_of_another_kind_at_once() {
    let mut watched = Watched::new(5, 10);
    watched.answers = (0..10).map(|_| Answer::Fail(Class::Timeout)).collect();
    watched.answers.push_back(Answer::Body(b"<html>".to_vec()));
    watched.answers.extend((0..4).map(|_| Answer::Fail(Class::Timeout)));
    let mut world = World::new(1);
    let id = world.start(1, RATE, watched);
    world.run_until(Time::ZERO + RATE * 3600);
    let told = world.watched[&id].reports.iter().map(|report| match report {
        Report::Failed { failure, repeats } => (failure.class.name(), *repeats),
        Report::Recovered { failures } => ("recovered", *failures),
        Report::Passed { to, .. } => ("passed", *to),
    });
    let timeout = "timeout";
    let wanted = [
        (timeout, 1),
        (timeout, 2),
        (timeout, 4),
        (timeout, 8),
        ("bad_json", 11),
        ("recovered", 15),
    ];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
}
