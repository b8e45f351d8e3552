package child

import "syscall"

// attributes has the kernel end a child when the thread that started it ends, so that none outlives a program that
// panicked or was killed.
func attributes(alone bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: alone}
}
