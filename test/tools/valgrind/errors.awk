# Reads valgrind's XML and shows the errors in which the library has a part; exit status 1 if there
# are any.
#
# Has a part: the library is in the stack of the error, not only in that of some block's allocation.
# Passed over: an access to the inside of a block that is allocated at that time. There is no such
# error; it is what remains where one of Erlang's stacks was (see run.sh).

/<error>/ { inside = 1; text = kind = ""; ours = stacks = artefact = 0 }
inside {
  text = text $0 "\n"
  if (/<kind>/) { kind = value($0) }
  if (/<stack>/) { stacks++ }
  if (stacks == 1 && /<obj>/ && index($0, library)) { ours = 1 }
  if (/<auxwhat>/ && /inside a block of size .* alloc.d/) { artefact = 1 }
}
/<\/error>/ {
  all++
  if (ours && artefact && kind ~ /^Invalid(Read|Write)$/) { passed++ }
  else if (ours) { found++; show(text) }
  inside = 0
}

END {
  printf "valgrind: %d errors in all, the emulator's among them; with the library in their stack: %d, and %d passed over\n", all, found, passed
  exit found > 0
}

function value(line) { gsub(/<[^>]*>|^ +/, "", line); return line }

function show(text,   lines, n, i, out) {
  n = split(text, lines, "\n")
  for (i = 1; i <= n; i++) {
    if (lines[i] ~ /<(kind|what|text|auxwhat|fn)>/) { out = out "  " value(lines[i]) "\n" }
    else if (lines[i] ~ /<obj>/ && lines[i + 1] !~ /<fn>/) { out = out "  in " value(lines[i]) "\n" }
  }
  print out
}
