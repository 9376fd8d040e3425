%%% Stands for the module of this name that a release of HyperBEAM brings along, and that an
%%% installation replaces. It raises when it is called, so that a test sees which of the two is there.
-module(hb_process_monitor).
-export([start/1, start/2, start/3, stop/1]).

start(_) -> error(original).
start(_, _) -> error(original).
start(_, _, _) -> error(original).
stop(_) -> error(original).
