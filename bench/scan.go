package bench

import "errors"

// A scanner walks over JSON without building anything: the load process reads
// thousands of leases a second beside the server that it measures. It checks
// no more than it needs to find its way; strings come out as they stand
// between their quotes, escapes included.
type scanner struct {
	text []byte
	at   int
	lost bool
}

var errNotJSON = errors.New("bench: the answer is not the JSON expected")

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// next steps over c, when c is what comes next.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// str reads a string; anything else in its place is skipped and gives nil.
func (s *scanner) str() []byte {
	if !s.next('"') {
		s.skip()
		return nil
	}
	from := s.at
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return s.text[from : s.at-1]
		}
	}
	s.lost = true
	return nil
}

// skip steps over one value.
func (s *scanner) skip() {
	for depth := 0; ; {
		s.space()
		if s.at >= len(s.text) {
			s.lost = true
			return
		}
		switch s.text[s.at] {
		case '"':
			s.str()
		case '{', '[':
			s.at++
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				s.lost = true
				return
			}
			s.at++
			depth--
		case ',', ':':
			if depth == 0 {
				s.lost = true
				return
			}
			s.at++
			continue
		default:
			s.literal()
		}
		if s.lost || depth == 0 {
			return
		}
	}
}

func (s *scanner) literal() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return
		}
		s.at++
	}
}

// key enters an object on its first call (first true) and gives its keys one
// by one; ok is false after the last. The value must be read before the next
// call. A value that is no object is skipped and has no keys.
func (s *scanner) key(first bool) (name []byte, ok bool) {
	switch {
	case s.lost:
		return nil, false
	case first:
		if !s.next('{') {
			s.skip()
			return nil, false
		}
		if s.next('}') {
			return nil, false
		}
	case s.next('}'):
		return nil, false
	case !s.next(','):
		s.lost = true
		return nil, false
	}
	name = s.str()
	if !s.next(':') {
		s.lost = true
	}
	return name, !s.lost
}

// element is to arrays what key is to objects.
func (s *scanner) element(first bool) bool {
	switch {
	case s.lost:
		return false
	case first:
		if !s.next('[') {
			s.skip()
			return false
		}
		return !s.next(']') && !s.lost
	case s.next(']'):
		return false
	case !s.next(','):
		s.lost = true
	}
	return !s.lost
}

// A lease is what a worker must know of one: what to report, and the counter
// that this program put into the job's input as "n". Slices into the answer.
type lease struct {
	token, job, n []byte
}

// scanLeases appends the "leases" of an answer to leases, and counts its
// "results" that are ok and that are not.
func scanLeases(body []byte, leases []lease) (_ []lease, settled, refused int, err error) {
	s := scanner{text: body}
	for name, ok := s.key(true); ok; name, ok = s.key(false) {
		switch string(name) {
		case "leases":
			for ok := s.element(true); ok; ok = s.element(false) {
				l := s.lease()
				if l.token == nil || l.job == nil {
					s.lost = true
				}
				leases = append(leases, l)
			}
		case "results":
			for ok := s.element(true); ok; ok = s.element(false) {
				if s.result() {
					settled++
				} else {
					refused++
				}
			}
		default:
			s.skip()
		}
	}
	if s.lost {
		return leases, settled, refused, errNotJSON
	}
	return leases, settled, refused, nil
}

func (s *scanner) lease() (l lease) {
	for name, ok := s.key(true); ok; name, ok = s.key(false) {
		switch string(name) {
		case "token":
			l.token = s.str()
		case "job":
			for name, ok := s.key(true); ok; name, ok = s.key(false) {
				switch string(name) {
				case "id":
					l.job = s.str()
				case "input":
					l.n = s.counter()
				default:
					s.skip()
				}
			}
		default:
			s.skip()
		}
	}
	return l
}

func (s *scanner) counter() (n []byte) {
	for name, ok := s.key(true); ok; name, ok = s.key(false) {
		if string(name) == "n" {
			n = s.str()
		} else {
			s.skip()
		}
	}
	return n
}

func (s *scanner) result() bool {
	fine := false
	for name, ok := s.key(true); ok; name, ok = s.key(false) {
		if string(name) != "ok" {
			s.skip()
			continue
		}
		s.space()
		from := s.at
		s.skip()
		fine = string(s.text[from:s.at]) == "true"
	}
	return fine
}
