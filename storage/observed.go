package storage

import "github.com/pasteline/pasteline/observe"

// This file tells listeners what a transaction does with keys.

// tellKey tells that a key is used. It is called with mu locked.
func (tx *Tx) tellKey(bucket string, op observe.Operation, key []byte, size int) {
	if tx.seen.AccessListening() {
		tx.seen.Accessed(tx.ctx, observe.Access{
			DB: tx.core.name, Bucket: bucket, Key: observe.Key(string(key)), Operation: op,
			Bytes: size,
		})
	}
}

// tellRange tells that a range has been read. It is called with mu locked.
func (tx *Tx) tellRange(bucket string, iv interval, size int) {
	if tx.seen.AccessListening() {
		tx.seen.Accessed(tx.ctx, observe.Access{
			DB: tx.core.name, Bucket: bucket, Key: observe.KeyRange(iv.from, iv.to),
			Operation: observe.Range, Bytes: size,
		})
	}
}

// tellConflict tells that tx has lost, and to which request.
func (tx *Tx) tellConflict(e *ConflictError) {
	if tx.seen == nil {
		return
	}
	fact := observe.Conflict{DB: e.DB, Bucket: e.Bucket, With: e.By, Err: e}
	if e.Bucket != "" {
		fact.Key = observe.Key(string(e.Key))
	}
	tx.seen.Conflicted(tx.ctx, fact)
}
