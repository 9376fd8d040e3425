%%% @doc Whether this host node may push at present. Outside a cluster it always may. In a cluster it may while the
%%% database knows it and its acks can be saved: otherwise another host node may own its processes by now.
-module(hb_cron_lease).

-export([allows/0]).

%% @doc To be called before each call of the host that delivers something.
-spec allows() -> boolean().
allows() ->
    case hb_cron_registry:engine() of
        {ok, Engine, _Ticker} -> hb_process_monitor_nif:lease_allows(Engine);
        none -> true
    end.
