package main

import "github.com/miju-live/miju/chatstore"

func (c collector) collectChat(m metricWriter) {
	chat := c.chat.Stats()
	m.gauge("miju_chat_connections", "Chat connections that are open.", float64(chat.Connections))
	m.gauge("miju_chat_rooms", "Chat rooms in memory.", float64(chat.Rooms))
	m.counter("miju_chat_joined_total", "Members that joined a room.", chat.Joined)
	m.counter("miju_chat_messages_total", "Messages that members sent to rooms.", chat.Messages)
	m.counter("miju_chat_duplicates_total", "Messages that members sent again, which were not delivered again.", chat.Duplicates)
	m.counter("miju_chat_reactions_total", "Reactions of members that were summed.", chat.Reactions)
	m.counter("miju_chat_delivered_total", "Events that were queued for members.", chat.Delivered)
	m.counter("miju_chat_slow_total", "Members that were closed because too much waited for them.", chat.Slow)
	m.counter("miju_chat_oversize_total", "Members that were closed for a frame over the bound.", chat.Oversize)
	m.gauge("miju_chat_sanctions", "Mutes and bans that are in force.", float64(chat.Sanctions))
	for reason, n := range chat.Refused {
		m.counter("miju_chat_refused_total", "Commands and connections of members that were refused.", n, "reason", reason)
	}
	if c.kept != nil {
		collectChatStore(m, c.kept.Stats())
	}
}

// collectChatStore writes the metrics of the chat's database.
func collectChatStore(m metricWriter, s chatstore.Stats) {
	m.counter("miju_chat_store_commits_total", "Transactions in the chat database.", s.Commits)
	m.counter("miju_chat_store_changes_total", "Changes that these transactions made.", s.Changes)
	m.counter("miju_chat_store_failures_total", "Transactions in the chat database that failed.", s.Failures)
	m.counter("miju_chat_store_not_kept_total", "Changes that were told to be in memory only, since the database failed.", s.NotDurable)
	m.counter("miju_chat_store_dropped_total", "Changes that are lost, since --chat-store-memory was full.", s.Dropped)
	m.gauge("miju_chat_store_waiting", "Changes that wait for the chat database.", float64(s.Waiting))
	m.gauge("miju_chat_store_waiting_bytes", "What these take of --chat-store-memory.", float64(s.WaitingBytes))
	failing := 0.0
	if s.Failing {
		failing = 1
	}
	m.gauge("miju_chat_store_failing", "1 while the chat database fails, 0 otherwise.", failing)
}
