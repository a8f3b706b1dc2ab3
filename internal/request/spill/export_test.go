package spill

// InFile reports whether the high-water mark was passed.
func (b *Buffer) InFile() bool { return b.stored != nil && b.stored.file != nil }

// Cut leaves only so many bytes of the file, as somebody might who clears up.
func (b *Buffer) Cut(size int64) error { return b.stored.file.Truncate(size) }
