package docs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/tallygate/tallygate"
)

// file is an answer, ready to be sent.
type file struct {
	kind   string // its Content-Type
	body   []byte
	zipped []byte // nil: not worth it
	hash   string
	cache  string
	status int
}

const (
	htmlType     = "text/html; charset=utf-8"
	markdownType = "text/markdown; charset=utf-8"
	textType     = "text/plain; charset=utf-8"
	jsonType     = "application/json"

	worthZipping = 1 << 10
)

func newFile(kind string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{kind: kind, body: body, hash: hex.EncodeToString(sum[:8]), cache: "no-cache", status: http.StatusOK}
	if len(body) < worthZipping {
		return f
	}
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	if b.Len() < len(body) {
		f.zipped = b.Bytes()
	}
	return f
}

// addFiles says what is rendered at which address, once it is asked for.
func (s *Site) addFiles() {
	s.add("/docs", func() *file { return newFile(htmlType, s.home()) })
	for _, p := range s.order {
		s.add(p.Path, func() *file { return newFile(htmlType, s.article(p)) })
		s.add(p.Path+".md", func() *file { return newFile(markdownType, p.source) })
	}
	if s.files[referencePath] != nil {
		s.add(referencePath+".md", func() *file { return newFile(markdownType, s.wholeReference()) })
	}
	s.add("/docs/search.json", func() *file { return newFile(jsonType, s.index()) })
	s.add("/llms.txt", func() *file { return newFile(textType, s.llms()) })
	s.add("/llms-full.txt", func() *file { return newFile(textType, s.llmsFull()) })
	s.missing = sync.OnceValue(func() *file {
		f := newFile(htmlType, s.notFound())
		f.status, f.cache = tallygate.ResourceNotFound.Status(), "no-store"
		return f
	})
}

func (s *Site) add(path string, render func() *file) { s.files[path] = sync.OnceValue(render) }

// security keeps pages to themselves: nothing inline, nothing from elsewhere, no frames.
const security = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP answers GET and HEAD.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", security)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if path, slash := strings.CutSuffix(r.URL.Path, "/"); slash && s.files[path] != nil {
		h.Set("Location", path)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	f := s.missing
	if found := s.files[r.URL.Path]; found != nil {
		f = found
	}
	f().send(w, r)
}

func (f *file) send(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", f.cache)
	body, tag := f.body, `"`+f.hash+`"`
	if f.zipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Get("Accept-Encoding")) {
			body, tag = f.zipped, `"`+f.hash+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	if f.status == http.StatusOK {
		h.Set("ETag", tag)
		if matches(r.Header.Get("If-None-Match"), tag) {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that went away is no failure of ours
	}
}

// takesGzip reports whether gzip is among the codings, not refused by q=0.
func takesGzip(accept string) bool {
	for coding := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
		return err != nil || q > 0
	}
	return false
}

// matches reports whether the header names the tag (RFC 9110, section 13.1.2).
func matches(header, tag string) bool {
	for each := range strings.SplitSeq(header, ",") {
		if each = strings.TrimPrefix(strings.TrimSpace(each), "W/"); each == tag || each == "*" {
			return true
		}
	}
	return false
}
