package session

import (
	"crypto/rand"
	"crypto/subtle"
	"slices"
)

// The keys under which the rest of Pyramid's ISession keeps its values, named as there.
const (
	csrfKey     = "_csrft_"
	flashPrefix = "_f_"
)

// Flash adds a message to a queue, to be shown once, by the next page that the browser sees. The queue "" is as good
// as any other. If allowDuplicate is false, a message that is in the queue already is not added again.
func (s *Session) Flash(message, queue string, allowDuplicate bool) error {
	messages, err := s.PeekFlash(queue)
	if err != nil || !allowDuplicate && slices.Contains(messages, message) {
		return err
	}
	return s.Set(flashPrefix+queue, append(messages, message))
}

// PopFlash returns the messages of a queue, oldest first, and empties it.
func (s *Session) PopFlash(queue string) ([]string, error) {
	messages, _, err := Pop[[]string](s, flashPrefix+queue)
	return messages, err
}

// PeekFlash returns the messages of a queue, oldest first, and leaves them in it.
func (s *Session) PeekFlash(queue string) ([]string, error) {
	messages, _, err := Value[[]string](s, flashPrefix+queue)
	return messages, err
}

// NewCSRFToken puts a new token against cross-site request forgery into the session and returns it: 26 characters that
// can't be guessed and are safe in HTML and URLs. Make a new one at log-in.
func (s *Session) NewCSRFToken() (string, error) {
	token := rand.Text()
	return token, s.Set(csrfKey, token)
}

// CSRFToken returns the session's token, as Pyramid's get_csrf_token; if there is none yet, a new one.
func (s *Session) CSRFToken() (string, error) {
	token, ok, err := Value[string](s, csrfKey)
	if err != nil || ok {
		return token, err
	}
	return s.NewCSRFToken()
}

// CheckCSRFToken reports whether token is the session's, in a time that does not depend on how much of it is right.
// It is false if the session has none.
func (s *Session) CheckCSRFToken(token string) (bool, error) {
	want, ok, err := Value[string](s, csrfKey)
	if err != nil || !ok {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1, nil
}
