%%% Double of an early host's own push device, which cannot be used: it expects a record that no code creates.
-module(dev_mu).
-export([push/2]).

push(#{message := Message}, _State) -> error({badrecord, Message}).
