%%% Double of a later host's scheduler: two messages of the same content are indistinguishable, so each takes a
%%% slot. An uncommitted message takes a slot too, and breaks its process for good.
-module(dev_scheduler).
-export([schedule/3, slot/3]).

schedule(#{} = Base, #{<<"method">> := <<"POST">>, <<"body">> := #{<<"target">> := Id} = Message} = Request, Opts) ->
    host_double:call({dev_scheduler, schedule}, [Base, Request, Opts], fun() ->
        host_double:take(30),
        case {hb_message:verify(Message), host_double:kind(Id)} of
            {_, not_found} ->
                throw({process_not_available, Id});
            {false, _} ->
                {error, #{<<"status">> => 400, <<"body">> => <<"Message is not valid.">>}};
            {_, no_scheduler} ->
                {error, <<"No scheduler information provided.">>};
            {_, foreign} ->
                %% The answer of a gateway that does not know the process either.
                host_double:take(200),
                error({badmatch, {error, not_found}});
            {Verified, _} ->
                Slot = host_double:schedule(Id, Message),
                Verified =:= unsigned andalso host_double:break(Id),
                case Message of
                    #{<<"type">> := _} -> {ok, #{<<"slot">> => Slot, <<"process">> => Id}};
                    #{} -> error({case_clause, not_found})
                end
        end
    end).

slot(#{}, #{<<"target">> := Id}, _Opts) ->
    {ok, #{<<"current">> => length(host_double:scheduled(Id))}}.
