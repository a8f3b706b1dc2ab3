package server_test

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/server"
)

// shortDir is a folder whose path leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock") //nolint:usetesting // the path of t.TempDir has the test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "s")
	s := newServer(t, server.Config{Listen: []string{"127.0.0.1:0", "127.0.0.2:0", "unix:" + path}})
	addrs := start(t, s, tell)
	if len(addrs) != 3 {
		t.Fatalf("got %v, want three addresses", addrs)
	}
	for i, want := range []string{"127.0.0.1:", "127.0.0.2:", path} {
		if got := addrs[i].String(); !strings.HasPrefix(got, want) || strings.HasSuffix(got, ":0") {
			t.Errorf("got address %s, want the real one of %s", got, want)
		}
		status, text := get(t, dialer(addrs[i].Network(), addrs[i].String()), "http://site/x")
		if status != http.StatusOK || !strings.HasPrefix(text, "HTTP/1.1 http://site/x ") {
			t.Errorf("%v answers %d %s", addrs[i], status, text)
		}
	}
}

// A name has the addresses of both families, where the machine has both.
func TestListenOnName(t *testing.T) {
	t.Parallel()
	addrs := start(t, newServer(t, server.Config{Listen: []string{"localhost:0"}}), tell)
	for _, addr := range addrs {
		if status, text := get(t, http.DefaultClient, addr.(server.Addr).URL()); status !=
			http.StatusOK {
			t.Errorf("%v answers %d %s", addr, status, text)
		}
	}
	only4 := start(t, newServer(t, server.Config{Listen: []string{"*:0"}, Network: "tcp4"}), tell)
	if len(only4) != 1 || !strings.HasPrefix(only4[0].String(), "0.0.0.0:") {
		t.Errorf("got %v, want the IPv4 wildcard", only4)
	}
}

// Both wildcards, of one port: each is for its own family then, as with Waitress.
func TestListenOnBothWildcards(t *testing.T) {
	t.Parallel()
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "[::]:0")
	if err != nil {
		t.Skip("there is no IPv6 here")
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	for _, listen := range []string{
		"0.0.0.0:%s [::]:%s", "[::]:%s 0.0.0.0:%s",
		"[::]:%s 127.0.0.1:%s",
	} {
		listen = strings.ReplaceAll(listen, "%s", port)
		s := newServer(t, server.Config{Listen: strings.Fields(listen)})
		addrs, err := s.Listen(t.Context())
		if err != nil || len(addrs) != 2 {
			t.Errorf("%s: got %v, %v, want two addresses", listen, addrs, err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// When one address can't be had, none is listened on, and each fault is told.
func TestListenFaults(t *testing.T) {
	t.Parallel()
	busy, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	path := filepath.Join(shortDir(t), "s")
	s := newServer(t, server.Config{Listen: []string{"unix:" + path, busy.Addr().String(), "unix:" +
		path + "/no/s"}})
	_, err = s.Listen(t.Context())
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{
		fmt.Sprintf(`listen: %q: port `, busy.Addr()), " is in use; end the " +
			"program", `listen = "unix:` + path + `/no/s": the folder does not exist`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestUnixSocketPermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("a socket has those of its folder")
	}
	dir := shortDir(t)
	for perms, want := range map[server.Perms]fs.FileMode{0: 0o600, 0o666: 0o666, 0o640: 0o640} {
		path := filepath.Join(dir, perms.String())
		start(t, newServer(t, server.Config{UnixSocket: path, UnixSocketPerms: perms}), tell)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want || info.Mode()&fs.ModeSocket == 0 {
			t.Errorf("got %v, want %v", info.Mode(), want)
		}
	}
}

func TestUnixSocketStale(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	stale, file, live := filepath.Join(dir, "stale"), filepath.Join(dir,
		"file"), filepath.Join(dir, "live")

	left, err := new(net.ListenConfig).Listen(t.Context(), "unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)
	left.Close()
	start(t, newServer(t, server.Config{UnixSocket: stale}), tell)
	if status, _ := get(t, dialer("unix", stale), "http://site/"); status != http.StatusOK {
		t.Errorf("got %d in the place of a stale socket", status)
	}

	start(t, newServer(t, server.Config{UnixSocket: live}), tell)
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		live:                      "another server answers there",
		file:                      "a file of that name which is no socket",
		strings.Repeat(live, 200): "bytes: choose one of about 100 at most",
	} {
		_, err := newServer(t, server.Config{UnixSocket: path}).Listen(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(),
			"unix_socket") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("got %q, %v: the file was touched", text, err)
	}
	if status, _ := get(t, dialer("unix", live), "http://site/"); status != http.StatusOK {
		t.Errorf("got %d: the other server was disturbed", status)
	}
}

// A name that the system would take for one outside of all folders is a file's, with permissions,
// as with Waitress.
func TestUnixSocketIsAFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets have no permissions there")
	}
	t.Chdir(shortDir(t))
	s := newServer(t, server.Config{UnixSocket: "@site", UnixSocketPerms: 0o640})
	start(t, s, tell)
	info, err := os.Lstat("@site")
	if err != nil || info.Mode().Perm() != 0o640 || info.Mode()&fs.ModeSocket == 0 {
		t.Errorf("got %v, %v, want a socket with the permissions 640", info, err)
	}
}

// A socket is removed on shutdown, but not one that another server has put into its place.
func TestUnixSocketRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "s")
	run := func() *server.Server {
		s := newServer(t, server.Config{UnixSocket: path})
		if _, err := s.Listen(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := run()
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	second := run()
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	third := run()
	if err := second.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the third server's socket has gone: %v", err)
	}
	if err := third.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// More connections than the limit wait, and get their turn.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t, server.Config{MaxConnections: 2})
	addr := start(t, s, tell)[0].String()
	dial := func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	answers := func(c net.Conn, wait time.Duration) bool {
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: site\r\n\r\n")
		c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(make([]byte, 4096))
		return n > 0 && err == nil
	}
	first, second, third := dial(), dial(), dial()
	if !answers(first, testLimit) || !answers(second, testLimit) {
		t.Fatal("the first two got no answer")
	}
	if answers(third, 50*time.Millisecond) {
		t.Error("the third was answered, although two connections were open")
	}
	first.Close()
	if !answers(third, testLimit) {
		t.Error("the third got no answer when the first had gone")
	}
}

// systemdEnv makes the test binary a service that systemd has started.
const systemdEnv = "PASTELINE_TEST_LISTEN"

func TestMain(m *testing.M) {
	if listen := os.Getenv(systemdEnv); listen != "" {
		os.Exit(service(listen))
	}
	os.Exit(m.Run())
}

// service is the main function of that service: it prints its addresses, and serves until its input
// ends.
func service(listen string) int {
	if os.Getenv("LISTEN_PID") == "" {
		// systemd knows it before the exec, we don't
		os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid()))
	}
	s, err := server.New(server.Config{Listen: strings.Fields(listen)}, nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	addrs, err := s.Listen(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	go s.Serve(tell)
	fmt.Println(addrs)
	os.Stdin.Read(make([]byte, 1))
	s.Shutdown(context.Background())
	return 0
}

func TestSystemd(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no systemd")
	}
	path := filepath.Join(shortDir(t), "s")
	tcp, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	unix, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	inherited := func(l interface{ File() (*os.File, error) }) *os.File {
		f, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	files := []*os.File{inherited(tcp.(*net.TCPListener)), inherited(unix.(*net.UnixListener))}

	// serves runs the service, and calls f with the first line that it prints.
	serves := func(listen string, files []*os.File, f func(line string), env ...string) {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.ExtraFiles = files
		cmd.Env = append(os.Environ(), systemdEnv+"="+listen, fmt.Sprint("LISTEN_FDS=", len(files)),
			"LISTEN_FDNAMES=web:local")
		cmd.Env = append(cmd.Env, env...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 4096)
		n, _ := out.Read(line)
		f(strings.TrimSpace(string(line[:n])))
		in.Close()
		cmd.Wait()
	}
	serves("systemd", files, func(line string) {
		if want := fmt.Sprintf("[%s %s]", tcp.Addr(), path); line != want {
			t.Fatalf("got addresses %s, want %s", line, want)
		}
		for _, addr := range []net.Addr{tcp.Addr(), unix.Addr()} {
			if status, text := get(t, dialer(addr.Network(), addr.String()),
				"http://site/"); status != http.StatusOK {
				t.Errorf("%v answers %d %s", addr, status, text)
			}
		}
	})
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("systemd's own socket has been removed: %v", err)
	}
	serves("systemd:local", files, func(line string) {
		if want := "[" + path + "]"; line != want {
			t.Errorf("got addresses %s, want %s", line, want)
		}
	})
	serves("systemd:admin", files, func(line string) {
		if want := `listen = "systemd:admin": systemd has passed no socket of that name ` +
			`(FileDescriptorName=), but web, local; write one of those names, or systemd alone ` +
			`for all`; line != want {
			t.Errorf("got %s, want %s", line, want)
		}
	})
	for names, want := range map[string]string{
		"":    "2 without a name",
		"web": "web, one without a name", ":local": "local, one without a name", "a:b:c": "a, b",
	} {
		serves("systemd:admin", files, func(line string) {
			if want := "but " + want + "; write one of those names, or systemd alone for " +
				"all"; !strings.HasSuffix(line, want) {
				t.Errorf("named %q: got %s, want %s", names, line, want)
			}
		}, "LISTEN_FDNAMES="+names)
	}
	serves("systemd", files, func(line string) {
		if want := `listen = "systemd": systemd has passed its sockets to process 1, and this ` +
			`is `; !strings.HasPrefix(line, want) {
			t.Errorf("got %s, want %s", line, want)
		}
	}, "LISTEN_PID=1")
	serves("systemd:web systemd:local", files, func(line string) {
		if want := fmt.Sprintf("[%s %s]", tcp.Addr(), path); line != want {
			t.Errorf("got addresses %s, want %s", line, want)
		}
	})
	for _, twice := range []string{
		"systemd systemd", "systemd:web systemd",
		"systemd:web systemd:web",
	} {
		serves(twice, files, func(line string) {
			if want := fmt.Sprintf("listen: %q: the sockets of systemd are named twice",
				strings.Fields(twice)[1]); !strings.HasPrefix(line, want) {
				t.Errorf("%s: got %s, want %s", twice, line, want)
			}
		})
	}
	serves("systemd", nil, func(line string) {
		if want := `listen = "systemd": systemd has passed no socket: start the ` +
			`service`; !strings.HasPrefix(line, want) {
			t.Errorf("got %s, want %s", line, want)
		}
	})
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, word, host, port, path, wantErr string
	}{
		{"host and port", "127.0.0.1:80", "127.0.0.1", "80", "", ""},
		{"name", "localhost:http", "localhost", "http", "", ""},
		{"no port", "localhost", "localhost", "8080", "", ""},
		{"IPv6", "[::1]:80", "::1", "80", "", ""},
		{"IPv6 without port", "[::1]", "::1", "8080", "", ""},
		{"all", "*:80", "", "80", "", ""},
		{"unix", "unix:/run/s", "", "", "/run/s", ""},
		{"systemd", "systemd", "", "", "", ""},
		{"systemd by name", "systemd:web", "", "", "web", ""},
		{"IPv6 without brackets", "::1:80", "", "", "", "want brackets around an IPv6 address"},
		{"large port", "*:70000", "", "", "", "want a port from 0 to 65535"},
		{"no host", ":80", "", "", "", "is no address"},
		{"URL", "http://localhost:80", "", "", "", "is no address"},
		{"no path", "unix:", "", "", "", "needs a path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, host, port, path, err := server.ParseAddress(tt.word)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("got %v, want %s", err, tt.wantErr)
				}
				return
			}
			if err != nil || host != tt.host || port != tt.port || path != tt.path {
				t.Errorf("got %q, %q, %q, %v", host, port, path, err)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"127.0.0.1:80", "[::1]:0", "*:80", "unix:/s", "systemd:a",
		"localhost", "::", "[", "a:b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		kind, host, port, _, err := server.ParseAddress(word)
		if err == nil && kind == 0 && (port == "" || strings.ContainsAny(host, "[]/ \t")) {
			t.Errorf("%q: host %q, port %q", word, host, port)
		}
	})
}
