/* Signals that ask a job to stop: SIGTERM, SIGUSR1, SIGHUP, first SIGINT set a flag, nothing else;
 * a second SIGINT ends the process at once with status 130. */
#ifndef OUTPOST_STOP_H
#define OUTPOST_STOP_H

void stop_listen(void);
/* The signal's name once one came, else NULL. */
const char *stop_asked(void);

#endif
