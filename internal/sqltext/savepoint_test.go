package sqltext_test

import (
	"testing"

	"github.com/pasteline/pasteline/internal/sqltext"
)

func TestRollsBackTo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sql  string
		want bool
	}{
		{"ROLLBACK TO a", true},
		{"/* back */ rollback work to savepoint a;", true},
		{"ROLLBACK", false},
		{"ROLLBACK TO a; COMMIT", false},
		{"SAVEPOINT a", false},
		{"", false},
	} {
		if got := sqltext.RollsBackTo(tt.sql); got != tt.want {
			t.Errorf("%q: got %t, want %t", tt.sql, got, tt.want)
		}
	}
}
