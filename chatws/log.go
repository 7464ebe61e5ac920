package chatws

// entry is an event of the past.
type entry struct {
	Position
	// json is nil if it was deleted.
	json []byte
	// id and user are of what can be deleted.
	id, user string
	// shown is whether it belongs to the history that newcomers get.
	shown bool
}

// entryOverhead is what an entry takes beside its texts, in bytes.
const entryOverhead = 96

func (e *entry) size() int { return entryOverhead + len(e.json) + len(e.id) + len(e.user) }

// eventLog is the newest events of a room, bounded by number and bytes.
type eventLog struct {
	most, mostBytes int

	entries []entry // the first of them is entries[head]
	head    int
	bytes   int
	// floor is the position behind which nothing is missing.
	floor Position
}

func (l *eventLog) list() []entry { return l.entries[l.head:] }

// append adds the newest event.
func (l *eventLog) append(e entry) {
	l.entries = append(l.entries, e)
	l.bytes += e.size()
	for len(l.list()) > l.most || l.bytes > l.mostBytes && len(l.list()) > 1 {
		first := &l.entries[l.head]
		l.bytes -= first.size()
		l.floor = first.Position
		*first = entry{}
		l.head++
	}
	if l.head > len(l.entries)/2 && l.head > 16 {
		n := copy(l.entries, l.list())
		clear(l.entries[n:])
		l.entries, l.head = l.entries[:n], 0
	}
}

// since returns the events after a position, false if some of them are gone.
// what was deleted is left out.
func (l *eventLog) since(p Position) (events [][]byte, ok bool) {
	if p.before(l.floor) {
		return nil, false
	}
	list := l.list()
	i := len(list)
	for i > 0 && p.before(list[i-1].Position) {
		i--
	}
	for _, e := range list[i:] {
		if e.json != nil {
			events = append(events, e.json)
		}
	}
	return events, true
}

// newest returns the newest n events that newcomers get, oldest first.
func (l *eventLog) newest(n int) [][]byte {
	var events [][]byte
	list := l.list()
	for i := len(list) - 1; i >= 0 && len(events) < n; i-- {
		if list[i].shown && list[i].json != nil {
			events = append(events, list[i].json)
		}
	}
	for i, j := 0, len(events)-1; i < j; i, j = i+1, j-1 {
		events[i], events[j] = events[j], events[i]
	}
	return events
}

// find returns the message of an id that is still there.
func (l *eventLog) find(id string) *entry {
	list := l.list()
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].id == id && list[i].shown && list[i].json != nil {
			return &list[i]
		}
	}
	return nil
}

// forgot reports whether what was at a position, if anything was, is in memory
// no more.
func (l *eventLog) forgot(p Position) bool {
	list := l.list()
	return len(list) > 0 && p.before(list[0].Position)
}

// has reports whether something of a user's is there.
func (l *eventLog) has(user string) bool {
	for _, e := range l.list() {
		if e.user == user && e.json != nil {
			return true
		}
	}
	return false
}

// remove deletes the events that match picks, and returns how many.
func (l *eventLog) remove(match func(*entry) bool) int {
	n := 0
	list := l.list()
	for i := range list {
		if e := &list[i]; e.json != nil && e.id != "" && match(e) {
			l.bytes -= len(e.json)
			e.json = nil
			n++
		}
	}
	return n
}
