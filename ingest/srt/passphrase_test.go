package srt

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/miju-live/miju/auth"
)

const passphrase = "correct horse"

// TestEncryptedEncoders pushes with every key length.
func TestEncryptedEncoders(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"ffmpeg", "srt-live-transmit"} {
		for _, length := range []string{"16", "24", "32"} {
			t.Run(program+", AES with a key of "+length+" bytes", func(t *testing.T) {
				t.Parallel()
				file, want := muxed(t, "h264-aac.flv", "8")
				l := listenWith(t, func(c *Config) { c.Passphrase = passphrase })
				url := srtURL(l, "publish:live/alice") + "&passphrase=" + passphrase + "&pbkeylen=" + length
				if program == "ffmpeg" {
					client(t, "ffmpeg", "-v", "error", "-readrate", "4", "-i", "../../testdata/h264-aac.flv", "-c", "copy", "-f", "mpegts", url)
				} else {
					transmit(t, file, "4", "3", url)
				}
				checkClip(t, l, "1 avc1.64001e, 2 mp4a.40.2", want)
			})
		}
	}
}

// TestCallersWithoutThePassphrase holds what real encoders are told.
func TestCallersWithoutThePassphrase(t *testing.T) {
	for _, c := range []struct {
		name, ours, theirs string
		err                error
		code               int
		words              string // of libsrt
	}{
		{"another", passphrase, "wrong horse battery", errBadPassphrase, 1010, "Incorrect passphrase"},
		{"none", passphrase, "", errNoPassphrase, 1011, "Password required or unexpected"},
		{"one that is not asked for", "", passphrase, errEncrypted, 1011, "Password required or unexpected"},
	} {
		l := listenWith(t, func(config *Config) { config.Passphrase = c.ours })
		t.Run("gosrt with "+c.name, func(t *testing.T) {
			answer := dial(t, l, "live/alice", c.theirs)
			conn, _, err := accept(t, l)
			if !errors.Is(err, c.err) || strings.Contains(err.Error(), "horse") {
				t.Fatalf("handshake: %v, want %v", err, c.err)
			}
			conn.Reject(err)
			if _, err := answer(); err == nil || !strings.Contains(err.Error(), "("+strconv.FormatInt(int64(c.code), 32)+")") {
				t.Errorf("the caller sees %v, want %d", err, c.code)
			}
			if len(l.admitted) != 0 {
				t.Error("a ghost")
			}
		})
		for _, program := range []string{"ffmpeg", "srt-live-transmit"} {
			t.Run(program+" with "+c.name, func(t *testing.T) {
				url := srtURL(l, "live/alice")
				if c.theirs != "" {
					url += "&passphrase=" + c.theirs
				}
				args := []string{"-v", "error", "-i", "../../testdata/h264-aac.flv", "-c", "copy", "-f", "mpegts", url}
				if program != "ffmpeg" {
					args = []string{"-a:no", "-t", "5", "file://con", url}
				}
				// srt-live-transmit wants something to read.
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				defer w.Close()
				var out bytes.Buffer
				wait := start(t, r, &out, program, args...)
				conn, _, err := accept(t, l)
				if !errors.Is(err, c.err) {
					t.Fatalf("handshake: %v, want %v", err, c.err)
				}
				conn.Reject(err)
				wait()
				if !strings.Contains(out.String(), c.words) {
					t.Errorf("%s says %s, want %q", program, out.String(), c.words)
				}
			})
		}
	}
}

// TestPassphrasesThatPermit holds that a passphrase may be one of a stream, beside the
// one for all.
func TestPassphrasesThatPermit(t *testing.T) {
	undecided := errors.New("connection refused")
	own := func(_ context.Context, r auth.Request) ([]auth.Passphrase, error) {
		switch r.Key.String() {
		case "live/alice":
			return []auth.Passphrase{{Secret: "the first of hers", Key: auth.StreamKey{ID: "1"}}, {Secret: "the second of hers", Key: auth.StreamKey{ID: "2"}}}, nil
		case "live/bob":
			return nil, nil
		case "live/dave":
			return []auth.Passphrase{}, nil
		}
		return nil, undecided
	}
	for _, c := range []struct {
		common, streamID, passphrase string
		err                          error
		proved                       string
	}{
		{"", "live/alice", "the first of hers", nil, "1"},
		{"", "live/alice", "the second of hers", nil, "2"},
		{"", "live/alice", "another passphrase", errBadPassphrase, ""},
		{"", "live/alice", "", nil, ""},
		{"", "live/bob", "the first of hers", errEncrypted, ""},
		{"", "live/bob", "", nil, ""},
		{"", "live/dave", "the first of hers", errBadPassphrase, ""},
		{"", "live/carol", passphrase, undecided, ""},
		{"", "live/carol", "", nil, ""},
		{passphrase, "live/alice", passphrase, nil, ""},
		{passphrase, "live/alice", "the second of hers", nil, "2"},
		{passphrase, "live/alice", "", errNoPassphrase, ""},
		{passphrase, "live/bob", "the first of hers", errBadPassphrase, ""},
		{passphrase, "live/carol", passphrase, nil, ""},
	} {
		t.Run(c.common+" "+c.streamID+" "+c.passphrase, func(t *testing.T) {
			config := DefaultConfig()
			config.Listen, config.Passphrase = "127.0.0.1:0", c.common
			l, err := ListenWith(config, own)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			answer := dial(t, l, c.streamID, c.passphrase)
			conn, r, err := accept(t, l)
			if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			if got := r.Proved; (got != nil) != (c.proved != "") || got != nil && got.ID != c.proved {
				t.Errorf("it proves %v, want %q", got, c.proved)
			}
			if err != nil {
				conn.Reject(err)
			} else if err := conn.Admit(); err != nil {
				t.Error(err)
			}
			if _, err := answer(); (err != nil) != (c.err != nil) {
				t.Error(err)
			}
		})
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"the default", func(*Config) {}, ""},
		{"a key and a passphrase", func(c *Config) { c.DefaultKey, c.Passphrase = "live/camera", "0123456789" }, ""},
		{"a key that is none", func(c *Config) { c.DefaultKey = "camera" }, "--srt-default-key"},
		{"a short passphrase", func(c *Config) { c.Passphrase = "hunter2" }, "--srt-passphrase has 7 characters"},
		{"a long passphrase", func(c *Config) { c.Passphrase = strings.Repeat("hunter2", 12) }, "--srt-passphrase has 84 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := DefaultConfig()
			c.change(&config)
			err := config.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestPassphrasesCannotBeGuessed: an address that was wrong too often must come
// back, also with the right one. (This machine's own must not.)
func TestPassphrasesCannotBeGuessed(t *testing.T) {
	l := listenWith(t, func(c *Config) { c.Passphrase = passphrase })
	l.CountWrong(auth.NewAttempts(2, nil))
	for i, theirs := range []string{"wrong horse 1", "wrong horse 2", "wrong horse 3", passphrase} {
		answer := dial(t, l, "live/alice", theirs)
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := accepted.(*conn)
		c.remote = &net.UDPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 5000 + i}
		_, err = c.Handshake(t.Context())
		want, code := error(errBadPassphrase), int64(1010)
		if theirs == passphrase {
			want, code = auth.ErrPaused, 2402
		}
		if !errors.Is(err, want) {
			t.Errorf("%d: %v", i, err)
		}
		c.Reject(err)
		if _, err := answer(); err == nil || !strings.Contains(err.Error(), "("+strconv.FormatInt(code, 32)+")") {
			t.Errorf("%d: the caller sees %v", i, err)
		}
	}
}
