package mpegts

import "fmt"

const (
	// maxUnsynced is how many bytes may go by without a sync byte at every
	// packet's distance.
	maxUnsynced = 64 << 10
	// syncRun is how many sync bytes in a row are believed.
	syncRun = 3
)

// strides are the distances of packets, in bytes: as they are, behind a time code
// of four bytes (what M2TS recorders and Blu-ray have), and before sixteen bytes
// of Reed-Solomon code (what DVB modulators have).
var strides = [...]int{packetSize, packetSize + 4, packetSize + 16}

// borders finds where packets begin.
type borders struct {
	carry    []byte
	synced   bool
	unsynced int
	stride   int
	// between is what still lies before the next packet, in bytes.
	between int
}

// packets reads all whole packets of b and returns the rest.
func (d *Demuxer) packets(b []byte) []byte {
	for d.err == nil {
		if !d.synced {
			if b = d.findSync(b); !d.synced {
				return b
			}
		}
		n := min(d.between, len(b))
		d.between -= n
		if b = b[n:]; len(b) < packetSize {
			return b
		}
		if b[0] != syncByte {
			d.synced = false
			d.stats.SyncLosses++
			continue
		}
		d.unsynced = max(0, d.unsynced-packetSize)
		d.packet(b[:packetSize])
		b, d.between = b[packetSize:], d.stride-packetSize
	}
	return nil
}

// findSync skips to the first of syncRun sync bytes at one of the strides.
func (d *Demuxer) findSync(b []byte) []byte {
	need := (syncRun-1)*strides[len(strides)-1] + 1
	i := 0
	for ; len(b)-i >= need && !d.synced; i++ {
		if b[i] == syncByte && d.isRun(b[i:]) {
			break
		}
	}
	d.stats.Skipped += uint64(i)
	if d.unsynced += i; d.unsynced > maxUnsynced {
		d.err = fmt.Errorf("%w: %d bytes without packets of %d", ErrNotTS, d.unsynced, packetSize)
	}
	return b[i:]
}

// isRun notes the stride if b begins a run of sync bytes.
func (d *Demuxer) isRun(b []byte) bool {
	for _, n := range strides {
		if b[n] == syncByte && b[2*n] == syncByte {
			d.synced, d.stride, d.between = true, n, 0
			return true
		}
	}
	return false
}
