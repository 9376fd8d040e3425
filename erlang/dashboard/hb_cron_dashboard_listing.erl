%%% @doc A table of all monitors at one time, as a binary, and listings of it: those that are wanted, in an order. Plain
%%% functions, of which {@link hb_cron_dashboard_survey} keeps the results. A row has a fixed size, and a listing is the ids
%%% one after the other, so that 100,000 monitors are ten megabytes that no garbage collection visits.
-module(hb_cron_dashboard_listing).

-export([rows/1, table/1, size/1, query/1, first/1, select/2, slice/3]).

-export_type([table/0, query/0, listing/0]).

-opaque table() :: {Rows :: binary(), Names :: binary()}.

-type query() :: #{sort := atom(), order := asc | desc, show := atom(), find := binary()}.
%% `show': a state, `all', or a group of {@link query/1}. `find': a part of an id in lower case.

-type listing() :: #{ids := binary(), count := non_neg_integer(), counts := #{atom() => non_neg_integer()}}.
%% `ids': 43 bytes each. `counts': how many of those with `find' in their id are in each state and group.

%% Values by which rows are sorted, in their order in a row, after the id and the state.
-define(KEYS, [cursor_age, lag, last_result, errors, next, dead_letters, unacked]).
-define(ID, 43).
-define(ROW, (?ID + 1 + 7 * 8)).
%% The names are the ids in lower case, each with an end of line.
-define(NAME, (?ID + 1)).
-define(NONE, 16#ffffffffffffffff).
%% The states that few monitors are in, and only for a moment.
-define(OTHER, [resolving, starting, pausing, stopping, unknown]).

%% @doc The rows of some monitors.
-spec rows([hb_cron_info:summary()]) -> iodata().
rows(Summaries) ->
    Now = erlang:system_time(millisecond),
    [[Id, index(State, hb_cron_info:states(), 0), [<<(or_none(value(Key, Summary, Now))):64>> || Key <- ?KEYS]]
     || #{process := Id, state := State} = Summary <- Summaries].

value(last_result, #{last_result := At}, Now) when is_integer(At) -> max(0, Now - At);
value(errors, #{error := #{failures := Failures}}, _Now) -> Failures;
value(next, #{next_result := undefined, next_tick := Tick}, _Now) -> Tick;
value(next, #{next_result := Result}, _Now) -> Result;
value(Key, Summary, _Now) -> maps:get(Key, Summary, undefined).

or_none(undefined) -> ?NONE;
or_none(Value) -> min(Value, ?NONE - 1).

index(State, [State | _], N) -> N;
index(State, [_ | States], N) -> index(State, States, N + 1).

%% @doc The table of these rows, which are in the order of their ids.
-spec table(iodata()) -> table().
table(Rows) ->
    All = iolist_to_binary(Rows),
    {All, iolist_to_binary([[lower(binary:part(All, At, ?ID)), $\n] || At <- positions(byte_size(All))])}.

%% Ids are ASCII.
lower(Text) -> << <<(case C >= $A andalso C =< $Z of true -> C + 32; false -> C end)>> || <<C>> <= Text >>.

positions(0) -> [];
positions(Bytes) -> lists:seq(0, Bytes - ?ROW, ?ROW).

%% @doc The number of its rows.
-spec size(table()) -> non_neg_integer().
size({Rows, _}) -> byte_size(Rows) div ?ROW.

%% @doc The query of these texts. Raises `{bad_option, Key, Text}'. No atom is made from input.
-spec query(#{sort := binary(), order := binary(), show := binary(), find := binary()}) -> query().
query(#{sort := Sort, order := Order, show := Show, find := Find}) ->
    #{sort => one_of(sort, Sort, [process, state | ?KEYS]), order => one_of(order, Order, [asc, desc]),
      show => one_of(show, Show, [all, errors, dead_letters, other | hb_cron_info:states()]), find => lower(Find)}.

one_of(_Key, <<>>, [Default | _]) -> Default;
one_of(Key, Text, Names) ->
    case [Name || Name <- Names, atom_to_binary(Name) =:= Text] of
        [Name] -> Name;
        [] -> error({bad_option, Key, Text})
    end.

%% @doc Whether the listing is that of all monitors in the order of their ids.
-spec first(query()) -> boolean().
first(Query) -> Query =:= #{sort => process, order => asc, show => all, find => <<>>}.

%% @doc The listing that is asked for.
-spec select(table(), query()) -> listing().
select({Rows, _} = Table, #{sort := Sort, order := Order, show := Show} = Query) ->
    Found = found(Table, Query),
    Counts = counts(Found, Rows),
    Wanted = [At || At <- Found, is_wanted(Show, At, Rows)],
    Ids = << <<(binary:part(Rows, At, ?ID))/binary>> || At <- sorted(Sort, Order, Wanted, Rows) >>,
    #{ids => Ids, count => length(Wanted), counts => Counts}.

%% Where the rows begin.
found({Rows, _}, #{find := <<>>}) ->
    positions(byte_size(Rows));
found({_, Names}, #{find := Find}) ->
    %% A name never has the end of a line, so no match is in two of them.
    case binary:match(Find, <<"\n">>) of
        nomatch -> lists:usort([At div ?NAME * ?ROW || {At, _} <- binary:matches(Names, Find)]);
        _ -> []
    end.

counts(Found, Rows) ->
    States = list_to_tuple(hb_cron_info:states()),
    Counted = lists:foldl(fun(At, {ByState, Errors, Letters}) ->
        {setelement(1 + binary:at(Rows, At + ?ID), ByState, 1 + element(1 + binary:at(Rows, At + ?ID), ByState)),
         Errors + one(is_wanted(errors, At, Rows)), Letters + one(is_wanted(dead_letters, At, Rows))}
    end, {erlang:make_tuple(tuple_size(States), 0), 0, 0}, Found),
    {ByState, Errors, Letters} = Counted,
    All = maps:from_list(lists:zip(tuple_to_list(States), tuple_to_list(ByState))),
    All#{all => length(Found), errors => Errors, dead_letters => Letters, other => lists:sum([maps:get(State, All) || State <- ?OTHER])}.

one(true) -> 1;
one(false) -> 0.

is_wanted(all, _At, _Rows) -> true;
is_wanted(errors, At, Rows) -> key(errors, At, Rows) =/= ?NONE;
is_wanted(dead_letters, At, Rows) -> key(dead_letters, At, Rows) =/= 0;
is_wanted(other, At, Rows) -> lists:member(state(At, Rows), ?OTHER);
is_wanted(State, At, Rows) -> state(At, Rows) =:= State.

state(At, Rows) -> lists:nth(1 + binary:at(Rows, At + ?ID), hb_cron_info:states()).

key(Key, At, Rows) ->
    <<Value:64>> = binary:part(Rows, At + offset(Key, ?KEYS, ?ID + 1), 8),
    Value.

offset(Key, [Key | _], At) -> At;
offset(Key, [_ | Keys], At) -> offset(Key, Keys, At + 8).

%% Rows without a value come last in both orders, and equal ones are in the order of their ids.
sorted(process, asc, Wanted, _Rows) ->
    Wanted;
sorted(process, desc, Wanted, _Rows) ->
    lists:reverse(Wanted);
sorted(Sort, Order, Wanted, Rows) ->
    Keys = [{value_of(Sort, At, Rows), At} || At <- Wanted],
    {None, Known} = lists:partition(fun({Value, _}) -> Value =:= ?NONE end, Keys),
    [At || {_, At} <- lists:sort([{signed(Order, Value), At} || {Value, At} <- Known]) ++ None].

value_of(state, At, Rows) -> binary:at(Rows, At + ?ID);
value_of(Key, At, Rows) -> key(Key, At, Rows).

signed(asc, Value) -> Value;
signed(desc, Value) -> -Value.

%% @doc At most so many ids, from the given one on, which counts from 0.
-spec slice(listing(), From :: non_neg_integer(), Most :: pos_integer()) -> [ProcId :: binary()].
slice(#{ids := Ids, count := Count}, From, Most) ->
    [binary:part(Ids, Nth * ?ID, ?ID) || Nth <- lists:seq(From, max(From, min(Count, From + Most)) - 1)].
