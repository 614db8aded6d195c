/* The process that holds a pod's namespaces: it sleeps, and reaps what is left to it. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void ended(int number) { _exit(number == SIGTERM || number == SIGINT ? 0 : 1); }

static void reap(int number) {
  (void)number;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

int main(void) {
  signal(SIGTERM, ended);
  signal(SIGINT, ended);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
