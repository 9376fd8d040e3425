%%% Double of the messages of a host of 2026.
-module(hb_message).
-export([commit/2, commit/3, verify/3, signers/2, id/3, with_only_committed/2]).

commit(Message, Opts) -> commit(Message, Opts, <<"httpsig@1.0">>).

commit(Message, Opts, Codec) -> later_host:commit(era_d, Message, Opts, Codec).

verify(Message, signers, Opts) -> later_host:verify(era_d, Message, Opts).

signers(Message, Opts) -> later_host:signers(Message, Opts).

id(Message, Committers, Opts) -> later_host:id(Message, Committers, Opts).

with_only_committed(Message, Opts) -> later_host:with_only_committed(Message, Opts).
