package chatws

import (
	"time"

	"github.com/miju-live/miju/auth"
)

// maxSlowed bounds the users that slow mode remembers in a room: nobody keeps
// guests from coming as somebody else.
const maxSlowed = 20000

// say has everybody get what m says, unless it said so before.
func (r *room) say(m *member, text string, shown *int64, id string, now time.Time) error {
	r.mu.Lock()
	r.out.begin()
	err := r.sayLocked(m, text, shown, id, now)
	due := r.out.end()
	r.mu.Unlock()
	if due {
		r.out.write()
	}
	return err
}

func (r *room) sayLocked(m *member, text string, shown *int64, id string, now time.Time) error {
	if r.repeatsLocked(m, id) { // by another connection, meanwhile
		return nil
	}
	if err := r.maySay(m, text, now); err != nil {
		return err
	}
	edge := r.look(now)
	e := &Message{ID: r.newID(), ClientID: id, From: m.identity, Text: text}
	sent := &sentMessage{id: e.ID, position: Position{r.server.epoch, r.offset + 1}}
	if id != "" {
		r.sent.add(sentKey{m.identity.ID, id}, sent, now)
	}
	f := fact{id: e.ID, clientID: id, user: m.identity.ID, done: sent.finish}
	if m.address.IsValid() {
		f.address = m.address.String()
	}
	r.publish(e, r.mediaTime(edge, shown), f, now)
	sent.tell(waiter{m, id, false}, true)
	r.server.messages.Add(1)
	return nil
}

// repeats reports whether m said before what it calls id, and acknowledges it
// again: whatever else is true now, that was said.
func (r *room) repeats(m *member, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repeatsLocked(m, id)
}

func (r *room) repeatsLocked(m *member, id string) bool {
	if id == "" {
		return false
	}
	before := r.sent.get(sentKey{m.identity.ID, id})
	if before == nil {
		return false
	}
	r.server.duplicates.Add(1)
	before.tell(waiter{m, id, true}, false)
	return true
}

// maySay returns why m may not say anything now.
func (r *room) maySay(m *member, text string, now time.Time) error {
	if m.role.Moderates() {
		return nil
	}
	if r.settings.MembersOnly && m.role == auth.RoleGuest {
		return refuse(CodeMembersOnly, "only members may write here now")
	}
	if !r.settings.Links.mayLink(m.role) && link.MatchString(text) {
		return refuse(CodeFiltered, "you may not post links here")
	}
	slow := time.Duration(r.settings.Slow) * time.Millisecond
	if slow > 0 {
		if spoke, ok := r.slowed[m.identity.ID]; ok && now.Sub(spoke) < slow {
			return refuseFor(slow-now.Sub(spoke), CodeSlow, "slow mode: one message in %v", slow)
		}
	}
	rate := float32(r.server.config.RoomRate)
	if wait := r.pace.take(now, 1, rate, rate); wait > 0 {
		return refuseFor(wait, CodeBusy, "more is said here than anybody can read")
	}
	if slow > 0 {
		if r.slowed == nil {
			r.slowed = map[string]time.Time{}
		}
		for id := range r.slowed {
			if len(r.slowed) < maxSlowed {
				break
			}
			delete(r.slowed, id)
		}
		r.slowed[m.identity.ID] = now
	}
	return nil
}

// forgetSlowed drops what slow mode need not know any more.
func (r *room) forgetSlowed(now time.Time) {
	for id, spoke := range r.slowed {
		if now.Sub(spoke) >= time.Duration(r.settings.Slow)*time.Millisecond {
			delete(r.slowed, id)
		}
	}
	if len(r.slowed) == 0 {
		r.slowed = nil
	}
}
