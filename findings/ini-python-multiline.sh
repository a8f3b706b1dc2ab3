#!/usr/bin/env bash
# gopkg.in/ini.v1 v1.68.0, beside Python 3.11 of Debian 12 (apt-get install python3).
#
# The option AllowPythonMultilineValues does not read values of several lines as Python's configparser does. An empty line ends the
# value, so that an indented line after it that has a "=" or ":" becomes a key of its own. Comment lines within a value are a part
# of it, and so is the indentation of its lines.
#
#	Python 3.11.2
#	gopkg.in/ini.v1 v1.68.0
#	expected, as by configparser (each | is the end of a line):
#	  first: one|two||three = 3|four
#	  last: 5
#	seen, by ini.v1 with AllowPythonMultilineValues:
#	  first: one|    two
#	  three: 3|    # a comment|    four
#	  last: 5
set -euo pipefail

python=/usr/bin/python3
[ -x "$python" ] || { echo "Python is not installed: apt-get install python3" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

cat >sample.ini <<'INI'
[section]
first = one
    two

    three = 3
    # a comment
    four
last = 5
INI
cat >read.py <<'PY'
import configparser

parser = configparser.ConfigParser()
parser.read("sample.ini")
for key, value in parser["section"].items():
    print(key, "|".join(value.split("\n")), sep=": ")
PY
cat >main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	"gopkg.in/ini.v1"
)

func main() {
	file, err := ini.LoadSources(ini.LoadOptions{AllowPythonMultilineValues: true}, "sample.ini")
	if err != nil {
		panic(err)
	}
	for _, key := range file.Section("section").Keys() {
		fmt.Printf("%s: %s\n", key.Name(), strings.ReplaceAll(key.Value(), "\n", "|"))
	}
}
GO
unset GOFLAGS GOWORK
go mod init finding 2>/dev/null
go get gopkg.in/ini.v1@v1.68.0 2>/dev/null
"$python" --version
go list -m gopkg.in/ini.v1
"$python" read.py >python.out
go run . >go.out
echo 'the file:'
sed 's/^/  /' sample.ini
echo 'expected, as by configparser (each | is the end of a line):'
sed 's/^/  /' python.out
echo 'seen, by ini.v1 with AllowPythonMultilineValues:'
sed 's/^/  /' go.out
diff python.out - <<'OUT' && diff go.out - <<'OUT2' || { echo 'the behaviour has changed' >&2; exit 1; }
first: one|two||three = 3|four
last: 5
OUT
first: one|    two
three: 3|    # a comment|    four
last: 5
OUT2
