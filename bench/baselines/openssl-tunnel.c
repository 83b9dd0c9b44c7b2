/*
 * A DTLS 1.2 tunnel for UDP as one would write it with OpenSSL and sockets: one thread, epoll, an
 * SSL object and a socket for each association. What a gateway's forwarding is compared with.
 *
 *   openssl-tunnel gateway ADDRESS PORT CERTIFICATE KEY CA BACKEND PORT
 *   openssl-tunnel client  ADDRESS PORT CERTIFICATE KEY CA GATEWAY PORT
 *
 * Both take datagrams at ADDRESS and PORT and have a session for each sender that they hear of,
 * with a socket of its own towards BACKEND or GATEWAY. What differs is on which side DTLS is.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SESSIONS 8192
#define RECORD_HEADER 13
#define SOCKET_BUFFER (4 << 20)
#define BATCH 64

struct session {
    SSL *ssl;
    struct sockaddr_in peer; /* who sends to our port */
    int fd;                  /* towards BACKEND or GATEWAY */
};

static struct session sessions[SESSIONS];
static SSL_CTX *context;
static int port_fd, epoll_fd, is_client;
static struct sockaddr_in next;

static void die(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int udp_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = SOCKET_BUFFER;
    if (fd < 0)
        die("socket");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return fd;
}

static void watch(int fd, struct session *session)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = session};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static void send_to_peer(struct session *session, const void *data, int length)
{
    (void)sendto(port_fd, data, length, 0, (struct sockaddr *)&session->peer, sizeof session->peer);
}

/* A memory BIO glues together what is written: each record leaves in a datagram of its own. */
static void flush(struct session *session)
{
    static unsigned char record[RECORD_HEADER + (1 << 15)];
    BIO *out = SSL_get_wbio(session->ssl);
    while (BIO_read(out, record, RECORD_HEADER) == RECORD_HEADER) {
        int length = record[11] << 8 | record[12];
        if (BIO_read(out, record + RECORD_HEADER, length) != length)
            return;
        if (is_client)
            (void)send(session->fd, record, RECORD_HEADER + length, 0);
        else
            send_to_peer(session, record, RECORD_HEADER + length);
    }
}

static void from_dtls(struct session *session, const void *datagram, int length)
{
    static unsigned char plaintext[1 << 15];
    int opened;
    BIO_write(SSL_get_rbio(session->ssl), datagram, length);
    while ((opened = SSL_read(session->ssl, plaintext, sizeof plaintext)) > 0) {
        if (is_client)
            send_to_peer(session, plaintext, opened);
        else
            (void)send(session->fd, plaintext, opened, 0);
    }
    if (SSL_get_error(session->ssl, opened) == SSL_ERROR_SSL)
        ERR_print_errors_fp(stderr);
    flush(session);
}

static void to_dtls(struct session *session, const void *plaintext, int length)
{
    if (SSL_is_init_finished(session->ssl))
        (void)SSL_write(session->ssl, plaintext, length);
    else
        (void)SSL_do_handshake(session->ssl);
    ERR_clear_error();
    flush(session);
}

static struct session *session_of(const struct sockaddr_in *peer)
{
    unsigned int hash = (peer->sin_addr.s_addr ^ peer->sin_port * 40503u) * 2654435761u;
    for (unsigned int probe = 0; probe < SESSIONS; probe++) {
        struct session *session = &sessions[((hash >> 16) + probe) % SESSIONS];
        if (session->ssl == NULL) {
            session->peer = *peer;
            session->fd = udp_socket();
            if (connect(session->fd, (struct sockaddr *)&next, sizeof next) != 0)
                die("connect");
            session->ssl = SSL_new(context);
            BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
            BIO_set_mem_eof_return(in, -1);
            BIO_set_mem_eof_return(out, -1);
            SSL_set_bio(session->ssl, in, out);
            SSL_set_options(session->ssl, SSL_OP_NO_QUERY_MTU);
            SSL_set_mtu(session->ssl, 1400);
            if (is_client)
                SSL_set_connect_state(session->ssl);
            else
                SSL_set_accept_state(session->ssl);
            watch(session->fd, session);
            return session;
        }
        if (memcmp(&session->peer, peer, sizeof *peer) == 0)
            return session;
    }
    die("no session is free");
    return NULL;
}

static void port_is_readable(void)
{
    static unsigned char datagram[1 << 16];
    for (int count = 0; count < BATCH; count++) {
        struct sockaddr_in from = {0};
        socklen_t size = sizeof from;
        ssize_t length = recvfrom(port_fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &size);
        if (length <= 0)
            return;
        struct session *session = session_of(&from);
        if (is_client)
            to_dtls(session, datagram, (int)length);
        else
            from_dtls(session, datagram, (int)length);
    }
}

static void session_is_readable(struct session *session)
{
    static unsigned char datagram[1 << 16];
    for (int count = 0; count < BATCH; count++) {
        ssize_t length = recv(session->fd, datagram, sizeof datagram, 0);
        if (length <= 0)
            return;
        if (is_client)
            from_dtls(session, datagram, (int)length);
        else
            to_dtls(session, datagram, (int)length);
    }
}

static struct sockaddr_in address(const char *ip, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
        die(ip);
    return address;
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: %s gateway|client ADDRESS PORT CERTIFICATE KEY CA NEXT PORT\n", argv[0]);
        return 2;
    }
    is_client = strcmp(argv[1], "client") == 0;
    struct sockaddr_in own = address(argv[2], argv[3]);
    next = address(argv[7], argv[8]);
    context = SSL_CTX_new(is_client ? DTLS_client_method() : DTLS_server_method());
    SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(context, argv[4]) != 1
        || SSL_CTX_use_PrivateKey_file(context, argv[5], SSL_FILETYPE_PEM) != 1
        || SSL_CTX_load_verify_locations(context, argv[6], NULL) != 1
        || SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") != 1)
        die("certificates");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    port_fd = udp_socket();
    epoll_fd = epoll_create1(0);
    if (bind(port_fd, (struct sockaddr *)&own, sizeof own) != 0)
        die("bind");
    watch(port_fd, NULL);
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[BATCH];
        int count = epoll_wait(epoll_fd, events, BATCH, -1);
        for (int index = 0; index < count; index++) {
            if (events[index].data.ptr == NULL)
                port_is_readable();
            else
                session_is_readable(events[index].data.ptr);
        }
    }
}
