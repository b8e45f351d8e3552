package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

const secret = "whsec_aSBhbSBub3QgYSBzZWNyZXQ="

// redAndBlue is a picture: two thirds red, one third blue, and a corner that is not seen.
func redAndBlue(t *testing.T) []byte {
	t.Helper()
	picture := image.NewNRGBA(image.Rect(0, 0, 30, 30))
	for y := range 30 {
		for x := range 30 {
			c := color.NRGBA{0xd0, 0x10, 0x20, 0xff}
			if y >= 20 {
				c = color.NRGBA{0x10, 0x20, 0xc0, 0xff}
			}
			if x == 0 && y == 0 {
				c = color.NRGBA{}
			}
			picture.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// call makes a signed call, as the server does.
func call(s *service, body []byte, key string, at time.Time) *httptest.ResponseRecorder {
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, "whsec_")) // of a constant
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte("job_1-1." + timestamp + "."))
	mac.Write(body)
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("webhook-id", "job_1-1")
	r.Header.Set("webhook-timestamp", timestamp)
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestAPictureHasItsColours(t *testing.T) {
	body, err := json.Marshal(request{redAndBlue(t), 2})
	if err != nil {
		t.Fatal(err)
	}
	w := call(newService(secret, 1), body, secret, time.Now())
	const want = `{"colors":[{"color":"#d01020","share":0.6662},{"color":"#1020c0","share":0.3337}],"format":"png","height":30,"width":30}` + "\n"
	if w.Code != http.StatusOK || w.Body.String() != want || w.Header().Get("X-Tallygate-Units") != "megapixel=1" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestCallsThatNobodySignedAreRefused(t *testing.T) {
	body := []byte(`{"image":""}`)
	for name, w := range map[string]*httptest.ResponseRecorder{
		"another secret": call(newService(secret, 1), body, "whsec_b3RoZXI=", time.Now()),
		"an old call":    call(newService(secret, 1), body, secret, time.Now().Add(-time.Hour)),
	} {
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	newService(secret, 1).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("no signature: %d", w.Code)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	for body, says := range map[string]string{
		`{"image":7}`:      "the input cannot be read",
		`{"image":"AAAA"}`: "no PNG, JPEG or GIF",
	} {
		if w := call(newService(secret, 1), []byte(body), secret, time.Now()); w.Code/100 != 4 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	busy := newService(secret, 1)
	busy.places <- struct{}{}
	if w := call(busy, []byte(`{}`), secret, time.Now()); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("busy: %d %v", w.Code, w.Header())
	}
}
