package spill

// InFile reports whether the high-water mark was passed.
func (b *Buffer) InFile() bool { return b.file != nil }
