/*
 * DTLS 1.2 servers as OpenSSL offers them, to compare a gateway with under a flood of ClientHellos.
 *
 *   openssl-server ADDRESS PORT CERTIFICATE KEY listen|accept|off
 *
 * listen: DTLSv1_listen, which answers without an object for each client.
 * accept: an SSL object for each address that is heard of, SSL_accept with SSL_OP_COOKIE_EXCHANGE.
 * off:    the same without cookies.
 *
 * Objects are kept in a table of fixed size, in which a newcomer takes the place of whoever is
 * there: what a server keeps for each client can be measured, and the machine survives it.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS 4096
#define RECORD_HEADER 13
#define RECEIVE_BUFFER (16 << 20)

struct client {
    SSL *ssl;
    struct sockaddr_in address;
};

static unsigned char secret[32];
static struct client clients[CLIENTS];

static void die(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static unsigned int digest(const void *peer, size_t length, unsigned char *cookie)
{
    unsigned int size = 0;
    HMAC(EVP_sha1(), secret, sizeof secret, peer, length, cookie, &size);
    return size;
}

/* The peer as DTLSv1_listen's BIO has it, or as the table has it. */
static unsigned int cookie_of(SSL *ssl, unsigned char *cookie)
{
    struct client *client = SSL_get_app_data(ssl);
    unsigned char peer[32];
    size_t length = 0;
    if (client != NULL)
        return digest(&client->address, sizeof client->address, cookie);
    BIO_ADDR *address = BIO_ADDR_new();
    (void)BIO_dgram_get_peer(SSL_get_rbio(ssl), address);
    unsigned short port = BIO_ADDR_rawport(address);
    BIO_ADDR_rawaddress(address, peer, &length);
    memcpy(peer + length, &port, sizeof port);
    BIO_ADDR_free(address);
    return digest(peer, length + sizeof port, cookie);
}

static int generate(SSL *ssl, unsigned char *cookie, unsigned int *length)
{
    *length = cookie_of(ssl, cookie);
    return 1;
}

static int verify(SSL *ssl, const unsigned char *cookie, unsigned int length)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    unsigned int size = cookie_of(ssl, expected);
    return size == length && CRYPTO_memcmp(cookie, expected, size) == 0;
}

static void listen_forever(SSL_CTX *context, int fd)
{
    BIO_ADDR *peer = BIO_ADDR_new();
    for (;;) {
        SSL *ssl = SSL_new(context);
        SSL_set_bio(ssl, BIO_new_dgram(fd, BIO_NOCLOSE), NULL);
        SSL_set0_wbio(ssl, BIO_new_dgram(fd, BIO_NOCLOSE));
        SSL_set_options(ssl, SSL_OP_COOKIE_EXCHANGE);
        while (DTLSv1_listen(ssl, peer) <= 0)
            ERR_clear_error();
        SSL_free(ssl);
    }
}

/* Each record in a datagram of its own: a memory BIO glues them together. */
static void flush(int fd, struct client *client)
{
    unsigned char record[RECORD_HEADER + (1 << 14)];
    BIO *out = SSL_get_wbio(client->ssl);
    while (BIO_read(out, record, RECORD_HEADER) == RECORD_HEADER) {
        int length = record[11] << 8 | record[12];
        if (BIO_read(out, record + RECORD_HEADER, length) != length)
            return;
        (void)sendto(fd, record, RECORD_HEADER + length, 0, (struct sockaddr *)&client->address,
                     sizeof client->address);
    }
}

static struct client *client_of(SSL_CTX *context, const struct sockaddr_in *from, int cookies)
{
    unsigned int hash = (from->sin_addr.s_addr ^ from->sin_port * 40503u) * 2654435761u;
    struct client *client = &clients[(hash >> 16) % CLIENTS];
    if (client->ssl != NULL && memcmp(&client->address, from, sizeof *from) == 0)
        return client;
    SSL_free(client->ssl);
    client->address = *from;
    client->ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(client->ssl, in, out);
    SSL_set_app_data(client->ssl, client);
    SSL_set_options(client->ssl, SSL_OP_NO_QUERY_MTU | (cookies ? SSL_OP_COOKIE_EXCHANGE : 0));
    SSL_set_mtu(client->ssl, 1400);
    SSL_set_accept_state(client->ssl);
    return client;
}

static void accept_forever(SSL_CTX *context, int fd, int cookies)
{
    unsigned char datagram[2048];
    for (;;) {
        struct sockaddr_in from = {0};
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &length);
        if (size <= 0)
            continue;
        struct client *client = client_of(context, &from, cookies);
        BIO_write(SSL_get_rbio(client->ssl), datagram, (int)size);
        (void)SSL_do_handshake(client->ssl);
        ERR_clear_error();
        flush(fd, client);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: %s ADDRESS PORT CERTIFICATE KEY listen|accept|off\n", argv[0]);
        return 2;
    }
    SSL_CTX *context = SSL_CTX_new(DTLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, argv[3]) != 1
        || SSL_CTX_use_PrivateKey_file(context, argv[4], SSL_FILETYPE_PEM) != 1)
        die("certificate and key");
    if (RAND_bytes(secret, sizeof secret) != 1)
        die("secret");
    SSL_CTX_set_cookie_generate_cb(context, generate);
    SSL_CTX_set_cookie_verify_cb(context, verify);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = RECEIVE_BUFFER;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &own.sin_addr) != 1)
        die(argv[1]);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        perror("SO_RCVBUFFORCE");
    if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0)
        die("bind");
    puts("ready");
    fflush(stdout);
    if (strcmp(argv[5], "listen") == 0)
        listen_forever(context, fd);
    accept_forever(context, fd, strcmp(argv[5], "accept") == 0);
}
