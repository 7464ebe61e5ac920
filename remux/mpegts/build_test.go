package mpegts

import (
	"encoding/binary"

	"github.com/miju-live/miju/media/mediatest"
)

const (
	testPMT   = 0x1000
	testVideo = 0x100
	testAudio = 0x101
)

// builder writes transport packets for tests.
type builder struct {
	out      []byte
	counters map[uint16]uint8
	version  uint8
}

// packets cuts payload into packets of a PID, the last one stuffed by an
// adaptation field.
func (w *builder) packets(pid uint16, payload []byte) *builder {
	for start := true; len(payload) > 0; start = false {
		n := min(len(payload), packetSize-4)
		w.packet(pid, start, payload[:n])
		payload = payload[n:]
	}
	return w
}

func (w *builder) packet(pid uint16, start bool, payload []byte) {
	if w.counters == nil {
		w.counters = make(map[uint16]uint8)
	}
	head := []byte{syncByte, byte(pid >> 8), byte(pid), 0x10 | w.counters[pid]}
	w.counters[pid] = (w.counters[pid] + 1) & 0x0f
	if start {
		head[1] |= 0x40
	}
	if stuff := packetSize - 4 - len(payload); stuff > 0 {
		head[3] |= 0x20
		head = append(head, byte(stuff-1))
		if stuff > 1 {
			head = append(head, 0)
		}
		for range stuff - 2 {
			head = append(head, 0xff)
		}
	}
	w.out = append(append(w.out, head...), payload...)
}

// section writes a section from its table ID up to its body, in one packet.
func (w *builder) section(pid uint16, tableID uint8, id uint16, body []byte) *builder {
	return w.packets(pid, append([]byte{0}, section(tableID, id, w.version, body)...))
}

func section(tableID uint8, id uint16, version uint8, body []byte) []byte {
	b := []byte{tableID, 0, 0, 0, 0, 0xc1 | version<<1, 0, 0}
	binary.BigEndian.PutUint16(b[1:], 0xb000|uint16(len(body)+9))
	binary.BigEndian.PutUint16(b[3:], id)
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc32MPEG(b))
}

func (w *builder) pat() *builder {
	return w.section(pidPAT, tablePAT, 1, []byte{0, 0, 0xe0, 0x10, 0, 7, 0xe0 | testPMT>>8, testPMT & 0xff})
}

// pmt lists streams as type and PID.
func (w *builder) pmt(streams ...uint16) *builder {
	body := []byte{0xe1, 0, 0xf0, 0}
	for i := 0; i < len(streams); i += 2 {
		body = append(body, byte(streams[i]), 0xe0|byte(streams[i+1]>>8), byte(streams[i+1]), 0xf0, 0)
	}
	return w.section(testPMT, tablePMT, 7, body)
}

// avPMT lists one H.264 and one AAC stream.
func (w *builder) avPMT() *builder {
	return w.pmt(streamTypeH264, testVideo, streamTypeAAC, testAudio)
}

// null writes packets that only help to find the sync.
func (w *builder) null(n int) *builder {
	for range n {
		w.packet(pidNull, false, make([]byte, packetSize-4))
	}
	return w
}

// pesPacket makes a PES packet. size says whether it tells its size.
func pesPacket(streamID uint8, size bool, pts, dts int64, payload []byte) []byte {
	b := []byte{0, 0, 1, streamID, 0, 0, 0x80, 0x80, 5}
	if dts != pts {
		b[7], b[8] = 0xc0, 10
		b = appendTimestamp(appendTimestamp(b, 3, pts), 1, dts)
	} else {
		b = appendTimestamp(b, 2, pts)
	}
	b = append(b, payload...)
	if size {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-6))
	}
	return b
}

func appendTimestamp(b []byte, prefix byte, t int64) []byte {
	return append(b, prefix<<4|byte(t>>30&7)<<1|1, byte(t>>22), byte(t>>15&0x7f)<<1|1, byte(t>>7), byte(t&0x7f)<<1|1)
}

// picture writes an H.264 access unit of one slice with a number in it. An IDR
// comes with its parameter sets.
func (w *builder) picture(pts, dts int64, idr bool, number byte) *builder {
	au := [][]byte{{9, 0xf0}}
	if idr {
		au = append(au, mediatest.SPS264, mediatest.PPS264, []byte{0x65, 0x88, number})
	} else {
		au = append(au, []byte{0x41, 0x9a, number})
	}
	return w.packets(testVideo, pesPacket(0xe0, false, pts, dts, annexB(au...)))
}

func annexB(nalus ...[]byte) []byte {
	var b []byte
	for _, n := range nalus {
		b = append(append(b, 0, 0, 0, 1), n...)
	}
	return b
}

// adts makes a frame of AAC-LC, 48 kHz stereo.
func adts(raw ...byte) []byte {
	n := len(raw) + 7
	return append([]byte{0xff, 0xf1, 1<<6 | 3<<2, 2<<6 | byte(n>>11), byte(n >> 3), byte(n)<<5 | 0x1f, 0xfc}, raw...)
}

func (w *builder) sound(pts int64, frames ...[]byte) *builder {
	var payload []byte
	for _, f := range frames {
		payload = append(payload, f...)
	}
	return w.packets(testAudio, pesPacket(0xc0, true, pts, pts, payload))
}
