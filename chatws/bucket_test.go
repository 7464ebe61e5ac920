package chatws

import (
	"testing"
	"time"
)

func TestBucketWhenTimesCross(t *testing.T) {
	var b bucket
	now := time.Now()
	take := func(after time.Duration, want time.Duration) {
		t.Helper()
		if got := b.take(now.Add(after), 1, 10, 3); got.Round(time.Millisecond) != want {
			t.Errorf("after %v it asks to wait %v, want %v", after, got, want)
		}
	}
	take(time.Second, 0)
	take(0, 0) // who was slower to get here
	take(time.Second, 0)
	take(time.Second, 100*time.Millisecond)
	take(500*time.Millisecond, 100*time.Millisecond)
	take(1100*time.Millisecond, 0)
	take(1100*time.Millisecond, 100*time.Millisecond)
	take(time.Minute, 0)
}
