// Command hookbackend is the backend of an application as Miju asks and tells it
// (docs/webhooks.md): the least that one has to do.
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tooOld is how old a signature may be, lest somebody sends again what was heard.
const tooOld = 5 * time.Minute

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "address")
	secret := flag.String("secret", "data/hook.secret", "file of the secret that signs requests")
	journal := flag.String("journal", "events.log", "file of the events that were done")
	tokens := flag.String("tokens", "", "who may publish and play, as token=subject; nobody behind the = has not paid")
	flag.Parse()
	b := backend{done: map[string]bool{}, tokens: map[string]string{}}
	for t := range strings.SplitSeq(*tokens, ",") {
		token, subject, _ := strings.Cut(t, "=")
		b.tokens[token] = subject
	}
	key, err := os.ReadFile(*secret)
	if err != nil {
		log.Fatalf("%v: miju with --hook makes it below --data-dir at its first start; start that first", err)
	}
	b.secret = bytes.TrimSpace(key)
	if err := b.open(*journal); err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*listen, &b))
}

// backend knows who may do what, and which events it has done.
type backend struct {
	secret []byte
	tokens map[string]string

	mu      sync.Mutex
	journal *os.File
	done    map[string]bool
}

// request is a question or an event.
type request struct {
	ID, Type, Stream, Token, Text string
}

// ServeHTTP answers questions and takes events.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	if err := b.verify(r.Header.Get("Miju-Signature"), body, time.Now()); err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch q.Type {
	case "publish", "play", "join":
		b.decide(w, q)
	case "message":
		if strings.Contains(q.Text, "rude") {
			answer(w, http.StatusForbidden, map[string]any{"message": "not like that"})
		}
	default:
		if err := b.take(q.ID, body); err != nil {
			log.Print(err)
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	}
}

// decide says who may come in.
func (b *backend) decide(w http.ResponseWriter, q request) {
	subject, known := b.tokens[q.Token]
	switch {
	case !known:
		answer(w, http.StatusUnauthorized, map[string]any{"message": "who are you?"})
	case subject == "":
		answer(w, http.StatusForbidden, map[string]any{"message": "the subscription has ended"})
	default:
		answer(w, http.StatusOK, map[string]any{"subject": subject, "name": subject})
	}
}

func answer(w http.ResponseWriter, status int, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Print(err)
	}
}

var errSignature = errors.New("the signature is no good")

// verify holds a body to its signature, t=UNIX,v1=HEX.
func (b *backend) verify(header string, body []byte, now time.Time) error {
	t, v1, _ := strings.Cut(header, ",")
	t, v1 = strings.TrimPrefix(t, "t="), strings.TrimPrefix(v1, "v1=")
	unix, err := strconv.ParseInt(t, 10, 64)
	if err != nil || now.Sub(time.Unix(unix, 0)).Abs() > tooOld {
		return fmt.Errorf("%w: its time is %.20q", errSignature, t)
	}
	m := hmac.New(sha256.New, b.secret)
	m.Write([]byte(t + "."))
	m.Write(body)
	sum, err := hex.DecodeString(v1)
	if err != nil || !hmac.Equal(sum, m.Sum(nil)) {
		return errSignature
	}
	return nil
}

// open reads which events were done.
func (b *backend) open(path string) (err error) {
	if b.journal, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return err
	}
	lines := bufio.NewReader(b.journal)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 { // it was killed while it wrote: that one comes again
				_, err = b.journal.Write([]byte("\n"))
				return err
			}
			return nil
		}
		if err != nil {
			return err
		}
		var e request
		if json.Unmarshal(line, &e) == nil {
			b.done[e.ID] = true
		}
	}
}

// take does an event, unless it was done before. It is in the journal before it
// is taken.
func (b *backend) take(id string, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done[id] {
		return nil
	}
	if _, err := b.journal.Write(append(body, '\n')); err != nil {
		return err
	}
	b.done[id] = true
	return nil
}
