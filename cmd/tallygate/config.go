package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate"
)

// config is everything that may be said of a server. It comes from the defaults, then the configuration file, then
// the environment, then the flags; each source reads its texts through the one table of settings.
type config struct {
	Listen   string
	Database string // a path, or a postgres:// URL
	Limiter  string // a redis:// URL; empty: limits are kept in memory
	Currency string // empty: the database's, USD for a new one

	PublicURL      string // without a slash at its end; empty: links stay relative
	AllowedOrigins []string
	TrustedProxies []netip.Prefix

	MaxBody         int64 // bytes
	MaxInFlight     int
	ShedDelay       time.Duration
	FailedAuthLimit float64 // per second and address; 0: off
	FailedAuthBurst int64   // 0: twice the limit

	LogLevel     slog.Level
	LogFormat    string
	DrainDelay   time.Duration
	DrainTimeout time.Duration

	JobTypes    []definition
	OperatorKey string // from the environment alone
}

// operatorKeyVariable holds the operator's key where it is not made by init.
const operatorKeyVariable = "TALLYGATE_OPERATOR_KEY"

func defaultConfig() config {
	return config{
		Listen:          "127.0.0.1:8080",
		Database:        "tallygate.db",
		MaxBody:         4 << 20,
		MaxInFlight:     2000,
		ShedDelay:       time.Second,
		FailedAuthLimit: 5,
		LogLevel:        slog.LevelInfo,
		LogFormat:       "json",
		DrainTimeout:    2 * time.Second,
	}
}

// failedAuth is the limit on failed authentication as the rooms take it.
func (c *config) failedAuth() tallygate.RateLimit {
	if c.FailedAuthLimit == 0 {
		return tallygate.RateLimit{}
	}
	burst := c.FailedAuthBurst
	if burst == 0 {
		burst = max(1, int64(math.Ceil(2*c.FailedAuthLimit)))
	}
	return tallygate.RateLimit{PerSecond: c.FailedAuthLimit, Burst: burst}
}

// setting is one line of the table: a name and how its text is read and checked. A list has several texts.
type setting struct {
	name string
	list bool
	read func(c *config, texts []string) error
}

// one makes a setting of a single text.
func one(name string, read func(c *config, text string) error) setting {
	return setting{name: name, read: func(c *config, texts []string) error {
		if len(texts) != 1 {
			return errors.New("takes one value, not a list")
		}
		return read(c, strings.TrimSpace(texts[0]))
	}}
}

var settings = []setting{
	one("listen", func(c *config, s string) error {
		_, port, err := net.SplitHostPort(s)
		if err != nil || port == "" {
			return errors.New(`must be HOST:PORT such as "127.0.0.1:8080", or ":8080" for every address`)
		}
		c.Listen = s
		return nil
	}),
	one("database", func(c *config, s string) error {
		if s == "" {
			return errors.New("must be a path or a postgres:// URL")
		}
		c.Database = s
		return nil
	}),
	one("limiter", func(c *config, s string) error {
		if s != "" && !strings.Contains(s, "://") {
			return errors.New(`must be a URL such as "redis://127.0.0.1:6379", or empty to keep limits in memory`)
		}
		c.Limiter = s
		return nil
	}),
	one("currency", func(c *config, s string) error {
		if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(s) {
			return errors.New(`must be a code of ISO 4217 such as "USD"`)
		}
		c.Currency = s
		return nil
	}),
	one("public_url", func(c *config, s string) error {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New(`must be a URL such as "https://jobs.example.com"`)
		}
		c.PublicURL = strings.TrimRight(s, "/")
		return nil
	}),
	{name: "allowed_origins", list: true, read: func(c *config, origins []string) error {
		for _, s := range origins {
			if u, err := url.Parse(s); s != "*" && (err != nil || u.Host == "" || s != u.Scheme+"://"+u.Host) {
				return fmt.Errorf(`%q must be an origin such as "https://app.example.com", without a path, or "*"`, s)
			}
		}
		c.AllowedOrigins = origins
		return nil
	}},
	{name: "trusted_proxies", list: true, read: func(c *config, proxies []string) error {
		c.TrustedProxies = nil
		for _, s := range proxies {
			prefix, err := netip.ParsePrefix(s)
			if err != nil {
				addr, err := netip.ParseAddr(s)
				if err != nil {
					return fmt.Errorf(`%q must be an address or a range such as "10.0.0.0/8"`, s)
				}
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
			c.TrustedProxies = append(c.TrustedProxies, prefix.Masked())
		}
		return nil
	}},
	one("max_body", func(c *config, s string) error {
		n, err := parseSize(s)
		if err != nil {
			return err
		}
		c.MaxBody = n
		return inRange(n, 1<<10, 64<<20, `from "1KiB" to "64MiB"`)
	}),
	one("max_in_flight", func(c *config, s string) (err error) {
		if c.MaxInFlight, err = strconv.Atoi(s); err != nil {
			return errors.New("must be a whole number")
		}
		return inRange(c.MaxInFlight, 1, 1_000_000, "from 1 to 1000000")
	}),
	one("shed_delay", func(c *config, s string) error {
		return readDuration(&c.ShedDelay, s, time.Millisecond, time.Minute)
	}),
	one("failed_auth_limit", func(c *config, s string) (err error) {
		if c.FailedAuthLimit, err = strconv.ParseFloat(s, 64); err != nil || math.IsNaN(c.FailedAuthLimit) {
			return errors.New("must be a number of requests per second, or 0 for no limit")
		}
		return inRange(c.FailedAuthLimit, 0, 1_000_000, "from 0 to 1000000")
	}),
	one("failed_auth_burst", func(c *config, s string) (err error) {
		if c.FailedAuthBurst, err = strconv.ParseInt(s, 10, 64); err != nil {
			return errors.New("must be a whole number")
		}
		return inRange(c.FailedAuthBurst, 1, 1_000_000, "from 1 to 1000000")
	}),
	one("log_level", func(c *config, s string) error {
		levels := []string{"debug", "info", "warn", "error"}
		if !slices.Contains(levels, s) {
			return fmt.Errorf("must be one of %s", strings.Join(levels, ", "))
		}
		return c.LogLevel.UnmarshalText([]byte(s))
	}),
	one("log_format", func(c *config, s string) error {
		c.LogFormat = s
		if s != "json" && s != "text" {
			return errors.New("must be json or text")
		}
		return nil
	}),
	one("drain_delay", func(c *config, s string) error {
		return readDuration(&c.DrainDelay, s, 0, time.Hour)
	}),
	one("drain_timeout", func(c *config, s string) error {
		return readDuration(&c.DrainTimeout, s, 0, time.Hour)
	}),
}

func inRange[T int | int64 | float64 | time.Duration](v, least, most T, words string) error {
	if v < least || v > most {
		return fmt.Errorf("must be %s", words)
	}
	return nil
}

func readDuration(into *time.Duration, s string, least, most time.Duration) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New(`must be a duration such as "2s"`)
	}
	*into = d
	return inRange(d, least, most, fmt.Sprintf("from %s to %s", least, most))
}

// parseSize reads a number of bytes, with KiB, MiB or GiB after it.
func parseSize(s string) (int64, error) {
	digits, unit := s, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if before, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = strings.TrimSpace(before), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 {
		return 0, errors.New(`must be a number of bytes such as 4194304 or "4MiB"`)
	}
	return n * unit, nil
}

// settingFlags are the settings as flags and environment variables. What is not set is nil.
type settingFlags struct {
	Listen          *string  `env:"TALLYGATE_LISTEN" group:"settings" placeholder:"HOST:PORT" help:"Where to listen (default: 127.0.0.1:8080)."`
	Database        *string  `env:"TALLYGATE_DATABASE" group:"settings" placeholder:"PATH|URL" help:"SQLite file, or postgres://… (default: tallygate.db)."`
	Limiter         *string  `env:"TALLYGATE_LIMITER" group:"settings" placeholder:"URL" help:"Redis or Valkey that keeps rate limits for all nodes, as redis://… (default: in memory)."`
	Currency        *string  `env:"TALLYGATE_CURRENCY" group:"settings" placeholder:"CODE" help:"Currency of every amount; fixed once the database is made (default: USD)."`
	PublicURL       *string  `name:"public-url" env:"TALLYGATE_PUBLIC_URL" group:"settings" placeholder:"URL" help:"Where callers reach the server; links in errors begin with it."`
	AllowedOrigins  []string `env:"TALLYGATE_ALLOWED_ORIGINS" group:"settings" placeholder:"ORIGIN" help:"Web origins whose pages may call; * for any."`
	TrustedProxies  []string `env:"TALLYGATE_TRUSTED_PROXIES" group:"settings" placeholder:"CIDR" help:"Proxies whose X-Forwarded-For is believed."`
	MaxBody         *string  `env:"TALLYGATE_MAX_BODY" group:"settings" placeholder:"SIZE" help:"Largest request body (default: 4MiB)."`
	MaxInFlight     *string  `env:"TALLYGATE_MAX_IN_FLIGHT" group:"settings" placeholder:"N" help:"Requests at work at once before new ones get 503 (default: 2000)."`
	ShedDelay       *string  `env:"TALLYGATE_SHED_DELAY" group:"settings" placeholder:"DURATION" help:"Wait for a write above which new requests get 503 (default: 1s)."`
	FailedAuthLimit *string  `env:"TALLYGATE_FAILED_AUTH_LIMIT" group:"settings" placeholder:"N" help:"Failed authentications a second and address before 429; 0 for no limit (default: 5)."`
	FailedAuthBurst *string  `env:"TALLYGATE_FAILED_AUTH_BURST" group:"settings" placeholder:"N" help:"Failed authentications at one instant (default: twice the limit)."`
	LogLevel        *string  `env:"TALLYGATE_LOG_LEVEL" group:"settings" placeholder:"LEVEL" help:"debug, info, warn or error (default: info)."`
	LogFormat       *string  `env:"TALLYGATE_LOG_FORMAT" group:"settings" placeholder:"FORMAT" help:"json or text (default: json)."`
	DrainDelay      *string  `env:"TALLYGATE_DRAIN_DELAY" group:"settings" placeholder:"DURATION" help:"How long to go on answering after SIGTERM, with /readyz at 503 already (default: 0s)."`
	DrainTimeout    *string  `env:"TALLYGATE_DRAIN_TIMEOUT" group:"settings" placeholder:"DURATION" help:"How long to wait for work in hand at the end (default: 2s)."`
	Config          string   `env:"TALLYGATE_CONFIG" placeholder:"FILE" help:"YAML file with settings and job_types."`
}

// given are the texts of the flags and variables that are set, by the setting's name.
func (f settingFlags) given() map[string][]string {
	given := map[string][]string{}
	fields := reflect.ValueOf(f)
	for i := range fields.NumField() {
		name := snake(fields.Type().Field(i).Name)
		switch v := fields.Field(i).Interface().(type) {
		case *string:
			if v != nil {
				given[name] = []string{*v}
			}
		case []string:
			if len(v) > 0 {
				given[name] = v
			}
		}
	}
	return given
}

// snake writes PublicURL as public_url.
func snake(s string) string {
	s = strings.ReplaceAll(s, "URL", "Url")
	var b strings.Builder
	for i, r := range s {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// load makes the configuration from its sources. An error names every fault and where it stands.
func (f settingFlags) load() (config, error) {
	c := defaultConfig()
	var faults []error
	if f.Config != "" {
		text, err := os.ReadFile(f.Config)
		if err != nil {
			return c, usagef("%w", err)
		}
		for _, fault := range c.readFile(text) {
			faults = append(faults, fmt.Errorf("%s: %w", f.Config, fault))
		}
	}
	given := f.given()
	for _, s := range settings {
		if texts, ok := given[s.name]; ok {
			if err := s.read(&c, texts); err != nil {
				flag := strings.ReplaceAll(s.name, "_", "-")
				faults = append(faults, fmt.Errorf("--%s %s: %w", flag, shownURL(strings.Join(texts, ",")), err))
			}
		}
	}
	c.OperatorKey = os.Getenv(operatorKeyVariable)
	if len(faults) > 0 {
		return c, &exitError{code: exitUsage, err: joined(faults), remedy: "see `tallygate serve --help` for the settings, and `tallygate doctor` to check a file"}
	}
	return c, nil
}

// joined puts faults on one line.
func joined(faults []error) error {
	texts := make([]string, len(faults))
	for i, fault := range faults {
		texts[i] = fault.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

// readFile takes in a configuration file and returns all that is wrong with it, each with its line.
func (c *config) readFile(text []byte) []error {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return []error{yamlFault(err)}
	}
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil
	}
	root := resolve(document.Content[0])
	if root.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("line %d: expected settings, each as name: value", root.Line)}
	}
	var faults []error
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], resolve(root.Content[i+1])
		if seen[key.Value] {
			faults = append(faults, fmt.Errorf("line %d: %q stands twice", key.Line, key.Value))
			continue
		}
		seen[key.Value] = true
		if err := c.readSetting(key.Value, value); err != nil {
			if key.Value != jobTypesSetting { // whose faults tell their own lines
				err = fmt.Errorf("line %d: %w", key.Line, err)
			}
			faults = append(faults, err)
		}
	}
	return faults
}

const jobTypesSetting = "job_types"

func (c *config) readSetting(name string, value *yaml.Node) error {
	if isNull(value) {
		value = &yaml.Node{Kind: yaml.SequenceNode}
		if i := indexOf(name); name != jobTypesSetting && (i < 0 || !settings[i].list) {
			return fmt.Errorf("%s has no value", name)
		}
	}
	if name == jobTypesSetting {
		return c.readJobTypes(value)
	}
	i := indexOf(name)
	if i < 0 {
		return fmt.Errorf("unknown setting %q%s", name, nearestSetting(name))
	}
	texts, err := textsOf(value)
	if err == nil {
		err = settings[i].read(c, texts)
	}
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	return nil
}

func (c *config) readJobTypes(value *yaml.Node) (err error) {
	if value.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: %s must be a list", value.Line, jobTypesSetting)
	}
	c.JobTypes, err = definitionsOf(value)
	return err
}

func indexOf(name string) int {
	return slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
}

// nearestSetting suggests what a misspelt name may have meant.
func nearestSetting(name string) string {
	if name == "operator_key" {
		return ": the operator key comes from TALLYGATE_OPERATOR_KEY alone, since files are copied"
	}
	names := []string{jobTypesSetting}
	for _, s := range settings {
		names = append(names, s.name)
	}
	if near := tallygate.Nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// textsOf are the texts of a scalar or a list of them.
func textsOf(n *yaml.Node) ([]string, error) {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("takes a value or a list of values")
	}
	var texts []string
	for _, item := range n.Content {
		if item = resolve(item); item.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("takes a list of plain values; see line %d", item.Line)
		}
		texts = append(texts, item.Value)
	}
	return texts, nil
}
