package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// api asks the operators' listener, as a backend with curl would.
func (p *chatProcess) api(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.admin+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	a, err := asking(r)
	if err != nil {
		t.Fatal(err)
	}
	return a.status, a.body
}

// exportLines runs miju in a process of its own and returns the events that it
// prints.
func exportLines(t testing.TB, args ...string) (events []chatEvent) {
	t.Helper()
	p := runMiju(t, append([]string{"chat", "export"}, args...)...)
	if err := p.wait(t); err != nil {
		t.Fatalf("%v: %s", err, p.output.String())
	}
	for line := range strings.Lines(p.output.String()) {
		e := chatEvent{raw: line}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	return events
}

// texts are what there is to read in events, by type.
func texts(events []chatEvent) string {
	var all []string
	for _, e := range events {
		switch e.Type {
		case "message", "announcement":
			all = append(all, e.Text)
		case "system":
			all = append(all, e.Name+string(e.Payload))
		default:
			all = append(all, e.Type)
		}
	}
	return strings.Join(all, " ")
}

// TestChatExport reads what was said beside two broadcasts, while the server
// runs.
func TestChatExport(t *testing.T) {
	onStores(t, func(t *testing.T, flag string) {
		p := runChat(t, append(roomy, flag, "--demo")...)
		talk := func(welcome chatEvent, l *listener, prefix string) (mediaTime int64) {
			for !welcome.Live {
				welcome.Live = l.next(t, "live").Type != ""
			}
			first := l.say(t, "1", prefix+"1")
			l.send(t, `{"type":"say","id":"2","text":"`+prefix+`2","mediaTime":1}`)
			e := l.next(t, "message")
			if e.MediaTime == nil {
				t.Fatalf("%s", e.raw)
			}
			l.next(t, "ack")
			var id string
			if err := json.Unmarshal(first.Message, &id); err != nil {
				t.Fatal(err)
			}
			if status, body := p.api(t, "PUT", "/rooms/live/demo/pinned", `{"message":"`+id+`"}`); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
			for _, r := range [][3]string{
				{"DELETE", "/rooms/live/demo/messages/" + id},
				{"POST", "/rooms/live/demo/announcements", `{"text":"` + prefix + `3"}`},
				{"POST", "/rooms/live/demo/events", `{"name":"gift","payload":{"n": [1, 2]}}`},
			} {
				if status, body := p.api(t, r[0], r[1], r[2]); status != http.StatusOK {
					t.Errorf("%s: %d %s", r[1], status, body)
				}
			}
			l.say(t, "3", "<"+prefix+`4> "é"`) // and all before is kept
			return *e.MediaTime
		}
		l, w := enterChat(t, p.room("demo"), `{"type":"join","name":"Ann"}`)
		media := talk(w, l, "a")
		l.close()
		p.kill()
		between := time.Now()
		p.begin(t)
		l, w = enterChat(t, p.room("demo"), `{"type":"join","name":"Bob"}`)
		talk(w, l, "b")

		const said = `live %[1]s2 deleted pinned %[1]s3 gift{"n":[1,2]} <%[1]s4> "é"`
		all := exportLines(t, "live/demo", flag)
		if got := texts(all); got != fmt.Sprintf(said+" "+strings.ReplaceAll(said, "[1]", "[2]"), "a", "b") {
			t.Errorf("%s", got)
		}
		first, second := all[:len(all)/2], all[len(all)/2:]
		for _, half := range [][]chatEvent{first, second} {
			for i, e := range half {
				if e.Epoch == 0 || e.Broadcast == 0 || e.Broadcast != half[0].Broadcast || e.Epoch != half[0].Epoch || i > 0 && e.Offset <= half[i-1].Offset ||
					strings.Count(e.raw, `"broadcast":`) > 2 || e.Type != "live" && strings.Count(e.raw, `"broadcast":`) != 1 {
					t.Errorf("%s", e.raw)
				}
			}
		}
		if e := first[1]; e.MediaTime == nil || *e.MediaTime != media || time.Since(time.UnixMilli(e.At)).Abs() > patience || e.From.Name != "Ann" {
			t.Errorf("%s", e.raw)
		}
		if first[0].Epoch >= second[0].Epoch || first[0].Broadcast >= second[0].Broadcast {
			t.Errorf("%s%s", first[0].raw, second[0].raw)
		}
		checkSelections(t, flag, texts(first), texts(second), first[0].Broadcast, between)
	})
}

func checkSelections(t *testing.T, flag, first, second string, broadcast int64, between time.Time) {
	for _, c := range []struct{ args, want string }{
		{"--broadcast=last", second},
		{fmt.Sprint("--broadcast=", broadcast), first},
		{"--from=" + between.UTC().Format(time.RFC3339Nano), second},
		{fmt.Sprint("--to=", between.UnixMilli()), first},
		{"--from=2100-01-01T00:00:00Z", ""},
	} {
		out, err := run(t, nil, "chat", "export", "live/demo", flag, c.args)
		var events []chatEvent
		for line := range strings.Lines(out) {
			var e chatEvent
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Error(err)
			}
			events = append(events, e)
		}
		if got := texts(events); err != nil || got != c.want {
			t.Errorf("%s: %s, %v", c.args, got, err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "out.ndjson")
	writeFile(t, path, "of before")
	// The server's own settings do, in its file and its environment.
	name, value, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	config := filepath.Join(dir, "miju.yml")
	writeFile(t, config, name+": "+value+"\nchat-rate: 5\n")
	if out, err := run(t, []string{"MIJU_CHAT_HISTORY=5"}, "chat", "export", "live/demo", "--config", config, "-o", path); err != nil || out != "" {
		t.Errorf("%s %v", out, err)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 14 || strings.Contains(string(b), "of before") {
		t.Errorf("%s, %v", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
	env := []string{"MIJU_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_") + "=" + value}
	if out, err := run(t, env, "chat", "broadcasts", "live/demo"); err != nil || strings.Count(out, "\n") != 3 || !strings.Contains(out, fmt.Sprint("\n", broadcast, " ")) {
		t.Errorf("%s %v", out, err)
	}
	out, err := run(t, env, "chat", "broadcasts", "live/demo", "--json")
	var got struct{ Broadcast, First, Last, Events, Messages int64 }
	if jsonErr := json.Unmarshal([]byte(out[:max(0, strings.Index(out, "\n"))]), &got); jsonErr != nil || err != nil || got.Broadcast != broadcast || got.Events != 7 || got.Messages != 2 ||
		got.First > got.Last || got.Last > between.UnixMilli() {
		t.Errorf("%s %v %v", out, err, jsonErr)
	}
}

// TestChatExportRefuses says what is wrong, with an exit status of 1, and
// leaves no file.
func TestChatExportRefuses(t *testing.T) {
	onStores(t, func(t *testing.T, flag string) {
		p := runChat(t, append(roomy, flag)...)
		l, _ := enterChat(t, p.room("x"), `{"type":"join"}`)
		l.say(t, "1", "a")
		empty, dir := t.TempDir(), t.TempDir()
		garbage := t.TempDir()
		writeFile(t, filepath.Join(garbage, "chat.db"), strings.Repeat("no database", 1000))
		for _, c := range []struct{ args, want string }{
			{"live/none", "nothing is kept of the room live/none"},
			{"x", "invalid stream key: it must be app/name"},
			{"", "it must be: miju chat export ROOM"},
			{"live/x live/y", "it must be: miju chat export ROOM"},
			{"live/x --broadcast=last", "live/x has no broadcast of which anything is kept"},
			{"live/x --broadcast=17", "live/x has no broadcast 17"},
			{"live/x --from=yesterday", `--from is "yesterday", it must be a time`},
			{"live/x --from=20 --to=10", "--from is not before --to"},
			{"live/x --db= --data-dir=" + empty, "there is no chat database"},
			{"live/x --db= --data-dir=" + garbage, "chat.db: file is not a database"},
			{"live/x --db= --data-dir=", "give --data-dir or --db"},
			{"live/x --db=" + filepath.Join(empty, "chat.db"), "--db must be like postgres://"},
			{"live/x --db=postgres://miju:geheim@127.0.0.1:1/none", "postgres://127.0.0.1:1/none"},
			{"live/x --db=" + newDatabase(t), "there is no chat database"},
		} {
			path := filepath.Join(dir, "out")
			out, err := run(t, nil, append([]string{"chat", "export", flag, "-o", path}, strings.Fields(c.args)...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || out != "" || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s: %s %v", c.args, out, err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%v, %v", left, err)
		}
		if out, err := run(t, nil, "chat", "export", flag, "live/x", "-o", filepath.Join(dir, "none", "out")); err == nil {
			t.Error(out)
		}
		failed := runMiju(t, "chat", "export", "live/none", flag)
		if err := failed.wait(t); failed.cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%v", err)
		}
	})
}
