package mpegts

import (
	"testing"

	"github.com/miju-live/miju/media"
)

func TestPromised(t *testing.T) {
	w := new(builder).null(3).pat().avPMT().picture(3000, 3000, true, 1).picture(6000, 6000, false, 2)
	d := NewDemuxer()
	if err := d.Write(w.out); err != nil {
		t.Fatal(err)
	}
	if got := d.Promised(); len(got) != 1 || got[0].ID != 2 || got[0].Codec != media.AAC {
		t.Fatalf("%+v", got)
	}
	w.out = nil
	if err := d.Write(w.sound(6000, adts(1), adts(2)).out); err != nil {
		t.Fatal(err)
	}
	if got := d.Promised(); got != nil {
		t.Fatalf("%+v has come", got)
	}
}
