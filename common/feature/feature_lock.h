/* PATH.lock: one live writer an output, also where flock does not work (NFS, Lustre).
 * The file appears whole, by link(2) of a finished temporary, and says who holds it: host, boot,
 * pid namespace, pid, start time of the process, Slurm job and restart count.  It is stale when
 *   - host, boot and namespace are ours and no such process with that start time lives,
 *   - the host is ours but was booted anew, or
 *   - it is of our Slurm job before its last requeue.
 * A stale lock is broken under a second lock, PATH.lock.break, so of many that see it stale one
 * wins.  flock is held on top where it works: it decides at once that a holder lives. */
#ifndef OUTPOST_FEATURE_LOCK_H
#define OUTPOST_FEATURE_LOCK_H

typedef struct feature_lock feature_lock;

/* ERR_ENV naming the holder when somebody else writes `path`. */
int feature_lock_take(feature_lock **out, const char *path);
/* Shows that the holder is alive: the file's time is now.  Cheap. */
void feature_lock_beat(feature_lock *l);
/* Removes the lock file. */
void feature_lock_drop(feature_lock **l);

#endif
