// What scripts/bench view measures. Prints the nanoseconds that it took.
//   workload walk FOLDER    lists every folder and looks at every file
//   workload read FOLDER    the same, and reads every regular file to its end
//   workload cat FILE       reads one file in pieces of 128 KiB
//   workload exec FILE      runs it 200 times; "workload nothing" is such a program
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char buffer[128 * 1024];
static int reads;

static int drain(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? -1 : 1;
  while (size > 0) size = read(fd, buffer, sizeof buffer);
  if (fd >= 0) close(fd);
  return size < 0;
}

static int visit(const char* path, const struct stat* status, int kind, struct FTW* where) {
  (void)status;
  (void)where;
  return reads && kind == FTW_F ? drain(path) : 0;
}

static int run(const char* program) {
  char* arguments[] = {(char*)program, "nothing", NULL};
  char* environment[] = {NULL};
  for (int i = 0; i < 200; ++i) {
    pid_t child = 0;
    int status = 1;
    if (posix_spawn(&child, program, NULL, NULL, arguments, environment) != 0) return 1;
    if (waitpid(child, &status, 0) != child || status != 0) return 1;
  }
  return 0;
}

int main(int argc, char** argv) {
  struct timespec from;
  struct timespec to;
  int failed = 1;
  if (argc == 2 && strcmp(argv[1], "nothing") == 0) return 0;
  if (argc != 3) return 2;
  clock_gettime(CLOCK_MONOTONIC, &from);
  if (strcmp(argv[1], "walk") == 0 || strcmp(argv[1], "read") == 0) {
    reads = argv[1][0] == 'r';
    // From inside: the way to the folder is longer for some, and is not what is measured.
    failed = chdir(argv[2]) != 0 || nftw(".", visit, 64, FTW_PHYS) != 0;
  } else if (strcmp(argv[1], "cat") == 0) {
    failed = drain(argv[2]);
  } else if (strcmp(argv[1], "exec") == 0) {
    failed = run(argv[2]);
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  if (failed != 0) {
    perror(argv[2]);
    return 1;
  }
  printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec);
  return 0;
}
