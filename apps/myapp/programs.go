package myapp

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

func hello(w http.ResponseWriter, _ *http.Request) error {
	answer(w, "Hello!")
	return nil
}

// read returns the session's n.
func (a *app) read(w http.ResponseWriter, r *http.Request) error {
	s, err := a.session(r)
	if err != nil {
		return err
	}
	n, _, err := session.Get[int](s, "n")
	if err != nil {
		return err
	}
	answer(w, strconv.Itoa(n))
	return nil
}

// incr adds one to the session's n.
func (a *app) incr(w http.ResponseWriter, r *http.Request) error {
	a.races.join(r, browserOf(r))
	n, err := a.addToSession(r)
	if err != nil {
		return err
	}
	answerAttempt(w, r, strconv.Itoa(n))
	return nil
}

// fail adds one and answers 500, which aborts the transaction: no request may ever see the new n.
func (a *app) fail(w http.ResponseWriter, r *http.Request) error {
	n, err := a.addToSession(r)
	if err != nil {
		return err
	}
	http.Error(w, fmt.Sprintf("n would be %d", n), http.StatusInternalServerError)
	return nil
}

func (a *app) addToSession(r *http.Request) (int, error) {
	s, err := a.session(r)
	if err != nil {
		return 0, err
	}
	n, _, err := session.Get[int](s, "n")
	if err != nil {
		return 0, err
	}
	if err := pause(r); err != nil {
		return 0, err
	}
	return n + 1, s.Set("n", n+1)
}

// Counters in the database: one that all browsers share, and the number of the last entry of the
// guest book.
const (
	counterBucket = "counters"
	sharedKey     = "shared"
	bookKey       = "guestbook"
)

// readShared returns the shared counter.
func (a *app) readShared(w http.ResponseWriter, r *http.Request) error {
	counters, err := a.db.Bucket(r.Context(), counterBucket)
	if err != nil {
		return err
	}
	n, err := counter(counters, sharedKey)
	if err != nil {
		return err
	}
	answer(w, strconv.FormatUint(n, 10))
	return nil
}

// incrShared adds one to the shared counter.
func (a *app) incrShared(w http.ResponseWriter, r *http.Request) error {
	a.races.join(r, everyone)
	counters, err := a.db.Bucket(r.Context(), counterBucket)
	if err != nil {
		return err
	}
	n, err := counter(counters, sharedKey)
	if err != nil {
		return err
	}
	if err := pause(r); err != nil {
		return err
	}
	if err := setCounter(counters, sharedKey, n+1); err != nil {
		return err
	}
	answerAttempt(w, r, strconv.FormatUint(n+1, 10))
	return nil
}

// counter reads a counter, which is 0 if it was never written.
func counter(counters storage.Bucket, key string) (uint64, error) {
	record, err := counters.Get([]byte(key))
	if err != nil || record == nil {
		return 0, err
	}
	n, size := binary.Uvarint(record)
	if size != len(record) {
		return 0, fmt.Errorf("the counter %q is damaged: %x", key, record)
	}
	return n, nil
}

func setCounter(counters storage.Bucket, key string, n uint64) error {
	return counters.Put([]byte(key), binary.AppendUvarint(nil, n))
}

// body returns the SHA-256 of the request's body and the number of the attempt. With ?conflict=2
// the first two attempts fail as if they had met a conflict, after writing headers and a body that
// must not reach the client.
func (a *app) body(w http.ResponseWriter, r *http.Request) error {
	conflicts := 0
	if text := r.URL.Query().Get("conflict"); text != "" {
		var err error
		if conflicts, err = strconv.Atoi(text); err != nil || conflicts < 0 {
			return &handler.Error{
				Status: http.StatusBadRequest,
				Err:    fmt.Errorf("conflict=%q: want a whole number of 0 or more", text),
			}
		}
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, r.Body); err != nil {
		return bodyError(err)
	}
	digest := hex.EncodeToString(hash.Sum(nil))
	if number := attempt(r); number <= conflicts {
		w.Header().Set("Failed-Attempt", strconv.Itoa(number))
		w.Header().Add("Set-Cookie", "failed-attempt="+strconv.Itoa(number))
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "the failed attempt %d read %s\n", number, digest)
		return transaction.Transient(fmt.Errorf("attempt %d fails because of conflict=%d", number, conflicts))
	}
	w.Header().Set(attemptHeader, strconv.Itoa(attempt(r)))
	answer(w, digest+" "+strconv.Itoa(attempt(r)))
	return nil
}

// bodyError returns an error with status 400 for a body that could not be read; a body that is too
// large has its own status.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	return &handler.Error{
		Status: http.StatusBadRequest,
		Err:    fmt.Errorf("reading the body: %w", err),
	}
}

// maxPause limits the pause parameter.
const maxPause = time.Second

// pause waits for the number of milliseconds in the pause parameter, so that requests overlap. It
// returns an error if the client leaves.
func pause(r *http.Request) error {
	text := r.URL.Query().Get("pause")
	if text == "" {
		return nil
	}
	ms, err := strconv.Atoi(text)
	if err != nil || ms < 0 {
		return &handler.Error{
			Status: http.StatusBadRequest,
			Err:    fmt.Errorf("pause=%q: want a number of milliseconds", text),
		}
	}
	return sleep(r.Context(), min(time.Duration(ms)*time.Millisecond, maxPause))
}

// sleep waits for d, or returns ctx's error as soon as it is done.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answer writes an answer for programs: plain text, without a newline, not to be cached.
func answer(w http.ResponseWriter, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, text) // the error is for retry and tm
}

func answerAttempt(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set(attemptHeader, strconv.Itoa(attempt(r)))
	answer(w, text)
}
