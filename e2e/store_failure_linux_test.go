package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// limitFiles bounds the size to which the process's files may grow, or lifts the bound.
func (p *process) limitFiles(t testing.TB, size uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: size, Max: unlimited}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(p.cmd.Process.Pid), syscall.RLIMIT_FSIZE,
		uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 {
		t.Fatalf("limit the size of files: %v", errno)
	}
}

const unlimited = ^uint64(0)

func TestDatabaseThatMayNotGrow(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{file: true})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	log, err := os.Stat(s.database + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	s.process.limitFiles(t, uint64(log.Size())+100<<10)
	acknowledged := submitUntilFailure(t, c)
	stillReads(t, s, c)
	s.process.limitFiles(t, unlimited)
	goesOn(t, s, c, acknowledged)
}

func TestDatabaseThatTakesNoWriteAtAll(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{file: true})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	id := c.submit(metered)
	w := s.newWorker(t)
	l := w.lease(metered)
	s.process.limitFiles(t, 0)
	for range 3 {
		c.post("/v1/jobs", someJob).refused("DATABASE_ERROR")
		c.post("/v1/jobs", someJob, "Idempotency-Key", "again").refused("DATABASE_ERROR")
		c.post("/v1/run/"+metered+"?wait=1s", object{}).refused("DATABASE_ERROR")
		c.post("/v1/jobs/"+id+"/cancel", nil).refused("DATABASE_ERROR")
		c.post("/v1/api-keys", object{"name": "more", "permissions": []string{"jobs:read"}}).refused("DATABASE_ERROR")
		w.succeed(l, 1).refused("DATABASE_ERROR")
		report := object{"job_id": l.job, "outcome": "succeeded", "token": l.token, "result": 1}
		w.post("/v1/worker/report", object{"reports": []object{report}}).refused("DATABASE_ERROR")
		s.operator(t).put("/v1/job-types/more", pullType()).refused("DATABASE_ERROR")
		s.operator(t).post("/v1/clients/"+c.id+"/suspend", nil).refused("DATABASE_ERROR")
		stillReads(t, s, c)
	}
	s.process.limitFiles(t, unlimited)
	w.succeed(l, 1).ok()
	c.post("/v1/jobs", someJob, "Idempotency-Key", "again").ok()
	goesOn(t, s, c, []string{id, ""})
}

// TestFullFileSystem serves from a file system of two megabytes, in a mount namespace of its own.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	attr := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if !namespaces(attr) {
		t.Skip("SKIPPED: this system lets nobody mount a file system in a namespace of one's own")
	}
	mount := fmt.Sprintf(`mount -t tmpfs -o size=2m none %q && cp %q/tallygate.db %q && exec "$0" "$@"`, small, dir, small)
	s := prepare(t, setup{dir: dir, attr: attr, launcher: []string{"sh", "-c", mount}})
	s.database = filepath.Join(small, "tallygate.db")
	s.start()
	inside := fmt.Sprintf("/proc/%d/root%s", s.process.cmd.Process.Pid, small) // it is mounted for the server alone
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	c.submit(metered)

	filler := filepath.Join(inside, "filler")
	fill(t, filler, 200<<10)
	acknowledged := append(submitUntilFailure(t, c), "")
	c.post("/v1/jobs", object{"type": metered, "input": bulk}).refused("DATABASE_ERROR")
	stillReads(t, s, c)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	until(t, "a submit passes once there is room", func() bool { return c.post("/v1/jobs", someJob).status == http.StatusOK })
	isExactly(t, c, append(acknowledged, ""))
	copied := prepare(t, setup{file: true})
	for _, suffix := range []string{"", "-wal"} {
		copyFile(t, copied.database+suffix, filepath.Join(inside, "tallygate.db"+suffix))
	}
	copied.audit()
}

// namespaces reports whether a child may have a user and mount namespace of its own and mount in it.
func namespaces(attr *syscall.SysProcAttr) bool {
	process, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "mount -t tmpfs none /mnt 2>/dev/null"}, &os.ProcAttr{Sys: attr})
	if err != nil {
		return false
	}
	state, err := process.Wait()
	return err == nil && state.Success()
}

// fill writes a file until the room that is left on its file system is as little as asked.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &fs); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.CopyN(file, zeros{}, int64(fs.Bavail)*fs.Bsize-left); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// bulk is an input that takes room.
var bulk = object{"text": strings.Repeat("x", 8<<10)}

// submitUntilFailure submits jobs until one is refused, which has to be a DATABASE_ERROR, and returns the others.
func submitUntilFailure(t *testing.T, c customer) (acknowledged []string) {
	t.Helper()
	for range 10_000 {
		a := c.post("/v1/jobs", object{"type": metered, "input": bulk, "max_cost": "1"})
		if a.status != http.StatusOK {
			a.refused("DATABASE_ERROR")
			return acknowledged
		}
		acknowledged = append(acknowledged, a.text("id"))
	}
	t.Fatal("the database grew without end")
	return nil
}

// stillReads makes sure that a database which takes no writes turns nobody away who only reads.
func stillReads(t *testing.T, s *server, c customer) {
	t.Helper()
	c.get("/v1/account").ok()
	c.get("/v1/jobs").ok()
	c.get("/v1/account/entries").ok()
	c.get("/healthz").ok()
	s.as(t, "").get("/v1/account").refused("AUTHENTICATION_FAILED")
}

// goesOn makes sure that the server takes jobs again, and that there are those that were acknowledged and no other,
// also after it was killed. An empty ID stands for any job.
func goesOn(t *testing.T, s *server, c customer, acknowledged []string) {
	t.Helper()
	acknowledged = append(acknowledged, c.submit(metered))
	isExactly(t, c, acknowledged)
	s.audit()
	s.kill()
	s.audit()
	s.start()
	isExactly(t, c, acknowledged)
}

// isExactly makes sure that the client's jobs are those that were acknowledged.
func isExactly(t *testing.T, c customer, acknowledged []string) {
	t.Helper()
	there := map[string]bool{}
	for _, job := range c.pages("/v1/jobs") {
		there[job.text("id")] = true
	}
	if len(there) != len(acknowledged) {
		t.Errorf("%d jobs, want the %d that were acknowledged", len(there), len(acknowledged))
	}
	for _, id := range acknowledged {
		if id != "" && !there[id] {
			t.Errorf("job %s was acknowledged and is not there", id)
		}
	}
}

// SQLite's readers mark what they read by locks on these bytes of the -shm file (sqlite.org/walformat.html, 2.3.1).
// Whoever holds them exclusively keeps every reader out.
const (
	firstReadMark = 123
	readMarks     = 5
)

// TestDatabaseThatCannotBeRead: without an answer from the store nobody is let in, and nobody is told that their key is
// wrong.
func TestDatabaseThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{file: true})
	c := s.newClient(t, "1")
	unknown := prepare(t, setup{}).operatorKey
	file, err := os.OpenFile(s.database+"-shm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: firstReadMark, Len: readMarks}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLKW, &lock); err != nil {
		t.Fatal(err)
	}
	asked := make(chan answer, 1)
	go func() {
		a, err := s.as(t, unknown).try("GET", "/v1/account", nil)
		if err != nil {
			t.Errorf("GET /v1/account: %v", err)
		}
		asked <- a
	}()
	failed, alsoFailed := c.onceRefused("/v1/account"), <-asked
	lock.Type = syscall.F_UNLCK
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &lock); err != nil {
		t.Fatal(err)
	}
	failed.isErrorOneOf("DATABASE_ERROR", "SERVICE_UNAVAILABLE")
	alsoFailed.isErrorOneOf("DATABASE_ERROR", "SERVICE_UNAVAILABLE")
	until(t, "the server answers again", func() bool { return c.get("/v1/account").status == http.StatusOK })
	s.as(t, unknown).get("/v1/account").refused("INVALID_API_KEY")
}
