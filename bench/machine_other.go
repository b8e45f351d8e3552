//go:build !linux

package bench

import (
	"errors"
	"time"
)

func pause(d time.Duration) { time.Sleep(d) }

func ownCPU() time.Duration { return 0 }

func cpuOf(int) time.Duration { return 0 }

func residentMiB(int) (float64, error) {
	return 0, errors.New("bench: the memory of a process is read on Linux only")
}
