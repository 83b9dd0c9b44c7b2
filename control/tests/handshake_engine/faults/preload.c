/* What a test wants of the C library, preloaded: the time of day as the test sets it, which is what
 * OpenSSL's retransmission timer goes by, and how much malloc has given out, OpenSSL's memory and
 * Rust's alike.
 *
 * XDTLS_TEST_CLOCK names a file of two numbers of this machine, eight bytes each: microseconds since
 * 1970, which the test writes, and bytes, which are written here whenever somebody asks for the time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static volatile int64_t *shared;

__attribute__((constructor)) static void map_shared(void)
{
    const char *name = getenv("XDTLS_TEST_CLOCK");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    void *bytes = MAP_FAILED;
    if (file >= 0)
        bytes = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED)
        abort();
    close(file);
    shared = bytes;
}

int gettimeofday(struct timeval *time, void *zone)
{
    struct mallinfo2 heap = mallinfo2();
    int64_t us = shared[0];
    (void)zone;
    shared[1] = (int64_t)(heap.uordblks + heap.hblkhd);
    time->tv_sec = us / 1000000;
    time->tv_usec = us % 1000000;
    return 0;
}
