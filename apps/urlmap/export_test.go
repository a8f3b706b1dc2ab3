package urlmap

// ParsePlace parses a key and returns the place in the syntax of a key.
func ParsePlace(key string) (string, error) {
	p, err := parsePlace(key)
	return p.String(), err
}
