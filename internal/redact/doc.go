// Package redact hides secrets in text that is shown: errors, logs, and what the commands print. Every path that prints a
// setting, or an error that may quote one, goes through it.
//
//	redact.Value("zodb_uri", "postgres://site:hunter2@db/site") // postgres://***@db/site
//	redact.Value("secret_key", "hunter2")                       // ***
//
//	var known redact.Secrets
//	known.Add("zodb_uri", uri)
//	known.Hide(err.Error()) // without the password, in whatever form the driver repeats it
//
// # How secrets are found
//
// By the name of the setting ([IsSecretKey]); by structure: the user information of a URI and of "user:password@host", the
// values of options such as password=…, in URIs, in libpq's and other lists, and in JSON; and by value: [Secrets] knows what
// was found once, and hides it wherever it turns up, percent-encoded or quoted too. A key that names the place of a secret
// (secret_key_file, secret_key_env) may hold the secret by mistake: its value is shown only if it has the form of a path, or
// of the name of a variable.
//
// # Caveats
//
// All of it guesses, and rather hides too much. [Text] is for prose, and so hides less than [Value] does: it relies on Secrets
// for values that have blanks in them.
//
// The functions are safe for concurrent use. So is a Secrets that no longer changes.
package redact
