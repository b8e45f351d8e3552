package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// pause sleeps to within some tens of microseconds; the runtime's timers round
// up to a millisecond in an idle process.
func pause(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// cpuOf is the processor time of another process so far, 0 when the kernel
// does not say. Schedstat counts nanoseconds where stat counts ticks.
func cpuOf(pid int) time.Duration {
	var sum time.Duration
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		used, _, _ := bytes.Cut(text, []byte(" "))
		ns, _ := strconv.ParseInt(string(used), 10, 64)
		sum += time.Duration(ns)
	}
	return sum
}

// residentMiB is the memory that a process holds (VmRSS).
func residentMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			var kib float64
			_, err := fmt.Sscanf(string(value), "%f kB", &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("bench: process %d has no VmRSS", pid)
}
