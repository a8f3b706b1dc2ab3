package tree

// WithMaxWork returns o with a smaller limit of the work that resolving may take.
func (o Options) WithMaxWork(n int) Options {
	o.maxWork = n
	return o
}
