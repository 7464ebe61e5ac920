// Command srsbackend is a backend as those of SRS are: it knows its callbacks, and
// nothing of Miju.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
)

// callback is what SRS posts to it.
type callback struct {
	Action   string `json:"action"`
	ClientID string `json:"client_id"`
	IP       string `json:"ip"`
	VHost    string `json:"vhost"`
	App      string `json:"app"`
	Stream   string `json:"stream"`
	Param    string `json:"param"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8085", "address")
	token := flag.String("token", "", "who may publish and play")
	journal := flag.String("journal", "callbacks.log", "file of what was called")
	flag.Parse()
	f, err := os.OpenFile(*journal, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	var mu sync.Mutex
	// Publishers go to streams, players to sessions, as with SRS's own example.
	handle := func(actions ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var c callback
			if err := json.NewDecoder(r.Body).Decode(&c); err != nil || r.Method != http.MethodPost || !strings.Contains(strings.Join(actions, " "), c.Action) {
				fmt.Fprint(w, 1)
				return
			}
			query, err := url.ParseQuery(strings.TrimPrefix(c.Param, "?"))
			if deciding := c.Action == "on_publish" || c.Action == "on_play"; deciding && (err != nil || query.Get("token") != *token) {
				fmt.Fprint(w, `{"code":403,"msg":"no such token"}`)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if _, err := fmt.Fprintln(f, c.Action, c.ClientID, c.IP, c.VHost, c.App+"/"+c.Stream); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			fmt.Fprint(w, 0)
		}
	}
	http.HandleFunc("/api/v1/streams", handle("on_publish", "on_unpublish"))
	http.HandleFunc("/api/v1/sessions", handle("on_play", "on_stop"))
	log.Fatal(http.ListenAndServe(*listen, nil))
}
