%%% @doc Waits for the library's answer to a question. The library answers with a message, so no scheduler is
%%% held meanwhile, whatever the loop or the disk does.
-module(hb_cron_answer).

-export([of_library/2]).

%% @doc Asks, and waits for the answer for at most `Timeout' ms. `Ask' runs in a process of its own and gives the
%% number of its question, or an answer that is there at once. An answer that comes too late goes with that
%% process.
-spec of_library(Ask :: fun(() -> Number :: pos_integer() | {now, Answer}), timeout()) -> Answer | timeout.
of_library(Ask, Timeout) ->
    {Asker, Tag} = {self(), make_ref()},
    {_, Ref} = spawn_monitor(fun() -> Asker ! {Tag, answer(Ask(), Timeout)} end),
    receive
        {Tag, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, _, _} -> timeout
    end.

answer({now, Answer}, _Timeout) ->
    Answer;
answer(Number, Timeout) ->
    receive {hb_cron_answer, Number, Answer} -> Answer
    after Timeout -> timeout
    end.
