%%% @doc Checks whether a library file is whole. The system maps a library without reading it: a truncated file is
%%% mapped all the same, and the first access to a missing page kills the VM with SIGBUS. Therefore the file is
%%% checked before it is loaded. {@link hb_process_monitor_nif} loads it.
%%%
%%% `scripts/nif.sh' appends a stamp to each library that it builds for Linux: the size and the MD5 of the library.
%%% The stamp is part of the file, so that the two cannot be separated, and is not mapped. A library without a
%%% stamp, such as one built by rebar3's cargo plugin, is checked as far as ELF allows; other formats are left to
%%% the system. MD5 is enough against accidents, and does not need the application `crypto'.
-module(hb_cron_library).

-export([check/1]).

%% As scripts/nif.sh writes it: the text, the size in 12 digits, a space, 32 hexadecimal digits, a newline.
-define(STAMP, "\nhb_process_monitor library 1 ").
-define(STAMP_BYTES, (length(?STAMP) + 12 + 1 + 32 + 1)).

%% Fields of ELF, 64 bits, little endian.
-define(ELF, 16#7f, "ELF", 2, 1).
-define(SECTION_NAMES, 3).

%% @doc `ok' if the file is whole, if its format is unknown, or if it cannot be read: then loading it fails.
-spec check(file:filename()) -> ok | {error, Reason :: string()}.
check(Path) ->
    %% Raw, because there may be no file server yet while a release boots.
    case file:open(Path, [read, raw, binary]) of
        {ok, File} ->
            try
                {ok, Size} = file:position(File, eof),
                checked(File, Size)
            catch
                error:{badmatch, {error, Reason}} -> {error, "cannot be read: " ++ file:format_error(Reason)}
            after
                ok = file:close(File)
            end;
        {error, _} ->
            ok
    end.

checked(File, Size) ->
    case stamp(bytes(File, Size - ?STAMP_BYTES, ?STAMP_BYTES)) of
        {Stamped, Md5} when Stamped =:= Size - ?STAMP_BYTES ->
            case erlang:md5(bytes(File, 0, Stamped)) of
                %% A stamped file may have been truncated before the stamp.
                <<Md5:128>> -> elf(bytes(File, 0, 64), File, Stamped);
                _ -> damaged("its content is not what was built")
            end;
        {Stamped, _} ->
            damaged(io_lib:format("it has ~b bytes and was built with ~b", [Size - ?STAMP_BYTES, Stamped]));
        none ->
            elf(bytes(File, 0, 64), File, Size)
    end.

%% At most what the file has.
bytes(_File, At, _Count) when At < 0 -> <<>>;
bytes(File, At, Count) ->
    case file:pread(File, At, Count) of
        eof -> <<>>;
        {ok, Bytes} -> Bytes
    end.

stamp(<<?STAMP, Size:12/binary, $\s, Md5:32/binary, $\n>>) ->
    try {binary_to_integer(Size), binary_to_integer(Md5, 16)}
    catch error:badarg -> none
    end;
stamp(_) ->
    none.

%% Its segments, which are mapped, and its sections, which come last, lie within the file.
elf(<<?ELF, _:26/binary, Segments:64/little, Sections:64/little, _:6/binary, SegmentBytes:16/little,
      SegmentCount:16/little, SectionBytes:16/little, SectionCount:16/little, Names:16/little>>, File, Size) ->
    Ends = [Segments + SegmentBytes * SegmentCount, Sections + SectionBytes * SectionCount
            | [At + Bytes || N <- lists:seq(0, SegmentCount - 1),
                             <<_:8/binary, At:64/little, _:16/binary, Bytes:64/little, _/binary>>
                                 <- [bytes(File, Segments + N * SegmentBytes, SegmentBytes)]]],
    case lists:max(Ends) of
        End when End > Size -> damaged(io_lib:format("it has ~b bytes, its headers say ~b", [Size, End]));
        _ -> section_names(bytes(File, Sections + Names * SectionBytes, 8))
    end;
elf(<<?ELF, _/binary>>, _File, _Size) -> damaged("it ends within its header");
elf(<<>>, _File, _Size) -> damaged("it is empty");
elf(_, _File, _Size) -> ok.

%% A crash of the system can leave zeros at the end of a file that was being written.
section_names(<<_:32, ?SECTION_NAMES:32/little>>) -> ok;
section_names(_) -> damaged("its end was not written").

damaged(Why) ->
    {error, lists:flatten(["the library file is damaged: ", Why, ". Build it or copy it again"])}.
