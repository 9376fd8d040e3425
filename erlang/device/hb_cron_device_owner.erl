%%% @doc The processes that an address started over HTTP. The address is the option `cron_owner' of the process, which
%%% the checkpoint keeps, so that limits hold after a restart.
-module(hb_cron_device_owner).

-export([of_process/1, all/1]).

%% @doc The owner of a process that is monitored, or is to be resumed: an address; `local' if it was started on this
%% node or by the operator.
-spec of_process(ProcId :: binary()) -> {ok, Address :: binary() | local} | none.
of_process(ProcId) ->
    case hb_cron_registry:find(ProcId) of
        {ok, {_, _, #{kept := Kept}}} -> {ok, maps:get(cron_owner, Kept, local)};
        none ->
            case lists:keyfind(ProcId, 1, watched()) of
                {_, Kept} -> {ok, owner(Kept)};
                false -> none
            end
    end.

%% @doc The processes of an address that are monitored, or are to be resumed, in the order of their ids.
-spec all(Address :: binary()) -> [ProcId :: binary()].
all(Address) ->
    %% Few of many are decoded.
    Kept = [ProcId || {ProcId, Kept} <- watched(), binary:match(Kept, Address) =/= nomatch, owner(Kept) =:= Address],
    lists:usort(hb_cron_registry:owned_by(Address) ++ Kept).

watched() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _} -> hb_process_monitor_nif:watched(Engine);
        none -> []
    end.

%% This node's own file: see {@link hb_cron_start}.
owner(Kept) ->
    case binary_to_term(Kept) of
        #{cron_owner := Address} -> Address;
        _ -> local
    end.
