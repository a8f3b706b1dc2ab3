package urlmap

// ParsePlace reads a key and prints what it says.
func ParsePlace(key string) (string, error) {
	p, err := parsePlace(key)
	return p.String(), err
}
