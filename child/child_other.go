//go:build !linux

package child

import "syscall"

func attributes(alone bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: alone} }
