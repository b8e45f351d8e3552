package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/demo/thumbnail"
	"github.com/tallygate/tallygate/executor"
)

// thumbnailHandler is the name under which job types reach the thumbnails.
const thumbnailHandler = "image.thumbnail"

// builtinHandlers are the Go functions that job types with a builtin executor may name.
func builtinHandlers() map[string]executor.Handler {
	return map[string]executor.Handler{thumbnailHandler: makeThumbnails}
}

func handlerNames() []string { return slices.Sorted(maps.Keys(builtinHandlers())) }

// makeThumbnails has no second attempt at an input that cannot be read.
func makeThumbnails(ctx context.Context, job *tallygate.Job, report func(float64, string)) ([]byte, map[string]int64, error) {
	result, units, err := thumbnail.Run(ctx, job.Input, report)
	if _, wrong := errors.AsType[*thumbnail.InputError](err); wrong {
		err = executor.Final(err)
	}
	return result, units, err
}
