/*
 * A short life that uses every call a trace knows: threads that grow, protect, empty and give back
 * their buffers, a mapping over another one, and a child that runs another program. For quick tests
 * of replayers: a few hundred events, every op among them.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS = 4, ROUNDS = 14 };

static char *must(void *mapped) {
    if (mapped == MAP_FAILED)
        abort();
    return mapped;
}

static void one_round(size_t pages) {
    size_t size = pages * PAGE;
    char *buffer =
        must(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(buffer, 1, size);
    if (mprotect(buffer, size, PROT_READ) != 0 ||
        mprotect(buffer, size, PROT_READ | PROT_WRITE) != 0)
        abort();
    if (madvise(buffer, size / 2, MADV_DONTNEED) != 0)
        abort();
    buffer = must(mremap(buffer, size, 3 * size, MREMAP_MAYMOVE));
    memset(buffer, 2, 3 * size);
    buffer = must(mremap(buffer, 3 * size, size, 0));
    must(mmap(buffer, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    if (munmap(buffer, size) != 0)
        abort();
}

static void *worker(void *seed) {
    for (size_t round = 0; round < ROUNDS; round++)
        one_round(2 + 2 * ((round + *(size_t *)seed) % 8));
    return NULL;
}

static void run_child(void) {
    int status = 1;
    pid_t child = fork();
    if (child == 0) {
        execlp("true", "true", (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        abort();
}

int main(void) {
    pthread_t threads[THREADS];
    size_t seeds[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        seeds[i] = i;
        if (pthread_create(&threads[i], NULL, worker, &seeds[i]) != 0)
            abort();
    }
    run_child();
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
