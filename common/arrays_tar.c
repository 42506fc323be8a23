#include "common/arrays_impl.h"
int arrays_read_tar(arrays *a)
{
    return arrays_refuse(a, "container", "a tar archive as torch wrote it before 0.1.10; load it with "
                         "PyTorch and save it again");
}
