package media

import "fmt"

// mp3Header is what matters here of the header of a frame of MPEG-1, 2 or 2.5
// audio, layer III (ISO 11172-3, 2.4.1.3; ISO 13818-3). mediacommon's parser
// does not know 2.5, which 8 kHz and 11.025 kHz are of.
type mp3Header struct {
	rate, channels, samples int
}

// mp3Rates are MPEG-1's sample rates in Hz; 2 has half of them, 2.5 a quarter.
var mp3Rates = [3]int{44100, 48000, 32000}

// NewMP3Track describes a track by a frame of it. Config is the frame's header
// of four bytes, without what may change from frame to frame; nobody writes it
// anywhere, it tells one track from another. Errors wrap ErrBadConfig.
func NewMP3Track(id int, frame []byte) (*Track, error) {
	h, err := parseMP3Header(frame)
	if err != nil {
		return nil, err
	}
	config := []byte{frame[0], frame[1] | 1, frame[2] & 0x0c, 0}
	if h.channels == 1 {
		config[3] = 0xc0
	}
	return &Track{ID: id, Codec: MP3, Config: config, SampleRate: h.rate, Channels: h.channels}, nil
}

func parseMP3Header(b []byte) (h mp3Header, err error) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return h, fmt.Errorf("%w: no MP3 header in %d bytes", ErrBadConfig, len(b))
	}
	version, layer, rate := b[1]>>3&3, b[1]>>1&3, b[2]>>2&3
	if version == 1 || layer != 1 || rate == 3 {
		return h, fmt.Errorf("%w: MPEG audio header % x", ErrBadConfig, b[:4])
	}
	h = mp3Header{rate: mp3Rates[rate], channels: 2, samples: 1152}
	if version != 3 {
		h.samples = 576
		h.rate /= 2
		if version == 0 {
			h.rate /= 2
		}
	}
	if b[3]>>6 == 3 {
		h.channels = 1
	}
	return h, nil
}
