package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/lxzan/gws"

	"github.com/miju-live/miju/auth"
)

// firstWord is a WebSocket client that waits for the first thing it is told.
type firstWord struct {
	gws.BuiltinEventHandler
	told chan map[string]any
}

func (f *firstWord) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	event := map[string]any{}
	if json.Unmarshal(m.Bytes(), &event) == nil {
		select {
		case f.told <- event:
		default:
		}
	}
}

func (f *firstWord) OnClose(_ *gws.Conn, err error) {
	event := map[string]any{}
	if c, ok := err.(*gws.CloseError); ok {
		event["close"] = int(c.Code)
	}
	select {
	case f.told <- event:
	default:
	}
}

// joinWith joins live/alice's room and returns the first event, or with what code
// it was closed.
func joinWith(t testing.TB, s *testServer, query, bearer, inJoin string, protocols []string) map[string]any {
	t.Helper()
	header := http.Header{}
	if bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	if len(protocols) > 0 {
		header.Set("Sec-WebSocket-Protocol", strings.Join(protocols, ", "))
	}
	f := &firstWord{told: make(chan map[string]any, 1)}
	socket, _, err := gws.NewClient(f, &gws.ClientOption{Addr: "ws" + strings.TrimPrefix(s.url("/live/alice/chat"), "http") + query, RequestHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); socket.ReadLoop() }()
	defer func() { socket.NetConn().Close(); <-ended }()
	join, err := json.Marshal(map[string]string{"type": "join", "token": inJoin})
	if err == nil {
		err = socket.WriteMessage(gws.OpcodeText, join)
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case event := <-f.told:
		return event
	case <-time.After(patience):
		t.Fatal("told nothing")
	}
	return nil
}

func TestMembersBringTokens(t *testing.T) {
	t.Parallel()
	s := startWith(t, nil, closed)
	token := s.mint(t, auth.ActionsOf(auth.Chat), func(c *auth.Claims) { c.Role = auth.RoleHost })
	expired := s.mint(t, auth.ActionsOf(auth.Chat), func(c *auth.Claims) { c.Expires = jwt.NewNumericDate(time.Now().Add(-time.Second)) })
	for name, c := range map[string]struct {
		query, bearer, inJoin string
		protocols             []string
		good                  bool
	}{
		"in the URL":          {query: "?token=" + token, good: true},
		"in join":             {inJoin: token, good: true},
		"in the header":       {bearer: token, good: true},
		"as a subprotocol":    {protocols: []string{"miju.chat.v1", "bearer." + token}, good: true},
		"join's before URL's": {query: "?token=" + expired, inJoin: token, good: true},
		"absent":              {},
		"expired":             {query: "?token=" + expired},
		"to play":             {inJoin: s.mint(t, auth.ActionsOf(auth.Play))},
	} {
		t.Run(name, func(t *testing.T) {
			event := joinWith(t, s, c.query, c.bearer, c.inJoin, c.protocols)
			if c.good && (event["type"] != "welcome" || !strings.Contains(fmt.Sprint(event), "Alice") || !strings.Contains(fmt.Sprint(event), "host")) {
				t.Errorf("%v", event)
			}
			if !c.good && event["close"] != 4101 {
				t.Errorf("%v", event)
			}
		})
	}
	for _, file := range []string{"events", "index.json"} {
		if status, body, _ := getAs(t, s.url("/live/alice/chat/"+file), ""); status != http.StatusForbidden {
			t.Errorf("%s without a token: %d %s", file, status, body)
		}
	}
	for at, bearer := range map[string]string{"?token=" + token: "", "": token} {
		if status, body, _ := getAs(t, s.url("/live/alice/chat/index.json"+at), bearer); status != http.StatusOK {
			t.Errorf("index.json with a token: %d %s", status, body)
		}
	}
	s.tellsNothing(t)
}
