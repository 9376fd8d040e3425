%%% Stands for HyperBEAM's module of this name, which an installation replaces. It raises when called, so that a
%%% test can tell the two apart.
-module(hb_process_monitor).
-export([start/1, start/2, start/3, stop/1]).

start(_) -> error(original).
start(_, _) -> error(original).
start(_, _, _) -> error(original).
stop(_) -> error(original).
