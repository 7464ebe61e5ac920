package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// A setting is a field of a package's Config with a flag tag. Its flag, its
// YAML key and its MIJU_ variable all come from that tag, so that each has
// one name, one default, one range and one description.

// groups order the settings in --help.
var groups = []string{"network", "publishing", "latency", "HLS", "chat", "auth", "limits", "logging"}

const (
	envPrefix = "MIJU_"
	// groupAnnotation marks a flag with its group for --help.
	groupAnnotation = "miju_group"
)

// bindFlags defines a flag for every setting in config, a pointer to a struct
// that already holds the defaults.
func bindFlags(fs *pflag.FlagSet, config any) {
	eachSetting(config, func(s setting) {
		switch p := s.value.Addr().Interface().(type) {
		case *string:
			fs.StringVarP(p, s.name, s.tag.Get("short"), *p, s.help())
		case *bool:
			fs.BoolVarP(p, s.name, s.tag.Get("short"), *p, s.help())
		case *int:
			fs.IntVarP(p, s.name, s.tag.Get("short"), *p, s.help())
		case *time.Duration:
			fs.DurationVarP(p, s.name, s.tag.Get("short"), *p, s.help())
		case pflag.Value:
			fs.VarP(p, s.name, s.tag.Get("short"), s.help())
		}
		fs.Lookup(s.name).Annotations = map[string][]string{groupAnnotation: {s.tag.Get("group")}}
	})
}

type setting struct {
	name  string
	tag   reflect.StructTag
	value reflect.Value
}

func eachSetting(config any, do func(setting)) {
	v := reflect.ValueOf(config).Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if name := field.Tag.Get("flag"); name != "" {
			do(setting{name, field.Tag, v.Field(i)})
		} else if field.Type.Kind() == reflect.Struct {
			eachSetting(v.Field(i).Addr().Interface(), do)
		}
	}
}

func (s setting) help() string {
	h := s.tag.Get("help")
	if lo, hi := s.tag.Get("min"), s.tag.Get("max"); lo != "" {
		h += " (" + lo + " to " + hi + ")"
	}
	return h
}

// checkRanges reports every setting that is out of its range, by name, value
// and range.
func checkRanges(config any) error {
	var errs []error
	eachSetting(config, func(s setting) {
		lo, hi := s.tag.Get("min"), s.tag.Get("max")
		if lo == "" {
			return
		}
		v := s.value.Int()
		if v < bound(s.value, lo) || v > bound(s.value, hi) {
			errs = append(errs, fmt.Errorf("--%s is %v, it may be %s to %s", s.name, s.value.Interface(), lo, hi))
		}
	})
	return errors.Join(errs...)
}

// bound reads a min or max tag. A test parses all of them, so that none can
// be wrong here.
func bound(v reflect.Value, s string) int64 {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, _ := time.ParseDuration(s)
		return int64(d)
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// fillFlags sets the flags that the command line left alone from the YAML
// file at path (none if empty) and from env; env wins over the file.
func fillFlags(fs *pflag.FlagSet, path string, env []string) error {
	given := map[string]bool{}
	fs.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	var errs []error
	set := func(source, name, value string) {
		if given[name] {
			return
		}
		if err := fs.Set(name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is no value for %s: it must be %s", source, value, name, kindOf(fs.Lookup(name))))
		}
	}
	if path != "" {
		values, err := readYAML(path)
		if err != nil {
			return err
		}
		for _, kv := range values {
			if f := fs.Lookup(kv.name); f == nil || f.Annotations[groupAnnotation] == nil {
				errs = append(errs, fmt.Errorf("%s, line %d: there is no setting %q%s", path, kv.line, kv.name, nearest(fs, kv.name)))
				continue
			}
			set(fmt.Sprintf("%s, line %d", path, kv.line), kv.name, kv.value)
		}
	}
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		rest, ok := strings.CutPrefix(k, envPrefix)
		if !ok || serviceLink.MatchString(rest) {
			continue
		}
		name := strings.ReplaceAll(strings.ToLower(rest), "_", "-")
		if f := fs.Lookup(name); f == nil || f.Annotations[groupAnnotation] == nil {
			errs = append(errs, fmt.Errorf("%s: there is no setting %q%s", k, name, nearest(fs, name)))
			continue
		}
		set(k, name, v)
	}
	return errors.Join(errs...)
}

// serviceLink matches what Kubernetes puts into the environment of every pod
// beside a service called miju: MIJU_SERVICE_HOST, MIJU_PORT_1935_TCP, …
var serviceLink = regexp.MustCompile(`^(SERVICE_(HOST|PORT).*|PORT(_.*)?)$`)

func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "duration":
		return "a time like 10s or 200ms"
	case "int":
		return "a whole number"
	case "bool":
		return "true or false"
	case "gop or live":
		return "gop or live"
	case "auto or time":
		return "auto or a time like 100ms, 2s at most"
	}
	return "a text"
}

// nearest suggests the setting that name may have meant.
func nearest(fs *pflag.FlagSet, name string) string {
	best := ""
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[groupAnnotation] != nil && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name)) && len(f.Name) > len(best) {
			best = f.Name
		}
	})
	if best == "" {
		return ""
	}
	return "; is it " + best + "?"
}

type yamlValue struct {
	name, value string
	line        int
}

// maxYAML bounds a configuration file, in bytes.
const maxYAML = 1 << 20

// readYAML reads a flat map of setting names to scalars.
func readYAML(path string) ([]yamlValue, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxYAML))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(doc.Content) == 0 { // an empty file
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("read %s: it must hold lines like \"probe: 1s\"", path)
	}
	var values []yamlValue
	var seen []string
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		if v.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("%s, line %d: %s must be a single value", path, v.Line, k.Value)
		}
		if slices.Contains(seen, k.Value) {
			return nil, fmt.Errorf("%s, line %d: %s is set twice", path, k.Line, k.Value)
		}
		seen = append(seen, k.Value)
		value := v.Value
		if v.Tag == "!!null" {
			value = ""
		}
		values = append(values, yamlValue{k.Value, value, k.Line})
	}
	return values, nil
}
