//! The NIF of `hb_process_monitor`: it runs [`cron_engine`] on a dirty scheduler, does the
//! engine's input and output on threads of its own, and talks to Erlang processes in messages.
//!
//! # In scope
//! * [`nifs`]: the functions that Erlang calls, each of microseconds but `run/2` and `new/1`; those of
//!   the checkpoint are in [`checkpoint_nifs`]
//! * [`runner`]: the loop that drives the engine, in slices
//! * [`fetcher`]: one fetch, from the request to the page's [`parts`], which are handed out one by one
//! * [`inspect`]: what an operator asks
//! * [`outbox`], [`logger`]: what goes to the logs; [`events`]: what goes to whoever listens
//! * [`metrics`], [`pages`]: what is counted, and how long pages take
//!
//! # Out of scope
//! Deciding anything: when to tick, what to fetch and what a body means is the engine's. Talking
//! HTTP: that is [`cron_io`]'s.
#![deny(missing_docs)]
// A cdylib exports its NIFs, not Rust items.
#![allow(unreachable_pub, clippy::redundant_pub_crate)]

mod checkpoint_nifs;
mod events;
mod fetcher;
mod inspect;
mod logger;
mod metrics;
mod nifs;
mod nodes;
mod options;
mod outbox;
mod pages;
mod parts;
mod runner;
mod shared;
mod slot;
mod start;

mod atoms {
    rustler::atoms! {
        ok,
        error,
        undefined,
        earliest,
        tick,
        hb_cron,
        hb_cron_log,
        hb_cron_events,
        hb_cron_answer,
        failing,
        page,
        resolved,
        failed,
        recovered,
        passed,
        large,
        lost,
        stopped,
        busy,
        bad_node,
        bad_option,
        cron_cacertfile,
        checkpoint_unavailable,
        durable,
        full,
        not_found,
        monitored,
        too_large,
        new,
        resumed,
        overruled,
        stale,
        wait,
        unknown,
        hb_cron_probe,
        idle,
        resolving,
        polling,
        pushing,
        backing_off,
        paused,
        closed,
        open,
        half_open,
        trace,
        debug,
        info,
        warning,
        none,
        next,
    }
}

rustler::init!("hb_process_monitor_nif");
