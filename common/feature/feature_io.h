/* Whole reads and writes at offsets, retried over EINTR and short counts; errors are ERR_ENV and
 * name the file, the place and the system's reason. */
#ifndef OUTPOST_FEATURE_IO_H
#define OUTPOST_FEATURE_IO_H

#include <stddef.h>
#include <stdint.h>

int io_pwrite(int fd, const char *path, const void *data, size_t bytes, uint64_t offset);
/* Exactly `bytes` bytes; an early end of file is ERR_INPUT. */
int io_pread(int fd, const char *path, void *data, size_t bytes, uint64_t offset);
/* After a failed sync the pages may be clean and the data gone, so a caller never tries again. */
int io_sync(int fd, const char *path, int data_only);
/* Makes the names in the folder of `path` durable. */
int io_sync_dir(const char *path);
/* Claims the blocks of [0,bytes); without room the message says how many bytes are missing. */
int io_reserve(int fd, const char *path, uint64_t bytes);
int io_size(int fd, const char *path, uint64_t *bytes);
/* Removes a name; that it is absent is no error. */
int io_remove(const char *path);
/* *out = a followed by b, for the caller to free(). */
int io_name(char **out, const char *a, const char *b);
/* A file over the size limit raises SIGXFSZ, which kills: from here on it is EFBIG instead,
 * unless the program has its own handler. */
void io_ignore_file_size_signal(void);

#endif
