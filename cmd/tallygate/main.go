// Command tallygate runs a metered job API server and speaks to one: serve and its relatives hold the server, the
// nouns (client, key, credit, job-type, job) call the API of a running one over HTTP, in its own words.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/tallygate/tallygate/bench"
	sdk "github.com/tallygate/tallygate/sdk/go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], process{os.Stdin, os.Stdout, os.Stderr, time.Now}))
}

// process is what a run has of the world around it.
type process struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
}

// cli is the command line: kong reads it from here.
type cli struct {
	URL     string   `name:"url" env:"TALLYGATE_URL" default:"${default_url}" placeholder:"URL" group:"global" help:"Server to call (default: ${default})."`
	Key     string   `env:"TALLYGATE_KEY" placeholder:"KEY" group:"global" help:"API key to call it with; else TALLYGATE_OPERATOR_KEY's. The environment keeps it out of the process list."`
	JSON    bool     `name:"json" group:"global" help:"Print one JSON document, exact and complete."`
	NoColor bool     `group:"global" help:"Print without colours, as NO_COLOR does."`
	Usage   helpFlag `name:"help" short:"h" group:"global" help:"Show help for the command."`

	Serve   serveCmd   `cmd:"" group:"server" help:"Run the server."`
	Demo    demoCmd    `cmd:"" group:"server" help:"Run a server with a sample client, job types and a worker, to try everything."`
	Init    initCmd    `cmd:"" group:"server" help:"Make the database and its first operator key."`
	Audit   auditCmd   `cmd:"" group:"server" help:"Prove that every balance equals its entries and every hold has its job."`
	Copy    copyCmd    `cmd:"" group:"server" help:"Move a SQLite file's store to PostgreSQL."`
	Migrate migrateCmd `cmd:"" group:"server" help:"Bring a PostgreSQL database's schema forward, or print how."`
	Doctor  doctorCmd  `cmd:"" group:"server" help:"Check configuration, database and server, and say how to mend what is wrong."`
	OpenAPI openapiCmd `cmd:"" name:"openapi" group:"server" help:"Print the description of the API (OpenAPI 3.1)."`
	Bench   benchCmd   `cmd:"" group:"server" help:"Measure the server on this machine against a bare HTTP handler."`

	Client  clientCmd  `cmd:"" group:"api" help:"Customer accounts: create, list, get, update, suspend, activate."`
	APIKey  keyCmd     `cmd:"" name:"key" group:"api" help:"API keys: create, list, get, revoke, rotate, scan."`
	Credit  creditCmd  `cmd:"" group:"api" help:"Prepaid balances: add money, list the ledger."`
	JobType jobTypeCmd `cmd:"" group:"api" help:"What can be run: list, get, apply, delete."`
	Job     jobCmd     `cmd:"" group:"api" help:"Work: submit, list, get, result, cancel, watch, logs."`

	DemoWorker   demoWorkerCmd   `cmd:"" hidden:"" help:"The demo's worker."`
	DemoUpstream demoUpstreamCmd `cmd:"" hidden:"" help:"The demo's upstream service."`

	Version    versionCmd    `cmd:"" group:"about" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"about" help:"Print a completion script for bash, zsh or fish."`
}

// Help is the tail of the first page of help.
func (cli) Help() string {
	return "Exit codes:\n\n" + exitCodeTable()
}

// run is the whole command: read the line, do what it says, tell what went wrong, return the exit code.
func run(ctx context.Context, args []string, p process) int {
	var line cli
	parser := newParser(&line, p)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if errors.Is(err, errHelpShown) {
		return exitOK
	}
	a := newApp(&line, p)
	switch {
	case err != nil:
		err = misused(err)
	case a.apiFault != nil && calls(command):
		err = a.apiFault
	default:
		command.BindTo(ctx, (*context.Context)(nil))
		err = command.Run(a)
	}
	return a.report(ctx, err)
}

// defaultURL is where a server that was started without settings is.
const defaultURL = "http://127.0.0.1:8080"

// newParser builds kong's model of the command line.
func newParser(line *cli, p process) *kong.Kong {
	return kong.Must(line,
		kong.Name("tallygate"),
		kong.Description("A metered job API in one binary: clients, API keys, prepaid balances, limits, jobs and workers."),
		kong.Vars{"default_url": defaultURL, "scenarios": strings.Join(bench.Scenarios(), ", ")},
		kong.Writers(p.stdout, p.stderr),
		kong.NoDefaultHelp(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.ValueFormatter(helpOf),
		kong.ExplicitGroups([]kong.Group{
			{Key: "server", Title: "The server:"},
			{Key: "api", Title: "The API of a running server:"},
			{Key: "about", Title: "The program:"},
			{Key: "settings", Title: "Settings (--max-body is also TALLYGATE_MAX_BODY in the environment and max_body in the file):"},
			{Key: "global", Title: "Everywhere:"},
		}),
	)
}

// helpOf is the help of a flag or argument. The variables of settings follow one rule, which stands over them.
func helpOf(v *kong.Value) string {
	if v.Flag != nil && v.Flag.Group != nil && v.Flag.Group.Key == "settings" {
		return v.Help
	}
	return kong.DefaultHelpValueFormatter(v)
}

// helpFlag prints the help of the command it stands after.
type helpFlag bool

var errHelpShown = errors.New("help was shown")

// BeforeReset runs before anything required is missed.
func (helpFlag) BeforeReset(line *kong.Context) error {
	if err := line.PrintUsage(false); err != nil {
		return err
	}
	return errHelpShown
}

// misused turns what kong found wrong with the line into an error with the way to its help.
func misused(err error) error {
	command := "tallygate"
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command = node.FullPath()
		}
	}
	return &exitError{code: exitUsage, err: err, remedy: fmt.Sprintf("see `%s --help`", command)}
}

// app is what every command gets beside its own arguments.
type app struct {
	process
	json   bool
	colour bool // stdout shows colours
	live   bool // stderr is a terminal that can be drawn on
	width  func() int
	api    *sdk.Client // nil where apiFault says why
	key    string

	apiFault error
}

func newApp(line *cli, p process) *app {
	drawable := os.Getenv("TERM") != "dumb"
	a := &app{
		process: p,
		json:    line.JSON,
		colour:  drawable && !line.NoColor && os.Getenv("NO_COLOR") == "" && isTerminal(p.stdout),
		live:    drawable && isTerminal(p.stderr),
		width:   func() int { return terminalWidth(p.stderr) },
		key:     cmp.Or(line.Key, os.Getenv(operatorKeyVariable)),
	}
	a.api, a.apiFault = a.connect(line.URL, a.key)
	return a
}

// connect is a client of the server at the address.
func (a *app) connect(url, key string, options ...sdk.Option) (*sdk.Client, error) {
	return sdk.New(append([]sdk.Option{
		sdk.WithURL(url), sdk.WithKey(key), sdk.WithUserAgent("tallygate-cli/" + readBuild().Version),
		sdk.WithHooks(sdk.Hooks{OnRetry: a.tellRetry}),
	}, options...)...)
}

// calls reports whether the command calls the API.
func calls(command *kong.Context) bool {
	for node := command.Selected(); node != nil; node = node.Parent {
		if node.Group != nil {
			return node.Group.Key == "api"
		}
	}
	return false
}

// tellRetry keeps a waiting call from looking like a hung one.
func (a *app) tellRetry(_ context.Context, _ sdk.Request, failure *sdk.Error, wait time.Duration) {
	if wait >= time.Second {
		if a.live {
			fmt.Fprint(a.stderr, clearLine) // a progress bar may stand there
		}
		fmt.Fprintf(a.stderr, "%s; trying again in %s\n", plain(failure.Error()), roughly(wait))
	}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func terminalWidth(stream any) int {
	if f, ok := stream.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
