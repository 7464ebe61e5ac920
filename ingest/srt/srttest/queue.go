package srttest

import (
	"encoding/binary"
	"errors"
	"net"
	"sort"
	"time"
)

// headerSize is that of every SRT packet (SRT, 3).
const headerSize = 16

// isCeremony reports whether b is a handshake or a shutdown (SRT, 3.2).
func isCeremony(b []byte) bool {
	if len(b) < 2 || b[0]&0x80 == 0 {
		return false
	}
	kind := binary.BigEndian.Uint16(b) & 0x7fff
	return kind == 0 || kind == 5
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }

type datagram struct {
	due  time.Time
	data []byte
}

// queue is ordered by when its datagrams are due.
type queue []datagram

func (q *queue) push(d datagram) {
	i := sort.Search(len(*q), func(i int) bool { return (*q)[i].due.After(d.due) })
	*q = append(*q, datagram{})
	copy((*q)[i+1:], (*q)[i:])
	(*q)[i] = d
}

// due takes out what is due now.
func (q *queue) due(now time.Time) (all [][]byte) {
	n := 0
	for n < len(*q) && !(*q)[n].due.After(now) {
		all = append(all, (*q)[n].data)
		n++
	}
	*q = append((*q)[:0], (*q)[n:]...)
	return all
}

// next tells when the next is due, if there is one.
func (q queue) next() (time.Time, bool) {
	if len(q) == 0 {
		return time.Time{}, false
	}
	return q[0].due, true
}
