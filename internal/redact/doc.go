// Package redact hides secrets in settings, errors, logs and the output of commands. Every function
// that prints a setting, or an error that may quote one, uses it.
//
//	redact.Value("zodb_uri", "postgres://site:hunter2@db/site") // postgres://***@db/site
//	redact.Value("secret_key", "hunter2")                       // ***
//
//	var known redact.Secrets
//	known.Add("zodb_uri", uri)
//	known.Hide(err.Error()) // without the password, in any form that the driver repeats it
//
// # How secrets are found
//
// By the key of the setting ([IsSecretKey]); by structure: the user information of a URI and of
// "user:password@host", the values of options such as password=…, in URIs, in libpq's and other
// lists, and in JSON; and by value: [Secrets] remembers secrets, and hides them in other text, also
// percent-encoded or quoted. A key that names the place of a secret (secret_key_file,
// secret_key_env) may contain the secret by mistake: its value is shown only if it looks like a
// path or the name of a variable.
//
// # Caveats
//
// All of this is heuristic, and rather hides too much. [Text] is for prose, and so hides less than
// [Value]: it relies on Secrets for values that contain spaces.
//
// The functions are safe for concurrent use, and so is a Secrets that no longer changes.
package redact
