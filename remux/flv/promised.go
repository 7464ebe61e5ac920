package flv

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/remux/amf0"
)

// promise is what an encoder's onMetaData says of what will come.
type promise struct {
	// video and audio say that a default track of the kind will.
	video, audio bool
	// tracks are what is said of each track, by ID.
	tracks map[int]trackInfo
}

// trackInfo is what onMetaData says of a track; 0 is what it does not tell.
type trackInfo struct {
	codec media.Codec
	// frameRate is in frames per second, bitrate in bits per second,
	// sampleRate in Hz.
	frameRate                     float64
	bitrate, sampleRate, channels int
}

func (p *promise) of(id int) trackInfo { return p.tracks[id] }

// ids returns the tracks that will come, in order.
func (p *promise) ids() []int {
	ids := make([]int, 0, MaxTracks)
	for id := range p.tracks {
		if id == VideoTrack && !p.video || id == AudioTrack && !p.audio {
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Promised returns the tracks that onMetaData announced with a codec and that
// have not come yet: their ID, codec, sample rate and channels, and no Config.
// Sample rate and channels are 0 if it does not tell.
func (d *Demuxer) Promised() (tracks []*media.Track) {
	for _, id := range d.promised.ids() {
		info := d.promised.of(id)
		if s := d.lookup(id); s != nil && s.track != nil || info.codec == 0 {
			continue
		}
		tracks = append(tracks, &media.Track{
			ID: id, Codec: info.codec, SampleRate: info.sampleRate, Channels: info.channels,
			FrameRate: info.frameRate, Bitrate: info.bitrate,
		})
	}
	return tracks
}

// readPromise reads what follows the name onMetaData. Without an object it
// promises nothing.
func readPromise(values []byte) (promise, error) {
	var p promise
	all, err := amf0.Decode(values)
	if err != nil {
		return p, fmt.Errorf("%w: onMetaData: %w", ErrMalformed, err)
	}
	if len(all) == 0 {
		return p, nil
	}
	o, _ := amf0.AsObject(all[0])
	p.video = promises(o, "videocodecid", "hasVideo", "width", "height")
	p.audio = promises(o, "audiocodecid", "hasAudio", "audiosamplerate", "audiochannels")
	// What is said of a kind counts for its default track, whether it is
	// promised or not.
	p.tracks = map[int]trackInfo{
		VideoTrack: readInfo(o, media.KindVideo, trackInfo{}),
		AudioTrack: readInfo(o, media.KindAudio, trackInfo{}),
	}
	p.readMap(o.Get("videoTrackIdInfoMap"), media.KindVideo)
	p.readMap(o.Get("audioTrackIdInfoMap"), media.KindAudio)
	return p, nil
}

// readMap reads what is said of the tracks beyond the default one ("Enhancing
// onMetaData"): only what differs from that.
func (p *promise) readMap(v amf0.Value, k media.Kind) {
	o, _ := amf0.AsObject(v)
	for _, property := range o {
		number, err := strconv.ParseUint(property.Name, 10, 8)
		info, ok := amf0.AsObject(property.Value)
		if err != nil || number == 0 || !ok || len(p.tracks) == MaxTracks {
			continue
		}
		standard := p.tracks[trackID(k, 0)]
		standard.bitrate = 0
		p.tracks[trackID(k, int(number))] = readInfo(info, k, standard)
	}
}

// readInfo reads what an object says of a track. Numbers that are none of live
// media are those of standard.
func readInfo(o amf0.Object, k media.Kind, standard trackInfo) trackInfo {
	t := standard
	set := func(to *int, n int) {
		if n > 0 {
			*to = n
		}
	}
	if k == media.KindVideo {
		if c := codecOf(o.Get("videocodecid"), videoIDs); c != 0 {
			t.codec = c
		}
		if n, ok := o.Get("framerate").(amf0.Number); ok && n >= 1 && n <= 480 {
			t.frameRate = float64(n)
		}
		set(&t.bitrate, bitrate(o.Get("videodatarate")))
		return t
	}
	if c := codecOf(o.Get("audiocodecid"), soundIDs); c != 0 {
		t.codec = c
	}
	set(&t.bitrate, bitrate(o.Get("audiodatarate")))
	set(&t.sampleRate, whole(firstOf(o, "audiosamplerate", "samplerate"), 192000))
	channels := whole(firstOf(o, "audiochannels", "channels"), 8)
	if stereo, ok := o.Get("stereo").(amf0.Boolean); ok && channels == 0 {
		channels = 1
		if stereo {
			channels = 2
		}
	}
	set(&t.channels, channels)
	return t
}

// The ids of the old headers.
var (
	videoIDs = map[amf0.Number]media.Codec{videoH264: media.H264, videoH265: media.H265, videoAV1: media.AV1}
	soundIDs = map[amf0.Number]media.Codec{soundAAC: media.AAC, soundMP3: media.MP3, soundMP3At8: media.MP3, soundOpus: media.Opus}
)

// codecOf reads a codec's id: a number of the old header, a FourCC as a number,
// or as text; 0 if it is none that is carried.
func codecOf(v amf0.Value, ids map[amf0.Number]media.Codec) media.Codec {
	switch v := v.(type) {
	case amf0.Number:
		if c, ok := ids[v]; ok {
			return c
		}
		if v > 0 && v < 1<<32 {
			return fourCCs[fourCC(v)]
		}
	case amf0.String:
		name := strings.ToLower(string(v))
		if name == "aac" {
			return media.AAC
		}
		if len(name) < 4 {
			return 0
		}
		for four, codec := range fourCCs {
			if strings.EqualFold(four.String(), name[:4]) {
				return codec
			}
		}
	}
	return 0
}

func firstOf(o amf0.Object, names ...string) amf0.Value {
	for _, name := range names {
		if v := o.Get(name); v != nil {
			return v
		}
	}
	return nil
}

// promises goes by the codec's id where it is given. That is a number, a
// FourCC as a number, or with old encoders its name; 0 is how some say "none".
// Sound format 0 is PCM too, but not from an encoder of today.
func promises(o amf0.Object, id string, others ...string) bool {
	if v := o.Get(id); v != nil {
		return positive(v)
	}
	for _, name := range others {
		if positive(o.Get(name)) {
			return true
		}
	}
	return false
}

func positive(v amf0.Value) bool {
	switch v := v.(type) {
	case amf0.Number:
		return v > 0
	case amf0.Boolean:
		return bool(v)
	case amf0.String:
		return v != ""
	}
	return false
}

// bitrate reads kbit/s as bits per second; a number that is none of a live
// stream is 0.
func bitrate(v amf0.Value) int {
	if n, ok := v.(amf0.Number); ok && n > 0 && n < 1e6 {
		return int(n * bitsPerKilobit)
	}
	return 0
}

// whole returns a number from 1 to most as such, any other value as 0.
func whole(v amf0.Value, most int) int {
	if n, ok := v.(amf0.Number); ok && n >= 1 && n <= amf0.Number(most) {
		return int(n)
	}
	return 0
}
