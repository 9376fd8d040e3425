%%% A look at a node's monitors from a program: those in trouble, and how far behind the others are.
-module(watch).

-export([troubles/0, worst_lag/0]).

%% Those that fetch or push in vain now, with why, page by page: there may be very many.
troubles() -> troubles(<<>>).

troubles(After) ->
    {Rows, Next} = hb_process_monitor:list(#{state => backing_off, start_after => After, limit => 1000}),
    Found = [{ProcId, What, Text} || #{process := ProcId, error := #{what := What, text := Text}} <- Rows],
    case Next of
        done -> Found;
        _ -> Found ++ troubles(Next)
    end.

%% In ms, `none' where no cursor shows a time.
worst_lag() ->
    case [Lag || #{lag := Lag} <- hb_process_monitor:list(), is_integer(Lag)] of
        [] -> none;
        Lags -> lists:max(Lags)
    end.
