%%% Double of the messages of a host of May 2025.
-module(hb_message).
-export([commit/2, commit/3, verify/1, verify/2, signers/1, id/3, with_only_committed/2]).

commit(Message, Opts) -> commit(Message, Opts, <<"httpsig@1.0">>).

commit(Message, Opts, Codec) -> later_host:commit(era_b, Message, Opts, Codec).

verify(Message) -> verify(Message, signers).

verify(Message, signers) -> later_host:verify(era_b, Message, #{}).

signers(Message) -> later_host:signers(Message, #{}).

id(Message, Committers, Opts) -> later_host:id(Message, Committers, Opts).

with_only_committed(Message, Opts) -> later_host:with_only_committed(Message, Opts).
