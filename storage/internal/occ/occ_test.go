package occ_test

import (
	"fmt"
	"testing"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

func writes(keys ...string) (ws []engine.Write) {
	for _, key := range keys {
		ws = append(ws, engine.Write{Bucket: "b", Key: key})
	}
	return ws
}

func read(key string) *engine.Changes {
	return &engine.Changes{Reads: []engine.ReadKey{{Bucket: "b", Key: key}}}
}

func readRange(from, to string) *engine.Changes {
	return &engine.Changes{Ranges: []engine.ReadRange{{Bucket: "b", From: from, To: to}}}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	h := occ.New(10)
	defer h.Close(h.Open())
	h.Commit(11, &engine.Changes{Writes: writes("a", "c")})
	h.Commit(12, &engine.Changes{Writes: writes("e")})
	h.Commit(13, &engine.Changes{Writes: writes("a")})
	for _, tt := range []struct {
		name string
		read *engine.Changes
		seq  uint64
		want string // the key that conflicts
	}{
		{"nothing", &engine.Changes{Writes: writes("a")}, 10, ""},
		{"changed since", read("a"), 10, "a"},
		{"changed again since", read("a"), 12, "a"},
		{"changed before", read("a"), 13, ""},
		{"never changed", read("b"), 10, ""},
		{"other bucket", &engine.Changes{Reads: []engine.ReadKey{{Bucket: "x", Key: "a"}}}, 10, ""},
		{"range", readRange("b", "d"), 10, "c"},
		{"range, changed before", readRange("b", "d"), 11, ""},
		{"range between", readRange("d", "e"), 10, ""},
		{"range to the end", readRange("d", ""), 11, "e"},
		{"range of all keys", readRange("", ""), 11, "a"},
		{"range of another bucket", &engine.Changes{Ranges: []engine.ReadRange{{Bucket: "x"}}}, 10, ""},
	} {
		conflict := h.Validate(tt.read, tt.seq)
		if got := conflict != nil; got != (tt.want != "") || got && (string(conflict.Key) != tt.want || conflict.Bucket != "b") {
			t.Errorf("%s: got %v, want %q", tt.name, conflict, tt.want)
		}
	}
}

// The history keeps only the commits that an open snapshot needs, and one entry per key.
func TestForgets(t *testing.T) {
	t.Parallel()
	h := occ.New(0)
	wantSize := func(wantKeys, wantEpochs int) {
		t.Helper()
		keys, bytes, epochs := h.Size()
		if keys != wantKeys || epochs != wantEpochs || (bytes == 0) != (keys == 0) {
			t.Errorf("got %d keys, %d bytes, %d epochs, want %d keys and %d epochs", keys, bytes, epochs, wantKeys, wantEpochs)
		}
	}
	h.Commit(1, &engine.Changes{Writes: writes("a", "b")})
	wantSize(0, 0)

	first := h.Open()
	for seq := uint64(2); seq < 100; seq++ {
		h.Commit(seq, &engine.Changes{Writes: writes("hot", "b")})
	}
	wantSize(2, 1)
	second, third := h.Open(), h.Open()
	h.Commit(100, &engine.Changes{Writes: writes("c")})
	wantSize(3, 2)
	h.Close(first)
	h.Commit(101, &engine.Changes{Writes: writes("d")})
	wantSize(2, 1) // c, d: written after the second was opened
	h.Close(second)
	h.Commit(102, &engine.Changes{Writes: writes("c")})
	wantSize(2, 1)
	if conflict := h.Validate(read("d"), 99); conflict == nil {
		t.Error("a commit that an open snapshot needs was forgotten")
	}
	h.Close(third)
	h.Commit(103, &engine.Changes{Writes: writes("e")})
	wantSize(0, 0)
}

// Beyond the bound, transactions with an old snapshot conflict; no update is lost.
func TestBound(t *testing.T) {
	t.Parallel()
	h := occ.New(0)
	h.SetLimit(10_000)
	defer h.Close(h.Open())
	for seq := uint64(1); seq <= 1000; seq++ {
		h.Commit(seq, &engine.Changes{Writes: writes(fmt.Sprint(seq))})
	}
	keys, bytes, _ := h.Size()
	if bytes > 10_000 || keys < 50 {
		t.Errorf("got %d keys in %d bytes, want as many as fit into 10000", keys, bytes)
	}
	if conflict := h.Validate(read("never written"), 0); conflict == nil || conflict.Bucket != "" {
		t.Errorf("a snapshot that is too old: got %v, want a conflict without a key", conflict)
	}
	if conflict := h.Validate(&engine.Changes{Writes: writes("x")}, 0); conflict != nil {
		t.Errorf("a transaction without reads: got %v, want none", conflict)
	}
	if conflict := h.Validate(read("never written"), 990); conflict != nil {
		t.Errorf("a young snapshot: got %v, want no conflict", conflict)
	}
	if conflict := h.Validate(read("995"), 990); conflict == nil || string(conflict.Key) != "995" {
		t.Errorf("a young snapshot: got %v, want a conflict over 995", conflict)
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		prepared, c *engine.Changes
		want        string
	}{
		{"apart", &engine.Changes{Writes: writes("a")}, &engine.Changes{Writes: writes("b")}, ""},
		{"both write", &engine.Changes{Writes: writes("a")}, &engine.Changes{Writes: writes("a")}, "a"},
		{"reads a prepared write", &engine.Changes{Writes: writes("a")}, read("a"), "a"},
		{"writes a prepared read", read("a"), &engine.Changes{Writes: writes("a")}, "a"},
		{"writes into a prepared range", readRange("a", "c"), &engine.Changes{Writes: writes("b")}, "b"},
		{"both read", read("a"), read("a"), ""},
	} {
		conflict := occ.Overlap(tt.prepared, tt.c)
		if got := conflict != nil; got != (tt.want != "") || got && string(conflict.Key) != tt.want {
			t.Errorf("%s: got %v, want %q", tt.name, conflict, tt.want)
		}
	}
}

func TestWrites(t *testing.T) {
	t.Parallel()
	var w occ.Writes
	if conflict := w.Validate(readRange("", "")); conflict != nil {
		t.Errorf("empty: got %v", conflict)
	}
	w.Add(writes("a"))
	w.Add([]engine.Write{{Bucket: "b", Key: "c"}, {Bucket: "x", Key: "a"}})
	if conflict := w.Validate(readRange("b", "")); conflict == nil || string(conflict.Key) != "c" {
		t.Errorf("got %v, want c", conflict)
	}
	if conflict := w.Validate(read("b")); conflict != nil {
		t.Errorf("got %v, want none", conflict)
	}
}
