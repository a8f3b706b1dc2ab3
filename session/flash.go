package session

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"slices"
)

// The keys under which the rest of Pyramid's ISession keeps its values, named as there.
const (
	csrfKey     = "_csrft_"
	flashPrefix = "_f_"
)

// Flash adds a message to a queue, to be shown once, by the next page that the browser sees. The
// queue "" is as good as any other. If the queue's key holds something other than a list of messages,
// the message replaces it. (Pyramid's flash with allow_duplicate.)
func (s *Session) Flash(message, queue string) error { return s.flash(message, queue, true) }

// FlashOnce is Flash, except that a message that is in the queue already is not added again.
func (s *Session) FlashOnce(message, queue string) error { return s.flash(message, queue, false) }

func (s *Session) flash(message, queue string, allowDuplicate bool) error {
	if err := s.hold(); err != nil {
		return err
	}
	defer s.a.release()
	messages, err := s.flashed(queue)
	if err != nil || !allowDuplicate && slices.Contains(messages, message) {
		return err
	}
	return s.setOwn(flashPrefix+queue, append(messages, message))
}

// PopFlash returns the messages of a queue, oldest first, and empties it.
func (s *Session) PopFlash(queue string) ([]string, error) {
	if err := s.hold(); err != nil {
		return nil, err
	}
	defer s.a.release()
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
	defer s.a.release()
	return s.flashed(queue)
}

func (s *Session) flashed(queue string) ([]string, error) {
	messages, _, err := readable[[]string](s, flashPrefix+queue)
	return messages, err
}

// readable is Get, but what does not fit T, or is damaged, counts as if it was not there: the keys of this file are the
// package's own, and a page must not fail because of one for as long as the session lives. The session is held.
func readable[T any](s *Session, key string) (value T, ok bool, err error) {
	value, ok, err = Get[T](held{s}, key)
	_, otherType := errors.AsType[*TypeError](err)
	_, damaged := errors.AsType[*RecordError](err)
	if otherType || damaged {
		err = nil
	}
	return value, ok, err
}

// NewCSRFToken puts a new token against cross-site request forgery into the session and returns it: 26 characters that
// can't be guessed and are safe in HTML and URLs. Make a new one at log-in.
func (s *Session) NewCSRFToken() (string, error) {
	if err := s.hold(); err != nil {
		return "", err
	}
	defer s.a.release()
	return s.newToken()
}

func (s *Session) newToken() (string, error) {
	token := rand.Text()
	return token, s.setOwn(csrfKey, token)
}

// CSRFToken returns the session's token, as Pyramid's get_csrf_token; if there is none yet, a new one.
func (s *Session) CSRFToken() (string, error) {
	if err := s.hold(); err != nil {
		return "", err
	}
	defer s.a.release()
	token, ok, err := readable[string](s, csrfKey)
	if err != nil || ok {
		return token, err
	}
	return s.newToken()
}

// CheckCSRFToken reports whether token is the session's, in a time that does not depend on how much of it is right.
// It is false if the session has none.
func (s *Session) CheckCSRFToken(token string) (bool, error) {
	if err := s.hold(); err != nil {
		return false, err
	}
	defer s.a.release()
	want, ok, err := readable[string](s, csrfKey)
	if err != nil || !ok {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1, nil
}
