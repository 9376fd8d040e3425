%%% ANS-104 items as clients of AO sign them, recorded in test/support/items by test/tools/aoconnect/record.mjs with keys
%%% that were made for it.
-module(recorded_items).

-export([process/0, signer/0, ethereum_signer/0, item/1]).

%% The target of all items.
process() -> <<"ExampleProcess-ExampleProcess-ExampleProces">>.

%% The address that signed all but the item of Ethereum.
signer() -> <<"yi3HF82wAfd0v3D3h2CyXGdJMF33z3ABemCdm050No8">>.

ethereum_signer() -> <<"NNfw_nr-ItK-EUBE2H-SjH-QRLDxBGluUVlIkPOMzRU">>.

%% `monitor-1', `monitor-2', `unmonitor' or `ethereum'.
item(Name) ->
    {ok, Item} = file:read_file(harness:checkout(lists:concat(["test/support/items/", Name, ".item"]))),
    Item.
