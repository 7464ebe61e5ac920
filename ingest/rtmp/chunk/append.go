package chunk

import "encoding/binary"

// Append appends a message to dst as chunks of at most size bytes: a full
// header, which never depends on what was sent before, then type 3 ones.
// m.ChunkStream must be 2 to 63 and m.Body at most 16,777,215 bytes long.
func Append(dst []byte, size int, m Message) []byte {
	t := min(m.Timestamp, maxTimestamp)
	n := len(m.Body)
	dst = append(dst, byte(m.ChunkStream), byte(t>>16), byte(t>>8), byte(t), byte(n>>16), byte(n>>8), byte(n), m.Type)
	dst = binary.LittleEndian.AppendUint32(dst, m.Stream)
	body := m.Body
	for first := true; first || len(body) > 0; first = false {
		if !first {
			dst = append(dst, 0xc0|byte(m.ChunkStream))
		}
		if t == maxTimestamp {
			dst = binary.BigEndian.AppendUint32(dst, m.Timestamp)
		}
		part := min(size, len(body))
		dst = append(dst, body[:part]...)
		body = body[part:]
	}
	return dst
}
