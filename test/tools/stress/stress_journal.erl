%%% Records the pushes of a {@link stress} run and detects broken rules: results are skipped only after a forget,
%%% once for each, and no two pushes of a process run at once.
-module(stress_journal).

-export([create/2, delete/0]).
-export([pushing/3, forgetting/2, discarding/3]).
-export([is_complete/1, may_jump/1, given_up/1, standing/1, violations/0, totals/0, count/1]).

%% A result may have been given up after this many failures.
-define(ATTEMPTS, 2).

%% {{process, Id}, High, Forgets}: the highest number pushed, and the number of skips that forgets allow.
%% {{pushing, Id}, Pid}. {{failed, Id, Number}, Count}. {{passed, Id, Number}}: given up, and not pushed since.
%% {{violation, N}, What}. {{count, What}, N}.
-define(TABLE, ?MODULE).

create(Cu, Ids) ->
    Self = self(),
    %% Owned by a separate process, because monitors and callers may die.
    Owner = spawn(fun() ->
        ?TABLE = ets:new(?TABLE, [named_table, public, set]),
        true = ets:insert(?TABLE, [{cu, Cu} | [{{process, Id}, 0, 0} || Id <- Ids]]),
        Self ! {created, self()},
        receive delete -> ok end
    end),
    receive {created, Owner} -> persistent_term:put(?MODULE, Owner) end.

delete() -> persistent_term:get(?MODULE) ! delete, ok.

%% Records a push; `Push' returns whether it succeeds.
pushing(Id, Number, Push) ->
    alone(Id),
    Succeeds = Push(),
    Outcome = case Succeeds of
        true ->
            delivered(Id, Number),
            ok;
        false ->
            ets:update_counter(?TABLE, {failed, Id, Number}, 1, {{failed, Id, Number}, 0}),
            {error, out_of_luck}
    end,
    true = ets:delete(?TABLE, {pushing, Id}),
    Outcome.

alone(Id) ->
    Self = self(),
    case ets:insert_new(?TABLE, {{pushing, Id}, Self}) of
        true -> ok;
        false ->
            case ets:lookup(?TABLE, {pushing, Id}) of
                [{_, Other}] ->
                    is_process_alive(Other) andalso violation({two_pushes_at_once, Id, Other, Self}),
                    true = ets:insert(?TABLE, {{pushing, Id}, Self});
                [] ->
                    alone(Id)
            end
    end.

delivered(Id, Number) ->
    count(pushed),
    true = ets:delete(?TABLE, {passed, Id, Number}),
    [{_, High, Forgets}] = ets:lookup(?TABLE, {process, Id}),
    if
        Number =< High -> count(repeated);
        true ->
            Skipped = [N || N <- lists:seq(High + 1, Number - 1), not is_passed(Id, N)],
            _ = case Skipped of
                [] when Forgets =:= 0 ->
                    Passed = [N || N <- lists:seq(High + 1, Number - 1), not ets:member(?TABLE, {discarded, Id, N})],
                    true = ets:insert(?TABLE, [{{passed, Id, N}} || N <- Passed]);
                [] -> ok;
                _ when Forgets > 0 -> count(jumped);
                _ -> violation({skipped, Id, hd(Skipped), Number})
            end,
            true = ets:insert(?TABLE, {{process, Id}, Number, 0})
    end.

is_passed(Id, Number) ->
    case ets:lookup(?TABLE, {failed, Id, Number}) of
        [{_, Count}] -> Count >= ?ATTEMPTS;
        [] -> false
    end.

%% A caller forgets a process. From before the call on the process may skip results, once if the call succeeds.
forgetting(Id, Forget) ->
    _ = ets:update_counter(?TABLE, {process, Id}, {3, 1}),
    case Forget() of
        ok ->
            count(forgotten),
            %% Its dead letters are removed.
            true = ets:match_delete(?TABLE, {{passed, Id, '_'}}),
            ok;
        %% The outcome is unknown.
        {error, Reason} when is_binary(Reason) -> ok;
        {raised, _} -> ok;
        {error, monitored} -> ets:update_counter(?TABLE, {process, Id}, {3, -1, 0, 0})
    end.

%% A caller discards a letter, perhaps before the next result is pushed.
discarding(Id, Number, Discard) ->
    case Discard() of
        {error, not_found} -> ok;
        _ ->
            true = ets:insert(?TABLE, {{discarded, Id, Number}}),
            true = ets:delete(?TABLE, {passed, Id, Number})
    end.

%% Whether all results of the CU were pushed or given up.
is_complete(Id) ->
    #{high := High, of_all := All, forgets := Forgets} = standing(Id),
    Forgets =:= 0 andalso lists:all(fun(N) -> is_passed(Id, N) end, lists:seq(High + 1, All)).

%% Whether it was forgotten, and nothing was pushed since.
may_jump(Id) -> maps:get(forgets, standing(Id)) > 0.

%% Results that were given up and must be dead letters.
given_up(Id) -> [Number || [Number] <- ets:match(?TABLE, {{passed, Id, '$1'}})].

standing(Id) ->
    [{cu, Cu}] = ets:lookup(?TABLE, cu),
    [{_, High, Forgets}] = ets:lookup(?TABLE, {process, Id}),
    #{high => High, of_all => test_cu:count(Cu, Id), forgets => Forgets}.

violation(What) -> true = ets:insert(?TABLE, {{violation, erlang:unique_integer()}, What}).

violations() -> [What || [What] <- ets:match(?TABLE, {{violation, '_'}, '$1'})].

count(What) -> ets:update_counter(?TABLE, {count, What}, 1, {{count, What}, 0}).

totals() -> maps:from_list([{What, Count} || [What, Count] <- ets:match(?TABLE, {{count, '$1'}, '$2'})]).
