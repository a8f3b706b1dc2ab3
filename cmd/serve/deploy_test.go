package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/serve"
)

const deploy = "../../deploy/"

// The .ini files of the systemd unit and of the image are right, in the places that unit and
// Dockerfile give them.
func TestDeployedFilesAreRight(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the files are for systems with other paths")
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("7mTzvQp2wXk9LrYb4NcHs8JdFg6ZaUe3"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STATE_DIRECTORY", dir)
	t.Setenv("SITE_SECRET", "7mTzvQp2wXk9LrYb4NcHs8JdFg6ZaUe3")
	for _, args := range [][]string{
		{deploy + "site.ini"},
		{
			deploy + "container.ini", "--set", "app:site.zodb_uri=bolt://" +
				filepath.Join(dir, "site.db"),
			"--set", "filter:browserid.secret_key_file=" + secret,
		},
	} {
		var out, errs bytes.Buffer
		if code := serve.Run(t.Context(), append([]string{"check"}, args...),
			serve.Stdio{Out: &out, Err: &errs}, myapp.Register); code != serve.ExitOK {
			t.Errorf("check %s: exit code %d\n%s", args, code, errs.String())
		}
	}

	dockerfile, container := read(t, deploy+"Dockerfile"), read(t, deploy+"container.ini")
	for file, patterns := range map[string][]string{
		dockerfile: {
			`(?m)^VOLUME /data$`, `http://127\.0\.0\.1:6543/health/live`,
			`(?m)^EXPOSE 6543$`,
		},
		container: {
			`= bolt:///data/`, `(?m)^port = 6543$`, `(?m)^/health = egg:pasteline#health$`,
		},
		read(t, deploy+"serve.socket"): {`(?m)^ListenStream=127\.0\.0\.1:6543$`},
		read(t, deploy+"site.ini"): {
			`%\(ENV_STATE_DIRECTORY\)s`, `= SITE_SECRET`,
			`(?m)^listen = systemd$`,
		},
		read(t, deploy+"serve.service"): {
			`(?m)^StateDirectory=site$`,
			`(?m)^ExecStart=/usr/local/bin/serve /etc/site/site\.ini$`,
		},
	} {
		for _, pattern := range patterns {
			if !regexp.MustCompile(pattern).MatchString(file) {
				t.Errorf("no %s in\n%s", pattern, file)
			}
		}
	}
	goMod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../../go.mod"))
	if goMod == nil || !strings.Contains(dockerfile, "FROM golang:"+goMod[1]+" ") {
		t.Errorf("the Dockerfile builds with another Go than go.mod asks for: %v", goMod)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
