package tree_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// A probable comment behind a value gives a warning, with the line, and without the value.
func TestCommentsBehindValues(t *testing.T) {
	t.Parallel()
	resolved, err := tree.Resolve("site.ini", tree.KindApp, from(map[string]string{"site.ini": `[DEFAULT]
a = 1 # one
b = 1 ; one
c = 1 #one
d = # one
e = one two;three #four
f = #fff
g = a;b
h = http://x/#top
[app:main]
use = egg:a
set s =
    secret
    more # secret
[formatter_x]
format = %%(message)s # x
[handler_x]
args = (1,) # x
[alembic]
x = y ; z
`}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range resolved.Warnings() {
		got = append(got, w.String())
	}
	const rule = " and all behind it belong to the value: a comment has a line of its own"
	want := []string{
		"site.ini:2: [DEFAULT] a: the #" + rule, "site.ini:3: [DEFAULT] b: the ;" + rule,
		"site.ini:4: [DEFAULT] c: the #" + rule,
		"site.ini:5: [DEFAULT] d: the #" + rule, "site.ini:14: [app:main] set s: the #" + rule,
		"site.ini:18: [handler_x] args: the #" + rule,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if s, _ := resolved.Root.GlobalConf.Get("a"); s.Value != "1 # one" {
		t.Errorf("got the value %q", s.Value)
	}
}

func TestSectionsAlmostKnown(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]string{
		"loging": "logging", "Logging": "logging", "logger": "loggers", "handlres": "handlers",
		"default": "DEFAULT", "DEFALT": "DEFAULT",
		"pipline:x": "pipeline:x", "sever:x": "server:x", "fitler:x": "filter:x", "App:x": "app:x",
		"apps:x": "app:x", "loger_root": "logger_root",
		"login": "", "alembic": "", "celery:x": "", "uwsgi": "", "loggers": "", "logger_x": "",
		"composit:x": "", "program:x": "", "log": "", "x": "",
	} {
		resolved, err := tree.Resolve("site.ini", tree.KindApp, from(map[string]string{"site.ini": "[app:main]\nuse = egg:a\n[" + section + "]\n"}))
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, w := range resolved.Warnings() {
			got += w.String()
		}
		if want != "" {
			want = "site.ini:3: [" + section +
				"]: nothing reads a section of that name; did you mean [" + want + "]?"
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", section, got, want)
		}
	}
}
