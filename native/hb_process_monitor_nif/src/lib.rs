//! The NIF of `hb_process_monitor`: it runs [`cron_engine`] on a dirty scheduler, does the
//! engine's input and output on threads of its own, and talks to Erlang processes in messages.
//!
//! # In scope
//! * [`nifs`]: the functions for engines and monitors; [`checkpoint_nifs`] and [`inspection_nifs`]: those for
//!   the checkpoint and for operators. Each takes microseconds, except `run/2` and those that read files
//! * [`runner`]: the loop that drives the engine, in slices; [`inbox`]: its commands and flags; [`sender`]: its
//!   messages to monitors
//! * [`fetcher`]: one fetch, from the request to the page that the monitor has [`in_hand`]
//! * [`registration`] and [`resources`]: what threads share of one monitor, and of one engine; [`handle`] and
//!   [`engine_handle`]: what Erlang holds of them
//! * [`outbox`]: the thread that sends log records ([`logger`]), [`events`] and answers ([`inquiry`])
//! * [`metrics`]: counts and durations
//!
//! # Out of scope
//! Deciding anything: when to tick, what to fetch and what a body means is the engine's. Talking
//! HTTP: that is [`cron_io`]'s.
#![deny(missing_docs)]
// A cdylib exports its NIFs, not Rust items.
#![allow(unreachable_pub, clippy::redundant_pub_crate)]

mod checkpoint_nifs;
mod cluster;
mod cluster_nifs;
mod engine_handle;
mod events;
mod fetcher;
mod handle;
mod heap_limit;
mod in_hand;
mod inbox;
mod inquiry;
mod inspection_nifs;
mod last_message;
mod logger;
mod metrics;
mod nifs;
mod nodes;
mod noted;
mod options;
mod outbox;
mod registration;
mod resources;
mod runner;
mod sender;
mod start;
mod suspends;
mod terms;
mod transfer_nifs;

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
        held,
        hb_cron_cluster,
        owned,
        stop,
        left,
        find,
        marks,
        forget,
        start,
        add,
        letter,
        letters,
        redeliver,
        discard,
        ended,
        set_options,
        wish,
        settle,
        tidy,
        gone,
        replaced,
        refused,
        process,
        watched,
        options,
        generation,
        cursor,
        at,
        mine,
        owner,
        name,
        me,
        leaving,
        beat_age,
        shards,
        connected,
        incarnation,
        nodes,
        moving,
        unread,
        all_shards,
        ttl_ms,
        unconfirmed_ms,
        latency_us,
        unsaved_ms,
        may_push,
        cron_cluster,
        expected,
        rate,
        every_tick,
        expecting,
        rarely,
        no_result,
        untimed,
        unseen,
        delay,
        blocks,
        never,
    }
}

rustler::init!("hb_process_monitor_nif");
