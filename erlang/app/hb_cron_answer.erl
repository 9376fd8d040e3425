%%% @doc Waits for the library's answer to a question. The answer comes as a message, so no scheduler is held while
%%% the loop or the disk takes its time.
-module(hb_cron_answer).

-export([of_library/2]).

%% @doc Asks, and waits for the answer for at most `Timeout' ms. `Ask' runs in a process of its own, and returns
%% the number of its question or an immediate answer. A late answer is dropped with that process.
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
