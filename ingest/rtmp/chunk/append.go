package chunk

import "encoding/binary"

// MaxHead is the most that stands before a message's first byte, in bytes, if
// its chunk stream is below 64.
const MaxHead = 16

// Append appends a message to dst as chunks of at most size bytes: a full
// header, which never depends on what was sent before, then type 3 ones.
// m.ChunkStream must be 2 to 63 and m.Body at most 16,777,215 bytes long.
func Append(dst []byte, size int, m Message) []byte {
	dst = appendHead(dst, m, len(m.Body))
	for body := m.Body; ; {
		part := min(size, len(body))
		dst = append(dst, body[:part]...)
		if body = body[part:]; len(body) == 0 {
			return dst
		}
		dst = appendContinuation(dst, m)
	}
}

// Split is Append for a message whose body is m.Body and behind it data, which
// is not copied: it returns slices of it between slices of headers. m.Body must
// be shorter than size.
func Split(size int, m Message, data []byte) [][]byte {
	continuation := appendContinuation(nil, m)
	chunks := max(1, (len(m.Body)+len(data)+size-1)/size)
	head := appendHead(make([]byte, 0, MaxHead+len(m.Body)), m, len(m.Body)+len(data))
	all := make([][]byte, 1, 2*chunks)
	all[0] = append(head, m.Body...)
	for room := size - len(m.Body); len(data) > 0; room = size {
		part := min(room, len(data))
		all = append(all, data[:part:part])
		if data = data[part:]; len(data) > 0 {
			all = append(all, continuation)
		}
	}
	return all
}

// AppendSplit is Append for a message whose body is m.Body and behind it data.
// m.Body must be shorter than size.
func AppendSplit(dst []byte, size int, m Message, data []byte) []byte {
	dst = append(appendHead(dst, m, len(m.Body)+len(data)), m.Body...)
	for room := size - len(m.Body); ; room = size {
		part := min(room, len(data))
		dst = append(dst, data[:part]...)
		if data = data[part:]; len(data) == 0 {
			return dst
		}
		dst = appendContinuation(dst, m)
	}
}

// appendHead appends the header of a message's first chunk (5.3.1).
func appendHead(dst []byte, m Message, n int) []byte {
	t := min(m.Timestamp, maxTimestamp)
	dst = append(dst, byte(m.ChunkStream), byte(t>>16), byte(t>>8), byte(t), byte(n>>16), byte(n>>8), byte(n), m.Type)
	dst = binary.LittleEndian.AppendUint32(dst, m.Stream)
	return appendExtension(dst, m)
}

// appendContinuation appends the header of a message's other chunks.
func appendContinuation(dst []byte, m Message) []byte {
	return appendExtension(append(dst, 0xc0|byte(m.ChunkStream)), m)
}

func appendExtension(dst []byte, m Message) []byte {
	if m.Timestamp >= maxTimestamp {
		dst = binary.BigEndian.AppendUint32(dst, m.Timestamp)
	}
	return dst
}
