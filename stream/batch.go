package stream

import (
	"fmt"
	"time"
)

// Batch is how an operator says how often viewers are written to: at every video
// frame (0), at most once in a time, or BatchAuto.
type Batch time.Duration

// BatchAuto is every video frame while the machine has room, and less often the
// busier it is (Hub.SetPace).
const BatchAuto = Batch(WakeAuto)

// maxBatchTime bounds a Batch: players buffer little more.
const maxBatchTime = 2 * time.Second

// String returns what Set takes.
func (b *Batch) String() string {
	if *b == BatchAuto {
		return "auto"
	}
	return time.Duration(*b).String()
}

// Set takes "auto", or a time from 0s to 2s.
func (b *Batch) Set(s string) error {
	if s == "auto" {
		*b = BatchAuto
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxBatchTime {
		return fmt.Errorf("it must be auto, or a time from 0s to %v", maxBatchTime)
	}
	*b = Batch(d)
	return nil
}

// Type names the kind of value for --help.
func (b *Batch) Type() string { return "auto or time" }
