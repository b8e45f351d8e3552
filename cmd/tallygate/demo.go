package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallygate/tallygate/child"
	"github.com/tallygate/tallygate/demo/archive"
	"github.com/tallygate/tallygate/demo/textstats"
	"github.com/tallygate/tallygate/demo/thumbnail"
	sdk "github.com/tallygate/tallygate/sdk/go"
)

type demoCmd struct {
	Listen  string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen; a free port when that one is taken (default: ${default})."`
	Dir     string `placeholder:"PATH" help:"Folder for the demo's files (default: a new one under the system's temporary folder)."`
	Image   string `type:"existingfile" placeholder:"FILE" help:"Picture to make thumbnails of: JPEG, PNG, GIF or WebP (default: one that is drawn)."`
	Text    string `type:"existingfile" placeholder:"FILE" help:"Text to count (default: a short story)."`
	Archive string `type:"existingfile" placeholder:"FILE" help:"Archive to inspect: zip, tar.gz or tar (default: one with a trap in it)."`
	Once    bool   `help:"End after the three jobs instead of staying up until Ctrl-C."`
}

func (demoCmd) Help() string {
	return "Starts a server, a worker process and an upstream service, makes a client with a key and credit, runs one real job on each " +
		"of the three executors from submit to receipt, shows the ledger and prints lines to paste. Needs nothing; an empty folder will do.\n\n" +
		"Examples:\n\n    tallygate demo\n    tallygate demo --image holiday.jpg --archive upload.zip --dir ./demo\n"
}

func (c *demoCmd) Run(ctx context.Context, a *app) error { return runDemo(ctx, a, c) }

// The parts of the demo that are processes of their own. They are commands so that they need nothing but this program.
type (
	demoWorkerCmd struct {
		Server string `required:"" placeholder:"URL" help:"Server to work for."`
	}
	demoUpstreamCmd struct{}
)

const (
	workerKeyVariable      = "TALLYGATE_WORKER_KEY"
	upstreamSecretVariable = "TALLYGATE_UPSTREAM_SECRET"
)

func (demoWorkerCmd) Help() string {
	return "Pulls text.stats jobs over HTTP with the key in " + workerKeyVariable + ".\n\nExample:\n\n    tallygate demo-worker --server http://127.0.0.1:8080\n"
}

func (c *demoWorkerCmd) Run(ctx context.Context, a *app) error {
	api, err := a.connect(c.Server, os.Getenv(workerKeyVariable))
	if err != nil {
		return err
	}
	worker := sdk.Worker{
		Client: api, Name: "demo-worker", Concurrency: 4, DrainTimeout: time.Second,
		Handlers: map[string]sdk.Handler{textstats.JobType: textstats.Handle},
	}
	return worker.Run(ctx)
}

func (demoUpstreamCmd) Help() string {
	return "Serves archive.inspect as an upstream; calls are signed with the secret in " + upstreamSecretVariable + ".\n\nExample:\n\n    tallygate demo-upstream\n"
}

func (c *demoUpstreamCmd) Run(ctx context.Context, a *app) error {
	listener, err := listenLocal("127.0.0.1:0")
	if err != nil {
		return err
	}
	service := &http.Server{Handler: archive.Handler(os.Getenv(upstreamSecretVariable)), ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(a.stdout, "%shttp://%s\n", child.Listening, listener.Addr())
	context.AfterFunc(ctx, func() { _ = service.Close() })
	if err := service.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// demo is one run: its folder, its processes, and its client's credentials.
type demo struct {
	*app
	options *demoCmd
	dir     string
	program string

	children  []*child.Child // in the order of their start
	server    *child.Child
	url       string
	operator  string // key
	client    string // ID
	clientKey string
}

func runDemo(ctx context.Context, a *app, options *demoCmd) (err error) {
	d := &demo{app: a, options: options}
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	if err := d.folder(); err != nil {
		return err
	}
	defer d.stop()
	if err := d.start(ctx); err != nil {
		return d.interrupted(ctx, err)
	}
	if err := d.customer(ctx); err != nil {
		return d.interrupted(ctx, err)
	}
	for _, task := range d.tasks() {
		if err := d.runTask(ctx, task); err != nil {
			return d.interrupted(ctx, err)
		}
	}
	if err := d.ledger(ctx); err != nil {
		return d.interrupted(ctx, err)
	}
	if options.Once {
		d.note("\nDone. The files are in %s", d.dir)
		return nil
	}
	if err := d.invite(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		d.note("\nstopping")
		return nil
	case <-d.server.Ended():
		return d.server.Wait()
	}
}

// interrupted makes Ctrl-C at any moment a clean end.
func (d *demo) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (d *demo) folder() (err error) {
	if d.options.Dir == "" {
		d.dir, err = os.MkdirTemp("", "tallygate-demo-")
		return err
	}
	if d.dir, err = filepath.Abs(d.options.Dir); err != nil {
		return err
	}
	return os.MkdirAll(d.dir, 0o700)
}

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }

// stop ends the processes, the last started first, so that the worker gives its jobs back before the server goes.
func (d *demo) stop() {
	for i := len(d.children) - 1; i >= 0; i-- {
		d.children[i].Stop()
	}
}

// spawn starts this program with a command; its log goes to a file of the folder.
func (d *demo) spawn(name string, env []string, args ...string) (*child.Child, error) {
	log, err := os.OpenFile(d.file(name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	// The demo ends its processes in its own order, so that its context is not theirs.
	c, err := child.Start(context.Background(), child.Spec{Name: name, Program: d.program, Args: args, Env: env, Log: log, Alone: true})
	if err == nil {
		d.children = append(d.children, c)
	}
	return c, err
}

// start brings up the upstream, the server with its three job types, and the worker.
func (d *demo) start(ctx context.Context) error {
	d.heading("Starting")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(random(24))
	upstream, err := d.spawn("upstream", []string{upstreamSecretVariable + "=" + secret}, "demo-upstream")
	if err != nil {
		return err
	}
	upstreamURL, err := upstream.Address(ctx)
	if err != nil {
		return err
	}
	d.step("upstream", "%s  (archive.inspect, another process)", upstreamURL)
	if err := d.operatorKey(ctx); err != nil {
		return err
	}
	config, err := demoConfig(upstreamURL, secret)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.file("tallygate.yaml"), config, 0o600); err != nil {
		return err
	}
	listen, err := freeAddress(d.options.Listen)
	if err != nil {
		return err
	}
	d.server, err = d.spawn("server", nil, "serve", "--listen", listen, "--database", d.file("tallygate.db"), "--config", d.file("tallygate.yaml"))
	if err != nil {
		return err
	}
	if d.url, err = d.server.Address(ctx); err != nil {
		return err
	}
	if d.api, err = d.connect(d.url, d.operator); err != nil {
		return err
	}
	d.step("server", "%s  (image.thumbnail runs inside it)", d.url)
	workerKey, err := d.api.APIKeys.Create(ctx, sdk.NewAPIKey{Name: "demo worker", Permissions: []string{"work"}})
	if err != nil {
		return err
	}
	if _, err := d.spawn("worker", []string{workerKeyVariable + "=" + workerKey.Key.Reveal()}, "demo-worker", "--server", d.url); err != nil {
		return err
	}
	d.step("worker", "pulls text.stats over HTTP, another process")
	d.step("files", "%s", d.dir)
	return nil
}

// operatorKey makes the database, or takes up that of an earlier run in the same folder.
func (d *demo) operatorKey(ctx context.Context) error {
	kept := d.file("operator.key")
	if text, err := os.ReadFile(kept); err == nil {
		d.operator = strings.TrimSpace(string(text))
		return nil
	}
	c, err := d.spawn("init", nil, "init", "--database", d.file("tallygate.db"), "--json")
	if err != nil {
		return err
	}
	if err := c.Wait(); err != nil {
		return err
	}
	var made struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal([]byte(c.Output()), &made); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	d.operator = made.OperatorKey
	return os.WriteFile(kept, []byte(d.operator+"\n"), 0o600)
}

// customer makes a client with a key of its own and money.
func (d *demo) customer(ctx context.Context) error {
	d.heading("A client with a key and credit")
	made, err := d.api.Clients.Create(ctx, sdk.NewClient{Name: "Demo Ltd"})
	if err != nil {
		return err
	}
	d.client = made.ID
	key, err := d.api.Clients.APIKeys.Create(ctx, d.client, sdk.NewAPIKey{Name: "demo", Permissions: []string{"preset:full"}})
	if err != nil {
		return err
	}
	d.clientKey = key.Key.Reveal()
	if _, err := d.api.Clients.Credit(ctx, d.client, sdk.Credit{Amount: "5.00", Note: "a first top-up"}); err != nil {
		return err
	}
	d.step("client", "%s  Demo Ltd", d.client)
	d.step("key", "%s  (its secret is shown below, once)", key.ID)
	d.step("credit", "5.00 USD")
	d.api, err = d.connect(d.url, d.clientKey)
	return err
}

// demoTask is one job of the demo.
type demoTask struct {
	jobType string
	who     string
	input   func() (json.RawMessage, error)
	show    func(d *demo, result json.RawMessage) error
}

func (d *demo) tasks() []demoTask {
	return []demoTask{
		{"image.thumbnail", "a Go handler in the server", d.imageInput, (*demo).showThumbnails},
		{"text.stats", "a worker that pulls over HTTP", d.textInput, (*demo).showStats},
		{"archive.inspect", "an upstream HTTP service", d.archiveInput, (*demo).showArchive},
	}
}

// runTask submits a job, follows it to its end and shows what it came to.
func (d *demo) runTask(ctx context.Context, task demoTask) error {
	d.heading(task.jobType + ", done by " + task.who)
	input, err := task.input()
	if err != nil {
		return err
	}
	submitted, err := d.api.Jobs.Submit(ctx, sdk.Submission{Type: task.jobType, Input: input})
	if err != nil {
		return err
	}
	d.step("submitted", "%s  held %s %s", submitted.ID, submitted.Receipt.Held, submitted.Receipt.Currency)
	progress := newProgress(d.app, submitted)
	err = d.follow(ctx, submitted.ID, progress.tell)
	progress.close()
	if err != nil {
		return err
	}
	ended, err := d.api.Jobs.Get(ctx, submitted.ID)
	if err != nil {
		return err
	}
	if err := outcome(ended); err != nil {
		return err
	}
	d.step(string(ended.Status), "in %s", d.took(ended))
	if err := task.show(d, ended.Result); err != nil {
		return err
	}
	r := ended.Receipt
	d.step("receipt", "quoted %s  charged %s  released %s %s  units %s", r.Quoted, r.Charged, r.Released, r.Currency, units(r.Units))
	return nil
}

func units(used map[string]int64) string {
	var words []string
	for _, name := range sortedKeys(used) {
		words = append(words, fmt.Sprintf("%s=%d", name, used[name]))
	}
	return strings.Join(words, " ")
}

func (d *demo) imageInput() (json.RawMessage, error) {
	if d.options.Image == "" {
		if err := os.WriteFile(d.file("sample.jpg"), thumbnail.Sample(), 0o600); err != nil {
			return nil, err
		}
		return thumbnail.SampleInput(), nil
	}
	picture, err := os.ReadFile(d.options.Image)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"image": picture, "sizes": []map[string]int{{"width": 640}, {"width": 160, "height": 160}}})
}

func (d *demo) textInput() (json.RawMessage, error) {
	if d.options.Text == "" {
		return textstats.SampleInput(), nil
	}
	text, err := os.ReadFile(d.options.Text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"text": string(text)})
}

func (d *demo) archiveInput() (json.RawMessage, error) {
	if d.options.Archive == "" {
		return archive.SampleInput(), nil
	}
	content, err := os.ReadFile(d.options.Archive)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"archive": content, "name": filepath.Base(d.options.Archive)})
}

func (d *demo) showThumbnails(result json.RawMessage) error {
	var made struct {
		Source     struct{ Width, Height int }
		Thumbnails []struct {
			Width, Height int
			Format        string
			Image         []byte
		}
	}
	if err := json.Unmarshal(result, &made); err != nil {
		return err
	}
	for _, t := range made.Thumbnails {
		path := d.file(fmt.Sprintf("thumbnail-%dx%d.%s", t.Width, t.Height, t.Format))
		if err := os.WriteFile(path, t.Image, 0o600); err != nil {
			return err
		}
		d.step("thumbnail", "%d x %d of %d x %d  %s", t.Width, t.Height, made.Source.Width, made.Source.Height, path)
	}
	return nil
}

func (d *demo) showStats(result json.RawMessage) error {
	d.step("result", "%s", abridged(result))
	return nil
}

func (d *demo) showArchive(result json.RawMessage) error {
	var inspected struct {
		Format   string
		Count    int
		Safe     bool
		Findings []struct{ Kind, Entry, Detail string }
	}
	if err := json.Unmarshal(result, &inspected); err != nil {
		return err
	}
	d.step("result", "%s of %d entries, safe: %v", inspected.Format, inspected.Count, inspected.Safe)
	for _, f := range inspected.Findings {
		d.step("finding", "%s  %s  %s", f.Kind, f.Entry, f.Detail)
	}
	return nil
}

// abridged shows the beginning of a JSON text.
func abridged(text json.RawMessage) string {
	var compact bytes.Buffer
	if json.Compact(&compact, text) != nil {
		return ""
	}
	return shorten(compact.String(), 160)
}

// ledger shows every line of the client's ledger and its balance.
func (d *demo) ledger(ctx context.Context) error {
	d.heading("The ledger")
	page, err := d.api.Account.Entries(ctx, sdk.ListOptions{Limit: mostPage})
	if err != nil {
		return err
	}
	for i := len(page.Data) - 1; i >= 0; i-- {
		e := page.Data[i]
		fmt.Fprintf(d.stdout, "  %-8s %12s posted %12s held   available %12s  %s\n", e.Kind, signed(e.Posted), signed(e.Held), e.Balance.Available, about(e))
	}
	return nil
}

func signed(m sdk.Money) string {
	amount := string(m)
	if strings.HasPrefix(amount, "-") || strings.Trim(amount, "0.") == "" {
		return amount
	}
	return "+" + amount
}

func (d *demo) heading(text string) { fmt.Fprintf(d.stdout, "\n%s\n", d.paint(bold, text)) }

func (d *demo) step(name, format string, args ...any) {
	fmt.Fprintf(d.stdout, "  %s %s\n", d.paint(faint, fmt.Sprintf("%-10s", name)), plain(fmt.Sprintf(format, args...)))
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}
