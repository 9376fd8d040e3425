/* Preloaded into a node: while the file that HANG_SYNC names exists, fsync and fdatasync are slow. Each takes as many
 * milliseconds as the number in the file says; if there is none, it hangs until the file is gone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int sync_call(int);

static void wait_for_disk(void)
{
    const char *path = getenv("HANG_SYNC");
    FILE *control;
    while (path && (control = fopen(path, "r"))) {
        long ms = 0;
        int read = fscanf(control, "%ld", &ms);
        fclose(control);
        usleep(read == 1 ? ms * 1000 : 1000);
        if (read == 1)
            return;
    }
}

int fsync(int file)
{
    wait_for_disk();
    return ((sync_call *)dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file)
{
    wait_for_disk();
    return ((sync_call *)dlsym(RTLD_NEXT, "fdatasync"))(file);
}
