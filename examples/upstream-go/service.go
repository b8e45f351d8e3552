package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"strconv"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

// service answers one job a request: the body is the job's input, an answer 200 its result.
type service struct {
	secret string
	places chan struct{} // filled while pictures are looked at
}

func newService(secret string, places int) *service {
	return &service{secret: secret, places: make(chan struct{}, places)}
}

// request is the input of an image.palette job; job-type.yaml has its schema.
type request struct {
	Image  []byte `json:"image"` // base64 in JSON: PNG, JPEG or GIF
	Colors int    `json:"colors"`
}

const (
	mostBody    = 32 << 20
	mostPixels  = 64 << 20
	usualColors = 6
	mostColors  = 32
)

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		refuse(w, http.StatusBadRequest, "the input is too large, or broke off")
		return
	}
	// Nothing is done for anybody who does not know the secret, and nothing that was recorded a while ago.
	if err := tallygate.VerifyWebhook(body, r.Header, s.secret); err != nil {
		refuse(w, http.StatusUnauthorized, err.Error())
		return
	}
	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	default: // the server tries again, without spending patience on a queue here
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "every place is taken")
		return
	}
	in := request{Colors: usualColors}
	if err := json.Unmarshal(body, &in); err != nil {
		refuse(w, http.StatusBadRequest, "the input cannot be read: "+err.Error())
		return
	}
	size, format, err := image.DecodeConfig(bytes.NewReader(in.Image))
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "the image is no PNG, JPEG or GIF")
		return
	}
	if int64(size.Width)*int64(size.Height) > mostPixels {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("the image has more than %d megapixels", mostPixels>>20))
		return
	}
	picture, _, err := image.Decode(bytes.NewReader(in.Image))
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, "the image is damaged: "+err.Error())
		return
	}
	megapixels := (size.Width*size.Height + 999_999) / 1_000_000
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Tallygate-Units", "megapixel="+strconv.Itoa(megapixels)) // what the client pays for
	_ = json.NewEncoder(w).Encode(map[string]any{
		"format": format, "width": size.Width, "height": size.Height, "colors": palette(picture, min(max(1, in.Colors), mostColors)),
	}) // a server that went away calls again
}

// refuse answers an error: the job's client reads the message. A 4xx is final, anything else is tried again.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": message}})
}
