%%% Double of an early host's resolver: the scheduler device and the current slot of a process. It accepts unsigned
%%% and tampered messages. A missing message or one that is not a map hangs the caller and the process's scheduler
%%% for ever. A process of another node returns `ok' without effect.
-module(hb_converge).
-export([resolve/2, resolve/3]).

resolve(Message, Request) -> resolve(Message, Request, #{}).

resolve(#{device := <<"Scheduler/1.0">>, process := #{<<"Id">> := Id}} = Base,
        #{path := <<"Schedule">>, <<"Method">> := <<"POST">>} = Request, #{} = Opts) ->
    host_double:call({hb_converge, resolve}, [Base, Request, Opts], fun() ->
        host_double:take(35),
        case host_double:kind(Id) of
            local ->
                Slot = host_double:schedule(Id, maps:get(<<"Message">>, Request, undefined)),
                {ok, #{<<"Status">> => <<"OK">>, <<"Slot">> => Slot}};
            foreign ->
                {ok, #{<<"Status">> => <<"Failed">>, <<"Body">> => <<"Scheduler location not found.">>}}
        end
    end);
resolve(#{<<"Id">> := Id}, #{path := <<"Slot">>}, #{}) ->
    {ok, #{<<"Current-Slot">> => length(host_double:scheduled(Id))}}.
