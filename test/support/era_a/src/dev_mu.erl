%%% Double of an early host's own push device, which cannot be used: it wants a record that nothing
%%% makes.
-module(dev_mu).
-export([push/2]).

push(#{message := Message}, _State) -> error({badrecord, Message}).
