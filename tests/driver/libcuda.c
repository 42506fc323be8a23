/* A libcuda.so.1 without a device, for asking cuDNN about engines that it compiles at run time: it does
 * so only where it finds a driver to load the code into.  Code is taken and thrown away; everything else
 * says what NVIDIA's own stub says (CUDA_ERROR_STUB_LIBRARY, 34).  These are the functions that cuDNN 9.19
 * looks up. */
enum { STUB_LIBRARY = 34 };

#define REFUSE(name)                                                                               \
    int name(void);                                                                                \
    int name(void)                                                                                 \
    {                                                                                              \
        return STUB_LIBRARY;                                                                       \
    }
REFUSE(cuInit)
REFUSE(cuDriverGetVersion)
REFUSE(cuDeviceGetCount)
REFUSE(cuDeviceGet)
REFUSE(cuGetErrorName)
REFUSE(cuGetErrorString)
REFUSE(cuCtxGetCurrent)
REFUSE(cuCtxGetLimit)
REFUSE(cuCtxPopCurrent)
REFUSE(cuCtxPushCurrent)
REFUSE(cuStreamGetCtx)
REFUSE(cuLinkCreate)
REFUSE(cuLinkAddData)
REFUSE(cuLinkComplete)
REFUSE(cuLinkDestroy)
REFUSE(cuLaunchKernel)
REFUSE(cuLaunchKernelEx)
REFUSE(cuLaunchCooperativeKernel)
REFUSE(cuLibraryLoadFromFile)
REFUSE(cuKernelGetAttribute)
REFUSE(cuKernelSetAttribute)
REFUSE(cuOccupancyMaxPotentialClusterSize)

int cuLibraryLoadData(void **library);
int cuLibraryLoadData(void **library)
{
    *library = library; /* not NULL */
    return 0;
}

int cuLibraryGetKernel(void **kernel);
int cuLibraryGetKernel(void **kernel)
{
    *kernel = kernel;
    return 0;
}

int cuLibraryUnload(void *library);
int cuLibraryUnload(void *library)
{
    (void)library;
    return 0;
}
