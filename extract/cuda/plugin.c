/* The plugin's face: the table of extract/plugin.h over this folder's functions. */
#include "extract/plugin.h"

#include "extract/cuda/device.h"
#include "extract/cuda/entry.h"
#include "extract/cuda/network.h"

static int count(int *devices)
{
    ENTRY(device_count(devices));
}

static int open_device(cuda_backend **be, int device)
{
    ENTRY(device_open(be, device));
}

static int alloc(cuda_backend *be, size_t bytes, void **mem)
{
    ENTRY(memory_alloc(be, bytes, 0, mem));
}

static int alloc_host(cuda_backend *be, size_t bytes, void **mem)
{
    ENTRY(memory_alloc(be, bytes, 1, mem));
}

static int upload(cuda_backend *be, void *dst, const void *src, size_t bytes)
{
    ENTRY(memory_upload(be, dst, src, bytes));
}

static int download(cuda_backend *be, void *dst, const void *src, size_t bytes)
{
    ENTRY(memory_download(be, dst, src, bytes));
}

static int clear(cuda_backend *be, void *dst, size_t bytes)
{
    ENTRY(memory_clear(be, dst, bytes));
}

static int run(cuda_backend *be, int kernel, const op_args *args)
{
    ENTRY(device_run(be, kernel, args));
}

static int sync_device(cuda_backend *be)
{
    ENTRY(device_sync(be));
}

static int open_network(cuda_network **net, cuda_backend *be, const plan *p, const backend_options *o)
{
    ENTRY(network_open(net, be, p, o));
}

static int submit(cuda_network *net, const batch_input *in, size_t n)
{
    ENTRY(network_submit(net, in, n));
}

static int wait_network(cuda_network *net, float *const *results)
{
    ENTRY(network_wait(net, results));
}

static int host_alloc(cuda_network *net, size_t bytes, void **mem)
{
    ENTRY(network_host_alloc(net, bytes, mem));
}

static void built(char *text, size_t room)
{
    cuda.built(text, room);
}

static const cuda_plugin plugin = {
    .abi = CUDA_PLUGIN_ABI,
    .name = "cuda",
    .version = OUTPOST_VERSION,
    .count = count,
    .built = built,
    .describe = device_describe,
    .open = open_device,
    .close = device_close,
    .alloc = alloc,
    .release = memory_release,
    .alloc_host = alloc_host,
    .release_host = memory_release,
    .upload = upload,
    .download = download,
    .clear = clear,
    .run = run,
    .sync = sync_device,
    .network_open = open_network,
    .network_close = network_close,
    .network_submit = submit,
    .network_wait = wait_network,
    .network_host_alloc = host_alloc,
    .network_host_release = network_host_release,
    .network_describe = network_describe,
    .network_memory = network_memory,
    .fault = cuda_fault_now,
};

cuda_plugin_entry outpost_cuda_plugin __attribute__((visibility("default")));
const cuda_plugin *outpost_cuda_plugin(uint32_t abi, size_t args_size, int kernels,
                                       const cuda_host *program)
{
    if (abi != CUDA_PLUGIN_ABI || args_size != sizeof(op_args) || kernels != KERNEL_COUNT) return NULL;
    entry_set_host(program);
    return &plugin;
}
