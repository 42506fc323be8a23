#include "extract/stop.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void on_signal(int sig)
{
    if (sig == SIGINT && asked == SIGINT) _exit(130);
    asked = sig;
}

void stop_listen(void)
{
    static const int signals[] = { SIGTERM, SIGUSR1, SIGHUP, SIGINT };
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    act.sa_flags = SA_RESTART;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &act, NULL);
    signal(SIGPIPE, SIG_IGN);
}

const char *stop_asked(void)
{
    switch (asked) {
    case 0: return NULL;
    case SIGTERM: return "SIGTERM";
    case SIGUSR1: return "SIGUSR1";
    case SIGHUP: return "SIGHUP";
    default: return "SIGINT";
    }
}
