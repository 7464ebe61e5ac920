package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/miju-live/miju/chatstore"
	"github.com/miju-live/miju/chatws"
	"github.com/miju-live/miju/stream"
	"github.com/miju-live/miju/streamkey"
)

// openStore opens what chat rooms must not forget; without a database and a
// directory for one that is memory only, and kept is nil.
func openStore(ctx context.Context, c config, log *slog.Logger) (store chatws.Store, kept *chatstore.Store, err error) {
	c.Store.DataDir = c.Data.Dir
	if c.Store.DB == "" && c.Store.DataDir == "" {
		return chatws.NewMemoryStore(), nil, nil
	}
	if kept, err = chatstore.Open(ctx, c.Store, log); err != nil {
		return nil, nil, err
	}
	return chatStore{kept}, kept, nil
}

// chatStore is a chatstore.Store as the chat sees it.
type chatStore struct{ *chatstore.Store }

var _ chatws.Store = chatStore{}

func (s chatStore) Append(e chatws.StoredEvent, done func(error)) {
	x := chatstore.Event{
		Room: e.Room, Epoch: e.Epoch, Offset: e.Offset, ID: e.ID, ClientID: e.ClientID, Type: e.Type, UserID: e.User, Address: e.Address,
		At: e.At, MediaTime: e.MediaTime, Body: e.Body, ExportOnly: e.ExportOnly,
	}
	if e.Broadcast != 0 {
		x.Broadcast = strconv.FormatInt(e.Broadcast, 10)
	}
	s.Store.Append(x, func(err error) {
		if err != nil {
			err = errors.Join(chatws.ErrNotDurable, err)
		}
		if done != nil {
			done(err)
		}
	})
}

func (s chatStore) DeleteMessage(room, id string) { s.Store.DeleteMessage(room, id, nil) }

func (s chatStore) DeleteBy(room, user string) { s.Store.DeleteBy(room, user, nil) }

func (s chatStore) Clear(room string) { s.Store.Clear(room, nil) }

func (s chatStore) History(ctx context.Context, room string, n int) ([]chatws.StoredEvent, error) {
	events, err := s.Store.History(ctx, room, n)
	all := make([]chatws.StoredEvent, 0, len(events))
	for _, e := range events {
		broadcast, _ := strconv.ParseInt(e.Broadcast, 10, 64) // 0 if there is none
		all = append(all, chatws.StoredEvent{
			Room: e.Room, Position: chatws.Position{Epoch: e.Epoch, Offset: e.Offset}, Broadcast: broadcast, ID: e.ID, ClientID: e.ClientID,
			Type: e.Type, User: e.UserID, Address: e.Address, At: e.At, MediaTime: e.MediaTime, Body: e.Body,
		})
	}
	return all, err
}

func (s chatStore) Sent(ctx context.Context, room string, n int) ([]chatws.SentMessage, error) {
	sent, err := s.Store.Sent(ctx, room, n)
	all := make([]chatws.SentMessage, 0, len(sent))
	for _, x := range sent {
		all = append(all, chatws.SentMessage{
			Position: chatws.Position{Epoch: x.Epoch, Offset: x.Offset}, User: x.UserID, ClientID: x.ClientID, ID: x.ID,
		})
	}
	return all, err
}

func (s chatStore) PutSettings(room string, settings []byte) {
	s.Store.PutSettings(room, settings, nil)
}

func (s chatStore) PutSanction(x chatws.Sanction) {
	s.Store.PutSanction(chatstore.Sanction{
		Kind: sanctionKinds[x.Kind], Room: x.Room, Subject: subjectOf(x), Until: x.Until, Reason: x.Reason, Actor: x.By, At: x.At,
	}, nil)
}

func (s chatStore) RemoveSanction(x chatws.Sanction) {
	s.Store.RemoveSanction(sanctionKinds[x.Kind], x.Room, subjectOf(x), nil)
}

func (s chatStore) Sanctions(ctx context.Context) ([]chatws.Sanction, error) {
	list, err := s.Store.Sanctions(ctx)
	all := make([]chatws.Sanction, 0, len(list))
	for _, x := range list {
		all = append(all, chatws.Sanction{
			Kind: chatws.SanctionKind(x.Kind.String()), Room: x.Room, User: x.Subject.User, Network: x.Subject.Network,
			Until: x.Until, Reason: x.Reason, By: x.Actor, At: x.At,
		})
	}
	return all, err
}

func (s chatStore) Audit(e chatws.AuditEntry) {
	s.Store.Audit(chatstore.AuditEntry{At: e.At, Room: e.Room, Actor: e.Actor, Act: e.Act, Target: e.Target, Detail: e.Detail}, nil)
}

var sanctionKinds = map[chatws.SanctionKind]chatstore.SanctionKind{
	chatws.SanctionBan: chatstore.Ban, chatws.SanctionMute: chatstore.Mute,
}

func subjectOf(x chatws.Sanction) chatstore.Subject {
	return chatstore.Subject{User: x.User, Network: x.Network}
}

// closeStore writes what waits, for as long as a database may take at the end.
func (s *server) closeStore() {
	if s.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeDrain)
	defer cancel()
	if err := s.kept.Close(ctx); err != nil {
		s.log.Error("cannot close the chat database", "err", err)
	}
}

// storeDrain is how long the chat database may take to write what waits at the
// end.
const storeDrain = 2 * time.Second

// liveStreams tells the chat what is live and where it is in its own time.
type liveStreams struct{ hub *stream.Hub }

func (l liveStreams) Live(key streamkey.Key) (chatws.Clock, bool) {
	s, err := l.hub.Lookup(key)
	if err != nil {
		return chatws.Clock{}, false
	}
	c := chatws.Clock{Broadcast: s.Started().UnixMilli(), Media: s.Now()}
	if set := s.Tracks(); set != nil {
		c.Anchor = set.Anchor.Wall
	}
	return c, true
}
