package session

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
)

// Keys of Pyramid's ISession features (flash messages, CSRF token); the names are Pyramid's.
const (
	csrfKey     = "_csrft_"
	flashPrefix = "_f_"
)

// Flash adds a message to a queue. It is shown once, on the next page that calls PopFlash for that
// queue. The queue "" is the default. If the queue's key holds a value that is not a list of
// messages, the message replaces it. Flash corresponds to Pyramid's flash with allow_duplicate.
func (s *Session) Flash(message, queue string) error { return s.flash(message, queue, true) }

// FlashOnce is Flash, except that a message that is already in the queue is not added again.
func (s *Session) FlashOnce(message, queue string) error { return s.flash(message, queue, false) }

func (s *Session) flash(message, queue string, allowDuplicate bool) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.ts.release()
	messages, err := s.flashed(queue)
	if err != nil || !allowDuplicate && slices.Contains(messages, message) {
		return err
	}
	return s.setInternal(flashPrefix+queue, append(messages, message))
}

// PopFlash returns the messages of a queue, oldest first, and empties it.
func (s *Session) PopFlash(queue string) ([]string, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.ts.release()
	messages, err := s.flashed(queue)
	if err != nil {
		return nil, err
	}
	return messages, s.delete(flashPrefix + queue)
}

// PeekFlash returns the messages of a queue, oldest first, and leaves them in it.
func (s *Session) PeekFlash(queue string) ([]string, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.ts.release()
	return s.flashed(queue)
}

func (s *Session) flashed(queue string) ([]string, error) {
	messages, _, err := readable[[]string](s, flashPrefix+queue)
	return messages, err
}

// readable is Get, except that a damaged value, or one that does not fit T, counts as absent: the
// keys of this file belong to the package, and a page must not fail because of one of them for the
// rest of the session. The session must be held.
func readable[T any](s *Session, key string) (value T, ok bool, err error) {
	value, ok, err = Get[T](held{s}, key)
	_, otherType := errors.AsType[*TypeError](err)
	_, damaged := errors.AsType[*RecordError](err)
	if otherType || damaged {
		err = nil
	}
	return value, ok, err
}

// NewCSRFToken sets and returns a new token against cross-site request forgery (CSRF): 26 random
// characters that are safe in HTML and URLs. Call it at log-in, unless [Manager.Renew] does.
func (s *Session) NewCSRFToken() (string, error) {
	if err := s.hold(); err != nil {
		return "", err
	}
	defer s.ts.release()
	return s.newToken()
}

func (s *Session) newToken() (string, error) {
	token := rand.Text()
	return token, s.setInternal(csrfKey, token)
}

// CSRFToken returns the session's CSRF token, and makes one if there is none. It corresponds to
// Pyramid's get_csrf_token.
func (s *Session) CSRFToken() (string, error) {
	if err := s.hold(); err != nil {
		return "", err
	}
	defer s.ts.release()
	token, ok, err := readable[string](s, csrfKey)
	if err != nil || ok {
		return token, err
	}
	return s.newToken()
}

// CheckCSRFToken reports whether token is the session's CSRF token. The comparison takes constant
// time. It returns false if the session has no token.
func (s *Session) CheckCSRFToken(token string) (bool, error) {
	if err := s.hold(); err != nil {
		return false, err
	}
	defer s.ts.release()
	want, ok, err := readable[string](s, csrfKey)
	if err != nil || !ok {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1, nil
}
