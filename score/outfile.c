#include "score/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"

int outfile_temp_name(char **temp, const char *path)
{
    size_t room = strlen(path) + 32;
    int rc = mem_new(temp, room, 1, path);
    if (rc == 0) snprintf(*temp, room, "%s.part.%ld", path, (long)getpid());
    return rc;
}

int outfile_check(const char *path)
{
    int rc = 0;
    struct stat st;
    char *folder = NULL, *slash;
    if (strcmp(path, "-") == 0) goto done;
    CHECK(*path != '\0', ERR_USAGE, "an output file has an empty name");
    if (stat(path, &st) == 0) {
        CHECK(!S_ISDIR(st.st_mode), ERR_ENV, "cannot write %s: it is a folder", path);
        if (!S_ISREG(st.st_mode)) goto done;
    }
    TRY(mem_strdup(&folder, path));
    slash = strrchr(folder, '/');
    if (slash != NULL) slash[slash == folder] = '\0';
    CHECK(access(slash != NULL ? folder : ".", W_OK | X_OK) == 0, ERR_ENV, "cannot write %s: %s",
          path, strerror(errno));
done:
    free(folder);
    return rc;
}

int outfile_open(outfile *o, const char *path)
{
    int rc = 0, fd = -1;
    struct stat st;
    memset(o, 0, sizeof *o);
    TRY(mem_strdup(&o->path, path));
    if (strcmp(path, "-") == 0) {
        o->f = stdout;
        goto done;
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) { /* /dev/stdout, a named pipe */
        fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        TRY(outfile_temp_name(&o->temp, path));
        fd = open(o->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    }
    CHECK(fd >= 0, ERR_ENV, "cannot write %s: %s", path, strerror(errno));
    o->f = fdopen(fd, "w");
    CHECK(o->f != NULL, ERR_ENV, "cannot write %s: %s", path, strerror(errno));
    fd = -1;
done:
    if (fd >= 0) close(fd);
    if (rc < 0) outfile_abandon(o);
    return rc;
}

int outfile_commit(outfile *o)
{
    int rc = 0;
    FILE *f = o->f;
    o->f = NULL;
    CHECK(fflush(f) == 0 && !ferror(f), ERR_ENV, "cannot write %s: %s", o->path, strerror(errno));
    if (o->temp != NULL)
        CHECK(fsync(fileno(f)) == 0, ERR_ENV, "cannot write %s: %s", o->path, strerror(errno));
    if (f != stdout) {
        int closed = fclose(f);
        f = NULL;
        CHECK(closed == 0, ERR_ENV, "cannot write %s: %s", o->path, strerror(errno));
    }
    if (o->temp != NULL) {
        CHECK(rename(o->temp, o->path) == 0, ERR_ENV, "cannot rename %s to %s: %s", o->temp,
              o->path, strerror(errno));
        free(o->temp);
        o->temp = NULL;
    }
done:
    if (f != NULL && f != stdout) fclose(f);
    outfile_abandon(o);
    return rc;
}

void outfile_abandon(outfile *o)
{
    if (o->f != NULL && o->f != stdout) fclose(o->f);
    if (o->temp != NULL) unlink(o->temp);
    free(o->temp);
    free(o->path);
    memset(o, 0, sizeof *o);
}
