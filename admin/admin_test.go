package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/miju-live/miju/media/mediatest"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

func handler(t *testing.T, c Config) (http.Handler, *stream.Hub, *[]string) {
	t.Helper()
	hub := stream.NewHub(stream.DefaultConfig(), nil)
	var announced []string
	h := New(c, Sources{
		Hub: hub,
		Ended: func() []EndedPublisher {
			return []EndedPublisher{{Stream: "live/y", Reason: "unsupported_codec", Error: "unsupported codec: Sorenson H.263", At: time.Unix(0, 0)}}
		},
		Publisher: func(k streamkey.Key) *Publisher {
			return &Publisher{Protocol: "srt", Remote: "192.0.2.1:5", Transport: &Transport{LatencyMillis: 120, Lost: 3}}
		},
		Kick: func(k streamkey.Key, hold time.Duration) bool {
			announced = append(announced, "kick "+k.String()+" "+hold.String())
			return k.Name() == "x"
		},
		Chat: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			announced = append(announced, r.Method+" "+r.URL.Path)
		}),
		Metrics: http.NotFoundHandler(),
	}, slog.New(slog.DiscardHandler))
	return h, hub, &announced
}

func TestWebPagesCannotReachIt(t *testing.T) {
	for _, c := range []struct {
		name, host string
		header     http.Header
		want       int
	}{
		{"curl", "127.0.0.1:8081", nil, 200},
		{"localhost", "localhost:8081", nil, 200},
		{"IPv6", "[::1]:8081", nil, 200},
		{"a name that was allowed", "miju.internal:8081", nil, 200},
		{"a rebound DNS name", "evil.example:8081", nil, 421},
		{"a balancer, by HTTP/1.0", "", nil, 200},
		{"another origin", "127.0.0.1:8081", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"an opaque origin", "127.0.0.1:8081", http.Header{"Origin": {"null"}}, 403},
		{"own origin", "127.0.0.1:8081", http.Header{"Origin": {"http://127.0.0.1:8081"}}, 200},
		{"an image tag of another page", "127.0.0.1:8081", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a page on another port", "localhost:8081", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"typed into the address bar", "localhost:8081", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _, _ := handler(t, Config{Hosts: "other, Miju.Internal"})
			r := httptest.NewRequest("GET", "/healthz", nil)
			r.Host = c.host
			for k, v := range c.header {
				r.Header[k] = v
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

func TestStreams(t *testing.T) {
	h, hub, _ := handler(t, Config{})
	key, err := streamkey.Join("live", "x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := hub.Publish(key, stream.Source{Protocol: "rtmp", RemoteAddr: "192.0.2.1:5"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Write((&mediatest.Source{Video: mediatest.H264Track(1), Audio: mediatest.AACTrack(2)}).Next())
	r := httptest.NewRequest("GET", "/api/v1/streams", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var got struct {
		Streams []struct {
			Stream, Protocol, Remote string
			Tracks                   []struct{ Kind, Codec, CodecString string }
			Frames                   int
		}
		Ended []EndedPublisher
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err, w.Body)
	}
	s := got.Streams[0]
	if s.Stream != "live/x" || s.Protocol != "rtmp" || s.Frames != 1 || len(s.Tracks) != 2 || s.Tracks[0].CodecString != "avc1.64001f" || s.Tracks[1].Kind != "audio" {
		t.Errorf("%s", w.Body)
	}
	if len(got.Ended) != 1 || !strings.Contains(got.Ended[0].Error, "H.263") {
		t.Errorf("%s", w.Body)
	}
}

func TestChatIsAskedForRooms(t *testing.T) {
	for _, c := range []string{
		"GET /api/v1/rooms", "GET /api/v1/rooms/live/x", "POST /api/v1/rooms/live/x/announcements", "POST /api/v1/announcements",
		"DELETE /api/v1/bans", "POST /api/v1/mutes", "GET /api/v1/sanctions",
	} {
		h, _, did := handler(t, Config{})
		method, path, _ := strings.Cut(c, " ")
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "http://localhost"+path, nil))
		if len(*did) != 1 || (*did)[0] != c {
			t.Errorf("%s: %q", c, *did)
		}
	}
}

func TestKick(t *testing.T) {
	for _, c := range []struct {
		name, url string
		want      int
		did       string
	}{
		{"default hold", "/api/v1/streams/live/x", 200, "kick live/x 10s"},
		{"an hour", "/api/v1/streams/live/x?hold=1h", 200, "kick live/x 1h0m0s"},
		{"may come back at once", "/api/v1/streams/live/x?hold=0s", 200, "kick live/x 0s"},
		{"not live", "/api/v1/streams/live/y", 404, "kick live/y 10s"},
		{"bad hold", "/api/v1/streams/live/x?hold=long", 400, ""},
		{"negative hold", "/api/v1/streams/live/x?hold=-1s", 400, ""},
		{"no name of a stream", "/api/v1/streams/live/x.y", 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _, did := handler(t, Config{})
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("DELETE", "http://localhost"+c.url, nil))
			if got := strings.Join(*did, "; "); w.Code != c.want || got != c.did {
				t.Errorf("%d %s, did %q", w.Code, w.Body, got)
			}
		})
	}
}
