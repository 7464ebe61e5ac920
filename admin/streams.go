package admin

import (
	"math"
	"net/http"
	"time"

	"github.com/miju-live/miju/media"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// streamInfo is one live stream in the API.
type streamInfo struct {
	Key streamkey.Key `json:"stream"`
	// Protocol and Remote are those of the last publisher.
	Protocol string    `json:"protocol"`
	Remote   string    `json:"remote"`
	Since    time.Time `json:"since"`
	// Publisher is null while the stream waits for its encoder to come back.
	Publisher *Publisher `json:"publisher"`
	// Resumed counts how often it came back.
	Resumed uint64      `json:"resumed"`
	Tracks  []trackInfo `json:"tracks"`
	Frames  uint64      `json:"frames"`
	Bytes   uint64      `json:"bytes"`
	// Viewers are all but players of HLS. Readers counts every cursor: those of
	// viewers and that of the HLS packager.
	Viewers      int64  `json:"viewers"`
	Readers      int64  `json:"readers"`
	Skips        uint64 `json:"skips"`
	GOPBytes     uint64 `json:"gopBytes"`
	GOPMillis    int64  `json:"gopMillis"`
	GOPOverflows uint64 `json:"gopOverflows"`
}

type trackInfo struct {
	ID          int     `json:"id"`
	Kind        string  `json:"kind"`
	Codec       string  `json:"codec"`
	CodecString string  `json:"codecString,omitempty"`
	Width       int     `json:"width,omitempty"`
	Height      int     `json:"height,omitempty"`
	FrameRate   float64 `json:"frameRate,omitempty"`
	SampleRate  int     `json:"sampleRate,omitempty"`
	Channels    int     `json:"channels,omitempty"`
	Bitrate     int     `json:"bitrate,omitempty"`
	Language    string  `json:"language,omitempty"`
	Name        string  `json:"name,omitempty"`
}

func (a *api) streams(w http.ResponseWriter, _ *http.Request) {
	live := []streamInfo{}
	for _, s := range a.sources.Hub.Streams() {
		i := describe(s)
		i.Publisher = a.sources.Publisher(s.Key())
		live = append(live, i)
	}
	ended := a.sources.Ended()
	if ended == nil {
		ended = []EndedPublisher{}
	}
	hub := a.sources.Hub.Stats()
	answer(w, http.StatusOK, struct {
		Streams []streamInfo     `json:"streams"`
		Ended   []EndedPublisher `json:"ended"`
		// Viewers are those of all streams, EgressMbps is what they and the
		// players of HLS are sent.
		Viewers    int64   `json:"viewers"`
		EgressMbps float64 `json:"egressMbps"`
	}{live, ended, hub.Viewers, math.Round(hub.EgressRate/1e4) / 100})
}

func describe(s *stream.Stream) streamInfo {
	st, source := s.Stats(), s.Source()
	i := streamInfo{
		Key: s.Key(), Protocol: source.Protocol, Remote: source.RemoteAddr, Since: s.Started().UTC(), Tracks: []trackInfo{},
		Resumed: st.Resumed, Frames: st.Frames, Bytes: st.Bytes, Viewers: st.Viewers, Readers: st.Readers, Skips: st.Skips,
		GOPBytes: st.CachedBytes, GOPMillis: st.CachedDuration.Milliseconds(), GOPOverflows: st.GOPOverflows,
	}
	for _, t := range s.Tracks().Tracks {
		i.Tracks = append(i.Tracks, describeTrack(t))
	}
	return i
}

func describeTrack(t *media.Track) trackInfo {
	return trackInfo{
		ID: t.ID, Kind: t.Kind().String(), Codec: t.Codec.String(), CodecString: t.CodecString(),
		Width: t.Width, Height: t.Height, FrameRate: t.FrameRate, SampleRate: t.SampleRate, Channels: t.Channels,
		Bitrate: t.Bitrate, Language: t.Language, Name: t.Name,
	}
}

// defaultHold keeps an encoder that is set to come back from doing so at once.
const defaultHold = 10 * time.Second

// kick ends a stream. The query's hold says for how long its key is closed
// for publishers, as a duration like 30s.
func (a *api) kick(w http.ResponseWriter, r *http.Request) {
	key, err := streamkey.Join(r.PathValue("app"), r.PathValue("name"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_stream", err.Error())
		return
	}
	hold := defaultHold
	if q := r.URL.Query().Get("hold"); q != "" {
		if hold, err = time.ParseDuration(q); err != nil || hold < 0 {
			refuse(w, http.StatusBadRequest, "bad_request", "hold must be a duration like 30s, or 0s")
			return
		}
	}
	if !a.sources.Kick(key, hold) {
		refuse(w, http.StatusNotFound, "not_live", key.String()+" is not live")
		return
	}
	a.log.Info("stream ended by an operator", "stream", key, "hold", hold)
	answer(w, http.StatusOK, map[string]string{"ended": key.String(), "hold": hold.String()})
}
