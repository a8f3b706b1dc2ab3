package serve_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/storage/bolt"
)

const brokenStarts = "testdata/broken.txtar"

// A file with which no server starts has the same faults when it is only checked. The exceptions
// are those of docs/ini.md: what another process has in use may be the very server that is checked,
// and what systemd passes it passes at a start.
func TestBrokenStarts(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile(brokenStarts)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(archive.Files) / 2; n < 60 {
		t.Errorf("only %d files", n)
	}
	exceptions := map[string]bool{
		"bolt-in-use": true, "port-in-use": true, "socket-in-use": true,
		"listen-systemd": true,
	}
	busy, sockets := takeAddresses(t)
	t.Run("files", func(t *testing.T) {
		t.Parallel()
		for i := 0; i+1 < len(archive.Files); i += 2 {
			ini, want := archive.Files[i], &archive.Files[i+1]
			name := strings.TrimSuffix(ini.Name, ".ini")
			if want.Name != name+".txt" {
				t.Fatalf("%s is followed by %s", ini.Name, want.Name)
			}
			t.Run(name, func(t *testing.T) {
				dir := brokenFolder(t)
				socket := filepath.Join(sockets, "site.sock")
				text := strings.NewReplacer("$BUSY", busy, "$SOCKET",
					socket).Replace(string(ini.Data))
				path := filepath.Join(dir, "site.ini")
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				readable := strings.NewReplacer(dir+string(filepath.Separator), "", dir, "DIR",
					busy, "BUSY", socket, "SOCKET")
				before := content(t, dir)
				checkCode, checked := faultsOf(t, readable, "check", path)
				if diff := gocmp.Diff(before, content(t, dir)); diff != "" {
					t.Errorf("check has changed something: %s", diff)
				}
				serveCode, served := faultsOf(t, readable, path)
				if serveCode != serve.ExitFailed {
					t.Errorf("serve: exit code %d", serveCode)
				}
				if wantCode := serve.ExitFailed; exceptions[name] {
					wantCode = serve.ExitOK
					if checkCode != wantCode {
						t.Errorf("check: exit code %d, want %d", checkCode, wantCode)
					}
				} else if checkCode != wantCode {
					t.Errorf("check: exit code %d, want %d", checkCode, wantCode)
				}
				got := served
				if checked != served {
					got = prefixed("check: ", checked) + prefixed("serve: ", served)
					if !exceptions[name] {
						t.Errorf("check says\n%sand serve\n%s", checked, served)
					}
				}
				if *update {
					want.Data = []byte(got)
				} else if diff := gocmp.Diff(string(want.Data), got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	})
	t.Cleanup(func() {
		if *update {
			if err := os.WriteFile(brokenStarts, txtar.Format(archive), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
}

func prefixed(prefix, lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(prefix + line)
	}
	return b.String()
}

var logLine = regexp.MustCompile(`(?m)^time=.*\n|^.*: warning: .*\n`)

// faultsOf runs the command and returns its exit code, and the lines about faults. A server that
// starts after all is ended.
func faultsOf(t *testing.T, readable *strings.Replacer, args ...string) (code int, lines string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errs buffer
	code = serve.Run(ctx, args, serve.Stdio{Out: &out, Err: &errs}, myapp.Register)
	if strings.Contains(out.String(), "serving on") {
		t.Errorf("it started: %s", out.String())
	}
	return code, readable.Replace(logLine.ReplaceAllString(errs.String(), ""))
}

// takeAddresses listens on a port, and on a socket in a folder.
func takeAddresses(t *testing.T) (port, sockets string) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sockets, err = os.MkdirTemp("", "pasteline") //nolint:usetesting // that of the test may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", filepath.Join(sockets, "site.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tcp.Close()
		unix.Close()
		os.RemoveAll(sockets)
	})
	_, port, err = net.SplitHostPort(tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port, sockets
}

// brokenFolder has what the files name.
func brokenFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	garbage := bytes.Repeat([]byte("This is no database, whatever it is called.\n"), 1000)
	certificate, key := selfSigned(t)
	_, other := selfSigned(t)
	for name, text := range map[string][]byte{
		"file": []byte("0123456789abcdef, and no more than that\n"), "empty": nil,
		"garbage":  garbage,
		"cert.pem": certificate, "cert.key": key, "other.key": other,
	} {
		if err := os.WriteFile(in(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(in("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in("gone"), in("link")); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(in("locked"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return dir
}

func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// content returns what is in a folder: names, sizes, times and texts.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		found[path] = info.Mode().String() + " " + info.ModTime().String()
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[path] += " " + string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
