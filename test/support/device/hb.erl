%%% Double of the host's module `hb': the address of the node's key file.
-module(hb).
-export([wallet/0, address/0]).

wallet() -> device_host:wallet(operator).

address() -> device_host:address(operator).
