%%% @doc Ends the stand-ins of processes that are not monitored any more: they may have been stopped on any host node.
%%%
%%% Each change of a process changes the mark of its shard in the database. So a check reads the marks, and looks only for
%%% the processes of shards whose mark has changed, and for those whose start was recorded since the last check. While
%%% nothing changes, it is one small statement for any number of stand-ins.
-module(hb_cron_stand_in_check).
-behaviour(gen_server).

-export([start_link/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% The time between two checks, in ms.
-define(EVERY, 5000).
%% How many processes are looked for at a time.
-define(PART, 500).

-type marks() :: #{Shard :: non_neg_integer() => Mark :: integer()}.

-spec start_link() -> gen_server:start_ret().
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% @private
%% The state: the marks at the last complete check.
-spec init([]) -> {ok, marks()}.
init([]) ->
    _ = erlang:send_after(?EVERY, self(), check),
    {ok, #{}}.

%% @private
-spec handle_call(term(), gen_server:from(), marks()) -> {reply, {error, unknown_call}, marks()}.
handle_call(_Call, _From, Marks) ->
    {reply, {error, unknown_call}, Marks}.

%% @private
-spec handle_cast(term(), marks()) -> {noreply, marks()}.
handle_cast(_Cast, Marks) ->
    {noreply, Marks}.

%% @private
-spec handle_info(term(), marks()) -> {noreply, marks(), hibernate}.
handle_info(check, Marks) ->
    Checked = check(Marks),
    _ = erlang:send_after(?EVERY, self(), check),
    {noreply, Checked, hibernate};
handle_info(_Stray, Marks) ->
    {noreply, Marks, hibernate}.

%% The marks are read first: what changes during the check is found by the next one.
check(Before) ->
    case hb_cron_cluster_request:call(marks) of
        {ok, Read} ->
            Marks = maps:from_list(Read),
            Changed = maps:filter(fun(Shard, Mark) -> maps:get(Shard, Before, none) =/= Mark end, Marks),
            case find(hb_cron_stand_ins:to_check(Changed)) of
                ok -> Marks;
                error -> Before
            end;
        {error, _} ->
            Before
    end.

find([]) -> ok;
find(ProcIds) ->
    {Part, Rest} = lists:split(min(?PART, length(ProcIds)), ProcIds),
    case hb_cron_cluster_request:call({find, Part}) of
        {ok, Rows} ->
            Watched = [ProcId || #{process := ProcId, watched := true} <- Rows],
            lists:foreach(fun hb_cron_stand_ins:gone/1, Part -- Watched),
            lists:foreach(fun hb_cron_stand_ins:checked/1, Watched),
            find(Rest);
        {error, _} ->
            error
    end.
