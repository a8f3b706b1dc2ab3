package show

// Redact and LooksSecret are the guesses at what is a secret.
var (
	Redact      = redact
	LooksSecret = looksSecret
)
