package testserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// children lists the processes that a process started, as Linux tells them. Elsewhere the list is empty: PostgreSQL's
// then end by themselves, as soon as they see that their parent did.
func children(parent int) []int {
	var pids []int
	folders, _ := filepath.Glob("/proc/[0-9]*") // fails on a bad pattern only
	for _, folder := range folders {
		if pid, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			if _, p := status(pid); p == parent {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// runs says that a process is there and no mere record of one that ended.
func runs(pid int) bool {
	state, _ := status(pid)
	return state != "" && state != "Z" && state != "X"
}

// status is a process's state and parent (proc(5), stat: "pid (name) state parent …").
func status(pid int) (state string, parent int) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(string(fields[1])) // a number, says the manual
	return string(fields[0]), parent
}
