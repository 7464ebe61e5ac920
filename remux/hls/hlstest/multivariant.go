package hlstest

import (
	"fmt"
	"strconv"
	"strings"
)

// Variant is an EXT-X-STREAM-INF and the URI behind it.
type Variant struct {
	URI                string
	Bandwidth, Average int
	Codecs             []string
	Width, Height      int
	FrameRate          float64
	VideoRange, Audio  string
}

// Sound is an EXT-X-MEDIA of audio.
type Sound struct {
	URI, Group, Name, Language, Channels string
	Default, Autoselect                  bool
}

// Multivariant is a multivariant playlist.
type Multivariant struct {
	Version  int
	Variants []Variant
	Sounds   []Sound
}

// URIs are those of all renditions.
func (m *Multivariant) URIs() []string {
	var all []string
	for _, v := range m.Variants {
		all = append(all, v.URI)
	}
	for _, s := range m.Sounds {
		if s.URI != "" {
			all = append(all, s.URI)
		}
	}
	return all
}

// ParseMultivariant reads a multivariant playlist and refuses what is
// malformed or unknown to it.
func ParseMultivariant(b []byte) (*Multivariant, error) {
	lines := strings.Split(string(b), "\n")
	if lines[0] != "#EXTM3U" || lines[len(lines)-1] != "" {
		return nil, fmt.Errorf("playlist of %d bytes does not begin with #EXTM3U and end with a line feed", len(b))
	}
	m := &Multivariant{}
	var open *Variant
	for i, line := range lines[1 : len(lines)-1] {
		if line == "" && open == nil {
			continue
		}
		if open != nil {
			if strings.HasPrefix(line, "#") || line == "" {
				return nil, fmt.Errorf("line %d, %q: no URI behind a variant", i+2, line)
			}
			open.URI = line
			m.Variants = append(m.Variants, *open)
			open = nil
			continue
		}
		var err error
		if open, err = m.line(line); err != nil {
			return nil, fmt.Errorf("line %d, %q: %w", i+2, line, err)
		}
	}
	if open != nil || len(m.Variants) == 0 {
		return nil, fmt.Errorf("no variant at the end")
	}
	return m, nil
}

// line reads a line that is no URI. It returns the variant that it opens.
func (m *Multivariant) line(line string) (*Variant, error) {
	name, value, _ := strings.Cut(strings.TrimPrefix(line, "#"), ":")
	if name == "EXT-X-VERSION" && m.Version == 0 {
		var err error
		m.Version, err = strconv.Atoi(value)
		return nil, err
	}
	a, err := attributes(value)
	if err != nil {
		return nil, err
	}
	switch name {
	case "EXT-X-STREAM-INF":
		return variant(a)
	case "EXT-X-MEDIA":
		if a["TYPE"] != "AUDIO" {
			return nil, fmt.Errorf("not of audio")
		}
		m.Sounds = append(m.Sounds, Sound{
			URI: a["URI"], Group: a["GROUP-ID"], Name: a["NAME"], Language: a["LANGUAGE"], Channels: a["CHANNELS"],
			Default: a["DEFAULT"] == "YES", Autoselect: a["AUTOSELECT"] == "YES",
		})
		return nil, nil
	}
	return nil, fmt.Errorf("unknown tag")
}

func variant(a map[string]string) (*Variant, error) {
	v := &Variant{Codecs: strings.Split(a["CODECS"], ","), Audio: a["AUDIO"], VideoRange: a["VIDEO-RANGE"]}
	var err error
	if v.Bandwidth, err = strconv.Atoi(a["BANDWIDTH"]); err != nil {
		return nil, err
	}
	if v.Average, err = strconv.Atoi(a["AVERAGE-BANDWIDTH"]); err != nil {
		return nil, err
	}
	if r := a["RESOLUTION"]; r != "" {
		if _, err := fmt.Sscanf(r, "%dx%d", &v.Width, &v.Height); err != nil {
			return nil, fmt.Errorf("resolution: %w", err)
		}
	}
	if r := a["FRAME-RATE"]; r != "" {
		if v.FrameRate, err = strconv.ParseFloat(r, 64); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// check returns what breaks a rule of its own (4.4.6, and what Apple's
// authoring specification demands beyond that).
func (m *Multivariant) check() []string {
	var all []string
	find := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	groups, names, defaults := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, s := range m.Sounds {
		if s.Group == "" || s.Name == "" || s.Channels == "" || names[s.Group+"/"+s.Name] || s.Default && !s.Autoselect {
			find("sound %+v", s)
		}
		groups[s.Group], names[s.Group+"/"+s.Name] = true, true
		if s.Default {
			defaults[s.Group]++
		}
	}
	for g := range groups {
		if defaults[g] != 1 {
			find("%d default sounds in group %q", defaults[g], g)
		}
	}
	for _, v := range m.Variants {
		pictures := v.Width > 0 || v.FrameRate > 0
		switch {
		case v.Average <= 0 || v.Bandwidth < v.Average:
			find("bandwidth %d with an average of %d", v.Bandwidth, v.Average)
		case v.Codecs[0] == "":
			find("no codecs of %s", v.URI)
		case pictures && (v.Width <= 0 || v.Height <= 0 || v.FrameRate <= 0):
			find("pictures of %dx%d at %v a second", v.Width, v.Height, v.FrameRate)
		case (v.Audio != "") != (len(groups) > 0) || v.Audio != "" && !groups[v.Audio]:
			find("group of sounds %q of %v", v.Audio, groups)
		case v.VideoRange != "" && v.VideoRange != "SDR" && v.VideoRange != "PQ" && v.VideoRange != "HLG":
			find("video range %s", v.VideoRange)
		}
	}
	return all
}
