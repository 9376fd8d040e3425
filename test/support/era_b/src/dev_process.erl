%%% Double of a later host's process device.
-module(dev_process).
-export([ensure_process_key/2]).

ensure_process_key(#{<<"process">> := _} = Process, _Opts) -> Process;
ensure_process_key(#{} = Process, _Opts) -> Process#{<<"process">> => Process}.
