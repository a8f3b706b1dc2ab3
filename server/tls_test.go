package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/server"
)

// newCertificate returns a certificate for 127.0.0.1 and its key in PEM.
func newCertificate(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	return certificateUntil(t, name, time.Now().Add(time.Hour))
}

func certificateUntil(t *testing.T, name string, end time.Time) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func writeFiles(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// secure is a client that believes every certificate, and speaks the protocols given.
func secure(h1, h2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(h1)
	protocols.SetHTTP2(h2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Protocols:       &protocols,
	}}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	certPEM, keyPEM := newCertificate(t, "site")
	writeFiles(t, map[string][]byte{cert: certPEM, key: keyPEM})
	addr := start(t, newServer(t, server.Config{TLSCertificate: cert, TLSKey: key}),
		tell)[0].(server.Addr)
	if !strings.HasPrefix(addr.URL(), "https://127.0.0.1:") {
		t.Errorf("got the URL %s", addr.URL())
	}
	for want, client := range map[string]*http.Client{
		"HTTP/1.1": secure(true, false),
		"HTTP/2.0": secure(false, true),
	} {
		if status, text := get(t, client, addr.URL()+"/x"); status != http.StatusOK ||
			!strings.HasPrefix(text, want+" https://") {
			t.Errorf("got %d %s, want %s", status, text, want)
		}
	}
	onlyOne := start(t, newServer(t, server.Config{
		TLSCertificate: cert, TLSKey: key,
		DisableHTTP2: true,
	}), tell)[0].(server.Addr)
	if status, text := get(t, secure(true, true), onlyOne.URL()); status != http.StatusOK ||
		!strings.HasPrefix(text, "HTTP/1.1 ") {
		t.Errorf("got %d %s, want HTTP/1.1 without HTTP/2", status, text)
	}
}

// The body of a request is waited for in pieces over HTTP/2, too, and the limit of its size holds.
func TestTLSBody(t *testing.T) {
	t.Parallel()
	s := newServer(t, server.Config{TLSSelfSigned: true, MaxBodyBytes: 10})
	addr := start(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		w.Write(text)
	}))[0].(server.Addr)
	for _, client := range []*http.Client{secure(true, false), secure(false, true)} {
		t.Cleanup(client.CloseIdleConnections)
		for body, want := range map[string]int{
			"0123456789":  http.StatusOK,
			"0123456789a": http.StatusRequestEntityTooLarge,
		} {
			for _, length := range []int64{int64(len(body)), -1} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, addr.URL(),
					io.MultiReader(strings.NewReader(body)))
				if err != nil {
					t.Fatal(err)
				}
				r.ContentLength = length
				response, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				if status, _ := read(t, response); status != want {
					t.Errorf("%s, length %d: got %d, want %d", body, length, status, want)
				}
			}
		}
	}
}

func TestTLSMinVersion(t *testing.T) {
	t.Parallel()
	addr := start(t, newServer(t, server.Config{TLSSelfSigned: true, TLSMinVersion: "1.3"}),
		tell)[0]
	for version, ok := range map[uint16]bool{tls.VersionTLS12: false, tls.VersionTLS13: true} {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MaxVersion: version}}
		conn, err := d.DialContext(t.Context(), "tcp", addr.String())
		if (err == nil) != ok {
			t.Errorf("version %x: got %v", version, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

func TestH2C(t *testing.T) {
	t.Parallel()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	url := start(t, newServer(t, server.Config{H2C: true}), tell)[0].(server.Addr).URL()
	if status, text := get(t, client, url); status != http.StatusOK ||
		!strings.HasPrefix(text, "HTTP/2.0 ") {
		t.Errorf("got %d %s", status, text)
	}
	if status, text := get(t, new(http.Client), url); status != http.StatusOK ||
		!strings.HasPrefix(text, "HTTP/1.1 ") {
		t.Errorf("got %d %s: HTTP/1.1 has to go on", status, text)
	}
	off := start(t, newServer(t, server.Config{}), tell)[0].(server.Addr).URL()
	if response, err := ask(t, client, off); err == nil {
		status, text := read(t, response)
		t.Errorf("got %d %s without h2c", status, text)
	}
}

// served is the name in the certificate that a new connection gets.
func served(t *testing.T, addr net.Addr) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// A renewed certificate is used for new connections; while the two files don't fit, and when they
// are damaged or gone, the old one stays, which the log tells once.
func TestTLSReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	oldCert, oldKey := newCertificate(t, "old")
	newCert, newKey := newCertificate(t, "new")
	writeFiles(t, map[string][]byte{cert: oldCert, key: oldKey})

	var log logBuffer
	s, err := server.New(server.Config{TLSCertificate: cert, TLSKey: key}, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	s.CheckCertificateEvery(0)
	addr := start(t, s, tell)[0]
	later := time.Now()
	step := func(name string, files map[string][]byte, want string, wantErrors int) {
		writeFiles(t, files)
		later = later.Add(time.Second)
		for file := range files {
			if err := os.Chtimes(file, later, later); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if got := served(t, addr); got != want {
				t.Errorf("%s: got the certificate %q, want %q", name, got, want)
			}
		}
		if got := strings.Count(log.String(), "level=ERROR"); got != wantErrors {
			t.Errorf("%s: got %d errors in the log, want %d:\n%s", name, got, wantErrors,
				log.String())
		}
	}
	step("unchanged", nil, "old", 0)
	step("certificate only", map[string][]byte{cert: newCert}, "old", 1)
	step("both", map[string][]byte{key: newKey}, "new", 1)
	step("damaged", map[string][]byte{key: []byte("x")}, "new", 2)
	step("mended", map[string][]byte{key: newKey}, "new", 2)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if got := served(t, addr); got != "new" {
		t.Errorf("without file: got %q", got)
	}
	step("back again", map[string][]byte{cert: oldCert, key: oldKey}, "old", 3)
}

func TestTLSFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, other, both := filepath.Join(dir, "cert"), filepath.Join(dir,
		"key"), filepath.Join(dir, "other"), filepath.Join(dir, "both")
	certPEM, keyPEM := newCertificate(t, "site")
	_, otherPEM := newCertificate(t, "other")
	locked := filepath.Join(dir, "locked")
	writeFiles(t, map[string][]byte{
		cert: certPEM, key: keyPEM, other: otherPEM, both: append(certPEM, keyPEM...),
		locked: pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}),
	})
	tests := []struct{ name, section, want string }{
		{"two files", "use = egg:Paste#http\ntls_certificate = " + cert + "\ntls_key = " + key, ""},
		{"one file", "use = egg:waitress#main\ntls_certificate = " + both, ""},
		{"ssl_pem", "use = egg:Paste#http\nssl_pem = " + both, ""},
		{"made up", "use = egg:Paste#http\nssl_pem = *", ""},
		{
			"another key", "use = egg:Paste#http\ntls_certificate = " + cert + "\ntls_key = " + other,
			`site.ini:3: [server:main] tls_certificate = "` + cert +
				`": the certificate in it and the key in ` + other + ` can't be used`,
		},
		{
			"passphrase", "use = egg:Paste#http\ntls_certificate = " + cert + "\ntls_key = " + locked,
			"the key needs a passphrase",
		},
		{"no key", "use = egg:Paste#http\nssl_pem = " + cert, `site.ini:3: [server:main] ssl_pem ` +
			`= "` + cert + `": the certificate in it and the key`},
		{
			"no file", "use = egg:Paste#http\ntls_certificate = " + dir + "/no",
			`site.ini:3: [server:main] tls_certificate = "` + dir + `/no": there is no such file`,
		},
		{
			"key alone", "use = egg:Paste#http\ntls_key = " + key,
			"means nothing without tls_certificate",
		},
		{
			"both spellings", "use = egg:Paste#http\nssl_pem = *\ntls_certificate = " + cert,
			"write one of the two",
		},
		{"old version", "use = egg:Paste#http\ntls_min_version = 1.1", "tls_min_version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := load(t, nil, tt.section)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				} else if err := s.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// Files that a section names are looked for beside the .ini, wherever the command runs.
func TestTLSFilesBesideTheINI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, key := newCertificate(t, "beside")
	writeFiles(t, map[string][]byte{
		filepath.Join(dir, "cert.pem"): certificate, filepath.Join(dir, "key.pem"): key,
		filepath.Join(dir, "both.pem"): append(certificate, key...),
	})
	r := pipeline.NewRegistry()
	server.Register(r)
	for _, section := range []string{
		"use = egg:Paste#http\nport = 0\ntls_certificate = cert.pem\ntls_key = key.pem\n",
		"use = egg:waitress#main\nlisten = 127.0.0.1:0\ntls_certificate = both.pem\n",
		"use = egg:Paste#http\nport = 0\nssl_pem = both.pem\n",
	} {
		ini := filepath.Join(dir, "site.ini")
		writeFiles(t, map[string][]byte{ini: []byte("[server:main]\n" + section)})
		s, err := pipeline.LoadServer(t.Context(), ini, pipeline.Options{Registry: r})
		if err != nil {
			t.Errorf("%s: got %v", section, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A certificate that no client accepts any more is worth a word when it is loaded.
func TestTLSExpired(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	both := filepath.Join(dir, "both.pem")
	certificate, key := certificateUntil(t, "old", time.Now().Add(-time.Minute))
	writeFiles(t, map[string][]byte{both: append(certificate, key...)})
	var log logBuffer
	if _, err := server.New(server.Config{TLSCertificate: both}, log.logger()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN msg=\"the certificate has expired\"") {
		t.Errorf("the log does not say that the certificate has expired:\n%s", log.String())
	}
}
