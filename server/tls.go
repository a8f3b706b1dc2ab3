package server

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pasteline/pasteline/pipeline"
)

// newTLS returns the TLS configuration, or nil without TLS, and the certificate files, if there are
// any. It reads the files.
func (c Config) newTLS(logger *slog.Logger) (*tls.Config, *certificateFiles, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSMinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	if c.TLSSelfSigned {
		certificate, err := selfSigned()
		if err != nil {
			return nil, nil, fmt.Errorf("server: making a certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
		return config, nil, nil
	}
	if c.TLSCertificate == "" {
		return nil, nil, nil
	}
	files := &certificateFiles{
		certificate: c.TLSCertificate, key: cmp.Or(c.TLSKey, c.TLSCertificate),
		every: checkCertificateEvery, logger: logger,
	}
	if err := files.load(); err != nil {
		return nil, nil, err
	}
	config.GetCertificate = files.get
	return config, files, nil
}

// checkCertificateEvery is the interval in which new connections check the files for changes.
const checkCertificateEvery = time.Second

// certificateFiles are a certificate and its key. They are reloaded when the files change, so that
// a renewal needs no restart.
type certificateFiles struct {
	certificate, key string
	every            time.Duration
	logger           *slog.Logger

	mu      sync.Mutex // guards all below
	loaded  *tls.Certificate
	stamps  [2]fileStamp // of the files at the last load, successful or not
	checked time.Time
}

// A fileStamp identifies the version of a file.
type fileStamp struct {
	modified time.Time
	size     int64
}

// get returns the certificate for a new connection.
func (f *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= f.every || now.Before(f.checked) {
		f.checked = now
		f.reload()
	}
	return f.loaded, nil
}

// reload loads the files if they have changed. If certificate and key don't match, the old pair
// stays in use: a renewal writes one file after the other.
func (f *certificateFiles) reload() {
	if stamps, err := f.stat(); err == nil && stamps == f.stamps {
		return
	}
	before := f.stamps
	err := f.load()
	switch {
	case err == nil:
		f.logger.Info("the certificate has been loaded anew", slog.String("file", f.certificate),
			slog.Time("expires", f.loaded.Leaf.NotAfter))
	case f.stamps != before: // log each version once
		f.logger.Error("the new certificate can't be used, and the old one stays",
			slog.Any("error", err))
	}
}

func (f *certificateFiles) stat() (stamps [2]fileStamp, err error) {
	for i, name := range []string{f.certificate, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamps, err
		}
		stamps[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return stamps, nil
}

// load reads the files. The error is a [pipeline.Error] with the key of the setting.
func (f *certificateFiles) load() error {
	stamps, err := f.stat() // before reading, so that a later change is noticed
	if err == nil {
		f.stamps = stamps
	} else {
		f.stamps = [2]fileStamp{}
	}
	certificate, err := readFile("tls_certificate", f.certificate)
	if err != nil {
		return err
	}
	key, err := readFile("tls_key", f.key)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		hint := "want both in PEM, the server's own certificate before those of its issuers"
		if bytes.Contains(key, []byte("ENCRYPTED")) {
			hint = "the key needs a passphrase, which can't be entered here: write it without, " +
				"as openssl pkey -in … -out … does"
		}
		return &pipeline.Error{
			Key: "tls_certificate", Value: f.certificate,
			Err: fmt.Errorf("the certificate in it and the key in %s can't be used: %w",
				f.key, err),
			Hint: hint,
		}
	}
	f.loaded = &pair
	if end := pair.Leaf.NotAfter; end.Before(time.Now()) {
		f.logger.Warn("the certificate has expired", slog.String("file", f.certificate),
			slog.Time("expired", end))
	}
	return nil
}

func readFile(key, name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("there is no such file")
	case errors.Is(err, fs.ErrPermission):
		err = errors.New("no permission to read it")
	}
	if err != nil {
		return nil, &pipeline.Error{Key: key, Value: name, Err: err}
	}
	return text, nil
}

// selfSigned generates a certificate for this machine, for the lifetime of the process. Browsers
// warn about it.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject: pkix.Name{
			CommonName:   "localhost",
			Organization: []string{"for development only"},
		},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
