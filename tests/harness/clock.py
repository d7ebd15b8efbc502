"""A clock on the wall that a test sets while processes run; what measures spans goes on as it does."""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from . import lifetime

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
/* By how many seconds the clock is wrong: shared with who sets it, also by what is forked later. */
static const volatile int64_t *wrong_by;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("CLOCK_FILE"), O_RDONLY | O_CLOEXEC);
    void *shared = file < 0 ? MAP_FAILED : mmap(0, sizeof *wrong_by, PROT_READ, MAP_SHARED, file, 0);
    if (shared == MAP_FAILED) abort();
    close(file);
    wrong_by = shared;
}
static int64_t wrong(void) { return wrong_by ? *wrong_by : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += wrong();
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    if (!failed) *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return failed;
}
time_t time(time_t *also) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (also) *also = exact.tv_sec;
    return exact.tv_sec;
}
"""


class Clock:
    """What `environment` starts reads this clock, and so does all that it forks: right at first, wrong after `set`."""

    def __init__(self, seconds=0):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ma-clock-", dir="/tmp"))
        self.directory.chmod(0o755)
        lifetime.stop_at_exit(self.remove)
        (self.directory / "clock.c").write_text(SOURCE)
        library, self._file = self.directory / "clock.so", self.directory / "wrong_by"
        subprocess.run(
            ["cc", "-O1", "-shared", "-fPIC", "-o", library, self.directory / "clock.c"], check=True, capture_output=True
        )
        self._file.touch()
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}
        self.set(seconds)

    def set(self, seconds):
        """Makes it wrong by so many seconds, for all at once."""
        file = os.open(self._file, os.O_WRONLY)
        # Eight bytes that are written at once are read at once.
        os.pwrite(file, struct.pack("q", round(seconds)), 0)
        os.close(file)

    def remove(self):
        """Removes its files; who runs by it may still run."""
        lifetime.cancel_stop(self.remove)
        shutil.rmtree(self.directory, ignore_errors=True)
