package storetest

import (
	"fmt"
	"reflect"
	"strings"
)

// show prints a value with what its pointers point to.
func show(v any) string {
	r := reflect.ValueOf(v)
	switch {
	case !r.IsValid():
		return "nil"
	case r.Kind() == reflect.Pointer && r.IsNil():
		return "nil"
	case r.Kind() == reflect.Pointer:
		return "&" + show(r.Elem().Interface())
	case r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.Pointer:
		lines := make([]string, r.Len())
		for i := range lines {
			lines[i] = show(r.Index(i).Interface())
		}
		return "[" + strings.Join(lines, "\n") + "]"
	}
	return fmt.Sprintf("%+v", v)
}
