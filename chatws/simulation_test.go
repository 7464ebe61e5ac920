package chatws

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// sim is two hours of two rooms, by a script that a seed makes. What happened
// is what the store was told; what everybody hears of it is checked.
type sim struct {
	t       *testing.T
	random  *rand.Rand
	shift   atomic.Int64 // of the wall clock
	config  Config
	store   *simStore
	streams *liveSet
	people  []*person

	server     *Server
	pipes      *pipes
	stop       func()
	restarting bool
	commands   int
	acked      []*truth // as kept

	// What there was of each, so that it is seen that the script tries all.
	heard    int
	did      map[string]int
	codes    map[CloseCode]int
	refusals map[string]int
	resumed  map[bool]int
}

var simRooms = []string{"live/a", "live/b"}

// TestSimulation runs the script of some seeds. MIJU_SEED names another one.
func TestSimulation(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if s := os.Getenv("MIJU_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seeds[0]); err != nil {
			t.Fatal(err)
		}
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed)
		})
	}
}

// TestSimulationSoak runs many more.
func TestSimulationSoak(t *testing.T) {
	if os.Getenv("MIJU_SOAK") == "" {
		t.Skip("MIJU_SOAK is not set")
	}
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed+100), func(t *testing.T) {
			t.Parallel()
			simulate(t, seed+100)
		})
	}
}

func simulate(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		s := &sim{
			t: t, random: rand.New(rand.NewPCG(seed, 0)), streams: &liveSet{}, config: DefaultConfig(),
			did: map[string]int{}, codes: map[CloseCode]int{}, refusals: map[string]int{}, resumed: map[bool]int{},
		}
		s.config.Rate, s.config.Burst, s.config.Log, s.config.LogKiB, s.config.QueueKiB, s.config.History = 1000, 1000, 60, 1024, 2048, 20
		s.store = newSimStore(t, rand.New(rand.NewPCG(seed, 1)), s.wall)
		s.populate()
		s.begin()
		for begun := time.Now(); time.Since(begun) < 2*time.Hour && !t.Failed(); {
			s.step()
		}
		s.end(true)
		s.sum()
	})
}

func (s *sim) wall() time.Time { return time.Now().Add(time.Duration(s.shift.Load())) }

// populate makes who may come. Two of each room share an address.
func (s *sim) populate() {
	for i, room := range simRooms {
		add := func(role, name string, address byte) {
			p := &person{id: name, name: name, role: role, room: room, address: netip.AddrFrom4([4]byte{192, 0, 2, address}), join: fmt.Sprintf(`"token":"%s:%s"`, role, name)}
			if role == "guest" {
				secret := "a secret that " + name + " keeps"
				p.id, p.join = guestPrefix+hashed("guest", secret), fmt.Sprintf(`"guest":%q,"name":%q,"token":"guest:"`, secret, name)
			}
			s.people = append(s.people, p)
		}
		for j, role := range []string{"host", "moderator", "moderator", "member", "member", "member", "member", "guest", "guest", "reader"} {
			add(role, fmt.Sprintf("%s%d-%d", role, i, j), byte(100*i+j))
		}
		add("member", fmt.Sprintf("neighbour%d", i), byte(100*i+4))
	}
}

// begin starts a server.
func (s *sim) begin() {
	s.pipes = &pipes{make(chan net.Conn), make(chan struct{})}
	s.server = newServer(s.t, s.config, authorizer{}, s.streams, s.store)
	s.server.wall = s.wall
	h := &http.Server{Handler: s.server}
	served := make(chan error, 1)
	go func(p *pipes) { served <- h.Serve(p) }(s.pipes)
	s.stop = func() {
		s.server.Shutdown(context.Background())
		h.Close()
		<-served
	}
}

// end ends the server, in order or by a crash, and checks what is on disk.
func (s *sim) end(orderly bool) {
	if orderly {
		s.store.setMode(storeWell)
	}
	s.restarting = true
	s.stop()
	s.settle()
	s.restarting = false
	if orderly {
		s.store.flush()
	}
	s.store.restart()
	for _, e := range s.acked {
		if e.lost {
			s.t.Errorf("%s was acknowledged as kept, and is not", e.Body)
		}
	}
	if orderly {
		for _, r := range s.store.rooms {
			for _, e := range r.events {
				if e.Epoch == s.store.epoch-1 && e.lost {
					s.t.Errorf("%s is lost", e.Body)
				}
			}
		}
	}
	for _, p := range s.people {
		if len(p.tabs) > 0 {
			s.t.Errorf("%s has a tab", p.name)
		}
		p.gone, p.expelled, p.banned = time.Time{}, false, false
	}
}

// sum checks that the script tried everything.
func (s *sim) sum() {
	s.t.Logf("heard %d, did %v, closed %v, refused %v, resumed %v", s.heard, s.did, s.codes, s.refusals, s.resumed)
	if s.t.Failed() {
		return
	}
	for _, a := range acts {
		if s.did[a.name] == 0 {
			s.t.Errorf("nobody did %s", a.name)
		}
	}
	if s.resumed[true] < 20 || s.heard < 3000 || len(s.refusals) < 2 {
		s.t.Error("too little happened")
	}
}

// act is what the script does, weight times as often as others.
type act struct {
	name   string
	weight int
	do     func(*sim)
}

var acts []act

func init() {
	acts = []act{
		{"talk", 60, (*sim).talk},
		{"come", 12, (*sim).someoneComes},
		{"go", 6, (*sim).someoneGoes},
		{"move", 8, (*sim).someoneMoves},
		{"react", 4, (*sim).someoneReacts},
		{"moderate", 16, (*sim).someoneModerates},
		{"kick", 1, (*sim).applicationKicks},
		{"system", 2, (*sim).applicationSpeaks},
		{"stuck", 2, (*sim).someoneIsStuck},
		{"stream", 2, (*sim).streamChanges},
		{"clock", 2, (*sim).clockJumps},
		{"fail", 2, (*sim).storeFails},
		{"quiet", 3, (*sim).quiet},
	}
}

// step does one thing and lets time pass.
func (s *sim) step() {
	switch n := s.random.IntN(1200); {
	case n < 2:
		s.did["restart"]++
		s.restart(true)
	case n < 4:
		s.did["crash"]++
		s.restart(false)
	case n == 4:
		s.did["empty"]++
		s.everybodyGoes()
	}
	total := 0
	for _, a := range acts {
		total += a.weight
	}
	n := s.random.IntN(total)
	for _, a := range acts {
		if n -= a.weight; n < 0 {
			s.did[a.name]++
			a.do(s)
			break
		}
	}
	s.settle()
	for _, p := range s.people {
		p.banned = false
	}
	s.pass(time.Duration(s.random.IntN(4000)) * time.Millisecond)
}

// pass lets time pass, off the full second: then the server is at work.
func (s *sim) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
	for time.Now().Nanosecond()/1e6%1000 == 0 {
		<-time.After(3 * time.Millisecond)
	}
	s.settle()
}
