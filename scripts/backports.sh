#!/bin/sh
# Makes Debian's backports of this release visible to one apt-get or apt-cache call, and leaves the machine's own sources as they are.
# Usage: backports.sh DIRECTORY   fills DIRECTORY with the sources that there are and one more, and prints the options for apt.
# With APT_ROOT these are the sources and the release of a system at that place.
# The mirror and its keys are those of the source that this release comes from: a machine that has a mirror needs no other.
set -eu
directory=$1
root=${APT_ROOT:-}
. "$root/etc/os-release"
suite=$VERSION_CODENAME-backports
rm -rf "$directory"
mkdir -p "$directory"
for source in "$root"/etc/apt/sources.list.d/*.sources "$root"/etc/apt/sources.list.d/*.list; do
  [ -e "$source" ] && cp "$source" "$directory/"
done

# deb822: the first stanza of binaries whose suites have the release's own, of Debian itself: others have no component called main.
# A comment in it is none of its fields.
stanzas() {
  for source in "$root"/etc/apt/sources.list.d/*.sources; do
    [ -e "$source" ] && { grep -v '^#' "$source"; echo; }
  done | awk -v RS= -v FS='\n' -v release="$VERSION_CODENAME" -v suite="$suite" '
    {
      wanted = 3
      for (i = 1; i <= NF; i++) {
        if ($i ~ "^Suites:(.*[ \t])?" release "([ \t]|$)") { $i = "Suites: " suite; wanted-- }
        if ($i ~ "^Types:(.*[ \t])?deb([ \t]|$)") { $i = "Types: deb"; wanted-- }
        if ($i ~ "^Components:(.*[ \t])?main([ \t]|$)") wanted--
        if ($i ~ "^Enabled:[ \t]*no") wanted = 9
      }
      if (wanted == 0) { for (i = 1; i <= NF; i++) print $i; exit }
    }'
}
# One line each: `deb [options] URI SUITE COMPONENTS`.
lines() {
  for source in "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*.list; do
    [ -e "$source" ] && cat "$source"
  done | awk -v release="$VERSION_CODENAME" -v suite="$suite" '
    $1 == "deb" && / main( |$)/ { for (i = 3; i < NF; i++) if ($i == release) { $i = suite; print; exit } }'
}

stanzas >"$directory/backports.sources"
[ -s "$directory/backports.sources" ] || { rm "$directory/backports.sources"; lines >"$directory/backports.list"; }
cat "$directory"/backports.* | grep -q . || {
  echo "Cannot find backports of \"$VERSION_CODENAME\": no source of apt on this machine has that suite" >&2
  exit 1
}
echo "-o Dir::Etc::SourceParts=$directory -t $suite"
