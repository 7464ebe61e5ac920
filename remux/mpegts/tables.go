package mpegts

import (
	"bytes"

	"github.com/miju-live/miju/media"
)

func (d *Demuxer) readPAT(b []byte) {
	var t table
	if err := t.unmarshal(tablePAT, b); err != nil {
		d.stats.BadSections++
		return
	}
	// What a table of several sections lists later is not the first program.
	if !t.current || t.number != 0 || !d.pat.isNew(b) || lists(t.body, d.program) {
		return
	}
	if first, ok := firstProgram(t.body); ok {
		d.program, d.pmt = first, sections{}
	}
}

func (d *Demuxer) readPMT(b []byte) {
	if b[0] != tablePMT {
		return // other tables may share the PID
	}
	var t table
	if err := t.unmarshal(tablePMT, b); err != nil {
		d.stats.BadSections++
		return
	}
	if !t.current || t.id != d.program.number || !d.pmt.isNew(b) {
		return
	}
	infos, err := unmarshalPMT(t.body)
	if err != nil {
		d.stats.BadSections++
		return
	}
	d.apply(infos)
}

// apply makes the PMT's streams the ones that are followed. A stream that was
// there before goes on as it was.
func (d *Demuxer) apply(infos []esInfo) {
	before, order := d.streams, d.order
	d.streams, d.order, d.ignored = make(map[uint16]*elementary), nil, nil
	for i := range infos {
		info := &infos[i]
		codec, known := info.codec()
		if !known || len(d.order) == maxStreams || d.streams[info.pid] != nil {
			if len(d.ignored) < maxIgnored {
				d.ignored = append(d.ignored, info.name())
			}
			continue
		}
		e := before[info.pid]
		if e == nil || e.codec != codec {
			e = &elementary{pid: info.pid, codec: codec}
		}
		e.info = *info
		e.info.descriptors = bytes.Clone(info.descriptors)
		d.streams[info.pid] = e
		d.order = append(d.order, e)
	}
	for _, e := range order {
		if d.streams[e.pid] != e {
			d.flush(e)
		}
	}
	d.number()
	d.checkTracks()
}

// number gives IDs to the streams that have none: 1 to the first video, 2 to
// the first audio, and from 3 on to the others.
func (d *Demuxer) number() {
	taken := make(map[int]bool)
	for _, e := range d.order {
		taken[e.id] = true
	}
	for _, e := range d.order {
		if e.id != 0 {
			continue
		}
		e.id = 3
		switch {
		case e.codec.Kind() == media.KindVideo && !taken[1]:
			e.id = 1
		case e.codec.Kind() == media.KindAudio && !taken[2]:
			e.id = 2
		}
		for e.id >= 3 && taken[e.id] {
			e.id++
		}
		taken[e.id] = true
		switch {
		case e.codec == media.AAC:
			e.parser, e.pes.max = &audioParser{id: e.id, language: e.info.language()}, maxAudioPES
		case e.codec.Kind() == media.KindAudio:
			e.parser, e.pes.max = &soundParser{
				id: e.id, codec: e.codec, channels: e.info.opusChannels(), language: e.info.language(),
			}, maxAudioPES
		default:
			e.parser, e.pes.max = &videoParser{id: e.id, codec: e.codec}, maxVideoPES
		}
	}
}
