package main

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
	for reason, n := range chat.Refused {
		m.counter("miju_chat_refused_total", "Commands and connections of members that were refused.", n, "reason", reason)
	}
}
