"""One association with Mbed TLS: prints the suite, sends a line, prints what comes back, closes."""
import socket
import sys

from mbedtls import exceptions, pk, tls, x509

port, ca, certificate, key, suite, line = sys.argv[1:]


def read(name):
    with open(name, encoding="ascii") as file:
        return file.read()


trust = tls.TrustStore()
trust.add(x509.CRT.from_PEM(read(ca)))
configuration = tls.DTLSConfiguration(
    trust_store=trust,
    certificate_chain=((x509.CRT.from_PEM(read(certificate)),), pk.ECC.from_PEM(read(key))),
    ciphers=[suite],
    lowest_supported_version=tls.DTLSVersion.DTLSv1_2,
    highest_supported_version=tls.DTLSVersion.DTLSv1_2,
)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(10)
client = tls.ClientContext(configuration).wrap_socket(udp, server_hostname="gateway")
client.connect(("127.0.0.1", int(port)))
client.do_handshake()
print(client.cipher(), flush=True)
client.send(line.encode())
print(client.recv(4096).decode(), flush=True)
# Sends close_notify, which `close` and `unwrap` do not; the gateway answers with its own.
client.shutdown(socket.SHUT_WR)
try:
    print("still open:", client.recv(4096))
except exceptions.TLSError as error:
    print("closed" if "peer notified us" in str(error) else error)
