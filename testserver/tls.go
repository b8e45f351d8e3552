package testserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is the file of the certificate that clients of a server with TLS are to trust.
func (s *PostgresServer) Authority() string { return filepath.Join(s.data(), "server.crt") }

// certify gives the server a certificate for 127.0.0.1, signed by itself, where PostgreSQL looks for it.
func (s *PostgresServer) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	day := 24 * time.Hour
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-day), NotAfter: time.Now().Add(day),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, certificate, certificate, &key.PublicKey, key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, kind string
		content    []byte
	}{{filepath.Join(s.data(), "server.key"), "PRIVATE KEY", secret}, {s.Authority(), "CERTIFICATE", signed}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.content}), 0o600); err != nil {
			return err
		}
		if err := own(f.path); err != nil {
			return err
		}
	}
	return nil
}
