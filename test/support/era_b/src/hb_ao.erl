%%% Double of a later host's resolver: a push from a slot. For a fault of the process's code it returns `ok', with
%%% the text in the data.
-module(hb_ao).
-export([resolve/3]).

resolve({as, <<"process@1.0">>, #{<<"process">> := #{<<"id">> := Id}}} = Base,
        #{<<"path">> := <<"push">>, <<"slot">> := Slot} = Request, #{} = Opts) ->
    host_double:call({hb_ao, resolve}, [Base, Request, Opts], fun() ->
        host_double:take(65),
        case {host_double:is_broken(Id), host_double:kind(Id)} of
            {true, _} ->
                {error, #{<<"status">> => 500, <<"body">> => <<"Compute failed.">>}};
            {false, lua_error} ->
                host_double:push(Id, Slot),
                {ok, #{<<"data">> => <<"[string \"aos\"]:1: attempt to index a nil value">>}};
            {false, _} ->
                host_double:push(Id, Slot),
                {ok, #{<<"slot">> => Slot}}
        end
    end).
